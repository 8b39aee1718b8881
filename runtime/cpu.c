/* cpu.c: see cpu.h. The compiler's check includes that the system saves wide registers; not every compiler's knows
 * F16C, which is therefore asked of the processor itself. That is slow inside a virtual machine, so the answer is
 * kept. */
#include "cpu.h"

#ifdef HOST_HAS_AVX2
#include <cpuid.h>

bool cpu_avx2(void)
{
    static enum { UNKNOWN, NO, YES } answer;
    if (answer == UNKNOWN) {
        unsigned a, b, c = 0, d;
        bool     f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
        answer = f16c && __builtin_cpu_supports("avx2") ? YES : NO;
    }
    return answer == YES;
}
#else
bool cpu_avx2(void)
{
    return false;
}
#endif

/* cpu.c: see cpu.h. The compiler's check includes that the system saves wide registers; not every compiler's knows F16C
 * and AMX, which are therefore asked of the processor itself. That is slow inside a virtual machine, so answers are
 * kept: whoever asks first, the answer is the same. */
#include "cpu.h"

#include <stdatomic.h>

#if defined HOST_HAS_AVX2 || defined HOST_HAS_AVX512 || defined HOST_HAS_AMX
#include <cpuid.h>

enum { UNKNOWN, NO, YES };

static bool keep(atomic_int *answer, bool (*ask)(void))
{
    if (*answer == UNKNOWN)
        *answer = ask() ? YES : NO;
    return *answer == YES;
}
#endif

#ifdef HOST_HAS_AVX2
static bool ask_avx2(void)
{
    unsigned a, b, c = 0, d;
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return f16c && __builtin_cpu_supports("avx2");
}

bool cpu_avx2(void)
{
    static atomic_int answer;
    return keep(&answer, ask_avx2);
}
#else
bool cpu_avx2(void)
{
    return false;
}
#endif

bool cpu_neon(void)
{
#ifdef HOST_HAS_NEON
    return true;
#else
    return false;
#endif
}

#ifdef HOST_HAS_AVX512
static bool ask_avx512(void)
{
    return cpu_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool cpu_avx512(void)
{
    static atomic_int answer;
    return keep(&answer, ask_avx512);
}
#else
bool cpu_avx512(void)
{
    return false;
}
#endif

#ifdef HOST_HAS_AMX
#include <sys/syscall.h>
#include <unistd.h>

/* Tiles are 8 KiB of state a thread; Linux enables them for a process that asks (arch_prctl, ARCH_REQ_XCOMP_PERM,
 * feature 18: Documentation/arch/x86/xstate.rst). The build defines HOST_HAS_AMX on Linux only. */
static bool ask_amx(void)
{
    unsigned a, b, c, d = 0;
    bool tiles = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) && (d & 1u << 24); /* bf16, tiles */
    return tiles && cpu_avx512() && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

bool cpu_amx(void)
{
    static atomic_int answer;
    return keep(&answer, ask_amx);
}
#else
bool cpu_amx(void)
{
    return false;
}
#endif

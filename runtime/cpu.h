/* cpu.h: which of the compiled variants this machine can run. Files with heavy loops are compiled a second time for AVX2
 * and F16C where the compiler can (runtime/meson.build defines HOST_HAS_AVX2); both give the same bits. */
#ifndef ANEL_RUNTIME_CPU_H
#define ANEL_RUNTIME_CPU_H

#include <stdbool.h>

static inline bool cpu_avx2(void)
{
#ifdef HOST_HAS_AVX2
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
#else
    return false;
#endif
}

#endif

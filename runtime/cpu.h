/* cpu.h: which of the compiled variants this machine can run. Files with heavy loops are compiled a second time for
 * AVX2 and F16C where the compiler can (runtime/meson.build defines HOST_HAS_AVX2); both give the same bits. */
#ifndef ANEL_RUNTIME_CPU_H
#define ANEL_RUNTIME_CPU_H

#include <stdbool.h>

bool cpu_avx2(void);

#endif

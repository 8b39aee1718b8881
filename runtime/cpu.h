/* cpu.h: which of the compiled variants this machine can run. Files with heavy loops are compiled again for wider
 * instruction sets where the compiler can (runtime/meson.build defines HOST_HAS_AVX2 and so on); all give the same
 * bits. */
#ifndef ANEL_RUNTIME_CPU_H
#define ANEL_RUNTIME_CPU_H

#include <stdbool.h>

bool cpu_avx2(void);   /* with F16C */
bool cpu_neon(void);   /* every 64-bit ARM */
bool cpu_avx512(void); /* F, BW, DQ and VL */
bool cpu_amx(void);    /* tiles of bf16, and AVX-512; the first call asks the system for them */

#endif

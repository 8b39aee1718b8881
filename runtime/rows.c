/* rows.c: see rows.h. Compiled for the plain machine, and with ROWS_WIDE for AVX2 and F16C, or NEON. */
#include "rows.h"

#include "cpu.h"
#include "f16_rows.h"

#ifdef ROWS_WIDE
void rows_widen_wide(const uint16_t *in, float *out, size_t n);
void rows_narrow_wide(const float *in, uint16_t *out, size_t n);

void rows_widen_wide(const uint16_t *in, float *out, size_t n)
{
    f16_widen_row(in, out, n);
}

void rows_narrow_wide(const float *in, uint16_t *out, size_t n)
{
    f16_narrow_row(in, out, n);
}
#else
#if defined HOST_HAS_AVX2 || defined HOST_HAS_NEON
void rows_widen_wide(const uint16_t *in, float *out, size_t n);
void rows_narrow_wide(const float *in, uint16_t *out, size_t n);
#define WIDE(call)                                                                                                     \
    if (cpu_avx2() || cpu_neon()) {                                                                                                  \
        call;                                                                                                          \
        return;                                                                                                        \
    }
#else
#define WIDE(call)
#endif

void rows_widen(const uint16_t *in, float *out, size_t n)
{
    WIDE(rows_widen_wide(in, out, n))
    f16_widen_row(in, out, n);
}

void rows_narrow(const float *in, uint16_t *out, size_t n)
{
    WIDE(rows_narrow_wide(in, out, n))
    f16_narrow_row(in, out, n);
}
#endif

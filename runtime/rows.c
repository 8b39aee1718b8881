/* rows.c: see rows.h. Compiled for the plain machine, and with ROWS_AVX2 for AVX2 and F16C. */
#include "rows.h"

#include "cpu.h"
#include "f16_rows.h"

#ifdef ROWS_AVX2
void rows_widen_avx2(const uint16_t *in, float *out, size_t n);
void rows_narrow_avx2(const float *in, uint16_t *out, size_t n);

void rows_widen_avx2(const uint16_t *in, float *out, size_t n)
{
    f16_widen_row(in, out, n);
}

void rows_narrow_avx2(const float *in, uint16_t *out, size_t n)
{
    f16_narrow_row(in, out, n);
}
#else
#ifdef HOST_HAS_AVX2
void rows_widen_avx2(const uint16_t *in, float *out, size_t n);
void rows_narrow_avx2(const float *in, uint16_t *out, size_t n);
#define WIDE(call)                                                                                                     \
    if (cpu_avx2()) {                                                                                                  \
        call;                                                                                                          \
        return;                                                                                                        \
    }
#else
#define WIDE(call)
#endif

void rows_widen(const uint16_t *in, float *out, size_t n)
{
    WIDE(rows_widen_avx2(in, out, n))
    f16_widen_row(in, out, n);
}

void rows_narrow(const float *in, uint16_t *out, size_t n)
{
    WIDE(rows_narrow_avx2(in, out, n))
    f16_narrow_row(in, out, n);
}
#endif

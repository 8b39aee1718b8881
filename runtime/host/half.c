/* half.c: see half.h. Compiled like the kernels_*.c, but not in double. */
#include "host/half.h"

#include "host/kernel.h"

static void round_row(float *x, size_t n)
{
    f16_round_row(x, n);
}

static void widen_row(const uint16_t *in, float *out, size_t n)
{
    f16_widen_row(in, out, n);
}

static void narrow_row(const float *in, uint16_t *out, size_t n)
{
    f16_narrow_row(in, out, n);
}

static void row_product(const uint16_t *a, int64_t sa, const uint16_t *b, int64_t ldb, int64_t k, int64_t cols,
                        uint16_t *out)
{
    float sum[HALF_COLUMNS] = {0}, row[HALF_COLUMNS];
    for (int64_t i = 0; i < k; i++, b += ldb) {
        float x = f16_widen(a[i * sa]);
        f16_widen_row(b, row, (size_t)cols);
        for (int64_t c = 0; c < cols; c++)
            sum[c] += x * row[c];
    }
    f16_narrow_row(sum, out, (size_t)cols);
}

#if defined HOST_AVX512
#define BUILD half_kernels_avx512
#elif defined HOST_AVX2
#define BUILD half_kernels_avx2
#elif defined HOST_NEON
#define BUILD half_kernels_neon
#else
#define BUILD half_kernels_ane
#endif

const HalfKernels BUILD = {KERNEL(row_of), KERNEL(softmax_row), round_row, widen_row, narrow_row, row_product};

/* test_gemm.c: products against fp64, for everything that can multiply here, all types and layouts, and special
 * numbers. */
#include "base/f16.h"
#include "base/rng.h"
#include "gemm.h"
#include "scratch.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The names of the ways to multiply, the first being the default. */
static const char *const ways[] = {"amx", "onednn", "blas"};
enum { WAYS = sizeof ways / sizeof *ways };

/* Matrices of a batch in memory that is larger than they are: rows `ld` apart, `pad` elements around. */
typedef struct {
    GemmType type;
    int64_t rows, cols, ld; /* as stored */
    size_t stride, n;
    void *data;
} Matrix;

static void set(Matrix *x, size_t i, float v)
{
    if (x->type == GEMM_F16)
        ((uint16_t *)x->data)[i] = f16_from_f32(v);
    else
        ((float *)x->data)[i] = v;
}

static double get(const Matrix *x, size_t i)
{
    return x->type == GEMM_F16 ? (double)f16_to_f32(((uint16_t *)x->data)[i]) : (double)((float *)x->data)[i];
}

static Matrix matrix(GemmType type, int64_t rows, int64_t cols, uint32_t count, uint64_t seed)
{
    Matrix x = {type, rows, cols, cols + 3, (size_t)(rows * (cols + 3)) + 5, 0, NULL};
    x.n = x.stride * count;
    x.data = malloc(x.n * (type == GEMM_F16 ? 2 : 4));
    for (size_t i = 0; i < x.n; i++)
        set(&x, i, (float)rng_normal(seed, i) * (i % 7 == 0 ? 0x1p-13f : 1.0f)); /* subnormal fp16 numbers too */
    return x;
}

static void one_case(int64_t m, int64_t n, int64_t k, GemmType ta, GemmType tb, GemmType tc, unsigned flags)
{
    bool at = flags & 1, bt = flags & 2, add = (flags & 4) && tc == GEMM_F32;
    uint32_t count = flags & 8 ? 3 : 1;
    Matrix a = matrix(ta, at ? k : m, at ? m : k, count, 1), b = matrix(tb, bt ? n : k, bt ? k : n, count, 2);
    Matrix start = matrix(tc, m, n, count, 3), c = matrix(tc, m, n, count, 3), again = matrix(tc, m, n, count, 3);
    GemmIn x = {a.data, ta, at, a.ld, a.stride}, y = {b.data, tb, bt, b.ld, b.stride};
    gemm(NULL, count, m, n, k, x, y, (GemmOut){c.data, tc, add, c.ld, c.stride});
    Pool *p = pool_new(3);
    gemm(p, count, m, n, k, x, y, (GemmOut){again.data, tc, add, c.ld, c.stride});
    pool_free(p);
    cr_assert(memcmp(c.data, again.data, c.n * (tc == GEMM_F16 ? 2 : 4)) == 0, "%s: threads change bits",
              gemm_library());
    for (size_t i = 0; i < c.n; i++) {
        int64_t r = (int64_t)(i % c.stride) / c.ld, q = (int64_t)(i % c.stride) % c.ld;
        if (r >= m || q >= n) {
            cr_assert(get(&c, i) == get(&start, i), "%s: wrote outside of c", gemm_library());
            continue;
        }
        double sum = add ? get(&start, i) : 0, size = fabs(sum);
        for (int64_t l = 0; l < k; l++) {
            double z = get(&a, i / c.stride * a.stride + (size_t)(at ? l * a.ld + r : r * a.ld + l)) *
                       get(&b, i / c.stride * b.stride + (size_t)(bt ? q * b.ld + l : l * b.ld + q));
            sum += z;
            size += fabs(z);
        }
        /* an addition rounds by 2^-24 of the partial sum at most; pieces make up to six of one; products of fp32 round
         * too */
        double bound = (double)(k + 3) * 0x1p-23 * size;
        if (tc == GEMM_F16)
            bound += fabs(sum) * 0x1p-11 + 0x1p-25;
        cr_assert(fabs(get(&c, i) - sum) <= bound, "%s: %lldx%lldx%lld flags %u: %g is not %g", gemm_library(),
                  (long long)m, (long long)n, (long long)k, flags, get(&c, i), sum);
    }
    free(a.data), free(b.data), free(c.data), free(start.data), free(again.data);
}

Test(gemm, every_way_type_and_layout_agrees_with_fp64)
{
    static const int shape[][3] = {{1, 1, 1}, {9, 40, 8}, {33, 31, 65}, {70, 100, 33}};
    gemm_init();
    for (int w = 0; w < WAYS; w++) {
        if (!gemm_select(ways[w]))
            continue;
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
            for (unsigned t = 0; t < 8; t++)
                for (unsigned flags = 0; flags < 16; flags += s >= 2 ? 5 : 1)
                    one_case(shape[s][0], shape[s][1], shape[s][2], t & 1 ? GEMM_F16 : GEMM_F32,
                             t & 2 ? GEMM_F16 : GEMM_F32, t & 4 ? GEMM_F16 : GEMM_F32, flags);
        one_case(300, 64, 96, GEMM_F16, GEMM_F16, GEMM_F16, 8);
        one_case(70, 40, 1100, GEMM_F16, GEMM_F16, GEMM_F16, 1); /* depth in chunks */
        one_case(40, 70, 4500, GEMM_F32, GEMM_F32, GEMM_F32, 4); /* depth in parts */
        one_case(40, 2100, 40, GEMM_F16, GEMM_F16, GEMM_F16, 2); /* columns in parts */
    }
    gemm_select(NULL);
    scratch_trim();
}

/* Integers below 2^24 add up exactly however they are split. */
Test(gemm, sums_of_integers_are_exact)
{
    enum { M = 40, N = 33, K = 1000 };
    static uint16_t a[M * K], b[K * N];
    static float c[M * N];
    gemm_init();
    for (int i = 0; i < M * K; i++)
        a[i] = f16_from_f32((float)(i * 7 % 128 + 1024)); /* eleven significant bits: two pieces */
    for (int i = 0; i < K * N; i++)
        b[i] = f16_from_f32((float)(i * 5 % 17 - 8));
    for (int w = 0; w < WAYS; w++) {
        if (!gemm_select(ways[w]))
            continue;
        gemm(NULL, 1, M, N, K, (GemmIn){a, GEMM_F16, false, K, 0}, (GemmIn){b, GEMM_F16, false, N, 0},
             (GemmOut){c, GEMM_F32, false, N, 0});
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int l = 0; l < K; l++)
                    sum += (double)f16_to_f32(a[i * K + l]) * (double)f16_to_f32(b[l * N + j]);
                cr_assert_eq((double)c[i * N + j], sum);
            }
    }
    gemm_select(NULL);
    scratch_trim();
}

/* Infinity times a number is infinity, not the NaN that its pieces would make. */
Test(gemm, numbers_that_are_not_finite_stay_what_they_are)
{
    enum { M = 64, N = 40, K = 64 };
    static float a[M * K], b[K * N], c[M * N];
    static uint16_t h[M * K];
    gemm_init();
    for (int w = 0; w < WAYS; w++)
        for (int type = 0; type < 2; type++) {
            if (!gemm_select(ways[w]))
                continue;
            for (int i = 0; i < M * K; i++)
                a[i] = 1;
            for (int i = 0; i < K * N; i++)
                b[i] = (float)(i % N + 1);
            a[3 * K + 5] = INFINITY, a[7 * K + 1] = NAN;
            for (int i = 0; i < M * K; i++)
                h[i] = f16_from_f32(a[i]);
            gemm(NULL, 1, M, N, K, (GemmIn){type ? (void *)h : (void *)a, type ? GEMM_F16 : GEMM_F32, false, K, 0},
                 (GemmIn){b, GEMM_F32, false, N, 0}, (GemmOut){c, GEMM_F32, false, N, 0});
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++)
                    cr_assert(i == 3   ? isinf(c[i * N + j])
                              : i == 7 ? isnan(c[i * N + j])
                                       : c[i * N + j] == (float)(K * (j + 1)));
        }
    gemm_select(NULL);
    scratch_trim();
}

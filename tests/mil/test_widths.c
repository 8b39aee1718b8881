/* test_widths.c: how far apart the two widths of sums are: the bound that programs are judged by.
 *
 * Let u = 2^-11 and w = 2^-24 be the unit roundoffs of fp16 and fp32, and A = sum |x| over the n elements of a row.
 *
 * Strict: eight lanes of m = ceil(n / 8) elements at most, every partial sum rounded to fp16, then three levels of
 * pairs. An element passes at most h = (m - 1) + 3 rounded additions (the first one of a lane adds to zero, which is
 * exact), so (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 4.2)
 *     |strict - sum| <= g(h, u) A,    g(h, u) = h u / (1 - h u).
 * It holds down to zero, for additions with a subnormal result are exact, and as long as h u < 1 and nothing overflows.
 *
 * Lenient: n - 1 additions in fp32 in some order, and one rounding to fp16 at the end:
 *     |lenient - sum| <= g(n - 1, w) A + u (1 + g(n - 1, w)) A + 2^-25,
 * the last for sums that are subnormal. The two are apart by no more than the sum of both, E(n) A + 2^-25.
 *
 * A product with ones is the same in both modes, for any n: that is what plans use. */
#include "mil_test.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static double grown(double h, double u)
{
    return h * u / (1 - h * u);
}

static double strict_bound(int n)
{
    return grown((n + 7) / 8 - 1 + 3, 0x1p-11);
}

static double lenient_bound(int n)
{
    return grown(n - 1, 0x1p-24) + 0x1p-11 * (1 + grown(n - 1, 0x1p-24));
}

enum { ROWS = 16 };

typedef struct {
    uint64_t key;
    bool     positive;
} Draw;

static void draw(void *context, uint32_t port, double *x, size_t n)
{
    const Draw *d = context;
    for (size_t i = 0; i < n; i++)
        x[i] = port ? 1 : d->positive ? rng_uniform(d->key, i) : rng_normal(d->key, i);
}

/* Sums of ROWS rows of n elements: [ROWS] of them, and the rows as the device saw them. */
static void sums(const char *text, ReduceMode reduce, Draw *d, double *sum, double *x, int n)
{
    MilRun r;
    mil_run(&r, text, NUMERICS_ANE, reduce, NULL, 0, draw, d);
    cr_assert(r.ok, "%s", r.err.data);
    memcpy(sum, r.out[0], ROWS * sizeof *sum);
    memcpy(x, r.in[0], (size_t)ROWS * (size_t)n * sizeof *x);
    mil_run_free(&r);
}

static const int lengths[] = {1, 2, 7, 8, 9, 64, 100, 768, 2048, 4096};

Test(widths, narrow_and_wide_sums_are_as_far_apart_as_derived)
{
    uint32_t apart = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int positive = 0; positive < 2; positive++) {
            int    n = lengths[i];
            Draw   d = {rng_key(1, "widths") + (uint64_t)n, positive};
            char   text[512];
            double strict[ROWS], lenient[ROWS], worst = 0, *x = xcalloc((size_t)ROWS * (size_t)n, sizeof *x);
            snprintf(text, sizeof text,
                     PROGRAM("tensor<fp16, [%d, %d]> x",
                             H("16, 1") "y = reduce_sum(x = x, axes = [1], keep_dims = true);", "y"),
                     (int)ROWS, n);
            sums(text, REDUCE_STRICT, &d, strict, x, n);
            sums(text, REDUCE_LENIENT, &d, lenient, x, n);
            for (int row = 0; row < ROWS; row++) {
                double a = 0, s = 0;
                for (int k = 0; k < n; k++) {
                    s += x[row * n + k];
                    a += fabs(x[row * n + k]);
                }
                cr_expect_leq(fabs(strict[row] - s), strict_bound(n) * a, "strict, %d elements", n);
                cr_expect_leq(fabs(lenient[row] - s), lenient_bound(n) * a + 0x1p-25, "lenient, %d elements", n);
                cr_expect_leq(fabs(strict[row] - lenient[row]), (strict_bound(n) + lenient_bound(n)) * a + 0x1p-25);
                worst = fmax(worst, fabs(strict[row] - lenient[row]) / a / (strict_bound(n) + lenient_bound(n)));
                apart += strict[row] != lenient[row];
            }
            fprintf(stderr, "%4d %-8s elements: apart by %.3f of the bound\n", n, positive ? "positive" : "normal",
                    worst);
            free(x);
        }
    cr_expect_gt(apart, 100, "the two widths must differ somewhere");
}

Test(widths, products_with_ones_have_one_width)
{
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int    n = lengths[i];
        Draw   d = {rng_key(2, "widths") + (uint64_t)n, true};
        char   text[512];
        double strict[ROWS], lenient[ROWS], *x = xcalloc((size_t)ROWS * (size_t)n, sizeof *x);
        snprintf(text, sizeof text,
                 PROGRAM("tensor<fp16, [%d, %d]> x, tensor<fp16, [%d, 1]> y",
                         H("16, 1") "z = matmul(x = x, y = y, transpose_x = false, transpose_y = false);", "z"),
                 (int)ROWS, n, n);
        sums(text, REDUCE_STRICT, &d, strict, x, n);
        sums(text, REDUCE_LENIENT, &d, lenient, x, n);
        cr_expect(memcmp(strict, lenient, sizeof strict) == 0);
        for (int row = 0; row < ROWS; row++) {
            double s = 0;
            for (int k = 0; k < n; k++)
                s += x[row * n + k];
            cr_expect_leq(fabs(strict[row] - s), lenient_bound(n) * s + 0x1p-25, "%d elements", n);
        }
        free(x);
    }
}

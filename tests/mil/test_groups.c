/* test_groups.c: values that are parts of others, and calls that run tile by tile, keep the meaning of the text.
 * Numbers are small integers, so every result is exact and compared with ==. */
#include "mil_test.h"

#include <criterion/criterion.h>

enum { ROWS = 64, COLS = 256, N = ROWS * COLS }; /* several tiles */
#define X H("1, 64, 1, 256")

static void small_integers(void *context, uint32_t port, double *x, size_t n)
{
    (void)context;
    for (size_t i = 0; i < n; i++)
        x[i] = (double)((i * 7 + i / 256 + port) % 13);
}

static void evaluate(MilRun *r, const char *text)
{
    mil_run(r, text, NUMERICS_ANE, REDUCE_STRICT, NULL, 0, small_integers, NULL);
    cr_assert(r->ok, "%s", r->err.data);
}

/* The first row of a result is broadcast over the next call: all of it must be there before. */
Test(mil_groups, a_broadcast_of_a_result_waits_for_it)
{
    static const char text[] = PROGRAM(X "x", X "a = add(x = x, y = x);\n" X "b = mul(x = a, y = x);\n"
        H("1, 1, 1, 256") "s = slice_by_size(x = b, begin = [0, 63, 0, 0], size = [1, 1, 1, 256]);\n"
        X "c = sub(x = b, y = s);\n" X "d = add(x = c, y = a);", "d");
    MilRun r;
    evaluate(&r, text);
    for (size_t i = 0; i < N; i++) {
        double x = r.in[0][i], last = r.in[0][N - COLS + i % COLS];
        cr_assert_eq(r.out[0][i], 2 * x * x - 2 * last * last + 2 * x, "element %zu", i);
    }
    mil_run_free(&r);
}

/* Parts outlive the names they were cut from, may be parts of parts, and may be returned, inputs included. */
Test(mil_groups, parts_live_as_long_as_they_are_used)
{
    static const char text[] = PROGRAM(X "x", X "a = add(x = x, y = x);\n"
        H("1, 32, 2, 256") "r = reshape(x = a, shape = [1, 32, 2, 256]);\n"
        H("1, 16, 2, 256") "p = slice_by_size(x = r, begin = [0, 16, 0, 0], size = [1, 16, 2, 256]);\n"
        H("1, 32, 1, 256") "q = reshape(x = p, shape = [1, 32, 1, 256]);\n"
        X "b = mul(x = x, y = x);\n" X "c = add(x = b, y = b);\n" X "d = sub(x = c, y = b);\n"
        H("1, 32, 1, 256") "e = add(x = q, y = fp16(0x1p0));\n"
        H("1, 2, 1, 256") "f = slice_by_size(x = x, begin = [0, 5, 0, 0], size = [1, 2, 1, 256]);", "d, e, f, q");
    MilRun r;
    evaluate(&r, text);
    const double *x = r.in[0];
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(r.out[0][i], x[i] * x[i], "d, element %zu", i);
    for (size_t i = 0; i < N / 2; i++) {
        cr_assert_eq(r.out[1][i], 2 * x[N / 2 + i] + 1, "e, element %zu", i);
        cr_assert_eq(r.out[3][i], 2 * x[N / 2 + i], "q, element %zu", i);
    }
    for (size_t i = 0; i < 2 * COLS; i++)
        cr_assert_eq(r.out[2][i], x[5 * COLS + i], "f, element %zu", i);
    mil_run_free(&r);
}

/* A chain long enough to reuse memory many times over, with rows whose length no tile is a multiple of. */
Test(mil_groups, chains_of_odd_rows)
{
    static const char text[] = PROGRAM(H("1, 57, 1, 101") "x, " H("1, 57, 1, 1") "g",
        H("1, 57, 1, 101") "a = mul(x = x, y = g);\n" H("1, 57, 1, 101") "b = add(x = a, y = x);\n"
        H("1, 57, 1, 101") "c = sub(x = b, y = g);\n" H("1, 57, 1, 101") "d = maximum(x = c, y = a);\n"
        H("1, 57, 1, 101") "e = relu(x = d);\n" H("1, 57, 1, 101") "s = softmax(x = e, axis = -1);\n"
        H("1, 57, 1, 101") "h = sub(x = e, y = a);", "h, s");
    MilRun r;
    evaluate(&r, text);
    for (size_t i = 0; i < 57; i++) {
        double sum = 0;
        for (size_t k = 0; k < 101; k++) {
            double x = r.in[0][i * 101 + k], g = r.in[1][i], a = x * g, c = a + x - g;
            cr_assert_eq(r.out[0][i * 101 + k], (c > a ? c : a) - a, "row %zu, element %zu", i, k);
            sum += r.out[1][i * 101 + k];
        }
        cr_assert_float_eq(sum, 1, 2e-2, "row %zu sums to %g", i, sum);
    }
    mil_run_free(&r);
    check_same(text);
}

/* test_ops.c: runs the case tables, walks the operation table for rows without a case, and pins down the two widths of
 * sums. */
#include "mil_test.h"

#include "base/f16.h"
#include "mil/mil_check.h"

#include <criterion/criterion.h>
#include <string.h>

Test(mil_ops, along_axes_and_contractions)
{
    for (size_t i = 0; i < axis_cases.count; i++)
        check_case(&axis_cases.item[i]);
}

Test(mil_ops, moving_elements)
{
    for (size_t i = 0; i < move_cases.count; i++)
        check_case(&move_cases.item[i]);
}

static bool covered(const OpCases *t, const char *op)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->item[i].op, op) == 0)
            return true;
    return false;
}

Test(mil_ops, every_operation_of_the_table_has_a_case)
{
    for (const OpInfo *op = mil_op_info; op->name; op++)
        cr_expect(covered(&axis_cases, op->name) || covered(&move_cases, op->name) || elem_covers(op->name),
                  "no numeric case for '%s'", op->name);
}

/* ---- strict and lenient sums ---------------------------------------------------------------------------------- */

static void ones(void *context, uint32_t port, double *x, size_t n)
{
    (void)port;
    for (size_t i = 0; i < n; i++)
        x[i] = *(double *)context;
}

static double sum_of(const char *text, double each, Numerics numerics, ReduceMode reduce)
{
    MilRun r;
    mil_run(&r, text, numerics, reduce, NULL, 0, ones, &each);
    cr_assert(r.ok, "%s", r.err.data);
    double y = r.out[0][0];
    mil_run_free(&r);
    return y;
}

/* What the documentation promises: eight lanes, each sequential in fp16, then pairwise. */
static double lanes(double each, int n)
{
    double acc[8] = {0};
    for (int i = 0; i < n; i++)
        acc[i % 8] = f16_round_f64(acc[i % 8] + each);
    for (int step = 1; step < 8; step *= 2)
        for (int l = 0; l < 8; l += 2 * step)
            acc[l] = f16_round_f64(acc[l] + acc[l + step]);
    return acc[0];
}

#define LAST PROGRAM(H("1, 20001") "x", H("1, 1") "y = reduce_sum(x = x, axes = [1], keep_dims = true);", "y")
#define CHANNELS                                                                                                       \
    PROGRAM(H("1, 20001, 1, 3") "x", H("1, 1, 1, 3") "y = reduce_sum(x = x, axes = [1], keep_dims = true);", "y")

Test(mil_ops, strict_sums_are_narrow_and_lenient_ones_wide)
{
    for (int i = 0; i < 2; i++) {
        const char *text = i ? CHANNELS : LAST;
        double      e = f16_round_f64(0.3), n = 20001;
        cr_expect_eq(sum_of(text, e, NUMERICS_ANE, REDUCE_STRICT), lanes(e, 20001));
        cr_expect(steps16(sum_of(text, e, NUMERICS_ANE, REDUCE_LENIENT), e * n) <= 1);
        cr_expect_float_eq(sum_of(text, e, NUMERICS_EXACT, REDUCE_STRICT), e * n, 1e-6);
        cr_expect(lanes(e, 20001) != f16_round_f64(e * n), "the two widths must differ here");
    }
}

Test(mil_ops, a_matmul_by_ones_sums_wide)
{
    static const char text[] =
        PROGRAM(H("1, 16384") "x, " H("16384, 1") "y",
                H("1, 1") "z = matmul(x = x, y = y, transpose_x = false, transpose_y = false);", "z");
    cr_assert_eq(sum_of(text, 1, NUMERICS_ANE, REDUCE_STRICT), 16384);
}

Test(mil_ops, exp_overflows_to_infinity_where_fp16_does)
{
    static const char text[] = PROGRAM(H("2") "x", H("2") "y = exp(x = x);", "y");
    cr_assert(sum_of(text, 11.0859375, NUMERICS_ANE, REDUCE_STRICT) < 65504);
    cr_assert(sum_of(text, 11.09375, NUMERICS_ANE, REDUCE_STRICT) > 65504);
}

Test(mil_ops, an_index_outside_is_an_error_and_no_crash)
{
    static const char text[] =
        PROGRAM(H("2, 3") "x, tensor<int32, [2]> i",
                H("2, 2") "y = gather(x = x, indices = i, axis = 1, batch_dims = 0, validate_indices = false);", "y");
    MilRun r;
    double three = 3;
    mil_run(&r, text, NUMERICS_ANE, REDUCE_STRICT, NULL, 0, ones, &three);
    cr_assert_not(r.ok);
    cr_assert(strstr(r.err.data, "index 3 into an axis of extent 3") != NULL);
    mil_run_free(&r);
}

Test(mil_ops, large_integers_are_refused_where_they_would_change)
{
    static const char text[] = PROGRAM("tensor<int32, [1]> x", "tensor<int32, [1]> y = add(x = x, y = int32(1));", "y");
    MilRun r;
    double big = 16777217;
    mil_run(&r, text, NUMERICS_ANE, REDUCE_STRICT, NULL, 0, ones, &big);
    cr_assert(!r.ok && strstr(r.err.data, "2^24") != NULL);
    mil_run_free(&r);
    cr_assert_eq(sum_of(text, big, NUMERICS_EXACT, REDUCE_STRICT), 16777218);
}

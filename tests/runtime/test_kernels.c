/* test_kernels.c: every CPU operation against the plain fp64 loops of reference.c, run the way plans run it.
 *
 * A case is one step of a manifest. Operands a, b, c are reals, i, j, k integers, bare numbers are themselves; the
 * result y is real, n an integer. Around it a manifest is made and executed: once writing into a buffer, once (for
 * reals) adding into a gradient that already holds something. */
#include "base/file.h"
#include "base/rng.h"
#include "exec.h"
#include "kernels.h"
#include "plan/plan_ops.h"
#include "reference.h"
#include "vmath.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `low`, `high`: range of the reals; `limit`: integers are 0 .. limit - 1. */
static const struct {
    const char *step;
    double      low, high;
    int         limit;
} cases[] = {
    {"add y:7x3 <- a:7x3, b:7x3", -2, 2, 0},
    {"add y:5000 <- a:5000, 0.25:5000", -2, 2, 0},
    {"add n:9 <- i:9, j:9", 0, 0, 40},
    {"add y:scalar <- a:scalar, b:scalar", -2, 2, 0},
    {"sub y:2049 <- 1.5:2049, b:2049", -2, 2, 0},
    {"sub n:1x5 <- i:1x5, 3:1x5", 0, 0, 40},
    {"mul y:33 <- a:33, b:33", -2, 2, 0},
    {"mul n:33 <- i:33, j:33", 0, 0, 40},
    {"div y:33 <- a:33, b:33", 0.5, 2, 0},
    {"div n:33 <- i:33, 7:33", 0, 0, 100},
    {"max y:4x9 <- a:4x9, b:4x9", -2, 2, 0},
    {"max n:40 <- i:40, j:40", 0, 0, 7},
    {"min y:4x9 <- a:4x9, 0:4x9", -2, 2, 0},
    {"min n:40 <- i:40, j:40", 0, 0, 7},
    {"neg y:1 <- a:1", -2, 2, 0},
    {"exp y:3001 <- a:3001", -20, 20, 0},
    {"exp y:5 <- 1.0:5", -20, 20, 0},
    {"log y:300 <- a:300", 0.01, 20, 0},
    {"sqrt y:300 <- a:300", 0, 20, 0},
    {"rsqrt y:300 <- a:300", 0.01, 20, 0},
    {"tanh y:3000 <- a:3000", -3, 3, 0},
    {"sigmoid y:3000 <- a:3000", -9, 9, 0},
    {"powc y:300 <- a:300 exponent 1.0", 0.5, 2, 0},
    {"powc y:300 <- a:300 exponent 2.0", -2, 2, 0},
    {"powc y:300 <- a:300 exponent 3.0", -2, 2, 0},
    {"powc y:300 <- a:300 exponent -1.0", 0.5, 2, 0},
    {"powc y:300 <- a:300 exponent 0.5", 0.5, 2, 0},
    {"powc y:300 <- a:300 exponent -0.5", 0.5, 2, 0},
    {"powc y:300 <- a:300 exponent 1.7", 0.5, 2, 0},
    {"cmp n:40 <- a:40, b:40 lt", -2, 2, 0},
    {"cmp n:40 <- a:40, 0.0:40 ge", -2, 2, 0},
    {"cmp n:40 <- i:40, j:40 eq", 0, 0, 3},
    {"cmp n:40 <- 1:40, j:40 ne", 0, 0, 3},
    {"cmp n:40 <- i:40, j:40 gt", 0, 0, 3},
    {"cmp n:40 <- i:40, j:40 le", 0, 0, 3},
    {"select y:8x5 <- i:8x5, a:8x5, b:8x5", -2, 2, 2},
    {"select y:8x5 <- i:8x5, a:8x5, -1.5:8x5", -2, 2, 2},
    {"select n:8 <- i:8, j:8, 5:8", 0, 0, 2},
    {"cast y:30 <- i:30", 0, 0, 1000},
    {"cast n:30 <- a:30", -50, 50, 0},
    {"cast y:30 <- a:30", -50, 50, 0},
    {"iota n:17 <-", 0, 0, 0},
    {"sum y:1x1 <- a:13x77 axes 0 1", -2, 2, 0},
    {"sum y:13x1 <- a:13x77 axes 1", -2, 2, 0},
    {"sum y:1x77 <- a:13x77 axes 0", -2, 2, 0},
    {"sum y:13x77 <- a:13x77 axes", -2, 2, 0},
    {"sum y:3x1x5x1 <- a:3x4x5x6 axes 1 3", -2, 2, 0},
    {"sum y:1x4x1x6 <- a:3x4x5x6 axes 0 2", -2, 2, 0},
    {"sum y:1x1x1 <- a:1x1x1 axes 0 2", -2, 2, 0},
    {"sum y:scalar <- a:scalar axes", -2, 2, 0},
    {"sum y:1 <- 0.5:100 axes 0", -2, 2, 0},
    {"amax y:1x1 <- a:13x77 axes 0 1", -2, 2, 0},
    {"amax y:13x1 <- a:13x77 axes 1", -9, -2, 0},
    {"amax y:1x77 <- a:13x77 axes 0", -2, 2, 0},
    {"amax y:3x1x5x1 <- a:3x4x5x6 axes 1 3", -2, 2, 0},
    {"softmax y:6x33 <- a:6x33 axis 1", -9, 9, 0},
    {"softmax y:6x33 <- a:6x33 axis 0", -9, 9, 0},
    {"softmax y:7x600 <- a:7x600 axis 0", -9, 9, 0},
    {"softmax y:3x4x5 <- a:3x4x5 axis 1", 200, 300, 0},
    {"softmax y:1 <- a:1 axis 0", -9, 9, 0},
    {"matmul y:5x7 <- a:5x11, b:11x7", -2, 2, 0},
    {"matmul y:5x7 <- a:11x5, b:11x7 ta", -2, 2, 0},
    {"matmul y:5x7 <- a:5x11, b:7x11 tb", -2, 2, 0},
    {"matmul y:5x7 <- a:11x5, b:7x11 ta tb", -2, 2, 0},
    {"matmul y:3x2x5x7 <- a:3x2x5x11, b:3x2x11x7", -2, 2, 0},
    {"matmul y:3x1x7 <- a:3x1x1, b:3x7x1 tb", -2, 2, 0},
    {"matmul y:1x1 <- a:1x300, 0.5:300x1", -2, 2, 0},
    {"matmul y:130x70 <- a:65x130, b:65x70 ta", -2, 2, 0},
    {"colscale y:13x77 <- a:13x77, b:77", -2, 2, 0},
    {"colscale y:3x1 <- a:3x1, b:1x1", -2, 2, 0},
    {"colscale y:4x600 <- a:4x600, 0.5:1x600", -2, 2, 0},
    {"rowscale y:13x77 <- a:13x77, b:13x1", -2, 2, 0},
    {"rowscale y:1x5 <- a:1x5, b:1", -2, 2, 0},
    {"coldot y:77 <- a:13x77, b:13x77", -2, 2, 0},
    {"coldot y:1x1100 <- a:9x1100, b:9x1100", -2, 2, 0},
    {"coldot y:1x3 <- a:1x3, b:1x3", -2, 2, 0},
    {"rowdot y:13 <- a:13x77, b:13x77", -2, 2, 0},
    {"rowdot y:9x1 <- a:9x1100, b:9x1100", -2, 2, 0},
    {"reshape y:6x4 <- a:3x8", -2, 2, 0},
    {"reshape n:6x4 <- i:24", 0, 0, 50},
    {"reshape y:6x400 <- 3.5:2400", -2, 2, 0},
    {"transpose y:7x5 <- a:5x7 perm 1 0", -2, 2, 0},
    {"transpose y:70x51 <- a:51x70 perm 1 0", -2, 2, 0},
    {"transpose y:5x2x3 <- a:2x3x5 perm 2 0 1", -2, 2, 0},
    {"transpose y:3x2x5 <- a:2x3x5 perm 1 0 2", -2, 2, 0},
    {"transpose y:5x3x2 <- a:2x3x5 perm 2 1 0", -2, 2, 0},
    {"transpose y:4x19x3x18 <- a:3x4x18x19 perm 1 3 0 2", -2, 2, 0},
    {"transpose y:1x5x1 <- a:1x1x5 perm 0 2 1", -2, 2, 0},
    {"transpose n:7x5 <- i:5x7 perm 1 0", 0, 0, 99},
    {"broadcast y:4x6 <- a:4x1", -2, 2, 0},
    {"broadcast y:4x6 <- a:1x6", -2, 2, 0},
    {"broadcast y:4x6 <- a:1x1", -2, 2, 0},
    {"broadcast y:2x3x4x5 <- a:2x1x4x1", -2, 2, 0},
    {"broadcast y:2x3x4x5 <- a:1x3x1x5", -2, 2, 0},
    {"broadcast y:4x6 <- a:4x6", -2, 2, 0},
    {"slice y:2x3 <- a:5x7 from 1 2 to 3 5", -2, 2, 0},
    {"slice y:5x7 <- a:5x7 from 0 0 to 5 7", -2, 2, 0},
    {"slice y:3x4x1 <- a:3x9x5 from 0 2 4 to 3 6 5", -2, 2, 0},
    {"pad y:6x9 <- a:5x7 before 0 2 after 1 0", -2, 2, 0},
    {"pad y:3 <- a:3 before 0 after 0", -2, 2, 0},
    {"pad y:2x4x7 <- a:1x4x5 before 1 0 0 after 0 0 2", -2, 2, 0},
    {"concat y:9x4 <- a:3x4, b:5x4, c:1x4 axis 0", -2, 2, 0},
    {"concat y:3x9 <- a:3x4, 7.0:3x2, c:3x3 axis 1", -2, 2, 0},
    {"concat y:2x5x3 <- a:2x1x3, b:2x4x3 axis 1", -2, 2, 0},
    {"concat n:5 <- i:2, j:3 axis 0", 0, 0, 99},
    {"gather y:6x3 <- a:9x3, i:6", -2, 2, 9},
    {"gather y:2x3x4x5 <- a:9x4x5, i:2x3", -2, 2, 9},
    {"gather y:scalar <- a:9, i:scalar", -2, 2, 9},
    {"gather n:4 <- i:9, j:4", 0, 0, 9},
    {"scatter_add y:4x3 <- i:20, a:20x3", -2, 2, 4},
    {"scatter_add y:9x4 <- i:2x3, a:2x3x4", -2, 2, 9},
    {"scatter_add y:3 <- i:5, 1.0:5", -2, 2, 3},
    {"xent y:300 <- a:11x300, i:300 axis 0", -9, 9, 11},
    {"xent y:5 <- a:5x333, i:5 axis 1", -9, 9, 333},
    {"xent y:2x4 <- a:2x70x4, i:2x4 axis 1", 500, 600, 70},
    {"xent y:scalar <- a:7, i:scalar axis 0", -9, 9, 7},
    {"xent_grad y:11x300 <- a:11x300, i:300, b:300 axis 0", -9, 9, 11},
    {"xent_grad y:5x333 <- a:5x333, i:5, b:5 axis 1", -9, 9, 333},
    {"xent_grad y:2x70x4 <- a:2x70x4, i:2x4, 0.25:2x4 axis 1", -9, 9, 70},
    {"splice y:3x8 <- a:3x8, b:3x2, i:1 axis 1", -2, 2, 7},
    {"splice y:8x3 <- a:8x3, b:1x3, i:scalar axis 0", -2, 2, 8},
    {"splice n:8 <- i:8, j:8, 0:1 axis 0", 0, 0, 8},
};

/* Names of the buffers a step mentions, in order of appearance, with their shapes: "name:shape" without spaces. */
static void declare(const char *step, Buf *manifest, bool grad)
{
    char seen[16] = {0};
    for (const char *s = strchr(step, ' '); (s = strchr(s, ':')); s++) {
        char        name = s[-1];
        const char *stop = s + 1 + strcspn(s + 1, ", ");
        if (name < 'a' || name > 'z' || strchr(seen, name))
            continue;
        seen[strlen(seen)] = name;
        if (name == 'y' && grad)
            buf_printf(manifest, "param y {\n  shape %.*s\n  init zeros\n}\n", (int)(stop - s - 1), s + 1);
        else
            buf_printf(manifest, "buffer %c %s %.*s\n", name, strchr("ijkn", name) ? "i32" : "f32", (int)(stop - s - 1),
                       s + 1);
    }
    buf_puts(manifest, "entry main {\n");
    for (const char *v = seen; *v; v++)
        if (*v != 'y' && *v != 'n')
            buf_printf(manifest, "  input %c %s %c\n", *v, strchr("ijk", *v) ? "int" : "real", *v);
    if (grad) {
        const char *y = strstr(step, "y:");
        buf_printf(manifest, "  forward {\n  }\n  backward {\n    %.*sgrad %s\n  }\n}\n", (int)(y - step), step, y);
    } else
        buf_printf(manifest, "  result \"\" %c\n  forward {\n    %s\n  }\n}\n", strchr(step, ' ')[1], step);
}

typedef struct {
    Arena  *arena;
    Device *device;
    Plan   *plan;
    Exec   *exec;
    double *in[8];
    double *want;
    Buf     err;
} Bench;

static Bench bench(const char *step, bool grad, double low, double high, int limit)
{
    Bench b = {.arena = arena_new()};
    Buf   text = {0};
    buf_puts(&text, "anep 1.0\n");
    declare(step, &text, grad);
    b.device = device_open("host", &(DeviceOptions){0}, &b.err);
    b.plan = plan_parse(b.arena, "case", text.data, text.len, &b.err);
    cr_assert(b.plan != NULL, "%s\n%s", b.err.data, text.data);
    b.exec = exec_open(b.plan, "", b.device, NULL, &b.err);
    cr_assert(b.exec != NULL, "%s", b.err.data);
    PlanEntry *e = &b.plan->entry[0];
    Step      *s = grad ? &e->backward[0] : &e->forward[0];
    uint64_t   key = rng_key(7, step);
    for (uint32_t k = 0; k < e->inputs; k++) {
        int64_t n = plan_numel(b.plan->buffer[e->input[k].buffer].shape);
        void   *to = exec_input(b.exec, 0, k);
        for (int64_t i = 0; i < n; i++) {
            double u = rng_uniform(key + k, (uint64_t)i);
            if (e->input[k].kind == IN_INT)
                ((int32_t *)to)[i] = (int32_t)(u * limit);
            else
                ((float *)to)[i] = (float)(low + u * (high - low));
        }
    }
    for (uint32_t k = 0; k < s->ins; k++) {
        const Ref *r = &s->in[k];
        int64_t    n = plan_numel(r->shape);
        b.in[k] = NEW_N(b.arena, double, (size_t)n);
        for (uint32_t q = 0; q < e->inputs; q++)
            for (int64_t i = 0; i < n && r->kind == REF_BUFFER && e->input[q].buffer == r->index; i++)
                b.in[k][i] = e->input[q].kind == IN_INT ? ((int32_t *)exec_input(b.exec, 0, q))[i]
                                                        : (double)((float *)exec_input(b.exec, 0, q))[i];
        for (int64_t i = 0; i < n && r->kind == REF_SPLAT; i++)
            b.in[k][i] = r->splat;
    }
    b.want = NEW_N(b.arena, double, (size_t)plan_numel(s->out[0].shape));
    bool integers = !grad && b.plan->buffer[s->out[0].index].type == PLAN_I32;
    cr_assert(reference_run(s, b.in, integers, b.want));
    for (int64_t i = 0; integers && strcmp(s->op, "cast") == 0 && i < plan_numel(s->out[0].shape); i++)
        b.want[i] = trunc(b.want[i]);
    buf_free(&text);
    return b;
}

static void bench_end(Bench *b)
{
    exec_close(b->exec);
    device_close(b->device);
    buf_free(&b->err);
    arena_free(b->arena);
}

/* Largest deviation, relative to the largest element: sums cancel, so single elements are no measure. */
static double deviation(const double *want, const float *got, int64_t n, double offset)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs(want[i] + offset - got[i]);
        worst = d > worst || d != d ? d : worst;
        scale = fabs(want[i]) > scale ? fabs(want[i]) : scale;
    }
    return worst / scale;
}

Test(kernels, every_operation_agrees_with_plain_loops)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        Bench       b = bench(cases[i].step, false, cases[i].low, cases[i].high, cases[i].limit);
        const Step *s = &b.plan->entry[0].forward[0];
        int64_t     n = plan_numel(s->out[0].shape);
        cr_assert(exec_forward(b.exec, 0, &b.err), "%s: %s", cases[i].step, b.err.data);
        const void *y = exec_result(b.exec, 0, 0);
        if (b.plan->buffer[s->out[0].index].type == PLAN_I32)
            for (int64_t k = 0; k < n; k++)
                cr_assert_eq(((const int32_t *)y)[k], (int32_t)b.want[k], "%s [%d]", cases[i].step, (int)k);
        else {
            double d = deviation(b.want, y, n, 0);
            cr_expect(d < 2e-6, "%s: off by %g", cases[i].step, d);
        }
        bench_end(&b);
    }
}

Test(kernels, every_operation_can_add_to_a_gradient)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (strstr(cases[i].step, " n:"))
            continue;
        Bench            b = bench(cases[i].step, true, cases[i].low, cases[i].high, cases[i].limit);
        const ExecParam *y = exec_param(b.exec, 0);
        for (int round = 0; round < 2; round++) { /* the first one overwrites */
            for (size_t k = 0; k < y->numel; k++)
                y->grad[k] = 3;
            cr_assert(exec_forward(b.exec, 0, &b.err));
            cr_assert(exec_backward(b.exec, 0, &b.err), "%s: %s", cases[i].step, b.err.data);
            double d = deviation(b.want, y->grad, (int64_t)y->numel, round ? 3 : 0);
            cr_expect(d < 4e-6, "%s, pass %d: off by %g", cases[i].step, round, d);
        }
        exec_zero_grads(b.exec);
        cr_assert_eq(y->grad[0], 0.0f);
        bench_end(&b);
    }
}

Test(kernels, the_table_and_the_cases_are_complete)
{
    cr_assert_eq(kernel_count, plan_op_count);
    for (uint32_t i = 0; i < plan_op_count; i++) {
        cr_assert(kernel_find(plan_ops[i].name) != NULL, "%s", plan_ops[i].name);
        size_t n = strlen(plan_ops[i].name);
        bool   tested = false;
        for (size_t k = 0; k < COUNT(cases); k++)
            tested = tested || (strncmp(cases[k].step, plan_ops[i].name, n) == 0 && cases[k].step[n] == ' ');
        cr_assert(tested, "no case for '%s'", plan_ops[i].name);
    }
}

Test(kernels, what_may_work_in_place_does)
{
    static const char *const step[] = {"add a:40x9 <- a:40x9, b:40x9",
                                       "sub b:40x9 <- a:40x9, b:40x9",
                                       "softmax a:40x9 <- a:40x9 axis 0",
                                       "colscale a:40x9 <- a:40x9, c:9",
                                       "rowscale a:40x9 <- a:40x9, c:40",
                                       "softmax a:40x9 <- a:40x9 axis 1",
                                       "xent_grad a:40x9 <- a:40x9, i:9, c:9 axis 0",
                                       "splice a:40x9 <- a:40x9, b:3x9, j:1 axis 0",
                                       "reshape a:360 <- a:360",
                                       "select b:40x9 <- k:40x9, a:40x9, b:40x9"};
    for (size_t i = 0; i < COUNT(step); i++) {
        Bench       b = bench(step[i], false, -2, 2, 2);
        const Step *s = &b.plan->entry[0].forward[0];
        const float *y = NULL;
        for (uint32_t q = 0; q < b.plan->entry[0].inputs; q++)
            if (b.plan->entry[0].input[q].buffer == s->out[0].index)
                y = exec_input(b.exec, 0, q);
        cr_assert(exec_forward(b.exec, 0, &b.err), "%s", b.err.data);
        cr_assert_lt(deviation(b.want, y, plan_numel(s->out[0].shape), 0), 2e-6, "%s", step[i]);
        bench_end(&b);
    }
}

/* Numbers from data that fit nothing. */
Test(kernels, indices_out_of_range_are_told)
{
    static const struct {
        const char *step;
        int         limit; /* of the integers drawn */
        const char *message;
    } bad[] = {
        {"gather y:64x3 <- a:5x3, i:64", 9, "entry 'main', step 'gather' y of a, i: index"},
        {"scatter_add y:5x3 <- i:64, a:64x3", 9, "of 5 (element"},
        {"xent y:64 <- a:5x64, i:64 axis 0", 9, "step 'xent' y of a, i: class"},
        {"splice y:8 <- a:8, b:3, -1:1 axis 0", 9, "position -1 of 6"},
        {"div n:64 <- i:64, j:64", 3, "division of the integer"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        /* the reference would read out of bounds: it gets good numbers, then they are spoiled */
        Bench b = bench(i == 3 ? "splice y:8 <- a:8, b:3, 0:1 axis 0" : bad[i].step, false, 1, 2, i == 4 ? 1 : 5);
        if (i == 3) {
            bench_end(&b);
            b = (Bench){.arena = arena_new()};
            Buf text = {0};
            buf_puts(&text, "anep 1.0\n");
            declare(bad[i].step, &text, false);
            b.device = device_open("host", &(DeviceOptions){0}, &b.err);
            b.plan = plan_parse(b.arena, "case", text.data, text.len, &b.err);
            b.exec = exec_open(b.plan, "", b.device, NULL, &b.err);
            buf_free(&text);
        } else
            for (uint32_t q = 0; q < b.plan->entry[0].inputs; q++)
                if (b.plan->entry[0].input[q].kind == IN_INT)
                    for (int k = 0; k < 64; k++)
                        ((int32_t *)exec_input(b.exec, 0, q))[k] = (k * 7) % bad[i].limit;
        cr_assert(!exec_forward(b.exec, 0, &b.err), "%s", bad[i].step);
        cr_expect(strstr(b.err.data, bad[i].message) != NULL, "%s", b.err.data);
        bench_end(&b);
    }
}

Test(vmath, functions_keep_their_word)
{
    double worst = 0;
    for (float x = -87; x < 88; x += 0.00371f)
        worst = fmax(worst, fabs(exp_f32(x) / exp((double)x) - 1));
    cr_assert_lt(worst, 2e-7);
    for (float x = -103; x < -87; x += 0.01f) /* subnormal: absolute, in units of the last place */
        cr_assert_lt(fabs(exp_f32(x) - exp((double)x)), 3e-45);
    cr_assert_eq(exp_f32(0), 1.0f);
    cr_assert_eq(exp_f32(-INFINITY), 0.0f);
    cr_assert_eq(exp_f32(-1e30f), 0.0f);
    cr_assert_eq(exp_f32(88.8f), INFINITY);
    cr_assert_eq(exp_f32(INFINITY), INFINITY);
    cr_assert(isnan(exp_f32(NAN)));
    worst = 0;
    for (float x = -12; x < 12; x += 0.000731f)
        worst = fmax(worst, fabs(tanh_f32(x) / tanh((double)x) - 1));
    cr_assert_lt(worst, 4e-7);
    cr_assert_eq(tanh_f32(100), 1.0f);
    cr_assert_eq(tanh_f32(-100), -1.0f);
    cr_assert_eq(tanh_f32(1e-20f), 1e-20f);
    cr_assert(isnan(tanh_f32(NAN)));
    cr_assert_eq(sigmoid_f32(-200), 0.0f);
    cr_assert_eq(sigmoid_f32(200), 1.0f);
}

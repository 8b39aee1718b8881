/* test_widths.c: the width of sums makes no difference to a plan.
 *
 * It is not settled whether the engine adds up in fp16 when a program asks for a sum. The host device does it both
 * ways: strict, with fp16 partial sums, and lenient, in fp32. Only the reductions named in `narrow` differ between the
 * two; products, convolutions and softmax are wide in both. By how much a reduction of n elements may differ is derived
 * in tests/mil/test_widths.c: strict and lenient are at most E(n) sum |x| apart, E growing with n.
 *
 * What a plan's results may differ by follows from the lengths of its narrow reductions: every one adds its E(n) to
 * what passes through it, and without any there is nothing to pass on. Plans have none, because every sum is emitted as
 * a product with ones: the bound is zero, so loss and gradients must be the same bits. A plan that has one fails here
 * with its length, so that whoever emits it derives what it costs. */
#include "rig.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *model, *defines;
    int32_t     vocab;
} cases[] = {
    {"tiny", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80},
    {"layer768", "dim=768 hidden=96 heads=12 seq=32", 0}, /* norms over many channels */
    {"layer768", "dim=64 hidden=96 heads=4 seq=256", 0},  /* softmax over many places */
    {"stories110m", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", 80},
    {"gpt2", "dim=64 layers=2 heads=4 vocab=80 ctx=48 seq=32", 80},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 hd=32 vocab=80 seq=32", 80},
    {"parallel", "dim=64 layers=2 seq=32", 80},
    {"partial_rope", "dim=64 layers=2 rotary=8 seq=32", 80},
    {"value_residual", "dim=64 layers=3 seq=32", 80},
    {"looped", "dim=64 loops=3 seq=32", 80},
    {"unet", "dim=64 seq=32", 80},
    {"weave", "", 80},
    {"rows", "", 80},
    {"ops", "", 0},
    {"names", "", 0},
    {"hints", "", 0},
    {"uneven", "", 80},
};

/* Operations whose result depends on the width of sums (runtime/host/kernels_axis.c). A maximum does not. */
static const char *const narrow[] = {"reduce_sum",     "reduce_mean",    "reduce_l1_norm",    "reduce_l2_norm",
                                     "reduce_sum_square", "reduce_log_sum", "reduce_log_sum_exp"};

/* How many narrow reductions the text of a program has; each is told. */
static uint32_t narrow_reductions(const char *name, const char *text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT(narrow); i++) {
        char call[32];
        snprintf(call, sizeof call, "= %s(", narrow[i]);
        for (const char *at = text; (at = strstr(at, call)) != NULL; at++) {
            const char *line = at;
            while (line > text && line[-1] != '\n')
                line--;
            fprintf(stderr, "%s: %.*s\n", name, (int)strcspn(line, "\n"), line);
            count++;
        }
    }
    return count;
}

static uint32_t narrow_reductions_of_plan(Rig *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->plan->programs; i++) {
        char  *text, err[FILE_ERR_MAX];
        size_t len;
        char  *path = arena_printf(r->a, "%s/plan/mil/%s.mil", r->dir, r->plan->program[i].mil);
        cr_assert(file_read(r->a, path, &text, &len, err), "%s", err);
        count += narrow_reductions(r->plan->program[i].name, text);
    }
    return count;
}

/* Loss, then the gradients of all parameters in a row: [*n], to be freed. */
static float *train_once(Rig *r, const Graph *g, const Tensor *in, ReduceMode reduce, size_t *n)
{
    enum { LOSS_SCALE = 1024 };
    Run run = run_open(r, interned(r->m->strings, r->m->train_entry), NUMERICS_ANE, reduce);
    Buf err = {0};
    exec_zero_grads(run.exec);
    run_feed(r, &run, g, in, LOSS_SCALE);
    cr_assert(exec_forward(run.exec, run.entry, &err), "%s", err.data);
    *n = 1;
    for (uint32_t id = 0; id < exec_params(run.exec); id++)
        *n += exec_param(run.exec, id)->numel;
    float *all = xcalloc(*n, sizeof *all), *to = all + 1;
    all[0] = *(const float *)exec_result(run.exec, run.entry, 0);
    cr_assert(exec_backward(run.exec, run.entry, &err), "%s", err.data);
    for (uint32_t id = 0; id < exec_params(run.exec); id++) {
        const ExecParam *p = exec_param(run.exec, id);
        if (p->grad) /* it is trained */
            memcpy(to, p->grad, p->numel * sizeof *to);
        to += p->numel;
    }
    run_close(&run);
    return all;
}

Test(widths, the_width_of_sums_does_not_reach_a_plan)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig          r = rig_open(cases[i].model, cases[i].defines);
        const Graph *g = r.m->graph[module_entry(r.m, interned(r.m->strings, r.m->train_entry))->graph];
        Tensor      *in = rig_inputs(&r, g, cases[i].vocab);
        size_t       n, m;
        cr_assert(r.plan->programs > 0);
        cr_expect_eq(narrow_reductions_of_plan(&r), 0, "%s adds up in fp16", cases[i].model);
        float *strict = train_once(&r, g, in, REDUCE_STRICT, &n), *lenient = train_once(&r, g, in, REDUCE_LENIENT, &m);
        cr_assert_eq(n, m);
        cr_expect(memcmp(strict, lenient, n * sizeof *strict) == 0, "%s: strict and lenient differ", cases[i].model);
        free(strict);
        free(lenient);
        rig_close(&r);
    }
}

Test(widths, a_narrow_sum_would_be_seen)
{
    cr_expect_eq(narrow_reductions(
                     "p", "  tensor<fp16, [1]> y = reduce_sum(x = x)\n y = reduce_max(x = x)\n y = reduce_mean(x = x)"),
                 2);
}

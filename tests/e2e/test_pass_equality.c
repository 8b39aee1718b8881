/* test_pass_equality.c: no pass changes what a model computes.
 *
 * Every model, shrunk, runs through the pipeline up to each pass in turn; loss, gradients of all parameters, results of
 * the other entries and the states they leave are evaluated in fp64 on random data and compared with those of the model
 * as it was elaborated (differentiated, not otherwise touched). The same with each rewrite switched off. */
#include "rig.h"

#include "passes/passes.h"
#include "passes/switches.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *model, *defines;
    int32_t     vocab;
} cases[] = {
#define SMALL "dim=32 hidden=48 layers=3 heads=4 kv_heads=2 vocab=24 seq=16"
    {"tiny", SMALL, 24},
    {"layer768", "dim=32 hidden=48 heads=4 seq=16", 0},
    {"stories110m", SMALL, 24},
    {"gpt2", "dim=32 layers=3 heads=4 vocab=24 ctx=20 seq=16", 24},
    {"qwen3_0_6b", SMALL " hd=8", 24},
    {"parallel", "dim=32 layers=2 seq=16", 24},
    {"partial_rope", "dim=32 layers=2 rotary=4 seq=16", 24},
    {"value_residual", "dim=32 layers=3 seq=16", 24},
    {"looped", "dim=32 loops=3 seq=16", 24},
    {"unet", "dim=32 seq=16", 24},
    {"grouped", SMALL, 24},
    {"weave", "", 24},
    {"ops", "", 0},
    {"exprs", "", 0},
    {"hints", "", 0},
    {"stop", "", 24},
    {"kinks", "", 24},
};

static const char *const passes[] = {
#define PASS(name, run, needs, leaves, help) name,
#include "passes/passes.def"
};

static const char *const switches[] = {
#define SWITCH(name, help) #name,
#include "passes/switches.def"
};

enum { BOUND_DIGITS = 12 };

/* Everything an entry computes, in tensors: results, gradients of its parameters, states. */
typedef struct {
    const char *name[512];
    double     *v[512];
    size_t      n[512];
    uint32_t    count;
} Outcome;

static void put(Outcome *o, const char *name, double *v, Shape s)
{
    cr_assert(o->count < COUNT(o->v));
    o->name[o->count] = name;
    o->v[o->count] = v;
    o->n[o->count++] = (size_t)shape_numel(s);
}

static double **states_of(Rig *r, const Module *m)
{
    double **state = NEW_N(r->a, double *, m->states + 1u);
    for (uint32_t i = 0; i < m->states; i++) {
        int64_t n = shape_numel(m->state[i].type.shape);
        state[i] = NEW_N(r->a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            state[i][k] = sin(0.37 * (double)(k + 1) + i);
    }
    return state;
}

/* Run `g`, a graph of module `m`, whose parameters are those of the rig. */
static void run(Rig *r, const Module *m, const Graph *g, int32_t vocab, Outcome *o)
{
    EvalEnv env = {.m = m, .arena = r->a, .param = r->param, .state = states_of(r, m)};
    env.grad = NEW_N(r->a, double *, m->params + 1u);
    for (uint32_t i = 0; i < m->params; i++)
        env.grad[i] = NEW_N(r->a, double, (size_t)shape_numel(m->param[i].type.shape));
    Tensor *in = rig_inputs(r, g, vocab), *out = NEW_N(r->a, Tensor, g->outs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++)
        if (strcmp(interned(m->strings, g->input[i].name), "loss_scale") == 0)
            in[i].v[0] = 4;
        else if (strcmp(interned(m->strings, g->input[i].name), "pos") == 0)
            in[i].v[0] = 0; /* the largest piece fills the context */
    Buf err = {0};
    cr_assert(graph_eval(&env, g, in, out, &err), "%s", err.data);
    for (uint32_t i = 0; i < g->outs; i++)
        put(o, "a result", out[i].v, out[i].type.shape);
    for (uint32_t i = 0; i < m->params; i++)
        put(o, interned(m->strings, m->param[i].path), env.grad[i], m->param[i].type.shape);
    for (uint32_t i = 0; i < m->states; i++)
        put(o, interned(m->strings, m->state[i].path), env.state[i], m->state[i].type.shape);
}

static double apart(const double *x, const double *y, size_t n)
{
    double d = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            return HUGE_VAL;
        d = fmax(d, fabs(x[i] - y[i]));
        size = fmax(size, fabs(x[i]));
    }
    return d / size;
}

static bool is_trained(const Module *m, uint32_t entry)
{
    return m->entry[entry].name == m->train_entry;
}

/* What the entries compute, as elaborated. */
static Outcome reference(Rig *r, int32_t vocab)
{
    Outcome o = {.count = 0};
    Diags  *ds = diags_new(r->a, r->m->sources, "test");
    for (uint32_t e = 0; e < r->m->entries; e++) {
        const Graph *g = r->m->graph[r->m->entry[e].graph];
        if (is_trained(r->m, e))
            g = autodiff(r->m, g, ds);
        cr_assert(g != NULL);
        run(r, r->m, g, vocab, &o);
    }
    return o;
}

/* Before differentiation there are no gradients: they are compared from `autodiff` on. */
static void same_after(Rig *r, const Outcome *want, const char *model, const char *defines, int32_t vocab,
                       const char *pass, uint64_t off, const char *what)
{
    Outcome got = {.count = 0};
    Diags  *ds;
    Module *m = rig_elaborate(r->a, model, defines, &ds);
    m->off = off;
    cr_assert(passes_run(m, &(PassOptions){.diags = ds, .stop_after = pass}), "%s: %s", model, pass);
    bool differentiated = false;
    for (size_t i = 0; i < COUNT(passes) && strcmp(passes[i], pass) != 0; i++)
        differentiated = differentiated || strcmp(passes[i], "autodiff") == 0;
    differentiated = differentiated || strcmp(pass, "autodiff") == 0;
    for (uint32_t e = 0; e < m->entries; e++) {
        const Graph *g = m->graph[m->entry[e].graph];
        if (is_trained(m, e) && !differentiated)
            g = autodiff(m, g, ds);
        run(r, m, g, vocab, &got);
    }
    cr_assert_eq(got.count, want->count);
    for (uint32_t i = 0; i < got.count; i++) {
        double d = apart(want->v[i], got.v[i], got.n[i]);
        cr_expect(d <= pow(10, -BOUND_DIGITS), "%s, %s: %s is off by %.2g of its maximum", model, what, got.name[i], d);
    }
}

Test(pass_equality, of_every_pass_on_every_model)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig     r = rig_model(cases[i].model, cases[i].defines);
        Outcome want = reference(&r, cases[i].vocab);
        for (size_t k = 0; k < COUNT(passes); k++)
            same_after(&r, &want, cases[i].model, cases[i].defines, cases[i].vocab, passes[k], 0, passes[k]);
        rig_close(&r);
    }
}

Test(pass_equality, with_each_rewrite_off)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig     r = rig_model(cases[i].model, cases[i].defines);
        Outcome want = reference(&r, cases[i].vocab);
        for (Switch k = 0; k < SWITCH_COUNT; k++)
            same_after(&r, &want, cases[i].model, cases[i].defines, cases[i].vocab, "place", UINT64_C(1) << k,
                       switches[k]);
        same_after(&r, &want, cases[i].model, cases[i].defines, cases[i].vocab, "place", ~UINT64_C(0),
                   "all rewrites off");
        rig_close(&r);
    }
}

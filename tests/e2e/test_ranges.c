/* test_ranges.c: what the range analysis says of whole models is held against evaluation in fp64.
 *
 * Guarantees must hold for any parameters, inputs and states: they are tried as initialised, and with wild ones.
 * Estimates are for initialised parameters only, and are guesses: most must be within a factor of FACTOR of what is
 * measured. */
#include "rig.h"

#include "base/rng.h"
#include "passes/passes.h"
#include "passes/range.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *model, *defines; /* the last ones are of tests/e2e/models/ */
} cases[] = {
    {"tiny", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32"},
    {"layer768", "dim=64 hidden=96 heads=4 seq=32"},
    {"stories110m", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32"},
    {"gpt2", "dim=64 layers=2 heads=4 vocab=80 ctx=48 seq=32"},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 hd=32 vocab=80 seq=32"},
    {"parallel", "dim=64 layers=2 seq=32"},
    {"partial_rope", "dim=64 layers=2 rotary=8 seq=32"},
    {"value_residual", "dim=64 layers=3 seq=32"},
    {"looped", "dim=64 loops=3 seq=32"},
    {"unet", "dim=64 seq=32"},
    {"weave", ""},
    {"rows", ""},
    {"ops", ""},
    {"names", ""},
    {"hints", ""},
    {"uneven", ""},
    {"kinks", ""},
};

enum { SHIPPED = 10 };

#define FACTOR 4.0 /* an estimate is good if it is within this factor of what is measured, either way ... */
/* ... which this share of the engine's values must be: of a model that ships, and of those that try odd things. */
#define MOST 0.97
#define MOST_ODD 0.88

typedef struct {
    double lo, hi, squares, count; /* masked elements do not count as squares */
} Seen;

typedef struct {
    const Ranges *r;
    const char   *model;
    Seen        **seen; /* [graph][value] */
    uint32_t      outside;
} Watch;

static void watch(void *watcher, const Graph *g, ValueId v, const Tensor *x)
{
    Watch          *w = watcher;
    const RangeRow *row = &w->r->row[g->id][v];
    Seen           *s = &w->seen[g->id][v];
    if (g->node[v].type.dtype == DT_NONE)
        return;
    for (int64_t i = 0; i < shape_numel(x->type.shape); i++) {
        double y = x->v[i], slack = 1e-9 * fabs(y);
        if (!isfinite(y)) /* of wild parameters: promised are finite results only */
            continue;
        if (!row->known || y < row->lo - slack || y > row->hi + slack) {
            if (w->outside++ < 5)
                fprintf(stderr, "%s: %s %u of @%u is %g, not in [%g, %g]\n", w->model, op_info[g->node[v].op].name, v,
                        g->id, y, row->lo, row->hi);
        }
        if (row->mask < 0 && y < RANGE_MASK / 2)
            continue;
        s->squares += y * y;
        s->count++;
    }
}

/* Parameters as initialised, or `wild`: of all sizes, and some not random at all. */
static double draw(const Param *p, uint64_t key, uint64_t i, bool wild, uint32_t number)
{
    return wild ? (number % 5 == 0 ? 7.0 : pow(10, (double)(number % 4) - 1) * rng_normal(key, i))
                : init_value(&p->init, key, i);
}

static void run_entry(Watch *w, Arena *a, const Module *m, const Graph *g, bool wild)
{
    EvalEnv env = {.m = m, .arena = a, .watch = watch, .watcher = w};
    Tensor *in = NEW_N(a, Tensor, g->inputs + 1u), *out = NEW_N(a, Tensor, g->outs + 1u);
    Buf     err = {0};
    env.param = NEW_N(a, double *, m->params + 1u);
    env.state = NEW_N(a, double *, m->states + 1u);
    for (uint32_t p = 0; p < m->params; p++) {
        size_t n = (size_t)shape_numel(m->param[p].type.shape);
        env.param[p] = NEW_N(a, double, n);
        for (size_t i = 0; i < n; i++)
            env.param[p][i] = draw(&m->param[p], rng_key(11, interned(m->strings, m->param[p].path)), i, wild, p);
    }
    for (uint32_t s = 0; s < m->states; s++) {
        size_t n = (size_t)shape_numel(m->state[s].type.shape);
        env.state[s] = NEW_N(a, double, n);
        for (size_t i = 0; i < n; i++)
            env.state[s][i] = (wild ? 1e3 : 1) * rng_normal(5, i);
    }
    for (uint32_t k = 0; k < g->inputs; k++) {
        size_t   n = (size_t)shape_numel(g->input[k].type.shape);
        uint64_t key = rng_key(3, interned(m->strings, g->input[k].name));
        in[k] = (Tensor){g->input[k].type, NEW_N(a, double, n), NULL};
        for (size_t i = 0; i < n; i++)
            in[k].v[i] = g->input[k].type.dtype == DT_I32 ? floor(8 * rng_uniform(key, i))
                                                          : (wild ? 1e3 : 1) * rng_normal(key, i);
        if (strcmp(interned(m->strings, g->input[k].name), "loss_scale") == 0)
            in[k].v[0] = wild ? 1e6 : w->r->loss_scale;
        else if (g->input[k].is_token && !wild) /* as a text would: the classes know nothing of each other */
            for (size_t i = 0; i < n; i++)
                in[k].v[i] = floor(20 * rng_uniform(key, i));
    }
    cr_assert(graph_eval(&env, g, in, out, &err), "%s", err.data);
}

static void compare_estimates(const Watch *w, const Module *m, double most)
{
    uint32_t good = 0, all = 0;
    double   worst = 1;
    char     where[64] = "";
    for (GraphId id = 1; id < m->graphs; id++)
        for (ValueId v = 1; v < m->graph[id]->count; v++) {
            const Node     *n = &m->graph[id]->node[v];
            const RangeRow *row = &w->r->row[id][v];
            const Seen     *s = &w->seen[id][v];
            RangeRisk       risk;
            if (range_verdict(w->r, m->graph[id], v, &risk) == RANGE_NONE || s->count == 0)
                continue;
            double got = sqrt(s->squares / s->count), off = fmax(got / row->rms_max, row->rms_min / got);
            if (got == 0 && row->rms_min == 0)
                off = 1;
            all++;
            good += off <= FACTOR;
            if (!(off <= worst)) {
                worst = off;
                snprintf(where, sizeof where, "%s %u of @%u: %.2g, not %.2g", op_info[n->op].name, v, id, got,
                         row->rms_max);
            }
        }
    fprintf(stderr, "%-14s %u of %u estimates within a factor of %g; worst %.1f (%s)\n", w->model, good, all, FACTOR,
            worst, where);
    cr_expect(good >= most * all, "%s: %u of %u", w->model, good, all);
}

static void check_model(const char *model, const char *defines, double most)
{
    Arena  *a = arena_new();
    Diags  *ds;
    Module *m = rig_elaborate(a, model, defines, &ds);
    cr_assert(passes_run(m, &(PassOptions){.diags = ds}));
    Watch w = {.r = ranges_of(a, m), .model = model, .seen = NEW_N(a, Seen *, m->graphs)};
    for (GraphId id = 1; id < m->graphs; id++)
        w.seen[id] = NEW_N(a, Seen, m->graph[id]->count);
    for (uint32_t e = 0; e < m->entries; e++)
        if (m->entry[e].name == m->train_entry)
            run_entry(&w, a, m, m->graph[m->entry[e].graph], false);
    compare_estimates(&w, m, most);
    for (uint32_t e = 0; e < m->entries; e++)
        run_entry(&w, a, m, m->graph[m->entry[e].graph], true);
    cr_expect(w.outside == 0, "%s: %u elements outside of their interval", model, w.outside);
    arena_free(a);
}

Test(ranges, hold_what_they_promise_and_estimate_well)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        check_model(cases[i].model, cases[i].defines, i < SHIPPED ? MOST : MOST_ODD);
}

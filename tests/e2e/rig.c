/* rig.c: see rig.h. */
#include "rig.h"

#include "backend_ane/backend.h"
#include "base/f16.h"
#include "base/file.h"
#include "base/rng.h"
#include "frontend/elaborate.h"
#include "ir/text.h"
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(bool ok, const Diags *ds, const char *what)
{
    Buf text = {0};
    diags_render(ds, &text);
    cr_assert(ok && ds->errors == 0, "%s: %s", what, text.data ? text.data : "failed");
    buf_free(&text);
}

Module *rig_elaborate(Arena *a, const char *model, const char *defines, Diags **ds)
{
    static const char *search[] = {ANEL_ROOT};
    FrontendOptions    opt = {.search = search, .searches = 1};
    Override          *o = NEW_N(a, Override, strlen(defines) + 1);
    Sources           *sources = sources_new(a);
    char              *copy = arena_strdup(a, defines);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char *eq = strchr(word, '=');
        *eq = 0;
        o[opt.overrides++] = (Override){word, eq + 1, "the test"};
    }
    opt.override = o;
    *ds = diags_new(a, sources, "anec");
    char *path = arena_printf(a, "%s/models/%s.anel", ANEL_ROOT, model);
    if (!path_exists(path))
        path = arena_printf(a, "%s/tests/e2e/models/%s.anel", ANEL_ROOT, model);
    Module *m = frontend_compile(a, sources, path, &opt, *ds);
    check(m != NULL, *ds, model);
    check(module_verify(m, "elaborate", *ds), *ds, model);
    return m;
}

static void write_plan(Rig *r, const char *model, const char *defines, const Target *target, int64_t memory,
                       WeightMode weights)
{
    Diags        *ds;
    Module       *m = rig_elaborate(r->a, model, defines, &ds);
    BackendResult result = {0};
    Buf           err = {0};
    m->target = target;
    m->memory = memory;
    m->weights = weights;
    check(passes_run(m, &(PassOptions){.diags = ds}), ds, "passes");
    check(backend_ane(r->a, m, &result, ds), ds, "back end");
    cr_assert(plan_resolve(result.plan, r->a, &err), "%s", err.data);
    const char *dir = path_join(r->a, r->dir, "plan");
    cr_assert(plan_write(result.plan, dir, result.file, result.files, &err), "%s", err.data);
    r->plan = plan_open(r->a, dir, NULL, &err);
    cr_assert(r->plan != NULL, "%s", err.data);
}

/* Matrices such that activations keep their size; gains around their first value, biases and the like around 0. All on
 * grids so coarse that what folding makes of them, W * g and W b + bias, is exact in fp16: then a plan whose programs
 * are exact computes what the model says, and nothing but the order of additions is left to compare. */
static void draw_params(Rig *r)
{
    r->param = NEW_N(r->a, double *, r->m->params + 1u);
    for (uint32_t i = 0; i < r->m->params; i++) {
        const Param *p = &r->m->param[i];
        int64_t      n = shape_numel(p->type.shape);
        uint64_t     key = rng_key(7, interned(r->m->strings, p->path));
        double       mean = p->init.kind == INIT_ONES ? 1 : p->init.kind == INIT_VALUE ? p->init.a : 0;
        r->param[i] = NEW_N(r->a, double, (size_t)n);
        double grid = p->init.kind == INIT_ONES || p->init.kind == INIT_VALUE ? 16
                      : p->init.kind == INIT_ZEROS                            ? 32
                                                                              : 64;
        for (int64_t k = 0; k < n; k++)
            r->param[i][k] = mean + round(0.1 * rng_normal(key, (uint64_t)k) * grid) / grid;
    }
}

Rig rig_model(const char *model, const char *defines)
{
    Rig    r = {.a = arena_new()};
    Diags *ds;
    r.m = rig_elaborate(r.a, model, defines, &ds);
    draw_params(&r);
    return r;
}

static Rig open_with(const char *model, const char *defines, const Target *target, int64_t memory, WeightMode weights)
{
    Rig r = rig_model(model, defines);
    strcpy(r.dir, "/tmp/anel-e2e-XXXXXX");
    cr_assert(mkdtemp(r.dir) != NULL);
    write_plan(&r, model, defines, target, memory, weights);
    return r;
}

Rig rig_open_for(const char *model, const char *defines, const Target *target, int64_t memory)
{
    return open_with(model, defines, target, memory, WEIGHTS_BAKED);
}

Rig rig_open_weights(const char *model, const char *defines, const Target *target, WeightMode weights)
{
    return open_with(model, defines, target, 0, weights);
}

Rig rig_open(const char *model, const char *defines)
{
    return rig_open_for(model, defines, target_any(), 0);
}

void rig_close(Rig *r)
{
    char err[FILE_ERR_MAX];
    cr_assert(!*r->dir || dir_remove(r->dir, err), "%s", err);
    arena_free(r->a);
}

uint32_t rig_param(const Rig *r, const char *path)
{
    uint32_t i = 0;
    while (i < r->m->params && strcmp(interned(r->m->strings, r->m->param[i].path), path) != 0)
        i++;
    cr_assert_lt(i, r->m->params, "the model has no parameter '%s'", path);
    return i;
}

Tensor *rig_inputs(const Rig *r, const Graph *g, int32_t vocab)
{
    Tensor *in = NEW_N(r->a, Tensor, g->inputs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        Type     t = g->input[i].type;
        int64_t  n = shape_numel(t.shape);
        uint64_t key = rng_key(3, interned(r->m->strings, g->input[i].name));
        in[i] = (Tensor){t, NEW_N(r->a, double, (size_t)n), NULL};
        for (int64_t k = 0; k < n; k++)
            in[i].v[k] = t.dtype == DT_I32 ? floor(vocab * rng_uniform(key, (uint64_t)k))
                                           : (float)rng_normal(key, (uint64_t)k);
    }
    return in;
}

void rig_round_constants(Rig *r)
{
    Module *m = r->m;
    for (uint32_t i = 1; i < m->tables; i++)
        for (int64_t k = 0; k < shape_numel(m->table[i].shape); k++)
            m->table[i].data[k] = f16_round_f64(f16_clamp(m->table[i].data[k]));
    for (GraphId i = 1; i < m->graphs; i++)
        for (ValueId v = 1; v < m->graph[i]->count; v++) {
            Node *n = &m->graph[i]->node[v];
            if (n->op == OP_const && n->a.constant.table == 0)
                n->a.constant.splat = f16_round_f64(f16_clamp(n->a.constant.splat));
        }
}

Run run_open(const Rig *r, const char *entry, Numerics numerics, ReduceMode reduce)
{
    bool wide = numerics == NUMERICS_EXACT;
    Run  run = {0};
    Buf  err = {0};
    run.device =
        device_open("host", &(DeviceOptions){.numerics = numerics, .reduce = reduce, .wide_ports = wide}, &err);
    cr_assert(run.device != NULL, "%s", err.data);
    run.exec =
        exec_open(r->plan, path_join(r->a, r->dir, "plan"), run.device, &(ExecOptions){.wide_ports = wide}, &err);
    cr_assert(run.exec != NULL, "%s", err.data);
    run.entry = exec_entry(run.exec, entry);
    cr_assert_neq(run.entry, EXEC_NO_ENTRY);
    cr_assert_eq(exec_params(run.exec), r->m->params);
    for (uint32_t id = 0; id < exec_params(run.exec); id++) {
        const ExecParam *p = exec_param(run.exec, id);
        const double    *value = r->param[rig_param(r, p->path)];
        for (size_t k = 0; k < p->numel; k++)
            p->value[k] = (float)value[k];
    }
    bool trained = r->plan->entry[run.entry].backwards > 0;
    cr_assert(exec_bake(run.exec, run.entry, trained ? EXEC_FORWARD | EXEC_BACKWARD : EXEC_FORWARD, &err), "%s",
              err.data);
    return run;
}

void run_close(Run *run)
{
    exec_close(run->exec);
    device_close(run->device);
}

static const Tensor *input_named(const Rig *r, const Graph *g, const Tensor *in, const char *name)
{
    for (uint32_t i = 0; i < g->inputs; i++)
        if (strcmp(interned(r->m->strings, g->input[i].name), name) == 0)
            return &in[i];
    cr_assert_fail("the model has no input '%s'", name);
    return NULL;
}

void run_feed(const Rig *r, const Run *run, const Graph *g, const Tensor *in, double loss_scale)
{
    const PlanEntry *entry = &r->plan->entry[run->entry];
    for (uint32_t k = 0; k < entry->inputs; k++) {
        void *to = exec_input(run->exec, run->entry, k);
        if (entry->input[k].kind == IN_LOSS_SCALE) {
            *(float *)to = (float)loss_scale;
            continue;
        }
        const Tensor *x = input_named(r, g, in, entry->input[k].name);
        for (int64_t i = 0; i < shape_numel(x->type.shape); i++)
            if (entry->input[k].kind == IN_REAL)
                ((float *)to)[i] = (float)x->v[i];
            else
                ((int32_t *)to)[i] = (int32_t)x->v[i];
    }
}

Distance distance(const float *got, const double *want, size_t n, double scale)
{
    double most = 0, off = 0, off2 = 0, want2 = 0, got2 = 0, dot = 0;
    for (size_t i = 0; i < n; i++) {
        double g = got[i] / scale, d = g - want[i];
        if (!isfinite(g))
            return (Distance){HUGE_VAL, HUGE_VAL, -1};
        most = fmax(most, fabs(want[i]));
        off = fmax(off, fabs(d));
        off2 += d * d;
        want2 += want[i] * want[i];
        got2 += g * g;
        dot += g * want[i];
    }
    if (want2 == 0)
        return (Distance){off, sqrt(off2), off2 == 0 ? 1 : 0};
    return (Distance){off / most, sqrt(off2 / want2), got2 > 0 ? dot / sqrt(got2 * want2) : 0};
}

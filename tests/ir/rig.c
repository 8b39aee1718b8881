/* rig.c: see rig.h. */
#include "rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

Rig rig_new(void)
{
    Rig r = {.a = arena_new()};
    r.sources = sources_new(r.a);
    r.ds = diags_new(r.a, r.sources, "test");
    r.m = module_new(r.a, interner_new(r.a), r.sources);
    return r;
}

void rig_free(Rig *r)
{
    buf_free(&r->buf);
    arena_free(r->a);
}

Module *rig_read(Rig *r, const char *text)
{
    return module_read(r->a, r->sources, sources_add(r->sources, "t.ir", text, strlen(text)), r->ds);
}

Module *rig_load(Rig *r, const char *text)
{
    Module *m = rig_read(r, text);
    cr_assert(m != NULL && module_verify(m, "read", r->ds), "%s", rig_errors(r));
    return m;
}

const char *rig_errors(Rig *r)
{
    buf_clear(&r->buf);
    diags_render(r->ds, &r->buf);
    return r->buf.data ? r->buf.data : "";
}

Type real_of(uint32_t rank, const int32_t *dim)
{
    return type_of(DT_REAL, rank, dim);
}

void fill(double *x, int64_t n, uint64_t key, double lo, double hi)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = lo + (hi - lo) * rng_uniform(key, (uint64_t)i);
}

Tensor some_tensor(Arena *a, Type t, uint64_t key, double lo, double hi)
{
    int64_t n = shape_numel(t.shape);
    Tensor  x = {.type = t, .v = NEW_N(a, double, (size_t)n)};
    fill(x.v, n, key, lo, hi);
    for (int64_t i = 0; i < n && (t.dtype == DT_I32 || t.dtype == DT_BOOL); i++)
        x.v[i] = (double)(rng_u64(key, (uint64_t)i) % 2);
    return x;
}

Tensor *run(EvalEnv *env, const Graph *g, const Tensor *in)
{
    Buf     err = {0};
    Tensor *out = NEW_N(env->arena, Tensor, g->outs);
    cr_assert(graph_eval(env, g, in, out, &err), "%s", err.data ? err.data : "no reason given");
    buf_free(&err);
    return out;
}

/* vjp_check.c: hand-written adjoints are believed only after they agree with the generated ones.
 *
 * For every entry of Module.vjp_check both adjoints of the function, the one from autodiff and the one the user wrote,
 * run in fp64 on the same normally distributed inputs, three times. They must agree in every element to 1e-9, relative
 * to the largest element of that result. Elements that are not finite in both (a logarithm of a negative draw) say
 * nothing. */
#include "ir/eval.h"
#include "passes/pass.h"

#include "base/rng.h"

#include <math.h>

enum { DRAWS = 3 };
static const double TOLERANCE = 1e-9;

static const char *text(const PassCtx *cx, StrId s)
{
    return interned(cx->m->strings, s);
}

/* Operand `k` among those that get a cotangent. */
static const GraphInput *real_input(const Graph *f, uint32_t k)
{
    for (uint32_t i = 0; i < f->inputs; i++)
        if (dtype_is_real(f->input[i].type.dtype) && k-- == 0)
            return &f->input[i];
    return NULL;
}

static bool signature_ok(PassCtx *cx, const VjpCheck *c, const Graph *f, const Graph *g, const Graph *by_hand)
{
    if (by_hand->inputs != g->inputs || by_hand->outs != g->outs) {
        diag_error(cx->diags, "E0701", c->at,
                   "'%s' is no adjoint of '%s': it takes %u and returns %u values; %u and %u are needed",
                   text(cx, c->vjp_fn), text(cx, c->fn), by_hand->inputs, by_hand->outs, g->inputs, g->outs);
        return false;
    }
    for (uint32_t i = 0; i < g->inputs; i++)
        if (!type_equal(by_hand->input[i].type, g->input[i].type)) {
            diag_error(cx->diags, "E0701", c->at, "'%s' is no adjoint of '%s': its parameter %u is %s, not %s",
                       text(cx, c->vjp_fn), text(cx, c->fn), i + 1, type_text(cx->m->arena, by_hand->input[i].type),
                       type_text(cx->m->arena, g->input[i].type));
            return false;
        }
    for (uint32_t i = 0; i < g->outs; i++) {
        Type t = by_hand->node[by_hand->out[i]].type;
        if (!type_equal(t, g->node[g->out[i]].type)) {
            diag_error(cx->diags, "E0701", c->at, "'%s' is no adjoint of '%s': the cotangent of '%s' is %s, not %s",
                       text(cx, c->vjp_fn), text(cx, c->fn), text(cx, real_input(f, i)->name),
                       type_text(cx->m->arena, t), type_text(cx->m->arena, real_input(f, i)->type));
            return false;
        }
    }
    return true;
}

static Tensor *draw_inputs(Arena *a, const Graph *g, uint64_t key)
{
    Tensor *in = NEW_N(a, Tensor, g->inputs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        int64_t n = shape_numel(g->input[i].type.shape);
        in[i] = (Tensor){g->input[i].type, NEW_N(a, double, (size_t)n), NULL};
        for (int64_t k = 0; k < n; k++) {
            uint64_t at = (uint64_t)k + ((uint64_t)i << 40);
            in[i].v[k] = dtype_is_real(in[i].type.dtype) ? rng_normal(key, at) : floor(2 * rng_uniform(key, at));
        }
    }
    return in;
}

/* Compare result `k`; the first element that differs ends the check. */
static bool agrees(PassCtx *cx, const VjpCheck *c, const Graph *f, uint32_t k, const Tensor *want, const Tensor *got)
{
    int64_t n = shape_numel(want->type.shape);
    double  scale = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want->v[i]))
            scale = fmax(scale, fabs(want->v[i]));
    for (int64_t i = 0; i < n; i++) {
        double w = want->v[i], h = got->v[i];
        if ((!isfinite(w) && !isfinite(h)) || fabs(w - h) <= TOLERANCE * scale)
            continue;
        Diag *d =
            diag_error(cx->diags, "E0701", c->at, "'%s' is not the adjoint of '%s': the cotangent of '%s' is wrong",
                       text(cx, c->vjp_fn), text(cx, c->fn), text(cx, real_input(f, k)->name));
        diag_note(d, (Span){0}, "element %lld of %s on random inputs: expected %.12g, got %.12g", (long long)i,
                  type_text(cx->m->arena, want->type), w, h);
        return false;
    }
    return true;
}

static bool check(PassCtx *cx, const VjpCheck *c)
{
    Module      *m = cx->m;
    const Graph *f = m->graph[c->graph], *by_hand = m->graph[c->vjp];
    if (f->outs != 1 || !dtype_is_real(f->node[f->out[0]].type.dtype)) {
        diag_error(cx->diags, "E0701", c->at, "'%s' has an adjoint, so it must return one real value", text(cx, c->fn));
        return false;
    }
    const Graph *g = adjoint_graph(m, f);
    if (!signature_ok(cx, c, f, g, by_hand))
        return false;
    bool ok = true;
    for (int draw = 0; ok && draw < DRAWS; draw++) {
        Arena  *a = arena_new();
        Tensor *in = draw_inputs(a, g, rng_key((uint64_t)draw, text(cx, c->fn)));
        Tensor *want = NEW_N(a, Tensor, g->outs + 1u), *got = NEW_N(a, Tensor, g->outs + 1u);
        EvalEnv env = {.m = m, .arena = a};
        Buf     err = {0};
        if (!graph_eval(&env, g, in, want, &err) || !graph_eval(&env, by_hand, in, got, &err)) {
            diag_error(cx->diags, "E0701", c->at, "'%s' and its adjoint '%s' cannot be compared: %s", text(cx, c->fn),
                       text(cx, c->vjp_fn), err.data);
            ok = false;
        }
        for (uint32_t k = 0; ok && k < g->outs; k++)
            ok = agrees(cx, c, f, k, &want[k], &got[k]);
        buf_free(&err);
        arena_free(a);
    }
    return ok;
}

static bool seen_before(const Module *m, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++)
        if (m->vjp_check[j].graph == m->vjp_check[i].graph && m->vjp_check[j].vjp == m->vjp_check[i].vjp)
            return true;
    return false;
}

PassResult pass_vjp_check(PassCtx *cx)
{
    uint32_t graphs = cx->m->graphs;
    bool     ok = true;
    for (uint32_t i = 0; i < cx->m->vjp_checks; i++)
        if (!seen_before(cx->m, i))
            ok = check(cx, &cx->m->vjp_check[i]) && ok;
    cx->m->graphs = graphs; /* the generated adjoints have served */
    cx->m->vjp_checks = 0;
    return ok ? PASS_SAME : PASS_FAILED;
}

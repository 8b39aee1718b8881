/* gradcheck.c: generated gradients against two independent oracles.
 *
 *   (a) central differences of the loss in fp64, extrapolated (Ridders): the tableau
 *           T[k][0] = (f(x + h_k) - f(x - h_k)) / 2h_k,  h_k = h / 2^k
 *           T[k][j] = (4^j T[k][j-1] - T[k-1][j-1]) / (4^j - 1)
 *       is filled until neighbouring entries agree; its best entry is the estimate. Values behind stop_grad and the
 *       decisions of max, min, amax and comparisons stay as they are at x: no difference reaches across a kink
 *   (b) the dot-product test: for a random direction v in one parameter, the tangent of the loss J v, computed
 *       forward by the evaluator, must equal <gradient, v>
 *
 * An error is relative to the larger of the two numbers, but at least to a thousandth of the tensor's largest gradient
 * and to 1e-4 of the model's: below that the oracles themselves are rounding noise (the gradient of a key bias is zero,
 * say), while a wrong rule is still wrong by far more than any tolerance in use. In (b) the sum of |gradient_i v_i|
 * takes the place of the tensor's largest gradient.
 *
 * Parameters start from their initialisers, spread out so that no gradient is small for want of scale. */
#include "ir/eval.h"
#include "passes/pass.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

typedef struct {
    Module      *m;
    const Graph *loss;
    Tensor      *in;
    double     **param, **state;
    Arena       *run; /* reset before every evaluation */
    FixedTape    fixed; /* at the point of the check */
    Buf         *err;
} Check;

/* ---- data ---- */

/* Upper bounds of integer inputs: limit[i] becomes the smallest table or class axis that input i addresses.
 * origin[v] = 1 + the input that `v` is a view of, 0 = none. */
static void bounds(const Module *m, const Graph *g, const uint32_t *input_origin, double *limit, Arena *a)
{
    uint32_t *origin = NEW_N(a, uint32_t, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_input) {
            origin[v] = input_origin[n->a.input.index];
        } else if (n->op == OP_reshape || n->op == OP_slice || n->op == OP_transpose || n->op == OP_broadcast) {
            origin[v] = origin[node_arg(g, v, 0)];
        } else if (n->op == OP_gather || n->op == OP_xent) {
            Shape    s = g->node[node_arg(g, v, 0)].type.shape;
            uint32_t o = origin[node_arg(g, v, 1)];
            if (o)
                limit[o - 1] = fmin(limit[o - 1], s.dim[n->op == OP_gather ? 0 : n->a.axis.axis]);
        } else if (node_region(n)) {
            const Graph *r = m->graph[node_region(n)];
            uint32_t    *inside = NEW_N(a, uint32_t, r->inputs + 1u);
            for (uint32_t i = 0; i < r->inputs; i++)
                inside[i] = origin[node_arg(g, v, i)];
            bounds(m, r, inside, limit, a);
        }
    }
}

static Tensor *draw_inputs(Arena *a, const Module *m, const Graph *g, uint64_t seed)
{
    uint32_t *self = NEW_N(a, uint32_t, g->inputs + 1u);
    double   *limit = NEW_N(a, double, g->inputs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        self[i] = i + 1;
        limit[i] = HUGE_VAL;
    }
    bounds(m, g, self, limit, a);
    Tensor *in = NEW_N(a, Tensor, g->inputs + 2u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        Type     t = g->input[i].type;
        int64_t  n = shape_numel(t.shape);
        uint64_t key = rng_key(seed, interned(m->strings, g->input[i].name));
        double   top = t.dtype == DT_BOOL || isinf(limit[i]) ? 2 : limit[i];
        in[i] = (Tensor){t, NEW_N(a, double, (size_t)n), NULL};
        for (int64_t k = 0; k < n; k++)
            in[i].v[k] =
                dtype_is_real(t.dtype) ? rng_normal(key, (uint64_t)k) : floor(top * rng_uniform(key, (uint64_t)k));
    }
    return in;
}

static double *draw_param(Arena *a, const Module *m, const Param *p, uint64_t seed)
{
    int64_t  n = shape_numel(p->type.shape);
    uint64_t key = rng_key(seed, interned(m->strings, p->path));
    double  *v = NEW_N(a, double, (size_t)n);
    double   fan = p->type.shape.rank ? p->type.shape.dim[p->type.shape.rank - 1] : 1;
    for (int64_t i = 0; i < n; i++) {
        double z = rng_normal(~key, (uint64_t)i);
        switch (p->init.kind) {
        case INIT_ZEROS:
            v[i] = 0.3 * z;
            break;
        case INIT_NORMAL: /* wide enough that a product over the last axis has about the size of its operand */
            v[i] = z * fmax(p->init.a, 1 / sqrt(fan));
            break;
        case INIT_ONES:
        case INIT_VALUE:
        case INIT_UNIFORM:
            v[i] = init_value(&p->init, key, (uint64_t)i) + 0.3 * z;
            break;
        }
    }
    return v;
}

/* ---- oracles ---- */

static bool loss_at(Check *c, double *loss)
{
    arena_reset(c->run);
    EvalEnv env = {.m = c->m, .arena = c->run, .param = c->param, .state = c->state, .fixed = &c->fixed};
    Tensor  out;
    c->fixed.next = 0;
    if (!graph_eval(&env, c->loss, c->in, &out, c->err))
        return false;
    *loss = out.v[0];
    return true;
}

static bool difference(Check *c, double *x, double h, double *d)
{
    double at = *x, up = at + h, down = at - h, a = 0, b = 0;
    *x = up;
    bool ok = loss_at(c, &a);
    *x = down;
    ok = ok && loss_at(c, &b);
    *x = at;
    if (ok)
        *d = (a - b) / (up - down);
    return ok;
}

/* d loss / d *x; stops when the estimated error falls below `enough`. */
static bool extrapolated(Check *c, double *x, double enough, double *best)
{
    enum { LEVELS = 7 };
    double t[LEVELS][LEVELS], error = HUGE_VAL, h = 0.03 * fmax(1, fabs(*x));
    for (int k = 0; k < LEVELS && error > enough; k++, h /= 2) {
        if (!difference(c, x, h, &t[k][0]))
            return false;
        if (k == 0)
            *best = t[0][0];
        double f = 1;
        for (int j = 1; j <= k; j++) {
            f *= 4;
            t[k][j] = (f * t[k][j - 1] - t[k - 1][j - 1]) / (f - 1);
            double e = fmax(fabs(t[k][j] - t[k][j - 1]), fabs(t[k][j] - t[k - 1][j - 1]));
            if (e < error) {
                error = e;
                *best = t[k][j];
            }
        }
    }
    return true;
}

static double largest(const double *v, int64_t n)
{
    double x = 0;
    for (int64_t i = 0; i < n; i++)
        x = fmax(x, fabs(v[i]));
    return x;
}

/* A wrong rule may yield NaN, which every comparison would let pass. */
static double relative(double a, double b, double floor_)
{
    double e = fabs(a - b) / fmax(fmax(fabs(a), fabs(b)), fmax(floor_, 1e-30));
    return isnan(e) ? HUGE_VAL : e;
}

static bool check_differences(Check *c, uint32_t p, const double *grad, double floor_, const GradcheckOptions *opt,
                              GradcheckRow *row)
{
    int64_t  n = shape_numel(c->m->param[p].type.shape);
    uint64_t key = rng_key(opt->seed + 1, interned(c->m->strings, c->m->param[p].path));
    bool     all = opt->entries == 0 || n <= (int64_t)opt->entries;
    row->entries = all ? (uint32_t)n : opt->entries;
    for (uint32_t i = 0; i < row->entries; i++) {
        int64_t at = all ? (int64_t)i : (int64_t)(rng_uniform(key, i) * (double)n);
        double  d = 0, scale = fmax(fabs(grad[at]), floor_);
        if (!extrapolated(c, &c->param[p][at], 1e-10 * scale, &d))
            return false;
        row->worst_diff = fmax(row->worst_diff, relative(grad[at], d, floor_));
    }
    return true;
}

static bool check_direction(Check *c, uint32_t p, const double *grad, double model_floor, uint64_t seed,
                            GradcheckRow *row)
{
    int64_t n = shape_numel(c->m->param[p].type.shape);
    arena_reset(c->run);
    double  **dparam = NEW_N(c->run, double *, c->m->params), *v = NEW_N(c->run, double, (size_t)n), dot = 0, size = 0;
    uint64_t  key = rng_key(seed + 2, interned(c->m->strings, c->m->param[p].path));
    for (int64_t i = 0; i < n; i++) {
        v[i] = rng_normal(key, (uint64_t)i);
        dot += grad[i] * v[i];
        size += fabs(grad[i] * v[i]);
    }
    dparam[p] = v;
    EvalEnv env = {
        .m = c->m, .arena = c->run, .param = c->param, .state = c->state, .dparam = dparam, .tangents = true};
    Tensor  out;
    if (!graph_eval(&env, c->loss, c->in, &out, c->err))
        return false;
    double forward = out.dv ? out.dv[0] : 0;
    row->worst_dot = relative(forward, dot, fmax(1e-3 * size, model_floor));
    return true;
}

/* ---- the check ---- */

static bool run(Check *c, const Graph *joint, Arena *a, const GradcheckOptions *opt, GradcheckRow *row)
{
    Module  *m = c->m;
    double **grad = NEW_N(a, double *, m->params + 1u), all = 0, one = 1;
    for (uint32_t p = 0; p < m->params; p++)
        grad[p] = NEW_N(a, double, (size_t)shape_numel(m->param[p].type.shape));
    Tensor *in = NEW_N(a, Tensor, joint->inputs), out;
    memcpy(in, c->in, c->loss->inputs * sizeof *in);
    in[joint->inputs - 1] = (Tensor){{DT_F32, {0}}, &one, NULL};
    EvalEnv env = {.m = m, .arena = a, .param = c->param, .state = c->state, .grad = grad};
    if (!graph_eval(&env, joint, in, &out, c->err))
        return false;
    double at = 0;
    c->fixed = (FixedTape){.arena = a};
    if (!loss_at(c, &at))
        return false;
    c->fixed.replay = true;
    for (uint32_t p = 0; p < m->params; p++)
        all = fmax(all, m->param[p].frozen ? 0 : largest(grad[p], shape_numel(m->param[p].type.shape)));
    for (uint32_t p = 0; p < m->params; p++) {
        if (m->param[p].frozen)
            continue;
        double most = largest(grad[p], shape_numel(m->param[p].type.shape));
        row->path = m->param[p].path;
        if (!check_differences(c, p, grad[p], fmax(1e-3 * most, 1e-4 * all), opt, row) ||
            !check_direction(c, p, grad[p], 1e-4 * all, opt->seed, row))
            return false;
        row++;
    }
    return true;
}

bool gradcheck(Module *m, const GradcheckOptions *opt, Diags *ds, GradcheckRow **rows, uint32_t *n_rows)
{
    const Entry *e = m->train_entry ? module_entry(m, interned(m->strings, m->train_entry)) : NULL;
    if (!e) {
        diag_error(ds, "E0606", (Span){0}, "there is no train section, so there is no gradient to check");
        return false;
    }
    uint32_t     graphs = m->graphs;
    const Graph *loss = m->graph[e->graph], *joint = autodiff(m, loss, ds);
    if (!joint)
        return false;
    Arena *a = arena_new();
    Buf    err = {0};
    Check  c = {.m = m, .loss = loss, .run = arena_new(), .err = &err};
    c.in = draw_inputs(a, m, loss, opt->seed);
    c.param = NEW_N(a, double *, m->params + 1u);
    c.state = NEW_N(a, double *, m->states + 1u);
    *n_rows = 0;
    for (uint32_t p = 0; p < m->params; p++) {
        c.param[p] = draw_param(a, m, &m->param[p], opt->seed);
        *n_rows += !m->param[p].frozen;
    }
    for (uint32_t i = 0; i < m->states; i++) {
        int64_t n = shape_numel(m->state[i].type.shape);
        c.state[i] = NEW_N(a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            c.state[i][k] = init_value(&m->state[i].init, opt->seed, (uint64_t)k);
    }
    *rows = NEW_N(m->arena, GradcheckRow, *n_rows + 1u);
    bool ok = run(&c, joint, a, opt, *rows);
    if (!ok)
        diag_error(ds, "E0607", e->at, "'%s' cannot be evaluated: %s", interned(m->strings, e->name), err.data);
    m->graphs = graphs; /* the generated graphs have served */
    buf_free(&err);
    arena_free(c.run);
    arena_free(a);
    return ok;
}

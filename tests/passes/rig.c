/* rig.c: see rig.h. */
#include "rig.h"

#include "base/rng.h"

#include <math.h>
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
    arena_free(r->a);
}

StrId str(Rig *r, const char *s)
{
    return intern(r->m->strings, s);
}

Graph *new_graph(Rig *r, const char *name)
{
    return module_add_graph(r->m, str(r, name));
}

uint32_t add_param(Rig *r, const char *path, Type t, Init init)
{
    GROW(r->m->arena, r->m->param, r->m->params, r->m->params_cap);
    r->m->param[r->m->params] = (Param){.path = str(r, path), .type = t, .init = init, .lr = 1};
    return r->m->params++;
}

ValueId one_param(Rig *r, Graph *g, const char *path, Type t)
{
    uint32_t p = add_param(r, path, t, (Init){INIT_NORMAL, 0.3, 0});
    Node     n = {.op = OP_param, .type = t, .name = str(r, path)};
    n.a.leaf.set = module_add_param_set(r->m, str(r, path), &p, 1);
    return graph_add(r->m, g, &n, NULL, 0);
}

ValueId per_layer(Rig *r, Graph *g, const char *name, int32_t n, Type t, Init init)
{
    uint32_t *leaf = NEW_N(r->a, uint32_t, (size_t)n);
    for (int32_t i = 0; i < n; i++)
        leaf[i] = add_param(r, arena_printf(r->a, "layers.%d.%s", i, name), t, init);
    Node p = {.op = OP_param, .type = t, .name = str(r, name)};
    p.a.leaf.set = module_add_param_set(r->m, str(r, arena_printf(r->a, "layers.{L}.%s", name)), leaf, (uint32_t)n);
    return graph_add(r->m, g, &p, NULL, 0);
}

ValueId input(Rig *r, Graph *g, const char *name, Type t)
{
    return graph_add_input(r->m, g, str(r, name), t, t.dtype == DT_I32, (Span){0});
}

static ValueId un(Rig *r, Graph *g, Op op, ValueId x)
{
    return g_unary(r->m, g, NULL, op, x);
}

static ValueId bin(Rig *r, Graph *g, Op op, ValueId x, ValueId y)
{
    return g_binary(r->m, g, NULL, op, x, y);
}

static ValueId scaled(Rig *r, Graph *g, ValueId x, double c)
{
    return bin(r, g, OP_mul, x, g_splat(r->m, g, NULL, c, g->node[x].type));
}

ValueId mean(Rig *r, Graph *g, ValueId x)
{
    Shape   s = g->node[x].type.shape;
    ValueId all = g_sum(r->m, g, NULL, x, (1u << s.rank) - 1);
    return scaled(r, g, g_reshape(r->m, g, NULL, all, (Shape){0}), 1.0 / (double)shape_numel(s));
}

ValueId mean_of_squares(Rig *r, Graph *g, ValueId x)
{
    return mean(r, g, bin(r, g, OP_mul, x, x));
}

ValueId rows(Rig *r, Graph *g, ValueId x, Shape s)
{
    if (g->node[x].type.shape.rank == 1)
        x = g_reshape(r->m, g, NULL, x, SHAPE(s.dim[0], 1));
    return g_broadcast(r->m, g, NULL, x, s);
}

void train_on(Rig *r, Graph *loss)
{
    Module *m = r->m;
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){str(r, "loss"), loss->id, {0}};
    m->train_entry = str(r, "loss");
}

/* ---- models ---- */

/* r = rsqrt(mean of squares over channels), [1, S] spread over s. */
static ValueId inverse_rms(Rig *r, Graph *g, ValueId x, Shape s)
{
    ValueId ms = scaled(r, g, g_sum(r->m, g, NULL, bin(r, g, OP_mul, x, x), 1), 1.0 / s.dim[0]);
    ValueId v = bin(r, g, OP_add, ms, g_splat(r->m, g, NULL, 1e-5, g->node[ms].type));
    return rows(r, g, g_powc(r->m, g, NULL, v, -0.5), s);
}

static ValueId norm_body(Rig *r, Graph *g, ValueId x, ValueId gain)
{
    Shape s = g->node[x].type.shape;
    return bin(r, g, OP_mul, bin(r, g, OP_mul, x, inverse_rms(r, g, x, s)), rows(r, g, gain, s));
}

static Graph *norm_function(Rig *r, Type t, Type gain)
{
    Graph  *f = new_graph(r, "rmsnorm");
    ValueId x = input(r, f, "x", t), g = input(r, f, "g", gain);
    graph_add_out(r->m, f, norm_body(r, f, x, g), 0);
    return f;
}

/* dx = r * (u - xh * mean(u * xh)), dg = sum over positions of dy * xh;  u = dy * g, xh = x * r */
static Graph *norm_adjoint(Rig *r, Type t, Type gain)
{
    Graph  *f = new_graph(r, "rmsnorm_bwd");
    ValueId x = input(r, f, "x", t), g = input(r, f, "g", gain), dy = input(r, f, "dy", t);
    ValueId rms = inverse_rms(r, f, x, t.shape), xh = bin(r, f, OP_mul, x, rms);
    ValueId u = bin(r, f, OP_mul, dy, rows(r, f, g, t.shape));
    ValueId dot = scaled(r, f, g_sum(r->m, f, NULL, bin(r, f, OP_mul, u, xh), 1), 1.0 / t.shape.dim[0]);
    ValueId in = bin(r, f, OP_sub, u, bin(r, f, OP_mul, xh, rows(r, f, dot, t.shape)));
    graph_add_out(r->m, f, bin(r, f, OP_mul, rms, in), str(r, "dx"));
    ValueId dg = g_sum(r->m, f, NULL, bin(r, f, OP_mul, dy, xh), 2);
    graph_add_out(r->m, f, g_reshape(r->m, f, NULL, dg, gain.shape), str(r, "dg"));
    return f;
}

static ValueId norm(Rig *r, Graph *g, ValueId x, ValueId gain, bool call)
{
    if (!call)
        return norm_body(r, g, x, gain);
    Module *m = r->m;
    Type    t = g->node[x].type, tg = g->node[gain].type;
    if (m->vjp_checks == 0) {
        Graph *f = norm_function(r, t, tg), *b = norm_adjoint(r, t, tg);
        GROW(m->arena, m->vjp_check, m->vjp_checks, m->vjp_checks_cap);
        m->vjp_check[m->vjp_checks++] = (VjpCheck){str(r, "rmsnorm"), str(r, "rmsnorm_bwd"), f->id, b->id, {0}};
    }
    Node n = {.op = OP_call, .name = str(r, "norm")};
    n.a.call.graph = m->vjp_check[0].graph;
    n.a.call.vjp = m->vjp_check[0].vjp;
    n.a.call.fn = str(r, "rmsnorm");
    ValueId c = graph_add(m, g, &n, (ValueId[]){x, gain}, 2);
    return g_proj(m, g, NULL, c, 0);
}

static ValueId named(Rig *r, Graph *g, ValueId v, const char *name)
{
    g->node[v].name = str(r, name);
    return v;
}

static ValueId causal_mask(Rig *r, Graph *g, int32_t n)
{
    double *t = NEW_N(r->a, double, (size_t)n * (size_t)n);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++)
            t[i * n + j] = j <= i ? 0 : -30000;
    return g_table(r->m, g, NULL, module_add_table(r->m, DT_REAL, SHAPE(n, n), t, str(r, "causal_mask")));
}

static ValueId weight(Rig *r, Graph *g, const char *name, int32_t layers, int32_t out, int32_t in)
{
    return per_layer(r, g, name, layers, REAL(out, in), (Init){INIT_NORMAL, 0.02, 0});
}

/* One layer on x: [dim, S]; v0, if there is one, is mixed into the values. */
static ValueId layer(Rig *r, Graph *g, LlamaShape s, ValueId x, ValueId mask, ValueId v0)
{
    Module *m = r->m;
    int32_t L = s.layers, d = s.dim / s.heads;
    Shape   split = SHAPE(s.heads, d, s.seq);
    Init    ones = {INIT_ONES, 0, 0};
    ValueId xn = norm(r, g, x, per_layer(r, g, "g1", L, REAL(s.dim), ones), s.calls);
    ValueId q = g_matmul(m, g, NULL, weight(r, g, "wq", L, s.dim, s.dim), xn, false, false);
    ValueId k = g_matmul(m, g, NULL, weight(r, g, "wk", L, s.dim, s.dim), xn, false, false);
    ValueId v = g_matmul(m, g, NULL, weight(r, g, "wv", L, s.dim, s.dim), xn, false, false);
    if (v0)
        v = bin(r, g, OP_add, v, v0);
    q = named(r, g, g_reshape(m, g, NULL, q, split), "q");
    k = named(r, g, g_reshape(m, g, NULL, k, split), "k");
    v = named(r, g, g_reshape(m, g, NULL, v, split), "v");
    const uint8_t swap[] = {0, 2, 1};
    ValueId       scores = g_matmul(m, g, NULL, g_transpose(m, g, NULL, q, swap), k, false, false);
    Shape         square = SHAPE(s.heads, s.seq, s.seq);
    ValueId       wide = g_broadcast(m, g, NULL, g_reshape(m, g, NULL, mask, SHAPE(1, s.seq, s.seq)), square);
    scores = bin(r, g, OP_add, scaled(r, g, scores, 1 / sqrt(d)), wide);
    ValueId p = named(r, g, g_softmax(m, g, NULL, named(r, g, scores, "scores"), 2), "p");
    ValueId o = g_matmul(m, g, NULL, v, g_transpose(m, g, NULL, p, swap), false, false);
    o = g_reshape(m, g, NULL, o, SHAPE(s.dim, s.seq));
    ValueId x2 = bin(r, g, OP_add, x, g_matmul(m, g, NULL, weight(r, g, "wo", L, s.dim, s.dim), o, false, false));
    named(r, g, x2, "x2");
    ValueId hn = norm(r, g, x2, per_layer(r, g, "g2", L, REAL(s.dim), ones), s.calls);
    ValueId h1 = named(r, g, g_matmul(m, g, NULL, weight(r, g, "w1", L, s.hidden, s.dim), hn, false, false), "h1");
    ValueId h3 = named(r, g, g_matmul(m, g, NULL, weight(r, g, "w3", L, s.hidden, s.dim), hn, false, false), "h3");
    ValueId sg = named(r, g, un(r, g, OP_sigmoid, h1), "sigmoid");
    ValueId gate = bin(r, g, OP_mul, bin(r, g, OP_mul, h1, sg), h3);
    return bin(r, g, OP_add, x2, g_matmul(m, g, NULL, weight(r, g, "w2", L, s.dim, s.hidden), gate, false, false));
}

Graph *llama(Rig *r, LlamaShape s)
{
    Module       *m = r->m;
    const uint8_t swap[] = {1, 0};
    Type          act = REAL(s.dim, s.seq);
    Graph        *body = new_graph(r, "layers");
    ValueId       x = input(r, body, "x", act), mask = input(r, body, "mask", REAL(s.seq, s.seq));
    ValueId       v0 = s.residual_values ? input(r, body, "v0", act) : 0;
    graph_add_out(m, body, layer(r, body, s, x, mask, v0), str(r, "x"));

    Graph  *g = new_graph(r, "loss");
    ValueId tokens = input(r, g, "tokens", INTS(s.seq)), targets = input(r, g, "targets", INTS(s.seq));
    ValueId embed = one_param(r, g, "embed", REAL(s.vocab, s.dim));
    Node    n = {.op = OP_gather};
    ValueId e = g_transpose(m, g, NULL, graph_add(m, g, &n, (ValueId[]){embed, tokens}, 2), swap);
    ValueId in[3] = {e, causal_mask(r, g, s.seq), 0};
    if (s.residual_values)
        in[2] = g_matmul(m, g, NULL, one_param(r, g, "w0", REAL(s.dim, s.dim)), e, false, false);
    Node rep = {.op = OP_repeat, .name = str(r, "layers")};
    rep.a.repeat.graph = body->id;
    rep.a.repeat.n = s.layers;
    rep.a.repeat.n_carry = 1;
    ValueId out = g_proj(m, g, NULL, graph_add(m, g, &rep, in, s.residual_values ? 3 : 2), 0);
    uint32_t gf = add_param(r, "gf", REAL(s.dim), (Init){INIT_ONES, 0, 0});
    Node     gain = {.op = OP_param, .type = REAL(s.dim)};
    gain.a.leaf.set = module_add_param_set(m, str(r, "gf"), &gf, 1);
    out = norm(r, g, out, graph_add(m, g, &gain, NULL, 0), s.calls);
    ValueId logits = g_matmul(m, g, NULL, embed, out, false, false);
    Node    ce = {.op = OP_xent};
    graph_add_out(m, g, mean(r, g, graph_add(m, g, &ce, (ValueId[]){logits, targets}, 2)), 0);
    train_on(r, g);
    return g;
}

Graph *llama_layer(Rig *r, LlamaShape s)
{
    s.layers = 1;
    Graph  *g = new_graph(r, "loss");
    ValueId x = input(r, g, "x", REAL(s.dim, s.seq)), y = input(r, g, "target", REAL(s.dim, s.seq));
    ValueId out = layer(r, g, s, x, causal_mask(r, g, s.seq), 0);
    graph_add_out(r->m, g, mean_of_squares(r, g, bin(r, g, OP_sub, out, y)), 0);
    train_on(r, g);
    return g;
}

/* ---- evaluation ---- */

static Tensor *draw(Rig *r, const Graph *g, uint64_t seed, int32_t vocab)
{
    Tensor *in = NEW_N(r->a, Tensor, g->inputs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        Type     t = g->input[i].type;
        int64_t  n = shape_numel(t.shape);
        uint64_t key = rng_key(seed, interned(r->m->strings, g->input[i].name));
        in[i] = (Tensor){t, NEW_N(r->a, double, (size_t)n), NULL};
        for (int64_t k = 0; k < n; k++)
            in[i].v[k] =
                dtype_is_real(t.dtype) ? rng_normal(key, (uint64_t)k) : floor(vocab * rng_uniform(key, (uint64_t)k));
    }
    return in;
}

static double **draw_params(Rig *r, uint64_t seed)
{
    double **p = NEW_N(r->a, double *, r->m->params + 1u);
    for (uint32_t i = 0; i < r->m->params; i++) {
        int64_t  n = shape_numel(r->m->param[i].type.shape);
        uint64_t key = rng_key(seed, interned(r->m->strings, r->m->param[i].path));
        p[i] = NEW_N(r->a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            p[i][k] = (r->m->param[i].init.kind == INIT_ONES) + 0.3 * rng_normal(key, (uint64_t)k);
    }
    return p;
}

static Tensor *evaluate(Rig *r, EvalEnv *env, const Graph *g, const Tensor *in)
{
    Tensor *out = NEW_N(r->a, Tensor, g->outs + 1u);
    Buf     err = {0};
    if (!graph_eval(env, g, in, out, &err))
        bug("%s", err.data);
    buf_free(&err);
    return out;
}

double *loss_and_gradients(Rig *r, const Graph *joint, uint64_t seed, int32_t vocab, double loss_scale, size_t *n)
{
    Tensor *in = draw(r, joint, seed, vocab);
    in[joint->inputs - 1].v[0] = loss_scale;
    *n = 1;
    for (uint32_t i = 0; i < r->m->params; i++)
        *n += (size_t)shape_numel(r->m->param[i].type.shape);
    double *all = NEW_N(r->a, double, *n), **grad = NEW_N(r->a, double *, r->m->params + 1u);
    size_t  at = 1;
    for (uint32_t i = 0; i < r->m->params; i++) {
        grad[i] = all + at;
        at += (size_t)shape_numel(r->m->param[i].type.shape);
    }
    EvalEnv env = {.m = r->m, .arena = r->a, .param = draw_params(r, seed), .grad = grad};
    all[0] = evaluate(r, &env, joint, in)[0].v[0];
    return all;
}

double *results_of(Rig *r, const Graph *g, uint64_t seed, int32_t vocab, size_t *n)
{
    EvalEnv env = {.m = r->m, .arena = r->a, .param = draw_params(r, seed)};
    Tensor *out = evaluate(r, &env, g, draw(r, g, seed, vocab));
    *n = 0;
    for (uint32_t i = 0; i < g->outs; i++)
        *n += (size_t)shape_numel(out[i].type.shape);
    double *all = NEW_N(r->a, double, *n + 1);
    size_t  at = 0;
    for (uint32_t i = 0; i < g->outs; i++) {
        size_t k = (size_t)shape_numel(out[i].type.shape);
        memcpy(all + at, out[i].v, k * sizeof *all);
        at += k;
    }
    return all;
}

double distance(const double *x, const double *y, size_t n)
{
    double d = 0, size = 1e-300;
    for (size_t i = 0; i < n; i++) {
        d = fmax(d, fabs(x[i] - y[i]));
        size = fmax(size, fabs(x[i]));
        if (isnan(x[i]) || isnan(y[i]))
            return HUGE_VAL;
    }
    return d / size;
}

uint32_t count_op(const Graph *g, Op op)
{
    uint32_t n = 0;
    for (ValueId v = 1; v < g->count; v++)
        n += g->node[v].op == op;
    return n;
}

const Node *find_repeat(const Graph *g, Role role)
{
    const Node *found = NULL;
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_repeat && g->node[v].role == role) {
            if (found)
                return NULL;
            found = &g->node[v];
        }
    return found;
}

void print_diags(const Rig *r)
{
    Buf text = {0};
    diags_render(r->ds, &text);
    if (text.len)
        fprintf(stderr, "%s", text.data);
    buf_free(&text);
}

bool verified(Rig *r, const char *after)
{
    bool ok = module_verify(r->m, after, r->ds);
    print_diags(r);
    return ok;
}

/* rig.c: a small transformer built by hand: an embedding, a repeated layer with attention and a gated FFN, a tied
 * head. */
#include "rig.h"

#include <math.h>
#include <string.h>

enum { DIM = 64, HEADS = 4, HEAD = 16, HIDDEN = 96, SEQ = 32, VOCAB = 80 };

static StrId sid(Module *m, const char *s)
{
    return intern(m->strings, s);
}

static ValueId param(Module *m, Graph *g, const char *pattern, int32_t layers, uint32_t rank, const int32_t *dim)
{
    uint32_t leaf[8], n = layers ? (uint32_t)layers : 1;
    for (uint32_t i = 0; i < n; i++) {
        const char *hole = strstr(pattern, "{L}");
        const char *path =
            hole ? arena_printf(m->arena, "%.*s%u%s", (int)(hole - pattern), pattern, i, hole + 3) : pattern;
        Param       p = {.path = sid(m, path), .type = type_of(DT_REAL, rank, dim), .lr = 1,
                         .init = {rank == 1 ? INIT_ONES : INIT_NORMAL, 0.1, 0}};
        for (leaf[i] = 0; leaf[i] < m->params && m->param[leaf[i]].path != p.path; leaf[i]++)
            ;
        if (leaf[i] == m->params) {
            GROW(m->arena, m->param, m->params, m->params_cap);
            m->param[m->params++] = p;
        }
    }
    Node node = {.op = OP_param,
                 .type = type_of(DT_REAL, rank, dim),
                 .name = sid(m, strrchr(pattern, '.') ? strrchr(pattern, '.') + 1 : pattern)};
    node.a.leaf.set = module_add_param_set(m, sid(m, pattern), leaf, n);
    return graph_add(m, g, &node, NULL, 0);
}

static ValueId named(Module *m, Graph *g, ValueId v, const char *name)
{
    g->node[v].name = sid(m, name);
    return v;
}

static ValueId norm(Module *m, Graph *g, ValueId x, ValueId gain)
{
    Type    t = g->node[x].type, one = t;
    one.shape.dim[0] = 1;
    ValueId sq = g_binary(m, g, NULL, OP_mul, x, x);
    ValueId ms = g_binary(m, g, NULL, OP_div, g_sum(m, g, NULL, sq, 1), g_splat(m, g, NULL, DIM, one));
    ValueId r = named(
        m, g, g_unary(m, g, NULL, OP_rsqrt, g_binary(m, g, NULL, OP_add, ms, g_splat(m, g, NULL, 1e-5, one))), "r");
    ValueId xh = named(m, g, g_binary(m, g, NULL, OP_mul, x, g_broadcast(m, g, NULL, r, t.shape)), "xh");
    ValueId gc = g_reshape(m, g, NULL, gain, shape_of(2, (int32_t[]){DIM, 1}));
    return g_binary(m, g, NULL, OP_mul, xh, g_broadcast(m, g, NULL, gc, t.shape));
}

static ValueId heads(Module *m, Graph *g, ValueId x)
{
    return g_reshape(m, g, NULL, x, shape_of(3, (int32_t[]){HEADS, HEAD, SEQ}));
}

static Graph *layer(Module *m, int32_t layers)
{
    Graph        *g = module_add_graph(m, sid(m, "layers"));
    const int32_t vec[] = {DIM}, sq[] = {DIM, DIM}, up[] = {HIDDEN, DIM}, down[] = {DIM, HIDDEN}, act[] = {DIM, SEQ};
    ValueId       x = graph_add_input(m, g, sid(m, "x"), type_of(DT_REAL, 2, act), false, (Span){0});
    ValueId       xn = named(m, g, norm(m, g, x, param(m, g, "layers.{L}.g1", layers, 1, vec)), "xn");
    ValueId q = named(
        m, g, heads(m, g, g_matmul(m, g, NULL, param(m, g, "layers.{L}.wq", layers, 2, sq), xn, false, false)), "q");
    ValueId k = named(
        m, g, heads(m, g, g_matmul(m, g, NULL, param(m, g, "layers.{L}.wk", layers, 2, sq), xn, false, false)), "k");
    ValueId v = named(
        m, g, heads(m, g, g_matmul(m, g, NULL, param(m, g, "layers.{L}.wv", layers, 2, sq), xn, false, false)), "v");
    double        mask[SEQ * SEQ];
    for (int i = 0; i < SEQ * SEQ; i++)
        mask[i] = i % SEQ <= i / SEQ ? 0 : -30000;
    ValueId s = g_matmul(m, g, NULL, q, k, true, false);
    Shape   ss = g->node[s].type.shape, s1 = ss;
    s1.dim[0] = 1;
    s = g_binary(m, g, NULL, OP_mul, s, g_splat(m, g, NULL, 1 / sqrt(HEAD), g->node[s].type));
    ValueId mk =
        g_table(m, g, NULL, module_add_table(m, DT_REAL, shape_of(2, (int32_t[]){SEQ, SEQ}), mask, sid(m, "mask")));
    s = named(m, g, g_binary(m, g, NULL, OP_add, s, g_broadcast(m, g, NULL, g_reshape(m, g, NULL, mk, s1), ss)), "s");
    ValueId p = named(m, g, g_softmax(m, g, NULL, s, 2), "p");
    ValueId o = g_reshape(m, g, NULL, g_matmul(m, g, NULL, v, p, false, true), shape_of(2, act));
    ValueId x2 = named(m, g,
                       g_binary(m, g, NULL, OP_add, x,
                                g_matmul(m, g, NULL, param(m, g, "layers.{L}.wo", layers, 2, sq), o, false, false)),
                       "x2");
    ValueId h = named(m, g, norm(m, g, x2, param(m, g, "layers.{L}.g2", layers, 1, vec)), "h");
    ValueId h1 = named(m, g, g_matmul(m, g, NULL, param(m, g, "layers.{L}.w1", layers, 2, up), h, false, false), "h1");
    ValueId h3 = named(m, g, g_matmul(m, g, NULL, param(m, g, "layers.{L}.w3", layers, 2, up), h, false, false), "h3");
    ValueId gate = named(
        m, g, g_binary(m, g, NULL, OP_mul, g_binary(m, g, NULL, OP_mul, h1, g_unary(m, g, NULL, OP_sigmoid, h1)), h3),
        "gate");
    ValueId y = g_matmul(m, g, NULL, param(m, g, "layers.{L}.w2", layers, 2, down), gate, false, false);
    graph_add_out(m, g, named(m, g, g_binary(m, g, NULL, OP_add, x2, y), "y"), 0);
    return g;
}

Module *rig_transformer(Arena *a, int32_t layers)
{
    Module       *m = module_new(a, interner_new(a), sources_new(a));
    const int32_t seq[] = {SEQ}, table[] = {VOCAB, DIM};
    m->name = sid(m, "Rig");
    Graph  *body = layer(m, layers), *g = module_add_graph(m, sid(m, "loss"));
    ValueId tok = graph_add_input(m, g, sid(m, "tokens"), type_of(DT_I32, 1, seq), true, (Span){0});
    ValueId target = graph_add_input(m, g, sid(m, "targets"), type_of(DT_I32, 1, seq), true, (Span){0});
    ValueId embed = param(m, g, "embed", 0, 2, table);
    ValueId x = g_transpose(m, g, NULL, g_binary(m, g, NULL, OP_gather, embed, tok), (uint8_t[]){1, 0});
    Node    rep = {.op = OP_repeat};
    rep.a.repeat.graph = body->id;
    rep.a.repeat.n = layers;
    rep.a.repeat.n_carry = 1;
    ValueId r = graph_add(m, g, &rep, &x, 1);
    ValueId y = named(m, g, g_proj(m, g, NULL, r, 0), "y");
    ValueId f = named(m, g, norm(m, g, y, param(m, g, "gf", 0, 1, (int32_t[]){DIM})), "f");
    ValueId z = named(m, g, g_matmul(m, g, NULL, embed, f, false, false), "z");
    Node    ce = {.op = OP_xent};
    ValueId e = graph_add(m, g, &ce, (ValueId[]){z, target}, 2);
    ValueId sum = g_reshape(m, g, NULL, g_sum(m, g, NULL, e, 1), (Shape){0});
    graph_add_out(m, g, g_binary(m, g, NULL, OP_div, sum, g_splat(m, g, NULL, SEQ, type_of(DT_REAL, 0, NULL))),
                  sid(m, "loss"));
    GROW(a, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){sid(m, "loss"), g->id, {0}};
    m->train_entry = sid(m, "loss");
    return m;
}

Module *rig_parameters(Arena *a)
{
    Module       *m = module_new(a, interner_new(a), sources_new(a));
    const int32_t seq[] = {SEQ}, table[] = {VOCAB, DIM}, square[] = {64, 64}, tall[] = {96, 64}, wide[] = {64, 96};
    const int32_t odd[] = {24, 40}, from[] = {40, 64}, added[] = {64, 32}, all[] = {128}, shorter[] = {24};
    m->name = sid(m, "Parameters");
    Graph  *g = module_add_graph(m, sid(m, "loss"));
    ValueId tok = graph_add_input(m, g, sid(m, "tokens"), type_of(DT_I32, 1, seq), true, (Span){0});
    ValueId x = g_transpose(m, g, NULL, g_binary(m, g, NULL, OP_gather, param(m, g, "embed", 0, 2, table), tok),
                            (uint8_t[]){1, 0});
    x = g_matmul(m, g, NULL, param(m, g, "square", 0, 2, square), x, false, false);
    x = g_matmul(m, g, NULL, param(m, g, "tall", 0, 2, tall), x, false, false);
    x = g_unary(m, g, NULL, OP_tanh, x);
    x = g_matmul(m, g, NULL, param(m, g, "wide", 0, 2, wide), x, false, false);
    x = g_binary(m, g, NULL, OP_add, x, param(m, g, "added", 0, 2, added));
    ValueId v = g_reshape(m, g, NULL, param(m, g, "long", 0, 1, all), shape_of(2, (int32_t[]){128, 1}));
    ValueId two = g_concat(m, g, NULL, (ValueId[]){x, x}, 2, 0);
    two = g_binary(m, g, NULL, OP_mul, two, g_broadcast(m, g, NULL, v, g->node[two].type.shape));
    x = g_slice(m, g, NULL, two, (int32_t[]){32, 0}, (int32_t[]){96, 32});
    x = g_matmul(m, g, NULL, param(m, g, "from", 0, 2, from), x, false, false);
    x = g_matmul(m, g, NULL, param(m, g, "odd", 0, 2, odd), x, false, false);
    ValueId s = g_reshape(m, g, NULL, param(m, g, "short", 0, 1, shorter), shape_of(2, (int32_t[]){24, 1}));
    x = g_binary(m, g, NULL, OP_mul, x, g_broadcast(m, g, NULL, s, g->node[x].type.shape));
    ValueId sum = g_reshape(m, g, NULL, g_sum(m, g, NULL, g_binary(m, g, NULL, OP_mul, x, x), 3), (Shape){0});
    graph_add_out(m, g, sum, sid(m, "loss"));
    GROW(a, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){sid(m, "loss"), g->id, {0}};
    m->train_entry = sid(m, "loss");
    return m;
}

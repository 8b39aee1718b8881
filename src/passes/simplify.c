/* simplify.c: clean-up to a fixpoint: rewriting, merging of equal values, removal of what nothing needs.
 *
 * A graph is rebuilt from its live nodes; every node passes through emit(), where the rules are asked first. Rebuilding
 * stops when it changes nothing, so the pass is idempotent. Regions are cleaned once each, and the interface between a
 * graph and its regions is trimmed in between (region.c). It runs before differentiation (`simplify`), where stop_grad
 * still means something, and after it (`algebra`). */
#include "passes/simplify.h"
#include "passes/switches.h"

#include <string.h>

enum { ROUNDS_MAX = 200 };

ValueId emit(Simp *s, const Node *proto, const ValueId *in, uint32_t n_in)
{
    if (!node_is_pure(proto))
        return graph_add(s->m, s->g, proto, in, n_in);
    Node  n = *proto;
    Type  small[8] = {{DT_NONE, {0}}}, *types = n_in <= COUNT(small) ? small : NEW_N(s->scratch, Type, n_in);
    Buf   err = {0};
    for (uint32_t i = 0; i < n_in; i++)
        types[i] = s->g->node[in[i]].type;
    if (!op_infer(s->m, &n, types, n_in, n_in ? &s->g->node[in[0]] : NULL, &err))
        bug("rewriting to '%s': %s", op_info[n.op].name, err.data);
    buf_free(&err);
    n.in_count = n_in;
    if (n_in > 0) {
        ValueId v = switched_on(s->m->off, SWITCH_constants) ? fold_constant(s, &n, in) : 0;
        if (!v)
            v = algebra_rule(s, &n, in);
        if (v) {
            s->rewrites++;
            return v;
        }
    }
    bool    merge = switched_on(s->m->off, SWITCH_cse);
    ValueId v = merge ? cse_find(s, &n, in, n_in) : 0;
    if (!v) {
        v = graph_add(s->m, s->g, &n, in, n_in);
        if (merge)
            cse_add(s, v);
    }
    return v;
}

/* R1: the transpose of a product nobody else reads is the product the other way round. */
static ValueId transposed_product(Simp *s, ValueId v)
{
    const Node *n = &s->from->node[v];
    uint32_t    rank = n->type.shape.rank;
    if (n->op != OP_transpose || !switched_on(s->m->off, SWITCH_transposed_product))
        return 0;
    ValueId     u = node_arg(s->from, v, 0);
    const Node *p = &s->from->node[u];
    if (p->op != OP_matmul || p->hint || s->uses[u] != 1)
        return 0;
    for (uint32_t i = 0; i + 2 < rank; i++)
        if (n->a.transpose.perm[i] != i)
            return 0;
    if (n->a.transpose.perm[rank - 1] != rank - 2)
        return 0;
    Node c = *n;
    c.op = OP_matmul;
    memset(&c.a, 0, sizeof c.a);
    c.a.matmul.ta = !p->a.matmul.tb;
    c.a.matmul.tb = !p->a.matmul.ta;
    s->rewrites++;
    return emit(s, &c, (ValueId[]){s->map[node_arg(s->from, u, 1)], s->map[node_arg(s->from, u, 0)]}, 2);
}

/* R5: c * (A B) -> (c * A) B for products of stacks of matrices of which A is smaller than the result and nobody else
 * reads the product: attention's scale moves from the scores to the queries. Before differentiation, so that the
 * adjoints follow; hints speak of the scores as they are. */
static ValueId sunk_scale(Simp *s, ValueId v)
{
    const Node *n = &s->from->node[v];
    if (n->op != OP_mul || n->hint || s->joint || n->type.dtype == DT_I32 ||
        !switched_on(s->m->off, SWITCH_scale_sinking))
        return 0;
    ValueId     u = node_arg(s->from, v, 0), made = s->map[u], factor = s->map[node_arg(s->from, v, 1)];
    const Node *p = &s->g->node[made]; /* the product with transposes absorbed */
    double      c;
    if (s->uses[u] != 1 || p->op != OP_matmul || p->hint || p->type.shape.rank < 3 || !is_splat(s, factor, &c))
        return 0;
    ValueId in[2] = {node_arg(s->g, made, 0), node_arg(s->g, made, 1)};
    int64_t size[2] = {shape_numel(s->g->node[in[0]].type.shape), shape_numel(s->g->node[in[1]].type.shape)};
    int     k = size[1] < size[0];
    if (size[k] >= shape_numel(p->type.shape))
        return 0;
    Node product = *p, scaled = *n, splat = s->g->node[factor];
    scaled.type = splat.type = s->g->node[in[k]].type;
    scaled.name = s->g->node[in[k]].name;
    product.name = n->name;
    ValueId pair[2] = {in[k], emit(s, &splat, NULL, 0)};
    in[k] = emit(s, &scaled, pair, 2);
    s->rewrites++;
    return emit(s, &product, in, 2);
}

static uint32_t *live_uses(Arena *a, const Graph *g, const bool *live)
{
    uint32_t *uses = NEW_N(a, uint32_t, g->count);
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; live[v] && i < g->node[v].in_count; i++)
            uses[node_arg(g, v, i)]++;
    for (uint32_t i = 0; i < g->outs; i++)
        uses[g->out[i]]++;
    return uses;
}

/* One round. True if the graph changed. */
static bool rebuild(Module *m, Graph *g, bool joint, Arena *scratch)
{
    const bool *live = graph_live(m, scratch, g);
    Simp        s = {.m = m, .scratch = scratch, .joint = joint, .from = g, .g = graph_successor(m, g)};
    s.map = NEW_N(scratch, ValueId, g->count);
    s.uses = live_uses(scratch, g, live);
    for (ValueId v = 1; v < g->count; v++) {
        if (!live[v])
            continue;
        const Node *n = &g->node[v];
        ValueId    *in = NEW_N(scratch, ValueId, n->in_count + 1u);
        s.at = v;
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = s.map[node_arg(g, v, i)];
        ValueId r = transposed_product(&s, v);
        if (!r)
            r = sunk_scale(&s, v);
        s.map[v] = r ? r : emit(&s, n, in, n->in_count);
    }
    if (s.rewrites == 0 && s.g->count == g->count)
        return false;
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, s.g, s.map[g->out[i]], g->out_name[i]);
    graph_replace(m, s.g);
    return true;
}

bool simplify_graph(Module *m, Graph *g, bool joint, Arena *scratch)
{
    bool any = false;
    for (int round = 0;; round++) {
        bool changed = rebuild(m, g, joint, scratch);
        changed = regions_trim(m, g, scratch) || changed;
        for (ValueId v = 1; v < g->count; v++) {
            const Node *n = &g->node[v];
            if (node_region(n))
                changed = simplify_graph(m, m->graph[node_region(n)], joint, scratch) || changed;
            if (n->op == OP_call && n->a.call.vjp)
                changed = simplify_graph(m, m->graph[n->a.call.vjp], joint, scratch) || changed;
        }
        if (!changed)
            return any;
        any = true;
        if (round == ROUNDS_MAX)
            bug("rewriting of '%s' does not come to an end", interned(m->strings, g->name));
    }
}

static PassResult simplify_module(PassCtx *cx, bool joint)
{
    Module *m = cx->m;
    bool    changed = false;
    module_unshare_regions(m, cx->scratch);
    for (uint32_t i = 0; i < m->entries; i++)
        changed = simplify_graph(m, m->graph[m->entry[i].graph], joint, cx->scratch) || changed;
    return changed ? PASS_CHANGED : PASS_SAME;
}

PassResult pass_simplify(PassCtx *cx)
{
    return simplify_module(cx, false);
}

PassResult pass_algebra(PassCtx *cx)
{
    return simplify_module(cx, true);
}

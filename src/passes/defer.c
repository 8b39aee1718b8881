/* defer.c: what of a parameter's gradient need not be computed for every micro-batch.
 *
 * The adjoint of a parameter expression, W * g say, is linear in the contraction G over positions: dW = G * g, and
 * dg = the column sums of W * G. The coefficients change only with an update, so
 *
 *     sum over micro-batches of tail(G)  =  tail(sum over micro-batches of G)
 *
 * and the tail runs once per update: its nodes get ROLE_UPD. A backward value that one of them reads means the sum of
 * that value since the last update; whoever runs the graph adds it up (the plan has accumulators for it). In a graph
 * evaluated once the two are the same.
 *
 * A sink of several terms becomes a sink for each, so that what has no tail still goes to the gradient directly. */
#include "passes/pass.h"
#include "passes/taps.h"

typedef struct {
    Module      *m;
    const Graph *from;
    Graph       *to;
    const bool  *tail;
    ValueId     *map; /* from -> to, as they were */
    ValueId     *upd; /* from -> to, with ROLE_UPD; 0 = not there */
} Defer;

/* `v` as a value of the update: tails and parameter expressions are made there, of everything else the sum is read. */
static ValueId in_update(Defer *d, ValueId v, Arena *scratch)
{
    const Node *n = &d->from->node[v];
    bool        expr = n->in_count && (is_param_expr(d->from, v) || n->device == DEV_ANY);
    if (!d->tail[v] && !(expr && node_is_pure(n) && n->op != OP_proj))
        return d->map[v];
    if (!d->upd[v]) {
        ValueId *in = NEW_N(scratch, ValueId, n->in_count + 1u);
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = in_update(d, node_arg(d->from, v, i), scratch);
        Node copy = *n;
        copy.role = ROLE_UPD;
        d->upd[v] = graph_add(d->m, d->to, &copy, in, n->in_count);
    }
    return d->upd[v];
}

static bool passes_through(const Node *n)
{
    return n->op == OP_add || n->op == OP_reshape;
}

/* Has the sum of contributions `v` a term with a tail of its own? */
static bool has_tail(const Defer *d, ValueId v)
{
    const Node *n = &d->from->node[v];
    if (!d->tail[v])
        return false;
    if (!passes_through(n))
        return true;
    for (uint32_t i = 0; i < n->in_count; i++)
        if (has_tail(d, node_arg(d->from, v, i)))
            return true;
    return false;
}

/* One sink for each term of `v`. */
static void sink_terms(Defer *d, const Node *sink, ValueId v, Arena *scratch)
{
    const Node *n = &d->from->node[v];
    if (d->tail[v] && passes_through(n)) {
        for (uint32_t i = 0; i < n->in_count; i++)
            sink_terms(d, sink, node_arg(d->from, v, i), scratch);
        return;
    }
    Node    s = *sink, like = *n;
    ValueId x = d->map[v];
    if (d->tail[v]) {
        x = in_update(d, v, scratch);
        s.role = ROLE_UPD;
    }
    like.role = s.role;
    like.hint = 0;
    like.device = DEV_CPU;
    like.program = 0;
    Shape want = d->m->param[d->m->param_set[s.a.leaf.set].leaf[0]].type.shape;
    if (!shape_equal(want, n->type.shape)) {
        x = g_reshape(d->m, d->to, &like, x, want);
        d->to->node[x].device = DEV_CPU;
    }
    graph_add(d->m, d->to, &s, &x, 1);
}

/* Without what nothing needs any more. */
static void drop_dead(Module *m, Graph *g, Arena *scratch)
{
    const bool *live = graph_live(m, scratch, g);
    ValueId    *map = NEW_N(scratch, ValueId, g->count);
    Graph      *to = graph_successor(m, g);
    for (ValueId v = 1; v < g->count; v++)
        if (live[v])
            map[v] = graph_copy_node(m, to, g, v, map);
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
    graph_replace(m, to);
}

static bool defer_graph(Module *m, Graph *g, Arena *scratch)
{
    Defer d = {.m = m, .from = g, .tail = gradient_tails(scratch, g)};
    bool  any = false;
    for (ValueId v = 1; v < g->count; v++) {
        if (node_region(&g->node[v]))
            any = defer_graph(m, m->graph[node_region(&g->node[v])], scratch) || any;
    }
    bool here = false;
    for (ValueId v = 1; v < g->count; v++)
        here = here || (g->node[v].op == OP_grad && has_tail(&d, node_arg(g, v, 0)));
    if (!here)
        return any;
    d.to = graph_successor(m, g);
    d.map = NEW_N(scratch, ValueId, g->count);
    d.upd = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op != OP_grad)
            d.map[v] = graph_copy_node(m, d.to, g, v, d.map);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op != OP_grad)
            continue;
        if (has_tail(&d, node_arg(g, v, 0)))
            sink_terms(&d, n, node_arg(g, v, 0), scratch);
        else
            graph_copy_node(m, d.to, g, v, d.map);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, d.to, d.map[g->out[i]], g->out_name[i]);
    graph_split_roles(m, d.to, scratch);
    graph_replace(m, d.to);
    drop_dead(m, g, scratch);
    return true;
}

PassResult pass_defer(PassCtx *cx)
{
    PassResult r = PASS_SAME;
    for (uint32_t i = 0; i < cx->m->entries; i++)
        if (defer_graph(cx->m, cx->m->graph[cx->m->entry[i].graph], cx->scratch))
            r = PASS_CHANGED;
    return r;
}

/* place_copies.c: a broadcast is made where it is read.
 *
 * What crosses between the CPU and a program is the broadcast's operand: a row [1, S] instead of [C, S]. A number
 * cannot enter or leave a program, nor can a column, so their last axis grows first, where they come from. */
#include "passes/place.h"

Type crossing_form(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    if (n->op != OP_broadcast)
        return n->type;
    Type t = g->node[node_in(g, n)[0]].type;
    t.shape.dim[t.shape.rank - 1] = n->type.shape.dim[t.shape.rank - 1];
    return t;
}

typedef struct {
    Module      *m;
    const Graph *from;
    Graph       *to;
    const Place *at;
    ValueId     *map, *copy; /* of values of `from`: here, and on the other device */
} Copies;

/* Who reads broadcasts: devices other than the broadcast's own, and everybody else. */
static void find_readers(const Graph *g, const Place *at, bool *other, bool *own)
{
    for (ValueId w = 1; w < g->count; w++)
        for (uint32_t i = 0; i < g->node[w].in_count; i++) {
            ValueId v = node_arg(g, w, i);
            bool    crosses = g->node[v].op == OP_broadcast && at[v] != DEV_ANY && at[w] != DEV_ANY && at[w] != at[v];
            (crosses ? other : own)[v] = true;
        }
    for (uint32_t i = 0; i < g->outs; i++)
        own[g->out[i]] = true;
}

/* `x`: the operand in the new graph. */
static void add_copy(Copies *c, ValueId v, ValueId x)
{
    Node n = c->from->node[v];
    Type full = n.type, form = crossing_form(c->from, v);
    n.device = c->at[v];
    n.type = form;
    if (!type_equal(c->to->node[x].type, form))
        x = graph_add(c->m, c->to, &n, &x, 1);
    n.device = c->at[v] == DEV_ANE ? DEV_CPU : DEV_ANE;
    n.type = full;
    c->copy[v] = graph_add(c->m, c->to, &n, &x, 1);
}

void place_copies(PassCtx *cx, Graph *g, const Place *at)
{
    bool *other = NEW_N(cx->scratch, bool, g->count), *own = NEW_N(cx->scratch, bool, g->count), any = false;
    find_readers(g, at, other, own);
    for (ValueId v = 1; v < g->count; v++) {
        g->node[v].device = at[v];
        any |= other[v];
    }
    if (!any)
        return;
    Copies c = {cx->m, g, graph_successor(cx->m, g), at, NULL, NULL};
    c.map = NEW_N(cx->scratch, ValueId, g->count);
    c.copy = NEW_N(cx->scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        ValueId *in = NEW_N(cx->scratch, ValueId, g->node[v].in_count + 1u);
        for (uint32_t i = 0; i < g->node[v].in_count; i++) {
            ValueId u = node_arg(g, v, i);
            in[i] = c.copy[u] && at[v] != DEV_ANY && at[v] != at[u] ? c.copy[u] : c.map[u];
        }
        if (own[v] || !other[v])
            c.map[v] = graph_add(cx->m, c.to, &g->node[v], in, g->node[v].in_count);
        if (other[v])
            add_copy(&c, v, in[0]);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(cx->m, c.to, c.map[g->out[i]], g->out_name[i]);
    graph_replace(cx->m, c.to);
}

/* fold_pass.c: the pass `fold`: gains and orders of rows become part of the weights, before differentiation.
 *
 * Entries that keep states are left as they are: what they keep must mean the same from call to call, and they decode a
 * few positions at a time, which is the CPU's work. */
#include "passes/fold.h"
#include "passes/simplify.h"

enum { ROW_MIN = 16 };

bool fold_refuses(const Module *m, const Graph *g, ValueId v)
{
    Shape y = g->node[v].type.shape, w = g->node[node_arg(g, v, 0)].type.shape;
    for (uint32_t i = 0; i < w.rank; i++)
        if (w.dim[i] > m->target->max_axis)
            return true;
    return y.dim[y.rank - 1] < ROW_MIN;
}

static bool has_states(const Module *m, const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_state || n->op == OP_state_set || (node_region(n) && has_states(m, m->graph[node_region(n)])))
            return true;
    }
    return false;
}

static bool fold_graph(Module *m, Graph *g, Arena *scratch)
{
    bool changed = fold_gains(m, g, scratch);
    changed = fold_rope(m, g, scratch) || changed;
    changed = fold_stack(m, g, scratch) || changed;
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_repeat)
            changed = fold_graph(m, m->graph[g->node[v].a.repeat.graph], scratch) || changed;
    return changed;
}

PassResult pass_fold(PassCtx *cx)
{
    Module    *m = cx->m;
    PassResult r = PASS_SAME;
    for (uint32_t i = 0; i < m->entries; i++) {
        Graph *g = m->graph[m->entry[i].graph];
        if (has_states(m, g) || !fold_graph(m, g, cx->scratch))
            continue;
        simplify_graph(m, g, false, cx->scratch);
        r = PASS_CHANGED;
    }
    return r;
}

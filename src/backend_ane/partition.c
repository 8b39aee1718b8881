/* partition.c: cut the ANE nodes of a graph into programs by levels.
 *
 * A program runs without interruption, so a CPU node (or a repeat) that reads one program and feeds another separates
 * them. The *level* of a node counts the programs that must have ended before it: ANE nodes on a path share a level,
 * every step from the ANE to the CPU and every step from the forward to the backward direction adds one. Nodes of one
 * level and role form one program: the fewest programs that placement allows, and acyclic, because no edge leads to a
 * lower level and an edge inside a level never passes through the CPU. #[cut] adds a level where an edge enters or leaves its
 * region.
 *
 * Levels are first computed as early as possible; then nodes whose readers all sit on the ANE sink to the earliest of
 * their readers, so that a recomputed value joins the program that wants it. */
#include "backend_ane/partition.h"

#include <string.h>

bool is_constant(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    while (n->op == OP_reshape || n->op == OP_broadcast || (n->op == OP_transpose && n->type.shape.rank == 2))
        n = &g->node[node_in(g, n)[0]];
    return n->op == OP_param || n->op == OP_const || is_param_expr(g, v);
}

static bool on_ane(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    return n->device == DEV_ANE && n->op != OP_input && !is_constant(g, v);
}

/* Must a program end between `u` and its reader `v`? */
static bool separated(const Module *m, const Graph *g, ValueId u, ValueId v)
{
    const Node *s = &g->node[u], *n = &g->node[v];
    return !on_ane(g, v) || s->role != n->role || m->hint[s->hint].cut != m->hint[n->hint].cut;
}

/* Earliest level of every node. For CPU nodes: the number of programs that must have ended. */
static void early(const Module *m, const Graph *g, uint32_t *level)
{
    for (ValueId v = 1; v < g->count; v++) {
        uint32_t l = 0;
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId  u = node_arg(g, v, k);
            uint32_t from = level[u];
            if (on_ane(g, u) && separated(m, g, u, v))
                from++;
            if (from > l)
                l = from;
        }
        level[v] = l;
    }
}

/* Sink ANE nodes towards their readers. */
static void late(const Module *m, const Graph *g, uint32_t *level, uint32_t *bound)
{
    for (ValueId v = 1; v < g->count; v++)
        bound[v] = UINT32_MAX;
    for (uint32_t i = 0; i < g->outs; i++)
        bound[g->out[i]] = level[g->out[i]];
    for (ValueId v = g->count; v-- > 1;) {
        if (on_ane(g, v) && bound[v] != UINT32_MAX && bound[v] > level[v])
            level[v] = bound[v];
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            if (!on_ane(g, u))
                continue;
            /* A reader in another program wants the value no later than it was planned. */
            uint32_t b = separated(m, g, u, v) ? level[u] : level[v];
            if (b < bound[u])
                bound[u] = b;
        }
    }
}

Partition partition(Arena *a, const Module *m, const Graph *g)
{
    Partition p = {NEW_N(a, uint32_t, g->count), 0};
    uint32_t *level = NEW_N(a, uint32_t, g->count), *bound = NEW_N(a, uint32_t, g->count);
    early(m, g, level);
    late(m, g, level, bound);
    uint32_t top = 0;
    for (ValueId v = 1; v < g->count; v++)
        if (level[v] > top)
            top = level[v];
    uint32_t *number = NEW_N(a, uint32_t, (top + 1) * 2);
    for (uint32_t role = ROLE_FWD; role <= ROLE_BWD; role++)
        for (uint32_t l = 0; l <= top; l++)
            for (ValueId v = 1; v < g->count; v++)
                if (on_ane(g, v) && level[v] == l && g->node[v].role == (Role)role) {
                    if (!number[l * 2 + role])
                        number[l * 2 + role] = ++p.programs;
                    p.program[v] = number[l * 2 + role];
                }
    return p;
}

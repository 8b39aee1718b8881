/* fold_stack.c: R10: small products of several weights with one activation become one product.
 *
 *     W1 x, W2 x, W3 x   ->   slices of (W1 over W2 over W3) x
 *
 * The stacked weight is a parameter expression, the slices are views of contiguous channels. It pays while a product is
 * so small that it costs the engine one task whatever its size: up to 2^19 weights at 256 positions, in one project's
 * measurements of M1 and M2; beyond, the tasks add up and a slice is one more. The adjoints follow: one product for the
 * cotangent of x, one for the gradient of all weights, which is taken apart once per update. Frozen and trained weights
 * are not stacked on each other: frozen ones have no gradient, and may stay as they are in a program while the others
 * change. Switch: stack_products. */
#include "passes/fold.h"
#include "passes/switches.h"

enum { STACK_WEIGHTS = 1 << 19, STACK_MAX = 8 };

/* A product of a matrix made of parameters, as it stands, with `x`; nothing is wished of it that a slice could not
 * keep. */
static bool is_member(const Module *m, const Graph *g, ValueId v, ValueId x)
{
    const Node *n = &g->node[v];
    if (n->op != OP_matmul || n->type.shape.rank != 2 || n->a.matmul.ta || n->a.matmul.tb || n->type.dtype != DT_REAL)
        return false;
    const Hint *h = &m->hint[n->hint];
    bool        wish = n->hint && (h->save || h->recompute || h->f32 || h->place != PLACE_FREE);
    return !wish && node_arg(g, v, 1) == x && is_param_expr(g, node_arg(g, v, 0)) && !is_param_expr(g, x) &&
           !fold_refuses(m, g, v);
}

/* The products that join `first`, in order, as long as their weights together are small; group and cut must be the
 * same. */
static uint32_t members(const Module *m, const Graph *g, ValueId first, const bool *taken, ValueId *member)
{
    ValueId  x = node_arg(g, first, 1);
    int64_t  weights = 0;
    bool     trained = is_trained_expr(m, g, node_arg(g, first, 0));
    uint32_t n = 0;
    for (ValueId v = first; v < g->count && n < STACK_MAX; v++) {
        if (taken[v] || !is_member(m, g, v, x) || g->node[v].role != g->node[first].role ||
            g->node[v].hint != g->node[first].hint || is_trained_expr(m, g, node_arg(g, v, 0)) != trained)
            continue;
        int64_t w = shape_numel(g->node[node_arg(g, v, 0)].type.shape);
        if (weights + w > STACK_WEIGHTS)
            break;
        weights += w;
        member[n++] = v;
    }
    return n;
}

/* The stacked product stands where the first of its members stood, so every weight must be there by then: leaves and
 * their expressions are copied in front of it. */
static ValueId copy_weight(Module *m, Graph *to, const Graph *from, ValueId w, ValueId *map)
{
    if (!map[w]) {
        for (uint32_t k = 0; k < from->node[w].in_count; k++)
            copy_weight(m, to, from, node_arg(from, w, k), map);
        map[w] = graph_copy_node(m, to, from, w, map);
    }
    return map[w];
}

/* Other rewrites leave behind what they replaced: stacked with what is read it would be computed after all. */
static bool *unread(const Graph *g, Arena *scratch)
{
    bool *dead = NEW_N(scratch, bool, g->count);
    for (ValueId v = 1; v < g->count; v++)
        dead[v] = node_is_pure(&g->node[v]);
    for (uint32_t i = 0; i < g->outs; i++)
        dead[g->out[i]] = false;
    for (ValueId v = g->count - 1; v > 0; v--)
        for (uint32_t k = 0; !dead[v] && k < g->node[v].in_count; k++)
            dead[node_arg(g, v, k)] = false;
    return dead;
}

bool fold_stack(Module *m, Graph *g, Arena *scratch)
{
    if (!switched_on(m->off, SWITCH_stack_products))
        return false;
    bool    *taken = unread(g, scratch), changed = false;
    ValueId *map = NEW_N(scratch, ValueId, g->count);
    Graph   *to = graph_successor(m, g);
    for (ValueId v = 1; v < g->count; v++) {
        ValueId  member[STACK_MAX], weight[STACK_MAX];
        uint32_t n = 0;
        if (map[v])
            continue;
        if (!taken[v] && g->node[v].op == OP_matmul && is_member(m, g, v, node_arg(g, v, 1)))
            n = members(m, g, v, taken, member);
        if (n < 2) {
            map[v] = graph_copy_node(m, to, g, v, map);
            continue;
        }
        Node    like = g->node[v];
        int32_t row = 0;
        for (uint32_t i = 0; i < n; i++)
            weight[i] = copy_weight(m, to, g, node_arg(g, member[i], 0), map);
        like.name = 0;
        ValueId all = g_matmul(m, to, &like, g_concat(m, to, &to->node[weight[0]], weight, n, 0),
                               map[node_arg(g, v, 1)], false, false);
        for (uint32_t i = 0; i < n; i++) {
            const Node *y = &g->node[member[i]];
            int32_t     rows = y->type.shape.dim[0], begin[2] = {row, 0}, end[2] = {row + rows, y->type.shape.dim[1]};
            map[member[i]] = g_slice(m, to, y, all, begin, end);
            taken[member[i]] = true;
            row += rows;
        }
        changed = true;
    }
    if (!changed)
        return false;
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
    graph_replace(m, to);
    return true;
}

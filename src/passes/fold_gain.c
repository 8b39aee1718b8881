/* fold_gain.c: the gain of a normalisation becomes part of the weights that read its result.
 *
 *     matmul(W, xh * g)        ->  matmul(W * g, xh)               g spread over W's rows
 *     matmul(W, xh * g + b)    ->  matmul(W * g, xh) + W b         the shift of a layer norm: one column
 *
 * where every reader of the product xh * g is such a matmul. W * g and W b are parameter expressions (ir/param_expr.c):
 * they are computed when weights are baked. The rewrite comes before differentiation, so its adjoints are those of the
 * new graph, and exact: with G = dy xh^T, dW = G * g and dg = the column sums of W * G, once per update (defer.c).
 * Neither the forward nor the backward program then holds xh * g, nor its cotangent, nor the reduction over positions
 * for dg.
 *
 * Left alone: gains per head (three axes), a trained gain before a frozen weight (W * g would change with every update,
 * and its gradient is as large as the W that has none), products that something else reads too, weights that are read otherwise (a
 * tied embedding) or whose product the CPU computes (fold_refuses()), values with a wish of their own (#[save],
 * #[place], ...), entries with states; and all gains on targets whose norms' adjoints are the CPU's, which wants the
 * norm as it is. Switch: fold_gain. */
#include "passes/fold.h"
#include "passes/switches.h"

typedef struct {
    Module      *m;
    const Graph *from;
    Graph       *to;
    ValueId     *map;
    /* of values of `from`, 0 where there is nothing to fold: */
    ValueId *core, *gain;  /* v = core * gain, [C, S] * spread [C, 1] */
    ValueId *inner, *shift; /* v = inner + shift, inner = core * gain */
    /* of values of `to`: matmul + shift, to merge with a bias */
    ValueId *plain, *column;
} Gains;

/* Does the value carry a wish that folding would not respect? Groups and cuts are about regions, not values. */
static bool has_wish(const Module *m, const Node *n)
{
    const Hint *h = &m->hint[n->hint];
    return n->hint && (h->save || h->recompute || h->f32 || h->place != PLACE_FREE);
}

/* The column behind a [C, 1] spread over positions that is made of parameters, or 0. */
static ValueId column_behind(const Graph *g, ValueId v)
{
    ValueId  source;
    uint32_t axis;
    return spread_of(g, v, &source, &axis) && axis == 1 && is_param_expr(g, source) ? source : 0;
}

/* v = x OP spread column, either way round. */
static bool split(const Gains *f, ValueId v, Op op, ValueId *x, ValueId *column)
{
    const Node *n = &f->from->node[v];
    if (n->op != op || n->type.shape.rank != 2 || has_wish(f->m, n))
        return false;
    for (uint32_t k = 0; k < 2; k++) {
        *x = node_arg(f->from, v, !k);
        *column = column_behind(f->from, node_arg(f->from, v, k));
        if (*column && !is_param_expr(f->from, *x))
            return true;
    }
    return false;
}

static bool weight_product(const Gains *f, const bool *weight, ValueId v, uint32_t k)
{
    const Node *n = &f->from->node[v];
    return n->op == OP_matmul && k == 1 && n->type.shape.rank == 2 && !n->a.matmul.tb && !has_wish(f->m, n) &&
           weight[node_arg(f->from, v, 0)] && !fold_refuses(f->m, f->from, v);
}

/* Matrices made of parameters that are read as the left operands of products and by nothing else. */
static bool *weights(const Gains *f, Arena *scratch)
{
    bool *is = NEW_N(scratch, bool, f->from->count);
    for (ValueId v = 1; v < f->from->count; v++) {
        const Node *n = &f->from->node[v];
        is[v] = n->op != OP_const && n->type.shape.rank == 2 && is_param_expr(f->from, v);
        for (uint32_t k = 0; k < n->in_count; k++)
            if (n->op != OP_matmul || k != 0 || node_arg(f->from, v, 1) == node_arg(f->from, v, 0))
                is[node_arg(f->from, v, k)] = false;
    }
    for (uint32_t i = 0; i < f->from->outs; i++)
        is[f->from->out[i]] = false;
    return is;
}

static bool folds(const Gains *f, ValueId gain, bool into_frozen)
{
    return !into_frozen || !is_trained_expr(f->m, f->from, gain);
}

static bool analyse(Gains *f, Arena *scratch)
{
    const Graph *g = f->from;
    const bool  *weight = weights(f, scratch);
    bool *only = NEW_N(scratch, bool, g->count), any = false; /* read by products with weights and nothing else */
    bool        *frozen = NEW_N(scratch, bool, g->count); /* read by a product with a frozen weight */
    uint32_t    *uses = graph_uses(scratch, g);
    for (ValueId v = 1; v < g->count; v++)
        only[v] = true;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++)
            if (!weight_product(f, weight, v, k))
                only[node_arg(g, v, k)] = false;
            else
                frozen[node_arg(g, v, k)] |= !is_trained_expr(f->m, g, node_arg(g, v, 0));
    for (uint32_t i = 0; i < g->outs; i++)
        only[g->out[i]] = false;
    for (ValueId v = 1; v < g->count; v++) {
        ValueId x, c;
        if (uses[v] && only[v] && split(f, v, OP_mul, &x, &c) && folds(f, c, frozen[v])) {
            f->core[v] = x;
            f->gain[v] = c;
            any = true;
        } else if (uses[v] && only[v] && split(f, v, OP_add, &x, &c)) {
            ValueId core, gain;
            if (uses[x] != 1 || !split(f, x, OP_mul, &core, &gain) || !folds(f, gain, frozen[v]))
                continue;
            f->core[v] = core;
            f->gain[v] = gain;
            f->inner[v] = x;
            f->shift[v] = c;
            any = true;
        }
    }
    return any;
}

/* W with its contracted axis multiplied by the gain [C, 1]. */
static ValueId scaled_weight(Gains *f, ValueId w, ValueId gain, bool transposed)
{
    Node like = f->to->node[w];
    like.hint = 0;
    Shape   s = like.type.shape;
    int32_t row[2] = {1, s.dim[1]};
    ValueId g = gain;
    if (!transposed)
        g = g_reshape(f->m, f->to, &like, g, shape_of(2, row));
    return g_binary(f->m, f->to, &like, OP_mul, w, g_broadcast(f->m, f->to, &like, g, s));
}

static ValueId folded_product(Gains *f, ValueId v)
{
    const Node *n = &f->from->node[v];
    ValueId     x = node_arg(f->from, v, 1), w = f->map[node_arg(f->from, v, 0)];
    bool        ta = n->a.matmul.ta;
    ValueId     wg = scaled_weight(f, w, f->map[f->gain[x]], ta);
    ValueId     y = g_matmul(f->m, f->to, n, wg, f->map[f->core[x]], ta, false);
    if (!f->shift[x])
        return y;
    Node    like = f->to->node[w];
    ValueId column = g_matmul(f->m, f->to, &like, w, f->map[f->shift[x]], ta, false);
    ValueId all = g_broadcast(f->m, f->to, n, column, n->type.shape);
    ValueId sum = g_binary(f->m, f->to, n, OP_add, y, all);
    f->plain[v] = y;
    f->column[v] = column;
    return sum;
}

/* (W xh + W b) + bias: one column. */
static ValueId merged_bias(Gains *f, ValueId v)
{
    const Node *n = &f->from->node[v];
    ValueId     x, c;
    if (!split(f, v, OP_add, &x, &c) || !f->plain[x])
        return 0;
    ValueId column = g_binary(f->m, f->to, &f->to->node[f->column[x]], OP_add, f->column[x], f->map[c]);
    return g_binary(f->m, f->to, n, OP_add, f->plain[x], g_broadcast(f->m, f->to, n, column, n->type.shape));
}

bool fold_gains(Module *m, Graph *g, Arena *scratch)
{
    Gains f = {.m = m, .from = g};
    if (!switched_on(m->off, SWITCH_fold_gain) || m->target->norm_backward == WHERE_CPU)
        return false;
    ValueId **list[] = {&f.map, &f.core, &f.gain, &f.inner, &f.shift, &f.plain, &f.column};
    for (size_t i = 0; i < COUNT(list); i++)
        *list[i] = NEW_N(scratch, ValueId, g->count);
    if (!analyse(&f, scratch))
        return false;
    f.to = graph_successor(m, g);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        ValueId     made = 0;
        if (n->op == OP_matmul && f.core[node_arg(g, v, 1)])
            made = folded_product(&f, v);
        else if (n->op == OP_add)
            made = merged_bias(&f, v);
        f.map[v] = made ? made : graph_copy_node(m, f.to, g, v, f.map);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, f.to, f.map[g->out[i]], g->out_name[i]);
    graph_replace(m, f.to);
    return true;
}

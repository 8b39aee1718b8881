/* weights.c: the last steps of parameters' gradients: what the CPU computes between the engine's cotangents and the
 * `grad` sinks.
 *
 * "Everything that leads to sinks only" would be too much: in a graph without repeats that is the whole backward
 * direction. So the walk from a sink back takes what has the parameter's shape (sums of contributions, views, factors)
 * up to and including one contraction over positions: a product of two activations, g x^T (but not W^T g, which has a
 * parameter as operand and is the cotangent of an activation), or a sum with the product g * x under it. */
#include "passes/taps.h"

typedef enum { UNREAD, STEP, SUMMED, OTHER } Stage; /* the largest of what the readers say */

/* Expressions of constants alone; `with_parameter`: those with a parameter among them. */
static bool *expressions(Arena *a, const Graph *g, bool with_parameter)
{
    bool *constant = NEW_N(a, bool, g->count), *has = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        has[v] = n->op == OP_param;
        constant[v] = has[v] || n->op == OP_const || (n->in_count > 0 && op_info[n->op].has_mil);
        for (uint32_t i = 0; i < n->in_count; i++) {
            constant[v] &= constant[node_arg(g, v, i)];
            has[v] |= has[node_arg(g, v, i)];
        }
        has[v] &= constant[v];
    }
    return with_parameter ? has : constant;
}

bool *constant_expressions(Arena *a, const Graph *g)
{
    return expressions(a, g, false);
}

/* What `v`, itself in stage `s`, says of its operands. */
static Stage below(const Graph *g, ValueId v, Stage s)
{
    const Node *n = &g->node[v];
    switch (n->op) {
    case OP_grad:
        return STEP;
    case OP_reshape:
    case OP_transpose:
    case OP_neg:
        return s;
    case OP_add:
    case OP_sub:
    case OP_slice:
    case OP_pad:
    case OP_concat:
    case OP_cast:
        return s == STEP ? STEP : OTHER;
    case OP_mul: /* by a constant */
        return s == STEP && g->node[node_arg(g, v, 1)].op == OP_const ? STEP : OTHER;
    case OP_sum:
        return s == STEP ? SUMMED : OTHER;
    default:
        return OTHER;
    }
}

bool *weight_gradients(Arena *a, const Graph *g)
{
    const bool *param = expressions(a, g, true);
    Stage      *stage = NEW_N(a, Stage, g->count);
    bool       *is = NEW_N(a, bool, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        stage[g->out[i]] = OTHER;
    for (ValueId v = g->count - 1; v > 0; v--) {
        const Node *n = &g->node[v];
        Stage       s = n->op == OP_grad ? STEP : stage[v];
        if (!node_is_pure(n) && n->op != OP_grad)
            s = OTHER;
        if (n->op == OP_matmul && (param[node_arg(g, v, 0)] || param[node_arg(g, v, 1)]))
            s = OTHER;
        if (s == SUMMED && n->op != OP_mul && n->op != OP_reshape && n->op != OP_transpose && n->op != OP_neg)
            s = OTHER;
        is[v] = s == STEP || s == SUMMED;
        Stage say = is[v] ? below(g, v, s) : OTHER;
        for (uint32_t i = 0; i < n->in_count; i++) {
            ValueId u = node_arg(g, v, i);
            stage[u] = say > stage[u] ? say : stage[u];
        }
    }
    return is;
}

/* weights.c: the last steps of parameters' gradients: what the CPU computes between the engine's cotangents and the
 * `grad` sinks.
 *
 * "Everything that leads to sinks only" would be too much: in a graph without repeats that is the whole backward
 * direction. So the walk from a sink back takes what has the parameter's shape (sums of contributions, views, factors,
 * products with parameters: the adjoint of a parameter expression) up to and including one contraction over positions:
 * a product of two activations, g x^T (but not W^T g, which has a parameter as operand and is the cotangent of an
 * activation), or a sum with the product g * x under it.
 *
 * What comes after the contraction is linear in its result, with coefficients that change only with an update: a
 * *tail*. The defer pass makes it run once per update. */
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

static bool is_coefficient(const Graph *g, ValueId v)
{
    return g->node[v].op == OP_const || is_param_expr(g, v);
}

/* A tensor of parameters, not a vector spread over what may be positions. */
static bool is_weight(const Graph *g, ValueId v)
{
    return g->node[v].op != OP_broadcast && is_param_expr(g, v);
}

static bool is_vector(Shape s)
{
    int64_t most = 1;
    for (uint32_t i = 0; i < s.rank; i++)
        most = s.dim[i] > most ? s.dim[i] : most;
    return shape_numel(s) == most;
}

/* A product of a parameter and one column or row, in either order: the operand that is no parameter, else -1. */
static int vector_operand(const Graph *g, const Node *n)
{
    for (uint32_t k = 0; k < 2 && n->op == OP_matmul; k++)
        if (is_param_expr(g, node_in(g, n)[!k]) && !is_param_expr(g, node_in(g, n)[k]) &&
            is_vector(g->node[node_in(g, n)[k]].type.shape))
            return (int)k;
    return -1;
}

/* Values that are products with a weight, or sums of such. */
static bool *weighted_values(Arena *a, const Graph *g)
{
    bool *is = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_mul)
            is[v] = is_weight(g, node_arg(g, v, 0)) || is_weight(g, node_arg(g, v, 1));
        else if (n->op == OP_add || n->op == OP_sub)
            is[v] = is[node_arg(g, v, 0)] && is[node_arg(g, v, 1)];
    }
    return is;
}

/* What `v`, itself in stage `s`, says of its operands. */
static Stage below(const Graph *g, const bool *weighted, ValueId v, Stage s)
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
        return s == STEP || weighted[v] ? s : OTHER;
    case OP_slice:
    case OP_pad:
    case OP_concat:
    case OP_cast:
        return s == STEP ? STEP : OTHER;
    case OP_mul:
        for (uint32_t k = 0; k < 2; k++)
            if (s == STEP ? is_coefficient(g, node_arg(g, v, k)) : is_weight(g, node_arg(g, v, k)))
                return STEP;
        return OTHER;
    case OP_matmul:
        return s == STEP && vector_operand(g, n) >= 0 ? STEP : OTHER;
    case OP_sum:
        return s == STEP ? SUMMED : OTHER;
    default:
        return OTHER;
    }
}

bool *weight_gradients(Arena *a, const Graph *g)
{
    const bool *weighted = weighted_values(a, g), *param = expressions(a, g, true);
    Stage      *stage = NEW_N(a, Stage, g->count);
    bool       *is = NEW_N(a, bool, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        stage[g->out[i]] = OTHER;
    for (ValueId v = g->count - 1; v > 0; v--) {
        const Node *n = &g->node[v];
        Stage       s = n->op == OP_grad ? STEP : stage[v];
        if (!node_is_pure(n) && n->op != OP_grad)
            s = OTHER;
        if (n->op == OP_matmul && vector_operand(g, n) < 0 &&
            (param[node_arg(g, v, 0)] || param[node_arg(g, v, 1)]))
            s = OTHER;
        if (s == SUMMED && !weighted[v] && n->op != OP_mul && n->op != OP_reshape && n->op != OP_transpose &&
            n->op != OP_neg)
            s = OTHER;
        is[v] = s == STEP || s == SUMMED;
        Stage say = is[v] ? below(g, weighted, v, s) : OTHER;
        for (uint32_t i = 0; i < n->in_count; i++) {
            ValueId u = node_arg(g, v, i);
            stage[u] = say > stage[u] ? say : stage[u];
        }
    }
    return is;
}

bool *gradient_tails(Arena *a, const Graph *g)
{
    const bool *is = weight_gradients(a, g), *weighted = weighted_values(a, g);
    bool       *tail = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (!is[v] || n->op == OP_grad || is_param_expr(g, v))
            continue;
        if (n->op == OP_sum) /* of products with weights: over the weights' axes, not over positions */
            tail[v] = tail[node_arg(g, v, 0)] && weighted[node_arg(g, v, 0)];
        else
            tail[v] = below(g, weighted, v, STEP) == STEP;
    }
    return tail;
}

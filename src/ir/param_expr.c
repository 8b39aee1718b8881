/* param_expr.c: values made of parameters alone: W with its columns multiplied by a gain, W with its rows in another
 * order, rows of several matrices under each other.
 *
 * Such a value changes only when parameters do. A program that reads one has it as a weight of its own, made when
 * weights are baked (the recipes of plan/plan.h have the same forms, so that every parameter expression has a recipe);
 * a step of the CPU that reads one computes it. What may be in one is kept small on purpose: every form must be checked
 * and evaluated by the runtime. */
#include "ir/graph.h"

bool is_trained_set(const Module *m, uint32_t set)
{
    const LeafSet *s = &m->param_set[set];
    for (uint32_t i = 0; i < s->count; i++)
        if (!m->param[s->leaf[i]].frozen)
            return true;
    return false;
}

bool is_trained_expr(const Module *m, const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    if (n->op == OP_param)
        return is_trained_set(m, n->a.leaf.set);
    for (uint32_t k = 0; k < n->in_count; k++)
        if (is_trained_expr(m, g, node_arg(g, v, k)))
            return true;
    return false;
}

typedef enum {
    NEITHER,
    CONSTANT, /* tables, numbers, views of them */
    MADE,     /* a parameter expression */
    GROWN     /* one that was broadcast: readers spread it themselves, recipes only in products */
} Kind;

static Kind kind_of(const Graph *g, ValueId v, int depth);

static Kind operand(const Graph *g, ValueId v, uint32_t k, int depth)
{
    return kind_of(g, node_arg(g, v, k), depth - 1);
}

bool spread_of(const Graph *g, ValueId v, ValueId *source, uint32_t *axis)
{
    const Node *n = &g->node[v];
    if (n->op != OP_broadcast || n->type.shape.rank != 2)
        return false;
    *source = node_arg(g, v, 0);
    Shape s = g->node[*source].type.shape, t = n->type.shape;
    *axis = s.dim[0] == t.dim[0]; /* the axis that grows */
    return (s.dim[0] == t.dim[0]) != (s.dim[1] == t.dim[1]);
}

static bool is_splat_node(const Node *n)
{
    return n->op == OP_const && n->a.constant.table == 0;
}

/* x * y or x + y with x a tensor and y another, a number, or (products only) a vector spread over rows or columns. */
static Kind pair(const Graph *g, ValueId v, int depth)
{
    const Node *n = &g->node[v];
    if (n->hint)
        return NEITHER;
    Kind kind[2] = {operand(g, v, 0, depth), NEITHER};
    if (kind[0] == NEITHER && g->node[node_arg(g, v, 0)].op != OP_broadcast)
        return NEITHER; /* nearly always: an activation */
    kind[1] = operand(g, v, 1, depth);
    for (uint32_t k = 0; k < 2; k++) {
        ValueId  y = node_arg(g, v, !k), source;
        uint32_t axis;
        Kind     kx = kind[k], ky = kind[!k];
        bool     made = kx == MADE || ky == MADE;
        if ((kx == MADE || (kx == CONSTANT && !is_splat_node(&g->node[node_arg(g, v, k)]))) &&
            (ky == MADE || ky == CONSTANT) && made && (n->op == OP_mul || !is_splat_node(&g->node[y])) &&
            !spread_of(g, y, &source, &axis))
            return MADE;
        if (n->op == OP_mul && kx == MADE && spread_of(g, y, &source, &axis) &&
            (ky = kind_of(g, source, depth - 1)) != NEITHER && ky != GROWN)
            return MADE;
    }
    return NEITHER;
}

static Kind kind_of(const Graph *g, ValueId v, int depth)
{
    const Node *n = &g->node[v];
    Kind        k;
    if (depth <= 0)
        return NEITHER;
    switch (n->op) {
    case OP_param:
        return n->type.dtype == DT_REAL ? MADE : NEITHER;
    case OP_const:
        return n->type.dtype == DT_REAL ? CONSTANT : NEITHER;
    case OP_reshape:
        return operand(g, v, 0, depth);
    case OP_broadcast:
        k = operand(g, v, 0, depth);
        return k == MADE ? GROWN : NEITHER;
    case OP_transpose:
        k = operand(g, v, 0, depth);
        return k == GROWN && n->type.shape.rank != 2 ? NEITHER : k;
    case OP_slice:
        k = operand(g, v, 0, depth);
        return k == MADE && !n->hint ? MADE : NEITHER;
    case OP_add:
    case OP_mul:
        return pair(g, v, depth);
    case OP_concat:
        for (uint32_t i = 0; i < n->in_count; i++)
            if (operand(g, v, i, depth) != MADE)
                return NEITHER;
        return n->in_count && !n->hint ? MADE : NEITHER;
    case OP_matmul: /* a matrix times a column */
        return n->type.shape.rank == 2 && n->type.shape.dim[1] == 1 && !n->hint && operand(g, v, 0, depth) == MADE &&
                       operand(g, v, 1, depth) == MADE
                   ? MADE
                   : NEITHER;
    default:
        return NEITHER;
    }
}

bool is_param_expr(const Graph *g, ValueId v)
{
    Kind k = kind_of(g, v, PARAM_EXPR_DEPTH);
    return k == MADE || k == GROWN;
}

/* fold.c: constants computed at compile time.
 *
 * F1  elementwise operations on splats give a splat; so do movements and reductions of one
 * F2  operations on constants give a table, computed in fp64 by the evaluator, if that is not larger than what it
 *     replaces (a broadcast stays a broadcast) and at most FOLD_MAX elements
 *
 * A table that is the same everywhere becomes a splat. */
#include "passes/simplify.h"

#include "ir/eval.h"

#include <math.h>
#include <string.h>

enum { FOLD_MAX = 1 << 22 };

static const Node *node_of(const Simp *s, ValueId v)
{
    return &s->g->node[v];
}

static bool is_const(const Simp *s, ValueId v)
{
    return node_of(s, v)->op == OP_const;
}

bool is_splat(const Simp *s, ValueId v, double *c)
{
    const Node *n = node_of(s, v);
    if (n->op != OP_const || n->a.constant.table)
        return false;
    *c = n->a.constant.splat;
    return true;
}

static ValueId splat(Simp *s, const Node *like, double c)
{
    Node n = *like;
    n.op = OP_const;
    memset(&n.a, 0, sizeof n.a);
    n.a.constant.splat = c;
    return emit(s, &n, NULL, 0);
}

/* Run one node on constant operands, whose types may have been cut down to one element. Result in `y`. */
static bool run(Simp *s, const Node *n, const Type *type, const ValueId *in, Arena *a, Tensor *y)
{
    Module *m = s->m;
    Graph   g = {.id = 0};
    GROW(a, g.node, g.count, g.cap);
    g.count++;
    ValueId arg[8];
    for (uint32_t i = 0; i < n->in_count; i++) {
        Node c = *node_of(s, in[i]);
        c.type = type[i];
        arg[i] = graph_add(m, &g, &c, NULL, 0);
    }
    Node copy = *n;
    ValueId out = graph_add(m, &g, &copy, arg, n->in_count);
    graph_add_out(m, &g, out, 0);
    EvalEnv env = {.m = m, .arena = a};
    Buf     err = {0};
    bool    ok = graph_eval(&env, &g, NULL, y, &err);
    buf_free(&err);
    return ok;
}

/* F1 */
static ValueId fold_splats(Simp *s, const Node *n, const ValueId *in)
{
    double c = 0;
    for (uint32_t i = 0; i < n->in_count; i++)
        if (!is_splat(s, in[i], &c))
            return 0;
    int64_t ratio = shape_numel(node_of(s, in[0])->type.shape) / shape_numel(n->type.shape);
    switch (n->op) {
    case OP_reshape:
    case OP_transpose:
    case OP_broadcast:
    case OP_slice:
    case OP_amax:
        return splat(s, n, c);
    case OP_sum:
        return splat(s, n, c * (double)ratio);
    case OP_concat: {
        double first = 0;
        is_splat(s, in[0], &first);
        for (uint32_t i = 1; i < n->in_count; i++)
            if (!is_splat(s, in[i], &c) || c != first)
                return 0;
        return splat(s, n, first);
    }
    case OP_pad:
        return c == 0 ? splat(s, n, 0) : 0;
    case OP_gather:
    case OP_scatter_add:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
    case OP_softmax:
    case OP_matmul:
        return 0;
    default:
        break;
    }
    /* Elementwise: one element tells. */
    Type type[3];
    if (n->in_count > COUNT(type))
        return 0;
    for (uint32_t i = 0; i < n->in_count; i++)
        type[i] = (Type){node_of(s, in[i])->type.dtype, {0}};
    Node one = *n;
    one.type.shape = (Shape){0};
    Arena  *a = arena_new();
    Tensor  y;
    ValueId v = run(s, &one, type, in, a, &y) && isfinite(y.v[0]) ? splat(s, n, y.v[0]) : 0;
    arena_free(a);
    return v;
}

/* A table made of others is called like the first of them that has a name: where it comes from says more than where it
 * goes. */
static StrId table_name(const Simp *s, const Node *n, const ValueId *in)
{
    for (uint32_t i = 0; i < n->in_count; i++) {
        uint32_t t = node_of(s, in[i])->a.constant.table;
        if (t && s->m->table[t].name)
            return s->m->table[t].name;
    }
    return n->name;
}

/* F2 */
static ValueId fold_tables(Simp *s, const Node *n, const ValueId *in)
{
    int64_t size = shape_numel(n->type.shape), before = 0;
    Type    type[8];
    DType   d = n->type.dtype;
    if (n->in_count > COUNT(type) || n->op == OP_broadcast || (d != DT_REAL && d != DT_I32 && d != DT_BOOL))
        return 0;
    for (uint32_t i = 0; i < n->in_count; i++) {
        type[i] = node_of(s, in[i])->type;
        before += shape_numel(type[i].shape);
    }
    if (size > FOLD_MAX || before > 4 * (int64_t)FOLD_MAX || size > before)
        return 0;
    Arena  *a = arena_new();
    Tensor  y;
    ValueId v = 0;
    if (run(s, n, type, in, a, &y)) {
        bool equal = true;
        for (int64_t i = 1; i < size && equal; i++)
            equal = memcmp(&y.v[i], &y.v[0], sizeof *y.v) == 0;
        Node c = *n;
        c.op = OP_const;
        memset(&c.a, 0, sizeof c.a);
        c.a.constant.splat = equal ? y.v[0] : 0;
        c.a.constant.table = equal ? 0 : module_add_table(s->m, d, n->type.shape, y.v, table_name(s, n, in));
        v = emit(s, &c, NULL, 0);
    }
    arena_free(a);
    return v;
}

ValueId fold_constant(Simp *s, const Node *n, const ValueId *in)
{
    if (n->in_count == 0 || !node_is_pure(n) || n->op == OP_proj || n->op == OP_stop_grad)
        return 0;
    for (uint32_t i = 0; i < n->in_count; i++)
        if (!is_const(s, in[i]))
            return 0;
    ValueId v = fold_splats(s, n, in);
    return v ? v : fold_tables(s, n, in);
}

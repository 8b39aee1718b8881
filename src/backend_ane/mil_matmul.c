/* mil_matmul.c: MIL for products.
 *
 *   a constant left operand   1x1 conv: about three times faster than the same matmul
 *   weights as inputs         matmul, with the flag turned where the weight is stored the other way round; where it
 *                             contracts rows of the surface whose number is no multiple of what the target asks for,
 *                             the zeros that follow them are contracted with zeros */
#include "backend_ane/mil_ops.h"

void mil_count_product(Emit *e, MilShape shape, int32_t contracted, ValueId leaf, bool conv)
{
    uint64_t flops = 2 * (uint64_t)mil_numel(shape) * (uint64_t)contracted;
    bool     weight = leaf && is_param_expr(e->g, leaf);
    *(weight ? &e->cost.weight_flops : conv ? &e->cost.work.conv_flops : &e->cost.work.matmul_flops) += flops;
    e->cost.trained_flops += weight && is_trained_expr(e->b->m, e->g, leaf) ? flops : 0;
}

bool mil_is_tensor_leaf(const Emit *e, ValueId v)
{
    const Node *n = &e->g->node[v];
    return n->op == OP_param || (n->op == OP_const && n->a.constant.table != 0) ||
           (n->op != OP_broadcast && is_made_weight(e->g, v));
}

/* The transpose of a runtime matrix: the one the graph made before, if it did. */
static const char *transposed(Emit *e, ValueId v, ValueId u)
{
    for (ValueId t = u + 1; t < v; t++) {
        const Node *n = &e->g->node[t];
        if (n->op == OP_transpose && node_arg(e->g, t, 0) == u && n->a.transpose.perm[0] == 1 && e->val[t].name)
            return e->val[t].name;
    }
    const int32_t perm[] = {0, 3, 2, 1};
    Shape         s = e->g->node[u].type.shape;
    MilArg        a[] = {{"x", emit_full(e, u).name}, {"perm", mil_ints(e->t, perm, 4)}};
    return emit_op(e, v, "_t", (MilShape){4, {1, s.dim[1], 1, s.dim[0]}}, "transpose", a, COUNT(a));
}

/* Weights times activations: y[O, S] = W[O, I] x[I, S]. Activations that come as [S, I] are turned round first: a
 * weight as an operand of matmul is slower, and refused in some forms on the older families. */
static void matmul_conv(Emit *e, const Node *n, ValueId v, ValueId w)
{
    MilShape    s = emit_shape(n->type.shape);
    ValueId     u = mil_arg(e, n, 1);
    const char *x = n->a.matmul.tb ? transposed(e, v, u) : emit_full(e, u).name;
    MilShape    ws = {4, {s.dim[1], e->g->node[u].type.shape.dim[n->a.matmul.tb], 1, 1}};
    const char *weight = emit_leaf(e, w, ws, n->a.matmul.ta);
    mil_count_product(e, s, ws.dim[1], w, true);
    mil_set(e, v, emit_conv(e, v, "", s, x, weight), s);
}

/* An operand of a general product with its matrix in the last two axes. A weight that is stored the other way round
 * turns its flag. */
static const char *matrix(Emit *e, ValueId v, ValueId u, const char *suffix, bool *flag)
{
    Shape   s = e->g->node[u].type.shape;
    int32_t rows, columns;
    bool    turned;
    if (s.rank == 2 && emit_is_weight(e, u, &rows, &columns, &turned) && rows == s.dim[turned] &&
        columns == s.dim[!turned]) {
        *flag ^= turned;
        return emit_weight_rows(e, u, 0, 0);
    }
    if (s.rank != 2)
        return emit_full(e, u).name;
    MilShape m = mil_shape4(1, s.dim[0], s.dim[1]);
    if (mil_is_tensor_leaf(e, u))
        return emit_leaf(e, u, m, false);
    Val x = emit_full(e, u);
    if (mil_shape_equal(x.shape, m))
        return x.name;
    if (!e->b->weights)
        return emit_reshape(e, v, suffix, x.name, m);
    if (!e->as_matrix[u]) /* every product of a layer reads [1, 1, C, S]: once for all of them */
        e->as_matrix[u] = emit_reshape(e, u, "_m", x.name, m);
    return e->as_matrix[u];
}

/* The rows of zeros after a weight whose rows, as they lie in the surface, are contracted by a product that reads it as
 * it is or transposed (`ta`); else 0. */
static int32_t spare_rows(Emit *e, ValueId a, bool ta)
{
    int32_t rows, columns;
    bool    turned;
    Shape   s = e->g->node[a].type.shape;
    if (s.rank != 2 || !emit_is_weight(e, a, &rows, &columns, &turned) || ta == turned || rows != s.dim[turned] ||
        columns != s.dim[!turned])
        return 0;
    return emit_weight_spare(e, a);
}

/* The value u, [C, S], with `more` rows of zeros under it, as [1, 1, C + more, S]. */
static const char *with_zeros(Emit *e, ValueId v, ValueId u, int32_t more)
{
    Shape       s = e->g->node[u].type.shape;
    MilShape    zeros = {4, {1, more, 1, s.dim[1]}}, all = {4, {1, s.dim[0] + more, 1, s.dim[1]}};
    const char *x = emit_full(e, u).name;
    const char *list = arena_printf(e->b->a, "(%s, %s)", x, emit_filled(e, zeros, 0));
    MilArg      a[] = {{"axis", mil_int(e->t, 1)}, {"interleave", mil_bool(e->t, false)}, {"values", list}};
    x = emit_op(e, v, "_k", all, "concat", a, COUNT(a));
    return emit_reshape(e, v, "_b", x, mil_shape4(1, all.dim[1], s.dim[1]));
}

void mil_matmul(Emit *e, const Node *n, ValueId v)
{
    ValueId a = mil_arg(e, n, 0), b = mil_arg(e, n, 1);
    Shape   out = n->type.shape;
    int32_t rows, columns;
    bool    turned, ta = n->a.matmul.ta, tb = n->a.matmul.tb;
    if (out.rank == 2 && emit_is_weight(e, a, &rows, &columns, &turned) && rows > e->b->m->target->max_axis) {
        MilShape s = emit_shape(out);
        mil_count_product(e, s, ta == turned ? columns : rows, a, false);
        mil_set(e, v, emit_weight_product(e, v, a, ta != turned, tb ? transposed(e, v, b) : emit_full(e, b).name, s),
                s);
        return;
    }
    if (out.rank == 2 && mil_is_tensor_leaf(e, a) && !emit_is_weight(e, a, &rows, &columns, &turned) &&
        !mil_is_tensor_leaf(e, b) && e->g->node[b].type.shape.dim[n->a.matmul.tb] <= e->b->m->target->max_conv_in) {
        matmul_conv(e, n, v, a);
        return;
    }
    int32_t     spare = spare_rows(e, a, ta);
    const char *x, *y;
    if (out.rank == 2 && spare && !tb && !mil_is_tensor_leaf(e, b)) {
        x = emit_weight_rows(e, a, 0, e->g->node[b].type.shape.dim[0] + spare);
        y = with_zeros(e, v, b, spare);
        ta = true;
    } else {
        x = matrix(e, v, a, "_a", &ta);
        y = NULL;
    }
    if (!y && out.rank == 2 && mil_is_tensor_leaf(e, b) && !emit_is_weight(e, b, &rows, &columns, &turned) &&
        !tb) { /* constants on the right are given transposed: [N, K] */
        Shape s = e->g->node[b].type.shape;
        y = emit_leaf(e, b, mil_shape4(1, s.dim[1], s.dim[0]), true);
        tb = true;
    } else if (!y)
        y = matrix(e, v, b, "_b", &tb);
    MilArg   m[] = {{"x", x}, {"y", y}, {"transpose_x", mil_bool(e->t, ta)}, {"transpose_y", mil_bool(e->t, tb)}};
    MilShape s = emit_shape(out), r = out.rank == 2 ? mil_shape4(1, out.dim[0], out.dim[1]) : s;
    bool     same = mil_shape_equal(r, s);
    mil_count_product(e, r, (int32_t)matmul_contracted(e->g, n),
                  is_param_expr(e->g, a) ? a : b, false);
    const char *y_name = emit_op(e, v, same ? "" : "_m", r, "matmul", m, COUNT(m));
    if (!same)
        e->as_matrix[v] = y_name;
    mil_set(e, v, same ? y_name : emit_reshape(e, v, "", y_name, s), s);
}

/* mil_move.c: MIL for what moves values without computing: views, transposes, broadcasts, slices, concat, padding.
 *
 *   broadcast of a leading axis           conv with a 0/1 matrix: exact, and one operation for grouped-query attention
 *   pad                                   concat with zeros */
#include "backend_ane/mil_ops.h"

void mil_reshape(Emit *e, const Node *n, ValueId v)
{
    ValueId  u = mil_arg(e, n, 0);
    MilShape s = emit_shape(n->type.shape);
    if (!e->val[u].name && e->g->node[u].op == OP_reshape && is_constant(e->g, u))
        mil_reshape(e, &e->g->node[u], u); /* views of views of a constant */
    Val      x = e->val[u];
    ValueId  leaf = mil_is_tensor_leaf(e, u) ? u : x.leaf;
    if (leaf) { /* a view of a constant is the constant laid out differently */
        e->val[v] = (Val){.shape = s, .leaf = leaf};
        return;
    }
    if (emit_table_view(e, v))
        return;
    x = emit_full(e, u);
    if (mil_shape_equal(x.shape, s))
        e->val[v] = x;
    else
        mil_set(e, v, emit_reshape(e, v, "", x.name, s), s);
}

void mil_transpose(Emit *e, const Node *n, ValueId v)
{
    Shape    in = e->g->node[mil_arg(e, n, 0)].type.shape;
    MilShape s = emit_shape(n->type.shape);
    if (in.rank == 4 && in.dim[0] != 1) {
        emit_error(e, v, "a transpose of a value with two leading axes");
        return;
    }
    if (in.rank == 2 && mil_is_tensor_leaf(e, mil_arg(e, n, 0))) {
        mil_set(e, v, emit_leaf(e, mil_arg(e, n, 0), s, true), s);
        return;
    }
    Val     x = emit_full(e, mil_arg(e, n, 0));
    int32_t perm[4] = {0, 1, 2, 3};
    for (uint32_t k = 0; k < in.rank; k++)
        perm[emit_axis(in.rank, k)] = (int32_t)emit_axis(in.rank, n->a.transpose.perm[k]);
    mil_set(e, v, emit_op(e, v, "", s, "transpose", (MilArg[]){{"x", x.name}, {"perm", mil_ints(e->t, perm, 4)}}, 2),
            s);
}

void mil_broadcast(Emit *e, const Node *n, ValueId v)
{
    ValueId  u = mil_arg(e, n, 0);
    Shape    in = e->g->node[u].type.shape, out = n->type.shape;
    MilShape have = emit_shape(in), want = emit_shape(out);
    bool     natural = true;
    for (uint32_t i = 0; i < have.rank; i++)
        natural &= have.dim[i] == want.dim[i] || have.dim[i] == 1;
    if (natural) {
        Val x = emit_use(e, u);
        x.leaf = 0;
        e->val[v] = x;
        return;
    }
    Val      x = emit_full(e, u);
    MilShape s = x.shape;
    s.dim[1] = want.dim[1];
    mil_set(e, v, mil_mix_channels(e, v, "", x.name, s, have.dim[1], mil_group_matrix(e, out, in, 1), "repeat"), s);
}

void mil_slice(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_use(e, mil_arg(e, n, 0));
    Shape    in = e->g->node[mil_arg(e, n, 0)].type.shape, out = n->type.shape;
    MilShape s = x.shape;
    int32_t  begin[4] = {0};
    if (x.scalar) {
        e->val[v] = x;
        return;
    }
    if (in.rank == 4 && in.dim[0] != 1 && out.dim[1] != in.dim[1]) {
        emit_error(e, v, "a slice of the second of two leading axes");
        return;
    }
    for (uint32_t k = 0; k < in.rank; k++) {
        uint32_t i = emit_axis(in.rank, k);
        int32_t  below = in.rank == 4 && k == 0 ? in.dim[1] : 1;
        if (in.dim[k] == out.dim[k] || x.shape.dim[i] == 1)
            continue; /* untouched, or a pending broadcast: every part of it is the same */
        begin[i] = n->a.slice.begin[k] * below;
        s.dim[i] = out.dim[k] * below;
    }
    MilArg a[] = {{"x", x.name}, {"begin", mil_ints(e->t, begin, 4)}, {"size", mil_ints(e->t, s.dim, 4)}};
    mil_set(e, v, emit_op(e, v, "", s, "slice_by_size", a, COUNT(a)), s);
}

/* concat of named parts along a MIL axis. */
static const char *join(Emit *e, ValueId v, const char *suffix, MilShape s, uint32_t axis, const char *const *part,
                        uint32_t parts)
{
    Buf list = {0};
    for (uint32_t i = 0; i < parts; i++)
        buf_printf(&list, "%s%s", i ? ", " : "(", part[i]);
    buf_putc(&list, ')');
    MilArg a[] = {{"axis", mil_int(e->t, (int32_t)axis)}, {"interleave", mil_bool(e->t, false)}, {"values", list.data}};
    const char *r = emit_op(e, v, suffix, s, "concat", a, COUNT(a));
    buf_free(&list);
    return r;
}

void mil_concat(Emit *e, const Node *n, ValueId v)
{
    uint32_t axis = (uint32_t)n->a.axis.axis;
    Shape    out = n->type.shape;
    if (out.rank == 4 && axis == 1 && out.dim[0] != 1) {
        emit_error(e, v, "a concat along the second of two leading axes");
        return;
    }
    const char **part = NEW_N(e->b->a, const char *, n->in_count);
    for (uint32_t i = 0; i < n->in_count; i++)
        part[i] = emit_full(e, mil_arg(e, n, i)).name;
    MilShape s = emit_shape(out);
    mil_set(e, v, join(e, v, "", s, emit_axis(out.rank, axis), part, n->in_count), s);
}

void mil_pad(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, mil_arg(e, n, 0));
    Shape    in = e->g->node[mil_arg(e, n, 0)].type.shape;
    uint32_t axes = 0, done = 0;
    if (in.rank == 4 && in.dim[0] != 1 && (n->a.pad.lo[1] || n->a.pad.hi[1])) {
        emit_error(e, v, "padding of the second of two leading axes");
        return;
    }
    for (uint32_t k = 0; k < in.rank; k++)
        axes += n->a.pad.lo[k] || n->a.pad.hi[k];
    MilShape    s = x.shape;
    const char *r = x.name;
    for (uint32_t k = 0; k < in.rank; k++) {
        if (!n->a.pad.lo[k] && !n->a.pad.hi[k])
            continue;
        uint32_t    i = emit_axis(in.rank, k);
        int32_t below = in.rank == 4 && k == 0 ? in.dim[1] : 1,
                pad[2] = {n->a.pad.lo[k] * below, n->a.pad.hi[k] * below};
        const char *part[3];
        uint32_t    parts = 0;
        for (uint32_t side = 0; side < 2; side++) {
            if (side == 1)
                part[parts++] = r;
            if (pad[side]) {
                MilShape z = s;
                z.dim[i] = pad[side];
                part[parts++] = emit_filled(e, z, 0);
            }
        }
        s.dim[i] += pad[0] + pad[1];
        r = join(e, v, ++done == axes ? "" : "_z", s, i, part, parts);
    }
    mil_set(e, v, r, s);
}

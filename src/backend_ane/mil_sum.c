/* mil_sum.c: MIL for sums, maxima and softmax.
 *
 *   sum                                   conv or matmul by a constant of ones: both accumulate wide, reduce_sum may
 *                                         accumulate in fp16; a following scale goes into the constant
 *   softmax                               over the last axis; others are brought there */
#include "backend_ane/mil_ops.h"

const char *mil_mix_channels(Emit *e, ValueId v, const char *suffix, const char *x, MilShape shape, int32_t in,
                             const double *matrix, const char *name)
{
    MilShape w = {4, {shape.dim[1], in, 1, 1}};
    mil_count_product(e, shape, in, 0, true);
    return emit_conv(e, v, suffix, shape, x, emit_table(e, w, matrix, name));
}

const double *mil_group_matrix(Emit *e, Shape out, Shape in, double c)
{
    int32_t no = out.dim[0] * out.dim[1], ni = in.dim[0] * in.dim[1];
    double *w = NEW_N(e->b->a, double, (size_t)no * (size_t)ni);
    for (int32_t o = 0; o < no; o++)
        for (int32_t i = 0; i < ni; i++) {
            int32_t oa = o / out.dim[1], ob = o % out.dim[1], ia = i / in.dim[1], ib = i % in.dim[1];
            bool    same_a = oa == ia || out.dim[0] == 1 || in.dim[0] == 1;
            bool    same_b = ob == ib || out.dim[1] == 1 || in.dim[1] == 1;
            w[(size_t)o * (size_t)ni + (size_t)i] = same_a && same_b ? c : 0;
        }
    return w;
}

void mil_sum(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, mil_arg(e, n, 0));
    Shape    in = e->g->node[mil_arg(e, n, 0)].type.shape, want = n->type.shape;
    double   c = e->factor[v] != 0 ? e->factor[v] : 1;
    MilShape s = x.shape;
    uint32_t lead = in.rank == 4 ? 2 : 1; /* graph axes that lie in the channels */
    bool     channels = false;
    for (uint32_t k = 0; k < lead && k < in.rank; k++)
        channels |= in.dim[k] != want.dim[k] && in.rank != 0;
    const char *r = x.name;
    if (channels) {
        MilShape t = s;
        t.dim[1] = emit_shape(want).dim[1];
        const double *w;
        if (in.rank == 4)
            w = mil_group_matrix(e, want, in, c);
        else {
            double *ones = NEW_N(e->b->a, double, (size_t)s.dim[1]);
            for (int32_t i = 0; i < s.dim[1]; i++)
                ones[i] = c;
            w = ones;
        }
        r = mil_mix_channels(e, v,
                             t.dim[2] == emit_shape(want).dim[2] && t.dim[3] == emit_shape(want).dim[3] ? "" : "_c", r,
                             t, s.dim[1], w, "sum");
        s = t;
        c = 1;
    }
    if (s.dim[3] != emit_shape(want).dim[3]) { /* last axis: x times a row of ones, transposed */
        MilShape t = s;
        t.dim[3] = 1;
        const char *w = emit_filled(e, mil_shape4(s.dim[1], 1, s.dim[3]), c);
        MilArg a[] = {
            {"x", r}, {"y", w}, {"transpose_x", mil_bool(e->t, false)}, {"transpose_y", mil_bool(e->t, true)}};
        r = emit_op(e, v, t.dim[2] == emit_shape(want).dim[2] ? "" : "_w", t, "matmul", a, COUNT(a));
        s = t;
        c = 1;
    }
    if (s.dim[2] != emit_shape(want).dim[2]) { /* middle axis: a row of ones times x */
        MilShape t = s;
        t.dim[2] = 1;
        const char *w = emit_filled(e, mil_shape4(s.dim[1], 1, s.dim[2]), c);
        MilArg a[] = {
            {"x", w}, {"y", r}, {"transpose_x", mil_bool(e->t, false)}, {"transpose_y", mil_bool(e->t, false)}};
        r = emit_op(e, v, "", t, "matmul", a, COUNT(a));
        s = t;
        c = 1;
    }
    if (c != 1) /* nothing was reduced: every summed axis has extent 1 */
        r = emit_op(e, v, "", s, "mul", (MilArg[]){{"x", r}, {"y", mil_half(e->t, c)}}, 2);
    mil_set(e, v, r, s);
}

void mil_amax(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, mil_arg(e, n, 0));
    Shape    in = e->g->node[mil_arg(e, n, 0)].type.shape;
    int32_t  axes[4];
    uint32_t count = 0;
    if (in.rank == 4 && (n->a.reduce.axes & 3) && (n->a.reduce.axes & 3) != 3 && in.dim[0] != 1 && in.dim[1] != 1) {
        emit_error(e, v, "a maximum over one of two merged leading axes");
        return;
    }
    for (uint32_t k = 0; k < in.rank; k++) {
        int32_t axis = (int32_t)emit_axis(in.rank, k);
        if (n->a.reduce.axes >> k & 1 && (count == 0 || axes[count - 1] != axis))
            axes[count++] = axis;
    }
    MilShape s = emit_shape(n->type.shape);
    MilArg   a[] = {{"x", x.name}, {"axes", mil_ints(e->t, axes, count)}, {"keep_dims", mil_bool(e->t, true)}};
    mil_set(e, v, emit_op(e, v, "", s, "reduce_max", a, COUNT(a)), s);
}

void mil_softmax(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, mil_arg(e, n, 0));
    uint32_t axis = emit_axis(n->type.shape.rank, (uint32_t)n->a.axis.axis);
    if (axis == 3) {
        mil_set(e, v, emit_op(e, v, "", x.shape, "softmax", (MilArg[]){{"x", x.name}, {"axis", mil_int(e->t, -1)}}, 2),
            x.shape);
        return;
    }
    /* Other axes have been refused for sizes that are not powers of two (one project): bring the axis to the end. */
    int32_t perm[4] = {0, 1, 2, 3};
    perm[axis] = 3;
    perm[3] = (int32_t)axis;
    MilShape t = x.shape;
    t.dim[axis] = x.shape.dim[3];
    t.dim[3] = x.shape.dim[axis];
    const char *p = mil_ints(e->t, perm, 4);
    const char *r = emit_op(e, v, "_t", t, "transpose", (MilArg[]){{"x", x.name}, {"perm", p}}, 2);
    r = emit_op(e, v, "_p", t, "softmax", (MilArg[]){{"x", r}, {"axis", mil_int(e->t, -1)}}, 2);
    mil_set(e, v, emit_op(e, v, "", x.shape, "transpose", (MilArg[]){{"x", r}, {"perm", p}}, 2), x.shape);
}

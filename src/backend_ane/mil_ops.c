/* mil_ops.c: the MIL text of every operation: the mil column of ops.def.
 *
 * Only forms that three or more projects have run on hardware are used, spelled out in full. The choices that are not
 * obvious:
 *   matmul with a constant left operand   1x1 conv: about three times faster than the same matmul
 *   sum                                   conv or matmul by a constant of ones: both accumulate wide, reduce_sum may
 *                                         accumulate in fp16; a following scale goes into the constant
 *   sum of x*x                            x is scaled by 2^-4 before squaring and 2^8 put into the constant: a plain fp16
 *                                         square sum overflows for activations that occur in training
 *   rsqrt, sqrt                           pow: rsqrt and sqrt directly after a reduction have been refused
 *   broadcast of a leading axis           conv with a 0/1 matrix: exact, and one operation for grouped-query attention
 *   pad                                   concat with zeros */
#include "backend_ane/emit.h"
#include "passes/switches.h"

#include <string.h>

typedef void MilFn(Emit *e, const Node *n, ValueId v);

static MilShape shape4(int32_t c, int32_t h, int32_t w)
{
    return (MilShape){4, {1, c, h, w}};
}

static ValueId arg(const Emit *e, const Node *n, uint32_t k)
{
    return node_in(e->g, n)[k];
}

static void set(Emit *e, ValueId v, const char *name, MilShape shape)
{
    e->val[v] = (Val){.name = name, .shape = shape};
}

/* ---- leaves ---- */

static void mil_leaf(Emit *e, const Node *n, ValueId v)
{
    (void)n;
    e->val[v] = emit_use(e, v);
}

static void mil_none(Emit *e, const Node *n, ValueId v)
{
    emit_error(e, v, "'%s' has no form on the engine", op_info[n->op].name);
}

/* ---- elementwise ---- */

/* Shape of an elementwise result: the larger extent of each axis. */
static MilShape joined(MilShape a, MilShape b)
{
    for (uint32_t i = 0; i < a.rank; i++)
        if (b.dim[i] > a.dim[i])
            a.dim[i] = b.dim[i];
    return a;
}

static void binary(Emit *e, const Node *n, ValueId v, const char *op)
{
    Val x = emit_use(e, arg(e, n, 0)), y = emit_use(e, arg(e, n, 1));
    if (x.scalar && y.scalar)
        x = emit_full(e, arg(e, n, 0));
    MilShape s = x.scalar ? y.shape : y.scalar ? x.shape : joined(x.shape, y.shape);
    set(e, v, emit_op(e, v, "", s, op, (MilArg[]){{"x", x.name}, {"y", y.name}}, 2), s);
}

static void mil_add(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "add");
}

static void mil_sub(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "sub");
}

static void mil_mul(Emit *e, const Node *n, ValueId v)
{
    if (!e->prescale[v]) {
        binary(e, n, v, "mul");
        return;
    }
    Val         x = emit_full(e, arg(e, n, 0));
    const char *s = emit_op(e, v, "_s", x.shape, "mul", (MilArg[]){{"x", x.name}, {"y", mil_half(e->t, 0x1p-4)}}, 2);
    set(e, v, emit_op(e, v, "", x.shape, "mul", (MilArg[]){{"x", s}, {"y", s}}, 2), x.shape);
}

static void mil_div(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "real_div");
}

static void mil_max(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "maximum");
}

static void mil_min(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "minimum");
}

static void unary(Emit *e, const Node *n, ValueId v, const char *op, const char *more, const char *value)
{
    Val x = emit_use(e, arg(e, n, 0));
    if (x.scalar)
        x = emit_full(e, arg(e, n, 0));
    set(e, v, emit_op(e, v, "", x.shape, op, (MilArg[]){{"x", x.name}, {more, value}}, more ? 2 : 1), x.shape);
}

static void mil_neg(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "mul", "y", mil_half(e->t, -1));
}

static void mil_exp(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "exp", NULL, NULL);
}

static void mil_log(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "log", "epsilon", mil_half(e->t, 0)); /* epsilon must be given (one project) */
}

static void mil_sqrt(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, 0.5));
}

static void mil_rsqrt(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, -0.5));
}

static void mil_tanh(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "tanh", NULL, NULL);
}

static void mil_sigmoid(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "sigmoid", NULL, NULL);
}

static void mil_powc(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, n->a.powc.c));
}

static void mil_cmp(Emit *e, const Node *n, ValueId v)
{
    static const char *const op[] = {"equal", "not_equal", "less", "greater", "less_equal", "greater_equal"};
    Val x = emit_use(e, arg(e, n, 0)), y = emit_use(e, arg(e, n, 1));
    if (x.scalar)
        x = emit_full(e, arg(e, n, 0));
    MilShape s = y.scalar ? x.shape : joined(x.shape, y.shape);
    e->val[v].is_bool = true;
    const char *r = emit_op(e, v, "", s, op[n->a.cmp.kind], (MilArg[]){{"x", x.name}, {"y", y.name}}, 2);
    e->val[v] = (Val){.name = r, .shape = s, .is_bool = true};
}

static void mil_select(Emit *e, const Node *n, ValueId v)
{
    /* All three in full: nobody has shown select broadcasting on the engine. */
    Val      c = emit_full(e, arg(e, n, 0)), x = emit_full(e, arg(e, n, 1)), y = emit_full(e, arg(e, n, 2));
    MilArg   a[] = {{"cond", c.name}, {"a", x.name}, {"b", y.name}};
    set(e, v, emit_op(e, v, "", x.shape, "select", a, COUNT(a)), x.shape);
}

/* ---- reductions ---- */

/* Contract the channel axis with a constant matrix [out, in]: `shape` is the result's. */
static const char *mix_channels(Emit *e, ValueId v, const char *suffix, const char *x, MilShape shape, int32_t in,
                                const double *matrix, const char *name)
{
    MilShape w = {4, {shape.dim[1], in, 1, 1}};
    return emit_conv(e, v, suffix, shape, x, emit_table(e, w, matrix, name));
}

/* 0/1 matrix between the merged leading axes [a, b] of two rank-4 values that differ in one of them: entry (o, i) is c
 * where o and i agree in every axis that neither has as 1. Used both ways: to repeat and to sum. */
static const double *group_matrix(Emit *e, Shape out, Shape in, double c)
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

static void mil_sum(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, arg(e, n, 0));
    Shape    in = e->g->node[arg(e, n, 0)].type.shape, want = n->type.shape;
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
            w = group_matrix(e, want, in, c);
        else {
            double *ones = NEW_N(e->b->a, double, (size_t)s.dim[1]);
            for (int32_t i = 0; i < s.dim[1]; i++)
                ones[i] = c;
            w = ones;
        }
        r = mix_channels(e, v, t.dim[2] == emit_shape(want).dim[2] && t.dim[3] == emit_shape(want).dim[3] ? "" : "_c", r,
                         t, s.dim[1], w, "sum");
        s = t;
        c = 1;
    }
    if (s.dim[3] != emit_shape(want).dim[3]) { /* last axis: x times a row of ones, transposed */
        MilShape t = s;
        t.dim[3] = 1;
        const char *w = emit_filled(e, shape4(s.dim[1], 1, s.dim[3]), c);
        MilArg      a[] = {{"x", r}, {"y", w}, {"transpose_x", mil_bool(e->t, false)}, {"transpose_y", mil_bool(e->t, true)}};
        r = emit_op(e, v, t.dim[2] == emit_shape(want).dim[2] ? "" : "_w", t, "matmul", a, COUNT(a));
        s = t;
        c = 1;
    }
    if (s.dim[2] != emit_shape(want).dim[2]) { /* middle axis: a row of ones times x */
        MilShape t = s;
        t.dim[2] = 1;
        const char *w = emit_filled(e, shape4(s.dim[1], 1, s.dim[2]), c);
        MilArg      a[] = {{"x", w}, {"y", r}, {"transpose_x", mil_bool(e->t, false)}, {"transpose_y", mil_bool(e->t, false)}};
        r = emit_op(e, v, "", t, "matmul", a, COUNT(a));
        s = t;
        c = 1;
    }
    if (c != 1) /* nothing was reduced: every summed axis has extent 1 */
        r = emit_op(e, v, "", s, "mul", (MilArg[]){{"x", r}, {"y", mil_half(e->t, c)}}, 2);
    set(e, v, r, s);
}

static void mil_amax(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, arg(e, n, 0));
    Shape    in = e->g->node[arg(e, n, 0)].type.shape;
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
    set(e, v, emit_op(e, v, "", s, "reduce_max", a, COUNT(a)), s);
}

static void mil_softmax(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, arg(e, n, 0));
    uint32_t axis = emit_axis(n->type.shape.rank, (uint32_t)n->a.axis.axis);
    if (axis == 3) {
        set(e, v, emit_op(e, v, "", x.shape, "softmax", (MilArg[]){{"x", x.name}, {"axis", mil_int(e->t, -1)}}, 2),
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
    set(e, v, emit_op(e, v, "", x.shape, "transpose", (MilArg[]){{"x", r}, {"perm", p}}, 2), x.shape);
}

/* ---- matrix product ---- */

static bool is_tensor_leaf(const Emit *e, ValueId v)
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

/* Weights times activations: y[O, S] = W[O, I] x[I, S]. Activations that come as [S, I] are turned round first: a weight
 * as an operand of matmul is slower, and refused in some forms on the older families. */
static void matmul_conv(Emit *e, const Node *n, ValueId v, ValueId w)
{
    MilShape    s = emit_shape(n->type.shape);
    ValueId     u = arg(e, n, 1);
    const char *x = n->a.matmul.tb ? transposed(e, v, u) : emit_full(e, u).name;
    MilShape    ws = {4, {s.dim[1], e->g->node[u].type.shape.dim[n->a.matmul.tb], 1, 1}};
    const char *weight = emit_leaf(e, w, ws, n->a.matmul.ta);
    set(e, v, emit_conv(e, v, "", s, x, weight), s);
}

/* An operand of a general product with its matrix in the last two axes. */
static const char *matrix(Emit *e, ValueId v, ValueId u, const char *suffix)
{
    Shape s = e->g->node[u].type.shape;
    if (s.rank != 2)
        return emit_full(e, u).name;
    MilShape m = shape4(1, s.dim[0], s.dim[1]);
    if (is_tensor_leaf(e, u))
        return emit_leaf(e, u, m, false);
    Val x = emit_full(e, u);
    return mil_shape_equal(x.shape, m) ? x.name : emit_reshape(e, v, suffix, x.name, m);
}

static void mil_matmul(Emit *e, const Node *n, ValueId v)
{
    ValueId a = arg(e, n, 0), b = arg(e, n, 1);
    Shape   out = n->type.shape;
    if (out.rank == 2 && is_tensor_leaf(e, a) && !is_tensor_leaf(e, b) &&
        e->g->node[b].type.shape.dim[n->a.matmul.tb] <= e->b->m->target->max_conv_in) {
        matmul_conv(e, n, v, a);
        return;
    }
    bool        tb = n->a.matmul.tb;
    const char *x = matrix(e, v, a, "_a"), *y;
    if (out.rank == 2 && is_tensor_leaf(e, b) && !tb) { /* constants on the right are given transposed: [N, K] */
        Shape s = e->g->node[b].type.shape;
        y = emit_leaf(e, b, shape4(1, s.dim[1], s.dim[0]), true);
        tb = true;
    } else
        y = matrix(e, v, b, "_b");
    MilArg   m[] = {{"x", x}, {"y", y}, {"transpose_x", mil_bool(e->t, n->a.matmul.ta)}, {"transpose_y", mil_bool(e->t, tb)}};
    MilShape s = emit_shape(out), r = out.rank == 2 ? shape4(1, out.dim[0], out.dim[1]) : s;
    bool     same = mil_shape_equal(r, s);
    const char *y_name = emit_op(e, v, same ? "" : "_m", r, "matmul", m, COUNT(m));
    set(e, v, same ? y_name : emit_reshape(e, v, "", y_name, s), s);
}

/* ---- movement ---- */

static void mil_reshape(Emit *e, const Node *n, ValueId v)
{
    ValueId  u = arg(e, n, 0);
    MilShape s = emit_shape(n->type.shape);
    if (!e->val[u].name && e->g->node[u].op == OP_reshape && is_constant(e->g, u))
        mil_reshape(e, &e->g->node[u], u); /* views of views of a constant */
    Val      x = e->val[u];
    ValueId  leaf = is_tensor_leaf(e, u) ? u : x.leaf;
    if (leaf) { /* a view of a constant is the constant laid out differently */
        e->val[v] = (Val){.shape = s, .leaf = leaf};
        return;
    }
    x = emit_full(e, u);
    if (mil_shape_equal(x.shape, s))
        e->val[v] = x;
    else
        set(e, v, emit_reshape(e, v, "", x.name, s), s);
}

static void mil_transpose(Emit *e, const Node *n, ValueId v)
{
    Shape    in = e->g->node[arg(e, n, 0)].type.shape;
    MilShape s = emit_shape(n->type.shape);
    if (in.rank == 4 && in.dim[0] != 1) {
        emit_error(e, v, "a transpose of a value with two leading axes");
        return;
    }
    if (in.rank == 2 && is_tensor_leaf(e, arg(e, n, 0))) {
        set(e, v, emit_leaf(e, arg(e, n, 0), s, true), s);
        return;
    }
    Val     x = emit_full(e, arg(e, n, 0));
    int32_t perm[4] = {0, 1, 2, 3};
    for (uint32_t k = 0; k < in.rank; k++)
        perm[emit_axis(in.rank, k)] = (int32_t)emit_axis(in.rank, n->a.transpose.perm[k]);
    set(e, v, emit_op(e, v, "", s, "transpose", (MilArg[]){{"x", x.name}, {"perm", mil_ints(e->t, perm, 4)}}, 2), s);
}

static void mil_broadcast(Emit *e, const Node *n, ValueId v)
{
    ValueId  u = arg(e, n, 0);
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
    set(e, v, mix_channels(e, v, "", x.name, s, have.dim[1], group_matrix(e, out, in, 1), "repeat"), s);
}

static void mil_slice(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_use(e, arg(e, n, 0));
    Shape    in = e->g->node[arg(e, n, 0)].type.shape, out = n->type.shape;
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
    set(e, v, emit_op(e, v, "", s, "slice_by_size", a, COUNT(a)), s);
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

static void mil_concat(Emit *e, const Node *n, ValueId v)
{
    uint32_t axis = (uint32_t)n->a.axis.axis;
    Shape    out = n->type.shape;
    if (out.rank == 4 && axis == 1 && out.dim[0] != 1) {
        emit_error(e, v, "a concat along the second of two leading axes");
        return;
    }
    const char **part = NEW_N(e->b->a, const char *, n->in_count);
    for (uint32_t i = 0; i < n->in_count; i++)
        part[i] = emit_full(e, arg(e, n, i)).name;
    MilShape s = emit_shape(out);
    set(e, v, join(e, v, "", s, emit_axis(out.rank, axis), part, n->in_count), s);
}

static void mil_pad(Emit *e, const Node *n, ValueId v)
{
    Val      x = emit_full(e, arg(e, n, 0));
    Shape    in = e->g->node[arg(e, n, 0)].type.shape;
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
        int32_t     below = in.rank == 4 && k == 0 ? in.dim[1] : 1, pad[2] = {n->a.pad.lo[k] * below, n->a.pad.hi[k] * below};
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
    set(e, v, r, s);
}

/* ---- one node ---- */

static MilFn *const mil_fn[OP_COUNT] = {
#define OP(name, arity, type, eval, vjp, mil) [OP_##name] = mil_##mil,
#include "ir/ops.def"
};

/* The number that `n` multiplies its other operand by, if one operand is a splat; *other is that operand. */
static bool scale_of(const Emit *e, const Node *n, double *c, ValueId *other)
{
    if (n->op != OP_mul && n->op != OP_div)
        return false;
    for (uint32_t k = n->op == OP_div ? 1 : 0; k < 2; k++) {
        const Node *s = &e->g->node[arg(e, n, k)];
        if (s->op == OP_const && s->a.constant.table == 0 && s->a.constant.splat != 0) {
            *c = n->op == OP_div ? 1 / s->a.constant.splat : s->a.constant.splat;
            *other = arg(e, n, 1 - k);
            return true;
        }
    }
    return false;
}

void emit_prepare(Emit *e)
{
    for (ValueId v = 1; v < e->g->count; v++) {
        if (e->part->program[v] != e->program)
            continue;
        const Node *n = &e->g->node[v];
        double      c;
        ValueId     u;
        if (switched_on(e->b->m->off, SWITCH_mean_sums) && scale_of(e, n, &c, &u) && e->g->node[u].op == OP_sum && e->part->program[u] == e->program && e->uses[u] == 1) {
            e->factor[u] = c * (e->factor[u] != 0 ? e->factor[u] : 1);
            e->alias[v] = u;
        }
        if (n->op == OP_sum) {
            ValueId     sq = arg(e, n, 0);
            const Node *s = &e->g->node[sq];
            if (s->op == OP_mul && arg(e, s, 0) == arg(e, s, 1) && e->uses[sq] == 1 && e->part->program[sq] == e->program) {
                e->prescale[sq] = true;
                e->factor[v] = 0x1p8 * (e->factor[v] != 0 ? e->factor[v] : 1);
            }
        }
    }
}

void emit_node(Emit *e, ValueId v)
{
    const Node *n = &e->g->node[v];
    mil_origin(e->t, n->at, n->role == ROLE_BWD, op_info[n->op].name);
    if (e->alias[v])
        e->val[v] = e->val[e->alias[v]];
    else
        mil_fn[n->op](e, n, v);
}

/* eval_move.c: fp64 kernels that move: views, slices, padding, and everything addressed by data (tables, classes,
 * positions).
 *
 * Moving is linear, so a tangent moves exactly like its value: each operation is one function on arrays, applied to
 * both. All the regular ones are the same strided copy with different strides. */
#include "ir/eval_ops.h"

#include <math.h>
#include <string.h>

/* Row-major strides. */
static void strides_of(Shape s, int64_t *stride)
{
    int64_t step = 1;
    for (uint32_t k = s.rank; k-- > 0; step *= s.dim[k])
        stride[k] = step;
}

/* Copy a box of shape `s` between two arrays with strides of their own. */
static void copy_box(Shape s, const double *from, const int64_t *fs, double *to, const int64_t *ts)
{
    int32_t at[MAX_RANK] = {0};
    int64_t f = 0, t = 0, count = shape_numel(s);
    for (int64_t i = 0; i < count; i++) {
        to[t] = from[f];
        for (uint32_t k = s.rank; k-- > 0;) {
            f += fs[k];
            t += ts[k];
            if (++at[k] < s.dim[k])
                break;
            f -= fs[k] * s.dim[k];
            t -= ts[k] * s.dim[k];
            at[k] = 0;
        }
    }
}

/* A box of the operand becomes a box of the result. */
typedef struct {
    Shape   box;
    int64_t from_at, to_at, from[MAX_RANK], to[MAX_RANK];
} Move;

static bool move(Frame *f, Tensor x, Tensor *y, const Move *m)
{
    if (!y->v)
        y->v = eval_room(f, y->type);
    copy_box(m->box, x.v + m->from_at, m->from, y->v + m->to_at, m->to);
    if (!x.dv)
        return true;
    if (!y->dv)
        y->dv = eval_room(f, y->type);
    copy_box(m->box, x.dv + m->from_at, m->from, y->dv + m->to_at, m->to);
    return true;
}

bool eval_iota(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    (void)in;
    y->v = eval_room(f, n->type);
    for (int32_t i = 0; i < n->type.shape.dim[0]; i++)
        y->v[i] = i;
    return true;
}

bool eval_reshape(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    (void)f;
    (void)n;
    y->v = in[0].v;
    y->dv = in[0].dv;
    return true;
}

bool eval_transpose(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Move    m = {.box = n->type.shape};
    int64_t from[MAX_RANK];
    strides_of(in[0].type.shape, from);
    strides_of(n->type.shape, m.to);
    for (uint32_t k = 0; k < n->type.shape.rank; k++)
        m.from[k] = from[n->a.transpose.perm[k]];
    return move(f, in[0], y, &m);
}

bool eval_broadcast(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Move m = {.box = n->type.shape};
    strides_of(in[0].type.shape, m.from);
    strides_of(n->type.shape, m.to);
    for (uint32_t k = 0; k < n->type.shape.rank; k++)
        if (in[0].type.shape.dim[k] == 1)
            m.from[k] = 0;
    return move(f, in[0], y, &m);
}

bool eval_slice(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Move m = {.box = n->type.shape};
    strides_of(in[0].type.shape, m.from);
    strides_of(n->type.shape, m.to);
    for (uint32_t k = 0; k < n->type.shape.rank; k++)
        m.from_at += n->a.slice.begin[k] * m.from[k];
    return move(f, in[0], y, &m);
}

bool eval_pad(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Move m = {.box = in[0].type.shape};
    strides_of(in[0].type.shape, m.from);
    strides_of(n->type.shape, m.to);
    for (uint32_t k = 0; k < n->type.shape.rank; k++)
        m.to_at += n->a.pad.lo[k] * m.to[k];
    return move(f, in[0], y, &m);
}

bool eval_concat(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Move m = {{0}, 0, 0, {0}, {0}};
    strides_of(n->type.shape, m.to);
    for (uint32_t i = 0; i < n->in_count; i++) {
        m.box = in[i].type.shape;
        strides_of(m.box, m.from);
        move(f, in[i], y, &m);
        m.to_at += m.box.dim[n->a.axis.axis] * m.to[n->a.axis.axis];
    }
    return true;
}

/* ---- addressed by data ---- */

/* Every index in 0..limit-1? */
static bool in_range(Frame *f, const Tensor *index, int64_t limit, const char *what)
{
    for (int64_t i = 0, count = shape_numel(index->type.shape); i < count; i++)
        if (!(index->v[i] >= 0 && index->v[i] < (double)limit))
            return eval_fail(f, "%s %.0f is outside of 0..%lld", what, index->v[i], (long long)limit - 1);
    return true;
}

bool eval_gather(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    int64_t rows = in[0].type.shape.dim[0], width = shape_numel(in[0].type.shape) / rows;
    int64_t count = shape_numel(in[1].type.shape);
    if (!in_range(f, &in[1], rows, "index"))
        return false;
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv ? eval_room(f, n->type) : NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (int64_t)in[1].v[i];
        memcpy(y->v + i * width, in[0].v + row * width, (size_t)width * sizeof(double));
        if (y->dv)
            memcpy(y->dv + i * width, in[0].dv + row * width, (size_t)width * sizeof(double));
    }
    return true;
}

bool eval_scatter(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    int64_t rows = n->type.shape.dim[0], width = shape_numel(n->type.shape) / rows;
    int64_t count = shape_numel(in[0].type.shape);
    if (!in_range(f, &in[0], rows, "index"))
        return false;
    y->v = eval_room(f, n->type);
    y->dv = in[1].dv ? eval_room(f, n->type) : NULL;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < width; j++) {
            int64_t to = (int64_t)in[0].v[i] * width + j;
            y->v[to] += in[1].v[i * width + j];
            if (y->dv)
                y->dv[to] += in[1].dv[i * width + j];
        }
    return true;
}

/* One column of logits: z[k * step], k < n. */
typedef struct {
    double lse;  /* log of the sum of exponentials */
    double mean; /* of the tangents, weighted by softmax; 0 without tangents */
} Column;

static Column column(const double *z, const double *dz, int64_t n, int64_t step)
{
    double top = -INFINITY, total = 0, mean = 0;
    for (int64_t k = 0; k < n; k++)
        top = z[k * step] > top ? z[k * step] : top;
    for (int64_t k = 0; k < n; k++)
        total += exp(z[k * step] - top);
    for (int64_t k = 0; dz && k < n; k++)
        mean += exp(z[k * step] - top) / total * dz[k * step];
    return (Column){top + log(total), mean};
}

bool eval_xent(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Axis a = axis_loops(in[0].type.shape, n->a.axis.axis);
    if (!in_range(f, &in[1], a.n, "class"))
        return false;
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv ? eval_room(f, n->type) : NULL;
    for (int64_t row = 0; row < a.outer * a.inner; row++) {
        int64_t       at = row / a.inner * a.n * a.inner + row % a.inner, hit = (int64_t)in[1].v[row] * a.inner;
        const double *z = in[0].v + at, *dz = in[0].dv ? in[0].dv + at : NULL;
        Column        c = column(z, dz, a.n, a.inner);
        y->v[row] = c.lse - z[hit];
        if (dz)
            y->dv[row] = c.mean - dz[hit];
    }
    return true;
}

bool eval_xent_grad(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Axis a = axis_loops(in[0].type.shape, n->a.axis.axis);
    if (!in_range(f, &in[1], a.n, "class"))
        return false;
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv || in[2].dv ? eval_room(f, n->type) : NULL;
    for (int64_t row = 0; row < a.outer * a.inner; row++) {
        int64_t       at = row / a.inner * a.n * a.inner + row % a.inner;
        const double *z = in[0].v + at, *dz = in[0].dv ? in[0].dv + at : NULL;
        double        g = in[2].v[row];
        Column        c = column(z, dz, a.n, a.inner);
        for (int64_t k = 0; k < a.n; k++) {
            double p = exp(z[k * a.inner] - c.lse), e = p - (k == (int64_t)in[1].v[row]);
            y->v[at + k * a.inner] = e * g;
            if (dz)
                y->dv[at + k * a.inner] += p * (dz[k * a.inner] - c.mean) * g;
            if (in[2].dv)
                y->dv[at + k * a.inner] += e * in[2].dv[row];
        }
    }
    return true;
}

bool eval_splice(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    int32_t axis = n->a.axis.axis;
    Move    m = {.box = n->type.shape};
    if (!in_range(f, &in[2], n->type.shape.dim[axis] - in[1].type.shape.dim[axis] + 1, "position"))
        return false;
    strides_of(n->type.shape, m.to);
    strides_of(n->type.shape, m.from);
    move(f, in[0], y, &m);
    Tensor update = in[1];
    if (y->dv && !update.dv) /* the overwritten part of the buffer's tangent becomes zero */
        update.dv = eval_room(f, update.type);
    m.box = update.type.shape;
    strides_of(m.box, m.from);
    m.to_at = (int64_t)in[2].v[0] * m.to[axis];
    return move(f, update, y, &m);
}

/* ---- types ---- */

/* Reals of any width hold the same fp64 value here; integers truncate, truth values are "not zero". */
bool eval_cast(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    DType to = n->type.dtype, from = in[0].type.dtype;
    if ((to != DT_I32 && to != DT_BOOL) || to == from || from == DT_BOOL) {
        y->v = in[0].v;
        y->dv = to == DT_I32 || to == DT_BOOL ? NULL : in[0].dv;
        return true;
    }
    y->v = eval_room(f, n->type);
    for (int64_t i = 0, count = shape_numel(n->type.shape); i < count; i++)
        y->v[i] = to == DT_BOOL ? in[0].v[i] != 0 : trunc(in[0].v[i]);
    return true;
}

bool eval_stop_grad(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    y->v = eval_fixed(f, in[0].v, shape_numel(n->type.shape));
    return true;
}

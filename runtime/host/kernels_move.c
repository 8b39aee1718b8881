/* kernels_move.c: operations that move, repeat or make elements. Nothing is rounded here, except by fill and one_hot,
 * whose constants are already representable. */
#include "host/kernel.h"

#include <string.h>

static void copy(Real *out, const Real *in, int64_t n)
{
    memcpy(out, in, (size_t)n * sizeof *out);
}

void KERNEL(copy)(Run *run, const Call *call)
{
    copy(result(run, call), operand(run, call, 0), type_elems(&call->result[0]->type));
}

/* The last two axes swap places, or so: read along the source's rows in tiles, so that both sides stay in cache. */
enum { TILE = 16 };
static void copy_plane(Real *out, const Real *in, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride)
{
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < cols; c0 += TILE)
            for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
                for (int64_t c = c0; c < cols && c < c0 + TILE; c++)
                    out[r * cols + c] = in[r * row_stride + c * col_stride];
}

void copy_view(const ViewPlan *v, const Real *in, Real *out)
{
    int64_t  dim[MIL_RANK_MAX + 2] = {1, 1}, stride[MIL_RANK_MAX + 2] = {0}, at[MIL_RANK_MAX + 2] = {0};
    uint32_t rank = 2; /* two leading axes of extent 1 make every view at least a plane */
    for (uint32_t i = 0; i < v->rank; i++) {
        if (v->dim[i] == 1)
            continue;
        bool merge = rank > 2 && stride[rank - 1] == v->stride[i] * v->dim[i];
        rank += !merge;
        dim[rank - 1] = (merge ? dim[rank - 1] : 1) * v->dim[i];
        stride[rank - 1] = v->stride[i];
    }
    int64_t rows = dim[rank - 2], cols = dim[rank - 1];
    in += v->offset;
    for (;;) {
        if (stride[rank - 1] == 1)
            for (int64_t r = 0; r < rows; r++)
                copy(out + r * cols, in + r * stride[rank - 2], cols);
        else
            copy_plane(out, in, rows, cols, stride[rank - 2], stride[rank - 1]);
        out += rows * cols;
        int d = (int)rank - 3;
        for (; d >= 0; d--) { /* the next plane */
            in += stride[d];
            if (++at[d] < dim[d])
                break;
            in -= stride[d] * dim[d];
            at[d] = 0;
        }
        if (d < 0)
            return;
    }
}

void KERNEL(view)(Run *run, const Call *call)
{
    copy_view(&call->plan.view, operand(run, call, 0), result(run, call));
}

void KERNEL(tile)(Run *run, const Call *call)
{
    const Real     *in = operand(run, call, 0);
    Real           *out = result(run, call);
    const ViewPlan *v = &call->plan.view; /* extents and repetitions */
    if (v->rank == 0) {
        *out = *in;
        return;
    }
    int64_t cols = v->dim[v->rank - 1], reps = v->stride[v->rank - 1];
    int64_t rows = type_elems(&call->result[0]->type) / (cols * reps);
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, from = 0, step = cols;
        for (uint32_t d = v->rank - 1; d-- > 0;) {
            from += rest % (v->dim[d] * v->stride[d]) % v->dim[d] * step;
            rest /= v->dim[d] * v->stride[d];
            step *= v->dim[d];
        }
        for (int64_t k = 0; k < reps; k++, out += cols)
            copy(out, in + from, cols);
    }
}

static void fill(Real *out, int64_t n, Real x)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x;
}

void KERNEL(pad)(Run *run, const Call *call)
{
    const Real     *in = operand(run, call, 0);
    Real           *out = result(run, call);
    const ViewPlan *v = &call->plan.view; /* the input's extents, strides in the result */
    fill(out, type_elems(&call->result[0]->type), *operand(run, call, 3));
    out += v->offset;
    if (v->rank == 0) {
        *out = *in;
        return;
    }
    int64_t cols = v->dim[v->rank - 1], rows = type_elems(&call->arg[0]->type) / cols;
    for (int64_t r = 0; r < rows; r++, in += cols) {
        int64_t rest = r, to = 0;
        for (uint32_t d = v->rank - 1; d-- > 0;) {
            to += rest % v->dim[d] * v->stride[d];
            rest /= v->dim[d];
        }
        copy(out + to, in, cols);
    }
}

void KERNEL(fill)(Run *run, const Call *call)
{
    fill(result(run, call), type_elems(&call->result[0]->type), (Real)call->plan.scalar.alpha);
}

void KERNEL(concat)(Run *run, const Call *call)
{
    const JoinPlan *j = &call->plan.join;
    Real           *out = result(run, call);
    if (j->interleave) { /* the first of each, the second of each, ... */
        int64_t extent = j->part[0] / j->inner;
        for (int64_t o = 0; o < j->outer; o++)
            for (int64_t k = 0; k < extent; k++)
                for (uint32_t i = 0; i < call->tuples; i++, out += j->inner)
                    copy(out, data_of(run, call->tuple[i]) + (o * extent + k) * j->inner, j->inner);
        return;
    }
    for (int64_t o = 0; o < j->outer; o++)
        for (uint32_t i = 0; i < call->tuples; i++, out += j->part[i - 1])
            copy(out, data_of(run, call->tuple[i]) + o * j->part[i], j->part[i]);
}

void KERNEL(split)(Run *run, const Call *call)
{
    const JoinPlan *j = &call->plan.join;
    const Real     *in = operand(run, call, 0);
    for (int64_t o = 0; o < j->outer; o++)
        for (uint32_t i = 0; i < call->results; i++, in += j->part[i - 1])
            copy(data_of(run, call->result[i]) + o * j->part[i], in, j->part[i]);
}

/* An index read at run time; negative ones count from the end. */
static bool read_index(Run *run, const Call *call, Real x, int64_t extent, int64_t *out)
{
    bool ok = x >= -(Real)extent && x < (Real)extent;
    *out = ok ? (int64_t)x + (x < 0 ? extent : 0) : 0;
    if (!ok && !run->failed) {
        buf_printf(run->err, "%s: index %g into an axis of extent %lld\n", call->op->name, (double)x,
                   (long long)extent);
        run->failed = true;
    }
    return ok;
}

void KERNEL(gather)(Run *run, const Call *call)
{
    const Real    *in = operand(run, call, 0), *index = operand(run, call, 1);
    Real          *out = result(run, call);
    const int64_t *p = call->plan.scalar.i; /* batch, outer, extent, inner */
    int64_t        count = type_elems(&call->arg[1]->type) / p[0], at;
    for (int64_t b = 0; b < p[0]; b++)
        for (int64_t o = 0; o < p[1]; o++)
            for (int64_t i = 0; i < count; i++, out += p[3]) {
                if (!read_index(run, call, index[b * count + i], p[2], &at))
                    return;
                copy(out, in + ((b * p[1] + o) * p[2] + at) * p[3], p[3]);
            }
}

void KERNEL(one_hot)(Run *run, const Call *call)
{
    const Real       *index = operand(run, call, 0);
    Real             *out = result(run, call);
    const ScalarPlan *p = &call->plan.scalar; /* i: elements below the new axis, its extent */
    int64_t           n = type_elems(&call->arg[0]->type), at;
    fill(out, type_elems(&call->result[0]->type), (Real)p->beta);
    for (int64_t i = 0; i < n; i++) {
        if (!read_index(run, call, index[i], p->i[1], &at))
            return;
        out[(i / p->i[0] * p->i[1] + at) * p->i[0] + i % p->i[0]] = (Real)p->alpha;
    }
}

void KERNEL(band_part)(Run *run, const Call *call)
{
    const Real    *in = operand(run, call, 0);
    Real          *out = result(run, call);
    const int64_t *p = call->plan.scalar.i; /* lower, upper, rows, columns */
    int64_t        n = type_elems(&call->result[0]->type);
    for (int64_t i = 0; i < n; i++) {
        int64_t c = i % p[3], r = i / p[3] % p[2];
        bool    keep = (p[0] < 0 || r - c <= p[0]) && (p[1] < 0 || c - r <= p[1]);
        out[i] = keep ? in[i] : 0;
    }
}

/* kernels_axis.c: sums, maxima and softmax along axes.
 *
 * Which axis varies fastest decides how to walk. When it is the reduced one, a row is folded in LANES partial results,
 * so that the compiler can keep them in vector registers; the order of additions is fixed, so results are too. When it
 * is kept, whole rows are folded into each other, BLOCK columns at a time. */
#include "kernels.h"
#include "vmath.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, BLOCK = 256 };

/* ---- sum and amax ---- */

/* A shape with neighbouring axes of the same fate merged: alternately kept and reduced. */
typedef struct {
    uint32_t rank;
    size_t   dim[PLAN_MAX_RANK];
    bool     reduced[PLAN_MAX_RANK];
} Fold;

static Fold fold_of(PlanShape s, uint32_t axes)
{
    Fold f = {0};
    for (uint32_t i = 0; i < s.rank; i++) {
        bool r = axes >> i & 1;
        if (s.dim[i] == 1)
            continue;
        if (f.rank && f.reduced[f.rank - 1] == r)
            f.dim[f.rank - 1] *= (size_t)s.dim[i];
        else {
            f.dim[f.rank] = (size_t)s.dim[i];
            f.reduced[f.rank++] = r;
        }
    }
    if (f.rank == 0) {
        f.dim[0] = 1;
        f.rank = 1;
    }
    return f;
}

static float row_sum(const float *x, size_t n)
{
    float  lane[LANES] = {0}, s = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (; i < n; i++)
        s += x[i];
    for (size_t step = LANES / 2; step; step /= 2)
        for (size_t l = 0; l < step; l++)
            lane[l] += lane[l + step];
    return s + lane[0];
}

/* The larger one; a NaN comes through. */
static inline float larger(float a, float b)
{
    return a >= b || a != a ? a : b;
}

static float row_max(const float *x, size_t n)
{
    float  lane[LANES], m;
    size_t i = 0;
    for (size_t l = 0; l < LANES; l++)
        lane[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] = larger(lane[l], x[i + l]);
    m = lane[0];
    for (size_t l = 1; l < LANES; l++)
        m = larger(m, lane[l]);
    for (; i < n; i++)
        m = larger(m, x[i]);
    return m;
}

static void fold_row(const Fold *f, bool max, const float *x, float *y)
{
    size_t n = f->dim[f->rank - 1];
    if (f->reduced[f->rank - 1])
        *y = max ? larger(*y, row_max(x, n)) : *y + row_sum(x, n);
    else if (max)
        for (size_t i = 0; i < n; i++)
            y[i] = larger(y[i], x[i]);
    else
        for (size_t i = 0; i < n; i++)
            y[i] += x[i];
}

static void fold(const Fold *f, bool max, const float *x, float *y)
{
    size_t step[PLAN_MAX_RANK], at[PLAN_MAX_RANK] = {0}, room = 1, to = 0;
    size_t last = f->rank - 1, row = f->dim[last];
    for (uint32_t i = f->rank; i-- > 0;) {
        step[i] = f->reduced[i] ? 0 : room;
        room *= f->reduced[i] ? 1 : f->dim[i];
    }
    for (;;) {
        fold_row(f, max, x, y + to);
        x += row;
        uint32_t i = f->rank - 1;
        for (; i > 0; i--) { /* the next row: count up, last axis first */
            to += step[i - 1];
            if (++at[i - 1] < f->dim[i - 1])
                break;
            to -= step[i - 1] * f->dim[i - 1];
            at[i - 1] = 0;
        }
        if (i == 0)
            return;
    }
}

bool KERNEL(sum)(const KernelArgs *k)
{
    Fold f = fold_of(k->in_shape[0], k->a->axes);
    if (!k->add)
        memset(k->out, 0, k->numel * sizeof(float));
    fold(&f, false, k->in[0], k->out);
    return true;
}

bool KERNEL(amax)(const KernelArgs *k)
{
    Fold   f = fold_of(k->in_shape[0], k->a->axes);
    float *y = k->out;
    for (size_t i = 0; i < k->numel; i++)
        y[i] = -INFINITY;
    fold(&f, true, k->in[0], y);
    return true;
}

/* ---- softmax ---- */

static void softmax_row(const float *x, float *y, size_t n)
{
    float top = row_max(x, n);
    for (size_t i = 0; i < n; i++)
        y[i] = exp_f32(x[i] - top);
    float scale = 1.0f / row_sum(y, n);
    for (size_t i = 0; i < n; i++)
        y[i] *= scale;
}

/* `columns` <= BLOCK columns of n rows that lie `stride` apart. */
static void softmax_columns(const float *x, float *y, size_t n, size_t stride, size_t columns)
{
    float top[BLOCK], sum[BLOCK] = {0};
    for (size_t c = 0; c < columns; c++)
        top[c] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < columns; c++)
            top[c] = larger(top[c], x[i * stride + c]);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < columns; c++) {
            float e = exp_f32(x[i * stride + c] - top[c]);
            y[i * stride + c] = e;
            sum[c] += e;
        }
    for (size_t c = 0; c < columns; c++)
        sum[c] = 1.0f / sum[c];
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < columns; c++)
            y[i * stride + c] *= sum[c];
}

bool KERNEL(softmax)(const KernelArgs *k)
{
    KernelAxis   a = kernel_axis(k->shape, k->a->axis);
    const float *x = k->in[0];
    float       *y = k->out;
    for (size_t o = 0; o < a.outer; o++, x += a.n * a.inner, y += a.n * a.inner) {
        if (a.inner == 1)
            softmax_row(x, y, a.n);
        for (size_t c = 0; a.inner > 1 && c < a.inner; c += BLOCK)
            softmax_columns(x + c, y + c, a.n, a.inner, a.inner - c < BLOCK ? a.inner - c : BLOCK);
    }
    return true;
}

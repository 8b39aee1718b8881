/* kernels_gemm.c: contractions and windows: convolution, matrix products, attention, pooling.
 *
 * Convolution is a matrix product of the weights [out, in * window] with columns [in * window, positions]. A 1x1 window
 * needs no columns: the input already has that layout. Accumulation is in Real, with one rounding of the result, bias
 * included. */
#include "host/kernel.h"

#include "blas.h"
#include "gemm.h"

#include <tgmath.h>

void real_gemm(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const Real *a, int64_t lda,
               const Real *b, int64_t ldb, Real *c, int64_t ldc)
{
#ifdef HOST_EXACT
    (void)pool;
    cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1,
                a, (int)lda, b, (int)ldb, 0, c, (int)ldc);
#else
    gemm_f32(pool, ta, tb, m, n, k, a, lda, b, ldb, c, ldc, false);
#endif
}

/* ---- convolution ---------------------------------------------------------------------------------------------- */

/* One output row of a column: input row `in` (or zeros if NULL) sampled along the width. */
static void column_row(const WindowPlan *w, const Real *in, int64_t kx, Real *out)
{
    int64_t at = kx * w->dilation[2] - w->pad[2];
    for (int64_t x = 0; x < w->out[2]; x++, at += w->stride[2])
        out[x] = in && at >= 0 && at < w->in[2] ? in[at] : 0;
}

/* The columns of one group: [in_ch, k, k, k][positions]. */
static void columns(const WindowPlan *w, const Real *in, Real *out)
{
    for (int64_t c = 0; c < w->in_ch; c++)
        for (int64_t kz = 0; kz < w->k[0]; kz++)
            for (int64_t ky = 0; ky < w->k[1]; ky++)
                for (int64_t kx = 0; kx < w->k[2]; kx++)
                    for (int64_t oz = 0; oz < w->out[0]; oz++)
                        for (int64_t oy = 0; oy < w->out[1]; oy++, out += w->out[2]) {
                            int64_t z = oz * w->stride[0] + kz * w->dilation[0] - w->pad[0];
                            int64_t y = oy * w->stride[1] + ky * w->dilation[1] - w->pad[1];
                            bool    inside = z >= 0 && z < w->in[0] && y >= 0 && y < w->in[1];
                            column_row(w, inside ? in + ((c * w->in[0] + z) * w->in[1] + y) * w->in[2] : NULL, kx, out);
                        }
}

void KERNEL(conv)(Run *run, const Call *call)
{
    const WindowPlan *w = &call->plan.window;
    const Real       *x = operand(run, call, 0), *weight = operand(run, call, 1), *bias = operand(run, call, 2);
    Real             *out = result(run, call);
    int64_t           in_size = w->in[0] * w->in[1] * w->in[2], positions = w->out[0] * w->out[1] * w->out[2];
    int64_t           depth = w->in_ch * w->k[0] * w->k[1] * w->k[2];
    for (int64_t n = 0; n < w->batch; n++)
        for (int64_t g = 0; g < w->groups; g++, x += w->in_ch * in_size, out += w->out_ch * positions) {
            const Real *cols = x;
            if (!w->plain) {
                columns(w, x, run->scratch);
                cols = run->scratch;
            }
            real_gemm(run->pool, false, false, w->out_ch, positions, depth, weight + g * w->out_ch * depth, depth, cols, positions,
                      out, positions);
            for (int64_t o = 0; bias && o < w->out_ch; o++)
                for (int64_t i = 0; i < positions; i++)
                    out[o * positions + i] += bias[g * w->out_ch + o];
        }
    finish(call, result(run, call), type_elems(&call->result[0]->type));
}

/* ---- matrix products ------------------------------------------------------------------------------------------ */

/* Offset, in matrices, of batch element `i` for an operand with the given strides. */
static int64_t batch_at(const MatmulPlan *p, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (uint32_t d = p->batch_rank; d-- > 0;) {
        at += i % p->batch[d] * stride[d];
        i /= p->batch[d];
    }
    return at;
}

static int64_t batches(const MatmulPlan *p)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < p->batch_rank; d++)
        n *= p->batch[d];
    return n;
}

void KERNEL(matmul)(Run *run, const Call *call)
{
    const MatmulPlan *p = &call->plan.matmul;
    const Real       *x = operand(run, call, 0), *y = operand(run, call, 1);
    Real             *out = result(run, call);
    int64_t           n = batches(p);
    for (int64_t i = 0; i < n; i++, out += p->m * p->n) {
        real_gemm(run->pool, p->tx, p->ty, p->m, p->n, p->k, x + batch_at(p, p->x_stride, i) * p->m * p->k, p->x_ld,
                  y + batch_at(p, p->y_stride, i) * p->k * p->n, p->y_ld, out, p->n);
        finish(call, out, p->m * p->n); /* while it is in cache */
    }
}

void KERNEL(linear)(Run *run, const Call *call)
{
    const MatmulPlan *p = &call->plan.matmul;
    const Real       *bias = operand(run, call, 2);
    Real             *out = result(run, call);
    real_gemm(run->pool, false, true, p->m, p->n, p->k, operand(run, call, 0), p->x_ld, operand(run, call, 1), p->y_ld, out, p->n);
    for (int64_t i = 0; bias && i < p->m * p->n; i++)
        out[i] += bias[i % p->n];
    finish(call, out, p->m * p->n);
}

/* softmax(query key^T / sqrt(E) + mask) value, wide inside. The mask is honoured, as the definition says: a boolean one
 * keeps where it is true. The engine is reported to ignore it: with the quirk mask-ignored the call comes here without
 * one. A row without any admitted position gives NaN. */
void KERNEL(sdpa)(Run *run, const Call *call)
{
    const MatmulPlan *p = &call->plan.matmul; /* [m, k] x [n, k]^T, then [m, n] x [n, x_ld] */
    const Real *q = operand(run, call, 0), *k = operand(run, call, 1), *v = operand(run, call, 2),
               *mask = operand(run, call, 3);
    bool              boolean = mask && call->arg[3]->type.dtype == DT_BOOL;
    Real             *out = result(run, call), *score = run->scratch, scale = 1 / sqrt((Real)p->k);
    int64_t           n = batches(p);
    for (int64_t b = 0; b < n; b++, q += p->m * p->k, k += p->n * p->k, v += p->n * p->x_ld, out += p->m * p->x_ld) {
        const Real *base = mask ? mask + batch_at(p, p->y_stride, b) : NULL;
        real_gemm(run->pool, false, true, p->m, p->n, p->k, q, p->k, k, p->k, score, p->n);
        for (int64_t i = 0; i < p->m; i++) {
            Real *s = score + i * p->n, max = -(Real)INFINITY, sum = 0;
            for (int64_t j = 0; j < p->n; j++) {
                Real add = base ? base[i * p->mask_row + j * p->mask_col] : 0;
                s[j] = boolean ? (add != 0 ? s[j] * scale : -(Real)INFINITY) : s[j] * scale + add;
                max = s[j] > max ? s[j] : max;
            }
            for (int64_t j = 0; j < p->n; j++)
                sum += s[j] = real_exp(s[j] - max);
            for (int64_t j = 0; j < p->n; j++)
                s[j] /= sum;
        }
        real_gemm(run->pool, false, false, p->m, p->x_ld, p->n, score, p->n, v, p->x_ld, out, p->x_ld);
    }
    finish(call, result(run, call), n * p->m * p->x_ld);
}

/* ---- pooling -------------------------------------------------------------------------------------------------- */

/* One window starting at (z, y, x), possibly outside: the sum (or maximum) and the number of elements inside. */
static Real pool_window(const WindowPlan *w, const Real *in, const int64_t *at, bool max, int64_t *count)
{
    Real acc = max ? -(Real)INFINITY : 0;
    *count = 0;
    for (int64_t z = at[0]; z < at[0] + w->k[0]; z++)
        for (int64_t y = at[1]; y < at[1] + w->k[1]; y++)
            for (int64_t x = at[2]; x < at[2] + w->k[2]; x++) {
                if (z < 0 || z >= w->in[0] || y < 0 || y >= w->in[1] || x < 0 || x >= w->in[2])
                    continue;
                Real e = in[(z * w->in[1] + y) * w->in[2] + x];
                acc = !max ? acc + e : e > acc ? e : acc;
                ++*count;
            }
    return acc;
}

static void pool(Run *run, const Call *call, bool max, bool exclude_padding)
{
    const WindowPlan *w = &call->plan.window;
    const Real       *in = operand(run, call, 0);
    Real             *out = result(run, call);
    for (int64_t n = 0; n < w->batch; n++, in += w->in[0] * w->in[1] * w->in[2])
        for (int64_t z = 0; z < w->out[0]; z++)
            for (int64_t y = 0; y < w->out[1]; y++)
                for (int64_t x = 0; x < w->out[2]; x++) {
                    int64_t at[3] = {z * w->stride[0] - w->pad[0], y * w->stride[1] - w->pad[1],
                                     x * w->stride[2] - w->pad[2]},
                            count;
                    Real    acc = pool_window(w, in, at, max, &count);
                    int64_t all = exclude_padding ? count : w->k[0] * w->k[1] * w->k[2];
                    *out++ = max ? acc : all ? acc / (Real)all : 0;
                }
    finish(call, result(run, call), type_elems(&call->result[0]->type));
}

void KERNEL(max_pool)(Run *run, const Call *call)
{
    pool(run, call, true, false);
}

void KERNEL(avg_pool)(Run *run, const Call *call)
{
    pool(run, call, false, const_number(call->arg[5], 0) != 0);
}

/* kernels_xent.c: cross entropy of logits against classes, and its gradient.
 *
 * With classes along the first axis, as the head of a language model has them ([V, S]), logits of one position lie S
 * apart. Columns are therefore worked on BLOCK at a time, each pass reading memory in order; threads share the blocks. Sums
 * of exponentials are taken relative to the largest logit, so nothing overflows; they are kept in fp64, because a vocabulary is long. */
#include "kernels.h"
#include "vmath.h"

#include <math.h>

enum { BLOCK = 64, PARTIAL = 64 };

/* Largest logit and sum of exponentials relative to it, of `columns` columns of n rows `stride` apart. */
static void log_sum(const float *z, size_t n, size_t stride, size_t columns, float *top, double *sum)
{
    float part[BLOCK];
    for (size_t c = 0; c < columns; c++) {
        top[c] = -INFINITY;
        sum[c] = 0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < columns; c++) {
            float v = z[i * stride + c];
            top[c] = top[c] >= v || top[c] != top[c] ? top[c] : v;
        }
    for (size_t i = 0; i < n; i += PARTIAL) { /* fp32 over a few rows, fp64 over those: as fast, far more exact */
        size_t end = n - i < PARTIAL ? n : i + PARTIAL;
        for (size_t c = 0; c < columns; c++)
            part[c] = 0;
        for (size_t r = i; r < end; r++)
            for (size_t c = 0; c < columns; c++)
                part[c] += exp_f32(z[r * stride + c] - top[c]);
        for (size_t c = 0; c < columns; c++)
            sum[c] += part[c];
    }
}

/* One position with its logits in one piece. */
static void log_sum_row(const float *z, size_t n, float *top, double *sum)
{
    enum { LANES = 16 };
    float lane[LANES];
    *top = -INFINITY;
    *sum = 0;
    for (size_t l = 0; l < LANES; l++)
        lane[l] = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float v = z[i], *m = &lane[i % LANES];
        *m = *m >= v || *m != *m ? *m : v;
    }
    for (size_t l = 0; l < LANES; l++)
        *top = *top >= lane[l] || *top != *top ? *top : lane[l];
    for (size_t i = 0; i < n; i += LANES * PARTIAL) {
        size_t end = n - i < LANES * PARTIAL ? n : i + LANES * PARTIAL;
        for (size_t l = 0; l < LANES; l++)
            lane[l] = 0;
        size_t r = i;
        for (; r + LANES <= end; r += LANES)
            for (size_t l = 0; l < LANES; l++)
                lane[l] += exp_f32(z[r + l] - *top);
        for (; r < end; r++)
            lane[0] += exp_f32(z[r] - *top);
        for (size_t l = 0; l < LANES; l++)
            *sum += lane[l];
    }
}

/* Gradient of a block, given what log_sum() found: (softmax - one at the class) * cotangent. May work in place. */
static void gradient(const float *z, float *y, size_t n, size_t stride, size_t columns, const float *top,
                     const double *sum, const int32_t *class, const float *dy)
{
    float scale[BLOCK];
    for (size_t c = 0; c < columns; c++)
        scale[c] = (float)(dy[c] / sum[c]);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < columns; c++)
            y[i * stride + c] = exp_f32(z[i * stride + c] - top[c]) * scale[c];
    for (size_t c = 0; c < columns; c++)
        y[(size_t)class[c] * stride + c] -= dy[c];
}

typedef struct {
    const KernelArgs *k;
    KernelAxis        a;
    uint32_t          blocks; /* of columns, per outer index */
    bool              grad;
} Xent;

/* A block of columns; they do not depend on each other. */
static void piece(void *with, uint32_t index)
{
    const Xent       *x = with;
    const KernelArgs *k = x->k;
    size_t            o = index / x->blocks, first = index % x->blocks * BLOCK, n = x->a.n, inner = x->a.inner;
    size_t            columns = inner - first < BLOCK ? inner - first : BLOCK, at = o * inner + first;
    const int32_t    *class = (const int32_t *)k->in[1] + at;
    const float      *z = (const float *)k->in[0] + o * n * inner + first;
    float             top[BLOCK];
    double            sum[BLOCK];
    if (inner == 1)
        log_sum_row(z, n, top, sum);
    else
        log_sum(z, n, inner, columns, top, sum);
    if (x->grad)
        gradient(z, (float *)k->out + o * n * inner + first, n, inner, columns, top, sum, class,
                 (const float *)k->in[2] + at);
    for (size_t c = 0; !x->grad && c < columns; c++) {
        double picked = z[(size_t)class[c] * inner + c];
        ((float *)k->out)[at + c] = (float)(log(sum[c]) - (picked - top[c]));
    }
}

static bool xent(const KernelArgs *k, bool grad)
{
    Xent x = {k, kernel_axis(k->in_shape[0], k->a->axis), 0, grad};
    if (!kernel_in_range(k->err, k->in[1], x.a.outer * x.a.inner, (int32_t)x.a.n, "class"))
        return false;
    x.blocks = (uint32_t)((x.a.inner + BLOCK - 1) / BLOCK);
    pool_for(k->pool, (uint32_t)x.a.outer * x.blocks, piece, &x);
    return true;
}

bool KERNEL(xent)(const KernelArgs *k)
{
    return xent(k, false);
}

bool KERNEL(xent_grad)(const KernelArgs *k)
{
    return xent(k, true);
}

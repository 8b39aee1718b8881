/* kernels_xent.c: cross entropy of logits against classes, and its gradient.
 *
 * With classes along the first axis, as the head of a language model has them ([V, S]), logits of one position lie S
 * apart. Columns are therefore worked on BLOCK at a time, each pass reading memory in order. Sums of exponentials are
 * taken relative to the largest logit, so nothing overflows; they are kept in fp64, because a vocabulary is long. */
#include "kernels.h"
#include "vmath.h"

#include <math.h>

enum { BLOCK = 256, PARTIAL = 64 };

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

static bool xent(const KernelArgs *k, bool grad)
{
    KernelAxis     a = kernel_axis(k->in_shape[0], k->a->axis);
    const int32_t *class = k->in[1];
    const float   *z = k->in[0], *dy = grad ? k->in[2] : NULL;
    float         *y = k->out, top[BLOCK];
    double         sum[BLOCK];
    if (!kernel_in_range(k->err, class, a.outer * a.inner, (int32_t)a.n, "class"))
        return false;
    for (size_t o = 0; o < a.outer; o++, z += a.n * a.inner)
        for (size_t first = 0; first < a.inner; first += BLOCK) {
            size_t columns = a.inner - first < BLOCK ? a.inner - first : BLOCK, at = o * a.inner + first;
            if (a.inner == 1)
                log_sum_row(z, a.n, top, sum);
            else
                log_sum(z + first, a.n, a.inner, columns, top, sum);
            if (grad)
                gradient(z + first, y + o * a.n * a.inner + first, a.n, a.inner, columns, top, sum, class + at,
                         dy + at);
            for (size_t c = 0; !grad && c < columns; c++) {
                double picked = z[(size_t)class[at + c] * a.inner + first + c];
                y[at + c] = (float)(log(sum[c]) - (picked - top[c]));
            }
        }
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

/* kernels_scale.c: products of a matrix with a vector spread over it, and their adjoints, without the spread written
 * out: what gains that are folded into weights cost per update, in one pass over the matrices each. */
#include "kernels.h"

#include <string.h>

enum { BLOCK = 512, LANES = 16 };

/* out[i][j] = x[i][j] * g[j] */
bool KERNEL(colscale)(const KernelArgs *k)
{
    size_t       rows = (size_t)k->shape.dim[0], n = (size_t)k->shape.dim[1];
    const float *x = k->in[0], *g = k->in[1];
    float       *out = k->out;
    for (size_t i = 0; i < rows; i++, x += n, out += n)
        if (k->add)
            for (size_t j = 0; j < n; j++)
                out[j] += x[j] * g[j];
        else
            for (size_t j = 0; j < n; j++)
                out[j] = x[j] * g[j];
    return true;
}

/* out[i][j] = x[i][j] * g[i] */
bool KERNEL(rowscale)(const KernelArgs *k)
{
    size_t       rows = (size_t)k->shape.dim[0], n = (size_t)k->shape.dim[1];
    const float *x = k->in[0], *g = k->in[1];
    float       *out = k->out;
    for (size_t i = 0; i < rows; i++, x += n, out += n) {
        float s = g[i];
        if (k->add)
            for (size_t j = 0; j < n; j++)
                out[j] += x[j] * s;
        else
            for (size_t j = 0; j < n; j++)
                out[j] = x[j] * s;
    }
    return true;
}

/* out[j] = sum over i of a[i][j] * b[i][j]: rows folded into each other, a block of columns at a time */
bool KERNEL(coldot)(const KernelArgs *k)
{
    size_t       rows = (size_t)k->in_shape[0].dim[0], n = (size_t)k->in_shape[0].dim[1];
    const float *a = k->in[0], *b = k->in[1];
    float       *out = k->out, sum[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t m = n - at < BLOCK ? n - at : BLOCK;
        memset(sum, 0, sizeof sum);
        for (size_t i = 0; i < rows; i++) {
            const float *x = a + i * n + at, *y = b + i * n + at;
            for (size_t j = 0; j < m; j++)
                sum[j] += x[j] * y[j];
        }
        for (size_t j = 0; j < m; j++)
            out[at + j] = k->add ? out[at + j] + sum[j] : sum[j];
    }
    return true;
}

/* out[i] = sum over j of a[i][j] * b[i][j], in LANES partial sums of fixed order */
bool KERNEL(rowdot)(const KernelArgs *k)
{
    size_t       rows = (size_t)k->in_shape[0].dim[0], n = (size_t)k->in_shape[0].dim[1];
    const float *a = k->in[0], *b = k->in[1];
    float       *out = k->out;
    for (size_t i = 0; i < rows; i++, a += n, b += n) {
        float  lane[LANES] = {0}, s = 0;
        size_t j = 0;
        for (; j + LANES <= n; j += LANES)
            for (size_t l = 0; l < LANES; l++)
                lane[l] += a[j + l] * b[j + l];
        for (; j < n; j++)
            s += a[j] * b[j];
        for (size_t l = 0; l < LANES; l++)
            s += lane[l];
        out[i] = k->add ? out[i] + s : s;
    }
    return true;
}

/* kernels_scale.c: products of a matrix with a vector spread over it, and their adjoints, without the spread written
 * out: what gains that are folded into weights cost per update, in one pass over the matrices each. */
#include "kernels.h"

enum { BLOCK = 128, LANES = 16, PIECE = 1 << 16 };

/* Matrices are worked on in pieces of whole rows, about PIECE elements, or of BLOCK columns. */
static uint32_t row_pieces(size_t rows, size_t n, size_t *each)
{
    *each = n >= PIECE ? 1 : PIECE / (n ? n : 1);
    return (uint32_t)((rows + *each - 1) / *each);
}

static size_t rows_of(const KernelArgs *k, uint32_t index, size_t *from)
{
    size_t rows = (size_t)k->in_shape[0].dim[0], each;
    (void)row_pieces(rows, (size_t)k->in_shape[0].dim[1], &each);
    *from = index * each;
    return rows - *from < each ? rows - *from : each;
}

static void share_rows(const KernelArgs *k, PoolFn *fn)
{
    size_t each;
    pool_for(k->pool, row_pieces((size_t)k->in_shape[0].dim[0], (size_t)k->in_shape[0].dim[1], &each), fn, (void *)k);
}

/* out[i][j] = x[i][j] * g[j] */
static void colscale(void *with, uint32_t index)
{
    const KernelArgs *k = with;
    size_t            from, rows = rows_of(k, index, &from), n = (size_t)k->shape.dim[1];
    const float      *x = (const float *)k->in[0] + from * n, *g = k->in[1];
    float            *out = (float *)k->out + from * n;
    for (size_t i = 0; i < rows; i++, x += n, out += n)
        if (k->add)
            for (size_t j = 0; j < n; j++)
                out[j] += x[j] * g[j];
        else
            for (size_t j = 0; j < n; j++)
                out[j] = x[j] * g[j];
}

bool KERNEL(colscale)(const KernelArgs *k)
{
    share_rows(k, colscale);
    return true;
}

/* out[i][j] = x[i][j] * g[i] */
static void rowscale(void *with, uint32_t index)
{
    const KernelArgs *k = with;
    size_t            from, rows = rows_of(k, index, &from), n = (size_t)k->shape.dim[1];
    const float      *x = (const float *)k->in[0] + from * n, *g = (const float *)k->in[1] + from;
    float            *out = (float *)k->out + from * n;
    for (size_t i = 0; i < rows; i++, x += n, out += n) {
        float s = g[i];
        if (k->add)
            for (size_t j = 0; j < n; j++)
                out[j] += x[j] * s;
        else
            for (size_t j = 0; j < n; j++)
                out[j] = x[j] * s;
    }
}

bool KERNEL(rowscale)(const KernelArgs *k)
{
    share_rows(k, rowscale);
    return true;
}

/* out[j] = sum over i of a[i][j] * b[i][j]: rows folded into each other, a block of columns at a time */
static void coldot(void *with, uint32_t index)
{
    const KernelArgs *k = with;
    size_t            rows = (size_t)k->in_shape[0].dim[0], n = (size_t)k->in_shape[0].dim[1], at = (size_t)index * BLOCK;
    size_t            m = n - at < BLOCK ? n - at : BLOCK;
    const float      *a = (const float *)k->in[0] + at, *b = (const float *)k->in[1] + at;
    float            *out = (float *)k->out + at, sum[BLOCK] = {0};
    for (size_t i = 0; i < rows; i++) {
        const float *x = a + i * n, *y = b + i * n;
        for (size_t j = 0; j < m; j++)
            sum[j] += x[j] * y[j];
    }
    for (size_t j = 0; j < m; j++)
        out[j] = k->add ? out[j] + sum[j] : sum[j];
}

bool KERNEL(coldot)(const KernelArgs *k)
{
    pool_for(k->pool, (uint32_t)(((size_t)k->in_shape[0].dim[1] + BLOCK - 1) / BLOCK), coldot, (void *)k);
    return true;
}

/* out[i] = sum over j of a[i][j] * b[i][j], in LANES partial sums of fixed order */
static void rowdot(void *with, uint32_t index)
{
    const KernelArgs *k = with;
    size_t            from, rows = rows_of(k, index, &from), n = (size_t)k->in_shape[0].dim[1];
    const float      *a = (const float *)k->in[0] + from * n, *b = (const float *)k->in[1] + from * n;
    float            *out = (float *)k->out + from;
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
}

bool KERNEL(rowdot)(const KernelArgs *k)
{
    share_rows(k, rowdot);
    return true;
}

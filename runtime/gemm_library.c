/* gemm_library.c: products by oneDNN or BLAS, one thread per call, pieces of the longer side on the pool.
 *
 * Libraries know fp32 only. The operand that all pieces share is widened once, the other piece by piece while it is in
 * cache; results that are to be fp16 are rounded from a piece's own fp32 memory. */
#include "gemm_internal.h"

#include "blas.h"
#include "rows.h"
#include "scratch.h"

#include <string.h>

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
/* oneDNN divides work with OpenMP, whose number of threads is a setting of each calling thread. The library brings an
 * OpenMP runtime with it, if it was built with one. */
extern void omp_set_num_threads(int n) __attribute__((weak));
#endif

enum { PIECE_FLOPS = 1 << 26, ALIGN = 64 };

typedef struct {
    Gemm g;
    bool onednn, by_rows;
    int64_t size;    /* rows or columns of a piece */
    uint32_t pieces; /* of one product */
} Work;

static void sgemm(const Gemm *g, bool onednn)
{
    const float *a = g->a.data, *b = g->b.data;
    float *c = g->c.data, beta = g->c.add ? 1.0f : 0.0f;
#ifdef HAVE_ONEDNN
    if (onednn) {
        if (omp_set_num_threads)
            omp_set_num_threads(1);
        (void)dnnl_sgemm(g->a.transposed ? 'T' : 'N', g->b.transposed ? 'T' : 'N', g->m, g->n, g->k, 1.0f, a, g->a.ld,
                         b, g->b.ld, beta, c, g->c.ld); /* fails for wrong arguments only */
        return;
    }
#endif
    (void)onednn;
    cblas_sgemm(CblasRowMajor, g->a.transposed ? CblasTrans : CblasNoTrans, g->b.transposed ? CblasTrans : CblasNoTrans,
                (int)g->m, (int)g->n, (int)g->k, 1.0f, a, (int)g->a.ld, b, (int)g->b.ld, beta, c, (int)g->c.ld);
}

static int64_t stored_rows(const GemmIn *x, int64_t rows, int64_t cols)
{
    return x->transposed ? cols : rows;
}

/* `x`, a matrix of rows x cols, as fp32 at `to`, dense. */
static void widened(GemmIn *x, int64_t rows, int64_t cols, float *to)
{
    int64_t n = stored_rows(x, rows, cols), width = x->transposed ? rows : cols;
    for (int64_t r = 0; r < n; r++)
        rows_widen((const uint16_t *)x->data + r * x->ld, to + r * width, (size_t)width);
    *x = (GemmIn){to, GEMM_F32, x->transposed, width, 0};
}

static void piece(void *with, uint32_t index)
{
    const Work *w = with;
    uint32_t item = index / w->pieces;
    int64_t from = w->size * (int64_t)(index % w->pieces), side = w->by_rows ? w->g.m : w->g.n;
    int64_t size = side - from < w->size ? side - from : w->size;
    Gemm g = w->by_rows ? gemm_part(&w->g, from, size, 0, w->g.n, 0, w->g.k)
                        : gemm_part(&w->g, 0, w->g.m, from, size, 0, w->g.k);
    g.a.data = (const char *)g.a.data + item * g.a.stride * gemm_elem(g.a.type);
    g.b.data = (const char *)g.b.data + item * g.b.stride * gemm_elem(g.b.type);
    g.c.data = (char *)g.c.data + item * g.c.stride * gemm_elem(g.c.type);
    size_t na = g.a.type == GEMM_F16 ? (size_t)(g.m * g.k) : 0, nb = g.b.type == GEMM_F16 ? (size_t)(g.k * g.n) : 0,
           nc = g.c.type == GEMM_F16 ? (size_t)(g.m * g.n) : 0;
    float *memory = na + nb + nc ? scratch_take((na + nb + nc) * sizeof *memory) : NULL;
    GemmOut c = g.c;
    if (na)
        widened(&g.a, g.m, g.k, memory);
    if (nb)
        widened(&g.b, g.k, g.n, memory + na);
    if (nc)
        g.c = (GemmOut){memory + na + nb, GEMM_F32, false, g.n, 0};
    sgemm(&g, w->onednn);
    for (int64_t r = 0; nc && r < g.m; r++)
        rows_narrow((const float *)g.c.data + r * g.n, (uint16_t *)c.data + r * c.ld, (size_t)g.n);
    scratch_give(memory);
}

typedef struct {
    GemmIn x;
    float *to;
    int64_t rows, cols, part; /* of one matrix; stored rows at a time */
    uint32_t parts;
} Widening;

static void widen_part(void *with, uint32_t i)
{
    const Widening *w = with;
    int64_t n = stored_rows(&w->x, w->rows, w->cols), width = w->x.transposed ? w->rows : w->cols;
    int64_t from = (int64_t)(i % w->parts) * w->part, end = from + w->part < n ? from + w->part : n;
    const uint16_t *in = (const uint16_t *)w->x.data + (i / w->parts) * w->x.stride;
    float *to = w->to + (size_t)(i / w->parts) * (size_t)(w->rows * w->cols);
    for (int64_t r = from; r < end; r++)
        rows_widen(in + r * w->x.ld, to + r * width, (size_t)width);
}

/* The operand that all pieces of a product read: widened once. Returns memory to give back, or NULL. */
static float *widen_shared(Pool *pool, uint32_t count, GemmIn *x, int64_t rows, int64_t cols)
{
    if (x->type == GEMM_F32)
        return NULL;
    Widening w = {*x, scratch_take((size_t)count * (size_t)(rows * cols) * sizeof(float)), rows, cols, 0, 0};
    int64_t n = stored_rows(x, rows, cols), width = rows * cols / n;
    w.part = (1 << 16) / width + 1;
    w.parts = (uint32_t)((n + w.part - 1) / w.part);
    pool_for(pool, count * w.parts, widen_part, &w);
    *x = (GemmIn){w.to, GEMM_F32, x->transposed, width, (size_t)(rows * cols)};
    return w.to;
}

void gemm_by_library(Pool *pool, const Gemm *all, bool onednn)
{
    Work w = {.g = *all, .onednn = onednn, .by_rows = all->m >= all->n};
    int64_t side = w.by_rows ? all->m : all->n;
    double flops = 2.0 * (double)all->m * (double)all->n * (double)all->k;
    int64_t pieces = (int64_t)(flops / PIECE_FLOPS) + 1;
    w.size = (side / pieces + ALIGN - 1) / ALIGN * ALIGN;
    w.size = w.size ? w.size : ALIGN;
    w.pieces = (uint32_t)((side + w.size - 1) / w.size);
    float *shared = NULL;
    if (w.pieces > 1)
        shared = w.by_rows ? widen_shared(pool, all->count, &w.g.b, all->k, all->n)
                           : widen_shared(pool, all->count, &w.g.a, all->m, all->k);
    pool_for(pool, all->count * w.pieces, piece, &w);
    scratch_give(shared);
}

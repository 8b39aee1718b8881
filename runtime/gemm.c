/* gemm.c: see gemm.h. A product is cut along its longer side into pieces of about PIECE_FLOPS, in whole rows or columns
 * that are multiples of what the libraries' kernels work on at a time. */
#include "gemm.h"

#include "blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_FLOPS = 1 << 25, ALIGN_ROWS = 64 };

typedef struct {
    bool         ta, tb, add;
    int64_t      m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float       *c;
    size_t       sa, sb, sc;
    uint32_t     pieces; /* of one product */
    bool         by_rows;
    int64_t      size; /* rows or columns of a piece */
} Gemm;

static void piece(void *with, uint32_t index)
{
    const Gemm  *g = with;
    uint32_t     which = index / g->pieces;
    int64_t      from = g->size * (int64_t)(index % g->pieces), m = g->m, n = g->n;
    const float *a = g->a + which * g->sa, *b = g->b + which * g->sb;
    float       *c = g->c + which * g->sc;
    if (g->by_rows) {
        m = m - from < g->size ? m - from : g->size;
        a += g->ta ? from : from * g->lda;
        c += from * g->ldc;
    } else {
        n = n - from < g->size ? n - from : g->size;
        b += g->tb ? from * g->ldb : from;
        c += from;
    }
    cblas_sgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans, g->tb ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)g->k, 1.0f, a, (int)g->lda, b, (int)g->ldb, g->add ? 1.0f : 0.0f, c, (int)g->ldc);
}

void gemm_f32_batch(Pool *pool, uint32_t count, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                    int64_t lda, size_t sa, const float *b, int64_t ldb, size_t sb, float *c, int64_t ldc, size_t sc,
                    bool add)
{
    Gemm    g = {ta, tb, add, m, n, k, lda, ldb, ldc, a, b, c, sa, sb, sc, .by_rows = m >= n};
    int64_t side = g.by_rows ? m : n;
    double  flops = 2.0 * (double)m * (double)n * (double)k;
    int64_t pieces = (int64_t)(flops / PIECE_FLOPS) + 1;
    g.size = (side / pieces + ALIGN_ROWS - 1) / ALIGN_ROWS * ALIGN_ROWS;
    g.size = g.size ? g.size : ALIGN_ROWS;
    g.pieces = (uint32_t)((side + g.size - 1) / g.size);
    pool_for(pool, count * g.pieces, piece, &g);
}

void gemm_f32(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
              int64_t ldb, float *c, int64_t ldc, bool add)
{
    gemm_f32_batch(pool, 1, ta, tb, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, add);
}

void gemm_init(void)
{
#if defined(__APPLE__)
    setenv("VECLIB_MAXIMUM_THREADS", "1", 1); /* read by Accelerate at its first use */
#elif defined(OPENBLAS_VERSION)
    openblas_set_num_threads(1);
#endif
}

const char *gemm_library(void)
{
#if defined(__APPLE__)
    return "Accelerate";
#elif defined(OPENBLAS_VERSION)
    static char name[64];
    snprintf(name, sizeof name, "%.60s", OPENBLAS_VERSION);
    return name + strspn(name, " ");
#else
    return "BLAS";
#endif
}

/* gemm_internal.h: between gemm.c, which picks, and what multiplies. */
#ifndef ANEL_RUNTIME_GEMM_INTERNAL_H
#define ANEL_RUNTIME_GEMM_INTERNAL_H

#include "gemm.h"

typedef struct {
    uint32_t count;
    int64_t m, n, k;
    GemmIn a, b;
    GemmOut c;
} Gemm;

static inline size_t gemm_elem(GemmType t)
{
    return t == GEMM_F16 ? 2 : 4;
}

/* Rows from .. from + m of the product (of each in a batch), columns and depth likewise. */
static inline Gemm gemm_part(const Gemm *g, int64_t row, int64_t m, int64_t col, int64_t n, int64_t deep, int64_t k)
{
    Gemm p = *g;
    p.m = m, p.n = n, p.k = k;
    p.a.data = (const char *)g->a.data +
               (size_t)(g->a.transposed ? deep * g->a.ld + row : row * g->a.ld + deep) * gemm_elem(g->a.type);
    p.b.data = (const char *)g->b.data +
               (size_t)(g->b.transposed ? col * g->b.ld + deep : deep * g->b.ld + col) * gemm_elem(g->b.type);
    p.c.data = (char *)g->c.data + (size_t)(row * g->c.ld + col) * gemm_elem(g->c.type);
    return p;
}

/* By a library, in pieces on the pool. */
void gemm_by_library(Pool *pool, const Gemm *g, bool onednn);

#ifdef HOST_HAS_AMX
void gemm_by_amx(Pool *pool, const Gemm *g);
#endif

#endif

/* gemm.h: products of matrices on the threads of a pool.
 *
 * Operands are fp32 or fp16 and are read where they are; products are exact for fp16 and sums have fp32's precision, so
 * an fp16 result differs from the exact one by its one rounding and what a sum in fp32 loses. A product is cut into
 * pieces whose sizes depend on the shape alone, so that the bits of the result do not depend on the number of threads.
 *
 * Who multiplies, the first that the machine and the build have:
 *   AMX       gemm_amx.c: matrix units of recent Intel processors, on operands split into bf16 pieces
 *   oneDNN    on one thread per call; the best fp32 products of a library on x86-64
 *   BLAS      OpenBLAS on one thread per call, Accelerate on macOS
 * The order of summation differs between them, so the last bits of sums may. */
#ifndef ANEL_RUNTIME_GEMM_H
#define ANEL_RUNTIME_GEMM_H

#include "pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { GEMM_F32, GEMM_F16 } GemmType;

/* Matrices in row-major order: `ld` elements from one stored row to the next; matrix i of a batch lies `stride`
 * elements after matrix i - 1. fp16 data need not be aligned to more than two bytes. */
typedef struct {
    const void *data;
    GemmType type;
    bool transposed; /* as stored */
    int64_t ld;
    size_t stride;
} GemmIn;

typedef struct {
    void *data;
    GemmType type;
    bool add; /* fp32 only: c += a b */
    int64_t ld;
    size_t stride;
} GemmOut;

/* c[m, n] = a[m, k] b[k, n], `count` times. `pool` may be NULL. c does not overlap a and b. */
void gemm(Pool *pool, uint32_t count, int64_t m, int64_t n, int64_t k, GemmIn a, GemmIn b, GemmOut c);

/* The same for fp32. */
void gemm_f32(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
              const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
void gemm_f32_batch(Pool *pool, uint32_t count, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                    int64_t lda, size_t sa, const float *b, int64_t ldb, size_t sb, float *c, int64_t ldc, size_t sc,
                    bool add);

/* To be called before the first product: libraries are told to use one thread per call. */
void gemm_init(void);
/* Use "amx", "onednn" or "blas" from now on; false if it is not to be had here. NULL: the best there is. Not while
 * products are computed. The environment variable ANEL_GEMM does the same at gemm_init(). */
bool gemm_select(const char *name);
/* What computes products: "AMX", "oneDNN 2.6.3", "OpenBLAS 0.3.21". */
const char *gemm_library(void);

#endif

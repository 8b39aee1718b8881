/* gemm.h: products of fp32 matrices, by a library, on the threads of a pool.
 *
 * The library runs on one thread per call; a product is cut into pieces whose sizes depend on the shape alone, so that
 * the bits of the result do not depend on the number of threads. */
#ifndef ANEL_RUNTIME_GEMM_H
#define ANEL_RUNTIME_GEMM_H

#include "pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* c[m, n] = a[m, k] b[k, n], or c += with `add`; row-major, `ta`, `tb`: stored transposed; ld*: elements from one stored
 * row to the next. `pool` may be NULL. */
void gemm_f32(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
              int64_t ldb, float *c, int64_t ldc, bool add);

/* The same `count` times, with the operands of product i at a + i * sa and so on. */
void gemm_f32_batch(Pool *pool, uint32_t count, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                    int64_t lda, size_t sa, const float *b, int64_t ldb, size_t sb, float *c, int64_t ldc, size_t sc,
                    bool add);

/* To be called before the first product: the library is told to use one thread per call. */
void gemm_init(void);
/* What computes products: "OpenBLAS 0.3.21". */
const char *gemm_library(void);

#endif

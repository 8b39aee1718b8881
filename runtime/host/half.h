/* half.h: what the steps of fp16 programs are made of, in one version per kind of machine; all give the same bits.
 *
 * fp16 tensors are stored as fp16 and computed in float: pieces small enough for the nearest cache are widened, go
 * through the operations, each of which is rounded to fp16, and are narrowed where a result is stored. */
#ifndef ANEL_HOST_HALF_H
#define ANEL_HOST_HALF_H

#include "host/kernel_table.h"

/* An element-wise operation on a row: of one operand, or of two that advance by 0 or 1. The result is not rounded. */
typedef struct {
    KernelFn *plain; /* the kernel of the whole operation, by which the row is found */
    void (*one)(const Call *call, const float *in, float *out, int64_t n);
    void (*two)(float *out, const float *xs, int64_t sx, const float *ys, int64_t sy, int64_t n);
} HalfRow;

typedef struct {
    const HalfRow *(*row_of)(KernelFn *plain);            /* NULL: not element-wise, or not on fp16 */
    void (*softmax)(const float *x, int64_t n, float *y); /* not rounded */
    void (*round)(float *x, size_t n);                    /* to fp16, in place */
    void (*widen)(const uint16_t *in, float *out, size_t n);
    void (*narrow)(const float *in, uint16_t *out, size_t n);
    /* out[0 .. cols) = the sum over k of a[k] * b[k][0 .. cols): a matrix product with one row. `cols` <= HALF_COLUMNS;
     * `sa`: elements from one number of a to the next, `ldb` from one row of b to the next. */
    void (*row_product)(const uint16_t *a, int64_t sa, const uint16_t *b, int64_t ldb, int64_t k, int64_t cols,
                        uint16_t *out);
} HalfKernels;

enum { HALF_COLUMNS = 128 };

extern const HalfKernels half_kernels_ane, half_kernels_avx2, half_kernels_avx512, half_kernels_neon;

const HalfRow *kernel_row_of_ane(KernelFn *plain), *kernel_row_of_avx2(KernelFn *plain),
    *kernel_row_of_avx512(KernelFn *plain), *kernel_row_of_neon(KernelFn *plain);
void kernel_softmax_row_ane(const float *x, int64_t n, float *y),
    kernel_softmax_row_avx2(const float *x, int64_t n, float *y),
    kernel_softmax_row_avx512(const float *x, int64_t n, float *y),
    kernel_softmax_row_neon(const float *x, int64_t n, float *y);

#endif

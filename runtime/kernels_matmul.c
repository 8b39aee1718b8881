/* kernels_matmul.c: matrix products, by BLAS; into a gradient with beta = 1, so that nothing is added twice. */
#include "gemm.h"
#include "kernels.h"

bool KERNEL(matmul)(const KernelArgs *k)
{
    PlanShape    x = k->in_shape[0], y = k->in_shape[1];
    uint32_t     r = x.rank;
    int          m = k->shape.dim[r - 2], n = k->shape.dim[r - 1], depth = x.dim[k->a->ta ? r - 2 : r - 1];
    size_t       sx = (size_t)m * (size_t)depth, sy = (size_t)n * (size_t)depth, sz = (size_t)m * (size_t)n;
    const float *a = k->in[0], *b = k->in[1];
    float       *c = k->out;
    gemm_f32_batch(k->pool, (uint32_t)(k->numel / sz), k->a->ta, k->a->tb, m, n, depth, a, x.dim[r - 1], sx, b,
                   y.dim[r - 1], sy, c, n, sz, k->add);
    return true;
}

/* kernels_table.c: which function does which operation. */
#include "kernels.h"

#include <string.h>

#define K(name, flags) {#name, kernel_##name, flags}

const Kernel kernels[] = {
    K(iota, 0),
    K(add, KERNEL_SPLATS),
    K(sub, KERNEL_SPLATS),
    K(mul, KERNEL_SPLATS),
    K(div, KERNEL_SPLATS),
    K(max, KERNEL_SPLATS),
    K(min, KERNEL_SPLATS),
    K(neg, KERNEL_SPLATS),
    K(exp, KERNEL_SPLATS),
    K(log, KERNEL_SPLATS),
    K(sqrt, KERNEL_SPLATS),
    K(rsqrt, KERNEL_SPLATS),
    K(tanh, KERNEL_SPLATS),
    K(sigmoid, KERNEL_SPLATS),
    K(powc, KERNEL_SPLATS),
    K(cmp, KERNEL_SPLATS),
    K(select, KERNEL_SPLATS),
    K(sum, KERNEL_ADDS),
    K(amax, 0),
    K(softmax, 0),
    K(matmul, KERNEL_ADDS),
    K(reshape, KERNEL_ADDS | KERNEL_SPLATS),
    K(transpose, 0),
    K(broadcast, 0),
    K(slice, 0),
    K(pad, 0),
    K(concat, 0),
    K(gather, 0),
    K(scatter_add, KERNEL_ADDS),
    K(xent, 0),
    K(xent_grad, 0),
    K(splice, 0),
    K(cast, KERNEL_SPLATS),
};
const uint32_t kernel_count = COUNT(kernels);

const Kernel *kernel_find(const char *name)
{
    for (size_t i = 0; i < COUNT(kernels); i++)
        if (strcmp(kernels[i].name, name) == 0)
            return &kernels[i];
    return NULL;
}

KernelAxis kernel_axis(PlanShape s, int32_t axis)
{
    KernelAxis x = {1, (size_t)s.dim[axis], 1};
    for (int32_t i = 0; i < axis; i++)
        x.outer *= (size_t)s.dim[i];
    for (int32_t i = axis + 1; i < (int32_t)s.rank; i++)
        x.inner *= (size_t)s.dim[i];
    return x;
}

bool kernel_in_range(Buf *err, const int32_t *index, size_t n, int32_t limit, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= limit) {
            buf_printf(err, "%s %d of %d (element %zu)", what, index[i], limit, i);
            return false;
        }
    return true;
}

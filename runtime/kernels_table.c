/* kernels_table.c: which function does which operation. */
#include "kernels.h"

#include <string.h>

#ifdef HOST_HAS_AVX2
#define WIDE(name) kernel_##name##_wide
#else
#define WIDE(name) kernel_##name
#endif

const Kernel kernels[] = {
#define KERNEL_ROW(name, flags) {#name, kernel_##name, WIDE(name), flags},
#include "kernels.def"
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

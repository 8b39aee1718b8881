/* kernels_index.c: rows picked and written by number. Numbers come from data, so every one is checked. */
#include "kernels.h"

#include <string.h>

static size_t numel(PlanShape s)
{
    return (size_t)plan_numel(s);
}

bool KERNEL(gather)(const KernelArgs *k)
{
    int32_t        rows = k->in_shape[0].dim[0];
    size_t         count = numel(k->in_shape[1]), width = numel(k->in_shape[0]) / (size_t)rows * 4;
    const int32_t *index = k->in[1];
    if (!kernel_in_range(k->err, index, count, rows, "index"))
        return false;
    for (size_t i = 0; i < count; i++)
        memcpy((char *)k->out + i * width, (const char *)k->in[0] + (size_t)index[i] * width, width);
    return true;
}

bool KERNEL(scatter_add)(const KernelArgs *k)
{
    int32_t        rows = k->shape.dim[0];
    size_t         count = numel(k->in_shape[0]), width = k->numel / (size_t)rows;
    const int32_t *index = k->in[0];
    const float   *x = k->in[1];
    if (!kernel_in_range(k->err, index, count, rows, "index"))
        return false;
    if (!k->add)
        memset(k->out, 0, k->numel * sizeof(float));
    for (size_t i = 0; i < count; i++, x += width) { /* in order: several rows may go to one place */
        float *y = (float *)k->out + (size_t)index[i] * width;
        for (size_t j = 0; j < width; j++)
            y[j] += x[j];
    }
    return true;
}

/* Buffer, update, position. In place, only the update is written. */
bool KERNEL(splice)(const KernelArgs *k)
{
    KernelAxis     whole = kernel_axis(k->shape, k->a->axis), part = kernel_axis(k->in_shape[1], k->a->axis);
    const int32_t *at = k->in[2];
    if (!kernel_in_range(k->err, at, 1, (int32_t)(whole.n - part.n + 1), "position"))
        return false;
    if (k->out != k->in[0])
        memcpy(k->out, k->in[0], k->numel * 4);
    size_t row = whole.n * whole.inner * 4, bytes = part.n * part.inner * 4;
    for (size_t o = 0; o < whole.outer; o++)
        memcpy((char *)k->out + o * row + (size_t)*at * whole.inner * 4, (const char *)k->in[1] + o * bytes, bytes);
    return true;
}

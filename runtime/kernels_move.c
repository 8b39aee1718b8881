/* kernels_move.c: the same numbers in another order.
 *
 * Elements are moved as 32-bit words, whatever they mean. All of these are copies of boxes between two strided views;
 * what differs is which strides. Neighbouring axes that are contiguous on both sides are merged first, so that the
 * inner copies are as long as they can be. */
#include "kernels.h"

#include <string.h>

typedef struct { /* copy word i0, i1, ... from `from` + sum i * from_step to `to` + sum i * to_step */
    uint32_t rank;
    size_t   dim[PLAN_MAX_RANK], from_step[PLAN_MAX_RANK], to_step[PLAN_MAX_RANK];
} Box;

static void steps_of(PlanShape s, size_t *step)
{
    size_t n = 1;
    for (uint32_t i = s.rank; i-- > 0; n *= (size_t)s.dim[i])
        step[i] = n;
}

/* Without axes of extent 1, and with mergeable neighbours merged; at least one axis. */
static Box merged(const Box *b)
{
    Box m = {0};
    for (uint32_t i = 0; i < b->rank; i++) {
        if (b->dim[i] == 1)
            continue;
        uint32_t l = m.rank - 1;
        if (m.rank && m.from_step[l] == b->dim[i] * b->from_step[i] && m.to_step[l] == b->dim[i] * b->to_step[i])
            m.dim[l] *= b->dim[i];
        else {
            l = m.rank++;
            m.dim[l] = b->dim[i];
        }
        m.from_step[l] = b->from_step[i];
        m.to_step[l] = b->to_step[i];
    }
    if (m.rank == 0) {
        m.rank = 1;
        m.dim[0] = m.from_step[0] = m.to_step[0] = 1;
    }
    return m;
}

static void copy_row(const uint32_t *from, size_t from_step, uint32_t *to, size_t to_step, size_t n)
{
    if (from_step == 1 && to_step == 1)
        memcpy(to, from, n * sizeof *to);
    else if (from_step == 0 && to_step == 1) {
        uint32_t v = *from;
        for (size_t i = 0; i < n; i++)
            to[i] = v;
    } else
        for (size_t i = 0; i < n; i++)
            to[i * to_step] = from[i * from_step];
}

/* Two axes, one contiguous on each side: in tiles, so that neither side touches a cache line twice. */
static void copy_turned(const uint32_t *from, size_t from_step, uint32_t *to, size_t to_step, size_t n, size_t m)
{
    enum { TILE = 16 };
    for (size_t i0 = 0; i0 < n; i0 += TILE)
        for (size_t j0 = 0; j0 < m; j0 += TILE) {
            size_t i1 = n - i0 < TILE ? n : i0 + TILE, j1 = m - j0 < TILE ? m : j0 + TILE;
            for (size_t i = i0; i < i1; i++)
                for (size_t j = j0; j < j1; j++)
                    to[i * to_step + j] = from[i + j * from_step];
        }
}

static void copy_box(const Box *box, const uint32_t *from, uint32_t *to)
{
    Box      b = merged(box);
    uint32_t inner = b.rank - 1, turn = b.rank; /* turn: the axis that is contiguous in `from`, if not the inner one */
    size_t   at[PLAN_MAX_RANK] = {0};
    for (uint32_t i = 0; i + 1 < b.rank; i++)
        if (b.from_step[i] == 1 && b.to_step[inner] == 1 && b.from_step[inner] > 1)
            turn = i;
    for (;;) {
        if (turn < b.rank)
            copy_turned(from, b.from_step[inner], to, b.to_step[turn], b.dim[turn], b.dim[inner]);
        else
            copy_row(from, b.from_step[inner], to, b.to_step[inner], b.dim[inner]);
        uint32_t i = inner;
        for (; i > 0; i--) { /* count up over all axes but the inner one and the turned one */
            uint32_t x = i - 1;
            if (x == turn)
                continue;
            from += b.from_step[x];
            to += b.to_step[x];
            if (++at[x] < b.dim[x])
                break;
            from -= b.from_step[x] * b.dim[x];
            to -= b.to_step[x] * b.dim[x];
            at[x] = 0;
        }
        if (i == 0)
            return;
    }
}

static void set_dims(Box *b, PlanShape s)
{
    b->rank = s.rank;
    for (uint32_t i = 0; i < s.rank; i++)
        b->dim[i] = (size_t)s.dim[i];
}

bool KERNEL(transpose)(const KernelArgs *k)
{
    Box    b = {0};
    size_t step[PLAN_MAX_RANK];
    set_dims(&b, k->shape);
    steps_of(k->shape, b.to_step);
    steps_of(k->in_shape[0], step);
    for (uint32_t i = 0; i < b.rank; i++)
        b.from_step[i] = step[k->a->perm[i]];
    copy_box(&b, k->in[0], k->out);
    return true;
}

bool KERNEL(broadcast)(const KernelArgs *k)
{
    Box b = {0};
    set_dims(&b, k->shape);
    steps_of(k->shape, b.to_step);
    steps_of(k->in_shape[0], b.from_step);
    for (uint32_t i = 0; i < b.rank; i++)
        if (k->in_shape[0].dim[i] == 1)
            b.from_step[i] = 0;
    copy_box(&b, k->in[0], k->out);
    return true;
}

bool KERNEL(slice)(const KernelArgs *k)
{
    Box             b = {0};
    const uint32_t *from = k->in[0];
    set_dims(&b, k->shape);
    steps_of(k->shape, b.to_step);
    steps_of(k->in_shape[0], b.from_step);
    for (uint32_t i = 0; i < b.rank; i++)
        from += (size_t)k->a->begin[i] * b.from_step[i];
    copy_box(&b, from, k->out);
    return true;
}

bool KERNEL(pad)(const KernelArgs *k)
{
    Box       b = {0};
    uint32_t *to = k->out;
    set_dims(&b, k->in_shape[0]);
    steps_of(k->in_shape[0], b.from_step);
    steps_of(k->shape, b.to_step);
    for (uint32_t i = 0; i < b.rank; i++)
        to += (size_t)k->a->lo[i] * b.to_step[i];
    memset(k->out, 0, k->numel * sizeof *to);
    copy_box(&b, k->in[0], to);
    return true;
}

bool KERNEL(concat)(const KernelArgs *k)
{
    KernelAxis whole = kernel_axis(k->shape, k->a->axis);
    uint32_t  *to = k->out;
    for (uint32_t p = 0; p < k->ins; p++) {
        KernelAxis part = kernel_axis(k->in_shape[p], k->a->axis);
        size_t     row = part.n * part.inner;
        for (size_t o = 0; o < whole.outer; o++)
            memcpy(to + o * whole.n * whole.inner, (const uint32_t *)k->in[p] + o * row, row * sizeof *to);
        to += row;
    }
    return true;
}

/* kernels.h: the CPU operations of a plan, in fp32.
 *
 * A kernel gets operands and result as dense row-major memory, floats or int32_t, and their shapes; plan_resolve() has
 * checked that they fit. The result is overwritten, or, when `add` is set, added to (gradients). A kernel without
 * KERNEL_ADDS is never asked to add: the executor lets it write into scratch memory and adds that.
 *
 * A number that stands for a whole tensor reaches kernels with KERNEL_SPLATS as a tile of KERNEL_TILE equal elements,
 * with splat[k] set; other kernels see it written out in full. */
#ifndef ANEL_RUNTIME_KERNELS_H
#define ANEL_RUNTIME_KERNELS_H

#include "plan/plan.h"
#include "pool.h"

#include <stdbool.h>
#include <stdint.h>

enum { KERNEL_TILE = 1024 };
enum { KERNEL_ADDS = 1, KERNEL_SPLATS = 2 };

typedef struct {
    const StepAttr  *a;
    uint32_t         ins;
    const PlanShape *in_shape; /* [ins] */
    const PlanType  *in_type;  /* [ins] PLAN_F32 or PLAN_I32 */
    const bool      *splat;    /* [ins] */
    PlanShape        shape;    /* of the result */
    PlanType         type;
    size_t           numel; /* of the result */
    bool             add;
    Pool            *pool; /* for kernels that share their work; may be NULL */
    const void *const *in; /* [ins] */
    void            *out;
    Buf             *err;
} KernelArgs;

/* False, with a sentence in err, if the data cannot be worked on: an index out of range, an integer division by 0. */
typedef bool KernelFn(const KernelArgs *k);

typedef struct {
    const char *name;
    KernelFn   *run, *wide; /* for machines with cpu_avx2(); the same where there is no such build */
    unsigned    flags;
} Kernel;

extern const Kernel kernels[];
extern const uint32_t kernel_count;
const Kernel *kernel_find(const char *name); /* NULL if there is none */

/* kernels_*.c are compiled twice, like those of the host device: plain and for AVX2, with the same results. */
#ifdef KERNEL_AVX2
#define KERNEL(name) kernel_##name##_wide
#else
#define KERNEL(name) kernel_##name
#endif
#define KERNEL_ROW(name, flags) KernelFn kernel_##name, kernel_##name##_wide;
#include "kernels.def"

/* A tensor seen along one axis: outer x n x inner. */
typedef struct {
    size_t outer, n, inner;
} KernelAxis;
KernelAxis kernel_axis(PlanShape s, int32_t axis);

/* First of `n` indices that is not in 0 .. limit - 1 is reported as "`what` 300 of 256". */
bool kernel_in_range(Buf *err, const int32_t *index, size_t n, int32_t limit, const char *what);

#endif

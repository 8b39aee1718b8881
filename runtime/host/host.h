/* host.h: the host device's insides: programs as lists of kernel calls over planned memory. */
#ifndef ANEL_HOST_HOST_H
#define ANEL_HOST_HOST_H

#include "driver.h"
#include "host/mil_check.h"

/* The two element types kernels are compiled for; see kernel.h. */
bool kernel_load_ane(PortType type, const void *surface, int64_t n, float *out);
bool kernel_load_exact(PortType type, const void *surface, int64_t n, double *out);
void kernel_store_ane(PortType type, const float *in, int64_t n, void *surface);
void kernel_store_exact(PortType type, const double *in, int64_t n, void *surface);
void kernel_constant_ane(const Value *v, float *out);
void kernel_constant_exact(const Value *v, double *out);

/* Memory of one function. Values live in the device's slab at `offset`, or are constants at `fixed`. */
typedef struct {
    const Func *fn;
    Call      **call; /* those left after constants were folded */
    uint32_t    calls;
    size_t     *offset; /* by value id, in bytes */
    void      **fixed;  /* by value id; NULL: in the slab, or not used by a kernel */
    size_t      slab;   /* bytes, scratch included */
    size_t      scratch; /* offset of the scratch memory */
} HostFunc;

typedef struct {
    Device        base;
    DeviceOptions options;
    size_t        real; /* bytes of a Real */
    void         *slab; /* shared by all programs: one evaluation runs at a time */
    size_t        slab_bytes;
} HostDevice;

enum { HOST_FOLD_MAX = 1 << 26 }; /* elements of a folded constant */

/* Plan `fn`: convert and fold constants (into memory appended to `owned`), lay out the rest. False and a sentence in
 * `err` if it needs more memory than there is. */
typedef struct {
    void   **item;
    uint32_t count, cap;
} Owned;
bool host_plan(Arena *keep, const HostDevice *d, const Func *fn, Owned *owned, HostFunc *out, Buf *err);

#endif

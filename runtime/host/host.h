/* host.h: the host device's insides: programs as lists of kernel calls over planned memory. */
#ifndef ANEL_HOST_HOST_H
#define ANEL_HOST_HOST_H

#include "driver.h"
#include "host/kernel_table.h"

/* Between surfaces or constants and arrays of the build's Real; see kernel.h. `load` is false for an integer that the
 * Real cannot hold. */
typedef bool LoadFn(PortType type, const void *surface, int64_t n, void *out);
typedef void StoreFn(PortType type, const void *in, int64_t n, void *surface);
typedef void ConstantFn(const Value *v, void *out);

LoadFn     kernel_load_ane, kernel_load_avx2, kernel_load_exact;
StoreFn    kernel_store_ane, kernel_store_avx2, kernel_store_exact;
ConstantFn kernel_constant_ane, kernel_constant_avx2, kernel_constant_exact;

typedef struct {
    size_t      real; /* bytes of a Real */
    LoadFn     *load;
    StoreFn    *store;
    ConstantFn *constant;
} Build;

/* Calls begin .. end - 1, evaluated in tiles of so many of their n elements; see host_group.c. */
typedef struct {
    uint32_t begin, end;
    int64_t  n, tile;
} HostGroup;

/* Memory of one function. Values live in the device's slab at `offset`, or are constants at `fixed`. */
typedef struct {
    const Func *fn;
    Call      **call; /* those left after constants were folded and aliases found */
    uint32_t    calls;
    HostGroup  *group;
    uint32_t    groups;
    size_t     *offset; /* by value id, in bytes */
    uint32_t   *whole;  /* by value id: the value it is a part of, or itself */
    void      **fixed;  /* by value id; NULL: in the slab, or not used by a kernel */
    size_t      slab;   /* bytes, scratch included */
    size_t      scratch; /* offset of the scratch memory */
} HostFunc;

typedef struct {
    Device        base;
    DeviceOptions options;
    KernelBuild   kernels; /* which of an operation's kernels run */
    Build         build;
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


/* Divide the calls into groups, once those that remain are known. */
void host_groups(Arena *keep, HostFunc *f);

#endif

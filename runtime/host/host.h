/* host.h: the host device's insides: programs as lists of steps over planned memory.
 *
 * host_text.c   texts, checked once for all programs that are made of them
 * host_limits.c what the engine that is imitated would refuse
 * host_quirks.c what it would compute differently
 * host_times.c  how long it would take
 * host_plan.c   where values live; constants; calls that need no work
 * host_step.c   what runs in which order, and which element-wise calls run together
 * host_run.c    running steps
 * host_fuse.c   running chains of element-wise calls, piece by piece
 * host_heads.c  running products and chains of attention head by head
 * host.c        the device */
#ifndef ANEL_HOST_HOST_H
#define ANEL_HOST_HOST_H

#include "driver.h"
#include "host/half.h"
#include "target/cost.h"

#include <pthread.h>

/* Between surfaces or constants and arrays of the build's Real; see kernel.h. `load` is false for an integer that the
 * Real cannot hold. */
typedef bool LoadFn(PortType type, const void *surface, int64_t n, void *out);
typedef void StoreFn(PortType type, const void *in, int64_t n, void *surface);
typedef void ConstantFn(const Value *v, void *out);

LoadFn kernel_load_ane, kernel_load_avx2, kernel_load_avx512, kernel_load_neon, kernel_load_exact;
StoreFn kernel_store_ane, kernel_store_avx2, kernel_store_avx512, kernel_store_neon, kernel_store_exact;
ConstantFn kernel_constant_ane, kernel_constant_avx2, kernel_constant_avx512, kernel_constant_neon, kernel_constant_exact;

typedef struct {
    size_t real; /* bytes of a Real */
    LoadFn *load;
    StoreFn *store;
    ConstantFn *constant;
    const HalfKernels *half; /* NULL: nothing is fp16 (exact) */
} Build;

typedef struct HostText HostText;

typedef struct {
    Device base;
    DeviceOptions options;
    uint32_t quirks; /* bits of quirks.h */
    KernelBuild kernels; /* which of an operation's kernels run */
    Build build;
    pthread_mutex_t lock;    /* texts */
    HostText *text;          /* checked so far */
    pthread_mutex_t running; /* held by an evaluation: the slab is in use */
    void *slab;              /* shared by all programs: one evaluation runs at a time */
    size_t slab_bytes;
} HostDevice;

/* ---- texts ---- */

/* Checked text. Constants of weight files point into the files of the program that was planned last. */
struct HostText {
    HostText *next;
    Arena *arena;
    Func *fn;
    uint32_t count, users;
    bool *garbage; /* by function: the engine that is imitated gives it wrong results (host_limits.h); NULL: none */
    Work *work;    /* of each function, where times are simulated; NULL: not counted */
    char *mil; /* what it was made of; NULL: not to be found again */
    size_t len;
    uint64_t hash;
};

/* Text and weight files, checked: a new user of what was found or made. NULL after an error. The device's lock is held
 * from here to host_text_planned(), as the constants point to these files only that long. */
HostText *host_text_get(HostDevice *d, const char *name, const char *mil, size_t len, const DeviceFile *file,
                        size_t files, Buf *err);
/* The same text with other weight files. */
HostText *host_text_again(HostDevice *d, HostText *t, const char *name, const DeviceFile *file, size_t files, Buf *err);
void host_text_planned(HostDevice *d);
void host_text_release(HostDevice *d, HostText *t);
void host_text_forget(HostDevice *d); /* texts without users */

/* ---- times ---- */

/* What the target's cost model says of the functions of a text. NULL after a message. */
Work *host_work(Arena *keep, const char *name, const char *mil, size_t len, uint32_t functions, Buf *err);
/* With DeviceOptions.simulate: the times of making a program, and of an evaluation of one of its functions. */
ProgramTime host_program_time(const HostDevice *d, const HostText *t, bool reloaded);
EvalTime host_eval_time(const HostDevice *d, const Work *w);
/* With DeviceOptions.latency: the monotonic clock in nanoseconds, and wait until it shows `ns`. */
uint64_t host_now(void);
void host_wait(uint64_t ns);

/* ---- memory ---- */

typedef struct {
    void **item;
    uint32_t count, cap;
} Owned;

/* How a step runs. */
typedef enum {
    STEP_CALL,   /* the operation's kernel; fp16 operands are widened for it, results narrowed */
    STEP_FUSED,  /* a chain of element-wise calls */
    STEP_CONV,   /* 1x1, fp16: one matrix product */
    STEP_MATMUL, /* fp16 */
    STEP_ROWS,  /* a matmul or 1x1 convolution with so few results per column that a product of matrices does not pay */
    STEP_VIEW,   /* fp16: elements move */
    STEP_CONCAT, /* fp16: operands that were not computed in place already are copied */
    STEP_HEADS   /* products and chains, the whole run of them for one matrix of a batch after the other */
} StepKind;

typedef struct Fused Fused;
typedef struct HostStep {
    StepKind kind;
    const Call *call; /* NULL: fused, heads */
    Fused *fused;
    uint16_t over;     /* results whose fp16 bits are beyond become infinite, from result `over_from` on; 0: none */
    uint32_t over_from;
    const struct RowQuirk *quirk; /* STEP_CALL: what becomes of its results; NULL: nothing */
    /* STEP_HEADS */
    const struct HostStep *part;
    uint32_t parts, heads;
} HostStep;

/* Memory of one function. fp16 values are stored as fp16, all others as Real; in exact mode all as Real. A value is at
 * `offset` bytes within another one, `whole`, or stands for itself; wholes are constants at `fixed`, ports whose
 * surface is used directly, or at `place` in the device's slab. */
typedef struct {
    const Func *fn;
    HostStep *step;
    uint32_t steps;
    size_t *offset, *place; /* by value id */
    uint32_t *whole;
    void **fixed;   /* NULL: not a constant, or not used */
    int32_t *port;  /* 0: none; i + 1: input i; -i - 1: output i */
    size_t slab;    /* bytes, scratch included */
    size_t scratch; /* offset of the scratch memory */
} HostFunc;

enum { HOST_FOLD_MAX = 1 << 26 }; /* elements of a folded constant */

/* Plan `fn`: constants (memory appended to `owned`, unless a file is `kept`), folded calls, the rest. False and a
 * sentence in `err` if it needs more memory than there is. */
bool host_plan(Arena *keep, HostDevice *d, const Func *fn, const DeviceFile *file, size_t files, Owned *owned,
               HostFunc *out, Buf *err);

/* Is the value stored as fp16? */
static inline bool host_half(const HostDevice *d, const Value *v)
{
    return d->build.half && v->type.dtype == DT_F16;
}

static inline size_t host_elem(const HostDevice *d, const Value *v)
{
    return host_half(d, v) ? sizeof(uint16_t) : d->build.real;
}

/* Every value the call reads, omitted arguments skipped; `*i` starts at 0. Returns NULL after the last. */
static inline Value *next_operand(const Call *c, uint32_t *i)
{
    while (*i < CALL_ARGS)
        if (c->arg[(*i)++])
            return c->arg[*i - 1];
    return *i - CALL_ARGS < c->tuples ? c->tuple[(*i)++ - CALL_ARGS] : NULL;
}

/* ---- steps ---- */

/* Put the calls that are left in order, as steps. `whole` and `fixed` of `out` are known. */
void host_steps(Arena *keep, const HostDevice *d, Call *const *call, uint32_t calls, HostFunc *out);
/* Every value the step reads or writes. */
typedef void StepVisit(void *with, const Value *v);
void host_step_visit(const HostStep *s, StepVisit *reads, StepVisit *writes, void *with);

/* What one evaluation works with. `data`: by value id. `wide`: as many pointers, for the moment of a call. */
typedef struct {
    const HostDevice *device;
    void **data, **wide;
    char *scratch;
    Buf *err;
} HostRun;

/* Bytes of scratch memory a step wants. */
size_t host_step_scratch(const HostDevice *d, const HostStep *s);
/* False after a message. */
bool host_step_run(const HostRun *r, const HostStep *s);

/* ---- heads ---- */

/* Join steps of `f` to STEP_HEADS where they can run for one matrix of a batch after the other. */
void host_heads(Arena *keep, HostFunc *f);
void host_heads_run(const HostRun *r, const HostStep *s);
/* A product for matrix `head` of its batch alone, on this thread. */
void host_product_run(const HostRun *r, const HostStep *s, uint32_t head);

/* ---- chains of element-wise calls ---- */

/* May the call be part of a chain? `row`: what is computed at a time, in elements. */
bool host_fusible(const HostDevice *d, const Call *c, int64_t *row);
/* `n`: elements of each result; `stored[i]`: somebody else reads the result of call i. */
Fused *host_fuse(Arena *keep, const HostDevice *d, const HostFunc *f, Call *const *call, uint32_t calls,
                 const bool *stored);
void host_fused_visit(const Fused *u, StepVisit *reads, StepVisit *writes, void *with);
void host_fused_run(const HostRun *r, const Fused *u);
/* Elements of each result; what can only be computed together: a row of softmax, or 1. */
int64_t host_fused_elems(const Fused *u);
int64_t host_fused_row(const Fused *u);
/* Elements from .. end - 1 of all results, on this thread; `from` and `end` are multiples of the row. */
void host_fused_range(const HostRun *r, const Fused *u, int64_t from, int64_t end);

#endif

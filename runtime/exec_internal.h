/* exec_internal.h: what the parts of the executor share: exec.c has memory, exec_steps.c steps, exec_bake.c
 * programs. */
#ifndef ANEL_RUNTIME_EXEC_INTERNAL_H
#define ANEL_RUNTIME_EXEC_INTERNAL_H

#include "convert.h"
#include "exec.h"
#include "kernels.h"

/* A buffer: dense memory of all elements, or one surface per element. */
typedef struct {
    Store     store;
    size_t    numel; /* of one element */
    char     *data;
    Surface **surface; /* [stack, at least 1] */
} ExecBuffer;

/* Where a reference of a move points in one iteration. */
typedef struct {
    char    *data; /* NULL: in the surface */
    Surface *surface;
    size_t   offset; /* bytes */
} ExecPlace;

/* Time by operation or program. */
typedef struct {
    const char *name;
    ExecClass   class;
    uint64_t    calls;
    double      seconds;
} ExecRow;

/* A step with everything looked up. Arrays have one element per iteration of the enclosing loop, or one. */
typedef struct ExecStep {
    const Step *step;
    ExecRow    *row;
    /* STEP_OP */
    const Kernel *kernel;
    KernelArgs    args; /* all but in, out, err */
    const void  **in;   /* [iteration][ins] */
    void        **out;  /* [iteration] */
    /* STEP_MOVE */
    Store      from_store, to_store;
    bool       splat, add;
    double     value;
    size_t     numel;
    ExecPlace *from, *to;
    /* STEP_RUN */
    uint32_t  iterations;
    uint32_t *instance; /* of the program */
    Request **request;
    Surface **surface; /* [iteration][ins + outs] */
    /* STEP_LOOP */
    struct ExecStep *body;
} ExecStep;

typedef struct {
    Program *program; /* NULL: never compiled */
    uint64_t weights; /* hash of the parameters it was compiled with */
} ExecInstance;

typedef struct {
    const char   *mil;
    size_t        mil_len;
    ExecInstance *instance; /* [PlanProgram.n] */
} ExecProgram;

typedef struct ExecCanary ExecCanary; /* exec_canary.c */

/* Surfaces of weights: what they were last filled with. */
typedef struct {
    uint64_t *filled; /* [elements of the stack] hash of the parameters */
    bool     *full;   /* [elements of the stack] */
} ExecStage;

typedef struct {
    ExecStep *forward, *backward, *update;
    bool      ran; /* a forward pass has completed since the last backward pass began */
} ExecEntry;

struct Exec {
    const Plan  *plan;
    Device      *device;
    Arena       *arena;
    bool         wide;
    Pool        *pool;
    ExecOptions  options;
    void        *owned[3]; /* slabs to free: parameters, gradients, everything else */
    float       *param_slab, *grad_slab;
    size_t       floats, bytes;
    ExecParam   *param;
    ExecState   *state;
    void       **table; /* fp32 or i32 */
    ExecBuffer  *buffer;
    float       *scratch; /* for kernels that cannot add */
    ExecProgram *program;
    ExecStage   *stage;
    ExecEntry   *entry;
    uint32_t   **tile; /* splats: KERNEL_TILE equal words each */
    uint32_t     tiles, tiles_cap;
    ExecRow     *row;
    uint32_t     rows, rows_cap;
    ExecCounters counters;
    bool         overflowed;
    bool         window; /* accumulators hold the sums of this window; otherwise they are to be cleared */
    Buf          why; /* what a kernel complains about */
    uint64_t    *hash; /* [parameters] while baking */
    bool        *hashed;
    ExecCanary  *canary; /* NULL: none yet */
};

double exec_now(void); /* seconds */

/* exec_steps.c */
void exec_build_entries(Exec *e);
/* Elements a step may have to compute aside before adding them to a gradient: the scratch memory needed. */
size_t exec_scratch(const Plan *p);
/* Call `visit` for every run step of the parts of an entry. */
typedef void ExecVisit(Exec *e, ExecStep *s, void *with);
void exec_visit_runs(Exec *e, uint32_t entry, unsigned parts, ExecVisit *visit, void *with);
/* The row of a name in the profile, made when missing. */
ExecRow *exec_row(Exec *e, const char *name, ExecClass class);

/* exec.c: clear all accumulators. */
void exec_clear_accumulators(Exec *e);

/* exec_recipe.c: buffers for the values of recipes; zeroed to begin with. */
typedef struct {
    struct {
        float *data;
        size_t n;
        bool   busy;
    } *slot;
    uint32_t slots;
} RecipePool;
/* The value of `r` for instance k, dense; a parameter's or table's own memory, or the pool's until
 * recipe_give_back(). */
const float *recipe_value(const Exec *e, RecipePool *p, const Recipe *r, uint32_t k);
void recipe_give_back(RecipePool *p, const float *x); /* what is not the pool's is left alone */
void recipe_pool_free(RecipePool *p);

/* exec_bake.c */
void exec_free_programs(Exec *e);
/* Memory that all conversions of one bake use again: fresh pages would cost more than filling them. */
typedef struct {
    Buf      *file; /* [most weights of a program] */
    uint32_t  files;
    uint16_t *half;
    size_t    halves;
    RecipePool pool;
} Workspace;
/* Hash of `h` and of the parameters that recipe `r` reads for instance k; parameters are hashed once a bake. */
uint64_t exec_recipe_hash(Exec *e, uint64_t h, const Recipe *r, uint32_t k);
/* The value of recipe `r` for instance k as fp16, in w->half, which stays until the next call; *n elements. */
const uint16_t *exec_recipe_value(Exec *e, Workspace *w, const Recipe *r, uint32_t k, size_t *n);

/* exec_canary.c: after programs got new weights; true at once if options.canary is not set. */
bool exec_canary(Exec *e, Workspace *w, Buf *err);
/* Compilations that the next exec_canary() needs. */
uint32_t exec_canary_cost(const Exec *e);
void     exec_canary_free(Exec *e);

/* exec_stage.c: fill the surfaces of weights that parts of the entry read and whose parameters changed. */
void exec_stage(Exec *e, Workspace *w, uint32_t entry, unsigned parts);

#endif

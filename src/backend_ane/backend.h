/* backend.h: from placed graphs to a plan: the back end's one entry point.
 *
 * The graphs come out of passes_run(): every node has a device, adjoints are there, saved values are chosen. The back
 * end divides the ANE part of each graph into programs (partition.c), writes each as MIL text (program.c, mil_text.c,
 * mil_ops.c), turns everything else into steps over buffers (lower.c), and describes parameters, states and settings
 * (describe.c). */
#ifndef ANEL_BACKEND_ANE_BACKEND_H
#define ANEL_BACKEND_ANE_BACKEND_H

#include "base/diag.h"
#include "ir/graph.h"
#include "plan/plan.h"
#include "target/cost.h"

/* What a program does, parameters kept apart: whether they are constants or inputs, the rest is the same. */
typedef struct {
    Work            work;         /* without products with parameters, and without parameters */
    uint64_t        weight_flops; /* of products with parameters and what is made of them, */
    uint64_t        trained_flops; /* and of those where training changes these */
    const uint32_t *set;          /* parameters that it reads: Module.param_set */
    uint32_t        sets;
    uint32_t        instances;    /* compiled if they are constants */
} ProgramCost;

/* One way of handling weights: predicted times between two updates of the parameters. */
typedef struct {
    int64_t  run_ns;    /* the programs, of all micro-batches */
    int64_t  update_ns; /* what an update costs: compiling, reloading, or writing weights */
    uint64_t programs;  /* compiled or reloaded at an update */
} ModeCost;

typedef struct {
    Plan     *plan; /* not yet resolved */
    PlanFile *file; /* mil/, map/, const/, src/ */
    uint32_t  files, files_cap;
    const char **note; /* for --verbose */
    uint32_t  notes;
    ProgramCost *cost;                    /* [plan->programs] */
    ModeCost     mode[WEIGHTS_AUTO];     /* by WeightMode */
    uint64_t     accum;                   /* micro-batches per update that `mode` is about */
} BackendResult;

struct Lock;

/* Build the plan of `m`; everything lives in `a`. With WEIGHTS_AUTO the cheapest way of handling weights is taken
 * (modes.c); the plan says which. False after diagnostics (a value that the target cannot hold). */
bool backend_ane(Arena *a, const Module *m, BackendResult *out, Diags *ds);
/* The same, keeping the partition of a lock (lock.h; may be NULL) where that is legal. */
bool backend_ane_locked(Arena *a, const Module *m, const struct Lock *lock, BackendResult *out, Diags *ds);

#endif

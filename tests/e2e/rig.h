/* rig.h: the whole chain for the end-to-end tests: a model file to a plan on disk, and the fp64 reference beside it.
 *
 * The model is compiled twice. One module goes through the passes and the back end and becomes a plan; the other stays
 * as the front end left it, and graph_eval() of its entries is the truth that the plan is measured against. */
#ifndef ANEL_TESTS_E2E_RIG_H
#define ANEL_TESTS_E2E_RIG_H

#include "base/diag.h"
#include "ir/eval.h"
#include "exec.h"

typedef struct {
    Arena      *a;
    Module     *m;   /* as elaborated */
    const Plan *plan; /* read back from `dir` */
    char        dir[64]; /* the plan is in dir/plan */
    double    **param; /* [m->params] random values that fp16 holds exactly */
} Rig;

/* The front end on a model of models/ or tests/e2e/models/ with `defines`. Mistakes fail the test. */
Module *rig_elaborate(Arena *a, const char *model, const char *defines, Diags **ds);

/* Compile <model>.anel of models/ or of tests/e2e/models/ with `defines` ("dim=64 heads=4"), write the plan, read it
 * back, draw parameters. */
Rig  rig_open(const char *model, const char *defines);
/* The same for a target, with a limit on what is saved (0: none). */
Rig  rig_open_for(const char *model, const char *defines, const Target *target, int64_t memory);
/* The same for a way of handling weights. */
Rig  rig_open_weights(const char *model, const char *defines, const Target *target, WeightMode weights);
/* The elaborated module and its parameters, without a plan. */
Rig  rig_model(const char *model, const char *defines);
void rig_close(Rig *r); /* removes the plan */

/* Index of the elaborated module's parameter called `path`. */
uint32_t rig_param(const Rig *r, const char *path);

/* Random inputs of an entry's graph: token ids below `vocab`, normal numbers otherwise. */
Tensor *rig_inputs(const Rig *r, const Graph *g, int32_t vocab);

/* Round the constants of the elaborated module: programs hold theirs as fp16, in exact numerics too. */
void rig_round_constants(Rig *r);

/* The plan on the host device, with the rig's parameters. */
typedef struct {
    Device  *device;
    Exec    *exec;
    uint32_t entry;
} Run;
Run  run_open(const Rig *r, const char *entry, Numerics numerics, ReduceMode reduce);
void run_close(Run *run);
/* Hand over the inputs by name; `loss_scale` goes to the input of that kind. */
void run_feed(const Rig *r, const Run *run, const Graph *g, const Tensor *in, double loss_scale);

/* How far `got` is from `want`: largest difference over the largest |want|; |got - want| / |want|; the cosine. */
typedef struct {
    double peak, norm, cosine;
} Distance;
Distance distance(const float *got, const double *want, size_t n, double scale); /* got / scale */

#endif

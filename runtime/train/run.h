/* run.h: a training run's state: what train.c (a run from start to end) and step.c (one step) share. */
#ifndef ANEL_TRAIN_RUN_H
#define ANEL_TRAIN_RUN_H

#include "runtime/train/data.h"
#include "runtime/train/health.h"
#include "runtime/train/optim.h"
#include "runtime/train/report.h"
#include "runtime/train/scaler.h"
#include "runtime/train/train.h"

enum { CLASS_DATA = EXEC_CLASSES, CLASS_OTHER, CLASSES };
_Static_assert((int)CLASSES <= (int)REPORT_CLASSES, "the report has room for every class of time");

typedef struct {
    Session            *s;
    const TrainOptions *o;
    Arena              *arena;
    uint32_t            entry;
    const PlanEntry    *plan_entry;
    Data               *data, *eval; /* eval: of another file; NULL: the held-out part of `data` */
    RunState            r;
    Scaler              scaler;
    Health              health;
    Report              report;
    StepReport          step;
    ExecTrainer         trainer;
    OptimStep           optim;    /* of this step */
    GradStats          *stats;    /* of every piece of every gradient; those of parameter i: stats_at[i] .. stats_at[i + 1] */
    size_t             *stats_at;
    uint64_t            end, saved; /* last step to do; step of the last checkpoint, 0: none */
    bool                warned;     /* that weights are too large */
} Run;

/* Before the first step: memory that all steps use. */
void run_prepare(Run *t);
/* One optimizer step: micro-batches, update, bake. False and the reason in `err`. */
bool run_step(Run *t, Buf *err);
/* Say once that programs compute with clamped weights. */
void run_warn_of_large_weights(Run *t);
/* Fill in names of the classes of time. */
void run_name_classes(Run *t);

#endif

/* run.h: a training run's state: what train.c (a run from start to end) and step.c (one step) share. */
#ifndef ANEL_TRAIN_RUN_H
#define ANEL_TRAIN_RUN_H

#include "runtime/train/data.h"
#include "runtime/train/report.h"
#include "runtime/train/scaler.h"
#include "runtime/train/train.h"

enum { CLASS_DATA = EXEC_CLASSES, CLASS_OPTIMIZER, CLASSES };
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
    Report              report;
    StepReport          step;
    uint64_t            end, saved; /* last step to do; step of the last checkpoint, 0: none */
    bool                warned;     /* that weights are too large */
    StateHead          *head;       /* NULL: no state to be carried on */
    bool                continues;  /* an earlier image of the process has begun this run */
    bool                outdated;   /* programs have older weights than the parameters: no budget to compile them */
    uint64_t            window;     /* programs that an update compiles */
} Run;

/* One optimizer step: micro-batches, update, bake. False and the reason in `err`. */
bool run_step(Run *t, Buf *err);
/* Before programs are compiled after an update: does the budget allow it? If not, the process will be restarted. */
bool run_may_compile(Run *t);
/* Say once that programs compute with clamped weights. */
void run_warn_of_large_weights(Run *t);
/* Fill in names of the classes of time. */
void run_name_classes(Run *t);

#endif

/* run.h: a training run's state: what train.c (a run from start to end) and step.c (one step) share. */
#ifndef ANEL_TRAIN_RUN_H
#define ANEL_TRAIN_RUN_H

#include "runtime/train/data.h"
#include "runtime/train/dist_window.h"
#include "runtime/train/health.h"
#include "runtime/train/optim.h"
#include "runtime/train/report.h"
#include "runtime/train/scaler.h"
#include "runtime/train/train.h"

enum { CLASS_DATA = EXEC_CLASSES, CLASS_OTHER, CLASS_RANKS, CLASSES }; /* CLASS_RANKS: only with several */
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
    Window             *window;
    bool                overflowed; /* a backward pass of this step, of any rank */
    int                 stop;       /* signal on which all ranks agreed to stop; 0: none */
    ExecTrainer         trainer;
    OptimStep           optim;    /* of this step */
    GradStats          *stats;    /* of every piece of every gradient */
    size_t             *stats_at; /* those of parameter i: stats_at[i] .. stats_at[i + 1] - 1 */
    uint64_t            end, saved; /* last step to do; step of the last checkpoint, 0: none */
    bool                warned;     /* that weights are too large */
    StateHead          *head;       /* NULL: no state to be carried on */
    bool                continues;  /* an earlier image of the process has begun this run */
    bool                outdated;   /* programs have older weights than the parameters: no budget to compile them */
    bool                applied;    /* the update of this step was decided on: it is completed whatever follows */
    uint64_t            proofs;     /* exec_proofs() after the last step */
    uint64_t            proven;     /* step until which the device is known to have computed with the right weights */
    uint64_t            sound;      /* step of the last checkpoint up to there; 0: none */
    uint64_t            per_update; /* programs that an update compiles */
} Run;

/* Before the first step: memory that all steps use. */
void run_prepare(Run *t);
/* One optimizer step: micro-batches, update, bake. False and the reason in `err`. */
bool run_step(Run *t, Buf *err);
/* budget.c: keeping within the compile budget. */
/* Before programs are compiled after an update: does the budget allow it? If not, the process will be restarted. */
bool run_may_compile(Run *t);
/* At the start of an image: is there room for the programs of one update? False with a sentence. */
bool run_within_budget(Run *t, Buf *err);
/* Write down what the next image of the process needs; false with half a sentence why there cannot be one. Signals that
 * stop a run are blocked from here on. */
bool run_hand_over(Run *t, Buf *why);
/* The counterpart, in the new image: the run, then (when it is open) the report; and what it has taken. */
void run_take_over(Run *t);
void run_take_over_report(Run *t);
void run_log_restart(Run *t);
/* What the executors of all images have counted. */
ExecCounters run_counters(const Run *t);
/* After a failure: keep what was trained, and say how to go on. False. */
bool run_stop(Run *t, Buf *err);
/* Tell others whether giving programs new weights works. */
void run_learned(Run *t, ExecReload reload);
/* Save a checkpoint of the last completed step (train.c). `final`: it is the last chance. */
bool run_save(Run *t, bool final, Buf *err);
/* Say once that programs compute with clamped weights. */
void run_warn_of_large_weights(Run *t);
/* Fill in names of the classes of time. */
void run_name_classes(Run *t);

#endif

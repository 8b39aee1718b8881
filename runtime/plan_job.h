/* plan_job.h: one job of `anerun PLAN`: what its actions work on.
 *
 * Everything hangs on a Job, so that every way out frees the same things. A zeroed Job (with lock -1) and parsed options
 * are what job_join() and job_open() start from; job_close() takes a job that was opened in part. Functions that return
 * false have said why in `err`. */
#ifndef ANEL_RUNTIME_PLAN_JOB_H
#define ANEL_RUNTIME_PLAN_JOB_H

#include "dist.h"
#include "exec.h"
#include "runtime/train/options.h"
#include "runtime/train/restart.h"
#include "runtime/train/session.h"
#include "trace.h"

typedef struct {
    Options     o;
    Arena      *arena;
    const Plan *plan;
    char        plan_hash[HASH_HEX];
    Dist       *dist;
    Pool       *pool;
    Device     *device;
    Exec       *exec;
    Trace      *trace; /* NULL: none */
    Session     session;
    int         lock; /* on the run's directory; -1: none */
    StateFile  *state; /* what outlives this process image; NULL: nothing */
    bool        continues; /* an earlier image has begun the run that is in `state` */
    Buf         err;
} Job;

/* Join the other ranks, if there are any, and leave it to rank 0 to speak and to write. */
bool job_join(Job *j);

/* Open plan, threads, device and executor, and read the plan's settings. */
bool job_open(Job *j);

/* Free all of it, except the state and the lock, which the next image of the process may need. */
void job_close(Job *j);

/* Where the run's checkpoints are: --out DIR, else "tiny.plan.run" beside "tiny.plan/". */
const char *job_run(const Job *j);

/* Let the settings of the command line win over those read so far. */
bool job_override(Job *j);

/* The parameters that an action other than training works with: those of --weights, of a checkpoint, or initial ones. */
bool job_load_weights(Job *j);

/* Write the trace that was asked for, also of a run that failed: it may say why. False if that failed, told on standard
 * error. */
bool job_write_trace(const Job *j);

/* What a run has found out about giving programs new weights; for TrainOptions.learned, with the job. */
void job_learned(void *with, ExecReload reload, Buf *note);

/* The action of --train (plan_train.c). */
bool plan_train(Job *j);

#endif

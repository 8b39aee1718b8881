/* plan_train.c: `anerun PLAN --train`: which run is meant, begun anew, resumed from a checkpoint, or gone on with by the
 * next image of a process that restarted itself.
 *
 * Settings are layered here: the plan's, then those of the checkpoint that is continued, then the command line's. */
#include "dist.h"
#include "plan_job.h"
#include "runtime/train/dist_run.h"
#include "runtime/train/train.h"

#include <stdio.h>
#include <string.h>

/* "runs/a/ckpt-5" -> "runs/a": where a run continued from one of its checkpoints goes on. */
static const char *run_of(Arena *a, const char *checkpoint)
{
    char *p = arena_strdup(a, checkpoint), *slash;
    while (strlen(p) > 1 && p[strlen(p) - 1] == '/')
        p[strlen(p) - 1] = 0;
    if (!(slash = strrchr(p, '/')))
        return ".";
    *slash = 0;
    return *p ? p : "/";
}

static bool prepare_run(Job *j, TrainOptions *t)
{
    const char *run = job_run(j);
    if (j->o.resume) {
        t->resume = checkpoint_find(j->arena, j->o.resume_from ? j->o.resume_from : run, &j->err);
        if (!t->resume || !checkpoint_settings(j->arena, t->resume, &j->session.settings, &j->err))
            return false;
        if (!j->o.out && j->o.resume_from)
            run = run_of(j->arena, t->resume);
    } else if (!j->o.no_save && checkpoint_any(run) && !j->o.overwrite) {
        buf_printf(&j->err,
                   "'%s' already holds checkpoints: --resume continues them, --overwrite deletes them, --out DIR "
                   "writes elsewhere",
                   run);
        return false;
    }
    if (j->o.no_save)
        return true;
    t->run = run;
    return (j->lock = checkpoint_lock(run, &j->err)) >= 0;
}

static bool remember_run(Job *j, const char *run)
{
    StateHead *h = state_head(j->state);
    if (strlen(run) < sizeof h->run) {
        strcpy(h->run, run);
        return true;
    }
    buf_printf(&j->err, "'%s': the name is too long", run);
    return false;
}

/* Everything was decided by the image that began the run. */
static bool continue_training(Job *j, TrainOptions *t)
{
    const char *run = state_head(j->state)->run;
    t->run = *run ? run : NULL;
    state_head(j->state)->time[AT_OPEN] = clock_seconds();
    return state_get_settings(j->state, j->arena, &j->session.settings, &j->err) &&
           train_run(&j->session, t, &j->err);
}

bool plan_train(Job *j)
{
    TrainOptions t = {.weights = j->o.weights,
                      .stop_at = j->o.stop_at,
                      .log = j->o.log,
                      .report = j->o.report,
                      .prompt = j->o.sample,
                      .out = j->o.quiet ? NULL : stdout,
                      .state = j->state};
    t.machine = arena_printf(j->arena, "%s, %s numerics, %u threads", j->o.device, j->o.numerics ? j->o.numerics : "ane",
                             (unsigned)pool_threads(j->pool));
    t.learned = job_learned;
    t.learned_with = j;
    if (j->continues)
        return continue_training(j, &t);
    if (!prepare_run(j, &t))
        return false;
    uint64_t *accum = &j->session.settings.accum, whole = *accum;
    if (t.resume)
        *accum = run_shared_accum(whole, j->dist);
    if (!job_override(j))
        return false;
    if (!*accum) {
        buf_printf(&j->err,
                   "the checkpoint's %llu micro-batches per step cannot be shared evenly by %u ranks; start another number "
                   "of ranks, or say how many each shall take: --set accum=N",
                   (unsigned long long)whole, dist_size(j->dist));
        return false;
    }
    if (j->o.eval && !settings_set(&j->session.settings, j->arena, "eval", j->o.eval, &j->err))
        return false;
    if (t.run && !t.resume && j->o.overwrite && !checkpoint_clear(t.run, &j->err))
        return false;
    if (j->state && t.run && !remember_run(j, t.run))
        return false;
    return train_run(&j->session, &t, &j->err);
}

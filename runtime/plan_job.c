/* plan_job.c: opening and closing a job, with what is decided where the command line leaves it open: threads, compile
 * budget, the run's directory, which weights. */
#include "plan_job.h"
#include "base/file.h"
#include "check/check_device.h"
#include "gemm.h"
#include "memory.h"
#include "runtime/train/best.h"
#include "runtime/train/dist_run.h"
#include "runtime/train/weights.h"
#include "target/where.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_RELOAD "reload" /* "works" or "stale" */

enum { TRACE_EVENTS = 1 << 18 }; /* 10 MB */

/* Where nobody has said: as many threads as the model's products can feed, at most all processors. */
static uint32_t default_threads(const Plan *p, const Dist *d)
{
    enum { PARAMETERS_PER_THREAD = 500000 };
    int64_t params = 0, cpus = pool_processors() / dist_local(d);
    for (uint32_t i = 0; i < p->params; i++)
        params += plan_numel(p->param[i].shape) * p->param[i].n;
    int64_t n = params / PARAMETERS_PER_THREAD;
    n = n > cpus ? cpus : n;
    return (uint32_t)(n < 1 ? 1 : n);
}

const char *job_run(const Job *j)
{
    const char *plan = j->o.plan;
    size_t      n = strlen(plan);
    if (j->o.out)
        return j->o.out;
    while (n > 1 && plan[n - 1] == '/')
        n--;
    return arena_printf(j->arena, "%.*s.run", (int)n, plan);
}

/* Reports about refused programs go beside the run; other actions have none. */
static void watch_refusals(Job *j, const Target *target)
{
    const char *run = job_run(j), *slash = strrchr(run, '/');
    j->refusal = (RefusalOptions){.place = j->o.train && slash ? arena_strndup(j->arena, run, (size_t)(slash - run)) : ".",
                                  .target = target,
                                  .plan = j->plan,
                                  .plan_dir = j->o.plan,
                                  .plan_hash = j->plan_hash,
                                  .device = j->o.device,
                                  .version = ANEL_VERSION,
                                  .weights = j->o.refused_weights};
    refusal_watch(j->device, &j->refusal);
}

/* Devices other than the host device are also compared with it: as good a one as there is, without limits and faults. */
static bool watch_programs(Job *j, DeviceOptions options)
{
    Device *host = NULL;
    options.max_compiles = 0;
    options.faults = NULL;
    if (strcmp(j->o.device, "host") != 0 && !(host = device_open("host", &options, &j->err)))
        return false;
    j->device = check_device_new(j->device, host, j->plan);
    return true;
}

/* Will updates have to compile programs, so that the process may have to be restarted? One of several processes under
 * MPI cannot be: it saves and ends when the budget is used up. */
static bool may_restart(const Job *j, uint64_t budget)
{
    PlanWeightMode mode = j->plan->weights;
    return j->o.train && dist_size(j->dist) == 1 &&
           ((budget && (mode == PLAN_BAKED || mode == PLAN_RELOAD)) || device_decays(j->device));
}

/* Without the proofs of a training run compiling is the safe way. */
static ExecReload reload(const Job *j)
{
    const char *word = j->o.reload ? j->o.reload : "remembered", *known;
    Buf         note = {0};
    if (j->plan->weights != PLAN_RELOAD || !j->o.train || strcmp(word, "never") == 0)
        return EXEC_RELOAD_STALE;
    if (strcmp(word, "try") == 0)
        return EXEC_RELOAD_TRY;
    known = memory_get(j->arena, j->o.device, MEMORY_RELOAD, &note);
    if (note.len && !j->continues && !j->o.quiet)
        fprintf(stderr, "anerun: note: %s\n", note.data);
    buf_free(&note);
    if (!known || (strcmp(known, "works") != 0 && strcmp(known, "stale") != 0))
        return EXEC_RELOAD_TRY;
    if (strcmp(known, "works") == 0)
        return EXEC_RELOAD_WORKS;
    if (!j->continues && !j->o.quiet)
        fprintf(stderr, "anerun: note: programs are compiled anew for every update: giving them new weights was found not "
                        "to work on this system (--reload try tries again)\n");
    return EXEC_RELOAD_STALE;
}

void job_learned(void *with, ExecReload found, Buf *note)
{
    const Job *j = with;
    memory_put(j->o.device, MEMORY_RELOAD, found == EXEC_RELOAD_WORKS ? "works" : "stale", note);
}

static bool open_exec(Job *j, uint64_t budget)
{
    ExecOptions o = {.wide_ports = j->o.numerics && strcmp(j->o.numerics, "exact") == 0,
                     .pool = j->pool,
                     .trace = j->trace,
                     .reload = reload(j),
                     .canary = j->o.train};
    if (dist_size(j->dist) > 1) {
        o.grad_ready = window_grad_ready;
        o.grad_ready_with = &j->session;
    }
    size_t floats = exec_floats(j->plan);
    if (j->continues && strcmp(state_head(j->state)->plan_hash, j->plan_hash) != 0) {
        buf_printf(&j->err, "the plan '%s' was changed while a run was using it: the run ends; --resume continues from its last checkpoint", j->o.plan);
        return false;
    }
    if (!j->continues && may_restart(j, budget)) {
        const char *run = job_run(j);
        if (!(j->state = state_new(floats, path_is_dir(run) ? run : NULL, STATE_ANYWHERE, &j->err)))
            return false;
        memcpy(state_head(j->state)->plan_hash, j->plan_hash, HASH_HEX);
    }
    if (j->state)
        o.param = state_params(j->state);
    if (j->continues)
        o.canary_from = state_head(j->state)->r.updates;
    return (j->exec = exec_open(j->plan, j->o.plan, j->device, &o, &j->err)) != NULL;
}

/* The host device only imitates the limit. Where the process cannot restart itself, one of several or a benchmark, it does
 * so when asked to. */
static uint64_t compile_budget(const Job *j)
{
    if (j->o.compile_budget != UINT64_MAX)
        return j->o.compile_budget;
    return (dist_size(j->dist) > 1 || j->o.bench) && strcmp(j->o.device, "host") == 0 ? 0 : (uint64_t)j->plan->compile_budget;
}

/* The engine that the host device imitates; NULL: none. */
static bool imitated(Job *j, const Target **target)
{
    *target = NULL;
    if (!j->o.target)
        *target = target_of_plan(j->arena, j->plan->target, j->plan->target_hash);
    return !j->o.target || strcmp(j->o.target, "none") == 0 ||
           target_find(j->arena, "anerun", j->o.target, target, &j->err);
}

/* Where several processes of a job share a machine and the target has several engines, each uses the next. One process
 * uses one engine at a time, whichever the system picks: a step is a chain of programs that wait for each other. */
static uint32_t die(const Job *j)
{
    if (j->o.die)
        return (uint32_t)j->o.die;
    return j->plan->dies > 1 && dist_local(j->dist) > 1 ? 1 + dist_local_rank(j->dist) % (uint32_t)j->plan->dies : 0;
}

static const Plan *open_plan(Job *j)
{
    Plan *p = plan_open(j->arena, j->o.plan, j->plan_hash, &j->err);
    if (p && j->o.functions)
        p->functions = (int64_t)j->o.functions;
    return p;
}

static bool is_member(const void *exec, const char *name, uint32_t function, uint32_t *program, uint32_t *instance)
{
    return exec_bank_member(exec, name, function, program, instance);
}

bool job_open(Job *j)
{
    bool          exact = j->o.numerics && strcmp(j->o.numerics, "exact") == 0;
    DeviceOptions options = {
        .numerics = exact ? NUMERICS_EXACT : NUMERICS_ANE,
        .wide_ports = exact,
        .reduce = j->o.reduce && strcmp(j->o.reduce, "lenient") == 0 ? REDUCE_LENIENT : REDUCE_STRICT,
        .eval_seconds = j->o.eval_timeout == 0 ? INFINITY : j->o.eval_timeout > 0 ? j->o.eval_timeout : 0,
        .engine_times = j->o.bench || j->o.profile || j->o.receipt,
        .faults = getenv("ANERUN_DEVICE_FAULT"), /* for tests: docs/faults.md */
    };
    if (!(j->plan = open_plan(j)) || !imitated(j, &options.target))
        return false;
    options.latency = j->o.latency;
    options.die = die(j);
    uint64_t budget = compile_budget(j);
    options.max_compiles = budget;
    gemm_init();
    j->trace = j->o.trace ? trace_new(TRACE_EVENTS) : NULL;
    j->pool = options.pool = pool_new(j->o.threads ? (uint32_t)j->o.threads : default_threads(j->plan, j->dist));
    if (!(j->device = device_open(j->o.device, &options, &j->err)))
        return false;
    watch_refusals(j, options.target);
    if (j->o.check && !watch_programs(j, options))
        return false;
    if (!open_exec(j, budget))
        return false;
    if (j->o.check)
        check_device_members(j->device, is_member, j->exec);
    session_init(&j->session, j->arena, j->plan, j->o.plan, j->plan_hash, j->exec);
    j->session.dist = j->dist;
    j->session.result = &j->result;
    j->session.pool = j->pool;
    return settings_from_plan(&j->session.settings, j->arena, j->plan, &j->err);
}

void job_close(Job *j)
{
    session_finish(&j->session);
    exec_close(j->exec);
    device_close(j->device);
    pool_free(j->pool);
    trace_free(j->trace);
    dist_close(j->dist);
    buf_free(&j->err);
    arena_free(j->arena);
}

bool job_join(Job *j)
{
    if (!(j->dist = dist_open(j->o.mpi, &j->err)))
        return false;
    if (dist_rank(j->dist) > 0) {
        j->o.no_save = j->o.quiet = true;
        j->o.profile = false;
        j->o.log = j->o.report = j->o.trace = j->o.receipt = NULL;
    }
    return true;
}

bool job_override(Job *j)
{
    if (j->o.deterministic && !settings_insist(&j->session.settings, j->arena, "deterministic", "1", &j->err))
        return false;
    for (uint32_t i = 0; i < j->o.overrides; i++)
        if (!settings_insist(&j->session.settings, j->arena, j->o.override[i].key, j->o.override[i].value, &j->err))
            return false;
    return true;
}

bool job_load_weights(Job *j)
{
    Buf         note = {0};
    const char *from = j->o.checkpoint ? j->o.checkpoint : j->o.resume_from ? j->o.resume_from : j->o.out;
    const char *dir;
    bool        ok;
    if (j->o.untrained) {
        exec_init_params(j->exec, j->session.settings.seed);
        return true;
    }
    if (j->o.weights) {
        dir = j->o.weights;
        ok = weights_load(&j->session, dir, &note, &j->err);
    } else {
        if (j->o.checkpoint && strcmp(j->o.checkpoint, "best") == 0)
            dir = best_find(j->arena, job_run(j), &j->err);
        else
            dir = checkpoint_find(j->arena, from ? from : job_run(j), &j->err);
        ok = dir && checkpoint_load(dir, &j->session.layout, NULL, &note, &j->err);
    }
    if (!dir && !from)
        buf_puts(&j->err, "; train first, name a checkpoint with --ckpt DIR, or add --untrained");
    if (note.len)
        fprintf(stderr, "anerun: note: %s\n", note.data);
    buf_free(&note);
    return ok;
}

bool job_write_trace(const Job *j)
{
    Buf  err = {0};
    bool ok = trace_write(j->trace, j->o.trace, &err);
    if (!ok)
        fprintf(stderr, "anerun: %s\n", err.data);
    else if (trace_full(j->trace))
        fprintf(stderr, "anerun: note: '%s' ends before the run does: recording stopped after %d events\n", j->o.trace,
                TRACE_EVENTS);
    buf_free(&err);
    return ok;
}

/* cmd_plan.c: `anerun PLAN`: train, evaluate or generate.
 *
 * Everything of one run hangs on a Job, so that every way out frees the same things. Settings are layered here: the
 * plan's, then those of the checkpoint that is continued, then the command line's. */
#include "anerun.h"
#include "base/file.h"
#include "bench_plan.h"
#include "check/check.h"
#include "check/check_device.h"
#include "dist.h"
#include "gemm.h"
#include "runtime/train/best.h"
#include "runtime/train/dist_run.h"
#include "runtime/train/export.h"
#include "runtime/train/generate.h"
#include "runtime/train/merge.h"
#include "runtime/train/options.h"
#include "runtime/train/restart.h"
#include "runtime/train/train.h"
#include "runtime/train/weights.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRACE_EVENTS = 1 << 18 }; /* 10 MB */

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

/* For tests: ways in which a device may be wrong (device.h). */
static bool read_fault(DeviceFault *fault, Buf *err)
{
    static const struct {
        const char *name;
        DeviceFault fault;
    } known[] = {{"stale-reload", FAULT_STALE_RELOAD},
                 {"stale-compile", FAULT_STALE_COMPILE},
                 {"stale-large", FAULT_STALE_LARGE}};
    const char *text = getenv("ANERUN_DEVICE_FAULT");
    *fault = FAULT_NONE;
    if (!text || !*text)
        return true;
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i].name, text) == 0) {
            *fault = known[i].fault;
            return true;
        }
    buf_printf(err, "ANERUN_DEVICE_FAULT=%s: known are stale-reload, stale-compile, stale-large", text);
    return false;
}

/* Will updates have to compile programs, so that the process may have to be restarted? One of several processes under
 * MPI cannot be: it saves and ends when the budget is used up. */
static bool may_restart(const Job *j, uint64_t budget)
{
    PlanWeightMode mode = j->plan->weights;
    return j->o.train && budget && dist_size(j->dist) == 1 && (mode == PLAN_BAKED || (mode == PLAN_RELOAD && !device_reloads(j->device)));
}

/* "tiny.plan/" -> "tiny.plan.run" */
static const char *default_run(Arena *a, const char *plan)
{
    size_t n = strlen(plan);
    while (n > 1 && plan[n - 1] == '/')
        n--;
    return arena_printf(a, "%.*s.run", (int)n, plan);
}

static bool open_exec(Job *j, uint64_t budget)
{
    ExecOptions o = {.wide_ports = j->o.numerics && strcmp(j->o.numerics, "exact") == 0,
                     .pool = j->pool,
                     .trace = j->trace,
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
        const char *run = j->o.out ? j->o.out : default_run(j->arena, j->o.plan);
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

static bool open_plan(Job *j)
{
    bool          exact = j->o.numerics && strcmp(j->o.numerics, "exact") == 0;
    DeviceOptions options = {
        .numerics = exact ? NUMERICS_EXACT : NUMERICS_ANE,
        .wide_ports = exact,
        .reduce = j->o.reduce && strcmp(j->o.reduce, "lenient") == 0 ? REDUCE_LENIENT : REDUCE_STRICT,
    };
    if (!read_fault(&options.fault, &j->err) ||
        !(j->plan = plan_open(j->arena, j->o.plan, j->plan_hash, &j->err)))
        return false;
    uint64_t budget = compile_budget(j);
    options.max_compiles = budget;
    gemm_init();
    j->trace = j->o.trace ? trace_new(TRACE_EVENTS) : NULL;
    j->pool = options.pool = pool_new(j->o.threads ? (uint32_t)j->o.threads : default_threads(j->plan, j->dist));
    if (!(j->device = device_open(j->o.device, &options, &j->err)))
        return false;
    if (j->o.check)
        j->device = check_device_new(j->device, j->plan);
    if (!open_exec(j, budget))
        return false;
    session_init(&j->session, j->arena, j->plan, j->o.plan, j->plan_hash, j->exec);
    j->session.dist = j->dist;
    j->session.pool = j->pool;
    return settings_from_plan(&j->session.settings, j->arena, j->plan, &j->err);
}

static bool apply_overrides(Job *j)
{
    if (j->o.deterministic && !settings_insist(&j->session.settings, j->arena, "deterministic", "1", &j->err))
        return false;
    for (uint32_t i = 0; i < j->o.overrides; i++)
        if (!settings_insist(&j->session.settings, j->arena, j->o.override[i].key, j->o.override[i].value, &j->err))
            return false;
    return true;
}

/* ---- training ---- */

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
    const char *run = j->o.out ? j->o.out : default_run(j->arena, j->o.plan);
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

static bool train(Job *j)
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
    if (j->continues)
        return continue_training(j, &t);
    if (!prepare_run(j, &t))
        return false;
    uint64_t *accum = &j->session.settings.accum, whole = *accum;
    if (t.resume)
        *accum = run_shared_accum(whole, j->dist);
    if (!apply_overrides(j))
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

/* ---- with a trained model ---- */

static bool load_weights(Job *j)
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
            dir = best_find(j->arena, j->o.out ? j->o.out : default_run(j->arena, j->o.plan), &j->err);
        else
            dir = checkpoint_find(j->arena, from ? from : default_run(j->arena, j->o.plan), &j->err);
        ok = dir && checkpoint_load(dir, &j->session.layout, NULL, &note, &j->err);
    }
    if (!dir && !from)
        buf_puts(&j->err, "; train first, name a checkpoint with --ckpt DIR, or add --untrained");
    if (note.len)
        fprintf(stderr, "anerun: note: %s\n", note.data);
    buf_free(&note);
    return ok;
}

static bool evaluate(Job *j)
{
    Session   *s = &j->session;
    uint32_t   entry, feeds;
    Evaluation e;
    Buf        text = {0};
    if (!apply_overrides(j) || !session_train_entry(s, &entry, &j->err) || !session_tokenizer(s, &j->err) ||
        !load_weights(j))
        return false;
    Feed *feed = session_feeds(s, j->arena, entry, &feeds);
    Data *d = data_open(&s->settings, j->o.eval, s->tokenizer, feed, feeds, &j->err);
    bool  ok = d && exec_bake(j->exec, entry, EXEC_FORWARD, &j->err) &&
              session_evaluate(s, entry, d, s->settings.eval_windows, &e, &j->err);
    if (ok) {
        evaluation_text(&e, &text);
        if (dist_rank(j->dist) == 0)
            puts(text.data);
    }
    buf_free(&text);
    data_close(d);
    return ok;
}

/* Continue every line of a file; an empty line ends each text. */
static bool continue_lines(Job *j, GenerateOptions *g)
{
    char  *text, why[FILE_ERR_MAX];
    size_t len;
    bool   ok = file_read(j->arena, j->o.prompts, &text, &len, why);
    if (!ok)
        buf_puts(&j->err, why);
    g->end = "\n\n";
    for (char *line = text, *end; ok && line < text + len; line = end + 1) {
        end = line + strcspn(line, "\n");
        *end = 0;
        if (end > line && end[-1] == '\r')
            end[-1] = 0;
        g->prompt = line;
        ok = *line == 0 || generate(&j->session, g, &j->err);
    }
    return ok;
}

static bool write_text(Job *j)
{
    if (!apply_overrides(j) || !load_weights(j))
        return false;
    GenerateStats   stats = {0};
    Buf             text = {0};
    GenerateOptions g = {
        .prompt = j->o.generate,
        .stop = j->o.stop,
        .stats = &stats,
        .tokens = j->o.tokens,
        .sampling = {j->o.temperature, (uint32_t)j->o.top_k, j->o.top_p},
        .seed = j->o.generate_seed,
        .out = stdout,
        .note = stderr,
    };
    bool ok = j->o.prompts ? continue_lines(j, &g) : generate(&j->session, &g, &j->err);
    if (ok && !j->o.prompts && isatty(STDOUT_FILENO))
        putchar('\n');
    fflush(stdout);
    if (ok && !j->o.quiet && stats.written) {
        generate_stats_text(&stats, &text);
        fprintf(stderr, "anerun: %s\n", text.data);
    }
    buf_free(&text);
    return ok;
}

static bool merge(Job *j)
{
    uint32_t tensors, merged;
    if (!apply_overrides(j) || !load_weights(j) || !merge_write(&j->session, j->o.merge, &tensors, &merged, &j->err))
        return false;
    if (!j->o.quiet)
        printf("'%s': %u tensors, adapters merged into %u\n", j->o.merge, tensors, merged);
    return true;
}

static bool export_model(Job *j)
{
    ExportFormat format;
    ExportType   type;
    return export_format(j->o.export, j->o.format, &format, &j->err) && export_type(j->o.dtype, &type, &j->err) &&
           apply_overrides(j) && load_weights(j) && weights_export(&j->session, j->o.export, format, type, &j->err);
}

/* Join the job, and leave it to rank 0 to speak and to write. */
static bool join(Job *j)
{
    if (!(j->dist = dist_open(j->o.mpi, &j->err)))
        return false;
    if (dist_rank(j->dist) > 0) {
        j->o.no_save = j->o.quiet = true;
        j->o.profile = false;
        j->o.log = j->o.report = j->o.trace = NULL;
    }
    return true;
}

/* With the weights that were named, or the latest of the plan's own run, or initial ones. */
static bool check(Job *j)
{
    Options *o = &j->o;
    if (!o->checkpoint && !o->weights && !o->resume && !o->out && !checkpoint_any(default_run(j->arena, o->plan)))
        o->untrained = true;
    for (uint32_t i = 0; i < o->overrides; i++)
        if (strcmp(o->override[i].key, "data.path") == 0 && !path_exists(o->override[i].value)) {
            buf_printf(&j->err, "there is no file '%s'", o->override[i].value);
            return false;
        }
    return apply_overrides(j) && session_tokenizer(&j->session, &j->err) && load_weights(j) &&
           check_run(&j->session, j->device, stdout, o->quiet, &j->err);
}

static bool bench(Job *j)
{
    const BenchOptions b = {.version = ANEL_VERSION, .device = j->o.device, .numerics = j->o.numerics ? j->o.numerics : "ane",
                            .threads = pool_threads(j->pool), .json = j->o.json};
    return apply_overrides(j) && bench_run(&j->session, &b, stdout, &j->err);
}

/* Do what was asked for: the first of these that was. */
static bool act(Job *j)
{
    const struct {
        bool asked;
        bool (*run)(Job *j);
    } action[] = {
        {j->o.train, train},
        {j->o.eval != NULL, evaluate},
        {j->o.merge != NULL, merge},
        {j->o.export != NULL, export_model},
        {j->o.check, check},
        {j->o.bench, bench},
        {true, write_text},
    };
    size_t i = 0;
    while (!action[i].asked)
        i++;
    if (dist_size(j->dist) > 1 && !j->o.train && !j->o.eval) {
        buf_puts(&j->err, "several processes can share --train and --eval; start this without mpirun");
        return false;
    }
    return action[i].run(j);
}

/* Also of a run that failed: the trace may say why. */
static bool write_trace(const Job *j)
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

/* One image's part of a job. True if the next one has to go on: then state and lock are left in `j`. */
static bool run_job(Job *j, int argc, char **argv, int *status)
{
    Buf text = {0};
    j->arena = arena_new();
    *status = EXIT_OK;
    if (!options_parse(&j->o, j->arena, argc, argv, &j->err)) {
        if (dist_spokesman())
            fprintf(stderr, "anerun: %s\n'anerun PLAN --help' lists all options\n", j->err.data);
        *status = EXIT_USAGE;
    } else if (j->o.help) {
        if (options_help(&text, j->o.help_topic, &j->err)) {
            fputs(text.data, stdout);
        } else {
            fprintf(stderr, "anerun: %s\n", j->err.data);
            *status = EXIT_USAGE;
        }
    } else if (!join(j) || !open_plan(j) || !act(j)) {
        fflush(stdout);
        if (dist_size(j->dist) > 1)
            dist_fail(j->dist, j->err.len ? j->err.data : "failed");
        if (j->dist || dist_spokesman())
            fprintf(stderr, "anerun: %s\n", j->err.len ? j->err.data : "failed");
        *status = EXIT_FAILED;
    } else if (j->o.profile && !(j->state && state_head(j->state)->continues)) {
        exec_profile(j->exec, &text);
        fputs(text.data ? text.data : "", stdout);
    }
    if (j->trace && !write_trace(j))
        *status = EXIT_FAILED;
    session_finish(&j->session);
    exec_close(j->exec);
    device_close(j->device);
    pool_free(j->pool);
    trace_free(j->trace);
    dist_close(j->dist);
    buf_free(&text);
    buf_free(&j->err);
    arena_free(j->arena);
    return *status == EXIT_OK && j->state && state_head(j->state)->continues;
}

int cmd_plan(int argc, char **argv)
{
    Job    j = {.lock = -1};
    double started = clock_seconds();
    int    status = EXIT_FAILED;
    Buf    err = {0};
    signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond ulimit -f is to be an error like a full disk, not the end */
    if (!restart_take(&j.state, &j.lock, &err)) {
        fprintf(stderr, "anerun: %s\n", err.data);
        buf_free(&err);
        return status;
    }
    if ((j.continues = j.state != NULL))
        state_head(j.state)->time[AT_MAIN] = started;
    if (run_job(&j, argc, argv, &status)) {
        state_head(j.state)->time[AT_EXEC] = clock_seconds();
        restart_exec(argv, j.state, j.lock, &err);
        /* There is no next image: this one saves what was trained. */
        fprintf(stderr, "anerun: the compile budget of this process is used up, and it cannot be restarted: %s\n",
                err.data);
        j = (Job){.lock = j.lock, .state = j.state, .continues = true};
        state_head(j.state)->rescue = true;
        run_job(&j, argc, argv, &status);
        status = EXIT_FAILED;
    }
    checkpoint_unlock(j.lock);
    state_close(j.state);
    buf_free(&err);
    return status;
}

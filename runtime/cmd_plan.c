/* cmd_plan.c: `anerun PLAN`: train, evaluate or generate.
 *
 * Everything of one run hangs on a Job, so that every way out frees the same things. Settings are layered here: the
 * plan's, then those of the checkpoint that is continued, then the command line's. */
#include "anerun.h"
#include "base/file.h"
#include "gemm.h"
#include "runtime/train/best.h"
#include "runtime/train/generate.h"
#include "runtime/train/options.h"
#include "runtime/train/train.h"
#include "runtime/train/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    Options     o;
    Arena      *arena;
    const Plan *plan;
    char        plan_hash[HASH_HEX];
    Pool       *pool;
    Device     *device;
    Exec       *exec;
    Session     session;
    int         lock; /* on the run's directory; -1: none */
    Buf         err;
} Job;

/* Where nobody has said: as many threads as the model's products can feed, at most all processors. */
static uint32_t default_threads(const Plan *p)
{
    enum { PARAMETERS_PER_THREAD = 500000 };
    int64_t params = 0, cpus = pool_processors();
    for (uint32_t i = 0; i < p->params; i++)
        params += plan_numel(p->param[i].shape) * p->param[i].n;
    int64_t n = params / PARAMETERS_PER_THREAD;
    return (uint32_t)(n < 1 ? 1 : n > cpus ? cpus : n);
}

static bool open_plan(Job *j)
{
    bool          exact = j->o.numerics && strcmp(j->o.numerics, "exact") == 0;
    DeviceOptions options = {
        .numerics = exact ? NUMERICS_EXACT : NUMERICS_ANE,
        .wide_ports = exact,
        .reduce = j->o.reduce && strcmp(j->o.reduce, "lenient") == 0 ? REDUCE_LENIENT : REDUCE_STRICT,
    };
    if (!(j->plan = plan_open(j->arena, j->o.plan, j->plan_hash, &j->err)))
        return false;
    gemm_init();
    j->pool = options.pool = pool_new(j->o.threads ? (uint32_t)j->o.threads : default_threads(j->plan));
    if (!(j->device = device_open(j->o.device, &options, &j->err)) ||
        !(j->exec = exec_open(j->plan, j->o.plan, j->device, &(ExecOptions){.wide_ports = exact, .pool = j->pool}, &j->err)))
        return false;
    session_init(&j->session, j->arena, j->plan, j->o.plan, j->plan_hash, j->exec);
    return settings_from_plan(&j->session.settings, j->arena, j->plan, &j->err);
}

static bool apply_overrides(Job *j)
{
    for (uint32_t i = 0; i < j->o.overrides; i++)
        if (!settings_insist(&j->session.settings, j->arena, j->o.override[i].key, j->o.override[i].value, &j->err))
            return false;
    return true;
}

/* "tiny.plan/" -> "tiny.plan.run" */
static const char *default_run(Arena *a, const char *plan)
{
    size_t n = strlen(plan);
    while (n > 1 && plan[n - 1] == '/')
        n--;
    return arena_printf(a, "%.*s.run", (int)n, plan);
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

static bool train(Job *j)
{
    TrainOptions t = {
        .weights = j->o.weights, .stop_at = j->o.stop_at, .log = j->o.log, .out = j->o.quiet ? NULL : stdout};
    if (!prepare_run(j, &t) || !apply_overrides(j))
        return false;
    if (j->o.eval && !settings_set(&j->session.settings, j->arena, "eval", j->o.eval, &j->err))
        return false;
    if (t.run && !t.resume && j->o.overwrite && !checkpoint_clear(t.run, &j->err))
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
    if (j->o.weights)
        return weights_load(&j->session, j->o.weights, &j->err);
    if (j->o.checkpoint && strcmp(j->o.checkpoint, "best") == 0)
        dir = best_find(j->arena, j->o.out ? j->o.out : default_run(j->arena, j->o.plan), &j->err);
    else
        dir = checkpoint_find(j->arena, from ? from : default_run(j->arena, j->o.plan), &j->err);
    ok = dir && checkpoint_load(dir, &j->session.layout, NULL, &note, &j->err);
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
        puts(text.data);
    }
    buf_free(&text);
    data_close(d);
    return ok;
}

static bool write_text(Job *j)
{
    if (!apply_overrides(j) || !load_weights(j))
        return false;
    GenerateOptions g = {
        .prompt = j->o.generate,
        .tokens = j->o.tokens,
        .sampling = {j->o.temperature, (uint32_t)j->o.top_k, j->o.top_p},
        .seed = j->o.generate_seed,
        .out = stdout,
        .note = stderr,
    };
    bool ok = generate(&j->session, &g, &j->err);
    if (ok && isatty(STDOUT_FILENO))
        putchar('\n');
    return ok;
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
        {true, write_text},
    };
    size_t i = 0;
    while (!action[i].asked)
        i++;
    return action[i].run(j);
}

int cmd_plan(int argc, char **argv)
{
    Job j = {.arena = arena_new(), .lock = -1};
    int status = EXIT_OK;
    Buf text = {0};
    if (!options_parse(&j.o, j.arena, argc, argv, &j.err)) {
        fprintf(stderr, "anerun: %s\n'anerun PLAN --help' lists all options\n", j.err.data);
        status = EXIT_USAGE;
    } else if (j.o.help) {
        if (options_help(&text, j.o.help_topic, &j.err)) {
            fputs(text.data, stdout);
        } else {
            fprintf(stderr, "anerun: %s\n", j.err.data);
            status = EXIT_USAGE;
        }
    } else if (!open_plan(&j) || !act(&j)) {
        fflush(stdout);
        fprintf(stderr, "anerun: %s\n", j.err.len ? j.err.data : "failed");
        status = EXIT_FAILED;
    } else if (j.o.profile) {
        exec_profile(j.exec, &text);
        fputs(text.data ? text.data : "", stdout);
    }
    checkpoint_unlock(j.lock);
    session_finish(&j.session);
    exec_close(j.exec);
    device_close(j.device);
    pool_free(j.pool);
    buf_free(&text);
    buf_free(&j.err);
    arena_free(j.arena);
    return status;
}

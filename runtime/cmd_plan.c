/* cmd_plan.c: `anerun PLAN`: train, evaluate, generate, and the other things to do with a plan.
 *
 * One function per action; plan_job.h opens and closes what they work on. A process that has used up its compile budget
 * replaces its own image, so a job may go through several images (train/restart.h). */
#include "anerun.h"
#include "base/file.h"
#include "bench_plan.h"
#include "check/check.h"
#include "plan_job.h"
#include "receipt_file.h"
#include "runtime/train/export.h"
#include "runtime/train/generate.h"
#include "runtime/train/merge.h"
#include "runtime/train/restart.h"
#include "runtime/train/weights.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool evaluate(Job *j)
{
    Session   *s = &j->session;
    uint32_t   entry, feeds;
    Evaluation e;
    Buf        text = {0};
    if (!job_override(j) || !session_train_entry(s, &entry, &j->err) || !session_tokenizer(s, &j->err) ||
        !job_load_weights(j))
        return false;
    Feed *feed = session_feeds(s, j->arena, entry, &feeds);
    Data *d = data_open(&s->settings, j->o.eval, s->tokenizer, feed, feeds, &j->err);
    bool  ok = d && exec_bake(j->exec, entry, EXEC_FORWARD, &j->err) &&
              session_evaluate(s, entry, d, s->settings.eval_windows, &e, &j->err);
    if (ok) {
        evaluation_text(&e, &text);
        j->result = (RunResult){.known = true, .state = {.losses = 1, .losses_hash = receipt_hash_loss(0, e.loss)}};
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
    if (!job_override(j) || !job_load_weights(j))
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
    if (!job_override(j) || !job_load_weights(j) || !merge_write(&j->session, j->o.merge, &tensors, &merged, &j->err))
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
           job_override(j) && job_load_weights(j) && weights_export(&j->session, j->o.export, format, type, &j->err);
}

/* With the weights that were named, or the latest of the plan's own run, or initial ones. */
static bool check(Job *j)
{
    Options *o = &j->o;
    if (!o->checkpoint && !o->weights && !o->resume && !o->out && !checkpoint_any(job_run(j)))
        o->untrained = true;
    for (uint32_t i = 0; i < o->overrides; i++)
        if (strcmp(o->override[i].key, "data.path") == 0 && !path_exists(o->override[i].value)) {
            buf_printf(&j->err, "there is no file '%s'", o->override[i].value);
            return false;
        }
    return job_override(j) && session_tokenizer(&j->session, &j->err) && job_load_weights(j) &&
           check_run(&j->session, j->device, &(CheckOptions){o->device, o->quiet, o->json}, stdout, &j->err);
}

static bool bench(Job *j)
{
    const BenchOptions b = {.version = ANEL_VERSION, .device = j->o.device, .numerics = j->o.numerics ? j->o.numerics : "ane",
                            .threads = pool_threads(j->pool), .json = j->o.json};
    return job_override(j) && bench_run(&j->session, &b, stdout, &j->err);
}

static bool print_banks(Job *j)
{
    return exec_write_banks(j->exec, j->o.print_banks, &j->err);
}

/* Do what was asked for: the first of these that was. */
static bool act(Job *j)
{
    const struct {
        bool asked;
        bool (*run)(Job *j);
    } action[] = {
        {j->o.train, plan_train},
        {j->o.eval != NULL, evaluate},
        {j->o.merge != NULL, merge},
        {j->o.export != NULL, export_model},
        {j->o.check, check},
        {j->o.bench, bench},
        {j->o.print_banks != NULL, print_banks},
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

/* A receipt that cannot be written is told before anything is done. */
static bool begin(Job *j)
{
    return j->continues || receipt_write(j, "running", NULL, &j->err);
}

static bool receipt_end(Job *j, const char *status)
{
    Buf  why = {0};
    bool ok = true;
    if (!status && j->state && state_head(j->state)->continues)
        receipt_carry(j);
    else
        ok = receipt_write(j, status, j->err.data, &why);
    if (!ok)
        fprintf(stderr, "anerun: no receipt: %s\n", why.data);
    buf_free(&why);
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
    } else if (!job_join(j) || !job_open(j) || !begin(j) || !act(j)) {
        fflush(stdout);
        while (j->err.len && j->err.data[j->err.len - 1] == '\n')
            j->err.data[--j->err.len] = 0;
        receipt_end(j, "failed");
        if (dist_size(j->dist) > 1)
            dist_fail(j->dist, j->err.len ? j->err.data : "failed");
        if (j->dist || dist_spokesman())
            fprintf(stderr, "anerun: %s\n", j->err.len ? j->err.data : "failed");
        *status = EXIT_FAILED;
    } else if (!receipt_end(j, NULL)) {
        *status = EXIT_FAILED;
    } else if (j->o.profile && !(j->state && state_head(j->state)->continues)) {
        exec_profile(j->exec, &text);
        fputs(text.data ? text.data : "", stdout);
    }
    if (j->trace && !job_write_trace(j))
        *status = EXIT_FAILED;
    if (j->device && device_wedged(j->device)) { /* a thread is still in the driver: nothing may be taken from under it */
        fflush(NULL);
        _Exit(EXIT_FAILED);
    }
    job_close(j);
    buf_free(&text);
    return *status == EXIT_OK && j->state && state_head(j->state)->continues;
}

int cmd_plan(int argc, char **argv)
{
    Job    j = {.lock = -1, .started = clock_seconds()};
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
        j = (Job){.lock = j.lock, .state = j.state, .continues = true, .started = started};
        state_head(j.state)->rescue = true;
        run_job(&j, argc, argv, &status);
        status = EXIT_FAILED;
    }
    checkpoint_unlock(j.lock);
    state_close(j.state);
    buf_free(&err);
    return status;
}

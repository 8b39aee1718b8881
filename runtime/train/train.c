/* train.c: a training run from start to end: steps (step.c), and now and then an evaluation or a checkpoint. Everything
 * is allocated before the first step. */
#include "runtime/train/run.h"

#include "runtime/train/best.h"
#include "runtime/train/weights.h"

#include <signal.h>
#include <string.h>

/* ---- signals ---- */

static volatile sig_atomic_t stop_signal; /* the only state a handler may touch */

static void on_signal(int number)
{
    stop_signal = number;
}

/* The handler is taken away by the first signal: a second one ends the process, should the step hang. */
static void catch_signals(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&a.sa_mask);
    stop_signal = 0;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

/* ---- between steps ---- */

/* A checkpoint that cannot be written (a full disk) is no reason to lose the run: the next one may succeed. Only at the
 * end does it count as failure. */
static bool save(Run *t, bool final, Buf *err)
{
    Buf    why = {0};
    double started = clock_seconds();
    Buf    path = {0};
    buf_printf(&path, "%s/ckpt-%llu", t->o->run, (unsigned long long)t->r.step);
    t->r.loss_scale = t->scaler.scale;
    t->r.scale_clean = t->scaler.clean;
    t->r.skipped = t->scaler.skipped;
    t->r.skipped_in_a_row = t->scaler.in_a_row;
    bool ok = checkpoint_save(t->o->run, &t->s->layout, &t->r, &t->s->settings, t->s->settings.keep, &why);
    if (ok) {
        t->saved = t->r.step;
        report_log_save(&t->report, t->r.step, path.data, clock_seconds() - started);
    } else if (final) {
        buf_printf(err, "the checkpoint of step %llu was not saved: %s", (unsigned long long)t->r.step, why.data);
    } else {
        report_warning(&t->report, "the checkpoint of step %llu was not saved: %s", (unsigned long long)t->r.step,
                    why.data);
        ok = true;
    }
    buf_free(&path);
    buf_free(&why);
    return ok;
}

/* If no evaluation before gave a lower loss, this step's checkpoint is kept whatever comes. */
static bool keep_best(Run *t, double loss, Buf *err)
{
    Buf why = {0};
    if (!t->o->run || !t->s->settings.keep_best || !best_is(t->o->run, t->r.step, loss))
        return true;
    if (t->saved != t->r.step && !save(t, false, err))
        return false;
    if (t->saved == t->r.step && !best_mark(t->o->run, t->r.step, loss, &why))
        report_warning(&t->report, "the best checkpoint was not marked: %s", why.data);
    buf_free(&why);
    return true;
}

static bool evaluate(Run *t, Buf *err)
{
    Evaluation e;
    Buf        text = {0};
    bool       ok = session_evaluate(t->s, t->entry, t->eval ? t->eval : t->data, t->s->settings.eval_windows, &e, err);
    if (ok) {
        evaluation_text(&e, &text);
        report_note(&t->report, "step %llu: held-out %s", (unsigned long long)t->r.step, text.data);
        report_log_eval(&t->report, t->r.step, e.loss, e.tokens, evaluation_bits_per_byte(&e), e.seconds);
    }
    buf_free(&text);
    return ok && keep_best(t, e.loss, err);
}

static bool every(uint64_t n, uint64_t step)
{
    return n && step % n == 0;
}

static bool loop(Run *t, Buf *err)
{
    const Settings *set = &t->s->settings;
    uint64_t        first = t->r.step, evaluated = first;
    run_warn_of_large_weights(t);
    while (t->r.step < t->end && !stop_signal) {
        if (!run_step(t, err))
            return false;
        if (settings_evaluates(set) && every(set->eval_every, t->r.step)) {
            if (!evaluate(t, err))
                return false;
            evaluated = t->r.step;
        }
        if (t->o->run && every(set->save_every, t->r.step) && t->saved != t->r.step && !save(t, false, err))
            return false;
    }
    /* Whatever ended the loop, and whenever a signal came: the last step is evaluated (if there is time) and saved. */
    if (settings_evaluates(set) && evaluated != t->r.step && !stop_signal && !evaluate(t, err))
        return false;
    return !t->o->run || t->r.step == first || t->saved == t->r.step || save(t, true, err);
}

/* ---- from start to end ---- */

static bool open_data(Run *t, Buf *err)
{
    uint32_t  feeds;
    Settings *set = &t->s->settings;
    Feed     *feed = session_feeds(t->s, t->arena, t->entry, &feeds);
    t->data = !session_tokenizer(t->s, err) ? NULL : data_open(set, NULL, t->s->tokenizer, feed, feeds, err);
    if (!t->data || !*set->eval)
        return t->data != NULL;
    t->eval = data_open(set, set->eval, t->s->tokenizer, feed, feeds, err);
    return t->eval != NULL;
}

static void watch_health(Run *t)
{
    uint32_t n = exec_params(t->s->exec);
    health_init(&t->health, t->arena, n);
    for (uint32_t i = 0; i < n; i++)
        if (!exec_param(t->s->exec, i)->group->frozen)
            health_add(&t->health, t->s->tensor[i].path, t->s->tensor[i].numel);
}

static bool start(Run *t, Buf *err)
{
    Buf note = {0};
    watch_health(t);
    scaler_init(&t->scaler, &t->s->settings);
    if (!t->o->resume) {
        exec_init_params(t->s->exec, t->s->settings.seed);
        if (t->o->weights && !weights_load(t->s, t->o->weights, err))
            return false;
    } else {
        if (!checkpoint_load(t->o->resume, &t->s->layout, &t->r, &note, err))
            return false;
        t->scaler.clean = t->r.scale_clean;
        t->scaler.skipped = t->r.skipped;
        t->scaler.in_a_row = 0; /* whoever resumes wants another try */
        if (t->scaler.kind == SCALE_DYNAMIC)
            t->scaler.scale = t->r.loss_scale;
        t->saved = t->r.step;
    }
    uint64_t steps = t->s->settings.steps, stop = t->o->stop_at;
    t->end = stop && stop < steps ? stop : steps;
    t->step.steps = t->end;
    if (!report_open(&t->report, t->o->out, t->o->log, t->o->resume != NULL, t->r.step, err))
        return false;
    if (note.len)
        report_note(&t->report, "note: %s", note.data);
    buf_free(&note);
    return exec_bake(t->s->exec, t->entry, EXEC_FORWARD | EXEC_BACKWARD, err);
}

static void announce(Run *t)
{
    const Settings *set = &t->s->settings;
    const Session  *s = t->s;
    report_note(&t->report, "%s: %llu parameters in %u tensors, %.1f MB in use; %s, %s, %llu micro-batch%s per step",
                s->plan->model, (unsigned long long)s->parameters, (unsigned)s->layout.tensors,
                (double)exec_bytes(s->exec) * 1e-6, settings_word(set, "optimizer"), settings_word(set, "schedule"),
                (unsigned long long)set->accum, set->accum == 1 ? "" : "es");
    if (data_size(t->data)) {
        Buf text = {0};
        data_describe(t->data, &text);
        report_note(&t->report, "data: %s", text.data);
        buf_free(&text);
    }
    if (t->o->resume)
        report_note(&t->report, "resumed from '%s' at step %llu", t->o->resume, (unsigned long long)t->r.step);
    if (t->o->weights && !t->o->resume)
        report_note(&t->report, "initial weights from '%s'", t->o->weights);
    report_log_start(&t->report, s->plan->model, t->r.step, t->end, s->parameters, set->seed);
}

static void conclude(Run *t)
{
    Report     *r = &t->report;
    uint64_t    steps = t->r.step - r->first;
    double      seconds = clock_seconds() - r->started;
    char        time[24], rate[48] = "";
    const char *why = t->r.step < t->s->settings.steps ? "stopped" : "done";
    if (stop_signal)
        why = stop_signal == SIGINT ? "interrupted" : "terminated";
    format_duration(time, seconds);
    if (r->tokens)
        snprintf(rate, sizeof rate, ", %.0f tokens/s", (double)r->tokens / seconds);
    if (!steps && stop_signal)
        report_note(r, "%s before the first step", why);
    else if (!steps)
        report_note(r, "nothing to do: step %llu of %llu is reached; --steps N goes on", (unsigned long long)t->r.step,
                    (unsigned long long)t->s->settings.steps);
    else
        report_note(r, "%s at step %llu: loss %.4f; %llu step%s in %s%s; %llu skipped", why,
                    (unsigned long long)t->r.step, t->r.loss, (unsigned long long)steps, steps == 1 ? "" : "s", time,
                    rate, (unsigned long long)t->scaler.skipped);
    if (t->o->run && t->saved == t->r.step && steps)
        report_note(r, "saved in '%s/ckpt-%llu'%s", t->o->run, (unsigned long long)t->r.step,
                    t->r.step < t->s->settings.steps ? "; --resume continues" : "");
    report_log_end(r, t->r.step, why, exec_counters(t->s->exec));
}

bool train_run(Session *s, const TrainOptions *o, Buf *err)
{
    Run  t = {.s = s, .o = o, .arena = arena_new()};
    bool ok = settings_check(&s->settings, err) && session_train_entry(s, &t.entry, err);
    if (ok && !s->plan->entry[t.entry].backwards) {
        buf_printf(err, "entry '%s' has no backward steps: this plan can only be evaluated", s->plan->train_entry);
        ok = false;
    }
    if (ok) {
        t.plan_entry = &s->plan->entry[t.entry];
        run_name_classes(&t);
        run_prepare(&t);
        session_moments(s);
        ok = open_data(&t, err) && start(&t, err);
    }
    if (ok) {
        announce(&t);
        catch_signals();
        ok = loop(&t, err);
        if (ok)
            conclude(&t);
        else
            report_log_end(&t.report, t.r.step, "failed", exec_counters(s->exec));
        release_signals();
    }
    report_close(&t.report);
    data_close(t.data);
    data_close(t.eval);
    arena_free(t.arena);
    return ok;
}

/* train.c: a training run from start to end: steps (step.c), and now and then an evaluation or a checkpoint. Everything
 * is allocated before the first step. */
#include "runtime/train/dist_run.h"

#include "runtime/train/best.h"
#include "runtime/train/restart.h"
#include "runtime/train/run_page.h"
#include "runtime/train/weights.h"

#include <signal.h>
#include <string.h>

/* ---- signals ---- */

/* The only state a handler may touch. In a run that may be restarted it is part of the state that is carried on: a
 * signal between the last look at it and exec() is not lost. */
static volatile sig_atomic_t  own_signal;
static volatile sig_atomic_t *stop_signal = &own_signal;

static void on_signal(int number)
{
    *stop_signal = number;
}

/* The handler is taken away by the first signal: a second one ends the process, should the step hang. */
static void catch_signals(StateHead *head)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&a.sa_mask);
    own_signal = 0;
    stop_signal = head ? &head->signal : &own_signal;
    if (!*stop_signal) {
        sigaction(SIGINT, &a, NULL);
        sigaction(SIGTERM, &a, NULL);
    }
    restart_block_signals(false); /* an earlier image has blocked them on its way here */
}

static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    stop_signal = &own_signal;
}

/* ---- between steps ---- */

/* A checkpoint that cannot be written (a full disk) is no reason to lose the run: the next one may succeed. Only at the
 * end does it count as failure. */
bool run_save(Run *t, bool final, Buf *err)
{
    Buf    why = {0};
    double started = clock_seconds();
    Buf    path = {0};
    buf_printf(&path, "%s/ckpt-%llu", t->o->run, (unsigned long long)t->r.step);
    t->r.loss_scale = t->scaler.scale;
    t->r.scale_clean = t->scaler.clean;
    t->r.skipped = t->scaler.skipped;
    t->r.skipped_in_a_row = t->scaler.in_a_row;
    Settings settings = run_whole_settings(t->s);
    bool ok = checkpoint_save(t->o->run, &t->s->layout, &t->r, &settings, settings.keep, &why);
    if (ok) {
        t->saved = t->r.step;
        t->sound = t->saved <= t->proven ? t->saved : t->sound;
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
    if (t->saved != t->r.step && !run_save(t, false, err))
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
        if (t->r.step < t->end)
            run_page_sample(t->report.page, t->s, t->r.step, false);
    }
    buf_free(&text);
    return ok && keep_best(t, e.loss, err);
}

static bool every(uint64_t n, uint64_t step)
{
    return n && step % n == 0;
}

/* Hand over to the next image. Where that cannot be, the run is saved and ends. */
static bool hand_over(Run *t, Buf *err)
{
    Buf why = {0};
    if (run_hand_over(t, &why))
        return true;
    if (t->o->run && !run_save(t, true, err))
        buf_puts(err, "; ");
    buf_printf(err, "after step %llu the compile budget of a process is used up, but %s", (unsigned long long)t->r.step,
               why.data);
    if (t->o->run && t->saved == t->r.step)
        buf_printf(err, "; '%s/ckpt-%llu' was saved: --resume continues", t->o->run, (unsigned long long)t->r.step);
    buf_free(&why);
    return false;
}

/* ---- all steps ---- */

static bool loop(Run *t, Buf *err)
{
    const Settings *set = &t->s->settings;
    uint64_t        evaluated = t->continues ? UINT64_MAX : t->r.step;
    bool            done = t->continues; /* the step at hand was done by the image before; what follows it is not */
    run_warn_of_large_weights(t);
    for (; done || (t->r.step < t->end && !(t->stop = run_agreed_signal(t, *stop_signal))); done = false) {
        if (!done && !run_step(t, err))
            return run_stop(t, err);
        bool programs = (t->r.step < t->end || settings_evaluates(set)) && !*stop_signal; /* are wanted once more */
        if (t->outdated && programs)
            return hand_over(t, err);
        if (settings_evaluates(set) && every(set->eval_every, t->r.step) && !t->outdated) {
            if (!evaluate(t, err))
                return run_stop(t, err);
            evaluated = t->r.step;
        }
        if (!every(set->save_every, t->r.step))
            continue;
        if (!run_ranks_same(t, err) || (t->o->run && t->saved != t->r.step && !run_save(t, false, err)))
            return false;
    }
    t->stop = run_agreed_signal(t, *stop_signal);
    /* Whatever ended the loop, and whenever a signal came: the last step is evaluated (if there is time) and saved. */
    if (settings_evaluates(set) && evaluated != t->r.step && !t->stop && !t->outdated && !evaluate(t, err))
        return run_stop(t, err);
    if (!run_ranks_same(t, err))
        return false;
    return !t->o->run || t->r.step == t->report.first || t->saved == t->r.step || run_save(t, true, err);
}

/* ---- from start to end ---- */

static bool open_data(Run *t, Buf *err)
{
    uint32_t  feeds;
    Settings *set = &t->s->settings;
    Feed     *feed = session_feeds(t->s, t->arena, t->entry, &feeds);
    t->data = !session_tokenizer(t->s, err) ? NULL : data_open(set, NULL, t->s->tokenizer, feed, feeds, err);
    if (!t->data)
        return false;
    data_share(t->data, t->s->pool);
    if (!*set->eval)
        return true;
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
    if (!t->continues)
        scaler_init(&t->scaler, &t->s->settings);
    if (t->continues) {
        ; /* prepare() has taken over */
    } else if (!t->o->resume) {
        exec_init_params(t->s->exec, t->s->settings.seed);
        if (t->o->weights && !weights_load(t->s, t->o->weights, &note, err))
            return false;
    } else {
        if (!checkpoint_load(t->o->resume, &t->s->layout, &t->r, &note, err))
            return false;
        t->scaler.clean = t->r.scale_clean;
        t->scaler.skipped = t->r.skipped;
        t->scaler.in_a_row = t->scaler.forgiven = t->r.skipped_in_a_row;
        if (t->scaler.kind == SCALE_DYNAMIC)
            t->scaler.scale = t->r.loss_scale;
        t->saved = t->sound = t->proven = t->r.step;
    }
    uint64_t steps = t->s->settings.steps, stop = t->o->stop_at;
    t->end = stop && stop < steps ? stop : steps;
    t->step.steps = t->end;
    if (!report_open(&t->report, t->o->out, t->o->log, t->o->resume || t->continues, t->r.step, err))
        return false;
    if (dist_size(t->s->dist) > 1) /* launchers hand out terminals although their own output is a file */
        t->report.terminal = false;
    t->report.on_step = t->o->on_step;
    t->report.on_step_with = t->o->on_step_with;
    if (t->o->report) {
        const RunPageOptions page = {.path = t->o->report, .log = t->o->log, .machine = t->o->machine,
                                     .prompt = t->o->prompt, .step = t->r.step, .steps = t->end,
                                     .resumed = t->o->resume || t->continues};
        if (!(t->report.page = run_page_open(t->s, &page, &t->report, err)))
            return false;
    }
    if (note.len)
        report_note(&t->report, "note: %s", note.data);
    buf_free(&note);
    if (t->continues)
        run_take_over_report(t);
    if (!run_ranks_agree(t, err))
        return false;
    t->s->window = t->window = window_new(t->s, t->entry);
    if (!run_within_budget(t, err) || !exec_bake(t->s->exec, t->entry, EXEC_FORWARD | EXEC_BACKWARD, err))
        return run_stop(t, err);
    t->per_update = exec_rebake_cost(t->s->exec, t->entry, EXEC_FORWARD | EXEC_BACKWARD); /* weights may be given otherwise now */
    run_learned(t, exec_reload(t->s->exec));
    if (t->continues)
        run_log_restart(t);
    return true;
}

/* In a new image before it is ready, or in the old one because there is no new one: what was trained is kept. */
static bool rescue(Run *t, Buf *err)
{
    if (t->o->run && t->saved != t->r.step && t->r.step != t->head->first && run_save(t, true, err))
        buf_printf(err, "%s'%s/ckpt-%llu' was saved: --resume continues", err->len ? "; " : "", t->o->run,
                   (unsigned long long)t->r.step);
    return false;
}

static void announce(Run *t)
{
    const Settings *set = &t->s->settings;
    const Session  *s = t->s;
    uint64_t        batches = window_size(t->window);
    report_note(&t->report, "%s: %llu parameters in %u tensors, %.1f MB in use; %s, %s, %llu micro-batch%s per step",
                s->plan->model, (unsigned long long)s->parameters, (unsigned)s->layout.tensors,
                (double)exec_bytes(s->exec) * 1e-6, settings_word(set, "optimizer"), settings_word(set, "schedule"),
                (unsigned long long)batches, batches == 1 ? "" : "es");
    if (dist_size(s->dist) > 1)
        report_note(&t->report, "%u ranks, %llu micro-batch%s of a step each%s", dist_size(s->dist),
                    (unsigned long long)set->accum, set->accum == 1 ? "" : "es",
                    set->deterministic ? "; deterministic" : "");
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
    int         stop = t->stop ? t->stop : (int)*stop_signal;
    if (stop)
        why = stop == SIGINT ? "interrupted" : "terminated";
    format_duration(time, seconds);
    if (r->tokens)
        snprintf(rate, sizeof rate, ", %.0f tokens/s", (double)r->tokens / seconds);
    if (!steps && stop)
        report_note(r, "%s before the first step", why);
    else if (!steps)
        report_note(r, "nothing to do: step %llu of %llu is reached; --steps N goes on", (unsigned long long)t->r.step,
                    (unsigned long long)t->s->settings.steps);
    else
        report_note(r, "%s at step %llu: loss %.4f; %llu step%s in %s%s; %llu skipped", why,
                    (unsigned long long)t->r.step, t->r.loss, (unsigned long long)steps, steps == 1 ? "" : "s", time,
                    rate, (unsigned long long)t->scaler.skipped);
    if (t->head && t->head->restarts)
        report_note(r, "restarted %u time%s to keep within the compile budget, %.0f ms each without programs",
                    t->head->restarts, t->head->restarts == 1 ? "" : "s", 1e3 * t->head->spent / t->head->restarts);
    if (t->o->run && t->saved == t->r.step && steps)
        report_note(r, "saved in '%s/ckpt-%llu'%s", t->o->run, (unsigned long long)t->r.step,
                    t->r.step < t->s->settings.steps ? "; --resume continues" : "");
    ExecCounters counters = run_counters(t);
    run_note_traffic(t);
    if (!stop && steps)
        run_page_sample(r->page, t->s, t->r.step, true);
    report_log_end(r, t->r.step, why, &counters);
}

static bool prepare(Run *t, Buf *err)
{
    Session *s = t->s;
    if (!settings_check(&s->settings, err) || !session_train_entry(s, &t->entry, err))
        return false;
    if (!s->plan->entry[t->entry].backwards) {
        buf_printf(err, "entry '%s' has no backward steps: this plan can only be evaluated", s->plan->train_entry);
        return false;
    }
    if (t->o->state) {
        t->head = state_head(t->o->state);
        t->continues = t->head->continues;
        t->head->continues = false;
        if (!t->continues && !state_put_settings(t->o->state, &s->settings)) {
            buf_printf(err, "the settings are longer than %d bytes", STATE_TEXT);
            return false;
        }
    }
    t->plan_entry = &s->plan->entry[t->entry];
    run_name_classes(t);
    run_prepare(t);
    session_moments(s, t->o->state ? state_moments(t->o->state) : NULL);
    watch_health(t);
    if (t->continues)
        run_take_over(t);
    return true;
}

bool train_run(Session *s, const TrainOptions *o, Buf *err)
{
    Run t = {.s = s, .o = o, .arena = arena_new()};
    bool prepared = prepare(&t, err), ok = prepared && !(t.head && t.head->rescue) && open_data(&t, err) && start(&t, err);
    if (ok) {
        if (!t.continues)
            announce(&t);
        catch_signals(t.head);
        ok = loop(&t, err);
        bool handed = ok && t.head && t.head->continues;
        if (handed)
            ;
        else if (ok)
            conclude(&t);
        else {
            ExecCounters counters = run_counters(&t);
            report_log_end(&t.report, t.r.step, "failed", &counters);
        }
        if (!handed)
            release_signals();
    } else if (prepared && t.continues) {
        ok = rescue(&t, err);
    }
    report_close(&t.report);
    window_free(t.window);
    s->window = NULL;
    data_close(t.data);
    data_close(t.eval);
    arena_free(t.arena);
    return ok;
}

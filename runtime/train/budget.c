/* budget.c: a run within the compile budget of a process, and what it hands to the next process image; see state_file.h.
 *
 * Updates are what compiles. Before one does, the budget is asked; where it has no room the update is completed without
 * programs, the step is reported, and the image ends. The next one begins with the programs of these weights and goes on
 * with what follows a step: evaluation, checkpoint, next step. The loop of train.c thus has one more place to enter, and
 * nothing in a step knows of restarts. */
#include "runtime/train/restart.h"
#include "runtime/train/run.h"

#include <string.h>

enum { BOTH = EXEC_FORWARD | EXEC_BACKWARD };

bool run_may_compile(Run *t)
{
    t->outdated = exec_compiles_left(t->s->exec) < t->per_update;
    return !t->outdated;
}

bool run_within_budget(Run *t, Buf *err)
{
    uint64_t need = exec_bake_cost(t->s->exec, t->entry, BOTH), left = exec_compiles_left(t->s->exec);
    t->per_update = exec_rebake_cost(t->s->exec, t->entry, BOTH);
    if (need <= left)
        return true;
    buf_printf(err,
               "the compile budget allows %llu programs in a process, and one update of this plan needs %llu: make the "
               "plan again with --weights dynamic, or raise --compile-budget",
               (unsigned long long)left, (unsigned long long)need);
    return false;
}

ExecCounters run_counters(const Run *t)
{
    ExecCounters sum = *exec_counters(t->s->exec);
    if (!t->head)
        return sum;
    const ExecCounters *c = &t->head->counters;
    sum.evals += c->evals;
    sum.compiles += c->compiles;
    sum.reloads += c->reloads;
    sum.staged += c->staged;
    sum.reused += c->reused;
    sum.clamped += c->clamped;
    sum.nonfinite += c->nonfinite;
    sum.saturated_weights += c->saturated_weights;
    for (int i = 0; i < EXEC_CLASSES; i++)
        sum.seconds[i] += c->seconds[i];
    return sum;
}

/* Why the next image would not find what this one has; "" if it would. */
static void look_ahead(const Run *t, Buf *why)
{
    Arena *a = arena_new();
    char   hash[HASH_HEX];
    if (!t->head)
        buf_puts(why, dist_size(t->s->dist) > 1 ? "one of several processes cannot be restarted"
                                                : "this run cannot be restarted");
    else if (plan_open(a, t->s->plan_dir, hash, why) && strcmp(hash, t->s->plan_hash) != 0)
        buf_printf(why, "the plan '%s' was changed while the run was using it", t->s->plan_dir);
    arena_free(a);
}

/* Of every parameter only whether it ever had a gradient: one bit. */
static void put_health(StateHead *h, const Health *from)
{
    h->health = *from;
    h->health.param = NULL;
    memset(h->had_gradient, 0, sizeof h->had_gradient);
    for (uint32_t i = 0; i < from->params && i / 8 < sizeof h->had_gradient; i++)
        if (from->param[i].nonzero)
            h->had_gradient[i / 8] |= (uint8_t)(1u << i % 8);
}

/* A model with more parameters than there are bits: the rest begin anew, which delays a note. */
static void get_health(const StateHead *h, Health *to)
{
    HealthParam *param = to->param;
    uint32_t     params = to->params, cap = to->cap;
    *to = h->health;
    to->param = param;
    to->params = params;
    to->cap = cap;
    for (uint32_t i = 0; i < params && i / 8 < sizeof h->had_gradient; i++)
        param[i].nonzero = h->had_gradient[i / 8] >> i % 8 & 1;
}

bool run_hand_over(Run *t, Buf *why)
{
    StateHead *h = t->head;
    look_ahead(t, why);
    if (why->len)
        return false;
    restart_block_signals(true);
    h->time[AT_DECISION] = clock_seconds();
    h->r = t->r;
    h->scaler = t->scaler;
    put_health(h, &t->health);
    h->saved = t->saved;
    h->proven = t->proven;
    h->sound = t->sound;
    h->started = t->report.started;
    h->last = t->report.last;
    h->first = t->report.first;
    h->tokens = t->report.tokens;
    h->lines = t->report.lines;
    if (t->report.progress)
        h->progress = *t->report.progress;
    h->warned = t->warned;
    h->counters = run_counters(t);
    h->data_stamp = data_stamp(t->data);
    h->eval_stamp = t->eval ? data_stamp(t->eval) : 0;
    h->restarts++;
    h->continues = true;
    t->report.lines = 0; /* what is displayed stays as it is */
    return true;
}

void run_take_over(Run *t)
{
    const StateHead *h = t->head;
    t->r = h->r;
    t->scaler = h->scaler;
    get_health(h, &t->health);
    t->saved = h->saved;
    t->proven = h->proven;
    t->sound = h->sound;
    t->warned = h->warned;
    t->s->settings.data_verified = h->data_stamp;
    t->s->settings.eval_verified = h->eval_stamp;
}

void run_take_over_report(Run *t)
{
    StateHead *h = t->head;
    t->report.started = h->started;
    t->report.last = h->last;
    t->report.first = h->first;
    t->report.tokens = h->tokens;
    t->report.lines = h->lines;
    if (t->report.progress) {
        ProgressStyle style = t->report.progress->style;
        *t->report.progress = h->progress;
        t->report.progress->style = style;
    }
    h->time[AT_READY] = clock_seconds();
}

void run_log_restart(Run *t)
{
    StateHead *h = t->head;
    h->time[AT_BAKED] = clock_seconds();
    h->spent += h->time[AT_READY] - h->time[AT_DECISION];
    report_log_restart(&t->report, t->r.step, h->restarts, h->time);
}

/* step.c: one training step: micro-batches, update, bake.
 *
 * A step is a pure function of parameters, moments, counters and settings: data are drawn by the cursor, the learning
 * rate by the step. Continuing from a checkpoint therefore gives the same bits as never having stopped. */
#include "runtime/train/run.h"

#include "runtime/train/schedule.h"

#include <math.h>
#include <string.h>

/* The gradient of the loss, which is what loss scaling multiplies, is an input of the entry. */
static void set_loss_scale(Run *t)
{
    for (uint32_t k = 0; k < t->plan_entry->inputs; k++)
        if (t->plan_entry->input[k].kind == IN_LOSS_SCALE)
            *(float *)exec_input(t->s->exec, t->entry, k) = (float)t->scaler.scale;
}

static bool micro_batches(Run *t, Buf *err)
{
    Exec    *e = t->s->exec;
    Window  *w = t->window;
    bool     apart = window_by_batch(w);
    uint64_t accum = t->s->settings.accum;
    window_begin(w);
    for (uint64_t i = 0; i < accum; i++) {
        bool last = i + 1 == accum;
        if (i == 0 || apart) {
            exec_begin_window(e, apart ? 1 : (uint32_t)accum, apart && !last ? NULL : &t->trainer);
            set_loss_scale(t);
        }
        exec_wait_inputs(e, t->entry);
        double before = clock_seconds();
        data_fill(t->data, t->r.cursor + window_first(w) + i);
        t->step.class_seconds[CLASS_DATA] += clock_seconds() - before;
        if (!exec_forward(e, t->entry, err))
            return false;
        window_loss(w, i, (double)*(const float *)exec_result(e, t->entry, 0));
        if (!exec_backward(e, t->entry, err))
            return false;
        if (apart && !last) {
            if (!exec_update(e, t->entry, err))
                return false;
            window_add(w, i, exec_overflowed(e));
        }
    }
    t->r.cursor += window_size(w);
    if (!t->trainer.collect)
        window_end(w, false, &t->step.loss, &t->overflowed);
    return true;
}

/* ---- what the executor asks of us; see ExecTrainer ---- */

/* Gradients of other ranks, or of this one's micro-batches one by one. */
static bool collect(void *with, Buf *err)
{
    Run   *t = with;
    bool   overflowed = exec_overflowed(t->s->exec);
    double before = clock_seconds();
    (void)err;
    if (window_by_batch(t->window))
        window_add(t->window, t->s->settings.accum - 1, overflowed);
    window_end(t->window, overflowed, &t->step.loss, &t->overflowed);
    t->step.class_seconds[CLASS_RANKS] = clock_seconds() - before;
    return true;
}

static void examine(void *with, uint32_t param, size_t from, size_t n)
{
    Run             *t = with;
    const ExecParam *p = exec_param(t->s->exec, param);
    t->stats[t->stats_at[param] + from / EXEC_PIECE] = grad_stats(p->grad + from, n);
}

/* Over pieces in order: the sum does not depend on who has examined what, or when. */
static GradStats all_gradients(Run *t)
{
    GradStats sum = {0, 0};
    uint32_t  trained = 0;
    for (uint32_t i = 0; i < exec_params(t->s->exec); i++) {
        GradStats whole = {0, 0};
        for (size_t k = t->stats_at[i]; k < t->stats_at[i + 1]; k++) {
            grad_stats_add(&sum, t->stats[k]);
            grad_stats_add(&whole, t->stats[k]);
        }
        if (!exec_param(t->s->exec, i)->group->frozen)
            health_gradient(&t->health, trained++, whole);
    }
    return sum;
}

/* fp16 hardware may clamp where IEEE 754 says infinity, and turn NaN into zero: gradients at the edge of fp16's range
 * are no better than infinite ones. Only a scale that can move gives way to the mere suspicion. */
static bool is_overflow(Run *t, GradStats g, bool overflowed)
{
    double edge = 65504.0 * (double)window_size(t->window);
    return health_bad(&t->health, t->step.loss) || overflowed || grad_stats_bad(g) || !isfinite(t->step.loss) ||
           (t->scaler.kind == SCALE_DYNAMIC && t->scaler.scale > SCALER_MIN && (double)g.max_abs >= edge);
}

static bool decide(void *with, bool overflowed)
{
    Run            *t = with;
    const Settings *set = &t->s->settings;
    GradStats       g = all_gradients(t);
    double          factor = 1 / (t->scaler.scale * (double)window_size(t->window)), norm = sqrt(g.sum_squares) * factor;
    t->step.grad_norm = norm;
    if (!scaler_step(&t->scaler, is_overflow(t, g, overflowed || t->overflowed)))
        return false;
    if (set->clip > 0 && norm > set->clip)
        factor *= set->clip / norm;
    t->applied = true;
    optim_step_init(&t->optim, set, t->step.lr, factor, ++t->r.updates);
    return true;
}

static bool may_compile(void *with)
{
    return run_may_compile(with);
}

static void update(void *with, uint32_t param, size_t from, size_t n)
{
    const Run              *t = with;
    const ExecParam        *p = exec_param(t->s->exec, param);
    const CheckpointTensor *x = &t->s->tensor[param];
    optim_apply(&t->optim, (float)p->group->lr, p->group->decay, n, p->value + from, p->grad + from,
                x->m ? x->m + from : NULL, x->v ? x->v + from : NULL);
}

void run_prepare(Run *t)
{
    Exec    *e = t->s->exec;
    uint32_t n = exec_params(e);
    t->stats_at = NEW_N(t->arena, size_t, n + 1u);
    for (uint32_t i = 0; i < n; i++)
        t->stats_at[i + 1] = t->stats_at[i] + (exec_param(e, i)->group->frozen
                                                   ? 0
                                                   : (exec_param(e, i)->numel + EXEC_PIECE - 1) / EXEC_PIECE);
    t->stats = NEW_N(t->arena, GradStats, t->stats_at[n] + 1);
    t->trainer = (ExecTrainer){.with = t, .examine = examine, .decide = decide, .compile = may_compile, .update = update};
}

/* Programs compute with the clamped ones, so the loss says little about the parameters from here on. */
void run_warn_of_large_weights(Run *t)
{
    uint64_t n = exec_counters(t->s->exec)->saturated_weights;
    if (n && !t->warned)
        report_note(&t->report,
                    "warning: %llu weight%s beyond fp16 after step %llu: programs have +-65504 instead; lower "
                    "optimizer.lr",
                    (unsigned long long)n, n == 1 ? " is" : "s are", (unsigned long long)t->r.step);
    t->warned = n != 0;
}

bool run_step(Run *t, Buf *err)
{
    const Settings *set = &t->s->settings;
    Exec           *e = t->s->exec;
    ExecCounters    before = *exec_counters(e);
    double          started = clock_seconds(), scale = t->scaler.scale;
    RunState        run = t->r;
    Scaler          scaler = t->scaler;
    bool            updated = false;
    t->applied = false;
    memset(t->step.class_seconds, 0, sizeof t->step.class_seconds);
    t->step.lr = schedule_lr(set, t->r.step);
    t->trainer.collect = window_collects(t->window) ? collect : NULL;
    bool ok = micro_batches(t, err) && exec_end_window(e, t->entry, &updated, err);
    if (!ok && !t->applied) { /* as if the step had never begun */
        t->r = run;
        t->scaler = scaler;
        return false;
    }
    if (!ok && exec_trouble(e) == EXEC_LIMIT) { /* sooner than the budget says: a new process goes on */
        buf_trim(err);
        report_warning(&t->report, "%s", err->data);
        buf_clear(err);
        t->outdated = ok = true;
    }

    uint64_t tokens = data_tokens(t->data) * window_size(t->window);
    t->r.step++;
    run_warn_of_large_weights(t);
    t->r.tokens += tokens;
    t->r.loss = t->step.loss;
    t->step.step = t->r.step;
    t->step.loss_scale = scale;
    t->step.skipped = !updated;
    t->step.skips = t->scaler.skipped;
    t->step.tokens = tokens;
    t->step.seconds = clock_seconds() - started;
    const ExecCounters *now = exec_counters(e);
    double              rest = t->step.seconds - t->step.class_seconds[CLASS_DATA] - t->step.class_seconds[CLASS_RANKS];
    for (int c = 0; c < EXEC_CLASSES; c++) {
        t->step.class_seconds[c] = now->seconds[c] - before.seconds[c];
        rest -= t->step.class_seconds[c];
    }
    t->step.class_seconds[CLASS_OTHER] = rest > 0 ? rest : 0;
    t->step.engine_seconds = 1e-9 * (double)(now->engine_ns - before.engine_ns);
    report_step(&t->report, &t->step);
    health_tell(&t->health, &t->report, t->r.step, t->step.loss, updated);
    if (!ok)
        return false;
    if (exec_proofs(e) != t->proofs) {
        t->proofs = exec_proofs(e);
        t->proven = t->r.step;
        t->sound = t->saved;
    }
    if (!scaler_gives_up(&t->scaler))
        return true;
    if (health_reason(&t->health)) {
        buf_printf(err, "%d steps in a row changed nothing: %s", SCALER_PATIENCE, health_reason(&t->health));
        return false;
    }
    buf_printf(err, "%d steps in a row overflowed (loss %g, loss scale %g): ", SCALER_PATIENCE, t->step.loss,
               t->scaler.scale);
    buf_puts(err, t->scaler.kind == SCALE_FIXED     ? "lower loss_scale.value"
                  : t->scaler.kind == SCALE_DYNAMIC ? "lower optimizer.lr, or set clip"
                                                    : "lower optimizer.lr, or set loss_scale=dynamic");
    return false;
}

void run_name_classes(Run *t)
{
    for (int c = 0; c < EXEC_CLASSES; c++)
        t->step.class_name[c] = exec_class_name[c];
    t->step.class_name[CLASS_DATA] = "data";
    t->step.class_name[CLASS_OTHER] = "other";
    t->step.class_name[CLASS_RANKS] = "ranks";
    t->step.classes = dist_size(t->s->dist) > 1 ? CLASSES : CLASS_RANKS;
}

/* step.c: one training step: micro-batches, update, bake.
 *
 * A step is a pure function of parameters, moments, counters and settings: data are drawn by the cursor, the learning
 * rate by the step. Continuing from a checkpoint therefore gives the same bits as never having stopped. */
#include "runtime/train/run.h"

#include "runtime/train/optim.h"
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

static bool micro_batches(Run *t, double *loss, Buf *err)
{
    Exec  *e = t->s->exec;
    double sum = 0;
    exec_zero_grads(e);
    set_loss_scale(t);
    for (uint64_t i = 0; i < t->s->settings.accum; i++) {
        double before = clock_seconds();
        data_fill(t->data, t->r.cursor++);
        t->step.class_seconds[CLASS_DATA] += clock_seconds() - before;
        if (!exec_forward(e, t->entry, err))
            return false;
        sum += (double)*(const float *)exec_result(e, t->entry, 0);
        if (!exec_backward(e, t->entry, err))
            return false;
    }
    *loss = sum / (double)t->s->settings.accum;
    return exec_update(e, t->entry, err); /* before anything looks at the gradients */
}

static GradStats all_gradients(Run *t)
{
    GradStats sum = {0, 0};
    uint32_t  trained = 0;
    for (uint32_t i = 0; i < exec_params(t->s->exec); i++) {
        const ExecParam *p = exec_param(t->s->exec, i);
        if (p->group->frozen)
            continue;
        GradStats g = grad_stats(p->grad, p->numel);
        health_gradient(&t->health, trained++, g);
        grad_stats_add(&sum, g);
    }
    return sum;
}

/* fp16 hardware may clamp where IEEE 754 says infinity, and turn NaN into zero: gradients at the edge of fp16's range
 * are no better than infinite ones. Only a scale that can move gives way to the mere suspicion. */
static bool overflowed(Run *t, GradStats g, double loss)
{
    double edge = 65504.0 * (double)t->s->settings.accum;
    return health_bad(&t->health, loss) || exec_overflowed(t->s->exec) || grad_stats_bad(g) || !isfinite(loss) ||
           (t->scaler.kind == SCALE_DYNAMIC && t->scaler.scale > SCALER_MIN && (double)g.max_abs >= edge);
}

static void update(Run *t, double lr, double factor)
{
    Session  *s = t->s;
    OptimStep o;
    optim_step_init(&o, &s->settings, lr, factor, ++t->r.updates);
    for (uint32_t i = 0; i < s->layout.tensors; i++) {
        const ExecParam *p = exec_param(s->exec, i);
        if (!p->group->frozen)
            optim_apply(&o, (float)p->group->lr, p->group->decay, p->numel, p->value, p->grad, s->tensor[i].m,
                        s->tensor[i].v);
    }
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
    ExecCounters    before = *exec_counters(t->s->exec);
    double          started = clock_seconds(), loss, lr = schedule_lr(set, t->r.step);
    memset(t->step.class_seconds, 0, sizeof t->step.class_seconds);
    if (!micro_batches(t, &loss, err))
        return false;

    double    grads_done = clock_seconds(), scale = t->scaler.scale;
    GradStats g = all_gradients(t);
    double    factor = 1 / (scale * (double)set->accum), norm = sqrt(g.sum_squares) * factor;
    bool      apply = scaler_step(&t->scaler, overflowed(t, g, loss));
    if (apply)
        update(t, lr, set->clip > 0 && norm > set->clip ? factor * (set->clip / norm) : factor);
    t->step.class_seconds[CLASS_OPTIMIZER] = clock_seconds() - grads_done;
    if (apply && run_may_compile(t) && !exec_bake(t->s->exec, t->entry, EXEC_FORWARD | EXEC_BACKWARD, err))
        return false;

    uint64_t tokens = data_tokens(t->data) * set->accum;
    t->r.step++;
    run_warn_of_large_weights(t);
    t->r.tokens += tokens;
    t->r.loss = loss;
    t->step.step = t->r.step;
    t->step.loss = loss;
    t->step.lr = lr;
    t->step.grad_norm = norm;
    t->step.loss_scale = scale;
    t->step.skipped = !apply;
    t->step.skips = t->scaler.skipped;
    t->step.tokens = tokens;
    for (int c = 0; c < EXEC_CLASSES; c++)
        t->step.class_seconds[c] = exec_counters(t->s->exec)->seconds[c] - before.seconds[c];
    t->step.seconds = clock_seconds() - started;
    report_step(&t->report, &t->step);
    health_tell(&t->health, &t->report, t->r.step, loss, apply);
    if (t->scaler.in_a_row < SCALER_PATIENCE)
        return true;
    if (health_reason(&t->health)) {
        buf_printf(err, "%d steps in a row changed nothing: %s", SCALER_PATIENCE, health_reason(&t->health));
        return false;
    }
    buf_printf(err, "%d steps in a row overflowed (loss %g, loss scale %g): ", SCALER_PATIENCE, loss, t->scaler.scale);
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
    t->step.class_name[CLASS_OPTIMIZER] = "optimizer";
    t->step.classes = CLASSES;
}

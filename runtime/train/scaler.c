/* scaler.c: the loss scale as a small state machine; see scaler.h. The pass over gradients that drives it is in
 * optim_rows.c. */
#include "runtime/train/scaler.h"

#include "base/f16.h"

#include <math.h>

void scaler_init(Scaler *s, const Settings *settings)
{
    *s = (Scaler){.kind = (ScaleKind)settings->loss_scale, .scale = 1, .growth_every = settings->scale_growth_every};
    if (s->kind == SCALE_FIXED)
        s->scale = settings->scale_value;
    if (s->kind == SCALE_DYNAMIC)
        s->scale = settings->scale_init;
}

bool scaler_step(Scaler *s, bool overflowed)
{
    if (overflowed) {
        s->skipped++;
        s->in_a_row++;
        s->clean = 0;
        if (s->kind == SCALE_DYNAMIC)
            s->scale = fmax(s->scale * 0.5, SCALER_MIN);
        return false;
    }
    s->in_a_row = s->forgiven = 0;
    s->clean++;
    if (s->kind == SCALE_DYNAMIC && s->clean >= s->growth_every) {
        s->scale = fmin(s->scale * 2, SCALER_MAX);
        s->clean = 0;
    }
    return true;
}

bool scaler_gives_up(const Scaler *s)
{
    return s->in_a_row - s->forgiven >= SCALER_PATIENCE;
}

void grad_stats_add(GradStats *sum, GradStats more)
{
    sum->sum_squares += more.sum_squares;
    if (grad_stats_bad(*sum))
        return;
    if (grad_stats_bad(more) || more.max_abs > sum->max_abs)
        sum->max_abs = more.max_abs;
}

bool grad_stats_bad(GradStats s)
{
    return (f32_bits(s.max_abs) & 0x7fffffffu) >= 0x7f800000u;
}

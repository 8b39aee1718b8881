/* scaler.c: the loss scale as a small state machine, and the pass over gradients that drives it; see scaler.h. */
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
    s->in_a_row = 0;
    s->clean++;
    if (s->kind == SCALE_DYNAMIC && s->clean >= s->growth_every) {
        s->scale = fmin(s->scale * 2, SCALER_MAX);
        s->clean = 0;
    }
    return true;
}

/* Eight sums side by side: a fixed order that vectorises, and enough of them to hide the latency of an addition. The
 * largest magnitude is found on the bit patterns: as integers, NaN > infinity > every finite value, so nothing that is
 * not finite can hide behind a comparison. */
GradStats grad_stats(const float *g, size_t n)
{
    enum { LANES = 8 };
    double   sum[LANES] = {0};
    uint32_t top[LANES] = {0};
    size_t   i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            uint32_t mag = f32_bits(g[i + k]) & 0x7fffffffu;
            double   x = (double)g[i + k];
            sum[k] += x * x;
            top[k] = mag > top[k] ? mag : top[k];
        }
    for (size_t k = 0; i < n; i++, k++) {
        uint32_t mag = f32_bits(g[i]) & 0x7fffffffu;
        sum[k] += (double)g[i] * (double)g[i];
        top[k] = mag > top[k] ? mag : top[k];
    }
    GradStats s = {0, 0};
    uint32_t  most = 0;
    for (size_t k = 0; k < LANES; k++) {
        s.sum_squares += sum[k];
        most = top[k] > most ? top[k] : most;
    }
    s.max_abs = f32_from_bits(most);
    return s;
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

/* test_optim.c: update rules against independent double-precision ones; the loss scaler; gradient statistics. */
#include "runtime/train/optim.h"
#include "runtime/train/scaler.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { N = 37, STEPS = 60 }; /* an odd size: loops have tails */

/* The rules as their papers write them, one weight at a time, in double. */
typedef struct {
    double w, m, v;
} Reference;

static void reference_step(Reference *r, OptimKind kind, double g, int t, double lr, double b1, double b2, double eps,
                           double momentum, double decay)
{
    if (kind == OPTIM_SGD) {
        r->m = momentum * r->m + g + decay * r->w;
        r->w -= lr * r->m;
    } else if (kind == OPTIM_LION) {
        double c = b1 * r->m + (1 - b1) * g, sign = c > 0 ? 1 : c < 0 ? -1 : 0;
        r->w = r->w - lr * sign - lr * decay * r->w;
        r->m = b2 * r->m + (1 - b2) * g;
    } else {
        if (kind == OPTIM_ADAM)
            g += decay * r->w;
        r->m = b1 * r->m + (1 - b1) * g;
        r->v = b2 * r->v + (1 - b2) * g * g;
        double mh = r->m / (1 - pow(b1, t)), vh = r->v / (1 - pow(b2, t));
        double w = r->w;
        r->w = w - lr * mh / (sqrt(vh) + eps);
        if (kind == OPTIM_ADAMW)
            r->w -= lr * decay * w;
    }
}

static void compare(OptimKind kind, double momentum, double decay, bool decayed)
{
    Settings s;
    settings_default(&s);
    s.optimizer = kind;
    s.momentum = momentum;
    s.decay = decay;
    s.lr = 0.01;
    s.beta2 = kind == OPTIM_LION ? 0.99 : 0.999;
    const double scale = 1024, accum = 4, factor = 0.5;
    float        w[N], m[N] = {0}, v[N] = {0}, g[N];
    Reference    r[N];
    for (int i = 0; i < N; i++) {
        w[i] = (float)rng_normal(1, (uint64_t)i);
        r[i] = (Reference){.w = (double)w[i]};
    }
    for (int t = 1; t <= STEPS; t++) {
        double lr = s.lr / sqrt(t);
        for (int i = 0; i < N; i++)
            g[i] = i == 3 ? 0 : (float)(rng_normal(2, (uint64_t)(t * N + i)) * pow(10, i % 5 - 2) * scale * accum);
        OptimStep o;
        optim_step_init(&o, &s, lr, 1 / (scale * accum), (uint64_t)t);
        optim_apply(&o, (float)factor, decayed, N, w, g, optim_moments(&s) > 0 ? m : NULL,
                    optim_moments(&s) > 1 ? v : NULL);
        for (int i = 0; i < N; i++)
            reference_step(&r[i], kind, (double)g[i] / (scale * accum), t, lr * factor, s.beta1, s.beta2, s.eps,
                           momentum, decayed ? decay : 0);
    }
    for (int i = 0; i < N; i++)
        cr_assert(fabs((double)w[i] - r[i].w) <= 3e-6 * (1 + fabs(r[i].w)), "rule %d, weight %d: %.9g, reference %.9g",
                  (int)kind, i, (double)w[i], r[i].w);
}

Test(optim, sgd_follows_its_reference)
{
    compare(OPTIM_SGD, 0, 0, false);
    compare(OPTIM_SGD, 0.9, 0.1, true);
    compare(OPTIM_SGD, 0, 0.1, true);
}

Test(optim, adam_follows_its_reference)
{
    compare(OPTIM_ADAM, 0, 0, false);
    compare(OPTIM_ADAM, 0, 0.1, true);
}

Test(optim, adamw_follows_its_reference)
{
    compare(OPTIM_ADAMW, 0, 0.1, true);
    compare(OPTIM_ADAMW, 0, 0.1, false);
}

Test(optim, lion_follows_its_reference)
{
    compare(OPTIM_LION, 0, 0.1, true);
    compare(OPTIM_LION, 0, 0, false);
}

/* ---- gradient statistics ---- */

Test(scaler, statistics_see_every_element)
{
    float g[N];
    for (int at = 0; at < N; at++) {
        double sum = 0;
        for (int i = 0; i < N; i++) {
            g[i] = (float)rng_normal(3, (uint64_t)i) * 0.01f;
            if (i == at)
                g[i] = -7;
            sum += (double)g[i] * (double)g[i];
        }
        GradStats s = grad_stats(g, N);
        cr_assert(s.max_abs == 7 && !grad_stats_bad(s));
        cr_assert(fabs(s.sum_squares - sum) < 1e-12 * sum);
        g[at] = NAN;
        cr_assert(grad_stats_bad(grad_stats(g, N)));
        g[at] = -INFINITY;
        cr_assert(grad_stats_bad(grad_stats(g, N)));
    }
    cr_assert(grad_stats(g, 0).max_abs == 0);
}

Test(scaler, one_bad_part_spoils_the_sum_in_any_order)
{
    float     good = 3e38f, nan = NAN;
    GradStats a = grad_stats(&good, 1), b = grad_stats(&nan, 1), sum = {0, 0};
    cr_assert(isfinite(a.sum_squares)); /* 9e76 in double */
    grad_stats_add(&sum, a);
    cr_assert(!grad_stats_bad(sum));
    grad_stats_add(&sum, b);
    cr_assert(grad_stats_bad(sum));
    grad_stats_add(&sum, a);
    cr_assert(grad_stats_bad(sum));
}

/* ---- the state machine ---- */

Test(scaler, dynamic_halves_on_overflow_and_doubles_after_clean_steps)
{
    Settings s;
    Scaler   c;
    settings_default(&s);
    s.loss_scale = SCALE_DYNAMIC;
    s.scale_init = 1024;
    s.scale_growth_every = 3;
    scaler_init(&c, &s);
    cr_assert(!scaler_step(&c, true) && c.scale == 512 && c.skipped == 1);
    cr_assert(scaler_step(&c, false) && scaler_step(&c, false) && c.scale == 512);
    cr_assert(!scaler_step(&c, true) && c.scale == 256 && c.in_a_row == 1);
    for (int i = 0; i < 3; i++)
        cr_assert(scaler_step(&c, false));
    cr_assert(c.scale == 512 && c.clean == 0 && c.in_a_row == 0 && c.skipped == 2);
    for (int i = 0; i < 100; i++)
        scaler_step(&c, true);
    cr_assert(c.scale == SCALER_MIN && c.in_a_row == 100);
    for (int i = 0; i < 300; i++)
        scaler_step(&c, false);
    cr_assert(c.scale == SCALER_MAX);
}

Test(scaler, none_and_fixed_never_move_but_skip_too)
{
    Settings s;
    Scaler   c;
    settings_default(&s);
    s.loss_scale = SCALE_NONE;
    scaler_init(&c, &s);
    cr_assert(c.scale == 1 && !scaler_step(&c, true) && c.scale == 1 && scaler_step(&c, false));
    s.loss_scale = SCALE_FIXED;
    s.scale_value = 100;
    scaler_init(&c, &s);
    cr_assert(c.scale == 100 && !scaler_step(&c, true) && c.scale == 100 && c.skipped == 1);
}

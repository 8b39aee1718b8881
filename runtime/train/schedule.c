/* schedule.c: learning rates as pure functions of the step.
 *
 * Every schedule is a peak (optimizer.lr) times a factor. Warm-up is common to all: step i of W uses (i + 1) / W, so
 * that the first step moves and step W - 1 runs at the peak. After it, with T the total and f the floor, both as in
 * train.def:
 *   constant        1
 *   warmup_cosine   f + (1 - f) * (1 + cos(pi * x)) / 2,   x from 0 at step W to 1 at step T  (Loshchilov, Hutter 2017)
 *   warmup_linear   f + (1 - f) * (1 - x)
 *   step            factor ^ floor(step / every), at least f
 *   wsd             1, and over the last decay * T steps linearly down to f                   (Hu et al. 2024)
 * From step T on the factor stays at f. */
#include "runtime/train/schedule.h"

#include <math.h>

static double falling(double from, double to, double at)
{
    if (to <= from)
        return at >= to ? 1 : 0;
    return fmin(fmax((at - from) / (to - from), 0), 1);
}

double schedule_lr(const Settings *s, uint64_t step)
{
    double at = (double)step, warm = (double)s->warmup;
    double total = (double)(s->total ? s->total : s->steps), f = s->floor, factor = 1;
    if (step < s->warmup)
        return s->lr * ((at + 1) / warm);
    switch ((ScheduleKind)s->schedule) {
    case LR_CONSTANT:
        break;
    case LR_WARMUP_COSINE:
        factor = f + (1 - f) * 0.5 * (1 + cos(3.14159265358979323846 * falling(warm, total, at)));
        break;
    case LR_WARMUP_LINEAR:
        factor = f + (1 - f) * (1 - falling(warm, total, at));
        break;
    case LR_STEP:
        factor = fmax(pow(s->drop_factor, floor(at / (double)s->drop_every)), f);
        break;
    case LR_WSD:
        factor = f + (1 - f) * (1 - falling(fmax(total * (1 - s->wsd_decay), warm), total, at));
        break;
    }
    return s->lr * factor;
}

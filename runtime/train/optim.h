/* optim.h: update rules: SGD, Adam, AdamW, Lion.
 *
 * One call updates one tensor in one pass over memory, in fp32: the gradient is unscaled (and clipped, which is a
 * factor too), moments and weight are read and written once. */
#ifndef ANEL_TRAIN_OPTIM_H
#define ANEL_TRAIN_OPTIM_H

#include "runtime/train/settings.h"

#include <stddef.h>

/* What is common to all tensors of a step. */
typedef struct {
    OptimKind kind;
    float     grad_factor; /* 1 / (loss scale * micro-batches), times the clipping factor */
    float     beta1, beta2, rest1, rest2; /* rest = 1 - beta */
    float     eps, momentum;
    float     lr, decay;          /* of the schedule, before the tensor's own factor */
    float     correct1, correct2; /* 1 / (1 - beta^t): Adam's bias corrections */
} OptimStep;

/* `update` counts the updates applied so far, this one included (from 1): skipped steps must not age the moments. */
void optim_step_init(OptimStep *o, const Settings *s, double lr, double grad_factor, uint64_t update);

/* Moments a rule keeps per weight: 0, 1 (m) or 2 (m and v). */
uint32_t optim_moments(const Settings *s);

/* Update `n` weights. `lr_factor` is the tensor's own factor; `decay` says whether weight decay applies to it. Moments
 * a rule does not keep may be NULL. */
void optim_apply(const OptimStep *o, float lr_factor, bool decay, size_t n, float *w, const float *g, float *m,
                 float *v);

#endif

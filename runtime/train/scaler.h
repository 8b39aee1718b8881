/* scaler.h: loss scaling: keeping small gradients above fp16's underflow without pushing large ones over its top.
 *
 * The loss is multiplied by a power of two before the backward pass and gradients are divided by it before the update
 * (Micikevicius et al. 2018). `none` is the factor 1, `fixed` a given one; `dynamic` starts at `init`, halves when a
 * step overflowed and doubles after `growth_every` clean steps in a row. A step that overflowed updates nothing,
 * whatever the kind: its gradients are wrong. */
#ifndef ANEL_TRAIN_SCALER_H
#define ANEL_TRAIN_SCALER_H

#include "runtime/train/settings.h"

typedef struct {
    ScaleKind kind;
    double    scale;
    uint64_t  growth_every;
    uint64_t  clean;   /* steps without overflow since the scale last changed */
    uint64_t  skipped; /* steps without an update, over the whole run */
    uint64_t  in_a_row; /* of them, directly before now */
    uint64_t  forgiven; /* of those, before the run was resumed: whoever resumes wants another try */
} Scaler;

/* Skipped steps in a row after which training gives up: from 2^24, halving reaches the floor in 24. */
enum { SCALER_PATIENCE = 64 };
#define SCALER_MIN 1.0
#define SCALER_MAX 0x1p24

void scaler_init(Scaler *s, const Settings *settings);
/* After the backward passes of a step: true if its update may be applied. */
bool scaler_step(Scaler *s, bool overflowed);
/* Too many of these steps were skipped in a row: more of them will not help. */
bool scaler_gives_up(const Scaler *s);

/* What one pass over gradients tells: all that is needed to judge and to clip them. */
typedef struct {
    double sum_squares;
    float  max_abs; /* infinity or NaN if any element is not finite */
} GradStats;

/* Statistics of `n` floats; the same bits for every compiler (fixed order of additions). */
GradStats grad_stats(const float *g, size_t n);
void      grad_stats_add(GradStats *sum, GradStats more);
/* True if an element is not finite. */
bool grad_stats_bad(GradStats s);

#endif

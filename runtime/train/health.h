/* health.h: does a step look as steps of a healthy run do?
 *
 * Overflow is recognised where numbers are infinite or not numbers. That is not enough on the engine: one project that
 * probed 23 of its operations saw many return finite values or infinity for NaN, and log and softplus of infinity return
 * 0; another maps NaN to 0 and clamps at every crossing. So every step is also looked at from outside, on the CPU, where
 * nothing is lost:
 *   - every gradient exactly 0 although the loss is not: nothing came back from the backward programs. The step is as
 *     bad as one that overflowed and changes nothing.
 *   - a parameter whose gradient is exactly 0, in a step or from the start; a loss of exactly 0 whose gradient is not;
 *     a loss that jumps. These may have good reasons. They are told once, and change nothing.
 * What is remembered between steps serves these notes only, so a run that is resumed computes the same bits. */
#ifndef ANEL_TRAIN_HEALTH_H
#define ANEL_TRAIN_HEALTH_H

#include "runtime/train/report.h"
#include "runtime/train/scaler.h"

typedef struct {
    const char *path; /* of the parameter, for notes */
    size_t      numel;
    uint64_t    nonzero; /* steps with a gradient that was not all zero */
    bool        zero;    /* this step's was */
} HealthParam;

typedef struct {
    HealthParam *param;
    uint32_t     params, cap, zeros; /* trained ones; of them, those with a zero gradient in this step */
    uint64_t     steps;              /* judged so far */
    double       mean, deviation;    /* of the loss: running means of it and of its distance from the mean */
    bool         dead;               /* every gradient of this step was zero, the loss was not */
    bool         told_gone, told_never, told_loss, high;
} Health;

/* Steps from the start of the process after which a parameter that never had a gradient is told; steps that a mean of the
 * loss needs before a jump can be seen; numbers a parameter has at least for its zero gradient to be remarkable. */
enum { HEALTH_NEVER = 50, HEALTH_MEAN = 20, HEALTH_SIZE = 64 };

/* Room for `params` parameters, in `a`. */
void health_init(Health *h, Arena *a, uint32_t params);
/* A trained parameter, in the order in which health_gradient() will be called. */
void health_add(Health *h, const char *path, size_t numel);
/* The gradient of the i-th trained parameter in this step. */
void health_gradient(Health *h, uint32_t i, GradStats g);
/* When all gradients of the step are in: true if the step must not change anything. */
bool health_bad(Health *h, double loss);
/* Say what is remarkable. `step`: the one just done; `applied`: it has changed the parameters. */
void health_tell(Health *h, Report *r, uint64_t step, double loss, bool applied);
/* Why the run cannot go on, if the last step was bad for a reason of its own; NULL: an overflow like others. */
const char *health_reason(const Health *h);

#endif

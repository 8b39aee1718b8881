/* compare.h: the outputs of a program on a device against the reference, output by output (docs/check.md). */
#ifndef ANEL_RUNTIME_CHECK_COMPARE_H
#define ANEL_RUNTIME_CHECK_COMPARE_H

#include "check/mil64.h"
#include "plan/plan.h"

typedef struct {
    const char *program, *inputs, *output; /* "layers_fwd"; "real" or "random"; a part of an output port */
    int32_t     instance;
    uint64_t    n;          /* elements */
    double      largest;    /* of the reference */
    double      max_error, rms_error;
    double      rms_bound;  /* of the latter */
    double      worst;      /* the largest error as a share of its bound, of elements and of the RMS: above 1 is beyond */
    uint64_t    beyond;     /* elements beyond their bounds, those that are not finite included */
    uint64_t    unbounded;  /* elements the reference puts outside of fp16: not compared */
} CheckRow;

typedef struct {
    CheckRow *row;
    uint32_t  rows, cap;
} CheckRows;

/* Evaluate the reference on `input` and compare with `output`, which a device made of the same. `out` names the parts of
 * the output ports, with the channels each has; NULL: ports have no parts. Rows are added in `a`, with the texts of
 * `as`. */
void check_compare(Arena *a, Mil64 *m, const double *const *input, const double *const *output, const PlanPort *out,
                   CheckRow as, CheckRows *rows);
/* Is everything within its bounds? */
bool check_passed(const CheckRow *r);

#endif

/* compare.h: the outputs of a program on a device against the reference, and against the same program on the host device,
 * output by output (docs/check.md). */
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
    bool        finite;     /* no element is infinite or NaN that may not be */
    double      distance, cosine; /* from the reference: |x - y| / |y| and the angle, over all elements compared */
    /* With a second opinion: */
    bool        second;
    double      host_worst;  /* `worst` of the host device */
    uint64_t    host_beyond;
    double      host_distance, host_cosine; /* of the device from the host device */
    double      host_ulps;   /* the largest difference from it, in units of the element's last place */
} CheckRow;

/* Within the bounds that rounding explains; coarser than that, and still as close to the reference and to the host device
 * as an engine whose functions are tables may be; neither. */
typedef enum { CHECK_WITHIN, CHECK_COARSE, CHECK_BEYOND } CheckVerdict;

typedef struct {
    CheckRow *row;
    uint32_t  rows, cap;
    uint32_t  alone; /* programs that the host device would not compile: without a second opinion */
} CheckRows;

/* Evaluate the reference on `input` and compare with `output`, which a device made of the same; `second` is what the host
 * device made of it, or NULL. `out` names the parts of
 * the output ports, with the channels each has; NULL: ports have no parts. Rows are added in `a`, with the texts of
 * `as`. */
void check_compare(Arena *a, Mil64 *m, const double *const *input, const double *const *output,
                   const double *const *second, const PlanPort *out, CheckRow as, CheckRows *rows);
/* Is everything within its bounds? */
bool check_passed(const CheckRow *r);
/* CHECK_COARSE only with a second opinion. */
CheckVerdict check_verdict(const CheckRow *r);

#endif

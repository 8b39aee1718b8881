/* bench_plan.h: `anerun PLAN --bench`: a row of figures that means the same everywhere. */
#ifndef ANEL_RUNTIME_BENCH_PLAN_H
#define ANEL_RUNTIME_BENCH_PLAN_H

#include "runtime/train/session.h"

#include <stdio.h>

enum { BENCH_VERSION = 1, BENCH_WARM_UP = 3, BENCH_STEPS = 10 };

typedef struct {
    const char *version, *device, *numerics; /* of anerun; as on the command line */
    uint32_t    threads;
    bool        json; /* an object instead of a row */
} BenchOptions;

/* Train for BENCH_WARM_UP + BENCH_STEPS steps from initial parameters on synthetic data and print the row of the latter
 * (docs/training.md, "Comparing machines"). Nothing is saved. False with a sentence in `err`. */
bool bench_run(Session *s, const BenchOptions *o, FILE *out, Buf *err);

#endif

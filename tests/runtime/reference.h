/* reference.h: the CPU operations once more, in fp64, element by element, as plainly as possible. */
#ifndef ANEL_TESTS_RUNTIME_REFERENCE_H
#define ANEL_TESTS_RUNTIME_REFERENCE_H

#include "plan/plan.h"

/* in[k]: the values of operand k; y: room for the result, which is overwritten. False for an unknown operation. */
bool reference_run(const Step *s, double *const *in, bool integers, double *y);

#endif

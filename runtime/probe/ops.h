/* ops.h: what operations of MIL should give, in double. */
#ifndef ANEL_PROBE_OPS_H
#define ANEL_PROBE_OPS_H

#include "probe/probe.h"

/* What the program gives, element by element, for what its tensors hold (held()): fills y, of `n` elements, and of nothing
 * else; elements that cannot be told are NaN. */
typedef void Expect(const Probe *p, double *y, int64_t n);

#define OPQ(op, template, values, expectation, tolerance) Expect want_##expectation;
#include "probe/ops.def"

#endif

/* node_cost.h: what one operation costs on the engine and on the CPU, and what it costs a value to change sides: the
 * prices with which taps and place choose. All come from the target's profile.
 *
 * What whole programs cost, with dispatches, surfaces and padding, is counted by backend_ane/work.h from the same
 * rates.
 *
 * Picoseconds, so that small values have a price too; they are added, as if nothing overlapped. */
#ifndef ANEL_PASSES_NODE_COST_H
#define ANEL_PASSES_NODE_COST_H

#include "ir/graph.h"

#include <math.h>

/* Prices of one graph. `constant`: its values that programs hold as constants (parameter_expressions()). */
typedef struct {
    const Target *target;
    const Graph  *g;
    const bool   *constant;
} Prices;

/* `bytes` at a rate in GB/s (a gigabyte per second is a byte per nanosecond). */
static inline int64_t price_bytes(double bytes, double rate)
{
    return (int64_t)llround(bytes * 1e3 / rate);
}

/* Is `v` a product that becomes a 1x1 convolution: constant weights on the left, as many inputs as one may have? */
bool price_is_conv(const Prices *p, ValueId v);
/* Multiplications and additions; 0 for all but products. */
double price_flops(const Prices *p, ValueId v);
/* Inside a program: arithmetic, weights streamed from memory, values passed on the chip. */
int64_t price_engine(const Prices *p, ValueId v);
/* A value too large to stay on the chip is written and read again. (Recomputing one costs no more than reading it,
 * saved, in another program: taps leaves this out.) */
int64_t price_spill(const Prices *p, ValueId v);
/* On the CPU, in fp32. */
int64_t price_cpu(const Prices *p, ValueId v);
/* Between a program and the CPU, either way: the surface's traffic, and the conversion to or from fp32. */
int64_t price_crossing(const Target *t, int64_t numel);
/* From one program's output to another's input: written, copied by the CPU, read; joined and taken apart on the
 * chip. */
int64_t price_saving(const Target *t, int64_t numel, bool written_anyway);

#endif

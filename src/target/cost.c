/* cost.c: see cost.h. */
#include "target/cost.h"

#include <math.h>

void work_add(Work *to, const Work *w)
{
    to->conv_flops += w->conv_flops;
    to->matmul_flops += w->matmul_flops;
    to->inner_bytes += w->inner_bytes;
    to->in_bytes += w->in_bytes;
    to->out_bytes += w->out_bytes;
    to->weight_bytes += w->weight_bytes;
    to->spill_bytes += w->spill_bytes;
    to->ops += w->ops;
}

/* `amount` at a rate per nanosecond. */
static double at(uint64_t amount, double rate)
{
    return (double)amount / rate;
}

int64_t cost_run_ns(const Target *t, const Work *w)
{
    double compute = at(w->conv_flops, t->peak * 1e3) + at(w->matmul_flops, t->peak_matmul * 1e3) +
                     at(w->inner_bytes, t->elementwise);
    double memory = at(w->in_bytes + w->out_bytes + w->weight_bytes + w->spill_bytes, t->bandwidth);
    return (int64_t)llround(t->dispatch * 1e3 + (compute > memory ? compute : memory));
}

/* Linear up to the size of a layer's direction (reported: 55 ms for the kernel of a GPT-2 block, some 40 operations). The
 * square term makes 8 layers, both directions, in one program of some 1200 operations cost minutes (reported: 162 s; half a
 * second layer by layer). If it began at once, six small programs a layer would always seem better than two. */
int64_t cost_compile_ns(const Target *t, const Work *w)
{
    double ops = w->ops, more = ops > (double)t->compile_knee ? ops - (double)t->compile_knee : 0;
    return (int64_t)llround((t->compile_fixed + t->compile_op * ops + t->compile_op * more * more / 6.0) * 1e6);
}

int64_t cost_cpu_ns(const Target *t, const Work *w)
{
    return (int64_t)llround(at(w->conv_flops + w->matmul_flops, t->cpu_flops * 1e3) + at(w->inner_bytes, t->cpu_bandwidth));
}

int64_t cost_staging_ns(const Target *t, uint64_t bytes)
{
    return (int64_t)llround(at(bytes, t->staging));
}

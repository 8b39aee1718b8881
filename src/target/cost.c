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
    to->notch_bytes += w->notch_bytes;
    to->spill_bytes += w->spill_bytes;
    to->ops += w->ops;
}

Work work_times(Work w, uint32_t n)
{
    w.conv_flops *= n;
    w.matmul_flops *= n;
    w.inner_bytes *= n;
    w.in_bytes *= n;
    w.out_bytes *= n;
    w.weight_bytes *= n;
    w.notch_bytes *= n;
    w.spill_bytes *= n;
    w.ops *= n;
    return w;
}

bool work_notched(uint64_t out, uint64_t in)
{
    const uint64_t mib = 1 << 20, near = 16384, share = (out + 15) / 16 * in * 2;
    return share + near >= mib && (share % mib <= near || share % mib >= mib - near);
}

void work_conv(Work *to, uint64_t in, uint64_t out, uint64_t tokens, bool weights)
{
    uint64_t bytes = weights ? 2 * in * out : 0;
    to->conv_flops += 2 * in * out * tokens;
    to->weight_bytes += bytes;
    to->notch_bytes += work_notched(out, in) ? bytes : 0;
    to->ops++;
}

/* `amount` at a rate per nanosecond. */
static double at(uint64_t amount, double rate)
{
    return (double)amount / rate;
}

int64_t cost_run_ns(const Target *t, const Work *w)
{
    uint64_t slow = t->weight_notch ? w->notch_bytes : 0;
    double   compute = at(w->conv_flops, t->peak * 1e3);
    double   weights = at(w->weight_bytes - slow, t->weight_bandwidth) + at(slow, t->notch_bandwidth);
    return (int64_t)llround(t->dispatch * 1e3 + (compute > weights ? compute : weights) +
                            at(w->matmul_flops, t->peak_matmul * 1e3) + at(w->inner_bytes, t->elementwise) +
                            at(w->in_bytes + w->out_bytes + w->spill_bytes, t->bandwidth));
}

/* Linear up to the size of a layer's direction: maderix/ANE compiles its 60 programs of some 18 operations in 3.2 to
 * 3.5 s on M4, Orion the kernel of a GPT-2 block, some 40, in 55 ms. The square term makes 8 layers, both directions,
 * in one program of some 1000 operations cost minutes (ANEForge: 162 s; half a second layer by layer). If it began at
 * once, six small programs a layer would always seem better than two. */
int64_t cost_compile_ns(const Target *t, const Work *w)
{
    double ops = w->ops, more = ops > (double)t->compile_knee ? ops - (double)t->compile_knee : 0;
    return (int64_t)llround((t->compile_fixed + t->compile_op * ops + t->compile_op * more * more / 6.0) * 1e6);
}

int64_t cost_cpu_ns(const Target *t, const Work *w)
{
    return (int64_t)llround(at(w->conv_flops + w->matmul_flops, t->cpu_flops * 1e3) +
                            at(w->inner_bytes, t->cpu_bandwidth));
}

int64_t cost_staging_ns(const Target *t, uint64_t bytes)
{
    return (int64_t)llround(at(bytes, t->staging));
}

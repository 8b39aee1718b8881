/* cost.h: what one program costs on a target: the model that places, partitions and explains.
 *
 *     t = dispatch
 *       + max( conv_flops / peak, weight_bytes / weight_bandwidth )       weights stream while convolutions compute
 *       + matmul_flops / peak_matmul + inner_bytes / elementwise
 *       + (in_bytes + out_bytes + spill_bytes) / bandwidth
 *
 * Weights on the engine's notch (work_notched()) stream with notch_bandwidth instead. Times are whole nanoseconds, so
 * that ties are ties on every machine. These are predictions: docs/targets.md says how the constants were fitted to
 * published figures, and `anec explain --fit` how well. */
#ifndef ANEL_TARGET_COST_H
#define ANEL_TARGET_COST_H

#include "target/target.h"

/* What a program does. Multiplications and additions count one flop each. */
typedef struct {
    uint64_t conv_flops;   /* with constant weights, as 1x1 convolutions */
    uint64_t matmul_flops; /* of two activations */
    uint64_t inner_bytes;  /* read and written by elementwise work, reductions, softmax, movements that copy */
    uint64_t in_bytes, out_bytes; /* of the surfaces */
    uint64_t weight_bytes; /* constants that are streamed */
    uint64_t notch_bytes;  /* those of them on the notch */
    uint64_t spill_bytes;  /* of intermediate values that do not fit on the chip: written and read */
    uint32_t ops;          /* statements */
} Work;

void    work_add(Work *to, const Work *w);
/* n times the same work. */
Work    work_times(Work w, uint32_t n);
/* A 1x1 convolution of `in` to `out` channels over `tokens` positions; its weights, unless they are counted already. */
void    work_conv(Work *to, uint64_t in, uint64_t out, uint64_t tokens, bool weights);
/* Does a [out, in] matrix, in fp16, stream slowly? Its share per core (ceil(out/16) rows) is within 16 KiB of a
 * multiple of 1 MiB. Published by stablehlo-coreml, after the analysis of the author of the Asahi driver. */
bool    work_notched(uint64_t out, uint64_t in);

/* One evaluation. */
int64_t cost_run_ns(const Target *t, const Work *w);
/* One compilation: grows faster than the number of operations. */
int64_t cost_compile_ns(const Target *t, const Work *w);
/* The same work on the CPU, fp32: matrix products and memory traffic. */
int64_t cost_cpu_ns(const Target *t, const Work *w);
/* Conversion of so many fp16 bytes between buffers and surfaces. */
int64_t cost_staging_ns(const Target *t, uint64_t bytes);

#endif

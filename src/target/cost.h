/* cost.h: what one program costs on a target: the model that places, partitions and explains.
 *
 *     t = dispatch + max( conv_flops / peak + matmul_flops / peak_matmul + inner_bytes / elementwise,
 *                         (in_bytes + out_bytes + weight_bytes + spill_bytes) / bandwidth )
 *
 * Times are whole nanoseconds, so that ties are ties on every machine. These are predictions from other people's
 * published figures: docs/targets.md says how the constants were fitted. */
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
    uint64_t spill_bytes;  /* of intermediate values that do not fit on the chip: written and read */
    uint32_t ops;          /* statements */
} Work;

void    work_add(Work *to, const Work *w);
/* One evaluation. */
int64_t cost_run_ns(const Target *t, const Work *w);
/* One compilation: grows faster than the number of operations. */
int64_t cost_compile_ns(const Target *t, const Work *w);
/* The same work on the CPU, fp32: matrix products and memory traffic. */
int64_t cost_cpu_ns(const Target *t, const Work *w);
/* Conversion of so many fp16 bytes between buffers and surfaces. */
int64_t cost_staging_ns(const Target *t, uint64_t bytes);

#endif

/* published.h: the training kernels of maderix/ANE for a layer of llama's form, as published: six programs per layer
 * with the weights baked in; their channels in and out, and their work. What our plans are compared with (`anec
 * explain`), and what the published times of engines are times of (points.h). */
#ifndef ANEL_TARGET_PUBLISHED_H
#define ANEL_TARGET_PUBLISHED_H

#include "target/cost.h"

/* Width, width of the feed-forward part, heads, positions. Every query head has a key of its own. */
typedef struct {
    uint64_t d, h, heads, seq;
} LayerDims;

typedef struct {
    const char *name;             /* as published: "fwdAttn" */
    const char *does;
    bool        backward, weights;
    uint64_t    in, out;          /* channels of `seq` positions */
    Work        work;             /* of one evaluation */
} PublishedKernel;

enum { PUBLISHED_KERNELS = 6 };
void published_layer(LayerDims dims, PublishedKernel out[PUBLISHED_KERNELS]);

#endif

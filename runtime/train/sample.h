/* sample.h: picking the next token from logits. */
#ifndef ANEL_TRAIN_SAMPLE_H
#define ANEL_TRAIN_SAMPLE_H

#include "base/arena.h"

#include <stdbool.h>

typedef struct {
    double   temperature; /* 0: always the most likely token */
    uint32_t top_k;       /* only the k most likely tokens; 0: all */
    double   top_p;       /* only the smallest set of most likely tokens with this much probability; 1: all */
} SampleOptions;

typedef struct {
    SampleOptions options;
    uint32_t      vocab;
    double       *weight; /* scratch, one per token */
    uint32_t     *order;
} Sampler;

/* Memory comes from `a`, so that sampler_pick() allocates nothing. */
void sampler_init(Sampler *s, Arena *a, SampleOptions options, uint32_t vocab);

/* A token id for `u`, a uniform number in [0, 1). Logits that are NaN never win; if no logit is above minus infinity
 * the result is UINT32_MAX. Ties go to the smaller id. */
uint32_t sampler_pick(Sampler *s, const float *logits, double u);

#endif

/* cases.h: the shrunk models whose plans are compared with the model's meaning, and the numerics they run in. */
#ifndef ANEL_TESTS_E2E_CASES_H
#define ANEL_TESTS_E2E_CASES_H

#include "device.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *model, *defines;
    int32_t     vocab;
    bool        decodes;
    double      constants; /* error of those that are rounded after folding (1/48, GELU's), not before as the reference's */
} Case;

static const Case cases[] = {
    {"tiny", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"layer768", "dim=64 hidden=96 heads=4 seq=32", 0, false, 0},
    {"stories110m", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"gpt2", "dim=64 layers=2 heads=4 vocab=80 ctx=48 seq=32", 80, true, 1e-4},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 hd=32 vocab=80 seq=32", 80, true, 0},
    {"tinyllama_1_1b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"parallel", "dim=64 layers=2 seq=32", 80, false, 1e-4},
    {"partial_rope", "dim=64 layers=2 rotary=8 seq=32", 80, false, 1e-4},
    {"value_residual", "dim=64 layers=3 seq=32", 80, false, 0},
    {"looped", "dim=64 loops=3 seq=32", 80, false, 1e-4},
    {"unet", "dim=64 seq=32", 80, false, 1e-4},
    {"weave", "", 80, false, 0},
    {"rows", "", 80, false, 0},
    {"ops", "", 0, false, 0},
    {"names", "", 0, false, 0},
    {"hints", "", 0, false, 0},
    {"uneven", "", 80, false, 0},
    {"exprs", "", 0, false, 0},
    {"grouped", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"weights", "", 80, false, 0},
    {"tiny_lora", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"stories110m_lora", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32 lora_rank=4", 80, true, 0},
    {"frozen", "", 80, false, 0},
};

/* The same models in other shapes: one layer, one key head, odd head counts and vocabularies, nothing for the
 * engine. */
static const Case shapes[] = {
    {"tiny", "dim=64 hidden=96 layers=1 heads=2 kv_heads=1 vocab=80 seq=32", 80, true, 0},
    {"tiny", "dim=48 hidden=40 layers=2 heads=3 kv_heads=3 vocab=11 seq=48", 11, true, 2e-3},
    {"tiny", "dim=24 hidden=24 layers=2 heads=2 kv_heads=1 vocab=11 seq=7", 11, true, 0},
    {"stories110m", "dim=64 hidden=160 layers=5 heads=8 kv_heads=2 vocab=200 seq=16", 200, true,
     5e-4}, /* 1/sqrt(8) on the CPU */
    {"gpt2", "dim=96 layers=1 heads=3 vocab=33 ctx=96 seq=80", 33, true, 2e-3},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=1 heads=4 kv_heads=4 hd=64 vocab=80 seq=16", 80, false, 0},
    {"layer768", "dim=256 hidden=352 heads=4 seq=128", 0, false, 0},
};

static const struct {
    const char *name;
    Numerics    numerics;
    ReduceMode  reduce;
    /* Exact: CPU steps round to fp32 (6e-8) and add up to 2560 numbers. Engine: weights, activations and cotangents
     * round to fp16 (5e-4 each) at some dozens of places on the way, mostly independently. */
    double      loss, peak, norm, cosine;
} modes[] = {
    {"exact", NUMERICS_EXACT, REDUCE_STRICT, 1e-6, 2e-6, 2e-6, 1 - 1e-9},
    {"strict", NUMERICS_ANE, REDUCE_STRICT, 1e-3, HUGE_VAL, 1e-2, 0.9999},
    {"lenient", NUMERICS_ANE, REDUCE_LENIENT, 1e-3, HUGE_VAL, 1e-2, 0.9999},
};

#endif

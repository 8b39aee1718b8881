/* taps.h: which forward values the backward direction reads from memory, and which it computes again.
 *
 * taps.c decides for one forward graph: costs and the cut; taps_apply.c finds what is required, asks, and rewrites;
 * weights.c tells gradients of parameters from cotangents of activations. */
#ifndef ANEL_PASSES_TAPS_H
#define ANEL_PASSES_TAPS_H

#include "passes/pass.h"

typedef enum { TAP_UNUSED, TAP_SAVE, TAP_RECOMPUTE } Tap;

/* Units: a quarter of the time that moving one byte takes. */
typedef struct {
    int64_t save, recompute;
} TapCost;

#define TAP_AVOID ((int64_t)1 << 44) /* possible, but anything else is better */
#define TAP_NEVER ((int64_t)1 << 50)

/* How the backward direction reads a value. */
typedef struct {
    bool weight; /* by the CPU: the last steps of parameters' gradients, operations without an engine form; the value is in
                    memory anyway */
    bool other;
} TapRead;

/* Cost of every value of `f`. `carries`: f is the region of a repeat with that many carried values. */
TapCost *taps_costs(const Module *m, Arena *a, const Graph *f, bool is_region, uint32_t carries, const TapRead *read);
/* The cheapest way to make the `required` values of f available: a decision for every value. */
Tap *taps_cut(Arena *a, const Graph *f, const TapCost *cost, const bool *required);
/* weights.c: which values of `g` are the last steps of parameters' gradients, and nothing else. */
bool *weight_gradients(Arena *a, const Graph *g);
/* Of these, the ones that are linear in a contraction over positions, with parameters and constants as coefficients. */
bool *gradient_tails(Arena *a, const Graph *g);

#endif

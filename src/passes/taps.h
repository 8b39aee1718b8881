/* taps.h: which forward values the backward direction reads from memory, and which it computes again.
 *
 * taps.c decides for one forward graph: costs and the cut; taps_apply.c finds what is required, asks, and rewrites;
 * weights.c tells gradients of parameters from cotangents of activations. */
#ifndef ANEL_PASSES_TAPS_H
#define ANEL_PASSES_TAPS_H

#include "passes/pass.h"

typedef enum { TAP_UNUSED, TAP_SAVE, TAP_RECOMPUTE } Tap;

/* Prices in picoseconds. */
typedef struct {
    int64_t save;      /* the backward programs read it from memory; its writing too, unless it is kept */
    int64_t recompute; /* the backward programs compute it again */
    int64_t bytes;     /* it takes in memory while it is saved, over all iterations */
    bool    kept;      /* the CPU reads it: it is in memory unless the backward direction computes it again */
} TapCost;

#define TAP_AVOID ((int64_t)1 << 44) /* possible, but anything else is better */
#define TAP_NEVER ((int64_t)1 << 50)
#define TAP_MEMORY ((int64_t)1 << 48) /* all memory together costs no more than this */

/* How the backward direction reads a value. */
typedef struct {
    bool cpu;    /* the last steps of parameters' gradients, operations without an engine form */
    bool back;   /* one of the latter: what it makes of the value goes back to the engine */
    bool engine; /* anything else */
} TapRead;

/* A reading of `u` by `v`, a backward node; `weight`: weight_gradients() of v's graph. */
void taps_note_read(const Module *m, const Graph *g, ValueId v, const bool *weight, TapRead *read);
/* Cost of every value of `f`, which runs n times. `carries`: f is the region of a repeat with that many carried
 * values. */
TapCost *taps_costs(const Module *m, Arena *a, const Graph *f, bool is_region, uint32_t carries, int32_t n,
                    const TapRead *read);
/* The cheapest way to make what is read available: a decision for every value. A byte of memory costs `memory`. */
Tap *taps_cut(Arena *a, const Graph *f, const TapCost *cost, const TapRead *read, double memory);
/* weights.c: which values of `g` are the last steps of parameters' gradients, and nothing else. */
bool *weight_gradients(Arena *a, const Graph *g);
/* Of these, the ones that are linear in a contraction over positions, with parameters and constants as coefficients. */
bool *gradient_tails(Arena *a, const Graph *g);
/* weights.c: which values of `g` are made of parameters and constants alone. */
bool *constant_expressions(Arena *a, const Graph *g);

#endif

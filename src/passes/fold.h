/* fold.h: rewrites that move work from activations into weights: fold_gain.c, fold_rope.c, fold_stack.c; the
 * pass is in fold_pass.c. */
#ifndef ANEL_PASSES_FOLD_H
#define ANEL_PASSES_FOLD_H

#include "passes/pass.h"

/* True if anything changed. What is replaced stays behind, unused, for the clean-up. */
bool fold_gains(Module *m, Graph *g, Arena *scratch);
bool fold_rope(Module *m, Graph *g, Arena *scratch);
bool fold_stack(Module *m, Graph *g, Arena *scratch);

/* Will the CPU compute the product `v` of a weight and activations? Then a weight that is baked is of no use. (Axes
 * beyond the target's limits: vocabularies; rows too short for the engine: decoding.) */
bool fold_refuses(const Module *m, const Graph *g, ValueId v);

#endif

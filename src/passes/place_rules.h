/* place_rules.h: what a target profile asks for beyond what the engine needs: see place_rules.c. */
#ifndef ANEL_PASSES_PLACE_RULES_H
#define ANEL_PASSES_PLACE_RULES_H

#include "passes/taps.h"

/* `residual cpu`, `norm_backward cpu`: the devices of values that are still free (fixed[v] == DEV_ANY). */
void rules_fix(const Module *m, Arena *scratch, const Graph *g, Place *fixed);
/* `norm_backward cpu`: what is inside a normalisation is computed again, not saved. */
void rules_save(const Module *m, Arena *scratch, const Graph *f, TapCost *cost);
/* `cut_attention_backward`, `cut_branches`: of a placed graph, as #[cut] regions, which the partitioner obeys. */
void rules_cut(Module *m, Arena *scratch, Graph *g);

#endif

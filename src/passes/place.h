/* place.h: what the files of the place pass share: place.c (rules), place_cut.c (the cut and what it does not see),
 * place_copies.c (broadcasts are made where they are read). */
#ifndef ANEL_PASSES_PLACE_H
#define ANEL_PASSES_PLACE_H

#include "passes/node_cost.h"
#include "passes/pass.h"

enum { ROW_MIN = 16, ROW_MULTIPLE = 16 };

/* One graph while its values are placed. Arrays have an element per value. */
typedef struct {
    PassCtx     *cx;
    const Graph *g;
    bool         is_region;
    Prices       prices;
    Place       *fixed;         /* DEV_ANY: free */
    bool        *made_anywhere; /* leaves, views of constants and parameters */
    const char **why;           /* of a fixed CPU, where the engine cannot do it */
    bool        *weight;        /* last steps of parameters' gradients */
    int64_t     *ane, *cpu;     /* prices of a value on either side */
} Placing;

/* Must `v` come from the CPU's memory: an input of an entry? */
static inline bool is_entry_input(const Placing *p, ValueId v)
{
    return p->g->node[v].op == OP_input && !p->is_region;
}

/* place_cut.c: the cheapest device for every value: at[v]. */
void place_cut(const Placing *p, Place *at);
/* place_copies.c: the form in which `v` crosses between the devices: a broadcast as its operand, grown along the last
 * axis only; other values as they are. */
Type crossing_form(const Graph *g, ValueId v);
/* Give readers on the other device copies of broadcasts; sets Node.device from at. Rebuilds `g` if there are any. */
void place_copies(PassCtx *cx, Graph *g, const Place *at);

#endif

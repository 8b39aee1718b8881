/* range_internal.h: what the files of the range analysis share: range.c walks graphs, range_ops.c knows operations,
 * range_number.c which values are equal, range_report.c judges and prints. */
#ifndef ANEL_PASSES_RANGE_INTERNAL_H
#define ANEL_PASSES_RANGE_INTERNAL_H

#include "passes/range.h"

/* What is known of a value while a graph is walked. */
typedef struct RangeFact {
    double lo, hi;
    double mean, var;
    double peak;     /* of scores with a mask: the mean over rows of 1 / (places that are not masked); 0: no mask */
    double mask;     /* as in RangeRow */
    bool   known, scaled, dead_row;
    const struct RangeFact *each; /* of a stack: one per iteration */
    uint32_t eachs;
} RangeFact;

typedef struct RangeNumbers RangeNumbers;

typedef struct {
    Ranges       *r;
    Arena        *a;
    RangeFact   **table; /* by number: what the data say; NULL: not looked at yet */
    RangeFact   **fact;  /* [graph][value], of the iteration walked last */
    RangeNumbers *same;
} RangeWalk;

static inline double range_square(double x)
{
    return x * x;
}

/* Mean square of an element. */
static inline double range_power(const RangeFact *x)
{
    return x->mean * x->mean + x->var;
}

/* The fact of node v from those of its operands, for everything but inputs, parameters and structure. */
RangeFact range_of_node(RangeWalk *w, const Graph *g, ValueId v, const RangeFact *fact);
/* What a constant's data say. */
RangeFact range_of_table(RangeWalk *w, uint32_t table);

/* Loss scales at which the gradients on the engine fit: least_scale and most_scale. The rows must be there. */
void range_find_scales(Ranges *r);

/* ---- range_number.c ---- */
RangeNumbers *range_numbers(Arena *a, const Module *m);
/* Values of `g`: are they equal, element by element? False may mean "not known". */
bool range_same(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b);
/* Is one the negative of the other? */
bool range_is_negative(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b);
/* If b is 1 / rms(a), possibly broadcast: the bound on |a * b| that follows. Otherwise 0. */
double range_normalised(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b);
/* Is b the maximum of a over some axes, broadcast? Then a - b is at most 0. */
bool range_is_maximum(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b);

#endif

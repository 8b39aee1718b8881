/* range.h: how large the numbers of a model are: what is certain, and what is likely.
 *
 * fp16 ends at 65504 and has nothing below 6e-8, so a value that is fine in mathematics may be infinite or zero on the
 * engine. Two things are found out about every value of a compiled model:
 *
 *   an interval, guaranteed: in exact arithmetic no element leaves it, whatever the parameters, inputs, states and loss
 *       scale are (as long as they are finite). Most intervals are the whole line, for parameters can be anything; the
 *       useful ones come from softmax, sigmoid, tanh, tables, and from x / rms(x), which is at most the root of the
 *       number of channels. Rounding on the engine adds its last bits to them.
 *   an estimate, mean and variance of an element when training starts: parameters as their initialisers draw them,
 *       token ids uniform, real inputs standard normal, factors of a product and terms of a sum independent of each
 *       other. It is a guess, right within a small factor for ordinary transformers (tests say which), and says
 *       nothing of later steps.
 *
 * A tensor is called at risk where the interval is too wide AND the estimate is less than RANGE_MARGIN away from the
 * limit, or where an operation is known to need a guarantee and there is none: exp, sums of squares, masks. */
#ifndef ANEL_PASSES_RANGE_H
#define ANEL_PASSES_RANGE_H

#include "base/diag.h"
#include "ir/graph.h"

/* The largest element of a large normal tensor is some 5 standard deviations away; the rest is room to grow in
 * training. */
#define RANGE_MARGIN 64.0
#define RANGE_GROWTH 16.0          /* the same room for what is already a sum over many elements */
#define RANGE_F16_MAX 65504.0
#define RANGE_F16_LEAST 0x1p-24    /* below half of it they are zero */
#define RANGE_PRODUCT_MAX                                                                                              \
    32752.0 /* convolutions and matrix products of the engine saturate from here (one project, two chips) */
#define RANGE_MASK (-1e4)          /* a constant from here down is a mask rather than a number */

typedef struct {
    double lo, hi;           /* guaranteed; infinite where nothing is known */
    double rms_min, rms_max; /* estimated root mean square: least and largest over the iterations of a repeat */
    bool   known;            /* false: no real number (sinks, structure), or never reached */
    bool   scaled;           /* proportional to the loss scale; the estimate is that for the first one */
    bool   dead_row;         /* a softmax with a row of which everything is masked, or what leads to one */
    double mask;             /* smallest masked element of the tables added up to this value; 0: none */
    bool    feeds_engine;    /* something on the engine reads it */
    ValueId reader;          /* its only reader, if that is on the engine and of the same direction; else 0 */
} RangeRow;

typedef struct {
    const Module *m;
    RangeRow    **row;        /* [graph][value] */
    double        loss_scale; /* the first one */
    bool          adapts;     /* it is dynamic */
    double least_scale,
        most_scale; /* where every gradient of the training entry is expected to fit; 0: there is none */
} Ranges;

/* Analyse every entry of a module that went through the passes. */
Ranges *ranges_of(Arena *a, const Module *m);

typedef enum { RANGE_NONE, RANGE_PROVED, RANGE_EXPECTED, RANGE_RISK } RangeVerdict;

typedef enum {
    RISK_NONE,
    RISK_OVERFLOW,  /* the estimate comes within RANGE_MARGIN of the limit */
    RISK_UNDERFLOW, /* so small that most elements are zero or have a few bits */
    RISK_EXP,       /* exp of something that may pass 11.09 */
    RISK_SQUARES,   /* a sum of squares without a factor: it grows with the square of what is learnt */
    RISK_MASK,      /* a mask so low that scores push it to -infinity */
    RISK_DEAD_ROW,  /* softmax of a row of which everything is masked */
} RangeRisk;

/* The verdict on a value as the engine holds it; RANGE_NONE for what the engine does not compute or read, and for
 * movements, whose operand has been judged. A value that is `scaled` is judged at the first loss scale. */
RangeVerdict range_verdict(const Ranges *r, const Graph *g, ValueId v, RangeRisk *risk);

/* The table of `anec check --ranges`, and below it what it comes to. */
void ranges_print(const Ranges *r, Buf *out);
/* A warning for each place at risk: W0711 to W0716. */
void ranges_warn(const Ranges *r, Diags *ds);

#endif

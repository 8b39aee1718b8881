/* weights.h: parameters as inputs of programs: which surface holds which, and where. Internal to the back end.
 *
 * With dynamic weights (or mixed ones: then only what training changes) a program is compiled once and serves all layers; the weights of a layer lie in surfaces of
 * their own, which are bound beside the activations and filled ("staged") by the runtime whenever parameters have
 * changed. */
#ifndef ANEL_BACKEND_ANE_WEIGHTS_H
#define ANEL_BACKEND_ANE_WEIGHTS_H

#include "backend_ane/build.h"

/* A parameter, or what is made of parameters (ir/param_expr.c), one of each iteration, in a surface: `rows` channels
 * from `channel` on hold its elements, or those of its transpose, `columns` each. Row-major order is kept, so [1, rows,
 * 1, columns] can be seen with any shape. */
typedef struct {
    Recipe     *recipe;   /* what it is */
    const char *pattern;  /* of the path of the parameter that gives it its name */
    Shape       shape;    /* in the graph */
    Span        at;
    int32_t     first, n; /* of the loop that the pattern's index belongs to; n = 0: none */
    bool        matrix;   /* only matrix products read it: its transpose would do as well */
    uint32_t    unit;     /* parameters that share a program are of one unit */
    bool        placed;
    uint32_t    surface;  /* index into Weights.surface */
    int32_t     channel, rows, columns;
    int32_t     reserved; /* channels: what follows the rows is zero, for products that contract a multiple of some */
    bool        transposed;
} Weight;

typedef struct {
    uint32_t buffer;   /* index into Plan.buffer */
    int32_t  channels; /* padded to what a port needs */
    int32_t  width, used;
    bool     stacked;  /* one element per iteration */
    uint32_t unit;
    int32_t  first, n;
} WeightSurface;

struct Weights {
    bool           mixed; /* what is made of frozen parameters alone stays a constant */
    Weight        *weight;
    uint32_t       weights, weights_cap;
    WeightSurface *surface;
    uint32_t       surfaces, surfaces_cap;
};

/* Find every weight that a program reads and give it a place; write surfaces and stage blocks into the plan. False
 * after diagnostics. */
bool weights_place(Builder *b, bool mixed);
/* Does a program have this leaf as an input? If not, as a constant. */
bool weight_is_staged(const Builder *b, const Graph *g, ValueId leaf);
/* Is `v` what a weight is made of: a parameter, or an expression of some that is no mere view of one? */
bool is_weight_leaf(const Graph *g, ValueId v);
/* The place of such a value, read in the loop first .. first + n - 1 (n = 0: outside of loops). */
const Weight *weight_of(Builder *b, const Graph *g, ValueId leaf, int32_t first, int32_t n);
/* Call `visit` for every weight that an operation of the program reads; `matrix`: as a matrix of a product. */
typedef void WeightVisit(Builder *b, const Graph *g, ValueId leaf, bool matrix, void *with);
void weights_visit(Builder *b, const Graph *g, const Partition *part, uint32_t number, WeightVisit *visit, void *with);
/* Mark the surfaces that program `number` of `part` reads: used[surfaces]. */
void weights_used(Builder *b, const Graph *g, const Partition *part, uint32_t number, int32_t first, int32_t n,
                  bool *used);

#endif

/* emit.h: one ANE program while it is being written. Internal to the back end.
 *
 * Layout. A graph value of shape [C, S] is [1, C, 1, S] in MIL, [H, D, S] is [1, H, D, S], a vector [C] is [1, C, 1,
 * 1], and [a, b, c, d] merges its two leading axes into channels, [1, a*b, c, d]: the same bytes in every case, so most
 * reshapes cost nothing. Broadcasts are left to the reading operation: the MIL value may keep an extent of 1 where the
 * graph's value has grown (Val.shape is what the MIL value really has; emit_full() makes it grow). */
#ifndef ANEL_BACKEND_ANE_EMIT_H
#define ANEL_BACKEND_ANE_EMIT_H

#include "backend_ane/build.h"
#include "backend_ane/mil_text.h"
#include "backend_ane/partition.h"

typedef struct {
    const char *name;   /* MIL value or constant; NULL while a leaf has not been used */
    MilShape    shape;  /* as in the MIL text */
    ValueId     leaf;   /* parameter or table this is a view of, or 0 */
    bool        scalar; /* an fp16 scalar constant */
    bool        is_bool;
} Val;

/* A weight from a surface, as some operation wanted it. */
typedef struct {
    const void *weight;
    bool        turned;
    int32_t     begin; /* first row */
    MilShape    shape;
    const char *name;
} WeightView;

typedef struct {
    Builder         *b;
    const Graph     *g;
    const Partition *part;
    uint32_t         program; /* number in `part` */
    MilText         *t;
    const char     **label;   /* [g->count] what people call each value */
    Val             *val;     /* [g->count] */
    const uint32_t  *uses;    /* [g->count] readers over the whole graph, outputs counted */
    double          *factor;  /* [g->count] what a sum's constant multiplies by, 0 = 1 (see mil_ops.c) */
    ValueId         *alias;   /* [g->count] value that this one equals after a sum took its factor, 0 = none */
    bool            *prescale; /* [g->count] squares computed from x * 2^-4 */
    PlanWeight      *weight;
    uint32_t         weights, weights_cap;
    int32_t          first, n; /* of the enclosing loop */
    const char     **weight_port; /* [surfaces of weights] name of the input, NULL: not of this program */
    const char     **as_matrix; /* [g->count] a value of rank 2 as [1, 1, C, S], or NULL */
    WeightView      *view;        /* weights read so far */
    uint32_t         views, views_cap;
    ProgramCost      cost; /* see backend_ane/work.h: counted while it is written */
    ValueId          at;      /* the value whose statements are being written, and what they are for */
    const char      *what;
    bool             failed;
} Emit;

/* MIL shape of a graph shape. */
MilShape emit_shape(Shape s);
/* Axis of the MIL value for axis `k` of a graph value of that rank. */
uint32_t emit_axis(uint32_t rank, uint32_t k);

/* The MIL value of `v`, as it is (maybe with broadcasts pending); constants are created at first use. */
Val emit_use(Emit *e, ValueId v);
/* The same in its full extent. */
Val emit_full(Emit *e, ValueId v);
/* Make `v` a constant of its own in its full extent, if it is a view or broadcast of a table; false for other
 * values. */
bool emit_table_view(Emit *e, ValueId v);
/* A constant leaf laid out as `shape`; transposed: its last two axes swapped (rank 2). */
const char *emit_leaf(Emit *e, ValueId leaf, MilShape shape, bool transposed);
/* The part of a parameter's path that does not depend on the layer: "layers.{L}.attention.wq.weight" ->
 * attention_wq_weight. */
const char *emit_pattern_name(Arena *a, const char *pattern);

/* emit_weights.c: parameters from surfaces (b->weights is set). */
/* emit_leaf() of a parameter. */
const char *emit_weight(Emit *e, ValueId leaf, MilShape shape, bool transposed);
/* `count` rows from `begin` on of the matrix as it is stored, [1, 1, count, columns]; count 0: all of them. */
const char *emit_weight_rows(Emit *e, ValueId leaf, int32_t begin, int32_t count);
/* How many rows of zeros follow it in the surface. */
int32_t emit_weight_spare(const Emit *e, ValueId leaf);
/* Is this a parameter that comes from a surface? *rows, *columns as stored; *transposed: that is its transpose. */
bool emit_is_weight(const Emit *e, ValueId v, int32_t *rows, int32_t *columns, bool *transposed);

/* W x, or with `turned` W^T x, for a weight W as it is stored that has more rows than an axis may have: piece by piece.
 * `x` is [1, C, 1, S], the result `shape` is named after v. */
const char *emit_weight_product(Emit *e, ValueId v, ValueId leaf, bool turned, const char *x, MilShape shape);

/* A constant tensor of given contents. */
const char *emit_table(Emit *e, MilShape shape, const double *data, const char *name);
const char *emit_filled(Emit *e, MilShape shape, double c);
const char *emit_filled_as(Emit *e, MilShape shape, double c, const char *as); /* under a name of its own */

/* recipe.c: the recipe of a parameter expression of `g`. */
Recipe *recipe_of(Builder *b, const Graph *g, ValueId v);
/* Is it more than a parameter and simple views of it, so that a weight has to be made? */
bool is_made_weight(const Graph *g, ValueId v);
/* The parameter that gives an expression its name: W of W * g. */
ValueId first_param(const Graph *g, ValueId v);

/* Append `op` with a result named after graph value `v` (a suffix tells helpers apart); returns the result's name. */
const char *emit_op(Emit *e, ValueId v, const char *suffix, MilShape shape, const char *op, const MilArg *arg,
                    uint32_t args);
const char *emit_conv(Emit *e, ValueId v, const char *suffix, MilShape shape, const char *x, const char *weight);
const char *emit_reshape(Emit *e, ValueId v, const char *suffix, const char *x, MilShape shape);

/* Tell the user that `v` cannot be held by the target. */
void emit_error(Emit *e, ValueId v, const char *fmt, ...) ANEL_PRINTF(3, 4);

/* Find the sums that take a following factor, and the squares to scale first (mil_ops.c). */
void emit_prepare(Emit *e);
/* From here on statements are written for `v`: for the map. */
void emit_origin(Emit *e, ValueId v, const char *what);
/* Emit node `v` of the program. */
void emit_node(Emit *e, ValueId v);

#endif

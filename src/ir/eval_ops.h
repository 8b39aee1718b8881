/* eval_ops.h: what the fp64 kernels share (private to the evaluator).
 *
 * A kernel computes one node: the operands are `in`, y->type is set, y->v (and, when the operands carry tangents,
 * y->dv) are the kernel's to fill, from fresh zeroed memory or by sharing an operand's. Operands are never written. A
 * tangent that is NULL is zero, and kernels keep it NULL: work is only done along paths that depend on what varies. */
#ifndef ANEL_IR_EVAL_OPS_H
#define ANEL_IR_EVAL_OPS_H

#include "ir/eval.h"

/* Updates of states wait here until the whole run has finished: every `state` reads the value on entry. */
typedef struct {
    uint32_t state;
    size_t   count;
    double  *v;
} Update;

typedef struct {
    EvalEnv *env;
    Buf     *err;
    Update  *update;
    uint32_t updates, updates_cap;
} Run;

/* One graph being run. `many` holds the results of the graph's repeats and calls, which proj picks from. */
typedef struct {
    Run          *run;
    const Graph  *g;
    const Tensor *in;        /* the graph's inputs */
    Tensor       *val;       /* [g->count] */
    Tensor      **many;      /* [g->count] */
    uint32_t      iteration; /* leaf sets are read at this index: 0 outside of a repeat */
} Frame;

typedef bool EvalFn(Frame *f, const Node *n, const Tensor *in, Tensor *y);

#define OP(name, arity, type, eval, vjp, mil) EvalFn eval_##eval;
#include "ir/ops.def"

/* Zeroed room for a value of this type, living as long as the results. */
double *eval_room(Frame *f, Type t);
/* Append a sentence to the run's error text; always false. */
bool eval_fail(Frame *f, const char *fmt, ...) ANEL_PRINTF(2, 3);

/* These values, or those that the run's tape has recorded in their place. */
double *eval_fixed(Frame *f, double *v, int64_t count);

/* The three loops around an axis: element (o, k, i) stands at (o * n + k) * inner + i. */
typedef struct {
    int64_t outer, n, inner;
} Axis;
Axis axis_loops(Shape s, int32_t axis);

#endif

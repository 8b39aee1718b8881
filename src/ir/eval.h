/* eval.h: graphs executed in fp64: the independent reference for everything else.
 *
 * Values are dense row-major arrays of double. With `tangents` every value carries its directional derivative, computed
 * forward by dual-number rules that share nothing with the adjoints of autodiff.c. */
#ifndef ANEL_IR_EVAL_H
#define ANEL_IR_EVAL_H

#include "ir/graph.h"

typedef struct {
    Type    type;
    double *v;  /* [numel] */
    double *dv; /* tangent, or NULL for "zero" */
} Tensor;

/* What the derivative holds fixed, in the order of execution: the values behind stop_grad, and the decisions of max,
 * min, amax and comparisons. One run records it; later runs with `replay` set and `next` 0 get the recorded values
 * instead of computed ones: differences between runs see constants behind stop_grad, and stay on one side of a kink. */
typedef struct {
    Arena   *arena; /* of the recorded values */
    double **value;
    uint32_t count, cap, next;
    bool     replay;
} FixedTape;

typedef struct {
    const Module *m;
    Arena        *arena;   /* results and intermediates live here */
    double      **param;   /* [m->params] values; NULL entries are an error when read */
    double      **dparam;  /* [m->params] tangents, entries and the array itself may be NULL (zero) */
    double      **grad;    /* [m->params] the `grad` sinks add into these; may be NULL (sinks are ignored) */
    double      **state;   /* [m->states] read by `state`, written by `state_set` when the graph has finished */
    bool          tangents;
    FixedTape    *fixed;   /* may be NULL */
    /* Called with every value as it is computed, of regions once per iteration; may be NULL. */
    void        (*watch)(void *watcher, const Graph *g, ValueId v, const Tensor *x);
    void         *watcher;
} EvalEnv;

/* Run graph `g` on its inputs (g->inputs of them, in order); results into out[g->outs]. False with a sentence in `err`
 * for data errors (a class or table index out of range, a missing parameter). */
bool graph_eval(EvalEnv *env, const Graph *g, const Tensor *in, Tensor *out, Buf *err);

/* The value of parameter `p`'s element i under its initialiser: a pure function of (seed, path, i). */
double init_value(const Init *init, uint64_t key, uint64_t i);

#endif

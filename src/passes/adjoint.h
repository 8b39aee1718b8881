/* adjoint.h: what reverse-mode differentiation shares between its files: the state of one sweep over one graph
 * (autodiff.c), the rules of single operations (vjp.c) and the rule of repeat (adjoint_repeat.c). */
#ifndef ANEL_PASSES_ADJOINT_H
#define ANEL_PASSES_ADJOINT_H

#include "passes/pass.h"

typedef struct Adjoint Adjoint;
struct Adjoint {
    Module      *m;
    Arena       *scratch;
    const Graph *src; /* the graph being differentiated */
    Graph       *dst; /* where the backward nodes go */
    ValueId     *at;  /* of each value of src: where it is in dst; 0 = not there yet, ask adjoint_read() */
    ValueId     *cot; /* of each value of src: its cotangent in dst, 0 = zero */
    bool        *needs; /* of each value of src: does a gradient flow through it? */
    ValueId    **result_cot; /* of each repeat and call of src: cotangents of its results, NULL = all zero */
    /* Brings a value of src that is not there yet into dst; NULL where dst contains a copy of src. */
    ValueId (*fetch)(Adjoint *ad, ValueId v);
    void *fetch_data;
    ValueId by; /* the value of src whose rule is at work, 0 = none: sums of cotangents are named by it */
};

/* The value `v` of src, in dst. */
ValueId adjoint_read(Adjoint *ad, ValueId v);
/* Add `d` (in dst) to the cotangent of `v` (in src); nothing happens if `v` needs none. */
void adjoint_give(Adjoint *ad, ValueId v, ValueId d);
/* Visit the nodes of src from last to first, with the cotangents of its results in place. */
void adjoint_sweep(Adjoint *ad);
/* A node for dst that describes itself like `n` of src: name, scope, place and tag, role BWD, and of its hints those
 * that speak of precision and of the CPU. */
Node adjoint_like(Adjoint *ad, const Node *n);

/* Fill needs[] for `g`: a value needs a gradient if a trained parameter, or an input with input_needs[], reaches it by
 * differentiable operations. */
bool *needs_of(Module *m, Arena *scratch, const Graph *g, const bool *input_needs);
/* The same for the carried values of a repeat, a fixed point: input_needs[] of its region, from the operands. */
bool *needs_of_region(Module *m, Arena *scratch, const Graph *g, const Node *repeat, const bool *needs);
/* Mark values from which a cotangent arrives at a marked value's operands; `from` is marked by the caller. */
void adjoint_reach(const Module *m, const Graph *g, const bool *needs, bool *from);

/* The rule of `repeat`: cot holds the cotangents of its results. */
void vjp_of_repeat(Adjoint *ad, ValueId v, const ValueId *cot);

/* ---- rules of single operations ---- */
typedef struct {
    Adjoint    *ad;
    Module     *m;
    Graph      *g;    /* = ad->dst */
    ValueId     v;    /* the node, in src */
    const Node *n;
    Node        like; /* for the nodes a rule makes */
    ValueId     dy;   /* cotangent of the result, in dst */
} Vjp;
typedef void VjpFn(Vjp *r);
extern VjpFn *const vjp_rule[OP_COUNT];

#endif

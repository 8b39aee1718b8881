/* pass.h: what passes share: their signature and the helpers for building a graph from an old one.
 *
 * A pass reads a graph and builds its successor through a table from old ids to new ones, then graph_replace() puts the
 * successor in the old one's place in the module. Graphs that nothing refers to any more are dropped. */
#ifndef ANEL_PASSES_PASS_H
#define ANEL_PASSES_PASS_H

#include "passes/passes.h"

typedef struct {
    Module *m;
    Diags  *diags;
    Arena  *scratch; /* reset before every pass */
} PassCtx;

typedef enum { PASS_SAME, PASS_CHANGED, PASS_FAILED } PassResult;
typedef PassResult PassFn(PassCtx *cx);

PassFn pass_vjp_check, pass_simplify, pass_fold, pass_unroll, pass_autodiff, pass_inline, pass_algebra, pass_taps,
    pass_place, pass_defer;

/* ---- graphs ---- */

/* An empty graph with the name, id and inputs of `g` (the list, no nodes), outside the module. */
Graph *graph_successor(Module *m, const Graph *g);
/* Put `g` where the graph of the same id stands. Pointers to that graph stay good and see the new content. */
void graph_replace(Module *m, const Graph *g);
/* A copy with a new id, node for node: ids of values are the same in both. */
Graph *graph_clone(Module *m, const Graph *g);
/* Append a copy of value `v` of `from` to `to`, operands through `map`. */
ValueId graph_copy_node(Module *m, Graph *to, const Graph *from, ValueId v, const ValueId *map);
/* Input i becomes input place[i]; NO_INPUT drops it (its node must be unused and is left to the next clean-up, as an
 * input node with index NO_INPUT). `count` inputs remain. */
enum { NO_INPUT = 0x7fffffff };
void graph_move_inputs(Module *m, Graph *g, const uint32_t *place, uint32_t count);
/* Node of each input, by index (0 where an input has none). */
ValueId *graph_input_nodes(Arena *a, const Graph *g);
/* All forward nodes before all backward nodes, otherwise in the same order. */
void graph_split_roles(Module *m, Graph *g, Arena *scratch);
/* How often each value is read by nodes and results. */
uint32_t *graph_uses(Arena *a, const Graph *g);
/* Nodes that results and sinks depend on. Inputs are always live. */
bool *graph_live(const Module *m, Arena *a, const Graph *g);
/* Does the graph contain a `grad` or `state_set`, in itself or in a region? */
bool graph_has_sink(const Module *m, const Graph *g);
/* Drop graphs that no entry reaches and renumber the others. True if there were any. */
bool module_collect(Module *m, Arena *scratch);
/* Give every repeat a region of its own. */
void module_unshare_regions(Module *m, Arena *scratch);

/* The region of a repeat or call, 0 for other nodes. */
static inline GraphId node_region(const Node *n)
{
    return n->op == OP_repeat ? n->a.repeat.graph : n->op == OP_call ? n->a.call.graph : 0;
}

static inline bool op_is_sink(Op op)
{
    return op == OP_grad || op == OP_state_set;
}

/* A dtype that can carry a gradient. */
static inline bool dtype_is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

/* ---- value keys: equal keys compute equal values ---- */
enum { KEY_WORDS = 8 };
/* Everything a node's value depends on besides its operands, in a fixed form: op, attributes, type. */
void node_key(const Node *n, uint64_t key[KEY_WORDS]);
/* True for nodes that two of may be merged: the value is a function of key and operands. */
bool node_is_pure(const Node *n);

/* ---- passes as functions ---- */

/* Replace calls in `g` by their regions' nodes: all of them, or only those without a hand-written adjoint. */
bool inline_calls(Module *m, Graph *g, bool plain_only, Arena *scratch);
/* One graph and its regions, to a fixpoint. `joint`: after differentiation, when stop_grad has done its work. */
bool simplify_graph(Module *m, Graph *g, bool joint, Arena *scratch);

#endif

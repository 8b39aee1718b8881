/* taps.c: save or recompute, by a minimum cut.
 *
 * Each forward value v has two binary variables: a_v (the backward direction has it) and c_v (because it computed it
 * again). The cost is  save_v [a_v and not c_v] + recompute_v c_v,  with c_v -> a_v, c_v -> a_u for every operand u of
 * v, and a_v = 1 where v is read. Every term is submodular, so one minimum cut is exact:
 *
 *     S -> a_v  infinite      v is read           a_v -> c_v  save_v
 *     c_v -> a_u  infinite    u operand of v      c_v -> T    recompute_v
 *
 * Saved: a_v on the source's side, c_v not. Of equally cheap choices the one that recomputes least is taken.
 *
 * Costs stand for time on an engine with 8 Tflop/s and 60 GB/s: a value costs its fp16 bytes twice to save (written by
 * the forward direction, read by the backward one), or once where the CPU needs it for a weight gradient anyway. */
#include "passes/taps.h"
#include "passes/maxflow.h"

enum { NARROW = 16 }; /* rows shorter than this are padded on the engine: no good as its inputs and outputs */

static int64_t recompute_cost(const Graph *f, const Node *n)
{
    int64_t numel = shape_numel(n->type.shape);
    switch (n->op) {
    case OP_reshape: /* views */
    case OP_transpose:
    case OP_broadcast:
    case OP_slice:
    case OP_stop_grad:
        return 0;
    case OP_matmul: {
        Type    a = f->node[node_in(f, n)[0]].type;
        int64_t k = a.shape.dim[a.shape.rank - (n->a.matmul.ta ? 2 : 1)];
        int64_t flops = numel * k * 2 * 3 / 100; /* flops * 60 GB/s / 8 Tflop/s bytes, in quarters */
        for (uint32_t i = 0; i < 2; i++) {       /* a weight matrix is streamed once more */
            const Node *w = &f->node[node_in(f, n)[i]];
            if (is_param_expr(f, node_in(f, n)[i]))
                flops += 2 * 4 * shape_numel(w->type.shape);
        }
        return flops;
    }
    case OP_softmax:
        return 8 * numel;
    case OP_sum:
    case OP_amax:
        return shape_numel(f->node[node_in(f, n)[0]].type.shape);
    case OP_input: /* inputs are there or are not */
    case OP_state:
    case OP_gather: /* the CPU's work */
    case OP_scatter_add:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
    case OP_repeat:
    case OP_call:
    case OP_proj:
        return TAP_NEVER;
    default:
        return numel;
    }
}

static int64_t save_cost(const Graph *f, ValueId v, bool is_region, uint32_t carries, TapRead read)
{
    const Node *n = &f->node[v];
    Shape   s = n->type.shape;
    int64_t bytes = 2 * 4 * shape_numel(s); /* one direction */
    bool    carry = is_region && n->op == OP_input && n->a.input.index < carries;
    if (n->op == OP_const || n->op == OP_iota || (n->op == OP_input && !carry) || is_param_expr(f, v))
        return 0; /* there in both directions */
    if (n->type.dtype == DT_BOOL)
        return TAP_AVOID;
    if (n->type.dtype == DT_I32 || s.rank <= 1) /* on the CPU in any case */
        return bytes;
    if (carry || n->op == OP_proj || n->op == OP_gather)
        return read.other ? bytes : 0; /* in memory in any case */
    if (s.dim[s.rank - 1] < NARROW)
        return TAP_AVOID;
    return read.weight ? (read.other ? bytes : 0) : 2 * bytes;
}

TapCost *taps_costs(const Module *m, Arena *a, const Graph *f, bool is_region, uint32_t carries, const TapRead *read)
{
    TapCost *cost = NEW_N(a, TapCost, f->count);
    for (ValueId v = 1; v < f->count; v++) {
        const Node *n = &f->node[v];
        const Hint *h = &m->hint[n->hint];
        if (n->type.dtype == DT_NONE) {
            cost[v] = (TapCost){TAP_NEVER, TAP_NEVER};
            continue;
        }
        cost[v].save = save_cost(f, v, is_region, carries, read[v]);
        cost[v].recompute = recompute_cost(f, n);
        if (n->hint && h->save)
            cost[v] = (TapCost){0, TAP_NEVER};
        else if (n->hint && h->recompute && cost[v].recompute < TAP_NEVER)
            cost[v] = (TapCost){TAP_AVOID, 0};
    }
    return cost;
}

Tap *taps_cut(Arena *a, const Graph *f, const TapCost *cost, const bool *required)
{
    enum { S, T, FIRST };
    MaxFlow *flow = maxflow_new(a, FIRST + 2 * f->count);
    for (ValueId v = 1; v < f->count; v++) {
        uint32_t av = FIRST + 2 * v, cv = av + 1;
        if (required[v])
            maxflow_edge(flow, S, av, MAXFLOW_INFINITE);
        maxflow_edge(flow, av, cv, cost[v].save);
        maxflow_edge(flow, cv, T, cost[v].recompute);
        for (uint32_t i = 0; i < f->node[v].in_count; i++)
            maxflow_edge(flow, cv, FIRST + 2 * node_arg(f, v, i), MAXFLOW_INFINITE);
    }
    maxflow_run(flow, S, T);
    Tap *tap = NEW_N(a, Tap, f->count);
    for (ValueId v = 1; v < f->count; v++) {
        bool available = maxflow_on_source_side(flow, FIRST + 2 * v);
        bool again = maxflow_on_source_side(flow, FIRST + 2 * v + 1);
        tap[v] = again ? TAP_RECOMPUTE : available ? TAP_SAVE : TAP_UNUSED;
    }
    return tap;
}

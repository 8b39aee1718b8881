/* taps.c: save or recompute, by a minimum cut.
 *
 * Each forward value v has two binary variables: a_v (the backward programs have it) and c_v (because they computed it
 * again). The cost is  save_v [a_v and not c_v] + recompute_v c_v,  with c_v -> a_u for every operand u of v, and a_v =
 * 1 where a program reads v. Memory has a price too: m_v for a value that is saved: [a_v and not c_v], or, for a value
 * that the CPU reads and that is in memory anyway, [not c_v]. Every term is submodular, so one minimum cut is exact:
 *
 *     S -> a_v  infinite      v is read           a_v -> c_v  save_v (+ m_v)
 *     c_v -> a_u  infinite    u operand of v      c_v -> T    recompute_v
 *     S -> c_v  m_v           v is kept
 *
 * Saved: a_v on the source's side or v kept, and c_v on the sink's. Of equally cheap choices the one that recomputes
 * least is taken. What recomputing costs is node_cost.h's; a product with a weight has its weights baked once more
 * besides. */
#include "passes/taps.h"
#include "passes/maxflow.h"
#include "passes/node_cost.h"
#include "passes/place_rules.h"

enum { NARROW = 16 }; /* rows shorter than this are padded on the engine: no good as its inputs and outputs */

void taps_note_read(const Module *m, const Graph *g, ValueId v, const bool *weight, TapRead *read)
{
    Op   op = g->node[v].op;
    bool cpu = !op_info[op].has_mil || (weight[v] && (op != OP_matmul || m->target->weight_gradients == WHERE_CPU));
    read->cpu |= cpu;
    read->back |= !op_info[op].has_mil;
    read->engine |= !cpu;
}

/* Parameters become half-precision constants of one more program. */
static int64_t baking(const Prices *p, ValueId v)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < 2; i++) {
        ValueId u = node_arg(p->g, v, i);
        bytes += p->constant[u] ? 2 * shape_numel(p->g->node[u].type.shape) : 0;
    }
    return price_bytes((double)bytes, p->target->staging);
}

static int64_t recompute_cost(const Prices *p, ValueId v)
{
    switch (p->g->node[v].op) {
    case OP_slice: /* views, while they are read in place */
    case OP_transpose:
        return 0;
    case OP_matmul:
        return price_engine(p, v) + baking(p, v);
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
        return price_engine(p, v);
    }
}

/* The final value of what a loop hands on, not a stack of what it saved. */
static bool is_final_carry(const Graph *f, const Node *n)
{
    if (n->op != OP_proj)
        return false;
    const Node *r = &f->node[node_in(f, n)[0]];
    return r->op != OP_repeat || n->a.proj.index < r->a.repeat.n_carry;
}

static bool is_free(const Graph *f, const Node *n, bool is_carry)
{
    return n->op == OP_const || n->op == OP_param || n->op == OP_iota || (n->op == OP_input && !is_carry) ||
           (n->op == OP_proj && !is_final_carry(f, n));
}

static int64_t save_cost(const Target *t, const Node *n, bool is_carry, bool kept)
{
    Shape   s = n->type.shape;
    int64_t numel = shape_numel(s);
    if (n->op == OP_const || n->op == OP_param || n->op == OP_iota || (n->op == OP_input && !is_carry))
        return 0; /* there in both directions */
    if (n->type.dtype == DT_BOOL)
        return TAP_AVOID;
    if (n->type.dtype == DT_I32 || s.rank <= 1) /* on the CPU in any case */
        return price_bytes(4 * (double)numel, t->cpu_bandwidth);
    if (is_carry) /* the next iteration overwrites it: a copy is kept */
        return price_saving(t, numel, true) + (kept ? 0 : price_bytes(4 * (double)numel, t->cpu_bandwidth));
    if (s.dim[s.rank - 1] < NARROW && n->op != OP_proj && n->op != OP_gather)
        return TAP_AVOID;
    return price_saving(t, numel, kept || n->op == OP_proj || n->op == OP_gather);
}

TapCost *taps_costs(const Module *m, Arena *a, const Graph *f, bool is_region, uint32_t carries, int32_t times,
                    const TapRead *read)
{
    TapCost *cost = NEW_N(a, TapCost, f->count);
    Prices   p = {m->target, f, constant_expressions(a, f)};
    for (ValueId v = 1; v < f->count; v++) {
        const Node *n = &f->node[v];
        const Hint *h = &m->hint[n->hint];
        bool        is_carry = is_region && n->op == OP_input && n->a.input.index < carries;
        if (n->type.dtype == DT_NONE) {
            cost[v] = (TapCost){.save = TAP_NEVER, .recompute = TAP_NEVER};
            continue;
        }
        cost[v].kept = read[v].cpu;
        cost[v].save = is_param_expr(f, v) ? 0 : save_cost(m->target, n, is_carry, read[v].cpu);
        cost[v].recompute = recompute_cost(&p, v);
        if (read[v].back &&
            cost[v].recompute < TAP_NEVER) /* a program that ends before the CPU's work, for nothing else */
            cost[v].recompute += price_bytes(m->target->dispatch * 1e3, 1);
        if (!is_free(f, n, is_carry) && !is_param_expr(f, v))
            cost[v].bytes = (n->type.dtype == DT_I32 ? 4 : 2) * shape_numel(n->type.shape) * times;
        if (n->hint && h->save) {
            cost[v].save = 0;
            cost[v].recompute = TAP_NEVER;
        } else if (n->hint && h->recompute && cost[v].recompute < TAP_NEVER) {
            cost[v].save = TAP_AVOID;
            cost[v].recompute = 0;
            cost[v].kept = false; /* not even for the CPU */
        }
    }
    rules_save(m, a, f, cost);
    return cost;
}

Tap *taps_cut(Arena *a, const Graph *f, const TapCost *cost, const TapRead *read, double memory)
{
    enum { S, T, FIRST };
    MaxFlow *flow = maxflow_new(a, FIRST + 2 * f->count);
    for (ValueId v = 1; v < f->count; v++) {
        uint32_t av = FIRST + 2 * v, cv = av + 1;
        int64_t  bytes = (int64_t)llround((double)cost[v].bytes * memory);
        if (read[v].engine || (read[v].cpu && !cost[v].kept))
            maxflow_edge(flow, S, av, MAXFLOW_INFINITE);
        maxflow_edge(flow, av, cv, cost[v].save + (cost[v].kept ? 0 : bytes));
        maxflow_edge(flow, cv, T, cost[v].recompute);
        if (cost[v].kept && bytes > 0)
            maxflow_edge(flow, S, cv, bytes);
        for (uint32_t i = 0; i < f->node[v].in_count; i++)
            maxflow_edge(flow, cv, FIRST + 2 * node_arg(f, v, i), MAXFLOW_INFINITE);
    }
    maxflow_run(flow, S, T);
    Tap *tap = NEW_N(a, Tap, f->count);
    for (ValueId v = 1; v < f->count; v++) {
        bool available = maxflow_on_source_side(flow, FIRST + 2 * v);
        bool again = maxflow_on_source_side(flow, FIRST + 2 * v + 1);
        tap[v] = again ? TAP_RECOMPUTE : available || cost[v].kept ? TAP_SAVE : TAP_UNUSED;
    }
    return tap;
}

/* place.c: which device computes each value.
 *
 * Some values have no choice (the first rule that holds gives the reason):
 *   CPU   operations without a MIL form; integers; f32; results of rank 0 or 1 or of one element; more than four axes,
 *         or an operation that takes the two leading ones of four apart ([C,S] maps to [1,C,1,S], [H,D,S] to
 *         [1,H,D,S], [A,B,C,D] to [1,A*B,C,D]); an axis longer than AXIS_MAX (so a product
 *         with a vocabulary-sized weight stays on the CPU); products and softmaxes with rows shorter than ROW_MIN (so
 *         decoding one position is the CPU's work); #[place(cpu)] and #[precision(f32)]; the last steps of parameters'
 *         gradients (weights.c), which accumulate in f32
 *   ANE   #[place(ane)]; E0703 where a rule above forbids it
 *   ANY   leaves, repeat, proj, movements of constants and parameters, and parameter expressions (ir/param_expr.c): they
 *         are made where they are read
 *
 * The others are divided by a minimum cut: a value costs what its device takes for it, and once more for each direction in
 * which it crosses. A graph's inputs are on the CPU; those of regions, and results, are wherever it suits. At last, what
 * would run on the engine without a weight's product or a large softmax beside it goes back: a dispatch costs more than it
 * saves.
 *
 * Regions are placed on their own. Forward and backward nodes never share a program. */
#include "passes/maxflow.h"
#include "passes/taps.h"

enum { AXIS_MAX = 16384, ROW_MIN = 16, ROW_MULTIPLE = 16, UNEVEN = 16, SOFTMAX_MIN = 1 << 20 };

typedef struct {
    PassCtx     *cx;
    const Graph *g;
    bool         is_region;
    Place       *fixed; /* DEV_ANY: free */
    bool        *made_anywhere;
    const char **why; /* of a fixed CPU, where the engine cannot do it */
    bool        *weight;
} Placing;

/* ---- rules ---- */

static bool is_leaf(Op op)
{
    return op == OP_input || op == OP_param || op == OP_const || op == OP_state || op == OP_proj || op == OP_repeat ||
           op == OP_call;
}

static bool is_movement(Op op)
{
    return op == OP_reshape || op == OP_transpose || op == OP_broadcast || op == OP_slice;
}

/* Why the engine cannot hold a value of this type, or NULL. A fourth axis is merged with the first: [a, b, c, d] is
 * [1, a*b, c, d] there. */
static const char *shape_problem(Type t)
{
    for (uint32_t i = 0; i < t.shape.rank; i++)
        if (t.shape.dim[i] > AXIS_MAX)
            return "an axis is longer than 16384";
    if (t.shape.rank == 4 && (int64_t)t.shape.dim[0] * t.shape.dim[1] > AXIS_MAX)
        return "two leading axes are longer than 16384 together";
    return t.shape.rank > 4 ? "more than four axes" : NULL;
}

/* Operations that would have to take the two merged axes of a rank-4 value apart. */
static const char *merge_problem(const Graph *g, const Node *n)
{
    Shape x = n->in_count ? g->node[node_in(g, n)[0]].type.shape : n->type.shape;
    if (x.rank != 4 || x.dim[0] == 1)
        return NULL;
    uint32_t leading = n->op == OP_amax ? n->a.reduce.axes & 3 : 0;
    bool     apart = n->op == OP_transpose || ((n->op == OP_softmax) && n->a.axis.axis < 2) ||
                 (n->op == OP_concat && n->a.axis.axis == 1) || (leading != 0 && leading != 3) ||
                 (n->op == OP_slice && n->type.shape.dim[1] != x.dim[1]) ||
                 (n->op == OP_pad && (n->a.pad.lo[1] || n->a.pad.hi[1]));
    return apart ? "the second of two leading axes cannot be told from the first" : NULL;
}

static const char *engine_problem(const Placing *p, const Node *n)
{
    switch (n->op) {
    case OP_gather:
    case OP_scatter_add:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
        return "no data-dependent indexing";
    case OP_cast:
        return "one precision only";
    default:
        break;
    }
    if (!op_info[n->op].has_mil)
        return "no such operation";
    if (n->type.dtype == DT_F32 || p->cx->m->hint[n->hint].f32)
        return "no 32-bit arithmetic";
    if (n->type.dtype == DT_I32)
        return "no integers";
    for (uint32_t i = 0; i < n->in_count; i++) {
        Type t = p->g->node[node_in(p->g, n)[i]].type;
        if (t.dtype == DT_I32)
            return "no integers";
        if (shape_problem(t))
            return shape_problem(t);
    }
    if (shape_problem(n->type))
        return shape_problem(n->type);
    if (merge_problem(p->g, n))
        return merge_problem(p->g, n);
    if (n->type.shape.rank < 2 || shape_numel(n->type.shape) == 1)
        return "fewer than two axes, or a single element";
    if ((n->op == OP_matmul || n->op == OP_softmax) && n->type.shape.dim[n->type.shape.rank - 1] < ROW_MIN)
        return "rows shorter than 16";
    return NULL;
}

static bool fix(Placing *p)
{
    bool ok = true;
    for (ValueId v = 1; v < p->g->count; v++) {
        const Node *n = &p->g->node[v];
        PlaceHint   pin = p->cx->m->hint[n->hint].place;
        bool        anywhere = is_movement(n->op);
        for (uint32_t i = 0; i < n->in_count; i++) {
            ValueId u = node_arg(p->g, v, i);
            Op      op = p->g->node[u].op;
            anywhere = anywhere && (op == OP_const || op == OP_param || (p->made_anywhere[u] && !is_leaf(op)));
        }
        p->made_anywhere[v] = is_leaf(n->op) || anywhere || is_param_expr(p->g, v);
        if (p->made_anywhere[v])
            continue;
        p->why[v] = op_is_sink(n->op) ? NULL : engine_problem(p, n);
        if (pin == PLACE_ANE && p->why[v] && n->role == ROLE_FWD) {
            Diag *d = diag_error(p->cx->diags, "E0703", n->at, "'%s' cannot run on the ANE (%s)", op_info[n->op].name, p->why[v]);
            diag_help(d, "drop the pin%s", n->op == OP_gather ? ", or multiply by a one-hot table if the vocabulary is tiny" : "");
            ok = false;
        }
        if (op_is_sink(n->op) || p->why[v] || pin == PLACE_CPU)
            p->fixed[v] = DEV_CPU;
        else if (pin == PLACE_ANE)
            p->fixed[v] = DEV_ANE;
        else if (n->role == ROLE_BWD && p->weight[v])
            p->fixed[v] = DEV_CPU;
    }
    return ok;
}

/* ---- the cut ---- */

/* Time in units of a quarter byte's transfer: the engine computes 8 Tflop/s, the CPU 0.2, memory moves 60 GB/s. */
static void run_costs(const Graph *g, const Node *n, int64_t *ane, int64_t *cpu)
{
    int64_t numel = shape_numel(n->type.shape);
    for (uint32_t i = 0; i < n->in_count; i++) {
        int64_t k = shape_numel(g->node[node_in(g, n)[i]].type.shape);
        numel = k > numel ? k : numel;
    }
    *ane = 2 * numel;
    *cpu = 32 * numel;
    if (n->op == OP_matmul) {
        Type    a = g->node[node_in(g, n)[0]].type;
        int64_t k = a.shape.dim[a.shape.rank - (n->a.matmul.ta ? 2 : 1)];
        int64_t flops = 2 * k * shape_numel(n->type.shape);
        *ane = flops * 3 / 100;
        *cpu = flops * 6 / 5;
    }
}

static int64_t crossing_cost(Type t)
{
    int64_t numel = shape_numel(t.shape), row = t.shape.rank ? t.shape.dim[t.shape.rank - 1] : 1;
    if (row < ROW_MIN)
        return MAXFLOW_INFINITE; /* narrow values cannot enter or leave a program */
    /* Nor can uneven ones. Dear rather than impossible: the CPU takes over a transpose, but not the whole model, whose
     * author should hear of a sequence length that keeps it from the engine. */
    return (row % ROW_MULTIPLE ? UNEVEN : 1) * 4 * 2 * numel;
}

static void cut(const Placing *p, Place *at)
{
    enum { ANE, CPU, FIRST };
    const Graph *g = p->g;
    MaxFlow     *f = maxflow_new(p->cx->scratch, FIRST + 3 * g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        uint32_t    me = FIRST + 3 * v;
        if (n->op == OP_input && !p->is_region)
            maxflow_edge(f, me, CPU, MAXFLOW_INFINITE);
        if (p->made_anywhere[v])
            continue;
        if (p->fixed[v] == DEV_ANE) {
            maxflow_edge(f, ANE, me, MAXFLOW_INFINITE);
        } else if (p->fixed[v] == DEV_CPU) {
            maxflow_edge(f, me, CPU, MAXFLOW_INFINITE);
        } else {
            int64_t ane, cpu;
            run_costs(g, n, &ane, &cpu);
            maxflow_edge(f, me, CPU, ane); /* cut, so paid, if v is on the engine's side */
            maxflow_edge(f, ANE, me, cpu);
        }
        for (uint32_t i = 0; i < n->in_count; i++) {
            ValueId u = node_arg(g, v, i);
            if (p->made_anywhere[u] && !(g->node[u].op == OP_input && !p->is_region))
                continue;
            maxflow_edge(f, FIRST + 3 * u + 1, me, MAXFLOW_INFINITE); /* u's copy for the CPU */
            maxflow_edge(f, me, FIRST + 3 * u + 2, MAXFLOW_INFINITE); /* u's copy for the engine */
        }
    }
    for (ValueId v = 1; v < g->count; v++) {
        uint32_t me = FIRST + 3 * v;
        if (g->node[v].type.dtype == DT_NONE)
            continue;
        maxflow_edge(f, me, me + 1, crossing_cost(g->node[v].type));
        maxflow_edge(f, me + 2, me, crossing_cost(g->node[v].type));
    }
    maxflow_run(f, ANE, CPU);
    for (ValueId v = 1; v < g->count; v++)
        at[v] = p->made_anywhere[v] ? DEV_ANY : maxflow_on_source_side(f, FIRST + 3 * v) ? DEV_ANE : DEV_CPU;
}

/* ---- components ---- */

static ValueId root(ValueId *parent, ValueId v)
{
    while (parent[v] != v)
        v = parent[v] = parent[parent[v]];
    return v;
}

/* A product with a weight, or a softmax so large that the CPU would take longer than a dispatch. */
static bool is_worth_a_dispatch(const Graph *g, const Node *n)
{
    if (n->op == OP_softmax)
        return shape_numel(n->type.shape) >= SOFTMAX_MIN;
    for (uint32_t i = 0; i < n->in_count && n->op == OP_matmul; i++)
        if (is_param_expr(g, node_in(g, n)[i]))
            return true;
    return false;
}

/* Send back to the CPU what has nothing worth a dispatch in its connected part of the engine's work. */
static void drop_idle_parts(const Placing *p, Place *at)
{
    const Graph *g = p->g;
    ValueId     *parent = NEW_N(p->cx->scratch, ValueId, g->count);
    bool        *worth = NEW_N(p->cx->scratch, bool, g->count);
    for (ValueId v = 1; v < g->count; v++)
        parent[v] = v;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count && at[v] == DEV_ANE; i++) {
            ValueId u = node_arg(g, v, i);
            if (at[u] == DEV_ANE && g->node[u].role == g->node[v].role)
                parent[root(parent, v)] = root(parent, u);
        }
    for (ValueId v = 1; v < g->count; v++)
        if (at[v] == DEV_ANE && (is_worth_a_dispatch(g, &g->node[v]) || p->fixed[v] == DEV_ANE))
            worth[root(parent, v)] = true;
    for (ValueId v = 1; v < g->count; v++)
        if (at[v] == DEV_ANE && !worth[root(parent, v)])
            at[v] = DEV_CPU;
}

static bool place_graph(PassCtx *cx, Graph *g, bool is_region)
{
    Placing p = {.cx = cx, .g = g, .is_region = is_region};
    p.fixed = NEW_N(cx->scratch, Place, g->count);
    p.made_anywhere = NEW_N(cx->scratch, bool, g->count);
    p.why = NEW_N(cx->scratch, const char *, g->count);
    p.weight = weight_gradients(cx->scratch, g);
    bool ok = fix(&p);
    if (ok) {
        Place *at = NEW_N(cx->scratch, Place, g->count);
        cut(&p, at);
        drop_idle_parts(&p, at);
        for (ValueId v = 1; v < g->count; v++)
            g->node[v].device = at[v];
    }
    for (ValueId v = 1; v < g->count; v++)
        if (node_region(&g->node[v]))
            ok = place_graph(cx, cx->m->graph[node_region(&g->node[v])], true) && ok;
    return ok;
}

PassResult pass_place(PassCtx *cx)
{
    bool ok = true;
    for (uint32_t i = 0; i < cx->m->entries; i++)
        ok = place_graph(cx, cx->m->graph[cx->m->entry[i].graph], false) && ok;
    return ok ? PASS_CHANGED : PASS_FAILED;
}

/* place.c: which device computes each value.
 *
 * Some values have no choice (the first rule that holds gives the reason):
 *   CPU   operations without a MIL form; integers; f32; results of rank 0 or 1 or of one element; more than four axes,
 *         or an operation that takes the two leading ones of four apart ([C,S] maps to [1,C,1,S], [H,D,S] to
 *         [1,H,D,S], [A,B,C,D] to [1,A*B,C,D]); an axis longer than the target allows where it lies; products and
 *         softmaxes with rows shorter than ROW_MIN (so decoding one position is the CPU's work); #[place(cpu)] and
 *         #[precision(f32)]; the last steps of parameters' gradients (weights.c), which accumulate in f32 (with the
 *         target's `weight_gradients any` the product may go where it costs less); everything, with -O no-engine
 *   ANE   #[place(ane)]; E0703 where a rule above forbids it
 *   ANY   leaves, repeat, proj, movements of constants and parameters, and parameter expressions (ir/param_expr.c):
 *         they are made where they are read
 *
 * The others have a price on either device (node_cost.h) and go where everything together costs least (place_cut.c).
 * Regions are placed on their own. Forward and backward nodes never share a program. */
#include "passes/place.h"
#include "passes/place_rules.h"
#include "passes/switches.h"
#include "passes/taps.h"

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

/* Why the engine cannot hold a value of this type, or NULL. Of [C, S] and [H, D, S] the first axis lies in the
 * channels. A fourth axis is merged with the first: [a, b, c, d] is [1, a*b, c, d] there. */
static const char *shape_problem(const Placing *p, Type t)
{
    const Target *k = p->prices.target;
    uint32_t      lead = t.shape.rank == 4 ? 2 : 1;
    int64_t       channels = 1;
    if (t.shape.rank > 4)
        return "more than four axes";
    for (uint32_t i = 0; i < t.shape.rank; i++)
        if (i < lead)
            channels *= t.shape.dim[i];
        else if (t.shape.dim[i] > k->max_axis)
            return arena_printf(p->cx->m->arena, "an axis is longer than %lld", (long long)k->max_axis);
    if (channels > k->max_channels)
        return arena_printf(p->cx->m->arena, "more than %lld channels", (long long)k->max_channels);
    return NULL;
}

/* Throughput falls when values leave the chip, and programs with larger ones than it holds were refused (rule
 * ANE019). */
static bool is_too_large(const Placing *p, Type t)
{
    return 2 * shape_numel(t.shape) > p->prices.target->onchip;
}

/* Products and sums over channels contract them: as a convolution where that may have so many inputs, else as a matmul,
 * which has the rows of its matrices as the height of an image. */
static const char *contraction_problem(const Placing *p, ValueId v)
{
    const Target *k = p->prices.target;
    const Node   *n = &p->g->node[v];
    if ((n->op == OP_sum && n->a.reduce.axes & 1) || (n->op == OP_broadcast && n->type.shape.rank == 4)) {
        Shape   x = p->g->node[node_arg(p->g, v, 0)].type.shape;
        int64_t channels = x.rank == 4 ? (int64_t)x.dim[0] * x.dim[1] : x.dim[0];
        if (channels > k->max_conv_in)
            return arena_printf(p->cx->m->arena, "a sum over more than %lld channels", (long long)k->max_conv_in);
    }
    if (n->op != OP_matmul || n->type.shape.rank != 2 || price_is_conv(&p->prices, v))
        return NULL;
    for (uint32_t i = 0; i < 2; i++) {
        Shape x = p->g->node[node_arg(p->g, v, i)].type.shape;
        if (x.dim[0] > k->max_axis)
            return arena_printf(p->cx->m->arena, "a product of a matrix with more than %lld rows",
                                (long long)k->max_axis);
    }
    return n->type.shape.dim[0] > k->max_axis ? "too many rows for a product of activations" : NULL;
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

static const char *engine_problem(const Placing *p, ValueId v)
{
    const Node *n = &p->g->node[v];
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
        if (shape_problem(p, t))
            return shape_problem(p, t);
        if (!p->prices.constant[node_arg(p->g, v, i)] && is_too_large(p, t))
            return "a value larger than the engine's memory";
    }
    if (shape_problem(p, n->type))
        return shape_problem(p, n->type);
    if (is_too_large(p, n->type))
        return "a value larger than the engine's memory";
    if (merge_problem(p->g, n))
        return merge_problem(p->g, n);
    if (contraction_problem(p, v))
        return contraction_problem(p, v);
    if (n->type.shape.rank < 2 || shape_numel(n->type.shape) == 1)
        return "fewer than two axes, or a single element";
    if ((n->op == OP_matmul || n->op == OP_softmax) && n->type.shape.dim[n->type.shape.rank - 1] < ROW_MIN)
        return "rows shorter than 16";
    return NULL;
}

/* What leaves the graph, or is handed to a repeat. */
static bool *leaving(const Placing *p)
{
    bool *is = NEW_N(p->cx->scratch, bool, p->g->count);
    for (ValueId v = 1; v < p->g->count; v++)
        for (uint32_t i = 0; i < p->g->node[v].in_count && p->g->node[v].op == OP_repeat; i++)
            is[node_arg(p->g, v, i)] = true;
    for (uint32_t i = 0; i < p->g->outs; i++)
        is[p->g->out[i]] = true;
    return is;
}

static bool fix(Placing *p)
{
    bool ok = true, *leaves = leaving(p);
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
        p->why[v] = op_is_sink(n->op) ? NULL : engine_problem(p, v);
        if (!p->why[v] && leaves[v] && n->type.shape.dim[n->type.shape.rank - 1] < ROW_MIN && !op_is_sink(n->op))
            p->why[v] = "rows shorter than 16 cannot leave a program";
        if (pin == PLACE_ANE && p->why[v] && n->role == ROLE_FWD) {
            Diag *d = diag_error(p->cx->diags, "E0703", n->at, "'%s' cannot run on the ANE (%s)", op_info[n->op].name,
                                 p->why[v]);
            diag_help(d, "drop the pin%s",
                      n->op == OP_gather ? ", or multiply by a one-hot table if the vocabulary is tiny" : "");
            ok = false;
        }
        if (op_is_sink(n->op) || p->why[v] || pin == PLACE_CPU || !switched_on(p->cx->m->off, SWITCH_engine))
            p->fixed[v] = DEV_CPU;
        else if (pin == PLACE_ANE)
            p->fixed[v] = DEV_ANE;
        else if (n->role == ROLE_BWD && p->weight[v] &&
                 (n->op != OP_matmul || p->prices.target->weight_gradients == WHERE_CPU))
            p->fixed[v] = DEV_CPU;
    }
    rules_fix(p->cx->m, p->cx->scratch, p->g, p->fixed);
    return ok;
}

/* Forward values that the backward direction reads: their way through memory is part of what the engine would cost. */
enum { READ_BY_ENGINE = 1, READ_BY_CPU = 2 };

static uint8_t *saved_values(const Placing *p)
{
    uint8_t *saved = NEW_N(p->cx->scratch, uint8_t, p->g->count);
    for (ValueId v = 1; v < p->g->count; v++)
        for (uint32_t i = 0; i < p->g->node[v].in_count && p->g->node[v].role == ROLE_BWD; i++) {
            ValueId u = node_arg(p->g, v, i);
            if (p->g->node[u].role == ROLE_FWD)
                saved[u] |= p->fixed[v] == DEV_CPU ? READ_BY_CPU : READ_BY_ENGINE;
        }
    for (ValueId v = 1; v < p->g->count; v++)
        saved[v] = saved[v] == READ_BY_CPU ? 0 : saved[v] ? saved[v] & READ_BY_CPU ? READ_BY_CPU : READ_BY_ENGINE : 0;
    return saved;
}

/* What either device takes for a value. A product with parameters goes to the engine unless the CPU saves more than a
 * dispatch with it, whatever its size: people try things with small models and want to see them run as large ones do.
 * So its price on the CPU has two more, for the dispatch that the engine's program needs and for that margin. */
static void set_prices(Placing *p)
{
    int64_t dispatch = price_bytes(p->prices.target->dispatch * 1e3, 1);
    uint8_t *saved = saved_values(p);
    for (ValueId v = 1; v < p->g->count; v++) {
        const Node *n = &p->g->node[v];
        if (p->made_anywhere[v] || op_is_sink(n->op))
            continue;
        p->ane[v] = p->fixed[v] == DEV_CPU ? 0 : price_engine(&p->prices, v) + price_spill(&p->prices, v);
        p->cpu[v] = p->fixed[v] == DEV_CPU ? 0 : price_cpu(&p->prices, v);
        if (saved[v])
            p->ane[v] +=
                price_saving(p->prices.target, shape_numel(crossing_form(p->g, v).shape), saved[v] == READ_BY_CPU);
        bool weights = n->op == OP_matmul &&
                       (p->prices.constant[node_arg(p->g, v, 0)] || p->prices.constant[node_arg(p->g, v, 1)]);
        if (weights && p->fixed[v] == DEV_ANY)
            p->cpu[v] += 2 * dispatch;
    }
}

static bool place_graph(PassCtx *cx, Graph *g, bool is_region)
{
    Placing p = {.cx = cx, .g = g, .is_region = is_region};
    p.prices = (Prices){cx->m->target, g, constant_expressions(cx->scratch, g)};
    p.fixed = NEW_N(cx->scratch, Place, g->count);
    p.made_anywhere = NEW_N(cx->scratch, bool, g->count);
    p.why = NEW_N(cx->scratch, const char *, g->count);
    p.weight = weight_gradients(cx->scratch, g);
    p.ane = NEW_N(cx->scratch, int64_t, g->count);
    p.cpu = NEW_N(cx->scratch, int64_t, g->count);
    bool ok = fix(&p);
    if (ok) {
        Place *at = NEW_N(cx->scratch, Place, g->count);
        set_prices(&p);
        place_cut(&p, at);
        place_copies(cx, g, at);
        rules_cut(cx->m, cx->scratch, g);
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

/* taps_apply.c: the taps pass: find what the backward direction reads of the forward one, decide (taps.c), rewrite.
 *
 * There are two borders. Between the region F of a forward repeat and the region B of its backward one, saved values
 * are stacked results of F and stacked operands of B. Within a graph, backward nodes simply read forward nodes. What is
 * to be recomputed is cloned with ROLE_BWD: in B, or behind the forward nodes of the graph.
 *
 * At the first border, B often computes values that F has computed too: a hand-written adjoint starts from the
 * function's operands. Every node of B gets a twin in F where there is one: the same operation on twins. Nodes with a
 * twin are dropped from B; whether B then reads the value or computes it (again) is for the cut to say.
 *
 * Module.memory limits what is saved: by a price of memory in all cuts (a Lagrange multiplier), the lowest that keeps
 * the limit. A high price leaves what cannot be computed again: the inputs of a loop's iterations, what the CPU has
 * gathered. */
#include "passes/loop.h"
#include "passes/node_cost.h"
#include "passes/simplify.h"
#include "passes/taps.h"

#include <string.h>

/* What a byte of memory costs, and what the decisions come to. */
typedef struct {
    double  price;
    int64_t bytes;
    double  flops;
} Saving;

typedef struct {
    Module  *m;
    Arena   *scratch;
    Graph   *top;     /* the graph being built around the repeats */
    Node     forward; /* the two repeats, as in the old graph */
    Node     backward;
    ValueId  forward_at;               /* in top */
    const ValueId *f_arg, *b_arg;      /* their operands, in top */
    Graph   *f;                        /* F, grows results */
    const Graph *b;                    /* B as it was */
    ValueId *twin;                     /* B -> F */
    Tap     *tap;                      /* of F */
    Loop     loop;                     /* B as it becomes */
    ValueId *have;                     /* F -> new B */
    ValueId *map;                      /* B -> new B */
    Saving  *saving;
} Border;

/* ---- twins ---- */

static ValueId twin_of_input(const Border *x, uint32_t index, const ValueId *f_input)
{
    uint32_t carries = x->backward.a.repeat.n_carry, xs_end = carries + x->backward.a.repeat.n_xs;
    if (index < carries)
        return 0;
    ValueId     operand = x->b_arg[index];
    const Node *p = &x->top->node[operand];
    bool        stacked = index < xs_end;
    if (stacked && p->op == OP_proj && node_arg(x->top, operand, 0) == x->forward_at &&
        p->a.proj.index >= x->forward.a.repeat.n_carry)
        return x->f->out[p->a.proj.index];
    uint32_t f_carries = x->forward.a.repeat.n_carry, f_xs_end = f_carries + x->forward.a.repeat.n_xs;
    for (uint32_t i = stacked ? f_carries : f_xs_end; i < (stacked ? f_xs_end : x->forward.in_count); i++)
        if (x->f_arg[i] == operand)
            return f_input[i];
    return 0;
}

static void find_twins(Border *x)
{
    const Graph   *b = x->b;
    const ValueId *f_input = graph_input_nodes(x->scratch, x->f);
    Simp           values = {.m = x->m, .scratch = x->scratch, .g = x->f};
    for (ValueId v = 1; v < x->f->count; v++)
        cse_add(&values, v);
    for (ValueId v = 1; v < b->count; v++) {
        const Node *n = &b->node[v];
        if (n->op == OP_input) {
            x->twin[v] = twin_of_input(x, n->a.input.index, f_input);
            continue;
        }
        ValueId *in = NEW_N(x->scratch, ValueId, n->in_count + 1u);
        bool     all = node_is_pure(n);
        for (uint32_t i = 0; i < n->in_count && all; i++)
            all = (in[i] = x->twin[node_arg(b, v, i)]) != 0;
        if (all)
            x->twin[v] = cse_find(&values, n, in, n->in_count);
    }
}

/* ---- rewriting B ---- */

/* The stack of F's value `v`, in top. */
static ValueId stack_of(Border *x, ValueId v)
{
    uint32_t k = x->forward.a.repeat.n_carry;
    while (k < x->f->outs && x->f->out[k] != v)
        k++;
    if (k == x->f->outs)
        graph_add_out(x->m, x->f, v, 0);
    Node like = x->f->node[v];
    like.role = ROLE_FWD;
    like.device = DEV_ANY;
    like.hint = 0;
    return g_proj(x->m, x->top, &like, x->forward_at, k);
}

/* F's value `v`, in the new B. */
static ValueId available(Border *x, ValueId v)
{
    if (x->have[v])
        return x->have[v];
    Node     n = x->f->node[v];
    uint32_t carries = x->forward.a.repeat.n_carry, xs_end = carries + x->forward.a.repeat.n_xs;
    n.role = ROLE_BWD;
    if (n.op == OP_input && n.a.input.index >= carries) {
        uint32_t i = n.a.input.index;
        x->have[v] = loop_input(&x->loop, i < xs_end ? LOOP_XS : LOOP_INVARIANT, n.name, n.type, x->f_arg[i], n.at);
        x->loop.region->node[x->have[v]].from = n.from;
    } else if (n.op == OP_const || n.op == OP_param || n.op == OP_iota || x->tap[v] == TAP_RECOMPUTE ||
               is_param_expr(x->f, v)) {
        ValueId *in = NEW_N(x->scratch, ValueId, n.in_count + 1u);
        for (uint32_t i = 0; i < n.in_count; i++)
            in[i] = available(x, node_arg(x->f, v, i));
        n.again = n.in_count > 0;
        x->have[v] = graph_add(x->m, x->loop.region, &n, in, n.in_count);
    } else {
        x->have[v] = loop_input(&x->loop, LOOP_XS, n.name, n.type, stack_of(x, v), n.at);
        x->loop.region->node[x->have[v]].from = n.from;
    }
    return x->have[v];
}

static ValueId value(Border *x, ValueId v)
{
    return x->twin[v] ? available(x, x->twin[v]) : x->map[v];
}

/* Decide for one forward graph, which runs `times` times. */
static Tap *choose(Module *m, Arena *a, const Graph *f, const TapCost *cost, const TapRead *read, int32_t times,
                   Saving *s)
{
    Tap   *tap = taps_cut(a, f, cost, read, s->price);
    Prices p = {m->target, f, constant_expressions(a, f)};
    for (ValueId v = 1; v < f->count; v++)
        if (tap[v] == TAP_SAVE)
            s->bytes += cost[v].bytes;
        else if (tap[v] == TAP_RECOMPUTE)
            s->flops += price_flops(&p, v) * times;
    return tap;
}

static void decide(Border *x)
{
    const Graph *b = x->b;
    TapRead     *read = NEW_N(x->scratch, TapRead, x->f->count);
    const bool  *weight = weight_gradients(x->scratch, b);
    for (ValueId v = 1; v < b->count; v++)
        for (uint32_t i = 0; i < b->node[v].in_count && !x->twin[v]; i++)
            taps_note_read(x->m, b, v, weight, &read[x->twin[node_arg(b, v, i)]]);
    for (uint32_t i = 0; i < b->outs; i++)
        read[x->twin[b->out[i]]].engine = true;
    read[0] = (TapRead){0}; /* what has no twin */
    int32_t        times = x->forward.a.repeat.n;
    const TapCost *cost = taps_costs(x->m, x->scratch, x->f, true, x->forward.a.repeat.n_carry, times, read);
    x->tap = choose(x->m, x->scratch, x->f, cost, read, times, x->saving);
}

/* The backward repeat, rewritten and appended to top. */
static ValueId cross(Border *x)
{
    Module *m = x->m;
    x->twin = NEW_N(x->scratch, ValueId, x->b->count);
    x->have = NEW_N(x->scratch, ValueId, x->f->count);
    x->map = NEW_N(x->scratch, ValueId, x->b->count);
    find_twins(x);
    decide(x);
    Graph *region = module_add_graph(m, x->b->name);
    x->loop = (Loop){.m = m, .scratch = x->scratch, .region = region};
    uint32_t carries = x->backward.a.repeat.n_carry, xs_end = carries + x->backward.a.repeat.n_xs;
    /* Carried inputs keep their order, whatever the order of their nodes. */
    const ValueId *input = graph_input_nodes(x->scratch, x->b);
    for (uint32_t i = 0; i < x->b->inputs; i++) {
        GraphInput in = x->b->input[i];
        if (i < carries || (input[i] && !x->twin[input[i]])) {
            ValueId v = loop_input(&x->loop, i < carries ? LOOP_CARRY : i < xs_end ? LOOP_XS : LOOP_INVARIANT, in.name,
                                   in.type, x->b_arg[i], x->backward.at);
            x->loop.region->node[v].from = x->backward.from;
            if (input[i])
                x->map[input[i]] = v;
        }
    }
    for (ValueId v = 1; v < x->b->count; v++) {
        const Node *n = &x->b->node[v];
        if (x->twin[v] || n->op == OP_input)
            continue;
        ValueId *in = NEW_N(x->scratch, ValueId, n->in_count + 1u);
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = value(x, node_arg(x->b, v, i));
        x->map[v] = graph_add(m, region, n, in, n->in_count);
    }
    for (uint32_t i = 0; i < x->b->outs; i++)
        graph_add_out(m, region, value(x, x->b->out[i]), x->b->out_name[i]);
    return loop_finish(&x->loop, x->top, &x->backward);
}

/* The forward repeat that `v`, a backward repeat of g, belongs to: the last one whose stacks it reads. 0: none. */
static ValueId partner(const Graph *g, ValueId v)
{
    const Node *b = &g->node[v];
    ValueId     best = 0;
    for (uint32_t i = b->a.repeat.n_carry; i < b->a.repeat.n_carry + b->a.repeat.n_xs; i++) {
        const Node *p = &g->node[node_arg(g, v, i)];
        if (p->op != OP_proj)
            continue;
        ValueId     f = node_in(g, p)[0];
        const Node *r = &g->node[f];
        if (r->op == OP_repeat && r->role == ROLE_FWD && r->a.repeat.n == b->a.repeat.n &&
            r->a.repeat.first == b->a.repeat.first && p->a.proj.index >= r->a.repeat.n_carry && f > best)
            best = f;
    }
    return best;
}

/* Rewrite all pairs of repeats in `g`. */
static void cross_regions(Module *m, Graph *g, Arena *scratch, Saving *saving)
{
    Graph   *to = graph_successor(m, g);
    ValueId *map = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        ValueId f = g->node[v].op == OP_repeat && g->node[v].role == ROLE_BWD ? partner(g, v) : 0;
        if (!f) {
            map[v] = graph_copy_node(m, to, g, v, map);
            continue;
        }
        Border x = {
            .m = m, .scratch = scratch, .top = to, .forward = g->node[f], .backward = g->node[v], .saving = saving};
        ValueId *f_arg = NEW_N(scratch, ValueId, x.forward.in_count + 1u);
        ValueId *b_arg = NEW_N(scratch, ValueId, x.backward.in_count + 1u);
        for (uint32_t i = 0; i < x.forward.in_count; i++)
            f_arg[i] = map[node_arg(g, f, i)];
        for (uint32_t i = 0; i < x.backward.in_count; i++)
            b_arg[i] = map[node_arg(g, v, i)];
        x.f_arg = f_arg;
        x.b_arg = b_arg;
        x.forward_at = map[f];
        x.f = m->graph[x.forward.a.repeat.graph];
        x.b = m->graph[x.backward.a.repeat.graph];
        map[v] = cross(&x);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
    graph_split_roles(m, to, scratch);
    graph_replace(m, to);
}

/* ---- within one graph ---- */

typedef struct {
    Module      *m;
    Arena       *scratch;
    const Graph *from;
    Graph       *to;
    const Tap   *tap;
    ValueId     *map;   /* values of `from` */
    ValueId     *again; /* their clones for the backward direction */
} Clone;

static ValueId for_backward(Clone *c, ValueId v)
{
    const Node *n = &c->from->node[v];
    if (n->role == ROLE_BWD || c->tap[v] != TAP_RECOMPUTE)
        return c->map[v];
    if (!c->again[v]) {
        ValueId *in = NEW_N(c->scratch, ValueId, n->in_count + 1u);
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = for_backward(c, node_arg(c->from, v, i));
        Node copy = *n;
        copy.role = ROLE_BWD;
        copy.again = n->in_count > 0;
        c->again[v] = graph_add(c->m, c->to, &copy, in, n->in_count);
    }
    return c->again[v];
}

static void cross_graph(Module *m, Graph *g, Arena *scratch, Saving *saving)
{
    TapRead    *read = NEW_N(scratch, TapRead, g->count);
    const bool *weight = weight_gradients(scratch, g);
    bool        any = false;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count && g->node[v].role == ROLE_BWD; i++) {
            ValueId u = node_arg(g, v, i);
            if (g->node[u].role != ROLE_FWD || g->node[u].type.dtype == DT_NONE)
                continue;
            any = true;
            taps_note_read(m, g, v, weight, &read[u]);
        }
    if (!any)
        return;
    const TapCost *cost = taps_costs(m, scratch, g, false, 0, 1, read);
    Clone          c = {m, scratch, g, graph_successor(m, g), choose(m, scratch, g, cost, read, 1, saving), NULL, NULL};
    c.map = NEW_N(scratch, ValueId, g->count);
    c.again = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        ValueId    *in = NEW_N(scratch, ValueId, n->in_count + 1u);
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = n->role == ROLE_BWD ? for_backward(&c, node_arg(g, v, i)) : c.map[node_arg(g, v, i)];
        c.map[v] = graph_add(m, c.to, n, in, n->in_count);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, c.to, c.map[g->out[i]], g->out_name[i]);
    graph_replace(m, c.to);
}

/* Both borders of `g` and its repeats, at a price of memory. */
static Saving cross_all(Module *m, Graph *g, Arena *scratch, double price)
{
    Saving s = {.price = price};
    cross_regions(m, g, scratch, &s);
    simplify_graph(m, g, true, scratch); /* drops stacks that nobody reads now */
    graph_split_roles(m, g, scratch);
    cross_graph(m, g, scratch, &s);
    return s;
}

/* ---- a limit on memory ---- */

/* What the decisions come to at this price, made on a copy. */
static Saving try_price(Module *m, const Graph *g, Arena *scratch, double price)
{
    Graph *copy = graph_clone(m, g);
    for (ValueId v = 1; v < copy->count; v++)
        if (copy->node[v].op == OP_repeat)
            copy->node[v].a.repeat.graph = graph_clone(m, m->graph[copy->node[v].a.repeat.graph])->id;
    return cross_all(m, copy, scratch, price);
}

/* The lowest price at which no more than `limit` bytes are saved: what is saved shrinks as the price grows. Powers of
 * two first, then some bits behind them. Negative if no price will do; *least is then what must be saved at least. */
static double price_for(Module *m, const Graph *g, Arena *scratch, int64_t limit, int64_t *least)
{
    Saving free = try_price(m, g, scratch, 0);
    *least = free.bytes;
    if (free.bytes <= limit)
        return 0;
    double high = (double)TAP_MEMORY / (double)free.bytes, low = 0;
    *least = try_price(m, g, scratch, high).bytes;
    if (*least > limit)
        return -1;
    for (int halvings = 0; halvings < 48; halvings++) {
        low = high / 2;
        if (try_price(m, g, scratch, low).bytes > limit)
            break;
        high = low;
    }
    for (int bit = 0; bit < 6; bit++) {
        double middle = low + (high - low) / 2;
        *(try_price(m, g, scratch, middle).bytes > limit ? &low : &high) = middle;
    }
    return high;
}

static bool has_backward(const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].role == ROLE_BWD)
            return true;
    return false;
}

PassResult pass_taps(PassCtx *cx)
{
    Module *m = cx->m;
    bool    changed = false;
    for (uint32_t i = 0; i < m->entries; i++) {
        Graph *g = m->graph[m->entry[i].graph];
        if (!has_backward(g))
            continue;
        int64_t least = 0;
        double  price = m->memory ? price_for(m, g, cx->scratch, m->memory, &least) : 0;
        if (price < 0) {
            Diag *d = diag_error(cx->diags, "E0704", m->entry[i].at,
                                 "a training step must save %lld bytes for the backward direction; the limit is %lld",
                                 (long long)least, (long long)m->memory);
            diag_help(d, "allow --memory %lldM, drop #[save], or train on shorter sequences",
                      (long long)((least + (1 << 20) - 1) >> 20));
            return PASS_FAILED;
        }
        Saving s = cross_all(m, g, cx->scratch, price);
        m->saved_bytes = s.bytes;
        m->recomputed_flops = s.flops;
        changed = true;
    }
    return changed ? PASS_CHANGED : PASS_SAME;
}

/* adjoint_repeat.c: the adjoint of repeat: another repeat, which runs the other way.
 *
 * The forward region R is differentiated once, whatever the number of iterations. The backward region B has
 *     carry       the cotangents of R's carried values, and one accumulator for each invariant that needs a gradient
 *     xs          the cotangents of R's stacked results, then the stacks of what B reads of R
 *     invariants  those of R that B reads
 *     results     the carries, then the cotangents of R's stacked operands
 * What B reads of R: constants, parameters and what is made of these alone are made again, invariants and stacked
 * operands are passed again, and every other value becomes one more stacked result of R. (Which of those are really
 * worth their memory is decided later, by the taps pass.) A cotangent is carried only where one can arrive; that set is
 * a fixed point. */
#include "passes/adjoint.h"
#include "passes/loop.h"

typedef struct {
    Adjoint       *outer;
    const Node    *repeat;  /* in outer->src */
    ValueId        forward; /* the forward repeat in outer->dst */
    Graph         *region;  /* its region, which grows results */
    const ValueId *arg;     /* its operands, in outer->src */
    Loop           back;    /* B as it grows */
} Backward;

static ValueId new_input(Backward *l, LoopKind kind, StrId name, Type inside, ValueId operand)
{
    return loop_input(&l->back, kind, name, inside, operand, l->repeat->at);
}

/* The stack of `v` of the region over all iterations, in outer->dst. */
static ValueId stack_of(Backward *l, ValueId v)
{
    Module  *m = l->outer->m;
    uint32_t k = l->repeat->a.repeat.n_carry;
    while (k < l->region->outs && l->region->out[k] != v)
        k++;
    if (k == l->region->outs)
        graph_add_out(m, l->region, v, 0);
    Node like = l->region->node[v];
    like.role = ROLE_FWD;
    return g_proj(m, l->outer->dst, &like, l->forward, k);
}

/* Bring value `v` of the forward region into B. */
static ValueId fetch(Adjoint *ad, ValueId v)
{
    Backward   *l = ad->fetch_data;
    const Node *n = &ad->src->node[v];
    uint32_t    carries = l->repeat->a.repeat.n_carry, xs = l->repeat->a.repeat.n_xs;
    if (n->op == OP_const || n->op == OP_iota || n->op == OP_param || is_param_expr(ad->src, v)) {
        Node     copy = *n;
        ValueId *in = NEW_N(ad->scratch, ValueId, n->in_count + 1u);
        for (uint32_t i = 0; i < n->in_count; i++)
            in[i] = adjoint_read(ad, node_arg(ad->src, v, i));
        copy.role = ROLE_BWD;
        return graph_add(ad->m, ad->dst, &copy, in, n->in_count);
    }
    if (n->op == OP_input && n->a.input.index >= carries) {
        uint32_t i = n->a.input.index;
        ValueId  operand = adjoint_read(l->outer, l->arg[i]);
        return new_input(l, i < carries + xs ? LOOP_XS : LOOP_INVARIANT, n->name, n->type, operand);
    }
    StrId name = n->name;
    Type  type = n->type;
    return new_input(l, LOOP_XS, name, type, stack_of(l, v));
}

/* Where a cotangent can be while iterations go back: arrives[i] for R's inputs, given those of its results. */
static bool *arrivals(Adjoint *ad, const Graph *r, const Node *repeat, const bool *needs, const ValueId *input,
                      const ValueId *cot)
{
    uint32_t carries = repeat->a.repeat.n_carry;
    bool    *in = NEW_N(ad->scratch, bool, r->inputs + 1u);
    for (uint32_t i = 0; i < carries; i++)
        in[i] = cot[i] != 0;
    for (bool changed = true; changed;) {
        changed = false;
        bool *on = NEW_N(ad->scratch, bool, r->count);
        for (uint32_t i = 0; i < r->outs; i++)
            if (needs[r->out[i]] && (i < carries ? in[i] : cot[i] != 0))
                on[r->out[i]] = true;
        adjoint_reach(ad->m, r, needs, on);
        for (uint32_t i = 0; i < r->inputs; i++)
            if (input[i] && on[input[i]] && needs[input[i]] && !in[i])
                in[i] = changed = true;
    }
    return in;
}

static ValueId zero(Module *m, Graph *g, Type t)
{
    Node like = {.role = ROLE_BWD};
    return g_splat(m, g, &like, 0, t);
}

void vjp_of_repeat(Adjoint *outer, ValueId v, const ValueId *cot)
{
    Module      *m = outer->m;
    Arena       *a = outer->scratch;
    const Node  *n = &outer->src->node[v];
    uint32_t     carries = n->a.repeat.n_carry, xs = n->a.repeat.n_xs;
    const Graph *r = m->graph[n->a.repeat.graph];
    StrId        name = intern(m->strings, arena_printf(a, "%s.bwd", interned(m->strings, r->name)));
    Graph       *b = module_add_graph(m, name);
    Backward     l = {.outer = outer, .repeat = n, .forward = outer->at[v], .arg = node_in(outer->src, n)};
    l.back = (Loop){.m = m, .scratch = a, .region = b};
    l.region = m->graph[outer->dst->node[l.forward].a.repeat.graph];
    Adjoint ad = {.m = m, .scratch = a, .src = r, .dst = b, .fetch = fetch, .fetch_data = &l};
    ad.at = NEW_N(a, ValueId, r->count);
    ad.cot = NEW_N(a, ValueId, r->count);
    ad.result_cot = NEW_N(a, ValueId *, r->count);
    ad.needs = needs_of(m, a, r, needs_of_region(m, a, outer->src, n, outer->needs));

    /* Which cotangents there are, and their way into B. */
    const ValueId *input = graph_input_nodes(a, r);
    const bool    *arrives = arrivals(outer, r, n, ad.needs, input, cot);
    ValueId       *seed = NEW_N(a, ValueId, r->outs + 1u), *sum = NEW_N(a, ValueId, r->inputs + 1u);
    for (uint32_t i = 0; i < r->outs; i++) {
        Type t = r->node[r->out[i]].type;
        bool stacked = i >= carries;
        if (stacked ? cot[i] != 0 : arrives[i])
            seed[i] = new_input(&l, stacked ? LOOP_XS : LOOP_CARRY, r->out_name[i], t,
                                cot[i] ? cot[i] : zero(m, outer->dst, t));
    }
    for (uint32_t i = carries + xs; i < r->inputs; i++)
        if (arrives[i]) {
            Type t = r->input[i].type;
            sum[i] = new_input(&l, LOOP_CARRY, r->input[i].name, t, zero(m, outer->dst, t));
        }
    for (uint32_t i = 0; i < r->outs; i++)
        if (seed[i])
            adjoint_give(&ad, r->out[i], seed[i]);
    adjoint_sweep(&ad);

    /* Results, in the order of the carries above; then the stacked ones. */
    for (uint32_t i = 0; i < carries; i++)
        if (arrives[i]) {
            ValueId c = input[i] ? ad.cot[input[i]] : 0;
            graph_add_out(m, b, c ? c : zero(m, b, r->input[i].type), 0);
        }
    Node like = adjoint_like(outer, n);
    for (uint32_t i = carries + xs; i < r->inputs; i++)
        if (arrives[i]) {
            Node total = like; /* of the invariant's cotangents, over the iterations */
            total.name = r->input[i].name;
            total.stmt =
                intern(m->strings, arena_printf(a, "%s.sum", interned(m->strings, total.name ? total.name : n->name)));
            graph_add_out(m, b, g_binary(m, b, &total, OP_add, sum[i], ad.cot[input[i]]), 0);
        }
    uint32_t carried = b->outs;
    for (uint32_t i = carries; i < carries + xs; i++)
        if (arrives[i])
            graph_add_out(m, b, ad.cot[input[i]], 0);

    Node repeat = like;
    repeat.op = OP_repeat;
    repeat.a.repeat = n->a.repeat;
    repeat.a.repeat.reverse = !n->a.repeat.reverse;
    ValueId back = loop_finish(&l.back, outer->dst, &repeat);

    /* Hand the results on: carries to the initial values, sums to the invariants, stacks to the stacked operands. */
    uint32_t k = 0;
    for (uint32_t i = 0; i < carries; i++)
        if (arrives[i])
            adjoint_give(outer, l.arg[i], g_proj(m, outer->dst, &like, back, k++));
    for (uint32_t i = carries + xs; i < r->inputs; i++)
        if (arrives[i])
            adjoint_give(outer, l.arg[i], g_proj(m, outer->dst, &like, back, k++));
    if (k != carried)
        bug("%u carried cotangents, %u results", carried, k);
    for (uint32_t i = carries; i < carries + xs; i++)
        if (arrives[i])
            adjoint_give(outer, l.arg[i], g_proj(m, outer->dst, &like, back, k++));
}

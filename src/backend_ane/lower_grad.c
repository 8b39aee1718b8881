/* lower_grad.c: steps that add to gradients and accumulators.
 *
 * What is computed for a gradient alone goes there directly; sums are added term by term, so that a tied embedding
 * needs no second table. Of what the update reads of the backward direction, the sum over micro-batches is kept in an
 * accumulator (one per iteration in a loop). Products with vectors spread over rows or columns, and their adjoints, are
 * single steps: nothing is spread in memory. */
#include "backend_ane/lower.h"

/* Does anything but `reader` (and views) read `v`? The update has its own copy and does not count. */
static bool read_elsewhere(const Graph *g, ValueId v, ValueId reader)
{
    for (ValueId w = v + 1; w < g->count; w++)
        for (uint32_t k = 0; k < g->node[w].in_count; k++)
            if (w != reader && node_arg(g, w, k) == v && g->node[w].op != OP_reshape &&
                (g->node[w].role != ROLE_UPD || g->node[v].role == ROLE_UPD))
                return true;
    for (uint32_t i = 0; i < g->outs; i++)
        if (g->out[i] == v)
            return true;
    return false;
}

/* Is `v` still to be computed by the CPU, for `reader` alone? */
static bool is_only_for(const Scope *s, ValueId v, ValueId reader)
{
    const Node *n = &s->g->node[v];
    return n->device != DEV_ANE && !is_constant(s->g, v) && n->op != OP_input && n->op != OP_proj &&
           n->op != OP_state && n->op != OP_cast && !s->loc[v].has32 && !s->loc[v].has16 &&
           !read_elsewhere(s->g, v, reader);
}

/* Sum `v` over the terms of `x`, each added to `to`. False, and nothing done, if `x` is no sum or `to` is not added
 * to. */
static bool sum_terms(Scope *s, ValueId v, ValueId reader, ValueId x, Ref to);

static void sum_of(Scope *s, ValueId v, ValueId reader, ValueId x, Ref to)
{
    const Node *n = &s->g->node[v], *p = &s->g->node[x];
    if (sum_terms(s, v, reader, x, to))
        return;
    bool dot = p->op == OP_mul && is_only_for(s, x, reader) && p->type.shape.rank == 2 &&
               (n->a.reduce.axes == 1 || n->a.reduce.axes == 2);
    Ref *in = NEW_N(s->b->a, Ref, 2);
    for (uint32_t k = 0; k < (dot ? 2u : 1u); k++)
        in[k] = operand_ref(s, dot ? p : n, dot ? node_arg(s->g, x, k) : x);
    Step *st = add_step(s->b, list_of(s, n), STEP_OP);
    st->op = dot ? n->a.reduce.axes == 1 ? "coldot" : "rowdot" : "sum";
    st->a = dot ? (StepAttr){0} : step_attributes(n);
    st->out = copy_refs(s->b, &to, 1);
    st->in = in;
    st->outs = 1;
    st->ins = dot ? 2 : 1;
}

static bool sum_terms(Scope *s, ValueId v, ValueId reader, ValueId x, Ref to)
{
    const Node *p = &s->g->node[x];
    bool adds = to.kind == REF_GRAD || (to.kind == REF_BUFFER && s->b->plan->buffer[to.index].kind == BUF_ACCUMULATOR);
    if (!adds || p->op != OP_add || p->role != s->g->node[v].role || !is_only_for(s, x, reader))
        return false;
    sum_of(s, v, x, node_arg(s->g, x, 0), to);
    sum_of(s, v, x, node_arg(s->g, x, 1), to);
    return true;
}

bool add_scale(Scope *s, ValueId v, Ref to)
{
    const Graph *g = s->g;
    const Node  *n = &g->node[v];
    if (n->op == OP_sum && g->node[node_arg(g, v, 0)].op == OP_mul && n->type.dtype != DT_I32) {
        sum_of(s, v, v, node_arg(g, v, 0), to);
        return true;
    }
    for (uint32_t k = 0; k < 2 && n->op == OP_mul && n->type.dtype != DT_I32; k++) {
        ValueId  y = node_arg(g, v, k), source;
        uint32_t axis;
        if (s->loc[y].has32 || s->loc[y].has16 || !spread_of(g, y, &source, &axis) || g->node[y].device == DEV_ANE)
            continue;
        Ref *in = NEW_N(s->b->a, Ref, 2);
        in[0] = operand_ref(s, n, node_arg(g, v, !k));
        in[1] = operand_ref(s, n, source);
        if (in[1].kind == REF_SPLAT)
            continue;
        Step *st = add_step(s->b, list_of(s, n), STEP_OP);
        st->op = axis == 0 ? "colscale" : "rowscale";
        st->out = copy_refs(s->b, &to, 1);
        st->in = in;
        st->outs = 1;
        st->ins = 2;
        return true;
    }
    return false;
}

void accumulate(Scope *s, ValueId reader, ValueId x, Ref to)
{
    const Graph *g = s->g;
    ValueId      root = storage(g, x);
    const Node  *n = &g->node[root], *r = reader ? &g->node[reader] : NULL;
    bool         update = r && r->role == ROLE_UPD && n->role != ROLE_UPD; /* what has been added up */
    if (!update && is_only_for(s, root, reader)) {
        to.shape = shape_at(s, root);
        if (n->op == OP_add) {
            accumulate(s, root, node_arg(g, root, 0), to);
            accumulate(s, root, node_arg(g, root, 1), to);
        } else if (n->op == OP_sum && n->type.dtype != DT_I32)
            sum_of(s, root, root, node_arg(g, root, 0), to);
        else
            add_op(s, root, to);
        return;
    }
    add_reshape(s->b, r ? list_of(s, r) : s->list[ROLE_BWD], to, r ? operand_ref(s, r, x) : cpu_ref(s, x));
}

Ref accumulator(Scope *s, ValueId u)
{
    ValueId root = storage(s->g, u);
    if (!s->summed[root]) {
        uint32_t k = add_buffer(s->b, arena_printf(s->b->a, "%s_sum", value_name(s, root)), BUF_ACCUMULATOR, PLAN_F32,
                                shape_at(s, root), s->n);
        s->summed[root] = true;
        s->sum[root] = buffer_ref(k, s->n != 0, shape_at(s, root));
        accumulate(s, 0, root, s->sum[root]);
    }
    Ref r = s->sum[root];
    r.shape = shape_at(s, u);
    return r;
}

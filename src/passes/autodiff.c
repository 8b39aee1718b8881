/* autodiff.c: reverse-mode differentiation, graph to graph.
 *
 * The new graph starts with a copy of the old one. Then the old nodes are visited from last to first; each hands the
 * cotangent of its result on to its operands by its rule (vjp.c; repeat has a file of its own), and cotangents that
 * meet are added two at a time. Arriving at a parameter, the cotangent ends in a `grad` sink. Values through which no
 * gradient flows get no cotangent, and a cotangent that is zero everywhere is never built.
 *
 * Interface: autodiff() for a loss, adjoint_graph() for any graph with one result (passes.h); pass_autodiff(). */
#include "passes/adjoint.h"

#include <string.h>

/* ---- which values need a gradient ---- */

static bool any_operand(const Graph *g, const Node *n, const bool *flag)
{
    for (uint32_t i = 0; i < n->in_count; i++)
        if (flag[node_in(g, n)[i]])
            return true;
    return false;
}

bool *needs_of_region(Module *m, Arena *scratch, const Graph *g, const Node *repeat, const bool *needs)
{
    const Graph *region = m->graph[repeat->a.repeat.graph];
    bool        *in = NEW_N(scratch, bool, region->inputs + 1u);
    for (uint32_t i = 0; i < region->inputs; i++)
        in[i] = needs[node_in(g, repeat)[i]];
    for (bool changed = true; changed;) {
        changed = false;
        const bool *inside = needs_of(m, scratch, region, in);
        for (uint32_t i = 0; i < repeat->a.repeat.n_carry; i++)
            if (inside[region->out[i]] && !in[i])
                in[i] = changed = true;
    }
    return in;
}

bool *needs_of(Module *m, Arena *scratch, const Graph *g, const bool *input_needs)
{
    bool  *needs = NEW_N(scratch, bool, g->count);
    bool **results = NEW_N(scratch, bool *, g->count); /* of repeats: for each result */
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_repeat) {
            const Graph *region = m->graph[n->a.repeat.graph];
            const bool  *in = needs_of_region(m, scratch, g, n, needs);
            const bool  *inside = needs_of(m, scratch, region, in);
            results[v] = NEW_N(scratch, bool, region->outs + 1u);
            for (uint32_t i = 0; i < region->outs; i++)
                results[v][i] = inside[region->out[i]] || (i < n->a.repeat.n_carry && in[i]);
        } else if (n->op == OP_call) {
            results[v] = NEW_N(scratch, bool, m->graph[n->a.call.graph]->outs + 1u);
            results[v][0] = any_operand(g, n, needs);
        } else if (!dtype_is_real(n->type.dtype)) {
            continue;
        } else if (n->op == OP_param) {
            needs[v] = is_trained_set(m, n->a.leaf.set);
        } else if (n->op == OP_input) {
            needs[v] = input_needs && input_needs[n->a.input.index];
        } else if (n->op == OP_proj) {
            needs[v] = results[node_arg(g, v, 0)][n->a.proj.index];
        } else {
            needs[v] = op_info[n->op].has_vjp && any_operand(g, n, needs);
        }
    }
    return needs;
}

void adjoint_reach(const Module *m, const Graph *g, const bool *needs, bool *from)
{
    for (ValueId v = g->count - 1; v > 0; v--) {
        const Node *n = &g->node[v];
        if (!from[v])
            continue;
        if (n->op == OP_proj) { /* regions do not nest: this is a call's result */
            from[node_arg(g, v, 0)] = m->graph[g->node[node_arg(g, v, 0)].a.call.graph]->outs > 0;
            continue;
        }
        for (uint32_t i = 0; i < n->in_count; i++)
            if (needs[node_arg(g, v, i)])
                from[node_arg(g, v, i)] = true;
    }
}

/* ---- the sweep ---- */

ValueId adjoint_read(Adjoint *ad, ValueId v)
{
    if (!ad->at[v])
        ad->at[v] = ad->fetch(ad, v);
    return ad->at[v];
}

Node adjoint_like(Adjoint *ad, const Node *n)
{
    Hint h = ad->m->hint[n->hint];
    Node like = {.role = ROLE_BWD,
                 .name = n->name,
                 .scope = n->scope,
                 .stmt = n->stmt,
                 .tag = n->tag,
                 .at = n->at,
                 .from = n->from};
    if (n->hint && (h.f32 || h.place == PLACE_CPU))
        like.hint = module_add_hint(
            ad->m, (Hint){.f32 = h.f32, .place = h.place == PLACE_CPU ? h.place : PLACE_FREE, .at = h.at});
    return like;
}

/* The last component of a path. */
static const char *last(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* The cotangent of `n` so far plus the one that the rule of ad->by gives. Such a sum belongs to the statement that
 * reads the value and is named by the two, "d_wq_y_xn" where the call labelled `wq` reads `xn`; never by counting: one
 * more reader of `xn` leaves the other sums their names. */
static ValueId add_cotangent(Adjoint *ad, const Node *n, ValueId sum, ValueId d)
{
    const Module *m = ad->m;
    Node          like = adjoint_like(ad, n);
    if (ad->by) {
        const Node *by = &ad->src->node[ad->by];
        StrId       own = n->name ? n->name : n->stmt ? n->stmt : n->scope;
        const char *reader = by->stmt ? interned(m->strings, by->stmt) : op_info[by->op].name;
        like.name = intern(m->strings, own ? last(interned(m->strings, own)) : op_info[n->op].name);
        like.stmt = intern(m->strings, arena_printf(ad->scratch, "%s.%s", reader, interned(m->strings, like.name)));
        like.scope = by->scope;
        like.from = by->from;
    }
    return g_binary(ad->m, ad->dst, &like, OP_add, sum, d);
}

void adjoint_give(Adjoint *ad, ValueId v, ValueId d)
{
    if (!ad->needs[v])
        return;
    ad->cot[v] = ad->cot[v] ? add_cotangent(ad, &ad->src->node[v], ad->cot[v], d) : d;
}

/* The cotangent of result `index` of a repeat or call; it is used when the sweep arrives at that node. */
static void give_result(Adjoint *ad, ValueId source, uint32_t index, ValueId d)
{
    const Node *s = &ad->src->node[source];
    if (!ad->result_cot[source])
        ad->result_cot[source] = NEW_N(ad->scratch, ValueId, ad->m->graph[node_region(s)]->outs);
    ValueId *c = &ad->result_cot[source][index];
    *c = *c ? add_cotangent(ad, s, *c, d) : d;
}

/* y = f(x...) with a hand-written adjoint f'(x..., g): a call of f'. */
static void vjp_of_call(Adjoint *ad, ValueId v, const ValueId *cot)
{
    const Node *n = &ad->src->node[v];
    if (!n->a.call.vjp)
        bug("a call without an adjoint reached the sweep");
    if (!cot[0])
        return;
    ValueId *in = NEW_N(ad->scratch, ValueId, n->in_count + 1u);
    for (uint32_t i = 0; i < n->in_count; i++)
        in[i] = adjoint_read(ad, node_arg(ad->src, v, i));
    in[n->in_count] = cot[0];
    Node like = adjoint_like(ad, n), call = like;
    call.op = OP_call;
    call.a.call.graph = n->a.call.vjp;
    call.a.call.fn = n->a.call.fn;
    ValueId c = graph_add(ad->m, ad->dst, &call, in, n->in_count + 1u);
    for (uint32_t i = 0, k = 0; i < n->in_count; i++) {
        ValueId x = node_arg(ad->src, v, i);
        if (!dtype_is_real(ad->src->node[x].type.dtype))
            continue;
        if (ad->needs[x])
            adjoint_give(ad, x, g_proj(ad->m, ad->dst, &like, c, k));
        k++;
    }
}

void adjoint_sweep(Adjoint *ad)
{
    for (ValueId v = ad->src->count - 1; v > 0; v--) {
        const Node *n = &ad->src->node[v];
        ad->by = v;
        if (ad->result_cot[v]) {
            if (n->op == OP_repeat)
                vjp_of_repeat(ad, v, ad->result_cot[v]);
            else
                vjp_of_call(ad, v, ad->result_cot[v]);
        }
        if (!ad->cot[v] || !ad->needs[v] || n->op == OP_input)
            continue;
        if (n->op == OP_proj) {
            give_result(ad, node_arg(ad->src, v, 0), n->a.proj.index, ad->cot[v]);
        } else if (n->op == OP_param) {
            Node sink = adjoint_like(ad, n);
            sink.op = OP_grad;
            sink.a.leaf = n->a.leaf;
            graph_add(ad->m, ad->dst, &sink, &ad->cot[v], 1);
        } else {
            Vjp r = {ad, ad->m, ad->dst, v, n, adjoint_like(ad, n), ad->cot[v]};
            vjp_rule[n->op](&r);
        }
    }
}

/* ---- whole graphs ---- */

/* Start: dst gets src's inputs and a copy of its nodes; repeats get a region of their own, which may grow results. */
static Adjoint begin(Module *m, Arena *scratch, const Graph *src, const bool *input_needs)
{
    Graph  *dst = module_add_graph(m, src->name);
    Adjoint ad = {.m = m, .scratch = scratch, .src = src, .dst = dst};
    ad.at = NEW_N(scratch, ValueId, src->count);
    ad.cot = NEW_N(scratch, ValueId, src->count);
    ad.result_cot = NEW_N(scratch, ValueId *, src->count);
    ad.needs = needs_of(m, scratch, src, input_needs);
    for (uint32_t i = 0; i < src->inputs; i++) {
        GROW(m->arena, dst->input, dst->inputs, dst->inputs_cap);
        dst->input[dst->inputs++] = src->input[i];
    }
    for (ValueId v = 1; v < src->count; v++) {
        Node n = src->node[v];
        if (n.op == OP_repeat)
            n.a.repeat.graph = graph_clone(m, m->graph[n.a.repeat.graph])->id;
        ValueId *in = NEW_N(scratch, ValueId, n.in_count + 1u);
        for (uint32_t i = 0; i < n.in_count; i++)
            in[i] = ad.at[node_arg(src, v, i)];
        ad.at[v] = graph_add(m, dst, &n, in, n.in_count);
    }
    return ad;
}

/* The graph with plain calls expanded, so that every call left has an adjoint. Regions of repeats likewise. */
static Graph *expanded(Module *m, Arena *scratch, const Graph *g)
{
    Graph *c = graph_clone(m, g);
    for (ValueId v = 1; v < c->count; v++)
        if (c->node[v].op == OP_repeat)
            c->node[v].a.repeat.graph = graph_clone(m, m->graph[c->node[v].a.repeat.graph])->id;
    inline_calls(m, c, true, scratch);
    return c;
}

/* Names of a state's leaves are known; of several, the first. */
static const char *state_name(const Module *m, const Node *n)
{
    const LeafSet *s = &m->state_set[n->a.leaf.set];
    return interned(m->strings, m->state[s->leaf[0]].path);
}

/* The loss must not lead back to a state or an operation without adjoint. Values behind stop_grad are constants. */
static bool differentiable(Module *m, Arena *scratch, const Graph *g, const char *entry, Diags *ds)
{
    bool  ok = true;
    bool *on = NEW_N(scratch, bool, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        on[g->out[i]] = true;
    for (ValueId v = g->count - 1; v > 0 && ok; v--) {
        const Node *n = &g->node[v];
        if (!on[v] || n->op == OP_stop_grad)
            continue;
        const Node *source = n; /* an updated state is the state */
        while (source->op == OP_splice)
            source = &g->node[node_in(g, source)[0]];
        if (source->op == OP_state) {
            Diag *d = diag_error(ds, "E0604", n->at, "'%s' depends on state '%s', which has no gradient", entry,
                                 state_name(m, source));
            diag_help(d, "an entry that is trained must not read states: take the branch without them");
            ok = false;
        } else if (dtype_is_real(n->type.dtype) &&
                   (n->op == OP_splice || n->op == OP_scatter_add || n->op == OP_xent_grad)) {
            diag_error(ds, "E0604", n->at, "'%s' depends on a '%s', which has no gradient", entry, op_info[n->op].name);
            ok = false;
        } else if (node_region(n)) {
            ok = differentiable(m, scratch, m->graph[node_region(n)], entry, ds);
        }
        for (uint32_t i = 0; i < n->in_count; i++)
            on[node_arg(g, v, i)] = true;
    }
    return ok;
}

static const char *entry_name(const Module *m, const Graph *g, Span *at)
{
    for (uint32_t i = 0; i < m->entries; i++)
        if (m->entry[i].graph == g->id) {
            *at = m->entry[i].at;
            return interned(m->strings, m->entry[i].name);
        }
    return interned(m->strings, g->name);
}

Graph *autodiff(Module *m, const Graph *loss, Diags *ds)
{
    Span        at = {0};
    const char *name = entry_name(m, loss, &at);
    Type        t = loss->outs ? loss->node[loss->out[0]].type : (Type){DT_NONE, {0}};
    if (loss->outs != 1 || !dtype_is_real(t.dtype) || t.shape.rank != 0) {
        Diag *d = diag_error(ds, "E0605", at, "'%s' returns %s; a training entry returns one real[]", name,
                             loss->outs == 1 ? type_text(m->arena, t) : loss->outs ? "several values" : "nothing");
        diag_help(d, "sum or average the loss over positions, e.g. with mean_all()");
        return NULL;
    }
    Arena  *scratch = arena_new();
    Graph  *src = expanded(m, scratch, loss), *done = NULL;
    if (differentiable(m, scratch, src, name, ds)) {
        Adjoint ad = begin(m, scratch, src, NULL);
        Type    f32 = {DT_F32, {0}};
        Node    like = {.role = ROLE_BWD};
        ValueId seed = graph_add_input(m, ad.dst, intern(m->strings, "loss_scale"), f32, false, at);
        if (t.dtype != DT_F32)
            seed = g_cast(m, ad.dst, &like, seed, t.dtype);
        adjoint_give(&ad, src->out[0], seed);
        adjoint_sweep(&ad);
        graph_add_out(m, ad.dst, ad.at[src->out[0]], loss->out_name[0]);
        graph_split_roles(m, ad.dst, scratch);
        done = ad.dst;
    }
    arena_free(scratch);
    return done;
}

Graph *adjoint_graph(Module *m, const Graph *f)
{
    if (f->outs != 1)
        bug("adjoint of a graph with %u results", f->outs);
    Arena *scratch = arena_new();
    Graph *src = expanded(m, scratch, f);
    bool  *wrt = NEW_N(scratch, bool, src->inputs + 1u);
    for (uint32_t i = 0; i < src->inputs; i++)
        wrt[i] = dtype_is_real(src->input[i].type.dtype);
    Adjoint ad = begin(m, scratch, src, wrt);
    ValueId dy = graph_add_input(m, ad.dst, intern(m->strings, "dy"), src->node[src->out[0]].type, false, (Span){0});
    adjoint_give(&ad, src->out[0], dy);
    adjoint_sweep(&ad);
    const ValueId *input = graph_input_nodes(scratch, src);
    for (uint32_t i = 0; i < src->inputs; i++) {
        if (!wrt[i])
            continue;
        ValueId d = input[i] ? ad.cot[input[i]] : 0;
        Node    like = {.role = ROLE_BWD, .name = src->input[i].name};
        graph_add_out(m, ad.dst, d ? d : g_splat(m, ad.dst, &like, 0, src->input[i].type), src->input[i].name);
    }
    graph_split_roles(m, ad.dst, scratch);
    arena_free(scratch);
    return ad.dst;
}

PassResult pass_autodiff(PassCtx *cx)
{
    PassResult r = PASS_SAME;
    for (uint32_t i = 0; i < cx->m->entries; i++) {
        if (!cx->m->train_entry || cx->m->entry[i].name != cx->m->train_entry)
            continue;
        Graph *g = autodiff(cx->m, cx->m->graph[cx->m->entry[i].graph], cx->diags);
        if (!g)
            return PASS_FAILED;
        cx->m->entry[i].graph = g->id;
        r = PASS_CHANGED;
    }
    return r;
}

/* inline.c: replace calls by what they call.
 *
 * A call has done its work once differentiation has used its hand-written adjoint; before that only calls without one
 * are expanded. Nodes of the region take their place in the caller with the caller's role, and their statements are
 * named below the call's; nested calls are expanded as they appear. */
#include "passes/pass.h"

typedef struct {
    Module *m;
    Arena  *scratch;
    bool    plain_only;
} Inline;

static bool wanted(const Inline *in, const Node *n)
{
    return n->op == OP_call && (!in->plain_only || n->a.call.vjp == 0);
}

/* What a call's hint means for the nodes inside: device, precision and group hold for all of them, save and recompute
 * for the call's results only. */
static uint32_t inside_hint(Module *m, uint32_t hint)
{
    Hint h = m->hint[hint];
    if (!h.save && !h.recompute)
        return hint;
    h.save = h.recompute = false;
    return h.place == PLACE_FREE && !h.f32 && !h.group && !h.cut ? 0 : module_add_hint(m, h);
}

/* What a node of a region has from the call it stands in. */
static void inherit(const Inline *x, Node *n, const Node *call)
{
    n->role = call->role;
    n->scope = n->scope ? n->scope : call->scope;
    n->tag = n->tag ? n->tag : call->tag;
    n->from = n->from.file ? n->from : call->from;
    if (call->stmt)
        n->stmt = !n->stmt
                      ? call->stmt
                      : intern(x->m->strings, arena_printf(x->scratch, "%s.%s", interned(x->m->strings, call->stmt),
                                                           interned(x->m->strings, n->stmt)));
}

/* A variable that is bound to a call's result names the node that the result is, unless that has a name or is older. */
static void name_results(Graph *to, const Graph *g, ValueId call, const ValueId *result, ValueId first)
{
    for (ValueId v = call + 1; v < g->count; v++) {
        const Node *p = &g->node[v];
        if (p->op != OP_proj || node_arg(g, v, 0) != call || !p->name)
            continue;
        Node *n = &to->node[result[p->a.proj.index]];
        if (n->name || result[p->a.proj.index] < first)
            continue;
        n->name = p->name;
        n->scope = p->scope;
        n->stmt = p->stmt;
    }
}

/* Append `g`'s nodes to `to`; map[] gives the values of g in `to`. With `arg`, g is a region of a call: its inputs are
 * arg[], and its nodes take over role and scope of `call`. */
static void expand(Inline *x, Graph *to, const Graph *g, ValueId *map, const ValueId *arg, const Node *call)
{
    ValueId **result = NEW_N(x->scratch, ValueId *, g->count); /* of expanded calls */
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (arg && n->op == OP_input) {
            map[v] = arg[n->a.input.index];
        } else if (n->op == OP_proj && result[node_arg(g, v, 0)]) {
            map[v] = result[node_arg(g, v, 0)][n->a.proj.index];
        } else if (wanted(x, n)) {
            const Graph *body = x->m->graph[n->a.call.graph];
            ValueId first = to->count;
            ValueId *in = NEW_N(x->scratch, ValueId, n->in_count + 1u),
                    *inner = NEW_N(x->scratch, ValueId, body->count);
            for (uint32_t i = 0; i < n->in_count; i++)
                in[i] = map[node_arg(g, v, i)];
            Node as = *n;
            if (call)
                inherit(x, &as, call);
            as.hint = inside_hint(x->m, n->hint);
            expand(x, to, body, inner, in, &as);
            result[v] = NEW_N(x->scratch, ValueId, body->outs + 1u);
            for (uint32_t i = 0; i < body->outs; i++)
                result[v][i] = inner[body->out[i]];
            for (uint32_t i = 0; as.hint != n->hint && i < body->outs; i++)
                to->node[result[v][i]].hint = n->hint;
            name_results(to, g, v, result[v], first);
        } else {
            map[v] = graph_copy_node(x->m, to, g, v, map);
            if (call) {
                Node *c = &to->node[map[v]];
                inherit(x, c, call);
                c->hint = c->hint ? c->hint : call->hint;
            }
        }
    }
}

bool inline_calls(Module *m, Graph *g, bool plain_only, Arena *scratch)
{
    Inline x = {m, scratch, plain_only};
    bool   any = false, inner = false;
    for (ValueId v = 1; v < g->count; v++) {
        any = any || wanted(&x, &g->node[v]);
        if (g->node[v].op == OP_repeat)
            inner = inline_calls(m, m->graph[g->node[v].a.repeat.graph], plain_only, scratch) || inner;
    }
    if (any) {
        Graph   *to = graph_successor(m, g);
        ValueId *map = NEW_N(scratch, ValueId, g->count);
        expand(&x, to, g, map, NULL, NULL);
        for (uint32_t i = 0; i < g->outs; i++)
            graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
        graph_replace(m, to);
    }
    return any || inner;
}

PassResult pass_inline(PassCtx *cx)
{
    bool changed = false;
    for (uint32_t i = 0; i < cx->m->entries; i++)
        changed = inline_calls(cx->m, cx->m->graph[cx->m->entry[i].graph], false, cx->scratch) || changed;
    return changed ? PASS_CHANGED : PASS_SAME;
}

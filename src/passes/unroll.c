/* unroll.c: write out the iterations of a repeat that carries a #[group].
 *
 * A region is compiled once and run n times, so no program can hold work of two iterations. Where the user wants
 * several layers in one program, the repeat gives way to its iterations: nodes of the surrounding graph, with one
 * parameter each where the region had a set of them. This happens before differentiation, so the backward direction
 * comes out written out as well.
 *
 * Paths get the index: "layers.attention" becomes "layers.L3.attention". A #[cut] in the region is another one in each
 * iteration. */
#include "passes/pass.h"

#include <string.h>

typedef struct {
    Module      *m;
    Arena       *scratch;
    const Graph *from;
    Graph       *to;
    ValueId     *map;    /* from -> to */
    ValueId    **result; /* [from->count] of repeats that were written out: carries, then stacks */
    uint32_t     cuts;   /* numbers of #[cut] regions in use */
} Unroll;

static bool wanted(const Module *m, const Node *n)
{
    return n->op == OP_repeat && m->hint[n->hint].group;
}

static StrId indexed_scope(const Unroll *x, const Node *repeat, StrId scope, int32_t index)
{
    const char *s = interned(x->m->strings, scope),
               *prefix = interned(x->m->strings, repeat->scope); /* the region's own */
    size_t      n = strlen(prefix);
    if (strncmp(s, prefix, n) != 0 || (s[n] != '.' && s[n] != 0))
        return scope;
    return intern(x->m->strings, arena_printf(x->scratch, "%s.L%d%s", prefix, index, s + n));
}

/* Attributes of iteration i's copy of `n`. */
static Node copy_of(Unroll *x, const Node *repeat, const Node *n, uint32_t i)
{
    Node c = *n;
    c.scope = indexed_scope(x, repeat, n->scope, repeat->a.repeat.first + (int32_t)i);
    Hint h = x->m->hint[n->hint];
    if (h.cut) {
        h.cut += x->cuts * (i + 1);
        c.hint = module_add_hint(x->m, h);
    }
    if (n->op == OP_param || n->op == OP_grad) {
        uint32_t leaf = x->m->param_set[n->a.leaf.set].leaf[i];
        c.a.leaf.set = module_add_param_set(x->m, x->m->param[leaf].path, &leaf, 1);
    } else if (n->op == OP_state || n->op == OP_state_set) {
        uint32_t leaf = x->m->state_set[n->a.leaf.set].leaf[i];
        c.a.leaf.set = module_add_state_set(x->m, x->m->state[leaf].path, &leaf, 1);
    }
    return c;
}

/* Element i of a stack. */
static ValueId element(Unroll *x, const Node *like, ValueId stack, uint32_t i)
{
    Type    t = x->to->node[stack].type;
    int32_t begin[MAX_RANK] = {0}, end[MAX_RANK];
    memcpy(end, t.shape.dim, sizeof end);
    begin[0] = (int32_t)i;
    end[0] = (int32_t)i + 1;
    ValueId one = g_slice(x->m, x->to, like, stack, begin, end);
    return g_reshape(x->m, x->to, like, one, type_unstacked(t).shape);
}

/* One iteration; `carry` in and out, the other results into ys[]. */
static void iteration(Unroll *x, const Node *repeat, const ValueId *operand, uint32_t i, ValueId *carry, ValueId *ys)
{
    const Graph *r = x->m->graph[repeat->a.repeat.graph];
    uint32_t     carries = repeat->a.repeat.n_carry, xs_end = carries + repeat->a.repeat.n_xs;
    ValueId     *map = NEW_N(x->scratch, ValueId, r->count);
    Node         like = *repeat;
    like.name = 0;
    for (ValueId v = 1; v < r->count; v++) {
        const Node *n = &r->node[v];
        uint32_t    k = n->a.input.index;
        if (n->op == OP_input) {
            map[v] = k < carries ? carry[k] : k < xs_end ? element(x, &like, operand[k], i) : operand[k];
            continue;
        }
        Node     c = copy_of(x, repeat, n, i);
        ValueId *in = NEW_N(x->scratch, ValueId, n->in_count + 1u);
        for (k = 0; k < n->in_count; k++)
            in[k] = map[node_arg(r, v, k)];
        map[v] = graph_add(x->m, x->to, &c, in, n->in_count);
    }
    for (uint32_t k = 0; k < r->outs; k++)
        *(k < carries ? &carry[k] : &ys[k - carries]) = map[r->out[k]];
}

static void write_out(Unroll *x, ValueId v)
{
    Node           repeat = x->from->node[v];
    const ValueId *in = node_in(x->from, &repeat);
    uint32_t       n = (uint32_t)repeat.a.repeat.n, carries = repeat.a.repeat.n_carry;
    uint32_t       outs = x->m->graph[repeat.a.repeat.graph]->outs, stacks = outs - carries;
    ValueId       *operand = NEW_N(x->scratch, ValueId, repeat.in_count + 1u);
    ValueId       *result = x->result[v] = NEW_N(x->scratch, ValueId, outs + 1u);
    ValueId       *ys = NEW_N(x->scratch, ValueId, (size_t)n * stacks + 1);
    for (uint32_t i = 0; i < repeat.in_count; i++)
        operand[i] = x->map[in[i]];
    memcpy(result, operand, carries * sizeof *result);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = repeat.a.repeat.reverse ? n - 1 - k : k;
        iteration(x, &repeat, operand, i, result, ys + (size_t)i * stacks);
    }
    Node like = repeat;
    like.name = 0;
    for (uint32_t k = 0; k < stacks; k++) {
        ValueId *part = NEW_N(x->scratch, ValueId, n);
        for (uint32_t i = 0; i < n; i++) {
            ValueId y = ys[(size_t)i * stacks + k];
            part[i] = g_reshape(x->m, x->to, &like, y, type_stacked(x->to->node[y].type, 1).shape);
        }
        result[carries + k] = n > 1 ? g_concat(x->m, x->to, &like, part, n, 0) : part[0];
    }
}

static bool unroll_graph(Module *m, Graph *g, Arena *scratch)
{
    bool any = false;
    for (ValueId v = 1; v < g->count; v++)
        any = any || wanted(m, &g->node[v]);
    if (!any)
        return false;
    Unroll x = {.m = m, .scratch = scratch, .from = g, .to = graph_successor(m, g)};
    x.map = NEW_N(scratch, ValueId, g->count);
    x.result = NEW_N(scratch, ValueId *, g->count);
    for (uint32_t i = 0; i < m->hints; i++)
        x.cuts = m->hint[i].cut > x.cuts ? m->hint[i].cut : x.cuts;
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (wanted(m, n))
            write_out(&x, v);
        else if (n->op == OP_proj && x.result[node_arg(g, v, 0)])
            x.map[v] = x.result[node_arg(g, v, 0)][n->a.proj.index];
        else
            x.map[v] = graph_copy_node(m, x.to, g, v, x.map);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, x.to, x.map[g->out[i]], g->out_name[i]);
    graph_replace(m, x.to);
    return true;
}

PassResult pass_unroll(PassCtx *cx)
{
    bool changed = false;
    for (uint32_t i = 0; i < cx->m->entries; i++)
        changed = unroll_graph(cx->m, cx->m->graph[cx->m->entry[i].graph], cx->scratch) || changed;
    return changed ? PASS_CHANGED : PASS_SAME;
}

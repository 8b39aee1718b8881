/* place_rules.c: conventions of a target about the division of labour.
 *
 * A profile may say that training programs are to be built as somebody built them by hand: which kinds of work stay on
 * the CPU, and where programs end although they need not. The kinds are found by what they compute:
 *
 *   residual addition   x + f(x) where f contains a product with a parameter; x may be a sum of that kind itself
 *   normalisation       a #[composite] function that takes a reciprocal square root; its adjoint is the backward nodes
 *                       of the same composite, without the sums of cotangents that arrive at it
 *   softmax's adjoint   dy - sum(dy * y), and what follows from it before the next product with a parameter
 *   after attention     products with parameters that read, maybe through other values, a product of two activations
 *   branches            parts of the engine's work of one direction that no value connects
 *
 * #[place] wins over these rules. */
#include "passes/place_rules.h"

#include <string.h>

static bool has_weight(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    return n->op == OP_matmul && (g->node[behind_views(g, node_in(g, n)[0])].op == OP_param ||
                                  g->node[behind_views(g, node_in(g, n)[1])].op == OP_param);
}

/* ---- residual additions ---- */

/* Is there a path from `u` to `v` with a product with a parameter on it? `seen`: [2 * count] scratch. */
static bool leads_through_weight(const Graph *g, ValueId u, ValueId v, bool *seen)
{
    if (u >= v)
        return false;
    memset(seen, 0, 2 * g->count * sizeof *seen);
    seen[2 * v] = true; /* 2 v: v reaches the end; 2 v + 1: with a weight on the way */
    for (ValueId w = v; w > u; w--)
        for (uint32_t with = 0; with < 2; with++)
            for (uint32_t k = 0; seen[2 * w + with] && k < g->node[w].in_count; k++)
                seen[2 * node_arg(g, w, k) + (with || has_weight(g, w))] = true;
    return seen[2 * u + 1];
}

static bool *residual_additions(Arena *a, const Graph *g)
{
    bool    *is = NEW_N(a, bool, g->count), *seen = NEW_N(a, bool, 2 * g->count);
    ValueId *stream = NEW_N(a, ValueId, g->count); /* the operand that is passed on */
    for (ValueId v = 1; v < g->count; v++) {
        if (g->node[v].op != OP_add)
            continue;
        for (uint32_t k = 0; k < 2 && !is[v]; k++) {
            ValueId x = node_arg(g, v, k), f = node_arg(g, v, 1 - k);
            Op      op = g->node[behind_views(g, x)].op;
            for (ValueId u = op == OP_const || op == OP_param ? 0 : x; u && !is[v]; u = is[u] ? stream[u] : 0)
                is[v] = leads_through_weight(g, u, f, seen);
            stream[v] = x;
        }
    }
    return is;
}

/* ---- normalisations ---- */

/* Of each composite: is it a normalisation? */
static bool *norm_tags(const Module *m, Arena *a, const Graph *g)
{
    bool *is = NEW_N(a, bool, m->composites + 1u);
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].tag && g->node[v].op == OP_rsqrt)
            is[g->node[v].tag] = true;
    return is;
}

/* Values of normalisations, or of their adjoints in the backward direction. */
static bool *norm_values(const Module *m, Arena *a, const Graph *g)
{
    const bool *tag = norm_tags(m, a, g);
    bool       *is = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        is[v] = tag[n->tag];
        bool inside = n->op != OP_add || n->role == ROLE_FWD;
        for (uint32_t k = 0; k < n->in_count && !inside; k++) {
            ValueId u = node_arg(g, v, k);
            inside = is[u] || behind_views(g, u) != u;
        }
        is[v] = is[v] && inside;
    }
    return is;
}

/* Does every path from `v` lead to products with parameters that the engine may compute, without leaving the norm? */
static bool feeds_weights(const Graph *g, ValueId v, const bool *norm, const Place *fixed)
{
    bool any = false;
    for (ValueId w = v + 1; w < g->count; w++)
        for (uint32_t k = 0; k < g->node[w].in_count; k++) {
            if (node_arg(g, w, k) != v || g->node[w].role != ROLE_FWD)
                continue;
            if (!(norm[w] ? feeds_weights(g, w, norm, fixed) : has_weight(g, w) && fixed[w] != DEV_CPU))
                return false;
            any = true;
        }
    return any;
}

void rules_fix(const Module *m, Arena *scratch, const Graph *g, Place *fixed)
{
    const Target *t = m->target;
    if (t->residual == WHERE_CPU) {
        const bool *residual = residual_additions(scratch, g);
        for (ValueId v = 1; v < g->count; v++)
            if (residual[v] && fixed[v] == DEV_ANY)
                fixed[v] = DEV_CPU;
    }
    if (t->norm_backward != WHERE_CPU)
        return;
    const bool *norm = norm_values(m, scratch, g);
    for (ValueId v = 1; v < g->count; v++) {
        if (!norm[v] || fixed[v] != DEV_ANY || !node_is_pure(&g->node[v]) || g->node[v].op == OP_const ||
            g->node[v].op == OP_param)
            continue;
        if (g->node[v].role == ROLE_BWD)
            fixed[v] = DEV_CPU;
        else if (behind_views(g, v) == v && feeds_weights(g, v, norm, fixed))
            fixed[v] = DEV_ANE;
    }
}

void rules_save(const Module *m, Arena *scratch, const Graph *f, TapCost *cost)
{
    if (m->target->norm_backward != WHERE_CPU)
        return;
    const bool *norm = norm_values(m, scratch, f);
    for (ValueId v = 1; v < f->count; v++)
        for (uint32_t k = 0; norm[v] && k < f->node[v].in_count; k++) {
            ValueId u = node_arg(f, v, k);
            if (norm[u] && !m->hint[f->node[u].hint].save && cost[u].recompute < TAP_NEVER)
                cost[u] = (TapCost){.save = TAP_AVOID, .recompute = cost[u].recompute, .bytes = cost[u].bytes};
        }
}

/* ---- where programs end ---- */

static bool on_engine(const Graph *g, ValueId v, Role role)
{
    return g->node[v].device == DEV_ANE && g->node[v].role == role;
}

/* y's cotangent dy, if `v` is dy - sum(dy * y) in the backward direction: returns the product, or 0. */
static ValueId softmax_adjoint(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    if (n->op != OP_sub || n->role != ROLE_BWD)
        return 0;
    ValueId dy = node_in(g, n)[0], sum = behind_views(g, node_in(g, n)[1]);
    if (g->node[sum].op != OP_sum)
        return 0;
    ValueId product = node_arg(g, sum, 0);
    if (g->node[product].op != OP_mul || (node_arg(g, product, 0) != dy && node_arg(g, product, 1) != dy))
        return 0;
    return product;
}

static uint32_t fresh_cut(const Module *m)
{
    uint32_t cut = 0;
    for (uint32_t i = 0; i < m->hints; i++)
        cut = m->hint[i].cut > cut ? m->hint[i].cut : cut;
    return cut + 1;
}

static void set_cut(Module *m, Node *n, uint32_t cut)
{
    Hint h = m->hint[n->hint];
    if (h.cut == cut)
        return;
    h.cut = cut;
    n->hint = module_add_hint(m, h);
}

static void cut_attention_backward(Module *m, Arena *scratch, Graph *g)
{
    bool *inside = NEW_N(scratch, bool, g->count); /* the adjoint of a softmax */
    bool *product = NEW_N(scratch, bool, g->count), *after = NEW_N(scratch, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        ValueId first = softmax_adjoint(g, v);
        if (first)
            inside[first] = on_engine(g, first, ROLE_BWD);
    }
    uint32_t cut = fresh_cut(m);
    for (ValueId v = 1; v < g->count; v++) {
        if (!on_engine(g, v, ROLE_BWD))
            continue;
        product[v] = g->node[v].op == OP_matmul && !has_weight(g, v);
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            inside[v] = inside[v] || (inside[u] && !has_weight(g, v));
            product[v] = product[v] || (product[u] && !has_weight(g, v));
            after[v] = after[v] || after[u] || (product[u] && has_weight(g, v));
        }
        if (inside[v] || after[v])
            set_cut(m, &g->node[v], after[v] ? cut + 1 : cut);
    }
}

static ValueId root(ValueId *parent, ValueId v)
{
    while (parent[v] != v)
        v = parent[v] = parent[parent[v]];
    return v;
}

/* Each branch and each #[cut] region in it gets a number of its own. */
static void cut_branches(Module *m, Arena *scratch, Graph *g, Role role)
{
    ValueId *parent = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++)
        parent[v] = v;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count && on_engine(g, v, role); k++) {
            ValueId u = node_arg(g, v, k);
            if (on_engine(g, u, role))
                parent[root(parent, v)] = root(parent, u);
        }
    uint32_t  base = fresh_cut(m), numbers = 0;
    uint32_t *number = NEW_N(scratch, uint32_t, g->count), *old = NEW_N(scratch, uint32_t, g->count);
    ValueId  *first = NEW_N(scratch, ValueId, g->count); /* node of each number */
    for (ValueId v = 1; v < g->count; v++) {
        if (!on_engine(g, v, role))
            continue;
        old[v] = m->hint[g->node[v].hint].cut;
        for (number[v] = 0; number[v] < numbers; number[v]++)
            if (root(parent, first[number[v]]) == root(parent, v) && old[first[number[v]]] == old[v])
                break;
        if (number[v] == numbers)
            first[numbers++] = v;
    }
    for (ValueId v = 1; v < g->count && numbers > 1; v++)
        if (on_engine(g, v, role))
            set_cut(m, &g->node[v], base + number[v]);
}

void rules_cut(Module *m, Arena *scratch, Graph *g)
{
    /* A #[cut] is a border of the forward direction; what is computed again has left it. */
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].role == ROLE_BWD && m->hint[g->node[v].hint].cut)
            set_cut(m, &g->node[v], 0);
    if (m->target->cut_attention_backward)
        cut_attention_backward(m, scratch, g);
    for (Role role = ROLE_FWD; role <= ROLE_BWD && m->target->cut_branches; role++)
        cut_branches(m, scratch, g, role);
}

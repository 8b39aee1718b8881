/* range_number.c: which values of a module are the same, and the three shapes of expression that bound a value better
 * than its parts do; see range.h.
 *
 * Every value gets a number; equal numbers are equal values, in every iteration of the repeats they stand in. An
 * operation has the number of another with the same attributes and operands of the same numbers; an input of a region
 * has the number of what is handed in: an invariant's, or, for element i of a stack that another repeat of as many
 * iterations made, that of the value that was stacked. So x and 1 / rms(x) are known to belong together in the backward
 * region too, where x has come in a stack or has been computed again. Carried values, and inputs of regions run from
 * two places, have numbers of their own. */
#include "base/hash.h"
#include "passes/pass.h"
#include "passes/range_internal.h"

#include <math.h>
#include <string.h>

typedef struct {
    GraphId graph;
    ValueId v;
} Instance;

struct RangeNumbers {
    const Module *m;
    Arena        *a;
    uint32_t    **number; /* [graph][value], from 1 */
    Instance       *where;  /* [number]: the first value that has it */
    uint32_t      count, where_cap;
    uint32_t     *slot; /* numbers by hash */
    uint32_t      slots;
    GraphId      *parent; /* of a region: the graph with its repeat; 0: none, or several */
    ValueId      *loop;   /* ... and the repeat's node */
};

static const Node *node_of(const RangeNumbers *t, uint32_t number)
{
    return &t->m->graph[t->where[number].graph]->node[t->where[number].v];
}

static uint32_t operand(const RangeNumbers *t, uint32_t number, uint32_t k)
{
    Instance p = t->where[number];
    return t->number[p.graph][node_arg(t->m->graph[p.graph], p.v, k)];
}

static uint32_t fresh(RangeNumbers *t, GraphId graph, ValueId v)
{
    GROW(t->a, t->where, t->count + 1, t->where_cap);
    t->where[++t->count] = (Instance){graph, v};
    return t->count;
}

static bool matches(const RangeNumbers *t, uint32_t number, const Node *n, const uint32_t *in)
{
    const Node *x = node_of(t, number);
    uint64_t    a[KEY_WORDS], b[KEY_WORDS];
    node_key(x, a);
    node_key(n, b);
    if (x->in_count != n->in_count || memcmp(a, b, sizeof a) != 0)
        return false;
    for (uint32_t k = 0; k < n->in_count; k++)
        if (operand(t, number, k) != in[k])
            return false;
    return true;
}

/* The number of a pure operation: that of an equal one, or a new one. */
static uint32_t of_operation(RangeNumbers *t, const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    uint32_t   *in = NEW_N(t->a, uint32_t, n->in_count + 1u);
    uint64_t    key[KEY_WORDS + 1];
    node_key(n, key);
    for (uint32_t k = 0; k < n->in_count; k++)
        in[k] = t->number[g->id][node_in(g, n)[k]];
    key[KEY_WORDS] = hash_u64(in, n->in_count * sizeof *in);
    uint32_t i = (uint32_t)hash_u64(key, sizeof key) & (t->slots - 1);
    for (; t->slot[i]; i = (i + 1) & (t->slots - 1))
        if (matches(t, t->slot[i], n, in))
            return t->slot[i];
    return t->slot[i] = fresh(t, g->id, v);
}

/* The number of what a region's input is handed, 0 if it is something new in every iteration. */
static uint32_t of_input(const RangeNumbers *t, const Graph *g, uint32_t k)
{
    if (!t->parent[g->id])
        return 0;
    const Graph *outer = t->m->graph[t->parent[g->id]];
    const Node  *loop = &outer->node[t->loop[g->id]];
    ValueId      u = node_in(outer, loop)[k];
    if (k < loop->a.repeat.n_carry)
        return 0;
    if (k >= loop->a.repeat.n_carry + loop->a.repeat.n_xs)
        return t->number[outer->id][u];
    const Node *stack = &outer->node[u], *made = stack->op == OP_proj ? &outer->node[node_arg(outer, u, 0)] : NULL;
    if (!made || made->op != OP_repeat || stack->a.proj.index < made->a.repeat.n_carry ||
        made->a.repeat.n != loop->a.repeat.n || t->parent[made->a.repeat.graph] != outer->id)
        return 0;
    return t->number[made->a.repeat.graph][t->m->graph[made->a.repeat.graph]->out[stack->a.proj.index]];
}

static void number_graph(RangeNumbers *t, const Graph *g)
{
    if (t->number[g->id])
        return;
    t->number[g->id] = NEW_N(t->a, uint32_t, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        uint32_t    number = 0;
        if (n->op == OP_repeat)
            number_graph(t, t->m->graph[n->a.repeat.graph]);
        else if (n->op == OP_input)
            number = of_input(t, g, n->a.input.index);
        else if (node_is_pure(n))
            number = of_operation(t, g, v);
        t->number[g->id][v] = number ? number : fresh(t, g->id, v);
    }
}

/* Which repeat runs each region. A region run by two has no place of its own. */
static void find_parents(RangeNumbers *t)
{
    const Module *m = t->m;
    bool         *twice = NEW_N(t->a, bool, m->graphs);
    t->parent = NEW_N(t->a, GraphId, m->graphs);
    t->loop = NEW_N(t->a, ValueId, m->graphs);
    for (GraphId id = 1; id < m->graphs; id++)
        for (ValueId v = 1; v < m->graph[id]->count; v++) {
            const Node *n = &m->graph[id]->node[v];
            if (n->op != OP_repeat)
                continue;
            twice[n->a.repeat.graph] |= t->parent[n->a.repeat.graph] != 0;
            t->parent[n->a.repeat.graph] = id;
            t->loop[n->a.repeat.graph] = v;
        }
    for (GraphId id = 1; id < m->graphs; id++)
        if (twice[id])
            t->parent[id] = 0;
}

RangeNumbers *range_numbers(Arena *a, const Module *m)
{
    RangeNumbers *t = NEW(a, RangeNumbers);
    uint32_t      values = 0;
    *t = (RangeNumbers){.m = m, .a = a, .number = NEW_N(a, uint32_t *, m->graphs), .slots = 64};
    for (GraphId id = 1; id < m->graphs; id++)
        values += m->graph[id]->count;
    while (t->slots < 2 * values)
        t->slots *= 2;
    t->slot = NEW_N(a, uint32_t, t->slots);
    find_parents(t);
    for (uint32_t e = 0; e < m->entries; e++)
        number_graph(t, m->graph[m->entry[e].graph]);
    return t;
}

/* ---- shapes of expressions ---- */

static uint32_t without_broadcast(const RangeNumbers *t, uint32_t x)
{
    while (node_of(t, x)->op == OP_broadcast)
        x = operand(t, x, 0);
    return x;
}

/* Is x a constant with one value? */
static bool splat(const RangeNumbers *t, uint32_t x, double *c)
{
    const Node *n = node_of(t, without_broadcast(t, x));
    if (n->op != OP_const || n->a.constant.table != 0)
        return false;
    *c = n->a.constant.splat;
    return true;
}

/* Skip an operation with a constant: true with the other operand in *x, and the constant in *c. */
static bool with_splat(const RangeNumbers *t, Op op, uint32_t *x, double *c)
{
    if (node_of(t, *x)->op != op)
        return false;
    for (uint32_t k = op == OP_div ? 1 : 0; k < 2; k++)
        if (splat(t, operand(t, *x, k), c)) {
            *x = operand(t, *x, 1 - k);
            return true;
        }
    return false;
}

/* b = (c * sum of a^2 + eps)^(-1/2) with eps >= 0, over whatever axes: each a^2 is one of the sum's terms, none of
 * which is negative, so |a b| <= c^(-1/2). */
double range_normalised(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b)
{
    uint32_t    x = t->number[g->id][a], r = without_broadcast(t, t->number[g->id][b]);
    const Node *n = node_of(t, r);
    double      eps = 0, c = 1;
    if (n->op != OP_rsqrt && !(n->op == OP_powc && n->a.powc.c == -0.5))
        return 0;
    r = operand(t, r, 0);
    with_splat(t, OP_add, &r, &eps);
    if (!with_splat(t, OP_mul, &r, &c) && with_splat(t, OP_div, &r, &c))
        c = 1 / c;
    if (eps < 0 || !(c > 0) || node_of(t, r)->op != OP_sum)
        return 0;
    r = operand(t, r, 0);
    n = node_of(t, r);
    bool square = (n->op == OP_mul && operand(t, r, 0) == operand(t, r, 1)) || (n->op == OP_powc && n->a.powc.c == 2);
    return square && operand(t, r, 0) == x ? 1 / sqrt(c) : 0;
}

bool range_is_maximum(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b)
{
    uint32_t m = without_broadcast(t, t->number[g->id][b]);
    return node_of(t, m)->op == OP_amax && operand(t, m, 0) == t->number[g->id][a];
}

bool range_is_negative(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b)
{
    uint32_t x = t->number[g->id][a], y = t->number[g->id][b];
    return (node_of(t, y)->op == OP_neg && operand(t, y, 0) == x) ||
           (node_of(t, x)->op == OP_neg && operand(t, x, 0) == y);
}

bool range_same(const RangeNumbers *t, const Graph *g, ValueId a, ValueId b)
{
    return t->number[g->id][a] == t->number[g->id][b];
}

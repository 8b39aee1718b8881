/* fold_rope.c: rotary pairs become halves.
 *
 * A rotary embedding turns channels 2i and 2i + 1 of each head by an angle: in std/nn.anel that is a product with a
 * constant matrix that swaps neighbours, and doubled tables of angles. With the rows of the projection in another
 * order, even channels first, then odd ones, the partners are i and i + D/2: slices and a concat, no product. The
 * scores of attention, sums over channels, do not change when queries and keys change their order together:
 *
 *     x = heads(W h)                                      W' = rows of W: 0, 2, 4, ..., 1, 3, 5, ... of each head
 *     x * c2 + (swap x) * s2                     ->       a, b = halves of heads(W' h);  [a*c - b*s, b*c + a*s]
 *
 * W' is a parameter expression: two views around a transpose. The rewrite comes before differentiation; the adjoint
 * puts the rows of the gradient back, once per update (defer.c).
 *
 * A bias of the projection changes its order as well, and so does everything else that is added up to it: the product
 * of an adapter, W h + B (A h), gets the rows of B in the new order.
 *
 * Left alone: values that anything but such a score reads (states, a norm of queries and keys), or one whose partner is
 * not rewritten as well; weights that are read twice. Switch: repair_rope. */
#include "passes/fold.h"
#include "passes/switches.h"

#include <string.h>

enum { MAX_TERMS = 4 };

typedef struct {
    ValueId weight, h, product; /* product = matmul(weight, h); or weight 0 and: */
    ValueId bias;               /* [H*D, 1], spread over positions */
} Term;

typedef struct {
    Term     term[MAX_TERMS]; /* what is added up; */
    uint32_t terms;           /* 0: no candidate */
    ValueId  sum[MAX_TERMS];  /* term i is added by this */
    ValueId  cos, sin;        /* the tables [P, 1, S] */
} Pair;

typedef struct {
    Module      *m;
    const Graph *g;
    uint32_t    *uses;
    Pair        *pair; /* of the value x * c2 + (swap x) * s2 */
    ValueId *from; /* the rotated value that this one is, but for a factor and views of the leading axes; 0 = none */
} Rope;

static const Node *node_of(const Rope *r, ValueId v)
{
    return &r->g->node[v];
}

static ValueId arg(const Rope *r, ValueId v, uint32_t k)
{
    return node_arg(r->g, v, k);
}

/* +1 at (2i + 1, 2i), -1 at (2i, 2i + 1), for every head. */
static bool is_swap(const Rope *r, ValueId v)
{
    const Node *n = node_of(r, v);
    if (n->op == OP_broadcast)
        n = node_of(r, arg(r, v, 0));
    Shape s = n->type.shape;
    if (n->op != OP_const || n->a.constant.table == 0 || s.rank != 3 || s.dim[0] != 1 || s.dim[1] != s.dim[2] ||
        s.dim[1] % 2)
        return false;
    const double *x = r->m->table[n->a.constant.table].data;
    for (int32_t i = 0; i < s.dim[1]; i++)
        for (int32_t j = 0; j < s.dim[1]; j++)
            if (x[(int64_t)i * s.dim[1] + j] != (j != (i ^ 1) ? 0.0 : i % 2 ? 1.0 : -1.0))
                return false;
    return true;
}

/* [H, D, S] in which rows 2i and 2i + 1 are row i of a table [P, 1, S]: the table, or 0. */
static ValueId doubled(const Rope *r, ValueId v)
{
    if (node_of(r, v)->op == OP_broadcast)
        v = arg(r, v, 0);
    const Node *n = node_of(r, v);
    if (n->op != OP_reshape || n->type.shape.rank != 3 || n->type.shape.dim[0] != 1)
        return 0;
    const Node *b = node_of(r, arg(r, v, 0));
    if (b->op != OP_broadcast)
        return 0;
    ValueId t = node_arg(r->g, arg(r, v, 0), 0);
    Shape   s = b->type.shape, u = node_of(r, t)->type.shape;
    return s.rank == 3 && s.dim[1] == 2 && u.dim[0] == s.dim[0] && u.dim[1] == 1 && u.dim[2] == s.dim[2] &&
                   n->type.shape.dim[1] == 2 * s.dim[0] && n->type.shape.dim[2] == s.dim[2]
               ? t
               : 0;
}

/* v = x * table: x for the operand that is no doubled table. */
static bool times_table(const Rope *r, ValueId v, ValueId *x, ValueId *table)
{
    if (node_of(r, v)->op != OP_mul || node_of(r, v)->hint)
        return false;
    for (uint32_t k = 0; k < 2; k++) {
        *x = arg(r, v, !k);
        *table = doubled(r, arg(r, v, k));
        if (*table)
            return true;
    }
    return false;
}

/* x is W h, a bias, or a sum of such, which nothing else reads. */
static bool match_terms(const Rope *r, ValueId x, Pair *p)
{
    const Node *n = node_of(r, x);
    Term        t = {0};
    ValueId     w;
    uint32_t    axis;
    if (n->op == OP_add && !n->hint && r->uses[x] == 1) {
        uint32_t left;
        if (!match_terms(r, arg(r, x, 0), p) || (left = p->terms, !match_terms(r, arg(r, x, 1), p)))
            return false;
        p->sum[left] = x;
        return true;
    }
    if (p->terms == MAX_TERMS)
        return false;
    if (spread_of(r->g, x, &t.bias, &axis)) {
        if (axis != 1 || !is_param_expr(r->g, t.bias))
            return false;
    } else {
        if (n->op != OP_matmul || n->type.shape.rank != 2 || n->a.matmul.ta || n->hint || r->uses[x] != 1 ||
            fold_refuses(r->m, r->g, x))
            return false;
        w = arg(r, x, 0);
        if (!is_param_expr(r->g, w) || r->uses[w] != 1)
            return false;
        t = (Term){.weight = w, .h = arg(r, x, 1), .product = x};
    }
    p->term[p->terms++] = t;
    return true;
}

/* The sum of the terms, and one product at least among them. */
static bool match_projection(const Rope *r, ValueId x, Pair *p)
{
    bool product = false, ok = match_terms(r, x, p);
    for (uint32_t i = 0; ok && i < p->terms; i++)
        product |= p->term[i].weight != 0;
    if (!product)
        p->terms = 0;
    return product;
}

static Pair match(const Rope *r, ValueId v)
{
    const Pair  none = {0};
    const Node *n = node_of(r, v);
    if (n->op != OP_add || n->type.shape.rank != 3)
        return none;
    for (uint32_t k = 0; k < 2; k++) {
        Pair    p = none;
        ValueId x, swapped;
        if (!times_table(r, arg(r, v, k), &x, &p.cos) || !times_table(r, arg(r, v, !k), &swapped, &p.sin))
            continue;
        const Node *s = node_of(r, swapped), *y = node_of(r, x);
        if (s->op != OP_matmul || s->a.matmul.ta || s->a.matmul.tb || s->hint || arg(r, swapped, 1) != x ||
            !is_swap(r, arg(r, swapped, 0)) || y->op != OP_reshape || y->hint || r->uses[x] != 2)
            continue;
        Shape w = node_of(r, arg(r, x, 0))->type.shape;
        if (w.rank == 2 && w.dim[1] == y->type.shape.dim[2] && match_projection(r, arg(r, x, 0), &p))
            return p;
    }
    return none;
}

/* Is the value that `n` makes of its first operand the same but for a factor and the leading axes? */
static bool passes_on(const Rope *r, const Node *n)
{
    Shape s = n->type.shape, x = n->in_count ? node_of(r, node_in(r->g, n)[0])->type.shape : s;
    if (n->op == OP_mul)
        return node_of(r, node_in(r->g, n)[1])->op == OP_const &&
               node_of(r, node_in(r->g, n)[1])->a.constant.table == 0;
    return (n->op == OP_reshape || n->op == OP_broadcast) && s.rank >= 2 && x.rank >= 2 &&
           s.dim[s.rank - 1] == x.dim[x.rank - 1] && s.dim[s.rank - 2] == x.dim[x.rank - 2];
}

/* Drop candidates that something reads which minds the order of channels. True if one was dropped. */
static bool drop_misread(Rope *r)
{
    bool dropped = false;
    for (ValueId v = 1; v < r->g->count; v++) {
        const Node *n = node_of(r, v);
        r->from[v] = r->pair[v].terms ? v : 0;
        if (!r->from[v] && passes_on(r, n))
            r->from[v] = r->from[arg(r, v, 0)];
    }
    for (ValueId v = 1; v < r->g->count; v++) {
        const Node *n = node_of(r, v);
        bool        score = n->op == OP_matmul && n->a.matmul.ta && !n->a.matmul.tb && r->from[arg(r, v, 0)] &&
                     r->from[arg(r, v, 1)];
        for (uint32_t k = 0; k < n->in_count; k++) {
            ValueId c = r->from[arg(r, v, k)];
            if (c && !score && !(k == 0 && r->from[v] == c)) {
                dropped = dropped || r->pair[c].terms;
                r->pair[c].terms = 0;
            }
        }
    }
    for (uint32_t i = 0; i < r->g->outs; i++) {
        ValueId c = r->from[r->g->out[i]];
        if (c) {
            dropped = dropped || r->pair[c].terms;
            r->pair[c].terms = 0;
        }
    }
    return dropped;
}

/* Rows 0, 2, 4, ..., 1, 3, 5, ... of each of `heads` blocks of rows. */
static ValueId reordered(Module *m, Graph *to, ValueId w, int32_t heads)
{
    Node          like = to->node[w];
    Shape         s = like.type.shape;
    int32_t       apart[4] = {heads, s.dim[0] / heads / 2, 2, s.dim[1]};
    const uint8_t perm[MAX_RANK] = {0, 2, 1, 3};
    like.hint = 0;
    ValueId x = g_reshape(m, to, &like, w, shape_of(4, apart));
    x = g_transpose(m, to, &like, x, perm);
    return g_reshape(m, to, &like, x, s);
}

/* The table [P, 1, S] for every head: [H, P, S]. */
static ValueId half_table(Module *m, Graph *to, const Node *like, ValueId t, Shape half)
{
    int32_t one[3] = {1, half.dim[1], half.dim[2]};
    return g_broadcast(m, to, like, g_reshape(m, to, like, t, shape_of(3, one)), half);
}

static ValueId rotated_term(Rope *r, Graph *to, const ValueId *map, const Term *t, const Node *like, int32_t heads,
                            Shape flat)
{
    if (!t->weight)
        return g_broadcast(r->m, to, like, reordered(r->m, to, map[t->bias], heads), flat);
    const Node *n = node_of(r, t->product);
    ValueId     w = reordered(r->m, to, map[t->weight], heads);
    return g_matmul(r->m, to, n, w, map[t->h], false, n->a.matmul.tb);
}

static ValueId rotated(Rope *r, Graph *to, const ValueId *map, ValueId v)
{
    Module     *m = r->m;
    const Pair *p = &r->pair[v];
    const Node *n = node_of(r, v);
    Shape       s = n->type.shape, half = s;
    int32_t     begin[3] = {0}, end[3] = {s.dim[0], s.dim[1] / 2, s.dim[2]};
    half.dim[1] = s.dim[1] / 2;
    int32_t flat[2] = {s.dim[0] * s.dim[1], s.dim[2]};
    ValueId y = 0;
    for (uint32_t i = 0; i < p->terms; i++) {
        ValueId t = rotated_term(r, to, map, &p->term[i], n, s.dim[0], shape_of(2, flat));
        y = y ? g_binary(m, to, node_of(r, p->sum[i]), OP_add, y, t) : t;
    }
    ValueId x = g_reshape(m, to, n, y, s);
    ValueId a = g_slice(m, to, n, x, begin, end);
    begin[1] = end[1];
    end[1] = s.dim[1];
    ValueId b = g_slice(m, to, n, x, begin, end);
    ValueId c = half_table(m, to, n, map[p->cos], half), sn = half_table(m, to, n, map[p->sin], half);
    ValueId ac = g_binary(m, to, n, OP_mul, a, c), bs = g_binary(m, to, n, OP_mul, b, sn);
    ValueId bc = g_binary(m, to, n, OP_mul, b, c), as = g_binary(m, to, n, OP_mul, a, sn);
    ValueId first = g_binary(m, to, n, OP_sub, ac, bs), second = g_binary(m, to, n, OP_add, bc, as);
    return g_concat(m, to, n, (ValueId[]){first, second}, 2, 1);
}

bool fold_rope(Module *m, Graph *g, Arena *scratch)
{
    Rope r = {.m = m, .g = g, .uses = graph_uses(scratch, g)};
    bool any = false;
    if (!switched_on(m->off, SWITCH_repair_rope))
        return false;
    r.pair = NEW_N(scratch, Pair, g->count);
    r.from = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++)
        r.pair[v] = match(&r, v);
    while (drop_misread(&r))
        ;
    for (ValueId v = 1; v < g->count; v++)
        any = any || r.pair[v].terms;
    if (!any)
        return false;
    Graph   *to = graph_successor(m, g);
    ValueId *map = NEW_N(scratch, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++)
        map[v] = r.pair[v].terms ? rotated(&r, to, map, v) : graph_copy_node(m, to, g, v, map);
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
    graph_replace(m, to);
    return true;
}

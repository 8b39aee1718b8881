/* test_delta.c: the adjoint of softmax that sums over the output of the product behind it (R9): the same gradients, no
 * sum over the scores, and left alone where the sum is not that of the output. */
#include "passes/switches.h"
#include "rig.h"

#include <criterion/criterion.h>

enum { H = 2, D = 3, S = 7, T = 5 };

typedef enum { PLAIN, MERGED, TWO_READERS, OTHER_AXIS, WIDE } Kind;

/* P over keys times values, in the four ways a product can be written; a graph with a loss. */
static Graph *attention(Rig *r, bool first, bool turned, Kind kind)
{
    Graph  *g = new_graph(r, "loss");
    Module *m = r->m;
    int32_t d = kind == WIDE ? 4 * T : D;
    Shape   scores = turned ? SHAPE(H, T, S) : SHAPE(H, S, T); /* keys T are contracted */
    ValueId x = one_param(r, g, "scores", (Type){DT_REAL, scores});
    uint32_t keys = turned ? 1 : 2, axis = kind == OTHER_AXIS ? 3 - keys : keys;
    ValueId  p = g_softmax(m, g, NULL, x, (int32_t)axis), o;
    if (first) /* [S, T] [T, d] */
        o = g_matmul(m, g, NULL, p, one_param(r, g, "v", REAL(H, T, d)), turned, false);
    else /* [d, T] [T, S] */
        o = g_matmul(m, g, NULL, one_param(r, g, "v", REAL(H, d, T)), p, false, !turned);
    if (kind == MERGED) {
        Shape s = g->node[o].type.shape;
        o = g_reshape(m, g, NULL, o, SHAPE(H * s.dim[1], s.dim[2]));
        o = g_matmul(m, g, NULL, one_param(r, g, "w", REAL(4, H * s.dim[1])), o, false, false);
    }
    ValueId loss = mean_of_squares(r, g, o);
    if (kind == TWO_READERS)
        loss = g_binary(m, g, NULL, OP_add, loss, mean_of_squares(r, g, p));
    graph_add_out(m, g, loss, 0);
    train_on(r, g);
    return g;
}

/* Sums in the backward direction over operands of `numel` elements. */
static uint32_t sums_over(const Graph *g, int64_t numel)
{
    uint32_t n = 0;
    for (ValueId v = 1; v < g->count; v++)
        n += g->node[v].op == OP_sum && g->node[v].role == ROLE_BWD &&
             shape_numel(g->node[node_arg(g, v, 0)].type.shape) == numel;
    return n;
}

static void compare(bool first, bool turned, Kind kind, bool applies)
{
    Rig      r = rig_new();
    Graph   *g = attention(&r, first, turned, kind);
    size_t   n, n2;
    r.m->off = UINT64_C(1) << SWITCH_softmax_delta;
    Graph  *off = autodiff(r.m, g, r.ds);
    double *want = loss_and_gradients(&r, off, 3, 4, 2, &n);
    r.m->off = 0;
    Graph  *on = autodiff(r.m, g, r.ds);
    double *got = loss_and_gradients(&r, on, 3, 4, 2, &n2);
    double  d = distance(want, got, n);
    cr_expect(n == n2 && d < 1e-12, "off by %g", d);
    cr_expect_eq(sums_over(off, H * S * T), 1);
    cr_expect_eq(sums_over(on, H * S * T), applies ? 0 : 1, "first %d, turned %d, case %d", first, turned, kind);
    rig_free(&r);
}

Test(delta, every_form_of_the_product)
{
    for (int form = 0; form < 4; form++) {
        compare(form & 1, form & 2, PLAIN, true);
        compare(form & 1, form & 2, MERGED, true);
    }
}

Test(delta, left_alone_where_it_does_not_hold_or_help)
{
    for (int form = 0; form < 4; form++) {
        compare(form & 1, form & 2, TWO_READERS, false);
        compare(form & 1, form & 2, OTHER_AXIS, false);
        compare(form & 1, form & 2, WIDE, false); /* the output is the larger one */
    }
}

/* test_range.c: intervals of single operations: sound on random data for operands of all signs and sizes, and no wider
 * than the mathematics says where it says something. Whole models are tests/e2e/test_ranges.c's. */
#include "rig.h"

#include "base/rng.h"
#include "passes/range.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

static ValueId un(Rig *r, Graph *g, Op op, ValueId x)
{
    return g_unary(r->m, g, NULL, op, x);
}

static ValueId bin(Rig *r, Graph *g, Op op, ValueId x, ValueId y)
{
    return g_binary(r->m, g, NULL, op, x, y);
}

static ValueId number(Rig *r, Graph *g, double c, ValueId like)
{
    return g_splat(r->m, g, NULL, c, g->node[like].type);
}

/* A value that fills [lo, hi]: lo + (hi - lo) sigmoid(8 x) of an input. */
static ValueId between(Rig *r, Graph *g, double lo, double hi, Shape s)
{
    ValueId x = input(r, g, "x", (Type){DT_REAL, s});
    ValueId part = un(r, g, OP_sigmoid, bin(r, g, OP_mul, x, number(r, g, 8, x)));
    return bin(r, g, OP_add, number(r, g, lo, x), bin(r, g, OP_mul, number(r, g, hi - lo, x), part));
}

/* ---- soundness ---- */

typedef struct {
    const Ranges *r;
    uint32_t      checked, outside;
} Watch;

static void watch(void *watcher, const Graph *g, ValueId v, const Tensor *x)
{
    Watch          *w = watcher;
    const RangeRow *row = &w->r->row[g->id][v];
    for (int64_t i = 0; g->node[v].type.dtype != DT_NONE && i < shape_numel(x->type.shape); i++) {
        double y = x->v[i], slack = 1e-12 * fabs(y) + 1e-300;
        if (!isfinite(y))
            continue;
        w->checked++;
        if (!row->known || y < row->lo - slack || y > row->hi + slack) {
            fprintf(stderr, "%s: %.17g, not in [%.17g, %.17g]\n", op_info[g->node[v].op].name, y, row->lo, row->hi);
            w->outside++;
        }
    }
}

static uint32_t check_sound(Rig *r, Graph *g)
{
    Watch w = {.r = ranges_of(r->a, r->m)};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        EvalEnv env = {.m = r->m, .arena = r->a, .watch = watch, .watcher = &w};
        Tensor *in = NEW_N(r->a, Tensor, g->inputs + 1u), *out = NEW_N(r->a, Tensor, g->outs + 1u);
        Buf     err = {0};
        for (uint32_t k = 0; k < g->inputs; k++) {
            Type   t = g->input[k].type;
            size_t n = (size_t)shape_numel(t.shape);
            in[k] = (Tensor){t, NEW_N(r->a, double, n), NULL};
            for (size_t i = 0; i < n; i++)
                in[k].v[i] = t.dtype == DT_I32 ? floor(3 * rng_uniform(seed + k, i)) : rng_normal(100 * seed + k, i);
        }
        env.param = NEW_N(r->a, double *, r->m->params + 1u);
        for (uint32_t p = 0; p < r->m->params; p++) {
            size_t n = (size_t)shape_numel(r->m->param[p].type.shape);
            env.param[p] = NEW_N(r->a, double, n);
            for (size_t i = 0; i < n; i++)
                env.param[p][i] = 10 * rng_normal(seed * 7 + p, i);
        }
        cr_assert(graph_eval(&env, g, in, out, &err), "%s", err.data);
    }
    cr_expect(w.outside == 0, "%u of %u elements", w.outside, w.checked);
    return w.checked;
}

/* Every operation on operands from [a], [b]; not necessarily of a sensible model. */
static void every_operation(Rig *r, Graph *g, const double a[2], const double b[2])
{
    static const Op  binary[] = {OP_add, OP_sub, OP_mul, OP_div, OP_max, OP_min};
    static const Op  unary[] = {OP_neg, OP_exp, OP_log, OP_sqrt, OP_rsqrt, OP_tanh, OP_sigmoid};
    static const double power[] = {0, 1, 2, 3, 0.5, -0.5, -1, -2, -3, 1.7};
    Module  *m = r->m;
    ValueId  x = between(r, g, a[0], a[1], SHAPE(4, 6)), y = between(r, g, b[0], b[1], SHAPE(4, 6));
    ValueId class = input(r, g, "class", INTS(6)), index = input(r, g, "index", INTS(5)),
            at = input(r, g, "at", (Type){DT_I32, {0}});
    for (size_t i = 0; i < COUNT(binary); i++) {
        bin(r, g, binary[i], x, y);
        bin(r, g, binary[i], x, x);
        bin(r, g, binary[i], x, un(r, g, OP_neg, x));
    }
    for (size_t i = 0; i < COUNT(unary); i++)
        un(r, g, unary[i], x);
    for (size_t i = 0; i < COUNT(power); i++)
        g_powc(m, g, NULL, x, power[i]);
    for (CmpKind k = CMP_EQ; k <= CMP_GE; k++)
        g_select(m, g, NULL, g_cmp(m, g, NULL, k, x, y), x, y);
    g_sum(m, g, NULL, x, 1);
    g_sum(m, g, NULL, x, 3);
    ValueId most = g_amax(m, g, NULL, x, 1);
    bin(r, g, OP_sub, x, g_broadcast(m, g, NULL, most, SHAPE(4, 6)));
    g_softmax(m, g, NULL, x, 1);
    g_matmul(m, g, NULL, x, y, true, false);
    g_matmul(m, g, NULL, x, y, false, true);
    g_reshape(m, g, NULL, x, SHAPE(2, 12));
    g_transpose(m, g, NULL, x, (uint8_t[]){1, 0});
    g_slice(m, g, NULL, x, (int32_t[]){1, 2}, (int32_t[]){3, 6});
    g_pad(m, g, NULL, x, (int32_t[]){1, 0}, (int32_t[]){0, 2});
    g_concat(m, g, NULL, (ValueId[]){x, y}, 2, 0);
    g_cast(m, g, NULL, x, DT_I32);
    g_cast(m, g, NULL, x, DT_F16);
    ValueId mean_square = bin(r, g, OP_mul, g_sum(m, g, NULL, bin(r, g, OP_mul, x, x), 1), number(r, g, 0.25, most));
    ValueId root = un(r, g, OP_rsqrt, bin(r, g, OP_add, mean_square, number(r, g, 1e-5, most)));
    bin(r, g, OP_mul, x, g_broadcast(m, g, NULL, root, SHAPE(4, 6)));
    Node n = {.op = OP_gather};
    ValueId rows_ = graph_add(m, g, &n, (ValueId[]){x, g_slice(m, g, NULL, index, (int32_t[]){0}, (int32_t[]){3})}, 2);
    n = (Node){.op = OP_scatter_add, .type = REAL(3, 6)};
    graph_add(m, g, &n, (ValueId[]){g_slice(m, g, NULL, index, (int32_t[]){0}, (int32_t[]){3}), rows_}, 2);
    n = (Node){.op = OP_xent};
    ValueId loss = graph_add(m, g, &n, (ValueId[]){x, class}, 2);
    n = (Node){.op = OP_xent_grad};
    graph_add(m, g, &n, (ValueId[]){x, class, loss}, 3);
    n = (Node){.op = OP_splice};
    n.a.axis.axis = 0;
    graph_add(m, g, &n, (ValueId[]){x, g_slice(m, g, NULL, y, (int32_t[]){0, 0}, (int32_t[]){2, 6}), at}, 3);
    g_unary(m, g, NULL, OP_stop_grad, x);
    graph_add_out(m, g, mean(r, g, x), 0);
}

Test(range, intervals_of_every_operation_hold)
{
    static const double range[][2] = {{-3, -1}, {-2, 3}, {0, 4}, {0.5, 2}, {-1e3, 1e-3}, {-0.25, 0}, {7, 7}};
    for (size_t i = 0; i < COUNT(range); i++)
        for (size_t k = 0; k < COUNT(range); k++) {
            Rig    r = rig_new();
            Graph *g = new_graph(&r, "loss");
            every_operation(&r, g, range[i], range[k]);
            train_on(&r, g);
            cr_expect_gt(check_sound(&r, g), 20000);
            rig_free(&r);
        }
}

/* ---- width ---- */

static RangeRow row_of(Rig *r, Graph *g, ValueId v)
{
    return ranges_of(r->a, r->m)->row[g->id][v];
}

#define EXPECT_INTERVAL(v, a, b)                                                                       \
    do {                                                                                               \
        RangeRow row = row_of(&r, g, (v));                                                             \
        cr_expect(fabs(row.lo - (a)) <= 1e-9 && fabs(row.hi - (b)) <= 1e-9, "[%g, %g]", row.lo, row.hi); \
    } while (0)

Test(range, intervals_are_as_narrow_as_can_be_said)
{
    Rig     r = rig_new();
    Graph  *g = new_graph(&r, "loss");
    Module *m = r.m;
    ValueId x = between(&r, g, -2, 3, SHAPE(4, 6)), y = between(&r, g, 0.5, 2, SHAPE(4, 6)),
            any = input(&r, g, "any", REAL(4, 6));
    ValueId most = g_broadcast(m, g, NULL, g_amax(m, g, NULL, any, 2), SHAPE(4, 6));
    ValueId twice =
        g_broadcast(m, g, NULL, g_amax(m, g, NULL, any, 2), SHAPE(4, 6)); /* computed again: the same value */
    ValueId v[] = {bin(&r, g, OP_mul, x, y),
                   bin(&r, g, OP_mul, x, x),
                   bin(&r, g, OP_div, x, y),
                   g_sum(m, g, NULL, x, 2),
                   g_softmax(m, g, NULL, any, 0),
                   un(&r, g, OP_exp, bin(&r, g, OP_sub, any, twice)),
                   bin(&r, g, OP_max, un(&r, g, OP_tanh, any), un(&r, g, OP_neg, un(&r, g, OP_tanh, any))),
                   g_matmul(m, g, NULL, x, y, false, true)};
    (void)most;
    graph_add_out(m, g, mean(&r, g, x), 0);
    train_on(&r, g);
    EXPECT_INTERVAL(v[0], -4, 6);
    EXPECT_INTERVAL(v[1], 0, 9);
    EXPECT_INTERVAL(v[2], -4, 6);
    EXPECT_INTERVAL(v[3], -12, 18);
    EXPECT_INTERVAL(v[4], 0, 1);
    EXPECT_INTERVAL(v[5], 0, 1);
    EXPECT_INTERVAL(v[6], 0, 1);
    EXPECT_INTERVAL(v[7], -24, 36);
    rig_free(&r);
}

/* x / sqrt(c * sum of x^2 + eps): at most c^(-1/2), whichever way it is written; not if the x are different. */
Test(range, normalised_values_are_bounded)
{
    for (int way = 0; way < 4; way++) {
        Rig     r = rig_new();
        Graph  *g = new_graph(&r, "loss");
        Module *m = r.m;
        ValueId x = input(&r, g, "x", REAL(9, 6)), y = input(&r, g, "y", REAL(9, 6));
        ValueId square = way == 1 ? g_powc(m, g, NULL, x, 2) : bin(&r, g, OP_mul, x, x);
        ValueId sum = g_sum(m, g, NULL, square, 1);
        ValueId mean_ = way == 2 ? bin(&r, g, OP_div, sum, number(&r, g, 9, sum))
                                 : bin(&r, g, OP_mul, number(&r, g, 1.0 / 9, sum), sum);
        ValueId safe = bin(&r, g, OP_add, mean_, number(&r, g, 1e-6, sum));
        ValueId root = way == 1 ? g_powc(m, g, NULL, safe, -0.5) : un(&r, g, OP_rsqrt, safe);
        ValueId xh = bin(&r, g, OP_mul, g_broadcast(m, g, NULL, root, SHAPE(9, 6)), way == 3 ? y : x);
        graph_add_out(m, g, mean(&r, g, xh), 0);
        train_on(&r, g);
        RangeRow row = row_of(&r, g, xh);
        if (way == 3)
            cr_expect(isinf(row.lo) && isinf(row.hi));
        else
            cr_expect(fabs(row.lo + 3) < 1e-9 && fabs(row.hi - 3) < 1e-9, "way %d: [%g, %g]", way, row.lo, row.hi);
        check_sound(&r, g);
        rig_free(&r);
    }
}

/* A loop's carried value: an interval that stands still is kept, one that grows is given up. */
Test(range, loops_are_walked_until_intervals_stand_still)
{
    for (int grows = 0; grows < 2; grows++) {
        Rig     r = rig_new();
        Graph  *g = new_graph(&r, "loss"), *body = new_graph(&r, "body");
        Module *m = r.m;
        ValueId h = input(&r, body, "h", REAL(4, 4));
        ValueId w = per_layer(&r, body, "w", 3, REAL(4, 4), (Init){INIT_NORMAL, 0.3, 0});
        ValueId next = bin(&r, body, OP_add, h, un(&r, body, OP_tanh, w));
        graph_add_out(m, body, grows ? next : un(&r, body, OP_tanh, next), 0);
        ValueId x = un(&r, g, OP_tanh, input(&r, g, "x", REAL(4, 4)));
        Node    n = {.op = OP_repeat};
        n.a.repeat.graph = body->id;
        n.a.repeat.n = 3;
        n.a.repeat.n_carry = 1;
        ValueId last = g_proj(m, g, NULL, graph_add(m, g, &n, &x, 1), 0);
        graph_add_out(m, g, mean(&r, g, last), 0);
        train_on(&r, g);
        RangeRow row = row_of(&r, g, last);
        cr_expect(grows ? isinf(row.hi) : fabs(row.hi - 1) < 1e-9, "[%g, %g]", row.lo, row.hi);
        check_sound(&r, g);
        rig_free(&r);
    }
}

/* In a loop, a carried value is not what it was at first: h_i / rms(h_0) has no bound, x / rms(h_0) of the invariant x
 * = h_0 has. */
Test(range, a_carried_value_is_another_one_each_time)
{
    Rig     r = rig_new();
    Graph  *g = new_graph(&r, "loss"), *body = new_graph(&r, "body");
    Module *m = r.m;
    ValueId h = input(&r, body, "h", REAL(4, 4)), x0 = input(&r, body, "x0", REAL(4, 4)),
            root = input(&r, body, "root", REAL(1, 4));
    ValueId w = per_layer(&r, body, "w", 3, REAL(4, 4), (Init){INIT_NORMAL, 0.3, 0}),
            spread = g_broadcast(m, body, NULL, root, SHAPE(4, 4));
    ValueId no = bin(&r, body, OP_mul, h, spread), yes = bin(&r, body, OP_mul, x0, spread);
    graph_add_out(m, body, bin(&r, body, OP_add, bin(&r, body, OP_add, no, yes), w), 0);
    ValueId x = input(&r, g, "x", REAL(4, 4));
    ValueId sum = g_sum(m, g, NULL, bin(&r, g, OP_mul, x, x), 1);
    Node    n = {.op = OP_repeat};
    n.a.repeat.graph = body->id;
    n.a.repeat.n = 3;
    n.a.repeat.n_carry = 1;
    ValueId last = g_proj(m, g, NULL, graph_add(m, g, &n, (ValueId[]){x, x, un(&r, g, OP_rsqrt, sum)}, 3), 0);
    graph_add_out(m, g, mean(&r, g, last), 0);
    train_on(&r, g);
    cr_expect(isinf(row_of(&r, body, no).hi));
    cr_expect_float_eq(row_of(&r, body, yes).hi, 1, 1e-9);
    check_sound(&r, g);
    rig_free(&r);
}

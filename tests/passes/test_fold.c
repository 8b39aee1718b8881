/* test_fold.c: gains and rotary pairs that become part of weights: what is rewritten, what is left alone, and that
 * values and gradients stay. Whole models are compared in tests/e2e/test_pass_equality.c. */
#include "passes/fold.h"
#include "passes/switches.h"
#include "passes/taps.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { C = 8, O = 6, S = 16 };

typedef struct {
    Rig     r;
    Graph  *g;
    ValueId x, gain, xn, w;
} Fold;

static Fold start(Shape x)
{
    Fold f = {.r = rig_new()};
    f.r.m->off = UINT64_C(1) << SWITCH_stack_products; /* which has tests of its own */
    f.g = new_graph(&f.r, "loss");
    f.x = input(&f.r, f.g, "x", (Type){DT_REAL, x});
    return f;
}

/* xn = x * gain, one gain per channel. */
static Fold scaled(void)
{
    Fold f = start(SHAPE(C, S));
    f.gain = one_param(&f.r, f.g, "gain", REAL(C));
    f.xn = g_binary(f.r.m, f.g, NULL, OP_mul, f.x, rows(&f.r, f.g, f.gain, SHAPE(C, S)));
    f.w = one_param(&f.r, f.g, "w", REAL(O, C));
    return f;
}

static ValueId times(Fold *f, ValueId w, ValueId x)
{
    return g_matmul(f->r.m, f->g, NULL, w, x, false, false);
}

/* Is there a product of a parameter expression that is more than a parameter? */
static bool is_folded(const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_matmul && is_param_expr(g, node_arg(g, v, 0)) &&
            g->node[node_arg(g, v, 0)].op != OP_param)
            return true;
    return false;
}

/* Run the pass on a loss of `y`; is the graph folded? Value and gradients stay. Ends the case. */
static bool finish(Fold *f, ValueId y)
{
    Rig *r = &f->r;
    graph_add_out(r->m, f->g, mean_of_squares(r, f->g, y), 0);
    train_on(r, f->g);
    size_t  n, n2;
    Graph  *before = autodiff(r->m, f->g, r->ds);
    cr_assert(before != NULL);
    double     *want = loss_and_gradients(r, before, 5, 4, 2, &n);
    PassOptions opt = {.diags = r->ds, .stop_after = "defer"};
    GraphId     id = f->g->id;
    PassCtx     cx = {r->m, r->ds, arena_new()};
    pass_simplify(&cx);
    pass_fold(&cx);
    bool folded = is_folded(r->m->graph[id]);
    arena_free(cx.scratch);
    cr_assert(passes_run(r->m, &opt) && verified(r, "defer"));
    double *got = loss_and_gradients(r, r->m->graph[r->m->entry[0].graph], 5, 4, 2, &n2);
    cr_assert_eq(n, n2);
    double d = distance(want, got, n);
    cr_expect(d < 1e-12, "off by %g", d);
    rig_free(r);
    return folded;
}

Test(fold, a_gain_goes_into_all_weights_that_read_it)
{
    Fold    f = scaled();
    ValueId w2 = one_param(&f.r, f.g, "w2", REAL(O, C));
    ValueId a = times(&f, f.w, f.xn), b = times(&f, w2, f.xn);
    cr_expect(finish(&f, g_binary(f.r.m, f.g, NULL, OP_mul, a, b)));
}

Test(fold, a_transposed_weight_is_scaled_along_its_rows)
{
    Fold    f = scaled();
    ValueId w = one_param(&f.r, f.g, "wt", REAL(C, O));
    cr_expect(finish(&f, g_matmul(f.r.m, f.g, NULL, w, f.xn, true, false)));
}

Test(fold, a_shift_becomes_a_bias)
{
    Fold    f = scaled();
    ValueId b = one_param(&f.r, f.g, "b", REAL(C)), bias = one_param(&f.r, f.g, "bias", REAL(O));
    ValueId xn = g_binary(f.r.m, f.g, NULL, OP_add, f.xn, rows(&f.r, f.g, b, SHAPE(C, S)));
    ValueId y = times(&f, f.w, xn);
    y = g_binary(f.r.m, f.g, NULL, OP_add, y, rows(&f.r, f.g, bias, SHAPE(O, S)));
    cr_expect(finish(&f, y));
}

Test(fold, the_switch_turns_it_off)
{
    Fold f = scaled();
    f.r.m->off |= UINT64_C(1) << SWITCH_fold_gain;
    cr_expect_not(finish(&f, times(&f, f.w, f.xn)));
}

Test(fold, another_reader_keeps_the_gain_where_it_is)
{
    Fold    f = scaled();
    ValueId y = times(&f, f.w, f.xn);
    ValueId rest = g_slice(f.r.m, f.g, NULL, f.xn, DIMS(0, 0), DIMS(O, S));
    cr_expect_not(finish(&f, g_binary(f.r.m, f.g, NULL, OP_add, y, rest)));
}

Test(fold, a_weight_that_is_also_looked_up_stays)
{
    Fold    f = scaled();
    Node    gather = {.op = OP_gather};
    ValueId index = input(&f.r, f.g, "index", INTS(C)), y = times(&f, f.w, f.xn);
    ValueId looked = graph_add(f.r.m, f.g, &gather, (ValueId[]){f.w, index}, 2); /* [C, C] */
    y = g_binary(f.r.m, f.g, NULL, OP_mul, g_slice(f.r.m, f.g, NULL, y, DIMS(0, 0), DIMS(O, C)),
                 g_slice(f.r.m, f.g, NULL, looked, DIMS(0, 0), DIMS(O, C)));
    cr_expect_not(finish(&f, y));
}

Test(fold, a_wish_for_the_value_is_respected)
{
    Fold f = scaled();
    f.g->node[f.xn].hint = module_add_hint(f.r.m, (Hint){.save = true});
    cr_expect_not(finish(&f, times(&f, f.w, f.xn)));
}

Test(fold, a_product_for_the_cpu_keeps_its_weight)
{
    Fold    f = scaled();
    ValueId y = times(&f, f.w, f.xn);
    f.g->node[y].hint = module_add_hint(f.r.m, (Hint){.place = PLACE_CPU});
    cr_expect_not(finish(&f, y));
    f = start(SHAPE(C, 4)); /* rows too short for the engine */
    f.gain = one_param(&f.r, f.g, "gain", REAL(C));
    f.xn = g_binary(f.r.m, f.g, NULL, OP_mul, f.x, rows(&f.r, f.g, f.gain, SHAPE(C, 4)));
    cr_expect_not(finish(&f, times(&f, one_param(&f.r, f.g, "w", REAL(O, C)), f.xn)));
    f = scaled(); /* as many rows as a vocabulary */
    cr_expect_not(finish(&f, times(&f, one_param(&f.r, f.g, "head", REAL(20000, C)), f.xn)));
}

Test(fold, a_gain_per_head_stays)
{
    Fold    f = start(SHAPE(2, C, S));
    ValueId g = one_param(&f.r, f.g, "gain", REAL(C)), w = one_param(&f.r, f.g, "w", REAL(2, O, C));
    g = g_broadcast(f.r.m, f.g, NULL, g_reshape(f.r.m, f.g, NULL, g, SHAPE(1, C, 1)), SHAPE(2, C, S));
    cr_expect_not(finish(&f, times(&f, w, g_binary(f.r.m, f.g, NULL, OP_mul, f.x, g))));
}

Test(fold, entries_with_states_stay)
{
    Fold     f = scaled();
    Module  *m = f.r.m;
    uint32_t leaf = 0;
    GROW(m->arena, m->state, m->states, m->states_cap);
    m->state[m->states++] = (State){.path = str(&f.r, "kept"), .type = REAL(O, S)};
    Node set = {.op = OP_state_set};
    set.a.leaf.set = module_add_state_set(m, str(&f.r, "kept"), &leaf, 1);
    ValueId y = times(&f, f.w, f.xn);
    graph_add(m, f.g, &set, &y, 1);
    graph_add_out(m, f.g, y, 0);
    train_on(&f.r, f.g);
    PassCtx cx = {m, f.r.ds, arena_new()};
    cr_expect(pass_fold(&cx) == PASS_SAME);
    arena_free(cx.scratch);
    rig_free(&f.r);
}

/* ---- rotary pairs ---- */

enum { H = 2, D = 8, P = D / 2 };

static ValueId table(Rig *r, Graph *g, Shape s, double (*f)(int64_t))
{
    int64_t n = shape_numel(s);
    double *x = NEW_N(r->a, double, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = f(i);
    return g_table(r->m, g, NULL, module_add_table(r->m, DT_REAL, s, x, 0));
}

static double swap(int64_t i)
{
    int64_t row = i / D, column = i % D;
    return column != (row ^ 1) ? 0 : row % 2 ? 1 : -1;
}

static double no_swap(int64_t i)
{
    return -swap(i);
}

static double cosine(int64_t i)
{
    return cos(0.3 * (double)i);
}

static double sine(int64_t i)
{
    return sin(0.3 * (double)i);
}

static ValueId doubled(Rig *r, Graph *g, double (*f)(int64_t))
{
    ValueId t = g_broadcast(r->m, g, NULL, table(r, g, SHAPE(P, 1, S), f), SHAPE(P, 2, S));
    return g_broadcast(r->m, g, NULL, g_reshape(r->m, g, NULL, t, SHAPE(1, D, S)), SHAPE(H, D, S));
}

/* The projection y, as heads, turned. */
static ValueId turned_heads(Fold *f, ValueId y, double (*matrix)(int64_t))
{
    Rig    *r = &f->r;
    ValueId x = g_reshape(r->m, f->g, NULL, y, SHAPE(H, D, S));
    ValueId m = g_broadcast(r->m, f->g, NULL, table(r, f->g, SHAPE(1, D, D), matrix), SHAPE(H, D, D));
    ValueId a = g_binary(r->m, f->g, NULL, OP_mul, x, doubled(r, f->g, cosine));
    ValueId b = g_binary(r->m, f->g, NULL, OP_mul, times(f, m, x), doubled(r, f->g, sine));
    return g_binary(r->m, f->g, NULL, OP_add, a, b);
}

/* The projection of x, as heads, turned. */
static ValueId turned(Fold *f, const char *name, double (*matrix)(int64_t))
{
    return turned_heads(f, times(f, one_param(&f->r, f->g, name, REAL(H *D, C)), f->x), matrix);
}

static ValueId score(Fold *f, ValueId q, ValueId k)
{
    return g_matmul(f->r.m, f->g, NULL, q, k, true, false);
}

Test(fold, rotary_pairs_of_both_sides_of_a_score_become_halves)
{
    Fold    f = start(SHAPE(C, S));
    ValueId q = turned(&f, "wq", swap), k = turned(&f, "wk", swap);
    q = g_binary(f.r.m, f.g, NULL, OP_mul, q, g_splat(f.r.m, f.g, NULL, 0.25, f.g->node[q].type));
    cr_expect(finish(&f, score(&f, q, k)));
}

Test(fold, rotary_pairs_of_projections_with_a_bias)
{
    Fold    f = start(SHAPE(C, S));
    ValueId y = times(&f, one_param(&f.r, f.g, "wq", REAL(H * D, C)), f.x);
    y = g_binary(f.r.m, f.g, NULL, OP_add, y,
                 rows(&f.r, f.g, one_param(&f.r, f.g, "bias", REAL(H * D)), SHAPE(H * D, S)));
    ValueId q = turned_heads(&f, y, swap), k = turned(&f, "wk", swap);
    cr_expect(finish(&f, score(&f, q, k)));
}

Test(fold, rotary_pairs_that_the_switch_or_another_reader_keeps)
{
    Fold f = start(SHAPE(C, S));
    f.r.m->off |= UINT64_C(1) << SWITCH_repair_rope;
    ValueId q = turned(&f, "wq", swap), k = turned(&f, "wk", swap);
    cr_expect_not(finish(&f, score(&f, q, k)));

    f = start(SHAPE(C, S)); /* the keys are read as they are: neither side may change */
    q = turned(&f, "wq", swap);
    k = turned(&f, "wk", swap);
    ValueId s = score(&f, q, k),
            kept = mean_of_squares(&f.r, f.g, g_slice(f.r.m, f.g, NULL, k, DIMS(0, 0, 0), DIMS(H, 2, S)));
    ValueId all = g_broadcast(f.r.m, f.g, NULL, g_reshape(f.r.m, f.g, NULL, kept, SHAPE(1, 1, 1)), SHAPE(H, S, S));
    cr_expect_not(finish(&f, g_binary(f.r.m, f.g, NULL, OP_add, s, all)));

    f = start(SHAPE(C, S)); /* one side alone */
    q = turned(&f, "wq", swap);
    cr_expect_not(finish(&f, score(&f, q, input(&f.r, f.g, "k", REAL(H, D, S)))));

    f = start(SHAPE(C, S)); /* turned the other way: another matrix, not known */
    q = turned(&f, "wq", no_swap);
    k = turned(&f, "wk", no_swap);
    cr_expect_not(finish(&f, score(&f, q, k)));
}

/* ---- products that are stacked ---- */

/* The sum of squares of W_i x, with so many rows each. */
static bool stacked(int32_t rows_each, int32_t columns, uint32_t weights, uint64_t off)
{
    Fold    f = start(SHAPE(columns, S));
    ValueId sum = 0;
    f.r.m->off = off;
    for (uint32_t i = 0; i < weights; i++) {
        ValueId y =
            times(&f, one_param(&f.r, f.g, arena_printf(f.r.a, "w%u", i), REAL(rows_each + (int32_t)i, columns)), f.x);
        ValueId m = mean_of_squares(&f.r, f.g, y);
        sum = sum ? g_binary(f.r.m, f.g, NULL, OP_add, sum, m) : m;
    }
    return finish(&f, g_broadcast(f.r.m, f.g, NULL, g_reshape(f.r.m, f.g, NULL, sum, SHAPE(1, 1)), SHAPE(2, S)));
}

Test(fold, small_products_of_one_value_are_one)
{
    cr_expect(stacked(8, 16, 2, 0));
    cr_expect(stacked(8, 16, 3, 0));
    cr_expect_not(stacked(8, 16, 1, 0));
    cr_expect_not(stacked(8, 16, 3, UINT64_C(1) << SWITCH_stack_products));
    cr_expect_not(stacked(1024, 512, 2, 0)); /* each fills a task of the engine by itself */
}

/* ---- what waits for the update ---- */

Test(fold, what_nobody_reads_is_not_stacked)
{
    Fold f = start(SHAPE(C, S));
    f.r.m->off = 0;
    ValueId y = times(&f, one_param(&f.r, f.g, "w", REAL(O, C)), f.x);
    ValueId z = times(&f, one_param(&f.r, f.g, "u", REAL(O, C)), f.x);
    g_binary(f.r.m, f.g, NULL, OP_add, z, z);
    graph_add_out(f.r.m, f.g, mean_of_squares(&f.r, f.g, y), 0);
    cr_expect_not(fold_stack(f.r.m, f.g, f.r.a));
    rig_free(&f.r);
}

Test(fold, frozen_and_trained_weights_are_kept_apart)
{
    Fold    f = start(SHAPE(C, S)); /* W1 x, B1 x, W2 x, B2 x: W over W and B over B */
    ValueId sum = 0;
    f.r.m->off = 0;
    for (uint32_t i = 0; i < 4; i++) {
        ValueId w = one_param(&f.r, f.g, arena_printf(f.r.a, "w%u", i), REAL(O, C));
        f.r.m->param[f.r.m->params - 1].frozen = i % 2 == 0;
        ValueId y = mean_of_squares(&f.r, f.g, times(&f, w, f.x));
        sum = sum ? g_binary(f.r.m, f.g, NULL, OP_add, sum, y) : y;
    }
    graph_add_out(f.r.m, f.g, sum, 0);
    cr_expect(fold_stack(f.r.m, f.g, f.r.a));
    const Graph *g = f.r.m->graph[f.g->id];
    uint32_t     stacks = 0;
    for (ValueId v = 1; v < g->count; v++) {
        if (g->node[v].op != OP_concat)
            continue;
        stacks++;
        cr_expect_eq(g->node[v].in_count, 2);
        cr_expect_eq(is_trained_expr(f.r.m, g, node_arg(g, v, 0)), is_trained_expr(f.r.m, g, node_arg(g, v, 1)));
    }
    cr_expect_eq(stacks, 2);
    rig_free(&f.r);
}

Test(fold, a_trained_gain_stays_before_frozen_weights)
{
    Fold f = scaled();
    cr_expect(finish(&f, times(&f, f.w, f.xn)));
    f = scaled();
    f.r.m->param[f.r.m->params - 1].frozen = true; /* w */
    cr_expect_not(finish(&f, times(&f, f.w, f.xn)));
    f = scaled();
    f.r.m->param[f.r.m->params - 2].frozen = true; /* the gain */
    cr_expect(finish(&f, times(&f, f.w, f.xn)));
}

Test(defer, tails_of_gradients_wait_and_nothing_else)
{
    Fold    f = scaled();
    Rig    *r = &f.r;
    ValueId w2 = one_param(r, f.g, "w2", REAL(O, O)), y = times(&f, w2, times(&f, f.w, f.xn));
    graph_add_out(r->m, f.g, mean_of_squares(r, f.g, y), 0);
    train_on(r, f.g);
    PassOptions opt = {.diags = r->ds, .stop_after = "defer"};
    cr_assert(passes_run(r->m, &opt));
    const Graph *g = r->m->graph[r->m->entry[0].graph];
    uint32_t     sinks[3] = {0}, products = 0;
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_grad)
            sinks[n->role]++;
        if (n->op == OP_matmul && n->role == ROLE_UPD)
            products++;
    }
    cr_expect(sinks[ROLE_BWD] == 1 && sinks[ROLE_UPD] == 2, "w2 directly, w and its gain once per update");
    cr_expect(products == 0, "contractions over positions do not wait");
    rig_free(r);
}

/* test_simplify.c: the clean-up keeps values, comes to an end, and every rule does what its name says. */
#include "rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>

/* ---- random graphs ---- */

typedef struct {
    Rig     *r;
    Graph   *g;
    uint64_t key, at;
} Dice;

static uint32_t roll(Dice *d, uint32_t n)
{
    return (uint32_t)(rng_uniform(d->key, d->at++) * n);
}

static Type random_type(Dice *d)
{
    return REAL(1 + (int32_t)roll(d, 3), 1 + (int32_t)roll(d, 3));
}

static ValueId any(Dice *d)
{
    return 1 + roll(d, d->g->count - 1);
}

/* A real value of rank 2. */
static ValueId any_real(Dice *d)
{
    ValueId v = any(d);
    while (d->g->node[v].type.dtype != DT_REAL)
        v = v > 1 ? v - 1 : d->g->count - 1;
    return v;
}

static ValueId same_shape(Dice *d, ValueId x)
{
    for (int tries = 0; tries < 8; tries++) {
        ValueId y = any_real(d);
        if (shape_equal(d->g->node[x].type.shape, d->g->node[y].type.shape))
            return y;
    }
    static const double nice[] = {0, 1, -1, 2, 0.5, 3, -0.25};
    return g_splat(d->r->m, d->g, NULL, nice[roll(d, COUNT(nice))], d->g->node[x].type);
}

static void random_node(Dice *d)
{
    static const Op     unary[] = {OP_neg, OP_neg, OP_tanh, OP_sigmoid, OP_stop_grad};
    static const Op     binary[] = {OP_add, OP_add, OP_sub, OP_mul, OP_mul, OP_max};
    static const double exponent[] = {0, 1, 2, 3};
    const uint8_t       swap[] = {1, 0}, keep[] = {0, 1};
    Module *m = d->r->m;
    Graph  *g = d->g;
    ValueId x = any_real(d);
    Type    t = g->node[x].type;
    int32_t a = t.shape.dim[0], b = t.shape.dim[1];
    switch (roll(d, 16)) {
    case 0:
    case 1: g_unary(m, g, NULL, unary[roll(d, COUNT(unary))], x); break;
    case 2:
    case 3:
    case 4:
    case 5: g_binary(m, g, NULL, binary[roll(d, COUNT(binary))], x, same_shape(d, x)); break;
    case 6: g_binary(m, g, NULL, OP_div, x, g_splat(m, g, NULL, roll(d, 2) ? 4 : 3, t)); break;
    case 7: g_powc(m, g, NULL, x, exponent[roll(d, COUNT(exponent))]); break;
    case 8: g_transpose(m, g, NULL, x, roll(d, 4) ? swap : keep); break;
    case 9: g_reshape(m, g, NULL, x, roll(d, 2) ? SHAPE(b, a) : SHAPE(a, b)); break;
    case 10: g_broadcast(m, g, NULL, x, SHAPE(a == 1 ? 2 : a, b == 1 ? 3 : b)); break;
    case 11: {
        int32_t lo = (int32_t)roll(d, (uint32_t)a);
        g_slice(m, g, NULL, x, DIMS(lo, 0), DIMS(lo + 1 + (int32_t)roll(d, (uint32_t)(a - lo)), b));
        break;
    }
    case 12: g_sum(m, g, NULL, x, roll(d, 4)); break;
    case 13: {
        ValueId y = any_real(d);
        int32_t c = g->node[y].type.shape.dim[0], e = g->node[y].type.shape.dim[1];
        bool    ta = roll(d, 2), tb = roll(d, 2);
        if ((ta ? a : b) == (tb ? e : c))
            g_matmul(m, g, NULL, x, y, ta, tb);
        break;
    }
    case 14: {
        ValueId y = same_shape(d, x);
        g_select(m, g, NULL, g_cmp(m, g, NULL, CMP_LT, x, y), x, y);
        break;
    }
    case 15:
        if (a < 3)
            g_concat(m, g, NULL, (ValueId[]){x, x}, 2, 0);
        break;
    }
}

static Graph *random_graph(Rig *r, uint64_t seed)
{
    Dice    d = {r, new_graph(r, "main"), rng_key(seed, "graph"), 0};
    double  table[9];
    for (uint32_t i = 0; i < 3; i++)
        input(r, d.g, arena_printf(r->a, "x%u", i), random_type(&d));
    for (int i = 0; i < 9; i++)
        table[i] = rng_normal(d.key, (uint64_t)(1000 + i));
    Type t = random_type(&d);
    g_table(r->m, d.g, NULL, module_add_table(r->m, DT_REAL, t.shape, table, 0));
    g_splat(r->m, d.g, NULL, 2, random_type(&d));
    for (int i = 0; i < 25; i++)
        random_node(&d);
    for (int i = 0; i < 4; i++)
        graph_add_out(r->m, d.g, any_real(&d), 0);
    GROW(r->m->arena, r->m->entry, r->m->entries, r->m->entries_cap);
    r->m->entry[r->m->entries++] = (Entry){str(r, "main"), d.g->id, {0}};
    return d.g;
}

Test(simplify, keeps_values_and_is_idempotent)
{
    for (uint64_t seed = 0; seed < 400; seed++) {
        Rig           r = rig_new();
        size_t        n, k;
        Graph        *g = random_graph(&r, seed);
        const double *want = results_of(&r, g, seed, 2, &n);
        uint32_t      before = g->count;
        simplify_graph(r.m, g, seed % 2, r.a);
        cr_assert(verified(&r, "simplify"));
        const double *got = results_of(&r, g, seed, 2, &k);
        cr_expect(n == k && distance(want, got, n) < 1e-12, "seed %d: %g", (int)seed, distance(want, got, n));
        cr_expect(g->count <= before);
        Buf once = {0}, twice = {0};
        module_print(r.m, &once);
        cr_expect(!simplify_graph(r.m, g, seed % 2, r.a), "seed %d: not idempotent", (int)seed);
        module_print(r.m, &twice);
        cr_expect_str_eq(once.data, twice.data);
        buf_free(&once);
        buf_free(&twice);
        rig_free(&r);
    }
}

/* ---- rules one by one: a graph on x, y: real[4, 4], and what is left of it ---- */

typedef struct {
    Rig     r;
    Graph  *g;
    Module *m;
    ValueId x, y;
} One;

static One one_new(void)
{
    One o = {.r = rig_new()};
    o.m = o.r.m;
    o.g = new_graph(&o.r, "main");
    o.x = input(&o.r, o.g, "x", REAL(4, 4));
    o.y = input(&o.r, o.g, "y", REAL(4, 4));
    return o;
}

static ValueId un(One *o, Op op, ValueId x)
{
    return g_unary(o->m, o->g, NULL, op, x);
}

static ValueId bin(One *o, Op op, ValueId x, ValueId y)
{
    return g_binary(o->m, o->g, NULL, op, x, y);
}

static ValueId num(One *o, double c)
{
    return g_splat(o->m, o->g, NULL, c, REAL(4, 4));
}

static ValueId swapped(One *o, ValueId x)
{
    return g_transpose(o->m, o->g, NULL, x, (const uint8_t[]){1, 0});
}

/* After the clean-up: `nodes` beside the inputs and constants, the last of them `op`. */
static void leaves(One *o, ValueId out, uint32_t nodes, Op op, const char *rule)
{
    size_t n, k;
    graph_add_out(o->m, o->g, out, 0);
    const double *want = results_of(&o->r, o->g, 1, 2, &n);
    simplify_graph(o->m, o->g, true, o->r.a);
    const double *got = results_of(&o->r, o->g, 1, 2, &k);
    uint32_t      left = o->g->count - 1 - count_op(o->g, OP_input) - count_op(o->g, OP_const);
    cr_expect(n == k && distance(want, got, n) < 1e-14, "%s", rule);
    cr_expect(left == nodes && o->g->node[o->g->out[0]].op == op, "%s: %u nodes, %s", rule, left,
              op_info[o->g->node[o->g->out[0]].op].name);
    rig_free(&o->r);
    *o = one_new();
}

Test(simplify, rules_of_arithmetic)
{
    One o = one_new();
    leaves(&o, g_powc(o.m, o.g, NULL, o.x, 1), 0, OP_input, "R3");
    leaves(&o, g_powc(o.m, o.g, NULL, o.x, 2), 1, OP_mul, "R3");
    leaves(&o, g_powc(o.m, o.g, NULL, bin(&o, OP_add, bin(&o, OP_mul, o.x, o.x), num(&o, 1)), -0.5), 3, OP_rsqrt, "R3");
    leaves(&o, g_powc(o.m, o.g, NULL, bin(&o, OP_add, bin(&o, OP_mul, o.x, o.x), num(&o, 1)), 0.5), 3, OP_sqrt, "R3");
    leaves(&o, bin(&o, OP_mul, bin(&o, OP_mul, num(&o, 3), o.x), num(&o, 5)), 1, OP_mul, "R4");
    leaves(&o, bin(&o, OP_add, bin(&o, OP_add, o.x, num(&o, 3)), num(&o, -3)), 0, OP_input, "R4");
    leaves(&o, bin(&o, OP_mul, o.x, num(&o, 1)), 0, OP_input, "R5");
    leaves(&o, bin(&o, OP_add, num(&o, 0), o.x), 0, OP_input, "R5");
    leaves(&o, bin(&o, OP_sub, o.x, num(&o, 0)), 0, OP_input, "R5");
    leaves(&o, bin(&o, OP_mul, o.x, num(&o, 0)), 0, OP_const, "R5");
    leaves(&o, un(&o, OP_neg, un(&o, OP_neg, o.x)), 0, OP_input, "R6");
    leaves(&o, bin(&o, OP_sub, o.x, un(&o, OP_neg, o.y)), 1, OP_add, "R6");
    leaves(&o, bin(&o, OP_add, un(&o, OP_neg, o.x), o.y), 1, OP_sub, "R6");
    leaves(&o, bin(&o, OP_mul, un(&o, OP_neg, o.x), un(&o, OP_neg, o.y)), 1, OP_mul, "R6");
    leaves(&o, bin(&o, OP_div, o.x, num(&o, 8)), 1, OP_mul, "R7");
    leaves(&o, bin(&o, OP_div, o.x, num(&o, 3)), 1, OP_div, "R7");
    leaves(&o, bin(&o, OP_mul, bin(&o, OP_div, o.x, num(&o, 3)), num(&o, 2)), 1, OP_mul, "R7");
    leaves(&o, un(&o, OP_neg, bin(&o, OP_mul, o.x, num(&o, 3))), 1, OP_mul, "R7");
    leaves(&o, bin(&o, OP_add, o.x, o.x), 1, OP_mul, "R16");
    leaves(&o, bin(&o, OP_add, bin(&o, OP_add, o.x, o.y), o.y), 2, OP_add, "R16");
    leaves(&o, bin(&o, OP_mul, un(&o, OP_tanh, o.x), un(&o, OP_tanh, o.x)), 2, OP_mul, "equal values");
    leaves(&o, bin(&o, OP_add, o.x, bin(&o, OP_mul, num(&o, 3), num(&o, 4))), 1, OP_add, "F1");
    rig_free(&o.r);
}

Test(simplify, rules_of_movement)
{
    One     o = one_new();
    ValueId t = swapped(&o, o.x);
    leaves(&o, swapped(&o, t), 0, OP_input, "R9");
    leaves(&o, g_transpose(o.m, o.g, NULL, o.x, (const uint8_t[]){0, 1}), 0, OP_input, "R9");
    leaves(&o, swapped(&o, g_matmul(o.m, o.g, NULL, o.x, o.y, false, true)), 1, OP_matmul, "R1");
    ValueId p = g_matmul(o.m, o.g, NULL, o.x, o.y, false, false);
    leaves(&o, bin(&o, OP_add, bin(&o, OP_mul, p, p), swapped(&o, p)), 4, OP_add, "R1 not, the product is read");
    p = g_matmul(o.m, o.g, NULL, o.x, o.y, false, false);
    graph_add_out(o.m, o.g, bin(&o, OP_add, p, swapped(&o, p)), 0);
    simplify_graph(o.m, o.g, true, o.r.a);
    cr_expect(count_op(o.g, OP_matmul) == 1);
    rig_free(&o.r);
    o = one_new();
    t = swapped(&o, o.x);
    leaves(&o, g_matmul(o.m, o.g, NULL, t, swapped(&o, o.y), true, false), 1, OP_matmul, "R2");
    leaves(&o, g_reshape(o.m, o.g, NULL, g_reshape(o.m, o.g, NULL, o.x, SHAPE(2, 8)), SHAPE(16)), 1, OP_reshape, "R10");
    leaves(&o, g_reshape(o.m, o.g, NULL, g_reshape(o.m, o.g, NULL, o.x, SHAPE(2, 8)), SHAPE(4, 4)), 0, OP_input, "R10");
    leaves(&o, g_broadcast(o.m, o.g, NULL, o.x, SHAPE(4, 4)), 0, OP_input, "R11");
    leaves(&o, g_slice(o.m, o.g, NULL, o.x, DIMS(0, 0), DIMS(4, 4)), 0, OP_input, "R11");
    leaves(&o, g_pad(o.m, o.g, NULL, o.x, DIMS(0, 0), DIMS(0, 0)), 0, OP_input, "R11");
    leaves(&o, g_sum(o.m, o.g, NULL, o.x, 0), 0, OP_input, "R11");
    leaves(&o, g_slice(o.m, o.g, NULL, g_slice(o.m, o.g, NULL, o.x, DIMS(1, 0), DIMS(4, 4)), DIMS(1, 2), DIMS(2, 3)), 1,
           OP_slice, "R12");
    ValueId c = g_concat(o.m, o.g, NULL, (ValueId[]){o.x, o.y}, 2, 0);
    leaves(&o, g_slice(o.m, o.g, NULL, c, DIMS(4, 0), DIMS(8, 4)), 0, OP_input, "R8");
    ValueId top = g_slice(o.m, o.g, NULL, o.x, DIMS(0, 0), DIMS(1, 4)),
            rest = g_slice(o.m, o.g, NULL, o.x, DIMS(1, 0), DIMS(4, 4));
    leaves(&o, g_concat(o.m, o.g, NULL, (ValueId[]){top, rest}, 2, 0), 0, OP_input, "R17");
    leaves(&o, g_select(o.m, o.g, NULL, g_cmp(o.m, o.g, NULL, CMP_LT, num(&o, 1), num(&o, 2)), o.x, o.y), 0, OP_input,
           "R13");
    leaves(&o, g_cast(o.m, o.g, NULL, g_cast(o.m, o.g, NULL, o.x, DT_F32), DT_REAL), 0, OP_input, "R15");
    leaves(&o, un(&o, OP_stop_grad, o.x), 0, OP_input, "R14");
    graph_add_out(o.m, o.g, un(&o, OP_stop_grad, o.x), 0);
    cr_expect(!simplify_graph(o.m, o.g, false, o.r.a));
    cr_expect(count_op(o.g, OP_stop_grad) == 1, "R14 before differentiation");
    rig_free(&o.r);
}

Test(simplify, folds_tables_but_does_not_spread_them)
{
    One    o = one_new();
    double v[4] = {0, 1, 2, 3};
    ValueId t = g_table(o.m, o.g, NULL, module_add_table(o.m, DT_REAL, SHAPE(1, 4), v, 0));
    ValueId wide = g_broadcast(o.m, o.g, NULL, un(&o, OP_neg, un(&o, OP_exp, t)), SHAPE(4, 4));
    leaves(&o, bin(&o, OP_mul, o.x, wide), 2, OP_mul, "F2");
    rig_free(&o.r);
}

Test(simplify, hinted_statements_stay_apart)
{
    One o = one_new();
    Node n = {.op = OP_tanh};
    n.hint = module_add_hint(o.m, (Hint){.place = PLACE_CPU});
    ValueId a = graph_add(o.m, o.g, &n, &o.x, 1), b = un(&o, OP_tanh, o.x);
    leaves(&o, bin(&o, OP_mul, a, b), 3, OP_mul, "hints");
    rig_free(&o.r);
}

/* ---- regions ---- */

Test(simplify, trims_the_interface_of_a_region)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Type    t = REAL(4);
    Graph  *b = new_graph(&r, "body");
    ValueId h = input(&r, b, "h", t), dead = input(&r, b, "dead", t), same = input(&r, b, "same", t);
    ValueId xs = input(&r, b, "xs", t), unused = input(&r, b, "unused", t), k = input(&r, b, "k", t),
            k2 = input(&r, b, "k2", t);
    (void)unused;
    ValueId y = g_binary(m, b, NULL, OP_add, g_binary(m, b, NULL, OP_mul, h, k), g_binary(m, b, NULL, OP_mul, xs, k2));
    graph_add_out(m, b, g_binary(m, b, NULL, OP_add, y, same), 0);
    graph_add_out(m, b, g_unary(m, b, NULL, OP_tanh, dead), 0);
    graph_add_out(m, b, same, 0);
    graph_add_out(m, b, y, 0);
    graph_add_out(m, b, h, 0);
    Graph  *g = new_graph(&r, "main");
    ValueId x = input(&r, g, "x", t), z = input(&r, g, "z", t), s = input(&r, g, "s", REAL(3, 4));
    ValueId two = g_splat(m, g, NULL, 2, t);
    Node    n = {.op = OP_repeat};
    n.a.repeat.graph = b->id;
    n.a.repeat.n = 3;
    n.a.repeat.n_carry = 3;
    n.a.repeat.n_xs = 2;
    ValueId rep = graph_add(m, g, &n, (ValueId[]){x, x, z, s, s, two, two}, 7);
    graph_add_out(m, g, g_proj(m, g, NULL, rep, 0), 0);
    graph_add_out(m, g, g_proj(m, g, NULL, rep, 2), 0);
    graph_add_out(m, g, g_proj(m, g, NULL, rep, 4), 0);
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){str(&r, "main"), g->id, {0}};
    size_t        c, d;
    const double *want = results_of(&r, g, 1, 2, &c);
    cr_expect(simplify_graph(m, g, false, r.a));
    cr_assert(verified(&r, "simplify"));
    const double *got = results_of(&r, g, 1, 2, &d);
    cr_expect(c == d && distance(want, got, c) < 1e-14);
    const Node *left = find_repeat(g, ROLE_FWD);
    cr_expect(left->a.repeat.n_carry == 1 && left->a.repeat.n_xs == 1 && left->in_count == 3);
    cr_expect(b->outs == 2 && b->inputs == 3);
    rig_free(&r);
}

Test(simplify, differentiates_the_same_before_and_after)
{
    Rig           r = rig_new();
    size_t        n, k;
    LlamaShape    s = {.dim = 6, .hidden = 8, .heads = 2, .seq = 5, .vocab = 7, .layers = 2, .residual_values = true};
    Graph        *g = llama(&r, s);
    const double *want = loss_and_gradients(&r, autodiff(r.m, g, r.ds), 1, 7, 1, &n);
    simplify_graph(r.m, g, false, r.a);
    const double *got = loss_and_gradients(&r, autodiff(r.m, g, r.ds), 1, 7, 1, &k);
    cr_expect(n == k && distance(want, got, n) < 1e-12);
    rig_free(&r);
}

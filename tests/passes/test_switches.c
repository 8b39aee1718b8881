/* test_switches.c: every rewrite of switches.def does something when it is on, nothing when it is off, and keeps the
 * value either way. A switch without a case here fails. */
#include "rig.h"

#include "passes/switches.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const names[] = {
#define SWITCH(name, help) #name,
#include "passes/switches.def"
};

typedef struct {
    Rig     r;
    Module *m;
    Graph  *g;
    ValueId x, y;
} Case;

static ValueId un(Case *c, Op op, ValueId x)
{
    return g_unary(c->m, c->g, NULL, op, x);
}

static ValueId bin(Case *c, Op op, ValueId x, ValueId y)
{
    return g_binary(c->m, c->g, NULL, op, x, y);
}

static ValueId num(Case *c, double v, ValueId like)
{
    return g_splat(c->m, c->g, NULL, v, c->g->node[like].type);
}

static ValueId swapped(Case *c, ValueId x)
{
    return g_transpose(c->m, c->g, NULL, x, (const uint8_t[]){1, 0});
}

/* A value that the rewrite of switch `k` changes, or 0 where the switch belongs to another pass (then `elsewhere` names
 * the file that tests it). */
static ValueId subject(Case *c, Switch k, const char **elsewhere)
{
    ValueId x = c->x, y = c->y;
    switch (k) {
    case SWITCH_cse: return bin(c, OP_mul, un(c, OP_tanh, x), un(c, OP_tanh, x));
    case SWITCH_constants: return bin(c, OP_mul, x, bin(c, OP_max, num(c, 2, x), num(c, 3, x)));
    case SWITCH_transposed_product: return swapped(c, g_matmul(c->m, c->g, NULL, x, y, false, false));
    case SWITCH_transpose_flags: return g_matmul(c->m, c->g, NULL, swapped(c, x), y, false, false);
    case SWITCH_powers: return g_powc(c->m, c->g, NULL, x, 2);
    case SWITCH_scalar_chains: return bin(c, OP_mul, bin(c, OP_mul, x, num(c, 3, x)), num(c, 5, x));
    case SWITCH_scale_sinking: {
        ValueId q = input(&c->r, c->g, "q", REAL(2, 3, 8)), t = input(&c->r, c->g, "k", REAL(2, 3, 8));
        ValueId scores = g_matmul(c->m, c->g, NULL, q, t, true, false);
        return bin(c, OP_mul, scores, num(c, 0.25, scores));
    }
    case SWITCH_concat_slices: {
        ValueId top = g_slice(c->m, c->g, NULL, x, DIMS(0, 0), DIMS(1, 4)),
                rest = g_slice(c->m, c->g, NULL, x, DIMS(1, 0), DIMS(4, 4));
        return g_concat(c->m, c->g, NULL, (ValueId[]){top, rest}, 2, 0);
    }
    case SWITCH_slice_concat:
        return g_slice(c->m, c->g, NULL, g_concat(c->m, c->g, NULL, (ValueId[]){x, y}, 2, 0), DIMS(4, 0), DIMS(8, 4));
    case SWITCH_pad_concat: {
        ValueId top = g_pad(c->m, c->g, NULL, x, DIMS(2, 0), DIMS(5, 0)),
                low = g_pad(c->m, c->g, NULL, y, DIMS(6, 0), DIMS(1, 0));
        return bin(c, OP_add, low, top);
    }
    case SWITCH_signs: return bin(c, OP_sub, x, un(c, OP_neg, y));
    case SWITCH_repeated_terms: return bin(c, OP_add, bin(c, OP_add, x, y), y);
    case SWITCH_mean_sums: *elsewhere = "tests/backend_ane/test_backend.c"; return 0;
    case SWITCH_stack_products:
    case SWITCH_fold_gain:
    case SWITCH_repair_rope: *elsewhere = "tests/passes/test_fold.c"; return 0;
    case SWITCH_engine: *elsewhere = "tests/passes/test_place.c"; return 0;
    case SWITCH_softmax_delta: *elsewhere = "tests/passes/test_delta.c"; return 0;
    case SWITCH_COUNT: break;
    }
    return 0;
}

/* The graph after the clean-up with `off` switched off, as text; its value compared with that before. */
static char *cleaned(Switch k, uint64_t off, bool *found)
{
    Case c = {.r = rig_new()};
    c.m = c.r.m;
    c.m->off = off;
    c.g = new_graph(&c.r, "main");
    c.x = input(&c.r, c.g, "x", REAL(4, 4));
    c.y = input(&c.r, c.g, "y", REAL(4, 4));
    const char *elsewhere = NULL;
    ValueId     v = subject(&c, k, &elsewhere);
    cr_assert(v || elsewhere, "no case for the switch '%s'", names[k]);
    *found = v != 0;
    Buf text = {0};
    if (v) {
        size_t n, m;
        graph_add_out(c.m, c.g, v, 0);
        const double *want = results_of(&c.r, c.g, 1, 2, &n);
        simplify_graph(c.m, c.g, false, c.r.a);
        const double *got = results_of(&c.r, c.g, 1, 2, &m);
        cr_expect(n == m && distance(want, got, n) < 1e-14, "%s", names[k]);
        graph_print(c.m, c.g, &text);
    }
    rig_free(&c.r);
    return text.data;
}

Test(switches, each_one_matters)
{
    for (Switch k = 0; k < SWITCH_COUNT; k++) {
        bool  found;
        char *on = cleaned(k, 0, &found), *off = cleaned(k, UINT64_C(1) << k, &found);
        if (found)
            cr_expect(strcmp(on, off) != 0, "'%s' changes nothing", names[k]);
        Buf a = {.data = on}, b = {.data = off};
        buf_free(&a);
        buf_free(&b);
    }
}

Test(switches, a_product_that_others_read_keeps_its_scale)
{
    Rig     r = rig_new();
    Graph  *g = new_graph(&r, "main");
    ValueId q = input(&r, g, "q", REAL(2, 3, 8)), k = input(&r, g, "k", REAL(2, 3, 8));
    ValueId scores = g_matmul(r.m, g, NULL, q, k, true, false);
    ValueId scaled = g_binary(r.m, g, NULL, OP_mul, scores, g_splat(r.m, g, NULL, 0.25, g->node[scores].type));
    graph_add_out(r.m, g, scaled, 0);
    graph_add_out(r.m, g, scores, 0);
    simplify_graph(r.m, g, false, r.a);
    cr_expect(count_op(g, OP_matmul) == 1);
    rig_free(&r);
}

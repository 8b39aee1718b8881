/* test_unroll.c: repeats with a #[group] are written out, and mean the same. */
#include "rig.h"

#include <criterion/criterion.h>
#include <string.h>

static Node *repeat_of(Graph *g)
{
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_repeat)
            return &g->node[v];
    return NULL;
}

static bool run(Rig *r)
{
    PassCtx    cx = {r->m, r->ds, arena_new()};
    PassResult result = pass_unroll(&cx);
    arena_free(cx.scratch);
    cr_assert_neq(result, PASS_FAILED);
    return result == PASS_CHANGED;
}

static void group_repeat(Rig *r, Graph *g)
{
    uint32_t hint = module_add_hint(r->m, (Hint){.group = str(r, "stack")});
    Node    *n = repeat_of(g);
    cr_assert(n != NULL);
    n->hint = hint;
}

Test(unroll, a_grouped_repeat_is_written_out_and_computes_the_same)
{
    LlamaShape s = {.dim = 8, .hidden = 12, .heads = 2, .seq = 4, .vocab = 11, .layers = 3, .residual_values = true};
    Rig        r = rig_new();
    Graph     *g = llama(&r, s);
    size_t  n, m;
    double *before = results_of(&r, g, 7, s.vocab, &n);
    group_repeat(&r, g);
    cr_expect(run(&r));
    g = r.m->graph[r.m->entry[0].graph];
    cr_expect_eq(count_op(g, OP_repeat), 0);
    cr_expect(verified(&r, "unroll"));
    double *after = results_of(&r, g, 7, s.vocab, &m);
    cr_assert_eq(n, m);
    cr_expect_lt(distance(after, before, n), 1e-12);
    rig_free(&r);
}

Test(unroll, gradients_stay_those_of_the_repeat)
{
    LlamaShape s = {.dim = 8, .hidden = 12, .heads = 2, .seq = 4, .vocab = 11, .layers = 3, .residual_values = true};
    double    *grad[2];
    size_t     n[2];
    Rig        r[2];
    for (int k = 0; k < 2; k++) {
        r[k] = rig_new();
        Graph *g = llama(&r[k], s);
        if (k) {
            group_repeat(&r[k], g);
            cr_expect(run(&r[k]));
            g = r[k].m->graph[r[k].m->entry[0].graph];
        }
        Graph *joint = autodiff(r[k].m, g, r[k].ds);
        cr_assert(joint != NULL);
        grad[k] = loss_and_gradients(&r[k], joint, 7, s.vocab, 1, &n[k]);
    }
    cr_assert_eq(n[0], n[1]);
    cr_expect_lt(distance(grad[1], grad[0], n[0]), 1e-12);
    rig_free(&r[0]);
    rig_free(&r[1]);
}

Test(unroll, values_are_called_after_their_layer_and_parameters_stand_alone)
{
    LlamaShape s = {.dim = 8, .hidden = 12, .heads = 2, .seq = 4, .vocab = 11, .layers = 2};
    Rig        r = rig_new();
    Graph     *g = llama(&r, s);
    group_repeat(&r, g);
    cr_expect(run(&r));
    g = r.m->graph[r.m->entry[0].graph];
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_param)
            cr_expect_eq(r.m->param_set[g->node[v].a.leaf.set].count, 1);
    rig_free(&r);
}

Test(unroll, other_repeats_stay)
{
    LlamaShape s = {.dim = 8, .hidden = 12, .heads = 2, .seq = 4, .vocab = 11, .layers = 2};
    Rig        r = rig_new();
    Graph     *g = llama(&r, s);
    cr_expect_not(run(&r));
    cr_expect_eq(count_op(g, OP_repeat), 1);
    rig_free(&r);
}

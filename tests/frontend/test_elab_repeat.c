/* test_elab_repeat.c: repeats: carried values, uniform runs, states, nesting; entries and buckets. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <string.h>

static const double X[2] = {3, 5};

static uint32_t runs(Elabed *t, const char *entry, int32_t *n)
{
    const Graph *g = elab_graph(t, entry);
    uint32_t k = 0;
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_repeat)
            n[k++] = g->node[i].a.repeat.n;
    return k;
}

Test(elab_repeat, carries_what_is_assigned)
{
    Elabed t = elab_ok(
        "model M { entry e(x: real[2]) -> real[2] {\n"
        "  y = x; k = 2; repeat l[L in 0..4] { z = y * 2; x = x + z; y = z; k = k + 1; } return x + y * k; } }\n");
    int32_t n[8];
    cr_assert_eq(runs(&t, "e", n), 1);
    cr_assert_eq(n[0], 4);
    const double *v = elab_run(&t, "e", (const double *const[]){X}, 1);
    cr_assert_eq(v[0], 3 * (1 + 2 + 4 + 8 + 16) + 3 * 16 * 6);
    elab_free(&t);
}

Test(elab_repeat, splits_into_uniform_runs)
{
    Elabed t =
        elab_ok("model M { entry e(x: real[2]) -> real[2] {\n"
                "  repeat l[L in 1..8] { param g: real[2] = ones(); if L == 1 { x = x * 2; }\n"
                "    if L % 7 == 0 { param h: real[2] = ones(); x = x + h; } else { x = x * g; } } return x; } }\n");
    int32_t n[8];
    cr_assert_eq(runs(&t, "e", n), 3);
    cr_assert(n[0] == 1 && n[1] == 5 && n[2] == 1);
    cr_assert_eq(t.m->params, 8);
    const Graph *g = elab_graph(&t, "e");
    int32_t firsts[3] = {1, 2, 7}, k = 0;
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_repeat)
            cr_assert_eq(g->node[i].a.repeat.first, firsts[k++]);
    for (uint32_t i = 0; i < t.m->param_sets; i++) {
        const LeafSet *s = &t.m->param_set[i];
        if (s->count == 5)
            cr_assert_str_eq(interned(t.m->strings, t.m->param[s->leaf[0]].path), "l.2.g");
        cr_assert(strstr(interned(t.m->strings, s->pattern), "l.{L}.") != NULL);
    }
    elab_free(&t);
}

Test(elab_repeat, numbers_that_change_break_uniformity)
{
    Elabed t = elab_ok(
        "model M { entry e(x: real[2]) -> real[2] { repeat l[L in 0..4] { x = x * (1 + div(L, 2)); } return x; } }\n");
    int32_t n[8];
    cr_assert_eq(runs(&t, "e", n), 2);
    cr_assert(n[0] == 2 && n[1] == 2);
    const double *v = elab_run(&t, "e", (const double *const[]){X}, 1);
    cr_assert(v[0] == 12 && v[1] == 20);
    elab_free(&t);
}

Test(elab_repeat, one_iteration_is_still_a_repeat_and_none_is_nothing)
{
    Elabed t = elab_ok("config n = 1; config m = 0;\nmodel M { entry e(x: real[2]) -> real[2] {\n"
                       "  repeat l[L in 0..n] { x = x * 2; } repeat k[L in 0..m] { x = x * 3; } return x; } }\n");
    int32_t n[8];
    cr_assert(runs(&t, "e", n) == 1 && n[0] == 1);
    cr_assert_eq(elab_run(&t, "e", (const double *const[]){X}, 1)[0], 6);
    elab_free(&t);
}

Test(elab_repeat, outer_values_become_invariants_and_params_stay_params)
{
    Elabed t =
        elab_ok("fn mask(S: int) -> real[S] = [1.0 * i for i in S];\n"
                "model M { param w: real[2] = ones(); entry e(x: real[2], b: real[2]) -> real[2] {\n"
                "  m = mask(2); c = b * 2; v = w; repeat l[L in 0..3] { x = x * v + c + m; } return x + c; } }\n");
    const Graph *g = elab_graph(&t, "e");
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_repeat) {
            const Graph *r = t.m->graph[g->node[i].a.repeat.graph];
            cr_assert_eq(r->inputs, 2); /* x and c */
            cr_assert_eq(elab_count(r, OP_param), 1);
            cr_assert_eq(elab_count(r, OP_const), 1);
        }
    elab_init(&t);
    t.env.param[0][0] = 1;
    t.env.param[0][1] = 2;
    const double *v = elab_run(&t, "e", (const double *const[]){X, X}, 2);
    cr_assert_eq(v[0], 3 + 3 * 6 + 6);
    cr_assert_eq(v[1], ((5 * 2 + 11) * 2 + 11) * 2 + 11 + 10);
    elab_free(&t);
}

Test(elab_repeat, inner_repeats_are_unrolled)
{
    Elabed t = elab_ok("model M { entry e(x: real[2]) -> real[2] {\n"
                       "  repeat a[L in 0..3] { repeat b.c[K in 0..2] { param g: real[2] = ones(); x = x + g * K; } } "
                       "return x; } }\n");
    cr_assert_eq(t.m->params, 6);
    cr_assert(elab_param(&t, "a.2.b.c.1.g") != NULL);
    int32_t n[8];
    cr_assert(runs(&t, "e", n) == 1 && n[0] == 3);
    bool found = false;
    for (uint32_t i = 0; i < t.m->param_sets; i++)
        found |= strcmp(interned(t.m->strings, t.m->param_set[i].pattern), "a.{L}.b.c.1.g") == 0;
    cr_assert(found);
    elab_free(&t);
}

Test(elab_repeat, states_inside_and_outside)
{
    Elabed t = elab_ok("model M { entry e(x: real[2]) -> real[2] {\n"
                       "  state total: real[2] = zeros();\n"
                       "  repeat l[L in 0..3] { state own: real[2] = value(1); own <- own + x; total <- total + own; } "
                       "return total; } }\n");
    cr_assert_eq(t.m->states, 4);
    const double *v = elab_run(&t, "e", (const double *const[]){X}, 1);
    cr_assert(v[0] == 12 && v[1] == 18);
    v = elab_run(&t, "e", (const double *const[]){X}, 1);
    cr_assert(v[0] == 12 + 21 && v[1] == 18 + 33);
    elab_free(&t);
}

Test(elab_repeat, names_and_scopes)
{
    Elabed t = elab_ok("use \"std/nn.anel\";\nmodel M { entry e(x: real[2, 3]) -> real[2, 3] {\n"
                       "  repeat layers[L in 0..2] { x = linear(x, 2) as up.wq; } return x; } }\n");
    const Graph *g = elab_graph(&t, "e");
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_repeat) {
            const Graph *r = t.m->graph[g->node[i].a.repeat.graph];
            for (uint32_t k = 1; k < r->count; k++)
                if (r->node[k].op == OP_matmul) {
                    cr_assert_str_eq(interned(t.m->strings, r->node[k].scope), "layers.up.wq");
                    cr_assert_str_eq(interned(t.m->strings, r->node[k].name), "y");
                }
        } else if (g->node[i].op == OP_proj) {
            cr_assert_str_eq(interned(t.m->strings, g->node[i].name), "x");
        }
    elab_free(&t);
}

Test(elab_repeat, mistakes)
{
#define REPEAT(before, head, body)                                                                                     \
    "model M { entry e(x: real[2]) -> real[2] { " before " repeat l[" head "] { " body " } return x; } }\n"
    elab_bad(REPEAT("", "L in 0..2", "x = x[:, _];"), "E0412", "before the repeat it is real[2]");
    elab_bad(REPEAT("y = 0.0;", "L in 0..2", "y = y + x;"), "E0412", "broadcast(0.0, [..])");
    elab_bad(REPEAT("", "L in 2..0", "x = x;"), "E0309", "from 2 to 0");
    elab_bad(REPEAT("", "L in 0..1000000", "x = x;"), "E0309", NULL);
    elab_bad(REPEAT("", "L in 0..2", "return x;"), "E0416", "inside a repeat");
    elab_bad(REPEAT("", "L in 0..2", "L = 3;"), "E0306", "the index of a repeat");
}

Test(elab_repeat, buckets_are_instances)
{
    Elabed t = elab_ok("use \"std/nn.anel\";\nmodel M { #[bucket(4, 16)] entry pre(x: real[2, S]) -> real[2, S] = "
                       "linear(x, 2) as w; }\n");
    cr_assert_eq(t.m->entries, 2);
    cr_assert_eq(elab_graph(&t, "pre@16")->input[0].type.shape.dim[1], 16);
    cr_assert_eq(t.m->params, 1);
    elab_free(&t);
    t = elab_ok("config n = 4;\nmodel M { #[bucket(1, min(4, n), min(16, n))] entry e(x: real[S]) -> real[S] = x; }\n");
    cr_assert_eq(t.m->entries, 2); /* equal values make one instance */
    cr_assert(module_entry(t.m, "e@1") && module_entry(t.m, "e@4"));
    elab_free(&t);
    elab_bad("model M { #[bucket(4)] entry e(x: real[2]) -> real[2] = x; }\n", "E0209", "nothing else declares");
    elab_bad("model M { #[buckt(4)] entry e(x: real[2]) -> real[2] = x; }\n", "E0208", "did you mean 'bucket'?");
    elab_bad("model M { entry e(x: real[2]) -> real[2] = x; entry e(x: real[2]) -> real[2] = x; }\n", "E0203",
             "entry 'e'");
}

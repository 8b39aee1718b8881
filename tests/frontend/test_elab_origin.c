/* test_elab_origin.c: which statement nodes say they stem from. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <string.h>

/* "scope/stmt/name" of the k-th node of `op`. */
static const char *origin(Elabed *t, const Graph *g, Op op, uint32_t k)
{
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == op && k-- == 0) {
            const Node *n = &g->node[v];
            return arena_printf(t->a, "%s/%s/%s", interned(t->m->strings, n->scope), interned(t->m->strings, n->stmt),
                                interned(t->m->strings, n->name));
        }
    return "no such node";
}

Test(elab_origin, statements_name_what_they_make_and_what_the_functions_make_that_they_call)
{
    Elabed t = elab_ok("fn f(x: real[2]) -> real[2] { a = exp(x); return tanh(a); }\n"
                       "model M { entry e(x: real[2]) -> real[2] {\n"
                       "  y = -f(x);\n"        /* exp, tanh, neg */
                       "  return f(y); } }\n"); /* exp, tanh */
    const Graph *g = elab_graph(&t, "e");
    cr_expect_str_eq(origin(&t, g, OP_exp, 0), "/y.a/a");
    cr_expect_str_eq(origin(&t, g, OP_tanh, 0), "/y.result/result");
    cr_expect_str_eq(origin(&t, g, OP_neg, 0), "/y/y");
    cr_expect_str_eq(origin(&t, g, OP_exp, 1), "/f.a/a"); /* a return of an entry has no name: the function has */
    elab_free(&t);
}

Test(elab_origin, a_variable_that_has_a_value_is_told_apart_by_the_right_side)
{
    Elabed t = elab_ok("fn f(x: real[2]) -> real[2] = exp(x);\n"
                       "model M { block b(x: real[2]) -> real[2] = tanh(x); entry e(x: real[2]) -> real[2] {\n"
                       "  x = x + 1 * (b(x) as l.m);\n" /* add 0 */
                       "  x = sqrt(x * x);\n"
                       "  x = x + x;\n"                 /* add 1 */
                       "  y = x + f(x);\n"              /* add 2 */
                       "  y = y + f(y);\n"              /* add 3 */
                       "  return y; } }\n");
    const Graph *g = elab_graph(&t, "e");
    cr_expect_str_eq(origin(&t, g, OP_add, 0), "/x_m/x");
    cr_expect_str_eq(origin(&t, g, OP_sqrt, 0), "/x_by_sqrt/x");
    cr_expect_str_eq(origin(&t, g, OP_add, 1), "/x_by_add/x");
    cr_expect_str_eq(origin(&t, g, OP_add, 2), "/y/y");
    cr_expect_str_eq(origin(&t, g, OP_add, 3), "/y_f/y");
    elab_free(&t);
}

Test(elab_origin, several_values_have_a_statement_each)
{
    Elabed t = elab_ok("fn f(x: real[2]) -> (real[2], real[2]) { a = exp(x); return (tanh(a), sqrt(a)); }\n"
                       "model M { entry e(x: real[2]) -> real[2] { (x, y) = f(x); return x * y; } }\n");
    const Graph *g = elab_graph(&t, "e");
    cr_expect_str_eq(origin(&t, g, OP_tanh, 0), "/x_f/x");
    cr_expect_str_eq(origin(&t, g, OP_sqrt, 0), "/y/y");
    cr_expect_str_eq(origin(&t, g, OP_exp, 0), "/x_f.a/a");
    elab_free(&t);
}

Test(elab_origin, labels_start_anew_and_blocks_have_names_of_their_own)
{
    Elabed t = elab_ok(
        "model M {\n"
        "  block inner(x: real[2]) -> real[2] { s = exp(x); return s * x; }\n"
        "  block outer(x: real[2]) -> real[2] { s = inner(x) as p; repeat r[L in 0..2] { s = sqrt(s); } return s; }\n"
        "  entry e(x: real[2]) -> real[2] { y = outer(x); z = inner(y); return z - x; } }\n");
    const Graph *g = elab_graph(&t, "e");
    cr_expect_str_eq(origin(&t, g, OP_exp, 0), "p/s/s");
    cr_expect_str_eq(origin(&t, g, OP_mul, 0), "p/result/result");
    cr_expect_str_eq(origin(&t, g, OP_exp, 1), "/inner.s/s");
    cr_expect_str_eq(origin(&t, g, OP_mul, 1), "/inner.result/result"); /* whatever it is bound to */
    cr_expect_str_eq(origin(&t, g, OP_repeat, 0), "r/outer/r");
    const Graph *region = NULL;
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_repeat)
            region = t.m->graph[g->node[v].a.repeat.graph];
    cr_assert_not_null(region);
    cr_expect_str_eq(origin(&t, region, OP_sqrt, 0), "r/s_by_sqrt/s");
    elab_free(&t);
}

Test(elab_origin, nodes_of_the_library_know_the_statement_of_the_model)
{
    const char *text =
        "use \"std/nn.anel\";\nmodel M { entry e(x: real[4, 4]) -> real[4, 4] {\n  y = silu(x);\n  return y; } }\n";
    Elabed t = elab_ok(text);
    const Graph *g = elab_graph(&t, "e");
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_sigmoid) {
            const Node *n = &g->node[v];
            uint32_t line, column;
            cr_assert(n->from.file != n->at.file);
            source_position(source_of(t.sources, n->from), n->from.begin, &line, &column);
            cr_expect(line == 3 && column == 3, "%u:%u", line, column);
            elab_free(&t);
            return;
        }
    cr_assert_fail("no sigmoid");
}

/* test_autodiff.c: differentiation of whole graphs: repeats, shared parameters, invariants, calls, what has no
 * gradient; the check of hand-written adjoints; the gradient check itself. */
#include "rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Every parameter of the training entry passes the gradient check. */
static void passes_gradcheck(Rig *r, uint32_t entries)
{
    GradcheckOptions opt = {.seed = 3, .entries = entries};
    GradcheckRow    *row;
    uint32_t         n;
    bool             ok = gradcheck(r->m, &opt, r->ds, &row, &n);
    print_diags(r);
    cr_assert(ok);
    cr_assert(n > 0);
    for (uint32_t i = 0; i < n; i++) {
        cr_expect(row[i].entries > 0);
        cr_expect(row[i].worst_diff <= 1e-6, "%s: differences %g", interned(r->m->strings, row[i].path),
                  row[i].worst_diff);
        cr_expect(row[i].worst_dot <= 1e-10, "%s: direction %g", interned(r->m->strings, row[i].path),
                  row[i].worst_dot);
    }
}

static const Diag *only_error(const Rig *r)
{
    cr_assert(r->ds->errors == 1);
    return r->ds->item[0];
}

Test(autodiff, llama_layer)
{
    Rig r = rig_new();
    llama_layer(&r, (LlamaShape){.dim = 6, .hidden = 8, .heads = 2, .seq = 5});
    passes_gradcheck(&r, 20);
    rig_free(&r);
}

Test(autodiff, llama_with_repeat_and_tied_head)
{
    Rig r = rig_new();
    llama(&r, (LlamaShape){.dim = 8, .hidden = 10, .heads = 2, .seq = 6, .vocab = 9, .layers = 3});
    passes_gradcheck(&r, 8);
    rig_free(&r);
}

Test(autodiff, calls_and_invariants_with_gradients)
{
    Rig r = rig_new();
    llama(&r, (LlamaShape){.dim = 6,
                           .hidden = 8,
                           .heads = 2,
                           .seq = 5,
                           .vocab = 7,
                           .layers = 3,
                           .calls = true,
                           .residual_values = true});
    passes_gradcheck(&r, 8);
    rig_free(&r);
}

/* h' = tanh(w_i @ h + s_i * v), results stacked; stacks of another repeat come in as xs. Both directions. */
static Graph *recurrences(Rig *r, bool reverse)
{
    Module *m = r->m;
    Type    t = REAL(3, 4);
    Graph  *b = new_graph(r, "steps");
    ValueId h = input(r, b, "h", t), x = input(r, b, "x", t), v = input(r, b, "v", t);
    ValueId w = per_layer(r, b, "w", 3, REAL(3, 3), (Init){INIT_NORMAL, 0.5, 0});
    ValueId wh = g_matmul(m, b, NULL, w, h, false, false);
    ValueId y = g_unary(m, b, NULL, OP_tanh, g_binary(m, b, NULL, OP_add, wh, g_binary(m, b, NULL, OP_mul, x, v)));
    graph_add_out(m, b, y, 0);
    graph_add_out(m, b, g_binary(m, b, NULL, OP_mul, h, y), 0);

    Graph  *g = new_graph(r, "loss");
    ValueId x0 = input(r, g, "x0", t), xs = one_param(r, g, "xs", REAL(3, 3, 4)), v0 = one_param(r, g, "v0", t);
    Node    n = {.op = OP_repeat};
    n.a.repeat.graph = b->id;
    n.a.repeat.n = 3;
    n.a.repeat.n_carry = 1;
    n.a.repeat.n_xs = 1;
    n.a.repeat.reverse = reverse;
    ValueId one = graph_add(m, g, &n, (ValueId[]){x0, xs, g_unary(m, g, NULL, OP_exp, v0)}, 3);
    /* A second repeat reads the stack of the first. */
    n.a.repeat.graph = graph_clone(m, b)->id;
    n.a.repeat.reverse = !reverse;
    ValueId two = graph_add(m, g, &n, (ValueId[]){g_proj(m, g, NULL, one, 0), g_proj(m, g, NULL, one, 1), v0}, 3);
    ValueId s = g_binary(m, g, NULL, OP_add, mean_of_squares(r, g, g_proj(m, g, NULL, two, 1)),
                         mean_of_squares(r, g, g_proj(m, g, NULL, one, 1)));
    graph_add_out(m, g, s, 0);
    train_on(r, g);
    return g;
}

Test(autodiff, stacked_operands_and_results)
{
    for (int reverse = 0; reverse < 2; reverse++) {
        Rig r = rig_new();
        recurrences(&r, reverse);
        cr_assert(verified(&r, "test"));
        passes_gradcheck(&r, 0);
        rig_free(&r);
    }
}

Test(autodiff, stacked_operands_through_the_pipeline)
{
    static const char *const pass[] = {"autodiff", "algebra", "taps", "place"};
    for (size_t i = 0; i < COUNT(pass); i++) {
        Rig           a = rig_new(), b = rig_new();
        size_t        n, k;
        Graph        *joint = autodiff(a.m, recurrences(&a, false), a.ds);
        const double *want = loss_and_gradients(&a, joint, 2, 2, 1, &n);
        recurrences(&b, false);
        PassOptions opt = {.diags = b.ds, .stop_after = pass[i]};
        bool        ok = passes_run(b.m, &opt);
        print_diags(&b);
        cr_assert(ok);
        const double *got = loss_and_gradients(&b, b.m->graph[module_entry(b.m, "loss")->graph], 2, 2, 1, &k);
        cr_expect(n == k && distance(want, got, n) < 1e-12, "after %s: %g", pass[i], distance(want, got, n));
        rig_free(&a);
        rig_free(&b);
    }
}

/* x -> tanh(w x) three times with one w: a set that names the same leaf in every iteration. */
static Graph *shared(Rig *r, bool by_set)
{
    Module  *m = r->m;
    Type     t = REAL(3, 2);
    uint32_t p = add_param(r, "w", REAL(3, 3), (Init){INIT_NORMAL, 0.5, 0}), leaf[3] = {p, p, p};
    Node     param = {.op = OP_param, .type = REAL(3, 3)};
    Graph   *b = new_graph(r, "steps");
    ValueId  h = input(r, b, "h", t), w;
    if (by_set) {
        param.a.leaf.set = module_add_param_set(m, str(r, "w"), leaf, 3);
        w = graph_add(m, b, &param, NULL, 0);
    } else {
        w = input(r, b, "w", REAL(3, 3));
    }
    graph_add_out(m, b, g_unary(m, b, NULL, OP_tanh, g_matmul(m, b, NULL, w, h, false, false)), 0);
    Graph  *g = new_graph(r, "loss");
    ValueId in[2] = {input(r, g, "x", t), 0};
    if (!by_set) {
        param.a.leaf.set = module_add_param_set(m, str(r, "w"), leaf, 1);
        in[1] = graph_add(m, g, &param, NULL, 0);
    }
    Node n = {.op = OP_repeat};
    n.a.repeat.graph = b->id;
    n.a.repeat.n = 3;
    n.a.repeat.n_carry = 1;
    ValueId rep = graph_add(m, g, &n, in, by_set ? 1 : 2);
    graph_add_out(m, g, mean_of_squares(r, g, g_proj(m, g, NULL, rep, 0)), 0);
    train_on(r, g);
    return g;
}

Test(autodiff, a_parameter_shared_by_iterations_accumulates)
{
    size_t  n[2];
    double *got[2];
    Rig     r[2] = {rig_new(), rig_new()};
    for (int i = 0; i < 2; i++) {
        Graph *loss = shared(&r[i], i);
        passes_gradcheck(&r[i], 0);
        got[i] = loss_and_gradients(&r[i], autodiff(r[i].m, loss, r[i].ds), 1, 2, 1, &n[i]);
    }
    cr_expect(n[0] == n[1] && distance(got[0], got[1], n[0]) < 1e-14);
    rig_free(&r[0]);
    rig_free(&r[1]);
}

Test(autodiff, parameter_invariants_move_into_the_region)
{
    Rig r = rig_new();
    shared(&r, false);
    PassOptions opt = {.diags = r.ds};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
    const Node  *back = find_repeat(g, ROLE_BWD);
    cr_assert(back != NULL);
    cr_expect(count_op(r.m->graph[back->a.repeat.graph], OP_grad) == 1);
    cr_expect(count_op(g, OP_grad) == 0);
    rig_free(&r);
}

Test(autodiff, is_linear_in_the_cotangent)
{
    Rig     r = rig_new();
    size_t  n;
    Graph  *g = llama(&r, (LlamaShape){.dim = 6, .hidden = 8, .heads = 2, .seq = 5, .vocab = 7, .layers = 2});
    Graph  *joint = autodiff(r.m, g, r.ds);
    double *one = loss_and_gradients(&r, joint, 1, 7, 1, &n), *many = loss_and_gradients(&r, joint, 1, 7, 1024, &n);
    double *zero = loss_and_gradients(&r, joint, 1, 7, 0, &n);
    cr_expect(one[0] == many[0]);
    for (size_t i = 1; i < n; i++) {
        cr_expect(fabs(1024 * one[i] - many[i]) <= 1e-12 * fabs(many[i]));
        cr_expect(zero[i] == 0);
    }
    rig_free(&r);
}

/* The statement of each `add` of the backward direction, joined by spaces. */
static const char *sums(Rig *r, const Graph *g)
{
    const char *all = "";
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_add && g->node[v].role == ROLE_BWD)
            all = arena_printf(r->a, "%s%s/%s ", all, interned(r->m->strings, g->node[v].scope),
                               interned(r->m->strings, g->node[v].stmt));
    return all;
}

/* w is read by statements of the given scopes and names, one after the other. */
static const char *sums_of_readers(const char *const *scope, const char *const *stmt, uint32_t n)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "loss");
    ValueId x = one_param(&r, g, "w", REAL(4)), total = 0;
    x = g_unary(m, g, &(Node){.name = str(&r, "xn"), .stmt = str(&r, "xn")}, OP_exp, x);
    for (uint32_t i = 0; i < n; i++) {
        Node    like = {.scope = *scope[i] ? str(&r, scope[i]) : 0, .stmt = str(&r, stmt[i])};
        ValueId y = g_unary(m, g, &like, OP_tanh, x);
        total = total ? g_binary(m, g, NULL, OP_max, total, y) : y;
    }
    graph_add_out(m, g, mean(&r, g, total), 0);
    train_on(&r, g);
    static char text[256];
    snprintf(text, sizeof text, "%s", sums(&r, autodiff(m, g, r.ds)));
    rig_free(&r);
    return text;
}

Test(autodiff, sums_of_cotangents_belong_to_the_reader)
{
    /* The last reader's cotangent comes first. */
    cr_expect_str_eq(sums_of_readers((const char *const[]){"wq", "wk", "wv"}, (const char *const[]){"y", "y", "y"}, 3),
                     "wk/y.xn wq/y.xn ");
    /* One more reader, wherever, adds a sum and leaves the others as they are. */
    cr_expect_str_eq(
        sums_of_readers((const char *const[]){"wq", "", "wk", "wv"}, (const char *const[]){"y", "a.b", "y", "y"}, 4),
        "wk/y.xn /a.b.xn wq/y.xn ");
}

Test(autodiff, nodes_of_a_call_are_named_below_its_statement)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *f = new_graph(&r, "f"), *g = new_graph(&r, "loss");
    ValueId x = input(&r, f, "x", REAL(4));
    Node    a = {.name = str(&r, "a"), .stmt = str(&r, "a")}, ret = {0};
    graph_add_out(m, f, g_unary(m, f, &ret, OP_tanh, g_unary(m, f, &a, OP_exp, x)), 0);
    ValueId w = one_param(&r, g, "w", REAL(4)), y = w;
    for (uint32_t i = 0; i < 2; i++) { /* y = f(w); z = f(y) */
        Node call = {.op = OP_call, .a.call.graph = f->id, .scope = str(&r, "s"), .stmt = str(&r, i ? "z" : "y")},
             result = call;
        result.op = OP_proj;
        result.name = call.stmt;
        memset(&result.a, 0, sizeof result.a);
        ValueId c = graph_add(m, g, &call, &y, 1);
        y = graph_add(m, g, &result, &c, 1);
    }
    graph_add_out(m, g, mean(&r, g, y), 0);
    train_on(&r, g);
    cr_assert(inline_calls(m, g, false, r.a));
    const char *all = "";
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_exp || g->node[v].op == OP_tanh)
            all = arena_printf(r.a, "%s%s/%s/%s ", all, interned(m->strings, g->node[v].scope),
                               interned(m->strings, g->node[v].stmt), interned(m->strings, g->node[v].name));
    cr_expect_str_eq(all, "s/y.a/a s/y/y s/z.a/a s/z/z ");
    rig_free(&r);
}

Test(autodiff, stop_grad_and_frozen_parameters_get_nothing)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "loss");
    ValueId a = one_param(&r, g, "a", REAL(4)), b = one_param(&r, g, "b", REAL(4)), c = one_param(&r, g, "c", REAL(4));
    m->param[2].frozen = true;
    ValueId p = g_binary(m, g, NULL, OP_mul, g_unary(m, g, NULL, OP_stop_grad, a), g_binary(m, g, NULL, OP_mul, b, c));
    graph_add_out(m, g, mean_of_squares(&r, g, p), 0);
    train_on(&r, g);
    Graph *joint = autodiff(m, g, r.ds);
    cr_expect(count_op(joint, OP_grad) == 1);
    size_t  n;
    double *got = loss_and_gradients(&r, joint, 1, 2, 1, &n);
    cr_assert(n == 13);
    for (int i = 0; i < 4; i++)
        cr_expect(got[1 + i] == 0 && got[5 + i] != 0 && got[9 + i] == 0);
    rig_free(&r);
}

Test(autodiff, refuses_states)
{
    Rig     r = rig_new();
    Module *m = r.m;
    GROW(m->arena, m->state, m->states, m->states_cap);
    m->state[m->states++] = (State){.path = str(&r, "layers.0.kc"), .type = REAL(4)};
    uint32_t leaf = 0;
    Graph   *g = new_graph(&r, "loss");
    Node     n = {.op = OP_state, .type = REAL(4)};
    n.a.leaf.set = module_add_state_set(m, str(&r, "layers.0.kc"), &leaf, 1);
    ValueId s = graph_add(m, g, &n, NULL, 0);
    graph_add_out(m, g, mean(&r, g, g_binary(m, g, NULL, OP_mul, s, one_param(&r, g, "w", REAL(4)))), 0);
    train_on(&r, g);
    cr_expect(autodiff(m, g, r.ds) == NULL);
    cr_expect_str_eq(only_error(&r)->code, "E0604");
    cr_expect_str_eq(only_error(&r)->text, "'loss' depends on state 'layers.0.kc', which has no gradient");
    rig_free(&r);
}

Test(autodiff, refuses_a_loss_that_is_no_scalar)
{
    Rig    r = rig_new();
    Graph *g = new_graph(&r, "loss");
    graph_add_out(r.m, g, one_param(&r, g, "w", REAL(4)), 0);
    train_on(&r, g);
    cr_expect(autodiff(r.m, g, r.ds) == NULL);
    cr_expect_str_eq(only_error(&r)->text, "'loss' returns real[4]; a training entry returns one real[]");
    rig_free(&r);
}

/* ---- hand-written adjoints ---- */

static LlamaShape with_calls(void)
{
    return (LlamaShape){.dim = 6, .hidden = 8, .heads = 2, .seq = 5, .vocab = 7, .layers = 2, .calls = true};
}

/* Damage the adjoint: every division by the number of channels becomes one by that number plus one. */
static void damage(Rig *r)
{
    Graph *b = r->m->graph[r->m->vjp_check[0].vjp];
    for (ValueId v = b->count - 1; v > 0; v--)
        if (b->node[v].op == OP_const && b->node[v].a.constant.splat == 1.0 / 6) {
            b->node[v].a.constant.splat = 1.0 / 7;
            return;
        }
    cr_assert(false, "nothing to damage");
}

Test(vjp_check, accepts_a_right_adjoint)
{
    Rig r = rig_new();
    llama(&r, with_calls());
    PassOptions opt = {.diags = r.ds, .stop_after = "vjp-check"};
    cr_expect(passes_run(r.m, &opt));
    cr_expect(r.ds->errors == 0);
    rig_free(&r);
}

Test(vjp_check, names_a_wrong_adjoint)
{
    Rig r = rig_new();
    llama(&r, with_calls());
    damage(&r);
    PassOptions opt = {.diags = r.ds};
    cr_expect(!passes_run(r.m, &opt));
    cr_expect_str_eq(only_error(&r)->code, "E0701");
    cr_expect_str_eq(only_error(&r)->text,
                     "'rmsnorm_bwd' is not the adjoint of 'rmsnorm': the cotangent of 'x' is wrong");
    cr_expect(only_error(&r)->notes == 1);
    rig_free(&r);
}

Test(vjp_check, names_a_missing_cotangent)
{
    Rig r = rig_new();
    llama(&r, with_calls());
    r.m->graph[r.m->vjp_check[0].vjp]->outs = 1;
    PassCtx cx = {r.m, r.ds, r.a};
    cr_expect(pass_vjp_check(&cx) == PASS_FAILED);
    cr_expect(strstr(only_error(&r)->text, "returns 1 values; 3 and 2 are needed") != NULL);
    rig_free(&r);
}

Test(gradcheck, catches_a_wrong_rule)
{
    Rig r = rig_new();
    llama(&r, with_calls());
    damage(&r);
    GradcheckOptions opt = {.seed = 1, .entries = 4};
    GradcheckRow    *row;
    uint32_t         n;
    double           diff = 0, dot = 0;
    cr_assert(gradcheck(r.m, &opt, r.ds, &row, &n));
    for (uint32_t i = 0; i < n; i++) {
        diff = fmax(diff, row[i].worst_diff);
        dot = fmax(dot, row[i].worst_dot);
    }
    cr_expect(diff > 1e-3);
    cr_expect(dot > 1e-3);
    rig_free(&r);
}

Test(gradcheck, leaves_the_module_as_it_was)
{
    Rig r = rig_new();
    Buf before = {0}, after = {0};
    llama(&r, with_calls());
    module_print(r.m, &before);
    passes_gradcheck(&r, 1);
    module_print(r.m, &after);
    cr_expect_str_eq(before.data, after.data);
    buf_free(&before);
    buf_free(&after);
    rig_free(&r);
}

Test(gradcheck, needs_a_train_section)
{
    Rig              r = rig_new();
    GradcheckOptions opt = {.seed = 1};
    GradcheckRow    *row;
    uint32_t         n;
    cr_expect(!gradcheck(r.m, &opt, r.ds, &row, &n));
    cr_expect_str_eq(only_error(&r)->code, "E0606");
    rig_free(&r);
}

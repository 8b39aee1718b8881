/* test_eval.c: the evaluator's structure: regions, leaves, sinks, states, errors. The kernels are tested in
 * test_ops.c. */
#include "rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static StrId str(Rig *r, const char *s)
{
    return intern(r->m->strings, s);
}

/* Append a parameter of that type with the value `v` everywhere. */
static uint32_t add_param(Rig *r, const char *path, Type t)
{
    GROW(r->m->arena, r->m->param, r->m->params, r->m->params_cap);
    r->m->param[r->m->params] = (Param){.path = str(r, path), .type = t, .lr = 1};
    return r->m->params++;
}

static uint32_t add_state(Rig *r, const char *path, Type t)
{
    GROW(r->m->arena, r->m->state, r->m->states, r->m->states_cap);
    r->m->state[r->m->states] = (State){.path = str(r, path), .type = t};
    return r->m->states++;
}

static ValueId leaf(Rig *r, Graph *g, Op op, uint32_t set, Type t)
{
    Node n = {.op = op, .type = t, .a.leaf.set = set};
    return graph_add(r->m, g, &n, NULL, 0);
}

static void sink(Rig *r, Graph *g, Op op, uint32_t set, ValueId x)
{
    Node n = {.op = op, .a.leaf.set = set};
    graph_add(r->m, g, &n, &x, 1);
}

/* h' = w_i * h + x_i; y_i = h * k; grad of w_i receives h. n iterations. */
static Graph *chain(Rig *r, bool reverse)
{
    Type     t = REAL(2);
    uint32_t set[3];
    for (int i = 0; i < 3; i++)
        set[i] = add_param(r, i == 0 ? "w.0" : i == 1 ? "w.1" : "w.2", t);
    uint32_t w = module_add_param_set(r->m, str(r, "w.{L}"), set, 3);
    Graph   *b = module_add_graph(r->m, str(r, "body"));
    ValueId  h = graph_add_input(r->m, b, str(r, "h"), t, false, (Span){0});
    ValueId  x = graph_add_input(r->m, b, str(r, "x"), t, false, (Span){0});
    ValueId  k = graph_add_input(r->m, b, str(r, "k"), t, false, (Span){0});
    ValueId  wh = g_binary(r->m, b, NULL, OP_mul, leaf(r, b, OP_param, w, t), h);
    graph_add_out(r->m, b, g_binary(r->m, b, NULL, OP_add, wh, x), 0);
    graph_add_out(r->m, b, g_binary(r->m, b, NULL, OP_mul, h, k), 0);
    sink(r, b, OP_grad, w, h);

    Graph  *g = module_add_graph(r->m, str(r, "main"));
    ValueId in[3] = {graph_add_input(r->m, g, str(r, "h"), t, false, (Span){0}),
                     graph_add_input(r->m, g, str(r, "xs"), REAL(3, 2), false, (Span){0}),
                     graph_add_input(r->m, g, str(r, "k"), t, false, (Span){0})};
    Node    n = {.op = OP_repeat, .a.repeat = {b->id, 0, 3, 1, 1, reverse}};
    ValueId rep = graph_add(r->m, g, &n, in, 3);
    graph_add_out(r->m, g, g_proj(r->m, g, NULL, rep, 0), 0);
    graph_add_out(r->m, g, g_proj(r->m, g, NULL, rep, 1), 0);
    return g;
}

static void check_chain(bool reverse)
{
    Rig     r = rig_new();
    Graph  *g = chain(&r, reverse);
    double  w[3][2], dw[3][2], grad[3][2] = {{0}};
    double *param[3] = {w[0], w[1], w[2]}, *dparam[3] = {NULL, dw[1], dw[2]}, *grads[3] = {grad[0], grad[1], NULL};
    fill(w[0], 6, 1, -1, 1);
    fill(dw[0], 6, 2, -1, 1);
    Tensor  in[3] = {some_tensor(r.a, REAL(2), 3, -1, 1), some_tensor(r.a, REAL(3, 2), 4, -1, 1),
                     some_tensor(r.a, REAL(2), 5, -1, 1)};
    double  dx[6];
    fill(dx, 6, 6, -1, 1);
    in[1].dv = dx;
    EvalEnv env = {.m = r.m, .arena = r.a, .param = param, .dparam = dparam, .grad = grads, .tangents = true};
    Tensor *out = run(&env, g, in);
    for (int j = 0; j < 2; j++) {
        double h = in[0].v[j], dh = 0;
        for (int s = 0; s < 3; s++) {
            int i = reverse ? 2 - s : s;
            cr_expect_float_eq(out[1].v[2 * i + j], h * in[2].v[j], 1e-14);
            cr_expect_float_eq(out[1].dv[2 * i + j], dh * in[2].v[j], 1e-14);
            if (i < 2)
                cr_expect_float_eq(grad[i][j], h, 1e-14);
            dh = w[i][j] * dh + (i ? dw[i][j] * h : 0) + dx[2 * i + j];
            h = w[i][j] * h + in[1].v[2 * i + j];
        }
        cr_expect_float_eq(out[0].v[j], h, 1e-14);
        cr_expect_float_eq(out[0].dv[j], dh, 1e-14);
    }
    rig_free(&r);
}

Test(eval, repeat_carries_stacks_and_picks_leaves)
{
    check_chain(false);
}

Test(eval, repeat_in_reverse_keeps_element_i_with_leaf_i)
{
    check_chain(true);
}

Test(eval, call_runs_its_region_on_the_operands)
{
    Rig     r = rig_new();
    Graph  *f = module_add_graph(r.m, str(&r, "f"));
    ValueId a = graph_add_input(r.m, f, str(&r, "a"), REAL(2), false, (Span){0});
    ValueId b = graph_add_input(r.m, f, str(&r, "b"), REAL(2), false, (Span){0});
    graph_add_out(r.m, f, g_binary(r.m, f, NULL, OP_sub, a, b), 0);
    Graph  *g = module_add_graph(r.m, str(&r, "main"));
    ValueId x = graph_add_input(r.m, g, str(&r, "x"), REAL(2), false, (Span){0});
    ValueId y = g_unary(r.m, g, NULL, OP_exp, x);
    Node    n = {.op = OP_call, .a.call = {f->id, 0, 0}};
    graph_add_out(r.m, g, g_proj(r.m, g, NULL, graph_add(r.m, g, &n, (ValueId[]){y, x}, 2), 0), 0);
    double  v[2] = {0.5, -2}, dv[2] = {1, 3};
    Tensor  in = {REAL(2), v, dv};
    EvalEnv env = {.m = r.m, .arena = r.a, .tangents = true};
    Tensor *out = run(&env, g, &in);
    for (int i = 0; i < 2; i++) {
        cr_expect_float_eq(out->v[i], exp(v[i]) - v[i], 1e-14);
        cr_expect_float_eq(out->dv[i], (exp(v[i]) - 1) * dv[i], 1e-14);
    }
    env.tangents = false;
    cr_expect_null(run(&env, g, &in)->dv);
    rig_free(&r);
}

Test(eval, states_change_when_the_graph_has_finished)
{
    Rig      r = rig_new();
    uint32_t p = add_state(&r, "p", REAL(2)), q = add_state(&r, "q", REAL(2));
    uint32_t sp = module_add_state_set(r.m, str(&r, "p"), &p, 1), sq = module_add_state_set(r.m, str(&r, "q"), &q, 1);
    Graph   *g = module_add_graph(r.m, str(&r, "swap"));
    sink(&r, g, OP_state_set, sp, leaf(&r, g, OP_state, sq, REAL(2)));
    sink(&r, g, OP_state_set, sq, leaf(&r, g, OP_state, sp, REAL(2)));
    graph_add_out(r.m, g, leaf(&r, g, OP_state, sp, REAL(2)), 0);
    double   v[2][2] = {{1, 2}, {3, 4}}, *state[2] = {v[0], v[1]};
    EvalEnv  env = {.m = r.m, .arena = r.a, .state = state};
    Tensor  *out = run(&env, g, NULL);
    cr_expect(out->v[0] == 1 && out->v[1] == 2, "a result is the value on entry");
    cr_expect(v[0][0] == 3 && v[0][1] == 4 && v[1][0] == 1 && v[1][1] == 2);
    rig_free(&r);
}

Test(eval, a_missing_parameter_is_named)
{
    Rig      r = rig_new();
    uint32_t p = add_param(&r, "net.w", REAL(1)), set = module_add_param_set(r.m, str(&r, "net.w"), &p, 1);
    Graph   *g = module_add_graph(r.m, str(&r, "main"));
    graph_add_out(r.m, g, leaf(&r, g, OP_param, set, REAL(1)), 0);
    EvalEnv env = {.m = r.m, .arena = r.a};
    Tensor  out;
    cr_assert(!graph_eval(&env, g, NULL, &out, &r.buf));
    cr_assert_str_eq(r.buf.data, "parameter 'net.w' has no value");
    rig_free(&r);
}

Test(eval, initial_values_depend_on_key_and_index_only)
{
    Init     normal = {INIT_NORMAL, 0.5, 0}, uniform = {INIT_UNIFORM, -1, 3}, value = {INIT_VALUE, 7, 0};
    uint64_t key = rng_key(42, "w");
    double   sum = 0, squares = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        double x = init_value(&normal, key, i), u = init_value(&uniform, key, i);
        cr_assert(u >= -1 && u < 3);
        sum += x;
        squares += x * x;
    }
    cr_expect_float_eq(sum / 10000, 0, 0.02);
    cr_expect_float_eq(sqrt(squares / 10000), 0.5, 0.02);
    cr_expect(init_value(&normal, key, 5) == 0.5 * rng_normal(key, 5));
    cr_expect(init_value(&value, key, 5) == 7);
    cr_expect(init_value(&(Init){INIT_ONES, 0, 0}, key, 5) == 1 && init_value(&(Init){INIT_ZEROS, 0, 0}, key, 5) == 0);
}

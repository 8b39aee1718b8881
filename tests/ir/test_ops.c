/* test_ops.c: every operation: its shape rule, its values against the definition, its tangent against differences. */
#include "op_cases.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

Test(ops, every_operation_has_a_case)
{
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        bool found = false;
        for (size_t i = 0; i < op_cases; i++)
            found = found || op_case[i].op == op;
        cr_expect(found, "'%s' has no case in op_cases.c", op_info[op].name);
    }
}

/* The types in the cases are written by hand, and the verifier compares them with what the rules give. */
Test(ops, shape_rules_give_the_types_of_the_cases)
{
    for (size_t i = 0; i < op_cases; i++) {
        Rig r = rig_new();
        rig_load(&r, case_text(&r, &op_case[i]));
        rig_free(&r);
    }
}

static const struct {
    Op          op;
    const char *operand[CASE_OPERANDS];
    const char *line, *result, *message;
} bad[] = {
    {OP_iota, {NULL}, "iota", "real[4]", "iota has type i32[n], not real[4]"},
    {OP_add, {"real[2]", "f16[2]"}, "add %a %b", "real[2]", "operands real[2] and f16[2] differ"},
    {OP_sub, {"real[2]", "real[]"}, "sub %a %b", "real[2]", "differ"},
    {OP_mul, {"bool[2]", "bool[2]"}, "mul %a %b", "bool[2]", "operand 0 is bool[2], a number is needed"},
    {OP_div, {"real[2, 1]", "real[2]"}, "div %a %b", "real[2]", "differ"},
    {OP_max, {"real[2]", "i32[2]"}, "max %a %b", "real[2]", "differ"},
    {OP_min, {"real[2]", "real[3]"}, "min %a %b", "real[2]", "differ"},
    {OP_neg, {"bool[2]"}, "neg %a", "bool[2]", "a number is needed"},
    {OP_exp, {"i32[2]"}, "exp %a", "i32[2]", "a number is needed"},
    {OP_log, {"i32[2]"}, "log %a", "i32[2]", "a number is needed"},
    {OP_sqrt, {"i32[2]"}, "sqrt %a", "i32[2]", "a number is needed"},
    {OP_rsqrt, {"i32[2]"}, "rsqrt %a", "i32[2]", "a number is needed"},
    {OP_tanh, {"bool[2]"}, "tanh %a", "bool[2]", "a number is needed"},
    {OP_sigmoid, {"bool[2]"}, "sigmoid %a", "bool[2]", "a number is needed"},
    {OP_powc, {"i32[2]"}, "powc %a c=2", "i32[2]", "a number is needed"},
    {OP_stop_grad, {"i32[2]"}, "stop_grad %a", "i32[2]", "a number is needed"},
    {OP_cmp, {"real[2]", "real[1]"}, "cmp %a %b kind=lt", "bool[2]", "differ"},
    {OP_cmp, {"bool[2]", "bool[2]"}, "cmp %a %b kind=lt", "bool[2]", "truth values have no order"},
    {OP_select, {"real[2]", "real[2]", "real[2]"}, "select %a %b %c", "real[2]", "the condition is real[2]"},
    {OP_select,
     {"bool[2]", "real[2]", "f16[2]"},
     "select %a %b %c",
     "real[2]",
     "the choices real[2] and f16[2] differ"},
    {OP_sum, {"real[2]"}, "sum %a axes=[1]", "real[2]", "reduced axes 0x2 of a value of rank 1"},
    {OP_amax, {"i32[2]"}, "amax %a axes=[0]", "i32[1]", "a number is needed"},
    {OP_softmax, {"real[2]"}, "softmax %a axis=-1", "real[2]", "axis -1 of a value of rank 1"},
    {OP_matmul, {"real[2, 3]", "real[2, 3]"}, "matmul %a %b", "real[2, 3]", "contracts 3 with 2"},
    {OP_matmul, {"real[3]", "real[3]"}, "matmul %a %b", "real[]", "both operands need the same rank, at least 2"},
    {OP_matmul, {"real[2, 3, 3]", "real[1, 3, 3]"}, "matmul %a %b", "real[2, 3, 3]", "leading axis 0: 2 against 1"},
    {OP_matmul, {"i32[2, 2]", "i32[2, 2]"}, "matmul %a %b", "i32[2, 2]", "operands are i32[2, 2] and i32[2, 2]"},
    {OP_reshape, {"real[2]"}, "reshape %a", "f16[2]", "cannot view real[2] as f16[2]"},
    {OP_transpose, {"real[2, 2]"}, "transpose %a perm=[0, 0]", "real[2, 2]", "not a permutation of 2 axes"},
    {OP_broadcast, {"real[2]"}, "broadcast %a", "real[2, 2]", "cannot broadcast real[2] to real[2, 2]"},
    {OP_slice, {"real[2]"}, "slice %a begin=[1] end=[3]", "real[2]", "slice 1..3 of axis 0 with extent 2"},
    {OP_slice, {"real[2]"}, "slice %a begin=[1] end=[1]", "real[1]", "slice 1..1"},
    {OP_pad, {"real[2]"}, "pad %a lo=[-1] hi=[0]", "real[1]", "padding -1 and 0 of axis 0"},
    {OP_concat, {"real[2]", "real[2, 1]"}, "concat %a %b axis=0", "real[4]", "parts real[2] and real[2, 1] do not fit"},
    {OP_concat, {"real[2, 2]", "real[3, 3]"}, "concat %a %b axis=0", "real[5, 2]", "differ in axis 1"},
    {OP_concat, {NULL}, "concat axis=0", "real[5, 2]", "nothing to concatenate"},
    {OP_gather, {"real[2]", "real[2]"}, "gather %a %b", "real[2]", "needs a table and i32 indices"},
    {OP_scatter_add,
     {"i32[2]", "real[3]"},
     "scatter_add %a %b",
     "real[4]",
     "cannot scatter real[3] by i32[2] into real[4]"},
    {OP_xent,
     {"real[2, 3]", "i32[2]"},
     "xent %a %b axis=0",
     "real[3]",
     "logits real[2, 3] need classes i32[3], got i32[2]"},
    {OP_xent_grad,
     {"real[2, 3]", "i32[3]", "real[2]"},
     "xent_grad %a %b %c axis=0",
     "real[2, 3]",
     "cotangent is real[2], not real[3]"},
    {OP_splice,
     {"real[4]", "real[5]", "i32[]"},
     "splice %a %b %c axis=0",
     "real[4]",
     "cannot write real[5] into real[4] along axis 0"},
    {OP_splice, {"real[4]", "real[1]", "real[]"}, "splice %a %b %c axis=0", "real[4]", "one i32 is needed"},
    {OP_cast, {"real[4]"}, "cast %a", "f16[2]", "cannot cast real[4] to f16[2]"},
};

Test(ops, shape_rules_refuse_what_does_not_fit)
{
    for (size_t i = 0; i < COUNT(bad); i++) {
        Rig    r = rig_new();
        OpCase c = {bad[i].op,
                    {bad[i].operand[0], bad[i].operand[1], bad[i].operand[2]},
                    NULL,
                    bad[i].line,
                    bad[i].result,
                    0,
                    0,
                    0};
        Module *m = rig_read(&r, case_text(&r, &c));
        cr_assert(m != NULL, "%s", rig_errors(&r));
        cr_expect(!module_verify(m, "test", r.ds), "%s", bad[i].line);
        cr_expect(strstr(rig_errors(&r), bad[i].message) != NULL, "%s: wanted '%s' in\n%s", bad[i].line, bad[i].message,
                  r.buf.data);
        rig_free(&r);
    }
}

Test(ops, every_shape_rule_has_a_bad_case)
{
    for (uint32_t op = OP_iota; op < OP_repeat; op++) { /* leaves and structure have theirs in test_verify.c */
        bool found = false;
        for (size_t i = 0; i < COUNT(bad); i++)
            found = found || bad[i].op == op;
        cr_expect(found, "'%s' has no bad case", op_info[op].name);
    }
}

Test(ops, values_are_those_of_the_definitions)
{
    for (size_t i = 0; i < op_cases; i++) {
        const OpCase *c = &op_case[i];
        Rig           r = rig_new();
        Module       *m = rig_load(&r, case_text(&r, c));
        const Graph  *g = m->graph[1];
        const Node   *n = &g->node[g->out[0]];
        EvalEnv       env = case_env(&r, m);
        Tensor       *in = case_operands(&r, m, c, 1000 + i), arg[CASE_OPERANDS] = {{.v = NULL}}, *y = run(&env, g, in);
        cr_expect(type_equal(y->type, n->type));
        for (uint32_t k = 0; k < n->in_count && k < CASE_OPERANDS; k++) {
            /* an operand is an input, or a constant of `before` */
            const Node *x = &g->node[node_arg(g, g->out[0], k)];
            arg[k] = x->op == OP_input ? in[x->a.input.index] : some_tensor(r.a, x->type, 0, 0, 1);
            for (int64_t e = 0; x->op == OP_const && e < shape_numel(x->type.shape); e++)
                arg[k].v[e] = x->a.constant.splat;
            if (x->op == OP_param)
                arg[k].v = env.param[0];
        }
        int32_t at[MAX_RANK] = {0};
        int64_t e = 0;
        do {
            double want = define(m, n, arg, at);
            if (!isnan(want))
                cr_expect(fabs(y->v[e] - want) <= 1e-12 * (1 + fabs(want)), "%s [%d]: %.17g, not %.17g", c->line,
                          (int)e, y->v[e], want);
            e++;
        } while (next_index(n->type.shape, at));
        rig_free(&r);
    }
}

/* Values of the case's graph at in + h * dv, for the operands that have a tangent. */
static const double *shifted(Rig *r, const EvalEnv *env, const Graph *g, const Tensor *in, double h)
{
    EvalEnv plain = *env;
    Tensor *x = NEW_N(r->a, Tensor, g->inputs + 1u);
    plain.tangents = false;
    for (uint32_t k = 0; k < g->inputs; k++) {
        int64_t n = shape_numel(in[k].type.shape);
        x[k] = (Tensor){in[k].type, NEW_N(r->a, double, (size_t)n), NULL};
        for (int64_t e = 0; e < n; e++)
            x[k].v[e] = in[k].v[e] + (in[k].dv ? h * in[k].dv[e] : 0);
    }
    return run(&plain, g, x)->v;
}

static bool is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

/* Compare the tangent with (4 D(h/2) - D(h)) / 3, where D is the central difference. Returns whether there was one. */
static bool check_tangent(Rig *r, const OpCase *c, const Module *m, Tensor *in, const char *what)
{
    const Graph *g = m->graph[1];
    const Node  *n = &g->node[g->out[0]];
    EvalEnv      env = case_env(r, m);
    double       h = 1e-3;
    env.tangents = true;
    Tensor *y = run(&env, g, in);
    if (!is_real(n->type.dtype)) {
        cr_expect(y->dv == NULL, "%s: integers have no tangent", c->line);
        return false;
    }
    if (n->op == OP_stop_grad) {
        cr_expect(y->dv == NULL);
        return false;
    }
    const double *p1 = shifted(r, &env, g, in, h), *m1 = shifted(r, &env, g, in, -h);
    const double *p2 = shifted(r, &env, g, in, h / 2), *m2 = shifted(r, &env, g, in, -h / 2);
    for (int64_t e = 0; e < shape_numel(n->type.shape); e++) {
        double d1 = (p1[e] - m1[e]) / (2 * h), d2 = (p2[e] - m2[e]) / h, want = (4 * d2 - d1) / 3;
        double got = y->dv ? y->dv[e] : 0;
        cr_expect(fabs(got - want) <= 1e-7 * (1 + fabs(want)), "%s (%s) [%d]: tangent %.12g, differences %.12g",
                  c->line, what, (int)e, got, want);
    }
    return y->dv != NULL;
}

/* Every subset of the real operands gets a direction. */
Test(ops, tangents_agree_with_differences)
{
    bool differentiated[OP_COUNT] = {false};
    for (size_t i = 0; i < op_cases; i++) {
        const OpCase *c = &op_case[i];
        Rig           r = rig_new();
        Module       *m = rig_load(&r, case_text(&r, c));
        const Graph  *g = m->graph[1];
        Tensor       *in = case_operands(&r, m, c, 2000 + i);
        for (uint32_t subset = 0; subset < 1u << g->inputs; subset++) {
            char what[16];
            bool real = true;
            for (uint32_t k = 0; k < g->inputs; k++) {
                Type flat = REAL((int32_t)shape_numel(in[k].type.shape));
                in[k].dv = subset >> k & 1 ? some_tensor(r.a, flat, 3000 + k, -1, 1).v : NULL;
                real = real && (!in[k].dv || is_real(in[k].type.dtype));
            }
            if (!real)
                continue;
            snprintf(what, sizeof what, "%u", subset);
            bool any = check_tangent(&r, c, m, in, what);
            cr_expect(subset || !any, "%s: zero tangents are not computed", c->line);
            differentiated[c->op] |= any;
        }
        rig_free(&r);
    }
    for (uint32_t op = 0; op < OP_COUNT; op++)
        cr_expect(!op_info[op].has_vjp || differentiated[op], "'%s' has no tangent case", op_info[op].name);
}

/* One operand for each line; returns the tangent of element 0. */
static double tangent_of(const char *line, const char *result, const double *a, const double *da, const double *b,
                         const double *db)
{
    Rig    r = rig_new();
    OpCase c = {OP_max, {"real[3]", b ? "real[3]" : NULL, NULL}, NULL, line, result, 0, 0, 0};
    Module *m = rig_load(&r, case_text(&r, &c));
    Tensor  in[2] = {some_tensor(r.a, REAL(3), 1, 0, 1), some_tensor(r.a, REAL(3), 2, 0, 1)};
    in[0].dv = some_tensor(r.a, REAL(3), 3, 0, 1).v;
    in[1].dv = some_tensor(r.a, REAL(3), 4, 0, 1).v;
    for (int i = 0; i < 3; i++) {
        in[0].v[i] = a[i];
        in[0].dv[i] = da[i];
        in[1].v[i] = b ? b[i] : 0;
        in[1].dv[i] = db ? db[i] : 0;
    }
    EvalEnv env = case_env(&r, m);
    env.tangents = true;
    double d = run(&env, m->graph[1], in)->dv[0];
    rig_free(&r);
    return d;
}

Test(ops, ties_follow_the_adjoints)
{
    const double x[3] = {1, 1, 0}, dx[3] = {2, 5, 100}, dy[3] = {3, 3, 3};
    cr_expect(tangent_of("max %a %b", "real[3]", x, dx, x, dy) == 2, "the first operand");
    cr_expect(tangent_of("min %a %b", "real[3]", x, dx, x, dy) == 2, "the first operand");
    cr_expect(tangent_of("amax %a axes=[0]", "real[1]", x, dx, NULL, NULL) == 3.5, "the mean");
}

static const struct {
    const char *operand[CASE_OPERANDS], *line, *result, *message;
    int         ints;
} wrong_data[] = {
    {{"real[2]", "i32[9]"}, "gather %a %b", "real[9]", "is outside of 0..1", 9},
    {{"i32[9]", "real[9]"}, "scatter_add %a %b", "real[2]", "is outside of 0..1", 9},
    {{"real[2, 9]", "i32[9]"}, "xent %a %b axis=0", "real[9]", "is outside of 0..1", 9},
    {{"real[2, 9]", "i32[9]", "real[9]"}, "xent_grad %a %b %c axis=0", "real[2, 9]", "is outside of 0..1", 9},
    {{"real[2]", "real[2]", "i32[]"}, "splice %a %b %c axis=0", "real[2]", "position 5 is outside of 0..0", 0},
    {{"i32[2]", "i32[2]"}, "div %a %b", "i32[2]", "by zero", 0},
};

Test(ops, data_out_of_range_is_an_error)
{
    for (size_t i = 0; i < COUNT(wrong_data); i++) {
        Rig    r = rig_new();
        OpCase c = {OP_gather, {wrong_data[i].operand[0], wrong_data[i].operand[1], wrong_data[i].operand[2]}, NULL,
                    wrong_data[i].line, wrong_data[i].result, 0, 0, wrong_data[i].ints};
        Module *m = rig_load(&r, case_text(&r, &c));
        Tensor *in = case_operands(&r, m, &c, 1), out;
        if (in[2].v && in[2].type.dtype == DT_I32)
            in[2].v[0] = 5;
        if (c.operand[1][0] == 'i' && !c.ints)
            in[1].v[0] = 0;
        EvalEnv env = case_env(&r, m);
        buf_clear(&r.buf);
        cr_expect(!graph_eval(&env, m->graph[1], in, &out, &r.buf), "%s", c.line);
        cr_expect(r.buf.data && strstr(r.buf.data, wrong_data[i].message) != NULL, "%s: %s", c.line, r.buf.data);
        rig_free(&r);
    }
}

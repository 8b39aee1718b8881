/* test_vjp.c: the adjoint rule of every operation against forward tangents and against central differences.
 *
 * A case builds a graph of one operation on real (and integer) inputs. For a random cotangent u of the result and a
 * random direction v in each real input, <u, J v> from forward tangents and from differences must equal <J^T u, v>. A
 * test walks the operation table: a row with an adjoint but without a case fails. */
#include "rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>

typedef enum { ANY_SIGN, POSITIVE, AWAY_FROM_ZERO } Domain;

typedef struct {
    Rig         r;
    Graph      *g;
    Op          op;
    Domain      domain;
    int32_t     ints; /* bound of integer inputs */
    const char *what;
    bool        covered[OP_COUNT];
} Bench;

/* ---- one check ---- */

static double value_in(Domain d, uint64_t key, uint64_t i)
{
    double x = rng_normal(key, i);
    return d == POSITIVE ? 0.5 + fabs(x) : d == AWAY_FROM_ZERO ? (x < 0 ? x - 0.5 : x + 0.5) : x;
}

static Tensor tensor(Rig *r, Type t, Domain d, int32_t ints, uint64_t key)
{
    int64_t n = shape_numel(t.shape);
    Tensor  x = {t, NEW_N(r->a, double, (size_t)n), NULL};
    for (int64_t i = 0; i < n; i++)
        x.v[i] = t.dtype == DT_I32 ? floor(ints * rng_uniform(key, (uint64_t)i)) : value_in(d, key, (uint64_t)i);
    return x;
}

static double dot(const Tensor *x, const double *y)
{
    double s = 0;
    for (int64_t i = 0; y && i < shape_numel(x->type.shape); i++)
        s += x->v[i] * y[i];
    return s;
}

static Tensor run(Bench *b, const Graph *g, const Tensor *in, bool tangents, Tensor *all)
{
    EvalEnv env = {.m = b->r.m, .arena = b->r.a, .tangents = tangents};
    Buf     err = {0};
    Tensor *out = all ? all : NEW_N(b->r.a, Tensor, g->outs);
    cr_assert(graph_eval(&env, g, in, out, &err), "%s: %s", b->what, err.data);
    buf_free(&err);
    return out[0];
}

static double along(Bench *b, Tensor *in, uint32_t k, const Tensor *v, const Tensor *u, double h)
{
    int64_t n = shape_numel(v->type.shape);
    double *at = in[k].v, *moved = NEW_N(b->r.a, double, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        moved[i] = at[i] + h * v->v[i];
    in[k].v = moved;
    double f = dot(u, run(b, b->g, in, false, NULL).v);
    in[k].v = at;
    return f;
}

static void near(const Bench *b, uint32_t k, const char *how, double want, double got, double size, double tolerance)
{
    cr_expect(fabs(want - got) <= tolerance * fmax(1, size), "%s %s, operand %u, %s: %.12g, rule gives %.12g",
              op_info[b->op].name, b->what, k, how, want, got);
}

/* Check b->g and start a new one. */
static void check(Bench *b, ValueId y, const char *what)
{
    Rig *r = &b->r;
    b->what = what;
    graph_add_out(r->m, b->g, y, 0);
    b->covered[b->op] = true;
    const Graph *adj = adjoint_graph(r->m, b->g);
    Tensor      *in = NEW_N(r->a, Tensor, adj->inputs), *cot = NEW_N(r->a, Tensor, adj->outs + 1u);
    uint64_t     key = rng_key(7, what);
    for (uint32_t i = 0; i < adj->inputs; i++)
        in[i] = tensor(r, adj->input[i].type, i + 1 < adj->inputs ? b->domain : ANY_SIGN, b->ints, key + i);
    Tensor u = in[adj->inputs - 1];
    run(b, adj, in, false, cot);
    for (uint32_t i = 0, k = 0; i < b->g->inputs; i++) {
        if (!dtype_is_real(b->g->input[i].type.dtype))
            continue;
        Tensor v = tensor(r, b->g->input[i].type, ANY_SIGN, 0, key + 100 + i);
        double back = dot(&v, cot[k++].v), h = 1e-3;
        in[i].dv = v.v;
        Tensor y1 = run(b, b->g, in, true, NULL);
        in[i].dv = NULL;
        double size = dot(&u, u.v) + dot(&v, v.v);
        near(b, i, "tangent", dot(&u, y1.dv), back, size, 1e-12);
        double d1 = (along(b, in, i, &v, &u, h) - along(b, in, i, &v, &u, -h)) / (2 * h);
        double d2 = (along(b, in, i, &v, &u, 2 * h) - along(b, in, i, &v, &u, -2 * h)) / (4 * h);
        near(b, i, "difference", (4 * d1 - d2) / 3, back, size, 1e-8);
    }
    b->g = new_graph(r, "case");
}

static ValueId in(Bench *b, Type t)
{
    return input(&b->r, b->g, arena_printf(b->r.a, "x%u", b->g->inputs), t);
}

static Bench bench_new(void)
{
    Bench b = {.r = rig_new()};
    b.g = new_graph(&b.r, "case");
    return b;
}

/* ---- cases ---- */

static const Shape shapes[] = {{0}, {1, {1}}, {1, {7}}, {2, {3, 4}}, {2, {1, 5}}, {3, {2, 1, 3}}, {4, {2, 3, 1, 2}}};

static void elementwise(Bench *b)
{
    static const struct { Op op; Domain d; } unary[] = {
        {OP_neg, ANY_SIGN}, {OP_exp, ANY_SIGN}, {OP_log, POSITIVE}, {OP_sqrt, POSITIVE}, {OP_rsqrt, POSITIVE},
        {OP_tanh, ANY_SIGN}, {OP_sigmoid, ANY_SIGN}};
    static const struct { Op op; Domain d; } binary[] = {{OP_add, ANY_SIGN}, {OP_sub, ANY_SIGN}, {OP_mul, ANY_SIGN},
        {OP_div, AWAY_FROM_ZERO}, {OP_max, ANY_SIGN}, {OP_min, ANY_SIGN}};
    static const double exponent[] = {2, 3, -0.5, 0.5, 1, 0, -2, 1.7};
    Module *m = b->r.m;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        Type t = {DT_REAL, shapes[s]};
        for (size_t i = 0; i < COUNT(unary); i++) {
            b->op = unary[i].op;
            b->domain = unary[i].d;
            check(b, g_unary(m, b->g, NULL, b->op, in(b, t)), type_text(b->r.a, t));
        }
        for (size_t i = 0; i < COUNT(binary); i++) {
            b->op = binary[i].op;
            b->domain = binary[i].d;
            ValueId x = in(b, t), y = in(b, t);
            check(b, g_binary(m, b->g, NULL, b->op, x, y), type_text(b->r.a, t));
            x = in(b, t);
            check(b, g_binary(m, b->g, NULL, b->op, x, x), "of one value twice");
        }
        b->op = OP_powc;
        b->domain = POSITIVE;
        for (size_t i = 0; i < COUNT(exponent); i++)
            check(b, g_powc(m, b->g, NULL, in(b, t), exponent[i]), arena_printf(b->r.a, "** %g", exponent[i]));
        b->op = OP_select;
        b->domain = ANY_SIGN;
        ValueId x = in(b, t), y = in(b, t), c = g_cmp(m, b->g, NULL, CMP_LT, x, y);
        check(b, g_select(m, b->g, NULL, c, x, g_binary(m, b->g, NULL, OP_mul, y, y)), type_text(b->r.a, t));
        b->op = OP_cast;
        check(b, g_cast(m, b->g, NULL, in(b, t), DT_F32), type_text(b->r.a, t));
    }
}

static void reductions(Bench *b)
{
    Module *m = b->r.m;
    b->domain = ANY_SIGN;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        Type t = {DT_REAL, shapes[s]};
        for (uint32_t axes = 0; axes < 1u << t.shape.rank; axes++) {
            const char *what = arena_printf(b->r.a, "%s axes 0x%x", type_text(b->r.a, t), axes);
            b->op = OP_sum;
            check(b, g_sum(m, b->g, NULL, in(b, t), axes), what);
            b->op = OP_amax;
            check(b, g_amax(m, b->g, NULL, in(b, t), axes), what);
        }
        for (int32_t axis = 0; axis < t.shape.rank; axis++) {
            const char *what = arena_printf(b->r.a, "%s axis %d", type_text(b->r.a, t), axis);
            b->op = OP_softmax;
            check(b, g_softmax(m, b->g, NULL, in(b, t), axis), what);
            Type z = t, cls = {DT_I32, {.rank = (uint8_t)(t.shape.rank - 1)}};
            for (int32_t i = 0; i < cls.shape.rank; i++)
                cls.shape.dim[i] = z.shape.dim[i < axis ? i : i + 1];
            b->op = OP_xent;
            b->ints = z.shape.dim[axis];
            Node n = {.op = OP_xent, .a.axis.axis = axis};
            ValueId x = in(b, z), y = in(b, cls);
            check(b, graph_add(m, b->g, &n, (ValueId[]){x, y}, 2), what);
        }
    }
}

static void products(Bench *b)
{
    static const int32_t size[][3] = {{2, 3, 4}, {1, 3, 4}, {2, 1, 4}, {2, 3, 1}, {1, 1, 1}};
    static const int32_t lead[][2] = {{0, 0}, {3, 0}, {2, 1}};
    Module *m = b->r.m;
    b->op = OP_matmul;
    b->domain = ANY_SIGN;
    for (size_t l = 0; l < COUNT(lead); l++)
        for (size_t i = 0; i < COUNT(size); i++)
            for (int flags = 0; flags < 4; flags++) {
                bool  ta = flags & 1, tb = flags & 2;
                Type  x = {DT_REAL, {0}}, y = {DT_REAL, {0}};
                for (int k = 0; k < 2; k++)
                    if (lead[l][k]) {
                        x.shape.dim[x.shape.rank++] = lead[l][k];
                        y.shape.dim[y.shape.rank++] = lead[l][k];
                    }
                const int32_t *n = size[i];
                x.shape.dim[x.shape.rank++] = ta ? n[1] : n[0];
                x.shape.dim[x.shape.rank++] = ta ? n[0] : n[1];
                y.shape.dim[y.shape.rank++] = tb ? n[2] : n[1];
                y.shape.dim[y.shape.rank++] = tb ? n[1] : n[2];
                ValueId p = in(b, x), q = in(b, y);
                check(b, g_matmul(m, b->g, NULL, p, q, ta, tb),
                      arena_printf(b->r.a, "%s %s ta=%d tb=%d", type_text(b->r.a, x), type_text(b->r.a, y), ta, tb));
            }
    ValueId p = in(b, REAL(3, 3));
    check(b, g_matmul(m, b->g, NULL, p, p, true, false), "of one value twice");
}

static void movements(Bench *b)
{
    static const uint8_t perms[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    Module *m = b->r.m;
    b->domain = ANY_SIGN;
    b->op = OP_reshape;
    check(b, g_reshape(m, b->g, NULL, in(b, REAL(2, 6)), SHAPE(3, 2, 2)), "2x6 to 3x2x2");
    check(b, g_reshape(m, b->g, NULL, in(b, REAL(1, 1)), (Shape){0}), "1x1 to a scalar");
    b->op = OP_transpose;
    for (size_t i = 0; i < COUNT(perms); i++)
        check(b, g_transpose(m, b->g, NULL, in(b, REAL(2, 1, 3)), perms[i]),
              arena_printf(b->r.a, "permutation %zu", i));
    b->op = OP_broadcast;
    check(b, g_broadcast(m, b->g, NULL, in(b, REAL(3, 1)), SHAPE(3, 4)), "one axis");
    check(b, g_broadcast(m, b->g, NULL, in(b, REAL(1, 2, 1)), SHAPE(3, 2, 4)), "two axes");
    check(b, g_broadcast(m, b->g, NULL, in(b, REAL(1, 2)), SHAPE(1, 2)), "no axis");
    b->op = OP_slice;
    check(b, g_slice(m, b->g, NULL, in(b, REAL(4, 5)), DIMS(1, 0), DIMS(3, 5)), "rows");
    check(b, g_slice(m, b->g, NULL, in(b, REAL(4, 5)), DIMS(3, 4), DIMS(4, 5)), "a corner");
    b->op = OP_pad;
    check(b, g_pad(m, b->g, NULL, in(b, REAL(2, 1)), DIMS(1, 0), DIMS(0, 3)), "both axes");
    check(b, g_pad(m, b->g, NULL, in(b, REAL(3)), DIMS(0), DIMS(0)), "nothing");
    b->op = OP_concat;
    for (int32_t axis = 0; axis < 2; axis++) {
        ValueId x = in(b, REAL(2, 3)), y = in(b, axis ? REAL(2, 1) : REAL(1, 3));
        check(b, g_concat(m, b->g, NULL, (ValueId[]){x, y, x}, 3, axis), arena_printf(b->r.a, "axis %d", axis));
    }
    b->op = OP_gather;
    b->ints = 4;
    Node    n = {.op = OP_gather};
    ValueId t = in(b, REAL(4, 3)), i = in(b, INTS(2, 5));
    check(b, graph_add(m, b->g, &n, (ValueId[]){t, i}, 2), "rows of a matrix");
    t = in(b, REAL(4));
    i = in(b, (Type){DT_I32, {0}});
    check(b, graph_add(m, b->g, &n, (ValueId[]){t, i}, 2), "one element");
}

Test(vjp, every_rule_agrees_with_tangents_and_differences)
{
    Bench b = bench_new();
    elementwise(&b);
    reductions(&b);
    products(&b);
    movements(&b);
    for (int op = 0; op < OP_COUNT; op++)
        cr_expect(!op_info[op].has_vjp || b.covered[op], "'%s' has an adjoint, but no case", op_info[op].name);
    rig_free(&b.r);
}

Test(vjp, ties_of_max_go_to_the_first)
{
    Rig     r = rig_new();
    Graph  *g = new_graph(&r, "max");
    ValueId x = input(&r, g, "x", REAL(2)), y = input(&r, g, "y", REAL(2));
    graph_add_out(r.m, g, g_binary(r.m, g, NULL, OP_max, x, y), 0);
    const Graph *adj = adjoint_graph(r.m, g);
    double       at[2] = {1, 2}, dy[2] = {5, 7};
    Tensor       in3[3] = {{REAL(2), at, NULL}, {REAL(2), at, NULL}, {REAL(2), dy, NULL}}, out[2];
    EvalEnv      env = {.m = r.m, .arena = r.a};
    Buf          err = {0};
    cr_assert(graph_eval(&env, adj, in3, out, &err));
    cr_expect(out[0].v[0] == 5 && out[0].v[1] == 7 && out[1].v[0] == 0 && out[1].v[1] == 0);
    rig_free(&r);
}

Test(vjp, matmul_creates_no_transposes)
{
    Rig r = rig_new();
    for (int flags = 0; flags < 4; flags++) {
        Graph  *g = new_graph(&r, "product");
        ValueId x = input(&r, g, "x", REAL(3, 3)), y = input(&r, g, "y", REAL(3, 3));
        graph_add_out(r.m, g, g_matmul(r.m, g, NULL, x, y, flags & 1, flags & 2), 0);
        const Graph *adj = adjoint_graph(r.m, g);
        cr_expect(count_op(adj, OP_matmul) == 3 && count_op(adj, OP_transpose) == 0);
    }
    rig_free(&r);
}

/* eval_ops.c: fp64 kernels that compute: elementwise operations, reductions, softmax and matrix products, each with its
 * directional derivative.
 *
 * An elementwise operation is a rule that returns the value together with its partial derivatives at one point; one
 * loop per arity does the rest. The derivatives are written from the functions themselves, not from autodiff's
 * adjoints. */
#include "ir/eval_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one operand ---- */

typedef struct {
    double v, d;
} Dual;
typedef Dual UnaryRule(double x, double c);

static bool unary(Frame *f, const Node *n, const Tensor *in, Tensor *y, double c, UnaryRule *rule)
{
    int64_t count = shape_numel(n->type.shape);
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv ? eval_room(f, n->type) : NULL;
    for (int64_t i = 0; i < count; i++) {
        Dual r = rule(in[0].v[i], c);
        y->v[i] = r.v;
        if (y->dv)
            y->dv[i] = r.d * in[0].dv[i];
    }
    return true;
}

#define UNARY(name, constant, value, derivative)                                                                       \
    static Dual name##_at(double x, double c)                                                                          \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        double v = (value);                                                                                            \
        return (Dual){v, (derivative)};                                                                                \
    }                                                                                                                  \
    bool eval_##name(Frame *f, const Node *n, const Tensor *in, Tensor *y)                                             \
    {                                                                                                                  \
        return unary(f, n, in, y, (constant), name##_at);                                                              \
    }

UNARY(neg, 0, -x, -1)
UNARY(exp, 0, exp(x), v)
UNARY(log, 0, log(x), 1 / x)
UNARY(sqrt, 0, sqrt(x), 0.5 / v)
UNARY(rsqrt, 0, 1 / sqrt(x), -0.5 * v / x)
UNARY(tanh, 0, tanh(x), 1 - v * v)
UNARY(sigmoid, 0, x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)), v * (1 - v))
UNARY(powc, n->a.powc.c, pow(x, c), c == 0 ? 0 : c * pow(x, c - 1))

/* ---- two operands ---- */

typedef struct {
    double v, da, db;
} Dual2;
typedef Dual2 BinaryRule(double a, double b);

static bool binary(Frame *f, const Node *n, const Tensor *in, Tensor *y, BinaryRule *rule)
{
    int64_t       count = shape_numel(n->type.shape);
    const double *da = in[0].dv, *db = in[1].dv;
    y->v = eval_room(f, n->type);
    y->dv = da || db ? eval_room(f, n->type) : NULL;
    for (int64_t i = 0; i < count; i++) {
        Dual2 r = rule(in[0].v[i], in[1].v[i]);
        y->v[i] = r.v;
        if (da)
            y->dv[i] += r.da * da[i];
        if (db)
            y->dv[i] += r.db * db[i];
    }
    return true;
}

#define BINARY(name, value, by_a, by_b)                                                                                \
    static Dual2 name##_at(double a, double b)                                                                         \
    {                                                                                                                  \
        double v = (value);                                                                                            \
        return (Dual2){v, (by_a), (by_b)};                                                                             \
    }                                                                                                                  \
    bool eval_##name(Frame *f, const Node *n, const Tensor *in, Tensor *y)                                             \
    {                                                                                                                  \
        return binary(f, n, in, y, name##_at);                                                                         \
    }

BINARY(add, a + b, 1, 1)
BINARY(sub, a - b, 1, -1)
BINARY(mul, a * b, b, a)

static Dual2 div_at(double a, double b)
{
    double v = a / b;
    return (Dual2){v, 1 / b, -v / b};
}

/* Integers divide towards zero, as in C. */
bool eval_div(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    int64_t count = n->type.dtype == DT_I32 ? shape_numel(n->type.shape) : 0;
    for (int64_t i = 0; i < count; i++)
        if (in[1].v[i] == 0)
            return eval_fail(f, "division of the integer %.0f by zero", in[0].v[i]);
    binary(f, n, in, y, div_at);
    for (int64_t i = 0; i < count; i++)
        y->v[i] = trunc(y->v[i]);
    return true;
}

/* ---- choice ---- */

/* One operand or the other, element by element. */
static bool choose(Frame *f, const Node *n, const double *first, const Tensor *a, const Tensor *b, Tensor *y)
{
    int64_t count = shape_numel(n->type.shape);
    y->v = eval_room(f, n->type);
    y->dv = a->dv || b->dv ? eval_room(f, n->type) : NULL;
    for (int64_t i = 0; i < count; i++) {
        const Tensor *x = first[i] != 0 ? a : b;
        y->v[i] = x->v[i];
        if (x->dv)
            y->dv[i] = x->dv[i];
    }
    return true;
}

/* Ties go to the first operand, as in the adjoints. */
static bool extreme(Frame *f, const Node *n, const Tensor *in, Tensor *y, double sign)
{
    int64_t count = shape_numel(n->type.shape);
    double *first = eval_room(f, n->type);
    for (int64_t i = 0; i < count; i++)
        first[i] = sign * in[0].v[i] >= sign * in[1].v[i];
    return choose(f, n, eval_fixed(f, first, count), &in[0], &in[1], y);
}

bool eval_max(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    return extreme(f, n, in, y, 1);
}

bool eval_min(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    return extreme(f, n, in, y, -1);
}

bool eval_cmp(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    int64_t count = shape_numel(n->type.shape);
    y->v = eval_room(f, n->type);
    for (int64_t i = 0; i < count; i++) {
        double a = in[0].v[i], b = in[1].v[i];
        bool   r = false;
        switch (n->a.cmp.kind) {
        case CMP_EQ: r = a == b; break;
        case CMP_NE: r = a != b; break;
        case CMP_LT: r = a < b; break;
        case CMP_GT: r = a > b; break;
        case CMP_LE: r = a <= b; break;
        case CMP_GE: r = a >= b; break;
        }
        y->v[i] = r;
    }
    y->v = eval_fixed(f, y->v, count);
    return true;
}

bool eval_select(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    return choose(f, n, in[0].v, &in[1], &in[2], y);
}

/* ---- reductions ---- */

/* Where element i of the operand goes: for each axis the stride of the result, 0 for reduced ones. */
typedef struct {
    Shape   s;
    int32_t at[MAX_RANK];
    int64_t stride[MAX_RANK];
    int64_t to;
} Reduction;

static Reduction reduction(Shape s, uint32_t axes)
{
    Reduction r = {.s = s};
    int64_t   step = 1;
    for (uint32_t k = s.rank; k-- > 0;) {
        r.stride[k] = axes >> k & 1 ? 0 : step;
        step *= axes >> k & 1 ? 1 : s.dim[k];
    }
    return r;
}

static void advance(Reduction *r)
{
    for (uint32_t k = r->s.rank; k-- > 0;) {
        r->to += r->stride[k];
        if (++r->at[k] < r->s.dim[k])
            return;
        r->to -= r->stride[k] * r->s.dim[k];
        r->at[k] = 0;
    }
}

static void add_up(Shape s, uint32_t axes, const double *x, double *y)
{
    Reduction r = reduction(s, axes);
    for (int64_t i = 0, count = shape_numel(s); i < count; i++, advance(&r))
        y[r.to] += x[i];
}

bool eval_sum(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    y->v = eval_room(f, n->type);
    add_up(in[0].type.shape, n->a.reduce.axes, in[0].v, y->v);
    if (in[0].dv) {
        y->dv = eval_room(f, n->type);
        add_up(in[0].type.shape, n->a.reduce.axes, in[0].dv, y->dv);
    }
    return true;
}

/* The tangent is the mean of the tangents of all elements that attain the maximum. */
bool eval_amax(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Shape     s = in[0].type.shape;
    uint32_t  axes = n->a.reduce.axes;
    int64_t   count = shape_numel(s), results = shape_numel(n->type.shape);
    double   *top = eval_room(f, n->type), *ties = eval_room(f, n->type), *attains = eval_room(f, in[0].type);
    Reduction r = reduction(s, axes);
    for (int64_t i = 0; i < results; i++)
        top[i] = -INFINITY;
    for (int64_t i = 0; i < count; i++, advance(&r))
        if (!(top[r.to] >= in[0].v[i])) /* a NaN comes through */
            top[r.to] = in[0].v[i];
    r = reduction(s, axes);
    for (int64_t i = 0; i < count; i++, advance(&r))
        attains[i] = in[0].v[i] == top[r.to];
    attains = eval_fixed(f, attains, count);
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv ? eval_room(f, n->type) : NULL;
    add_up(s, axes, attains, ties);
    r = reduction(s, axes);
    for (int64_t i = 0; i < count; i++, advance(&r)) {
        if (attains[i] == 0)
            continue;
        y->v[r.to] = in[0].v[i];
        if (y->dv)
            y->dv[r.to] += in[0].dv[i] / ties[r.to];
    }
    for (int64_t i = 0; i < results; i++)
        if (ties[i] == 0)
            y->v[i] = top[i];
    return true;
}

Axis axis_loops(Shape s, int32_t axis)
{
    Axis a = {1, s.dim[axis], 1};
    for (int32_t k = 0; k < axis; k++)
        a.outer *= s.dim[k];
    for (int32_t k = axis + 1; k < s.rank; k++)
        a.inner *= s.dim[k];
    return a;
}

bool eval_softmax(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Axis a = axis_loops(n->type.shape, n->a.axis.axis);
    y->v = eval_room(f, n->type);
    y->dv = in[0].dv ? eval_room(f, n->type) : NULL;
    for (int64_t row = 0; row < a.outer * a.inner; row++) {
        int64_t       at = row / a.inner * a.n * a.inner + row % a.inner;
        const double *x = in[0].v + at, *dx = in[0].dv ? in[0].dv + at : NULL;
        double       *v = y->v + at, top = -INFINITY, total = 0, mean = 0;
        for (int64_t k = 0; k < a.n * a.inner; k += a.inner)
            top = x[k] > top ? x[k] : top;
        for (int64_t k = 0; k < a.n * a.inner; k += a.inner)
            total += v[k] = exp(x[k] - top);
        for (int64_t k = 0; k < a.n * a.inner; k += a.inner) {
            v[k] /= total;
            mean += dx ? v[k] * dx[k] : 0;
        }
        for (int64_t k = 0; dx && k < a.n * a.inner; k += a.inner)
            y->dv[at + k] = v[k] * (dx[k] - mean);
    }
    return true;
}

/* ---- matrix product ---- */

typedef struct {
    int64_t batches, m, k, n;
    bool    ta, tb;
} Product;

/* y += op(A) op(B) for one matrix. B is used row by row, so a transposed one is turned first: [N, K] -> [K, N]. */
static void multiply(const Product *p, const double *a, const double *b, double *turned, double *y)
{
    if (p->tb) {
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t k = 0; k < p->k; k++)
                turned[k * p->n + j] = b[j * p->k + k];
        b = turned;
    }
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t k = 0; k < p->k; k++) {
            double        s = p->ta ? a[k * p->m + i] : a[i * p->k + k];
            const double *row = b + k * p->n;
            double       *to = y + i * p->n;
            for (int64_t j = 0; j < p->n; j++)
                to[j] += s * row[j];
        }
}

static void multiply_all(const Product *p, const double *a, const double *b, double *y)
{
    double *turned = p->tb ? xmalloc((size_t)(p->k * p->n) * sizeof *turned) : NULL;
    for (int64_t i = 0; i < p->batches; i++)
        multiply(p, a + i * p->m * p->k, b + i * p->k * p->n, turned, y + i * p->m * p->n);
    free(turned);
}

bool eval_matmul(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Shape    s = n->type.shape, l = in[0].type.shape;
    uint32_t r = s.rank;
    Product  p = {.batches = 1, .m = s.dim[r - 2], .n = s.dim[r - 1]};
    p.ta = n->a.matmul.ta;
    p.tb = n->a.matmul.tb;
    p.k = l.dim[p.ta ? r - 2 : r - 1];
    for (uint32_t i = 0; i + 2 < r; i++)
        p.batches *= s.dim[i];
    y->v = eval_room(f, n->type);
    multiply_all(&p, in[0].v, in[1].v, y->v);
    if (in[0].dv || in[1].dv)
        y->dv = eval_room(f, n->type);
    if (in[0].dv)
        multiply_all(&p, in[0].dv, in[1].v, y->dv);
    if (in[1].dv)
        multiply_all(&p, in[0].v, in[1].dv, y->dv);
    return true;
}

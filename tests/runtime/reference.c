/* reference.c: see reference.h. Everything goes through coordinates, nothing through strides or blocks. */
#include "reference.h"

#include <math.h>
#include <string.h>

typedef struct {
    int32_t at[PLAN_MAX_RANK];
} Coord;

static Coord coord(PlanShape s, int64_t i)
{
    Coord c = {{0}};
    for (uint32_t k = s.rank; k-- > 0; i /= s.dim[k])
        c.at[k] = (int32_t)(i % s.dim[k]);
    return c;
}

static int64_t flat(PlanShape s, Coord c)
{
    int64_t i = 0;
    for (uint32_t k = 0; k < s.rank; k++)
        i = i * s.dim[k] + c.at[k];
    return i;
}

static double unary(const char *op, double c, double x)
{
    if (strcmp(op, "neg") == 0)
        return -x;
    if (strcmp(op, "exp") == 0)
        return exp(x);
    if (strcmp(op, "log") == 0)
        return log(x);
    if (strcmp(op, "sqrt") == 0)
        return sqrt(x);
    if (strcmp(op, "rsqrt") == 0)
        return 1 / sqrt(x);
    if (strcmp(op, "tanh") == 0)
        return tanh(x);
    if (strcmp(op, "sigmoid") == 0)
        return 1 / (1 + exp(-x));
    return pow(x, c);
}

static double binary(const char *op, bool integers, double a, double b)
{
    if (strcmp(op, "add") == 0)
        return a + b;
    if (strcmp(op, "sub") == 0)
        return a - b;
    if (strcmp(op, "mul") == 0)
        return a * b;
    if (strcmp(op, "div") == 0)
        return integers ? trunc(a / b) : a / b;
    return (strcmp(op, "max") == 0) == (a > b) ? a : b;
}

static double compare(uint32_t kind, double a, double b)
{
    switch (kind) {
    case 0: return a == b;
    case 1: return a != b;
    case 2: return a < b;
    case 3: return a > b;
    case 4: return a <= b;
    default: return a >= b;
    }
}

static bool is(const Step *s, const char *op)
{
    return strcmp(s->op, op) == 0;
}

static void reduce(const Step *s, const double *x, double *y, int64_t n)
{
    PlanShape in = s->in[0].shape, out = s->out[0].shape;
    for (int64_t i = 0; i < n; i++)
        y[i] = is(s, "sum") ? 0 : -INFINITY;
    for (int64_t i = 0; i < plan_numel(in); i++) {
        Coord c = coord(in, i);
        for (uint32_t k = 0; k < in.rank; k++)
            if (s->a.axes >> k & 1)
                c.at[k] = 0;
        double *to = &y[flat(out, c)];
        *to = is(s, "sum") ? *to + x[i] : x[i] > *to ? x[i] : *to;
    }
}

/* Sum of exp(x) along the axis through c, over exp(top). */
static double exp_sum(PlanShape shape, int32_t axis, const double *x, Coord c, double *top)
{
    double sum = 0;
    *top = -INFINITY;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t k = 0; k < shape.dim[axis]; k++) {
            c.at[axis] = k;
            double v = x[flat(shape, c)];
            if (pass == 0)
                *top = v > *top ? v : *top;
            else
                sum += exp(v - *top);
        }
    return sum;
}

/* c without coordinate `axis`. */
static Coord dropped(Coord c, int32_t axis)
{
    for (int32_t k = axis; k + 1 < PLAN_MAX_RANK; k++)
        c.at[k] = c.at[k + 1];
    return c;
}

static Coord inserted(Coord c, int32_t axis, int32_t v)
{
    for (int32_t k = PLAN_MAX_RANK - 1; k > axis; k--)
        c.at[k] = c.at[k - 1];
    c.at[axis] = v;
    return c;
}

static void matmul(const Step *s, double *const *in, double *y, int64_t n)
{
    PlanShape a = s->in[0].shape, b = s->in[1].shape, z = s->out[0].shape;
    uint32_t  r = z.rank;
    for (int64_t i = 0; i < n; i++) {
        Coord c = coord(z, i), ca = c, cb = c;
        y[i] = 0;
        for (int32_t k = 0; k < a.dim[s->a.ta ? r - 2 : r - 1]; k++) {
            ca.at[r - 2] = s->a.ta ? k : c.at[r - 2];
            ca.at[r - 1] = s->a.ta ? c.at[r - 2] : k;
            cb.at[r - 2] = s->a.tb ? c.at[r - 1] : k;
            cb.at[r - 1] = s->a.tb ? k : c.at[r - 1];
            y[i] += in[0][flat(a, ca)] * in[1][flat(b, cb)];
        }
    }
}

/* Result element i, coordinates c, of the operations that only move; false if it is none of them. */
static bool moved(const Step *s, double *const *in, int64_t i, Coord c, double *y)
{
    PlanShape x = s->in[0].shape;
    Coord     f = c;
    *y = 0;
    if (is(s, "reshape") || is(s, "cast"))
        *y = in[0][i];
    else if (is(s, "transpose")) {
        for (uint32_t k = 0; k < x.rank; k++)
            f.at[s->a.perm[k]] = c.at[k];
        *y = in[0][flat(x, f)];
    } else if (is(s, "broadcast") || is(s, "slice")) {
        for (uint32_t k = 0; k < x.rank; k++)
            f.at[k] = is(s, "slice") ? c.at[k] + s->a.begin[k] : x.dim[k] == 1 ? 0 : c.at[k];
        *y = in[0][flat(x, f)];
    } else if (is(s, "pad")) {
        for (uint32_t k = 0; k < x.rank; k++) {
            f.at[k] = c.at[k] - s->a.lo[k];
            if (f.at[k] < 0 || f.at[k] >= x.dim[k])
                return true;
        }
        *y = in[0][flat(x, f)];
    } else if (is(s, "concat")) {
        uint32_t p = 0;
        for (; f.at[s->a.axis] >= s->in[p].shape.dim[s->a.axis]; p++)
            f.at[s->a.axis] -= s->in[p].shape.dim[s->a.axis];
        *y = in[p][flat(s->in[p].shape, f)];
    } else if (is(s, "splice")) {
        f.at[s->a.axis] -= (int32_t)in[2][0];
        bool inside = f.at[s->a.axis] >= 0 && f.at[s->a.axis] < s->in[1].shape.dim[s->a.axis];
        *y = inside ? in[1][flat(s->in[1].shape, f)] : in[0][i];
    } else if (is(s, "gather")) {
        PlanShape ix = s->in[1].shape;
        Coord     row = c;
        f = (Coord){{(int32_t)in[1][flat(ix, row)]}};
        for (uint32_t k = 1; k < x.rank; k++)
            f.at[k] = c.at[ix.rank + k - 1];
        *y = in[0][flat(x, f)];
    } else
        return false;
    return true;
}

static void scatter_add(const Step *s, double *const *in, double *y, int64_t n)
{
    PlanShape ix = s->in[0].shape, rows = s->in[1].shape, z = s->out[0].shape;
    for (int64_t i = 0; i < n; i++)
        y[i] = 0;
    for (int64_t i = 0; i < plan_numel(rows); i++) {
        Coord c = coord(rows, i), to = {{(int32_t)in[0][flat(ix, c)]}};
        for (uint32_t k = 1; k < z.rank; k++)
            to.at[k] = c.at[ix.rank + k - 1];
        y[flat(z, to)] += in[1][i];
    }
}

/* Two matrices [r, c], multiplied, summed over all but one axis. */
static void dot(const Step *s, double *const *in, double *y, int64_t n, bool columns)
{
    PlanShape x = s->in[0].shape;
    for (int64_t i = 0; i < n; i++)
        y[i] = 0;
    for (int32_t r = 0; r < x.dim[0]; r++)
        for (int32_t c = 0; c < x.dim[1]; c++)
            y[columns ? c : r] += in[0][r * x.dim[1] + c] * in[1][r * x.dim[1] + c];
}

bool reference_run(const Step *s, double *const *in, bool integers, double *y)
{
    PlanShape out = s->out[0].shape;
    int64_t   n = plan_numel(out);
    if (is(s, "sum") || is(s, "amax"))
        return reduce(s, in[0], y, n), true;
    if (is(s, "matmul"))
        return matmul(s, in, y, n), true;
    if (is(s, "coldot") || is(s, "rowdot"))
        return dot(s, in, y, n, is(s, "coldot")), true;
    if (is(s, "scatter_add"))
        return scatter_add(s, in, y, n), true;
    for (int64_t i = 0; i < n; i++) {
        Coord  c = coord(out, i);
        double top, sum;
        if (is(s, "iota"))
            y[i] = (double)i;
        else if (is(s, "colscale") || is(s, "rowscale"))
            y[i] = in[0][i] * in[1][c.at[is(s, "colscale")]];
        else if (is(s, "cmp"))
            y[i] = compare(s->a.cmp, in[0][i], in[1][i]);
        else if (is(s, "select"))
            y[i] = in[0][i] != 0 ? in[1][i] : in[2][i];
        else if (is(s, "softmax")) {
            sum = exp_sum(out, s->a.axis, in[0], c, &top);
            y[i] = exp(in[0][i] - top) / sum;
        } else if (is(s, "xent")) {
            Coord f = inserted(c, s->a.axis, (int32_t)in[1][i]);
            sum = exp_sum(s->in[0].shape, s->a.axis, in[0], f, &top);
            y[i] = log(sum) + top - in[0][flat(s->in[0].shape, f)];
        } else if (is(s, "xent_grad")) {
            int64_t row = flat(s->in[1].shape, dropped(c, s->a.axis));
            sum = exp_sum(out, s->a.axis, in[0], c, &top);
            y[i] = (exp(in[0][i] - top) / sum - (c.at[s->a.axis] == (int32_t)in[1][row])) * in[2][row];
        } else if (moved(s, in, i, c, &y[i]))
            continue;
        else if (s->ins == 2)
            y[i] = binary(s->op, integers, in[0][i], in[1][i]);
        else
            y[i] = unary(s->op, s->a.c, in[0][i]);
    }
    return true;
}

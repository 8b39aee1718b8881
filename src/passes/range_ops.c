/* range_ops.c: what each operation does to intervals and to estimates; see range.h.
 *
 * Intervals follow interval arithmetic (Moore 1966) with four additions: a value times itself is a square, the larger
 * of x and -x is not negative, x minus its own maximum is not positive, and x times 1/rms(x) is bounded by the root of
 * the number of channels.
 *
 * Estimates carry mean and variance. Sums and products of independent values have formulas; functions of one value are
 * integrated over a normal distribution, cut to the interval that is guaranteed. */
#include "passes/range_internal.h"
#include "passes/pass.h"

#include <math.h>

/* ---- intervals ---- */

/* inf * 0 is 0 here: a factor that is always zero leaves nothing. */
static double times(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b;
}

static void bounds_mul(RangeFact *y, const RangeFact *a, const RangeFact *b)
{
    double p[] = {times(a->lo, b->lo), times(a->lo, b->hi), times(a->hi, b->lo), times(a->hi, b->hi)};
    y->lo = fmin(fmin(p[0], p[1]), fmin(p[2], p[3]));
    y->hi = fmax(fmax(p[0], p[1]), fmax(p[2], p[3]));
}

static void bounds_square(RangeFact *y, const RangeFact *x)
{
    double m = fmax(fabs(x->lo), fabs(x->hi));
    y->lo = x->lo > 0 ? x->lo * x->lo : x->hi < 0 ? x->hi * x->hi : 0;
    y->hi = m * m;
}

static void bounds_hull(RangeFact *y, const RangeFact *x)
{
    y->lo = fmin(y->lo, x->lo);
    y->hi = fmax(y->hi, x->hi);
}

static void unbounded(RangeFact *y)
{
    y->lo = -HUGE_VAL;
    y->hi = HUGE_VAL;
}

/* x^c; negative x only where c is a whole number. */
static void bounds_power(RangeFact *y, const RangeFact *x, double c)
{
    bool whole = floor(c) == c, even = whole && fmod(c, 2) == 0;
    unbounded(y);
    if (x->lo >= 0 || (whole && !even && c > 0)) {
        double a = pow(x->lo + 0.0, c), b = pow(x->hi, c); /* monotone; 1/0 is infinite as it should be, not 1/-0 */
        y->lo = fmin(a, b);
        y->hi = fmax(a, b);
    } else if (even && c > 0) {
        y->lo = 0;
        y->hi = pow(fmax(fabs(x->lo), fabs(x->hi)), c);
    } else if (even) {
        y->lo = 0;
    }
}

/* ---- estimates ---- */

typedef double Fn(double x, double c);

/* Mean and variance of f(x) by the trapezoidal rule over four standard deviations, for normal x; for x that cannot be
 * negative (mean squares, above all) log-normal, so that roots and reciprocals do not see zeros that never come. */
static void moments(RangeFact *y, const RangeFact *x, Fn *f, double c)
{
    enum { STEPS = 32 };
    double total = 0, sum = 0, squares = 0, sd = sqrt(x->var);
    bool   positive = x->lo >= 0 && x->mean > 0;
    double log_sd = positive ? sqrt(log1p(x->var / (x->mean * x->mean))) : 0;
    for (int i = 0; i <= STEPS; i++) {
        double z = -4 + 8.0 * i / STEPS, w = exp(-z * z / 2);
        double at = positive ? x->mean * exp(log_sd * (z - log_sd / 2)) : x->mean + z * sd, v;
        v = f(fmin(fmax(at, x->lo), x->hi), c);
        if (!isfinite(v))
            continue;
        total += w;
        sum += w * v;
        squares += w * v * v;
    }
    y->mean = total > 0 ? sum / total : 0;
    y->var = total > 0 ? fmax(squares / total - y->mean * y->mean, 0) : 0;
    if (sd == 0) /* no rounding noise for constants */
        y->var = 0;
}

static void moments_mul(RangeFact *y, const RangeFact *a, const RangeFact *b)
{
    y->mean = a->mean * b->mean;
    y->var = fmax(range_power(a) * range_power(b) - y->mean * y->mean, 0);
}

/* x times x for normal x. */
static void moments_square(RangeFact *y, const RangeFact *x)
{
    y->mean = range_power(x);
    y->var = 2 * x->var * x->var + 4 * x->mean * x->mean * x->var;
}

/* A mixture: x with weight p, y with the rest; into y. */
static void moments_mix(RangeFact *y, const RangeFact *x, double p)
{
    double mean = p * x->mean + (1 - p) * y->mean, power = p * range_power(x) + (1 - p) * range_power(y);
    y->mean = mean;
    y->var = fmax(power - mean * mean, 0);
}

/* The larger of two normal values (Clark 1961). */
static void moments_max(RangeFact *y, const RangeFact *a, const RangeFact *b)
{
    double s = sqrt(a->var + b->var);
    if (s == 0) {
        y->mean = fmax(a->mean, b->mean);
        y->var = 0;
        return;
    }
    double t = (a->mean - b->mean) / s, above = 0.5 * erfc(-t / sqrt(2)), bell = exp(-t * t / 2) * 0.3989422804014327;
    y->mean = a->mean * above + b->mean * (1 - above) + s * bell;
    double power = range_power(a) * above + range_power(b) * (1 - above) + (a->mean + b->mean) * s * bell;
    y->var = fmax(power - y->mean * y->mean, 0);
}

#define UNARY(name, value)                \
    static double fn_##name(double x, double c) \
    {                                     \
        (void)c;                          \
        return value;                     \
    }
UNARY(exp, exp(x))
UNARY(log, x > 0 ? log(x) : HUGE_VAL)
UNARY(tanh, tanh(x))
UNARY(sigmoid, 1 / (1 + exp(-x)))
UNARY(trunc, trunc(x))
#undef UNARY

static double fn_pow(double x, double c)
{
    return pow(x, c);
}

static RangeFact monotone(const RangeFact *x, Fn *f)
{
    RangeFact y = {.lo = f(x->lo, 0), .hi = f(x->hi, 0), .known = true};
    moments(&y, x, f, 0);
    return y;
}

/* ---- operations with two operands ---- */

static RangeFact of_add(const RangeFact *a, const RangeFact *b, double sign, bool same)
{
    RangeFact y = {.known = true, .peak = fmax(a->peak, b->peak), .mask = fmin(a->mask, b->mask),
                   .dead_row = a->dead_row || b->dead_row};
    y.lo = a->lo + (sign > 0 ? b->lo : -b->hi);
    y.hi = a->hi + (sign > 0 ? b->hi : -b->lo);
    y.mean = a->mean + sign * b->mean;
    y.var = same ? (sign > 0 ? 4 * a->var : 0) : a->var + b->var;
    return y;
}

static RangeFact of_mul(const RangeFact *a, const RangeFact *b, bool same, double norm)
{
    RangeFact y = {.known = true};
    if (same) {
        bounds_square(&y, a);
        moments_square(&y, a);
        return y;
    }
    bounds_mul(&y, a, b);
    moments_mul(&y, a, b);
    if (norm > 0) {
        y.lo = fmax(y.lo, -norm);
        y.hi = fmin(y.hi, norm);
    }
    return y;
}

static RangeFact of_div(const RangeFact *a, const RangeFact *b)
{
    RangeFact y = {.known = true}, inverse = *b;
    bool      positive = b->lo > 0, negative = b->hi < 0;
    unbounded(&inverse);
    if (positive || negative) {
        inverse.lo = 1 / b->hi;
        inverse.hi = 1 / b->lo;
    }
    bounds_mul(&y, a, &inverse);
    double power = range_power(b); /* of 1/b: that of the typical b, for the exact mean may be infinite */
    inverse.mean = power > 0 && b->mean * b->mean > 4 * b->var ? 1 / b->mean : 0;
    inverse.var = power > 0 ? fmax(1 / power - inverse.mean * inverse.mean, 0) : 0;
    moments_mul(&y, a, &inverse);
    return y;
}

static RangeFact of_max(const RangeFact *a, const RangeFact *b, double sign)
{
    RangeFact y = {.known = true};
    y.lo = sign > 0 ? fmax(a->lo, b->lo) : fmin(a->lo, b->lo);
    y.hi = sign > 0 ? fmax(a->hi, b->hi) : fmin(a->hi, b->hi);
    RangeFact p = *a, q = *b;
    p.mean *= sign;
    q.mean *= sign;
    moments_max(&y, &p, &q);
    y.mean *= sign;
    return y;
}

/* ---- along axes ---- */

static int64_t ratio(const Graph *g, ValueId of, ValueId to)
{
    int64_t small = shape_numel(g->node[to].type.shape);
    return small ? shape_numel(g->node[of].type.shape) / small : 1;
}

static RangeFact of_sum(const RangeFact *x, double n)
{
    return (RangeFact){
        .known = true, .lo = times(n, x->lo), .hi = times(n, x->hi), .mean = n * x->mean, .var = n * x->var};
}

/* The largest of n normal values: sqrt(2 ln n) deviations up. */
static RangeFact of_amax(const RangeFact *x, double n)
{
    double up = sqrt(2 * log(fmax(n, 1)));
    return (RangeFact){
        .known = true, .lo = x->lo, .hi = x->hi, .mean = x->mean + up * sqrt(x->var), .var = x->var / (1 + up * up)};
}

/* Places that are not masked share 1 in proportion to exp of normal scores. */
static RangeFact of_softmax(const RangeFact *x, double n)
{
    double    peak = x->peak > 0 ? x->peak : 1 / n, power = fmin(peak / n * exp(fmin(x->var, 20)), 1 / n);
    RangeFact y = {.known = true, .lo = 0, .hi = 1, .mean = 1 / n, .dead_row = x->dead_row, .mask = 0};
    y.var = fmax(power - y.mean * y.mean, 0);
    return y;
}

/* Sums of k products. Terms are independent but for the product of the means. */
static RangeFact of_matmul(const RangeFact *a, const RangeFact *b, double k)
{
    RangeFact product = of_mul(a, b, false, 0);
    return of_sum(&product, k);
}

/* log sum exp z - z_t for a class t that knows nothing of z. */
static RangeFact of_xent(const RangeFact *z, double n)
{
    RangeFact y = {.known = true, .lo = 0, .hi = z->hi - z->lo + log(n), .mean = log(n) + z->var / 2, .var = z->var};
    return y;
}

/* (softmax z - onehot t) * c */
static RangeFact of_xent_grad(const RangeFact *z, const RangeFact *c, double n)
{
    RangeFact p = of_softmax(z, n), e = {.known = true, .lo = -1, .hi = 1};
    e.var = fmax(range_power(&p) + 1 / n - 2 / (n * n), 0);
    return of_mul(&e, c, false, 0);
}

/* ---- movement ---- */

static RangeFact of_pad(const RangeFact *x, double share)
{
    RangeFact y = {.known = true};
    bounds_hull(&y, x);
    moments_mix(&y, x, share);
    return y;
}

static RangeFact of_parts(const Graph *g, const Node *n, const RangeFact *fact)
{
    RangeFact y = fact[node_in(g, n)[0]];
    double    seen = (double)shape_numel(g->node[node_in(g, n)[0]].type.shape);
    for (uint32_t i = 1; i < n->in_count; i++) {
        ValueId          u = node_in(g, n)[i];
        const RangeFact *x = &fact[u];
        seen += (double)shape_numel(g->node[u].type.shape);
        moments_mix(&y, x, (double)shape_numel(g->node[u].type.shape) / seen);
        bounds_hull(&y, x);
        y.mask = fmin(y.mask, x->mask);
        y.dead_row = y.dead_row || x->dead_row;
    }
    y.each = NULL;
    return y;
}

/* Where c holds a, else b. A masked branch is a mask, not a number to be averaged. */
static RangeFact of_select(const RangeFact *c, const RangeFact *a, const RangeFact *b, double row)
{
    RangeFact y = *b;
    double    p = fmin(fmax(c->mean, 0), 1);
    bool      hides_a = a->hi <= RANGE_MASK && b->hi > RANGE_MASK, hides_b = b->hi <= RANGE_MASK && a->hi > RANGE_MASK;
    bounds_hull(&y, a);
    if (hides_a || hides_b) {
        double seen = hides_b ? p : 1 - p;
        y.mean = hides_b ? a->mean : b->mean;
        y.var = hides_b ? a->var : b->var;
        y.peak = 1 / fmax(row * seen, 1);
        y.mask = hides_b ? b->lo : a->lo;
    } else {
        moments_mix(&y, a, p);
        y.mask = fmin(a->mask, b->mask);
    }
    return y;
}

static RangeFact of_cmp(const RangeFact *a, const RangeFact *b, CmpKind kind)
{
    double    s = sqrt(a->var + b->var), d = a->mean - b->mean;
    double    above = s > 0 ? 0.5 * erfc(-d / s / sqrt(2)) : d > 0;
    double    equal = s > 0 ? 0 : d == 0, p = 0;
    RangeFact y = {.known = true, .lo = 0, .hi = 1};
    switch (kind) {
    case CMP_EQ: p = equal; break;
    case CMP_NE: p = 1 - equal; break;
    case CMP_LT: p = 1 - above - equal; break;
    case CMP_GT: p = above; break;
    case CMP_LE: p = 1 - above; break;
    case CMP_GE: p = above + equal; break;
    }
    y.mean = p;
    y.var = p * (1 - p);
    return y;
}

/* Rows added into n rows at random places. */
static RangeFact of_scatter(const RangeFact *x, double rows, double n)
{
    RangeFact y = {.known = true, .lo = fmin(times(rows, x->lo), 0), .hi = fmax(times(rows, x->hi), 0)};
    y.mean = rows / n * x->mean;
    y.var = rows / n * range_power(x);
    return y;
}

RangeFact range_of_table(RangeWalk *w, uint32_t table)
{
    if (w->table[table])
        return *w->table[table];
    const Table *t = &w->r->m->table[table];
    int64_t      n = shape_numel(t->shape), row = t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 1, seen = 0;
    double       sum = 0, squares = 0, peaks = 0;
    RangeFact   *y = w->table[table] = NEW(w->a, RangeFact);
    *y = (RangeFact){.known = true, .lo = HUGE_VAL, .hi = -HUGE_VAL};
    for (int64_t r = 0; r < n / row; r++) {
        int64_t open = 0;
        for (int64_t i = r * row; i < (r + 1) * row; i++) {
            double x = t->data[i];
            y->lo = fmin(y->lo, x);
            y->hi = fmax(y->hi, x);
            if (x <= RANGE_MASK) {
                y->mask = fmin(y->mask, x);
                continue;
            }
            open++;
            sum += x;
            squares += x * x;
        }
        seen += open;
        y->dead_row = y->dead_row || open == 0;
        peaks += open ? 1.0 / (double)open : 1;
    }
    y->mean = seen ? sum / (double)seen : y->hi;
    y->var = seen ? fmax(squares / (double)seen - y->mean * y->mean, 0) : 0;
    y->peak = y->mask < 0 ? peaks / (double)(n / row) : 0;
    return *y;
}

static RangeFact of_const(RangeWalk *w, const Node *n)
{
    double c = n->a.constant.splat;
    if (n->a.constant.table)
        return range_of_table(w, n->a.constant.table);
    return (RangeFact){.known = true, .lo = c, .hi = c, .mean = c, .mask = c <= RANGE_MASK ? c : 0};
}

static RangeFact of_power(const RangeFact *x, double c)
{
    RangeFact y = {.known = true};
    bounds_power(&y, x, c);
    if (c == 2)
        moments_square(&y, x);
    else
        moments(&y, x, fn_pow, c);
    return y;
}

RangeFact range_of_node(RangeWalk *w, const Graph *g, ValueId v, const RangeFact *fact)
{
    const Node      *n = &g->node[v];
    const ValueId   *in = node_in(g, n);
    static const RangeFact none;
    const RangeFact *x = n->in_count > 0 ? &fact[in[0]] : &none, *z = n->in_count > 1 ? &fact[in[1]] : &none;
    Shape            s = n->in_count ? g->node[in[0]].type.shape : n->type.shape;
    RangeFact        y = *x;
    y.each = NULL;
    switch (n->op) {
    case OP_const: return of_const(w, n);
    case OP_iota: {
        double last = (double)shape_numel(n->type.shape) - 1;
        return (RangeFact){.known = true, .lo = 0, .hi = fmax(last, 0), .mean = last / 2, .var = last * last / 12};
    }
    case OP_add: return of_add(x, z, 1, range_same(w->same, g, in[0], in[1]));
    case OP_sub:
        y = of_add(x, z, -1, range_same(w->same, g, in[0], in[1]));
        if (range_is_maximum(w->same, g, in[0], in[1]))
            y.hi = fmin(y.hi, 0);
        return y;
    case OP_mul:
        return of_mul(x, z, range_same(w->same, g, in[0], in[1]),
                      fmax(range_normalised(w->same, g, in[0], in[1]), range_normalised(w->same, g, in[1], in[0])));
    case OP_div: return of_div(x, z);
    case OP_max:
        y = of_max(x, z, 1);
        if (range_is_negative(w->same, g, in[0], in[1])) /* |x| */
            y.lo = fmax(y.lo, 0);
        return y;
    case OP_min: return of_max(x, z, -1);
    case OP_neg: {
        RangeFact zero = {.known = true};
        return of_add(&zero, x, -1, false);
    }
    case OP_exp: return monotone(x, fn_exp);
    case OP_log: {
        RangeFact positive = *x;
        positive.lo = fmax(x->lo, 0);
        y = monotone(&positive, fn_log);
        y.lo = x->lo > 0 ? log(x->lo) : -HUGE_VAL;
        y.hi = x->hi > 0 ? log(x->hi) : HUGE_VAL;
        return y;
    }
    case OP_sqrt:
    case OP_rsqrt: {
        RangeFact positive = *x;
        positive.lo = fmax(x->lo, 0);
        return of_power(&positive, n->op == OP_sqrt ? 0.5 : -0.5);
    }
    case OP_tanh: return monotone(x, fn_tanh);
    case OP_sigmoid: return monotone(x, fn_sigmoid);
    case OP_powc: return of_power(x, n->a.powc.c);
    case OP_cmp:
        y = of_cmp(x, z, n->a.cmp.kind);
        if (n->a.cmp.kind == CMP_EQ && range_is_maximum(w->same, g, in[0], in[1])) /* one of each group attains it */
            y.mean = g->node[in[1]].op == OP_broadcast ? 1 / (double)ratio(g, in[1], node_arg(g, in[1], 0)) : 1;
        return y;
    case OP_select:
        return of_select(x, z, &fact[in[2]], n->type.shape.rank ? n->type.shape.dim[n->type.shape.rank - 1] : 1);
    case OP_sum: return of_sum(x, (double)ratio(g, in[0], v));
    case OP_amax: return of_amax(x, (double)ratio(g, in[0], v));
    case OP_softmax: return of_softmax(x, s.dim[n->a.axis.axis]);
    case OP_matmul: return of_matmul(x, z, (int32_t)matmul_contracted(g, n));
    case OP_reshape:
    case OP_broadcast:
    case OP_slice:
    case OP_stop_grad: return y;
    case OP_transpose: /* a row is no longer a row */
        y.peak = 0;
        y.dead_row = false;
        return y;
    case OP_cast:
        if (n->type.dtype == DT_BOOL) {
            y.lo = 0;
            y.hi = 1;
        } else if (n->type.dtype == DT_I32) {
            y.lo = trunc(x->lo);
            y.hi = trunc(x->hi);
            moments(&y, x, fn_trunc, 0);
        }
        return y;
    case OP_pad: return of_pad(x, (double)shape_numel(s) / (double)shape_numel(n->type.shape));
    case OP_concat: return of_parts(g, n, fact);
    case OP_gather: return y;
    case OP_scatter_add: {
        Type rows = g->node[in[0]].type;
        return of_scatter(z, (double)shape_numel(rows.shape), n->type.shape.dim[0]);
    }
    case OP_xent: return of_xent(x, s.dim[n->a.axis.axis]);
    case OP_xent_grad: return of_xent_grad(x, &fact[in[2]], s.dim[n->a.axis.axis]);
    case OP_splice:
        bounds_hull(&y, z);
        moments_mix(&y, z, (double)shape_numel(g->node[in[1]].type.shape) / (double)shape_numel(s));
        return y;
    case OP_input:
    case OP_param:
    case OP_state:
    case OP_repeat:
    case OP_call:
    case OP_proj:
    case OP_grad:
    case OP_state_set:
    case OP_COUNT: break;
    }
    bug("'%s' is not an operation on values", op_info[n->op].name);
}

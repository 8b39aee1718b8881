/* kernels_elem.c: element-wise operations.
 *
 * One line per operation: a formula in x (and y), with a and b for the constants of an activation. Each formula is
 * computed in Real and rounded once, so an fp16 result is within one rounding of the correctly rounded one. Formulas
 * are chosen against cancellation: gelu uses erfc and x * sigmoid(2u), softplus log1p. The engine's own tables are
 * coarser than that (about 1e-2 relative for silu at worst): the quirk table-error has their size. */
#include "host/kernel.h"

#include <tgmath.h>

/* One row: of one operand; of two, which advance by 0 (broadcast) or 1. Not rounded. */
typedef void RowOne(const Call *call, const Real *in, Real *out, int64_t n);
typedef void RowTwo(Real *out, const Real *xs, int64_t sx, const Real *ys, int64_t sy, int64_t n);

static Real sigmoid_of(Real x)
{
    return 1 / (1 + real_exp(-x));
}

/* ---- one operand ---------------------------------------------------------------------------------------------- */

static void unary(Run *run, const Call *call, RowOne *row)
{
    const Real *in = operand(run, call, 0);
    Real       *out = result(run, call);
    int64_t     n = type_elems(&call->result[0]->type);
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = n - at < PIECE ? n - at : PIECE;
        row(call, in + at, out + at, m);
        finish(call, out + at, m);
    }
}

#define UNARY(name, formula)                                                                 \
    static void row_##name(const Call *call, const Real *in, Real *out, int64_t n)           \
    {                                                                                        \
        Real a = (Real)call->plan.scalar.alpha, b = (Real)call->plan.scalar.beta;            \
        (void)a, (void)b;                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                    \
            Real x = in[i];                                                                  \
            out[i] = formula;                                                                \
        }                                                                                    \
    }                                                                                        \
    void KERNEL(name)(Run * run, const Call *call)                                           \
    {                                                                                        \
        unary(run, call, row_##name);                                                        \
    }

UNARY(abs, fabs(x))
UNARY(sign, (Real)(x > 0) - (Real)(x < 0))
UNARY(square, x *x)
UNARY(floor, floor(x))
UNARY(ceil, ceil(x))
UNARY(round, round(x)) /* halves away from zero, as on the engine */
UNARY(exp, real_exp(x))
UNARY(exp2, exp2(x))
UNARY(log, log(x + a))
UNARY(sqrt, sqrt(x))
UNARY(rsqrt, 1 / sqrt(x + a))
UNARY(inverse, 1 / (x + a))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(atan, atan(x))
UNARY(erf, erf(x))
UNARY(sigmoid, sigmoid_of(x))
UNARY(tanh, tanh(x))
UNARY(silu, x *sigmoid_of(x))
UNARY(relu, x > 0 ? x : 0)
UNARY(relu6, x > 0 ? (x < 6 ? x : 6) : 0)
UNARY(leaky_relu, x > 0 ? x : a * x)
UNARY(elu, x > 0 ? x : a * expm1(x))
UNARY(clamped_relu, x >= 0 ? (x < b ? x : b) : (a * x < b ? a * x : b))
UNARY(softplus, (x > 0 ? x : 0) + log1p(exp(-fabs(x))))
UNARY(softsign, x / (1 + fabs(x)))
UNARY(sigmoid_hard, a *x + b < 0 ? 0 : a *x + b > 1 ? 1 : a *x + b)
UNARY(scaled_tanh, a *tanh(b *x))
UNARY(threshold, x > a ? x : a)
UNARY(clip, x < a ? a : x > b ? b : x)
UNARY(logical_not, (Real)(x == 0))

static Real gelu_of(Real x, int64_t mode)
{
    if (mode == 0)
        return (Real)0.5 * x * erfc(-x * (Real)0.70710678118654752440);
    if (mode == 1)
        return x * sigmoid_of((Real)1.59576912160573071176 * (x + (Real)0.044715 * x * x * x));
    return x * sigmoid_of((Real)1.702 * x);
}
UNARY(gelu, gelu_of(x, call->plan.scalar.i[0]))

/* Towards zero, into the range of an integer type; NaN becomes 0. */
static Real to_integer(Real x, const DTypeInfo *info)
{
    x = trunc(x);
    return x != x ? 0 : x < (Real)info->min ? (Real)info->min : x > (Real)info->max ? (Real)info->max : x;
}

void KERNEL(cast)(Run *run, const Call *call)
{
    const Real      *in = operand(run, call, 0);
    Real            *out = result(run, call);
    int64_t          n = type_elems(&call->result[0]->type);
    const DTypeInfo *to = &dtype_info[call->result[0]->type.dtype];
    for (int64_t i = 0; i < n; i++)
        out[i] = to->class == CLASS_BOOL ? (Real)(in[i] != 0) : to->class == CLASS_INT ? to_integer(in[i], to) : in[i];
    finish(call, out, n);
}

/* ---- two operands --------------------------------------------------------------------------------------------- */

/* A walk over the rows of a broadcast: offsets of the operands, and the index of the row. */
typedef struct {
    int64_t offset[BROADCAST_INPUTS], at[MIL_RANK_MAX];
} Walk;

static void next_row(const BroadcastPlan *p, Walk *w)
{
    for (uint32_t d = p->rank - 1; d-- > 0;) {
        for (int k = 0; k < BROADCAST_INPUTS; k++)
            w->offset[k] += p->stride[k][d];
        if (++w->at[d] < p->dim[d])
            return;
        for (int k = 0; k < BROADCAST_INPUTS; k++)
            w->offset[k] -= p->stride[k][d] * p->dim[d];
        w->at[d] = 0;
    }
}

static void binary(Run *run, const Call *call, RowTwo *row)
{
    const BroadcastPlan *p = &call->plan.broadcast;
    const Real          *x = operand(run, call, 0), *y = operand(run, call, 1);
    Real                *out = result(run, call);
    int64_t              n = p->dim[p->rank - 1], sx = p->stride[0][p->rank - 1], sy = p->stride[1][p->rank - 1];
    Walk                 w = {0};
    for (int64_t rows = type_elems(&call->result[0]->type) / n; rows > 0; rows--, next_row(p, &w))
        for (int64_t k = 0; k < n; k += PIECE) {
            int64_t m = n - k < PIECE ? n - k : PIECE;
            row(out, x + w.offset[0] + k * sx, sx, y + w.offset[1] + k * sy, sy, m);
            finish(call, out, m);
            out += m;
        }
}

#define BINARY(name, formula)                                                                                   \
    static void row_##name(Real *out, const Real *xs, int64_t sx, const Real *ys, int64_t sy, int64_t n)        \
    {                                                                                                           \
        if (sx && sy)                                                                                           \
            for (int64_t i = 0; i < n; i++) {                                                                   \
                Real x = xs[i], y = ys[i];                                                                      \
                out[i] = formula;                                                                               \
            }                                                                                                   \
        else if (sx)                                                                                            \
            for (int64_t i = 0; i < n; i++) {                                                                   \
                Real x = xs[i], y = *ys;                                                                        \
                out[i] = formula;                                                                               \
            }                                                                                                   \
        else                                                                                                    \
            for (int64_t i = 0; i < n; i++) {                                                                   \
                Real x = *xs, y = ys[i * sy];                                                                   \
                out[i] = formula;                                                                               \
            }                                                                                                   \
    }                                                                                                           \
    void KERNEL(name)(Run * run, const Call *call)                                                              \
    {                                                                                                           \
        binary(run, call, row_##name);                                                                          \
    }

static Real power(Real x, Real y)
{
    if (y == (Real)-0.5) /* the usual reciprocal square root */
        return 1 / sqrt(x);
    return y == 2 ? x * x : pow(x, y);
}

/* The remainder with the sign of the divisor. */
static Real floor_mod(Real x, Real y)
{
    Real r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

BINARY(add, x + y)
BINARY(sub, x - y)
BINARY(mul, x *y)
BINARY(real_div, x / y)
BINARY(maximum, x > y ? x : y)
BINARY(minimum, x < y ? x : y)
BINARY(pow, power(x, y))
BINARY(floor_div, (Real)floor((double)x / (double)y))
BINARY(mod, floor_mod(x, y))
BINARY(equal, (Real)(x == y))
BINARY(not_equal, (Real)(x != y))
BINARY(less, (Real)(x < y))
BINARY(less_equal, (Real)(x <= y))
BINARY(greater, (Real)(x > y))
BINARY(greater_equal, (Real)(x >= y))
BINARY(logical_and, (Real)(x != 0 && y != 0))
BINARY(logical_or, (Real)(x != 0 || y != 0))
BINARY(logical_xor, (Real)((x != 0) != (y != 0)))

void KERNEL(select)(Run *run, const Call *call)
{
    const BroadcastPlan *p = &call->plan.broadcast;
    const Real          *cond = operand(run, call, 0), *a = operand(run, call, 1), *b = operand(run, call, 2);
    Real                *out = result(run, call);
    uint32_t             last = p->rank - 1;
    int64_t              n = p->dim[last], rows = type_elems(&call->result[0]->type) / n;
    Walk                 w = {0};
    for (int64_t i = 0; i < rows; i++, out += n, next_row(p, &w)) {
        const int64_t *o = w.offset;
        for (int64_t k = 0; k < n; k++)
            out[k] = cond[o[0] + k * p->stride[0][last]] != 0 ? a[o[1] + k * p->stride[1][last]]
                                                              : b[o[2] + k * p->stride[2][last]];
    }
}

/* ---- quantised data ------------------------------------------------------------------------------------------- */

/* Index into scale for element i; see quantization() in rules_elem.c. */
static int64_t scale_at(const ScalarPlan *p, int64_t i)
{
    return i / p->i[0] % p->i[1];
}

void KERNEL(quantize)(Run *run, const Call *call)
{
    const Real       *x = operand(run, call, 0), *scale = operand(run, call, 1), *zero = operand(run, call, 2);
    Real             *out = result(run, call);
    const ScalarPlan *p = &call->plan.scalar;
    const DTypeInfo  *to = &dtype_info[call->result[0]->type.dtype];
    int64_t           n = type_elems(&call->result[0]->type);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = scale_at(p, i);
        out[i] = to_integer(rint(x[i] / scale[k]) + (zero ? zero[p->i[2] ? k : 0] : 0), to);
    }
}

void KERNEL(dequantize)(Run *run, const Call *call)
{
    const Real       *x = operand(run, call, 0), *scale = operand(run, call, 1), *zero = operand(run, call, 2);
    Real             *out = result(run, call);
    const ScalarPlan *p = &call->plan.scalar;
    int64_t           n = type_elems(&call->result[0]->type);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = scale_at(p, i);
        out[i] = scale[k] * (x[i] - (zero ? zero[p->i[2] ? k : 0] : 0));
    }
    finish(call, out, n);
}

void KERNEL(blockwise)(Run *run, const Call *call)
{
    const Real    *x = operand(run, call, 0), *scale = operand(run, call, 1), *shift = operand(run, call, 2);
    Real          *out = result(run, call);
    const MilType *t = &call->result[0]->type, *s = &call->arg[1]->type;
    int64_t        n = type_elems(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0, step = 1;
        for (uint32_t d = t->rank; d-- > 0;) {
            at += rest % t->dim[d] / (t->dim[d] / s->dim[d]) * step;
            rest /= t->dim[d];
            step *= s->dim[d];
        }
        out[i] = scale[at] * (x[i] - (shift ? shift[at] : 0));
    }
    finish(call, out, n);
}

/* ---- rows for fused chains ------------------------------------------------------------------------------------ */

#ifndef HOST_EXACT
#include "host/half.h"

const HalfRow *KERNEL(row_of)(KernelFn *plain)
{
#define ONE(name) {kernel_##name##_ane, row_##name, NULL}
#define TWO(name) {kernel_##name##_ane, NULL, row_##name}
    static const HalfRow rows[] = {
        ONE(abs), ONE(sign), ONE(square), ONE(floor), ONE(ceil), ONE(round), ONE(exp), ONE(exp2), ONE(log), ONE(sqrt),
        ONE(rsqrt), ONE(inverse), ONE(sin), ONE(cos), ONE(atan), ONE(erf), ONE(sigmoid), ONE(tanh), ONE(silu),
        ONE(relu), ONE(relu6), ONE(leaky_relu), ONE(elu), ONE(clamped_relu), ONE(softplus), ONE(softsign),
        ONE(sigmoid_hard), ONE(scaled_tanh), ONE(threshold), ONE(clip), ONE(gelu),
        TWO(add), TWO(sub), TWO(mul), TWO(real_div), TWO(maximum), TWO(minimum), TWO(pow), TWO(floor_div), TWO(mod),
    };
#undef ONE
#undef TWO
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].plain == plain)
            return &rows[i];
    return NULL;
}
#endif

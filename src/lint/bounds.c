/* bounds.c: how large values can become, as far as the text alone says, and the rules that need it: saturated products,
 * sums of squares, masks.
 *
 * A bound is on the magnitude of a value's elements. Inputs and weights that were not read have none; clip, sigmoid,
 * softmax and constants do, and arithmetic carries bounds on. A rule is violated only where a bound is known. */
#include "lint/internal.h"

#include "base/f16.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { F16_INFINITY = 0x7c00 };
enum { SQUARES_WORTH = 64 }; /* sums of fewer squares than this need large values to overflow */
static const double f16_max = 65504;

/* Element i of a file of fp16: masks have millions of them. */
static uint16_t raw_half(const Value *v, int64_t i)
{
    return (uint16_t)(v->konst->raw[2 * i] | v->konst->raw[2 * i + 1] << 8);
}

/* Also checks that the numbers are finite. */
static double constant_bound(Lint *l, const Value *v)
{
    double most = 0;
    if (!is_read(v) || !dtype_is_float(v->type.dtype))
        return INFINITY;
    if (v->konst->raw && v->type.dtype == DT_F16) {
        uint16_t most_bits = 0;
        for (int64_t i = 0; i < v->konst->count; i++) {
            uint16_t h = raw_half(v, i) & 0x7fff;
            most_bits = h > most_bits ? h : most_bits;
        }
        if (most_bits < F16_INFINITY)
            return (double)f16_to_f32(most_bits);
    }
    for (int64_t i = 0; i < v->konst->count; i++) {
        double x = fabs(const_number(v, i));
        if (!isfinite(x)) {
            if (v->konst->raw)
                violation(l, 60, v->at, "element %" PRId64 " of '%s' is infinity or NaN", i, v->name);
            return INFINITY;
        }
        most = x > most ? x : most;
    }
    return most;
}

static double bound_of(const Lint *l, const Value *v)
{
    return v ? l->bound[v->id] : INFINITY;
}

/* ---- products ------------------------------------------------------------------------------------------------- */

static double product_bound(Lint *l, const Call *call, int64_t terms, double x, double w)
{
    double y = (double)terms * x * w;
    if (isfinite(y) && y > (double)l->t->matmul_out_max)
        violation(l, 58, call->at,
                  "%" PRId64 " products of up to %g and %g: up to %g, and what leaves a product saturates at %" PRId64,
                  terms, x, w, y, l->t->matmul_out_max);
    return y;
}

static int64_t conv_terms(const Call *call)
{
    const MilType *w = &arg(call, "weight")->type;
    return product(w->dim + 1, w->rank - 1);
}

/* ---- sums of squares ------------------------------------------------------------------------------------------ */

/* The value that `v` is the square of, or NULL. */
static const Value *squared(const Lint *l, const Value *v)
{
    const Call *m = maker_of(l, v);
    if (!m || !m->ok || !m->op)
        return NULL;
    if (op_is(m, "square") || (op_is(m, "mul") && m->arg[0] == m->arg[1]))
        return m->arg[0];
    return NULL;
}

static bool scaled_down(const Lint *l, const Value *x)
{
    const Call *m = maker_of(l, x);
    double      c;
    if (!op_is(m, "mul") || !m->ok)
        return false;
    return (scalar_of(m->arg[0], &c) && fabs(c) < 1) || (scalar_of(m->arg[1], &c) && fabs(c) < 1);
}

static void check_squares(Lint *l, const Call *call, const Value *x, int64_t n)
{
    if (!x || n < SQUARES_WORTH || scaled_down(l, x) || bound_of(l, x) * bound_of(l, x) * (double)n <= f16_max)
        return;
    violation(l, 62, call->at, "a sum of %" PRId64 " squares of '%s' overflows when its root mean square passes %.1f",
              n, x->name, sqrt(f16_max / (double)n));
}

/* ---- masks ---------------------------------------------------------------------------------------------------- */

static bool masks(double x)
{
    return x <= -1e4;
}

/* Is every element 0 or the same number below it, *low (0 if there is none)? */
static bool two_values(const Value *v, double *low)
{
    int64_t n = v->konst->count;
    *low = 0;
    if (v->konst->raw && v->type.dtype == DT_F16) {
        uint16_t bits = 0;
        for (int64_t i = 0; i < n; i++) {
            uint16_t h = raw_half(v, i);
            bits = bits ? bits : h >> 15 && h != 0x8000 ? h : 0;
            if ((h & 0x7fff) && h != bits)
                return false;
        }
        *low = bits ? (double)f16_to_f32(bits) : 0;
        return true;
    }
    for (int64_t i = 0; i < n; i++) {
        double x = const_number(v, i);
        *low = x < 0 && *low == 0 ? x : *low;
        if (x != 0 && x != *low)
            return false;
    }
    return true;
}

/* A constant added to the operand of softmax. A mask has two values, 0 and one below; anything else is a bias, of which
 * only whole rows are checked. */
static void check_mask(Lint *l, const Value *v, Span at)
{
    int64_t row = last_axis(&v->type), n = v->konst->count;
    double  low;
    if (two_values(v, &low) && low < 0 && (!masks(low) || low < -f16_max))
        violation(l, 63, at, "'%s' masks with %g", v->name, low);
    for (int64_t r = 0; row > 1 && r < n / row; r++) {
        int64_t i = 0;
        while (i < row && masks(const_number(v, r * row + i)))
            i++;
        if (i < row)
            continue;
        violation(l, 63, at, "row %" PRId64 " of '%s' is masked throughout", r, v->name);
        return;
    }
}

static void check_softmax_operand(Lint *l, const Call *call)
{
    const Call *m = maker_of(l, call->arg[0]);
    double      c;
    if (!m || !m->ok || !m->op)
        return;
    if (op_is(m, "add"))
        for (int k = 0; k < 2; k++)
            if (is_read(m->arg[k]))
                check_mask(l, m->arg[k], m->arg_at[k]);
    if (op_is(m, "select"))
        for (int k = 1; k < 3; k++)
            if (scalar_of(m->arg[k], &c) && c < 0 && (!masks(c) || c < -f16_max))
                violation(l, 63, m->arg_at[k], "a mask of %g", c);
}

/* ---- every operation ------------------------------------------------------------------------------------------ */

static bool among(const Call *call, const char *names)
{
    size_t n = strlen(call->name);
    for (const char *s = names; (s = strstr(s, call->name)); s += n)
        if ((s == names || s[-1] == ' ') && (s[n] == ' ' || s[n] == 0))
            return true;
    return false;
}

static double call_bound(Lint *l, const Call *call)
{
    double x = bound_of(l, call->arg[0]), y = bound_of(l, call->arg[1]);
    if (among(call, "sigmoid tanh erf softsign softmax sin cos sigmoid_hard sign"))
        return 1;
    if (among(call, "reshape transpose slice_by_size slice_by_index identity tile reverse expand_dims squeeze cast abs "
                    "relu silu "
                    "gelu reduce_max reduce_min reduce_mean split max_pool avg_pool"))
        return x;
    if (among(call, "add sub"))
        return x + y;
    if (op_is(call, "mul"))
        return x == 0 || y == 0 ? 0 : x * y;
    if (among(call, "maximum minimum"))
        return x > y ? x : y;
    if (op_is(call, "square"))
        return x * x;
    if (op_is(call, "relu6"))
        return x < 6 ? x : 6;
    if (op_is(call, "clip"))
        return fmax(fabs(arg_float(call, "alpha", 0)), fabs(arg_float(call, "beta", 0)));
    if (op_is(call, "select"))
        return fmax(y, bound_of(l, call->arg[2]));
    if (op_is(call, "reduce_sum"))
        return (double)call->plan.axis.n * x;
    if (op_is(call, "matmul"))
        return product_bound(l, call, call->plan.matmul.k, x, y);
    if (op_is(call, "conv"))
        return product_bound(l, call, conv_terms(call), x, y) + (call->arg[2] ? bound_of(l, call->arg[2]) : 0);
    if (among(call, "concat stack")) {
        double most = 0;
        for (uint32_t i = 0; i < call->tuples; i++)
            most = fmax(most, bound_of(l, call->tuple[i]));
        return most;
    }
    return INFINITY;
}

/* Inputs and constants get their bounds when they are met first. */
static void bound_operands(Lint *l)
{
    for (uint32_t i = 0; i < l->fn->values; i++) {
        const Value *v = l->fn->value[i];
        if (!l->maker[v->id])
            l->bound[v->id] = v->konst ? constant_bound(l, v) : INFINITY;
    }
}

static void check_call(Lint *l, const Call *call)
{
    if (op_is(call, "softmax"))
        check_softmax_operand(l, call);
    else if (op_is(call, "reduce_sum") || op_is(call, "reduce_mean"))
        check_squares(l, call, squared(l, call->arg[0]), call->plan.axis.n);
    else if (op_is(call, "reduce_sum_square"))
        check_squares(l, call, call->arg[0], call->plan.axis.n);
    else if (op_is(call, "conv") && arg(call, "weight")->type.dim[0] == 1)
        check_squares(l, call, squared(l, call->arg[0]), conv_terms(call));
    else if (op_is(call, "matmul") && (call->plan.matmul.m == 1 || call->plan.matmul.n == 1)) {
        const Value *x = is_weight(l, call->arg[1]) ? call->arg[0] : call->arg[1];
        check_squares(l, call, squared(l, x), call->plan.matmul.k);
    }
}

void lint_call_bound(Lint *l, const Call *call)
{
    if (l->fn->call[0] == call)
        bound_operands(l);
    double b = INFINITY;
    if (call->ok && call->op) {
        b = call_bound(l, call);
        check_call(l, call);
    }
    for (uint32_t i = 0; i < call->results; i++)
        l->bound[call->result[i]->id] = isnan(b) ? INFINITY : b;
}

/* kernels_axis.c: operations along axes: reductions, softmax, normalisations.
 *
 * The plan views a tensor as [outer, n, inner] and works along n. Scattered axes are first gathered into scratch
 * memory.
 *
 * Sums of the reduce_ family come in two widths, because nobody knows which one the engine has:
 *   lenient  one wide accumulator;
 *   strict   LANES accumulators in fp16: element i goes to lane i mod 8, every partial sum is rounded to fp16, and the
 *            lanes are added in pairs (0+1, 2+3, ... then those in pairs), rounding each time.
 * A plan must be right under both. Fused operations (softmax and the norms that are no reductions) are wide inside. */
#include "host/kernel.h"

#include <string.h>
#include <tgmath.h>

enum { LANES = 8, BLOCK = 64 }; /* BLOCK columns of `inner` are reduced side by side */

typedef enum { TERM_X, TERM_ABS, TERM_SQUARE, TERM_EXP } Term;
typedef enum { FINISH_NONE, FINISH_MEAN, FINISH_SQRT, FINISH_LOG } Finish;
typedef Real Fold(Real acc, Real x);

void KERNEL(softmax_row)(const Real *x, int64_t n, Real *y);

static Real round16(Real x)
{
#ifdef HOST_EXACT
    return x;
#else
    return f16_round(x);
#endif
}

static Real term(Term t, Real x, Real shift)
{
    switch (t) {
    case TERM_ABS:
        return fabs(x);
    case TERM_SQUARE:
        return x * x;
    case TERM_EXP:
        return real_exp(x - shift);
    default:
        return x;
    }
}

/* Contiguous sum in LANES independent accumulators, wide; used by everything that is not strict. */
static Real sum_row(Term t, const Real *x, int64_t n, Real shift)
{
    Real    acc[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            acc[l] += term(t, x[i + l], shift);
    for (int l = 0; i < n; i++, l++)
        acc[l] += term(t, x[i], shift);
    return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
}

static Real sum_row_strict(Term t, const Real *x, int64_t n, Real shift)
{
    Real    acc[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            acc[l] = round16(acc[l] + term(t, x[i + l], shift));
    for (int l = 0; i < n; i++, l++)
        acc[l] = round16(acc[l] + term(t, x[i], shift));
    for (int step = 1; step < LANES; step *= 2)
        for (int l = 0; l < LANES; l += 2 * step)
            acc[l] = round16(acc[l] + acc[l + step]);
    return acc[0];
}

/* Sums of `width` neighbouring columns of [n, inner] at `x`. */
static void sum_columns(bool strict, Term t, const Real *x, int64_t n, int64_t inner, int64_t width, const Real *shift,
                        Real *out)
{
    Real acc[LANES][BLOCK] = {{0}};
    for (int64_t i = 0; i < n; i++, x += inner) {
        Real *a = acc[i % LANES];
        if (strict)
            for (int64_t k = 0; k < width; k++)
                a[k] = round16(a[k] + term(t, x[k], shift[k]));
        else
            for (int64_t k = 0; k < width; k++)
                a[k] += term(t, x[k], shift[k]);
    }
    for (int step = 1; step < LANES; step *= 2)
        for (int l = 0; l < LANES; l += 2 * step)
            for (int64_t k = 0; k < width; k++)
                acc[l][k] = strict ? round16(acc[l][k] + acc[l + step][k]) : acc[l][k] + acc[l + step][k];
    memcpy(out, acc[0], (size_t)width * sizeof *out);
}

static Real larger(Real a, Real x)
{
    return x > a ? x : a;
}

static Real smaller(Real a, Real x)
{
    return x < a ? x : a;
}

static Real times(Real a, Real x)
{
    return a * x;
}

/* Fold `width` columns one element after the other; the first element starts. */
static void fold_columns(Fold *f, const Real *x, int64_t n, int64_t inner, int64_t width, Real *out)
{
    memcpy(out, x, (size_t)width * sizeof *out);
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = 0; k < width; k++)
            out[k] = f(out[k], x[i * inner + k]);
}

static void max_columns(const Real *x, int64_t n, int64_t inner, int64_t width, Real *out)
{
    memcpy(out, x, (size_t)width * sizeof *out);
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = 0; k < width; k++)
            out[k] = larger(out[k], x[i * inner + k]);
}

/* The input in the plan's layout: itself, or gathered into scratch memory. */
static const Real *gathered(Run *run, const Call *call)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *in = operand(run, call, 0);
    if (!p->permute)
        return in;
    copy_view(&p->view, in, run->scratch);
    return run->scratch;
}

static int64_t block_width(const AxisPlan *p, int64_t k)
{
    return p->inner - k < BLOCK ? p->inner - k : BLOCK;
}

static void reduce_sum(Run *run, const Call *call, Term t, Finish last)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = gathered(run, call);
    Real           *out = result(run, call);
    bool            strict = narrow(call) && run->reduce == REDUCE_STRICT;
    for (int64_t o = 0; o < p->outer; o++, x += p->n * p->inner)
        for (int64_t k = 0; k < p->inner; k += BLOCK) {
            int64_t width = block_width(p, k);
            Real    shift[BLOCK] = {0}, sum[BLOCK];
            if (t == TERM_EXP) {
                max_columns(x + k, p->n, p->inner, width, shift);
                for (int64_t i = 0; i < width; i++)
                    shift[i] = isinf(shift[i]) ? 0 : shift[i];
            }
            if (p->inner == 1)
                sum[0] = (strict ? sum_row_strict : sum_row)(t, x, p->n, shift[0]);
            else
                sum_columns(strict, t, x + k, p->n, p->inner, width, shift, sum);
            for (int64_t i = 0; i < width; i++)
                *out++ = last == FINISH_MEAN ? sum[i] / (Real)p->n
                         : last == FINISH_SQRT ? sqrt(sum[i])
                         : last == FINISH_LOG  ? log(sum[i]) + shift[i]
                                               : sum[i];
        }
    finish(call, result(run, call), p->outer * p->inner);
}

static void reduce_fold(Run *run, const Call *call, Fold *f)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = gathered(run, call);
    Real           *out = result(run, call);
    for (int64_t o = 0; o < p->outer; o++, x += p->n * p->inner)
        for (int64_t k = 0; k < p->inner; k += BLOCK)
            fold_columns(f, x + k, p->n, p->inner, block_width(p, k), out + o * p->inner + k);
    finish(call, out, p->outer * p->inner);
}

#define SUM(name, t, last)                         \
    void KERNEL(name)(Run * run, const Call *call) \
    {                                              \
        reduce_sum(run, call, t, last);            \
    }
SUM(reduce_sum, TERM_X, FINISH_NONE)
SUM(reduce_mean, TERM_X, FINISH_MEAN)
SUM(reduce_l1_norm, TERM_ABS, FINISH_NONE)
SUM(reduce_l2_norm, TERM_SQUARE, FINISH_SQRT)
SUM(reduce_sum_square, TERM_SQUARE, FINISH_NONE)
SUM(reduce_log_sum, TERM_X, FINISH_LOG)
SUM(reduce_log_sum_exp, TERM_EXP, FINISH_LOG)

#define FOLD(name, f)                              \
    void KERNEL(name)(Run * run, const Call *call) \
    {                                              \
        reduce_fold(run, call, f);                 \
    }
FOLD(reduce_max, larger)
FOLD(reduce_min, smaller)
FOLD(reduce_prod, times)

/* The first index of the largest (sign 1) or smallest (-1) element. */
static void arg_reduce(Run *run, const Call *call, Real sign)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = operand(run, call, 0);
    Real           *out = result(run, call);
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t k = 0; k < p->inner; k++) {
            int64_t best = 0;
            for (int64_t i = 1; i < p->n; i++)
                if (sign * x[(o * p->n + i) * p->inner + k] > sign * x[(o * p->n + best) * p->inner + k])
                    best = i;
            *out++ = (Real)best;
        }
}

void KERNEL(reduce_argmax)(Run *run, const Call *call)
{
    arg_reduce(run, call, 1);
}

void KERNEL(reduce_argmin)(Run *run, const Call *call)
{
    arg_reduce(run, call, -1);
}

/* flag[0]: exclusive, flag[1]: from the end. Wide, as the engine has no such operation to imitate. */
void KERNEL(cumsum)(Run *run, const Call *call)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = operand(run, call, 0);
    Real           *out = result(run, call);
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t k = 0; k < p->inner; k++) {
            Real sum = 0;
            for (int64_t i = 0; i < p->n; i++) {
                int64_t at = (o * p->n + (p->flag[1] ? p->n - 1 - i : i)) * p->inner + k;
                Real    next = sum + x[at];
                out[at] = p->flag[0] ? sum : next;
                sum = next;
            }
        }
    finish(call, out, p->outer * p->n * p->inner);
}

/* The largest element, in lanes, as one chain of comparisons would wait for itself. A NaN counts if it comes first. */
static Real max_row(const Real *x, int64_t n)
{
    enum { WIDE = 2 * LANES };
    Real    lane[WIDE];
    int64_t i = 0;
    for (int l = 0; l < WIDE; l++)
        lane[l] = x[0];
    for (; i + WIDE <= n; i += WIDE)
        for (int l = 0; l < WIDE; l++)
            lane[l] = larger(lane[l], x[i + l]);
    for (; i < n; i++)
        lane[0] = larger(lane[0], x[i]);
    for (int l = 1; l < WIDE; l++)
        lane[0] = larger(lane[0], lane[l]);
    return lane[0];
}

/* Neighbouring elements: loops the compiler can vectorise. */
void KERNEL(softmax_row)(const Real *x, int64_t n, Real *y)
{
    Real max = max_row(x, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = real_exp(x[i] - max);
    Real sum = sum_row(TERM_X, y, n, 0);
    for (int64_t i = 0; i < n; i++)
        y[i] = y[i] / sum;
}

/* `width` neighbouring columns of [n, inner], side by side. */
static void softmax_columns(const Real *x, int64_t n, int64_t inner, int64_t width, Real *y)
{
    Real max[BLOCK], sum[BLOCK], zero[BLOCK] = {0};
    max_columns(x, n, inner, width, max);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < width; k++)
            y[i * inner + k] = real_exp(x[i * inner + k] - max[k]);
    sum_columns(false, TERM_X, y, n, inner, width, zero, sum);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < width; k++)
            y[i * inner + k] = y[i * inner + k] / sum[k];
}

void KERNEL(softmax)(Run *run, const Call *call)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = operand(run, call, 0);
    Real           *y = result(run, call);
    if (p->inner == 1) {
        for (int64_t o = 0; o < p->outer; o++, x += p->n, y += p->n) {
            KERNEL(softmax_row)(x, p->n, y);
            finish(call, y, p->n);
        }
        return;
    }
    for (int64_t o = 0; o < p->outer; o++, x += p->n * p->inner, y += p->n * p->inner) {
        for (int64_t k = 0; k < p->inner; k += BLOCK)
            softmax_columns(x + k, p->n, p->inner, block_width(p, k), y + k);
        finish(call, y, p->n * p->inner);
    }
}

/* ---- normalisations ------------------------------------------------------------------------------------------- */

/* Mean and 1 / sqrt(variance + epsilon) of `n` elements `step` apart, in double: the fused units are wide inside. */
static void statistics(const Real *x, int64_t n, int64_t step, double epsilon, double *mean, double *scale)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i * step];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i * step] - *mean;
        square += d * d;
    }
    *scale = 1 / sqrt(square / (double)n + epsilon);
}

void KERNEL(layer_norm)(Run *run, const Call *call)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = gathered(run, call), *gamma = operand(run, call, 1), *beta = operand(run, call, 2);
    Real           *y = p->permute ? run->scratch : result(run, call);
    double          epsilon = const_number(call->arg[4], 0), mean, scale;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t k = 0; k < p->inner; k++) {
            int64_t at = o * p->n * p->inner + k;
            statistics(x + at, p->n, p->inner, epsilon, &mean, &scale);
            for (int64_t i = 0; i < p->n; i++, at += p->inner)
                y[at] = (Real)(((double)x[at] - mean) * scale * (gamma ? (double)gamma[i] : 1) +
                               (beta ? (double)beta[i] : 0));
        }
    if (p->permute) { /* scatter back: the inverse of the view */
        Real   *out = result(run, call);
        int64_t n = p->outer * p->n;
        for (int64_t i = 0; i < n; i++) {
            int64_t rest = i, to = 0;
            for (uint32_t d = p->view.rank; d-- > 0;) {
                to += rest % p->view.dim[d] * p->view.stride[d];
                rest /= p->view.dim[d];
            }
            out[to] = y[i];
        }
    }
    finish(call, result(run, call), p->outer * p->n * p->inner);
}

/* outer = batch, n = channels, inner = spatial. */
static void channel_norm(Run *run, const Call *call, const Real *mean_of, const Real *variance, double epsilon)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = operand(run, call, 0), *gamma = operand(run, call, 1), *beta = operand(run, call, 2);
    Real           *y = result(run, call);
    for (int64_t i = 0; i < p->outer * p->n; i++, x += p->inner, y += p->inner) {
        int64_t c = i % p->n;
        double  mean, scale;
        if (mean_of) {
            mean = (double)mean_of[c];
            scale = 1 / sqrt((double)variance[c] + epsilon);
        } else
            statistics(x, p->inner, 1, epsilon, &mean, &scale);
        for (int64_t k = 0; k < p->inner; k++)
            y[k] =
                (Real)(((double)x[k] - mean) * scale * (gamma ? (double)gamma[c] : 1) + (beta ? (double)beta[c] : 0));
    }
    finish(call, result(run, call), p->outer * p->n * p->inner);
}

void KERNEL(instance_norm)(Run *run, const Call *call)
{
    channel_norm(run, call, NULL, NULL, const_number(call->arg[3], 0));
}

void KERNEL(batch_norm)(Run *run, const Call *call)
{
    channel_norm(run, call, operand(run, call, 3), operand(run, call, 4), const_number(call->arg[5], 0));
}

void KERNEL(l2_norm)(Run *run, const Call *call)
{
    const AxisPlan *p = &call->plan.axis;
    const Real     *x = operand(run, call, 0);
    Real           *y = result(run, call), epsilon = (Real)const_number(call->arg[1], 0);
    for (int64_t o = 0; o < p->outer; o++, x += p->n, y += p->n) {
        Real norm = sqrt(sum_row(TERM_SQUARE, x, p->n, 0) + epsilon);
        for (int64_t i = 0; i < p->n; i++)
            y[i] = x[i] / norm;
    }
    finish(call, result(run, call), p->outer * p->n);
}

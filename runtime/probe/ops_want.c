/* ops_want.c: what operations of MIL should give, one function or formula each; see ops.h. The programs are the templates
 * of ops.def; their input is [1, 64, 1, 64] where nothing else is said, so element i is channel i / 64, position i % 64. */
#include "probe/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double x_at(const Probe *p, int64_t i)
{
    return held(p, NULL, "i00_x", 1, i);
}

static double w_at(const Probe *p, int64_t i)
{
    return held(p, NULL, "w_0", 1, i);
}

/* ---- element by element ---- */

#define ONE(name, formula)                              \
    void want_##name(const Probe *p, double *y, int64_t n) \
    {                                                   \
        for (int64_t i = 0; i < n; i++) {               \
            double x = x_at(p, i);                      \
            y[i] = (formula);                           \
        }                                               \
    }
#define MOVE(name, formula)                             \
    void want_##name(const Probe *p, double *y, int64_t n) \
    {                                                   \
        (void)p;                                        \
        for (int64_t i = 0; i < n; i++)                 \
            y[i] = (formula);                           \
    }
#define TWO(name, formula)                              \
    void want_##name(const Probe *p, double *y, int64_t n) \
    {                                                   \
        for (int64_t i = 0; i < n; i++) {               \
            double x = x_at(p, i), b = x + w_at(p, i);  \
            y[i] = (formula);                           \
        }                                               \
    }
TWO(add, x + b)
TWO(sub, x - b)
TWO(mul, x *b)
TWO(real_div, b == 0 ? NAN : x / b)
TWO(maximum, fmax(x, b))
TWO(minimum, fmin(x, b))
TWO(pow, pow(x, b))
TWO(floor_div, b == 0 ? NAN : floor(x / b))
TWO(mod, b == 0 ? NAN : x - floor(x / b) * b)
/* against the absolute value; 9 where it does not hold */
ONE(equal, x == fabs(x) ? x : 9)
ONE(not_equal, x != fabs(x) ? x : 9)
ONE(less, x < fabs(x) ? x : 9)
ONE(less_equal, x <= fabs(x) ? x : 9)
ONE(greater, x > fabs(x) ? x : 9)
ONE(greater_equal, x >= fabs(x) ? x : 9)
/* of x < 2 and x > -2 */
ONE(logical_and, x < 2 && x > -2 ? x : 9)
ONE(logical_or, x < 2 || x > -2 ? x : 9)
ONE(logical_xor, (x < 2) != (x > -2) ? x : 9)
ONE(logical_not, !(x < 2) ? x : 9)
ONE(select, x < 0 ? x : 2 * x)
ONE(abs, fabs(x))
ONE(sign, x > 0 ? 1 : x < 0 ? -1 : 0)
ONE(square, x *x)
ONE(floor, floor(x))
ONE(ceil, ceil(x))
ONE(round, round(x))
ONE(exp, exp(x))
ONE(exp2, exp2(x))
ONE(log, log(x))
ONE(sqrt, sqrt(x))
ONE(rsqrt, 1 / sqrt(x))
ONE(inverse, 1 / x)
ONE(sin, sin(x))
ONE(cos, cos(x))
ONE(atan, atan(x))
ONE(erf, erf(x))
ONE(sigmoid, 1 / (1 + exp(-x)))
ONE(tanh, tanh(x))
ONE(silu, x / (1 + exp(-x)))
ONE(gelu, 0.5 * x * (1 + erf(x / sqrt(2))))
ONE(relu, fmax(x, 0))
ONE(relu6, fmin(fmax(x, 0), 6))
ONE(leaky_relu, x < 0 ? x / 4 : x)
ONE(elu, x < 0 ? exp(x) - 1 : x)
ONE(clamped_relu, fmin(x < 0 ? x / 4 : x, 2))
ONE(softplus, log1p(exp(x)))
ONE(softsign, x / (1 + fabs(x)))
ONE(sigmoid_hard, fmin(fmax(x / 4 + 0.5, 0), 1))
ONE(scaled_tanh, 2 * tanh(x / 2))
ONE(threshold, fmax(x, 1))
ONE(clip, fmin(fmax(x, -1), 2))
ONE(cast, x)
ONE(identity, fmax(x, 0))
ONE(reshape, fmax(x, 0))
ONE(expand_dims, fmax(x, 0))
ONE(squeeze, fmax(x, 0))
ONE(fill, x + 2.5)
ONE(fill_like, x + 2.5)
ONE(quantize, x)
MOVE(transpose, x_at(p, i % 64 * 64 + i / 64))
MOVE(slice_by_size, x_at(p, i + 4096))
MOVE(slice_by_index, x_at(p, i + 4096))
MOVE(reverse, x_at(p, (63 - i / 64) * 64 + i % 64))
MOVE(tile, x_at(p, i % 4096))
MOVE(pad, i % 64 < 8 || i % 64 >= 56 ? 0 : x_at(p, i / 64 * 48 + i % 64 - 8))
MOVE(concat, x_at(p, i % 4096) * (i / 4096 == 1 ? 2 : 1))
MOVE(stack, x_at(p, i % 4096) * (i / 4096 + 1))
ONE(split, x - x_at(p, i + 4096))
MOVE(gather, x_at(p, i / 64 * 5 % 64 * 64 + i % 64))
MOVE(one_hot, (int64_t)x_at(p, i / 64 * 64) == i % 64 ? 2 : 1)
ONE(band_part, i % 64 >= i / 64 ? x : 0)
MOVE(reduce_argmax, 63)
MOVE(reduce_argmin, 0)

/* ---- along rows: 64 elements to one, or to as many ---- */

typedef void Row(const double *x, double *y);

static void rows(const Probe *p, double *y, int64_t n, Row *row)
{
    double x[64];
    for (int64_t r = 0; r < n / 64; r++) {
        for (int64_t i = 0; i < 64; i++)
            x[i] = x_at(p, r * 64 + i);
        row(x, y + r * 64);
    }
}

#define REDUCED(name, start, step, finish)                  \
    static void row_##name(const double *x, double *y)      \
    {                                                       \
        double s = (start);                                 \
        for (int i = 0; i < 64; i++)                        \
            s = (step);                                     \
        for (int i = 0; i < 64; i++)                        \
            y[i] = (finish);                                \
    }                                                       \
    void want_##name(const Probe *p, double *y, int64_t n)  \
    {                                                       \
        rows(p, y, n, row_##name);                          \
    }
REDUCED(reduce_sum, 0, s + x[i], s)
REDUCED(reduce_mean, 0, s + x[i], s / 64)
REDUCED(reduce_max, -1e9, fmax(s, x[i]), s)
REDUCED(reduce_min, 1e9, fmin(s, x[i]), s)
REDUCED(reduce_prod, 1, s *x[i], s)
REDUCED(reduce_l1_norm, 0, s + fabs(x[i]), s)
REDUCED(reduce_l2_norm, 0, s + x[i] * x[i], sqrt(s))
REDUCED(reduce_sum_square, 0, s + x[i] * x[i], s)
REDUCED(reduce_log_sum, 0, s + x[i], log(s))
REDUCED(reduce_log_sum_exp, 0, s + exp(x[i]), log(s))
REDUCED(softmax, 0, s + exp(x[i]), exp(x[i]) / s)

static void row_cumsum(const double *x, double *y)
{
    double s = 0;
    for (int i = 0; i < 64; i++)
        y[i] = s += x[i];
}

void want_cumsum(const Probe *p, double *y, int64_t n)
{
    rows(p, y, n, row_cumsum);
}

static const double epsilon = 0x1p-10;

static void row_norm(const double *x, double *y)
{
    double mean = 0, var = 0;
    for (int i = 0; i < 64; i++)
        mean += x[i] / 64;
    for (int i = 0; i < 64; i++)
        var += (x[i] - mean) * (x[i] - mean) / 64;
    for (int i = 0; i < 64; i++)
        y[i] = (x[i] - mean) / sqrt(var + epsilon);
}

void want_layer_norm(const Probe *p, double *y, int64_t n)
{
    rows(p, y, n, row_norm);
}

void want_instance_norm(const Probe *p, double *y, int64_t n)
{
    rows(p, y, n, row_norm); /* 8 x 8 is a row of 64 */
}

void want_batch_norm(const Probe *p, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (x_at(p, i) - held(p, NULL, "mean", 1, i / 64)) / sqrt(held(p, NULL, "variance", 1, i / 64) + epsilon);
}

void want_l2_norm(const Probe *p, double *y, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += x_at(p, i) * x_at(p, i);
    for (int64_t i = 0; i < n; i++)
        y[i] = x_at(p, i) / sqrt(s + epsilon);
}

/* ---- products ---- */

/* y[r][c] = sum of weight(r, k) x[k][c] */
static void convolve(const Probe *p, double *y, double scale, double zero)
{
    for (int64_t r = 0; r < 64; r++)
        for (int64_t c = 0; c < 64; c++) {
            double s = 0;
            for (int64_t k = 0; k < 64; k++)
                s += (w_at(p, r * 64 + k) - zero) * scale * x_at(p, k * 64 + c);
            y[r * 64 + c] = s;
        }
}

void want_conv(const Probe *p, double *y, int64_t n)
{
    (void)n;
    convolve(p, y, 1, 0);
}

void want_constexpr_affine_dequantize(const Probe *p, double *y, int64_t n)
{
    (void)n;
    convolve(p, y, 0.5, 1);
}

void want_constexpr_blockwise_shift_scale(const Probe *p, double *y, int64_t n)
{
    (void)n;
    convolve(p, y, 0.5, 0);
}

void want_matmul(const Probe *p, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = 0;
        for (int64_t k = 0; k < 64; k++)
            y[i] += x_at(p, i / 64 * 64 + k) * x_at(p, i % 64 * 64 + k);
    }
}

void want_linear(const Probe *p, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = 0;
        for (int64_t k = 0; k < 64; k++)
            y[i] += x_at(p, i / 64 * 64 + k) * w_at(p, i % 64 * 64 + k);
    }
}

void want_scaled_dot_product_attention(const Probe *p, double *y, int64_t n)
{
    want_matmul(p, y, n);
    for (int64_t r = 0; r < 64; r++) {
        double e[64], s = 0;
        for (int64_t k = 0; k < 64; k++)
            s += e[k] = exp(y[r * 64 + k] / 8); /* 8: the root of 64 */
        for (int64_t c = 0; c < 64; c++) {
            y[r * 64 + c] = 0;
            for (int64_t k = 0; k < 64; k++)
                y[r * 64 + c] += e[k] / s * x_at(p, k * 64 + c);
        }
    }
}

/* 3 x 3 with a border of 1, on 16 channels of 16 x 16. */
static void pool(const Probe *p, double *y, int64_t n, bool mean)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t plane = i / 256, row = i / 16 % 16, column = i % 16, seen = 0;
        double  s = mean ? 0 : -1e9;
        for (int64_t r = row - 1; r <= row + 1; r++)
            for (int64_t c = column - 1; c <= column + 1; c++)
                if (r >= 0 && r < 16 && c >= 0 && c < 16) {
                    double x = x_at(p, plane * 256 + r * 16 + c);
                    s = mean ? s + x : fmax(s, x);
                    seen++;
                }
        y[i] = mean ? s / (double)seen : s;
    }
}

void want_avg_pool(const Probe *p, double *y, int64_t n)
{
    pool(p, y, n, true);
}

void want_max_pool(const Probe *p, double *y, int64_t n)
{
    pool(p, y, n, false);
}

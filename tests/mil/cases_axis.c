/* cases_axis.c: contractions, pooling, reductions and normalisations against plain loops in double. */
#include "mil_test.h"

#include <math.h>

#define LOOP(i, n) for (int i = 0; i < (n); i++)

/* ---- windows -------------------------------------------------------------------------------------------------- */

typedef struct {
    int n, c, h, w, o, kh, kw, sh, sw, dh, dw, pt, pl, oh, ow, groups;
} Geometry;

static void conv_ref(const Geometry *g, const double *x, const double *k, const double *bias, double *y)
{
    int ci = g->c / g->groups, co = g->o / g->groups;
    LOOP(n, g->n) LOOP(o, g->o) LOOP(oy, g->oh) LOOP(ox, g->ow) {
        double sum = bias ? bias[o] : 0;
        LOOP(c, ci) LOOP(ky, g->kh) LOOP(kx, g->kw) {
            int iy = oy * g->sh + ky * g->dh - g->pt, ix = ox * g->sw + kx * g->dw - g->pl;
            if (iy >= 0 && iy < g->h && ix >= 0 && ix < g->w)
                sum += x[((n * g->c + o / co * ci + c) * g->h + iy) * g->w + ix] *
                       k[((o * ci + c) * g->kh + ky) * g->kw + kx];
        }
        *y++ = sum;
    }
}

#define CONV(xs, ws, more, ys, st, type, pad, dil, gr)                                                                 \
    PROGRAM(H(xs) "x, " H(ws) "w, " H("6") "b",                                                                        \
            H(ys) "y = conv(x = x, weight = w" more ", strides = [" st "], pad_type = string(\"" type                  \
                  "\"), pad = [" pad "], "                                                                             \
                  "dilations = tensor<int32, [2]>([" dil "]), groups = int32(" gr                                      \
                  "));\n" H("6") "u = identity(x = b);",                                                               \
            "y, u")
#define CONV_REF(name, use_bias, ...)                               \
    static void name(double *const *in, double *const *out)         \
    {                                                               \
        static const Geometry g = {__VA_ARGS__};                    \
        conv_ref(&g, in[0], in[1], use_bias ? in[2] : NULL, out[0]); \
        LOOP(i, 6) out[1][i] = in[2][i];                            \
    }
/*                              n  c  h  w  o kh kw sh sw dh dw pt pl oh ow groups */
CONV_REF(conv_1x1, true, 2, 5, 1, 7, 6, 1, 1, 1, 1, 1, 1, 0, 0, 1, 7, 1)
CONV_REF(conv_valid, false, 1, 4, 5, 7, 6, 2, 3, 2, 1, 1, 2, 0, 0, 2, 3, 1)
CONV_REF(conv_custom, true, 2, 4, 5, 6, 6, 3, 3, 1, 2, 1, 1, 1, 0, 5, 4, 2)
CONV_REF(conv_same, false, 1, 2, 5, 6, 6, 2, 3, 1, 2, 1, 1, 0, 0, 5, 3, 1)
CONV_REF(conv_lower, false, 1, 2, 5, 6, 6, 2, 3, 1, 2, 1, 1, 1, 1, 5, 3, 1)
CONV_REF(conv_depthwise, true, 1, 6, 3, 3, 6, 3, 1, 1, 1, 1, 1, 1, 0, 3, 3, 6)

static void conv_1d(double *const *in, double *const *out)
{
    static const Geometry g = {1, 3, 1, 8, 2, 1, 3, 1, 2, 1, 1, 0, 0, 1, 3, 1};
    conv_ref(&g, in[0], in[1], NULL, out[0]);
}

static void pool_ref(double *const *in, double *const *out, bool max)
{
    LOOP(c, 2) LOOP(oy, 3) LOOP(ox, 3) {
        double acc = max ? -INFINITY : 0;
        int    count = 0;
        LOOP(ky, 2) LOOP(kx, 3) {
            int y = oy * 2 + ky, x = ox * 2 + kx - 1;
            if (y >= 5 || x < 0 || x >= 6)
                continue;
            double e = in[0][(c * 5 + y) * 6 + x];
            acc = max ? fmax(acc, e) : acc + e;
            count++;
        }
        out[0][(c * 3 + oy) * 3 + ox] = max ? acc : acc / count;
    }
}
static void max_pool(double *const *in, double *const *out) { pool_ref(in, out, true); }
static void avg_pool(double *const *in, double *const *out) { pool_ref(in, out, false); }
#define POOL(op, more)                                                                                                 \
    PROGRAM(H("1, 2, 5, 6") "x",                                                                                       \
            H("1, 2, 3, 3") "y = " op "(x = x, kernel_sizes = [2, 3], strides = [2, 2], pad_type = \"custom\", "       \
                            "pad = [0, 1, 1, 0], ceil_mode = false" more ");",                                         \
            "y")

/* ---- matrix products ------------------------------------------------------------------------------------------ */

#define MM(xs, ys, zs, tx, ty)                                                                                         \
    PROGRAM(H(xs) "x, " H(ys) "y",                                                                                     \
            H(zs) "z = matmul(x = x, y = y, transpose_x = bool(" tx "), transpose_y = bool(" ty "));", "z")
/* x: [b, m, k] or [b, k, m], y alike; `xb`, `yb`: 0 if the batch is shared. */
static void mm(const double *x, const double *y, double *z, int b, int m, int n, int k, bool tx, bool ty, int xb,
               int yb)
{
    LOOP(q, b) LOOP(i, m) LOOP(j, n) {
        double sum = 0;
        LOOP(l, k)
        sum += x[q * xb * m * k + (tx ? l * m + i : i * k + l)] * y[q * yb * k * n + (ty ? j * k + l : l * n + j)];
        *z++ = sum;
    }
}
static void mm_nn(double *const *in, double *const *out) { mm(in[0], in[1], out[0], 3, 5, 4, 7, false, false, 1, 1); }
static void mm_tn(double *const *in, double *const *out) { mm(in[0], in[1], out[0], 3, 5, 4, 7, true, false, 1, 0); }
static void mm_nt(double *const *in, double *const *out) { mm(in[0], in[1], out[0], 3, 5, 4, 7, false, true, 0, 1); }
static void mm_tt(double *const *in, double *const *out) { mm(in[0], in[1], out[0], 1, 5, 4, 7, true, true, 1, 1); }
static void mm_one(double *const *in, double *const *out) { mm(in[0], in[1], out[0], 1, 1, 1, 1, false, false, 1, 1); }

static void linear(double *const *in, double *const *out)
{
    static const double w[2][3] = {{1, 2, 3}, {-1, 0.5, 0.25}}, b[2] = {0.5, -2};
    LOOP(i, 4) LOOP(o, 2) {
        out[0][i * 2 + o] = b[o];
        LOOP(k, 3) out[0][i * 2 + o] += in[0][i * 3 + k] * w[o][k];
    }
}

/* 2 heads, 3 queries, 4 keys, E = 5, F = 2; the mask is [1, 3, 4] or absent. */
static void attention(double *const *in, double *const *out, bool mask, bool boolean)
{
    LOOP(h, 2) LOOP(i, 3) {
        double s[4], max = -INFINITY, sum = 0;
        LOOP(j, 4) {
            s[j] = 0;
            LOOP(e, 5) s[j] += in[0][(h * 3 + i) * 5 + e] * in[1][(h * 4 + j) * 5 + e];
            s[j] /= sqrt(5);
            double m = mask ? in[3][i * 4 + j] : 0;
            s[j] = boolean ? (m != 0 || j == 0 ? s[j] : -INFINITY) : s[j] + m;
            max = fmax(max, s[j]);
        }
        LOOP(j, 4) sum += s[j] = exp(s[j] - max);
        LOOP(f, 2) {
            double y = 0;
            LOOP(j, 4) y += s[j] / sum * in[2][(h * 4 + j) * 2 + f];
            out[0][(h * 3 + i) * 2 + f] = y;
        }
    }
}
static void sdpa(double *const *in, double *const *out) { attention(in, out, false, false); }
static void sdpa_mask(double *const *in, double *const *out) { attention(in, out, true, false); }
static void sdpa_bool(double *const *in, double *const *out) { attention(in, out, true, true); }
#define QKV H("2, 3, 5") "q, " H("2, 4, 5") "k, " H("2, 4, 2") "v"

/* ---- along axes: x is [2, 3, 4] ------------------------------------------------------------------------------- */

enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, SQ, LOGSUM, LSE };
/* Reduce the axes whose bit is set in `set` (bit 0: the first). */
static void reduce_ref(const double *x, double *y, int set, int what)
{
    int d[3] = {2, 3, 4}, k[3], r[3];
    LOOP(i, 3) {
        k[i] = set >> i & 1 ? 1 : d[i];
        r[i] = set >> i & 1 ? d[i] : 1;
    }
    LOOP(a, k[0]) LOOP(b, k[1]) LOOP(c, k[2]) {
        double acc = what == MAX ? -INFINITY : what == MIN ? INFINITY : what == PROD ? 1 : 0;
        LOOP(p, r[0]) LOOP(q, r[1]) LOOP(s, r[2]) {
            double e = x[((a + p) * 3 + b + q) * 4 + c + s];
            acc = what == MAX    ? fmax(acc, e)
                  : what == MIN  ? fmin(acc, e)
                  : what == PROD ? acc * e
                                 : acc + (what == L1                 ? fabs(e)
                                          : what == L2 || what == SQ ? e * e
                                          : what == LSE              ? exp(e)
                                                                     : e);
        }
        int n = r[0] * r[1] * r[2];
        *y++ = what == MEAN ? acc / n : what == L2 ? sqrt(acc) : what == LOGSUM || what == LSE ? log(acc) : acc;
    }
}
#define REDUCE(op, axes, keep, ys)                                                                                     \
    PROGRAM(H("2, 3, 4") "x", H(ys) "y = " op "(x = x, axes = [" axes "], keep_dims = " keep ");", "y")
#define REDUCTION(name, what)                                                                             \
    static void name##_1(double *const *in, double *const *out) { reduce_ref(in[0], out[0], 2, what); }    \
    static void name##_2(double *const *in, double *const *out) { reduce_ref(in[0], out[0], 4, what); }    \
    static void name##_02(double *const *in, double *const *out) { reduce_ref(in[0], out[0], 5, what); }
#define REDUCTION_CASES(name, lo, hi, steps)                                      \
    {#name, REDUCE(#name, "1", "true", "2, 1, 4"), name##_1, lo, hi, steps, 4e-3}, \
    {#name, REDUCE(#name, "-1", "false", "2, 3"), name##_2, lo, hi, steps, 4e-3},  \
    {#name, REDUCE(#name, "0, 2", "false", "3"), name##_02, lo, hi, steps, 4e-3}
REDUCTION(reduce_sum, SUM)
REDUCTION(reduce_mean, MEAN)
REDUCTION(reduce_max, MAX)
REDUCTION(reduce_min, MIN)
REDUCTION(reduce_prod, PROD)
REDUCTION(reduce_l1_norm, L1)
REDUCTION(reduce_l2_norm, L2)
REDUCTION(reduce_sum_square, SQ)
REDUCTION(reduce_log_sum, LOGSUM)
REDUCTION(reduce_log_sum_exp, LSE)

static void arg_ref(const double *x, double *y, double sign)
{
    LOOP(a, 2) LOOP(c, 4) {
        int best = 0;
        LOOP(b, 3) best = sign * x[(a * 3 + b) * 4 + c] > sign * x[(a * 3 + best) * 4 + c] ? b : best;
        y[a * 4 + c] = best;
    }
}
static void argmax(double *const *in, double *const *out) { arg_ref(in[0], out[0], 1); }
static void argmin(double *const *in, double *const *out) { arg_ref(in[0], out[0], -1); }

static void cumsum(double *const *in, double *const *out)
{
    LOOP(a, 2) LOOP(c, 4) {
        double s = 0;
        LOOP(b, 3) out[0][(a * 3 + b) * 4 + c] = s += in[0][(a * 3 + b) * 4 + c];
    }
}
static void cumsum_back(double *const *in, double *const *out)
{
    LOOP(a, 6) {
        double s = 0;
        for (int c = 3; c >= 0; c--) {
            out[0][a * 4 + c] = s;
            s += in[0][a * 4 + c];
        }
    }
}

static void softmax_ref(const double *x, double *y, int outer, int n, int inner)
{
    LOOP(o, outer) LOOP(i, inner) {
        double sum = 0, max = -INFINITY;
        LOOP(k, n) max = fmax(max, x[(o * n + k) * inner + i]);
        LOOP(k, n) sum += exp(x[(o * n + k) * inner + i] - max);
        LOOP(k, n) y[(o * n + k) * inner + i] = exp(x[(o * n + k) * inner + i] - max) / sum;
    }
}
static void softmax_0(double *const *in, double *const *out) { softmax_ref(in[0], out[0], 1, 3, 134); }
static void softmax_1(double *const *in, double *const *out) { softmax_ref(in[0], out[0], 3, 2, 67); }
static void softmax_2(double *const *in, double *const *out) { softmax_ref(in[0], out[0], 6, 67, 1); }
#define SOFTMAX(axis) PROGRAM(H("3, 2, 67") "x", H("3, 2, 67") "y = softmax(x = x, axis = int32(" axis "));", "y")

/* (x - mean) / sqrt(var + 2^-10) over elements `step` apart. */
static void normalise(const double *x, double *y, int n, int step, const double *gamma, const double *beta)
{
    double mean = 0, var = 0;
    LOOP(i, n) mean += x[i * step] / n;
    LOOP(i, n) var += (x[i * step] - mean) * (x[i * step] - mean) / n;
    LOOP(i, n) y[i * step] = (x[i * step] - mean) / sqrt(var + 0x1p-10) * (gamma ? gamma[i] : 1) + (beta ? beta[i] : 0);
}
static void layer_norm_last(double *const *in, double *const *out)
{
    LOOP(a, 6) normalise(in[0] + 4 * a, out[0] + 4 * a, 4, 1, in[1], in[2]);
}
static void layer_norm_mid(double *const *in, double *const *out)
{
    LOOP(a, 2) LOOP(c, 4) normalise(in[0] + 12 * a + c, out[0] + 12 * a + c, 3, 4, NULL, NULL);
}
static void layer_norm_outer(double *const *in, double *const *out) /* axes 0 and 2 of [2, 3, 4] */
{
    LOOP(b, 3) {
        double x[8], y[8];
        LOOP(i, 8) x[i] = in[0][(i / 4 * 3 + b) * 4 + i % 4];
        normalise(x, y, 8, 1, NULL, NULL);
        LOOP(i, 8) out[0][(i / 4 * 3 + b) * 4 + i % 4] = y[i];
    }
}
static void instance_norm(double *const *in, double *const *out)
{
    LOOP(i, 6) {
        normalise(in[0] + 4 * i, out[0] + 4 * i, 4, 1, NULL, NULL);
        LOOP(k, 4) out[0][4 * i + k] = out[0][4 * i + k] * in[1][i % 3] + in[2][i % 3];
    }
}
static void batch_norm(double *const *in, double *const *out)
{
    LOOP(i, 24) {
        int c = i / 4 % 3;
        out[0][i] = (in[0][i] - in[1][c]) / sqrt(in[2][c] + 0x1p-10);
    }
}
static void l2_norm(double *const *in, double *const *out)
{
    LOOP(b, 2) {
        double s = 0;
        LOOP(i, 12) s += in[0][12 * b + i] * in[0][12 * b + i];
        LOOP(i, 12) out[0][12 * b + i] = in[0][12 * b + i] / sqrt(s + 0x1p-10);
    }
}
#define X234 H("2, 3, 4") "x"

static const OpCase cases[] = {
    {"conv", CONV("2, 5, 1, 7", "6, 5, 1, 1", ", bias = b", "2, 6, 1, 7", "1, 1", "valid", "3, 3, 3, 3", "1, 1", "1"),
     conv_1x1, -1, 1, 1, 1e-3},
    {"conv", CONV("1, 4, 5, 7", "6, 4, 2, 3", "", "1, 6, 2, 3", "2, 1", "valid", "0, 0, 0, 0", "1, 2", "1"), conv_valid,
     -1, 1, 1, 1e-3},
    {"conv", CONV("2, 4, 5, 6", "6, 2, 3, 3", ", bias = b", "2, 6, 5, 4", "1, 2", "custom", "1, 1, 0, 3", "1, 1", "2"),
     conv_custom, -1, 1, 1, 1e-3},
    {"conv", CONV("1, 2, 5, 6", "6, 2, 2, 3", "", "1, 6, 5, 3", "1, 2", "same", "0, 0, 0, 0", "1, 1", "1"), conv_same,
     -1, 1, 1, 1e-3},
    {"conv", CONV("1, 2, 5, 6", "6, 2, 2, 3", "", "1, 6, 5, 3", "1, 2", "same_lower", "0, 0, 0, 0", "1, 1", "1"),
     conv_lower, -1, 1, 1, 1e-3},
    {"conv", CONV("1, 6, 3, 3", "6, 1, 3, 1", ", bias = b", "1, 6, 3, 3", "1, 1", "custom", "1, 1, 0, 0", "1, 1", "6"),
     conv_depthwise, -1, 1, 1, 1e-3},
    {"conv",
     PROGRAM(H("1, 3, 8") "x, " H("2, 3, 3") "w",
             H("1, 2, 3") "y = conv(x = x, weight = w, strides = [2], pad_type = \"valid\", pad = [0, 0], dilations = "
                          "[1], groups = 1);",
             "y"),
     conv_1d, -1, 1, 1, 1e-3},
    {"max_pool", POOL("max_pool", ""), max_pool, -4, 4, 0, 0},
    {"avg_pool", POOL("avg_pool", ", exclude_padding_from_average = true"), avg_pool, -4, 4, 1, 1e-3},
    {"matmul", MM("3, 5, 7", "3, 7, 4", "3, 5, 4", "false", "false"), mm_nn, -1, 1, 1, 1e-3},
    {"matmul", MM("3, 7, 5", "7, 4", "3, 5, 4", "true", "false"), mm_tn, -1, 1, 1, 1e-3},
    {"matmul", MM("1, 1, 5, 7", "3, 4, 7", "1, 3, 5, 4", "false", "true"), mm_nt, -1, 1, 1, 1e-3},
    {"matmul", MM("7, 5", "4, 7", "5, 4", "true", "true"), mm_tt, -1, 1, 1, 1e-3},
    {"matmul", MM("1, 1", "1, 1", "1, 1", "false", "false"), mm_one, -1, 1, 1, 0},
    {"linear",
     PROGRAM(H("4, 3") "x",
             H("4, 2") "y = linear(x = x, weight = tensor<fp16, [2, 3]>([[1, 2, 3], [-1, 0x1p-1, 0x3400]]), bias = "
                       "tensor<fp16, [2]>([0.5, -2]));",
             "y"),
     linear, -1, 1, 1, 1e-3},
    {"scaled_dot_product_attention",
     PROGRAM(QKV, H("2, 3, 2") "y = scaled_dot_product_attention(query = q, key = k, value = v);", "y"), sdpa, -2, 2, 1,
     1e-3},
    {"scaled_dot_product_attention",
     PROGRAM(QKV ", " H("3, 4") "z",
             H("2, 3, 2") "y = scaled_dot_product_attention(query = q, key = k, value = v, attn_mask = z);", "y"),
     sdpa_mask, -2, 2, 1, 1e-3},
    {"scaled_dot_product_attention",
     PROGRAM(
         QKV ", tensor<bool, [1, 3, 4]> z",
         "tensor<bool, [4]> first = const()[name = \"first\", val = tensor<bool, [4]>([true, false, false, false])];\n"
         "tensor<bool, [1, 3, 4]> m = logical_or(x = z, y = first);\n" H(
             "2, 3, 2") "y = scaled_dot_product_attention(query = q, key = k, value = v, attn_mask = m);",
         "y"),
     sdpa_bool, -2, 2, 1, 1e-3},
    REDUCTION_CASES(reduce_sum, -2, 2, 3),
    REDUCTION_CASES(reduce_mean, -2, 2, 3),
    REDUCTION_CASES(reduce_max, -2, 2, 0),
    REDUCTION_CASES(reduce_min, -2, 2, 0),
    REDUCTION_CASES(reduce_prod, -2, 2, 1),
    REDUCTION_CASES(reduce_l1_norm, -2, 2, 3),
    REDUCTION_CASES(reduce_l2_norm, -2, 2, 3),
    REDUCTION_CASES(reduce_sum_square, -2, 2, 3),
    REDUCTION_CASES(reduce_log_sum, 0.5, 2, 3),
    REDUCTION_CASES(reduce_log_sum_exp, -2, 2, 3),
    {"reduce_argmax",
     PROGRAM(X234, "tensor<int32, [2, 1, 4]> y = reduce_argmax(x = x, axis = int32(1), keep_dims = bool(true));", "y"),
     argmax, -2, 2, 0, 0},
    {"reduce_argmin",
     PROGRAM(X234,
             "tensor<uint16, [2, 4]> y = reduce_argmin(x = x, axis = -2, keep_dims = false, output_dtype = "
             "string(\"uint16\"));",
             "y"),
     argmin, -2, 2, 0, 0},
    {"cumsum", PROGRAM(X234, H("2, 3, 4") "y = cumsum(x = x, axis = 1, exclusive = false, reverse = false);", "y"),
     cumsum, -2, 2, 1, 1e-3},
    {"cumsum", PROGRAM(X234, H("2, 3, 4") "y = cumsum(x = x, axis = 2, exclusive = true, reverse = true);", "y"),
     cumsum_back, -2, 2, 1, 1e-3},
    {"softmax", SOFTMAX("0"), softmax_0, -8, 8, 1, 0},
    {"softmax", SOFTMAX("1"), softmax_1, -8, 8, 1, 0},
    {"softmax", SOFTMAX("-1"), softmax_2, -8, 8, 1, 0},
    {"layer_norm",
     PROGRAM(X234 ", " H("4") "g, " H("4") "h",
             H("2, 3, 4") "y = layer_norm(x = x, axes = [-1], gamma = g, beta = h, epsilon = fp16(0x1p-10));", "y"),
     layer_norm_last, -2, 2, 1, 1e-3},
    {"layer_norm", PROGRAM(X234, H("2, 3, 4") "y = layer_norm(x = x, axes = [1], epsilon = fp32(0x1p-10));", "y"),
     layer_norm_mid, -2, 2, 1, 1e-3},
    {"layer_norm", PROGRAM(X234, H("2, 3, 4") "y = layer_norm(x = x, axes = [0, 2], epsilon = fp16(0x1p-10));", "y"),
     layer_norm_outer, -2, 2, 1, 1e-3},
    {"instance_norm",
     PROGRAM(X234 ", " H("3") "g, " H("3") "h",
             H("2, 3, 4") "y = instance_norm(x = x, gamma = g, beta = h, epsilon = fp16(0x1p-10));", "y"),
     instance_norm, -2, 2, 1, 1e-3},
    {"batch_norm",
     PROGRAM(X234 ", " H("3") "m, " H("3") "v",
             H("2, 3, 4") "y = batch_norm(x = x, mean = m, variance = v, epsilon = fp16(0x1p-10));", "y"),
     batch_norm, 0.1, 2, 1, 1e-3},
    {"l2_norm", PROGRAM(H("2, 1, 3, 4") "x", H("2, 1, 3, 4") "y = l2_norm(x = x, epsilon = fp16(0x1p-10));", "y"),
     l2_norm, -2, 2, 1, 1e-3},
};
const OpCases axis_cases = {cases, COUNT(cases)};

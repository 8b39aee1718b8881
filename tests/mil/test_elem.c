/* test_elem.c: element-wise operations. Those of one operand are compared on every fp16 number of their range, those of
 * two on random numbers under several broadcasts; all within one fp16 step of the correctly rounded result. */
#include "mil_test.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one operand ---------------------------------------------------------------------------------------------- */

typedef double Fn1(double x);
#define A 0.75 /* constants of activations, as in the texts below */
#define B 1.5
#define EPS 0.0009765625

static double f_abs(double x) { return fabs(x); }
static double f_sign(double x) { return (x > 0) - (x < 0); }
static double f_square(double x) { return x * x; }
static double f_log(double x) { return log(x + EPS); }
static double f_rsqrt(double x) { return 1 / sqrt(x + EPS); }
static double f_inverse(double x) { return 1 / (x + EPS); }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x / (1 + exp(-x)); }
static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_relu6(double x) { return x < 0 ? 0 : x > 6 ? 6 : x; }
static double f_leaky(double x) { return x > 0 ? x : A * x; }
static double f_elu(double x) { return x > 0 ? x : A * expm1(x); }
static double f_clamped(double x) { return fmin(B, x >= 0 ? x : A * x); }
static double f_softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double f_softsign(double x) { return x / (1 + fabs(x)); }
static double f_hard(double x) { return fmin(fmax(A * x + B, 0), 1); }
static double f_scaled(double x) { return A * tanh(B * x); }
static double f_threshold(double x) { return fmax(x, A); }
static double f_clip(double x) { return fmin(fmax(x, A), B); }
static double f_gelu(double x) { return 0.5 * x * erfc(-x / sqrt(2)); }
static double f_gelu_tanh(double x) { return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
static double f_gelu_sigmoid(double x) { return x / (1 + exp(-1.702 * x)); }
static double f_same(double x) { return x; }

#define ALPHA ", alpha = fp16(0x1.8p-1)"
#define BETA ALPHA ", beta = fp16(0x1.8p+0)"
#define EPSILON ", epsilon = fp16(0x1p-10)"
static const struct {
    const char *op, *args;
    Fn1        *f;
    double      lo, hi;
} unary[] = {
    {"abs", "", f_abs, -65504, 65504},
    {"sign", "", f_sign, -65504, 65504},
    {"square", "", f_square, -65504, 65504},
    {"floor", "", floor, -65504, 65504},
    {"ceil", "", ceil, -65504, 65504},
    {"round", "", round, -65504, 65504},
    {"exp", "", exp, -65504, 65504},
    {"exp2", "", exp2, -65504, 65504},
    {"log", EPSILON, f_log, -1, 65504},
    {"sqrt", "", sqrt, -1, 65504},
    {"rsqrt", EPSILON, f_rsqrt, 0, 65504},
    {"inverse", EPSILON, f_inverse, -65504, 65504},
    {"sin", "", sin, -65504, 65504},
    {"cos", "", cos, -65504, 65504},
    {"atan", "", atan, -65504, 65504},
    {"erf", "", erf, -65504, 65504},
    {"sigmoid", "", f_sigmoid, -65504, 65504},
    {"tanh", "", tanh, -65504, 65504},
    {"silu", "", f_silu, -65504, 65504},
    {"relu", "", f_relu, -65504, 65504},
    {"relu6", "", f_relu6, -65504, 65504},
    {"leaky_relu", ALPHA, f_leaky, -65504, 65504},
    {"elu", ALPHA, f_elu, -65504, 65504},
    {"clamped_relu", BETA, f_clamped, -65504, 65504},
    {"softplus", "", f_softplus, -65504, 65504},
    {"softsign", "", f_softsign, -65504, 65504},
    {"sigmoid_hard", BETA, f_hard, -65504, 65504},
    {"scaled_tanh", BETA, f_scaled, -65504, 65504},
    {"threshold", ALPHA, f_threshold, -65504, 65504},
    {"clip", BETA, f_clip, -65504, 65504},
    {"gelu", ", mode = string(\"EXACT\")", f_gelu, -65504, 65504},
    {"gelu", ", mode = string(\"TANH_APPROXIMATION\")", f_gelu_tanh, -65504, 65504},
    {"gelu", ", mode = string(\"SIGMOID_APPROXIMATION\")", f_gelu_sigmoid, -65504, 65504},
    {"identity", "", f_same, -65504, 65504},
};

static void every_number(void *context, uint32_t port, double *x, size_t n)
{
    (void)context, (void)port;
    for (size_t i = 0; i < n; i++)
        x[i] = (double)f16_to_f32((uint16_t)((i & 0x7c00) == 0x7c00 ? 0 : i)); /* neither infinity nor NaN */
}

Test(mil_elem, one_operand_is_within_one_step_on_every_number)
{
    for (size_t u = 0; u < COUNT(unary); u++) {
        char text[512];
        snprintf(text, sizeof text, PROGRAM(H("65536") "x", H("65536") "y = %s(x = x%s)[name = string(\"y\")];", "y"),
                 unary[u].op, unary[u].args);
        check_same(text);
        for (int mode = 0; mode < 2; mode++) {
            MilRun r;
            mil_run(&r, text, mode ? NUMERICS_EXACT : NUMERICS_ANE, REDUCE_STRICT, NULL, 0, every_number, NULL);
            cr_assert(r.ok, "%s: %s", unary[u].op, r.err.data);
            for (size_t i = 0; i < 65536; i++) {
                double x = r.in[0][i], got = r.out[0][i], want = unary[u].f(x);
                if (x < unary[u].lo || x > unary[u].hi)
                    continue;
                bool same = got == want || (isnan(got) && isnan(want));
                bool ok = mode ? same || fabs(got - want) <= 1e-12 * (1 + fabs(want)) : steps16(got, want) <= 1;
                cr_assert(ok, "%s%s(%a) is %a, expected %a", mode ? "exact " : "", unary[u].op, x, got, want);
            }
            mil_run_free(&r);
        }
    }
}

Test(mil_elem, every_bit_pattern_passes_through_unchanged)
{
    static const char text[] = PROGRAM(H("65536") "x", H("65536") "y = identity(x = x);", "y");
    for (int mode = 0; mode < 2; mode++) {
        Buf       err = {0};
        Device   *d = device_open("host", &(DeviceOptions){.numerics = mode ? NUMERICS_EXACT : NUMERICS_ANE}, &err);
        Program  *p = program_compile(d, "t.mil", text, strlen(text), NULL, 0, &err);
        Surface  *in = surface_new(d, 131072, &err), *out = surface_new(d, 131072, &err);
        Request  *r = request_new(p, 0, &in, &out, &err);
        uint16_t *x = surface_lock(in, true), *y = surface_lock(out, false);
        for (int i = 0; i < 65536; i++)
            x[i] = (uint16_t)i;
        cr_assert(request_eval(r, &err));
        for (int i = 0; i < 65536; i++) {
            bool nan = (i & 0x7fff) > 0x7c00;
            cr_assert(nan ? (y[i] & 0x7fff) > 0x7c00 : y[i] == i, "%04x became %04x", (unsigned)i, y[i]);
        }
        surface_unlock(in, true);
        surface_unlock(out, false);
        request_free(r);
        surface_free(in);
        surface_free(out);
        program_free(p);
        device_close(d);
    }
}

/* ---- two operands --------------------------------------------------------------------------------------------- */

typedef double Fn2(double x, double y);
static double g_add(double x, double y) { return x + y; }
static double g_sub(double x, double y) { return x - y; }
static double g_mul(double x, double y) { return x * y; }
static double g_div(double x, double y) { return x / y; }
static double g_floor_div(double x, double y) { return floor(x / y); }
static double g_mod(double x, double y) { return x - floor(x / y) * y; }
static double g_eq(double x, double y) { return x == y; }
static double g_ne(double x, double y) { return x != y; }
static double g_lt(double x, double y) { return x < y; }
static double g_le(double x, double y) { return x <= y; }
static double g_gt(double x, double y) { return x > y; }
static double g_ge(double x, double y) { return x >= y; }
static double g_and(double x, double y) { return x != 0 && y != 0; }
static double g_or(double x, double y) { return x != 0 || y != 0; }
static double g_xor(double x, double y) { return (x != 0) != (y != 0); }

static const struct {
    const char *op, *in, *out;
    Fn2        *f;
    double      lo, hi;
} binary[] = {
    {"add", "fp16", "fp16", g_add, -9, 9},
    {"sub", "fp16", "fp16", g_sub, -9, 9},
    {"mul", "fp16", "fp16", g_mul, -9, 9},
    {"real_div", "fp16", "fp16", g_div, -9, 9},
    {"maximum", "fp16", "fp16", fmax, -9, 9},
    {"minimum", "fp16", "fp16", fmin, -9, 9},
    {"pow", "fp16", "fp16", pow, 0.1, 4},
    {"floor_div", "fp16", "fp16", g_floor_div, -9, 9},
    {"mod", "fp16", "fp16", g_mod, -9, 9},
    {"add", "int32", "int32", g_add, -9, 9},
    {"floor_div", "int32", "int32", g_floor_div, 1, 9},
    {"add", "fp32", "fp32", g_add, -4, 4},
    {"equal", "int32", "bool", g_eq, -3, 3},
    {"not_equal", "int32", "bool", g_ne, -3, 3},
    {"less", "fp16", "bool", g_lt, -9, 9},
    {"less_equal", "int32", "bool", g_le, -3, 3},
    {"greater", "fp16", "bool", g_gt, -9, 9},
    {"greater_equal", "int32", "bool", g_ge, -3, 3},
    {"logical_and", "bool", "bool", g_and, -1, 1},
    {"logical_or", "bool", "bool", g_or, -1, 1},
    {"logical_xor", "bool", "bool", g_xor, -1, 1},
};

/* Shapes of x, y and their broadcast, all of rank 4 for the reference; `xt` and `yt` as written. */
static const struct {
    const char *xt, *yt, *ot;
    int         x[4], y[4];
} broadcasts[] = {
    {"1, 3, 1, 5", "1, 3, 1, 5", "1, 3, 1, 5", {1, 3, 1, 5}, {1, 3, 1, 5}},
    {"1, 7, 1, 130", "1, 1, 1, 130", "1, 7, 1, 130", {1, 7, 1, 130}, {1, 1, 1, 130}},
    {"1, 7, 1, 3", "1, 7, 1, 1", "1, 7, 1, 3", {1, 7, 1, 3}, {1, 7, 1, 1}},
    {"2, 1, 5", "3, 1", "2, 3, 5", {1, 2, 1, 5}, {1, 1, 3, 1}},
    {"", "2, 3", "2, 3", {1, 1, 1, 1}, {1, 1, 2, 3}},
    {"4", "", "4", {1, 1, 1, 4}, {1, 1, 1, 1}},
    {"1", "1", "1", {1, 1, 1, 1}, {1, 1, 1, 1}},
    {"2, 1, 3, 1", "1, 5, 1, 2", "2, 5, 3, 2", {2, 1, 3, 1}, {1, 5, 1, 2}},
};

static void two_inputs(void *context, uint32_t port, double *x, size_t n)
{
    size_t   b = *(size_t *)context;
    uint64_t key = rng_key(port, binary[b].op);
    for (size_t i = 0; i < n; i++)
        x[i] = binary[b].lo + (binary[b].hi - binary[b].lo) * rng_uniform(key, i);
}

static size_t at(const int *dim, const int *index)
{
    size_t i = 0;
    for (int d = 0; d < 4; d++)
        i = i * (size_t)dim[d] + (size_t)(dim[d] == 1 ? 0 : index[d]);
    return i;
}

static void check_binary(size_t b, size_t s, bool exact)
{
    char   text[600];
    MilRun r;
    snprintf(text, sizeof text,
             PROGRAM("tensor<%s, [%s]> x, tensor<%s, [%s]> y", "tensor<%s, [%s]> z = %s(y = y, x = x);", "z"),
             binary[b].in, broadcasts[s].xt, binary[b].in, broadcasts[s].yt, binary[b].out, broadcasts[s].ot,
             binary[b].op);
    if (!exact)
        check_same(text);
    mil_run(&r, text, exact ? NUMERICS_EXACT : NUMERICS_ANE, REDUCE_STRICT, NULL, 0, two_inputs, &b);
    cr_assert(r.ok, "%s\n%s", r.err.data, text);
    const int *x = broadcasts[s].x, *y = broadcasts[s].y;
    int        n[4], i[4];
    for (int d = 0; d < 4; d++)
        n[d] = x[d] > y[d] ? x[d] : y[d];
    size_t o = 0;
    for (i[0] = 0; i[0] < n[0]; i[0]++)
        for (i[1] = 0; i[1] < n[1]; i[1]++)
            for (i[2] = 0; i[2] < n[2]; i[2]++)
                for (i[3] = 0; i[3] < n[3]; i[3]++, o++) {
                    double vx = r.in[0][at(x, i)], vy = r.in[1][at(y, i)], want = binary[b].f(vx, vy),
                           got = r.out[0][o];
                    bool ok =
                        exact ? got == want || fabs(got - want) <= 1e-12 * (1 + fabs(want)) : steps16(got, want) <= 1;
                    cr_assert(ok, "%s(%a, %a) is %a, expected %a (shapes %s and %s)", binary[b].op, vx, vy, got, want,
                              broadcasts[s].xt, broadcasts[s].yt);
                }
    mil_run_free(&r);
}

Test(mil_elem, two_operands_broadcast_and_are_within_one_step)
{
    for (size_t b = 0; b < COUNT(binary); b++)
        for (size_t s = 0; s < COUNT(broadcasts); s++)
            for (int exact = 0; exact < 2; exact++)
                check_binary(b, s, exact);
}

Test(mil_elem, the_reciprocal_square_root_by_pow_is_within_one_step)
{
    static const char text[] = PROGRAM(H("65536") "x", H("65536") "y = pow(x = x, y = fp16(-0x1p-1));", "y");
    MilRun r;
    mil_run(&r, text, NUMERICS_ANE, REDUCE_STRICT, NULL, 0, every_number, NULL);
    for (size_t i = 0; i < 65536; i++)
        if (r.in[0][i] > 0)
            cr_assert(steps16(r.out[0][i], 1 / sqrt(r.in[0][i])) <= 1);
    mil_run_free(&r);
}

/* ---- coverage ------------------------------------------------------------------------------------------------- */

bool elem_covers(const char *op)
{
    for (size_t i = 0; i < COUNT(unary); i++)
        if (strcmp(unary[i].op, op) == 0)
            return true;
    for (size_t i = 0; i < COUNT(binary); i++)
        if (strcmp(binary[i].op, op) == 0)
            return true;
    return false;
}

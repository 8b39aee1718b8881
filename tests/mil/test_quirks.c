/* test_quirks.c: numeric quirks of engines (quirks.def): exact results at their borders, off by default, the same bits in
 * every build, and what they do in every kind of step. */
#include "mil_test.h"

#include "base/f16.h"
#include "quirks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 64 };
#define X(n) H("1, 1, 1, " #n)

/* Run a text whose ports are fp16, with `x` as its first input (others repeat it); at most MANY results of output 0. */
static void run(const char *text, const DeviceOptions *options, const float *x, uint32_t xs, float *y)
{
    Buf      err = {0};
    Device  *d = device_open("host", options, &err);
    Program *p = program_compile(d, "q.mil", text, strlen(text), NULL, 0, &err);
    cr_assert(p, "%s", err.data);
    const ProgramFunction *f = program_function(p, 0);
    Surface               *in[PORTS], *out[PORTS];
    for (uint32_t i = 0; i < f->inputs; i++) {
        in[i] = surface_new(d, f->input[i].bytes, &err);
        uint16_t *to = surface_lock(in[i], true);
        for (uint32_t k = 0; k < f->input[i].bytes / 2; k++)
            to[k] = f16_from_f32(x[k % xs]);
        surface_unlock(in[i], true);
    }
    for (uint32_t i = 0; i < f->outputs; i++)
        out[i] = surface_new(d, f->output[i].bytes, &err);
    Request *r = request_new(p, 0, in, out, &err);
    cr_assert(r && request_eval(r, &err), "%s", err.data);
    const uint16_t *h = surface_lock(out[0], false);
    for (uint32_t k = 0; k < f->output[0].bytes / 2 && k < MANY; k++)
        y[k] = f16_to_f32(h[k]);
    surface_unlock(out[0], false);
    request_free(r);
    for (uint32_t i = 0; i < f->inputs; i++)
        surface_free(in[i]);
    for (uint32_t i = 0; i < f->outputs; i++)
        surface_free(out[i]);
    program_free(p);
    device_close(d);
    buf_free(&err);
}

static const DeviceOptions none = {0};

#define QUIRKED(name) (&(DeviceOptions){.quirks = QUIRK_##name})

/* ---- half-range ----------------------------------------------------------------------------------------------- */

/* x times the number 1, in every kind of step that makes a product. */
#define ONE "val = tensor<fp16, [1, 1, 1, 1]>([0x1p0])"
#define CONV_ARGS \
    "strides = [1, 1], pad_type = \"valid\", pad = [0, 0, 0, 0], dilations = [1, 1], groups = 1"
static const char conv_rows[] = PROGRAM(X(8) "x", H("1, 1, 1, 1") "w = const()[name = \"w\", " ONE "];\n" X(8)
                                        "y = conv(x = x, weight = w, " CONV_ARGS ");", "y");
static const char conv_bias[] =
    PROGRAM(X(8) "x", H("1, 1, 1, 1") "w = const()[name = \"w\", " ONE "];\n" X(8)
            "y = conv(x = x, weight = w, bias = tensor<fp16, [1]>([0x0p0]), " CONV_ARGS ");", "y");
static const char product_plain[] =
    PROGRAM(H("1, 1, 8, 1") "x", H("1, 1, 8, 8") "z = matmul(x = x, y = x, transpose_x = false, transpose_y = true);\n"
            H("1, 1, 8, 8") "y = identity(x = z);", "y");
static const char product_heads[] =
    PROGRAM(H("1, 2, 8, 1") "x",
            H("1, 2, 8, 8") "z = matmul(x = x, y = x, transpose_x = false, transpose_y = true);\n"
            H("1, 2, 8, 8") "y = relu(x = z);", "y");

Test(quirks, products_beyond_half_the_range_become_infinite)
{
    static const float x[] = {32400, 32752, 32768, 33000, -32752, -32768, 65504, 1};
    static const float y[] = {32400, 32752, INFINITY, INFINITY, -32752, -INFINITY, INFINITY, 1};
    static const char *const text[] = {conv_rows, conv_bias};
    float                    got[MANY];
    for (size_t t = 0; t < COUNT(text); t++) {
        run(text[t], &none, x, 8, got);
        for (int i = 0; i < 8; i++)
            cr_assert_eq(got[i], f16_to_f32(f16_from_f32(x[i])));
        run(text[t], QUIRKED(HALF_RANGE), x, 8, got);
        for (int i = 0; i < 8; i++)
            cr_assert_eq(got[i], y[i], "%zu: %d: %g", t, i, (double)got[i]);
    }
    static const float root[] = {180, 181, 256, 1, -181, -256, 2, 0}; /* 181^2 is 32761, in fp16 32768 */
    static const char *const square[] = {product_plain, product_heads};
    for (size_t t = 0; t < COUNT(square); t++)
        for (int i = 0; i < 64; i++) {
            float want = f16_to_f32(f16_from_f32(root[i / 8] * root[i % 8]));
            want = fabsf(want) > 32752 ? copysignf(INFINITY, want) : want;
            want = t == 1 && want < 0 ? 0 : want;
            run(square[t], QUIRKED(HALF_RANGE), root, 8, got);
            cr_assert_eq(got[i], want, "%zu: %d: %g", t, i, (double)got[i]);
            run(square[t], &none, root, 8, got);
            cr_assert(isfinite(got[i]) || fabsf(root[i / 8] * root[i % 8]) > 65504);
        }
}

Test(quirks, a_target_says_where_products_end)
{
    static const float x[] = {100, 1000, 1001, 2000, -1000, -1001, 0, 1};
    Target             t = *target_any();
    float              got[MANY];
    t.matmul_out_max = 1000;
    t.conv_bias = true;
    run(conv_rows, &(DeviceOptions){.target = &t}, x, 8, got);
    cr_assert_neq(got[1], 1000, "a port of 1 channel gives garbage");
    t.io_width_multiple = t.io_channel_multiple = t.io_min_channels = 1;
    run(conv_rows, &(DeviceOptions){.target = &t}, x, 8, got);
    cr_assert(got[1] == 1000 && isinf(got[2]) && got[4] == -1000 && got[5] == -INFINITY);
    run(conv_rows, &(DeviceOptions){.target = &t, .quirks_off = QUIRK_HALF_RANGE}, x, 8, got);
    cr_assert(got[3] == 2000 && got[5] == -1001);
    run(conv_rows, &(DeviceOptions){.target = &t, .numerics = NUMERICS_EXACT}, x, 8, got);
    cr_assert(got[3] == 2000 && got[5] == -1001);
    t.matmul_out_max = 65504;
    run(conv_rows, &(DeviceOptions){.target = &t}, x, 8, got);
    cr_assert(got[3] == 2000 && got[5] == -1001);
}

/* ---- slice-crop ----------------------------------------------------------------------------------------------- */

static const char sliced[] =
    PROGRAM(X(8) "x", X(4) "y = slice_by_size(x = x, begin = [0, 0, 0, 4], size = [1, 1, 1, 4]);", "y");
static const char sliced_rows[] =
    PROGRAM(H("1, 1, 2, 8") "x", H("1, 1, 2, 4") "y = slice_by_index(x = x, begin = [0, 0, 0, 4], end = [1, 1, 2, 8]);",
            "y");
static const char sliced_at_0[] =
    PROGRAM(X(8) "x", X(4) "y = slice_by_size(x = x, begin = [0, 0, 0, 0], size = [1, 1, 1, 4]);", "y");
static const char sliced_channels[] =
    PROGRAM(H("1, 8, 1, 1") "x", H("1, 4, 1, 1") "y = slice_by_size(x = x, begin = [0, 4, 0, 0], size = [1, 4, 1, 1]);",
            "y");
static const char split_first[] =
    PROGRAM(X(8) "x", X(4) "y, " X(4) "z = split(x = x, num_splits = 2, axis = 3);", "y, z");
static const char split_second[] =
    PROGRAM(X(8) "x", X(4) "z, " X(4) "y = split(x = x, num_splits = 2, axis = -1);", "y, z");

Test(quirks, offset_slices_crop_what_is_large)
{
    static const float x[] = {4096, -4096, 5000, 1, 4094, 4096, -4096, 3};
    static const struct {
        const char *text;
        bool        second, crops;
    } cases[] = {{sliced, true, true},           {sliced_rows, true, true}, {sliced_at_0, false, false},
                 {sliced_channels, true, false}, {split_first, false, false}, {split_second, true, true}};
    float got[MANY];
    for (size_t c = 0; c < COUNT(cases); c++) {
        const float *part = x + (cases[c].second ? 4 : 0);
        run(cases[c].text, &none, x, 8, got);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(got[i], part[i], "%zu", c);
        run(cases[c].text, QUIRKED(SLICE_CROP), x, 8, got);
        for (int i = 0; i < 4; i++) {
            float want = cases[c].crops && fabsf(part[i]) > 4094 ? copysignf(INFINITY, part[i]) : part[i];
            cr_assert_eq(got[i], want, "%zu: %d: %g", c, i, (double)got[i]);
        }
    }
}

/* ---- mask-ignored --------------------------------------------------------------------------------------------- */

static const char attention[] =
    PROGRAM(H("1, 1, 2, 2") "q",
            H("1, 1, 2, 2") "m = const()[name = \"m\", val = tensor<fp16, [1, 1, 2, 2]>([0x0p0, -0x1.d4cp14, 0x0p0, 0x0p0])];\n"
            H("1, 1, 2, 2") "y = scaled_dot_product_attention(query = q, key = q, value = q, attn_mask = m);", "y");
static const char unmasked[] = PROGRAM(H("1, 1, 2, 2") "q",
                                       H("1, 1, 2, 2") "y = scaled_dot_product_attention(query = q, key = q, value = q);", "y");

Test(quirks, attention_ignores_its_mask)
{
    static const float x[] = {1, 2, 3, -1};
    float              masked[MANY], got[MANY], plain[MANY];
    run(attention, &none, x, 4, masked);
    run(attention, QUIRKED(MASK_IGNORED), x, 4, got);
    run(unmasked, &none, x, 4, plain);
    cr_assert(masked[0] == 1 && masked[1] == 2, "the first row sees itself alone");
    cr_assert_arr_eq(got, plain, 4 * sizeof *got);
    cr_assert_neq(got[0], masked[0]);
}

/* ---- round-1024 ----------------------------------------------------------------------------------------------- */

static const char rounded[] = PROGRAM(X(8) "x", X(8) "y = round(x = x);", "y");

Test(quirks, round_is_off_by_one_from_1024_on)
{
    static const float x[] = {1023, 1024, 1500, -1024, -1023, 2.5f, 0, -2000};
    static const float y[] = {1023, 1025, 1501, -1025, -1023, 3, 0, -2001};
    Target             m5 = *target_any();
    float              got[MANY];
    run(rounded, &none, x, 8, got);
    cr_assert_eq(got[1], 1024);
    run(rounded, QUIRKED(ROUND_1024), x, 8, got);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(got[i], y[i]);
    m5.family = FAMILY_H17;
    cr_assert(quirks_of(&m5) & QUIRK_ROUND_1024);
    cr_assert_not(quirks_of(target_any()) & QUIRK_ROUND_1024);
}

/* ---- nan-lost ------------------------------------------------------------------------------------------------- */

Test(quirks, nan_and_infinity_are_lost)
{
    static const struct {
        const char *text;
        float       x, y;
    } cases[] = {
        {PROGRAM(X(1) "x", X(1) "y = log(x = x, epsilon = fp16(0x0p0));", "y"), INFINITY, 0},
        {PROGRAM(X(1) "x", X(1) "y = log(x = x, epsilon = fp16(0x0p0));", "y"), -1, 0},
        {PROGRAM(X(1) "x", X(1) "y = softplus(x = x);", "y"), INFINITY, 0},
        {PROGRAM(X(1) "x", X(1) "y = cos(x = x);", "y"), -INFINITY, 0},
        {PROGRAM(X(1) "x", X(1) "y = gelu(x = x, mode = \"EXACT\");", "y"), 0, -7.5e-4f},
        {PROGRAM(X(1) "x", X(1) "y = mul(x = x, y = x);", "y"), INFINITY, -52416},
        {PROGRAM(X(1) "x", X(1) "y = mul(x = x, y = fp16(0x1p1));", "y"), -INFINITY, -52416},
        {PROGRAM(X(1) "x", X(1) "y = mul(x = x, y = x);", "y"), NAN, 0},
        {PROGRAM(X(1) "x", X(1) "y = add(x = x, y = x);", "y"), NAN, 0},
        {PROGRAM(X(1) "x", X(1) "y = add(x = x, y = x);", "y"), INFINITY, INFINITY},
        {PROGRAM(X(1) "x", X(1) "y = mul(x = x, y = x);", "y"), 3, 9},
    };
    float got[MANY];
    for (size_t c = 0; c < COUNT(cases); c++) {
        run(cases[c].text, QUIRKED(NAN_LOST), &cases[c].x, 1, got);
        cr_assert_eq(got[0], f16_to_f32(f16_from_f32(cases[c].y)), "%zu: %g", c, (double)got[0]);
    }
}

/* ---- table-error ---------------------------------------------------------------------------------------------- */

static double sigmoid_of(double x)
{
    return 1 / (1 + exp(-x));
}

static double silu_of(double x)
{
    return x / (1 + exp(-x));
}

Test(quirks, functions_err_by_what_was_reported)
{
    static const struct {
        const char *call;
        double (*of)(double);
        double error;
    } cases[] = {{"sigmoid(x = x)", sigmoid_of, 3.8e-3}, {"silu(x = x)", silu_of, 1e-2},
                 {"tanh(x = x)", tanh, 1.3e-3},          {"exp(x = x)", exp, 4.7e-4},
                 {"atan(x = x)", atan, 1.9e-2},          {"erf(x = x)", erf, 7e-4},
                 {"relu(x = x)", fabs, 0}};
    float x[MANY], got[MANY], again[MANY];
    for (int i = 0; i < MANY; i++)
        x[i] = f16_to_f32(f16_from_f32(0.3f + 0.04f * (float)i));
    for (size_t c = 0; c < COUNT(cases); c++) {
        char text[1000];
        int  up = 0, down = 0;
        snprintf(text, sizeof text, PROGRAM(X(64) "x", X(64) "y = %s;", "y"), cases[c].call);
        run(text, QUIRKED(TABLE_ERROR), x, MANY, got);
        run(text, QUIRKED(TABLE_ERROR), x, MANY, again);
        cr_assert_arr_eq(got, again, sizeof got);
        for (int i = 0; i < MANY; i++) {
            double want = cases[c].of((double)x[i]), off = ((double)got[i] - want) / want;
            cr_assert(fabs(fabs(off) - cases[c].error) <= 0x1p-11 * 1.1, "%s of %g is off by %g", cases[c].call,
                      (double)x[i], off);
            up += off > 0;
            down += off < 0;
        }
        cr_assert(cases[c].error == 0 || (up > MANY / 4 && down > MANY / 4), "%s: up %d, down %d", cases[c].call, up, down);
    }
}

/* ---- the same everywhere -------------------------------------------------------------------------------------- */

Test(quirks, are_the_same_in_every_build)
{
    static const char *const text[] = {
        conv_rows, product_plain, product_heads, sliced_rows, split_second, attention, rounded,
        PROGRAM(H("3, 517") "x, " H("3, 1") "z",
                H("3, 517") "a = mul(x = x, y = z);\n" H("3, 517") "b = sigmoid(x = a);\n" H("3, 517")
                "c = softmax(x = b, axis = -1);\n" H("3, 517") "d = softmax(x = b, axis = 0);\n" H("3, 517")
                "e = gelu(x = d, mode = \"EXACT\");\n" H("3, 517") "f = round(x = a);\n" H("3, 517")
                "g = log(x = x, epsilon = fp16(0x0p0));", "a, b, c, e, f, g")};
    for (size_t i = 0; i < COUNT(text); i++) {
        check_same_quirks(text[i], (1u << QUIRK_COUNT) - 1);
        check_same_quirks(text[i], QUIRK_HALF_RANGE | QUIRK_SLICE_CROP | QUIRK_TABLE_ERROR);
    }
}

Test(quirks, have_words)
{
    for (uint32_t i = 0; i < QUIRK_COUNT; i++)
        cr_assert_eq(quirk_find(quirk_info[i].word, strlen(quirk_info[i].word)), 1u << i);
    cr_assert(quirk_find("half", 4) == 0 && quirk_find("half-range,", 11) == 0);
    Target m4 = *target_any();
    cr_assert_eq(quirks_of(&m4), QUIRK_HALF_RANGE | QUIRK_SLICE_CROP | QUIRK_MASK_IGNORED);
    m4.slice_crop_max = 0;
    m4.matmul_out_max = 65504;
    cr_assert_eq(quirks_of(&m4), QUIRK_MASK_IGNORED);
}

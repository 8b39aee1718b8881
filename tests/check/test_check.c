/* test_check.c: the reference of --check agrees with the host device in fp64, its bounds hold for right programs and not
 * for wrong ones.
 *
 * The program is a small attention block as anec writes them, with constants in its text. Each fault is a change of that
 * text: the device compiles the changed one, the reference has the right one. */
#include "base/f16.h"
#include "base/rng.h"
#include "check/check_device.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C = 16, S = 32, HEADS = 2, INPUTS = 2, OUT = 2 * C + HEADS * S };

static void put_matrix(Buf *b, const char *name, const char *shape, int n, uint64_t key, double scale)
{
    buf_printf(b, "tensor<fp16, [%s]> %s = const()[name = string(\"%s\"), val = tensor<fp16, [%s]>([", shape, name, name, shape);
    for (int i = 0; i < n; i++)
        buf_printf(b, "%s%a", i ? ", " : "", (double)f16_round((float)(scale * rng_normal(key, (uint64_t)i))));
    buf_puts(b, "])];\n");
}

static void put_mask(Buf *b)
{
    buf_printf(b, "tensor<fp16, [1, 1, %d, %d]> mask = const()[name = string(\"mask\"), val = tensor<fp16, [1, 1, %d, %d]>([", S, S, S, S);
    for (int i = 0; i < S * S; i++)
        buf_printf(b, "%s%s", i ? ", " : "", i % S > i / S ? "-0x1.388p+13" : "0x0p+0");
    buf_puts(b, "])];\n");
}

#define CONSTANT(type, name, value) type " " name " = const()[name = string(\"" name "\"), val = " value "];\n"
#define CONV(to, from, weight) "tensor<fp16, [1, 16, 1, 32]> " to " = conv(dilations = one, groups = i1, pad = zero4, pad_type = valid, " \
    "strides = one, weight = " weight ", x = " from ")[name = string(\"" to "\")];\n"

static const char head[] = "program(1.3)\n"
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}})]\n"
    "{\nfunc main<ios18>(tensor<fp16, [1, 16, 1, 32]> a, tensor<fp16, [1, 16, 1, 32]> b) {\n"
    CONSTANT("bool", "yes", "bool(true)") CONSTANT("bool", "no", "bool(false)") CONSTANT("string", "valid", "string(\"valid\")")
    CONSTANT("int32", "i1", "int32(1)") CONSTANT("int32", "im1", "int32(-1)")
    CONSTANT("tensor<int32, [2]>", "one", "tensor<int32, [2]>([1, 1])")
    CONSTANT("tensor<int32, [4]>", "zero4", "tensor<int32, [4]>([0, 0, 0, 0])")
    CONSTANT("tensor<int32, [4]>", "heads", "tensor<int32, [4]>([1, 2, 8, 32])")
    CONSTANT("tensor<int32, [4]>", "flat", "tensor<int32, [4]>([1, 16, 1, 32])")
    CONSTANT("tensor<int32, [4]>", "flatp", "tensor<int32, [4]>([1, 64, 1, 32])")
    CONSTANT("tensor<int32, [4]>", "begin", "tensor<int32, [4]>([0, 8, 0, 0])")
    CONSTANT("tensor<int32, [4]>", "half", "tensor<int32, [4]>([1, 8, 1, 32])")
    CONSTANT("fp16", "eps", "fp16(0x1p-10)") CONSTANT("fp16", "minus_half", "fp16(-0x1p-1)")
    CONSTANT("fp16", "scale", "fp16(0x1.6ap-2)") CONSTANT("fp16", "limit", "fp16(0x1p+1)");

static const char body[] =
    "tensor<fp16, [1, 16, 1, 32]> sq = mul(x = a, y = a)[name = string(\"sq\")];\n"
    "tensor<fp16, [1, 1, 1, 32]> ms = conv(dilations = one, groups = i1, pad = zero4, pad_type = valid, strides = one, weight = ones, x = sq)[name = string(\"ms\")];\n"
    "tensor<fp16, [1, 1, 1, 32]> me = add(x = ms, y = eps)[name = string(\"me\")];\n"
    "tensor<fp16, [1, 1, 1, 32]> r = pow(x = me, y = minus_half)[name = string(\"r\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> n = mul(x = a, y = r)[name = string(\"n\")];\n"
    CONV("q", "n", "wq") CONV("k", "b", "wk") CONV("v", "n", "wv")
    "tensor<fp16, [1, 2, 8, 32]> qh = reshape(shape = heads, x = q)[name = string(\"qh\")];\n"
    "tensor<fp16, [1, 2, 8, 32]> kh = reshape(shape = heads, x = k)[name = string(\"kh\")];\n"
    "tensor<fp16, [1, 2, 8, 32]> vh = reshape(shape = heads, x = v)[name = string(\"vh\")];\n"
    "tensor<fp16, [1, 2, 32, 32]> s = matmul(transpose_x = yes, transpose_y = no, x = qh, y = kh)[name = string(\"s\")];\n"
    "tensor<fp16, [1, 2, 32, 32]> ss = mul(x = s, y = scale)[name = string(\"ss\")];\n"
    "tensor<fp16, [1, 2, 32, 32]> sm = add(x = ss, y = mask)[name = string(\"sm\")];\n"
    "tensor<fp16, [1, 2, 32, 32]> p = softmax(axis = im1, x = sm)[name = string(\"p\")];\n"
    "tensor<fp16, [1, 2, 8, 32]> oh = matmul(transpose_x = no, transpose_y = yes, x = vh, y = p)[name = string(\"oh\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> o = reshape(shape = flat, x = oh)[name = string(\"o\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> t = tanh(x = o)[name = string(\"t\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> g = sigmoid(x = o)[name = string(\"g\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> tg = mul(x = t, y = g)[name = string(\"tg\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> d = sub(x = a, y = b)[name = string(\"d\")];\n"
    "tensor<bool, [1, 16, 1, 32]> big = greater_equal(x = b, y = limit)[name = string(\"big\")];\n"
    "tensor<fp16, [1, 16, 1, 32]> sel = select(a = d, b = tg, cond = big)[name = string(\"sel\")];\n"
    "tensor<fp16, [1, 8, 1, 32]> lo = slice_by_size(begin = zero4, size = half, x = tg)[name = string(\"lo\")];\n"
    "tensor<fp16, [1, 8, 1, 32]> hi = slice_by_size(begin = begin, size = half, x = tg)[name = string(\"hi\")];\n"
    "tensor<fp16, [1, 8, 1, 32]> hl = real_div(x = hi, y = r)[name = string(\"hl\")];\n"
    "tensor<fp16, [1, 64, 1, 32]> pf = reshape(shape = flatp, x = p)[name = string(\"pf\")];\n"
    "tensor<fp16, [1, 96, 1, 32]> out = concat(axis = i1, interleave = no, values = (sel, lo, hl, pf))[name = string(\"out\")];\n"
    "} -> (out);\n}\n";

/* The text, with `from` replaced by `to` where it is first found in the body. */
static Buf text_with(const char *from, const char *to)
{
    Buf         b = {0};
    const char *at = from ? strstr(body, from) : NULL;
    cr_assert(!from || at != NULL, "the text has no '%s'", from);
    buf_puts(&b, head);
    put_matrix(&b, "wq", "16, 16, 1, 1", C * C, 1, 0.4);
    put_matrix(&b, "wk", "16, 16, 1, 1", C * C, 2, 0.4);
    put_matrix(&b, "wv", "16, 16, 1, 1", C * C, 3, 0.4);
    buf_puts(&b, "tensor<fp16, [1, 16, 1, 1]> ones = const()[name = string(\"ones\"), val = tensor<fp16, [1, 16, 1, 1]>([");
    for (int i = 0; i < C; i++)
        buf_puts(&b, i ? ", 0x1p-4" : "0x1p-4");
    buf_puts(&b, "])];\n");
    put_mask(&b);
    buf_add(&b, body, from ? (size_t)(at - body) : strlen(body));
    if (from) {
        buf_puts(&b, to);
        buf_puts(&b, at + strlen(from));
    }
    return b;
}

/* Numbers that fp16 holds. */
static double *numbers(uint64_t key, int n)
{
    double *x = malloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++)
        x[i] = (double)f16_round((float)rng_normal(key, (uint64_t)i));
    return x;
}

/* What the host device makes of the text and the inputs. */
static double *on_device(const Buf *mil, const DeviceOptions *options, double *const *in)
{
    Buf      err = {0};
    Device  *d = device_open("host", options, &err);
    Program *p = program_compile(d, "test.mil", mil->data, mil->len, NULL, 0, &err);
    cr_assert(p != NULL, "%s", err.data ? err.data : "");
    size_t   elem = options->wide_ports ? 8 : 2;
    Surface *s[INPUTS], *out = surface_new(d, OUT * S * elem, &err);
    for (int k = 0; k < INPUTS; k++) {
        s[k] = surface_new(d, C * S * elem, &err);
        void *to = surface_lock(s[k], true);
        for (int i = 0; i < C * S; i++)
            if (elem == 8)
                ((double *)to)[i] = in[k][i];
            else
                ((uint16_t *)to)[i] = f16_from_f32((float)in[k][i]);
        surface_unlock(s[k], true);
    }
    Request *r = request_new(p, 0, s, &out, &err);
    cr_assert(r && request_eval(r, &err), "%s", err.data ? err.data : "");
    double     *got = malloc(OUT * S * sizeof *got);
    const void *from = surface_lock(out, false);
    for (int i = 0; i < OUT * S; i++)
        got[i] = elem == 8 ? ((const double *)from)[i] : (double)f16_to_f32(((const uint16_t *)from)[i]);
    surface_unlock(out, false);
    request_free(r);
    program_free(p);
    surface_free(out);
    for (int k = 0; k < INPUTS; k++)
        surface_free(s[k]);
    device_close(d);
    buf_free(&err);
    return got;
}

static Mil64 *reference(void)
{
    Buf    mil = text_with(NULL, NULL), err = {0};
    Mil64 *m = mil64_new("test.mil", mil.data, mil.len, NULL, 0, &err);
    cr_assert(m != NULL, "%s", err.data ? err.data : "");
    buf_free(&mil);
    return m;
}

/* The row of a comparison of the device with `from` replaced by `to`. */
static CheckRow row_with(const char *from, const char *to, uint64_t seed)
{
    Arena    *a = arena_new();
    Mil64    *m = reference();
    Buf       mil = text_with(from, to);
    double   *in[INPUTS] = {numbers(seed, C * S), numbers(seed + 100, C * S)};
    double   *got = on_device(&mil, &(DeviceOptions){0}, in);
    CheckRows rows = {0};
    check_compare(a, m, (const double *const *)in, (const double *const[]){got}, NULL, (CheckRow){.program = "test"}, &rows);
    CheckRow row = rows.row[0];
    free(got);
    free(in[0]);
    free(in[1]);
    buf_free(&mil);
    mil64_free(m);
    arena_free(a);
    return row;
}

Test(check, reference_agrees_with_the_device_in_fp64)
{
    Mil64  *m = reference();
    Buf     mil = text_with(NULL, NULL);
    double *in[INPUTS] = {numbers(1, C * S), numbers(2, C * S)}, *want = malloc(OUT * S * sizeof *want);
    double *got = on_device(&mil, &(DeviceOptions){.numerics = NUMERICS_EXACT, .wide_ports = true}, in);
    mil64_run(m, (const double *const *)in, (double *const[]){want}, 0);
    for (int i = 0; i < OUT * S; i++)
        cr_assert(fabs(got[i] - want[i]) <= 1e-12 * (1 + fabs(want[i])), "element %d: %.17g, reference %.17g", i, got[i], want[i]);
    free(want);
    free(got);
    free(in[0]);
    free(in[1]);
    buf_free(&mil);
    mil64_free(m);
}

Test(check, right_programs_are_within_their_bounds)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CheckRow r = row_with(NULL, NULL, seed);
        cr_assert(check_passed(&r), "seed %u: worst %g, %u beyond", (unsigned)seed, r.worst, (unsigned)r.beyond);
        cr_assert(r.max_error > 0 && r.unbounded == 0 && r.n == OUT * S);
    }
}

Test(check, faults_are_found)
{
    static const struct {
        const char *from, *to, *what;
    } fault[] = {
        {"y = mask)", "y = scale)", "no mask"},
        {"x = qh, y = kh", "x = kh, y = qh", "swapped operands of a product"},
        {"transpose_x = no, transpose_y = yes, x = vh", "transpose_x = no, transpose_y = no, x = vh", "a product not transposed"},
        {"d = sub(x = a, y = b)", "d = sub(x = b, y = a)", "swapped ports"},
        {"d = sub(", "d = add(", "another operation"},
        {"n = mul(x = a, y = r)", "n = mul(x = b, y = r)", "another port"},
        {"weight = wq", "weight = wk", "weights of another parameter"},
        {"g = sigmoid(", "g = tanh(", "another function"},
        {"me = add(x = ms, y = eps)", "me = add(x = ms, y = scale)", "another constant"},
        {"ss = mul(x = s, y = scale)", "ss = mul(x = s, y = limit)", "another scale"},
        {"hi = slice_by_size(begin = begin", "hi = slice_by_size(begin = zero4", "another slice"},
        {"values = (sel, lo, hl, pf)", "values = (sel, hl, lo, pf)", "parts in another order"},
        {"a = d, b = tg", "a = tg, b = d", "swapped branches"},
        {"axis = im1, x = sm", "axis = i1, x = sm", "softmax along another axis"},
        {"hl = real_div(", "hl = mul(", "another operation at the end"},
    };
    for (size_t i = 0; i < COUNT(fault); i++) {
        CheckRow r = row_with(fault[i].from, fault[i].to, 7);
        cr_assert(!check_passed(&r), "%s was not found: worst %g", fault[i].what, r.worst);
        cr_assert(r.worst > 10, "%s is barely found: worst %g", fault[i].what, r.worst);
    }
}

/* One weight off by one part in sixteen moves one channel of q by about a hundredth. */
Test(check, a_single_wrong_weight_is_found)
{
    Arena  *a = arena_new();
    Buf     mil = text_with(NULL, NULL);
    char   *wq = strstr(mil.data, "wq = const"), *number = strstr(wq, "([") + 2;
    double  x = strtod(number, NULL);
    size_t  n = strcspn(number, ",");
    Buf     other = {0};
    buf_add(&other, mil.data, (size_t)(number - mil.data));
    buf_printf(&other, "%a%s", (double)f16_round((float)(x * 1.0625)), number + n);
    Mil64    *m = reference();
    double   *in[INPUTS] = {numbers(1, C * S), numbers(2, C * S)}, *got = on_device(&other, &(DeviceOptions){0}, in);
    CheckRows rows = {0};
    check_compare(a, m, (const double *const *)in, (const double *const[]){got}, NULL, (CheckRow){.program = "test"}, &rows);
    cr_assert(!check_passed(&rows.row[0]), "worst %g", rows.row[0].worst);
    free(got);
    free(in[0]);
    free(in[1]);
    mil64_free(m);
    buf_free(&mil);
    buf_free(&other);
    arena_free(a);
}

/* Parts lie where the plan says, in any order and with padding between them, which is not compared. */
Test(check, parts_are_compared_where_they_lie)
{
    Arena    *a = arena_new();
    Buf       mil = text_with(NULL, NULL);
    Mil64    *m = reference();
    double   *in[INPUTS] = {numbers(1, C * S), numbers(2, C * S)}, *got = on_device(&mil, &(DeviceOptions){0}, in);
    PlanPart  part[] = {{.name = "last", .channel = OUT - 4, .channels = 4}, {.name = "first", .channel = 2, .channels = 3},
                        {.name = "last again", .channel = OUT - 4, .channels = 4}};
    PlanPort  port = {.name = "y", .part = part, .parts = COUNT(part)};
    CheckRows rows = {0};
    for (int i = 5 * S; i < (OUT - 4) * S; i++)
        got[i] = NAN;
    got[S] = 1e4;
    check_compare(a, m, (const double *const *)in, (const double *const[]){got}, &port, (CheckRow){.program = "test"}, &rows);
    cr_assert_eq(rows.rows, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_str_eq(rows.row[i].output, part[i].name);
        cr_expect_eq(rows.row[i].n, part[i].channels * S);
        cr_expect(check_passed(&rows.row[i]), "%s: worst %g", part[i].name, rows.row[i].worst);
    }
    got[4 * S] += 1;
    rows.rows = 0;
    check_compare(a, m, (const double *const *)in, (const double *const[]){got}, &port, (CheckRow){.program = "test"}, &rows);
    cr_expect(check_passed(&rows.row[0]) && !check_passed(&rows.row[1]) && check_passed(&rows.row[2]));
    free(got);
    free(in[0]);
    free(in[1]);
    mil64_free(m);
    buf_free(&mil);
    arena_free(a);
}

Test(check, numbers_that_are_not_finite_are_beyond)
{
    Arena    *a = arena_new();
    Mil64    *m = reference();
    Buf       mil = text_with(NULL, NULL);
    double   *in[INPUTS] = {numbers(1, C * S), numbers(2, C * S)}, *got = on_device(&mil, &(DeviceOptions){0}, in);
    CheckRows rows = {0};
    got[5] = NAN;
    got[6] = INFINITY;
    check_compare(a, m, (const double *const *)in, (const double *const[]){got}, NULL, (CheckRow){.program = "test"}, &rows);
    cr_assert(rows.row[0].beyond == 2 && !check_passed(&rows.row[0]));
    free(got);
    free(in[0]);
    free(in[1]);
    mil64_free(m);
    buf_free(&mil);
    arena_free(a);
}

Test(check, half_of_the_last_place)
{
    cr_assert(mil64_half_ulp(1) == 0x1p-11 && mil64_half_ulp(-1.999) == 0x1p-11 && mil64_half_ulp(2) == 0x1p-10);
    cr_assert(mil64_half_ulp(0x1p-14) == 0x1p-25 && mil64_half_ulp(0x1p-20) == 0x1p-25 && mil64_half_ulp(0) == 0x1p-25);
    cr_assert(mil64_half_ulp(65504) == 16);
}

Test(check, operations_without_a_reference_are_refused)
{
    Buf mil = text_with("t = tanh(x = o)", "t = cos(x = o)"), err = {0};
    cr_assert(!mil64_new("test.mil", mil.data, mil.len, NULL, 0, &err));
    cr_assert(strstr(err.data, "test.mil: there is no reference for 'cos'") != NULL, "%s", err.data);
    buf_free(&mil);
    buf_free(&err);
}

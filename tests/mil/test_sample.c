/* test_sample.c: the complete sample program against an fp64 reference, the rules of device.h, and damaged texts. */
#include "mil_test.h"
#include "sample.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CH = 256, SEQ = 128 };

void sample_weights(Buf *file, double *gain, double *matrix)
{
    uint16_t *h = xmalloc(CH * CH * 2);
    blob_begin(file);
    for (int i = 0; i < CH; i++) {
        gain[i] = f16_round_f64(1 + 0.25 * rng_normal(1, (uint64_t)i));
        h[i] = f16_from_f64(gain[i]);
    }
    cr_assert_eq(blob_add(file, BLOB_F16, h, CH * 2), 64);
    for (int i = 0; i < CH * CH; i++) {
        matrix[i] = f16_round_f64(rng_normal(2, (uint64_t)i) / 16);
        h[i] = f16_from_f64(matrix[i]);
    }
    cr_assert_eq(blob_add(file, BLOB_F16, h, (size_t)CH * CH * 2), 640);
    free(h);
}

static void normal(void *context, uint32_t port, double *x, size_t n)
{
    (void)context, (void)port;
    for (size_t i = 0; i < n; i++)
        x[i] = rng_normal(3, i);
}

static void reference(const double *x, const double *gain, const double *matrix, double *out)
{
    for (int s = 0; s < SEQ; s++) {
        double sum = 0;
        for (int c = 0; c < CH; c++)
            sum += x[c * SEQ + s] * x[c * SEQ + s];
        double r = 1 / sqrt(sum * 0x1p-8 + f16_round_f64(0x1.5p-17));
        for (int c = 0; c < CH; c++)
            out[(CH + c) * SEQ + s] = x[c * SEQ + s] * r * gain[c];
        for (int o = 0; o < CH; o++) {
            double y = x[o * SEQ + s];
            for (int c = 0; c < CH; c++)
                y += matrix[o * CH + c] * out[(CH + c) * SEQ + s];
            out[o * SEQ + s] = y;
        }
    }
}

Test(mil_sample, the_complete_program_agrees_with_the_reference)
{
    Buf     file = {0};
    double *gain = xcalloc(CH, 8), *matrix = xcalloc(CH * CH, 8), *want = xcalloc(2 * CH * SEQ, 8);
    sample_weights(&file, gain, matrix);
    DeviceFile f = {"@model_path/weights/w.bin", file.data, file.len, false};
    for (int mode = 0; mode < 3; mode++) {
        MilRun r;
        mil_run(&r, sample_mil, mode ? NUMERICS_ANE : NUMERICS_EXACT, mode == 2 ? REDUCE_LENIENT : REDUCE_STRICT, &f, 1,
                normal, NULL);
        cr_assert(r.ok, "%s", r.err.data);
        reference(r.in[0], gain, matrix, want);
        double worst = 0, error = 0, norm = 0;
        for (int i = 0; i < 2 * CH * SEQ; i++) {
            double e = r.out[0][i] - want[i];
            worst = fmax(worst, fabs(e));
            error += e * e;
            norm += want[i] * want[i];
        }
        cr_expect(worst <= (mode ? 0.02 : 1e-12), "mode %d: the worst error is %g", mode, worst);
        cr_expect(sqrt(error / norm) <= (mode ? 1.5e-3 : 1e-13), "mode %d: the relative error is %g", mode,
                  sqrt(error / norm));
        mil_run_free(&r);
    }
    free(gain);
    free(matrix);
    free(want);
    buf_free(&file);
}

/* ---- the interface -------------------------------------------------------------------------------------------- */

static const char two[] = "program(1.3)\n{\nfunc first<ios18>(fp16 x) { fp16 y = add(x = x, y = x); } -> (y);\n"
                          "/* twice */ func second<ios18>(tensor<fp16, [2]> x) { tensor<fp16, [2]> y = mul(x = x, y = "
                          "3.0); // thrice\n} -> (y);\n}\n";

Test(mil_device, several_functions_share_a_program_and_requests_are_reused)
{
    Buf      err = {0};
    Device  *d = device_open("host", NULL, &err);
    Program *p = program_compile(d, "two.mil", two, strlen(two), NULL, 0, &err);
    cr_assert(p, "%s", err.data);
    cr_assert_eq(program_functions(p), 2);
    cr_assert_str_eq(program_function(p, 1)->name, "second");
    cr_assert_eq(program_function(p, 1)->input[0].bytes, 4);
    Surface *in = surface_new(d, 1, &err), *out = surface_new(d, 100000, &err);
    cr_assert_eq(surface_bytes(in), 65536);
    cr_assert_eq(surface_bytes(out), 131072);
    Request *r0 = request_new(p, 0, &in, &out, &err), *r1 = request_new(p, 1, &in, &out, &err);
    cr_assert_null(request_new(p, 2, &in, &out, &err));
    uint16_t *x = surface_lock(in, true);
    x[0] = f16_from_f32(2);
    x[1] = f16_from_f32(-1);
    surface_unlock(in, true);
    const uint16_t *y = surface_lock(out, false);
    for (int i = 0; i < 3; i++) {
        cr_assert(request_eval(r0, &err) && f16_to_f32(y[0]) == 4);
        cr_assert(request_eval(r1, &err) && f16_to_f32(y[0]) == 6 && f16_to_f32(y[1]) == -3);
    }
    surface_unlock(out, false);
    request_free(r0);
    request_free(r1);
    surface_free(in);
    surface_free(out);
    program_free(p);
    device_close(d);
    buf_clear(&err);
    cr_assert_null(device_open("hots", NULL, &err));
    cr_assert(strstr(err.data, "known devices: host") != NULL);
    buf_free(&err);
}

Test(mil_device, a_surface_too_small_for_its_port_is_refused)
{
    static const char text[] = PROGRAM(H("40000") "x", H("40000") "y = identity(x = x);", "y");
    Buf      err = {0};
    Device  *d = device_open("host", NULL, &err);
    Program *p = program_compile(d, "t.mil", text, strlen(text), NULL, 0, &err);
    Surface *s = surface_new(d, 100, &err);
    cr_assert_null(request_new(p, 0, &s, &s, &err));
    cr_assert(strstr(err.data, "input 'x' needs 80000 bytes, its surface has 65536") != NULL);
    surface_free(s);
    program_free(p);
    device_close(d);
    buf_free(&err);
}

Test(mil_device, weights_stay_as_they_were_when_compiled)
{
    static const char text[] =
        PROGRAM(H("1") "x",
                H("64") "w = const()[name = \"w\", val = tensor<fp16, [64]>(BLOBFILE(path = string(\"@model_path/w\"), "
                        "offset = uint64(64)))];\n" H("64") "y = add(x = x, y = w);",
                "y");
    uint16_t h[64];
    Buf      file = {0}, err = {0};
    for (int i = 0; i < 64; i++)
        h[i] = f16_from_f32((float)i);
    blob_begin(&file);
    blob_add(&file, BLOB_F16, h, sizeof h);
    DeviceFile f = {"@model_path/w", file.data, file.len, false};
    Device    *d = device_open("host", NULL, &err);
    Program   *p = program_compile(d, "t.mil", text, strlen(text), &f, 1, &err);
    cr_assert(p, "%s", err.data);
    memset(file.data, 0, file.len);
    Surface *in = surface_new(d, 2, &err), *out = surface_new(d, 128, &err);
    Request *r = request_new(p, 0, &in, &out, &err);
    cr_assert(request_eval(r, &err));
    cr_assert_eq(f16_to_f32(((uint16_t *)surface_lock(out, false))[63]), 63);
    surface_unlock(out, false);
    request_free(r);
    surface_free(in);
    surface_free(out);
    program_free(p);
    device_close(d);
    buf_free(&file);
}

/* ---- damage --------------------------------------------------------------------------------------------------- */

enum { MUTATIONS = 20000 };
static const char *const spice[] = {
    "(",     ")",    "[",     "]]]", "{",    "<",           ">",
    ";",     ",",    "=",     "0",   "-1",   "99999999999", "0x3c00",
    "1e300", "\"",   "/*",    "//",  "fp16", "int32",       "tensor<fp16, [1, 256, 1, 128]>",
    "const", "true", "i00_x", "sq",  "mul",  "axis",        "BLOBFILE(",
    "\\",    "\xff", "->"};

/* Replace, insert, delete and copy around; a text of at most `cap` bytes. */
static size_t mutate(char *t, size_t len, size_t cap, uint64_t key)
{
    int edits = 1 + (int)(rng_u64(key, 0) % 4);
    for (int e = 0; e < edits; e++) {
        size_t at = rng_u64(key, 10u * (unsigned)e + 1) % len, what = rng_u64(key, 10u * (unsigned)e + 2) % 5,
               r = rng_u64(key, 10u * (unsigned)e + 3);
        if (what == 0)
            t[at] = (char)r;
        else if (what == 1 && len > 40) { /* delete a few bytes */
            size_t n = 1 + r % 20;
            n = n < len - at ? n : len - at;
            memmove(t + at, t + at + n, len - at - n);
            len -= n;
        } else if (what == 2) { /* a digit for a digit */
            while (at < len && (t[at] < '0' || t[at] > '9'))
                at++;
            if (at < len)
                t[at] = (char)('0' + r % 10);
        } else {
            const char *s = spice[r % COUNT(spice)];
            size_t      n = strlen(s);
            if (len + n > cap)
                continue;
            memmove(t + at + n, t + at, len - at);
            memcpy(t + at, s, n);
            len += n;
        }
    }
    return len;
}

Test(mil_fuzz, damaged_texts_are_told_and_never_crash)
{
    Buf    file = {0};
    double *gain = xcalloc(CH, 8), *matrix = xcalloc(CH * CH, 8);
    size_t len = strlen(sample_mil), cap = len + 1000;
    char  *text = xmalloc(cap);
    sample_weights(&file, gain, matrix);
    DeviceFile f = {"@model_path/weights/w.bin", file.data, file.len, false};
    int        accepted = 0;
    for (uint64_t i = 0; i < MUTATIONS; i++) {
        memcpy(text, sample_mil, len);
        size_t n = mutate(text, len, cap, rng_key(i, "mil"));
        char  *errors = mil_compile_errors(text, n, &f, 1);
        accepted += errors == NULL;
        cr_assert(!errors || strstr(errors, "error") != NULL, "%s", errors);
        free(errors);
    }
    cr_assert(accepted > 100 && accepted < MUTATIONS, "%d accepted", accepted);
    free(text);
    free(gain);
    free(matrix);
    buf_free(&file);
}

/* Every operation's own text, damaged, and run if it is still accepted. */
Test(mil_fuzz, damaged_operations_are_refused_or_run)
{
    const OpCases *tables[] = {&axis_cases, &move_cases};
    int            ran = 0;
    for (size_t t = 0; t < COUNT(tables); t++)
        for (size_t c = 0; c < tables[t]->count; c++)
            for (uint64_t i = 0; i < 150; i++) {
                char   text[4096];
                size_t n = strlen(tables[t]->item[c].text);
                cr_assert(n + 500 < sizeof text);
                memcpy(text, tables[t]->item[c].text, n);
                n = mutate(text, n, sizeof text - 1, rng_key(i, tables[t]->item[c].text));
                text[n] = 0;
                char *errors = mil_compile_errors(text, n, NULL, 0);
                if (!errors && strlen(text) == n) {
                    MilRun r;
                    mil_run(&r, text, i % 2 ? NUMERICS_ANE : NUMERICS_EXACT, REDUCE_STRICT, NULL, 0, normal, NULL);
                    ran += r.ok;
                    mil_run_free(&r);
                }
                free(errors);
            }
    cr_assert(ran > 100, "%d ran", ran);
}

Test(mil_fuzz, truncated_and_nested_texts_are_told)
{
    for (size_t n = 0; n < strlen(sample_mil) - 3; n += 7) {
        char *errors = mil_compile_errors(sample_mil, n, NULL, 0);
        cr_assert(errors != NULL);
        free(errors);
    }
    static char deep[200000];
    for (int open = 0; open < 3; open++) {
        size_t n =
            (size_t)snprintf(deep, sizeof deep, "program(1.3)\n{\nfunc main<ios18>(fp16 x) {\nfp16 y = add(x = ");
        memset(deep + n, "([{"[open], sizeof deep - n);
        char *errors = mil_compile_errors(deep, sizeof deep, NULL, 0);
        cr_assert(errors && strstr(errors, "nested more than 64 deep") != NULL, "%s", errors);
        free(errors);
    }
}

/* test_quirks.c: the comparison with the reference finds what engines compute differently (quirks.def), names where, and
 * finds nothing on the same programs without the quirk. */
#include "base/f16.h"
#include "base/rng.h"
#include "check/compare.h"
#include "device.h"
#include "quirks.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N = 64 * 32 };

#define T "tensor<fp16, [1, 2, 32, 32]> "
#define PROGRAM(body) "program(1.3)\n{\nfunc main<ios18>(" T "a, " T "b) {\n" body "\n} -> (found);\n}\n"

/* How the output that the host device makes with `quirks` compares. `name`: of that output. */
static CheckRow compare(const char *text, uint32_t quirks, double scale, char name[32])
{
    Arena   *a = arena_new();
    Buf      err = {0};
    Device  *d = device_open("host", &(DeviceOptions){.quirks = quirks}, &err);
    Program *p = program_compile(d, "test.mil", text, strlen(text), NULL, 0, &err);
    Mil64   *m = mil64_new("test.mil", text, strlen(text), NULL, 0, &err);
    cr_assert(p && m, "%s", err.data);
    const Port *port = &program_function(p, 0)->output[0];
    size_t      count = port->bytes / 2;
    double     *in[2] = {NEW_N(a, double, N), NEW_N(a, double, N)}, *got = NEW_N(a, double, count);
    Surface    *s[2], *out = surface_new(d, port->bytes, &err);
    for (int k = 0; k < 2; k++) {
        s[k] = surface_new(d, N * 2, &err);
        uint16_t *to = surface_lock(s[k], true);
        for (int i = 0; i < N; i++) {
            to[i] = f16_from_f64(scale * rng_normal((uint64_t)k, (uint64_t)i));
            in[k][i] = (double)f16_to_f32(to[i]);
        }
        surface_unlock(s[k], true);
    }
    Request *r = request_new(p, 0, s, &out, &err);
    cr_assert(request_eval(r, &err), "%s", err.data);
    const uint16_t *from = surface_lock(out, false);
    for (size_t i = 0; i < count; i++)
        got[i] = (double)f16_to_f32(from[i]);
    surface_unlock(out, false);
    CheckRows rows = {0};
    check_compare(a, m, (const double *const *)in,
                  (const double *const[]){got}, NULL, NULL, (CheckRow){.program = "test"}, &rows);
    CheckRow row = rows.row[0];
    strncpy(name, rows.row[0].output, 31);
    request_free(r);
    surface_free(s[0]);
    surface_free(s[1]);
    surface_free(out);
    program_free(p);
    mil64_free(m);
    device_close(d);
    buf_free(&err);
    arena_free(a);
    return row;
}

static const struct {
    const char *text;
    uint32_t    quirk;
    double      scale;
} cases[] = {
    {PROGRAM("tensor<fp16, [1, 1, 32, 32]> mask = slice_by_size(x = b, begin = [0, 0, 0, 0], size = [1, 1, 32, 32]);\n" T
             "found = scaled_dot_product_attention(query = a, key = b, value = a, attn_mask = mask);"),
     QUIRK_MASK_IGNORED, 2},
    {PROGRAM(T "found = matmul(x = a, y = b, transpose_x = false, transpose_y = false);"), QUIRK_HALF_RANGE, 50},
    {PROGRAM("tensor<fp16, [1, 2, 32, 16]> cut = slice_by_size(x = a, begin = [0, 0, 0, 16], size = [1, 2, 32, 16]);\n"
             "tensor<fp16, [1, 2, 32, 16]> found = add(x = cut, y = cut);"),
     QUIRK_SLICE_CROP, 2000},
};

Test(check_quirks, are_found_and_named)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        char     name[32] = "";
        CheckRow r = compare(cases[i].text, 0, cases[i].scale, name);
        cr_assert(check_passed(&r), "%zu: right numbers: worst %g, %u beyond", i, r.worst, (unsigned)r.beyond);
        r = compare(cases[i].text, cases[i].quirk, cases[i].scale, name);
        cr_assert(!check_passed(&r), "%zu: not found: worst %g", i, r.worst);
        cr_assert(r.beyond > 0 && strcmp(name, "found") == 0, "%zu: %s", i, name);
    }
}

/* test_threads.c: a program with every kind of step of the host device, large enough that threads share each of them:
 * the same bits for any number of threads, on the same surfaces, and with one surface for input and output. */
#include "mil_test.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Attention of 4 heads over 256 positions, with its weights as inputs, a normalisation and a gate; the packed output
 * holds values that others read too. */
#define X H("1, 256, 1, 256")
#define HEADS H("1, 4, 64, 256")
#define SCORES H("1, 4, 256, 256")
static const char text[] = PROGRAM(
    H("1, 512, 1, 256") "in, " H("256, 256, 1, 1") "w",
    X "x = slice_by_size(x = in, begin = [0, 0, 0, 0], size = [1, 256, 1, 256]);\n"
    X "g = slice_by_size(x = in, begin = [0, 256, 0, 0], size = [1, 256, 1, 256]);\n"
    X "s = mul(x = x, y = x);\n"
    H("1, 256, 1, 1") "ones = fill(shape = [1, 256, 1, 1], value = fp16(0x1p-8));\n"
    H("1, 1, 1, 256") "sum = conv(x = s, weight = ones, strides = [1, 1], "
    "pad_type = \"valid\", pad = [0, 0, 0, 0], dilations = [1, 1], groups = 1);\n"
    H("1, 1, 1, 256") "r = rsqrt(x = sum, epsilon = fp16(0x1p-10));\n" X "n = mul(x = x, y = r);\n"
    X "q = conv(x = n, weight = w, strides = [1, 1], pad_type = \"valid\", pad = [0, 0, 0, 0], dilations = [1, 1], "
    "groups = 1);\n"
    HEADS "h = reshape(x = q, shape = [1, 4, 64, 256]);\n"
    SCORES "p0 = matmul(x = h, y = h, transpose_x = true, transpose_y = false);\n"
    SCORES "p1 = mul(x = p0, y = fp16(0x1p-5));\n" SCORES "p = softmax(x = p1, axis = -1);\n"
    HEADS "a = matmul(x = h, y = p, transpose_x = false, transpose_y = true);\n"
    H("1, 4, 32, 256") "a1 = slice_by_size(x = a, begin = [0, 0, 32, 0], size = [1, 4, 32, 256]);\n"
    H("1, 4, 32, 256") "a2 = slice_by_size(x = a, begin = [0, 0, 0, 0], size = [1, 4, 32, 256]);\n"
    HEADS "t = concat(values = (a1, a2), axis = 2, interleave = false);\n"
    X "m = reshape(x = t, shape = [1, 256, 1, 256]);\n"
    X "e = sigmoid(x = g);\n" X "y0 = mul(x = m, y = e);\n" X "y = add(x = y0, y = x);\n"
    H("1, 512, 1, 256") "out = concat(values = (y, q), axis = 1, interleave = false);\n",
    "out");

enum { N = 512 * 256, W = 256 * 256 };

/* The packed output with so many threads; `shared`: output and input are one surface. */
static uint16_t *evaluate(uint32_t threads, bool plain, bool shared)
{
    Buf      err = {0};
    Pool    *pool = threads ? pool_new(threads) : NULL;
    Device  *d = device_open("host", &(DeviceOptions){.pool = pool, .plain = plain}, &err);
    Program *p = program_compile(d, "threads.mil", text, strlen(text), NULL, 0, &err);
    cr_assert(p, "%s", err.data);
    Surface *in[] = {surface_new(d, N * 2, &err), surface_new(d, W * 2, &err)};
    Surface *out = shared ? in[0] : surface_new(d, N * 2, &err);
    Request *r = request_new(p, 0, in, &out, &err);
    cr_assert(r, "%s", err.data);
    uint16_t *result = malloc(N * 2);
    for (int turn = 0; turn < 2; turn++) { /* evaluation leaves nothing behind */
        uint16_t *x = surface_lock(in[0], true), *w = surface_lock(in[1], true);
        for (size_t i = 0; i < N; i++)
            x[i] = f16_from_f32((float)rng_normal(1, i));
        for (size_t i = 0; i < W; i++)
            w[i] = f16_from_f32((float)rng_normal(2, i) / 16);
        surface_unlock(in[0], true), surface_unlock(in[1], true);
        cr_assert(request_eval(r, &err), "%s", err.data);
        memcpy(result, surface_lock(out, false), N * 2);
        surface_unlock(out, false);
    }
    request_free(r);
    program_free(p);
    surface_free(in[0]), surface_free(in[1]);
    if (!shared)
        surface_free(out);
    device_close(d);
    pool_free(pool);
    buf_free(&err);
    return result;
}

Test(mil_threads, results_do_not_depend_on_how_they_are_computed)
{
    uint16_t *want = evaluate(0, true, false);
    size_t    nonzero = 0;
    for (size_t i = 0; i < N; i++) {
        cr_assert(isfinite(f16_to_f32(want[i])));
        nonzero += want[i] != 0;
    }
    cr_assert_gt(nonzero, (size_t)N / 2);
    static const uint32_t threads[] = {1, 2, 4};
    for (size_t t = 0; t < 3; t++)
        for (int shared = 0; shared < 2; shared++) {
            uint16_t *got = evaluate(threads[t], false, shared);
            cr_assert(memcmp(got, want, N * 2) == 0, "%u threads%s", threads[t], shared ? ", one surface" : "");
            free(got);
        }
    free(want);
}

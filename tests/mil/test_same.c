/* test_same.c: the kernels chosen for this machine, on several threads, give the bits of the portable ones on one.
 *
 * check_same() runs a program on two devices, one of them plain, and compares the output surfaces byte by byte: on
 * ordinary numbers, and on arbitrary bit patterns, so that infinities, subnormals and NaN are among them (any NaN
 * equals any other). All cases of the other tests pass through it; here are the sizes at which loops change their step,
 * and every class of float on its way to fp16. */
#include "mil_test.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDINARY, ANY_BITS, FILLS };

typedef struct {
    Device  *device;
    Program *program;
    Request *request;
    Surface *in[PORTS], *out[PORTS];
} Side;

static void put_bits(const Port *port, int fill, uint64_t key, void *surface)
{
    size_t n = port_elems(port), bytes = port_elem_bytes(port->type);
    for (size_t i = 0; i < n; i++) {
        uint64_t u = rng_u64(key, i);
        uint32_t small = u % 2; /* integers may be indices */
        float    x = (float)(8 * rng_uniform(key, i) - 4);
        if (port->type == PORT_F16)
            small = fill == ANY_BITS ? (uint16_t)u : f16_from_f32(x);
        else if (port->type == PORT_F32)
            small = fill == ANY_BITS ? (uint32_t)u : f32_bits(x);
        memcpy((char *)surface + i * bytes, &small, bytes); /* little endian, as surfaces are */
    }
}

static bool same(const Port *port, const void *a, const void *b)
{
    for (size_t i = 0; i < port_elems(port); i++) {
        uint32_t x = 0, y = 0, size = (uint32_t)port_elem_bytes(port->type);
        uint32_t inf = port->type == PORT_F16 ? 0x7c00 : port->type == PORT_F32 ? 0x7f800000 : UINT32_MAX;
        uint32_t sign = port->type == PORT_F16 ? 0x8000 : port->type == PORT_F32 ? 0x80000000 : 0;
        memcpy(&x, (const char *)a + i * size, size);
        memcpy(&y, (const char *)b + i * size, size);
        if (x != y && !((x & ~sign) > inf && (y & ~sign) > inf))
            return false;
    }
    return true;
}

static bool open_side(Side *s, const char *text, bool plain, Pool *pool, ReduceMode reduce, uint32_t quirks, Buf *err)
{
    DeviceOptions options = {.plain = plain, .reduce = reduce, .pool = pool, .quirks = quirks};
    *s = (Side){.device = device_open("host", &options, err)};
    s->program = program_compile(s->device, "same.mil", text, strlen(text), NULL, 0, err);
    if (!s->program)
        return false;
    const ProgramFunction *f = program_function(s->program, 0);
    for (uint32_t i = 0; i < f->inputs; i++)
        s->in[i] = surface_new(s->device, f->input[i].bytes, err);
    for (uint32_t i = 0; i < f->outputs; i++)
        s->out[i] = surface_new(s->device, f->output[i].bytes, err);
    s->request = request_new(s->program, 0, s->in, s->out, err);
    return s->request != NULL;
}

static void close_side(Side *s)
{
    request_free(s->request);
    for (int i = 0; i < PORTS; i++) {
        surface_free(s->in[i]);
        surface_free(s->out[i]);
    }
    program_free(s->program);
    device_close(s->device);
}

static bool run_side(Side *s, int fill, const char *text, Buf *err)
{
    const ProgramFunction *f = program_function(s->program, 0);
    for (uint32_t i = 0; i < f->inputs; i++) {
        put_bits(&f->input[i], fill, rng_key(i + 10 * (uint64_t)fill, text), surface_lock(s->in[i], true));
        surface_unlock(s->in[i], true);
    }
    return request_eval(s->request, err);
}

void check_same(const char *text)
{
    check_same_quirks(text, 0);
}

void check_same_quirks(const char *text, uint32_t quirks)
{
    for (int mode = 0; mode < 2 * FILLS; mode++) {
        Side       side[2];
        Buf        err = {0};
        ReduceMode reduce = mode < FILLS ? REDUCE_STRICT : REDUCE_LENIENT;
        bool       ok[2] = {0};
        Pool      *pool = pool_new(3);
        for (int s = 0; s < 2; s++) {
            cr_assert(open_side(&side[s], text, s == 1, s ? NULL : pool, reduce, quirks, &err), "%s\n%s", err.data, text);
            ok[s] = run_side(&side[s], mode % FILLS, text, &err);
        }
        cr_expect_eq(ok[0], ok[1], "%s", text);
        const ProgramFunction *f = program_function(side[0].program, 0);
        for (uint32_t i = 0; ok[0] && i < f->outputs; i++)
            cr_expect(same(&f->output[i], surface_lock(side[0].out[i], false), surface_lock(side[1].out[i], false)),
                      "output '%s' (%s, %s sums) has other bits than the portable kernels give:\n%s", f->output[i].name,
                      mode % FILLS ? "any bits" : "ordinary numbers", reduce == REDUCE_STRICT ? "strict" : "lenient",
                      text);
        close_side(&side[0]);
        close_side(&side[1]);
        pool_free(pool);
        buf_free(&err);
    }
}

Test(mil_same, at_every_length_around_a_step)
{
    static const int length[] = {1,  2,  3,  5,  7,  8,   9,   15,  16,  17,   23,   31,   32,   33,
                                 40, 63, 64, 65, 66, 127, 129, 255, 257, 1023, 1024, 1025, 2047, 3001};
    for (size_t i = 0; i < COUNT(length); i++) {
        char text[3000];
        int  n = length[i];
        snprintf(text, sizeof text,
                 PROGRAM("tensor<fp16, [3, %d]> x, tensor<fp16, [3, %d]> y, tensor<fp16, [3, 1]> z",
                         "tensor<fp16, [3, %d]> a = mul(x = x, y = y);\n"
                         "tensor<fp16, [3, %d]> b = add(x = x, y = z);\n"
                         "tensor<fp16, [3, %d]> c = sub(x = fp16(0x1.8p0), y = y);\n"
                         "tensor<fp16, [3, %d]> d = softmax(x = x, axis = -1);\n"
                         "tensor<fp16, [3, %d]> e = softmax(x = y, axis = 0);\n"
                         "tensor<fp16, [3, 1]> f = reduce_sum(x = x, axes = [1], keep_dims = true);\n"
                         "tensor<fp16, [3, %d]> g = sigmoid(x = x);",
                         "a, b, c, d, e, f, g"),
                 n, n, n, n, n, n, n, n);
        check_same(text);
    }
}

/* Floats whose upper half takes every value, the lower half those next to ties. */
Test(mil_same, every_class_of_float_rounds_alike)
{
    static const char text[] = PROGRAM("tensor<fp32, [65536]> x", H("65536") "y = cast(x = x, dtype = \"fp16\");", "y");
    static const uint32_t low[] = {0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x7fff, 0x8000, 0xefff, 0xf000, 0xffff};
    Side                  side[2];
    Buf                   err = {0};
    Port                  port = {.type = PORT_F16, .rank = 1, .dim = {65536}, .bytes = 131072};
    for (int s = 0; s < 2; s++)
        cr_assert(open_side(&side[s], text, s == 1, NULL, REDUCE_STRICT, 0, &err), "%s", err.data);
    for (size_t l = 0; l < COUNT(low); l++) {
        for (int s = 0; s < 2; s++) {
            uint32_t *x = surface_lock(side[s].in[0], true);
            for (uint32_t i = 0; i < 65536; i++)
                x[i] = i << 16 | low[l];
            surface_unlock(side[s].in[0], true);
            cr_assert(request_eval(side[s].request, &err));
        }
        cr_assert(same(&port, surface_lock(side[0].out[0], false), surface_lock(side[1].out[0], false)), "%x", low[l]);
        const uint16_t *y = surface_lock(side[0].out[0], false);
        for (uint32_t i = 0; i < 65536; i++)
            cr_assert_eq(y[i], f16_from_f32(f32_from_bits(i << 16 | low[l])), "%08x", i << 16 | low[l]);
    }
    for (int s = 0; s < 2; s++)
        close_side(&side[s]);
}

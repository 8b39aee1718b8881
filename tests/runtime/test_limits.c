/* test_limits.c: how often a device compiles. */
#include "base/f16.h"
#include "device.h"
#include "plan/blob.h"

#include <criterion/criterion.h>
#include <string.h>

static const char mil[] =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", "
    "\"3505.4.1\"}})]\n{\n"
    "func main<ios18>(tensor<fp16, [1, 4, 1, 2]> i00_x) { tensor<fp16, [1, 4, 1, 2]> w = const()[name = string(\"w\"), "
    "val = tensor<fp16, [1, 4, 1, 2]>(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = uint64(64)))]; "
    "tensor<fp16, [1, 4, 1, 2]> o00_y = add(x = i00_x, y = w)[name = string(\"o00_y\")]; } -> (o00_y);\n}\n";

static Buf      said;
static Surface *in, *out;

static Device *opened(const DeviceOptions *options)
{
    Device *d = device_open("host", options, &said);
    in = surface_new(d, 64, &said);
    out = surface_new(d, 64, &said);
    return d;
}

static void closed(Device *d)
{
    surface_free(in);
    surface_free(out);
    device_close(d);
    buf_free(&said);
}

/* A program that adds `w`, compiled or made of a donor. */
static Program *adds(Device *d, const Program *donor, float w)
{
    uint16_t half[8];
    Buf      blob = {0};
    for (int i = 0; i < 8; i++)
        half[i] = f16_from_f32(w);
    blob_begin(&blob);
    blob_add(&blob, BLOB_F16, half, sizeof half);
    DeviceFile file = {.path = "@model_path/w.bin", .data = blob.data, .len = blob.len};
    Program   *p = donor ? program_reload(donor, "t.mil", &file, 1, &said)
                         : program_compile(d, "t.mil", mil, sizeof mil - 1, &file, 1, &said);
    buf_free(&blob);
    return p;
}

/* What the program adds to zero; it is freed. */
static float added(Program *p)
{
    Request *r = request_new(p, 0, &in, &out, &said);
    cr_assert(r && request_eval(r, &said), "%s", said.data);
    float y = f16_to_f32(*(uint16_t *)surface_lock(out, false));
    surface_unlock(out, false);
    request_free(r);
    program_free(p);
    return y;
}

Test(limits, compilations_beyond_the_budget_are_refused)
{
    Device *d = opened(&(DeviceOptions){.max_compiles = 2});
    cr_assert_eq(device_compiles_left(d), 2);
    cr_assert(added(adds(d, NULL, 1)) == 1);
    Program *p = adds(d, NULL, 2), *q = adds(d, p, 3); /* new weights are no compilation */
    cr_assert(p && q, "%s", said.data);
    cr_assert(added(q) == 3);
    cr_assert_eq(device_compiles_left(d), 0);
    cr_assert_eq(device_counts(d).compiles, 2);
    cr_assert(adds(d, NULL, 4) == NULL); /* freed programs give nothing back */
    cr_assert(strstr(said.data, "t.mil: error: the compile budget of 2 programs in a process is used up") != NULL, "%s",
              said.data);
    cr_assert(added(p) == 2);
    closed(d);
}

Test(limits, without_a_budget_there_is_no_limit)
{
    Device *d = opened(NULL);
    cr_assert_eq(device_compiles_left(d), UINT64_MAX);
    for (int i = 0; i < 200; i++)
        program_free(adds(d, NULL, 1));
    cr_assert_eq(device_counts(d).compiles, 200);
    closed(d);
}

/* test_device.c: every word of faults.def on a device, and what device.c makes of it for its callers. */
#include "base/f16.h"
#include "device.h"
#include "plan/blob.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define T "tensor<fp16, [1, 4, 1, 2]> "
#define HEAD                                                                                                   \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", " \
    "\"3505.4.1\"}})]\n{\n"
/* out = in + w */
static const char one[] =
    HEAD "func main<ios18>(" T "i00_x) { " T "w = const()[name = string(\"w\"), val = " T "(BLOBFILE(path = "
         "string(\"@model_path/w.bin\"), offset = uint64(64)))]; " T
         "o00_y = add(x = i00_x, y = w)[name = string(\"o00_y\")]; } -> (o00_y);\n}\n";
/* two ports each: out0 = in0 + in0, out1 = in1 * in0 */
static const char pair[] = HEAD "func main<ios18>(" T "i00_x, " T "i01_x) { " T
                                "o00_y = add(x = i00_x, y = i00_x)[name = string(\"o00_y\")]; " T
                                "o01_y = mul(x = i01_x, y = i00_x)[name = string(\"o01_y\")]; } -> (o00_y, o01_y);\n}\n";
enum { N = 8 };

static Buf said;

static Device *opened(const char *faults)
{
    buf_clear(&said);
    Device *d = device_open("host", &(DeviceOptions){.faults = faults, .max_compiles = 20}, &said);
    cr_assert_not_null(d, "%s", said.data);
    return d;
}

static void closed(Device *d)
{
    device_close(d);
    buf_free(&said);
}

static bool tells(const char *words)
{
    return said.data && strstr(said.data, words) != NULL;
}

/* A program that adds `w`, compiled or made of a donor. */
static Program *adds(Device *d, const Program *donor, float w)
{
    uint16_t half[N];
    Buf      blob = {0};
    for (int i = 0; i < N; i++)
        half[i] = f16_from_f32(w);
    blob_begin(&blob);
    blob_add(&blob, BLOB_F16, half, sizeof half);
    DeviceFile file = {.path = "@model_path/w.bin", .data = blob.data, .len = blob.len};
    Program   *p = donor ? program_reload(donor, "t.mil", &file, 1, &said)
                         : program_compile(d, "t.mil", one, sizeof one - 1, &file, 1, &said);
    buf_free(&blob);
    return p;
}

static Surface *surface(Device *d, size_t bytes, float fill)
{
    Surface  *s = surface_new(d, bytes, &said);
    uint16_t *x = surface_lock(s, true);
    for (int i = 0; i < N; i++)
        x[i] = f16_from_f32(fill);
    surface_unlock(s, true);
    return s;
}

static float first(Surface *s)
{
    float y = f16_to_f32(*(uint16_t *)surface_lock(s, false));
    surface_unlock(s, false);
    return y;
}

/* What the program adds to zero; NaN: the evaluation failed, and said why. */
static float added(Device *d, Program *p)
{
    Surface *in = surface(d, port_surface_bytes(&program_function(p, 0)->input[0]), 0),
            *out = surface(d, port_surface_bytes(&program_function(p, 0)->output[0]), 7);
    Request *r = request_new(p, 0, &in, &out, &said);
    cr_assert(r != NULL, "%s", said.data);
    float y = request_eval(r, &said) ? first(out) : NAN;
    request_free(r);
    surface_free(in);
    surface_free(out);
    return y;
}

Test(faults, words_are_checked)
{
    static const struct {
        const char *text, *words;
    } bad[] = {{"stale-relaod", "did you mean 'stale-reload'? Known are compile-limit=N"},
               {"hang=3,nothing", "there is no fault 'nothing'"},
               {"hang", "the fault 'hang' takes a number from 1 on: hang=N"},
               {"hang=x", "takes a number"},
               {"hang=0", "takes a number"},
               {"hang=-1", "takes a number"},
               {"swap-symbols=1", "the fault 'swap-symbols' takes no value"},
               {"hang=1,", "there is no fault ''"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        buf_clear(&said);
        cr_assert(device_open("host", &(DeviceOptions){.faults = bad[i].text}, &said) == NULL);
        cr_assert(tells(bad[i].words), "%s: %s", bad[i].text, said.data);
    }
    closed(opened(""));
    closed(opened("hang=3,stale-reload,nan-surfaces"));
}

Test(faults, old_weights_stay_where_they_say)
{
    static const struct {
        const char *fault;
        float       reloaded, compiled; /* after weights 1 were replaced by 2 */
    } expected[] = {{NULL, 2, 2}, {"stale-reload", 1, 2}, {"stale-compile", 2, 1}, {"stale-large", 2, 2}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        Device  *d = opened(expected[i].fault);
        Program *a = adds(d, NULL, 1), *b = adds(d, a, 2), *c = adds(d, NULL, 2);
        cr_assert(added(d, b) == expected[i].reloaded && added(d, c) == expected[i].compiled && added(d, a) == 1);
        program_free(a);
        program_free(b);
        program_free(c);
        closed(d);
    }
}

Test(faults, failures_by_chance_are_tried_again_and_counted)
{
    static const struct {
        const char *fault, *words; /* NULL: it recovers */
        uint64_t    compiles;
        Refusal     refusal;
    } expected[] = {{"compile-fails=2", NULL, 3, REFUSED_NOT},
                    {"compile-fails=9", "ANECCompile() FAILED\n(tried 4 times)", 4, REFUSED_ENGINE},
                    {"load-fails=1", NULL, 2, REFUSED_NOT},
                    {"load-fails=9", "0x20004", 4, REFUSED_LOAD},
                    {"cache-broken", NULL, 2, REFUSED_NOT},
                    {"compile-fails=1,load-fails=1", NULL, 3, REFUSED_NOT}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        Device  *d = opened(expected[i].fault);
        Program *p = adds(d, NULL, 3);
        cr_assert((p == NULL) == (expected[i].words != NULL), "%s", expected[i].fault);
        cr_assert(p ? added(d, p) == 3 : tells(expected[i].words), "%s: %s", expected[i].fault, said.data);
        cr_assert_eq(device_counts(d).compiles, expected[i].compiles, "%s", expected[i].fault);
        cr_assert_eq(device_compiles_left(d), 20 - expected[i].compiles);
        cr_assert_eq(device_refusal(d), expected[i].refusal);
        program_free(p);
        closed(d);
    }
}

Test(faults, a_table_of_programs_is_full_at_once)
{
    for (int total = 0; total < 2; total++) {
        Device  *d = opened(total ? "compile-total=2" : "compile-limit=2");
        Program *a = adds(d, NULL, 1), *b = adds(d, NULL, 2);
        cr_assert(a && b && !adds(d, NULL, 3));
        cr_assert(tells("no more programs") && !tells("tried"), "%s", said.data);
        cr_assert_eq(device_refusal(d), REFUSED_LIMIT);
        program_free(a);
        a = adds(d, NULL, 3);
        cr_assert((a != NULL) == !total); /* freeing gives back a place in one of them */
        program_free(a);
        program_free(b);
        closed(d);
    }
}

Test(faults, surfaces_are_zero_whatever_the_driver_gives)
{
    Device  *d = opened("nan-surfaces");
    Surface *s = surface_new(d, 10, &said);
    const char *x = surface_lock(s, false);
    for (size_t i = 0; i < surface_bytes(s); i++)
        cr_assert_eq(x[i], 0);
    surface_unlock(s, false);
    surface_free(s);
    closed(d);
}

Test(faults, surfaces_have_the_sizes_that_programs_were_compiled_for)
{
    Device  *d = opened("large-ports=100000");
    Program *p = adds(d, NULL, 3);
    const Port *port = &program_function(p, 0)->input[0];
    cr_assert(port->bytes == 16 && port->alloc == 100000 && port_surface_bytes(port) == 100000);
    Surface *small = surface(d, 16, 0);
    cr_assert(request_new(p, 0, &small, &small, &said) == NULL);
    cr_assert(tells("needs 100000 bytes, its surface has 65536"), "%s", said.data);
    cr_assert(added(d, p) == 3);
    surface_free(small);
    program_free(p);
    closed(d);
}

Test(faults, evaluations_fail_with_their_name_and_number)
{
    static const struct {
        const char *fault, *words;
    } expected[] = {{"small-surface=70000", "evaluation 1 of 't.mil' failed: the engine refused to evaluate: "
                                            "ANEProgramProcessRequestDirect() Failed with status=0x1d"},
                    {"wrong-procedure", "status=0x2"},
                    {"eval-fails=2", "evaluation 2 of 't.mil' failed"}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        Device  *d = opened(expected[i].fault);
        Program *p = adds(d, NULL, 3);
        cr_assert(i < 2 || added(d, p) == 3);
        cr_assert(isnan(added(d, p)));
        cr_assert(tells(expected[i].words), "%s", said.data);
        program_free(p);
        closed(d);
    }
}

Test(faults, what_fails_leaves_garbage)
{
    Device  *d = opened("eval-fails=1");
    Program *p = adds(d, NULL, 3);
    Surface *in = surface(d, 16, 0), *out = surface(d, 16, 7);
    Request *r = request_new(p, 0, &in, &out, &said);
    cr_assert(!request_eval(r, &said));
    cr_assert(*(const unsigned char *)surface_lock(out, false) == 0x5a && first(in) == 0);
    surface_unlock(out, false);
    request_free(r);
    surface_free(in);
    surface_free(out);
    program_free(p);
    closed(d);
}

Test(faults, exchanged_symbols_exchange_ports)
{
    for (int swapped = 0; swapped < 2; swapped++) {
        Device  *d = opened(swapped ? "swap-symbols" : "dirty-padding");
        Program *p = program_compile(d, "pair.mil", pair, sizeof pair - 1, NULL, 0, &said);
        cr_assert(p != NULL, "%s", said.data);
        Surface *in[2] = {surface(d, 16, 2), surface(d, 16, 5)}, *out[2] = {surface(d, 16, 0), surface(d, 16, 0)};
        Request *r = request_new(p, 0, in, out, &said);
        cr_assert(request_eval(r, &said));
        cr_assert(first(out[0]) == (swapped ? 10 : 4) && first(out[1]) == 10); /* 2 + 2, 5 * 2; or 2 * 5, 5 + 5 */
        const uint16_t *x = surface_lock(in[0], false);
        cr_assert(isnan(f16_to_f32(x[N])) == !swapped && !isnan(f16_to_f32(x[N - 1])));
        surface_unlock(in[0], false);
        request_free(r);
        for (int i = 0; i < 2; i++) {
            surface_free(in[i]);
            surface_free(out[i]);
        }
        program_free(p);
        closed(d);
    }
}

Test(faults, an_evaluation_that_hangs_is_given_up_with_the_device)
{
    Device  *d = device_open("host", &(DeviceOptions){.faults = "hang=2", .eval_seconds = 0.05}, &said);
    Program *p = adds(d, NULL, 3);
    Surface *in = surface(d, 16, 1), *out = surface(d, 16, 0);
    Request *r = request_new(p, 0, &in, &out, &said);
    cr_assert(request_eval(r, &said) && first(out) == 4); /* a thread of its own changes nothing */
    cr_assert(!device_wedged(d));
    cr_assert(!request_eval(r, &said));
    cr_assert(tells("evaluation 2 of 't.mil' did not return within 0.05 s (--eval-timeout)"), "%s", said.data);
    cr_assert(device_wedged(d));
    buf_clear(&said);
    cr_assert(!request_eval(r, &said) && tells("not used again in this process"));
    cr_assert(!adds(d, NULL, 1) && !adds(d, p, 1) && !surface_new(d, 16, &said) && !request_new(p, 0, &in, &out, &said));
    request_free(r); /* all of it is left alone */
    program_free(p);
    surface_free(in);
    surface_free(out);
    device_close(d);
    buf_free(&said);
}

Test(faults, slower_evaluations_are_told_as_such)
{
    static const struct {
        const char *fault;
        bool        slow[3]; /* the second evaluation of a program; the third; the first of another one */
    } expected[] = {{"decay=2", {false, true, true}}, {"decay-program=1", {true, true, false}}, {NULL, {false, false, false}}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        Device  *d = opened(expected[i].fault);
        Surface *in = surface(d, 16, 1), *out = surface(d, 16, 0);
        cr_assert_eq(device_decays(d), expected[i].fault != NULL);
        Program *p = adds(d, NULL, 3), *q = adds(d, NULL, 4);
        Request *r = request_new(p, 0, &in, &out, &said), *s = request_new(q, 0, &in, &out, &said);
        cr_assert(request_eval(r, &said));
        for (int k = 0; k < 3; k++) {
            Request *now = k < 2 ? r : s;
            cr_assert(request_eval(now, &said));
            cr_assert_eq(request_time(now).wall_ns >= 1000000000, expected[i].slow[k], "%s, %d", expected[i].fault, k);
        }
        request_free(r);
        request_free(s);
        surface_free(in);
        surface_free(out);
        program_free(p);
        program_free(q);
        closed(d);
    }
}

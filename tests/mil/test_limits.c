/* test_limits.c: a host device that imitates an engine, through the device interface: refusals, surfaces that are too
 * small, ports that give garbage. What is refused is tested text by text in tests/host-limits. */
#include "mil_test.h"

#include "base/f16.h"
#include "target/target.h"

#include <criterion/criterion.h>
#include <string.h>

#define GOOD PROGRAM(H("1, 64, 1, 32") "a", H("1, 64, 1, 32") "y = add(x = a, y = a);", "y")
#define NARROW PROGRAM(H("1, 64, 1, 24") "a", H("1, 64, 1, 24") "y = add(x = a, y = a);", "y")
#define FEW PROGRAM(H("1, 16, 1, 32") "a", H("1, 16, 1, 32") "y = add(x = a, y = a);", "y")
#define ROOT                                                                                           \
    PROGRAM(H("1, 64, 1, 32") "a",                                                                     \
            H("1, 1, 1, 32") "s = reduce_sum(x = a, axes = [1], keep_dims = true);\n" H("1, 1, 1, 32") \
            "r = sqrt(x = s);\n" H("1, 64, 1, 32") "y = mul(x = a, y = r);",                           \
            "y")
#define MODELESS PROGRAM(H("1, 64, 1, 32") "a", H("1, 64, 1, 32") "y = gelu(x = a);", "y")
#define TYPO PROGRAM(H("1, 64, 1, 32") "a", H("1, 64, 1, 32") "y = gelo(x = a);", "y")

static Refusal compile(const char *text, const Target *target, Buf *err)
{
    Device  *d = device_open("host", &(DeviceOptions){.target = target}, err);
    Program *p = program_compile(d, "t.mil", text, strlen(text), NULL, 0, err);
    Refusal  r = device_refusal(d);
    cr_assert_eq(p != NULL, r == REFUSED_NOT);
    program_free(p);
    device_close(d);
    return r;
}

Test(limits, a_refusal_says_whose_it_is)
{
    Buf err = {0};
    cr_assert_eq(compile(GOOD, target_any(), &err), REFUSED_NOT);
    cr_assert_eq(err.len, 0);
    cr_assert_eq(compile(ROOT, NULL, &err), REFUSED_NOT);
    cr_assert_eq(compile(ROOT, target_any(), &err), REFUSED_ENGINE);
    cr_assert(strstr(err.data, "t.mil:5:33: error[ANE025]") && strstr(err.data, "help: use pow") &&
                  strstr(err.data, "target any"),
              "%s", err.data);
    buf_free(&err);
    cr_assert_eq(compile(MODELESS, NULL, &err), REFUSED_TEXT);
    cr_assert_eq(compile(MODELESS, target_any(), &err), REFUSED_ENGINE);
    cr_assert_eq(compile(TYPO, NULL, &err), REFUSED_TEXT);
    cr_assert_eq(compile(TYPO, target_any(), &err), REFUSED_TEXT);
    buf_free(&err);
}

/* Run a text on zeros once; the output surface's first elements, or the message. */
static bool eval(const char *text, const Target *target, float *y, Buf *err)
{
    Device                *d = device_open("host", &(DeviceOptions){.target = target}, err);
    Program               *p = program_compile(d, "t.mil", text, strlen(text), NULL, 0, err);
    const ProgramFunction *f = program_function(p, 0);
    Surface *in = surface_new(d, f->input[0].bytes, err), *out = surface_new(d, f->output[0].bytes, err);
    Request *r = request_new(p, 0, &in, &out, err);
    bool     ok = request_eval(r, err);
    *y = 0;
    const uint16_t *h = surface_lock(out, false);
    for (size_t i = 0; i < f->output[0].bytes / 2; i++)
        *y += f16_to_f32(h[i]) != 0;
    surface_unlock(out, false);
    request_free(r);
    surface_free(in);
    surface_free(out);
    program_free(p);
    device_close(d);
    return ok;
}

Test(limits, surfaces_below_the_minimum_fail_when_evaluated)
{
    Target large = *target_any();
    Buf    err = {0};
    float  y;
    large.surface_min = 65536;
    cr_assert(eval(GOOD, &large, &y, &err));
    large.surface_min = 65537;
    cr_assert_not(eval(GOOD, &large, &y, &err));
    cr_assert(strstr(err.data, "status 0x1d") && strstr(err.data, "ANE004") && strstr(err.data, "65537"), "%s",
              err.data);
    buf_free(&err);
}

Test(limits, ports_of_the_wrong_shape_give_garbage)
{
    static const char *const bad[] = {NARROW, FEW};
    Buf                      err = {0};
    float                    y;
    cr_assert(eval(GOOD, target_any(), &y, &err) && y == 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert(eval(bad[i], NULL, &y, &err) && y == 0);
        cr_assert(eval(bad[i], target_any(), &y, &err) && y > 100, "silent, and not zeros");
    }
    Target free_form = *target_any();
    free_form.io_width_multiple = 8;
    free_form.io_min_channels = 16;
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_assert(eval(bad[i], &free_form, &y, &err) && y == 0);
    buf_free(&err);
}

/* ---- times ---------------------------------------------------------------------------------------------------- */

static EvalTime timed(const DeviceOptions *options, ProgramTime *made, ProgramTime *again)
{
    Buf      err = {0};
    Device  *d = device_open("host", options, &err);
    Program *p = program_compile(d, "t.mil", GOOD, strlen(GOOD), NULL, 0, &err);
    Program *q = program_reload(p, "t.mil", NULL, 0, &err);
    Surface *in = surface_new(d, 4096, &err), *out = surface_new(d, 4096, &err);
    Request *r = request_new(p, 0, &in, &out, &err);
    cr_assert(request_eval(r, &err), "%s", err.data);
    *made = program_time(p);
    *again = program_time(q);
    EvalTime t = request_time(r);
    request_free(r);
    surface_free(in);
    surface_free(out);
    program_free(p);
    program_free(q);
    device_close(d);
    buf_free(&err);
    return t;
}

Test(limits, times_are_those_of_the_cost_model)
{
    ProgramTime made, again;
    EvalTime    t = timed(&(DeviceOptions){.target = target_any(), .simulate = true}, &made, &again);
    /* 90 us of dispatch; 4 KiB in and out at 30 GB/s, read and written at 400 GB/s: 273.1 + 20.5 ns */
    cr_assert_eq(t.wall_ns, 90294);
    cr_assert_eq(t.engine_ns, 294);
    cr_assert_eq(made.compile_ns, 26500000); /* 25 ms and one operation of 1.5 */
    cr_assert_eq(made.load_ns, 2000000);
    cr_assert_eq(again.compile_ns, 0);
    cr_assert_eq(again.load_ns, 8000000);
}

Test(limits, times_are_measured_without_a_target)
{
    ProgramTime made, again;
    EvalTime    t = timed(&(DeviceOptions){.simulate = true}, &made, &again);
    cr_assert(t.engine_ns == 0 && made.compile_ns > 0 && made.load_ns == 0 && again.compile_ns == 0);
}

Test(limits, evaluations_take_as_long_as_predicted)
{
    Target      slow = *target_any();
    ProgramTime made, again;
    slow.dispatch = 20000;
    EvalTime t = timed(&(DeviceOptions){.target = &slow, .latency = true}, &made, &again);
    cr_assert_geq(t.wall_ns, 20000000, "as measured");
    cr_assert_eq(t.engine_ns, 0);
}

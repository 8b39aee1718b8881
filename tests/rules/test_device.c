/* test_device.c: rules that no MIL text can break: each is broken here against the device interface, on the host device
 * or on one made for the purpose. The table below says which function breaks which rule; a test walks the rules and
 * fails if one that devices are said to check has no row. */
#include "base/f16.h"
#include "driver.h"
#include "lint/lint.h"
#include "plan/blob.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER                                                                                     \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, " \
    "{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
#define T "tensor<fp16, [1, 64, 1, 32]> "
enum { N = 64 * 32 };

static const char doubled[] = HEADER "func main<ios18>(" T "i00_x) { " T "o00_y = add(x = i00_x, y = i00_x)"
                                     "[name = string(\"o00_y\")]; } -> (o00_y);\n}\n";
static const char weighted[] =
    HEADER "func main<ios18>(" T "i00_x) { tensor<fp16, [1, 64, 1, 1]> w = const()[name = string(\"w\"), val = "
           "tensor<fp16, [1, 64, 1, 1]>(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = uint64(64)))]; " T
           "o00_y = add(x = i00_x, y = w)[name = string(\"o00_y\")]; } -> (o00_y);\n}\n";
static const char two[] =
    HEADER "func first<ios18>(" T "i00_x) { " T "o00_y = add(x = i00_x, y = i00_x)[name = string(\"o00_y\")]; } "
           "-> (o00_y);\nfunc second<ios18>(tensor<fp16, [1, 64, 1, 1024]> i00_x) { "
           "tensor<fp16, [1, 64, 1, 1024]> o00_y = relu(x = i00_x)[name = string(\"o00_y\")]; } -> "
           "(o00_y);\n}\n";

/* A device with one program, surfaces for its input and output, and a request. */
typedef struct {
    Device  *device;
    Program *program;
    Surface *in, *out;
    Request *request;
    Buf      err;
} Rig;

static Rig rig(const char *mil, const DeviceFile *file, size_t files, const DeviceOptions *options)
{
    Rig r = {.device = device_open("host", options, &r.err)};
    r.program = program_compile(r.device, "t.mil", mil, strlen(mil), file, files, &r.err);
    cr_assert(r.program, "%s", r.err.data);
    r.in = surface_new(r.device, N * 2, &r.err);
    r.out = surface_new(r.device, N * 2, &r.err);
    r.request = request_new(r.program, 0, &r.in, &r.out, &r.err);
    cr_assert(r.request, "%s", r.err.data);
    return r;
}

static void rig_free(Rig *r)
{
    request_free(r->request);
    surface_free(r->in);
    surface_free(r->out);
    program_free(r->program);
    device_close(r->device);
    buf_free(&r->err);
}

static void fill(Surface *s, float x, size_t n)
{
    uint16_t *p = surface_lock(s, true);
    for (size_t i = 0; i < n; i++)
        p[i] = f16_from_f32(x);
    surface_unlock(s, true);
}

static float element(Surface *s, size_t i)
{
    const uint16_t *p = surface_lock(s, false);
    float           x = f16_to_f32(p[i]);
    surface_unlock(s, false);
    return x;
}

/* Does `fn` end the process? */
static bool stops(void (*fn)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        fn();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* ---- the host device ------------------------------------------------------------------------------------------ */

static void ane004(void) /* 3072 bytes are what failed elsewhere */
{
    Rig      r = rig(doubled, NULL, 0, NULL);
    Surface *s = surface_new(r.device, 3072, &r.err);
    cr_assert(surface_bytes(s) >= (size_t)target_any()->surface_min);
    surface_free(s);
    rig_free(&r);
}

static Buf weights(float x)
{
    Buf      file = {0};
    uint16_t h[64];
    for (int i = 0; i < 64; i++)
        h[i] = f16_from_f32(x);
    blob_begin(&file);
    blob_add(&file, BLOB_F16, h, sizeof h);
    return file;
}

static void ane007(void)
{
    Buf        file = weights(3), other = weights(5);
    DeviceFile f = {"@model_path/w.bin", file.data, file.len, false};
    Rig        r = rig(weighted, &f, 1, NULL);
    fill(r.in, 1, N);
    memcpy(file.data, other.data, file.len); /* the file changes under the compiled program */
    cr_assert(request_eval(r.request, &r.err));
    cr_assert_eq(element(r.out, 0), 4);
    rig_free(&r);
    buf_free(&file);
    buf_free(&other);
}

static void ane009(void)
{
    Buf     err = {0};
    Device *d = device_open("host", NULL, &err);
    char    text[sizeof doubled + 8];
    memcpy(text, doubled, sizeof doubled - 1);
    memcpy(text + sizeof doubled - 1, "garbage", 8);
    Program *p = program_compile(d, "t.mil", text, sizeof doubled - 1, NULL, 0, &err);
    cr_assert(p, "text behind its length was read: %s", err.data);
    program_free(p);
    cr_assert_null(program_compile(d, "t.mil", text, sizeof text, NULL, 0, &err));
    cr_assert(strstr(err.data, "NUL") != NULL);
    device_close(d);
    buf_free(&err);
}

static void ane011(void)
{
    Rig r = rig(doubled, NULL, 0, NULL); /* an empty table is fine */
    cr_assert_null(program_compile(r.device, "t.mil", doubled, strlen(doubled), NULL, 1, &r.err));
    cr_assert(strstr(r.err.data, "announced") != NULL);
    rig_free(&r);
}

static void ane014(void)
{
    Rig r = rig(doubled, NULL, 0, NULL);
    fill(r.in, NAN, surface_bytes(r.in) / 2);
    fill(r.in, 1, N);
    fill(r.out, 7, surface_bytes(r.out) / 2);
    cr_assert(request_eval(r.request, &r.err));
    cr_assert(element(r.out, 0) == 2 && element(r.out, N - 1) == 2, "the first bytes, without gaps");
    cr_assert_eq(element(r.out, N), 7, "the rest stays");
    rig_free(&r);
}

static void ane048(void)
{
    Rig      r = rig(two, NULL, 0, NULL);
    Surface *s = surface_new(r.device, 1, &r.err);
    cr_assert(surface_bytes(s) == 65536 && surface_bytes(r.in) % 65536 == 0);
    cr_assert_null(request_new(r.program, 1, &s, &s, &r.err)); /* needs 131072 */
    cr_assert(strstr(r.err.data, "needs 131072 bytes") != NULL);
    surface_free(s);
    rig_free(&r);
}

static void ane049(void)
{
    Rig            r = rig(doubled, NULL, 0, NULL);
    const uint8_t *p = surface_lock(r.in, false);
    for (size_t i = 0; i < surface_bytes(r.in); i++)
        cr_assert_eq(p[i], 0);
    surface_unlock(r.in, false);
    rig_free(&r);
}

static void ane050(void)
{
    Buf     err = {0};
    Device *d = device_open("host", NULL, &err);
    cr_assert_null(program_compile(d, "t.mil", weighted, strlen(weighted), NULL, 0, &err));
    cr_assert(strstr(err.data, "no weight file '@model_path/w.bin'") != NULL, "%s", err.data);
    device_close(d);
    buf_free(&err);
}

static void ane052(void)
{
    Rig r = rig(two, NULL, 0, NULL);
    cr_assert_neq(program_function(r.program, 0)->input[0].bytes, program_function(r.program, 1)->input[0].bytes);
    cr_assert_null(request_new(r.program, 1, &r.in, &r.out, &r.err)); /* the first function's surfaces */
    cr_assert_null(request_new(r.program, 2, &r.in, &r.out, &r.err));
    rig_free(&r);
}

static void ane054(void)
{
    Rig          r = rig(doubled, NULL, 0, NULL);
    DeviceCounts before = device_counts(r.device);
    for (int i = 0; i < 3; i++)
        cr_assert(request_eval(r.request, &r.err));
    DeviceCounts after = device_counts(r.device);
    cr_assert(after.requests == before.requests && after.surfaces == before.surfaces &&
              after.evals == before.evals + 3);
    Request *wasted = request_new(r.program, 0, &r.in, &r.out, &r.err); /* what a wasteful caller would do */
    cr_assert_eq(device_counts(r.device).requests, before.requests + 1);
    request_free(wasted);
    rig_free(&r);
}

static void ane055(void)
{
    Rig r = rig(doubled, NULL, 0, &(DeviceOptions){.max_evals = 2});
    cr_assert(request_eval(r.request, &r.err) && request_eval(r.request, &r.err));
    cr_assert_not(request_eval(r.request, &r.err));
    cr_assert(strstr(r.err.data, "compile it again") != NULL);
    cr_assert_eq(program_evals(r.program), 2);
    rig_free(&r);
}

static void close_early(void)
{
    Rig r = rig(doubled, NULL, 0, NULL);
    device_close(r.device);
}

static void free_program_early(void)
{
    Rig r = rig(doubled, NULL, 0, NULL);
    program_free(r.program);
}

static void free_surface_early(void)
{
    Rig r = rig(doubled, NULL, 0, NULL);
    surface_free(r.out);
}

static void in_order(void)
{
    Rig r = rig(doubled, NULL, 0, NULL);
    rig_free(&r);
}

static void ane057(void)
{
    cr_assert(stops(close_early));
    cr_assert(stops(free_program_early));
    cr_assert(stops(free_surface_early));
    cr_assert_not(stops(in_order));
}

/* ---- a device made for the purpose ---------------------------------------------------------------------------- */

typedef struct {
    Device base;
    int    compiles;
    bool   is_stale, always;
    bool   nested; /* what evaluating during an evaluation returned */
    Buf    said;   /* and said */
} Fake;

static Program *fake_compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file,
                             size_t files, Buf *err)
{
    static ProgramFunction fn = {.name = "main"};
    Fake                  *d = (Fake *)base;
    (void)name, (void)mil, (void)len, (void)file, (void)files;
    if (d->compiles++ == 0 || d->always) {
        buf_puts(err, "the cached program does not load");
        d->is_stale = true;
        return NULL;
    }
    Program *p = xcalloc(1, sizeof *p);
    *p = (Program){.driver = base->driver, .device = base, .function = &fn, .functions = 1};
    return p;
}

static bool fake_stale(Device *base)
{
    Fake *d = (Fake *)base;
    bool  was = d->is_stale;
    d->is_stale = false;
    return was;
}

static void fake_program_free(Program *p)
{
    free(p);
}

static Request *fake_request(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err)
{
    (void)function, (void)input, (void)output, (void)err;
    Request *r = xcalloc(1, sizeof *r);
    r->driver = p->driver;
    return r;
}

static void fake_request_free(Request *r)
{
    free(r);
}

static bool fake_eval(Request *r, Buf *err)
{
    Fake *d = (Fake *)r->program->device;
    (void)err;
    d->nested = request_eval(r, &d->said);
    return true;
}

static const Driver fake = {.name = "fake",
                            .compile = fake_compile,
                            .program_free = fake_program_free,
                            .request_new = fake_request,
                            .request_free = fake_request_free,
                            .eval = fake_eval,
                            .stale = fake_stale};

static void ane053(void)
{
    Fake     d = {.base = {.driver = &fake}, .compiles = 1, .nested = true};
    Buf      err = {0};
    Program *p = program_compile(&d.base, "t.mil", "", 0, NULL, 0, &err);
    Request *r = request_new(p, 0, NULL, NULL, &err);
    cr_assert(request_eval(r, &err));
    cr_assert(!d.nested && strstr(d.said.data, "one evaluation at a time") != NULL);
    cr_assert(request_eval(r, &err), "and afterwards it can be evaluated again");
    cr_assert_eq(program_evals(p), 2);
    request_free(r);
    program_free(p);
    buf_free(&d.said);
    buf_free(&err);
}

static void ane056(void)
{
    Fake     d = {.base = {.driver = &fake}};
    Buf      err = {0};
    Program *p = program_compile(&d.base, "t.mil", "", 0, NULL, 0, &err);
    cr_assert(p && d.compiles == 2 && err.len == 0, "a stale program is compiled once more, silently");
    program_free(p);
    Fake broken = {.base = {.driver = &fake}, .always = true};
    cr_assert_null(program_compile(&broken.base, "t.mil", "", 0, NULL, 0, &err));
    cr_assert(broken.compiles == 2 && strstr(err.data, "does not load") != NULL, "but not for ever");
    buf_free(&err);
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

static const struct {
    uint32_t rule;
    void (*breaks)(void);
} cases[] = {{4, ane004},  {7, ane007},  {9, ane009},  {11, ane011}, {14, ane014}, {48, ane048}, {49, ane049},
             {50, ane050}, {52, ane052}, {53, ane053}, {54, ane054}, {55, ane055}, {56, ane056}, {57, ane057}};

Test(rules, what_devices_check_is_checked)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        cases[i].breaks();
}

Test(rules, every_rule_that_devices_check_has_a_case)
{
    for (uint32_t rule = RULE_FIRST; rule <= RULE_LAST; rule++) {
        bool found = false;
        for (size_t i = 0; i < COUNT(cases); i++)
            found |= cases[i].rule == rule;
        cr_assert_eq(found, (rule_info[rule].checked & CHECKED_DEVICE) != 0, "%s", rule_info[rule].id);
    }
}

Test(rules, the_table_is_complete)
{
    for (uint32_t rule = RULE_FIRST; rule <= RULE_LAST; rule++) {
        const Rule *r = &rule_info[rule];
        cr_assert(r->checked != 0 && *r->title && *r->evidence && *r->where && *r->remedy, "rule %u", rule);
        cr_assert_eq(rule_find(r->id), rule);
        Arena *a = arena_new();
        cr_assert(*rule_effect_text(a, rule), "%s: what does an engine do? (effects.def)", r->id);
        arena_free(a);
        cr_assert(r->conf == CONF_ASSUMED || r->conf == CONF_DERIVED || r->projects > 0, "%s: who says so?", r->id);
    }
    cr_assert(rule_find("ANE066") == 0 && rule_find("ANE000") == 0 && rule_find("x") == 0 && rule_find("") == 0);
}

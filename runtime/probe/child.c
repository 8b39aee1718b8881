/* child.c: the side of a trial that may crash: a process that reads requests from standard input and writes answers.
 *
 * It opens the device with the first request that needs one. Whatever it cannot do is part of the answer; it ends when
 * its input does, in order, so that a substitute for the framework can tell what was left behind. */
#include "base/f16.h"
#include "device.h"
#include "mil/mil_check.h"
#include "plan/blob.h"
#include "probe/pattern.h"
#include "probe/places.h"
#include "probe/trial.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    Arena        *arena;      /* of one request */
    const char   *device;
    DeviceOptions options;
    Device       *dev;
    const json_t *ask;
    json_t       *say;
    const char   *mil;
    size_t        len;
    Buf           err;
} Child;

static void outcome(Child *c, OutcomeKind kind)
{
    /* one line says what happened to a program; of a device that cannot be used, all is told */
    size_t n = !c->err.data ? 0 : kind == OUTCOME_BROKEN ? c->err.len : strcspn(c->err.data, "\n");
    json_object_set_new(c->say, "outcome", json_integer(kind));
    json_object_set_new(c->say, "why", json_stringn(c->err.data ? c->err.data : "", n));
}

static bool wants(const Child *c, const char *key)
{
    return json_is_true(json_object_get(c->ask, key));
}

static int64_t asked(const Child *c, const char *key)
{
    return json_integer_value(json_object_get(c->ask, key));
}

static void tell(Child *c, const char *key, double x)
{
    json_object_set_new(c->say, key, json_real(x));
}

/* ---- what tensors hold ---- */

static Pattern pattern_of(const Child *c, const char *name)
{
    const char *word = json_string_value(json_object_get(json_object_get(c->ask, "fill"), name));
    return word ? pattern_find(word) : PATTERN_small;
}

static void put(Pattern p, uint64_t key, uint32_t rank, const int64_t *dim, int64_t n, DType type, void *to)
{
    for (int64_t i = 0; i < n; i++) {
        double x = pattern_value(p, key, i, rank, dim);
        if (type == DT_F16)
            ((uint16_t *)to)[i] = f16_from_f32((float)x);
        else if (type == DT_F32)
            ((float *)to)[i] = (float)x;
        else
            ((int8_t *)to)[i] = (int8_t)x;
    }
}

/* One file for each constant that is read from one, `version` of its numbers: that of NAME is weights/NAME.bin. */
static bool make_files(Child *c, uint32_t version, DeviceFile **file, size_t *files)
{
    Sources *sources = sources_new(c->arena);
    Diags   *ds = diags_new(c->arena, sources, "probe");
    MilUnit  unit;
    if (!mil_read(c->arena, ds, sources_add(sources, "probe", c->mil, c->len), NULL, 0, MIL_UNREAD, &unit)) {
        diags_render(ds, &c->err);
        return false;
    }
    *files = 0;
    *file = NEW_N(c->arena, DeviceFile, unit.fn[0].values + 1);
    for (uint32_t i = 0; i < unit.fn[0].values; i++) {
        const Value *v = unit.fn[0].value[i];
        if (!v->konst || !v->konst->unread)
            continue;
        const MilType *t = &v->type;
        int64_t        n = type_elems(t);
        size_t         bytes = (size_t)n * dtype_info[t->dtype].bits / 8;
        char          *data = arena_alloc(c->arena, bytes + 1);
        Buf            blob = {0};
        put(pattern_of(c, v->name), pattern_key(v->name, version), t->rank, t->dim, n, t->dtype, data);
        blob_begin(&blob);
        blob_add(&blob, dtype_info[t->dtype].blob, data, bytes);
        char *kept = arena_alloc(c->arena, blob.len);
        memcpy(kept, blob.data, blob.len);
        (*file)[(*files)++] = (DeviceFile){.path = arena_printf(c->arena, "@model_path/weights/%s.bin", v->name), .data = kept, .len = blob.len, .kept = true};
        buf_free(&blob);
    }
    return true;
}

/* ---- compiling and evaluating ---- */

static Program *compile(Child *c, const char *mil, const DeviceFile *file, size_t files)
{
    Program *p = program_compile(c->dev, "probe", mil, c->len, file, files, &c->err);
    json_object_set_new(c->say, "compiled", json_integer(asked(c, "compiled") + 1));
    if (!p)
        json_object_set_new(c->say, "limit", json_boolean(device_refusal(c->dev) == REFUSED_LIMIT));
    return p;
}

typedef struct {
    Surface **surface; /* inputs, then outputs */
    uint32_t  count, inputs;
    Request  *request;
} Bound;

static void unbind(Bound *b)
{
    request_free(b->request);
    for (uint32_t i = 0; i < b->count; i++)
        surface_free(b->surface[i]);
    *b = (Bound){0};
}

static const Port *port_of(const ProgramFunction *f, uint32_t i)
{
    return i < f->inputs ? &f->input[i] : &f->output[i - f->inputs];
}

static bool bind(Child *c, Program *p, Bound *b)
{
    const ProgramFunction *f = program_function(p, 0);
    size_t                 exact = (size_t)asked(c, "surface");
    *b = (Bound){.surface = NEW_N(c->arena, Surface *, f->inputs + f->outputs + 1), .inputs = f->inputs};
    for (; b->count < f->inputs + f->outputs; b->count++) {
        const Port *port = port_of(f, b->count);
        Surface    *s = exact ? surface_new_exact(c->dev, exact, &c->err)
                              : surface_new(c->dev, port->alloc > port->bytes ? port->alloc : port->bytes, &c->err);
        if (!(b->surface[b->count] = s))
            return false;
        if (b->count >= f->inputs || surface_bytes(s) < port->bytes)
            continue;
        put(pattern_of(c, port->name), pattern_key(port->name, 1), port->rank, port->dim,
            (int64_t)(port->bytes / port_elem_bytes(port->type)), port->type == PORT_F16 ? DT_F16 : DT_F32,
            surface_lock(s, true));
        surface_unlock(s, true);
    }
    b->request = request_new(p, 0, b->surface, b->surface + f->inputs, &c->err);
    return b->request != NULL;
}

static int by_size(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static bool evaluate(Child *c, Bound *b)
{
    uint32_t  n = (uint32_t)asked(c, "times");
    uint64_t *wall = NEW_N(c->arena, uint64_t, n + 1), *engine = NEW_N(c->arena, uint64_t, n + 1);
    if (!request_eval(b->request, &c->err)) /* the first one is slow: the system maps memory */
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!request_eval(b->request, &c->err))
            return false;
        EvalTime t = request_time(b->request);
        wall[i] = t.wall_ns;
        engine[i] = t.engine_ns;
    }
    if (n) {
        qsort(wall, n, sizeof *wall, by_size);
        qsort(engine, n, sizeof *engine, by_size);
        tell(c, "wall_us", (double)wall[n / 2] * 1e-3);
        tell(c, "engine_us", (double)engine[n / 2] * 1e-3);
    }
    return true;
}

static void say_outputs(Child *c, Program *p, Bound *b)
{
    const ProgramFunction *f = program_function(p, 0);
    json_t                *all = json_object_get(c->say, "output");
    if (!all)
        json_object_set_new(c->say, "output", all = json_array());
    for (uint32_t i = 0; i < f->outputs; i++) {
        Surface        *s = b->surface[f->inputs + i];
        size_t          n = f->output[i].bytes / 2 < TRIAL_ELEMENTS ? f->output[i].bytes / 2 : TRIAL_ELEMENTS;
        const uint16_t *x = surface_lock(s, false);
        char           *text = xmalloc(n * 4 + 1);
        for (size_t k = 0; k < n; k++)
            for (int d = 0; d < 4; d++)
                text[4 * k + (size_t)d] = "0123456789abcdef"[x[k] >> (12 - 4 * d) & 15];
        surface_unlock(s, false);
        json_array_append_new(all, json_stringn_nocheck(text, n * 4));
        free(text);
    }
}

/* One evaluation of a program; false with the outcome said. */
static bool run_program(Child *c, Program *p)
{
    Bound b;
    bool  bound = bind(c, p, &b), ok = bound && evaluate(c, &b);
    if (!ok)
        outcome(c, bound ? OUTCOME_FAILED : OUTCOME_REFUSED);
    else if (wants(c, "outputs"))
        say_outputs(c, p, &b);
    unbind(&b);
    return ok;
}

static void run(Child *c, bool reload)
{
    DeviceFile *file;
    size_t      files;
    Program    *p, *q = NULL;
    if (!make_files(c, 1, &file, &files)) {
        outcome(c, OUTCOME_BROKEN);
        return;
    }
    if (!(p = compile(c, c->mil, file, files))) {
        outcome(c, OUTCOME_REFUSED);
        return;
    }
    tell(c, "compile_ms", (double)program_time(p).compile_ns * 1e-6);
    tell(c, "load_ms", (double)program_time(p).load_ns * 1e-6);
    bool ok = run_program(c, p);
    if (ok && reload) {
        if (device_reloads(c->dev))
            make_files(c, 2, &file, &files);
        else
            buf_puts(&c->err, "the device gives programs no new weights\n");
        q = device_reloads(c->dev) ? program_reload(p, "probe", file, files, &c->err) : NULL;
        if (!q)
            outcome(c, OUTCOME_FAILED);
        else
            tell(c, "reload_ms", (double)program_time(q).load_ns * 1e-6);
        ok = q && run_program(c, q);
    }
    if (ok)
        outcome(c, OUTCOME_RAN);
    program_free(q);
    program_free(p);
}

/* Programs whose texts differ, so that nothing kept from an earlier one is found. */
static void count(Child *c, bool release)
{
    uint32_t  want = (uint32_t)asked(c, "times"), n = 0;
    Program **kept = NEW_N(c->arena, Program *, want + 1);
    char     *text = arena_strndup(c->arena, c->mil, c->len), *at = strstr(text, "@@@@@"), digits[16];
    for (; at && n < want; n++) {
        snprintf(digits, sizeof digits, "%05x", n + 1);
        memcpy(at, digits, 5);
        if (!(kept[n] = compile(c, text, NULL, 0)))
            break;
        if (release) {
            program_free(kept[n]);
            kept[n] = NULL;
        }
    }
    json_object_set_new(c->say, "count", json_integer(n));
    outcome(c, n ? OUTCOME_RAN : OUTCOME_REFUSED);
    for (uint32_t i = 0; i < n; i++)
        program_free(kept[i]);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void surfaces(Child *c)
{
    uint32_t  want = (uint32_t)asked(c, "times"), n = 0, locks = 1000;
    Surface **kept = NEW_N(c->arena, Surface *, want + 1);
    double    from = now_us();
    while (n < want && (kept[n] = surface_new(c->dev, (size_t)asked(c, "surface"), &c->err)))
        n++;
    if (n == want && n) {
        tell(c, "make_us", (now_us() - from) / n);
        from = now_us();
        for (uint32_t i = 0; i < locks; i++) {
            surface_lock(kept[0], true);
            surface_unlock(kept[0], true);
        }
        tell(c, "lock_us", (now_us() - from) / locks);
    }
    outcome(c, n == want ? OUTCOME_RAN : OUTCOME_REFUSED);
    for (uint32_t i = 0; i < n; i++)
        surface_free(kept[i]);
}

/* ---- requests ---- */

static void serve(Child *c)
{
    const json_t *mil = json_object_get(c->ask, "mil");
    TrialKind     kind = (TrialKind)asked(c, "kind");
    c->mil = json_string_value(mil);
    c->len = json_string_length(mil);
    json_object_set_new(c->say, "simulated", json_boolean(c->options.target && c->options.simulate));
    if (kind == TRIAL_CLASSES) {
        Buf text = {0};
        bool ok = places_classes(c->device, &text, &c->err);
        if (!ok)
            buf_puts(&text, c->err.data);
        json_object_set_new(c->say, "text", json_string(text.data ? text.data : ""));
        outcome(c, ok ? OUTCOME_RAN : OUTCOME_REFUSED);
        buf_free(&text);
        return;
    }
    if (!c->dev && !(c->dev = device_open(c->device, &c->options, &c->err))) {
        outcome(c, OUTCOME_BROKEN);
        return;
    }
    uint64_t before = device_counts(c->dev).compiles;
    switch (kind) {
    case TRIAL_COUNT:
    case TRIAL_RELEASE: count(c, kind == TRIAL_RELEASE); break;
    case TRIAL_SURFACES: surfaces(c); break;
    default: run(c, kind == TRIAL_RELOAD);
    }
    json_object_set_new(c->say, "compiled", json_integer((json_int_t)(device_counts(c->dev).compiles - before)));
}

int trial_serve(int argc, char **argv)
{
    Arena      *arena = arena_new(), *kept = arena_new();
    Child       c = {.arena = arena, .device = "host"};
    const char *target = NULL, *faults = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--device") == 0)
            c.device = argv[i + 1];
        else if (strcmp(argv[i], "--target") == 0)
            target = argv[i + 1];
        else if (strcmp(argv[i], "--faults") == 0)
            faults = argv[i + 1];
        else if (strcmp(argv[i], "--patience") == 0)
            c.options.eval_seconds = strtod(argv[i + 1], NULL);
    }
    (void)faults;
    /* answers go where standard output went; what libraries print there goes elsewhere */
    int   out = dup(STDOUT_FILENO);
    FILE *to = out >= 0 ? fdopen(out, "w") : NULL;
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (target && !(c.options.target = places_target(kept, target, &c.err)))
        fputs(c.err.data, stderr);
    c.options.simulate = target != NULL;
    if (c.options.target)
        c.options.max_compiles = (uint64_t)c.options.target->compile_budget;
    char  *line = NULL;
    size_t cap = 0;
    for (ssize_t n; to && c.err.len == 0 && (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *ask = json_loadb(line, (size_t)n, 0, NULL);
        c.ask = ask;
        c.say = json_object();
        if (ask)
            serve(&c);
        json_dumpf(c.say, to, JSON_COMPACT);
        fputc('\n', to);
        fflush(to);
        json_decref(ask);
        json_decref(c.say);
        arena_reset(arena);
        buf_clear(&c.err);
    }
    int status = c.err.len ? 1 : 0;
    device_close(c.dev);
    free(line);
    buf_free(&c.err);
    arena_free(arena);
    arena_free(kept);
    if (to)
        fclose(to);
    return status;
}

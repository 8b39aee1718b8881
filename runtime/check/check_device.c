/* check_device.c: see check_device.h. */
#include "check/check_device.h"

#include "base/rng.h"
#include "check/second.h"
#include "driver.h"
#include "mil/mil_join.h"

#include <stdlib.h>
#include <string.h>

enum { EVALS = 2 }; /* of a program that are checked */

typedef struct CheckProgram CheckProgram;

typedef struct {
    Device        base;
    Device       *inner;
    Device       *host; /* for second opinions; NULL: none */
    const Plan   *plan;
    Arena        *arena;
    uint32_t     *compiled; /* [programs of the plan] instances so far, by their MIL text */
    CheckMember  *member;   /* NULL: names of programs tell */
    const void   *with;
    CheckRows     rows;
    CheckProgram *first; /* checked programs that are alive, the newest first */
} CheckDevice;

typedef struct {
    const ProgramFunction *f; /* of the program within */
    uint32_t    index;
    const char *name;
    uint32_t    program; /* of the plan; plan->programs: none */
    int32_t     instance;
    Mil64      *ref; /* NULL: not checked */
    Second     *second; /* NULL: none */
    uint32_t    checked;
    double    **seen; /* [inputs] what it got last, NULL: never ran */
} CheckFunction;

struct CheckProgram {
    Program        base;
    Program       *inner;
    CheckDevice   *device;
    const char    *mil;
    size_t         len;
    CheckFunction *fn; /* [functions] */
    CheckProgram  *next;
};

typedef struct {
    Surface  base;
    Surface *inner;
} CheckSurface;

typedef struct {
    Request       base;
    Request      *inner;
    CheckProgram  *program;
    CheckFunction *fn;
    Surface      **input, **output; /* of the device within */
} CheckRequest;

/* ---- checking ---- */

static const PlanPort *plan_outputs(const CheckDevice *d, const CheckFunction *p)
{
    return p->program < d->plan->programs ? d->plan->program[p->program].out : NULL;
}

static bool compare(CheckDevice *d, CheckFunction *p, double **in, Surface *const *output, const char *inputs, Buf *err)
{
    double **out = ports_read(p->f->output, p->f->outputs, output);
    double **host = p->second ? second_run(p->second, in, err) : NULL;
    bool     ok = host || !p->second;
    if (ok)
        check_compare(d->arena, p->ref, (const double *const *)in, (const double *const *)out, (const double *const *)host,
                      plan_outputs(d, p), (CheckRow){.program = p->name, .inputs = inputs, .instance = p->instance}, &d->rows);
    ports_free(host, host ? second_outputs(p->second) : 0);
    ports_free(out, p->f->outputs);
    return ok;
}

static bool eval(Request *base, Buf *err)
{
    CheckRequest          *r = (CheckRequest *)base;
    CheckFunction         *p = r->fn;
    const ProgramFunction *f = p->f;
    if (!p->ref || p->checked >= EVALS) {
        bool done = request_eval(r->inner, err);
        base->time = request_time(r->inner);
        return done;
    }
    double **in = ports_read(f->input, f->inputs, r->input);
    bool     ok = request_eval(r->inner, err);
    base->time = request_time(r->inner);
    if (ok) {
        ok = compare(r->program->device, p, in, r->output, "real", err);
        p->checked++;
        ports_free(p->seen, f->inputs);
        p->seen = in;
    } else {
        ports_free(in, f->inputs);
    }
    return ok;
}

/* Numbers for input k; see check_device_random(). */
static double *random_input(const CheckFunction *p, uint32_t k, uint64_t seed)
{
    const Port *port = &p->f->input[k];
    uint64_t    n = port_elements(port), key = rng_key(seed, port->name), channels = 1;
    double     *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    if (!x)
        bug("out of memory");
    for (uint32_t d = 0; d + 1 < port->rank; d++)
        channels *= (uint64_t)port->dim[d];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = n / channels, from = i / row * row + (uint64_t)(rng_uniform(key, 2 * i) * (double)row);
        x[i] = p->seen ? p->seen[k][from] * (0.5 + rng_uniform(key, 2 * i + 1)) : 0.1 + 0.9 * rng_uniform(key, i);
    }
    return x;
}

static bool run_random(CheckProgram *program, CheckFunction *p, uint64_t seed, Buf *err)
{
    const ProgramFunction *f = p->f;
    Surface **in = surfaces_new(program->device->inner, f->input, f->inputs, err);
    Surface **out = in ? surfaces_new(program->device->inner, f->output, f->outputs, err) : NULL;
    Request  *r = out ? request_new(program->inner, p->index, in, out, err) : NULL;
    double  **x = calloc(f->inputs + 1u, sizeof *x);
    for (uint32_t k = 0; r && x && k < f->inputs; k++) {
        x[k] = random_input(p, k, seed);
        port_write(&f->input[k], in[k], x[k]);
    }
    bool ok = r && x && request_eval(r, err);
    ok = ok && compare(program->device, p, x, out, "random", err);
    request_free(r);
    surfaces_free(in, f->inputs);
    surfaces_free(out, f->outputs);
    ports_free(x, f->inputs);
    return ok;
}

bool check_device_random(Device *d, uint64_t seed, Buf *err)
{
    for (CheckProgram *p = ((CheckDevice *)d)->first; p; p = p->next)
        for (uint32_t i = p->base.functions; i-- > 0;)
            if (p->fn[i].ref && !run_random(p, &p->fn[i], seed, err))
                return false;
    return true;
}

void check_device_members(Device *d, CheckMember *member, const void *with)
{
    ((CheckDevice *)d)->member = member;
    ((CheckDevice *)d)->with = with;
}

const CheckRows *check_device_rows(const Device *d)
{
    return &((const CheckDevice *)d)->rows;
}

/* ---- passing on ---- */

/* The program of the plan that a function belongs to, the first of several that share its text; `instances`: of them
 * all. The name of what was compiled tells ("layers_fwd.mil (L = 3)"), or who put it together. */
static uint32_t find_program(const CheckDevice *d, const char *name, uint32_t function, uint32_t *instances)
{
    const Plan *p = d->plan;
    uint32_t    found = p->programs, known, k;
    *instances = 0;
    if (d->member && d->member(d->with, name, function, &known, &k))
        name = arena_printf(d->arena, "%s.mil", p->program[known].mil);
    for (uint32_t i = p->programs; i-- > 0;) {
        size_t n = strlen(p->program[i].mil);
        if (strncmp(name, p->program[i].mil, n) == 0 && strncmp(name + n, ".mil", 4) == 0) {
            found = i;
            *instances += (uint32_t)p->program[i].n;
        }
    }
    return found;
}

/* The files that a text names. */
static DeviceFile *files_of(Arena *a, const Buf *text, const DeviceFile *file, size_t files, uint32_t *n)
{
    DeviceFile *named = NEW_N(a, DeviceFile, files + 1);
    *n = 0;
    for (size_t i = 0; i < files; i++)
        if (strstr(text->data, arena_printf(a, "\"%s\"", file[i].path)))
            named[(*n)++] = file[i];
    return named;
}

static void make_second(CheckDevice *d, CheckFunction *p, const Buf *text, const DeviceFile *file, uint32_t files)
{
    Buf why = {0};
    p->second = second_new(d->host, p->name, text->data, text->len, file, files, &why);
    d->rows.alone += p->second == NULL;
    buf_free(&why);
}

static bool make_reference(CheckProgram *program, CheckFunction *p, const DeviceFile *file, size_t files, Buf *err)
{
    bool     known = true;
    Arena   *a = arena_new();
    Buf      text = {0};
    uint32_t used;
    for (uint32_t k = 0; k < p->f->inputs; k++)
        known = known && port_known(&p->f->input[k]);
    for (uint32_t k = 0; k < p->f->outputs; k++)
        known = known && port_known(&p->f->output[k]);
    if (!known)
        buf_printf(err, "%s: programs with ports other than fp16, fp32 and int32 cannot be checked", p->name);
    else if (mil_take_out(p->name, program->mil, program->len, p->index, &text, err)) {
        DeviceFile *named = files_of(a, &text, file, files, &used);
        MilFile    *view = NEW_N(a, MilFile, used + 1u);
        for (uint32_t i = 0; i < used; i++)
            view[i] = (MilFile){named[i].path, named[i].data, named[i].len};
        p->ref = mil64_new(p->name, text.data, text.len, view, used, err);
        if (p->ref && program->device->host)
            make_second(program->device, p, &text, named, used);
    }
    buf_free(&text);
    arena_free(a);
    return p->ref != NULL;
}

static void program_drop(Program *base)
{
    CheckProgram  *p = (CheckProgram *)base;
    CheckProgram **at = &p->device->first;
    while (*at && *at != p)
        at = &(*at)->next;
    if (*at)
        *at = p->next;
    for (uint32_t i = 0; p->fn && i < base->functions; i++) {
        ports_free(p->fn[i].seen, p->fn[i].f->inputs);
        mil64_free(p->fn[i].ref);
        second_free(p->fn[i].second);
    }
    program_free(p->inner);
    free(p->fn);
    free(p);
}

/* Is it to be checked? The first and the last instance are. */
static bool name_function(CheckDevice *d, CheckFunction *p, const char *name)
{
    uint32_t instances;
    p->program = find_program(d, name, p->index, &instances);
    bool     known = p->program < d->plan->programs;
    uint32_t nth = known ? d->compiled[p->program]++ : 0;
    p->instance = (int32_t)nth;
    p->name = known ? d->plan->program[p->program].mil : arena_strdup(d->arena, name);
    return nth == 0 || nth + 1 == instances;
}

/* `inner` was compiled or reloaded; NULL: it failed. */
static Program *adopt(CheckDevice *d, Program *inner, const char *name, const char *mil, size_t len, const DeviceFile *file,
                      size_t files, Buf *err)
{
    CheckProgram *p = inner ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    *p = (CheckProgram){.base = {.driver = d->base.driver, .device = &d->base, .functions = program_functions(inner)},
                        .inner = inner, .device = d, .mil = mil, .len = len};
    p->base.function = (ProgramFunction *)(uintptr_t)program_function(inner, 0);
    p->base.time = program_time(inner);
    p->fn = calloc(p->base.functions + 1u, sizeof *p->fn);
    bool ok = true;
    if (!p->fn)
        bug("out of memory");
    for (uint32_t i = 0; i < p->base.functions; i++)
        p->fn[i] = (CheckFunction){.f = program_function(inner, i), .index = i};
    for (uint32_t i = 0; ok && i < p->base.functions; i++)
        ok = !name_function(d, &p->fn[i], name) || make_reference(p, &p->fn[i], file, files, err);
    if (!ok) {
        program_drop(&p->base);
        return NULL;
    }
    p->next = d->first;
    d->first = p;
    return &p->base;
}

static Program *compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        Buf *err)
{
    CheckDevice *d = (CheckDevice *)base;
    Program     *inner = program_compile(d->inner, name, mil, len, file, files, err);
    base->refusal = device_refusal(d->inner);
    return adopt(d, inner, name, arena_strndup(d->arena, mil, len), len, file, files, err);
}

static Program *reload(const Program *base, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    const CheckProgram *donor = (const CheckProgram *)base;
    return adopt(donor->device, program_reload(donor->inner, name, file, files, err), name, donor->mil, donor->len, file, files,
                 err);
}

static void close_device(Device *base)
{
    CheckDevice *d = (CheckDevice *)base;
    device_close(d->inner);
    device_close(d->host);
    free(d->compiled);
    arena_free(d->arena);
    free(d);
}

static Surface *new_surface(Device *base, size_t bytes, Buf *err)
{
    CheckDevice  *d = (CheckDevice *)base;
    Surface      *inner = surface_new(d->inner, bytes, err);
    CheckSurface *s = inner ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    *s = (CheckSurface){.base = {.driver = d->base.driver, .bytes = surface_bytes(inner)}, .inner = inner};
    return &s->base;
}

static void drop_surface(Surface *s)
{
    surface_free(((CheckSurface *)s)->inner);
    free(s);
}

static void *lock(Surface *s, bool write)
{
    return surface_lock(((CheckSurface *)s)->inner, write);
}

static void unlock(Surface *s, bool write)
{
    surface_unlock(((CheckSurface *)s)->inner, write);
}

static Surface **inner_surfaces(Surface *const *s, uint32_t n)
{
    Surface **inner = calloc(n + 1u, sizeof *inner);
    for (uint32_t i = 0; inner && i < n; i++)
        inner[i] = ((CheckSurface *)s[i])->inner;
    return inner;
}

static Request *new_request(Program *base, uint32_t function, Surface *const *input, Surface *const *output, Buf *err)
{
    CheckProgram          *p = (CheckProgram *)base;
    const ProgramFunction *f = program_function(p->inner, function);
    CheckRequest          *r = calloc(1, sizeof *r);
    if (!r)
        bug("out of memory");
    *r = (CheckRequest){.base = {.driver = p->base.driver}, .program = p, .fn = &p->fn[function], .input = inner_surfaces(input, f->inputs),
                        .output = inner_surfaces(output, f->outputs)};
    r->inner = request_new(p->inner, function, r->input, r->output, err);
    if (r->inner)
        return &r->base;
    free(r->input);
    free(r->output);
    free(r);
    return NULL;
}

static void drop_request(Request *base)
{
    CheckRequest *r = (CheckRequest *)base;
    request_free(r->inner);
    free(r->input);
    free(r->output);
    free(r);
}

#define FUNCTIONS                                                                                               \
    .name = "check", .close = close_device, .compile = compile, .program_free = program_drop,                   \
    .surface_new = new_surface, .surface_free = drop_surface, .surface_lock = lock, .surface_unlock = unlock,   \
    .request_new = new_request, .request_free = drop_request, .eval = eval, .zeroes = true

static const Driver plain_driver = {FUNCTIONS}, reloading_driver = {FUNCTIONS, .reload = reload};

Device *check_device_new(Device *inner, Device *host, const Plan *plan)
{
    CheckDevice *d = calloc(1, sizeof *d);
    if (!d || !(d->compiled = calloc(plan->programs + 1u, sizeof *d->compiled)))
        bug("out of memory");
    d->base.driver = device_reloads(inner) ? &reloading_driver : &plain_driver;
    d->inner = d->base.within = inner;
    d->host = host;
    d->plan = plan;
    d->arena = arena_new();
    return &d->base;
}

/* check_device.c: see check_device.h. */
#include "check/check_device.h"

#include "base/rng.h"
#include "check/second.h"
#include "driver.h"

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
    CheckRows     rows;
    CheckProgram *first; /* checked programs that are alive, the newest first */
} CheckDevice;

struct CheckProgram {
    Program            base;
    Program           *inner;
    CheckDevice       *device;
    const char        *name, *mil;
    size_t             len;
    uint32_t           program; /* of the plan; plan->programs: none */
    int32_t            instance;
    Mil64             *ref; /* NULL: not checked */
    Second            *second; /* NULL: none */
    uint32_t           checked;
    double           **seen; /* [inputs] what it got last, NULL: never ran */
    CheckProgram      *next;
};

typedef struct {
    Surface  base;
    Surface *inner;
} CheckSurface;

typedef struct {
    Request       base;
    Request      *inner;
    CheckProgram *program;
    Surface     **input, **output; /* of the device within */
} CheckRequest;

/* ---- checking ---- */

static const PlanPort *plan_outputs(const CheckProgram *p)
{
    return p->program < p->device->plan->programs ? p->device->plan->program[p->program].out : NULL;
}

static bool compare(CheckProgram *p, double **in, Surface *const *output, const char *inputs, Buf *err)
{
    const ProgramFunction *f = program_function(p->inner, 0);
    double               **out = ports_read(f->output, f->outputs, output);
    double               **host = p->second ? second_run(p->second, in, err) : NULL;
    bool                   ok = host || !p->second;
    if (ok)
        check_compare(p->device->arena, p->ref, (const double *const *)in, (const double *const *)out, (const double *const *)host,
                      plan_outputs(p), (CheckRow){.program = p->name, .inputs = inputs, .instance = p->instance}, &p->device->rows);
    ports_free(host, host ? second_outputs(p->second) : 0);
    ports_free(out, f->outputs);
    return ok;
}

static bool eval(Request *base, Buf *err)
{
    CheckRequest          *r = (CheckRequest *)base;
    CheckProgram          *p = r->program;
    const ProgramFunction *f = program_function(p->inner, 0);
    if (!p->ref || p->checked >= EVALS) {
        bool done = request_eval(r->inner, err);
        base->time = request_time(r->inner);
        return done;
    }
    double **in = ports_read(f->input, f->inputs, r->input);
    bool     ok = request_eval(r->inner, err);
    base->time = request_time(r->inner);
    if (ok) {
        ok = compare(p, in, r->output, "real", err);
        p->checked++;
        ports_free(p->seen, f->inputs);
        p->seen = in;
    } else {
        ports_free(in, f->inputs);
    }
    return ok;
}

/* Numbers for input k; see check_device_random(). */
static double *random_input(const CheckProgram *p, uint32_t k, uint64_t seed)
{
    const Port *port = &program_function(p->inner, 0)->input[k];
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

static bool run_random(CheckProgram *p, uint64_t seed, Buf *err)
{
    const ProgramFunction *f = program_function(p->inner, 0);
    Surface **in = surfaces_new(p->device->inner, f->input, f->inputs, err);
    Surface **out = in ? surfaces_new(p->device->inner, f->output, f->outputs, err) : NULL;
    Request  *r = out ? request_new(p->inner, 0, in, out, err) : NULL;
    double  **x = calloc(f->inputs + 1u, sizeof *x);
    for (uint32_t k = 0; r && x && k < f->inputs; k++) {
        x[k] = random_input(p, k, seed);
        port_write(&f->input[k], in[k], x[k]);
    }
    bool ok = r && x && request_eval(r, err);
    ok = ok && compare(p, x, out, "random", err);
    request_free(r);
    surfaces_free(in, f->inputs);
    surfaces_free(out, f->outputs);
    ports_free(x, f->inputs);
    return ok;
}

bool check_device_random(Device *d, uint64_t seed, Buf *err)
{
    for (CheckProgram *p = ((CheckDevice *)d)->first; p; p = p->next)
        if (!run_random(p, seed, err))
            return false;
    return true;
}

const CheckRows *check_device_rows(const Device *d)
{
    return &((const CheckDevice *)d)->rows;
}

/* ---- passing on ---- */

/* The program of the plan that a text's name ("layers_fwd.mil (L = 3)") belongs to, the first of several that share it;
 * `instances`: of them all. */
static uint32_t find_program(const Plan *p, const char *name, uint32_t *instances)
{
    uint32_t found = p->programs;
    *instances = 0;
    for (uint32_t i = p->programs; i-- > 0;) {
        size_t n = strlen(p->program[i].mil);
        if (strncmp(name, p->program[i].mil, n) == 0 && strncmp(name + n, ".mil", 4) == 0) {
            found = i;
            *instances += (uint32_t)p->program[i].n;
        }
    }
    return found;
}

static bool make_reference(CheckProgram *p, const DeviceFile *file, size_t files, Buf *err)
{
    const ProgramFunction *f = program_function(p->inner, 0);
    MilFile               *view = calloc(files + 1, sizeof *view);
    bool                   known = program_functions(p->inner) == 1;
    for (size_t i = 0; view && i < files; i++)
        view[i] = (MilFile){file[i].path, file[i].data, file[i].len};
    for (uint32_t k = 0; k < f->inputs; k++)
        known = known && port_known(&f->input[k]);
    for (uint32_t k = 0; k < f->outputs; k++)
        known = known && port_known(&f->output[k]);
    if (known)
        p->ref = mil64_new(p->name, p->mil, p->len, view, (uint32_t)files, err);
    if (p->ref && p->device->host) {
        Buf why = {0};
        p->second = second_new(p->device->host, p->name, p->mil, p->len, file, files, &why);
        if (!p->second)
            p->device->rows.alone++;
        buf_free(&why);
    }
    else
        buf_printf(err, "%s: programs with ports other than fp16, fp32 and int32 cannot be checked", p->name);
    free(view);
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
    if (p->inner)
        ports_free(p->seen, program_function(p->inner, 0)->inputs);
    mil64_free(p->ref);
    second_free(p->second);
    program_free(p->inner);
    free(p);
}

/* `inner` was compiled or reloaded; NULL: it failed. */
static Program *adopt(CheckDevice *d, Program *inner, const char *name, const char *mil, size_t len, const DeviceFile *file,
                      size_t files, Buf *err)
{
    uint32_t      instances, program = find_program(d->plan, name, &instances);
    CheckProgram *p = inner ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    uint32_t nth = program < d->plan->programs ? d->compiled[program]++ : 0;
    *p = (CheckProgram){.base = {.driver = d->base.driver, .device = &d->base, .functions = program_functions(inner)},
                        .inner = inner, .device = d, .program = program, .instance = (int32_t)nth, .len = len};
    p->base.function = (ProgramFunction *)(uintptr_t)program_function(inner, 0);
    p->base.time = program_time(inner);
    p->name = program < d->plan->programs ? d->plan->program[program].mil : arena_strdup(d->arena, name);
    p->mil = mil;
    if (nth != 0 && nth + 1 != instances)
        return &p->base;
    if (!make_reference(p, file, files, err)) {
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
    *r = (CheckRequest){.base = {.driver = p->base.driver}, .program = p, .input = inner_surfaces(input, f->inputs),
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

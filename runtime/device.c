/* device.c: picks a driver by name, checks what holds for all of them, and dispatches; see device.h and driver.h. */
#include "device.h"

#include "device_fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const Driver *const drivers[] = {&host_driver, &ane_driver};

size_t port_elem_bytes(PortType type)
{
    static const size_t bytes[] = {[PORT_F16] = 2, [PORT_F32] = 4, [PORT_I32] = 4,  [PORT_I8] = 1, [PORT_U8] = 1,
                                   [PORT_I16] = 2, [PORT_U16] = 2, [PORT_BOOL] = 1, [PORT_F64] = 8};
    return bytes[type];
}

const char *port_type_name(PortType type)
{
    static const char *const name[] = {
        [PORT_F16] = "fp16",  [PORT_F32] = "fp32",   [PORT_I32] = "int32", [PORT_I8] = "int8", [PORT_U8] = "uint8",
        [PORT_I16] = "int16", [PORT_U16] = "uint16", [PORT_BOOL] = "bool", [PORT_F64] = "fp64"};
    return name[type];
}

Device *device_open(const char *name, const DeviceOptions *options, Buf *err)
{
    for (size_t i = 0; i < COUNT(drivers); i++)
        if (strcmp(drivers[i]->name, name) == 0) {
            Device *d = drivers[i]->open(options, err);
            if (d && options) {
                d->max_evals = options->max_evals;
                d->max_compiles = options->max_compiles;
                d->fault = options->fault;
            }
            return d;
        }
    buf_printf(err, "there is no device '%s'; known devices:", name);
    for (size_t i = 0; i < COUNT(drivers); i++)
        buf_printf(err, " %s", drivers[i]->name);
    return NULL;
}

void device_close(Device *d)
{
    if (!d)
        return;
    if (d->programs || d->surfaces)
        bug("a device is closed while %u programs and %u surfaces of it are alive", d->programs, d->surfaces);
    fault_close(d);
    d->driver->close(d);
}

DeviceCounts device_counts(const Device *d)
{
    return d->made;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

Refusal device_refusal(const Device *d)
{
    return d->refusal;
}

void device_on_refusal(Device *d, RefusalHook *hook, void *with)
{
    d->on_refusal = hook;
    d->on_refusal_with = with;
}

ProgramTime program_time(const Program *p)
{
    return p->time;
}

EvalTime request_time(const Request *r)
{
    return r->time;
}

/* What a driver may leave to device.c: how long it took, and why it failed. */
static void made(Device *d, Program *p, uint64_t ns, bool compiled)
{
    if (p) {
        d->refusal = REFUSED_NOT;
        if (!p->time.compile_ns && !p->time.load_ns)
            *(compiled ? &p->time.compile_ns : &p->time.load_ns) = ns;
    } else if (d->refusal == REFUSED_NOT)
        d->refusal = REFUSED_TEXT;
}

static Program *compile(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        Buf *err)
{
    if (!device_compiles_left(d)) {
        buf_printf(err,
                   "%s: error: the compile budget of %" PRIu64 " programs in a process is used up: a new process has to "
                   "go on (--compile-budget N, or plans whose weights are inputs: anec --weights dynamic)\n",
                   name, d->max_compiles);
        d->refusal = REFUSED_LIMIT;
        return NULL;
    }
    d->made.compiles++;
    d->refusal = REFUSED_NOT;
    uint64_t from = now_ns();
    Program *p = d->driver->compile(d, name, mil, len, file, files, err);
    made(d, p, now_ns() - from, true);
    return p;
}

Program *program_compile(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                         Buf *err)
{
    if (files && !file) {
        buf_printf(err, "%s: error: %zu weight files were announced, none given\n", name, files);
        return NULL;
    }
    if (memchr(mil, 0, len)) {
        buf_printf(err, "%s: error: the text holds a NUL byte: MIL is UTF-8 text\n", name);
        return NULL;
    }
    const FaultFiles *kept = d->fault ? fault_compile(d, mil, len, file, files) : NULL;
    size_t            said = err->len;
    Program          *p = compile(d, name, mil, len, kept ? kept->file : file, files, err);
    if (!p && d->driver->stale && d->driver->stale(d)) {
        if (err->data)
            err->data[err->len = said] = 0;
        p = compile(d, name, mil, len, kept ? kept->file : file, files, err);
    }
    d->programs += p != NULL;
    d->made.programs += p != NULL;
    if (p)
        p->kept = kept;
    if (!p && d->refusal == REFUSED_ENGINE && d->on_refusal) {
        RefusalHook *hook = d->on_refusal;
        d->on_refusal = NULL;
        hook(d->on_refusal_with, d, name, mil, len, kept ? kept->file : file, files, err, said);
        d->on_refusal = hook;
        d->refusal = REFUSED_ENGINE;
    }
    return p;
}

uint64_t device_compiles_left(const Device *d)
{
    if (!d->max_compiles)
        return UINT64_MAX;
    return d->made.compiles < d->max_compiles ? d->max_compiles - d->made.compiles : 0;
}

bool device_reloads(const Device *d)
{
    return d->driver->reload != NULL;
}

Program *program_reload(const Program *donor, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    const FaultFiles *kept = donor->device->fault ? fault_reload(donor) : NULL;
    uint64_t          from = now_ns();
    donor->device->refusal = REFUSED_NOT;
    Program *p = donor->driver->reload(donor, name, kept ? kept->file : file, kept ? kept->files : files, err);
    made(donor->device, p, now_ns() - from, false);
    if (p)
        p->kept = donor->kept; /* without a fault of reloads that is not looked at */
    donor->device->programs += p != NULL;
    donor->device->made.programs += p != NULL;
    donor->device->made.reloads += p != NULL;
    return p;
}

void program_free(Program *p)
{
    if (!p)
        return;
    if (p->requests)
        bug("a program is freed while %u requests of it are alive", p->requests);
    p->device->programs--;
    p->driver->program_free(p);
}

uint64_t program_evals(const Program *p)
{
    return p->evals;
}

uint32_t program_functions(const Program *p)
{
    return p->functions;
}

const ProgramFunction *program_function(const Program *p, uint32_t index)
{
    return index < p->functions ? &p->function[index] : NULL;
}

Surface *surface_new(Device *d, size_t bytes, Buf *err)
{
    if (bytes > SIZE_MAX / 2) {
        buf_printf(err, "a surface of %zu bytes is too large\n", bytes);
        return NULL;
    }
    size_t rounded = (bytes + SURFACE_ALIGN - 1) / SURFACE_ALIGN * SURFACE_ALIGN;
    Surface *s = d->driver->surface_new(d, rounded ? rounded : SURFACE_ALIGN, err);
    if (s) {
        s->device = d;
        d->surfaces++;
        d->made.surfaces++;
    }
    return s;
}

void surface_free(Surface *s)
{
    if (!s)
        return;
    if (s->uses)
        bug("a surface is freed while %u requests are bound to it", s->uses);
    s->device->surfaces--;
    s->driver->surface_free(s);
}

size_t surface_bytes(const Surface *s)
{
    return s->bytes;
}

void *surface_lock(Surface *s, bool write)
{
    return s->driver->surface_lock(s, write);
}

void surface_unlock(Surface *s, bool write)
{
    s->driver->surface_unlock(s, write);
}

static bool ports_fit(const ProgramFunction *f, const char *kind, const Port *port, uint32_t n, Surface *const *surface,
                      Buf *err)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t need = port[i].alloc > port[i].bytes ? port[i].alloc : port[i].bytes;
        if (!surface[i] || surface[i]->bytes < need) {
            buf_printf(err, "function '%s': %s '%s' needs %zu bytes, its surface has %zu\n", f->name, kind,
                       port[i].name, need, surface[i] ? surface[i]->bytes : 0);
            return false;
        }
    }
    return true;
}

Request *request_new(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err)
{
    const ProgramFunction *f = program_function(p, function);
    if (!f) {
        buf_printf(err, "the program has %u functions, there is no number %u\n", p->functions, function);
        return NULL;
    }
    if (!ports_fit(f, "input", f->input, f->inputs, input, err) ||
        !ports_fit(f, "output", f->output, f->outputs, output, err))
        return NULL;
    Request *r = p->driver->request_new(p, function, input, output, err);
    if (!r)
        return NULL;
    r->program = p;
    r->surfaces = f->inputs + f->outputs;
    r->surface = xcalloc(r->surfaces + 1u, sizeof *r->surface);
    for (uint32_t i = 0; i < r->surfaces; i++) {
        r->surface[i] = i < f->inputs ? input[i] : output[i - f->inputs];
        r->surface[i]->uses++;
    }
    p->requests++;
    p->device->made.requests++;
    return r;
}

void request_free(Request *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->surfaces; i++)
        r->surface[i]->uses--;
    r->program->requests--;
    free(r->surface);
    r->driver->request_free(r);
}

bool request_eval(Request *r, Buf *err)
{
    Program *p = r->program;
    if (p->device->max_evals && p->evals >= p->device->max_evals) {
        buf_printf(err, "the program was evaluated %" PRIu64 " times: compile it again\n", p->evals);
        return false;
    }
    if (atomic_exchange(&p->busy, true)) {
        buf_puts(err, "the program is being evaluated: one evaluation at a time\n");
        return false;
    }
    p->evals++;
    p->device->made.evals++;
    r->time = (EvalTime){0};
    uint64_t from = now_ns();
    bool     ok = r->driver->eval(r, err);
    if (ok && !r->time.wall_ns)
        r->time.wall_ns = now_ns() - from;
    if (ok) {
        p->device->made.wall_ns += r->time.wall_ns;
        p->device->made.engine_ns += r->time.engine_ns;
    }
    atomic_store(&p->busy, false);
    return ok;
}

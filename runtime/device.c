/* device.c: picks a driver by name, checks what holds for all of them, and dispatches; see device.h and driver.h.
 *
 * What engines were seen to do wrong without a word is answered here, once for every driver: compilations that fail by
 * chance are tried again, surfaces are zeroed (docs/faults.md). Requests and evaluations are device_request.c. */
#include "device.h"

#include "device_fault.h"
#include "device_internal.h"
#include "worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const Driver *const drivers[] = {&host_driver, &ane_driver};

size_t port_surface_bytes(const Port *p)
{
    return p->alloc > p->bytes ? p->alloc : p->bytes;
}

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
            Faults       *faults = NULL;
            DeviceOptions own = options ? *options : (DeviceOptions){0};
            if (!faults_parse(own.faults, &faults, &own.quirks, err))
                return NULL;
            Device *d = drivers[i]->open(options ? &own : NULL, err);
            if (!d) {
                faults_free(faults);
                return NULL;
            }
            d->faults = faults;
            d->max_evals = options ? options->max_evals : 0;
            d->max_compiles = options ? options->max_compiles : 0;
            d->eval_seconds = options && options->eval_seconds > 0 ? options->eval_seconds : drivers[i]->eval_seconds;
            return d;
        }
    buf_printf(err, "there is no device '%s'; known devices:", name);
    for (size_t i = 0; i < COUNT(drivers); i++)
        buf_printf(err, " %s", drivers[i]->name);
    return NULL;
}

void device_abandon(void *object)
{
    static void   **left;
    static uint32_t lefts, cap;
    if (lefts == cap) {
        void **more = xcalloc(cap = 2 * cap + 16, sizeof *more);
        if (lefts)
            memcpy(more, left, lefts * sizeof *left);
        free(left);
        left = more;
    }
    left[lefts++] = object;
}

bool device_usable(const Device *d, Buf *err)
{
    if (d->wedged)
        buf_puts(err, "an evaluation did not return; the device is not used again in this process\n");
    return !d->wedged;
}

void device_close(Device *d)
{
    if (!d)
        return;
    if (d->programs || d->surfaces)
        bug("a device is closed while %u programs and %u surfaces of it are alive", d->programs, d->surfaces);
    if (d->wedged) {
        device_abandon(d);
        return;
    }
    faults_free(d->faults);
    worker_free(d->worker);
    d->driver->close(d);
}

bool device_wedged(const Device *d)
{
    return d->wedged || (d->within && device_wedged(d->within));
}

bool device_decays(const Device *d)
{
    return d->driver->decays || (d->within && device_decays(d->within)) || (d->faults && (d->faults->decay || d->faults->decay_program));
}

DeviceCounts device_counts(const Device *d)
{
    return d->made;
}

uint64_t device_now_ns(void)
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

/* What is to be made: compiled of a text, or of a donor. */
typedef struct {
    Device        *device;
    const Program *donor; /* NULL: compile */
    const char    *name, *mil;
    size_t         len;
    const DeviceFile *file;
    size_t         files;
} Making;

static Program *reload(const Making *m, Buf *err)
{
    Device  *d = m->device;
    uint64_t from = device_now_ns();
    d->refusal = REFUSED_NOT;
    Program *p = d->driver->reload(m->donor, m->name, m->file, m->files, err);
    made(d, p, device_now_ns() - from, false);
    return p;
}

static Program *compile(const Making *m, Buf *err)
{
    Device *d = m->device;
    if (!device_compiles_left(d)) {
        buf_printf(err,
                   "%s: error: the compile budget of %" PRIu64 " programs in a process is used up: a new process has to "
                   "go on (--compile-budget N, or plans whose weights are inputs: anec --weights dynamic)\n",
                   m->name, d->max_compiles);
        d->refusal = REFUSED_LIMIT;
        return NULL;
    }
    d->made.compiles++;
    d->refusal = REFUSED_NOT;
    if (d->faults && !fault_compile(d, m->name, err))
        return NULL;
    uint64_t from = device_now_ns();
    Program *p = d->driver->compile(d, m->name, m->mil, m->len, m->file, m->files, err);
    made(d, p, device_now_ns() - from, true);
    return p;
}

static Program *attempt(const Making *m, Buf *err)
{
    Program *p = m->donor ? reload(m, err) : compile(m, err);
    if (!p || !m->device->faults || fault_load(m->device, p, m->name, err))
        return p;
    m->device->driver->program_free(p);
    return NULL;
}

static void forget(Buf *err, size_t said)
{
    if (err->data)
        err->data[err->len = said] = 0;
}

static bool stale(Device *d)
{
    return (d->faults && fault_stale(d)) || (d->driver->stale && d->driver->stale(d));
}

/* Some compilations and loads fail by chance, while the system is busy: they are tried again, a number of times that does
 * not depend on timing, 100 ms, 200 ms, 400 ms later. Espresso tries five times, 100 ms to 1 s apart. */
static Program *make(const Making *m, Buf *err)
{
    Device        *d = m->device;
    const unsigned retries = d->faults && d->driver->retries < 3 ? 3 : d->driver->retries;
    const size_t   said = err->len;
    bool           dropped = false;
    if (!device_usable(d, err))
        return NULL;
    for (unsigned i = 0;;) {
        Program *p = attempt(m, err);
        if (p) {
            d->programs++;
            d->made.programs++;
            p->name = xcalloc(1, strlen(m->name) + 1);
            strcpy(p->name, m->name);
            return p;
        }
        if (!dropped && !m->donor && stale(d)) {
            dropped = true; /* a kept copy did not load, and is gone: that is no chance */
        } else if (i == retries || (d->refusal != REFUSED_ENGINE && d->refusal != REFUSED_LOAD)) {
            if (i)
                buf_printf(err, "(tried %u times)\n", i + 1);
            return NULL;
        } else {
            unsigned ms = 100u << i++;
            nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
        }
        forget(err, said);
    }
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
    const FaultFiles *kept = d->faults ? fault_files(d->faults, mil, len, file, files) : NULL;
    const Making      m = {d, NULL, name, mil, len, kept ? kept->file : file, files};
    size_t            said = err->len;
    Program          *p = make(&m, err);
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
    const FaultFiles *kept = donor->device->faults ? fault_reload(donor->device->faults, donor) : NULL;
    const Making      m = {.device = donor->device, .donor = donor, .name = name, .file = kept ? kept->file : file,
                           .files = kept ? kept->files : files};
    Program          *p = make(&m, err);
    if (p)
        p->kept = donor->kept; /* without a fault of reloads that is not looked at */
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
    if (p->device->wedged) {
        device_abandon(p);
        return;
    }
    free(p->name);
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
    size_t rounded = bytes > SIZE_MAX / 2 ? bytes : (bytes + SURFACE_ALIGN - 1) / SURFACE_ALIGN * SURFACE_ALIGN;
    return surface_new_exact(d, rounded ? rounded : SURFACE_ALIGN, err);
}

Surface *surface_new_exact(Device *d, size_t bytes, Buf *err)
{
    if (bytes > SIZE_MAX / 2) {
        buf_printf(err, "a surface of %zu bytes is too large\n", bytes);
        return NULL;
    }
    Surface *s = device_usable(d, err) ? d->driver->surface_new(d, bytes, err) : NULL;
    if (s) {
        if (d->faults)
            fault_surface(d->faults, s);
        if (!d->driver->zeroes || d->faults) { /* fresh ones may hold NaN, also behind what ports use */
            memset(d->driver->surface_lock(s, true), 0, s->bytes);
            d->driver->surface_unlock(s, true);
        }
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
    if (s->device->wedged)
        device_abandon(s);
    else
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

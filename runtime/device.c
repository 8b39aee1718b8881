/* device.c: picks a driver by name, checks what holds for all of them, and dispatches; see device.h and driver.h. */
#include "device.h"

#include "driver.h"

#include <string.h>

static const Driver *const drivers[] = {&host_driver};

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
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i]->open(options, err);
    buf_printf(err, "there is no device '%s'; known devices:", name);
    for (size_t i = 0; i < COUNT(drivers); i++)
        buf_printf(err, " %s", drivers[i]->name);
    return NULL;
}

void device_close(Device *d)
{
    if (d)
        d->driver->close(d);
}

Program *program_compile(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                         Buf *err)
{
    return d->driver->compile(d, name, mil, len, file, files, err);
}

bool device_reloads(const Device *d)
{
    return d->driver->reload != NULL;
}

Program *program_reload(const Program *donor, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    return donor->driver->reload(donor, name, file, files, err);
}

void program_free(Program *p)
{
    if (p)
        p->driver->program_free(p);
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
    return d->driver->surface_new(d, rounded ? rounded : SURFACE_ALIGN, err);
}

void surface_free(Surface *s)
{
    if (s)
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
        if (!surface[i] || surface[i]->bytes < port[i].bytes) {
            buf_printf(err, "function '%s': %s '%s' needs %zu bytes, its surface has %zu\n", f->name, kind,
                       port[i].name, port[i].bytes, surface[i] ? surface[i]->bytes : 0);
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
    return p->driver->request_new(p, function, input, output, err);
}

void request_free(Request *r)
{
    if (r)
        r->driver->request_free(r);
}

bool request_eval(Request *r, Buf *err)
{
    return r->driver->eval(r, err);
}

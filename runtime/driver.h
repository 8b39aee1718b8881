/* driver.h: the seam between device.h and what implements it.
 *
 * A driver is a struct of functions. It allocates its own devices, programs, surfaces and requests, each beginning with
 * the base struct below; device.c only looks at the base and dispatches. To add a driver, list it in device.c. */
#ifndef ANEL_RUNTIME_DRIVER_H
#define ANEL_RUNTIME_DRIVER_H

#include "device.h"

typedef struct {
    const char *name; /* for device_open() */
    Device *(*open)(const DeviceOptions *options, Buf *err);
    void (*close)(Device *d);
    Program *(*compile)(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        Buf *err);
    Program *(*reload)(const Program *donor, const char *name, const DeviceFile *file, size_t files,
                       Buf *err); /* NULL: cannot */
    void (*program_free)(Program *p);
    Surface *(*surface_new)(Device *d, size_t bytes, Buf *err); /* `bytes` is a multiple of SURFACE_ALIGN */
    void (*surface_free)(Surface *s);
    void *(*surface_lock)(Surface *s, bool write);
    void (*surface_unlock)(Surface *s, bool write);
    Request *(*request_new)(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err);
    void (*request_free)(Request *r);
    bool (*eval)(Request *r, Buf *err);
} Driver;

struct Device {
    const Driver *driver;
};

struct Program {
    const Driver    *driver;
    Device          *device;
    ProgramFunction *function;
    uint32_t         functions;
};

struct Surface {
    const Driver *driver;
    size_t        bytes;
};

struct Request {
    const Driver *driver;
};

extern const Driver host_driver;

#endif

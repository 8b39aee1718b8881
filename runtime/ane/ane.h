/* ane.h: what the files of the engine's driver share: its device, programs, surfaces and requests.
 *
 * device_ane.c opens and closes the device; surface.c, program.c and request.c implement device.h for the things of that
 * name. All of them call the framework through library.h only. */
#ifndef ANEL_ANE_ANE_H
#define ANEL_ANE_ANE_H

#include "ane/bind.h"
#include "driver.h"

/* Ways to evaluate, best first (docs/engine.md E432, E433). */
typedef enum {
    WAY_DIRECT,       /* the client, with the model object (rustane) */
    WAY_DIRECT_INNER, /* the client, with the model inside of it (ane-infer) */
    WAY_MODEL,        /* the model itself, through the daemon */
    WAYS
} AneWay;

typedef struct {
    Device     base;
    AneLibrary lib;
    AneModels  models;
    ObjcId     client; /* for direct evaluation; NULL: through the model */
    AneWay     way;    /* that is tried first */
    bool       proven; /* it has worked */
    unsigned   strikes; /* times it failed where another way then worked */
    bool       stats_proven; /* an evaluation with a stats object has worked */
    bool       stale;
} AneDevice;

typedef struct {
    Program     base;
    Arena      *arena;
    AneModel   *model;
    char       *mil; /* for reload */
    size_t      mil_len;
    AneBinding *input, *output; /* [functions] */
} AneProgram;

typedef struct {
    Surface     base;
    IoSurface  *surface;
    ObjcId      object;  /* as requests take it */
    atomic_uint writers; /* locks for writing that are held */
} AneSurface;

typedef struct {
    Request     base;
    AneDevice  *device;
    AneProgram *program;
    uint32_t    function;
    ObjcId      request, stats; /* stats: NULL: no times */
} AneRequest;

Surface *ane_surface_new(Device *d, size_t bytes, Buf *err);
void     ane_surface_free(Surface *s);
void    *ane_surface_lock(Surface *s, bool write);
void     ane_surface_unlock(Surface *s, bool write);

Program *ane_compile(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                     Buf *err);
Program *ane_reload_program(const Program *donor, const char *name, const DeviceFile *file, size_t files, Buf *err);
void     ane_program_free(Program *p);

Request *ane_request_new(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err);
void     ane_request_free(Request *r);
bool     ane_eval(Request *r, Buf *err);

#endif

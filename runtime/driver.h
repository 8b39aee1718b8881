/* driver.h: the seam between device.h and what implements it.
 *
 * A driver is a struct of functions. It allocates its own devices, programs, surfaces and requests, each beginning with
 * the base struct below; device.c only looks at the base and dispatches. To add a driver, list it in device.c. */
#ifndef ANEL_RUNTIME_DRIVER_H
#define ANEL_RUNTIME_DRIVER_H

#include "device.h"

#include <stdatomic.h>

typedef struct {
    const char *name; /* for device_open() */
    Device *(*open)(const DeviceOptions *options, Buf *err);
    void (*close)(Device *d);
    Program *(*compile)(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        Buf *err);
    Program *(*reload)(const Program *donor, const char *name, const DeviceFile *file, size_t files,
                       Buf *err); /* NULL: cannot */
    void (*program_free)(Program *p);
    Surface *(*surface_new)(Device *d, size_t bytes, Buf *err); /* `bytes` is a multiple of SURFACE_ALIGN, except for the probe */
    void (*surface_free)(Surface *s);
    void *(*surface_lock)(Surface *s, bool write);
    void (*surface_unlock)(Surface *s, bool write);
    Request *(*request_new)(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err);
    void (*request_free)(Request *r);
    bool (*eval)(Request *r, Buf *err);
    /* Did the last compile() fail only because something kept from an earlier process would not load? Then it has been
     * dropped and compile() is called once more. NULL: the driver keeps nothing. */
    bool (*stale)(Device *d);
    bool zeroes;           /* surface_new() gives zeroed ones */
    unsigned retries;      /* of a compilation or a load that failed: some fail by chance, while the system is busy */
    double   eval_seconds; /* how long evaluations may take where DeviceOptions says nothing; 0: any time */
    bool     decays;       /* see device_decays() */
} Driver;

/* A driver fills in what comes before the comment "device.c"; what comes after is zero when it returns. */
struct Device {
    const Driver *driver;
    Device       *within; /* for a driver around another one: its device; else NULL */
    Refusal       refusal; /* set by compile() and reload() where they fail; REFUSED_TEXT if a driver says nothing */
    /* device.c */
    uint64_t       max_evals, max_compiles;
    struct Faults *faults; /* device_fault.c; NULL: none */
    struct Worker *worker; /* that evaluations are given to; NULL: none yet */
    double         eval_seconds; /* INFINITY: the caller evaluates */
    bool           wedged;
    DeviceCounts   made;
    uint32_t       programs, surfaces; /* alive */
};

struct Program {
    const Driver    *driver;
    Device          *device;
    ProgramFunction *function;
    uint32_t         functions;
    ProgramTime      time; /* left zero, device.c fills in what it measures */
    /* device.c */
    char       *name;
    uint32_t    requests; /* alive */
    uint64_t    evals;
    atomic_bool busy;
    const struct FaultFiles *kept; /* with a fault: the weights it was made with */
};

struct Surface {
    const Driver *driver;
    size_t        bytes;
    /* device.c */
    Device  *device;
    uint32_t uses; /* by requests */
};

struct Request {
    const Driver *driver;
    EvalTime      time; /* of the last evaluation; wall_ns left zero: device.c measures it */
    /* device.c */
    Program  *program;
    const ProgramFunction *function;
    Surface **surface; /* that it is bound to: inputs, then outputs */
    uint32_t  surfaces;
};

extern const Driver host_driver, ane_driver;

#endif

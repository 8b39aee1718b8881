/* device_fault.h: what a device does wrong on purpose: the words of faults.def as hooks of device.c, for any driver.
 *
 * Each hook stands where the real thing would go wrong, so that what has to notice is the code that would have to notice
 * there. Drivers know nothing of it. Hooks take the device's Faults, and device.c calls them only where there are any. */
#ifndef ANEL_RUNTIME_DEVICE_FAULT_H
#define ANEL_RUNTIME_DEVICE_FAULT_H

#include "driver.h"

/* Weight files as a faulty device has kept them. */
typedef struct FaultFiles {
    struct FaultFiles *next;
    uint64_t           text; /* hash of the MIL text they were compiled with */
    uint64_t           bytes;
    DeviceFile        *file;
    size_t             files;
} FaultFiles;

typedef struct Faults {
#define FAULT(field, word, value, effect, seen) uint64_t field;
#include "faults.def"
    /* device_fault.c: what has happened so far */
    Arena      *arena;
    FaultFiles *kept;
    uint64_t    compiled, loaded, evals;
    bool        broken; /* the last compilation met a copy that does not load */
} Faults;

enum { FAULT_LARGE = 16384 };

/* "word,word=N,..." for device_open(): *out is NULL if there are none. False, with all known words in `err`. */
bool faults_parse(const char *text, Faults **out, Buf *err);
void faults_free(Faults *f); /* NULL is fine */

/* What is compiled when a device is given these files: they or older ones, kept until faults_free(). */
const FaultFiles *fault_files(Faults *f, const char *mil, size_t len, const DeviceFile *file, size_t files);
/* What a donor's program is really made of when it is reloaded; NULL: what was given. */
const FaultFiles *fault_reload(const Faults *f, const Program *donor);
/* Before a compilation: false if it is refused, with the reason and Device.refusal. */
bool fault_compile(Device *d, const char *name, Buf *err);
/* After one: false if its program does not load. */
bool fault_load(Device *d, Program *p, const char *name, Buf *err);
/* The last compilation failed because of a kept copy, which is gone now. */
bool fault_stale(Device *d);
/* Before a surface is zeroed. */
void fault_surface(const Faults *f, Surface *s);
/* The order in which surfaces are really bound. */
void fault_bind(const Faults *f, const ProgramFunction *p, Surface **surface);
/* Around an evaluation, on the thread that does it: false if it fails, with the reason. */
bool fault_eval(Faults *f, Request *r, Buf *err);
void fault_evaluated(const Faults *f, Request *r);

#endif

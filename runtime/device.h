/* device.h: what executes MIL programs.
 *
 * A device compiles MIL text together with the weight files it names into a Program, binds surfaces to its inputs and
 * outputs in a Request, and evaluates requests. Three things hold for every device, because they hold on the engine:
 *   - a program's weights are fixed when it is compiled: changing a file later changes nothing (seen by maderix/ANE);
 *   - a surface is a flat, dense run of bytes; a program reads or writes its first bytes and ignores the rest;
 *   - ports are bound by name order: port i of a program is the i-th input (output) in the MIL text, and the names are
 *     in alphabetical order.
 *
 * Objects end in order: requests first, then the programs and surfaces they use, then the device. Breaking it is a
 * mistake of the caller's that would be a crash in a driver much later, so it ends the process at once with a message.
 * `anec lint --list` names the rules that this interface enforces for all devices (column "checked").
 *
 * Functions that can fail return NULL or false and append the reason to `err`, a text for people that names the
 * program, the line of the MIL text where there is one, and what to do. Everything here is used from one thread at a
 * time. */
#ifndef ANEL_RUNTIME_DEVICE_H
#define ANEL_RUNTIME_DEVICE_H

#include "base/buf.h"
#include "pool.h"

#include <stdbool.h>

struct Target; /* target/target.h */

typedef struct Device Device;
typedef struct Program Program;
typedef struct Surface Surface;
typedef struct Request Request;

typedef enum { NUMERICS_ANE, NUMERICS_EXACT } Numerics; /* fp16 after every op, or fp64 throughout */
typedef enum { REDUCE_STRICT, REDUCE_LENIENT } ReduceMode; /* reduce_sum: fp16 partial sums, or fp32 */

typedef struct {
    Numerics   numerics;
    ReduceMode reduce; /* ignored with NUMERICS_EXACT */
    /* With NUMERICS_EXACT on a device that has it: fp16 and fp32 ports become PORT_F64, so that nothing is rounded at
     * the boundary either. */
    bool wide_ports;
    /* A program that was evaluated so often has to be compiled again: request_eval() refuses. 0: any number. */
    uint64_t max_evals;
    /* So many compilations a device takes in a process (compile_budget of the target): program_compile() refuses
     * the next. Giving a program new weights without compiling is not counted. 0: any number. */
    uint64_t max_compiles;
    /* What goes wrong on purpose, for tests of what has to notice: "word,word=value,..." of faults.def; NULL: nothing.
     * device_open() refuses other words. Not needed afterwards. */
    const char *faults;
    /* What the host device imitates beyond the numerics: this engine's limits and quirks. NULL: nothing; ignored by
     * real engines. Outlives the device. */
    const struct Target *target;
    /* Numeric quirks that the host device imitates (bits of quirks.h), besides those that the target's facts state, and
     * those it leaves out although they do. Ignored with NUMERICS_EXACT. */
    uint32_t quirks, quirks_off;
    /* The host device tells the times that the target's cost model predicts instead of measured ones, so that what is
     * computed from times has the same bytes everywhere. Ignored without a target. */
    bool simulate;
    /* And its evaluations take that long, where they would be done sooner, so that schedules can be tried. */
    bool latency;
    /* Seconds after which an evaluation is given up and the device with it (device_wedged()); 0: as the driver sees fit;
     * INFINITY: never. Evaluations that may be given up run on a thread of their own. */
    double eval_seconds;
    /* On parts with several engines the one to use, from 1; 0: the system decides. */
    uint32_t die;
    /* Ask the engine how long evaluations take on it (EvalTime.engine_ns). It may cost; systems that cannot tell leave 0. */
    bool engine_times;
    bool plain; /* portable code even where faster code for this machine exists; the results are the same */
    Pool *pool; /* the host device computes with its threads; NULL: with the caller's alone. Outlives the device. */
} DeviceOptions;

/* A weight file: `path` as MIL names it ("@model_path/weights/w.bin"), `data` a whole blob file. With `kept` the caller
 * leaves the bytes where they are, and unchanged while the program made of them is evaluated: a device that can read
 * weights in place then copies nothing; they may change between the last evaluation and program_free(). Without it the bytes are not needed after the call. */
typedef struct {
    const char *path;
    const void *data;
    size_t      len;
    bool        kept;
} DeviceFile;

/* fp16 and so on as little-endian bytes; PORT_BOOL is one byte, 0 or 1. */
typedef enum { PORT_F16, PORT_F32, PORT_I32, PORT_I8, PORT_U8, PORT_I16, PORT_U16, PORT_BOOL, PORT_F64 } PortType;

typedef struct {
    const char *name;
    PortType    type;
    uint32_t    rank;
    int64_t     dim[6];
    size_t      bytes; /* dense: elements times element size */
    size_t      alloc; /* what its surface must have: `bytes`, or more where the compiled program says so */
} Port;

typedef struct {
    const char *name; /* "main" */
    Port       *input, *output;
    uint32_t    inputs, outputs;
} ProgramFunction;

/* What the surface of a port must hold: `alloc`, and never less than `bytes`. */
size_t port_surface_bytes(const Port *p);
/* Bytes of one element. */
size_t port_elem_bytes(PortType type);
const char *port_type_name(PortType type); /* "fp16" */

enum { SURFACE_ALIGN = 65536 }; /* allocations are rounded up to this (ANE048 in docs/rules.md) */

/* A device by name: "host". NULL and a message for an unknown name. */
Device *device_open(const char *name, const DeviceOptions *options, Buf *err);
void    device_close(Device *d); /* NULL is fine; programs, requests and surfaces must be gone */

/* What a device was asked for since it was opened. */
typedef struct {
    uint64_t programs, surfaces, requests, evals;
    uint64_t compiles; /* asked of the driver, failed ones included: each may have cost a place in its table */
} DeviceCounts;
DeviceCounts device_counts(const Device *d);
/* Compilations that max_compiles still allows; UINT64_MAX: any number. */
uint64_t device_compiles_left(const Device *d);
/* Has an evaluation not returned in its time? Then nothing is known about the memory it was given, and nothing of the
 * device is used or freed any more: compile, evaluate and the like fail, the functions that free leave everything to the
 * process. Whoever ends such a process does it with _Exit(), for a thread is still in the driver. */
bool device_wedged(const Device *d);
/* Do evaluations of this device grow slower with their number (exec_watch.c)? */
bool device_decays(const Device *d);

/* Compile the `len` bytes of UTF-8 text at `mil`; `name` is used in messages (a file name). Programs without weights
 * have 0 files. The texts and files are not needed afterwards. Where a driver's compilations may fail by chance, a failed
 * one is tried again a few times, later each time; every attempt counts. */
Program *program_compile(Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file,
                         size_t files, Buf *err);
/* Why the last program_compile() or program_reload() of the device gave no program. */
typedef enum {
    REFUSED_NOT,    /* it did give one */
    REFUSED_TEXT,   /* the text or the files are wrong whatever the device */
    REFUSED_ENGINE, /* the text is right, and the engine's compiler does not take it */
    REFUSED_LIMIT,  /* this process has compiled, or holds, as many programs as it may */
    REFUSED_LOAD    /* it was compiled and could not be loaded */
} Refusal;
Refusal device_refusal(const Device *d);

/* How long making a program took; 0: it was not done, or nobody knows. */
typedef struct {
    uint64_t compile_ns, load_ns; /* loading includes binding its ports; a reloaded program was not compiled */
} ProgramTime;
ProgramTime program_time(const Program *p);

/* Can the device replace the weights of a compiled program? */
bool     device_reloads(const Device *d);
/* A program of the text that `donor` was compiled from, with these weight files in place of its own, made without
 * compiling. The donor stays as it is. Only for devices that can (Orion and Espresso: a new model object with the
 * donor's compiled parts and new weights takes them; maderix/ANE: rewriting the files of a live one does not change
 * it). */
Program *program_reload(const Program *donor, const char *name, const DeviceFile *file, size_t files, Buf *err);
void     program_free(Program *p);
uint32_t program_functions(const Program *p);
const ProgramFunction *program_function(const Program *p, uint32_t index);
uint64_t program_evals(const Program *p); /* evaluations of its requests so far */

/* A zero-filled surface of at least `bytes`. */
Surface *surface_new(Device *d, size_t bytes, Buf *err);
/* One of exactly so many bytes, not rounded up: to find out what an engine takes (probe/). Elsewhere surface_new(). */
Surface *surface_new_exact(Device *d, size_t bytes, Buf *err);
void     surface_free(Surface *s);
size_t   surface_bytes(const Surface *s);
/* Access by the CPU, between evaluations only. Each lock is paired with one unlock; `write` says what it is for. */
void *surface_lock(Surface *s, bool write);
void  surface_unlock(Surface *s, bool write);

/* Bind surfaces to a function's ports: input[i] to its i-th input, output[i] to its i-th output. A surface smaller than
 * its port is refused. Requests are built once and evaluated many times; they do not own the surfaces. */
Request *request_new(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err);
void     request_free(Request *r);
/* Blocks until the outputs are written. A program that is being evaluated is not evaluated a second time. After a failure
 * the outputs hold anything. */
bool     request_eval(Request *r, Buf *err);
/* How long its last successful evaluation took: for the caller, and on the engine itself (0: the system does not tell). */
typedef struct {
    uint64_t wall_ns, engine_ns;
} EvalTime;
EvalTime request_time(const Request *r);

#endif

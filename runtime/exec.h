/* exec.h: runs the entries of a plan.
 *
 * exec_open() allocates everything a plan needs once: parameters and gradients (fp32), states, buffers, surfaces,
 * tables, scratch memory. exec_init_params() or the caller fills the parameters; exec_bake() makes weight files of them
 * and compiles the programs; then forward and backward may run any number of times. Programs have copies of the
 * weights, as constants or in surfaces, so after a change of parameters they compute with the old ones until the next
 * exec_bake().
 *
 *     Exec *e = exec_open(plan, dir, device, NULL, &err);
 *     exec_init_params(e, seed);
 *     uint32_t loss = exec_entry(e, "loss");
 *     for (;;) {
 *         exec_bake(e, loss, EXEC_FORWARD | EXEC_BACKWARD, &err);
 *         exec_zero_grads(e);                   or exec_begin_window()
 *         for (each microbatch) {
 *             fill exec_input(e, loss, k) for every k
 *             exec_forward(e, loss, &err);      reads *(const float *)exec_result(e, loss, 0)
 *             exec_backward(e, loss, &err);     adds to the gradients and accumulators
 *         }
 *         exec_update(e, loss, &err);           adds what the accumulators make to the gradients
 *         update exec_param(e, id)->value from ->grad
 *     }
 *
 * Functions that can fail return false or NULL and append a sentence to `err`. They are called from one thread, always
 * the same; what they share with a pool changes no result. */
#ifndef ANEL_RUNTIME_EXEC_H
#define ANEL_RUNTIME_EXEC_H

#include "device.h"
#include "plan/plan.h"
#include "trace.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Exec Exec;

/* Whether programs are given new weights without compiling (plan.h, PLAN_RELOAD). */
typedef enum {
    EXEC_RELOAD_TRY,   /* what the options say: it is not known whether that works here, and proved at the start */
    EXEC_RELOAD_WORKS, /* it was proved; what is proved all the time goes on */
    EXEC_RELOAD_STALE, /* it does not work here */
    EXEC_RELOAD_NONE,  /* the plan or the device has no use for it, or the options say that it does not work */
} ExecReload;

typedef struct {
    /* Memory for parameters and gradients: exec_floats() and exec_grad_floats() floats, 64-byte aligned, zeroed or
     * holding what an earlier run left there (a mapped file). NULL: the executor allocates it. Never freed by the executor. */
    float *param, *grad;
    /* The device was opened with wide_ports: surfaces hold fp64, nothing is rounded or clamped on the way. */
    bool wide_ports;
    Pool *pool; /* for what the CPU does; NULL: the caller's thread alone. Outlives the executor. */
    /* Called once per window for every trained parameter, on any thread, several at a time, as soon as its gradient is
     * complete: it will not be written again in this window. In windows of known length (exec_begin_window()) that is
     * within the last micro-batch's backward pass for most, otherwise when exec_update() returns. May be NULL. */
    void (*grad_ready)(void *with, uint32_t param);
    void *grad_ready_with;
    /* exec_bake() proves that the device uses the weights it was given, whenever it gave it new ones (exec_canary.c), and
     * fails if it does not. `canary_from`: updates before this executor was opened, for what is not done every time. */
    bool     canary;
    uint64_t canary_from;
    ExecReload reload; /* in plans that say so; anything else means that programs are compiled anew */
    Trace *trace; /* records what runs when; may be NULL. Outlives the executor. */
} ExecOptions;

/* Length of the parameter slab: parameters by id, each starting on a multiple of 16 floats, gaps between them zero. The
 * gradient slab has the same layout without the frozen ones. */
size_t exec_floats(const Plan *p);
size_t exec_grad_floats(const Plan *p);

/* `p` is resolved (plan_open does that) and outlives the executor, as does `d`. `options` may be NULL. */
Exec *exec_open(const Plan *p, const char *plan_dir, Device *d, const ExecOptions *options, Buf *err);
void  exec_close(Exec *e); /* NULL is fine */

/* ---- parameters and states ---- */
typedef struct {
    const char      *path;  /* "layers.3.attention.wq.weight" */
    const PlanParam *group; /* shape, decay, frozen, lr, import */
    int32_t          index; /* of the loop: plan_path(a, group->import, index) is the name in a checkpoint */
    size_t           numel;
    float           *value;
    float           *grad; /* NULL when group->frozen */
} ExecParam;
typedef struct {
    const char      *path;
    const PlanState *group; /* shape, type */
    int32_t          index;
    size_t           numel;
    void            *value; /* float or int32_t */
} ExecState;

uint32_t         exec_params(const Exec *e); /* ids are 0 .. exec_params() - 1, in the plan's order */
const ExecParam *exec_param(const Exec *e, uint32_t id);
const ExecState *exec_state(const Exec *e, uint32_t id);

/* Initial values: element i of a parameter is drawn from rng_key(seed, path) with counter i. States are set by
 * exec_reset_states(), in the same way; exec_open() resets them with seed 0. */
void exec_init_params(Exec *e, uint64_t seed);
void exec_init_param(Exec *e, uint32_t id, uint64_t seed);
/* What parameter `id` becomes when adapters are merged into it (PlanParam.merge), or its value: numel floats. */
void exec_merged(Exec *e, uint32_t id, float *out);
void exec_reset_states(Exec *e, uint64_t seed);
/* Clear the gradients of all trained parameters, accumulators and exec_overflowed(). */
void exec_zero_grads(Exec *e);

/* What is done with gradients once they are complete. `examine` and `update` get `n` elements of parameter `param` from
 * element `from` on: pieces of EXEC_PIECE elements and a last one, each piece once, on any thread, several at a time. */
enum { EXEC_PIECE = 1 << 16 };
typedef struct {
    void *with;
    /* Gradients that other processes add to, once all are complete here, on the caller's thread; nothing is examined
     * before. NULL: there are none. False, with a reason in `err`, ends the window. */
    bool (*collect)(void *with, Buf *err);
    void (*examine)(void *with, uint32_t param, size_t from, size_t n); /* of the gradient; may be NULL */
    /* On the caller's thread, when all gradients are complete and examined: are the parameters to be updated?
     * `overflowed`: see exec_overflowed(). */
    bool (*decide)(void *with, bool overflowed);
    /* Then: may programs be compiled with them at once? If not, that is left to exec_bake(). NULL: they may. */
    bool (*compile)(void *with);
    void (*update)(void *with, uint32_t param, size_t from, size_t n);
} ExecTrainer;
/* A window of `micro_batches` begins; like exec_zero_grads(), but as its length is known, exec_forward() and
 * exec_backward() may return while steps that only gradients need still run on the pool. Until exec_update() or
 * exec_end_window() gradients are not to be looked at, and inputs are filled after exec_wait_inputs(). `trainer` may be
 * NULL, and stays until the end of the window otherwise. */
void exec_begin_window(Exec *e, uint32_t micro_batches, const ExecTrainer *trainer);
void exec_wait_inputs(Exec *e, uint32_t entry);

/* ---- programs ---- */
enum { EXEC_FORWARD = 1, EXEC_BACKWARD = 2 };
/* Make what the entry's `parts` run up to date: for every instance whose parameters changed since its last compilation,
 * make weight files in memory and compile (plan.h, PLAN_RELOAD: compile once, then only replace the weights); fill the
 * surfaces of weights whose parameters changed (PLAN_DYNAMIC: programs are compiled once). Weights beyond fp16's range
 * become +-65504 and are counted. */
bool exec_bake(Exec *e, uint32_t entry, unsigned parts, Buf *err);
/* How many compilations exec_bake() would do now (it hashes the parameters), and how many it does when every trained
 * parameter has changed: for keeping within a budget. */
uint32_t exec_bake_cost(Exec *e, uint32_t entry, unsigned parts);
uint32_t exec_rebake_cost(Exec *e, uint32_t entry, unsigned parts);
/* What function number `function` of the program that the device knows as `name` is: instance `instance` (from 0) of
 * program `program` of the plan. False for programs of others. */
bool exec_bank_member(const Exec *e, const char *name, uint32_t function, uint32_t *program, uint32_t *instance);
/* Write what the device is given to compile when the trained entry runs, and then every other one, into the new directory
 * `dir`: bank000.mil and so on, and in banks.txt which function of them is which program and instance of the plan. */
bool exec_write_banks(Exec *e, const char *dir, Buf *err);
/* Compilations that the device still takes in this process; UINT64_MAX: any number. */
uint64_t exec_compiles_left(const Exec *e);

/* ---- entries ---- */
#define EXEC_NO_ENTRY UINT32_MAX
uint32_t exec_entry(const Exec *e, const char *name); /* index into Plan.entry, or EXEC_NO_ENTRY */
/* Where input k goes: dense, int32_t for IN_TOKENS and IN_INT, float for IN_REAL and IN_LOSS_SCALE (one number, the
 * gradient of the result). Values stay until they are overwritten. */
void *exec_input(Exec *e, uint32_t entry, uint32_t k);
/* Result k of the last exec_forward(): dense, type and shape as in Plan.buffer[result.buffer]. */
const void *exec_result(const Exec *e, uint32_t entry, uint32_t k);

/* Run the steps. Token ids out of range and programs that were never baked are errors. */
bool exec_forward(Exec *e, uint32_t entry, Buf *err);
bool exec_backward(Exec *e, uint32_t entry, Buf *err); /* after exec_forward() of the same entry */
/* The end of a window of micro-batches: gradients are complete only now. Accumulators start from zero with the next
 * exec_backward(), also after exec_zero_grads(). Does nothing if no backward pass ran since. */
bool exec_update(Exec *e, uint32_t entry, Buf *err);

/* The end of a window that exec_begin_window() has begun with a trainer: exec_update(), then examine, decide, update, and
 * bake what the entry runs, each as soon as what it needs is there. `*updated` is what decide() said. */
bool exec_end_window(Exec *e, uint32_t entry, bool *updated, Buf *err);

/* True if since the last exec_zero_grads() a backward pass met a value that is not finite, or clamped one that fp16
 * cannot hold, on its way to or from the device: the gradients are worthless. */
bool exec_overflowed(const Exec *e);

/* ---- what went wrong ---- */
/* What the last function that failed met. Whatever it was, parameters are those of the last window whose update was
 * decided on: exec_end_window() completes an update before it fails. */
typedef enum {
    EXEC_SOUND,   /* nothing of the device's */
    EXEC_EVAL,    /* a program could not be evaluated, or did not return */
    EXEC_NOT_MADE, /* a program could not be made */
    EXEC_LIMIT,   /* nor can any other in this process: a new one has to go on */
    EXEC_STALE,   /* programs compute with other weights than they were given, maybe since exec_proofs() last grew */
    EXEC_BINDING  /* programs read and write other surfaces than they were given */
} ExecTrouble;
ExecTrouble exec_trouble(const Exec *e);
/* A program whose evaluations take `*times` as long as they did at first (exec_watch.h); NULL: none. */
const char *exec_slow(const Exec *e, double *times);
/* Compile what the entry's `parts` run anew, from the same weights. */
bool exec_recompile(Exec *e, uint32_t entry, unsigned parts, Buf *err);
/* Does replacing weights work? TRY: nothing was baked yet. STALE: it was found not to, in time, and programs are compiled. */
ExecReload exec_reload(const Exec *e);
/* Proofs with a program of the plan itself that the device computes with the weights it was given. */
uint64_t exec_proofs(const Exec *e);

/* ---- what it cost ---- */
/* What the caller's thread does while it is in the executor; `waiting` is for work of other threads. The classes add up
 * to that time. */
typedef enum {
    EXEC_DEVICE,
    EXEC_OPS,
    EXEC_MOVES,
    EXEC_BAKE,
    EXEC_COMPILE,
    EXEC_OPTIMIZER,
    EXEC_WAITING,
    EXEC_CLASSES
} ExecClass;
extern const char *const exec_class_name[EXEC_CLASSES]; /* "device", "cpu ops", ... */
typedef struct {
    uint64_t evals;             /* programs run */
    uint64_t compiles;          /* programs compiled */
    uint64_t reloads;           /* programs given new weights without compiling */
    uint64_t staged;            /* bytes of weights written into surfaces, as fp16 */
    uint64_t baked;             /* bytes of weights made: fp32 read and fp16 written */
    uint64_t reused;            /* instances exec_bake() found unchanged */
    uint64_t clamped;           /* values beyond fp16 moved to the device */
    uint64_t nonfinite;         /* NaN moved to the device; infinities and NaN moved from it */
    uint64_t saturated_weights; /* weights beyond fp16, over all bakes */
    uint64_t engine_ns;         /* of evaluations, on the engine itself, as the device tells it; 0: it does not */
    double   seconds[EXEC_CLASSES];
    double   worker_seconds; /* other threads busy with steps, updates and weights, all together */
} ExecCounters;
const ExecCounters *exec_counters(const Exec *e); /* since exec_open() */
/* Time per operation and per program, the largest first, as a table for people. */
void exec_profile(const Exec *e, Buf *out);
/* Row i of that table, in no particular order; false behind the last. */
typedef struct {
    const char *name;
    ExecClass   class;
    uint64_t    calls;
    double      seconds;
} ExecTime;
bool exec_time(const Exec *e, uint32_t i, ExecTime *out);
/* Bytes of all memory the executor holds, slabs given by the caller included. */
size_t exec_bytes(const Exec *e);

#endif

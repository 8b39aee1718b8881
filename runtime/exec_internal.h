/* exec_internal.h: what the parts of the executor share: exec.c has memory, exec_files.c the plan's files, exec_steps.c
 * makes steps ready, exec_run.c runs them, exec_bake.c and exec_renew.c make weights of parameters, exec_bank.c compiles,
 * exec_clock.c knows where time goes. */
#ifndef ANEL_RUNTIME_EXEC_INTERNAL_H
#define ANEL_RUNTIME_EXEC_INTERNAL_H

#include "convert.h"
#include "exec.h"
#include "exec_watch.h"
#include "kernels.h"
#include "recipe_parts.h"
#include "slab.h"

#include <stdatomic.h>

/* A buffer: dense memory of all elements, or one surface per element. */
typedef struct {
    Store     store;
    size_t    numel; /* of one element */
    char     *data;
    Surface **surface;   /* [stack, at least 1] */
    bool     *cotangent; /* [channels] of a surface; NULL: none; see exec_cotangents.c */
} ExecBuffer;

/* Where a reference of a move points in one iteration. */
typedef struct {
    char    *data; /* NULL: in the surface */
    Surface *surface;
    size_t   offset; /* bytes */
} ExecPlace;

/* Time by operation or program. */
typedef struct {
    const char *name;
    ExecClass   class;
    uint64_t    calls;
    double      seconds;
} ExecRow;

/* A step with everything looked up. Arrays have one element per iteration of the enclosing loop, or one. */
typedef struct ExecStep {
    const Step *step;
    ExecRow    *row;
    /* STEP_OP */
    const Kernel *kernel;
    KernelArgs    args; /* all but in, out, err */
    const void  **in;   /* [iteration][ins] */
    void        **out;  /* [iteration] */
    /* STEP_MOVE */
    Store      from_store, to_store;
    bool       splat, add;
    bool       cotangent; /* reads what a program of the backward direction gave; see exec_cotangents.c */
    double     value;
    size_t     numel;
    ExecPlace *from, *to;
    /* STEP_RUN */
    uint32_t  iterations;
    bool      reverse;
    uint32_t *instance; /* of the program */
    Request **request;
    Surface **surface; /* [iteration][ins + outs] */
    /* STEP_LOOP */
    struct ExecStep *body;
} ExecStep;

/* One weight of a unit. */
typedef struct {
    const Recipe     *recipe;
    const RecipePart *part; /* NULL: computed step by step */
    uint32_t          parts;
    bool              has_param; /* otherwise it is made once */
    size_t            to, numel; /* elements; to: from Unit.at */
    size_t            columns, stride; /* of the rows it is written in */
} BakeWeight;

/* Weights that are made together: the files of a program's instance, or an element of a staged surface. */
typedef struct {
    uint32_t          program, stage; /* one of them is UINT32_MAX */
    uint32_t          k;
    uint32_t          bank, function; /* what it is compiled as; UINT32_MAX: not settled, or a stage */
    const char       *name;
    const BakeWeight *weight;
    uint32_t          weights;
    uint32_t         *param, params; /* what it is made of: ids, each once */
    size_t            bytes;
    Slab              files;
    DeviceFile       *file;
    char             *at;       /* where weights go: the files, or the locked surface */
    uint64_t          made;     /* Exec.time then; 0: never */
    /* exec_renew.c, while it works */
    bool     making, baked;
    uint32_t missing, left; /* parameters not yet updated, pieces not yet made */
} Unit;

/* Units that are compiled as one program, function i from unit[i]; most often a unit by itself (exec_bank.c). */
typedef struct {
    const char *name; /* for messages */
    uint32_t   *unit, units;
    const char *mil; /* NULL: not written yet */
    size_t      mil_len;
    DeviceFile *file; /* of all units; NULL: not collected yet */
    uint32_t    files;
    Program    *compiled; /* NULL: none */
    bool        unbound;  /* it wants larger surfaces: its requests are made when nothing else runs */
    bool        making;   /* exec_renew.c, while it works */
} ExecBank;

typedef struct {
    const char      *mil;
    size_t           mil_len;
    uint32_t         unit;  /* of instance 0 */
    struct MilPiece *piece; /* the text, cut for banks; NULL: not needed yet */
} ExecProgram;

typedef struct ExecCanary ExecCanary; /* exec_canary.c */

typedef struct {
    uint64_t changed; /* Exec.time of its last change */
    uint64_t hash;    /* of its value when exec_bake() last looked */
    bool     hashed;  /* nobody has said since that it was changed */
    size_t   left;    /* exec_renew.c: elements not yet updated */
} ParamState;

enum { EXEC_PARTS = 4 }; /* EXEC_FORWARD, EXEC_BACKWARD, both */

typedef struct Renewal Renewal;

/* exec_ranges.c: a step in one iteration, what it touches, and whom it waits for. */
typedef struct {
    uint32_t space; /* a buffer, parameter, gradient, state */
    size_t   lo, hi; /* elements lo .. hi - 1 */
    bool     write;
} ExecRange;
typedef struct {
    uint32_t on, by; /* atoms: `by` waits for `on` */
    bool     waits;  /* now */
} ExecDep;
typedef enum { PASS_FORWARD, PASS_BACKWARD, PASS_UPDATE, PASSES } ExecPass;
#define EXEC_NO_SUM UINT32_MAX
typedef struct {
    const ExecStep *x;
    const Step     *loop; /* or NULL */
    uint32_t        it;
    ExecPass        pass;
    bool            lazy;  /* nobody in this pass needs it: it may run beside the caller */
    bool            input; /* touches an input */
    bool            grad;  /* adds to the gradient of parameter `sum` */
    uint32_t        sum;   /* index in Exec.touched of what it adds to */
    bool            whole; /* and to all of it */
    ExecRange      *range;
    uint32_t        ranges;
    ExecDep        *dep, **user; /* lazy atoms it waits for; those who wait for it */
    uint32_t        deps, users;
    /* exec_tasks.c, under its lock */
    bool     counts;  /* one of those that its gradient waits for */
    bool     fresh;   /* overwrite instead of adding */
    bool     out;     /* issued and not done */
    uint32_t pending; /* atoms it still waits for */
    PoolTask task;
} ExecAtom;

typedef struct Tasks Tasks;

typedef struct {
    ExecStep *forward, *backward, *update;
    ExecAtom *atom;
    uint32_t  end[PASSES]; /* of each pass, in `atom` */
    uint32_t *writers;     /* [parameters] atoms that add to its gradient in a last micro-batch and its update */
    uint32_t *wanted[EXEC_PARTS], wants[EXEC_PARTS]; /* units, the first needed first */
    bool      ran; /* a forward pass has completed since the last backward pass began */
} ExecEntry;

struct Exec {
    const Plan  *plan;
    Device      *device;
    Arena       *arena;
    bool         wide;
    Pool        *pool;
    ExecOptions  options;
    Slab         owned[3]; /* slabs to free: parameters, gradients, everything else */
    float       *param_slab, *grad_slab;
    size_t       floats, bytes;
    ExecParam   *param;
    ExecState   *state;
    void       **table; /* fp32 or i32 */
    ExecBuffer  *buffer;
    float       *scratch; /* for kernels that cannot add */
    ExecProgram *program;
    Unit        *unit;
    uint32_t     units;
    ExecBank    *bank; /* moves when one is added */
    uint32_t     banks, banks_cap;
    ParamState  *param_state;
    uint64_t     time; /* counts changes of parameters */
    Renewal     *renewal;
    ExecEntry   *entry;
    uint32_t   **tile; /* splats: KERNEL_TILE equal words each */
    uint32_t     tiles, tiles_cap;
    ExecRow     *row;
    uint32_t     rows, rows_cap;
    ExecCounters counters;
    uint32_t    *accumulator; /* [buffers] index of its first element in `touched`; EXEC_NO_SUM for others */
    bool        *touched; /* [sums] gradients, then elements of accumulators: something was added in this window */
    uint32_t     sums;
    Tasks       *tasks;
    ExecClass    class; /* of time, the caller's thread now; EXEC_CLASSES: none */
    double       class_since;
    _Atomic uint64_t busy_ns; /* of other threads */
    ExecCanary  *canary; /* NULL: none yet */
    ExecTrouble  trouble;
    ExecReload   reload;
    Watch       *watch; /* [programs]; NULL: the device's evaluations stay as fast as they are */
    uint32_t     slow;  /* a program whose evaluations have become slower; UINT32_MAX: none */
    bool         bound; /* exec_binding() has proved it */
};

/* exec_clock.c */
double exec_now(void); /* seconds */
/* The caller's thread is in another class of time from now on; returns the one before. Other threads change nothing. */
ExecClass exec_switch(Exec *e, ExecClass class);
/* Time of a class on any thread, to its end, which returns the seconds. `name` and `index`: for the trace. */
typedef struct {
    double    start;
    ExecClass class, before;
} ExecSpan;
ExecSpan exec_span(Exec *e, ExecClass class);
double   exec_span_end(Exec *e, const ExecSpan *s, const char *name, int32_t index);

/* exec_steps.c */
void exec_build_entries(Exec *e);
/* Elements a step may have to compute aside before adding them to a gradient: the scratch memory needed. */
size_t exec_scratch(const Plan *p);
/* Call `visit` for every run step of the parts of an entry. */
typedef void ExecVisit(Exec *e, ExecStep *s, void *with);
void exec_visit_runs(Exec *e, uint32_t entry, unsigned parts, ExecVisit *visit, void *with);
/* The row of a name in the profile, made when missing. */
ExecRow *exec_row(Exec *e, const char *name, ExecClass class);

/* exec_cotangents.c: before steps are made ready: which channels of surfaces they fill. Then: does a reference read one? */
void exec_mark_cotangents(Exec *e);
bool exec_reads_cotangent(const Exec *e, const Ref *r);

/* exec.c: elements of a buffer's stack, at least 1. */
uint32_t exec_elements(const Exec *e, uint32_t buffer);
/* exec_files.c */
bool exec_read_files(Exec *e, const char *dir, Buf *err);

/* exec_ranges.c: Exec.accumulator is made. */
void exec_build_atoms(Exec *e, uint32_t entry);

/* exec_run.c: run a step, overwriting what it adds to if `fresh`. False with a reason in `why`. */
bool exec_run_step(Exec *e, const ExecStep *x, uint32_t it, bool fresh, ConvertCount *count, Buf *why);
/* Does it compute aside, in the scratch memory, before it adds? */
bool exec_uses_scratch(const ExecStep *x);

/* exec_tasks.c: atoms in their order, on the caller's thread or beside it. */
void exec_build_tasks(Exec *e);
void exec_free_tasks(Exec *e);
/* Nothing runs beside the caller any more. */
void exec_settle(Exec *e);

/* exec_recipe.c: buffers for the values of recipes; zeroed to begin with. */
typedef struct {
    struct {
        float *data;
        size_t n;
        bool   busy;
    } *slot;
    uint32_t slots;
} RecipePool;
/* The value of `r` for instance k, dense; a parameter's or table's own memory, or the pool's until
 * recipe_give_back(). */
const float *recipe_value(const Exec *e, RecipePool *p, const Recipe *r, uint32_t k);
void recipe_give_back(RecipePool *p, const float *x); /* what is not the pool's is left alone */
void recipe_pool_free(RecipePool *p);

/* exec_recipe.c: the value of recipe `r` for instance k as fp16, in w->half, which stays until the next call. */
typedef struct {
    uint16_t  *half;
    size_t     halves;
    RecipePool pool;
} Workspace;
const uint16_t *exec_recipe_value(const Exec *e, Workspace *w, const Recipe *r, uint32_t k, ConvertCount *count);
void exec_workspace_free(Workspace *w);

/* exec_canary.c: numbers of any element type that ports have. */
void   exec_put(void *data, PortType type, size_t i, double x);
double exec_get(const void *data, PortType type, size_t i);
/* exec_binding.c: true at once if it was proved before, or need not be. */
bool exec_binding(Exec *e, Buf *err);
/* exec_canary.c: after programs got new weights; true at once if options.canary is not set. */
bool exec_canary(Exec *e, Buf *err);
/* Compilations that the next exec_canary() needs. */
uint32_t exec_canary_cost(const Exec *e);
void     exec_canary_free(Exec *e);

/* exec_bake.c */
void exec_build_units(Exec *e);
/* Have the parameters changed since its weights were made? */
bool exec_unit_stale(const Exec *e, const Unit *u);
/* Can compiled programs get new weights without being compiled? */
bool exec_reloads(const Exec *e);
/* Before the weights of a unit are written: Unit.at becomes valid. After those of a stage: the device gets them. Both on
 * the caller's thread. */
bool exec_unit_begin(Exec *e, Unit *u, Buf *err);
void exec_stage_end(Exec *e, Unit *u);
void exec_unit_drop(Exec *e, Unit *u); /* after exec_unit_begin(): it is not made after all */

/* exec_bank.c */
/* Settle what every unit that the parts of the entry run is compiled as. */
void exec_form_banks(Exec *e, uint32_t entry, unsigned parts);
/* Has it to be compiled, or given new weights? */
bool exec_bank_stale(const Exec *e, const ExecBank *b);
/* Before any weights of a bank are written, and when all are: the device gets them. Both on the caller's thread. */
void exec_bank_begin(Exec *e, ExecBank *b);
bool exec_bank_end(Exec *e, ExecBank *b, Buf *err);
/* What the unit's function is part of; NULL: nothing is compiled. */
Program *exec_unit_program(const Exec *e, const Unit *u);
/* A program of the text of the unit's bank and of its files, but with `own` in place of the unit's: to compare with. It is
 * compiled, or the unit's own program given the files. */
Program *exec_bank_twin(Exec *e, const Unit *u, const DeviceFile *own, const char *name, bool reload, Buf *err);
void     exec_free_programs(Exec *e);
/* Make the requests that exec_bank_end() has left out. */
bool exec_bind_banks(Exec *e, Buf *err);
/* A program was not made: remember why. False. */
bool exec_not_made(Exec *e);

/* exec_grow.c: are the surfaces of a unit large enough for its function as it was compiled? Then: make them so; requests
 * that were bound to smaller ones are dropped. */
bool exec_surfaces_fit(Exec *e, const Unit *u);
bool exec_surfaces_grow(Exec *e, const Unit *u, Buf *err);

/* exec_renew.c */
void exec_build_renewal(Exec *e);
void exec_free_renewal(Exec *e);
/* Update all trained parameters, if there is a trainer, and make every unit that parts of the entry need and that is
 * stale. */
bool exec_renew(Exec *e, uint32_t entry, unsigned parts, const ExecTrainer *t, Buf *err);

#endif

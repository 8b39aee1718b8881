/* plan.h: what the compiler hands to the runtime: the contents of a plan directory as one structure.
 *
 *     plan/
 *       plan.anep             the manifest: everything below, as text (plan_print.c, plan_parse.c; docs/plan.md)
 *       mil/<program>.mil     MIL text, one file per distinct program
 *       map/<program>.map     for each MIL line: source place, role, statement (for people and tools)
 *       const/<hash>.blob     tables, as blob files named by the hash of their contents
 *       src/...               the sources the plan was made from
 *
 * A plan holds no weights, only recipes that make them from parameters. It is a schedule that needs no knowledge of the
 * model: entries are lists of steps over buffers, parameters and tables. There is no path, date or machine name in it,
 * and equal inputs give equal bytes.
 *
 * Values. A Ref names memory a step reads or writes: (part of) a buffer, a parameter, a gradient, a table, or a number
 * that stands for a whole tensor. Buffers are dense and row-major. A buffer with stack n > 0 has n elements of the
 * given shape; inside a loop of n iterations `stacked` refs mean the element of the current iteration (element i
 * belongs to index first + i). Parameter patterns contain "{L}" where the loop's index goes:
 * "layers.{L}.attention.wq.weight".
 *
 * Devices. `run` steps execute a program whose ports are bound to surfaces: buffers of kind BUF_SURFACE, fp16, laid out
 * as [1, C, 1, S]. A port may carry several values, each a range of channels (PlanPart); `move` steps copy between
 * buffers and surfaces and convert between fp32 and fp16 (round to nearest even; values beyond fp16's range become
 * +-65504 and are counted by the runtime). Everything else is `op` steps, in fp32 on the CPU, with the names and
 * meaning of src/ir/ops.def, and four products with vectors that exist here only (plan_ops.c). A destination that is a
 * gradient or an accumulator is added to, all others are overwritten. */
#ifndef ANEL_PLAN_PLAN_H
#define ANEL_PLAN_PLAN_H

#include "base/buf.h"

#include <stdbool.h>

enum { PLAN_MAX_RANK = 6, PLAN_MAJOR = 1, PLAN_MINOR = 0 };

typedef struct {
    uint32_t rank;
    int32_t  dim[PLAN_MAX_RANK];
} PlanShape;

typedef enum { PLAN_F32, PLAN_F16, PLAN_I32 } PlanType;

/* ---- parameters and states ---- */
typedef enum { PINIT_ZEROS, PINIT_ONES, PINIT_VALUE, PINIT_NORMAL, PINIT_UNIFORM } PlanInitKind;
typedef struct {
    PlanInitKind kind;
    double       a, b; /* value; std; lower and upper bound */
} PlanInit;

/* Parameters that differ only in the index of their path; n = 1 and no "{L}" in the pattern for a single one. */
typedef struct {
    const char *pattern;
    int32_t     first, n;
    PlanShape   shape;
    PlanInit    init;
    bool        decay, frozen;
    double      lr;               /* factor on the learning rate */
    const char *import;           /* pattern of the name in a checkpoint, or NULL */
    bool        import_transpose;
    int32_t     import_rows[2];   /* both 0: all */
    struct Recipe *merge;         /* what it becomes when adapters are merged into it, of its shape; NULL: itself */
    bool        adapter;          /* merged into another: not part of the merged model, nor of files made for that */
    uint32_t    id;               /* number of the first parameter: ids count up over groups; set by plan_resolve() */
} PlanParam;

typedef struct { /* groups of states, in the same way */
    const char *pattern;
    int32_t     first, n;
    PlanShape   shape;
    PlanType    type;
    PlanInit    init;
    uint32_t    id;
} PlanState;

/* ---- tables ---- */
typedef struct {
    const char *hash; /* of the blob file, 32 hex digits: const/<hash>.blob holds one blob, metadata at offset 64 */
    const char *name; /* "causal_mask" */
    PlanType    type;
    PlanShape   shape;
} PlanTable;

/* ---- programs ---- */
enum { PLAN_COMPILE_BUDGET = 100 }; /* where a plan says nothing: what holds for every engine reported on */

enum { PLAN_FUNCTIONS_MAX = 256, PLAN_DIES_MAX = 4, PLAN_BANK_BYTES = 2000000000 /* where a plan says nothing */ };

/* How programs get at parameters, and what happens when those change.
 *   baked    constants of the MIL text; compile every program anew
 *   reload   the same text; give compiled programs new weight files without compiling (where the device can)
 *   dynamic  inputs; one compiled program serves all layers, and staged surfaces are filled anew (PlanStage)
 *   mixed    what is made of frozen parameters alone is a constant, everything else an input: no program is ever
 *            compiled anew */
typedef enum { PLAN_BAKED, PLAN_DYNAMIC, PLAN_RELOAD, PLAN_MIXED, PLAN_WEIGHT_MODES } PlanWeightMode;
extern const char *const plan_weight_mode_name[PLAN_WEIGHT_MODES];

typedef enum {
    RECIPE_PARAM,
    RECIPE_TABLE,
    RECIPE_TRANSPOSE, /* T(x): the last two axes of rank 2 swapped */
    RECIPE_SHAPE,     /* the same elements in another shape */
    RECIPE_PERMUTE,   /* axis k of the value is axis perm[k] of the operand */
    RECIPE_SLICE,     /* begin[k] .. end[k] - 1 of axis k */
    RECIPE_CONCAT,    /* along `axis` */
    RECIPE_COLSCALE,  /* [r, c] times a vector [c] in every row: column k times element k */
    RECIPE_ROWSCALE,  /* [r, c] times a vector [r] in every column */
    RECIPE_MUL,       /* element by element */
    RECIPE_ADD,
    RECIPE_SCALE,     /* times the number c */
    RECIPE_APPLY,     /* a matrix [r, c] times a vector [c]: [r, 1] */
    RECIPE_PRODUCT,   /* a matrix [r, k] times a matrix [k, c] */
    RECIPE_COUNT
} RecipeKind;
typedef struct Recipe {
    RecipeKind      kind;
    const char     *pattern; /* RECIPE_PARAM: parameter path, maybe with {L} */
    uint32_t        table;   /* RECIPE_TABLE: index into Plan.table */
    struct Recipe **in;      /* operands of all other kinds */
    uint32_t        ins;
    int32_t         axis;    /* RECIPE_CONCAT */
    double          c;       /* RECIPE_SCALE */
    uint32_t        rank;    /* RECIPE_PERMUTE, RECIPE_SLICE: how many of the following are given */
    int32_t         perm[PLAN_MAX_RANK], begin[PLAN_MAX_RANK], end[PLAN_MAX_RANK];
    PlanShape       shape;   /* of the value; given for RECIPE_SHAPE, otherwise set by plan_resolve() */
    uint32_t       *param;   /* RECIPE_PARAM: parameter id per instance; set by plan_resolve() */
} Recipe;

/* Call `visit` for a recipe and all its parts, operands after the whole, until one call returns false: then false. */
typedef bool PlanRecipeVisit(const Recipe *r, void *with);
bool plan_recipe_visit(const Recipe *r, PlanRecipeVisit *visit, void *with);
/* Does its value depend on the index of the loop? */
bool plan_recipe_varies(const Recipe *r);
/* Is it made of any parameter? */
bool plan_recipe_has_param(const Recipe *r);
/* Is it the same expression? */
bool plan_recipe_equal(const Recipe *x, const Recipe *y);

/* A weight file of a program: one blob at offset 64, element type fp16. */
typedef struct {
    const char *path;  /* as in the MIL text, without "@model_path/": "weights/attention_wq.bin" */
    PlanShape   shape; /* as declared in the MIL text; same element count as the recipe's value */
    Recipe     *recipe;
} PlanWeight;

typedef struct {
    const char *name;            /* source name, for people */
    uint32_t    channel, channels;
    PlanShape   shape;           /* as in the graph, e.g. [12, 64, 256] lies in 768 channels */
} PlanPart;

typedef struct {
    const char *name; /* in the MIL text */
    PlanShape   shape; /* [1, C, 1, S] */
    PlanPart   *part;
    uint32_t    parts;
} PlanPort;

typedef struct {
    const char *name;
    const char *mil;      /* file below mil/ without ".mil"; programs may share one */
    const char *mil_hash; /* of the MIL text */
    int32_t     first, n; /* instances: one per value of the loop index; first = 0, n = 1 outside of loops */
    PlanPort   *in, *out;
    uint32_t    ins, outs;
    PlanWeight *weight;
    uint32_t    weights;
} PlanProgram;

/* ---- buffers ---- */
/* An accumulator is f32, and zero at the start of every window of micro-batches. Backward steps add to it, whatever
 * they are; the entry's update steps, which run once at the end of the window, read it. */
typedef enum { BUF_PLAIN, BUF_SURFACE, BUF_ACCUMULATOR } PlanBufferKind;
typedef struct {
    const char    *name;
    PlanBufferKind kind;
    PlanType       type;
    PlanShape      shape;
    int32_t        stack; /* 0: no stack; n: n elements of `shape` */
} PlanBuffer;

/* ---- weights in surfaces ---- */
/* The value of a recipe, rounded to fp16, as `shape` = [rows, columns]: row i begins channel `channel` + i. */
typedef struct {
    uint32_t  channel;
    PlanShape shape; /* columns at most the surface's width; same element count as the recipe's value */
    Recipe   *recipe;
} PlanStaged;

/* A surface that holds weights: no step writes it. What no weight fills is zero. */
typedef struct {
    uint32_t    buffer; /* a surface; in a stack, element i holds the weights of index first + i */
    int32_t     first;  /* 0 for a surface that is no stack */
    PlanStaged *weight; /* by channel */
    uint32_t    weights;
} PlanStage;

/* ---- steps ---- */
typedef enum { REF_BUFFER, REF_PARAM, REF_GRAD, REF_STATE, REF_TABLE, REF_SPLAT } RefKind;
typedef struct {
    RefKind     kind;
    uint32_t    index;    /* REF_BUFFER: Plan.buffer; REF_TABLE: Plan.table */
    bool        stacked;  /* REF_BUFFER: the current iteration's element */
    const char *pattern;  /* REF_PARAM, REF_GRAD, REF_STATE */
    double      splat;    /* REF_SPLAT */
    uint64_t    offset;   /* elements from the start of the (element of the) buffer; 0 for other kinds */
    PlanShape   shape;    /* what the step sees: dense, may be a view of the buffer's shape */
    uint32_t *leaf; /* parameter or state id per iteration of the enclosing loop (or one); set by plan_resolve() */
} Ref;

typedef struct {
    bool     ta, tb;                                  /* matmul */
    int32_t  axis;                                    /* softmax, concat, xent, xent_grad, splice */
    uint32_t axes;                                    /* sum, amax: bit mask */
    int32_t  perm[PLAN_MAX_RANK];                     /* transpose */
    int32_t  begin[PLAN_MAX_RANK], end[PLAN_MAX_RANK]; /* slice */
    int32_t  lo[PLAN_MAX_RANK], hi[PLAN_MAX_RANK];    /* pad */
    double   c;                                       /* powc */
    uint32_t cmp;                                     /* cmp: 0..5 = eq ne lt gt le ge */
} StepAttr;

typedef enum { STEP_OP, STEP_MOVE, STEP_RUN, STEP_LOOP } StepKind;
typedef struct Step {
    StepKind     kind;
    const char  *op;      /* STEP_OP: name in ops.def */
    StepAttr     a;
    uint32_t     program; /* STEP_RUN */
    Ref         *out;     /* OP and MOVE: one; RUN: one surface per output port */
    uint32_t     outs;
    Ref         *in;      /* OP: operands; MOVE: one; RUN: one surface per input port */
    uint32_t     ins;
    int32_t      first, n; /* STEP_LOOP: index runs over first .. first + n - 1 */
    bool         reverse;
    struct Step *body;    /* STEP_LOOP; loops do not nest */
    uint32_t     bodies;
} Step;

/* ---- entries ---- */
typedef enum { IN_TOKENS, IN_REAL, IN_INT, IN_LOSS_SCALE } PlanInputKind;
typedef struct {
    const char   *name;
    PlanInputKind kind;
    uint32_t      buffer;
    int32_t       vocab; /* IN_TOKENS: ids are 0 .. vocab - 1 */
} PlanInput;
typedef struct {
    const char *name; /* "" for an unnamed result */
    uint32_t    buffer;
} PlanResult;
typedef struct {
    const char *name;
    PlanInput  *input;
    uint32_t    inputs;
    PlanResult *result;
    uint32_t    results;
    Step       *forward, *backward; /* backward is empty for entries that are not trained */
    Step       *update; /* once per window, after its last backward: what is linear in the accumulators; no programs */
    uint32_t    forwards, backwards, updates;
} PlanEntry;

typedef struct {
    const char *key, *value;
} PlanSetting;

typedef struct {
    const char  *compiler; /* "anec 0.1.0" */
    const char  *model, *target;
    const char  *target_hash; /* of the profile's values; "" for the defaults built into the compiler */
    const char  *sources_hash;
    int64_t      compile_budget; /* programs a process may compile on the target; 0: any number */
    int64_t      functions;      /* most instances of programs that are compiled as one; see plan_bank.h */
    int64_t      bank_bytes;     /* and most bytes of weights of those; of no meaning with functions 1 */
    int64_t      dies;           /* engines of the target; ranks of a machine share them out */
    PlanWeightMode weights;
    PlanSetting *config; /* resolved configuration of the model */
    uint32_t     configs;
    PlanParam   *param;
    uint32_t     params;
    PlanState   *state;
    uint32_t     states;
    PlanTable   *table;
    uint32_t     tables;
    PlanProgram *program;
    uint32_t     programs;
    PlanBuffer  *buffer;
    uint32_t     buffers;
    PlanStage   *stage;
    uint32_t     stages;
    PlanEntry   *entry;
    uint32_t     entries;
    const char  *train_entry; /* NULL: nothing to train */
    PlanSetting *train;       /* dotted keys: optimizer = adamw, optimizer.lr = 0.0003 */
    uint32_t     trains;
    /* set by plan_resolve() */
    uint32_t     param_count, state_count; /* single parameters and states over all groups */
} Plan;

/* Check the whole plan once (names unique, indices and ranges in bounds, products without overflow, shapes of refs
 * within their buffers, patterns that name existing leaves for every index, every step's operand count and shapes by
 * the rules of the operation, steps read nothing that was never written) and fill the fields marked above. After it
 * nobody needs to check again. False with a message that names the place and the remedy. */
bool plan_resolve(Plan *p, Arena *a, Buf *err);

/* Text of the manifest. */
void plan_print(const Plan *p, Buf *out);
/* Parse and resolve a manifest; `name` is used in messages. NULL with a message (file:line: ...). In a manifest of a
 * later minor version keys we do not know are skipped; unknown blocks, steps and recipes are always errors. */
Plan *plan_parse(Arena *a, const char *name, const char *text, size_t len, Buf *err);
/* Read plan.anep from a plan directory. The hash of the manifest's canonical text, in which comments and spacing do not
 * count, goes to `hash`, HASH_HEX bytes, when it is not NULL. */
Plan *plan_open(Arena *a, const char *dir, char *hash, Buf *err);

/* A file of the plan directory besides the manifest: path relative to the plan, and contents. */
typedef struct {
    const char *path;
    const char *data;
    size_t      len;
} PlanFile;
/* Write manifest and files into a temporary directory beside `dir`, flush, and rename it to `dir`. A plan already there
 * is replaced; anything else there is refused, so that a mistyped -o destroys nothing. */
bool plan_write(const Plan *p, const char *dir, const PlanFile *file, uint32_t files, Buf *err);

/* Path of a leaf: `pattern` with its "{L}" replaced by `index`. */
const char *plan_path(Arena *a, const char *pattern, int32_t index);
int64_t     plan_numel(PlanShape s);

#endif

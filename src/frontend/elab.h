/* elab.h: what the files of elaboration share: values, names, calls in progress, graphs under construction.
 *
 * Elaboration runs the program at compile time. Everything static (numbers, strings, lists, tables) is computed on the
 * spot; what remains, operations on tensors, is appended to a graph. The words:
 *
 *   Value     a result: a number, a table, a tensor (a node of some graph), a tuple; or poison, which an error left
 *             behind and which every operation swallows without another message.
 *   Symbol    a name of the file or model: config, const, fn, block, param.
 *   Var       a name inside a function; Frame: one call in progress, with its variables.
 *   Builder   a graph under construction: an entry, the region of a repeat, the body of a function with an adjoint.
 *   Segment   one piece of the path under which parameters are born.
 *
 * The files: use.c reads, scope.c keeps names, static.c and table.c compute, types.c matches, tensor.c and builtins.c
 * append nodes to what builder.c keeps, expr.c and stmt.c walk the tree, call.c, adjoint.c, params.c and repeat.c
 * instantiate, train.c flattens, adapt.c freezes, origin.c tells nodes their statements, explain.c words the messages, entry.c and
 * elaborate.c put it together. */
#ifndef ANEL_FRONTEND_ELAB_H
#define ANEL_FRONTEND_ELAB_H

#include "base/suggest.h"
#include "frontend/ast.h"
#include "frontend/elaborate.h"

typedef struct Elab Elab;
typedef struct Frame Frame;
typedef struct Builder Builder;
typedef struct Value Value;

enum {
    MAX_VALUE_RANK = 5,    /* of ordinary values; MAX_RANK leaves room for the stacks of a repeat */
    MAX_CALL_DEPTH = 100,  /* calls within calls */
    MAX_EXPR_DEPTH = 2000, /* nested expressions: the recursion of eval() */
    MAX_NODES = 1000000,   /* of one graph */
    MAX_ITERATIONS = 100000,
    MAX_TABLE = 1 << 28, /* elements of one table */
};

/* ---- values ---- */
typedef enum { V_POISON, V_INT, V_FLOAT, V_BOOL, V_STR, V_LIST, V_TABLE, V_TENSOR, V_TUPLE } ValueKind;

/* A constant table before anybody has used it as a tensor; `id` are the interned tables by element type. */
typedef struct {
    DType dtype; /* DT_REAL, DT_I32 (every element is an int) or DT_BOOL */
    Shape shape;
    double *data;
    StrId name;
    uint32_t id[DT_COUNT];
} TableData;

struct Value {
    ValueKind kind;
    union {
        int64_t i;
        double f;
        bool b;
        StrId s;
        struct {
            Value *item;
            uint32_t n;
        } seq; /* list, tuple */
        TableData *table;
        struct {
            Builder *home;
            ValueId id;
        } t;
    };
};

static inline bool is_poison(Value v)
{
    return v.kind == V_POISON;
}
static inline bool is_static_number(Value v)
{
    return v.kind == V_INT || v.kind == V_FLOAT;
}
static inline bool is_tensor(Value v)
{
    return v.kind == V_TENSOR || v.kind == V_TABLE;
}
static inline bool is_static(Value v)
{
    return v.kind >= V_INT && v.kind <= V_TABLE;
}

/* ---- names ---- */
typedef enum { SYM_CONFIG, SYM_CONST, SYM_FN, SYM_BLOCK, SYM_PARAM } SymKind;
typedef struct {
    SymKind kind;
    StrId name;
    const Item *item;
    Span at;
    Value value; /* config, const */
    enum { SYM_NEW, SYM_BUSY, SYM_DONE } status;
    const char *origin; /* where an overridden config's value comes from, or NULL */
    uint32_t param;     /* Module.param of a model-level param */
    const Item *model;  /* the model it belongs to, or NULL */
} Symbol;

typedef enum { VAR_LOCAL, VAR_ARG, VAR_DEFAULT, VAR_GENERIC, VAR_INDEX, VAR_CONST, VAR_PARAM, VAR_STATE } VarKind;
typedef struct {
    StrId name;
    VarKind kind;
    Value value;
    Span at;              /* where it got its value */
    const TypeExpr *type; /* as declared: arguments, params, states */
    uint32_t state;       /* Module.state of a VAR_STATE */
    /* generics: bound by the argument `from`, of this type, itself bound at `from_at` */
    StrId from;
    Type from_type;
    Span from_at;
} Var;

struct Frame {
    Frame *caller;
    const FnDef *fn;
    SymKind kind;     /* SYM_FN or SYM_BLOCK */
    const Expr *call; /* NULL for entries and instances made for a vjp check */
    Span call_at;
    bool shared; /* parameters below may exist already */
    bool labelled;
    StrId base; /* statements of this call are named below it: "xn" of `xn = rmsnorm(x, g)`; 0 after a label */
    Var *var;
    uint32_t vars, vars_cap;
    bool returned; /* a return was run */
    uint32_t in_repeat;
    Value result;
    Span result_at;
    uint32_t depth;
};

/* An array for Frame.var. */
typedef struct {
    Var *var;
    uint32_t cap;
} Vars;

/* ---- graphs under construction ---- */
typedef enum { BUILD_ENTRY, BUILD_REGION, BUILD_CALL } BuildKind;

/* A param or state node: its a.leaf.set is an index into Builder.leaf until the graph is sealed. */
typedef struct {
    bool is_state;
    uint32_t index; /* Module.param or Module.state */
    StrId pattern;  /* path with "{L}" */
    ValueId node;
} Leaf;

typedef struct {
    uint32_t leaf; /* Builder.leaf */
    Value now;     /* after the updates so far */
    bool updated;
    Span at; /* of the last update */
} LiveState;

typedef struct {
    ValueId outer, inner;
    bool is_input;
} Import;
typedef struct {
    uint32_t table;
    ValueId node;
} TableNode;

struct Builder {
    BuildKind kind;
    Graph *g;
    Builder *outer; /* region: values of this one may be used inside */
    Leaf *leaf;
    uint32_t leafs, leafs_cap;
    LiveState *state;
    uint32_t states, states_cap;
    Import *import;
    uint32_t imports, imports_cap;
    TableNode *table;
    uint32_t tables, tables_cap;
    bool full; /* the node limit was told */
};

/* ---- paths ---- */
typedef struct {
    StrId text;
    bool is_index;  /* the number of an iteration */
    bool is_region; /* ... of the repeat whose region is being built: "{L}" in patterns */
    bool is_repeat; /* label of a repeat */
    StrId scope;    /* the path up to here without numbers; path_push() sets it */
} Segment;

/* A parameter's history, beside Module.param. */
typedef struct {
    uint32_t entry; /* number of the entry that created it last */
    Span site;      /* there */
} ParamUse;

typedef struct {
    const FnDef *fn, *vjp;
    Type *type; /* of the tensor arguments */
    uint32_t tensors;
    Value *arg; /* all arguments; tensors as poison */
    uint32_t args;
    GraphId graph, adjoint;
    Type result;
} CallInstance;

typedef struct {
    const char *code;
    Span at, shown;
} Told;

typedef struct {
    const Expr *table;
    Value *key; /* values of the free names */
    uint32_t keys;
    TableData *data;
} KnownTable;

typedef struct {
    const File *file;
    const char *real;
    bool library, open;
} Loaded;

/* A pattern of the train section: these parameters are trained, or frozen. */
typedef struct {
    const char *pattern;
    bool trained, used;
    Span at;
} TrainedChoice;

struct Elab {
    Arena *a;
    Module *m;
    Interner *strings;
    Sources *sources;
    Diags *ds;
    const FrontendOptions *opt;

    Loaded **loaded;
    uint32_t loads, loads_cap;
    Symbol *sym;
    uint32_t syms, syms_cap;
    uint32_t *sym_of; /* by StrId: index + 1 */
    uint32_t sym_of_cap;
    const Item *model;

    Frame *frame;
    Builder *b;
    Segment *seg;
    uint32_t segs, segs_cap;
    Node like;  /* what new nodes inherit: scope, tag, hint, place */
    bool share; /* calls of this statement are shared */
    uint32_t cuts;
    uint32_t entry; /* number of the entry being built, from 1 */
    uint32_t expr_depth;
    ParamUse *use; /* by parameter */
    uint32_t uses_cap;
    uint32_t *param_of, *state_of; /* by path: index + 1 */
    uint32_t param_of_cap, state_of_cap;
    TrainedChoice *choice;
    uint32_t choices, choices_cap;

    CallInstance *inst;
    uint32_t insts, insts_cap;
    KnownTable *known;
    uint32_t knowns, knowns_cap;
    Vars *spare; /* arrays of calls that have returned */
    uint32_t spares, spares_cap;

    /* diagnostics: see explain.c */
    Told *told;
    uint32_t tolds, tolds_cap;
    Diag *pending;
    Span pending_at[4];
    const char *pending_text[4];
    uint32_t pendings;
    Diags *silent; /* errors said twice go here */
};

/* ---- explain.c: messages with the calls that led there ---- */
Diag *elab_error(Elab *e, const char *code, Span at, const char *fmt, ...) ANEL_PRINTF(4, 5);
void elab_flush(Elab *e);
/* A note that tells where the static names in these expressions got their values. */
void note_names(Elab *e, Diag *d, const Expr *x, const Expr *y);
const char *source_text(Elab *e, Span at);             /* one line, shortened */
const char *place_text(Elab *e, Span at);              /* "layer768.anel:4" */
const char *describe(Elab *e, const Expr *x, Value v); /* "real[2304, 768]: declared at m.anel:24 as real[out, I]" */
const char *kind_text(Elab *e, Value v);               /* "int 3", "real[4, 4]", "a tuple" */
bool is_library(const Elab *e, Span at);
static inline const char *str(const Elab *e, StrId s)
{
    return interned(e->strings, s);
}

/* ---- use.c ---- */
bool load_program(Elab *e, const char *path);

/* ---- scope.c ---- */
bool declare(Elab *e, SymKind kind, Name name, const Item *item, const Item *model);
Symbol *find_symbol(Elab *e, StrId name);
Var *find_var(Elab *e, StrId name);
Var *bind_var(Elab *e, VarKind kind, StrId name, Value v, Span at); /* new, or the old one with a new value */
Var *new_var(Elab *e, VarKind kind, StrId name, Value v, Span at);  /* always new: shadows */
Value eval_name(Elab *e, const Expr *x);
Value symbol_value(Elab *e, Symbol *s);
void unknown_name(Elab *e, Name n, bool function);
const char *origin_text(Elab *e, StrId name); /* "768 from layer768.anel:4", or NULL if not a static name */
bool bind_configs(Elab *e);

/* ---- static.c ---- */
Value v_int(int64_t i);
Value v_float(double f);
Value v_bool(bool b);
extern const Value v_poison;
Value static_binary(Elab *e, const Expr *x, Value a, Value b);
Value static_unary(Elab *e, const Expr *x, Value a);
double static_number(Value v);
bool static_equal(Value a, Value b);
bool want_int(Elab *e, const Expr *x, int64_t *out, const char *what);
bool want_bool(Elab *e, const Expr *x, bool *out, const char *what);
bool want_float(Elab *e, const Expr *x, double *out, const char *what);
void static_print(const Elab *e, Value v, Buf *out);
const char *interpolate(Elab *e, StrId text, Span at, const char *path);
bool check_assert(Elab *e, const Assertion *as, Span at);
typedef enum { SF_SQRT, SF_EXP, SF_LOG, SF_SIN, SF_COS, SF_TANH, SF_SIGMOID, SF_RSQRT } StaticFn;
bool static_apply(StaticFn f, double x, double *y, const char **why);
bool int_div_exact(int64_t a, int64_t b, int64_t *q);
int64_t int_floor_div(int64_t a, int64_t b);
bool int_power(int64_t a, int64_t n, int64_t *r);

/* ---- table.c ---- */
Value eval_table(Elab *e, const Expr *x);
uint32_t table_id(Elab *e, TableData *t, DType dtype);

/* ---- types.c ---- */
typedef struct {
    ValueKind kind; /* V_INT V_FLOAT V_BOOL V_STR V_LIST, or V_TENSOR */
    Type type;
    bool token;
    Span at; /* where it was declared */
} Declared;
bool eval_type(Elab *e, const TypeExpr *t, Declared *out);
bool dtype_by_name(const char *name, DType *out, bool *token);
/* Is `v` exactly what was declared? Then convert_value() returns it as it is. */
bool has_type(const Elab *e, Value v, Declared want);
/* Convert `v` to what was declared: int to float, number to rank 0, real from f16 and f32. Poison after a message,
 * which begins with `what` ("the result of 'f'"). */
Value convert_value(Elab *e, Value v, Declared want, Span at, const char *what);
bool bind_generics(Elab *e, const FnParam *p, const TypeExpr *t, Type actual, Span at, const Expr *arg);
bool check_dims(Elab *e, const FnParam *p, const TypeExpr *t, Type actual, Span at);
bool list_shape(Elab *e, const Expr *x, Shape *s);

/* ---- tensor.c ---- */
Builder *builder_new(Elab *e, BuildKind kind, StrId name, Builder *outer);
GraphId graph_register(Elab *e, Graph *g);
ValueId use_value(Elab *e, Value v); /* a tensor as a node of the graph under construction */
ValueId leaf_node(Elab *e, bool is_state, uint32_t index, StrId pattern);
Type tensor_type(const Elab *e, Value v);
Value tensor(Elab *e, ValueId id);
Node *like_at(Elab *e, Span at);
Value to_tensor(Elab *e, Value v, DType dtype, Span at); /* dtype: what a number or table of ints becomes */
Value cast_to(Elab *e, Value v, DType dtype, Span at);
Value splat_like(Elab *e, Value v, Type t, Span at);
Value tensor_binary(Elab *e, const Expr *x, Value a, Value b);
Value elementwise(Elab *e, const Expr *x, Op op, CmpKind k, const Expr *xe, Value a, const Expr *ye, Value b,
                  const char *verb);
bool broadcast_shapes(Elab *e, const Expr *x, const Expr *xe, Value a, const Expr *ye, Value b, Shape *out,
                      const char *verb);
Value broadcast_value(Elab *e, Value v, Shape s, Span at);
Value tensor_negate(Elab *e, Value v, Span at);
Value transpose_last(Elab *e, const Expr *x, Value v);
Value eval_index(Elab *e, const Expr *x);
bool eval_axis(Elab *e, const Expr *x, uint32_t rank, int32_t *axis);
bool room(Elab *e, Span at);

/* ---- builtins.c ---- */
bool is_builtin(const char *name);
void suggest_builtins(Suggest *s);
Value eval_builtin(Elab *e, const Expr *x);

/* ---- expr.c, stmt.c ---- */
Value eval(Elab *e, const Expr *x);
void run_body(Elab *e, const Stmt *s);
void bad_attribute(Elab *e, const Attribute *at, const char *const *allowed, const char *where);
bool is_attr(const Elab *e, const Attribute *at, const char *name);

/* ---- call.c ---- */
typedef struct {
    Value v;
    const Expr *x; /* NULL: the default */
    Span at;
} ArgValue;
Value eval_call(Elab *e, const Expr *x);
/* Run `s` on these arguments (one per parameter of its header; x NULL and v poison: use the default). */
Value instantiate(Elab *e, const Symbol *s, ArgValue *arg, const Expr *call);
Value run_function(Elab *e, Frame *f); /* body and result of a frame whose names are bound */
const Attribute *find_attr(const Elab *e, const Attribute *list, const char *name);

/* ---- adjoint.c ---- */
Value call_with_adjoint(Elab *e, const Symbol *s, const Attribute *vjp, ArgValue *arg, const Expr *x);
void make_vjp_checks(Elab *e);

/* ---- origin.c ---- */
/* The statement below `base`; either may be 0. */
StrId stmt_join(Elab *e, StrId base, StrId name);
/* From here on nodes stem from this statement: `name` is what it binds (0: nothing, a return), `value` its right side.
 * Returns what origin_leave() puts back. */
typedef struct {
    StrId stmt;
    Span from;
} Origin;
Origin origin_enter(Elab *e, StrId name, const Expr *value, Span at);
void origin_leave(Elab *e, Origin old);
/* Give the value of a return statement at `at` its name, unless it is older than node `first`. */
void origin_result(Elab *e, Value v, uint32_t first, Span at);
/* What the statements of a call of `s` are named below. */
StrId origin_of_call(Elab *e, const Expr *call, const Symbol *s);

/* ---- entry.c ---- */
void build_entries(Elab *e, const Item *item);

/* ---- params.c ---- */
void path_push(Elab *e, Segment s);
void path_set(Elab *e, uint32_t n);               /* back to n segments */
StrId param_path(Elab *e, StrId name);            /* of a parameter of this name born here */
void run_param(Elab *e, const Stmt *s);
void run_state(Elab *e, const Stmt *s);
void run_update(Elab *e, const Stmt *s);
bool declare_model_param(Elab *e, Symbol *s);
void seal(Elab *e, Builder *b, Builder *const *run, uint32_t n); /* leaf sets and final states of a finished graph */
LiveState *live_state(Builder *b, uint32_t state);

/* ---- repeat.c ---- */
void run_repeat(Elab *e, const Stmt *s);

/* ---- adapt.c ---- */
/* The keys `trained` and `freeze` of the train section, read before parameters are born; their unused patterns are told
 * by check_trained() when all are. */
bool is_trained_key(const Elab *e, StrId key);
void read_trained(Elab *e);
bool is_chosen_frozen(Elab *e, StrId path);
void check_trained(Elab *e, Name entry);
Merge *read_merge(Elab *e, const Expr *x); /* of an attribute; NULL after a message */
bool merge_equal(const Merge *a, const Merge *b);
void resolve_merges(Elab *e);

/* ---- train.c ---- */
bool read_train(Elab *e, const Item *item);

#endif

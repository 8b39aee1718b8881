/* graph.h: the intermediate representation: modules, graphs, nodes.
 *
 * A Module holds everything a model is: parameters, states, constant tables, entries and graphs. A Graph is an array of
 * nodes in topological order; a node is one value, named by its index (ValueId; 0 is "no value"). Shapes are static,
 * broadcasts explicit. Passes build new graphs through a table from old ids to new ones, so nothing ever dangles.
 *
 * repeat. A `repeat` node runs a region, a graph of its own, n times. Its operands are, in this order,
 *     carry[n_carry]   values that one iteration hands to the next (the region's first results become the next inputs)
 *     xs[n_xs]         stacks [n, ...]: iteration i reads element i
 *     invariants       the same in every iteration
 * and the region's inputs are the same list, stacks without their leading axis. The region's results are first the
 * n_carry carried values, then the ys: each is stacked to [n, ...]. With `reverse` iterations run from n-1 down to 0
 * (element i still belongs to index i). Results of the node are read with proj: 0..n_carry-1 the final carries, then
 * the stacks. A `param` inside the region refers to a LeafSet that lists one parameter per iteration. Regions do not
 * nest: an inner repeat of the source is unrolled.
 *
 * call. A `call` node runs a region once: a function with a hand-written adjoint. `vjp` is the adjoint's graph; its
 * inputs are the call's operands followed by the cotangent of its one result, its results the cotangents of the
 * operands whose type is real, in order. Calls are inlined after differentiation.
 *
 * Gradients and state updates are nodes without a result (`grad`, `state_set`). They are live by themselves. */
#ifndef ANEL_IR_GRAPH_H
#define ANEL_IR_GRAPH_H

#include "base/buf.h"
#include "base/intern.h"
#include "base/source.h"
#include "target/target.h"

#include <stdbool.h>

typedef uint32_t ValueId; /* index into Graph.node; 0 = none */
typedef uint32_t GraphId; /* index into Module.graph; 0 = none */

typedef enum { DT_NONE, DT_REAL, DT_F16, DT_F32, DT_I32, DT_BOOL, DT_COUNT } DType; /* NONE: sinks, repeat, call */

enum { MAX_RANK = 6 }; /* 5 for ordinary values, one more for the stacks of a repeat */

typedef struct {
    uint8_t rank;
    int32_t dim[MAX_RANK]; /* unused ones are 0 */
} Shape;

typedef struct {
    DType dtype;
    Shape shape;
} Type;

typedef enum {
#define OP(name, arity, type, eval, vjp, mil) OP_##name,
#include "ir/ops.def"
    OP_COUNT
} Op;

typedef enum { ROLE_FWD, ROLE_BWD, ROLE_UPD } Role; /* forward, backward, once per update (see defer.c of the passes) */
typedef enum { DEV_ANY, DEV_ANE, DEV_CPU } Place;
typedef enum { CMP_EQ, CMP_NE, CMP_LT, CMP_GT, CMP_LE, CMP_GE } CmpKind;

typedef union {
    struct { uint8_t ta, tb; } matmul;
    struct { int32_t axis; } axis;                             /* softmax, concat, xent, xent_grad, splice */
    struct { uint32_t axes; } reduce;                          /* sum, amax: bit k = axis k */
    struct { uint8_t perm[MAX_RANK]; } transpose;              /* result axis k is operand axis perm[k] */
    struct { int32_t begin[MAX_RANK], end[MAX_RANK]; } slice;  /* [begin, end) */
    struct { int32_t lo[MAX_RANK], hi[MAX_RANK]; } pad;
    struct { double c; } powc;
    struct { CmpKind kind; } cmp;
    struct { uint32_t table; double splat; } constant;         /* table 0: every element is splat */
    struct { uint32_t index; } input;
    struct {
        uint32_t set;
    } leaf; /* param, grad: Module.param_set; state, state_set: .state_set */
    struct {
        GraphId graph;
        int32_t first, n; /* the index runs over first .. first + n - 1 */
        uint32_t n_carry, n_xs;
        bool reverse;
    } repeat;
    struct { GraphId graph, vjp; StrId fn; } call;
    struct { uint32_t index; } proj;
} Attr;

typedef struct {
    Op       op;
    Role     role;
    Place  device; /* DEV_ANY until the place pass */
    uint32_t program; /* 1 + program number after partition; 0 = none */
    Type     type;
    uint32_t in_first, in_count; /* slice of Graph.operand */
    Attr     a;
    StrId    name;  /* source variable, or 0 */
    StrId    scope; /* path of the enclosing calls and repeats without indices: "layers.attention" */
    StrId    stmt;  /* the statement below that scope, after those whose calls led to it: "xn.r"; 0 = none */
    bool     again; /* a forward value computed once more for the backward direction */
    uint32_t tag;   /* Module.composite instance, 0 = none */
    uint32_t hint;  /* Module.hint, 0 = none */
    Span     at;
    Span     from; /* the statement of the model's own file that led here: `at` may lie in the library */
} Node;

typedef struct {
    StrId name;
    Type  type;
    bool  is_token; /* declared tok[...] */
} GraphInput;

typedef struct {
    GraphId     id;
    StrId       name;
    Node       *node; /* node[0] is unused */
    uint32_t    count, cap;
    ValueId    *operand;
    uint32_t    operands, operands_cap;
    GraphInput *input;
    uint32_t    inputs, inputs_cap;
    ValueId    *out;
    StrId      *out_name; /* may be 0 */
    uint32_t    outs, outs_cap, out_names_cap;
} Graph;

/* Initial values. */
typedef enum { INIT_ZEROS, INIT_ONES, INIT_VALUE, INIT_NORMAL, INIT_UNIFORM } InitKind;
typedef struct {
    InitKind kind;
    double   a, b; /* value; std; lower and upper bound */
} Init;

/* What a parameter becomes when adapters are merged into it: #[merge(weight + 2 * (b @ a))]. */
typedef enum { MERGE_PARAM, MERGE_ADD, MERGE_SCALE, MERGE_PRODUCT, MERGE_TRANSPOSE } MergeKind;
typedef struct Merge {
    MergeKind     kind;
    StrId         path;  /* MERGE_PARAM: of the parameter, */
    uint32_t      param; /* which is this one of Module.param */
    double        c;     /* MERGE_SCALE: times this */
    struct Merge *x, *y; /* operands */
    Span          at;
} Merge;

typedef struct {
    StrId  path; /* identity: "layers.3.attention.wq.weight" */
    Type   type;
    Init   init;
    bool   nodecay, frozen;
    double lr;            /* factor on the learning rate, 1 unless lr(x) */
    StrId  import;        /* name in a checkpoint, or 0 */
    bool   import_transpose;
    int32_t import_rows[2]; /* rows [0], [1) of the imported array; both 0 = all */
    Merge *merge;           /* NULL: itself */
    Span   merge_at;
    bool   adapter;         /* merged into another one: programs without adapters do not know it */
    Span   at;
} Param;

typedef struct {
    StrId path;
    Type  type;
    Init  init;
    Span  at;
} State;

/* What a `param` or `state` node stands for: one leaf per iteration of the enclosing repeat (count = its n), or one. */
typedef struct {
    StrId pattern; /* the path with "{L}" for the repeat's index: pattern with first + i inserted is leaf i's path */
    uint32_t  count;
    uint32_t *leaf; /* indices into Module.param or Module.state */
} LeafSet;

/* A constant table; equal tables are stored once. */
typedef struct {
    Shape   shape;
    DType   dtype; /* DT_REAL, DT_I32 or DT_BOOL */
    double *data;  /* row-major */
    StrId   name;  /* where it came from: "causal_mask" */
} Table;

typedef enum { PLACE_FREE, PLACE_ANE, PLACE_CPU } PlaceHint;
typedef struct {
    PlaceHint place;
    bool      save, recompute, f32;
    StrId     group;
    uint32_t  cut; /* 0, or the number of the enclosing #[cut] region */
    Span      at;
} Hint;

typedef struct {
    StrId fn; /* "rmsnorm" */
} Composite;

typedef struct {
    StrId   name;
    GraphId graph;
    Span    at;
} Entry;

/* train section, flattened: "optimizer" = "adamw", "optimizer.lr" = "0.0003". */
typedef struct {
    StrId key, value;
    Span  at;
} Setting;

typedef struct {
    StrId name, value; /* resolved configuration, as text */
    bool  overridden;
} Config;

/* (a check of a hand-written adjoint that the vjp-check pass must make: two graphs on the same small inputs) */
typedef struct {
    StrId   fn, vjp_fn;
    GraphId graph, vjp; /* as in `call`; instantiated at small random extents */
    Span    at;
} VjpCheck;

/* How programs get at their parameters: constants, inputs, constants that are replaced, constants where nothing trained
 * is in them; see PlanWeightMode. AUTO: the
 * back end chooses by cost. */
typedef enum { WEIGHTS_BAKED, WEIGHTS_DYNAMIC, WEIGHTS_RELOAD, WEIGHTS_MIXED, WEIGHTS_AUTO } WeightMode;

typedef struct Module {
    Arena     *arena;
    Interner  *strings;
    Sources   *sources;
    StrId      name;
    Graph    **graph; /* graph[0] is NULL */
    uint32_t   graphs, graphs_cap;
    Param     *param;
    uint32_t   params, params_cap;
    State     *state;
    uint32_t   states, states_cap;
    LeafSet   *param_set, *state_set;
    uint32_t   param_sets, param_sets_cap, state_sets, state_sets_cap;
    Table     *table; /* table[0] is unused */
    uint32_t   tables, tables_cap;
    Hint      *hint; /* hint[0] is "none" */
    uint32_t   hints, hints_cap;
    Composite *composite; /* composite[0] is unused */
    uint32_t   composites, composites_cap;
    Entry     *entry;
    uint32_t   entries, entries_cap;
    StrId      train_entry; /* 0: no train section */
    Setting   *setting;
    uint32_t   settings, settings_cap;
    Config    *config;
    uint32_t   configs, configs_cap;
    VjpCheck  *vjp_check;
    uint32_t   vjp_checks, vjp_checks_cap;
    /* what it is compiled for; not part of the model */
    const struct Target *target; /* never NULL: module_new() says target_any() */
    WeightMode weights;
    int64_t memory; /* bytes that one training step may save for the backward direction; 0: as many as pay */
    int64_t    saved_bytes;      /* what the taps pass came to */
    double     recomputed_flops;
    uint64_t   off;              /* set of passes/switches.h: rewrites that are switched off */
} Module;

/* ---- the operation table ---- */
enum { VARIADIC = -1 };
typedef struct {
    const char *name;
    int         arity;
    bool        has_mil;       /* may run on the engine */
    bool        has_vjp;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
/* The operation of that name, or OP_COUNT. */
Op op_by_name(const char *name);

/* Result type of `n` (op and a set; for ops whose type is given, n->type too) for these operand types: stored into
 * n->type. False with one sentence in `err` ("matmul contracts 256 with 2304"). repeat, call and proj look into `m`;
 * for proj, `source` is the operand's node. */
bool op_infer(const Module *m, Node *n, const Type *in, uint32_t n_in, const Node *source, Buf *err);

/* ---- types ---- */
extern const char *const dtype_name[DT_COUNT]; /* "real", "f16", ... */
int64_t shape_numel(Shape s);
bool    shape_equal(Shape a, Shape b);
bool    type_equal(Type a, Type b);
Shape   shape_of(uint32_t rank, const int32_t *dim);
Type    type_of(DType dtype, uint32_t rank, const int32_t *dim);
Type    type_stacked(Type t, int32_t n);  /* [n, ...] */
Type    type_unstacked(Type t);           /* without the leading axis */
void    type_print(Type t, Buf *out);     /* real[768, 256] */
const char *type_text(Arena *a, Type t);

/* ---- building ---- */
Module *module_new(Arena *a, Interner *strings, Sources *sources);
Graph  *module_add_graph(Module *m, StrId name);
/* Intern a table: an equal one already there is returned. `data` is copied. Returns its number (from 1). */
uint32_t module_add_table(Module *m, DType dtype, Shape shape, const double *data, StrId name);
uint32_t module_add_hint(Module *m, Hint h); /* equal hints share a number */
/* A leaf set; equal sets (same pattern, same leaves) share a number. */
uint32_t module_add_param_set(Module *m, StrId pattern, const uint32_t *leaf, uint32_t count);
uint32_t module_add_state_set(Module *m, StrId pattern, const uint32_t *leaf, uint32_t count);
/* The entry of that name, or NULL. */
const Entry *module_entry(const Module *m, const char *name);

/* Append a node: everything but type and operands is taken from `proto` (name, scope, place, role, attributes); the
 * type is inferred, or checked where it is given. A mismatch here is a bug in anel: callers check user input before. */
ValueId graph_add(Module *m, Graph *g, const Node *proto, const ValueId *in, uint32_t n_in);
ValueId graph_add_input(Module *m, Graph *g, StrId name, Type type, bool is_token, Span at);
void    graph_add_out(Module *m, Graph *g, ValueId v, StrId name);
static inline const ValueId *node_in(const Graph *g, const Node *n)
{
    return g->operand ? g->operand + n->in_first : NULL; /* NULL + 0 is undefined */
}
static inline ValueId node_arg(const Graph *g, ValueId v, uint32_t k)
{
    return g->operand[g->node[v].in_first + k];
}

/* ---- looking at graphs ---- */

/* The same numbers in another shape: no work inside a program, no rounding. (A transpose moves them.) */
static inline bool op_is_view(Op op)
{
    return op == OP_reshape || op == OP_broadcast || op == OP_stop_grad;
}
/* What `v` is broadcast from, or `v`. */
static inline ValueId behind_broadcasts(const Graph *g, ValueId v)
{
    while (g->node[v].op == OP_broadcast)
        v = node_arg(g, v, 0);
    return v;
}
/* ... through reshapes and transposes as well. */
static inline ValueId behind_views(const Graph *g, ValueId v)
{
    while (g->node[v].op == OP_reshape || g->node[v].op == OP_broadcast || g->node[v].op == OP_transpose)
        v = node_arg(g, v, 0);
    return v;
}
/* Extent of the axis that product `n` sums over, and its multiplications and additions. */
static inline int64_t matmul_contracted(const Graph *g, const Node *n)
{
    Shape a = g->node[node_in(g, n)[0]].type.shape;
    return a.dim[a.rank - (n->a.matmul.ta ? 2 : 1)];
}
static inline uint64_t matmul_flops(const Graph *g, const Node *n)
{
    return 2 * (uint64_t)matmul_contracted(g, n) * (uint64_t)shape_numel(n->type.shape);
}

/* Shorthands that copy name, scope, statement, place, role, tag and hint from `like` (a node of any graph, may be
 * NULL). */
ValueId g_unary(Module *m, Graph *g, const Node *like, Op op, ValueId x);
ValueId g_binary(Module *m, Graph *g, const Node *like, Op op, ValueId x, ValueId y);
ValueId g_splat(Module *m, Graph *g, const Node *like, double c, Type type);
ValueId g_table(Module *m, Graph *g, const Node *like, uint32_t table);
ValueId g_powc(Module *m, Graph *g, const Node *like, ValueId x, double c);
ValueId g_cmp(Module *m, Graph *g, const Node *like, CmpKind k, ValueId x, ValueId y);
ValueId g_select(Module *m, Graph *g, const Node *like, ValueId c, ValueId x, ValueId y);
ValueId g_sum(Module *m, Graph *g, const Node *like, ValueId x, uint32_t axes);
ValueId g_amax(Module *m, Graph *g, const Node *like, ValueId x, uint32_t axes);
ValueId g_softmax(Module *m, Graph *g, const Node *like, ValueId x, int32_t axis);
ValueId g_matmul(Module *m, Graph *g, const Node *like, ValueId x, ValueId y, bool ta, bool tb);
ValueId g_reshape(Module *m, Graph *g, const Node *like, ValueId x, Shape s);
ValueId g_broadcast(Module *m, Graph *g, const Node *like, ValueId x, Shape s);
ValueId g_transpose(Module *m, Graph *g, const Node *like, ValueId x, const uint8_t *perm);
ValueId g_slice(Module *m, Graph *g, const Node *like, ValueId x, const int32_t *begin, const int32_t *end);
ValueId g_pad(Module *m, Graph *g, const Node *like, ValueId x, const int32_t *lo, const int32_t *hi);
ValueId g_concat(Module *m, Graph *g, const Node *like, const ValueId *x, uint32_t n, int32_t axis);
ValueId g_cast(Module *m, Graph *g, const Node *like, ValueId x, DType dtype);
ValueId g_proj(Module *m, Graph *g, const Node *like, ValueId x, uint32_t index);

/* ---- parameter expressions (param_expr.c) ---- */
enum { PARAM_EXPR_DEPTH = 12 }; /* operations on a path from a value to its parameters, at most */
/* Is `v` a parameter, or made of nothing but parameters (one at least) and constants by reshape, transpose, slice,
 * concat, sums, products, products with a vector spread over rows or columns, and products of a matrix with a column;
 * or a broadcast of that? Whoever reads one makes it for himself, on either device. */
bool is_param_expr(const Graph *g, ValueId v);
/* Does training change a parameter of the set, or one that parameter expression `v` is made of? */
bool is_trained_set(const Module *m, uint32_t set);
bool is_trained_expr(const Module *m, const Graph *g, ValueId v);
/* Is `v`, of rank 2, a [1, n] or [n, 1] broadcast to a matrix? Then that, and the axis along which it grew. */
bool spread_of(const Graph *g, ValueId v, ValueId *source, uint32_t *axis);

#endif

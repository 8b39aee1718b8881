/* mil_check.h: MIL text with its meaning: names resolved, constants evaluated, every statement type-checked.
 *
 * The checker turns a tree (mil_ast.h) into functions made of values and calls. A value is an input, a constant or a
 * result; a call is one operation with its arguments in the order of the op's argument list (mil_ops.def) and a plan:
 * the geometry its kernel needs, worked out once by the op's type rule. Kernels trust calls: nothing is checked again.
 */
#ifndef ANEL_MIL_MIL_CHECK_H
#define ANEL_MIL_MIL_CHECK_H

#include "base/diag.h"
#include "mil/mil_file.h"
#include "mil/mil_type.h"

enum { CALL_ARGS = 10, CALL_TUPLE_MAX = 1024, MIL_FUNCTIONS_MAX = 256 };

/* A compile-time constant. Numbers written in the text are doubles; those of a blob file stay where they are until a
 * kernel needs them. */
typedef struct {
    int64_t              count;
    const double        *num; /* NULL for strings and blob data */
    const unsigned char *raw; /* payload in a blob file, little endian */
    const char          *path; /* of that file, as the text names it; NULL: the value is in the text */
    uint64_t             offset; /* of the blob in it */
    const char          *str;
    bool                 unread; /* of a file that was not given (MIL_UNREAD): only its type is known */
} Const;

typedef struct {
    const char  *name; /* "" for a literal written as an argument */
    Span         at;
    MilType      type;
    uint32_t     id;
    const Const *konst; /* NULL: known at run time only */
    bool         poison; /* its definition was wrong and has been reported: complain no more */
} Value;

/* Strided view: out[i] = in[offset + sum of index * stride]; the shape is the output's. */
typedef struct {
    uint32_t rank;
    int64_t  dim[MIL_RANK_MAX], stride[MIL_RANK_MAX], offset;
} ViewPlan;

/* Element-wise work with broadcasting, neighbouring axes merged where they can be. */
enum { BROADCAST_INPUTS = 3 };
typedef struct {
    uint32_t rank;
    int64_t  dim[MIL_RANK_MAX], stride[BROADCAST_INPUTS][MIL_RANK_MAX];
} BroadcastPlan;

/* Work along one run of axes: [outer, n, inner]. `permute`: the axes were not neighbours, so the input is first copied
 * through `view` into scratch memory, the reduced axes last. */
typedef struct {
    int64_t  outer, n, inner;
    bool     permute, flag[2];
    ViewPlan view;
} AxisPlan;

typedef struct {
    int64_t batch, groups, in_ch, out_ch;                 /* channels of one group */
    int64_t in[3], out[3], k[3], stride[3], dilation[3], pad[3]; /* depth, height, width; pad before */
    int64_t pad_end[3];
    bool    plain; /* 1x1 without padding and strides: the columns are the input itself */
} WindowPlan;

typedef struct {
    uint32_t batch_rank;
    int64_t  batch[MIL_RANK_MAX], x_stride[MIL_RANK_MAX], y_stride[MIL_RANK_MAX]; /* in matrices */
    int64_t  m, n, k, x_ld, y_ld;
    bool     tx, ty;
    int64_t  mask_row, mask_col; /* attention only; y_stride then belongs to the mask */
} MatmulPlan;

/* Concatenation and splitting: pieces of `part[i]` contiguous elements, `outer` times. */
typedef struct {
    int64_t  outer, inner, total;
    int64_t *part;
    bool     interleave;
} JoinPlan;

typedef struct {
    double  alpha, beta;
    int64_t i[4];
} ScalarPlan;

typedef struct Call Call;
typedef struct Check Check;
typedef bool TypeRule(Check *c, Call *call);

/* One row of mil_ops.def. `args` is a list "name:kind name:kind? ..." (a question mark: may be left out), kinds:
 *   t tensor   c constant tensor   v tuple of tensors
 *   i int32   I list of int32   b bool   B list of bool   s string   f fp16 or fp32 number   -- all constant */
typedef struct {
    const char *name, *args;
    TypeRule   *type;
} OpInfo;

/* The table, ended by a row without a name. */
extern const OpInfo mil_op_info[];

struct Call {
    const OpInfo *op;   /* NULL: not in the table (with MIL_FOREIGN; else an error) */
    const char   *name; /* as written */
    bool          ok;   /* every argument is bound and the types are right: rules may look at it */
    Span          at;   /* the operation's name */
    Value        *arg[CALL_ARGS]; /* NULL: left out, or the tuple */
    Span          arg_at[CALL_ARGS];
    Value       **tuple; /* operands of the `v` argument */
    uint32_t      tuples;
    Value       **result;
    uint32_t      results;
    MilType      *type;    /* what the type rule says about each result */
    int64_t       scratch; /* elements of working memory the kernel wants */
    union {
        ViewPlan      view;
        BroadcastPlan broadcast;
        AxisPlan      axis;
        WindowPlan    window;
        MatmulPlan    matmul;
        JoinPlan      join;
        ScalarPlan    scalar;
    } plan;
};

typedef struct {
    const char *name;
    Value     **input, **output;
    uint32_t    inputs, outputs;
    Value     **value; /* by id */
    uint32_t    values, values_cap;
    Call      **call;
    uint32_t    calls, calls_cap;
} Func;

/* What a text may contain besides what can be executed here; flags. */
typedef enum {
    MIL_EXECUTE = 0,
    MIL_FOREIGN = 1, /* operations that are not in the table, and states: results have the types they declare */
    MIL_UNREAD = 2   /* weight files that were not given: of their constants only the type is known */
} MilMode;

typedef struct MilUnit {
    const struct AstProgram *ast; /* NULL after a syntax error; in ds->arena, as the names are */
    const struct Interner   *names;
    Func                    *fn;
    uint32_t                 fns;
} MilUnit;

/* Parse and check `text`. Functions live in `keep`; the tree and `ds` in `ds->arena`. False if `ds` holds an error;
 * what could be understood is in `out` all the same. */
bool mil_read(Arena *keep, Diags *ds, uint32_t source, const MilFile *file, uint32_t files, unsigned mode,
              MilUnit *out);
/* The same for what is to be executed. */
bool mil_check(Arena *keep, Diags *ds, uint32_t source, const MilFile *file, uint32_t files, Func **out,
               uint32_t *count);

/* Numbers of a constant as `double`; `i` < count, and the constant has been read. */
double const_number(const Value *v, int64_t i);

#endif

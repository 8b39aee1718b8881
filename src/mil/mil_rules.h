/* mil_rules.h: what the type rules of operations work with. A rule looks at the call's arguments, fills call->type and
 * call->plan, and returns false after reporting what is wrong. Arguments have the kinds the table promises and
 * constants their declared types; their values are not checked yet. */
#ifndef ANEL_MIL_MIL_RULES_H
#define ANEL_MIL_MIL_RULES_H

#include "base/intern.h"
#include "mil/mil_ast.h"
#include "mil/mil_check.h"

struct Check {
    Arena         *keep;
    Diags         *ds;
    Interner      *names;
    const MilFile *file;
    uint32_t       files;
    unsigned       mode; /* MilMode */
    Func          *fn;
    Value        **by_name; /* index: StrId */
    uint32_t       by_name_cap;
};

static inline const char *name_of(const Check *c, StrId id)
{
    return interned(c->names, id);
}

/* A value of the function, and the value an identifier stands for (NULL after reporting); mil_check.c. */
Value *mil_value_new(Check *c, const char *name, Span at, MilType type, const Const *k);
Value *mil_use(Check *c, Span at, StrId name);
/* Bind the arguments of a statement to the parameters of call->op; mil_args.c. False after reporting. */
bool bind_arguments(Check *c, Call *call, const AstStmt *s);

/* The argument called `name`, or NULL if it was left out. */
Value *arg(const Call *call, const char *name);
Span   arg_place(const Call *call, const char *name);
/* Values of constant arguments; the fallback if left out. */
int64_t     arg_int(const Call *call, const char *name, int64_t fallback);
bool        arg_bool(const Call *call, const char *name);
double      arg_float(const Call *call, const char *name, double fallback);
const char *arg_string(const Call *call, const char *name);

/* Report a wrong argument. Always false, so that rules can `return` it. */
bool wrong(Check *c, const Call *call, const char *name, const char *fmt, ...) ANEL_PRINTF(4, 5);

/* A constant list of exactly `want` numbers (0: any number up to `cap`); false after reporting. */
bool arg_list(Check *c, const Call *call, const char *name, int64_t want, int64_t cap, int64_t *out, int64_t *count);
/* An axis of `x`, negative ones counting from the end, as index from 0. */
bool arg_axis(Check *c, const Call *call, const char *name, uint32_t rank, int64_t *out);
/* The list argument as a set of axes: bit i for axis i. */
bool arg_axes(Check *c, const Call *call, const char *name, uint32_t rank, uint32_t *set);
/* One of the words in `allowed` (separated by spaces): its index, or -1 after reporting. */
int arg_word(Check *c, const Call *call, const char *name, const char *allowed);

bool need_float(Check *c, const Call *call, const char *name);
bool need_same_dtype(Check *c, const Call *call, const char *a, const char *b);
/* A vector [n] of x's element type, if given. */
bool need_vector(Check *c, const Call *call, const char *name, int64_t n, DType dtype);

/* Row-major strides of a type. */
void type_strides(const MilType *t, int64_t *stride);
/* Broadcast `n` operands (right-aligned, extents equal or 1) into call->plan.broadcast and `out`'s shape. */
bool broadcast(Check *c, Call *call, Value *const *in, uint32_t n, MilType *out);
/* Split a shape around a set of neighbouring or scattered axes. */
void axis_plan(const MilType *x, uint32_t set, AxisPlan *plan);
int64_t product(const int64_t *x, uint32_t n);

/* Does a call that is in order cut its operand's last axis other than at its beginning? */
bool call_cuts_last_axis(const Call *call);

#endif

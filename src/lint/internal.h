/* internal.h: what the checks share: the text being checked, and how a violation is told. Internal to src/lint. */
#ifndef ANEL_LINT_INTERNAL_H
#define ANEL_LINT_INTERNAL_H

#include "lint/lint.h"
#include "mil/mil_rules.h"

#include <string.h>

typedef struct {
    Arena             *a;
    const LintOptions *o;
    const Target      *t;
    Diags             *ds;
    const Source      *source;
    uint32_t           file; /* number of `source` */
    MilUnit            unit;
    bool               told[RULE_LAST + 1]; /* evidence is given once a rule */
    /* of the function at hand */
    const AstFunc *ast;
    const Func    *fn;
    const Call   **maker;   /* by value id: the call it is a result of, or NULL */
    const Call    *largest; /* of the calls that touch more than the chip holds */
    int64_t        largest_bytes;
    uint32_t       large;
    double        *bound; /* by value id: no element's magnitude is larger; INFINITY: nothing is known */
} Lint;

/* Tell a violation, at the rule's own level or another one; where the user has set a level it is that. `fmt` says what
 * was found and what is allowed. */
void violation(Lint *l, uint32_t rule, Span at, const char *fmt, ...) ANEL_PRINTF(4, 5);
void violation_as(Lint *l, uint32_t rule, RuleLevel level, Span at, const char *fmt, ...) ANEL_PRINTF(5, 6);

/* text.c: what the syntax tree shows. */
void lint_text(Lint *l);
/* ops.c, shapes.c: one call; ports.c: inputs, outputs, constants of a function; bounds.c: magnitudes. */
void lint_call_op(Lint *l, const Call *call);
void lint_call_shape(Lint *l, const Call *call);
void lint_working_set(Lint *l); /* once all calls have been seen */
void lint_call_bound(Lint *l, const Call *call);
void lint_ports(Lint *l);
void lint_constants(Lint *l);

/* Is the family one of the first two, or unknown? Several refusals are shown for these alone. */
static inline bool early_family(const Lint *l)
{
    return l->t->family == FAMILY_H13 || l->t->family == FAMILY_H14;
}

static inline bool op_is(const Call *call, const char *name)
{
    return call && strcmp(call->name, name) == 0;
}

static inline const Call *maker_of(const Lint *l, const Value *v)
{
    return v ? l->maker[v->id] : NULL;
}

/* A constant whose numbers are at hand. */
static inline bool is_read(const Value *v)
{
    return v && v->konst && (v->konst->num || v->konst->raw);
}

/* The one number of a constant of one element. */
static inline bool scalar_of(const Value *v, double *x)
{
    if (!is_read(v) || v->konst->count != 1)
        return false;
    *x = const_number(v, 0);
    return true;
}

/* A constant tensor, of a weight file or of constexpr_ operations. */
static inline bool is_weight(const Lint *l, const Value *v)
{
    return v && (v->konst ? v->konst->raw || v->konst->unread
                          : maker_of(l, v) && strncmp(maker_of(l, v)->name, "constexpr_", 10) == 0);
}

static inline int64_t type_bytes(const MilType *t)
{
    return type_elems(t) * (int64_t)dtype_info[t->dtype].bits / 8;
}

static inline int64_t last_axis(const MilType *t)
{
    return t->rank ? t->dim[t->rank - 1] : 1;
}

#endif

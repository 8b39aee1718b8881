/* plan_ops.h: the CPU operations a plan may contain: names, attributes, shape rules. Shared by printer, parser and
 * checker; the runtime's kernels take their list of names from here. Meaning and names are those of ir/ops.def. */
#ifndef ANEL_PLAN_PLAN_OPS_H
#define ANEL_PLAN_PLAN_OPS_H

#include "plan/plan.h"

typedef enum { /* which part of StepAttr an operation uses */
    ATTR_NONE,
    ATTR_MATMUL,
    ATTR_AXIS,
    ATTR_AXES,
    ATTR_PERM,
    ATTR_SLICE,
    ATTR_PAD,
    ATTR_POWC,
    ATTR_CMP
} PlanAttrKind;

/* What a step sees of an operand. */
typedef struct {
    PlanType  type; /* PLAN_F32 or PLAN_I32; meaningless when any */
    bool      any;  /* a number for a whole tensor: fits both types */
    PlanShape shape;
} PlanValue;

/* A rule works out the type and shape of the result from the operands. Rules of operations whose result is given by its
 * destination (reshape, broadcast, iota, ...) find it in `out` and leave it there. Complaints are one sentence. */
typedef struct {
    const StepAttr  *a;
    const PlanValue *in;
    uint32_t         ins;
    PlanValue       *out;
    Buf             *err;
} PlanRule;
typedef bool PlanRuleFn(PlanRule *r);

enum { PLAN_VARIADIC = -1, PLAN_IN_PLACE_ALL = -1 };
typedef struct {
    const char  *name;
    int          arity; /* or PLAN_VARIADIC: one or more */
    PlanAttrKind attr;
    int          in_place; /* bit k: the destination may be operand k itself; PLAN_IN_PLACE_ALL: any operand */
    PlanRuleFn  *rule;
} PlanOp;

extern const PlanOp plan_ops[];
extern const uint32_t plan_op_count;
const PlanOp *plan_op(const char *name); /* NULL if there is none */

extern const char *const plan_cmp_name[6];
extern const char *const plan_type_name[3]; /* "f32", "f16", "i32" */

/* "128x256"; "scalar" for rank 0. */
void plan_shape_print(PlanShape s, Buf *out);
bool plan_shape_equal(PlanShape a, PlanShape b);
/* Elements of one channel of a surface; 0 for other buffers. */
uint64_t plan_channel_width(const Plan *p, uint32_t buffer);
/* One step as a line of the manifest, without indentation and newline; of a loop only its head. */
void plan_step_print(const Plan *p, const Step *s, Buf *out);
void plan_recipe_print(const Plan *p, const Recipe *r, Buf *out);
/* "table NAME", or the hash where several tables have the name. */
void plan_table_ref_print(const Plan *p, uint32_t index, Buf *out);
/* Is the destination `r` added to? */
bool plan_adds(const Plan *p, const Ref *r);
/* A name, quoted where it must be. */
void plan_name_print(const char *name, Buf *out);
bool plan_name_is_bare(const char *name);

/* Part of plan_resolve(): every step reads only what was written before, and no operation reads what it overwrites. */
bool plan_check_flow(const Plan *p, Arena *a, Buf *err);

#endif

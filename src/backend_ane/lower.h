/* lower.h: an entry while its steps are being made. Internal to the back end.
 *
 * Steps are made on demand, from the graph's results and sinks back to its inputs. A value has up to two places: an
 * fp16 one (a range of a program's output surface, or a carried value of a loop that lives on the engine) and an fp32
 * one (a buffer); a `move` converts when a reader wants the other. Views never cost a step: a reshape is the same place
 * with another shape. ANE programs are written when the first of their values is wanted. */
#ifndef ANEL_BACKEND_ANE_LOWER_H
#define ANEL_BACKEND_ANE_LOWER_H

#include "backend_ane/build.h"

typedef struct {
    bool has16, has32;
    Ref  r16, r32; /* r32 also holds integers */
} Loc;

typedef struct {
    Step    *step;
    uint32_t n, cap;
} StepList;

typedef struct {
    Builder     *b;
    const Graph *g;
    const char  *prefix;  /* of names: "loss", "layers" */
    const char  *region;  /* scope that all of the graph lies in: "layers" in the region of that repeat, "" outside */
    const char **label;   /* [g->count] what people call the value: "attention_q", "d_x" */
    Partition    part;
    bool        *leaves;  /* [g->count] read outside of its program, or a result */
    Loc         *loc;     /* [g->count] */
    bool        *done;    /* [programs + 1] program written */
    bool        *stacked; /* [g->count] the value's own storage has one element per iteration */
    int32_t      first, n; /* of the enclosing loop; n = 0 outside */
    StepList    *list[3]; /* by role */
    Ref         *sum;     /* [g->count] accumulator of a backward value that the update reads, if summed[] */
    bool        *summed;  /* [g->count] it has one */
} Scope;

/* steps.c: names, buffers, steps */
const char *unique_name(Builder *b, const char *base);
uint32_t add_buffer(Builder *b, const char *base, PlanBufferKind kind, PlanType type, PlanShape shape, int32_t stack);
Step       *add_step(Builder *b, StepList *l, StepKind kind);
void        add_move(Builder *b, StepList *l, Ref to, Ref from);
void        add_reshape(Builder *b, StepList *l, Ref to, Ref from); /* a copy; adds where `to` is a gradient */
Ref        *copy_refs(Builder *b, const Ref *r, uint32_t n);
Ref         buffer_ref(uint32_t index, bool stacked, PlanShape shape);
StepAttr    step_attributes(const Node *n);
PlanType    plan_type(DType t);
const char *value_name(const Scope *s, ValueId v); /* prefix and label */
PlanShape   shape_at(const Scope *s, ValueId v);
StepList   *list_of(Scope *s, const Node *n);

/* labels.c: fill s->label */
void scope_labels(Scope *s);

/* lower.c: values */
void scope_start(Scope *s);
/* Make the steps that compute `v`, unless they are there; where it is. */
Loc *want(Scope *s, ValueId v);
/* A place where `v` can be read as fp32 (or i32) by a CPU step. */
Ref cpu_ref(Scope *s, ValueId v);
/* The operand `u` of node `n`, for a step of the CPU: a place where it can be read, or its sum over micro-batches. */
Ref operand_ref(Scope *s, const Node *n, ValueId u);
/* A step that computes `v` into `to`. */
void add_op(Scope *s, ValueId v, Ref to);
/* The value whose storage `v` is a view of. */
ValueId storage(const Graph *g, ValueId v);
/* Everything a graph computes: results, gradients, states. */
void lower_graph(Scope *s);

/* lower_grad.c: add `x` to `to`, a gradient or accumulator, for `reader` (a sink; or 0: the update). */
void accumulate(Scope *s, ValueId reader, ValueId x, Ref to);
/* The buffer that adds up the backward value `u` for the update. */
Ref accumulator(Scope *s, ValueId u);
/* Step `v`, which goes to `to`, as one product with a vector, if it is one. */
bool add_scale(Scope *s, ValueId v, Ref to);

/* lower_repeat.c */
void lower_repeat(Scope *s, ValueId v);

#endif

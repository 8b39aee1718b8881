/* steps.c: names, buffers and single steps of a plan; see lower.h. */
#include "backend_ane/lower.h"

#include <string.h>

/* ---- names and buffers ---- */

static bool name_taken(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->buffers; i++)
        if (strcmp(p->buffer[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < p->programs; i++)
        if (strcmp(p->program[i].name, name) == 0)
            return true;
    return false;
}

const char *unique_name(Builder *b, const char *base)
{
    char *clean = arena_strdup(b->a, base);
    for (char *c = clean; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_'))
            *c = '_';
    const char *name = clean;
    for (uint32_t k = 2; name_taken(b->plan, name); k++)
        name = arena_printf(b->a, "%s_%u", clean, k);
    return name;
}

uint32_t add_buffer(Builder *b, const char *base, PlanBufferKind kind, PlanType type, PlanShape shape, int32_t stack)
{
    GROW(b->a, b->plan->buffer, b->plan->buffers, b->buffers_cap);
    b->plan->buffer[b->plan->buffers] = (PlanBuffer){unique_name(b, base), kind, type, shape, stack};
    return b->plan->buffers++;
}

const char *value_name(const Scope *s, ValueId v)
{
    return arena_printf(s->b->a, "%s_%s", s->prefix, s->label[v]);
}

Ref buffer_ref(uint32_t index, bool stacked, PlanShape shape)
{
    return (Ref){.kind = REF_BUFFER, .index = index, .stacked = stacked, .shape = shape};
}

PlanShape shape_at(const Scope *s, ValueId v)
{
    return plan_shape(s->g->node[v].type.shape);
}

/* ---- steps ---- */

Step *add_step(Builder *b, StepList *l, StepKind kind)
{
    GROW(b->a, l->step, l->n, l->cap);
    l->step[l->n] = (Step){.kind = kind};
    return &l->step[l->n++];
}

Ref *copy_refs(Builder *b, const Ref *r, uint32_t n)
{
    Ref *p = NEW_N(b->a, Ref, n);
    for (uint32_t i = 0; i < n; i++)
        p[i] = r[i];
    return p;
}

void add_move(Builder *b, StepList *l, Ref to, Ref from)
{
    Step *st = add_step(b, l, STEP_MOVE);
    st->out = copy_refs(b, &to, 1);
    st->in = copy_refs(b, &from, 1);
    st->outs = st->ins = 1;
}

void add_reshape(Builder *b, StepList *l, Ref to, Ref from)
{
    Step *st = add_step(b, l, STEP_OP);
    st->op = "reshape";
    st->out = copy_refs(b, &to, 1);
    st->in = copy_refs(b, &from, 1);
    st->outs = st->ins = 1;
}

StepList *list_of(Scope *s, const Node *n)
{
    return s->list[n->role];
}

PlanType plan_type(DType t)
{
    return t == DT_I32 || t == DT_BOOL ? PLAN_I32 : PLAN_F32;
}

StepAttr step_attributes(const Node *n)
{
    StepAttr a = {0};
    uint32_t rank = n->type.shape.rank;
    switch (n->op) {
    case OP_matmul:
        a.ta = n->a.matmul.ta;
        a.tb = n->a.matmul.tb;
        break;
    case OP_softmax:
    case OP_concat:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
        a.axis = n->a.axis.axis;
        break;
    case OP_sum:
    case OP_amax:
        a.axes = n->a.reduce.axes;
        break;
    case OP_transpose:
        for (uint32_t i = 0; i < rank; i++)
            a.perm[i] = n->a.transpose.perm[i];
        break;
    case OP_slice:
        memcpy(a.begin, n->a.slice.begin, rank * sizeof *a.begin);
        memcpy(a.end, n->a.slice.end, rank * sizeof *a.end);
        break;
    case OP_pad:
        memcpy(a.lo, n->a.pad.lo, rank * sizeof *a.lo);
        memcpy(a.hi, n->a.pad.hi, rank * sizeof *a.hi);
        break;
    case OP_powc:
        a.c = n->a.powc.c;
        break;
    case OP_cmp:
        a.cmp = (uint32_t)n->a.cmp.kind;
        break;
    default:
        break;
    }
    return a;
}

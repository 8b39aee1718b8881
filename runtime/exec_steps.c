/* exec_steps.c: steps made ready, and run.
 *
 * When a plan is opened every step is turned into what running it takes: a kernel and its operand pointers for each
 * iteration, the two ends of a move, the surfaces of a program. Running is then a walk over arrays, without names,
 * lookups or allocation. */
#include "exec_internal.h"
#include "plan/plan_ops.h"

#include <string.h>

/* ---- making ready ---- */

typedef struct {
    Exec       *e;
    const Step *loop; /* or NULL */
} Builder;

static uint32_t iterations(const Builder *b)
{
    return b->loop ? (uint32_t)b->loop->n : 1;
}

/* Memory of a reference in iteration `it`. */
static ExecPlace place(const Builder *b, const Ref *r, uint32_t it)
{
    const Exec *e = b->e;
    switch (r->kind) {
    case REF_PARAM: return (ExecPlace){.data = (char *)e->param[r->leaf[it]].value};
    case REF_GRAD: return (ExecPlace){.data = (char *)e->param[r->leaf[it]].grad};
    case REF_STATE: return (ExecPlace){.data = e->state[r->leaf[it]].value};
    case REF_TABLE: return (ExecPlace){.data = e->table[r->index]};
    case REF_SPLAT: return (ExecPlace){0};
    case REF_BUFFER: break;
    }
    const ExecBuffer *x = &e->buffer[r->index];
    size_t            at = r->offset + (r->stacked ? it * x->numel : 0);
    if (x->surface)
        return (ExecPlace){NULL, x->surface[at / x->numel], at % x->numel * store_bytes[x->store]};
    return (ExecPlace){.data = x->data + at * store_bytes[x->store]};
}

static PlanType type_of(const Exec *e, const Ref *r)
{
    switch (r->kind) {
    case REF_BUFFER: return e->plan->buffer[r->index].type;
    case REF_STATE: return e->state[r->leaf[0]].group->type;
    case REF_TABLE: return e->plan->table[r->index].type == PLAN_I32 ? PLAN_I32 : PLAN_F32;
    default: return PLAN_F32;
    }
}

static Store store_of(const Exec *e, const Ref *r)
{
    if (r->kind == REF_BUFFER)
        return e->buffer[r->index].store;
    return type_of(e, r) == PLAN_I32 ? STORE_I32 : STORE_F32;
}

/* KERNEL_TILE words of one number, shared by all steps that need it. */
static const void *tile(Exec *e, double v, Store store)
{
    uint32_t word;
    convert_fill(v, &word, store, 1, &(ConvertCount){0});
    for (uint32_t i = 0; i < e->tiles; i++)
        if (e->tile[i][0] == word)
            return e->tile[i];
    uint32_t *t = NEW_N(e->arena, uint32_t, KERNEL_TILE);
    for (size_t i = 0; i < KERNEL_TILE; i++)
        t[i] = word;
    GROW(e->arena, e->tile, e->tiles, e->tiles_cap);
    e->tile[e->tiles++] = t;
    return t;
}

/* A number written out in full, for kernels that do not know tiles. */
static const void *written_out(Exec *e, const Ref *r, Store store)
{
    size_t n = (size_t)plan_numel(r->shape);
    void  *all = arena_array(e->arena, n, 4);
    convert_fill(r->splat, all, store, n, &(ConvertCount){0});
    e->bytes += n * 4;
    return all;
}

/* The type a bare number takes: that of the operands it is combined with, or of the result. */
static Store splat_store(const Exec *e, const Step *s, uint32_t k)
{
    bool floats = strcmp(s->op, "cast") == 0; /* what is cast is a real */
    if (strcmp(s->op, "select") == 0)
        return k == 0 ? STORE_I32 : store_of(e, &s->out[0]);
    if (strcmp(s->op, "cmp") == 0) {
        const Ref *other = &s->in[!k];
        return other->kind == REF_SPLAT ? STORE_F32 : store_of(e, other);
    }
    if ((strcmp(s->op, "gather") == 0 && k == 1) || (strcmp(s->op, "scatter_add") == 0 && k == 0) ||
        (strcmp(s->op, "splice") == 0 && k == 2) || (strncmp(s->op, "xent", 4) == 0 && k == 1))
        return STORE_I32;
    return floats ? STORE_F32 : store_of(e, &s->out[0]);
}

static void build_op(Builder *b, const Step *s, ExecStep *x)
{
    Exec    *e = b->e;
    uint32_t n = iterations(b), ins = s->ins;
    x->kernel = kernel_find(s->op);
    if (!x->kernel)
        bug("no kernel for '%s'", s->op);
    PlanShape *shape = NEW_N(e->arena, PlanShape, ins + 1u);
    PlanType  *type = NEW_N(e->arena, PlanType, ins + 1u);
    bool      *splat = NEW_N(e->arena, bool, ins + 1u);
    x->in = NEW_N(e->arena, const void *, (size_t)n * ins + 1u);
    x->out = NEW_N(e->arena, void *, n);
    for (uint32_t k = 0; k < ins; k++) {
        const Ref  *r = &s->in[k];
        const void *constant = NULL;
        shape[k] = r->shape;
        type[k] = type_of(e, r);
        if (r->kind == REF_SPLAT) {
            Store store = splat_store(e, s, k);
            type[k] = store == STORE_I32 ? PLAN_I32 : PLAN_F32;
            splat[k] = x->kernel->flags & KERNEL_SPLATS;
            constant = splat[k] ? tile(e, r->splat, store) : written_out(e, r, store);
        }
        for (uint32_t it = 0; it < n; it++)
            x->in[it * ins + k] = constant ? constant : place(b, r, it).data;
    }
    for (uint32_t it = 0; it < n; it++)
        x->out[it] = place(b, &s->out[0], it).data;
    x->add = plan_adds(e->plan, &s->out[0]);
    x->args = (KernelArgs){.a = &s->a,
                           .ins = ins,
                           .in_shape = shape,
                           .in_type = type,
                           .splat = splat,
                           .shape = s->out[0].shape,
                           .type = type_of(e, &s->out[0]),
                           .numel = (size_t)plan_numel(s->out[0].shape),
                           .add = x->add,
                           .pool = e->pool,
                           .err = NULL};
}

static void build_move(Builder *b, const Step *s, ExecStep *x)
{
    uint32_t n = iterations(b);
    x->numel = (size_t)plan_numel(s->out[0].shape);
    x->splat = s->in[0].kind == REF_SPLAT;
    x->cotangent = exec_reads_cotangent(b->e, &s->in[0]);
    x->value = s->in[0].splat;
    x->add = plan_adds(b->e->plan, &s->out[0]);
    x->from_store = store_of(b->e, &s->in[0]);
    x->to_store = store_of(b->e, &s->out[0]);
    x->from = NEW_N(b->e->arena, ExecPlace, n);
    x->to = NEW_N(b->e->arena, ExecPlace, n);
    for (uint32_t it = 0; it < n; it++) {
        x->from[it] = place(b, &s->in[0], it);
        x->to[it] = place(b, &s->out[0], it);
    }
}

static void build_run(Builder *b, const Step *s, ExecStep *x)
{
    const PlanProgram *g = &b->e->plan->program[s->program];
    uint32_t           n = iterations(b), ports = s->ins + s->outs;
    x->iterations = n;
    x->reverse = b->loop && b->loop->reverse;
    x->instance = NEW_N(b->e->arena, uint32_t, n);
    x->request = NEW_N(b->e->arena, Request *, n);
    x->surface = NEW_N(b->e->arena, Surface *, (size_t)n * ports);
    for (uint32_t it = 0; it < n; it++) {
        x->instance[it] = g->n > 1 ? (uint32_t)(b->loop->first - g->first) + it : 0;
        for (uint32_t k = 0; k < ports; k++)
            x->surface[it * ports + k] = place(b, k < s->ins ? &s->in[k] : &s->out[k - s->ins], it).surface;
    }
}

/* Rows of the profile move while they are collected: a first walk makes them, a second one keeps their addresses. */
static void name_rows(Exec *e, const Step *step, uint32_t n, ExecStep *x)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i];
        if (s->kind == STEP_LOOP) {
            name_rows(e, s->body, s->bodies, x ? x[i].body : NULL);
            continue;
        }
        ExecRow *row = s->kind == STEP_RUN  ? exec_row(e, e->plan->program[s->program].name, EXEC_DEVICE)
                       : s->kind == STEP_OP ? exec_row(e, s->op, EXEC_OPS)
                                            : exec_row(e, "move", EXEC_MOVES);
        if (x)
            x[i].row = row;
    }
}

static ExecStep *build(Builder *b, const Step *step, uint32_t n)
{
    ExecStep *x = NEW_N(b->e->arena, ExecStep, n + 1u);
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i];
        x[i].step = s;
        switch (s->kind) {
        case STEP_OP: build_op(b, s, &x[i]); break;
        case STEP_MOVE: build_move(b, s, &x[i]); break;
        case STEP_RUN: build_run(b, s, &x[i]); break;
        case STEP_LOOP:
            b->loop = s;
            x[i].body = build(b, s->body, s->bodies);
            b->loop = NULL;
            break;
        }
    }
    return x;
}

void exec_build_entries(Exec *e)
{
    const Plan *p = e->plan;
    e->entry = NEW_N(e->arena, ExecEntry, p->entries + 1u);
    exec_mark_cotangents(e);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < p->entries; i++) {
            const PlanEntry *n = &p->entry[i];
            Builder          b = {e, NULL};
            if (pass == 1) {
                e->entry[i].forward = build(&b, n->forward, n->forwards);
                e->entry[i].backward = build(&b, n->backward, n->backwards);
                e->entry[i].update = build(&b, n->update, n->updates);
            }
            name_rows(e, n->forward, n->forwards, pass ? e->entry[i].forward : NULL);
            name_rows(e, n->backward, n->backwards, pass ? e->entry[i].backward : NULL);
            name_rows(e, n->update, n->updates, pass ? e->entry[i].update : NULL);
        }
}

static size_t steps_scratch(const Plan *p, const Step *step, uint32_t n)
{
    size_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i];
        size_t      need = s->kind == STEP_LOOP ? steps_scratch(p, s->body, s->bodies) : 0;
        if (s->outs && plan_adds(p, &s->out[0]) &&
            (s->kind == STEP_MOVE || !(kernel_find(s->op)->flags & KERNEL_ADDS)))
            need = (size_t)plan_numel(s->out[0].shape);
        most = need > most ? need : most;
    }
    return most;
}

size_t exec_scratch(const Plan *p)
{
    size_t most = 0;
    for (uint32_t i = 0; i < p->entries; i++) {
        size_t f = steps_scratch(p, p->entry[i].forward, p->entry[i].forwards);
        size_t b = steps_scratch(p, p->entry[i].backward, p->entry[i].backwards);
        most = f > most ? f : most;
        size_t u = steps_scratch(p, p->entry[i].update, p->entry[i].updates);
        most = b > most ? b : most;
        most = u > most ? u : most;
    }
    return most;
}

static void visit(Exec *e, ExecStep *x, uint32_t n, ExecVisit *fn, void *with)
{
    for (uint32_t i = 0; i < n; i++)
        if (x[i].step->kind == STEP_LOOP)
            visit(e, x[i].body, x[i].step->bodies, fn, with);
        else if (x[i].step->kind == STEP_RUN)
            fn(e, &x[i], with);
}

void exec_visit_runs(Exec *e, uint32_t entry, unsigned parts, ExecVisit *fn, void *with)
{
    if (!e->entry)
        return;
    const PlanEntry *p = &e->plan->entry[entry];
    if (parts & EXEC_FORWARD)
        visit(e, e->entry[entry].forward, p->forwards, fn, with);
    if (parts & EXEC_BACKWARD)
        visit(e, e->entry[entry].backward, p->backwards, fn, with);
}

/* lower.c: the steps of an entry.
 *
 * Steps are made on demand, from the graph's results and sinks back to its inputs. A value has up to two places: an fp16
 * one (a range of a program's output surface, or a carried value of a loop that lives on the engine) and an fp32 one (a
 * buffer); a `move` converts when a reader wants the other. Views never cost a step: a reshape is the same place with
 * another shape. ANE programs are written when the first of their values is wanted.
 *
 * A repeat becomes a loop. Carried values live in a buffer that each iteration reads and finally overwrites; values that
 * the backward loop needs stay where they were produced, in surfaces and buffers with one element per iteration, so
 * that saving a value costs no copy. */
#include "backend_ane/build.h"
#include "backend_ane/limits.h"

#include <string.h>

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
    const char  *prefix; /* of names: "loss", "layers" */
    Partition    part;
    Loc         *loc;    /* [g->count] */
    bool        *done;   /* [programs + 1] program written */
    bool        *stacked; /* [g->count] the value's own storage has one element per iteration */
    int32_t      first, n; /* of the enclosing loop; n = 0 outside */
    StepList    *list[2];  /* by role */
} Scope;

static Loc *want(Scope *s, ValueId v);

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

static const char *unique(Builder *b, const char *base)
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

static uint32_t add_buffer(Builder *b, const char *base, PlanBufferKind kind, PlanType type, PlanShape shape,
                           int32_t stack)
{
    GROW(b->a, b->plan->buffer, b->plan->buffers, b->buffers_cap);
    b->plan->buffer[b->plan->buffers] = (PlanBuffer){unique(b, base), kind, type, shape, stack};
    return b->plan->buffers++;
}

/* "layers_d_q": where the value comes from, in a word. */
static const char *value_name(Scope *s, ValueId v)
{
    const Node *n = &s->g->node[v];
    const char *name = interned(s->b->m->strings, n->name);
    return arena_printf(s->b->a, "%s_%s%s", s->prefix, n->role == ROLE_BWD ? "d_" : "", *name ? name : op_info[n->op].name);
}

static Ref buffer_ref(uint32_t index, bool stacked, PlanShape shape)
{
    return (Ref){.kind = REF_BUFFER, .index = index, .stacked = stacked, .shape = shape};
}

static PlanShape shape_at(const Scope *s, ValueId v)
{
    return plan_shape(s->g->node[v].type.shape);
}

/* ---- steps ---- */

static Step *add_step(Builder *b, StepList *l, StepKind kind)
{
    GROW(b->a, l->step, l->n, l->cap);
    l->step[l->n] = (Step){.kind = kind};
    return &l->step[l->n++];
}

static Ref *refs(Builder *b, const Ref *r, uint32_t n)
{
    Ref *p = NEW_N(b->a, Ref, n);
    for (uint32_t i = 0; i < n; i++)
        p[i] = r[i];
    return p;
}

static void add_move(Builder *b, StepList *l, Ref to, Ref from)
{
    Step *st = add_step(b, l, STEP_MOVE);
    st->out = refs(b, &to, 1);
    st->in = refs(b, &from, 1);
    st->outs = st->ins = 1;
}

static StepList *list_of(Scope *s, const Node *n)
{
    return s->list[n->role];
}

/* ---- operands on the CPU ---- */

/* A place where `v` can be read as fp32 (or i32) by a CPU step. */
static Ref cpu_ref(Scope *s, ValueId v)
{
    Loc *l = want(s, v);
    if (!l->has32) {
        if (!l->has16)
            bug("value %u of '%s' has no place", v, s->prefix);
        uint32_t k = add_buffer(s->b, value_name(s, v), BUF_PLAIN, PLAN_F32, shape_at(s, v), 0);
        Ref      r = buffer_ref(k, false, shape_at(s, v));
        /* With the producer's steps, so that both directions find it. */
        add_move(s->b, list_of(s, &s->g->node[v]), r, l->r16);
        l->r32 = r;
        l->has32 = true;
    }
    return l->r32;
}

static PlanType plan_type(DType t)
{
    return t == DT_I32 || t == DT_BOOL ? PLAN_I32 : PLAN_F32;
}

static StepAttr attributes(const Node *n)
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

static void add_op(Scope *s, ValueId v, Ref to)
{
    const Node *n = &s->g->node[v];
    Ref        *in = NEW_N(s->b->a, Ref, n->in_count);
    for (uint32_t k = 0; k < n->in_count; k++)
        in[k] = cpu_ref(s, node_arg(s->g, v, k));
    Step *st = add_step(s->b, list_of(s, n), STEP_OP);
    st->op = op_info[n->op].name;
    st->a = attributes(n);
    st->out = refs(s->b, &to, 1);
    st->outs = 1;
    st->in = in;
    st->ins = n->in_count;
}

static void lower_cpu(Scope *s, ValueId v)
{
    bool     stacked = s->stacked[v];
    uint32_t k = add_buffer(s->b, value_name(s, v), BUF_PLAIN, plan_type(s->g->node[v].type.dtype), shape_at(s, v),
                            stacked ? s->n : 0);
    Ref      r = buffer_ref(k, stacked, shape_at(s, v));
    add_op(s, v, r);
    s->loc[v] = (Loc){.has32 = true, .r32 = r};
}

/* ---- leaves ---- */

static void lower_leaf(Scope *s, ValueId v)
{
    Builder    *b = s->b;
    const Node *n = &s->g->node[v];
    Ref         r = {.shape = shape_at(s, v)};
    if (n->op == OP_param) {
        r.kind = REF_PARAM;
        r.pattern = interned(b->m->strings, b->m->param_set[n->a.leaf.set].pattern);
    } else if (n->op == OP_const && n->a.constant.table == 0) {
        r.kind = REF_SPLAT;
        r.splat = n->a.constant.splat;
    } else if (n->op == OP_const) {
        const Table *t = &b->m->table[n->a.constant.table];
        r.kind = REF_TABLE;
        r.index = plan_table(b, plan_type(t->dtype), plan_shape(t->shape), t->data, interned(b->m->strings, t->name));
    } else { /* iota */
        int32_t count = n->type.shape.dim[0];
        double *x = NEW_N(b->a, double, (size_t)count);
        for (int32_t i = 0; i < count; i++)
            x[i] = i;
        r.kind = REF_TABLE;
        r.index = plan_table(b, PLAN_I32, r.shape, x, "iota");
    }
    s->loc[v] = (Loc){.has32 = true, .r32 = r};
}

static void lower_state(Scope *s, ValueId v)
{
    const Node *n = &s->g->node[v];
    Ref r = {.kind = REF_STATE, .pattern = interned(s->b->m->strings, s->b->m->state_set[n->a.leaf.set].pattern), .shape = shape_at(s, v)};
    s->loc[v] = (Loc){.has32 = true, .r32 = r};
}

/* ---- programs ---- */

static bool leaves_program(const Scope *s, ValueId v)
{
    uint32_t p = s->part.program[v];
    for (ValueId w = v + 1; w < s->g->count; w++)
        for (uint32_t k = 0; k < s->g->node[w].in_count; k++)
            if (node_arg(s->g, w, k) == v && s->part.program[w] != p)
                return true;
    for (uint32_t i = 0; i < s->g->outs; i++)
        if (s->g->out[i] == v)
            return true;
    return false;
}

static bool lower_program(Scope *s, uint32_t number)
{
    Builder *b = s->b;
    Arena   *a = b->a;
    ValueId *output = NEW_N(a, ValueId, s->g->count);
    uint32_t outputs = 0;
    Role     role = ROLE_FWD;
    s->done[number] = true;
    for (ValueId v = 1; v < s->g->count; v++) {
        if (s->part.program[v] != number)
            continue;
        role = s->g->node[v].role;
        if (leaves_program(s, v))
            output[outputs++] = v;
        for (uint32_t k = 0; k < s->g->node[v].in_count; k++) {
            ValueId u = node_arg(s->g, v, k);
            if (s->part.program[u] != number && !is_constant(s->g, u))
                want(s, u);
        }
    }
    const char  *name = unique(b, arena_printf(a, "%s_%s", s->prefix, role == ROLE_BWD ? "bwd" : "fwd"));
    BuiltProgram built;
    if (!program_build(b, s->g, &s->part, number, output, outputs, name, s->first, s->n ? s->n : 1, &built)) {
        for (uint32_t i = 0; i < outputs; i++) /* errors were told: any place will do to go on */
            s->loc[output[i]] = (Loc){.has16 = true, .r16 = {.kind = REF_SPLAT, .shape = shape_at(s, output[i])}};
        return false;
    }
    const PlanProgram *p = &b->plan->program[built.index];
    uint32_t ins = p->ins, outs = p->outs;
    Ref     *in = NEW_N(a, Ref, ins), *out = NEW_N(a, Ref, outs);
    for (uint32_t i = 0; i < ins; i++)
        in[i] = buffer_ref(add_buffer(b, arena_printf(a, "%s_%.3s", name, p->in[i].name), BUF_SURFACE, PLAN_F16, p->in[i].shape, 0),
                           false, p->in[i].shape);
    for (uint32_t i = 0; i < outs; i++) {
        bool stacked = false;
        for (uint32_t k = 0; k < built.outs; k++)
            stacked |= built.out[k].port == i && s->stacked[built.out[k].value];
        out[i] = buffer_ref(add_buffer(b, arena_printf(a, "%s_%.3s", name, p->out[i].name), BUF_SURFACE, PLAN_F16,
                                       p->out[i].shape, stacked ? s->n : 0), stacked, p->out[i].shape);
    }
    StepList *l = s->list[role];
    for (uint32_t k = 0; k < built.ins; k++) {
        const PortValue *pv = &built.in[k];
        Ref              to = in[pv->port];
        Loc             *from = want(s, pv->value);
        to.offset = pv->offset;
        to.shape = shape_at(s, pv->value);
        add_move(b, l, to, from->has16 ? from->r16 : cpu_ref(s, pv->value));
    }
    Step *st = add_step(b, l, STEP_RUN);
    st->program = built.index;
    st->in = in;
    st->ins = ins;
    st->out = out;
    st->outs = outs;
    for (uint32_t k = 0; k < built.outs; k++) {
        const PortValue *pv = &built.out[k];
        Ref              r = out[pv->port];
        r.offset = pv->offset;
        r.shape = shape_at(s, pv->value);
        s->loc[pv->value] = (Loc){.has16 = true, .r16 = r};
    }
    return true;
}

/* ---- repeats ---- */

/* The value whose storage `v` is a view of. */
static ValueId storage(const Graph *g, ValueId v)
{
    while (g->node[v].op == OP_reshape && g->node[v].device != DEV_ANE)
        v = node_arg(g, v, 0);
    return v;
}

static void lower_region(Scope *s, Scope *parent, ValueId repeat);

static void lower_repeat(Scope *s, ValueId v)
{
    const Node  *n = &s->g->node[v];
    const Graph *g = s->b->m->graph[n->a.repeat.graph];
    const char  *name = interned(s->b->m->strings, g->name);
    size_t       len = strlen(name);
    if (len > 4 && (strcmp(name + len - 4, ".bwd") == 0 || strcmp(name + len - 4, "_bwd") == 0))
        len -= 4;
    StepList body = {0};
    Scope    r = {.b = s->b, .g = g, .first = n->a.repeat.first, .n = n->a.repeat.n, .list = {&body, &body}};
    bool     trained = s->b->m->train_entry && strcmp(interned(s->b->m->strings, s->b->m->train_entry), s->prefix) == 0;
    r.prefix = trained ? arena_strndup(s->b->a, name, len) : arena_printf(s->b->a, "%s_%.*s", s->prefix, (int)len, name);
    lower_region(&r, s, v);
}

static void scope_start(Scope *s)
{
    Arena *a = s->b->a;
    s->part = partition(a, s->g);
    s->loc = NEW_N(a, Loc, s->g->count);
    s->done = NEW_N(a, bool, s->part.programs + 1);
    s->stacked = NEW_N(a, bool, s->g->count);
}

/* Does anything but `reader` (and views) read `v`? */
static bool read_elsewhere(const Graph *g, ValueId v, ValueId reader)
{
    for (ValueId w = v + 1; w < g->count; w++)
        for (uint32_t k = 0; k < g->node[w].in_count; k++)
            if (w != reader && node_arg(g, w, k) == v && g->node[w].op != OP_reshape)
                return true;
    for (uint32_t i = 0; i < g->outs; i++)
        if (g->out[i] == v)
            return true;
    return false;
}

/* Add `x` to the gradient `to`. What is computed for the gradient alone goes there directly; sums are added term by term,
 * so that a tied embedding needs no second table. */
static void accumulate(Scope *s, ValueId reader, ValueId x, Ref to)
{
    const Graph *g = s->g;
    ValueId      root = storage(g, x);
    const Node  *n = &g->node[root];
    bool computed = n->device != DEV_ANE && !is_constant(g, root) && n->op != OP_input && n->op != OP_proj &&
                    n->op != OP_state && n->op != OP_cast;
    if (computed && !s->loc[root].has32 && !s->loc[root].has16 && !read_elsewhere(g, root, reader)) {
        to.shape = shape_at(s, root);
        if (n->op == OP_add) {
            accumulate(s, root, node_arg(g, root, 0), to);
            accumulate(s, root, node_arg(g, root, 1), to);
        } else
            add_op(s, root, to);
        return;
    }
    Ref   from = cpu_ref(s, x);
    Step *st = add_step(s->b, list_of(s, &g->node[reader]), STEP_OP);
    st->op = "reshape";
    st->out = refs(s->b, &to, 1);
    st->in = refs(s->b, &from, 1);
    st->outs = st->ins = 1;
}

/* Sinks and results of a graph: everything else is made on demand. State updates come last, so that all reads are done. */
static void lower_graph(Scope *s)
{
    const Graph *g = s->g;
    for (uint32_t i = 0; i < g->outs; i++)
        want(s, g->out[i]);
    for (uint32_t pass = 0; pass < 2; pass++)
        for (ValueId v = 1; v < g->count; v++) {
            const Node *n = &g->node[v];
            if (pass == 0 && n->op == OP_repeat)
                want(s, v); /* for its sinks */
            if (n->op != (pass == 0 ? OP_grad : OP_state_set))
                continue;
            ValueId x = node_arg(g, v, 0);
            Ref     to = {.pattern = interned(s->b->m->strings, (n->op == OP_grad ? s->b->m->param_set : s->b->m->state_set)[n->a.leaf.set].pattern),
                          .shape = shape_at(s, x)};
            to.kind = n->op == OP_grad ? REF_GRAD : REF_STATE;
            if (n->op == OP_state_set) {
                add_move(s->b, list_of(s, n), to, cpu_ref(s, x));
                continue;
            }
            accumulate(s, v, x, to);
        }
}

/* Give each ys result a place with one element per iteration. */
static void mark_stacks(Scope *s, uint32_t n_carry)
{
    for (uint32_t i = n_carry; i < s->g->outs; i++)
        s->stacked[storage(s->g, s->g->out[i])] = true;
}

static Ref reshaped(Ref r, PlanShape shape)
{
    r.shape = shape;
    return r;
}

static void lower_region(Scope *s, Scope *parent, ValueId repeat)
{
    Builder     *b = s->b;
    const Node  *n = &parent->g->node[repeat];
    const Graph *g = s->g;
    uint32_t     carry = n->a.repeat.n_carry, xs = n->a.repeat.n_xs;
    StepList    *outer = list_of(parent, n);
    scope_start(s);
    mark_stacks(s, carry);
    Ref *carried = NEW_N(b->a, Ref, carry ? carry : 1);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *x = &g->node[v];
        if (x->op != OP_input)
            continue;
        uint32_t k = x->a.input.index;
        ValueId  from = node_arg(parent->g, repeat, k);
        s->stacked[v] = false; /* inputs are not stored here */
        Loc *l = want(parent, from);
        if (k >= carry) { /* a stack's element, or an invariant: where the enclosing scope has it */
            if (k >= carry + xs && !l->has32 && !l->has16)
                bug("operand %u of a repeat has no place", k);
            s->loc[v] = *l;
            s->loc[v].r16.shape = s->loc[v].r32.shape = shape_at(s, v);
            if (k < carry + xs && ((l->has16 && !l->r16.stacked) || (l->has32 && !l->r32.stacked)))
                bug("a stack that was not made by a repeat");
            continue;
        }
        const Node *end = &g->node[storage(g, g->out[k])];
        bool        half = end->device == DEV_ANE || (end->op == OP_input && l->has16);
        uint32_t    buf = add_buffer(b, value_name(s, v), BUF_PLAIN, half ? PLAN_F16 : plan_type(x->type.dtype), shape_at(s, v), 0);
        carried[k] = buffer_ref(buf, false, shape_at(s, v));
        add_move(b, outer, carried[k], reshaped(half && l->has16 ? l->r16 : cpu_ref(parent, from), shape_at(s, v)));
        s->loc[v] = half ? (Loc){.has16 = true, .r16 = carried[k]} : (Loc){.has32 = true, .r32 = carried[k]};
    }
    lower_graph(s);
    for (uint32_t i = carry; i < g->outs; i++) { /* a saved value that is an input of the region needs a copy */
        ValueId y = g->out[i];
        Loc    *l = want(s, y);
        if (l->has16 ? l->r16.stacked : l->r32.stacked)
            continue;
        bool     half = l->has16;
        uint32_t buf = add_buffer(b, arena_printf(b->a, "%s_saved", value_name(s, y)), BUF_PLAIN,
                                  half ? PLAN_F16 : plan_type(g->node[y].type.dtype), shape_at(s, y), s->n);
        Ref      r = buffer_ref(buf, true, shape_at(s, y));
        add_move(b, s->list[0], r, reshaped(half ? l->r16 : l->r32, shape_at(s, y)));
        *l = half ? (Loc){.has16 = true, .r16 = r} : (Loc){.has32 = true, .r32 = r};
    }
    /* Carried values last, through temporaries where one becomes another. */
    Ref *next = NEW_N(b->a, Ref, carry ? carry : 1);
    for (uint32_t i = 0; i < carry; i++) {
        ValueId y = g->out[i];
        bool    half = b->plan->buffer[carried[i].index].type == PLAN_F16;
        Loc    *l = want(s, y);
        next[i] = reshaped(half && l->has16 ? l->r16 : cpu_ref(s, y), shape_at(s, y));
        ValueId root = storage(g, y);
        if (g->node[root].op == OP_input && g->node[root].a.input.index < carry && g->node[root].a.input.index != i) {
            uint32_t buf = add_buffer(b, arena_printf(b->a, "%s_next", value_name(s, y)), BUF_PLAIN,
                                      b->plan->buffer[carried[i].index].type, shape_at(s, y), 0);
            Ref      t = buffer_ref(buf, false, shape_at(s, y));
            add_move(b, s->list[0], t, next[i]);
            next[i] = t;
        }
    }
    for (uint32_t i = 0; i < carry; i++)
        if (next[i].kind != REF_BUFFER || next[i].index != carried[i].index)
            add_move(b, s->list[0], carried[i], next[i]);
    Step *st = add_step(b, outer, STEP_LOOP);
    st->first = s->first;
    st->n = s->n;
    st->reverse = n->a.repeat.reverse;
    st->body = s->list[0]->step;
    st->bodies = s->list[0]->n;
    /* Results: the final carries, then the stacks. */
    for (ValueId v = repeat + 1; v < parent->g->count; v++) {
        const Node *p = &parent->g->node[v];
        if (p->op != OP_proj || node_arg(parent->g, v, 0) != repeat)
            continue;
        uint32_t k = p->a.proj.index;
        if (k >= carry) { /* copies that later iterations overwrite are not the stack */
            Loc *y = &parent->loc[v];
            *y = s->loc[g->out[k]];
            y->has16 = y->has16 && y->r16.stacked;
            y->has32 = y->has32 && y->r32.stacked;
        }
        else if (b->plan->buffer[carried[k].index].type == PLAN_F16)
            parent->loc[v] = (Loc){.has16 = true, .r16 = carried[k]};
        else
            parent->loc[v] = (Loc){.has32 = true, .r32 = carried[k]};
    }
    parent->loc[repeat].has32 = true; /* it has run */
}

/* ---- any value ---- */

static void lower_view(Scope *s, ValueId v)
{
    Loc *from = want(s, node_arg(s->g, v, 0));
    s->loc[v] = *from;
    s->loc[v].r16.shape = s->loc[v].r32.shape = shape_at(s, v);
}

static Loc *want(Scope *s, ValueId v)
{
    Loc        *l = &s->loc[v];
    const Node *n = &s->g->node[v];
    if (l->has16 || l->has32)
        return l;
    if (s->part.program[v]) {
        if (s->done[s->part.program[v]])
            bug("value %u of '%s' is wanted outside of its program", v, s->prefix);
        lower_program(s, s->part.program[v]);
        if (!l->has16) { /* only after an error */
            l->has16 = true;
            l->r16 = (Ref){.kind = REF_SPLAT, .shape = shape_at(s, v)};
        }
        return l;
    }
    switch (n->op) {
    case OP_param:
    case OP_const:
    case OP_iota:
        lower_leaf(s, v);
        break;
    case OP_state:
        lower_state(s, v);
        break;
    case OP_input:
        bug("input %u of '%s' has no place", n->a.input.index, s->prefix);
    case OP_reshape:
        lower_view(s, v);
        break;
    case OP_cast:
        if (plan_type(n->type.dtype) == plan_type(s->g->node[node_arg(s->g, v, 0)].type.dtype))
            lower_view(s, v); /* every number is fp32 on the CPU */
        else
            lower_cpu(s, v);
        break;
    case OP_repeat:
        lower_repeat(s, v);
        break;
    case OP_proj:
        want(s, node_arg(s->g, v, 0));
        break;
    default:
        lower_cpu(s, v);
        break;
    }
    return &s->loc[v];
}

/* ---- entries ---- */

/* Ids must be below the extent of every table they pick from; INT32_MAX where they pick from none. */
static int32_t token_bound(const Module *m, const Graph *g, ValueId token)
{
    int32_t bound = INT32_MAX;
    for (ValueId v = token + 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        for (uint32_t k = 0; k < n->in_count; k++) {
            if (node_arg(g, v, k) != token)
                continue;
            int32_t limit = INT32_MAX;
            if (n->op == OP_gather && k == 1)
                limit = g->node[node_arg(g, v, 0)].type.shape.dim[0];
            else if ((n->op == OP_xent || n->op == OP_xent_grad) && k == 1)
                limit = g->node[node_arg(g, v, 0)].type.shape.dim[n->a.axis.axis];
            else if (n->op == OP_reshape)
                limit = token_bound(m, g, v);
            else if (n->op == OP_repeat) {
                const Graph *r = m->graph[n->a.repeat.graph];
                for (ValueId w = 1; w < r->count; w++)
                    if (r->node[w].op == OP_input && r->node[w].a.input.index == k)
                        limit = token_bound(m, r, w);
            }
            if (limit < bound)
                bound = limit;
        }
    }
    return bound;
}

bool lower_entry(Builder *b, const Entry *entry)
{
    const Graph *g = b->m->graph[entry->graph];
    uint32_t     errors = b->ds->errors;
    StepList     fwd = {0}, bwd = {0};
    Scope        s = {.b = b, .g = g, .prefix = interned(b->m->strings, entry->name), .list = {&fwd, &bwd}};
    scope_start(&s);
    PlanEntry e = {.name = s.prefix, .input = NEW_N(b->a, PlanInput, g->inputs), .inputs = g->inputs,
                   .result = NEW_N(b->a, PlanResult, g->outs), .results = g->outs};
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op != OP_input)
            continue;
        const GraphInput *in = &g->input[n->a.input.index];
        const char       *name = interned(b->m->strings, in->name);
        uint32_t          k = add_buffer(b, arena_printf(b->a, "%s_%s", s.prefix, name), BUF_PLAIN, plan_type(in->type.dtype), shape_at(&s, v), 0);
        PlanInput        *p = &e.input[n->a.input.index];
        *p = (PlanInput){.name = name, .kind = IN_REAL, .buffer = k};
        if (in->is_token) {
            p->kind = IN_TOKENS;
            p->vocab = token_bound(b->m, g, v);
        } else if (in->type.dtype == DT_I32)
            p->kind = IN_INT;
        else if (strcmp(name, "loss_scale") == 0 && in->type.shape.rank == 0 && entry->name == b->m->train_entry)
            p->kind = IN_LOSS_SCALE;
        s.loc[v] = (Loc){.has32 = true, .r32 = buffer_ref(k, false, shape_at(&s, v))};
    }
    for (uint32_t i = 0; i < g->inputs; i++) { /* inputs that nobody reads still have a buffer */
        if (e.input[i].name)
            continue;
        const char *name = interned(b->m->strings, g->input[i].name);
        uint32_t    k = add_buffer(b, arena_printf(b->a, "%s_%s", s.prefix, name), BUF_PLAIN, plan_type(g->input[i].type.dtype),
                                   plan_shape(g->input[i].type.shape), 0);
        e.input[i] = (PlanInput){name, g->input[i].is_token ? IN_TOKENS : g->input[i].type.dtype == DT_I32 ? IN_INT : IN_REAL, k,
                                 g->input[i].is_token ? INT32_MAX : 0};
    }
    lower_graph(&s);
    for (uint32_t i = 0; i < g->outs; i++) {
        Ref r = cpu_ref(&s, g->out[i]);
        if (r.kind != REF_BUFFER || r.offset != 0) { /* a result is a buffer of its own */
            uint32_t k = add_buffer(b, arena_printf(b->a, "%s_result", s.prefix), BUF_PLAIN, plan_type(g->node[g->out[i]].type.dtype), shape_at(&s, g->out[i]), 0);
            Ref      to = buffer_ref(k, false, shape_at(&s, g->out[i]));
            Step    *st = add_step(b, &fwd, STEP_OP);
            st->op = "reshape";
            st->out = refs(b, &to, 1);
            st->in = refs(b, &r, 1);
            st->outs = st->ins = 1;
            r = to;
        }
        e.result[i] = (PlanResult){interned(b->m->strings, g->out_name[i]), r.index};
    }
    e.forward = fwd.step;
    e.forwards = fwd.n;
    e.backward = bwd.step;
    e.backwards = bwd.n;
    GROW(b->a, b->plan->entry, b->plan->entries, b->entries_cap);
    b->plan->entry[b->plan->entries++] = e;
    return b->ds->errors == errors;
}

/* lower_repeat.c: a repeat becomes a loop.
 *
 * Carried values live in a buffer that each iteration reads and finally overwrites. Values that the backward loop needs
 * stay where they were produced, in surfaces and buffers with one element per iteration, so that saving a value costs
 * no copy: the backward region's input is the forward region's result. */
#include "backend_ane/lower.h"

#include <string.h>

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

/* A region being lowered into the body of a loop. */
typedef struct {
    Scope   *s, *parent;
    ValueId  repeat;
    uint32_t n_carry, n_xs;
    Ref     *carried; /* [n_carry] */
} Region;

static PlanType type_of_ref(const Builder *b, Ref r)
{
    return b->plan->buffer[r.index].type;
}

static Loc only(bool half, Ref r)
{
    return half ? (Loc){.has16 = true, .r16 = r} : (Loc){.has32 = true, .r32 = r};
}

/* The buffer of carried value k, region input `v`: fp16 where the engine makes the next one. */
static void start_carry(Region *x, ValueId v, uint32_t k)
{
    Scope      *s = x->s;
    ValueId     from = node_arg(x->parent->g, x->repeat, k);
    Loc        *l = want(x->parent, from);
    const Node *end = &s->g->node[storage(s->g, s->g->out[k])];
    bool        half = end->device == DEV_ANE || (end->op == OP_input && l->has16);
    PlanType    type = half ? PLAN_F16 : plan_type(s->g->node[v].type.dtype);
    x->carried[k] =
        buffer_ref(add_buffer(s->b, value_name(s, v), BUF_PLAIN, type, shape_at(s, v), 0), false, shape_at(s, v));
    add_move(s->b, list_of(x->parent, &x->parent->g->node[x->repeat]), x->carried[k],
             reshaped(half && l->has16 ? l->r16 : cpu_ref(x->parent, from), shape_at(s, v)));
    s->loc[v] = only(half, x->carried[k]);
}

/* A stack's element, or an invariant: where the enclosing scope has it. */
static void find_outside(Region *x, ValueId v, uint32_t k)
{
    Scope  *s = x->s;
    ValueId from = node_arg(x->parent->g, x->repeat, k);
    Loc    *l = want(x->parent, from);
    s->label[v] = x->parent->label[from];
    s->loc[v] = *l;
    s->loc[v].r16.shape = s->loc[v].r32.shape = shape_at(s, v);
    if (k < x->n_carry + x->n_xs && ((l->has16 && !l->r16.stacked) || (l->has32 && !l->r32.stacked)))
        bug("a stack that was not made by a repeat");
}

static void place_inputs(Region *x)
{
    for (ValueId v = 1; v < x->s->g->count; v++) {
        const Node *n = &x->s->g->node[v];
        if (n->op != OP_input)
            continue;
        x->s->stacked[v] = false; /* inputs are not stored here */
        if (n->a.input.index < x->n_carry)
            start_carry(x, v, n->a.input.index);
        else
            find_outside(x, v, n->a.input.index);
    }
}

/* A saved value that is an input of the region, or a view of one, needs a copy. */
static void save_inputs(Region *x)
{
    Scope *s = x->s;
    for (uint32_t i = x->n_carry; i < s->g->outs; i++) {
        ValueId y = s->g->out[i];
        Loc    *l = want(s, y);
        bool    half = l->has16;
        if (half ? l->r16.stacked : l->r32.stacked)
            continue;
        uint32_t buf = add_buffer(s->b, arena_printf(s->b->a, "%s_saved", value_name(s, y)), BUF_PLAIN,
                                  half ? PLAN_F16 : plan_type(s->g->node[y].type.dtype), shape_at(s, y), s->n);
        Ref      r = buffer_ref(buf, true, shape_at(s, y));
        add_move(s->b, s->list[0], r, reshaped(half ? l->r16 : l->r32, shape_at(s, y)));
        *l = only(half, r);
    }
}

/* The end of an iteration: carried values get their next contents, through temporaries where one becomes another. */
static void hand_over(Region *x)
{
    Scope   *s = x->s;
    Builder *b = s->b;
    Ref     *next = NEW_N(b->a, Ref, x->n_carry + 1);
    for (uint32_t i = 0; i < x->n_carry; i++) {
        ValueId     y = s->g->out[i];
        PlanType    type = type_of_ref(b, x->carried[i]);
        Loc        *l = want(s, y);
        const Node *root = &s->g->node[storage(s->g, y)];
        next[i] = reshaped(type == PLAN_F16 && l->has16 ? l->r16 : cpu_ref(s, y), shape_at(s, y));
        if (root->op == OP_input && root->a.input.index < x->n_carry && root->a.input.index != i) {
            uint32_t buf =
                add_buffer(b, arena_printf(b->a, "%s_next", value_name(s, y)), BUF_PLAIN, type, shape_at(s, y), 0);
            Ref      t = buffer_ref(buf, false, shape_at(s, y));
            add_move(b, s->list[0], t, next[i]);
            next[i] = t;
        }
    }
    for (uint32_t i = 0; i < x->n_carry; i++)
        if (next[i].kind != REF_BUFFER || next[i].index != x->carried[i].index)
            add_move(b, s->list[0], x->carried[i], next[i]);
}

/* Tell the enclosing scope where the results are: the final carries, then the stacks. */
static void place_results(Region *x)
{
    Scope *s = x->s, *parent = x->parent;
    for (ValueId v = x->repeat + 1; v < parent->g->count; v++) {
        const Node *p = &parent->g->node[v];
        if (p->op != OP_proj || node_arg(parent->g, v, 0) != x->repeat)
            continue;
        uint32_t k = p->a.proj.index;
        Loc     *y = &parent->loc[v];
        if (k < x->n_carry) {
            *y = only(type_of_ref(s->b, x->carried[k]) == PLAN_F16, x->carried[k]);
            continue;
        }
        parent->label[v] = s->label[s->g->out[k]];
        *y = s->loc[s->g->out[k]]; /* without copies that the next iteration overwrites: they are no stacks */
        y->has16 = y->has16 && y->r16.stacked;
        y->has32 = y->has32 && y->r32.stacked;
    }
    parent->loc[x->repeat].has32 = true; /* it has run */
}

static void add_loop(Scope *s, StepList *to, const StepList *body, bool reverse)
{
    Step *st = add_step(s->b, to, STEP_LOOP);
    st->first = s->first;
    st->n = s->n;
    st->reverse = reverse;
    st->body = body->step;
    st->bodies = body->n;
}

static void lower_region(Scope *s, Scope *parent, ValueId repeat)
{
    const Node *n = &parent->g->node[repeat];
    Region      x = {s, parent, repeat, n->a.repeat.n_carry, n->a.repeat.n_xs, NULL};
    x.carried = NEW_N(s->b->a, Ref, x.n_carry + 1);
    scope_start(s);
    mark_stacks(s, x.n_carry);
    place_inputs(&x);
    lower_graph(s);
    save_inputs(&x);
    hand_over(&x);
    add_loop(s, list_of(parent, n), s->list[n->role], n->a.repeat.reverse);
    if (s->list[ROLE_UPD]->n)
        add_loop(s, parent->list[ROLE_UPD], s->list[ROLE_UPD], false);
    place_results(&x);
}

void lower_repeat(Scope *s, ValueId v)
{
    const Node  *n = &s->g->node[v];
    const Graph *g = s->b->m->graph[n->a.repeat.graph];
    const char  *name = interned(s->b->m->strings, g->name);
    size_t       len = strlen(name);
    if (len > 4 && (strcmp(name + len - 4, ".bwd") == 0 || strcmp(name + len - 4, "_bwd") == 0))
        len -= 4;
    StepList body = {0}, update = {0};
    Scope    r = {.b = s->b, .g = g, .first = n->a.repeat.first, .n = n->a.repeat.n, .list = {&body, &body, &update}};
    r.region = interned(s->b->m->strings, n->scope);
    bool     trained = s->b->m->train_entry && strcmp(interned(s->b->m->strings, s->b->m->train_entry), s->prefix) == 0;
    r.prefix =
        trained ? arena_strndup(s->b->a, name, len) : arena_printf(s->b->a, "%s_%.*s", s->prefix, (int)len, name);
    lower_region(&r, s, v);
}

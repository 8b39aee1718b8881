/* lower_repeat.c: a repeat becomes a loop.
 *
 * Carried values live in a buffer that each iteration reads and finally overwrites. Values that the backward loop needs stay
 * where they were produced, in surfaces and buffers with one element per iteration, so that saving a value costs no
 * copy: the backward region's input is the forward region's result. */
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
        if (k >= carry)
            s->label[v] = parent->label[from];
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
            parent->label[v] = s->label[g->out[k]];
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

void lower_repeat(Scope *s, ValueId v)
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

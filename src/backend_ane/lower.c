/* lower.c: values to steps: constants, CPU operations, programs, gradients; see lower.h. */
#include "backend_ane/lower.h"

#include "backend_ane/weights.h"

#include <string.h>

/* ---- operands on the CPU ---- */

Ref cpu_ref(Scope *s, ValueId v)
{
    Loc *l = want(s, v);
    if (!l->has32) {
        if (!l->has16)
            bug("value %u of '%s' has no place", v, s->prefix);
        uint32_t k =
            add_buffer(s->b, arena_printf(s->b->a, "%s_f32", value_name(s, v)), BUF_PLAIN, PLAN_F32, shape_at(s, v), 0);
        Ref      r = buffer_ref(k, false, shape_at(s, v));
        /* With the producer's steps, so that both directions find it. */
        add_move(s->b, list_of(s, &s->g->node[v]), r, l->r16);
        l->r32 = r;
        l->has32 = true;
    }
    return l->r32;
}

Ref operand_ref(Scope *s, const Node *n, ValueId u)
{
    if (n->role == ROLE_UPD && s->g->node[u].role != ROLE_UPD && !is_constant(s->g, u))
        return accumulator(s, u);
    return cpu_ref(s, u);
}

void add_op(Scope *s, ValueId v, Ref to)
{
    const Node *n = &s->g->node[v];
    Ref        *in = NEW_N(s->b->a, Ref, n->in_count);
    if (add_scale(s, v, to))
        return;
    for (uint32_t k = 0; k < n->in_count; k++)
        in[k] = operand_ref(s, n, node_arg(s->g, v, k));
    Step *st = add_step(s->b, list_of(s, n), STEP_OP);
    st->op = op_info[n->op].name;
    st->a = step_attributes(n);
    st->out = copy_refs(s->b, &to, 1);
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
    Ref r = {.kind = REF_STATE,
             .pattern = interned(s->b->m->strings, s->b->m->state_set[n->a.leaf.set].pattern),
             .shape = shape_at(s, v)};
    s->loc[v] = (Loc){.has32 = true, .r32 = r};
}

/* ---- programs ---- */

static bool *leave_programs(Arena *a, const Graph *g, const Partition *part)
{
    bool *leaves = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            leaves[u] = leaves[u] || part->program[u] != part->program[v];
        }
    for (uint32_t i = 0; i < g->outs; i++)
        leaves[g->out[i]] = true;
    return leaves;
}

/* A surface of weights: that of the current iteration, or one for all of them. */
static Ref weight_ref(const Scope *s, uint32_t surface, PlanShape shape)
{
    const WeightSurface *w = &s->b->weights->surface[surface];
    return buffer_ref(w->buffer, w->stacked, shape);
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
        if (s->leaves[v])
            output[outputs++] = v;
        for (uint32_t k = 0; k < s->g->node[v].in_count; k++) {
            ValueId u = node_arg(s->g, v, k);
            if (s->part.program[u] != number && !is_constant(s->g, u))
                want(s, u);
        }
    }
    const char  *name = unique_name(b, arena_printf(a, "%s_%s", s->prefix, role == ROLE_BWD ? "bwd" : "fwd"));
    BuiltProgram built;
    if (!program_build(b, s->g, &s->part, number, output, outputs, s->label, name, s->first, s->n ? s->n : 1, &built)) {
        for (uint32_t i = 0; i < outputs; i++) /* errors were told: any place will do to go on */
            s->loc[output[i]] = (Loc){.has16 = true, .r16 = {.kind = REF_SPLAT, .shape = shape_at(s, output[i])}};
        return false;
    }
    const PlanProgram *p = &b->plan->program[built.index];
    uint32_t ins = p->ins, outs = p->outs;
    Ref     *in = NEW_N(a, Ref, ins), *out = NEW_N(a, Ref, outs);
    uint32_t values = ins - built.weight_ports;
    for (uint32_t i = values; i < ins; i++)
        in[i] = weight_ref(s, built.weight_port[i - values], p->in[i].shape);
    for (uint32_t i = 0; i < values; i++)
        in[i] = buffer_ref(
            add_buffer(b, arena_printf(a, "%s_%.3s", name, p->in[i].name), BUF_SURFACE, PLAN_F16, p->in[i].shape, 0),
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

/* ---- whole graphs ---- */

ValueId storage(const Graph *g, ValueId v)
{
    while (g->node[v].op == OP_reshape && g->node[v].device != DEV_ANE)
        v = node_arg(g, v, 0);
    return v;
}

void scope_start(Scope *s)
{
    Arena *a = s->b->a;
    scope_labels(s);
    s->part = s->b->parts.of[s->g->id];
    s->leaves = leave_programs(a, s->g, &s->part);
    s->loc = NEW_N(a, Loc, s->g->count);
    s->done = NEW_N(a, bool, s->part.programs + 1);
    s->stacked = NEW_N(a, bool, s->g->count);
    s->sum = NEW_N(a, Ref, s->g->count);
    s->summed = NEW_N(a, bool, s->g->count);
}

/* Sinks and results of a graph: everything else is made on demand. State updates come last, so that all reads are
 * done. */
void lower_graph(Scope *s)
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
            Ref to = {.pattern =
                          interned(s->b->m->strings,
                                   (n->op == OP_grad ? s->b->m->param_set : s->b->m->state_set)[n->a.leaf.set].pattern),
                      .shape = shape_at(s, x)};
            to.kind = n->op == OP_grad ? REF_GRAD : REF_STATE;
            if (n->op == OP_state_set) {
                add_move(s->b, list_of(s, n), to, cpu_ref(s, x));
                continue;
            }
            accumulate(s, v, x, to);
        }
}

/* ---- any value ---- */

static void lower_view(Scope *s, ValueId v)
{
    const Node *n = &s->g->node[v];
    ValueId     u = node_arg(s->g, v, 0);
    if (n->role == ROLE_UPD)
        s->loc[v] = (Loc){.has32 = true, .r32 = operand_ref(s, n, u)};
    else
        s->loc[v] = *want(s, u);
    s->loc[v].r16.shape = s->loc[v].r32.shape = shape_at(s, v);
}

Loc *want(Scope *s, ValueId v)
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

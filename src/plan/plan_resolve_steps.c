/* plan_resolve_steps.c: what must hold of a single step: its operands exist and fit their memory, and fit each other.
 *
 * What a step may read depends on those before it; that is the business of plan_flow.c. */
#include "plan/plan_resolve.h"

#include <inttypes.h>
#include <string.h>

static bool step_fail(Check *c, const Step *s, const char *why)
{
    Buf line = {0};
    plan_step_print(c->p, s, &line);
    check_fail(c, "entry '%s', %s: `%s`: %s", c->entry->name, entry_part_name[c->part], line.data, why);
    buf_free(&line);
    return false;
}

static bool step_failf(Check *c, const Step *s, const char *fmt, ...) ANEL_PRINTF(3, 4);
static bool step_failf(Check *c, const Step *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *why = arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    return step_fail(c, s, why);
}

static PlanType ref_type(const Check *c, const Ref *r)
{
    switch (r->kind) {
    case REF_BUFFER: return c->p->buffer[r->index].type;
    case REF_STATE: return c->p->state[c->state.group[r->leaf[0]]].type;
    case REF_TABLE: /* f16 ones are widened on reading */
        return c->p->table[r->index].type == PLAN_I32 ? PLAN_I32 : PLAN_F32;
    default: return PLAN_F32;
    }
}

/* Weights belong to certain indices, and only the runtime writes them. */
static bool check_staged_ref(Check *c, const Step *s, const Ref *r, bool written)
{
    const PlanBuffer *b = &c->p->buffer[r->index];
    if (written)
        return step_failf(c, s, "'%s' holds weights; no step writes it", b->name);
    if (r->stacked && c->loop->first != c->stage[r->index]->first)
        return step_failf(c, s, "'%s' holds the weights of L = %" PRId32 " on, the loop begins with %" PRId32, b->name,
                          c->stage[r->index]->first, c->loop->first);
    return true;
}

static bool check_buffer_ref(Check *c, const Step *s, const Ref *r, bool written)
{
    if (r->index >= c->p->buffers)
        return step_failf(c, s, "there is no buffer number %" PRIu32, r->index);
    const PlanBuffer *b = &c->p->buffer[r->index];
    uint64_t          element = (uint64_t)plan_numel(b->shape), room = element;
    if (r->stacked && (!c->loop || b->stack != c->loop->n))
        return step_failf(c, s, "'%s' is a stack of %" PRId32 "; [L] needs a loop of as many iterations", b->name,
                          b->stack);
    if (!r->stacked && b->stack) { /* the stack as a whole */
        if (element > ((uint64_t)1 << 40) / (uint32_t)b->stack)
            return step_failf(c, s, "'%s' is too large", b->name);
        room = element * (uint32_t)b->stack;
    }
    uint64_t need = (uint64_t)plan_numel(r->shape);
    if (r->offset > room || need > room - r->offset)
        return step_failf(c, s, "%" PRIu64 " elements from %" PRIu64 " on of '%s', which has %" PRIu64, need, r->offset,
                          b->name, room);
    if (c->stage[r->index] && !check_staged_ref(c, s, r, written))
        return false;
    if (b->kind == BUF_SURFACE && r->offset / element != (r->offset + need - 1) / element)
        return step_failf(c, s, "elements of the stack '%s' are separate surfaces; a view lies in one of them",
                          b->name);
    return true;
}

/* Backward steps add to accumulators, update steps read them: then the order of micro-batches does not matter. */
static bool check_accumulator(Check *c, const Step *s, const Ref *r, bool written)
{
    const PlanBuffer *b = &c->p->buffer[r->index];
    if (b->kind != BUF_ACCUMULATOR || c->part == (written ? PART_BACKWARD : PART_UPDATE))
        return true;
    return step_failf(c, s,
                      written ? "the accumulator '%s' is added to in backward only"
                              : "the accumulator '%s' is read in update only",
                      b->name);
}

static bool check_leaf_ref(Check *c, const Step *s, Ref *r)
{
    bool        param = r->kind != REF_STATE;
    bool        hole = r->pattern && strstr(r->pattern, "{L}");
    int32_t     first = c->loop ? c->loop->first : 0, n = c->loop && hole ? c->loop->n : 1;
    PlanShape   shape = {0};
    const char *where = c->loop ? "a step in a loop" : "a step outside of loops";
    if (hole && !c->loop)
        return step_failf(c, s, "'%s' has an {L} outside of a loop", r->pattern);
    size_t    before = c->err->len;
    uint32_t *ids = check_leaf_ids(c, where, param, r->pattern, first, n, &shape);
    if (!ids) { /* say it again, with the step */
        const char *why = arena_strdup(c->arena, c->err->data + before);
        c->err->len = before;
        return step_fail(c, s, why);
    }
    r->leaf = ids;
    if (c->loop && !hole) { /* the same leaf in every iteration */
        r->leaf = NEW_N(c->arena, uint32_t, (size_t)c->loop->n);
        for (int32_t i = 0; i < c->loop->n; i++)
            r->leaf[i] = ids[0];
    }
    if (r->offset || plan_numel(shape) != plan_numel(r->shape))
        return step_failf(c, s, "'%s' is %s, seen as %s", r->pattern, check_shape_text(c, shape),
                          check_shape_text(c, r->shape));
    return true;
}

static bool check_ref(Check *c, const Step *s, Ref *r, bool written)
{
    if (r->shape.rank > PLAN_MAX_RANK || plan_numel(r->shape) < 0)
        return step_fail(c, s, "a shape has rank over 6, an extent below 1 or 2^40 elements");
    switch (r->kind) {
    case REF_BUFFER: return check_buffer_ref(c, s, r, written) && check_accumulator(c, s, r, written);
    case REF_STATE:
        if (c->part == PART_UPDATE)
            return step_fail(c, s, "update steps do not touch states");
        return check_leaf_ref(c, s, r);
    case REF_PARAM:
        if (written)
            return step_fail(c, s, "a step cannot write a parameter");
        return check_leaf_ref(c, s, r);
    case REF_GRAD:
        if (!written)
            return step_fail(c, s, "a gradient can be added to, not read");
        if (!check_leaf_ref(c, s, r))
            return false;
        if (c->p->param[c->param.group[r->leaf[0]]].frozen)
            return step_failf(c, s, "'%s' is frozen and has no gradient", r->pattern);
        return true;
    case REF_TABLE:
        if (written)
            return step_fail(c, s, "a step cannot write a table");
        if (r->index >= c->p->tables)
            return step_failf(c, s, "there is no table number %" PRIu32, r->index);
        if (r->offset || plan_numel(r->shape) != plan_numel(c->p->table[r->index].shape))
            return step_failf(c, s, "table '%s' is %s, seen as %s", c->p->table[r->index].name,
                              check_shape_text(c, c->p->table[r->index].shape), check_shape_text(c, r->shape));
        return true;
    case REF_SPLAT: return !written ? true : step_fail(c, s, "a step cannot write a number");
    }
    return step_fail(c, s, "an operand of unknown kind");
}

static bool check_op(Check *c, const Step *s)
{
    const PlanOp *op = s->op ? plan_op(s->op) : NULL;
    if (!op)
        return check_fail(c, "entry '%s': unknown operation '%s'", c->entry->name, s->op ? s->op : "");
    if (s->outs != 1 || (op->arity == PLAN_VARIADIC ? s->ins == 0 : s->ins != (uint32_t)op->arity))
        return step_failf(c, s, "takes %d operands and makes 1 result, not %" PRIu32 " and %" PRIu32, op->arity, s->ins,
                          s->outs);
    PlanValue *in = NEW_N(c->arena, PlanValue, s->ins + 1u);
    for (uint32_t i = 0; i <= s->ins; i++) {
        const Ref *r = i < s->ins ? &s->in[i] : &s->out[0];
        in[i] = (PlanValue){ref_type(c, r), r->kind == REF_SPLAT, r->shape};
        if (in[i].type == PLAN_F16)
            return step_failf(c, s, "'%s' is f16; operations work in fp32, move it to a buffer first",
                              c->p->buffer[r->index].name);
    }
    Buf       why = {0};
    PlanValue given = in[s->ins], made = given;
    PlanRule  rule = {&s->a, in, s->ins, &made, &why};
    bool      ok = op->rule(&rule);
    if (ok && !plan_shape_equal(made.shape, given.shape)) {
        buf_puts(&why, "the result is ");
        plan_shape_print(made.shape, &why);
        buf_puts(&why, ", the destination ");
        plan_shape_print(given.shape, &why);
        ok = false;
    }
    if (ok && made.type != given.type) {
        buf_printf(&why, "the result is %s, the destination %s", plan_type_name[made.type], plan_type_name[given.type]);
        ok = false;
    }
    if (!ok)
        step_fail(c, s, why.data);
    buf_free(&why);
    return ok;
}

static bool check_move(Check *c, const Step *s)
{
    if (s->outs != 1 || s->ins != 1)
        return step_fail(c, s, "takes one operand and makes one result");
    PlanType in = ref_type(c, &s->in[0]), out = ref_type(c, &s->out[0]);
    if (plan_numel(s->in[0].shape) != plan_numel(s->out[0].shape))
        return step_fail(c, s, "the number of elements changes");
    if (s->in[0].kind != REF_SPLAT && (in == PLAN_I32) != (out == PLAN_I32))
        return step_fail(c, s, "integers cannot be moved to reals or back; 'cast' does that");
    return true;
}

static bool check_run(Check *c, const Step *s)
{
    if (s->program >= c->p->programs)
        return check_fail(c, "entry '%s': there is no program number %" PRIu32, c->entry->name, s->program);
    const PlanProgram *g = &c->p->program[s->program];
    if (c->part == PART_UPDATE)
        return step_fail(c, s, "programs do not run in update");
    if (s->ins != g->ins || s->outs != g->outs)
        return step_failf(c, s, "'%s' has %" PRIu32 " inputs and %" PRIu32 " outputs", g->name, g->ins, g->outs);
    int32_t first = c->loop ? c->loop->first : 0, n = c->loop ? c->loop->n : 1;
    bool    varies = g->n > 1;
    for (uint32_t i = 0; i < g->weights; i++)
        varies = varies || plan_recipe_varies(g->weight[i].recipe);
    if (varies && (!c->loop || first < g->first || first - g->first > g->n - n))
        return step_failf(c, s, "'%s' has instances for L = %" PRId32 " to %" PRId32 ", which do not cover this place",
                          g->name, g->first, g->first + (g->n - 1));
    for (uint32_t i = 0; i < s->ins + s->outs; i++) {
        const Ref      *r = i < s->ins ? &s->in[i] : &s->out[i - s->ins];
        const PlanPort *t = i < s->ins ? &g->in[i] : &g->out[i - s->ins];
        if (r->kind != REF_BUFFER || c->p->buffer[r->index].kind != BUF_SURFACE)
            return step_failf(c, s, "port '%s' needs a surface", t->name);
        const PlanBuffer *b = &c->p->buffer[r->index];
        if (r->offset % (uint64_t)plan_numel(b->shape) != 0)
            return step_failf(c, s, "'%s': a port begins where its surface begins", b->name);
        if (!plan_shape_equal(r->shape, t->shape))
            return step_failf(c, s, "port '%s' is %s, bound as %s", t->name, check_shape_text(c, t->shape),
                              check_shape_text(c, r->shape));
    }
    return true;
}

bool check_steps(Check *c, Step *step, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        Step *s = &step[k];
        bool  ok = true;
        if (s->kind == STEP_LOOP) {
            if (c->loop)
                return check_fail(c, "entry '%s': loops do not nest", c->entry->name);
            if (s->n < 1 || s->n > CHECK_MAX_ITERATIONS || s->first < 0 || s->first > INT32_MAX - s->n)
                return step_failf(c, s, "a loop has 1 to %d iterations, and its index is not negative",
                                  CHECK_MAX_ITERATIONS);
            c->loop = s;
            ok = check_steps(c, s->body, s->bodies);
            c->loop = NULL;
            if (!ok)
                return false;
            continue;
        }
        for (uint32_t i = 0; ok && i < s->outs; i++)
            ok = check_ref(c, s, &s->out[i], true);
        for (uint32_t i = 0; ok && i < s->ins; i++)
            ok = check_ref(c, s, &s->in[i], false);
        if (!ok)
            return false;
        switch (s->kind) {
        case STEP_OP: ok = check_op(c, s); break;
        case STEP_MOVE: ok = check_move(c, s); break;
        case STEP_RUN: ok = check_run(c, s); break;
        default: return check_fail(c, "entry '%s': a step of unknown kind", c->entry->name);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* plan_parse_steps.c: entries and their steps.
 *
 * A step is one line: what it does, results, an arrow, operands, attributes. Names of buffers, tables and programs
 * become numbers here, names of parameters and states only in plan_resolve(), because {L} makes several of them. */
#include "base/suggest.h"
#include "plan/plan_parse.h"

#include <string.h>

enum { MAX_REFS = 4096 };

/* ---- steps ---- */

static bool ref(Parser *ps, Ref *r)
{
    Text       *t = &ps->t;
    const char *name = NULL;
    int64_t     offset = 0;
    bool        ok;
    *r = (Ref){0};
    if (text_at_number(t)) {
        r->kind = REF_SPLAT;
        ok = text_number(t, &r->splat);
    } else if (text_take(t, "param") || text_take(t, "grad") || text_take(t, "state")) {
        char last = t->at[-1]; /* para[m], gra[d], stat[e] */
        r->kind = last == 'm' ? REF_PARAM : last == 'd' ? REF_GRAD : REF_STATE;
        ok = text_name(t, &r->pattern, NULL);
    } else if (text_take(t, "table")) {
        r->kind = REF_TABLE;
        ok = parse_find_table(ps, &r->index);
    } else {
        r->kind = REF_BUFFER;
        ok = text_name(t, &name, NULL) && parse_find_buffer(ps, name, &r->index);
        r->stacked = ok && text_take(t, "[L]");
        uint64_t unit = 1;
        if (ok && text_take(t, "@")) { /* channels */
            unit = plan_channel_width(ps->plan, r->index);
            ok = (unit || text_fail(t, "'%s' is no surface of shape 1xCx1xS and has no channels", name)) &&
                 text_integer(t, 0, INT32_MAX, &offset);
        } else if (ok && text_take(t, "+"))
            ok = text_integer(t, 0, (int64_t)1 << 40, &offset);
        r->offset = (uint64_t)offset * unit;
    }
    return ok && text_need(t, ":") && text_shape(t, &r->shape);
}

static bool refs(Parser *ps, Ref **list, uint32_t *count)
{
    uint32_t cap = 0;
    do {
        if (*count == MAX_REFS)
            return text_fail(&ps->t, "more than %d operands", MAX_REFS);
        GROW(ps->arena, *list, *count, cap);
        if (!ref(ps, &(*list)[*count]))
            return false;
        ++*count;
    } while (text_take(&ps->t, ","));
    return true;
}

static bool ints(Parser *ps, const char *word, int32_t *v, uint32_t n)
{
    if (!text_need(&ps->t, word))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!text_int32(&ps->t, 0, INT32_MAX, &v[i]))
            return false;
    return true;
}

static bool attributes(Parser *ps, const PlanOp *op, Step *s)
{
    uint32_t rank = s->ins ? s->in[0].shape.rank : 0;
    switch (op->attr) {
    case ATTR_NONE: return true;
    case ATTR_MATMUL:
        s->a.ta = text_take(&ps->t, "ta");
        s->a.tb = text_take(&ps->t, "tb");
        return true;
    case ATTR_AXIS: return ints(ps, "axis", &s->a.axis, 1);
    case ATTR_AXES:
        if (!text_need(&ps->t, "axes"))
            return false;
        while (!text_at_end(&ps->t)) {
            int32_t k;
            if (!text_int32(&ps->t, 0, PLAN_MAX_RANK - 1, &k))
                return false;
            s->a.axes |= 1u << k;
        }
        return true;
    case ATTR_PERM: return ints(ps, "perm", s->a.perm, rank);
    case ATTR_SLICE: return ints(ps, "from", s->a.begin, rank) && ints(ps, "to", s->a.end, rank);
    case ATTR_PAD: return ints(ps, "before", s->a.lo, rank) && ints(ps, "after", s->a.hi, rank);
    case ATTR_POWC: return text_need(&ps->t, "exponent") && text_number(&ps->t, &s->a.c);
    case ATTR_CMP: return parse_one_of(ps, plan_cmp_name, COUNT(plan_cmp_name), "eq, ne, lt, gt, le or ge", &s->a.cmp);
    }
    return false;
}

static bool step_body(Parser *ps, Step *s, const PlanOp *op)
{
    return (text_peek(&ps->t) == '<' || refs(ps, &s->out, &s->outs)) && text_need(&ps->t, "<-") &&
           ((op && op->arity == 0) || refs(ps, &s->in, &s->ins)) && (!op || attributes(ps, op, s)) && text_end(&ps->t);
}

static bool steps(Parser *ps, uint32_t open, bool in_loop, Step **list, uint32_t *count);

static bool step(Parser *ps, bool in_loop, Step *s)
{
    Text       *t = &ps->t;
    uint32_t    open = t->line;
    const char *word;
    if (!text_name(t, &word, NULL))
        return false;
    if (strcmp(word, "loop") == 0) {
        s->kind = STEP_LOOP;
        if (in_loop)
            return text_fail(t, "loops do not nest");
        if (!text_need(t, "L") || !text_int32(t, 0, INT32_MAX, &s->first) || !text_int32(t, 1, INT32_MAX, &s->n))
            return false;
        s->reverse = text_take(t, "reverse");
        return text_need(t, "{") && text_end(t) && steps(ps, open, true, &s->body, &s->bodies);
    }
    if (strcmp(word, "move") == 0) {
        s->kind = STEP_MOVE;
        return step_body(ps, s, NULL);
    }
    if (strcmp(word, "run") == 0) {
        s->kind = STEP_RUN;
        if (!text_name(t, &word, NULL))
            return false;
        StrId id = intern(ps->programs, word);
        if (id == 0 || id > ps->plan->programs)
            return text_fail(t, "no program '%.80s' before this line", word);
        s->program = id - 1;
        return step_body(ps, s, NULL);
    }
    const PlanOp *op = plan_op(word);
    if (!op) {
        Suggest near = {.word = word};
        for (uint32_t i = 0; i < plan_op_count; i++)
            suggest(&near, plan_ops[i].name);
        return text_fail(t, "unknown operation '%.60s'%s%s%s", word, near.best ? "; did you mean '" : "",
                         near.best ? near.best : "", near.best ? "'?" : "");
    }
    s->kind = STEP_OP;
    s->op = op->name;
    return step_body(ps, s, op);
}

static bool steps(Parser *ps, uint32_t open, bool in_loop, Step **list, uint32_t *count)
{
    uint32_t cap = 0;
    for (;;) {
        bool done = false;
        if (!parse_block_line(ps, open, &done))
            return false;
        if (done)
            return true;
        GROW(ps->arena, *list, *count, cap);
        if (!step(ps, in_loop, &(*list)[(*count)++]))
            return false;
    }
}

/* ---- entries ---- */

static bool input(Parser *ps, PlanInput *in)
{
    static const char *const kind[] = {"token", "real", "int", "loss_scale"};
    const char              *name;
    uint32_t                 k = 0;
    if (!text_name(&ps->t, &in->name, NULL) ||
        !parse_one_of(ps, kind, COUNT(kind), "token, real, int or loss_scale", &k) ||
        !text_name(&ps->t, &name, NULL) || !parse_find_buffer(ps, name, &in->buffer))
        return false;
    in->kind = (PlanInputKind)k;
    return k != IN_TOKENS || (text_need(&ps->t, "vocab") && text_int32(&ps->t, 1, INT32_MAX, &in->vocab));
}

static bool result(Parser *ps, PlanResult *r)
{
    const char *name;
    return text_name(&ps->t, &r->name, NULL) && text_name(&ps->t, &name, NULL) &&
           parse_find_buffer(ps, name, &r->buffer);
}

bool parse_entry(Parser *ps)
{
    static const char *const keys[] = {"input", "result", "forward", "backward", "update", NULL};
    PlanEntry                e = {0};
    uint32_t                 open = ps->t.line, seen = 0, in_cap = 0, result_cap = 0;
    bool                     ok = text_name(&ps->t, &e.name, NULL) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;) {
        uint32_t line = ps->t.line;
        if (text_take(&ps->t, keys[0])) {
            GROW(ps->arena, e.input, e.inputs, in_cap);
            ok = input(ps, &e.input[e.inputs++]);
        } else if (text_take(&ps->t, keys[1])) {
            GROW(ps->arena, e.result, e.results, result_cap);
            ok = result(ps, &e.result[e.results++]);
        } else if (text_take(&ps->t, keys[2])) {
            ok = parse_once(ps, &seen, 1, "forward") && text_need(&ps->t, "{") && text_end(&ps->t) &&
                 steps(ps, line, false, &e.forward, &e.forwards);
        } else if (text_take(&ps->t, keys[3])) {
            ok = parse_once(ps, &seen, 2, "backward") && text_need(&ps->t, "{") && text_end(&ps->t) &&
                 steps(ps, line, false, &e.backward, &e.backwards);
        } else if (text_take(&ps->t, keys[4])) {
            ok = parse_once(ps, &seen, 4, "update") && text_need(&ps->t, "{") && text_end(&ps->t) &&
                 steps(ps, line, false, &e.update, &e.updates);
        } else
            ok = parse_unknown(ps, "an entry", keys);
        ok = ok && text_end(&ps->t);
    }
    if (ok && !(seen & 1))
        return text_fail(&ps->t, "entry '%s' has no forward", e.name);
    GROW(ps->arena, ps->plan->entry, ps->plan->entries, ps->entry_cap);
    ps->plan->entry[ps->plan->entries++] = e;
    return ok;
}

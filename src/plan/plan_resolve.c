/* plan_resolve.c: everything that must hold in a plan, checked once.
 *
 * A plan is a file from anywhere. After plan_resolve() indices are in range, shapes fit their memory, patterns name
 * leaves that exist for every iteration, operands fit their operations, and nothing is read before it is written, so
 * neither the executor nor its kernels check again. On the way, names become numbers: the ids of parameters and states.
 *
 * Messages name the place ("entry 'loss', backward: `matmul ...`") and say what would be right. */
#include "base/intern.h"
#include "plan/plan_ops.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_LEAVES = 1 << 20, MAX_ITERATIONS = 4096, MAX_LOOKUPS = 1 << 24 };

typedef struct {
    uint32_t *group; /* [leaf] its group's number */
    uint32_t  cap;
} Leaves;

typedef struct {
    Plan            *p;
    Arena           *arena;
    Buf             *err;
    Interner        *params, *states; /* path n is leaf n - 1 */
    Leaves           param, state;
    const Step      *loop; /* the loop we are in, or NULL */
    const PlanEntry *entry;
    bool             backward;
    uint64_t         lookups; /* of leaves, bounded so that a small file cannot cost hours */
} Check;

static bool fail(Check *c, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool fail(Check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(c->err, fmt, ap);
    va_end(ap);
    return false;
}

static const char *shape_text(Check *c, PlanShape s)
{
    Buf b = {0};
    plan_shape_print(s, &b);
    const char *t = arena_strdup(c->arena, b.data);
    buf_free(&b);
    return t;
}

/* ---- names, shapes ---- */

const char *plan_path(Arena *a, const char *pattern, int32_t index)
{
    const char *hole = strstr(pattern, "{L}");
    if (!hole)
        return pattern;
    return arena_printf(a, "%.*s%" PRId32 "%s", (int)(hole - pattern), pattern, index, hole + 3);
}

/* A pattern holds at most one "{L}" and no other brace. */
static bool pattern_ok(const char *pattern)
{
    const char *hole = strstr(pattern, "{L}"), *brace = strpbrk(pattern, "{}");
    return *pattern && brace == hole && (!hole || !strpbrk(hole + 3, "{}"));
}

static bool is_hash(const char *s)
{
    return s && strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32;
}

/* A relative path of plain components: nothing can climb out of the plan's directory. */
static bool path_ok(const char *s)
{
    if (!s || !*s || *s == '/' || s[strlen(s) - 1] == '/')
        return false;
    for (const char *part = s; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.'))))
            return false;
    }
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == '\\')
            return false;
    return true;
}

static bool shape_ok(Check *c, const char *what, const char *name, PlanShape s)
{
    if (s.rank > PLAN_MAX_RANK)
        return fail(c, "%s '%s' has rank %" PRIu32 ", the limit is %d", what, name, s.rank, PLAN_MAX_RANK);
    if (plan_numel(s) < 0)
        return fail(c, "%s '%s' has the shape %s: extents must be at least 1 and their product below 2^40", what, name,
                    shape_text(c, s));
    return true;
}

/* Name of element `i` of a list, unseen so far. */
static bool unique(Check *c, Interner *seen, uint32_t i, const char *what, const char *name)
{
    if (!name || !*name)
        return fail(c, "%s number %" PRIu32 " has no name", what, i);
    return intern(seen, name) == i + 1 ? true : fail(c, "%s '%s' is defined twice", what, name);
}

/* ---- parameters and states ---- */

static bool leaves(Check *c, Interner *seen, Leaves *list, const char *what, uint32_t number, const char *pattern,
                   int32_t first, int32_t n, PlanShape shape, PlanInit init, uint32_t *id, uint32_t *count)
{
    if (!pattern || !pattern_ok(pattern))
        return fail(c, "%s '%s': a path is not empty and has at most one {L}", what, pattern ? pattern : "");
    bool many = strstr(pattern, "{L}") != NULL;
    if (n < 1 || first < 0 || first > INT32_MAX - n || (!many && (n != 1 || first != 0)))
        return fail(c, "%s '%s': %" PRId32 " leaves from %" PRId32 " on%s", what, pattern, n, first,
                    many ? "" : ", but no {L} tells them apart");
    if (n > MAX_LEAVES - (int32_t)*count)
        return fail(c, "over %d %ss", MAX_LEAVES, what);
    if (!shape_ok(c, what, pattern, shape))
        return false;
    if (init.kind > PINIT_UNIFORM || !isfinite(init.a) || !isfinite(init.b) ||
        (init.kind == PINIT_UNIFORM && init.a > init.b))
        return fail(c, "%s '%s': its initial values make no sense", what, pattern);
    *id = *count;
    for (int32_t i = 0; i < n; i++) {
        const char *path = plan_path(c->arena, pattern, first + i);
        if (intern(seen, path) != *count + 1)
            return fail(c, "%s '%s' is defined twice", what, path);
        GROW(c->arena, list->group, *count, list->cap);
        list->group[(*count)++] = number;
    }
    return true;
}

static bool check_leaves(Check *c)
{
    Plan *p = c->p;
    p->param_count = p->state_count = 0;
    for (uint32_t i = 0; i < p->params; i++) {
        PlanParam *g = &p->param[i];
        if (!leaves(c, c->params, &c->param, "parameter", i, g->pattern, g->first, g->n, g->shape, g->init, &g->id,
                    &p->param_count))
            return false;
        if (!isfinite(g->lr) || g->lr < 0)
            return fail(c, "parameter '%s': the learning rate factor must be a number from 0 on", g->pattern);
        int32_t r0 = g->import_rows[0], r1 = g->import_rows[1];
        if (g->import && (!pattern_ok(g->import) || r0 < 0 || r1 < r0 || ((r0 || r1) && r0 == r1)))
            return fail(c, "parameter '%s': the import names no rows of anything", g->pattern);
        if (g->import_transpose && g->shape.rank != 2)
            return fail(c, "parameter '%s': only rank 2 can be imported transposed", g->pattern);
    }
    for (uint32_t i = 0; i < p->states; i++) {
        PlanState *g = &p->state[i];
        if (!leaves(c, c->states, &c->state, "state", i, g->pattern, g->first, g->n, g->shape, g->init, &g->id,
                    &p->state_count))
            return false;
        if (g->type != PLAN_F32 && g->type != PLAN_I32)
            return fail(c, "state '%s' is neither f32 nor i32", g->pattern);
    }
    return true;
}

/* Ids of a pattern's leaves for loop indices first .. first + n - 1 (one id when it has no "{L}" and n is 1). */
static uint32_t *leaf_ids(Check *c, const char *where, bool param, const char *pattern, int32_t first, int32_t n,
                          PlanShape *shape)
{
    const char *what = param ? "parameter" : "state";
    uint32_t   *ids = NULL;
    if (!pattern || !pattern_ok(pattern)) {
        fail(c, "%s: '%s' is no path", where, pattern ? pattern : "");
        return NULL;
    }
    c->lookups += (uint64_t)n;
    if (c->lookups > MAX_LOOKUPS) {
        fail(c, "%s: the plan refers to parameters and states over %d times", where, MAX_LOOKUPS);
        return NULL;
    }
    ids = NEW_N(c->arena, uint32_t, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        const char *path = plan_path(c->arena, pattern, first + i);
        uint32_t    id = intern(param ? c->params : c->states, path);
        if (id == 0 || id > (param ? c->p->param_count : c->p->state_count)) {
            fail(c, "%s: there is no %s '%s'", where, what, path);
            return NULL;
        }
        ids[i] = id - 1;
        PlanShape s = param ? c->p->param[c->param.group[id - 1]].shape : c->p->state[c->state.group[id - 1]].shape;
        if (i && !plan_shape_equal(s, *shape)) {
            fail(c, "%s: '%s' names %ss of different shapes", where, pattern, what);
            return NULL;
        }
        *shape = s;
    }
    return ids;
}

/* ---- tables, programs, buffers ---- */

static bool check_tables(Check *c)
{
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < c->p->tables; i++) {
        const PlanTable *t = &c->p->table[i];
        if (!is_hash(t->hash))
            return fail(c, "table '%s': the hash must be 32 hex digits", t->name ? t->name : "");
        if (!t->name || !*t->name)
            return fail(c, "table %s has no name", t->hash);
        if (!unique(c, seen, i, "table", t->hash) || !shape_ok(c, "table", t->name, t->shape))
            return false;
        if ((unsigned)t->type > PLAN_I32)
            return fail(c, "table '%s' has an unknown type", t->name);
    }
    return true;
}

static bool check_recipe(Check *c, const char *where, const PlanProgram *g, Recipe *r, int depth, PlanShape *shape)
{
    switch (depth < 8 ? r->kind : (RecipeKind)-1) {
    case RECIPE_PARAM:
        if (strstr(r->pattern, "{L}") == NULL && g->n > 1) { /* the same parameter in every instance */
            uint32_t *one = leaf_ids(c, where, true, r->pattern, 0, 1, shape);
            r->param = NEW_N(c->arena, uint32_t, (size_t)g->n);
            for (int32_t i = 0; one && i < g->n; i++)
                r->param[i] = one[0];
            return one != NULL;
        }
        r->param = leaf_ids(c, where, true, r->pattern, g->first, g->n, shape);
        return r->param != NULL;
    case RECIPE_TABLE:
        if (r->table >= c->p->tables)
            return fail(c, "%s: there is no table number %" PRIu32, where, r->table);
        *shape = c->p->table[r->table].shape;
        if (c->p->table[r->table].type == PLAN_I32)
            return fail(c, "%s: table '%s' holds integers, weights are fp16", where, c->p->table[r->table].name);
        return true;
    case RECIPE_TRANSPOSE:
        if (!r->x || !check_recipe(c, where, g, r->x, depth + 1, shape))
            return r->x ? false : fail(c, "%s: T() of nothing", where);
        if (shape->rank != 2)
            return fail(c, "%s: T() of the shape %s, rank 2 is needed", where, shape_text(c, *shape));
        *shape = (PlanShape){2, {shape->dim[1], shape->dim[0]}};
        return true;
    }
    return fail(c, "%s: not a recipe, or nested too deep", where);
}

static bool check_port(Check *c, const PlanProgram *g, const char *what, const PlanPort *t)
{
    if (!t->name || !*t->name)
        return fail(c, "program '%s': an %s port has no name", g->name, what);
    if (!shape_ok(c, what, t->name, t->shape))
        return false;
    if (t->shape.rank != 4 || t->shape.dim[0] != 1 || t->shape.dim[2] != 1)
        return fail(c, "program '%s', %s '%s': the shape is %s, ports are 1xCx1xS", g->name, what, t->name,
                    shape_text(c, t->shape));
    for (uint32_t i = 0; i < t->parts; i++) {
        const PlanPart *q = &t->part[i];
        if (!q->name || !shape_ok(c, "part", q->name, q->shape))
            return q->name ? false : fail(c, "program '%s', %s '%s': a part has no name", g->name, what, t->name);
        if (q->channels < 1 || q->channel > (uint32_t)t->shape.dim[1] ||
            q->channels > (uint32_t)t->shape.dim[1] - q->channel)
            return fail(c, "program '%s', %s '%s': part '%s' does not lie within its %" PRId32 " channels", g->name, what,
                        t->name, q->name, t->shape.dim[1]);
        if (plan_numel(q->shape) != (int64_t)q->channels * t->shape.dim[3])
            return fail(c, "program '%s', %s '%s': part '%s' of shape %s does not fill %" PRIu32 " channels of %" PRId32,
                        g->name, what, t->name, q->name, shape_text(c, q->shape), q->channels, t->shape.dim[3]);
    }
    return true;
}

static bool check_program(Check *c, PlanProgram *g)
{
    if (!path_ok(g->mil) || !is_hash(g->mil_hash))
        return fail(c, "program '%s': 'mil' needs a file name and a hash of 32 hex digits", g->name);
    if (g->n < 1 || g->n > MAX_ITERATIONS || g->first < 0 || g->first > INT32_MAX - g->n)
        return fail(c, "program '%s': %" PRId32 " instances from %" PRId32 " on", g->name, g->n, g->first);
    if (g->ins == 0 || g->outs == 0)
        return fail(c, "program '%s' needs an input and an output", g->name);
    for (uint32_t i = 0; i < g->ins + g->outs; i++) {
        bool            in = i < g->ins;
        const PlanPort *t = in ? &g->in[i] : &g->out[i - g->ins];
        if (!check_port(c, g, in ? "input" : "output", t))
            return false;
        if (i && i != g->ins && strcmp(t[-1].name, t->name) >= 0)
            return fail(c, "program '%s': ports '%s', '%s' are not in alphabetical order, in which they are bound", g->name,
                        t[-1].name, t->name);
    }
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < g->weights; i++) {
        PlanWeight *w = &g->weight[i];
        PlanShape   made = {0};
        if (!unique(c, seen, i, "weight", w->path) || !shape_ok(c, "weight", w->path, w->shape))
            return false;
        const char *where = arena_printf(c->arena, "program '%s', weight '%s'", g->name, w->path);
        if (!path_ok(w->path))
            return fail(c, "%s: the path must be relative and stay below the plan", where);
        if (!w->recipe || !check_recipe(c, where, g, w->recipe, 0, &made))
            return w->recipe ? false : fail(c, "%s has no recipe", where);
        if (plan_numel(made) != plan_numel(w->shape))
            return fail(c, "%s: the shape is %s, its recipe makes %s", where, shape_text(c, w->shape), shape_text(c, made));
    }
    return true;
}

static bool check_buffers(Check *c)
{
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < c->p->buffers; i++) {
        const PlanBuffer *b = &c->p->buffer[i];
        const char       *what = b->kind == BUF_SURFACE ? "surface" : "buffer";
        if (!unique(c, seen, i, what, b->name) || !shape_ok(c, what, b->name, b->shape))
            return false;
        if ((unsigned)b->kind > BUF_SURFACE || (unsigned)b->type > PLAN_I32)
            return fail(c, "buffer '%s' has an unknown kind or type", b->name);
        if (b->stack < 0 || b->stack > MAX_ITERATIONS)
            return fail(c, "%s '%s': stack %" PRId32 " is not between 0 and %d", what, b->name, b->stack, MAX_ITERATIONS);
        PlanShape s = b->shape;
        if (b->kind == BUF_SURFACE && (b->type != PLAN_F16 || s.rank != 4 || s.dim[0] != 1 || s.dim[2] != 1))
            return fail(c, "surface '%s' has the shape %s; surfaces are f16 1xCx1xS", b->name, shape_text(c, s));
    }
    return true;
}

/* ---- steps ---- */

static bool step_fail(Check *c, const Step *s, const char *why)
{
    Buf line = {0};
    plan_step_print(c->p, s, &line);
    fail(c, "entry '%s', %s: `%s`: %s", c->entry->name, c->backward ? "backward" : "forward", line.data, why);
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
    case REF_TABLE: return c->p->table[r->index].type == PLAN_I32 ? PLAN_I32 : PLAN_F32; /* f16 ones are widened on reading */
    default: return PLAN_F32;
    }
}

static bool check_buffer_ref(Check *c, const Step *s, const Ref *r)
{
    if (r->index >= c->p->buffers)
        return step_failf(c, s, "there is no buffer number %" PRIu32, r->index);
    const PlanBuffer *b = &c->p->buffer[r->index];
    uint64_t          element = (uint64_t)plan_numel(b->shape), room = element;
    if (r->stacked && (!c->loop || b->stack != c->loop->n))
        return step_failf(c, s, "'%s' is a stack of %" PRId32 "; [L] needs a loop of as many iterations", b->name, b->stack);
    if (!r->stacked && b->stack) { /* the stack as a whole */
        if (element > ((uint64_t)1 << 40) / (uint32_t)b->stack)
            return step_failf(c, s, "'%s' is too large", b->name);
        room = element * (uint32_t)b->stack;
    }
    uint64_t need = (uint64_t)plan_numel(r->shape);
    if (r->offset > room || need > room - r->offset)
        return step_failf(c, s, "%" PRIu64 " elements from %" PRIu64 " on of '%s', which has %" PRIu64, need, r->offset,
                          b->name, room);
    if (b->kind == BUF_SURFACE && r->offset / element != (r->offset + need - 1) / element)
        return step_failf(c, s, "elements of the stack '%s' are separate surfaces; a view lies in one of them", b->name);
    return true;
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
    uint32_t *ids = leaf_ids(c, where, param, r->pattern, first, n, &shape);
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
        return step_failf(c, s, "'%s' is %s, seen as %s", r->pattern, shape_text(c, shape), shape_text(c, r->shape));
    return true;
}

static bool check_ref(Check *c, const Step *s, Ref *r, bool written)
{
    if (r->shape.rank > PLAN_MAX_RANK || plan_numel(r->shape) < 0)
        return step_fail(c, s, "a shape has rank over 6, an extent below 1 or 2^40 elements");
    switch (r->kind) {
    case REF_BUFFER: return check_buffer_ref(c, s, r);
    case REF_STATE: return check_leaf_ref(c, s, r);
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
                              shape_text(c, c->p->table[r->index].shape), shape_text(c, r->shape));
        return true;
    case REF_SPLAT: return !written ? true : step_fail(c, s, "a step cannot write a number");
    }
    return step_fail(c, s, "an operand of unknown kind");
}

static bool check_op(Check *c, const Step *s)
{
    const PlanOp *op = s->op ? plan_op(s->op) : NULL;
    if (!op)
        return fail(c, "entry '%s': unknown operation '%s'", c->entry->name, s->op ? s->op : "");
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
        return fail(c, "entry '%s': there is no program number %" PRIu32, c->entry->name, s->program);
    const PlanProgram *g = &c->p->program[s->program];
    if (s->ins != g->ins || s->outs != g->outs)
        return step_failf(c, s, "'%s' has %" PRIu32 " inputs and %" PRIu32 " outputs", g->name, g->ins, g->outs);
    int32_t first = c->loop ? c->loop->first : 0, n = c->loop ? c->loop->n : 1;
    bool    varies = g->n > 1;
    for (uint32_t i = 0; i < g->weights; i++)
        for (const Recipe *r = g->weight[i].recipe; r; r = r->kind == RECIPE_TRANSPOSE ? r->x : NULL)
            varies = varies || (r->kind == RECIPE_PARAM && strstr(r->pattern, "{L}"));
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
            return step_failf(c, s, "port '%s' is %s, bound as %s", t->name, shape_text(c, t->shape),
                              shape_text(c, r->shape));
    }
    return true;
}

static bool check_steps(Check *c, Step *step, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        Step *s = &step[k];
        bool  ok = true;
        if (s->kind == STEP_LOOP) {
            if (c->loop)
                return fail(c, "entry '%s': loops do not nest", c->entry->name);
            if (s->n < 1 || s->n > MAX_ITERATIONS || s->first < 0 || s->first > INT32_MAX - s->n)
                return step_failf(c, s, "a loop has 1 to %d iterations, and its index is not negative", MAX_ITERATIONS);
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
        default: return fail(c, "entry '%s': a step of unknown kind", c->entry->name);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- entries ---- */

static bool check_port_buffer(Check *c, const char *what, const char *name, uint32_t index)
{
    if (index >= c->p->buffers)
        return fail(c, "entry '%s', %s '%s': there is no buffer number %" PRIu32, c->entry->name, what, name, index);
    const PlanBuffer *b = &c->p->buffer[index];
    if (b->kind != BUF_PLAIN || b->type == PLAN_F16 || b->stack)
        return fail(c, "entry '%s', %s '%s': '%s' must be a plain f32 or i32 buffer, not a stack", c->entry->name, what,
                    name, b->name);
    return true;
}

static bool check_entry(Check *c, PlanEntry *e)
{
    Interner *seen = interner_new(c->arena);
    c->entry = e;
    for (uint32_t i = 0; i < e->inputs; i++) {
        const PlanInput *in = &e->input[i];
        if (!unique(c, seen, i, "input", in->name) || !check_port_buffer(c, "input", in->name, in->buffer))
            return false;
        const PlanBuffer *b = &c->p->buffer[in->buffer];
        PlanType          want = in->kind == IN_TOKENS || in->kind == IN_INT ? PLAN_I32 : PLAN_F32;
        if ((unsigned)in->kind > IN_LOSS_SCALE || b->type != want)
            return fail(c, "entry '%s', input '%s': buffer '%s' is %s, needs %s", e->name, in->name, b->name,
                        plan_type_name[b->type], plan_type_name[want]);
        if (in->kind == IN_LOSS_SCALE && plan_numel(b->shape) != 1)
            return fail(c, "entry '%s', input '%s': a loss scale is one number", e->name, in->name);
        if (in->kind == IN_TOKENS && in->vocab < 1)
            return fail(c, "entry '%s', input '%s': the vocabulary is empty", e->name, in->name);
    }
    for (uint32_t i = 0; i < e->results; i++) {
        if (!e->result[i].name)
            return fail(c, "entry '%s': a result has no name, not even an empty one", e->name);
        if (!check_port_buffer(c, "result", e->result[i].name, e->result[i].buffer))
            return false;
    }
    c->backward = false;
    if (!check_steps(c, e->forward, e->forwards))
        return false;
    c->backward = true;
    return check_steps(c, e->backward, e->backwards);
}

static bool check_settings(Check *c, const char *what, const PlanSetting *s, uint32_t n)
{
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < n; i++) {
        if (!unique(c, seen, i, what, s[i].key))
            return false;
        if (!s[i].value)
            return fail(c, "%s '%s' has no value", what, s[i].key);
    }
    return true;
}

bool plan_resolve(Plan *p, Arena *a, Buf *err)
{
    Check c = {.p = p, .arena = a, .err = err, .params = interner_new(a), .states = interner_new(a)};
    if (!check_settings(&c, "config", p->config, p->configs) || !check_leaves(&c) || !check_tables(&c))
        return false;
    Interner *seen = interner_new(a);
    for (uint32_t i = 0; i < p->programs; i++)
        if (!unique(&c, seen, i, "program", p->program[i].name) || !check_program(&c, &p->program[i]))
            return false;
    if (!check_buffers(&c))
        return false;
    seen = interner_new(a);
    bool trained = p->train_entry == NULL;
    for (uint32_t i = 0; i < p->entries; i++) {
        if (!unique(&c, seen, i, "entry", p->entry[i].name) || !check_entry(&c, &p->entry[i]))
            return false;
        if (p->train_entry && strcmp(p->entry[i].name, p->train_entry) == 0)
            trained = true;
    }
    if (!trained)
        return fail(&c, "train names the entry '%s', which does not exist", p->train_entry);
    if (!check_settings(&c, "train setting", p->train, p->trains))
        return false;
    return plan_check_flow(p, a, err);
}

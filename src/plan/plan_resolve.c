/* plan_resolve.c: everything that must hold in a plan, checked once.
 *
 * A plan is a file from anywhere. After plan_resolve() indices are in range, shapes fit their memory, patterns name
 * leaves that exist for every iteration, operands fit their operations, and nothing is read before it is written, so
 * neither the executor nor its kernels check again. On the way, names become numbers: the ids of parameters and states.
 *
 * Messages name the place ("entry 'loss', backward: `matmul ...`") and say what would be right. */
#include "plan/plan_resolve.h"

#include "base/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const entry_part_name[3] = {"forward", "backward", "update"};

enum { MAX_LEAVES = 1 << 20, MAX_LOOKUPS = 1 << 24 };

bool check_fail(Check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(c->err, fmt, ap);
    va_end(ap);
    return false;
}

const char *check_shape_text(Check *c, PlanShape s)
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
    char   number[16];
    size_t before = (size_t)(hole - pattern), after = strlen(hole + 3);
    size_t n = (size_t)snprintf(number, sizeof number, "%" PRId32, index);
    char  *path = arena_alloc(a, before + n + after + 1); /* zeroed */
    memcpy(path, pattern, before);
    memcpy(path + before, number, n);
    memcpy(path + before + n, hole + 3, after);
    return path;
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
    if (!s || !path_is_tame(s))
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == '\\')
            return false;
    return true;
}

static bool shape_ok(Check *c, const char *what, const char *name, PlanShape s)
{
    if (s.rank > PLAN_MAX_RANK)
        return check_fail(c, "%s '%s' has rank %" PRIu32 ", the limit is %d", what, name, s.rank, PLAN_MAX_RANK);
    if (plan_numel(s) < 0)
        return check_fail(c, "%s '%s' has the shape %s: extents must be at least 1 and their product below 2^40",
                          what, name, check_shape_text(c, s));
    return true;
}

/* Name of element `i` of a list, unseen so far. */
static bool unique(Check *c, Interner *seen, uint32_t i, const char *what, const char *name)
{
    if (!name || !*name)
        return check_fail(c, "%s number %" PRIu32 " has no name", what, i);
    return intern(seen, name) == i + 1 ? true : check_fail(c, "%s '%s' is defined twice", what, name);
}

/* ---- parameters and states ---- */

static bool leaves(Check *c, Interner *seen, Leaves *list, const char *what, uint32_t number, const char *pattern,
                   int32_t first, int32_t n, PlanShape shape, PlanInit init, uint32_t *id, uint32_t *count)
{
    if (!pattern || !pattern_ok(pattern))
        return check_fail(c, "%s '%s': a path is not empty and has at most one {L}", what, pattern ? pattern : "");
    bool many = strstr(pattern, "{L}") != NULL;
    if (n < 1 || first < 0 || first > INT32_MAX - n || (!many && (n != 1 || first != 0)))
        return check_fail(c, "%s '%s': %" PRId32 " leaves from %" PRId32 " on%s", what, pattern, n, first,
                    many ? "" : ", but no {L} tells them apart");
    if (n > MAX_LEAVES - (int32_t)*count)
        return check_fail(c, "over %d %ss", MAX_LEAVES, what);
    if (!shape_ok(c, what, pattern, shape))
        return false;
    if (init.kind > PINIT_UNIFORM || !isfinite(init.a) || !isfinite(init.b) ||
        (init.kind == PINIT_UNIFORM && init.a > init.b))
        return check_fail(c, "%s '%s': its initial values make no sense", what, pattern);
    *id = *count;
    for (int32_t i = 0; i < n; i++) {
        const char *path = plan_path(c->arena, pattern, first + i);
        if (intern(seen, path) != *count + 1)
            return check_fail(c, "%s '%s' is defined twice", what, path);
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
            return check_fail(c, "parameter '%s': the learning rate factor must be a number from 0 on", g->pattern);
        int32_t r0 = g->import_rows[0], r1 = g->import_rows[1];
        if (g->import && (!pattern_ok(g->import) || r0 < 0 || r1 < r0 || ((r0 || r1) && r0 == r1)))
            return check_fail(c, "parameter '%s': the import names no rows of anything", g->pattern);
        if (g->import_transpose && g->shape.rank != 2)
            return check_fail(c, "parameter '%s': only rank 2 can be imported transposed", g->pattern);
    }
    for (uint32_t i = 0; i < p->states; i++) {
        PlanState *g = &p->state[i];
        if (!leaves(c, c->states, &c->state, "state", i, g->pattern, g->first, g->n, g->shape, g->init, &g->id,
                    &p->state_count))
            return false;
        if (g->type != PLAN_F32 && g->type != PLAN_I32)
            return check_fail(c, "state '%s' is neither f32 nor i32", g->pattern);
    }
    return true;
}

/* The number (from 1) of the leaf behind leaf `id` of its group, if the path asked for is the group's at that index;
 * else 0. Most references are to whole groups, and looking up every path of every layer would take longer than all
 * other checks. */
static uint32_t next_of_group(const Check *c, bool param, const char *pattern, uint32_t id, int32_t index)
{
    uint32_t    group = param ? c->param.group[id] : c->state.group[id];
    const char *own = param ? c->p->param[group].pattern : c->p->state[group].pattern;
    int32_t     first = param ? c->p->param[group].first : c->p->state[group].first;
    int32_t     n = param ? c->p->param[group].n : c->p->state[group].n;
    return index > first && index - first < n && strcmp(own, pattern) == 0 ? id + 2 : 0;
}

uint32_t *check_leaf_ids(Check *c, const char *where, bool param, const char *pattern, int32_t first, int32_t n,
                          PlanShape *shape)
{
    const char *what = param ? "parameter" : "state";
    uint32_t   *ids = NULL;
    if (!pattern || !pattern_ok(pattern)) {
        check_fail(c, "%s: '%s' is no path", where, pattern ? pattern : "");
        return NULL;
    }
    c->lookups += (uint64_t)n;
    if (c->lookups > MAX_LOOKUPS) {
        check_fail(c, "%s: the plan refers to parameters and states over %d times", where, MAX_LOOKUPS);
        return NULL;
    }
    ids = NEW_N(c->arena, uint32_t, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        const char *path = pattern;
        uint32_t    id = 0;
        if (i)
            id = next_of_group(c, param, pattern, ids[i - 1], first + i);
        if (!id) {
            path = plan_path(c->arena, pattern, first + i);
            id = intern(param ? c->params : c->states, path);
        }
        if (id == 0 || id > (param ? c->p->param_count : c->p->state_count)) {
            check_fail(c, "%s: there is no %s '%s'", where, what, path);
            return NULL;
        }
        ids[i] = id - 1;
        PlanShape s = param ? c->p->param[c->param.group[id - 1]].shape : c->p->state[c->state.group[id - 1]].shape;
        if (i && !plan_shape_equal(s, *shape)) {
            check_fail(c, "%s: '%s' names %ss of different shapes", where, pattern, what);
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
            return check_fail(c, "table '%s': the hash must be 32 hex digits", t->name ? t->name : "");
        if (!t->name || !*t->name)
            return check_fail(c, "table %s has no name", t->hash);
        if (!unique(c, seen, i, "table", t->hash) || !shape_ok(c, "table", t->name, t->shape))
            return false;
        if ((unsigned)t->type > PLAN_I32)
            return check_fail(c, "table '%s' has an unknown type", t->name);
    }
    return true;
}

static bool check_port(Check *c, const PlanProgram *g, const char *what, const PlanPort *t)
{
    if (!t->name || !*t->name)
        return check_fail(c, "program '%s': an %s port has no name", g->name, what);
    if (!shape_ok(c, what, t->name, t->shape))
        return false;
    if (t->shape.rank != 4 || t->shape.dim[0] != 1 || t->shape.dim[2] != 1)
        return check_fail(c, "program '%s', %s '%s': the shape is %s, ports are 1xCx1xS", g->name, what, t->name,
                    check_shape_text(c, t->shape));
    for (uint32_t i = 0; i < t->parts; i++) {
        const PlanPart *q = &t->part[i];
        if (!q->name || !shape_ok(c, "part", q->name, q->shape))
            return q->name ? false : check_fail(c, "program '%s', %s '%s': a part has no name", g->name, what, t->name);
        if (q->channels < 1 || q->channel > (uint32_t)t->shape.dim[1] ||
            q->channels > (uint32_t)t->shape.dim[1] - q->channel)
            return check_fail(c, "program '%s', %s '%s': part '%s' does not lie within its %" PRId32 " channels",
                              g->name, what, t->name, q->name, t->shape.dim[1]);
        if (plan_numel(q->shape) != (int64_t)q->channels * t->shape.dim[3])
            return check_fail(
                c, "program '%s', %s '%s': part '%s' of shape %s does not fill %" PRIu32 " channels of %" PRId32,
                g->name, what, t->name, q->name, check_shape_text(c, q->shape), q->channels, t->shape.dim[3]);
    }
    return true;
}

static bool check_program(Check *c, PlanProgram *g)
{
    if (!path_ok(g->mil) || !is_hash(g->mil_hash))
        return check_fail(c, "program '%s': 'mil' needs a file name and a hash of 32 hex digits", g->name);
    if (g->n < 1 || g->n > CHECK_MAX_ITERATIONS || g->first < 0 || g->first > INT32_MAX - g->n)
        return check_fail(c, "program '%s': %" PRId32 " instances from %" PRId32 " on", g->name, g->n, g->first);
    if (g->ins == 0 || g->outs == 0)
        return check_fail(c, "program '%s' needs an input and an output", g->name);
    for (uint32_t i = 0; i < g->ins + g->outs; i++) {
        bool            in = i < g->ins;
        const PlanPort *t = in ? &g->in[i] : &g->out[i - g->ins];
        if (!check_port(c, g, in ? "input" : "output", t))
            return false;
        if (i && i != g->ins && strcmp(t[-1].name, t->name) >= 0)
            return check_fail(c,
                              "program '%s': ports '%s', '%s' are not in alphabetical order, in which they are bound",
                              g->name, t[-1].name, t->name);
    }
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < g->weights; i++) {
        PlanWeight *w = &g->weight[i];
        if (!unique(c, seen, i, "weight", w->path) || !shape_ok(c, "weight", w->path, w->shape))
            return false;
        const char *where = arena_printf(c->arena, "program '%s', weight '%s'", g->name, w->path);
        if (!path_ok(w->path))
            return check_fail(c, "%s: the path must be relative and stay below the plan", where);
        if (!w->recipe || !check_recipe(c, where, g->first, g->n, w->recipe, 0))
            return w->recipe ? false : check_fail(c, "%s has no recipe", where);
        if (plan_numel(w->recipe->shape) != plan_numel(w->shape))
            return check_fail(c, "%s: the shape is %s, its recipe makes %s", where, check_shape_text(c, w->shape),
                              check_shape_text(c, w->recipe->shape));
    }
    return true;
}

/* What parameters become when adapters are merged. */
static bool check_merges(Check *c)
{
    for (uint32_t i = 0; i < c->p->params; i++) {
        const PlanParam *g = &c->p->param[i];
        const char      *where = arena_printf(c->arena, "parameter '%s', merge", g->pattern);
        if (!g->merge)
            continue;
        if (g->adapter)
            return check_fail(c, "%s: the parameter is an adapter, merged into another itself", where);
        if (!check_recipe(c, where, g->first, g->n, g->merge, 0))
            return false;
        if (!plan_shape_equal(g->merge->shape, g->shape))
            return check_fail(c, "%s: the shape is %s, its recipe makes %s", where, check_shape_text(c, g->shape),
                              check_shape_text(c, g->merge->shape));
    }
    return true;
}

static bool check_buffers(Check *c)
{
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < c->p->buffers; i++) {
        const PlanBuffer *b = &c->p->buffer[i];
        const char       *what = b->kind == BUF_SURFACE ? "surface" : b->kind == BUF_PLAIN ? "buffer" : "accumulator";
        if (!unique(c, seen, i, what, b->name) || !shape_ok(c, what, b->name, b->shape))
            return false;
        if ((unsigned)b->kind > BUF_ACCUMULATOR || (unsigned)b->type > PLAN_I32)
            return check_fail(c, "buffer '%s' has an unknown kind or type", b->name);
        if (b->stack < 0 || b->stack > CHECK_MAX_ITERATIONS)
            return check_fail(c, "%s '%s': stack %" PRId32 " is not between 0 and %d", what, b->name, b->stack,
                              CHECK_MAX_ITERATIONS);
        if (b->kind == BUF_ACCUMULATOR && b->type != PLAN_F32)
            return check_fail(c, "accumulator '%s' is not f32", b->name);
        PlanShape s = b->shape;
        if (b->kind == BUF_SURFACE && (b->type != PLAN_F16 || s.rank != 4 || s.dim[0] != 1 || s.dim[2] != 1))
            return check_fail(c, "surface '%s' has the shape %s; surfaces are f16 1xCx1xS", b->name,
                              check_shape_text(c, s));
    }
    return true;
}

/* ---- entries ---- */

static bool check_port_buffer(Check *c, const char *what, const char *name, uint32_t index)
{
    if (index >= c->p->buffers)
        return check_fail(c, "entry '%s', %s '%s': there is no buffer number %" PRIu32, c->entry->name, what, name,
                          index);
    const PlanBuffer *b = &c->p->buffer[index];
    if (b->kind != BUF_PLAIN || b->type == PLAN_F16 || b->stack)
        return check_fail(c, "entry '%s', %s '%s': '%s' must be a plain f32 or i32 buffer, not a stack",
                          c->entry->name, what, name, b->name);
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
            return check_fail(c, "entry '%s', input '%s': buffer '%s' is %s, needs %s", e->name, in->name, b->name,
                        plan_type_name[b->type], plan_type_name[want]);
        if (in->kind == IN_LOSS_SCALE && plan_numel(b->shape) != 1)
            return check_fail(c, "entry '%s', input '%s': a loss scale is one number", e->name, in->name);
        if (in->kind == IN_TOKENS && in->vocab < 1)
            return check_fail(c, "entry '%s', input '%s': the vocabulary is empty", e->name, in->name);
    }
    for (uint32_t i = 0; i < e->results; i++) {
        if (!e->result[i].name)
            return check_fail(c, "entry '%s': a result has no name, not even an empty one", e->name);
        if (!check_port_buffer(c, "result", e->result[i].name, e->result[i].buffer))
            return false;
    }
    if (e->updates && !e->backwards)
        return check_fail(c, "entry '%s' has an update but no backward", e->name);
    const struct {
        Step    *step;
        uint32_t n;
    } list[] = {{e->forward, e->forwards}, {e->backward, e->backwards}, {e->update, e->updates}};
    for (uint32_t i = 0; i < COUNT(list); i++) {
        c->part = (EntryPart)i;
        if (!check_steps(c, list[i].step, list[i].n))
            return false;
    }
    return true;
}

static bool check_settings(Check *c, const char *what, const PlanSetting *s, uint32_t n)
{
    Interner *seen = interner_new(c->arena);
    for (uint32_t i = 0; i < n; i++) {
        if (!unique(c, seen, i, what, s[i].key))
            return false;
        if (!s[i].value)
            return check_fail(c, "%s '%s' has no value", what, s[i].key);
    }
    return true;
}

bool plan_resolve(Plan *p, Arena *a, Buf *err)
{
    Check c = {.p = p, .arena = a, .err = err, .params = interner_new(a), .states = interner_new(a)};
    if (!check_settings(&c, "config", p->config, p->configs) || !check_leaves(&c) || !check_tables(&c) ||
        !check_merges(&c))
        return false;
    Interner *seen = interner_new(a);
    for (uint32_t i = 0; i < p->programs; i++)
        if (!unique(&c, seen, i, "program", p->program[i].name) || !check_program(&c, &p->program[i]))
            return false;
    if ((unsigned)p->weights >= PLAN_WEIGHT_MODES)
        return check_fail(&c, "unknown way of handling weights");
    if (!check_buffers(&c) || !check_stages(&c))
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
        return check_fail(&c, "train names the entry '%s', which does not exist", p->train_entry);
    if (!check_settings(&c, "train setting", p->train, p->trains))
        return false;
    return plan_check_flow(p, a, err);
}

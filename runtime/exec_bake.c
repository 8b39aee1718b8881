/* exec_bake.c: parameters into weights of programs: what has to be made.
 *
 * A unit is what is made anew together: the weight files of a program's instance, which is then compiled (exec_bank.c),
 * or the weights in an element of a staged surface. Its memory is taken once. Every parameter has the time of its last change, every unit that of its making, so
 * nothing is hashed or made twice while a trainer says what it changes; exec_bake() alone looks for changes behind our
 * back, by hashes. How the work is divided is in exec_renew.c. */
#include "exec_internal.h"

#include "base/hash.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>

/* ---- units ---- */

typedef struct {
    const Exec *e;
    Unit       *u;
    uint32_t    cap;
} Collecting;

static bool collect_param(const Recipe *r, void *with)
{
    Collecting *c = with;
    if (r->kind != RECIPE_PARAM)
        return true;
    uint32_t id = r->param[c->u->k];
    for (uint32_t i = 0; i < c->u->params; i++)
        if (c->u->param[i] == id)
            return true;
    GROW(c->e->arena, c->u->param, c->u->params, c->cap);
    c->u->param[c->u->params++] = id;
    return true;
}

static void collect_params(const Exec *e, Unit *u)
{
    Collecting c = {e, u, 0};
    for (uint32_t i = 0; i < u->weights; i++)
        plan_recipe_visit(u->weight[i].recipe, collect_param, &c);
}

static BakeWeight make_weight(const Exec *e, const Recipe *r, size_t to, size_t columns, size_t stride, bool direct)
{
    BakeWeight w = {.recipe = r,
                    .to = to,
                    .numel = (size_t)plan_numel(r->shape),
                    .columns = columns,
                    .stride = stride,
                    .has_param = plan_recipe_has_param(r)};
    w.part = direct ? recipe_parts(e->arena, r, columns, stride, &w.parts) : NULL;
    return w;
}

static void program_units(Exec *e, uint32_t index)
{
    const PlanProgram *g = &e->plan->program[index];
    BakeWeight        *w = NEW_N(e->arena, BakeWeight, g->weights + 1u);
    size_t             at = 0;
    for (uint32_t i = 0; i < g->weights; i++) { /* files one after the other: header, metadata, numbers */
        size_t n = (size_t)plan_numel(g->weight[i].recipe->shape);
        w[i] = make_weight(e, g->weight[i].recipe, (at + 2 * BLOB_ALIGN) / 2, n, n, true);
        at += (2 * BLOB_ALIGN + n * 2 + 2 * BLOB_ALIGN - 1) / BLOB_ALIGN * BLOB_ALIGN;
    }
    e->program[index].unit = e->units;
    for (int32_t k = 0; k < g->n; k++) {
        Unit *u = &e->unit[e->units++];
        *u = (Unit){.program = index, .stage = UINT32_MAX, .k = (uint32_t)k, .bank = UINT32_MAX, .weight = w,
                    .weights = g->weights, .bytes = at};
        u->name = g->n > 1 ? arena_printf(e->arena, "%s.mil (L = %d)", g->mil, g->first + (int)k)
                           : arena_printf(e->arena, "%s.mil", g->mil);
        collect_params(e, u);
    }
}

static void stage_units(Exec *e, uint32_t index)
{
    const PlanStage  *s = &e->plan->stage[index];
    const ExecBuffer *b = &e->buffer[s->buffer];
    size_t            width = (size_t)e->plan->buffer[s->buffer].shape.dim[3];
    BakeWeight       *w = NEW_N(e->arena, BakeWeight, s->weights + 1u);
    for (uint32_t i = 0; i < s->weights; i++)
        w[i] = make_weight(e, s->weight[i].recipe, s->weight[i].channel * width, (size_t)s->weight[i].shape.dim[1],
                           width, b->store == STORE_F16);
    for (uint32_t k = 0; k < exec_elements(e, s->buffer); k++) {
        Unit *u = &e->unit[e->units++];
        *u = (Unit){.program = UINT32_MAX, .stage = index, .k = k, .bank = UINT32_MAX, .weight = w, .weights = s->weights};
        u->name = e->plan->buffer[s->buffer].name;
        collect_params(e, u);
    }
}

/* ---- which units parts of an entry need, the first needed first ---- */

typedef struct {
    uint32_t *list, n;
    bool     *seen;
} Wanting;

static void want_unit(Wanting *w, uint32_t unit)
{
    if (!w->seen[unit])
        w->list[w->n++] = unit;
    w->seen[unit] = true;
}

static void want(Exec *e, ExecStep *s, void *with)
{
    Wanting *w = with;
    for (uint32_t i = 0; i < s->step->ins; i++)
        for (uint32_t u = 0; u < e->units; u++)
            if (e->unit[u].program == UINT32_MAX && e->plan->stage[e->unit[u].stage].buffer == s->step->in[i].index)
                want_unit(w, u);
    bool reverse = s->reverse;
    for (uint32_t it = 0; it < s->iterations; it++)
        want_unit(w, e->program[s->step->program].unit + s->instance[reverse ? s->iterations - 1 - it : it]);
}

static void list_wanted(Exec *e, Arena *scratch, uint32_t entry, unsigned parts)
{
    Wanting w = {NEW_N(scratch, uint32_t, e->units + 1u), 0, NEW_N(scratch, bool, e->units + 1u)};
    exec_visit_runs(e, entry, parts, want, &w);
    e->entry[entry].wanted[parts] = NEW_N(e->arena, uint32_t, w.n + 1u);
    memcpy(e->entry[entry].wanted[parts], w.list, w.n * sizeof *w.list);
    e->entry[entry].wants[parts] = w.n;
}

void exec_build_units(Exec *e)
{
    size_t n = 1;
    for (uint32_t i = 0; i < e->plan->programs; i++)
        n += (size_t)e->plan->program[i].n;
    for (uint32_t i = 0; i < e->plan->stages; i++)
        n += exec_elements(e, e->plan->stage[i].buffer);
    e->unit = NEW_N(e->arena, Unit, n);
    for (uint32_t i = 0; i < e->plan->programs; i++)
        program_units(e, i);
    for (uint32_t i = 0; i < e->plan->stages; i++)
        stage_units(e, i);
    Arena *scratch = arena_new();
    for (uint32_t i = 0; i < e->plan->entries; i++)
        for (unsigned parts = 1; parts < EXEC_PARTS; parts++, arena_reset(scratch))
            list_wanted(e, scratch, i, parts);
    arena_free(scratch);
    exec_build_renewal(e);
}

/* ---- what is stale ---- */

typedef struct {
    Exec     *e;
    uint64_t *hash;
} Hashing;

static void hash_one(void *with, uint32_t id)
{
    Hashing *h = with;
    h->hash[id] = hash_u64(h->e->param[id].value, h->e->param[id].numel * sizeof(float));
}

/* Changes that nobody told us of. */
static void look_for_changes(Exec *e)
{
    uint64_t *hash = xcalloc(e->plan->param_count + 1u, sizeof *hash);
    Hashing   h = {e, hash};
    pool_for(e->pool, e->plan->param_count, hash_one, &h);
    for (uint32_t id = 0; id < e->plan->param_count; id++) {
        ParamState *s = &e->param_state[id];
        if (!s->hashed || s->hash != hash[id])
            s->changed = ++e->time;
        s->hash = hash[id];
        s->hashed = true;
    }
    free(hash);
}

bool exec_unit_stale(const Exec *e, const Unit *u)
{
    if (!u->made)
        return true;
    for (uint32_t i = 0; i < u->params; i++)
        if (e->param_state[u->param[i]].changed > u->made)
            return true;
    return false;
}

bool exec_reloads(const Exec *e)
{
    return e->reload == EXEC_RELOAD_TRY || e->reload == EXEC_RELOAD_WORKS;
}

/* Has the unit at `at` of a list of wanted ones a bank that none before it has? */
static bool opens_bank(const Exec *e, const uint32_t *wanted, uint32_t at)
{
    const Unit *u = &e->unit[wanted[at]];
    for (uint32_t i = 0; u->stage == UINT32_MAX && i < at; i++)
        if (e->unit[wanted[i]].bank == u->bank)
            return false;
    return u->stage == UINT32_MAX;
}

uint32_t exec_bake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    const ExecEntry *x = &e->entry[entry];
    uint32_t         n = 0;
    bool             any = false;
    exec_form_banks(e, entry, parts);
    for (uint32_t i = 0; i < e->banks; i++)
        any = any || e->bank[i].compiled;
    if (any) /* otherwise everything has to be made */
        look_for_changes(e);
    for (uint32_t i = 0; i < x->wants[parts]; i++)
        if (opens_bank(e, x->wanted[parts], i)) {
            const ExecBank *b = &e->bank[e->unit[x->wanted[parts][i]].bank];
            n += exec_reloads(e) ? !b->compiled : exec_bank_stale(e, b);
        }
    return n ? n + exec_canary_cost(e) : 0;
}

static bool is_trained(const Exec *e, const ExecBank *b)
{
    for (uint32_t i = 0; i < b->units; i++)
        for (uint32_t p = 0; p < e->unit[b->unit[i]].params; p++)
            if (!e->param[e->unit[b->unit[i]].param[p]].group->frozen)
                return true;
    return false;
}

uint32_t exec_rebake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    const ExecEntry *x = &e->entry[entry];
    uint32_t         n = 0;
    exec_form_banks(e, entry, parts);
    for (uint32_t i = 0; i < x->wants[parts] && !exec_reloads(e); i++)
        n += opens_bank(e, x->wanted[parts], i) && is_trained(e, &e->bank[e->unit[x->wanted[parts][i]].bank]);
    return n && e->plan->weights != PLAN_DYNAMIC ? n + e->options.canary : n;
}

/* ---- making a unit ---- */

bool exec_unit_begin(Exec *e, Unit *u, Buf *err)
{
    if (u->stage != UINT32_MAX) {
        u->at = surface_lock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
        return true;
    }
    if (u->at)
        return true;
    u->files = slab_new(u->bytes + BLOB_ALIGN);
    u->file = NEW_N(e->arena, DeviceFile, u->weights + 1u);
    if (!u->files.data) {
        buf_printf(err, "no memory for the weights of %s: %.1f MiB", u->name, (double)u->bytes / 1048576);
        return false;
    }
    e->bytes += u->bytes;
    const PlanProgram *g = &e->plan->program[u->program];
    for (uint32_t i = 0; i < u->weights; i++) {
        Buf head = {0};
        blob_begin(&head);
        blob_reserve(&head, BLOB_F16, u->weight[i].numel * 2);
        char *at = (char *)u->files.data + u->weight[i].to * 2 - head.len;
        memcpy(at, head.data, head.len);
        u->file[i] = (DeviceFile){.path = arena_printf(e->arena, "@model_path/%s", g->weight[i].path),
                                  .data = at,
                                  .len = head.len + u->weight[i].numel * 2,
                                  .kept = true};
        buf_free(&head);
    }
    u->at = u->files.data;
    return true;
}

void exec_stage_end(Exec *e, Unit *u)
{
    surface_unlock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
    for (uint32_t i = 0; i < u->weights; i++)
        e->counters.staged += u->weight[i].numel * 2;
}

void exec_unit_drop(Exec *e, Unit *u)
{
    if (u->stage != UINT32_MAX)
        surface_unlock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
}

bool exec_bake(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    ExecClass before = exec_switch(e, EXEC_BAKE);
    exec_settle(e);
    look_for_changes(e);
    bool ok = exec_renew(e, entry, parts, NULL, err);
    exec_switch(e, before);
    return ok;
}

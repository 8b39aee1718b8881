/* exec_bake.c: parameters into weights of programs: what has to be made, and the device's part of it.
 *
 * A unit is what is made anew together: the weight files of a program's instance, which is then compiled (or, in plans
 * that say `weights reload`, on devices that can, given the new files), or the weights in an element of a staged
 * surface. Its memory is taken once. Every parameter has the time of its last change, every unit that of its making, so
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
        *u = (Unit){.program = index, .stage = UINT32_MAX, .k = (uint32_t)k, .weight = w, .weights = g->weights,
                    .bytes = at};
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
        *u = (Unit){.program = UINT32_MAX, .stage = index, .k = k, .weight = w, .weights = s->weights};
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
    if (!u->made || (u->stage == UINT32_MAX && !u->compiled))
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

uint32_t exec_bake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    const ExecEntry *x = &e->entry[entry];
    uint32_t         n = 0;
    bool             any = false;
    for (uint32_t i = 0; i < x->wants[parts]; i++)
        any = any || e->unit[x->wanted[parts][i]].compiled;
    if (any) /* otherwise everything has to be made */
        look_for_changes(e);
    for (uint32_t i = 0; i < x->wants[parts]; i++) {
        const Unit *u = &e->unit[x->wanted[parts][i]];
        n += u->stage == UINT32_MAX && (exec_reloads(e) ? !u->compiled : exec_unit_stale(e, u));
    }
    return n ? n + exec_canary_cost(e) : 0;
}

uint32_t exec_rebake_cost(const Exec *e, uint32_t entry, unsigned parts)
{
    const ExecEntry *x = &e->entry[entry];
    uint32_t         n = 0;
    for (uint32_t i = 0; i < x->wants[parts] && !exec_reloads(e); i++) {
        const Unit *u = &e->unit[x->wanted[parts][i]];
        bool        trained = false;
        for (uint32_t p = 0; p < u->params; p++)
            trained = trained || !e->param[u->param[p]].group->frozen;
        n += u->stage == UINT32_MAX && trained;
    }
    return n && e->plan->weights != PLAN_DYNAMIC ? n + e->options.canary : n;
}

/* ---- requests ---- */

static void drop_requests(Exec *e, ExecStep *s, void *with)
{
    const Unit *u = with;
    (void)e;
    for (uint32_t it = 0; it < s->iterations; it++)
        if (s->step->program == u->program && s->instance[it] == u->k && s->request[it]) {
            request_free(s->request[it]);
            s->request[it] = NULL;
        }
}

static void drop_program(Exec *e, Unit *u)
{
    if (!u->compiled)
        return;
    for (uint32_t i = 0; i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, drop_requests, u);
    program_free(u->compiled);
    u->compiled = NULL;
}

void exec_free_programs(Exec *e)
{
    for (uint32_t i = 0; i < e->units; i++) {
        drop_program(e, &e->unit[i]);
        slab_free(&e->unit[i].files);
    }
}

typedef struct {
    const Unit *u;
    bool        ok;
    Buf        *err;
} Binding;

static void make_requests(Exec *e, ExecStep *s, void *with)
{
    Binding *b = with;
    (void)e;
    for (uint32_t it = 0; b->ok && it < s->iterations; it++) {
        Surface **in = s->surface + (size_t)it * (s->step->ins + s->step->outs), **out = in + s->step->ins;
        if (s->step->program != b->u->program || s->instance[it] != b->u->k || s->request[it])
            continue;
        s->request[it] = request_new(b->u->compiled, 0, in, out, b->err);
        b->ok = s->request[it] != NULL;
    }
}

static bool bind(Exec *e, const Unit *u, Buf *err)
{
    Binding b = {u, true, err};
    for (uint32_t i = 0; b.ok && i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, make_requests, &b);
    return b.ok || exec_not_made(e);
}

/* ---- making a unit ---- */

bool exec_unit_begin(Exec *e, Unit *u, Buf *err)
{
    if (u->stage != UINT32_MAX) {
        u->at = surface_lock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
        return true;
    }
    if (!exec_reloads(e))
        drop_program(e, u); /* it may read the files where they are */
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

void exec_unit_drop(Exec *e, Unit *u)
{
    if (u->stage != UINT32_MAX)
        surface_unlock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
}

/* The MIL text and the plan speak of the same ports. */
static bool check_ports(const Exec *e, const PlanProgram *g, const Program *p, Buf *err)
{
    const ProgramFunction *f = program_functions(p) ? program_function(p, 0) : NULL;
    PortType               type = e->wide ? PORT_F64 : PORT_F16;
    if (!f || f->inputs != g->ins || f->outputs != g->outs) {
        buf_printf(err, "program '%s': the MIL text has other inputs and outputs than the plan says", g->name);
        return false;
    }
    for (uint32_t i = 0; i < g->ins + g->outs; i++) {
        const PlanPort *want_port = i < g->ins ? &g->in[i] : &g->out[i - g->ins];
        const Port     *port = i < g->ins ? &f->input[i] : &f->output[i - g->ins];
        size_t          bytes = (size_t)plan_numel(want_port->shape) * port_elem_bytes(type);
        if (strcmp(port->name, want_port->name) != 0 || port->type != type || port->bytes != bytes) {
            buf_printf(err,
                       "program '%s': port '%s' of the MIL text (%s, %zu bytes) is '%s' in the plan (%s, %zu bytes)",
                       g->name, port->name, port_type_name(port->type), port->bytes, want_port->name,
                       port_type_name(type), bytes);
            return false;
        }
    }
    return true;
}

bool exec_not_made(Exec *e)
{
    e->trouble = device_refusal(e->device) == REFUSED_LIMIT ? EXEC_LIMIT : EXEC_NOT_MADE;
    return false;
}

bool exec_unit_end(Exec *e, Unit *u, Buf *err)
{
    if (u->stage != UINT32_MAX) {
        surface_unlock(e->buffer[e->plan->stage[u->stage].buffer].surface[u->k], true);
        for (uint32_t i = 0; i < u->weights; i++)
            e->counters.staged += u->weight[i].numel * 2;
        return true;
    }
    const PlanProgram *g = &e->plan->program[u->program];
    const ExecProgram *x = &e->program[u->program];
    bool               again = u->compiled != NULL;
    Program           *p = again ? program_reload(u->compiled, u->name, u->file, g->weights, err)
                                 : program_compile(e->device, u->name, x->mil, x->mil_len, u->file, g->weights, err);
    bool               ok = p && (again || check_ports(e, g, p, err));
    drop_program(e, u);
    if (!ok) {
        program_free(p);
        return exec_not_made(e);
    }
    u->compiled = p;
    e->counters.compiles += !again;
    e->counters.reloads += again;
    u->unbound = !exec_surfaces_fit(e, u);
    return u->unbound || bind(e, u, err);
}

bool exec_bind_units(Exec *e, Buf *err)
{
    bool any = false, ok = true;
    for (uint32_t i = 0; ok && i < e->units; i++)
        if (e->unit[i].unbound) {
            any = true;
            ok = exec_surfaces_grow(e, &e->unit[i], err);
            e->unit[i].unbound = !ok;
        }
    for (uint32_t i = 0; any && ok && i < e->units; i++) /* those included that lost their requests */
        ok = !e->unit[i].compiled || bind(e, &e->unit[i], err);
    return ok || exec_not_made(e);
}

bool exec_recompile(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    exec_settle(e);
    for (uint32_t i = 0; i < e->units; i++)
        if (e->unit[i].compiled) {
            drop_program(e, &e->unit[i]);
            e->unit[i].made = 0;
        }
    for (uint32_t i = 0; e->watch && i < e->plan->programs; i++)
        watch_reset(&e->watch[i]);
    e->slow = UINT32_MAX;
    return exec_bake(e, entry, parts, err);
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

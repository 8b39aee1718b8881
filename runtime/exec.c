/* exec.c: the executor's memory, and what its callers can see of it; see exec.h.
 *
 * The plan knows every size, so all memory is taken at once: a slab of parameters, a slab of gradients, one of
 * everything else on the CPU, and the surfaces. Afterwards nothing is allocated but what baking needs, and a training
 * run cannot run out of memory in its ninth hour. */
#include "exec_internal.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static size_t up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t numel(PlanShape s)
{
    return (size_t)plan_numel(s);
}

static size_t floats_of(const Plan *p, bool frozen)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->params; i++)
        if (frozen || !p->param[i].frozen)
            n += up(numel(p->param[i].shape) * sizeof(float)) / sizeof(float) * (size_t)p->param[i].n;
    return n;
}

size_t exec_floats(const Plan *p)
{
    return floats_of(p, true);
}

size_t exec_grad_floats(const Plan *p)
{
    return floats_of(p, false);
}

static void *slab(Exec *e, int which, size_t bytes, const char *what, Buf *err)
{
    e->owned[which] = slab_new(bytes);
    if (!e->owned[which].data)
        buf_printf(err, "no memory for %s: %.1f MiB", what, (double)bytes / 1048576);
    return e->owned[which].data;
}

/* ---- layout ---- */

static void make_params(Exec *e)
{
    const Plan *p = e->plan;
    size_t      at = 0, grad = 0;
    e->param = NEW_N(e->arena, ExecParam, p->param_count + 1u);
    for (uint32_t i = 0; i < p->params; i++)
        for (int32_t k = 0; k < p->param[i].n; k++) {
            const PlanParam *g = &p->param[i];
            size_t           n = numel(g->shape);
            e->param[g->id + (uint32_t)k] = (ExecParam){plan_path(e->arena, g->pattern, g->first + k), g,
                                                        g->first + k, n,
                                                        e->param_slab + at, g->frozen ? NULL : e->grad_slab + grad};
            at += up(n * sizeof(float)) / sizeof(float);
            grad += g->frozen ? 0 : up(n * sizeof(float)) / sizeof(float);
        }
}

/* Give the next `bytes` of a slab; with base NULL only count them. */
static void *carve(char *base, size_t *at, size_t bytes)
{
    void *p = base ? base + *at : NULL;
    *at += up(bytes);
    return p;
}

/* Everything but parameters and gradients. Called twice: to count, and to hand out. */
static size_t lay_out(Exec *e, char *base)
{
    const Plan *p = e->plan;
    size_t      at = 0;
    for (uint32_t i = 0; i < p->states; i++)
        for (int32_t k = 0; k < p->state[i].n; k++)
            e->state[p->state[i].id + (uint32_t)k].value = carve(base, &at, numel(p->state[i].shape) * 4);
    for (uint32_t i = 0; i < p->tables; i++)
        e->table[i] = carve(base, &at, numel(p->table[i].shape) * 4);
    for (uint32_t i = 0; i < p->buffers; i++) {
        size_t n = e->buffer[i].numel * (size_t)(p->buffer[i].stack ? p->buffer[i].stack : 1);
        if (p->buffer[i].kind != BUF_SURFACE)
            e->buffer[i].data = carve(base, &at, n * store_bytes[e->buffer[i].store]);
    }
    e->scratch = carve(base, &at, exec_scratch(p) * sizeof(float));
    return at;
}

static Store store_of(const Exec *e, const PlanBuffer *b)
{
    if (b->kind == BUF_SURFACE)
        return e->wide ? STORE_F64 : STORE_F16;
    if (b->type == PLAN_I32)
        return STORE_I32;
    return b->type == PLAN_F16 && !e->wide ? STORE_F16 : STORE_F32;
}

static bool make_surfaces(Exec *e, Buf *err)
{
    for (uint32_t i = 0; i < e->plan->buffers; i++) {
        const PlanBuffer *b = &e->plan->buffer[i];
        uint32_t          n = b->stack ? (uint32_t)b->stack : 1;
        if (b->kind != BUF_SURFACE)
            continue;
        e->buffer[i].surface = NEW_N(e->arena, Surface *, n);
        for (uint32_t k = 0; k < n; k++) {
            e->buffer[i].surface[k] = surface_new(e->device, e->buffer[i].numel * store_bytes[e->buffer[i].store], err);
            if (!e->buffer[i].surface[k])
                return false;
            e->bytes += surface_bytes(e->buffer[i].surface[k]);
        }
    }
    return true;
}

static bool make_memory(Exec *e, const ExecOptions *o, Buf *err)
{
    const Plan *p = e->plan;
    e->floats = exec_floats(p);
    e->param_slab = o->param ? o->param : slab(e, 0, e->floats * sizeof(float), "the parameters", err);
    e->grad_slab = o->grad ? o->grad : slab(e, 1, exec_grad_floats(p) * sizeof(float), "the gradients", err);
    if (!e->param_slab || !e->grad_slab)
        return false;
    make_params(e);
    e->state = NEW_N(e->arena, ExecState, p->state_count + 1u);
    for (uint32_t i = 0; i < p->states; i++)
        for (int32_t k = 0; k < p->state[i].n; k++) {
            const PlanState *g = &p->state[i];
            e->state[g->id + (uint32_t)k] =
                (ExecState){plan_path(e->arena, g->pattern, g->first + k), g, g->first + k, numel(g->shape), NULL};
        }
    e->table = NEW_N(e->arena, void *, p->tables + 1u);
    e->buffer = NEW_N(e->arena, ExecBuffer, p->buffers + 1u);
    for (uint32_t i = 0; i < p->buffers; i++)
        e->buffer[i] = (ExecBuffer){.store = store_of(e, &p->buffer[i]), .numel = numel(p->buffer[i].shape)};
    size_t bytes = lay_out(e, NULL);
    char  *base = slab(e, 2, bytes, "buffers", err);
    if (!base)
        return false;
    lay_out(e, base);
    e->bytes = bytes + (e->floats + exec_grad_floats(p)) * sizeof(float);
    return make_surfaces(e, err);
}

/* ---- life ---- */

Exec *exec_open(const Plan *p, const char *plan_dir, Device *d, const ExecOptions *options, Buf *err)
{
    static const ExecOptions defaults = {0};
    const ExecOptions       *o = options ? options : &defaults;
    Exec                    *e = xcalloc(1, sizeof *e);
    e->plan = p;
    e->device = d;
    e->arena = arena_new();
    e->wide = o->wide_ports;
    e->pool = o->pool;
    e->class = EXEC_CLASSES;
    e->options = *o;
    e->reload = p->weights == PLAN_RELOAD && device_reloads(d) && o->reload != EXEC_RELOAD_STALE ? o->reload
                                                                                                : EXEC_RELOAD_NONE;
    if (!make_memory(e, o, err) || !exec_read_files(e, plan_dir, err)) {
        exec_close(e);
        return NULL;
    }
    e->param_state = NEW_N(e->arena, ParamState, p->param_count + 1u);
    exec_build_entries(e);
    exec_build_tasks(e);
    exec_build_units(e);
    exec_reset_states(e, 0);
    return e;
}

void exec_close(Exec *e)
{
    if (!e)
        return;
    exec_settle(e);
    exec_canary_free(e);
    exec_free_programs(e);
    for (uint32_t i = 0; e->buffer && i < e->plan->buffers; i++)
        for (int32_t k = 0; e->buffer[i].surface && k < (e->plan->buffer[i].stack ? e->plan->buffer[i].stack : 1); k++)
            if (e->buffer[i].surface[k])
                surface_free(e->buffer[i].surface[k]);
    for (size_t i = 0; i < COUNT(e->owned); i++)
        slab_free(&e->owned[i]);
    exec_free_renewal(e);
    exec_free_tasks(e);
    arena_free(e->arena);
    free(e);
}

/* ---- values ---- */

uint32_t exec_params(const Exec *e)
{
    return e->plan->param_count;
}

const ExecParam *exec_param(const Exec *e, uint32_t id)
{
    return &e->param[id];
}

const ExecState *exec_state(const Exec *e, uint32_t id)
{
    return &e->state[id];
}

static double initial(PlanInit init, uint64_t key, size_t i)
{
    switch (init.kind) {
    case PINIT_ONES: return 1;
    case PINIT_VALUE: return init.a;
    case PINIT_NORMAL: return init.a * rng_normal(key, i);
    case PINIT_UNIFORM: return init.a + (init.b - init.a) * rng_uniform(key, i);
    default: return 0;
    }
}

typedef struct {
    const ExecParam *param;
    uint64_t         key;
} Initial;

static void init_piece(void *with, uint32_t i)
{
    const Initial *x = with;
    size_t         from = (size_t)i * EXEC_PIECE, end = from + EXEC_PIECE;
    for (size_t k = from; k < end && k < x->param->numel; k++)
        x->param->value[k] = (float)initial(x->param->group->init, x->key, k);
}

void exec_init_param(Exec *e, uint32_t id, uint64_t seed)
{
    const ExecParam *q = &e->param[id];
    Initial          x = {q, rng_key(seed, q->path)};
    pool_for(e->pool, (uint32_t)((q->numel + EXEC_PIECE - 1) / EXEC_PIECE), init_piece, &x);
}

void exec_init_params(Exec *e, uint64_t seed)
{
    for (uint32_t id = 0; id < e->plan->param_count; id++)
        exec_init_param(e, id, seed);
}

void exec_reset_states(Exec *e, uint64_t seed)
{
    for (uint32_t id = 0; id < e->plan->state_count; id++) {
        const ExecState *s = &e->state[id];
        uint64_t         key = rng_key(seed, s->path);
        for (size_t i = 0; i < s->numel; i++) {
            double v = initial(s->group->init, key, i);
            if (s->group->type == PLAN_I32)
                convert_fill(v, (int32_t *)s->value + i, STORE_I32, 1, &(ConvertCount){0});
            else
                ((float *)s->value)[i] = (float)v;
        }
    }
}

uint32_t exec_elements(const Exec *e, uint32_t buffer)
{
    int32_t n = e->plan->buffer[buffer].stack;
    return n ? (uint32_t)n : 1;
}

uint32_t exec_entry(const Exec *e, const char *name)
{
    for (uint32_t i = 0; i < e->plan->entries; i++)
        if (strcmp(e->plan->entry[i].name, name) == 0)
            return i;
    return EXEC_NO_ENTRY;
}

void *exec_input(Exec *e, uint32_t entry, uint32_t k)
{
    return e->buffer[e->plan->entry[entry].input[k].buffer].data;
}

const void *exec_result(const Exec *e, uint32_t entry, uint32_t k)
{
    return e->buffer[e->plan->entry[entry].result[k].buffer].data;
}

uint64_t exec_compiles_left(const Exec *e)
{
    return device_compiles_left(e->device);
}

ExecReload exec_reload(const Exec *e)
{
    return e->reload;
}

ExecTrouble exec_trouble(const Exec *e)
{
    return e->trouble;
}

size_t exec_bytes(const Exec *e)
{
    return e->bytes;
}

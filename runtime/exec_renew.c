/* exec_renew.c: the end of a step: update parameters, make the weights of programs from them, compile.
 *
 * All of it is pieces of work of fixed size with three rules: a unit's pieces (exec_bake.c) come after the updates of
 * the parameters it reads; the compilation of a bank (exec_bank.c) comes after the pieces of all its units;
 * compilations are the caller's and happen in the order in which programs will run. Every thread takes what is ready, pieces of units before updates, so that
 * parameters are converted while they are in the cache and the device's queue has work early. What a piece computes
 * depends on its place alone. */
#include "exec_internal.h"

#include <pthread.h>
#include <string.h>

enum { PIECE = 1 << 16 }; /* elements: some tens of microseconds */

typedef struct {
    uint32_t weight, part, item; /* the next piece */
} Cursor;

struct Renewal {
    Exec              *e;
    pthread_mutex_t    lock;
    pthread_cond_t     wake;
    pthread_mutex_t    slowly; /* for recipes that are computed step by step: one at a time has their memory */
    Workspace          space;
    const ExecTrainer *trainer;
    uint32_t          *unit; /* wanted, in the order of need, those of a bank together */
    uint32_t           units;
    bool              *listed; /* [units] in `unit` */
    uint32_t          *ready, ready_head, ready_tail; /* units whose pieces can be made; each at most once */
    Cursor             at;     /* in the unit at the head of `ready` */
    uint32_t          *order, params, next; /* to be updated; next: index in `order` */
    size_t             from;   /* first element of `next` that nobody has taken */
    uint32_t           left;   /* parameters and units that are not done */
    bool              *queued; /* [parameters] in `order` already */
    uint32_t         **reader, *readers; /* [parameters] units */
    PoolTask          *helper;
};

void exec_build_renewal(Exec *e)
{
    Renewal *r = NEW(e->arena, Renewal);
    uint32_t n = e->plan->param_count, threads = pool_threads(e->pool);
    r->e = e;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->slowly, NULL);
    pthread_cond_init(&r->wake, NULL);
    r->unit = NEW_N(e->arena, uint32_t, e->units + 1u);
    r->listed = NEW_N(e->arena, bool, e->units + 1u);
    r->ready = NEW_N(e->arena, uint32_t, e->units + 1u);
    r->order = NEW_N(e->arena, uint32_t, n + 1u);
    r->queued = NEW_N(e->arena, bool, n + 1u);
    r->readers = NEW_N(e->arena, uint32_t, n + 1u);
    r->reader = NEW_N(e->arena, uint32_t *, n + 1u);
    r->helper = NEW_N(e->arena, PoolTask, threads);
    for (uint32_t u = 0; u < e->units; u++)
        for (uint32_t i = 0; i < e->unit[u].params; i++)
            r->readers[e->unit[u].param[i]]++;
    for (uint32_t id = 0; id < n; id++) {
        r->reader[id] = NEW_N(e->arena, uint32_t, r->readers[id] + 1u);
        r->readers[id] = 0;
    }
    for (uint32_t u = 0; u < e->units; u++)
        for (uint32_t i = 0; i < e->unit[u].params; i++) {
            uint32_t id = e->unit[u].param[i];
            r->reader[id][r->readers[id]++] = u;
        }
    e->renewal = r;
}

void exec_free_renewal(Exec *e)
{
    if (!e->renewal)
        return;
    pthread_mutex_destroy(&e->renewal->lock);
    pthread_mutex_destroy(&e->renewal->slowly);
    pthread_cond_destroy(&e->renewal->wake);
    exec_workspace_free(&e->renewal->space);
}

/* ---- pieces; the lock is held on entry and exit, and given up for the work ---- */

static void unit_done(Renewal *r, Unit *u)
{
    u->baked = true;
    r->left--;
    pthread_cond_broadcast(&r->wake);
}

/* Does this weight have to be made? Those without parameters are made once. */
static bool needed(const Unit *u, const BakeWeight *w)
{
    return w->has_param || !u->made;
}

static uint32_t pieces(const RecipePart *p, uint32_t *items)
{
    *items = p->size >= PIECE ? 1 : (uint32_t)(PIECE / p->size);
    return (p->items + *items - 1) / *items;
}

static uint32_t count_pieces(const Unit *u)
{
    uint32_t n = 0, items;
    for (uint32_t w = 0; w < u->weights; w++)
        for (uint32_t p = 0; needed(u, &u->weight[w]) && p < (u->weight[w].part ? u->weight[w].parts : 1); p++)
            n += u->weight[w].part ? pieces(&u->weight[w].part[p], &items) : 1;
    return n;
}

static void unit_ready(Renewal *r, uint32_t index)
{
    Unit *u = &r->e->unit[index];
    u->left = count_pieces(u);
    if (u->left == 0) {
        unit_done(r, u);
        return;
    }
    r->ready[r->ready_tail++] = index;
    pthread_cond_broadcast(&r->wake);
}

static const float *leaf(const void *with, const Recipe *l, uint32_t k)
{
    const Exec *e = with;
    return l->kind == RECIPE_PARAM ? e->param[l->param[k]].value : e->table[l->table];
}

/* A recipe that has no parts, or does not go to fp16. */
static void make_slowly(Renewal *r, const Unit *u, const BakeWeight *w, ConvertCount *count)
{
    const Exec *e = r->e;
    pthread_mutex_lock(&r->slowly);
    const uint16_t *half = exec_recipe_value(r->e, &r->space, w->recipe, u->k, count);
    Store  store = u->stage == UINT32_MAX ? STORE_F16 : e->buffer[e->plan->stage[u->stage].buffer].store;
    size_t columns = w->columns == w->stride ? w->numel : w->columns, rows = w->numel / columns;
    for (size_t i = 0; i < rows; i++)
        convert(half + i * columns, STORE_F16, u->at + (w->to + i * w->stride) * store_bytes[store], store, columns,
                &(ConvertCount){0});
    pthread_mutex_unlock(&r->slowly);
}

static void make_piece(Renewal *r)
{
    Exec             *e = r->e;
    Unit             *u = &e->unit[r->ready[r->ready_head]];
    Cursor            c = r->at;
    const BakeWeight *w;
    uint32_t          items = 1;
    ConvertCount      count = {0};
    while (!needed(u, &u->weight[c.weight]))
        c.weight++;
    w = &u->weight[c.weight];
    r->at = c;
    if (w->part) {
        (void)pieces(&w->part[c.part], &items);
        if ((r->at.item += items) >= w->part[c.part].items) {
            r->at.item = 0;
            r->at.part++;
        }
    }
    if (!w->part || r->at.part == w->parts) {
        r->at = (Cursor){c.weight + 1, 0, 0};
        while (r->at.weight < u->weights && !needed(u, &u->weight[r->at.weight]))
            r->at.weight++;
        if (r->at.weight == u->weights) {
            r->ready_head++;
            r->at = (Cursor){0, 0, 0};
        }
    }
    pthread_mutex_unlock(&r->lock);
    ExecSpan span = exec_span(e, EXEC_BAKE);
    if (!w->part)
        make_slowly(r, u, w, &count);
    for (uint32_t i = 0; w->part && i < items && c.item + i < w->part[c.part].items; i++)
        recipe_part_run(&w->part[c.part], leaf, e, u->k, c.item + i, (uint16_t *)u->at + w->to, &count);
    convert_published();
    exec_span_end(e, &span, u->name, -1);
    pthread_mutex_lock(&r->lock);
    if (w->has_param)
        e->counters.saturated_weights += count.clamped;
    if (c.part == 0 && c.item == 0)
        e->counters.baked += w->numel * (sizeof(float) + sizeof(uint16_t));
    if (--u->left == 0)
        unit_done(r, u);
}

static void update_piece(Renewal *r)
{
    Exec       *e = r->e;
    uint32_t    id = r->order[r->next];
    ParamState *s = &e->param_state[id];
    size_t      n = e->param[id].numel, from = r->from, m = n - from < EXEC_PIECE ? n - from : EXEC_PIECE;
    r->from += m;
    if (r->from == n) {
        r->next++;
        r->from = 0;
    }
    pthread_mutex_unlock(&r->lock);
    ExecSpan span = exec_span(e, EXEC_OPTIMIZER);
    r->trainer->update(r->trainer->with, id, from, m);
    exec_span_end(e, &span, e->param[id].path, -1);
    pthread_mutex_lock(&r->lock);
    if ((s->left -= m) > 0)
        return;
    s->changed = ++e->time;
    s->hashed = false;
    r->left--;
    for (uint32_t i = 0; i < r->readers[id]; i++) {
        Unit *u = &e->unit[r->reader[id][i]];
        if (u->making && --u->missing == 0)
            unit_ready(r, r->reader[id][i]);
    }
    pthread_cond_broadcast(&r->wake);
}

static bool work(Renewal *r)
{
    if (r->ready_head < r->ready_tail)
        make_piece(r);
    else if (r->next < r->params)
        update_piece(r);
    else
        return false;
    return true;
}

static void help(void *with, uint32_t index)
{
    Renewal *r = with;
    (void)index;
    pthread_mutex_lock(&r->lock);
    while (r->left)
        if (!work(r) && r->left)
            pthread_cond_wait(&r->wake, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

/* ---- the whole ---- */

static void want_update(Renewal *r, uint32_t id)
{
    if (r->queued[id] || r->e->param[id].group->frozen)
        return;
    r->queued[id] = true;
    r->order[r->params++] = id;
    r->e->param_state[id].left = r->e->param[id].numel;
}

/* What parts of an entry want, and with every unit the others of its bank. */
static void list_units(Renewal *r, uint32_t entry, unsigned parts)
{
    Exec            *e = r->e;
    const ExecEntry *x = &e->entry[entry];
    r->units = 0;
    memset(r->listed, 0, e->units * sizeof *r->listed);
    for (uint32_t i = 0; i < x->wants[parts]; i++) {
        uint32_t        one = x->wanted[parts][i];
        const ExecBank *b = e->unit[one].bank == UINT32_MAX ? NULL : &e->bank[e->unit[one].bank];
        for (uint32_t k = 0; !r->listed[one] && k < (b ? b->units : 1); k++)
            r->unit[r->units++] = b ? b->unit[k] : one;
        for (uint32_t k = 0; b && k < b->units; k++)
            r->listed[b->unit[k]] = true;
        r->listed[one] = true;
    }
}

/* The unit behind the last of the bank of unit `at` of the list. */
static uint32_t behind(const Renewal *r, uint32_t at)
{
    const Exec *e = r->e;
    uint32_t    bank = e->unit[r->unit[at]].bank;
    return at + (bank == UINT32_MAX ? 1 : e->bank[bank].units);
}

/* What is out of date, or will be after the updates. */
static void mark(Renewal *r)
{
    Exec *e = r->e;
    for (uint32_t i = 0; i < r->units; i++) {
        Unit *u = &e->unit[r->unit[i]];
        u->missing = 0;
        u->baked = false;
        for (uint32_t p = 0; r->trainer && p < u->params; p++) {
            u->missing += !e->param[u->param[p]].group->frozen;
            want_update(r, u->param[p]);
        }
        u->making = u->missing || exec_unit_stale(e, u);
    }
    for (uint32_t i = 0; i < r->units; i = behind(r, i)) {
        const Unit *u = &e->unit[r->unit[i]];
        ExecBank   *b = u->bank == UINT32_MAX ? NULL : &e->bank[u->bank];
        if (!b)
            continue;
        b->making = !b->compiled;
        for (uint32_t k = 0; k < b->units; k++)
            b->making = b->making || e->unit[b->unit[k]].making;
        e->counters.reused += b->making ? 0 : b->units;
    }
    for (uint32_t id = 0; r->trainer && id < e->plan->param_count; id++) /* in no program */
        want_update(r, id);
}

/* Fill the queues. False if there is no memory. */
static bool prepare(Renewal *r, Buf *err)
{
    Exec *e = r->e;
    memset(r->queued, 0, e->plan->param_count * sizeof *r->queued);
    r->ready_head = r->ready_tail = r->params = r->next = r->left = 0;
    r->from = 0;
    r->at = (Cursor){0, 0, 0};
    mark(r);
    r->left = r->params;
    for (uint32_t i = 0; i < r->units; i++) {
        Unit *u = &e->unit[r->unit[i]];
        if (u->function == 0 && u->bank != UINT32_MAX && e->bank[u->bank].making)
            exec_bank_begin(e, &e->bank[u->bank]);
        if (u->making && !exec_unit_begin(e, u, err)) {
            for (uint32_t k = 0; k < r->units; k++) { /* updates happen all the same */
                if (k < i && e->unit[r->unit[k]].making)
                    exec_unit_drop(e, &e->unit[r->unit[k]]);
                e->unit[r->unit[k]].making = false;
                if (e->unit[r->unit[k]].bank != UINT32_MAX)
                    e->bank[e->unit[r->unit[k]].bank].making = false;
            }
            r->left = r->params;
            return false;
        }
        r->left += u->making;
    }
    for (uint32_t i = 0; i < r->units; i++)
        if (e->unit[r->unit[i]].making && e->unit[r->unit[i]].missing == 0)
            unit_ready(r, r->unit[i]);
    return true;
}

/* Are the weights of units from .. end - 1 of the list complete? */
static bool all_baked(const Renewal *r, uint32_t from, uint32_t end)
{
    for (uint32_t i = from; i < end; i++)
        if (r->e->unit[r->unit[i]].making && !r->e->unit[r->unit[i]].baked)
            return false;
    return true;
}

/* Hand them to the device: a stage, or the units of a bank. The lock is given up meanwhile. */
static bool hand_over(Renewal *r, uint32_t from, uint32_t end, bool ok, Buf *err)
{
    Exec    *e = r->e;
    Unit    *u = &e->unit[r->unit[from]];
    bool     stage = u->bank == UINT32_MAX;
    uint64_t time = e->time;
    if (stage ? !u->making : !e->bank[u->bank].making)
        return ok;
    pthread_mutex_unlock(&r->lock);
    ExecSpan span = exec_span(e, EXEC_COMPILE);
    if (stage && ok)
        exec_stage_end(e, u);
    else if (stage)
        exec_unit_drop(e, u);
    else
        ok = ok && exec_bank_end(e, &e->bank[u->bank], err);
    exec_span_end(e, &span, stage ? u->name : e->bank[u->bank].name, -1);
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = from; i < end; i++) {
        Unit *made = &e->unit[r->unit[i]];
        if (made->making)
            made->made = ok ? time : 0;
        made->making = false;
    }
    if (!stage)
        e->bank[u->bank].making = false;
    return ok;
}

/* The caller's part: compile what is ready in the order of need, otherwise help. */
static bool conduct(Renewal *r, bool ok, Buf *err)
{
    Exec    *e = r->e;
    uint32_t next = 0;
    pthread_mutex_lock(&r->lock);
    while (r->left || next < r->units) {
        uint32_t end = next < r->units ? behind(r, next) : next;
        if (end > next && all_baked(r, next, end)) {
            ok = hand_over(r, next, end, ok, err);
            next = end;
        } else if (!work(r)) {
            ExecClass before = exec_switch(e, EXEC_WAITING);
            pthread_cond_wait(&r->wake, &r->lock);
            exec_switch(e, before);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool exec_renew(Exec *e, uint32_t entry, unsigned parts, const ExecTrainer *t, Buf *err)
{
    Renewal *r = e->renewal;
    r->trainer = t;
    exec_form_banks(e, entry, parts);
    list_units(r, entry, parts);
    uint64_t made = e->counters.compiles + e->counters.reloads;
    bool     ok = prepare(r, err);
    size_t   size = 0;
    for (uint32_t i = 0; i < r->params; i++)
        size += e->param[r->order[i]].numel;
    for (uint32_t i = 0; i < r->units; i++)
        size += e->unit[r->unit[i]].making ? e->unit[r->unit[i]].bytes : 0;
    uint32_t helpers = pool_threads(e->pool) - 1, most = (uint32_t)(size / PIECE);
    helpers = helpers < most ? helpers : most;
    for (uint32_t i = 0; i < helpers; i++) {
        r->helper[i] = (PoolTask){.fn = help, .with = r, .index = i};
        pool_submit(e->pool, &r->helper[i]);
    }
    ok = conduct(r, ok, err);
    for (uint32_t i = 0; i < helpers; i++)
        pool_wait(e->pool, &r->helper[i]);
    ok = ok && exec_bind_banks(e, err);
    if (ok && e->counters.compiles + e->counters.reloads != made) {
        ExecSpan span = exec_span(e, EXEC_COMPILE);
        ok = exec_canary(e, err);
        exec_span_end(e, &span, "canary", -1);
    }
    return ok;
}

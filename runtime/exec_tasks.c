/* exec_tasks.c: the passes of a window: atoms in their order, on the caller's thread or beside it.
 *
 * The caller walks over the atoms of a pass. Those that programs or results need it runs itself, once the lazy ones
 * they have to wait for are done; lazy ones it hands to the pool, which starts each when all it waits for is done
 * (exec_ranges.c). So the device always has the next program as soon as its inputs are there, and weight gradients fill
 * the time between. Every sum is computed in the order of atoms, whatever runs when: results depend neither on timing
 * nor on the number of threads. Without a pool of several threads, or outside of windows of known length, everything
 * runs on the caller's thread, in order.
 *
 * The first atom of a window that adds to a gradient or accumulator overwrites it; what none has touched is cleared. */
#include "exec_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct Tasks {
    pthread_mutex_t    lock;
    const ExecTrainer *trainer;
    uint32_t           length, done; /* micro-batches of this window (0: unknown) and backward passes begun */
    uint32_t           entry;        /* the atoms outstanding belong to it */
    bool               beside;       /* atoms may run beside the caller */
    bool               window;       /* a backward pass ran since the last update */
    bool               overflowed;
    bool               last;  /* atoms issued from now on are of the last micro-batch or the update */
    uint32_t          *left;  /* [parameters] atoms until its gradient is complete */
    bool              *ready; /* [parameters] complete, and everybody was told */
    uint32_t           failed; /* the first atom that failed, UINT32_MAX: none */
    Buf                why;    /* its reason */
    Exec              *e;
};

void exec_build_tasks(Exec *e)
{
    Tasks   *t = NEW(e->arena, Tasks);
    uint32_t n = e->plan->param_count;
    pthread_mutex_init(&t->lock, NULL);
    t->left = NEW_N(e->arena, uint32_t, n + 1u);
    t->ready = NEW_N(e->arena, bool, n + 1u);
    t->failed = UINT32_MAX;
    t->e = e;
    e->tasks = t;
    e->accumulator = NEW_N(e->arena, uint32_t, e->plan->buffers + 1u);
    e->sums = n;
    for (uint32_t i = 0; i < e->plan->buffers; i++) {
        bool is = e->plan->buffer[i].kind == BUF_ACCUMULATOR;
        e->accumulator[i] = is ? e->sums : EXEC_NO_SUM;
        e->sums += is ? exec_elements(e, i) : 0;
    }
    e->touched = NEW_N(e->arena, bool, e->sums + 1u);
    for (uint32_t i = 0; i < e->plan->entries; i++)
        exec_build_atoms(e, i);
}

void exec_free_tasks(Exec *e)
{
    if (!e->tasks)
        return;
    pthread_mutex_destroy(&e->tasks->lock);
    buf_free(&e->tasks->why);
}

/* ---- gradients that are complete ---- */

typedef struct {
    const ExecTrainer *trainer;
    uint32_t           param;
    size_t             n;
} Examining;

static void examine_piece(void *with, uint32_t i)
{
    const Examining *x = with;
    size_t           from = (size_t)i * EXEC_PIECE, n = x->n - from < EXEC_PIECE ? x->n - from : EXEC_PIECE;
    x->trainer->examine(x->trainer->with, x->param, from, n);
}

static void examine(Exec *e, uint32_t param)
{
    Examining x = {e->tasks->trainer, param, e->param[param].numel};
    if (!x.trainer || !x.trainer->examine)
        return;
    ExecSpan span = exec_span(e, EXEC_OPTIMIZER);
    pool_for(e->pool, (uint32_t)((x.n + EXEC_PIECE - 1) / EXEC_PIECE), examine_piece, &x);
    exec_span_end(e, &span, e->param[param].path, -1);
}

static bool collects(const Tasks *t)
{
    return t->trainer && t->trainer->collect;
}

static void complete(Exec *e, uint32_t param)
{
    if (e->options.grad_ready)
        e->options.grad_ready(e->options.grad_ready_with, param);
    if (!collects(e->tasks))
        examine(e, param);
}

/* ---- atoms ---- */

/* What a step is, for messages. */
static void describe(const Exec *e, uint32_t entry, const ExecAtom *a, const char *why, Buf *err)
{
    const Step *s = a->x->step;
    buf_printf(err, "entry '%s', step '%s'", e->plan->entry[entry].name,
               s->kind == STEP_OP    ? s->op
               : s->kind == STEP_RUN ? e->plan->program[s->program].name
                                     : "move");
    for (uint32_t i = 0; s->kind == STEP_OP && i < s->outs + s->ins; i++) {
        const Ref *r = i < s->outs ? &s->out[i] : &s->in[i - s->outs];
        if (r->kind == REF_BUFFER)
            buf_printf(err, "%s %s", i == s->outs ? " of" : i ? "," : "", e->plan->buffer[r->index].name);
        else if (r->pattern)
            buf_printf(err, "%s %s", i == s->outs ? " of" : i ? "," : "", r->pattern);
    }
    if (a->loop)
        buf_printf(err, ", L = %" PRId32, a->loop->first + (int32_t)a->it);
    buf_printf(err, ": %s", why ? why : "failed");
}

/* Run it, and keep the books; those who wait for it may start. */
static void run_atom(Exec *e, uint32_t index)
{
    Tasks       *t = e->tasks;
    ExecEntry   *x = &e->entry[t->entry];
    ExecAtom    *a = &x->atom[index];
    ConvertCount count = {0};
    Buf          why = {0};
    ExecSpan     span = exec_span(e, a->x->row->class);
    bool         ok = exec_run_step(e, a->x, a->it, a->fresh, &count, &why), whole = false;
    double       seconds = exec_span_end(e, &span, a->x->row->name, a->loop ? a->loop->first + (int32_t)a->it : -1);
    pthread_mutex_lock(&t->lock);
    a->x->row->calls++;
    a->x->row->seconds += seconds;
    e->counters.clamped += count.clamped;
    e->counters.nonfinite += count.nonfinite;
    t->overflowed = t->overflowed || (a->pass == PASS_BACKWARD && count.clamped + count.nonfinite + count.edge);
    if (!ok && index < t->failed) { /* the first in order is told, whichever failed first */
        t->failed = index;
        buf_clear(&t->why);
        buf_puts(&t->why, why.data ? why.data : "failed");
    }
    if (a->counts && --t->left[a->sum] == 0)
        whole = t->ready[a->sum] = true;
    pthread_mutex_unlock(&t->lock);
    buf_free(&why);
    if (whole)
        complete(e, a->sum);
}

static void run_task(void *with, uint32_t index)
{
    Exec     *e = with;
    Tasks    *t = e->tasks;
    ExecAtom *atom = e->entry[t->entry].atom, *a = &atom[index];
    run_atom(e, index);
    pthread_mutex_lock(&t->lock);
    a->out = false;
    for (uint32_t i = 0; i < a->users; i++) {
        ExecDep  *d = a->user[i];
        ExecAtom *u = &atom[d->by];
        if (!d->waits)
            continue;
        d->waits = false;
        if (--u->pending == 0)
            pool_submit(e->pool, &u->task);
    }
    pthread_mutex_unlock(&t->lock);
}

static void clear_element(const ExecBuffer *b, uint32_t k)
{
    memset(b->data + k * b->numel * sizeof(float), 0, b->numel * sizeof(float));
}

static void clear_sum(Exec *e, const ExecAtom *a)
{
    const Ref *r = &a->x->step->out[0];
    if (a->grad)
        memset(e->param[a->sum].grad, 0, e->param[a->sum].numel * sizeof(float));
    else
        clear_element(&e->buffer[r->index], a->sum - e->accumulator[r->index]);
}

static void wait_for(Exec *e, ExecAtom *a)
{
    ExecClass before = exec_switch(e, EXEC_WAITING);
    pool_wait(e->pool, &a->task);
    exec_switch(e, before);
}

/* The pool forgets a task a moment after the atom is done. */
static void again(Exec *e, ExecAtom *a)
{
    if (a->task.fn)
        wait_for(e, a);
}

static bool still_out(Tasks *t, const ExecAtom *a)
{
    pthread_mutex_lock(&t->lock);
    bool out = a->out;
    pthread_mutex_unlock(&t->lock);
    return out;
}

static void issue(Exec *e, uint32_t index)
{
    Tasks    *t = e->tasks;
    ExecAtom *atom = e->entry[t->entry].atom, *a = &atom[index];
    if (a->lazy)
        again(e, a);
    a->fresh = false;
    a->counts = a->grad && t->last;
    if (a->sum != EXEC_NO_SUM && !e->touched[a->sum]) {
        e->touched[a->sum] = true;
        a->fresh = a->whole;
        if (!a->whole)
            clear_sum(e, a); /* nothing has been issued that adds to it */
    }
    if (!t->beside || !a->lazy) {
        for (uint32_t i = 0; i < a->deps; i++)
            if (still_out(t, &atom[a->dep[i].on]))
                wait_for(e, &atom[a->dep[i].on]);
        run_atom(e, index);
        return;
    }
    a->task = (PoolTask){.fn = run_task, .with = e, .index = index, .rank = index};
    pthread_mutex_lock(&t->lock);
    a->out = true;
    a->pending = 0;
    for (uint32_t i = 0; i < a->deps; i++) {
        a->dep[i].waits = atom[a->dep[i].on].out;
        a->pending += a->dep[i].waits;
    }
    if (a->pending == 0)
        pool_submit(e->pool, &a->task);
    pthread_mutex_unlock(&t->lock);
}

void exec_settle(Exec *e)
{
    Tasks *t = e->tasks;
    if (!t || !t->beside)
        return;
    const ExecEntry *x = &e->entry[t->entry];
    for (uint32_t i = 0; i < x->end[PASS_UPDATE]; i++)
        if (x->atom[i].lazy)
            again(e, &x->atom[i]);
}

void exec_wait_inputs(Exec *e, uint32_t entry)
{
    Tasks *t = e->tasks;
    if (!t->beside || t->entry != entry)
        return;
    const ExecEntry *x = &e->entry[entry];
    ExecClass        before = exec_switch(e, EXEC_WAITING);
    for (uint32_t i = 0; i < x->end[PASS_UPDATE]; i++)
        if (x->atom[i].lazy && x->atom[i].input)
            again(e, &x->atom[i]);
    exec_switch(e, before);
}

/* ---- passes ---- */

/* After a failure nothing is left running, and the message is that of the first atom in order. */
static bool check(Exec *e, Buf *err)
{
    Tasks *t = e->tasks;
    pthread_mutex_lock(&t->lock);
    bool bad = t->failed != UINT32_MAX;
    pthread_mutex_unlock(&t->lock);
    if (!bad)
        return true;
    exec_settle(e);
    describe(e, t->entry, &e->entry[t->entry].atom[t->failed], t->why.data, err);
    t->failed = UINT32_MAX;
    return false;
}

static bool run_pass(Exec *e, uint32_t entry, ExecPass pass, Buf *err)
{
    Tasks *t = e->tasks;
    if (t->entry != entry) { /* otherwise atoms that are out may read it */
        exec_settle(e);
        t->entry = entry;
    }
    const ExecEntry *x = &e->entry[entry];
    for (uint32_t i = pass ? x->end[pass - 1] : 0; i < x->end[pass]; i++) {
        issue(e, i);
        if (!x->atom[i].lazy && !check(e, err))
            return false;
    }
    return check(e, err);
}

bool exec_forward(Exec *e, uint32_t entry, Buf *err)
{
    ExecClass before = exec_switch(e, EXEC_WAITING);
    e->entry[entry].ran = false;
    bool ok = run_pass(e, entry, PASS_FORWARD, err);
    for (uint32_t i = 0; ok && i < e->plan->entries; i++) /* entries share buffers */
        e->entry[i].ran = i == entry;
    exec_switch(e, before);
    return ok;
}

bool exec_backward(Exec *e, uint32_t entry, Buf *err)
{
    const PlanEntry *p = &e->plan->entry[entry];
    Tasks           *t = e->tasks;
    if (p->backwards == 0 || !e->entry[entry].ran) {
        buf_printf(err, "entry '%s' %s", p->name,
                   p->backwards ? "must run forward before it runs backward" : "has no backward pass");
        return false;
    }
    ExecClass before = exec_switch(e, EXEC_WAITING);
    e->entry[entry].ran = false;
    if (!t->window) /* accumulators start from zero */
        memset(e->touched + e->plan->param_count, 0, (e->sums - e->plan->param_count) * sizeof *e->touched);
    t->window = true;
    if (++t->done == t->length) { /* no atom that counts is out yet */
        memcpy(t->left, e->entry[entry].writers, e->plan->param_count * sizeof *t->left);
        t->last = true;
    }
    bool ok = run_pass(e, entry, PASS_BACKWARD, err);
    exec_switch(e, before);
    return ok;
}

/* What no atom has added to is zero. */
static void clear_untouched(Exec *e)
{
    for (uint32_t id = 0; id < e->plan->param_count; id++)
        if (!e->touched[id] && !e->param[id].group->frozen)
            memset(e->param[id].grad, 0, e->param[id].numel * sizeof(float));
}

static void clear_accumulators(Exec *e)
{
    for (uint32_t b = 0; b < e->plan->buffers; b++)
        for (uint32_t k = 0; e->accumulator[b] != EXEC_NO_SUM && k < exec_elements(e, b); k++)
            if (!e->touched[e->accumulator[b] + k])
                clear_element(&e->buffer[b], k);
}

bool exec_update(Exec *e, uint32_t entry, Buf *err)
{
    Tasks    *t = e->tasks;
    ExecClass before = exec_switch(e, EXEC_WAITING);
    bool      any = t->window;
    if (any && e->plan->entry[entry].updates)
        clear_accumulators(e);
    bool ok = !any || run_pass(e, entry, PASS_UPDATE, err);
    exec_settle(e);
    ok = ok && check(e, err);
    t->beside = t->window = t->last = false; /* an evaluation that follows leaves nothing running behind its back */
    if (ok)
        clear_untouched(e);
    for (uint32_t id = 0; ok && any && id < e->plan->param_count; id++)
        if (!e->param[id].group->frozen && !t->ready[id])
            complete(e, id);
    exec_switch(e, before);
    return ok;
}

/* ---- windows ---- */

void exec_begin_window(Exec *e, uint32_t micro_batches, const ExecTrainer *trainer)
{
    Tasks *t = e->tasks;
    exec_settle(e);
    t->trainer = trainer;
    t->length = micro_batches;
    t->done = 0;
    t->beside = micro_batches && pool_threads(e->pool) > 1;
    t->window = t->overflowed = t->last = false;
    t->failed = UINT32_MAX;
    memset(t->ready, 0, e->plan->param_count * sizeof *t->ready);
    memset(e->touched, 0, e->sums * sizeof *e->touched);
}

void exec_zero_grads(Exec *e)
{
    exec_begin_window(e, 0, NULL);
    clear_untouched(e);
}

bool exec_end_window(Exec *e, uint32_t entry, bool *updated, Buf *err)
{
    const ExecTrainer *t = e->tasks->trainer;
    *updated = false;
    if (!exec_update(e, entry, err) || (collects(e->tasks) && !t->collect(t->with, err)))
        return false;
    ExecClass before = exec_switch(e, EXEC_OPTIMIZER);
    for (uint32_t id = 0; collects(e->tasks) && id < e->plan->param_count; id++)
        if (!e->param[id].group->frozen)
            examine(e, id);
    *updated = t->decide(t->with, exec_overflowed(e));
    unsigned parts = *updated && (!t->compile || t->compile(t->with)) ? EXEC_FORWARD | EXEC_BACKWARD : 0;
    bool     ok = !*updated || exec_renew(e, entry, parts, t, err);
    exec_switch(e, before);
    return ok;
}

bool exec_overflowed(const Exec *e)
{
    return e->tasks->overflowed;
}

/* exec_ranges.c: what every step reads and writes, and which steps it therefore has to wait for.
 *
 * An atom is a step in one iteration of its loop. Its operands are ranges of elements in spaces: buffers, parameters,
 * gradients, states. Two atoms that touch a common element, one of them writing, keep their order; nothing else does.
 * The sequence of a window is forward, backward, forward, ..., backward, update, so what an atom waits for may be of the
 * micro-batch before: accesses to a space are searched backwards from the atom, around the circle, until a write covers
 * the whole range, because whoever waits for that write waits for all that it has waited for. Only atoms that run
 * beside the caller have to be waited for.
 *
 * Those are the ones whose results no program and no result of the pass needs: weight gradients and what only they
 * need. */
#include "exec_internal.h"

#include <string.h>

/* Where spaces begin: buffers, then parameters, gradients, states, and the scratch memory. */
typedef struct {
    uint32_t param, grad, state, scratch, count;
} Spaces;

static Spaces spaces_of(const Plan *p)
{
    Spaces s = {.param = p->buffers};
    s.grad = s.param + p->param_count;
    s.state = s.grad + p->param_count;
    s.scratch = s.state + p->state_count;
    s.count = s.scratch + 1;
    return s;
}

typedef struct {
    Exec     *e;
    Spaces    space;
    ExecAtom *atom;
    uint32_t  n, cap;
} Flattening;

static void add_range(Flattening *f, ExecAtom *a, uint32_t *cap, uint32_t space, size_t lo, size_t n, bool write)
{
    GROW(f->e->arena, a->range, a->ranges, *cap);
    a->range[a->ranges++] = (ExecRange){space, lo, lo + n, write};
}

static void add_ref(Flattening *f, ExecAtom *a, uint32_t *cap, const Ref *r, bool write)
{
    const Exec *e = f->e;
    size_t      n = (size_t)plan_numel(r->shape);
    switch (r->kind) {
    case REF_PARAM: add_range(f, a, cap, f->space.param + r->leaf[a->it], 0, n, write); break;
    case REF_GRAD: add_range(f, a, cap, f->space.grad + r->leaf[a->it], 0, n, write); break;
    case REF_STATE: add_range(f, a, cap, f->space.state + r->leaf[a->it], 0, n, write); break;
    case REF_BUFFER:
        add_range(f, a, cap, r->index, r->offset + (r->stacked ? a->it * e->buffer[r->index].numel : 0), n, write);
        break;
    case REF_TABLE:
    case REF_SPLAT: break; /* never change */
    }
}

/* What an atom adds to: the gradient or element of an accumulator that its first addition of a window overwrites. */
static void set_sum(const Exec *e, ExecAtom *a)
{
    const Ref *r = &a->x->step->out[0];
    a->sum = EXEC_NO_SUM;
    if (!a->x->add)
        return;
    if (r->kind == REF_GRAD) {
        a->sum = r->leaf[a->it];
        a->grad = true;
        a->whole = (size_t)plan_numel(r->shape) == e->param[a->sum].numel;
    } else if (r->kind == REF_BUFFER) {
        size_t n = e->buffer[r->index].numel, at = r->offset + (r->stacked ? a->it * n : 0);
        a->sum = e->accumulator[r->index] + (uint32_t)(at / n);
        a->whole = at % n == 0 && (size_t)plan_numel(r->shape) == n;
    }
}

static void flatten(Flattening *f, ExecStep *x, uint32_t n, const Step *loop, uint32_t it, ExecPass pass)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = x[i].step;
        uint32_t    cap = 0;
        if (s->kind == STEP_LOOP) {
            for (int32_t k = 0; k < s->n; k++)
                flatten(f, x[i].body, s->bodies, s, (uint32_t)(s->reverse ? s->n - 1 - k : k), pass);
            continue;
        }
        GROW(f->e->arena, f->atom, f->n, f->cap);
        ExecAtom *a = &f->atom[f->n++];
        *a = (ExecAtom){.x = &x[i], .it = it, .loop = loop, .pass = pass};
        for (uint32_t k = 0; k < s->ins; k++)
            add_ref(f, a, &cap, &s->in[k], false);
        for (uint32_t k = 0; k < s->outs; k++)
            add_ref(f, a, &cap, &s->out[k], true);
        if (exec_uses_scratch(&x[i]))
            add_range(f, a, &cap, f->space.scratch, 0, 1, true);
        set_sum(f->e, a);
    }
}

/* ---- accesses by space ---- */

typedef struct {
    uint32_t  atom;
    ExecRange r;
} Access;
typedef struct {
    Access  *access; /* of all spaces, by space, then in the order of atoms */
    uint32_t *first; /* [spaces + 1] */
} Accesses;

static Accesses collect(Arena *a, const ExecAtom *atom, uint32_t n, uint32_t spaces)
{
    Accesses  x = {.first = NEW_N(a, uint32_t, spaces + 2u)};
    uint32_t *next = NEW_N(a, uint32_t, spaces + 2u), total = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < atom[i].ranges; k++, total++)
            x.first[atom[i].range[k].space + 1]++;
    for (uint32_t s = 0; s < spaces; s++)
        x.first[s + 1] += x.first[s];
    memcpy(next, x.first, (spaces + 1) * sizeof *next);
    x.access = NEW_N(a, Access, total + 1u);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < atom[i].ranges; k++)
            x.access[next[atom[i].range[k].space]++] = (Access){i, atom[i].range[k]};
    return x;
}

static bool overlap(const ExecRange *a, const ExecRange *b)
{
    return a->lo < b->hi && b->lo < a->hi;
}

/* ---- who runs beside the caller ---- */

static void mark_needed(const Accesses *x, const ExecRange *r, bool *needed)
{
    for (uint32_t i = x->first[r->space]; i < x->first[r->space + 1]; i++)
        if (overlap(&x->access[i].r, r))
            needed[i] = true;
}

/* An access that is `needed` is one whose value a program or a result may get to see. Conservative: any write to the
 * place counts, not only the last one before. */
static void find_lazy(const Exec *e, Arena *scratch, const PlanEntry *p, const Accesses *x, Spaces space, ExecAtom *atom,
                      uint32_t n)
{
    bool    *needed = NEW_N(scratch, bool, x->first[space.count] + 1u);
    uint32_t *at = NEW_N(scratch, uint32_t, space.count + 1u);
    for (uint32_t i = 0; i < p->results; i++) {
        uint32_t b = p->result[i].buffer;
        mark_needed(x, &(ExecRange){b, 0, e->buffer[b].numel * exec_elements(e, b), false}, needed);
    }
    for (uint32_t s = 0; s < space.count; s++)
        at[s] = x->first[s + 1]; /* atoms are visited from the last to the first */
    for (uint32_t i = n; i-- > 0;) {
        ExecAtom *a = &atom[i];
        bool      wanted = a->x->step->kind == STEP_RUN;
        for (uint32_t k = a->ranges; k-- > 0;) {
            uint32_t s = a->range[k].space, here = --at[s];
            wanted = wanted || (a->range[k].write && (needed[here] || (s >= space.state && s < space.scratch)));
        }
        a->lazy = !wanted;
        for (uint32_t k = 0; wanted && k < a->ranges; k++)
            if (!a->range[k].write)
                mark_needed(x, &a->range[k], needed);
    }
}

/* ---- who waits for whom ---- */

typedef struct {
    ExecAtom *atom;
    uint32_t  n, updates; /* atoms; the first of the update steps */
    uint32_t *stamp;      /* [atoms] last atom that was found to wait for it */
    uint32_t *dep, deps, cap;
    Arena    *scratch;
} Waiting;

static void wait_for(Waiting *w, uint32_t who, uint32_t whom)
{
    if (who == whom || !w->atom[whom].lazy || w->stamp[whom] == who + 1)
        return;
    w->stamp[whom] = who + 1;
    GROW(w->scratch, w->dep, w->deps, w->cap);
    w->dep[w->deps++] = whom;
}

/* Search backwards from access `from` (exclusive) to `to` (inclusive). True: a write covers the range. */
static bool search(Waiting *w, const Accesses *x, uint32_t who, const ExecRange *r, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i-- > to;) {
        const Access *a = &x->access[i];
        if (a->atom == who || !overlap(&a->r, r) || !(a->r.write || r->write))
            continue;
        wait_for(w, who, a->atom);
        if (a->r.write && a->r.lo <= r->lo && a->r.hi >= r->hi)
            return true;
    }
    return false;
}

static void find_waits(Waiting *w, const Accesses *x, uint32_t who)
{
    for (uint32_t k = 0; k < w->atom[who].ranges; k++) {
        const ExecRange *r = &w->atom[who].range[k];
        uint32_t         first = x->first[r->space], end = x->first[r->space + 1], here = first, around;
        while (here < end && x->access[here].atom < who)
            here++;
        for (around = end; around > first && x->access[around - 1].atom >= w->updates;)
            around--;
        if (!search(w, x, who, r, here, first) && who < w->updates) /* of the micro-batch before */
            search(w, x, who, r, around, here);
    }
}

static void link_atoms(Exec *e, Arena *scratch, const Accesses *x, ExecAtom *atom, uint32_t n, uint32_t updates)
{
    Waiting w = {.atom = atom, .n = n, .updates = updates, .scratch = scratch};
    w.stamp = NEW_N(scratch, uint32_t, n + 1u);
    for (uint32_t i = 0; i < n; i++) {
        w.deps = 0;
        find_waits(&w, x, i);
        atom[i].dep = NEW_N(e->arena, ExecDep, w.deps + 1u);
        atom[i].deps = w.deps;
        for (uint32_t k = 0; k < w.deps; k++) {
            atom[i].dep[k] = (ExecDep){.on = w.dep[k], .by = i};
            atom[w.dep[k]].users++;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        atom[i].user = NEW_N(e->arena, ExecDep *, atom[i].users + 1u);
        atom[i].users = 0;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < atom[i].deps; k++) {
            ExecAtom *on = &atom[atom[i].dep[k].on];
            on->user[on->users++] = &atom[i].dep[k];
        }
}

void exec_build_atoms(Exec *e, uint32_t entry)
{
    const PlanEntry *p = &e->plan->entry[entry];
    ExecEntry       *x = &e->entry[entry];
    Flattening       f = {.e = e, .space = spaces_of(e->plan)};
    Arena           *scratch = arena_new();
    flatten(&f, x->forward, p->forwards, NULL, 0, PASS_FORWARD);
    x->end[PASS_FORWARD] = f.n;
    flatten(&f, x->backward, p->backwards, NULL, 0, PASS_BACKWARD);
    x->end[PASS_BACKWARD] = f.n;
    flatten(&f, x->update, p->updates, NULL, 0, PASS_UPDATE);
    x->end[PASS_UPDATE] = f.n;
    x->atom = f.atom;
    Accesses all = collect(scratch, f.atom, f.n, f.space.count);
    find_lazy(e, scratch, p, &all, f.space, f.atom, f.n);
    link_atoms(e, scratch, &all, f.atom, f.n, x->end[PASS_BACKWARD]);
    x->writers = NEW_N(e->arena, uint32_t, e->plan->param_count + 1u);
    for (uint32_t i = 0; i < f.n; i++)
        if (f.atom[i].grad)
            x->writers[f.atom[i].sum]++;
    for (uint32_t i = 0; i < p->inputs; i++) /* who must have read an input before it may be filled again */
        for (uint32_t k = all.first[p->input[i].buffer]; k < all.first[p->input[i].buffer + 1]; k++)
            f.atom[all.access[k].atom].input = true;
    arena_free(scratch);
}

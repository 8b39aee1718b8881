/* exec_grow.c: surfaces as large as compiled programs want them.
 *
 * Surfaces are made when a plan is opened, of the sizes in the plan; what a program's ports need is known when it has been
 * compiled, and may be more (rows that the compiler pads). Such a surface is replaced by a larger one with the same
 * contents wherever steps and requests refer to it. It happens when programs are first made, if at all, with nothing else
 * running. */
#include "exec_internal.h"

#include <string.h>

typedef struct {
    Surface *old, *new;
} Swap;

static void replace_place(ExecPlace *p, const Swap *s)
{
    if (p->surface == s->old)
        p->surface = s->new;
}

/* Requests that are bound to the old one are dropped. */
static void replace(ExecStep *x, uint32_t n, const Swap *s, uint32_t iterations)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *step = x[i].step;
        if (step->kind == STEP_LOOP)
            replace(x[i].body, step->bodies, s, (uint32_t)step->n);
        for (uint32_t it = 0; step->kind == STEP_MOVE && it < iterations; it++) {
            replace_place(&x[i].from[it], s);
            replace_place(&x[i].to[it], s);
        }
        uint32_t ports = step->ins + step->outs;
        for (uint32_t k = 0; step->kind == STEP_RUN && k < x[i].iterations * ports; k++) {
            if (x[i].surface[k] != s->old)
                continue;
            x[i].surface[k] = s->new;
            request_free(x[i].request[k / ports]);
            x[i].request[k / ports] = NULL;
        }
    }
}

static bool grow(Exec *e, Surface **place, size_t bytes, Buf *err)
{
    Swap s = {*place, surface_new(e->device, bytes, err)};
    if (!s.new)
        return false;
    memcpy(surface_lock(s.new, true), surface_lock(s.old, false), surface_bytes(s.old));
    surface_unlock(s.old, false);
    surface_unlock(s.new, true);
    *place = s.new;
    for (uint32_t i = 0; i < e->plan->entries; i++) {
        const PlanEntry *p = &e->plan->entry[i];
        replace(e->entry[i].forward, p->forwards, &s, 1);
        replace(e->entry[i].backward, p->backwards, &s, 1);
        replace(e->entry[i].update, p->updates, &s, 1);
    }
    e->bytes += surface_bytes(s.new) - surface_bytes(s.old);
    surface_free(s.old);
    return true;
}

/* Where the executor keeps this surface. */
static Surface **owner(Exec *e, const Surface *s)
{
    for (uint32_t b = 0; b < e->plan->buffers; b++)
        for (uint32_t k = 0; e->buffer[b].surface && k < exec_elements(e, b); k++)
            if (e->buffer[b].surface[k] == s)
                return &e->buffer[b].surface[k];
    bug("a step has a surface of no buffer");
}

typedef struct {
    const Unit *u;
    bool        grow, ok; /* otherwise only look: ok while all are large enough */
    Buf        *err;
} Fitting;

static void fit(Exec *e, ExecStep *x, void *with)
{
    Fitting               *f = with;
    const ProgramFunction *p = program_function(exec_unit_program(e, f->u), f->u->function);
    uint32_t               ports = x->step->ins + x->step->outs;
    for (uint32_t it = 0; it < x->iterations; it++)
        for (uint32_t k = 0; f->ok && k < ports; k++) {
            size_t    need = port_surface_bytes(k < p->inputs ? &p->input[k] : &p->output[k - p->inputs]);
            Surface **s = &x->surface[it * ports + k];
            if (x->step->program != f->u->program || x->instance[it] != f->u->k || surface_bytes(*s) >= need)
                continue;
            f->ok = f->grow && grow(e, owner(e, *s), need, f->err);
        }
}

static bool visit(Exec *e, Fitting *f)
{
    for (uint32_t i = 0; f->ok && i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, fit, f);
    return f->ok;
}

bool exec_surfaces_fit(Exec *e, const Unit *u)
{
    return visit(e, &(Fitting){.u = u, .ok = true});
}

bool exec_surfaces_grow(Exec *e, const Unit *u, Buf *err)
{
    return visit(e, &(Fitting){.u = u, .ok = true, .grow = true, .err = err});
}

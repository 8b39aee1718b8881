/* request.c: requests are made once and evaluated many times (docs/engine.md E334, E431). An evaluation runs on a thread
 * of device.c's, because a wedged driver never returns from it (E338, E609).
 *
 * There are three ways to evaluate, and which of them a system has is only known when it worked. The first that does is
 * kept. Where it fails later and the plain way works, three times, the plain way is kept: a connection can be lost. */
#include "ane/ane.h"
#include "ane/cf.h"

#include <stdlib.h>

enum { STRIKES = 3 };

/* Objects in the order of the ports, and the index of each among the model's symbols. */
static bool collect(const AneLibrary *l, Surface *const *surface, const Port *port, uint32_t n, const AneBinding *b,
                    CfRef *objects, CfRef *indices, Buf *err)
{
    CfRef *object = xcalloc(n + 1, sizeof(CfRef)), *index = xcalloc(n + 1, sizeof(CfRef));
    bool   ok = true;
    for (uint32_t i = 0; i < n; i++) {
        object[i] = ((AneSurface *)surface[i])->object;
        index[i] = cf_number(l, b->index[i]);
        if (surface[i]->bytes < b->bytes[i]) {
            buf_printf(err, "'%s' needs a surface of %zu bytes as compiled, %zu were given\n", port[i].name, b->bytes[i],
                       surface[i]->bytes);
            ok = false;
        }
    }
    *objects = cf_array(l, object, n);
    *indices = cf_array(l, index, n);
    for (uint32_t i = 0; i < n; i++)
        cf_release(l, index[i]);
    free(object);
    free(index);
    return ok;
}

/* An object that the engine's time is put into; NULL: nobody asked, or the system has none (docs/engine.md E454). */
static ObjcId new_stats(const AneDevice *d)
{
    const AneLibrary *l = &d->lib;
    if (!d->models.stats || !ANE_HAS(l, stats_new) || !ANE_HAS(l, stats_time))
        return NULL;
    ObjcId stats = ANE_CALL(l, stats_new)(ANE_CLASS(l, stats_new), ANE_SEL(l, stats_new), 0);
    return ANE_ANSWERS(l, stats, stats_time) ? l->objc_retain(stats) : NULL;
}

/* Everything is looked at before the framework gets it: an exception of its would end the process (E407). */
static ObjcId make_request(const AneRequest *r, Surface *const *input, Surface *const *output, Buf *err)
{
    const AneLibrary      *l = &r->device->lib;
    const AneProgram      *p = r->program;
    const ProgramFunction *f = &p->base.function[r->function];
    CfRef                  ins, in_indices, outs, out_indices, procedure = cf_number(l, r->function);
    bool   ok = collect(l, input, f->input, f->inputs, &p->input[r->function], &ins, &in_indices, err);
    ObjcId request = NULL;
    ok = collect(l, output, f->output, f->outputs, &p->output[r->function], &outs, &out_indices, err) && ok;
    if (ok) {
        request = ANE_CALL(l, request)(ANE_CLASS(l, request), ANE_SEL(l, request), ins, in_indices, outs, out_indices, NULL,
                                       r->stats, procedure);
        if (!request)
            buf_printf(err, "%s, function '%s': the framework made no request\n", p->base.name, f->name);
    }
    if (request)
        l->objc_retain(request);
    cf_release(l, ins);
    cf_release(l, in_indices);
    cf_release(l, outs);
    cf_release(l, out_indices);
    cf_release(l, procedure);
    return request;
}

Request *ane_request_new(Program *base, uint32_t function, Surface *const *input, Surface *const *output, Buf *err)
{
    AneDevice        *d = (AneDevice *)base->device;
    const AneLibrary *l = &d->lib;
    AneRequest *r = xcalloc(1, sizeof *r);
    void       *pool = l->objc_autoreleasePoolPush();
    *r = (AneRequest){.base.driver = base->driver, .device = d, .program = (AneProgram *)base, .function = function};
    r->stats = new_stats(d);
    r->request = make_request(r, input, output, err);
    l->objc_autoreleasePoolPop(pool);
    if (r->request)
        return &r->base;
    ane_request_free(&r->base);
    return NULL;
}

void ane_request_free(Request *base)
{
    AneRequest       *r = (AneRequest *)base;
    const AneLibrary *l = &r->device->lib;
    if (r->request)
        l->objc_release(r->request);
    if (r->stats)
        l->objc_release(r->stats);
    free(r);
}

/* ---- evaluation ---- */

typedef struct {
    AneRequest *r;
    bool        ok;
    int64_t     code;
    uint64_t    engine_ns;
    Buf         why;
} Evaluation;

static bool one_way(Evaluation *e, AneWay way)
{
    const AneDevice  *d = e->r->device;
    const AneLibrary *l = &d->lib;
    const AneModel   *m = e->r->program->model;
    ObjcId            error = NULL, model = way == WAY_DIRECT_INNER ? ane_model_inner(m) : ane_model_object(m);
    if (way != WAY_MODEL && (!d->client || !model))
        return false;
    e->ok = way == WAY_MODEL ? ANE_CALL(l, evaluate)(model, ANE_SEL(l, evaluate), ANE_QOS, d->models.options, e->r->request,
                                                     &error)
                             : ANE_CALL(l, evaluate_direct)(d->client, ANE_SEL(l, evaluate_direct), model,
                                                            d->models.options, e->r->request, ANE_QOS, &error);
    buf_clear(&e->why);
    if (!e->ok)
        e->code = cf_error_text(l, error, &e->why);
    return e->ok;
}

/* The way that is known to work, then the plain one; before one is known, all of them. */
static void try_ways(Evaluation *e)
{
    AneDevice *d = e->r->device;
    if (d->proven) {
        if (one_way(e, d->way) || d->way == WAY_MODEL)
            return;
        if (one_way(e, WAY_MODEL) && ++d->strikes == STRIKES)
            d->way = WAY_MODEL;
        return;
    }
    for (AneWay way = d->way; way < WAYS && !d->proven; way++)
        if (one_way(e, way)) {
            d->way = way;
            d->proven = true;
        }
}

/* A stats object in the request may be what a system does not like: until one has worked, a request that fails with it
 * is made again without. */
static void without_stats(Evaluation *e)
{
    AneRequest       *r = e->r;
    AneDevice        *d = r->device;
    const AneLibrary *l = &d->lib;
    ObjcId            stats = r->stats;
    Buf               ignored = {0};
    r->stats = NULL;
    ObjcId plain = make_request(r, r->base.surface, r->base.surface + r->program->base.function[r->function].inputs, &ignored);
    buf_free(&ignored);
    if (!plain) {
        r->stats = stats;
        return;
    }
    l->objc_release(r->request);
    l->objc_release(stats);
    r->request = plain;
    try_ways(e);
    if (e->ok)
        d->models.stats = 0;
}

static void evaluate(Evaluation *e)
{
    AneDevice        *d = e->r->device;
    const AneLibrary *l = &d->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    try_ways(e);
    if (!e->ok && e->r->stats && !d->stats_proven)
        without_stats(e);
    if (e->ok && e->r->stats) {
        d->stats_proven = true;
        e->engine_ns = ANE_CALL(l, stats_time)(e->r->stats, ANE_SEL(l, stats_time));
    }
    l->objc_autoreleasePoolPop(pool);
}

bool ane_eval(Request *base, Buf *err)
{
    AneRequest *r = (AneRequest *)base;
    Evaluation  e = {.r = r};
    for (uint32_t i = 0; i < base->surfaces; i++)
        if (atomic_load(&((AneSurface *)base->surface[i])->writers))
            bug("a surface is locked for writing while it is evaluated");
    evaluate(&e);
    base->time.engine_ns = e.engine_ns;
    if (!e.ok) {
        int64_t state = ane_model_state(r->program->model);
        buf_printf(err, "the engine refused to evaluate: %s", e.why.data);
        if (state >= 0 && state != 3)
            buf_printf(err, "; the model's state is %lld, a loaded one's is 3", (long long)state);
        buf_putc(err, '\n');
        ane_explain(ANE_EVALUATING, e.why.data, e.code, r->device->models.alive, err);
    }
    buf_free(&e.why);
    return e.ok;
}

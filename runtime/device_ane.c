/* device_ane.c: the engine, through the private framework of macOS: device.h in terms of ane/model.h.
 *
 * Written from what published projects say (maderix/ANE, Orion, Espresso and their forks), with every class, method and
 * attribute checked before it is used; none of it has run on an engine yet. Three rules keep a wrong guess from becoming
 * a wrong number: surfaces are bound by the indices that the compiled model itself gives for the names in the text, never
 * by position; a port whose compiled layout is not the dense one of the text is refused; and an evaluation that does not
 * return within its time ends the use of the device, because nothing can be known about its memory any more.
 *
 * Surfaces are one row of bytes, rounded up to 64 KiB and zeroed, as all projects do that train. */
#include "ane/cf.h"
#include "ane/model.h"
#include "driver.h"
#include "mil/mil_check.h"

#include <stdlib.h>
#include <string.h>

enum { LOCK_READ_ONLY = 1 };          /* kIOSurfaceLockReadOnly */

typedef struct {
    Device        base;
    AneLibrary    lib;
    AneModelSetup setup;
    AneModel     *alive;
    ObjcId        client; /* for direct evaluation; NULL: through the model */
    bool          stale;
    char         *temporary;
} AneDevice;

typedef struct {
    Program   base;
    Arena    *arena;
    AneModel *model;
    char     *mil; /* for reload */
    size_t    mil_len;
    AneBinding *input, *output; /* [functions] */
} AneProgram;

typedef struct {
    Surface    base;
    IoSurface *surface;
    ObjcId     object; /* as requests take it */
} AneSurface;

typedef struct {
    Request     base;
    AneDevice  *device;
    AneProgram *program;
    ObjcId      request;
} AneRequest;

/* ---- device --------------------------------------------------------------------------------------------------- */

static void ane_close(Device *base)
{
    AneDevice *d = (AneDevice *)base;
    if (d->client)
        d->lib.objc_release(d->client);
    cf_release(&d->lib, d->setup.options);
    ane_library_close(&d->lib);
    free(d->temporary);
    free(d);
}

/* NSTemporaryDirectory() is what TMPDIR says in every process that launchd or a login started. */
static char *temporary_directory(void)
{
    const char *dir = getenv("TMPDIR");
    Buf         path = {0};
    if (!dir || !*dir)
        dir = "/tmp";
    buf_printf(&path, "%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/");
    return path.data;
}

static Device *ane_open(const DeviceOptions *options, Buf *err)
{
    if (options && options->numerics == NUMERICS_EXACT) {
        buf_puts(err, "the engine computes in fp16: --numerics exact is for --device host");
        return NULL;
    }
    AneDevice *d = xcalloc(1, sizeof *d);
    d->base.driver = &ane_driver;
    /* For tests, which put a substitute there, and for trying the libraries of another system version. */
    if (!ane_library_open(&d->lib, getenv("ANEL_ANE_LIBRARY"), err)) {
        free(d);
        return NULL;
    }
    void *pool = d->lib.objc_autoreleasePoolPush();
    d->temporary = temporary_directory();
    d->setup = (AneModelSetup){.lib = &d->lib,
                               .temporary = d->temporary,
                               .options = cf_dictionary(&d->lib, NULL, NULL, 0),
                               .alive = &d->alive};
    if (ANE_HAS(&d->lib, shared_client) && ANE_HAS(&d->lib, evaluate_direct)) {
        ObjcId client = ANE_CALL(&d->lib, shared_client)(ANE_CLASS(&d->lib, shared_client),
                                                         ANE_SEL(&d->lib, shared_client));
        d->client = client ? d->lib.objc_retain(client) : NULL;
    }
    d->lib.objc_autoreleasePoolPop(pool);
    return &d->base;
}

/* ---- surfaces ------------------------------------------------------------------------------------------------- */

static CfRef surface_properties(const AneLibrary *l, size_t bytes)
{
    CfRef number[3] = {cf_number(l, (int64_t)bytes), cf_number(l, 1), cf_number(l, 0)};
    /* the constants are pointers to strings */
#define KEY(name) (*(CfRef const *)l->name)
    CfRef key[6] = {KEY(kIOSurfaceWidth),       KEY(kIOSurfaceHeight),    KEY(kIOSurfaceBytesPerElement),
                    KEY(kIOSurfaceBytesPerRow), KEY(kIOSurfaceAllocSize), KEY(kIOSurfacePixelFormat)};
#undef KEY
    CfRef value[6] = {number[0], number[1], number[1], number[0], number[0], number[2]};
    CfRef all = cf_dictionary(l, key, value, 6);
    for (size_t i = 0; i < COUNT(number); i++)
        cf_release(l, number[i]);
    return all;
}

static void ane_surface_free(Surface *base)
{
    AneSurface       *s = (AneSurface *)base;
    const AneDevice  *d = (const AneDevice *)base->device;
    const AneLibrary *l = &d->lib;
    if (s->object)
        l->objc_release(s->object);
    cf_release(l, s->surface);
    free(s);
}

static Surface *ane_surface_new(Device *base, size_t bytes, Buf *err)
{
    AneDevice        *d = (AneDevice *)base;
    const AneLibrary *l = &d->lib;
    AneSurface       *s = xcalloc(1, sizeof *s);
    void             *pool = l->objc_autoreleasePoolPush();
    CfRef             properties = surface_properties(l, bytes);
    s->base = (Surface){.driver = base->driver, .device = base, .bytes = bytes};
    s->surface = l->IOSurfaceCreate(properties);
    cf_release(l, properties);
    if (s->surface && l->IOSurfaceGetAllocSize(s->surface) >= bytes && l->IOSurfaceLock(s->surface, 0, NULL) == 0) {
        memset(l->IOSurfaceGetBaseAddress(s->surface), 0, bytes); /* fresh ones may hold NaN */
        l->IOSurfaceUnlock(s->surface, 0, NULL);
        ObjcId object = ANE_CALL(l, surface_object)(ANE_CLASS(l, surface_object), ANE_SEL(l, surface_object),
                                                    s->surface);
        s->object = object ? l->objc_retain(object) : NULL;
    }
    l->objc_autoreleasePoolPop(pool);
    if (s->object)
        return &s->base;
    buf_printf(err, "no surface of %zu bytes could be made\n", bytes);
    ane_surface_free(&s->base);
    return NULL;
}

static void *ane_surface_lock(Surface *base, bool write)
{
    AneSurface       *s = (AneSurface *)base;
    const AneLibrary *l = &((AneDevice *)base->device)->lib;
    if (l->IOSurfaceLock(s->surface, write ? 0 : LOCK_READ_ONLY, NULL) != 0)
        bug("a surface of the engine cannot be locked");
    return l->IOSurfaceGetBaseAddress(s->surface);
}

static void ane_surface_unlock(Surface *base, bool write)
{
    const AneLibrary *l = &((AneDevice *)base->device)->lib;
    l->IOSurfaceUnlock(((AneSurface *)base)->surface, write ? 0 : LOCK_READ_ONLY, NULL);
}

/* ---- programs ------------------------------------------------------------------------------------------------- */

/* Ports as the text declares them. The engine takes fp16 and fp32 at its boundary. */
static bool make_ports(Arena *a, const char *what, Value *const *value, uint32_t n, Port **out, Buf *err)
{
    *out = NEW_N(a, Port, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const MilType *t = &value[i]->type;
        if (t->dtype != DT_F16 && t->dtype != DT_F32) {
            buf_printf(err, "%s '%s' is neither fp16 nor fp32\n", what, value[i]->name);
            return false;
        }
        Port *p = &(*out)[i];
        *p = (Port){.name = arena_strdup(a, value[i]->name),
                    .type = t->dtype == DT_F16 ? PORT_F16 : PORT_F32,
                    .rank = t->rank};
        memcpy(p->dim, t->dim, t->rank * sizeof *t->dim);
        p->bytes = p->alloc = (size_t)type_elems(t) * port_elem_bytes(p->type);
    }
    return true;
}

static AneBinding make_binding(Arena *a, uint32_t n)
{
    return (AneBinding){NEW_N(a, int64_t, n + 1), NEW_N(a, size_t, n + 1)};
}

/* Read the text for its functions and their ports. */
static bool read_text(AneProgram *p, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    Arena   *scratch = arena_new();
    Sources *sources = sources_new(scratch);
    uint32_t source = sources_add(sources, name, p->mil, p->mil_len);
    Diags   *ds = diags_new(scratch, sources, name);
    MilFile *view = NEW_N(scratch, MilFile, files + 1);
    Func    *fn;
    uint32_t count = 0;
    for (size_t i = 0; i < files; i++)
        view[i] = (MilFile){file[i].path, file[i].data, file[i].len};
    bool ok = mil_check(scratch, ds, source, view, (uint32_t)files, &fn, &count);
    if (!ok)
        diags_render(ds, err);
    p->base.functions = ok ? count : 0;
    p->base.function = NEW_N(p->arena, ProgramFunction, count + 1);
    p->input = NEW_N(p->arena, AneBinding, count + 1);
    p->output = NEW_N(p->arena, AneBinding, count + 1);
    for (uint32_t i = 0; ok && i < count; i++) {
        ProgramFunction *f = &p->base.function[i];
        *f = (ProgramFunction){.name = arena_strdup(p->arena, fn[i].name), .inputs = fn[i].inputs, .outputs = fn[i].outputs};
        ok = make_ports(p->arena, "input", fn[i].input, fn[i].inputs, &f->input, err) &&
             make_ports(p->arena, "output", fn[i].output, fn[i].outputs, &f->output, err);
        p->input[i] = make_binding(p->arena, f->inputs);
        p->output[i] = make_binding(p->arena, f->outputs);
    }
    arena_free(scratch);
    return ok;
}

static void ane_program_free(Program *base)
{
    AneProgram *p = (AneProgram *)base;
    ane_model_free(p->model);
    arena_free(p->arena);
    free(p);
}

/* Where the compiled program has its ports, and how much memory it wants for them. */
static bool bind(AneProgram *p, uint32_t i, Buf *why)
{
    ProgramFunction *f = &p->base.function[i];
    if (!ane_model_bind(p->model, i, f, &p->input[i], &p->output[i], why))
        return false;
    for (uint32_t k = 0; k < f->inputs; k++)
        f->input[k].alloc = p->input[i].bytes[k];
    for (uint32_t k = 0; k < f->outputs; k++)
        f->output[k].alloc = p->output[i].bytes[k];
    return true;
}

static Program *make(AneDevice *d, const AneProgram *donor, const char *name, const char *mil, size_t len,
                     const DeviceFile *file, size_t files, Buf *err)
{
    bool from_copy = false;
    Buf  why = {0};
    AneProgram *p = xcalloc(1, sizeof *p);
    p->base.driver = d->base.driver;
    p->base.device = &d->base;
    p->arena = arena_new();
    p->mil = arena_strndup(p->arena, mil, len);
    p->mil_len = len;
    bool ok = read_text(p, name, file, files, err);
    if (ok) {
        d->base.refusal = REFUSED_ENGINE;
        p->model = ane_model_new(&d->setup, mil, len, file, files, donor ? donor->model : NULL, &from_copy, &why);
        for (uint32_t i = 0; p->model && ok && i < p->base.functions; i++)
            ok = bind(p, i, &why);
        ok = ok && p->model;
        if (!ok)
            buf_printf(err, "%s: error: %s", name, why.data ? why.data : "the model could not be made\n");
    }
    /* A copy compiled by an earlier process that does not load is compiled once more. */
    d->stale = !ok && from_copy;
    d->setup.fresh = d->stale;
    buf_free(&why);
    if (ok)
        return &p->base;
    ane_program_free(&p->base);
    return NULL;
}

static Program *ane_compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file,
                            size_t files, Buf *err)
{
    return make((AneDevice *)base, NULL, name, mil, len, file, files, err);
}

static Program *ane_reload(const Program *base, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    const AneProgram *donor = (const AneProgram *)base;
    return make((AneDevice *)base->device, donor, name, donor->mil, donor->mil_len, file, files, err);
}

static bool ane_stale(Device *base)
{
    return ((AneDevice *)base)->stale;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

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

static Request *ane_request_new(Program *base, uint32_t function, Surface *const *input, Surface *const *output,
                                Buf *err)
{
    AneProgram            *p = (AneProgram *)base;
    AneDevice             *d = (AneDevice *)base->device;
    const AneLibrary      *l = &d->lib;
    const ProgramFunction *f = &base->function[function];
    AneRequest            *r = xcalloc(1, sizeof *r);
    CfRef                  ins, in_indices, outs, out_indices, procedure = cf_number(l, function);
    void                  *pool = l->objc_autoreleasePoolPush();
    r->base.driver = base->driver;
    r->device = d;
    r->program = p;
    bool ok = collect(l, input, f->input, f->inputs, &p->input[function], &ins, &in_indices, err);
    ok = collect(l, output, f->output, f->outputs, &p->output[function], &outs, &out_indices, err) && ok;
    ObjcId request = ok ? ANE_CALL(l, request)(ANE_CLASS(l, request), ANE_SEL(l, request), ins, in_indices, outs,
                                               out_indices, NULL, NULL, procedure)
                        : NULL;
    r->request = request ? l->objc_retain(request) : NULL;
    cf_release(l, ins);
    cf_release(l, in_indices);
    cf_release(l, outs);
    cf_release(l, out_indices);
    cf_release(l, procedure);
    l->objc_autoreleasePoolPop(pool);
    if (r->request)
        return &r->base;
    if (ok)
        buf_puts(err, "the framework made no request\n");
    free(r);
    return NULL;
}

static void ane_request_free(Request *base)
{
    AneRequest *r = (AneRequest *)base;
    r->device->lib.objc_release(r->request);
    free(r);
}

/* One evaluation. */
typedef struct {
    const AneRequest *r;
    bool              ok;
    Buf               why;
} Evaluation;

static bool direct(Evaluation *e)
{
    const AneDevice  *d = e->r->device;
    const AneLibrary *l = &d->lib;
    ObjcId            error = NULL;
    e->ok = ANE_CALL(l, evaluate_direct)(d->client, ANE_SEL(l, evaluate_direct), ane_model_object(e->r->program->model),
                                         d->setup.options, e->r->request, ANE_QOS, &error);
    if (!e->ok)
        cf_error_text(l, error, &e->why);
    return e->ok;
}

static void through_model(Evaluation *e)
{
    const AneDevice  *d = e->r->device;
    const AneLibrary *l = &d->lib;
    ObjcId            error = NULL;
    e->ok = ANE_CALL(l, evaluate)(ane_model_object(e->r->program->model), ANE_SEL(l, evaluate), ANE_QOS,
                                  d->setup.options, e->r->request, &error);
    buf_clear(&e->why);
    if (!e->ok)
        cf_error_text(l, error, &e->why);
}

/* Direct evaluation is one hop shorter, and not available everywhere: where it fails and the ordinary way works, it is
 * not tried again. */
static void evaluate(Evaluation *e)
{
    AneDevice *d = e->r->device;
    void       *pool = d->lib.objc_autoreleasePoolPush();
    if (!d->client || !direct(e)) {
        through_model(e);
        if (e->ok && d->client) {
            d->lib.objc_release(d->client);
            d->client = NULL;
        }
    }
    d->lib.objc_autoreleasePoolPop(pool);
}

static bool ane_eval(Request *base, Buf *err)
{
    Evaluation e = {.r = (AneRequest *)base};
    evaluate(&e);
    if (!e.ok)
        buf_printf(err, "the engine refused to evaluate: %s\n", e.why.data);
    buf_free(&e.why);
    return e.ok;
}

const Driver ane_driver = {
    .name = "ane",
    .open = ane_open,
    .close = ane_close,
    .compile = ane_compile,
    .reload = ane_reload,
    .program_free = ane_program_free,
    .surface_new = ane_surface_new,
    .surface_free = ane_surface_free,
    .surface_lock = ane_surface_lock,
    .surface_unlock = ane_surface_unlock,
    .request_new = ane_request_new,
    .request_free = ane_request_free,
    .eval = ane_eval,
    .stale = ane_stale,
    .retries = 3,       /* a published trainer retries five times, 100 ms to 1 s apart (Espresso) */
    .eval_seconds = 30, /* far beyond any evaluation: the longest reported ones take a second; oMLX waits as long */
    .decays = true,     /* rustane, on an M3 Ultra, after some 100,000 direct evaluations */
};

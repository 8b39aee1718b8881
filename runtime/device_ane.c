/* device_ane.c: the engine, through the private framework of macOS: opening and closing it. ane/surface.c, ane/program.c
 * and ane/request.c are the rest of device.h; ane/ane.h says who does what.
 *
 * Written from what published projects say (docs/engine.md, cited by its facts' names), with every class, method and
 * attribute checked before it is used; none of it has run on an engine yet. Three rules keep a wrong guess from becoming
 * a wrong number: surfaces are bound by the indices that the compiled model itself gives for the names in the text, never
 * by position; a port whose compiled layout is not the dense one of the text is refused; and an evaluation that does not
 * return within its time ends the use of the device (device.c), because nothing can be known about its memory any more. */
#include "ane/ane.h"
#include "ane/cf.h"

#include <stdlib.h>
#include <string.h>

enum {
    COMPILE_RETRIES = 3, /* Espresso tries five times, 100 ms to 1 s apart (docs/engine.md E304) */
    STATS_MASK = 15, /* all that is known: bits 0 to 3 (docs/engine.md E454) */
    MOST_DIES = 4    /* numbers that oMLX passes (E420) */
};
static void ane_close(Device *base)
{
    AneDevice *d = (AneDevice *)base;
    if (d->client)
        d->lib.objc_release(d->client);
    ane_models_free(&d->models);
    ane_library_close(&d->lib);
    free(d);
}

/* Where the framework looks for a model's directory (E415), with a slash at the end. */
static char *temporary_directory(const AneLibrary *l)
{
    Buf path = {0};
    if (!cf_text(l, l->NSTemporaryDirectory(), &path) || !path.len)
        buf_puts(&path, "/tmp");
    if (path.data[path.len - 1] != '/')
        buf_putc(&path, '/');
    return path.data;
}

/* The dictionary for compiling, loading and evaluating: empty, or the engine of a part that has several (E420). */
static CfRef make_options(const AneLibrary *l, uint32_t die)
{
    CfRef key[2] = {cf_string(l, "kANEFProcedureVariantHint"), cf_string(l, "kANEFAneInstanceHint")};
    CfRef value[2] = {cf_number(l, 1), cf_number(l, die)};
    CfRef all = cf_dictionary(l, key, value, die ? 2 : 0);
    for (size_t i = 0; i < COUNT(key); i++) {
        cf_release(l, key[i]);
        cf_release(l, value[i]);
    }
    return all;
}

/* The connection for direct evaluation: rustane's, or ane-infer's (E433). Owned by the caller. */
static ObjcId connect(const AneLibrary *l)
{
    ObjcId client = NULL;
    if (!ANE_HAS(l, evaluate_direct))
        return NULL;
    if (ANE_HAS(l, shared_client))
        client = ANE_CALL(l, shared_client)(ANE_CLASS(l, shared_client), ANE_SEL(l, shared_client));
    if (client)
        l->objc_retain(client);
    else if (ANE_HAS(l, client_alloc) && ANE_HAS(l, client_init)) {
        client = ANE_CALL(l, client_alloc)(ANE_CLASS(l, client_alloc), ANE_SEL(l, client_alloc));
        client = client ? ANE_CALL(l, client_init)(client, ANE_SEL(l, client_init), true) : NULL;
    }
    if (client && !ANE_ANSWERS(l, client, evaluate_direct)) {
        l->objc_release(client);
        client = NULL;
    }
    return client;
}

static unsigned stats_mask(const AneLibrary *l)
{
    return ANE_HAS(l, stats_mask) ? ANE_CALL(l, stats_mask)(ANE_CLASS(l, stats_mask), ANE_SEL(l, stats_mask), STATS_MASK)
                                  : STATS_MASK;
}

static Device *ane_open(const DeviceOptions *options, Buf *err)
{
    static const DeviceOptions none;
    const DeviceOptions       *o = options ? options : &none;
    if (o->numerics == NUMERICS_EXACT) {
        buf_puts(err, "the engine computes in fp16: --numerics exact is for --device host");
        return NULL;
    }
    if (o->die > MOST_DIES) {
        buf_printf(err, "there is no engine %u: parts with several have them numbered 1 to %d", (unsigned)o->die, MOST_DIES);
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
    d->models = (AneModels){.lib = &d->lib,
                            .temporary = temporary_directory(&d->lib),
                            .options = make_options(&d->lib, o->die),
                            .retries = COMPILE_RETRIES,
                            .stats = o->engine_times ? stats_mask(&d->lib) : 0};
    d->client = connect(&d->lib);
    d->lib.objc_autoreleasePoolPop(pool);
    return &d->base;
}

static bool ane_stale(Device *base)
{
    return ((AneDevice *)base)->stale;
}

const Driver ane_driver = {
    .name = "ane",
    .open = ane_open,
    .close = ane_close,
    .compile = ane_compile,
    .reload = ane_reload_program,
    .program_free = ane_program_free,
    .surface_new = ane_surface_new,
    .surface_free = ane_surface_free,
    .surface_lock = ane_surface_lock,
    .surface_unlock = ane_surface_unlock,
    .request_new = ane_request_new,
    .request_free = ane_request_free,
    .eval = ane_eval,
    .stale = ane_stale,
    /* .retries = 0: model.c tries compiling and loading again itself, before it judges why it was refused */
    .eval_seconds = 30, /* oMLX waits as long (docs/engine.md E338); the longest reported evaluations take a second */
    .decays = true,     /* rustane, on an M3 Ultra, after some 100,000 direct evaluations (E333) */
};

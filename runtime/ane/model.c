/* model.c: see model.h. */
#include "ane/model.h"

#include "ane/cf.h"
#include "ane/reload.h"
#include "base/arena.h"
#include "base/hash.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Fewer than any table of programs that was met (docs/engine.md E301): with so many models a refusal is the table's. */
enum { NEAR_LIMIT = 100 };

struct AneModel {
    AneModels   *all;
    ObjcId       descriptor, object; /* retained */
    AneDirectory directory;
    AneWeights  *weights; /* for reloads; NULL until one needs it */
    bool         loaded;
};

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void ane_models_free(AneModels *all)
{
    cf_release(all->lib, all->options);
    free(all->temporary);
    free(all->compiled);
    buf_free(&all->notes);
}

/* ---- descriptor and model ---- */

/* { "@model_path/weights/w.bin": { "offset": 0, "data": whole file } } (docs/engine.md E412); empty, never NULL, without
 * files. NULL if a path is no UTF-8. */
static CfRef weights_dictionary(const AneLibrary *l, const DeviceFile *file, size_t files)
{
    CfRef *key = xcalloc(files + 1, sizeof(CfRef)), *value = xcalloc(files + 1, sizeof(CfRef));
    CfRef  names[2] = {cf_string(l, "data"), cf_string(l, "offset")}, zero = cf_number(l, 0);
    bool   ok = true;
    for (size_t i = 0; i < files; i++) {
        CfRef data = cf_data(l, file[i].data, file[i].len);
        key[i] = cf_string(l, file[i].path);
        value[i] = data ? cf_dictionary(l, names, (CfRef[]){data, zero}, 2) : NULL;
        ok = ok && key[i] && value[i];
        cf_release(l, data);
    }
    CfRef all = ok ? cf_dictionary(l, key, value, files) : NULL;
    for (size_t i = 0; i < files; i++) {
        cf_release(l, key[i]);
        cf_release(l, value[i]);
    }
    cf_release(l, names[0]);
    cf_release(l, names[1]);
    cf_release(l, zero);
    free(key);
    free(value);
    return all;
}

/* The model's name becomes the name of a directory: nothing but letters, digits and underscores may be in it. */
static bool good_name(const Buf *name)
{
    for (size_t i = 0; i < name->len; i++)
        if (!isalnum((unsigned char)name->data[i]) && name->data[i] != '_')
            return false;
    return name->len > 0 && name->len < 250; /* names of files have at most 255 bytes */
}

static bool make_object(AneModel *m, CfRef text, CfRef weights, AneMaking *making, Buf *err)
{
    const AneLibrary *l = m->all->lib;
    ObjcId descriptor = ANE_CALL(l, descriptor)(ANE_CLASS(l, descriptor), ANE_SEL(l, descriptor), text, weights, NULL);
    if (descriptor)
        m->descriptor = l->objc_retain(descriptor);
    ObjcId object =
        m->descriptor ? ANE_CALL(l, model_new)(ANE_CLASS(l, model_new), ANE_SEL(l, model_new), m->descriptor) : NULL;
    if (object)
        m->object = l->objc_retain(object);
    if (!m->object) {
        making->refusal = REFUSED_ENGINE;
        buf_printf(err, "the framework made no %s of the text: it is not MIL it can read, or a weight file is missing\n",
                   m->descriptor ? "model" : "descriptor");
    }
    return m->object != NULL;
}

static bool describe(AneModel *m, const char *mil, size_t len, const DeviceFile *file, size_t files,
                     AneMaking *making, Buf *err)
{
    const AneLibrary *l = m->all->lib;
    CfRef             text = cf_data(l, mil, len), weights = weights_dictionary(l, file, files);
    bool              ok = text && weights;
    if (ok)
        ok = make_object(m, text, weights, making, err);
    else
        buf_puts(err, "the text and its weight files cannot be handed over: no memory, or a path that is no UTF-8\n");
    cf_release(l, text);
    cf_release(l, weights);
    if (!ok)
        return false;
    Buf name = {0}, path = {0};
    ok = cf_text(l, ANE_CALL(l, hex_identifier)(m->object, ANE_SEL(l, hex_identifier)), &name) && good_name(&name);
    if (ok) {
        buf_printf(&path, "%s%s", m->all->temporary, name.data);
        ok = ane_directory_open(&m->directory, path.data, err);
    } else
        buf_puts(err, "the framework gave the model no usable name\n");
    buf_free(&name);
    buf_free(&path);
    return ok && ane_files_write(&m->directory, mil, len, file, files, err);
}

/* ---- compile and load ---- */

/* Has this text been compiled before, with whatever weights? Then it cannot be what is wrong. */
static bool compiled_before(const AneModels *all, uint64_t text)
{
    for (size_t i = 0; i < all->texts; i++)
        if (all->compiled[i] == text)
            return true;
    return false;
}

static void tell(const AneModel *m, AneStage stage, const char *what, ObjcId error, Buf *err)
{
    AneModels *all = m->all;
    Buf        text = {0};
    int64_t    code = cf_error_text(all->lib, error, &text);
    buf_printf(err, "%s: %s\n", what, text.data);
    ane_explain(stage, text.data, code, all->alive, err);
    if (all->notes.len)
        buf_printf(err, "  before that: %s\n", all->notes.data);
    buf_free(&text);
}

/* The smallest program there is reason to call harmless: relu of 64 channels and 64 positions (docs/engine.md E222). */
static const char control_mil[] =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "
    "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", "
    "\"9.0\"}})]\n{\n"
    "    func main<ios18>(tensor<fp16, [1, 64, 1, 64]> i00_x) {\n"
    "        tensor<fp16, [1, 64, 1, 64]> o00_y = relu(x = i00_x)[name = string(\"o00_y\")];\n"
    "    } -> (o00_y);\n}\n";

/* Does the system compile that one, now? Then what was refused was refused for itself. Told once for a number of models:
 * a program that is searched for what is wrong with it is compiled many times. */
static bool control_compiles(AneModels *all)
{
    const AneLibrary *l = all->lib;
    if (all->alive <= all->control)
        return true;
    AneModel *m = xcalloc(1, sizeof *m);
    AneMaking making;
    ObjcId    error = NULL;
    Buf       ignored = {0};
    m->all = all;
    all->alive++;
    bool ok = describe(m, control_mil, sizeof control_mil - 1, NULL, 0, &making, &ignored) &&
              ANE_CALL(l, compile)(m->object, ANE_SEL(l, compile), ANE_QOS, all->options, &error);
    ane_model_free(m);
    buf_free(&ignored);
    all->control = ok ? all->alive : 0;
    return ok;
}

/* Why was it refused? The system does not say whether it is the program or its own table that is full (docs/engine.md
 * E302, E605); but a text that compiled before, or a program of one operation, is not what is wrong. */
static void judge(AneModel *m, uint64_t text, AneMaking *making, Buf *err)
{
    AneModels  *all = m->all;
    const char *because = compiled_before(all, text)   ? "the same text was compiled before"
                          : all->alive > NEAR_LIMIT    ? "there are many already"
                          : !control_compiles(all)     ? "not even a program of one operation is compiled now"
                                                       : NULL;
    bool full = because && all->alive > 1;
    making->refusal = full ? REFUSED_LIMIT : REFUSED_ENGINE;
    if (!because) /* who searches for what is wrong with it need not wait for chance each time */
        all->retries = all->retries ? 1 : 0;
    if (full)
        buf_printf(err,
                   "  %s: the system seems to take no more programs from this process, which holds %u (docs/engine.md E605): "
                   "set a lower --compile-budget, so that it starts itself again in time, or make the plan with --weights "
                   "dynamic\n",
                   because, (unsigned)all->alive - 1);
    else if (because)
        buf_printf(err, "  %s: it is not this program, the system's compiler does not work\n", because);
}

static bool compile(AneModel *m, uint64_t text, AneMaking *making, Buf *err)
{
    AneModels        *all = m->all;
    const AneLibrary *l = all->lib;
    uint64_t          from = now_ns();
    making->compiled = true;
    for (unsigned attempt = 0;; attempt++) {
        ObjcId error = NULL;
        if (ANE_CALL(l, compile)(m->object, ANE_SEL(l, compile), ANE_QOS, all->options, &error)) {
            making->compile_ns += now_ns() - from;
            if (!compiled_before(all, text)) {
                all->compiled = xrealloc(all->compiled, (all->texts + 1) * sizeof *all->compiled);
                all->compiled[all->texts++] = text;
            }
            return true;
        }
        if (attempt >= all->retries) {
            tell(m, ANE_COMPILING, "compiling was refused", error, err);
            judge(m, text, making, err);
            return false;
        }
        pause_ms(100u << attempt); /* Espresso tries again after 100 ms to 1 s (docs/engine.md E304) */
    }
}

static bool load(AneModel *m, AneMaking *making, Buf *err)
{
    const AneLibrary *l = m->all->lib;
    uint64_t          from = now_ns();
    for (int attempt = 0;; attempt++) {
        ObjcId error = NULL;
        m->loaded = ANE_CALL(l, load)(m->object, ANE_SEL(l, load), ANE_QOS, m->all->options, &error);
        if (m->loaded)
            break;
        if (attempt == 1) {
            making->refusal = m->all->alive > NEAR_LIMIT ? REFUSED_LIMIT : REFUSED_LOAD;
            tell(m, ANE_LOADING, "loading failed", error, err);
            return false;
        }
        pause_ms(100); /* maderix/ANE's bridge tries once more after 100 ms (docs/engine.md E305) */
    }
    making->load_ns = now_ns() - from;
    if (m->all->stats && ANE_HAS(l, set_stats_mask))
        ANE_CALL(l, set_stats_mask)(m->object, ANE_SEL(l, set_stats_mask), m->all->stats);
    return true;
}

/* Take over what compiling left for the donor. One that came from the system's cache left nothing: then this one is
 * compiled, and the next can take from it. */
static bool take_over(AneModel *m, AneModel *donor, uint64_t text, const DeviceFile *file, size_t files,
                      AneMaking *making, Buf *err)
{
    if (!ane_reload_can(&donor->directory))
        return compile(m, text, making, err);
    if (!donor->weights)
        donor->weights = ane_weights_read(&donor->directory, file, files, err);
    m->weights = ane_weights_new(file, files);
    return donor->weights &&
           ane_reload(&donor->directory, donor->weights, &m->directory, m->weights, file, files, err);
}

/* A copy compiled by an earlier process (docs/engine.md E310, E311). */
static bool copy_exists(const AneModel *m)
{
    const AneLibrary *l = m->all->lib;
    return ANE_HAS(l, compiled_exists) && ANE_CALL(l, compiled_exists)(m->object, ANE_SEL(l, compiled_exists));
}

AneModel *ane_model_new(AneModels *all, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        AneModel *donor, AneMaking *making, Buf *err)
{
    const AneLibrary *l = all->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    AneModel         *m = xcalloc(1, sizeof *m);
    uint64_t          text = hash_u64(mil, len);
    *making = (AneMaking){.refusal = REFUSED_LOAD};
    m->all = all;
    all->alive++;
    bool ok = describe(m, mil, len, file, files, making, err);
    if (ok && donor)
        ok = take_over(m, donor, text, file, files, making, err);
    else if (ok) {
        making->from_copy = !all->fresh && copy_exists(m);
        ok = making->from_copy || compile(m, text, making, err);
    }
    size_t said = err->len;
    bool   taken = ok && donor && !making->compiled;
    ok = ok && load(m, making, err);
    if (!ok && taken && copy_exists(m)) { /* perhaps the system took its own copy instead, and that is no good */
        if (err->data)
            err->data[err->len = said] = 0;
        ane_model_purge(m);
        ok = load(m, making, err);
    }
    if (!ok && making->from_copy)
        ane_model_purge(m);
    l->objc_autoreleasePoolPop(pool);
    if (ok) {
        making->refusal = REFUSED_NOT;
        return m;
    }
    ane_model_free(m);
    return NULL;
}

void ane_model_purge(const AneModel *m)
{
    const AneLibrary *l = m->all->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    if (ANE_HAS(l, purge_compiled))
        ANE_CALL(l, purge_compiled)(m->object, ANE_SEL(l, purge_compiled));
    l->objc_autoreleasePoolPop(pool);
}

void ane_model_free(AneModel *m)
{
    if (!m)
        return;
    AneModels        *all = m->all;
    const AneLibrary *l = all->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    ObjcId            error = NULL;
    if (m->loaded && !ANE_CALL(l, unload)(m->object, ANE_SEL(l, unload), ANE_QOS, &error) && all->notes.len < 1000) {
        buf_puts(&all->notes, all->notes.len ? "; unloading a model failed: " : "unloading a model failed: ");
        cf_error_text(l, error, &all->notes);
    }
    if (m->object)
        l->objc_release(m->object);
    if (m->descriptor)
        l->objc_release(m->descriptor);
    l->objc_autoreleasePoolPop(pool);
    ane_directory_close(&m->directory);
    ane_weights_free(m->weights);
    all->alive--;
    free(m);
}

ObjcId ane_model_object(const AneModel *m)
{
    return m->object;
}

ObjcId ane_model_inner(const AneModel *m)
{
    const AneLibrary *l = m->all->lib;
    return ANE_HAS(l, inner_model) ? ANE_CALL(l, inner_model)(m->object, ANE_SEL(l, inner_model)) : NULL;
}

int64_t ane_model_state(const AneModel *m)
{
    const AneLibrary *l = m->all->lib;
    return ANE_HAS(l, state) ? (int64_t)(ANE_CALL(l, state)(m->object, ANE_SEL(l, state)) & INT64_MAX) : -1;
}

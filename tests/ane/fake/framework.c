/* framework.c: descriptors and models of the private framework. The sequence that published projects follow is enforced:
 * compile before load, load before evaluate, the files in the model's directory, objects of the right classes, the same
 * options in all calls, one thread at a time. What the real one was reported to do wrong is behind the words of
 * switches.def. */
#include "framework.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Device           *host;
static atomic_int alive; /* compiled models */
static int64_t    compilations, loads;

static void at_exit(void)
{
    object_report_leaks();
}

static void descriptor_end(void *o)
{
    object_release(((DescriptorObject *)o)->text);
    object_release(((DescriptorObject *)o)->weights);
}

static void model_end(void *o)
{
    ModelObject *m = o;
    if (m->loaded)
        misuse("a model is freed while it is loaded");
    alive -= m->counted;
    object_release(m->descriptor);
    object_release(m->inner);
}

__attribute__((constructor)) static void start(void)
{
    Buf           err = {0};
    DeviceOptions options = {.numerics = NUMERICS_ANE, .reduce = fake_has("lenient") ? REDUCE_LENIENT : REDUCE_STRICT};
    char         *words = fake_foreign_words();
    options.faults = *words ? words : NULL;
    host = device_open("host", &options, &err);
    if (!host)
        misuse("no host device: %s", err.data);
    free(words);
    object_finalizer(KIND_DESCRIPTOR, descriptor_end);
    object_finalizer(KIND_MODEL, model_end);
    atexit(at_exit);
}

/* ---- descriptor and model ---- */

void *fake_descriptor(void *self, void *selector, void *text, void *weights, void *plist);
void *fake_descriptor(void *self, void *selector, void *text, void *weights, void *plist)
{
    (void)self, (void)selector;
    DescriptorObject *d;
    object_check(text, KIND_DATA, "MIL text (NSData, not NSString)");
    ContainerObject *w = object_check(weights, KIND_DICTIONARY, "weights (an empty dictionary, never nil)");
    if (plist)
        misuse("an options plist");
    for (size_t i = 0; i < w->count; i++) {
        ContainerObject *entry = object_check(w->value[i], KIND_DICTIONARY, "entry of the weights");
        NumberObject    *offset = object_check(dictionary_get(entry, "offset"), KIND_NUMBER, "offset");
        object_check(dictionary_get(entry, "data"), KIND_DATA, "data");
        if (offset->value != 0)
            misuse("weights at offset %" PRId64, offset->value);
    }
    if (fake_has("nil-descriptor"))
        return NULL;
    d = object_new(KIND_DESCRIPTOR, sizeof *d);
    object_retain(d->text = text);
    object_retain(d->weights = weights);
    return object_autorelease(d);
}

/* The name of a model: of its text and of its weights. */
static void name_model(ModelObject *m)
{
    char     text[HASH_HEX], weights[HASH_HEX];
    Buf      all = {0};
    const ContainerObject *w = m->descriptor->weights;
    hash_hex(m->descriptor->text->bytes, m->descriptor->text->len, text);
    for (size_t i = 0; i < w->count; i++) {
        const DataObject *data = dictionary_get(w->value[i], "data");
        char              one[HASH_HEX];
        hash_hex(data->bytes, data->len, one);
        buf_printf(&all, "%s=%s;", (const char *)((const DataObject *)w->key[i])->bytes, one);
    }
    hash_hex(all.data ? all.data : "", all.len, weights);
    snprintf(m->hex, sizeof m->hex, "%s_%s", text, weights);
    buf_free(&all);
}

void *fake_model_new(void *self, void *selector, void *descriptor);
void *fake_model_new(void *self, void *selector, void *descriptor)
{
    (void)self, (void)selector;
    object_check(descriptor, KIND_DESCRIPTOR, "inMemoryModelWithDescriptor:");
    if (fake_has("nil-model"))
        return NULL;
    ModelObject *m = object_new(KIND_MODEL, sizeof *m);
    object_retain(m->descriptor = descriptor);
    m->inner = object_new(KIND_INNER, sizeof *m->inner);
    m->inner->model = m;
    name_model(m);
    return object_autorelease(m);
}

void *fake_hex(ModelObject *m, void *selector);
void *fake_hex(ModelObject *m, void *selector)
{
    (void)selector;
    return object_autorelease(string_new(fake_has("bad-name") ? "../elsewhere" : m->hex));
}

void *fake_inner(ModelObject *m, void *selector);
void *fake_inner(ModelObject *m, void *selector)
{
    (void)selector;
    return m->inner;
}

uint64_t fake_state(ModelObject *m, void *selector);
uint64_t fake_state(ModelObject *m, void *selector)
{
    (void)selector;
    return m->loaded ? 3 : 1;
}

bool fake_exists(ModelObject *m, void *selector);
bool fake_exists(ModelObject *m, void *selector)
{
    (void)selector;
    return is_cached(m);
}

void fake_purge(ModelObject *m, void *selector);
void fake_purge(ModelObject *m, void *selector)
{
    (void)selector;
    fake_record("purge");
    drop_cached(m);
}

/* ---- compile, load, unload ---- */

bool refuse(void **error, ErrorObject *why)
{
    if (!error)
        misuse("no place for an error");
    *error = why;
    return false;
}

static int64_t hint(const ContainerObject *options, const char *key)
{
    void *n = dictionary_get(options, key);
    return n ? ((NumberObject *)object_check(n, KIND_NUMBER, key))->value : -1;
}

void check_call(ModelObject *m, unsigned qos, void *options)
{
    object_check(m, KIND_MODEL, "a model's method");
    if (qos > 63)
        misuse("QoS %u", qos);
    ContainerObject *o = object_check(options, KIND_DICTIONARY, "options");
    int64_t          die = hint(o, "kANEFAneInstanceHint"), variant = hint(o, "kANEFProcedureVariantHint");
    if (o->count != (die >= 0) + (size_t)(variant >= 0))
        misuse("an option that nobody has been seen to use");
    if ((die >= 0 || variant >= 0) && (die < 1 || die > 4 || variant != 1))
        misuse("the engine %" PRId64 " of variant %" PRId64, die, variant);
    char    now[HASH_HEX];
    int64_t both[2] = {die, variant};
    hash_hex(both, sizeof both, now);
    if (!*m->options)
        memcpy(m->options, now, sizeof now);
    if (strcmp(m->options, now) != 0)
        misuse("a model gets other options than before");
}

/* One thread compiles, loads or unloads a model, and nobody evaluates it meanwhile. */
static void enter(ModelObject *m, const char *what)
{
    if (atomic_fetch_add(&m->busy, 1))
        misuse("a model is %s by two threads at once", what);
    if (m->evaluating)
        misuse("a model is %s while it is evaluated", what);
}

static bool leave(ModelObject *m, bool result)
{
    atomic_fetch_sub(&m->busy, 1);
    return result;
}

static int64_t statements(const DataObject *text)
{
    int64_t n = 0;
    for (const char *p = (const char *)text->bytes; (p = strchr(p, ';')); p++)
        n++;
    return n;
}

static ErrorObject *compile_failure(void)
{
    return error_under(error_new(1, "_ANECompiler : ANECCompile() FAILED"), error_new(17, "the compiler's own reason"));
}

static bool compile(ModelObject *m, void **error)
{
    Buf err = {0};
    check_directory(m);
    if (m->compiled)
        misuse("a model is compiled twice");
    if (m->loaded)
        misuse("a model is compiled that is loaded");
    if (++compilations <= fake_number("compile-fails", 0) || compilations > fake_number("compile-total", INT64_MAX) ||
        statements(m->descriptor->text) > fake_number("compile-refuses", INT64_MAX) ||
        alive >= fake_number("compile-limit", INT32_MAX))
        return refuse(error, compile_failure());
    Program *p = build(m, false, &err);
    if (!p)
        refuse(error, error_new(2, "InvalidMILProgram: %.300s", err.data));
    buf_free(&err);
    if (!p)
        return false;
    program_free(p);
    m->compiled = m->counted = true;
    alive++;
    leave_compiled(m);
    return true;
}

bool fake_compile(ModelObject *m, void *selector, unsigned qos, void *options, void **error);
bool fake_compile(ModelObject *m, void *selector, unsigned qos, void *options, void **error)
{
    (void)selector;
    check_call(m, qos, options);
    enter(m, "compiled");
    bool ok = compile(m, error);
    fake_record("compile %s die %" PRId64, ok ? "ok" : "refused", hint(options, "kANEFAneInstanceHint"));
    return leave(m, ok);
}

static bool load(ModelObject *m, void **error)
{
    Buf  err = {0};
    bool copy = is_cached(m);
    check_directory(m);
    if (m->loaded)
        misuse("a model is loaded twice");
    if (!m->compiled && !has_parts(m) && !copy)
        misuse("a model is loaded that was never compiled");
    if (!m->compiled && copy && fake_has("cache-broken"))
        return refuse(error, error_new(6, "Program load failure (0x20004)"));
    if (++loads <= fake_number("load-fails", 0))
        return refuse(error, error_new(6, "Program load failure (0x20004)"));
    m->program = build(m, true, &err);
    if (!m->program)
        refuse(error, error_new(6, "Program load failure: %.300s", err.data));
    else if (copy && fake_has("cache-parts"))
        leave_compiled(m);
    buf_free(&err);
    m->loaded = m->program != NULL;
    return m->loaded;
}

bool fake_load(ModelObject *m, void *selector, unsigned qos, void *options, void **error);
bool fake_load(ModelObject *m, void *selector, unsigned qos, void *options, void **error)
{
    (void)selector;
    check_call(m, qos, options);
    enter(m, "loaded");
    bool ok = load(m, error);
    fake_record("load %s die %" PRId64, ok ? "ok" : "refused", hint(options, "kANEFAneInstanceHint"));
    return leave(m, ok);
}

bool fake_unload(ModelObject *m, void *selector, unsigned qos, void **error);
bool fake_unload(ModelObject *m, void *selector, unsigned qos, void **error)
{
    (void)selector;
    object_check(m, KIND_MODEL, "unload");
    if (qos > 63)
        misuse("QoS %u", qos);
    enter(m, "unloaded");
    if (!m->loaded)
        misuse("a model is unloaded that is not loaded");
    check_directory(m); /* it stays while the model is loaded */
    program_free(m->program);
    m->program = NULL;
    m->loaded = false;
    alive -= m->counted;
    m->counted = false;
    fake_record("unload");
    if (fake_has("unload-fails"))
        return leave(m, refuse(error, error_new(9, "the engine does not let go")));
    return leave(m, true);
}

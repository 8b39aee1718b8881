/* framework.c: the private framework's classes: descriptors, models, requests, evaluation; on top of the host device.
 *
 * The sequence that published projects follow is enforced: compile before load, load before evaluate, the files in the
 * model's directory, objects of the right classes. What the real one was reported to do wrong is behind switches:
 *
 *   compile-limit=N    the N+1st model that is compiled and alive is refused
 *   compile-fails=N    the first N compilations fail by chance
 *   load-fails=N       the first N loads fail
 *   cache-broken       models found in the cache of an earlier process do not load
 *   stale-reload       a model made with compiled parts of another keeps that one's weights
 *   swap-symbols       symbols are listed in another order than the text's
 *   no-procedures      attributes lack the procedures
 *   padded-rows        rows are padded in the compiled layout
 *   hang=N             evaluation N never returns
 *   eval-fails=N       evaluations fail from the Nth on, and leave garbage in their outputs
 *   no-direct          direct evaluation is refused */
#include "framework.h"

#include "base/arena.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Device *host;
static int     alive; /* compiled models */
static int64_t compilations, loads;

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
    object_release(m->descriptor);
}

__attribute__((constructor)) static void start(void)
{
    Buf           err = {0};
    DeviceOptions options = {.numerics = NUMERICS_ANE, .reduce = fake_has("lenient") ? REDUCE_LENIENT : REDUCE_STRICT};
    host = device_open("host", &options, &err);
    if (!host)
        misuse("no host device: %s", err.data);
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
    ModelObject *m = object_new(KIND_MODEL, sizeof *m);
    object_retain(m->descriptor = descriptor);
    name_model(m);
    return object_autorelease(m);
}

void *fake_hex(ModelObject *m, void *selector);
void *fake_hex(ModelObject *m, void *selector)
{
    (void)selector;
    return object_autorelease(string_new(m->hex));
}

/* ---- files ---- */

static char *in_directory(Arena *a, const ModelObject *m, const char *name)
{
    const char *tmp = getenv("TMPDIR");
    return arena_printf(a, "%s/%s/%s", tmp && *tmp ? tmp : "/tmp", m->hex, name);
}

static char *read_whole(Arena *a, const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *data = arena_alloc(a, *len + 1);
    bool  ok = fread(data, 1, *len, f) == *len;
    fclose(f);
    return ok ? data : NULL;
}

/* Compiling reads from the directory: what is there has to be what the descriptor holds. */
static void check_directory(const ModelObject *m)
{
    Arena *a = arena_new();
    size_t len = 0;
    char  *text = read_whole(a, in_directory(a, m, "model.mil"), &len);
    if (!text || len != m->descriptor->text->len || memcmp(text, m->descriptor->text->bytes, len) != 0)
        misuse("model.mil is not in the model's directory, or holds another text");
    const ContainerObject *w = m->descriptor->weights;
    for (size_t i = 0; i < w->count; i++) {
        const char       *key = (const char *)((const DataObject *)w->key[i])->bytes;
        const DataObject *data = dictionary_get(w->value[i], "data");
        if (strncmp(key, "@model_path/", 12) != 0)
            misuse("the weight file '%s' is not below @model_path", key);
        char *file = read_whole(a, in_directory(a, m, key + 12), &len);
        if (!file || len != data->len || memcmp(file, data->bytes, len) != 0)
            misuse("'%s' is not in the model's directory, or holds other bytes", key);
    }
    arena_free(a);
}

static void write_whole(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        misuse("cannot write '%s'", path);
}

/* What compiling leaves: net.plist says which model it is of, data has the weights, file after file. */
static void leave_compiled(const ModelObject *m)
{
    Arena *a = arena_new();
    Buf    data = {0};
    const ContainerObject *w = m->descriptor->weights;
    for (size_t i = 0; i < w->count; i++) {
        const DataObject *d = dictionary_get(w->value[i], "data");
        uint64_t          len = d->len;
        buf_add(&data, &len, sizeof len);
        buf_add(&data, d->bytes, d->len);
    }
    write_whole(in_directory(a, m, "net.plist"), m->hex, strlen(m->hex));
    write_whole(in_directory(a, m, "data"), data.data ? data.data : "", data.len);
    buf_free(&data);
    arena_free(a);
}

static char *cached(Arena *a, const ModelObject *m)
{
    const char *dir = getenv("ANEL_FAKE_CACHE");
    return dir && *dir ? arena_printf(a, "%s/%s", dir, m->hex) : NULL;
}

bool fake_exists(ModelObject *m, void *selector);
bool fake_exists(ModelObject *m, void *selector)
{
    (void)selector;
    Arena *a = arena_new();
    char  *path = cached(a, m);
    bool   yes = path && access(path, R_OK) == 0;
    arena_free(a);
    return yes;
}

void fake_purge(ModelObject *m, void *selector);
void fake_purge(ModelObject *m, void *selector)
{
    (void)selector;
    Arena *a = arena_new();
    char  *path = cached(a, m);
    if (path)
        (void)unlink(path);
    arena_free(a);
}

/* ---- compile, load, unload ---- */

bool refuse(void **error, ErrorObject *why)
{
    if (!error)
        misuse("no place for an error");
    *error = why;
    return false;
}

void check_call(const ModelObject *m, unsigned qos, void *options)
{
    object_check(m, KIND_MODEL, "a model's method");
    if (qos > 63)
        misuse("QoS %u", qos);
    object_check(options, KIND_DICTIONARY, "options");
}

/* Compile with the host device; the weights are the descriptor's, or those in `data`. */
static Program *build(const ModelObject *m, Buf *err)
{
    Arena                 *a = arena_new();
    const ContainerObject *w = m->descriptor->weights;
    DeviceFile            *file = NEW_N(a, DeviceFile, w->count + 1);
    size_t                 len = 0, at = 0;
    char                  *data = fake_has("stale-reload") ? read_whole(a, in_directory(a, m, "data"), &len) : NULL;
    for (size_t i = 0; i < w->count; i++) {
        const DataObject *d = dictionary_get(w->value[i], "data");
        file[i] = (DeviceFile){.path = (const char *)((const DataObject *)w->key[i])->bytes, .data = d->bytes, .len = d->len};
        if (data) {
            uint64_t n;
            memcpy(&n, data + at, sizeof n);
            file[i].data = data + at + sizeof n;
            file[i].len = n;
            at += sizeof n + n;
        }
    }
    /* blob views want the alignment of a file */
    for (size_t i = 0; i < w->count; i++) {
        void *copy = arena_alloc(a, file[i].len + 1);
        memcpy(copy, file[i].data, file[i].len);
        file[i].data = copy;
    }
    Program *p = program_compile(host, "model.mil", (const char *)m->descriptor->text->bytes, m->descriptor->text->len,
                                 file, w->count, err);
    arena_free(a);
    return p;
}

bool fake_compile(ModelObject *m, void *selector, unsigned qos, void *options, void **error);
bool fake_compile(ModelObject *m, void *selector, unsigned qos, void *options, void **error)
{
    (void)selector;
    Buf err = {0};
    check_call(m, qos, options);
    check_directory(m);
    if (m->compiled)
        misuse("a model is compiled twice");
    if (++compilations <= fake_number("compile-fails", 0))
        return refuse(error, error_new(1, "_ANECompiler : ANECCompile() FAILED"));
    if (alive >= fake_number("compile-limit", 1 << 30))
        return refuse(error, error_new(5, "Program compile failure: no more programs"));
    if (fake_refuses((const char *)m->descriptor->text->bytes, m->descriptor->text->len))
        return refuse(error, error_new(1, "_ANECompiler : ANECCompile() FAILED"));
    Program *p = build(m, &err);
    if (!p) {
        refuse(error, error_new(2, "InvalidMILProgram: %.300s", err.data));
        buf_free(&err);
        return false;
    }
    buf_free(&err);
    program_free(p);
    m->compiled = m->counted = true;
    alive++;
    leave_compiled(m);
    Arena *a = arena_new();
    char  *path = cached(a, m);
    if (path)
        write_whole(path, m->hex, strlen(m->hex));
    arena_free(a);
    return true;
}

bool fake_load(ModelObject *m, void *selector, unsigned qos, void *options, void **error);
bool fake_load(ModelObject *m, void *selector, unsigned qos, void *options, void **error)
{
    (void)selector;
    Arena *a = arena_new();
    Buf    err = {0};
    size_t len;
    check_call(m, qos, options);
    if (m->loaded)
        misuse("a model is loaded twice");
    bool taken = read_whole(a, in_directory(a, m, "net.plist"), &len) && read_whole(a, in_directory(a, m, "data"), &len);
    bool copy = fake_exists(m, NULL);
    arena_free(a);
    if (!m->compiled && !taken && !copy)
        misuse("a model is loaded that was never compiled");
    if (!m->compiled && copy && fake_has("cache-broken"))
        return refuse(error, error_new(6, "Program load failure (0x20004)"));
    if (++loads <= fake_number("load-fails", 0))
        return refuse(error, error_new(6, "Program load failure (0x20004)"));
    m->program = build(m, &err);
    if (!m->program)
        refuse(error, error_new(6, "Program load failure: %.300s", err.data));
    buf_free(&err);
    m->loaded = m->program != NULL;
    return m->loaded;
}

bool fake_unload(ModelObject *m, void *selector, unsigned qos, void **error);
bool fake_unload(ModelObject *m, void *selector, unsigned qos, void **error)
{
    (void)selector, (void)qos, (void)error;
    object_check(m, KIND_MODEL, "unload");
    if (!m->loaded)
        misuse("a model is unloaded that is not loaded");
    if (m->evaluating)
        misuse("a model is unloaded while it is evaluated");
    program_free(m->program);
    m->program = NULL;
    m->loaded = false;
    alive -= m->counted;
    m->counted = false;
    return true;
}

/* ---- attributes ---- */

static void *dictionary(size_t n, ...)
{
    va_list args;
    void   *key[16], *value[16];
    va_start(args, n);
    for (size_t i = 0; i < n; i++) {
        key[i] = string_new(va_arg(args, const char *));
        value[i] = va_arg(args, void *);
    }
    va_end(args);
    ContainerObject *d = dictionary_new(key, value, n);
    for (size_t i = 0; i < n; i++) {
        object_release(key[i]);
        object_release(value[i]);
    }
    return d;
}

static void *list(void **value, size_t n)
{
    ContainerObject *c = array_new(value, n);
    for (size_t i = 0; i < n; i++)
        object_release(value[i]);
    return c;
}

static void *layout(const Port *p, bool output)
{
    char    name[300];
    int64_t elem = (int64_t)port_elem_bytes(p->type), width = p->dim[p->rank - 1];
    int64_t row = width * elem + (fake_has("padded-rows") ? 64 : 0), height = p->rank > 1 ? p->dim[p->rank - 2] : 1,
            channels = p->rank > 2 ? p->dim[p->rank - 3] : 1, batches = p->rank > 3 ? p->dim[0] : 1;
    snprintf(name, sizeof name, "%s%s", p->name, output ? "@output" : "");
    return dictionary(10, "Name", string_new(name), "Type", string_new(p->type == PORT_F32 ? "Float32" : "Float16"),
                      "Width", number_new(width), "Height", number_new(height), "Channels", number_new(channels),
                      "Batches", number_new(batches), "Depth", number_new(1), "RowStride", number_new(row),
                      "PlaneStride", number_new(row * height), "BatchStride", number_new(row * height * channels));
}

/* The symbol that port i of procedure f is. Symbols of all procedures are listed one after the other. */
int64_t symbol_of(const Program *p, uint32_t f, uint32_t i, bool output)
{
    int64_t before = 0, n = output ? program_function(p, f)->outputs : program_function(p, f)->inputs;
    for (uint32_t k = 0; k < f; k++)
        before += output ? program_function(p, k)->outputs : program_function(p, k)->inputs;
    return before + (fake_has("swap-symbols") ? n - 1 - (int64_t)i : (int64_t)i);
}

static void *symbols(const Program *p, bool output)
{
    void  *name[4096];
    size_t n = 0;
    for (uint32_t f = 0; f < program_functions(p); f++) {
        const ProgramFunction *g = program_function(p, f);
        uint32_t               ports = output ? g->outputs : g->inputs;
        for (uint32_t i = 0; i < ports; i++) {
            char text[300];
            snprintf(text, sizeof text, "%s%s", (output ? g->output : g->input)[i].name, output ? "@output" : "");
            name[symbol_of(p, f, i, output)] = string_new(text);
        }
        n += ports;
    }
    return list(name, n);
}

static void *indices(const Program *p, uint32_t f, bool output)
{
    const ProgramFunction *g = program_function(p, f);
    uint32_t               ports = output ? g->outputs : g->inputs;
    void                  *index[4096];
    int64_t                first = symbol_of(p, f, 0, output);
    for (uint32_t i = 0; i < ports; i++)
        first = symbol_of(p, f, i, output) < first ? symbol_of(p, f, i, output) : first;
    for (uint32_t i = 0; i < ports; i++)
        index[i] = number_new(first + i);
    return list(index, ports);
}

void *fake_attributes(ModelObject *m, void *selector);
void *fake_attributes(ModelObject *m, void *selector)
{
    (void)selector;
    object_check(m, KIND_MODEL, "modelAttributes");
    if (!m->loaded)
        misuse("attributes of a model that is not loaded");
    uint32_t n = program_functions(m->program);
    void    *procedure[256], *status[256];
    for (uint32_t f = 0; f < n; f++) {
        const ProgramFunction *g = program_function(m->program, f);
        void                  *in[1024], *out[1024];
        for (uint32_t i = 0; i < g->inputs; i++)
            in[i] = layout(&g->input[i], false);
        for (uint32_t i = 0; i < g->outputs; i++)
            out[i] = layout(&g->output[i], true);
        procedure[f] = dictionary(3, "ANEFModelProcedureID", number_new(f), "ANEFModelInputSymbolIndexArray",
                                  indices(m->program, f, false), "ANEFModelOutputSymbolIndexArray",
                                  indices(m->program, f, true));
        status[f] = dictionary(2, "LiveInputList", list(in, g->inputs), "LiveOutputList", list(out, g->outputs));
    }
    void *description =
        dictionary(3, "kANEFModelInputSymbolsArrayKey", symbols(m->program, false), "kANEFModelOutputSymbolsArrayKey",
                   symbols(m->program, true), fake_has("no-procedures") ? "Other" : "ANEFModelProcedures",
                   list(procedure, n));
    return object_autorelease(dictionary(2, "ANEFModelDescription", description, "NetworkStatusList", list(status, n)));
}

/* model.c: see model.h. */
#include "ane/model.h"

#include "ane/cf.h"
#include "ane/files.h"
#include "base/arena.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct AneModel {
    const AneLibrary *lib;
    ObjcId            descriptor, object; /* retained */
    CfRef             options;
    char             *directory;
    bool              loaded;
    AneModel        **alive, *next;
};

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* ---- descriptor and model ---- */

/* { "@model_path/weights/w.bin": { "offset": 0, "data": whole file } }; empty, never NULL, without files. */
static CfRef weights_dictionary(const AneLibrary *l, const DeviceFile *file, size_t files)
{
    CfRef *key = xcalloc(files + 1, sizeof(CfRef)), *value = xcalloc(files + 1, sizeof(CfRef));
    CfRef  names[2] = {cf_string(l, "data"), cf_string(l, "offset")}, zero = cf_number(l, 0);
    for (size_t i = 0; i < files; i++) {
        CfRef data = cf_data(l, file[i].data, file[i].len);
        key[i] = cf_string(l, file[i].path);
        value[i] = cf_dictionary(l, names, (CfRef[]){data, zero}, 2);
        cf_release(l, data);
    }
    CfRef all = cf_dictionary(l, key, value, files);
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
    return name->len > 0 && name->len < 512;
}

static bool describe(AneModel *m, const AneModelSetup *s, const char *mil, size_t len, const DeviceFile *file,
                     size_t files, Buf *err)
{
    const AneLibrary *l = m->lib;
    CfRef             text = cf_data(l, mil, len), weights = weights_dictionary(l, file, files);
    Buf               name = {0};
    ObjcId descriptor = ANE_CALL(l, descriptor)(ANE_CLASS(l, descriptor), ANE_SEL(l, descriptor), text, weights, NULL);
    if (descriptor)
        m->descriptor = l->objc_retain(descriptor);
    ObjcId object =
        m->descriptor ? ANE_CALL(l, model_new)(ANE_CLASS(l, model_new), ANE_SEL(l, model_new), m->descriptor) : NULL;
    if (object)
        m->object = l->objc_retain(object);
    cf_release(l, text);
    cf_release(l, weights);
    bool ok = false;
    if (!m->object)
        buf_printf(err, "the framework made no %s of the text: it is not MIL it can read, or a weight file is missing\n",
                   m->descriptor ? "model" : "descriptor");
    else if (!cf_text(l, ANE_CALL(l, hex_identifier)(m->object, ANE_SEL(l, hex_identifier)), &name) || !good_name(&name))
        buf_puts(err, "the framework gave the model no usable name\n");
    else {
        Buf path = {0};
        buf_printf(&path, "%s%s", s->temporary, name.data);
        m->directory = path.data;
        ok = true;
    }
    buf_free(&name);
    return ok;
}

/* ---- compile and load ---- */

static bool compile(AneModel *m, Buf *err)
{
    const AneLibrary *l = m->lib;
    ObjcId            error = NULL;
    if (ANE_CALL(l, compile)(m->object, ANE_SEL(l, compile), ANE_QOS, m->options, &error))
        return true;
    buf_puts(err, "compiling was refused: ");
    cf_error_text(l, error, err);
    buf_puts(err, "\n");
    return false;
}

static bool load(AneModel *m, Buf *err)
{
    const AneLibrary *l = m->lib;
    for (int attempt = 0;; attempt++) {
        ObjcId error = NULL;
        m->loaded = ANE_CALL(l, load)(m->object, ANE_SEL(l, load), ANE_QOS, m->options, &error);
        if (m->loaded)
            return true;
        if (attempt == 1) {
            buf_puts(err, "loading failed: ");
            cf_error_text(l, error, err);
            buf_puts(err, "\n");
            return false;
        }
        pause_ms(100); /* maderix/ANE's bridge retries once after 100 ms */
    }
}

AneModel *ane_model_new(const AneModelSetup *s, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        const AneModel *donor, bool *from_copy, Buf *err)
{
    const AneLibrary *l = s->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    AneModel         *m = xcalloc(1, sizeof *m);
    m->lib = l;
    m->options = s->options;
    m->alive = s->alive;
    m->next = *m->alive;
    *m->alive = m;
    *from_copy = false;
    bool ok = describe(m, s, mil, len, file, files, err) && ane_files_write(m->directory, mil, len, file, files, err);
    if (ok && donor)
        ok = ane_files_copy_compiled(donor->directory, m->directory, err);
    else if (ok) {
        *from_copy = !s->fresh && ANE_HAS(l, compiled_exists) &&
                     ANE_CALL(l, compiled_exists)(m->object, ANE_SEL(l, compiled_exists));
        ok = *from_copy || compile(m, err);
    }
    ok = ok && load(m, err);
    l->objc_autoreleasePoolPop(pool);
    if (ok)
        return m;
    ane_model_free(m);
    return NULL;
}

/* Does another live model use the directory? Models of equal text and weights have equal names. */
static bool shared(const AneModel *m)
{
    for (const AneModel *x = *m->alive; x; x = x->next)
        if (x != m && x->directory && strcmp(x->directory, m->directory) == 0)
            return true;
    return false;
}

void ane_model_free(AneModel *m)
{
    if (!m)
        return;
    const AneLibrary *l = m->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    if (m->loaded) {
        ObjcId error = NULL; /* nothing is left to do about it */
        (void)ANE_CALL(l, unload)(m->object, ANE_SEL(l, unload), ANE_QOS, &error);
    }
    if (m->object)
        l->objc_release(m->object);
    if (m->descriptor)
        l->objc_release(m->descriptor);
    l->objc_autoreleasePoolPop(pool);
    if (m->directory && !shared(m))
        ane_files_remove(m->directory);
    for (AneModel **at = m->alive; *at; at = &(*at)->next)
        if (*at == m) {
            *at = m->next;
            break;
        }
    free(m->directory);
    free(m);
}

ObjcId ane_model_object(const AneModel *m)
{
    return m->object;
}

/* ---- what the compiler made of inputs and outputs ---- */

/* Output symbols read "name@output". */
static bool symbol_is(const AneLibrary *l, CfRef symbol, const char *name)
{
    Buf  text = {0};
    bool same = false;
    if (cf_text(l, symbol, &text)) {
        char *at = strchr(text.data, '@');
        if (at)
            *at = 0;
        same = strcmp(text.data, name) == 0;
    }
    buf_free(&text);
    return same;
}

static int64_t attribute(const AneLibrary *l, CfRef entry, const char *key)
{
    int64_t n = -1;
    return cf_int(l, cf_get(l, entry, key), &n) ? n : -1;
}

/* The entry of a Live...List with this name. */
static CfRef live(const AneLibrary *l, CfRef list, const char *name)
{
    for (size_t i = 0; i < cf_count(l, list); i++)
        if (symbol_is(l, cf_get(l, cf_at(l, list, i), "Name"), name))
            return cf_at(l, list, i);
    return NULL;
}

/* The compiled layout of a port must be dense: what the CPU writes is read as one run of elements. */
static bool check_layout(const AneLibrary *l, CfRef entry, const Port *p, size_t *bytes, Buf *err)
{
    Buf  type = {0};
    bool same = cf_text(l, cf_get(l, entry, "Type"), &type) &&
                strcmp(type.data, p->type == PORT_F16 ? "Float16" : p->type == PORT_F32 ? "Float32" : "") == 0;
    buf_free(&type);
    int64_t width = attribute(l, entry, "Width"), row = attribute(l, entry, "RowStride"),
            batch = attribute(l, entry, "BatchStride"), batches = attribute(l, entry, "Batches");
    if (batch <= 0 || batches <= 0 || batch > INT64_MAX / batches) {
        buf_printf(err, "'%s': the compiled model does not tell its size\n", p->name);
        return false;
    }
    *bytes = (size_t)(batch * batches);
    if (!same) {
        buf_printf(err, "'%s': the compiled model has another element type than %s\n", p->name,
                   port_type_name(p->type));
        return false;
    }
    if (width != p->dim[p->rank - 1] || row != width * (int64_t)port_elem_bytes(p->type) || *bytes < p->bytes) {
        buf_printf(err,
                   "'%s': the compiled layout is not dense (width %lld, %lld bytes from row to row, %zu bytes in all; "
                   "the text says width %lld and %zu bytes)\n",
                   p->name, (long long)width, (long long)row, *bytes, (long long)p->dim[p->rank - 1], p->bytes);
        return false;
    }
    return true;
}

static bool bind_ports(const AneLibrary *l, CfRef symbols, CfRef procedure, const char *index_key, CfRef list,
                       const Port *port, uint32_t ports, const char *what, AneBinding *b, Buf *err)
{
    CfRef indices = cf_get(l, procedure, index_key);
    if (cf_count(l, indices) != ports) {
        buf_printf(err, "the compiled program has %zu %ss, the text has %u\n", cf_count(l, indices), what,
                   (unsigned)ports);
        return false;
    }
    for (uint32_t i = 0; i < ports; i++) {
        b->index[i] = -1;
        for (size_t k = 0; k < ports; k++) {
            int64_t s = -1;
            if (cf_int(l, cf_at(l, indices, k), &s) && s >= 0 && symbol_is(l, cf_at(l, symbols, (size_t)s), port[i].name))
                b->index[i] = s;
        }
        CfRef entry = live(l, list, port[i].name);
        if (b->index[i] < 0 || !entry) {
            buf_printf(err, "the compiled program has no %s '%s'\n", what, port[i].name);
            return false;
        }
        if (!check_layout(l, entry, &port[i], &b->bytes[i], err))
            return false;
    }
    return true;
}

bool ane_model_bind(const AneModel *m, uint32_t procedure, const ProgramFunction *f, AneBinding *input,
                    AneBinding *output, Buf *err)
{
    const AneLibrary *l = m->lib;
    void             *pool = l->objc_autoreleasePoolPush();
    CfRef             all = ANE_CALL(l, attributes)(m->object, ANE_SEL(l, attributes));
    CfRef             description = cf_get(l, all, "ANEFModelDescription");
    CfRef             status = cf_at(l, cf_get(l, all, "NetworkStatusList"), procedure), entry = NULL;
    CfRef             procedures = cf_get(l, description, "ANEFModelProcedures");
    for (size_t i = 0; i < cf_count(l, procedures); i++)
        if (attribute(l, cf_at(l, procedures, i), "ANEFModelProcedureID") == procedure)
            entry = cf_at(l, procedures, i);
    bool ok = entry && status;
    if (!ok)
        buf_printf(err, "the compiled model does not describe procedure %u ('%s'): surfaces cannot be bound safely\n",
                   (unsigned)procedure, f->name);
    ok = ok &&
         bind_ports(l, cf_get(l, description, "kANEFModelInputSymbolsArrayKey"), entry, "ANEFModelInputSymbolIndexArray",
                    cf_get(l, status, "LiveInputList"), f->input, f->inputs, "input", input, err) &&
         bind_ports(l, cf_get(l, description, "kANEFModelOutputSymbolsArrayKey"), entry,
                    "ANEFModelOutputSymbolIndexArray", cf_get(l, status, "LiveOutputList"), f->output, f->outputs,
                    "output", output, err);
    l->objc_autoreleasePoolPop(pool);
    return ok;
}

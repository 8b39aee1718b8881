/* attributes.c: what a loaded model tells of itself: symbols, procedures, layouts; and all of it damaged, node by node, on
 * request. */
#include "framework.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    int64_t batch = row * height * channels, least = fake_number("large-ports", 0);
    if (batch * batches < least)
        batch = least;
    snprintf(name, sizeof name, "%s%s", p->name, output ? "@output" : "");
    return dictionary(10, "Name", string_new(name), "Type", string_new(p->type == PORT_F32 ? "Float32" : "Float16"),
                      "Width", number_new(width), "Height", number_new(height), "Channels", number_new(channels),
                      "Batches", number_new(batches), "Depth", number_new(1), "RowStride", number_new(row),
                      "PlaneStride", number_new(row * height), "BatchStride", number_new(batch));
}

static uint32_t ports_of(const Program *p, uint32_t f, bool output)
{
    const ProgramFunction *g = program_function(p, f);
    return output ? g->outputs : g->inputs;
}

/* Symbols of all procedures are listed one after the other. */
static int64_t first_symbol(const Program *p, uint32_t f, bool output)
{
    int64_t before = 0;
    for (uint32_t k = 0; k < f; k++)
        before += ports_of(p, k, output);
    return before;
}

int64_t symbol_of(const Program *p, uint32_t f, uint32_t i, bool output)
{
    int64_t n = ports_of(p, f, output);
    return first_symbol(p, f, output) + (fake_has("swap-symbols") ? n - 1 - (int64_t)i : (int64_t)i);
}

static void *symbols(const Program *p, bool output)
{
    uint32_t n = (uint32_t)first_symbol(p, program_functions(p), output);
    void   **name = calloc(n + 1u, sizeof *name);
    for (uint32_t f = 0; f < program_functions(p); f++)
        for (uint32_t i = 0; i < ports_of(p, f, output); i++) {
            char text[300];
            const ProgramFunction *g = program_function(p, f);
            snprintf(text, sizeof text, "%s%s", (output ? g->output : g->input)[i].name, output ? "@output" : "");
            name[symbol_of(p, f, i, output)] = string_new(text);
        }
    void *all = list(name, n);
    free(name);
    return all;
}

static void *indices(const Program *p, uint32_t f, bool output)
{
    uint32_t n = ports_of(p, f, output);
    void   **index = calloc(n + 1u, sizeof *index);
    for (uint32_t i = 0; i < n; i++)
        index[i] = number_new(first_symbol(p, f, output) + i);
    void *all = list(index, n);
    free(index);
    return all;
}

static void *layouts(const Program *p, uint32_t f, bool output)
{
    const ProgramFunction *g = program_function(p, f);
    uint32_t               n = ports_of(p, f, output);
    void                 **entry = calloc(n + 1u, sizeof *entry);
    for (uint32_t i = 0; i < n; i++)
        entry[i] = layout(output ? &g->output[i] : &g->input[i], output);
    void *all = list(entry, n);
    free(entry);
    return all;
}

static void *names(const Program *p)
{
    uint32_t n = program_functions(p), shift = fake_has("names-disagree");
    void   **key = calloc(n + 1u, sizeof *key), **value = calloc(n + 1u, sizeof *value);
    for (uint32_t f = 0; f < n; f++) {
        key[f] = string_new(program_function(p, f)->name);
        value[f] = number_new(n > 1 ? (f + shift) % n : f + shift);
    }
    void *map = dictionary_new(key, value, n);
    for (uint32_t f = 0; f < n; f++) {
        object_release(key[f]);
        object_release(value[f]);
    }
    free(key);
    free(value);
    return map;
}

/* ---- damage ---- */

enum { MISSING, OTHER_TYPE, NEGATIVE, HUGE_VALUE, CHANGED, TWICE };

/* What a damaged node becomes; NULL: it goes. */
static void *damaged(Object *o, int64_t how)
{
    int64_t n = o->kind == KIND_NUMBER ? ((NumberObject *)o)->value : 0;
    char    text[300] = "";
    if (how == MISSING)
        return NULL;
    if (how == OTHER_TYPE)
        return o->kind == KIND_STRING ? (void *)number_new(7) : string_new("7");
    if (o->kind == KIND_NUMBER)
        return number_new(how == NEGATIVE ? -1 - n : how == HUGE_VALUE ? INT64_MAX : n + 1);
    if (o->kind == KIND_STRING) {
        if (how != NEGATIVE)
            snprintf(text, sizeof text, "%.200s%s", (char *)((DataObject *)o)->bytes, how == HUGE_VALUE ? "@@@" : "x");
        return string_new(text);
    }
    if (how == NEGATIVE)
        return o->kind == KIND_ARRAY ? array_new(NULL, 0) : dictionary_new(NULL, NULL, 0);
    object_retain(o);
    return o;
}

/* Walk over all nodes below `c`, counting down *left; true when the one was reached. */
static bool damage(ContainerObject *c, int64_t *left, int64_t how)
{
    for (size_t i = 0; i < c->count; i++) {
        Object *o = c->value[i];
        if (--*left == 0) {
            void *now = damaged(o, how);
            if (how == TWICE && c->base.kind == KIND_ARRAY) { /* the first element in the place of this one */
                object_release(now);
                object_retain(now = c->value[0]);
            }
            object_release(o);
            if ((c->value[i] = now) != NULL)
                return true;
            if (c->key) {
                object_release(c->key[i]);
                c->key[i] = c->key[c->count - 1];
            }
            c->value[i] = c->value[--c->count];
            return true;
        }
        if ((o->kind == KIND_ARRAY || o->kind == KIND_DICTIONARY) && damage((ContainerObject *)o, left, how))
            return true;
    }
    return false;
}

/* ---- messages ---- */

void *fake_attributes(ModelObject *m, void *selector);
void *fake_attributes(ModelObject *m, void *selector)
{
    (void)selector;
    object_check(m, KIND_MODEL, "modelAttributes");
    if (!m->loaded)
        misuse("attributes of a model that is not loaded");
    const Program *p = m->program;
    uint32_t       n = program_functions(p);
    void         **procedure = calloc(n + 1u, sizeof *procedure), **status = calloc(n + 1u, sizeof *status);
    for (uint32_t f = 0; f < n; f++) {
        procedure[f] = dictionary(3, "ANEFModelProcedureID", number_new(f), "ANEFModelInputSymbolIndexArray",
                                  indices(p, f, false), "ANEFModelOutputSymbolIndexArray", indices(p, f, true));
        status[f] = dictionary(2, "LiveInputList", layouts(p, f, false), "LiveOutputList", layouts(p, f, true));
    }
    void *description =
        dictionary(4, "kANEFModelInputSymbolsArrayKey", symbols(p, false), "kANEFModelOutputSymbolsArrayKey",
                   symbols(p, true), fake_has("no-procedures") ? "Other" : "ANEFModelProcedures", list(procedure, n),
                   "ProcedureNameToIDMap", names(p));
    ContainerObject *all = dictionary(2, "ANEFModelDescription", description, "NetworkStatusList", list(status, n));
    int64_t          node = fake_number("mutate", 0);
    if (node > 0 && !damage(all, &node, fake_number("mutate-how", 0)))
        fake_record("no such node");
    free(procedure);
    free(status);
    return object_autorelease(all);
}

static void *index_set(InnerObject *o, unsigned procedure, bool output)
{
    object_check(o, KIND_INNER, "symbol indices");
    object_check(o->model, KIND_MODEL, "symbol indices");
    const Program *p = o->model->program;
    if (!p)
        misuse("symbol indices of a model that is not loaded");
    if (procedure >= program_functions(p))
        misuse("symbol indices of procedure %u", procedure);
    IndexSet *s = object_new(KIND_INDEX_SET, sizeof *s);
    s->first = first_symbol(p, procedure, output) + fake_has("sets-disagree");
    s->count = ports_of(p, procedure, output);
    return object_autorelease(s);
}

void *fake_input_symbols(InnerObject *o, void *selector, unsigned procedure);
void *fake_input_symbols(InnerObject *o, void *selector, unsigned procedure)
{
    (void)selector;
    return index_set(o, procedure, false);
}

void *fake_output_symbols(InnerObject *o, void *selector, unsigned procedure);
void *fake_output_symbols(InnerObject *o, void *selector, unsigned procedure)
{
    (void)selector;
    return index_set(o, procedure, true);
}

uint64_t fake_set_count(IndexSet *s, void *selector);
uint64_t fake_set_count(IndexSet *s, void *selector)
{
    (void)selector;
    return s->count;
}

bool fake_set_has(IndexSet *s, void *selector, uint64_t index);
bool fake_set_has(IndexSet *s, void *selector, uint64_t index)
{
    (void)selector;
    return index >= (uint64_t)s->first && index < (uint64_t)s->first + s->count;
}

void *fake_device_type(void *self, void *selector);
void *fake_device_type(void *self, void *selector)
{
    (void)self, (void)selector;
    return object_autorelease(string_new("fake"));
}

/* program.c: programs of the engine: the ports of the text, a model, and where the model has them. */
#include "ane/ane.h"
#include "mil/mil_check.h"

#include <stdlib.h>
#include <string.h>

/* Ports as the text declares them. The engine takes fp16 and fp32 at its boundary (docs/engine.md E241). */
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

void ane_program_free(Program *base)
{
    AneProgram *p = (AneProgram *)base;
    ane_model_free(p->model);
    arena_free(p->arena);
    free(p);
}

/* Where the compiled program has its ports, and how much memory it wants for them. */
static bool bind(AneProgram *p, const AneLibrary *l, uint32_t i, Buf *why)
{
    ProgramFunction *f = &p->base.function[i];
    if (!ane_model_bind(p->model, l, i, p->base.functions, f, &p->input[i], &p->output[i], why))
        return false;
    for (uint32_t k = 0; k < f->inputs; k++)
        f->input[k].alloc = p->input[i].bytes[k];
    for (uint32_t k = 0; k < f->outputs; k++)
        f->output[k].alloc = p->output[i].bytes[k];
    return true;
}

static bool make_model(AneDevice *d, AneProgram *p, const AneProgram *donor, const DeviceFile *file, size_t files,
                       AneMaking *making, Buf *why)
{
    p->model = ane_model_new(&d->models, p->mil, p->mil_len, file, files, donor ? donor->model : NULL, making, why);
    if (!p->model)
        return false;
    for (uint32_t i = 0; i < p->base.functions; i++)
        if (!bind(p, &d->lib, i, why)) {
            making->refusal = REFUSED_LOAD;
            if (making->from_copy)
                ane_model_purge(p->model);
            return false;
        }
    return true;
}

static Program *make(AneDevice *d, const AneProgram *donor, const char *name, const char *mil, size_t len,
                     const DeviceFile *file, size_t files, Buf *err)
{
    AneMaking making = {.refusal = REFUSED_TEXT};
    Buf       why = {0};
    d->stale = false;
    AneProgram *p = xcalloc(1, sizeof *p);
    p->base.driver = d->base.driver;
    p->base.device = &d->base;
    p->arena = arena_new();
    p->mil = arena_strndup(p->arena, mil, len);
    p->mil_len = len;
    bool ok = read_text(p, name, file, files, err);
    if (ok) {
        ok = make_model(d, p, donor, file, files, &making, &why);
        if (!ok)
            buf_printf(err, "%s: error: %s", name, why.data ? why.data : "the model could not be made\n");
        /* A copy compiled by an earlier process that does not load is dropped, and compiled once more (E608). */
        d->stale = !ok && making.from_copy;
    }
    d->models.fresh = d->stale;
    d->base.refusal = ok ? REFUSED_NOT : making.refusal;
    /* A donor that came from the system's cache has nothing to take over: the reload was a compilation. */
    d->base.made.compiles += donor && making.compiled;
    p->base.time = (ProgramTime){making.compile_ns, making.load_ns};
    buf_free(&why);
    if (ok)
        return &p->base;
    ane_program_free(&p->base);
    return NULL;
}

Program *ane_compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                     Buf *err)
{
    return make((AneDevice *)base, NULL, name, mil, len, file, files, err);
}

Program *ane_reload_program(const Program *base, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    const AneProgram *donor = (const AneProgram *)base;
    return make((AneDevice *)base->device, donor, name, donor->mil, donor->mil_len, file, files, err);
}

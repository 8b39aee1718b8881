/* host.c: the host device: device.h on the CPU, with MIL text as its only input.
 *
 * Compiling parses and checks the text, plans memory and keeps the list of kernel calls. Reloading keeps the checked
 * text and makes constants and memory anew. A request holds pointers for every value; evaluating it reads the input
 * surfaces, runs the calls in order and writes the output surfaces. Evaluation allocates nothing, unless the device's
 * slab has grown since, which changes the pointers. */
#include "cpu.h"
#include "host/host.h"
#include "host/kernel.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The checked text: shared by a program and those that differ from it in their weights. */
typedef struct {
    Arena   *arena;
    Func    *fn;
    uint32_t count, users;
} HostText;

typedef struct {
    Program   base;
    HostText *text;
    Arena    *arena;
    HostFunc *fn;
    Owned     owned;
} HostProgram;

typedef struct {
    Surface base;
    void   *bytes;
} HostSurface;

typedef struct {
    Request           base;
    HostDevice       *device;
    const HostFunc   *fn;
    const ProgramFunction *ports;
    HostSurface     **input, **output;
    void             *slab; /* the slab `data` points into */
    void            **data; /* by value id */
} HostRequest;

/* ---- device and surfaces -------------------------------------------------------------------------------------- */

static const Build build_of[KERNEL_BUILDS] = {
    [KERNELS_PLAIN] = {sizeof(float), kernel_load_ane, kernel_store_ane, kernel_constant_ane},
#ifdef HOST_HAS_AVX2
    [KERNELS_AVX2] = {sizeof(float), kernel_load_avx2, kernel_store_avx2, kernel_constant_avx2},
#endif
    [KERNELS_EXACT] = {sizeof(double), kernel_load_exact, kernel_store_exact, kernel_constant_exact},
};

static KernelBuild choose(const DeviceOptions *options)
{
    if (options->numerics == NUMERICS_EXACT)
        return KERNELS_EXACT;
#ifdef HOST_HAS_AVX2
    if (!options->plain && cpu_avx2())
        return KERNELS_AVX2;
#endif
    return KERNELS_PLAIN;
}

static Device *host_open(const DeviceOptions *options, Buf *err)
{
    (void)err;
    HostDevice *d = xcalloc(1, sizeof *d);
    d->base.driver = &host_driver;
    if (options)
        d->options = *options;
    d->kernels = choose(&d->options);
    d->build = build_of[d->kernels];
    return &d->base;
}

static void host_close(Device *base)
{
    HostDevice *d = (HostDevice *)base;
    free(d->slab);
    free(d);
}

static Surface *host_surface_new(Device *d, size_t bytes, Buf *err)
{
    HostSurface *s = xcalloc(1, sizeof *s);
    s->base = (Surface){.driver = d->driver, .bytes = bytes};
    s->bytes = calloc(bytes, 1);
    if (s->bytes)
        return &s->base;
    buf_printf(err, "no memory for a surface of %zu bytes\n", bytes);
    free(s);
    return NULL;
}

static void host_surface_free(Surface *base)
{
    HostSurface *s = (HostSurface *)base;
    free(s->bytes);
    free(s);
}

static void *host_surface_lock(Surface *base, bool write)
{
    (void)write;
    return ((HostSurface *)base)->bytes;
}

static void host_surface_unlock(Surface *base, bool write)
{
    (void)base, (void)write;
}

/* ---- programs ------------------------------------------------------------------------------------------------- */

static PortType port_type(const HostDevice *d, DType t)
{
    switch (t) {
    case DT_F16:
    case DT_F32:
        if (d->options.numerics == NUMERICS_EXACT && d->options.wide_ports)
            return PORT_F64;
        return t == DT_F16 ? PORT_F16 : PORT_F32;
    case DT_I8:
        return PORT_I8;
    case DT_U8:
        return PORT_U8;
    case DT_I16:
        return PORT_I16;
    case DT_U16:
        return PORT_U16;
    case DT_BOOL:
        return PORT_BOOL;
    default:
        return PORT_I32;
    }
}

static Port *make_ports(Arena *a, const HostDevice *d, Value *const *value, uint32_t n)
{
    Port *port = NEW_N(a, Port, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const MilType *t = &value[i]->type;
        port[i] = (Port){.name = value[i]->name, .type = port_type(d, t->dtype), .rank = t->rank};
        memcpy(port[i].dim, t->dim, t->rank * sizeof *t->dim);
        port[i].bytes = (size_t)type_elems(t) * port_elem_bytes(port[i].type);
    }
    return port;
}

static void host_program_free(Program *base)
{
    HostProgram *p = (HostProgram *)base;
    for (uint32_t i = 0; i < p->owned.count; i++)
        free(p->owned.item[i]);
    arena_free(p->arena);
    if (--p->text->users == 0) {
        arena_free(p->text->arena);
        free(p->text);
    }
    free(p);
}

static HostText *text_new(void)
{
    HostText *t = xcalloc(1, sizeof *t);
    t->arena = arena_new();
    return t;
}

/* A program of `text`, which holds no functions yet or those of another program. */
static HostProgram *program_new(Device *d, HostText *text)
{
    HostProgram *p = xcalloc(1, sizeof *p);
    p->base.driver = d->driver;
    p->base.device = d;
    p->arena = arena_new();
    p->text = text;
    text->users++;
    return p;
}

/* Ports, constants and memory of every function. */
static bool plan(HostProgram *p, const char *name, Buf *err)
{
    const HostDevice *d = (HostDevice *)p->base.device;
    uint32_t          count = p->text->count;
    p->base.functions = count;
    p->base.function = NEW_N(p->arena, ProgramFunction, count);
    p->fn = NEW_N(p->arena, HostFunc, count);
    for (uint32_t i = 0; i < count; i++) {
        const Func *fn = &p->text->fn[i];
        Buf         why = {0};
        p->base.function[i] =
            (ProgramFunction){fn->name, make_ports(p->arena, d, fn->input, fn->inputs),
                              make_ports(p->arena, d, fn->output, fn->outputs), fn->inputs, fn->outputs};
        bool ok = host_plan(p->arena, d, fn, &p->owned, &p->fn[i], &why);
        if (!ok)
            buf_printf(err, "%s: error: %s\n", name, why.data);
        buf_free(&why);
        if (!ok)
            return false;
    }
    return true;
}

static Program *host_compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file,
                             size_t files, Buf *err)
{
    if (len > MIL_TEXT_MAX || files > UINT32_MAX) {
        buf_printf(err, "%s: error: the text has %zu bytes, at most %d are accepted\n", name, len, MIL_TEXT_MAX);
        return NULL;
    }
    HostProgram *p = program_new(base, text_new());
    Arena       *scratch = arena_new();
    Sources     *sources = sources_new(scratch);
    uint32_t     source = sources_add(sources, name, mil, len);
    MilFile     *view = NEW_N(scratch, MilFile, files + 1);
    Diags       *ds = diags_new(scratch, sources, name);
    for (size_t i = 0; i < files; i++)
        view[i] = (MilFile){file[i].path, file[i].data, file[i].len};
    bool ok = mil_check(p->text->arena, ds, source, view, (uint32_t)files, &p->text->fn, &p->text->count);
    if (!ok)
        diags_render(ds, err);
    ok = ok && plan(p, name, err);
    arena_free(scratch);
    if (ok)
        return &p->base;
    host_program_free(&p->base);
    return NULL;
}

/* Point a constant at its blob in the new files. */
static bool replace(const Value *v, const DeviceFile *file, size_t files, Buf *err)
{
    Const   *k = (Const *)v->konst; /* the text is ours; nothing reads `raw` after planning */
    BlobView blob;
    size_t   i = 0;
    while (i < files && strcmp(file[i].path, k->path) != 0)
        i++;
    if (i == files) {
        buf_printf(err, "there is no weight file '%s'", k->path);
        return false;
    }
    if (!blob_find(file[i].data, file[i].len, k->offset, &blob, err))
        return false;
    const DTypeInfo *info = &dtype_info[v->type.dtype];
    if (blob.type != info->blob || blob.bytes != ((uint64_t)k->count * info->bits + 7) / 8) {
        buf_printf(err, "'%s' holds another type or number of elements than before", k->path);
        return false;
    }
    Const        fresh = {.count = k->count, .raw = blob.data};
    const double old = k->num ? k->num[0] : 0; /* one number: a kernel may have it as a parameter */
    if (k->num && const_number(&(Value){.type = v->type, .konst = &fresh}, 0) != old) {
        buf_printf(err, "'%s' is a single number, which is part of the compiled program", k->path);
        return false;
    }
    if (!k->num)
        k->raw = blob.data;
    return true;
}

/* Everything but the constants is shared with the donor. */
static Program *host_reload(const Program *base, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    HostText    *text = ((const HostProgram *)base)->text;
    HostProgram *p = program_new(base->device, text);
    Buf          why = {0};
    bool         ok = true;
    for (uint32_t i = 0; ok && i < text->count; i++)
        for (uint32_t v = 0; ok && v < text->fn[i].values; v++)
            if (text->fn[i].value[v]->konst && text->fn[i].value[v]->konst->path)
                ok = replace(text->fn[i].value[v], file, files, &why);
    if (!ok)
        buf_printf(err, "%s: error: %s\n", name, why.data);
    buf_free(&why);
    if (ok && plan(p, name, err))
        return &p->base;
    host_program_free(&p->base);
    return NULL;
}

enum { HUGE_PAGE = 2 << 20 };

/* ---- requests ------------------------------------------------------------------------------------------------- */

static bool grow_slab(HostDevice *d, size_t bytes, Buf *err)
{
    if (bytes <= d->slab_bytes)
        return true;
    size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void  *p = aligned_alloc(HUGE_PAGE, rounded);
    if (!p) {
        buf_printf(err, "no memory for %zu bytes of tensors\n", bytes);
        return false;
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(p, rounded, MADV_HUGEPAGE); /* advice: small pages cost time, not correctness */
#endif
    free(d->slab);
    d->slab = p;
    d->slab_bytes = bytes;
    return true;
}

static void bind(HostRequest *r)
{
    if (r->slab == r->device->slab && r->slab)
        return;
    r->slab = r->device->slab;
    for (uint32_t i = 0; i < r->fn->fn->values; i++)
        r->data[i] = r->fn->fixed[i] ? r->fn->fixed[i] : (char *)r->slab + r->fn->offset[i];
}

static Request *host_request_new(Program *base, uint32_t function, Surface *const *input, Surface *const *output,
                                 Buf *err)
{
    HostProgram *p = (HostProgram *)base;
    HostDevice  *d = (HostDevice *)base->device;
    if (!grow_slab(d, p->fn[function].slab + 1, err))
        return NULL;
    const Func  *fn = p->fn[function].fn;
    HostRequest *r = xcalloc(1, sizeof *r);
    r->base.driver = base->driver;
    r->device = d;
    r->fn = &p->fn[function];
    r->ports = &base->function[function];
    r->input = xcalloc(fn->inputs + 1, sizeof *r->input);
    r->output = xcalloc(fn->outputs + 1, sizeof *r->output);
    r->data = xcalloc(fn->values + 1, sizeof *r->data);
    for (uint32_t i = 0; i < fn->inputs; i++)
        r->input[i] = (HostSurface *)input[i];
    for (uint32_t i = 0; i < fn->outputs; i++)
        r->output[i] = (HostSurface *)output[i];
    return &r->base;
}

static void host_request_free(Request *base)
{
    HostRequest *r = (HostRequest *)base;
    free(r->input);
    free(r->output);
    free(r->data);
    free(r);
}

static bool load_input(const HostRequest *r, uint32_t i, Buf *err)
{
    const Port  *port = &r->ports->input[i];
    const Value *v = r->fn->fn->input[i];
    int64_t      n = type_elems(&v->type);
    if (r->device->build.load(port->type, r->input[i]->bytes, n, r->data[v->id]))
        return true;
    buf_printf(err, "input '%s' holds an integer beyond 2^24, which this device does not represent exactly\n",
               port->name);
    return false;
}

static void run_group(const HostRequest *r, const HostGroup *g, Run *run)
{
    for (run->begin = 0; run->begin < g->n; run->begin = run->end) {
        run->end = run->begin + g->tile;
        for (uint32_t c = g->begin; c < g->end; c++)
            kernel_of(r->fn->call[c]->op, r->device->kernels)(run, r->fn->call[c]);
    }
}

static bool host_eval(Request *base, Buf *err)
{
    HostRequest *r = (HostRequest *)base;
    const Func  *fn = r->fn->fn;
    bind(r);
    for (uint32_t i = 0; i < fn->inputs; i++)
        if (!load_input(r, i, err))
            return false;
    Run run = {.data = r->data,
               .scratch = (char *)r->slab + r->fn->scratch,
               .reduce = r->device->options.reduce,
               .pool = r->device->options.pool,
               .err = err};
    for (uint32_t g = 0; g < r->fn->groups && !run.failed; g++)
        run_group(r, &r->fn->group[g], &run);
    for (uint32_t i = 0; i < fn->outputs && !run.failed; i++) {
        const Value *v = fn->output[i];
        int64_t      n = type_elems(&v->type);
        r->device->build.store(r->ports->output[i].type, r->data[v->id], n, r->output[i]->bytes);
    }
    return !run.failed;
}

const Driver host_driver = {
    .name = "host",
    .open = host_open,
    .close = host_close,
    .compile = host_compile,
    .reload = host_reload,
    .program_free = host_program_free,
    .surface_new = host_surface_new,
    .surface_free = host_surface_free,
    .surface_lock = host_surface_lock,
    .surface_unlock = host_surface_unlock,
    .request_new = host_request_new,
    .request_free = host_request_free,
    .eval = host_eval,
};

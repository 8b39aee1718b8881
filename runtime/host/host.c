/* host.c: the host device: device.h on the CPU, with MIL text as its only input.
 *
 * Compiling finds or checks the text, plans memory and makes the list of steps. Reloading keeps the checked text and
 * makes the rest anew. A request holds pointers for every value, fp16 ports among them, which are their surfaces.
 * Evaluating runs the steps in order. It allocates nothing, unless the device's slab has grown since, which changes the
 * pointers. Programs and requests may be made on one thread while another evaluates. */
#include "base/rng.h"
#include "cpu.h"
#include "host/host.h"
#include "host/host_quirks.h"
#include "target/target.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct {
    Program base;
    HostText *text;
    Arena *arena;
    HostFunc *fn;
    Owned owned;
} HostProgram;

typedef struct {
    Surface base;
    void *bytes;
} HostSurface;

typedef struct {
    Request base;
    HostDevice *device;
    const HostFunc *fn;
    const ProgramFunction *ports;
    const Work *work; /* NULL: nobody asks for times */
    bool garbage; /* the engine that is imitated gives no sensible results */
    HostSurface **input, **output;
    void **own;          /* copies of the surfaces, inputs first: where one is bound twice; else NULL */
    void *slab;          /* the slab `data` points into */
    void **data, **wide; /* by value id */
} HostRequest;

/* ---- device and surfaces -------------------------------------------------------------------------------------- */

static const Build build_of[KERNEL_BUILDS] = {
    [KERNELS_PLAIN] = {sizeof(float), kernel_load_ane, kernel_store_ane, kernel_constant_ane, &half_kernels_ane},
#ifdef HOST_HAS_AVX2
    [KERNELS_AVX2] = {sizeof(float), kernel_load_avx2, kernel_store_avx2, kernel_constant_avx2, &half_kernels_avx2},
#endif
#ifdef HOST_HAS_AVX512
    [KERNELS_AVX512] = {sizeof(float), kernel_load_avx512, kernel_store_avx512, kernel_constant_avx512,
                        &half_kernels_avx512},
#endif
#ifdef HOST_HAS_NEON
    [KERNELS_NEON] = {sizeof(float), kernel_load_neon, kernel_store_neon, kernel_constant_neon, &half_kernels_neon},
#endif
    [KERNELS_EXACT] = {sizeof(double), kernel_load_exact, kernel_store_exact, kernel_constant_exact, NULL},
};

static KernelBuild choose(const DeviceOptions *options)
{
    if (options->numerics == NUMERICS_EXACT)
        return KERNELS_EXACT;
#ifdef HOST_HAS_AVX512
    if (!options->plain && cpu_avx512())
        return KERNELS_AVX512;
#endif
#ifdef HOST_HAS_AVX2
    if (!options->plain && cpu_avx2())
        return KERNELS_AVX2;
#endif
#ifdef HOST_HAS_NEON
    if (!options->plain && cpu_neon())
        return KERNELS_NEON;
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
    d->quirks = host_quirks(&d->options);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->running, NULL);
    return &d->base;
}

static void host_close(Device *base)
{
    HostDevice *d = (HostDevice *)base;
    host_text_forget(d);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->running);
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
        port[i].bytes = port[i].alloc = (size_t)type_elems(t) * port_elem_bytes(port[i].type);
    }
    return port;
}

static void host_program_free(Program *base)
{
    HostProgram *p = (HostProgram *)base;
    for (uint32_t i = 0; i < p->owned.count; i++)
        free(p->owned.item[i]);
    arena_free(p->arena);
    host_text_release((HostDevice *)base->device, p->text);
    free(p);
}

/* Ports, constants and memory of every function. */
static bool plan(HostProgram *p, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    HostDevice *d = (HostDevice *)p->base.device;
    uint32_t count = p->text->count;
    p->base.functions = count;
    p->base.function = NEW_N(p->arena, ProgramFunction, count);
    p->fn = NEW_N(p->arena, HostFunc, count);
    for (uint32_t i = 0; i < count; i++) {
        const Func *fn = &p->text->fn[i];
        Buf why = {0};
        p->base.function[i] =
            (ProgramFunction){fn->name, make_ports(p->arena, d, fn->input, fn->inputs),
                              make_ports(p->arena, d, fn->output, fn->outputs), fn->inputs, fn->outputs};
        bool ok = host_plan(p->arena, d, fn, file, files, &p->owned, &p->fn[i], &why);
        if (!ok)
            buf_printf(err, "%s: error: %s\n", name, why.data);
        buf_free(&why);
        if (!ok)
            return false;
    }
    return true;
}

/* A program of `text`, whose constants point to these files. */
static Program *program_new(HostDevice *d, HostText *text, bool reloaded, const char *name, const DeviceFile *file,
                            size_t files, Buf *err)
{
    HostProgram *p = xcalloc(1, sizeof *p);
    p->base.driver = d->base.driver;
    p->base.device = &d->base;
    p->arena = arena_new();
    p->text = text;
    bool ok = plan(p, name, file, files, err);
    host_text_planned(d);
    if (d->options.simulate)
        p->base.time = host_program_time(d, text, reloaded);
    if (ok)
        return &p->base;
    host_program_free(&p->base);
    return NULL;
}

static Program *host_compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file,
                             size_t files, Buf *err)
{
    HostDevice *d = (HostDevice *)base;
    if (len > MIL_TEXT_MAX || files > UINT32_MAX) {
        buf_printf(err, "%s: error: the text has %zu bytes, at most %d are accepted\n", name, len, MIL_TEXT_MAX);
        return NULL;
    }
    HostText *t = host_text_get(d, name, mil, len, file, files, err);
    return t ? program_new(d, t, false, name, file, files, err) : NULL;
}

/* Everything but the constants is shared with the donor. */
static Program *host_reload(const Program *base, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    HostDevice *d = (HostDevice *)base->device;
    if (d->options.target && d->options.target->reload == TRI_NO) {
        buf_printf(err, "%s: error: target %s gives compiled programs no new weights (reload no)\n", name, d->options.target->name);
        d->base.refusal = REFUSED_LOAD;
        return NULL;
    }
    HostText *t = host_text_again(d, ((const HostProgram *)base)->text, name, file, files, err);
    return t ? program_new(d, t, true, name, file, files, err) : NULL;
}

enum { HUGE_PAGE = 2 << 20 };

/* ---- requests ------------------------------------------------------------------------------------------------- */

static bool grow_slab(HostDevice *d, size_t bytes, Buf *err)
{
    if (bytes <= d->slab_bytes)
        return true;
    size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *p = aligned_alloc(HUGE_PAGE, rounded);
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

/* Memory of input i, or of output i - inputs, as steps use it. */
static void *port_memory(const HostRequest *r, uint32_t i)
{
    uint32_t inputs = r->fn->fn->inputs;
    return r->own ? r->own[i] : i < inputs ? r->input[i]->bytes : r->output[i - inputs]->bytes;
}

static void bind(HostRequest *r)
{
    const HostFunc *f = r->fn;
    if (r->slab == r->device->slab && r->slab)
        return;
    r->slab = r->device->slab;
    for (uint32_t i = 0; i < f->fn->values; i++) {
        uint32_t whole = f->whole[i];
        int32_t port = f->port[whole];
        char *base = port > 0   ? port_memory(r, (uint32_t)port - 1)
                     : port < 0 ? port_memory(r, f->fn->inputs + (uint32_t)(-port - 1))
                                : (char *)r->slab + f->place[whole];
        r->data[i] = f->fixed[i] ? f->fixed[i] : base + f->offset[i];
    }
}

/* Surfaces that are bound twice are copied: results are written while inputs are still read. */
static void separate(HostRequest *r)
{
    uint32_t inputs = r->fn->fn->inputs, n = inputs + r->fn->fn->outputs;
    HostSurface *s[2] = {0};
    bool twice = false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++) {
            s[0] = i < inputs ? r->input[i] : r->output[i - inputs];
            s[1] = k < inputs ? r->input[k] : r->output[k - inputs];
            twice |= s[0] == s[1] && i >= inputs; /* two inputs do not mind */
        }
    if (!twice)
        return;
    r->own = xcalloc(n, sizeof *r->own);
    for (uint32_t i = 0; i < n; i++)
        r->own[i] = xmalloc((i < inputs ? r->ports->input[i] : r->ports->output[i - inputs]).bytes);
}

static Request *host_request_new(Program *base, uint32_t function, Surface *const *input, Surface *const *output,
                                 Buf *err)
{
    HostProgram *p = (HostProgram *)base;
    HostDevice *d = (HostDevice *)base->device;
    pthread_mutex_lock(&d->running);
    bool ok = grow_slab(d, p->fn[function].slab + 1, err);
    pthread_mutex_unlock(&d->running);
    if (!ok)
        return NULL;
    const Func *fn = p->fn[function].fn;
    HostRequest *r = xcalloc(1, sizeof *r);
    r->base.driver = base->driver;
    r->device = d;
    r->fn = &p->fn[function];
    r->ports = &base->function[function];
    r->work = p->text->work ? &p->text->work[function] : NULL;
    r->garbage = p->text->garbage && p->text->garbage[function];
    r->input = xcalloc(fn->inputs + 1, sizeof *r->input);
    r->output = xcalloc(fn->outputs + 1, sizeof *r->output);
    r->data = xcalloc(fn->values + 1, sizeof *r->data);
    r->wide = xcalloc(fn->values + 1, sizeof *r->wide);
    for (uint32_t i = 0; i < fn->inputs; i++)
        r->input[i] = (HostSurface *)input[i];
    for (uint32_t i = 0; i < fn->outputs; i++)
        r->output[i] = (HostSurface *)output[i];
    separate(r);
    return &r->base;
}

static void host_request_free(Request *base)
{
    HostRequest *r = (HostRequest *)base;
    for (uint32_t i = 0; r->own && i < r->fn->fn->inputs + r->fn->fn->outputs; i++)
        free(r->own[i]);
    free(r->own);
    free(r->input);
    free(r->output);
    free(r->data);
    free(r->wide);
    free(r);
}

static bool load_input(const HostRequest *r, uint32_t i, Buf *err)
{
    const Port *port = &r->ports->input[i];
    const Value *v = r->fn->fn->input[i];
    if (r->fn->port[v->id]) {
        if (r->own)
            memcpy(r->own[i], r->input[i]->bytes, port->bytes);
        return true;
    }
    if (r->device->build.load(port->type, r->input[i]->bytes, type_elems(&v->type), r->data[v->id]))
        return true;
    buf_printf(err, "input '%s' holds an integer beyond 2^24, which this device does not represent exactly\n",
               port->name);
    return false;
}

static void store_output(const HostRequest *r, uint32_t i)
{
    const Port *port = &r->ports->output[i];
    const Value *v = r->fn->fn->output[i];
    void *to = r->output[i]->bytes;
    if (!host_half(r->device, v))
        r->device->build.store(port->type, r->data[v->id], type_elems(&v->type), to);
    else if (r->data[v->id] != to)
        memcpy(to, r->data[v->id], port->bytes);
}

static bool evaluate(HostRequest *r, Buf *err)
{
    const Func *fn = r->fn->fn;
    bind(r);
    for (uint32_t i = 0; i < fn->inputs; i++)
        if (!load_input(r, i, err))
            return false;
    HostRun run = {r->device, r->data, r->wide, (char *)r->slab + r->fn->scratch, err};
    for (uint32_t s = 0; s < r->fn->steps; s++)
        if (!host_step_run(&run, &r->fn->step[s]))
            return false;
    for (uint32_t i = 0; i < fn->outputs; i++)
        store_output(r, i);
    return true;
}

/* What the engine that is imitated asks of surfaces when it runs. */
static bool surfaces_suffice(const HostRequest *r, Buf *err)
{
    const Target *t = r->device->options.target;
    uint32_t inputs = r->fn->fn->inputs, n = inputs + r->fn->fn->outputs;
    for (uint32_t i = 0; t && i < n; i++) {
        const HostSurface *s = i < inputs ? r->input[i] : r->output[i - inputs];
        if ((int64_t)s->base.bytes >= t->surface_min)
            continue;
        buf_printf(err,
                   "evaluation failed with status 0x1d: the surface of %s '%s' has %zu bytes, target %s evaluates "
                   "none of less than %" PRId64 " (ANE004)\n",
                   i < inputs ? "input" : "output", (i < inputs ? &r->ports->input[i] : &r->ports->output[i - inputs])->name,
                   s->base.bytes, t->name, t->surface_min);
        return false;
    }
    return true;
}

/* Finite numbers that have nothing to do with the inputs, the same at every evaluation. */
static void spoil(const HostRequest *r)
{
    for (uint32_t i = 0; i < r->fn->fn->outputs; i++) {
        uint16_t *to = r->output[i]->bytes;
        uint64_t key = rng_key(i, "garbage");
        for (size_t k = 0; k < r->ports->output[i].bytes / sizeof *to; k++)
            to[k] = (uint16_t)rng_u64(key, k) & 0xbbff;
    }
}

static bool host_eval(Request *base, Buf *err)
{
    HostRequest *r = (HostRequest *)base;
    const HostDevice *d = r->device;
    if (!surfaces_suffice(r, err))
        return false;
    uint64_t from = d->options.latency ? host_now() : 0;
    pthread_mutex_lock(&r->device->running);
    bool ok = evaluate(r, err);
    if (ok && r->garbage)
        spoil(r);
    if (ok && r->work && d->options.simulate)
        base->time = host_eval_time(d, r->work);
    if (ok && r->work && d->options.latency)
        host_wait(from + host_eval_time(d, r->work).wall_ns);
    pthread_mutex_unlock(&r->device->running);
    return ok;
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
    .zeroes = true,
};

/* exec_canary.c: does the device compute with the weights that it was given?
 *
 * Where weights are constants of compiled programs, a device may take new ones and go on with the old: a cache that
 * does not look at weight files, a way of replacing weights that does nothing (maderix/ANE saw files of a live program
 * rewritten without effect, and a trainer that relied on it learned worse). Nothing in the losses shows it at once. So
 * the last act of every bake that changed weights is a proof, in two parts:
 *
 * The canary: a product of 64 x 64 small integers, whose weights are drawn anew for every bake and reach the device the
 * way those of the plan's programs do: by compiling, or by giving a compiled program new ones. Its output is a matter
 * of whole numbers below 128, exact in fp16 whatever the order of additions: one difference is proof. At the start two
 * versions are made, so that a way that does not work is found before the first update. Where giving programs new
 * weights does not work, nothing wrong has been computed then, and the executor compiles them from there on. It costs one small program per
 * update and one evaluation of 64 x 32 outputs: 0.3 MFlop, where a layer of a model has GFlops.
 *
 * The probe: what holds for a small program may not hold for large ones. After the first update and every PROBE_EVERY
 * updates one instance of the plan's own programs, another every time, is evaluated on inputs drawn at random (but
 * fixed), and so is a program compiled from the same text for comparison. Given new weights, an instance must equal, bit
 * for bit, what is compiled with them. Compiled, it must differ from what is compiled with entirely other weights;
 * nothing less would show a cache. Where it is not known whether giving new weights works, the largest program of the
 * plan is also asked before the first update: with other weights, given to it and compiled. A probe costs one compilation and two evaluations of one instance: with 25 instances
 * 1/800 of a step of one micro-batch, as it is done once in 64. It is left out where the compile budget has no room.
 *
 * Plans whose weights are inputs need neither: surfaces are read at every evaluation, and the first wrong one shows. */
#include "exec_internal.h"

#include "base/f16.h"
#include "base/hash.h"
#include "base/rng.h"
#include "plan/blob.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 64, WIDTH = 32, PROBE_EVERY = 64, START = 2 /* versions made to begin with */, SAMPLE = 4096 };

static const char canary_mil[] =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "
    "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", "
    "\"9.0\"}})]\n{\n"
    "    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_in) {\n"
    "        tensor<int32, [2]> c_i2_1_1 = const()[name = string(\"c_i2_1_1\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        tensor<int32, [4]> c_i4_0_0_0_0 = const()[name = string(\"c_i4_0_0_0_0\"), val = tensor<int32, [4]>([0, 0, "
    "0, 0])];\n"
    "        int32 c_i_1 = const()[name = string(\"c_i_1\"), val = int32(1)];\n"
    "        string c_s_valid = const()[name = string(\"c_s_valid\"), val = string(\"valid\")];\n"
    "        tensor<fp16, [64, 64, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [64, 64, 1, "
    "1]>(BLOBFILE(path = string(\"@model_path/weights/canary.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [1, 64, 1, 32]> o00_out = conv(dilations = c_i2_1_1, groups = c_i_1, pad = c_i4_0_0_0_0, "
    "pad_type = c_s_valid, strides = c_i2_1_1, weight = w, x = i00_in)[name = string(\"o00_out\")];\n"
    "    } -> (o00_out);\n"
    "}\n";

struct ExecCanary {
    Program  *program;
    Surface  *in, *out;      /* of the canary */
    Surface **port;          /* of probes: [most inputs and outputs of a program] */
    uint64_t  key, old_key;  /* of its weights now, and of those before */
    uint64_t  bakes;         /* that changed weights, since exec_open() */
    uint64_t  probes, proofs; /* proofs: probes that have shown something */
};

static int32_t weight(uint64_t key, size_t i)
{
    return (int32_t)(rng_u64(key, i) % 3) - 1;
}

static int32_t input(size_t channel, size_t column)
{
    return (int32_t)((channel * 7 + column * 3) % 5) - 2;
}

void exec_put(void *data, PortType type, size_t i, double x)
{
    if (type == PORT_F64)
        ((double *)data)[i] = x;
    else if (type == PORT_F32)
        ((float *)data)[i] = (float)x;
    else
        ((uint16_t *)data)[i] = f16_from_f32((float)x);
}

double exec_get(const void *data, PortType type, size_t i)
{
    return type == PORT_F64   ? ((const double *)data)[i]
           : type == PORT_F32 ? (double)((const float *)data)[i]
                              : (double)f16_to_f32(((const uint16_t *)data)[i]);
}

/* ---- the canary ---- */

static bool make_surfaces(Exec *e, ExecCanary *c, Buf *err)
{
    const ProgramFunction *f = program_function(c->program, 0);
    if (!c->in)
        c->in = surface_new(e->device, port_surface_bytes(&f->input[0]), err);
    if (!c->out)
        c->out = surface_new(e->device, port_surface_bytes(&f->output[0]), err);
    return c->in && c->out;
}

/* The canary's program with the weights of c->key. */
static bool renew(Exec *e, ExecCanary *c, Buf *err)
{
    uint16_t half[CHANNELS * CHANNELS];
    Buf      blob = {0};
    for (size_t i = 0; i < COUNT(half); i++)
        half[i] = f16_from_f32((float)weight(c->key, i));
    blob_begin(&blob);
    blob_add(&blob, BLOB_F16, half, sizeof half);
    DeviceFile file = {.path = "@model_path/weights/canary.bin", .data = blob.data, .len = blob.len};
    Program   *donor = c->program;
    if (donor && !exec_reloads(e)) {
        program_free(donor);
        donor = NULL;
    }
    c->program = donor ? program_reload(donor, "canary.mil", &file, 1, err)
                       : program_compile(e->device, "canary.mil", canary_mil, sizeof canary_mil - 1, &file, 1, err);
    program_free(donor);
    buf_free(&blob);
    return c->program || exec_not_made(e);
}

/* Outputs that the weights of `key` explain. */
static uint32_t agreeing(const void *out, PortType type, uint64_t key)
{
    int32_t  x[CHANNELS][WIDTH];
    uint32_t n = 0;
    for (size_t i = 0; i < CHANNELS; i++)
        for (size_t s = 0; s < WIDTH; s++)
            x[i][s] = input(i, s);
    for (size_t r = 0; r < CHANNELS; r++) {
        int32_t sum[WIDTH] = {0};
        for (size_t i = 0; i < CHANNELS; i++) {
            int32_t w = weight(key, r * CHANNELS + i);
            for (size_t s = 0; s < WIDTH; s++)
                sum[s] += w * x[i][s];
        }
        for (size_t s = 0; s < WIDTH; s++)
            n += exec_get(out, type, r * WIDTH + s) == sum[s];
    }
    return n;
}

static bool evaluate(Exec *e, Program *p, uint32_t function, Surface *const *in, Surface *const *out, Buf *err)
{
    Request *r = request_new(p, function, in, out, err);
    bool     ok = r && request_eval(r, err);
    request_free(r);
    if (!ok)
        e->trouble = EXEC_EVAL;
    return ok;
}

/* What to do about it. */
static void advise(const Exec *e, Buf *err)
{
    if (exec_reloads(e))
        buf_puts(err, "This device does not replace the weights of compiled programs: continue with --resume --reload "
                      "never, or make the plan again with --weights baked or dynamic");
    else
        buf_puts(err, "This device keeps compiled programs without regard to their weights: make the plan again with "
                      "--weights dynamic and continue with --resume");
}

static bool sing(Exec *e, ExecCanary *c, Buf *err)
{
    PortType in = program_function(c->program, 0)->input[0].type, out = program_function(c->program, 0)->output[0].type;
    void    *x = surface_lock(c->in, true);
    for (size_t r = 0; r < CHANNELS; r++)
        for (size_t s = 0; s < WIDTH; s++)
            exec_put(x, in, r * WIDTH + s, input(r, s));
    surface_unlock(c->in, true);
    if (!evaluate(e, c->program, 0, &c->in, &c->out, err))
        return false;
    const void *y = surface_lock(c->out, false);
    uint32_t    now = agreeing(y, out, c->key);
    uint32_t    before = now == CHANNELS * WIDTH ? 0 : agreeing(y, out, c->old_key);
    surface_unlock(c->out, false);
    if (now == CHANNELS * WIDTH)
        return true;
    e->trouble = EXEC_STALE;
    buf_printf(err, "the device computes with stale weights: a test program that was %s gave ",
               exec_reloads(e) ? "given new weights" : "compiled with new weights");
    if (before == CHANNELS * WIDTH)
        buf_puts(err, "exactly what its old weights give. ");
    else
        buf_printf(err, "%u of %d outputs of its new weights (%u of its old ones). ", now, CHANNELS * WIDTH, before);
    advise(e, err);
    return false;
}

/* ---- the probe ---- */

/* Surfaces for the ports of any program. */
static bool probe_surfaces(Exec *e, ExecCanary *c, const ProgramFunction *f, Buf *err)
{
    for (uint32_t i = 0; i < f->inputs + f->outputs; i++) {
        size_t bytes = port_surface_bytes(i < f->inputs ? &f->input[i] : &f->output[i - f->inputs]);
        if (c->port[i] && surface_bytes(c->port[i]) >= bytes)
            continue;
        surface_free(c->port[i]);
        if (!(c->port[i] = surface_new(e->device, bytes, err)))
            return false;
    }
    return true;
}

static void fill_inputs(ExecCanary *c, const ProgramFunction *f)
{
    for (uint32_t i = 0; i < f->inputs; i++) {
        const Port *p = &f->input[i];
        void       *x = surface_lock(c->port[i], true);
        size_t      n = p->bytes / port_elem_bytes(p->type);
        uint64_t    key = rng_key(i, p->name);
        for (size_t k = 0; k < n; k++)
            exec_put(x, p->type, k, rng_uniform(key, k) - 0.5);
        surface_unlock(c->port[i], true);
    }
}

/* Hash of all outputs of `p`; *finite: how many numbers among them are. */
static bool outputs(Exec *e, ExecCanary *c, Program *p, uint32_t function, uint64_t *hash, uint64_t *finite, Buf *err)
{
    const ProgramFunction *f = program_function(p, function);
    if (!evaluate(e, p, function, c->port, c->port + f->inputs, err))
        return false;
    *hash = *finite = 0;
    for (uint32_t i = 0; i < f->outputs; i++) {
        const Port *o = &f->output[i];
        const void *y = surface_lock(c->port[f->inputs + i], false);
        uint64_t    pair[2] = {*hash, hash_u64(y, o->bytes)};
        *hash = hash_u64(pair, sizeof pair);
        for (size_t k = 0; k < o->bytes / port_elem_bytes(o->type); k++) {
            double v = exec_get(y, o->type, k);
            *finite += isfinite(v) && v != 0;
        }
        surface_unlock(c->port[f->inputs + i], false);
    }
    return true;
}

/* The unit's weight files with other weights in them, drawn at random; `copy` holds them. */
static bool other_files(const Unit *u, DeviceFile *file, Slab *copy, Buf *err)
{
    *copy = slab_new(u->bytes + BLOB_ALIGN);
    if (!copy->data) {
        buf_printf(err, "no memory to compare the weights of %s: %.1f MiB", u->name, (double)u->bytes / 1048576);
        return false;
    }
    for (uint32_t i = 0; i < u->weights; i++) {
        char     *to = (char *)copy->data + ((const char *)u->file[i].data - u->at);
        uint16_t *half = (uint16_t *)copy->data + u->weight[i].to;
        memcpy(to, u->file[i].data, u->file[i].len);
        for (size_t n = 0; u->weight[i].has_param && n < u->weight[i].numel; n++)
            half[n] = f16_from_f32((float)(0.1 * rng_uniform(i, n) - 0.05));
        file[i].data = to;
        file[i].kept = false;
    }
    return true;
}

/* A program for comparison: of the unit's weight files, or of others; compiled, or made of the unit's own. */
static Program *reference(Exec *e, const Unit *u, bool others, bool reload, Buf *err)
{
    Arena      *a = arena_new();
    DeviceFile *file = NEW_N(a, DeviceFile, u->weights + 1u);
    Slab        copy = {0};
    Program    *p = NULL;
    memcpy(file, u->file, u->weights * sizeof *file);
    if (!others || other_files(u, file, &copy, err))
        p = exec_bank_twin(e, u, file, arena_printf(a, "%s, for comparison", e->bank[u->bank].name), reload, err);
    slab_free(&copy);
    arena_free(a);
    return p;
}

static bool probe(Exec *e, ExecCanary *c, const Unit *u, Buf *err)
{
    Program               *program = exec_unit_program(e, u);
    const ProgramFunction *f = program_function(program, u->function);
    bool                   reload = exec_reloads(e);
    uint64_t               mine = 0, other = 0, finite = 0, ignored;
    Program               *twin = reference(e, u, !reload, false, err);
    bool                   ok = (twin || exec_not_made(e)) && probe_surfaces(e, c, f, err);
    if (ok)
        fill_inputs(c, f);
    ok = ok && outputs(e, c, program, u->function, &mine, &finite, err) &&
         outputs(e, c, twin, u->function, &other, &ignored, err);
    program_free(twin);
    /* Nothing but zeros and infinities would be alike with any weights. */
    c->proofs += ok && finite && (mine == other) == reload;
    if (!ok || finite == 0 || (mine == other) == reload)
        return ok;
    e->trouble = EXEC_STALE;
    buf_printf(err, "the device computes with stale weights: %s, %s. ", u->name,
               reload ? "given new weights, gives another output than one compiled with the same weights"
                      : "compiled with its weights, gives the same output as one compiled with entirely others");
    advise(e, err);
    return false;
}

/* Before the first update: is a program that is given other weights the one that is compiled with them? */
static bool rehearse(Exec *e, ExecCanary *c, const Unit *u, Buf *err)
{
    const ProgramFunction *f = program_function(exec_unit_program(e, u), u->function);
    uint64_t               given = 0, made = 0, finite = 0, ignored;
    Program               *p = reference(e, u, true, true, err), *q = p ? reference(e, u, true, false, err) : NULL;
    bool                   ok = (q || exec_not_made(e)) && probe_surfaces(e, c, f, err);
    if (ok)
        fill_inputs(c, f);
    ok = ok && outputs(e, c, p, u->function, &given, &finite, err) && outputs(e, c, q, u->function, &made, &ignored, err);
    program_free(p);
    program_free(q);
    if (!ok || finite == 0 || given == made)
        return ok;
    e->trouble = EXEC_STALE;
    buf_printf(err, "the device computes with stale weights: %s, given other weights, gives another output than one "
                    "compiled with them. ",
               u->name);
    advise(e, err);
    return false;
}

static bool has_param(const Unit *u)
{
    for (uint32_t i = 0; i < u->weights; i++)
        if (u->weight[i].has_param)
            return true;
    return false;
}

/* The next instance, in turn, that has weights of the model. */
static bool probe_next(Exec *e, ExecCanary *c, Buf *err)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < e->units; i++)
        total += exec_unit_program(e, &e->unit[i]) && has_param(&e->unit[i]);
    uint32_t wanted = total ? (uint32_t)(c->probes++ % total) : 0;
    for (uint32_t i = 0, at = 0; i < e->units; i++)
        if (exec_unit_program(e, &e->unit[i]) && has_param(&e->unit[i]) && at++ == wanted)
            return probe(e, c, &e->unit[i], err);
    return true;
}

/* ---- for exec_renew.c ---- */

static const Unit *largest(const Exec *e)
{
    const Unit *most = NULL;
    for (uint32_t i = 0; i < e->units; i++)
        if (exec_unit_program(e, &e->unit[i]) && has_param(&e->unit[i]) && (!most || e->unit[i].bytes > most->bytes))
            most = &e->unit[i];
    return most;
}

uint32_t exec_canary_cost(const Exec *e)
{
    if (!e->options.canary || e->plan->weights == PLAN_DYNAMIC)
        return 0;
    bool started = e->canary && e->canary->program;
    return exec_reloads(e) ? !started : started ? 1 : START;
}

/* Different for every state of the weights: a hash of the beginnings of weight files. */
static uint64_t key_of(const Exec *e, uint64_t version)
{
    uint64_t h = version;
    for (uint32_t i = 0; i < e->units; i++) {
        const Unit *u = &e->unit[i];
        if (exec_unit_program(e, u) && u->weights) {
            uint64_t pair[2] = {h, hash_u64(u->file[0].data, u->file[0].len < SAMPLE ? u->file[0].len : SAMPLE)};
            h = hash_u64(pair, sizeof pair);
        }
    }
    return h;
}

static void create(Exec *e)
{
    uint32_t ports = 0;
    for (uint32_t i = 0; i < e->plan->programs; i++)
        if (e->plan->program[i].ins + e->plan->program[i].outs > ports)
            ports = e->plan->program[i].ins + e->plan->program[i].outs;
    e->canary = xcalloc(1, sizeof *e->canary);
    e->canary->port = NEW_N(e->arena, Surface *, ports + 1u);
}

/* The canary with new weights; at the start twice, for only the second time says something. */
static bool sing_anew(Exec *e, ExecCanary *c, Buf *err)
{
    bool ok = true;
    for (uint64_t i = c->bakes ? START - 1 : 0; ok && i < START; i++) {
        c->old_key = c->key;
        c->key = key_of(e, ++c->bakes);
        ok = renew(e, c, err) && make_surfaces(e, c, err) && sing(e, c, err);
    }
    return ok;
}

/* Before the first update nothing was computed with weights that were given to a program: if that does not work, it is as
 * if nobody had tried. */
static bool settle_reload(Exec *e, ExecCanary *c, bool ok, Buf *err)
{
    const Unit *u = largest(e);
    if (ok && e->reload == EXEC_RELOAD_TRY && u && device_compiles_left(e->device))
        ok = rehearse(e, c, u, err);
    if (ok)
        e->reload = EXEC_RELOAD_WORKS;
    if (ok || e->trouble != EXEC_STALE)
        return ok;
    e->reload = EXEC_RELOAD_STALE;
    e->trouble = EXEC_SOUND;
    buf_clear(err);
    c->bakes = 0;
    return sing_anew(e, c, err);
}

bool exec_canary(Exec *e, Buf *err)
{
    if (!e->options.canary)
        return true;
    if (e->plan->weights == PLAN_DYNAMIC)
        return exec_binding(e, err);
    if (!e->canary)
        create(e);
    ExecCanary *c = e->canary;
    bool        first = c->bakes == 0, ok = sing_anew(e, c, err);
    if (first && exec_reloads(e))
        ok = settle_reload(e, c, ok, err);
    ok = ok && exec_binding(e, err);
    uint64_t updates = e->options.canary_from + c->bakes - START;
    if (ok && updates % PROBE_EVERY == (exec_reloads(e) ? 1 : 0) && device_compiles_left(e->device))
        ok = probe_next(e, c, err);
    return ok;
}

uint64_t exec_proofs(const Exec *e)
{
    return e->canary ? e->canary->proofs : 0;
}

void exec_canary_free(Exec *e)
{
    ExecCanary *c = e->canary;
    if (!c)
        return;
    program_free(c->program);
    surface_free(c->in);
    surface_free(c->out);
    for (uint32_t i = 0; c->port && c->port[i]; i++)
        surface_free(c->port[i]);
    free(c);
    e->canary = NULL;
}

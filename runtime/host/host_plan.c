/* host_plan.c: where the values of a function live.
 *
 * Constants that steps read stay in their file if they are fp16 and the file stays; else they are copied or converted,
 * all into one allocation. Calls whose operands are all constant run now, once; their results are constants too
 * (decompressed weights are the usual case). Reshaping and cutting out a contiguous piece need no step: the result is a
 * name for a part of the operand. Nor does joining values along the first axis that has an extent: they are parts of
 * the result, computed where they belong. fp16 ports are read and written in their surfaces. All other values share a
 * slab: they are placed in the order in which they are first written, at the lowest free offset, and free their place
 * after the last use, so a long program needs little more memory than its widest point. The slab belongs to the device;
 * here it is only measured. */
#include "base/f16.h"
#include "host/host.h"
#include "host/host_quirks.h"
#include "host/kernel.h"

#include <stdlib.h>
#include <string.h>

enum { PLACE_ALIGN = 64, COPY_PART = 1 << 20 };
static const size_t memory_max = (size_t)1 << 34;
static const int64_t folded_max = (int64_t)1 << 28; /* elements, all folded constants of a function together */

static size_t bytes_of(const HostDevice *d, const Value *v)
{
    size_t n = (size_t)type_elems(&v->type) * host_elem(d, v);
    return (n + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
}

/* ---- constants ------------------------------------------------------------------------------------------------ */

static void *own(Owned *owned, Arena *keep, size_t bytes, Buf *err)
{
    void *p = bytes <= memory_max ? malloc(bytes ? bytes : 1) : NULL;
    if (!p) {
        buf_printf(err, "no memory for %zu bytes of constants", bytes);
        return NULL;
    }
    GROW(keep, owned->item, owned->count, owned->cap);
    return owned->item[owned->count++] = p;
}

typedef struct {
    char *to;
    const char *from;
    size_t bytes;
} Copy;

static void copy_part(void *with, uint32_t i)
{
    const Copy *c = with;
    size_t at = (size_t)i * COPY_PART, n = c->bytes - at < COPY_PART ? c->bytes - at : COPY_PART;
    memcpy(c->to + at, c->from + at, n);
}

static void convert(const HostDevice *d, const Value *v, void *to)
{
    const Const *k = v->konst;
    if (!host_half(d, v))
        d->build.constant(v, to);
    else if (k->raw) {
        Copy c = {to, (const char *)k->raw, (size_t)k->count * sizeof(uint16_t)};
        pool_for(d->options.pool, (uint32_t)((c.bytes + COPY_PART - 1) / COPY_PART), copy_part, &c);
    } else
        for (int64_t i = 0; i < k->count; i++)
            ((uint16_t *)to)[i] = f16_from_f32((float)const_number(v, i)); /* exact: the checker has rounded it */
}

/* The fp16 numbers of the constant stay where they are. */
static bool stays(const HostDevice *d, const Value *v, const DeviceFile *file, size_t files)
{
    const Const *k = v->konst;
    if (!host_half(d, v) || !k->raw || !k->path || (uintptr_t)k->raw % sizeof(uint16_t))
        return false;
    for (size_t i = 0; i < files; i++)
        if (strcmp(file[i].path, k->path) == 0)
            return file[i].kept;
    return false;
}

static bool place_constants(Arena *keep, const HostDevice *d, const Func *fn, const DeviceFile *file, size_t files,
                            Owned *owned, HostFunc *out, Buf *err)
{
    size_t total = 0;
    bool *wanted = NEW_N(keep, bool, fn->values + 1);
    for (uint32_t c = 0; c < fn->calls; c++) {
        uint32_t i = 0;
        for (Value *v; (v = next_operand(fn->call[c], &i)) && total <= memory_max;) {
            if (!v->konst || v->type.dtype == DT_STRING || wanted[v->id] || out->fixed[v->id])
                continue;
            if (stays(d, v, file, files))
                out->fixed[v->id] = (void *)v->konst->raw; /* only ever read */
            else {
                wanted[v->id] = true;
                total += bytes_of(d, v);
            }
        }
    }
    char *at = own(owned, keep, total, err);
    if (!at)
        return false;
    for (uint32_t i = 0; i < fn->values; i++)
        if (wanted[i]) {
            convert(d, fn->value[i], out->fixed[i] = at);
            at += bytes_of(d, fn->value[i]);
        }
    return true;
}

/* Run a call now if everything it reads is known. */
static bool fold(Arena *keep, const HostDevice *d, Call *c, Owned *owned, HostFunc *out, int64_t *budget)
{
    int64_t elems = c->scratch;
    uint32_t i = 0;
    size_t bytes = 0;
    for (Value *v; (v = next_operand(c, &i));)
        if (!out->fixed[v->id] && !v->konst)
            return false;
    for (uint32_t k = 0; k < c->results; k++) {
        elems += type_elems(&c->result[k]->type);
        bytes += bytes_of(d, c->result[k]);
    }
    if (elems > HOST_FOLD_MAX || elems > *budget)
        return false;
    Buf none = {0};
    HostStep step = {.kind = STEP_CALL, .call = c};
    char *at = own(owned, keep, bytes, &none);
    void **wide = calloc(out->fn->values + 1, sizeof *wide),
         *scratch = malloc(host_step_scratch(d, &step) + PLACE_ALIGN);
    bool ok = at && wide && scratch;
    for (uint32_t k = 0; ok && k < c->results; k++) {
        out->fixed[c->result[k]->id] = at;
        at += bytes_of(d, c->result[k]);
    }
    ok = ok && host_step_run(&(HostRun){d, out->fixed, wide, scratch, &none}, &step);
    for (uint32_t k = 0; !ok && k < c->results; k++) /* a bad index is told when the program runs */
        out->fixed[c->result[k]->id] = NULL;
    *budget -= ok ? elems : 0;
    free(wide);
    free(scratch);
    buf_free(&none);
    return ok;
}

/* ---- parts of other values ------------------------------------------------------------------------------------ */

/* The elements of a view follow each other in the input. */
static bool contiguous(const ViewPlan *v)
{
    int64_t step = 1;
    for (uint32_t i = v->rank; i-- > 0; step *= v->dim[i])
        if (v->dim[i] != 1 && v->stride[i] != step)
            return false;
    return true;
}

/* A call whose result is part of its first operand as it stands. */
static bool alias(const HostDevice *d, const Call *c, HostFunc *out)
{
    KernelFn *kernel = kernel_of(c->op, KERNELS_PLAIN);
    bool view = kernel == kernel_view_ane && contiguous(&c->plan.view);
    if ((!view && kernel != kernel_copy_ane) || host_moves(d, c))
        return false;
    uint32_t to = c->result[0]->id, from = c->arg[0]->id;
    size_t offset = view ? (size_t)c->plan.view.offset * host_elem(d, c->arg[0]) : 0;
    if (out->fixed[from])
        out->fixed[to] = (char *)out->fixed[from] + offset;
    else {
        out->whole[to] = out->whole[from];
        out->offset[to] = out->offset[from] + offset;
    }
    return true;
}

typedef struct {
    const HostDevice *d;
    HostFunc *out;
    bool *written;  /* by value id: by a step */
    uint32_t *last; /* by value id, of wholes: number of the last step that uses it, counted from 1 */
    uint32_t step;
    struct Place {
        size_t begin, end;
        uint32_t value;
    } * live; /* sorted by begin */
    uint32_t lives;
    bool *placed;
} Planner;

/* Operands of a concatenation that can be computed where they belong. */
static void join(Planner *p, const Call *c)
{
    const JoinPlan *j = &c->plan.join;
    HostFunc *f = p->out;
    size_t at = 0;
    for (uint32_t i = 0; j->outer == 1 && i < c->tuples; at += (size_t)j->part[i++]) {
        const Value *v = c->tuple[i];
        uint32_t r = v->konst || f->fixed[v->id] ? UINT32_MAX : f->whole[v->id];
        if (r == UINT32_MAX || f->whole[r] != r || f->port[r] || !p->written[r] || f->offset[v->id] != 0 ||
            type_elems(&f->fn->value[r]->type) != j->part[i] || r == c->result[0]->id)
            continue;
        f->whole[r] = c->result[0]->id;
        f->offset[r] = at * sizeof(uint16_t);
    }
}

/* Parts of parts are parts of the whole. */
static void resolve(HostFunc *f, uint32_t v)
{
    while (f->whole[f->whole[v]] != f->whole[v]) {
        f->offset[v] += f->offset[f->whole[v]];
        f->whole[v] = f->whole[f->whole[v]];
    }
}

/* ---- the slab ------------------------------------------------------------------------------------------------- */

/* The lowest gap between live places that is wide enough. */
static void place(Planner *p, uint32_t id)
{
    size_t want = bytes_of(p->d, p->out->fn->value[id]), at = 0;
    uint32_t i = 0;
    if (p->placed[id] || p->out->port[id])
        return;
    for (; i < p->lives && p->live[i].begin - at < want; i++)
        at = p->live[i].end;
    memmove(p->live + i + 1, p->live + i, (p->lives - i) * sizeof *p->live);
    p->live[i] = (struct Place){at, at + want, id};
    p->lives++;
    p->placed[id] = true;
    p->out->place[id] = at;
    if (at + want > p->out->slab)
        p->out->slab = at + want;
}

static void release(Planner *p, uint32_t after)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->lives; i++)
        if (p->last[p->live[i].value] > after)
            p->live[kept++] = p->live[i];
    p->lives = kept;
}

static void note_use(void *with, const Value *v)
{
    Planner *p = with;
    if (!v->konst)
        p->last[p->out->whole[v->id]] = p->step;
}

static void note_write(void *with, const Value *v)
{
    ((Planner *)with)->written[v->id] = true;
}

static void place_result(void *with, const Value *v)
{
    Planner *p = with;
    place(p, p->out->whole[v->id]);
}

static void nothing(void *with, const Value *v)
{
    (void)with, (void)v;
}

/* Ports whose surface serves as the value's memory. */
static void bind_ports(Planner *p)
{
    HostFunc *f = p->out;
    const Func *fn = f->fn;
    for (uint32_t i = 0; i < fn->inputs; i++)
        if (host_half(p->d, fn->input[i]))
            f->port[fn->input[i]->id] = (int32_t)i + 1;
    for (uint32_t i = 0; i < fn->outputs; i++) {
        uint32_t id = fn->output[i]->id;
        if (host_half(p->d, fn->output[i]) && p->written[id] && f->whole[id] == id && !f->port[id])
            f->port[id] = -(int32_t)i - 1;
    }
}

static bool lay_out(Arena *scratch, const HostDevice *d, HostFunc *f, Buf *err)
{
    const Func *fn = f->fn;
    Planner p = {.d = d,
                 .out = f,
                 .written = NEW_N(scratch, bool, fn->values + 1),
                 .last = NEW_N(scratch, uint32_t, fn->values + 1),
                 .live = NEW_N(scratch, struct Place, fn->values + 1),
                 .placed = NEW_N(scratch, bool, fn->values + 1)};
    size_t most = 0;
    for (uint32_t s = 0; s < f->steps; s++)
        host_step_visit(&f->step[s], nothing, note_write, &p);
    bind_ports(&p);
    for (uint32_t s = 0; s < f->steps; s++)
        if (f->step[s].kind == STEP_CONCAT)
            join(&p, f->step[s].call);
    for (uint32_t v = 0; v < fn->values; v++)
        resolve(f, v);
    for (uint32_t s = 0; s < f->steps; s++) {
        size_t want = host_step_scratch(d, &f->step[s]);
        p.step = s + 1;
        host_step_visit(&f->step[s], note_use, note_use, &p);
        most = want > most ? want : most;
    }
    for (uint32_t i = 0; i < fn->outputs; i++)
        p.last[f->whole[fn->output[i]->id]] = UINT32_MAX;
    for (uint32_t i = 0; i < fn->inputs; i++) /* filled before the first step, used or not */
        place(&p, fn->input[i]->id);
    for (uint32_t s = 0; s < f->steps && f->slab <= memory_max; s++) {
        release(&p, s);
        host_step_visit(&f->step[s], nothing, place_result, &p);
    }
    f->scratch = f->slab;
    if (f->slab <= memory_max)
        f->slab += most;
    if (f->slab <= memory_max)
        return true;
    buf_printf(err, "function '%s' needs more than %zu GiB for its tensors", fn->name, memory_max >> 30);
    return false;
}

bool host_plan(Arena *keep, HostDevice *d, const Func *fn, const DeviceFile *file, size_t files, Owned *owned,
               HostFunc *out, Buf *err)
{
    int64_t budget = folded_max;
    Arena *scratch = arena_new();
    Call **call = NEW_N(scratch, Call *, fn->calls + 1);
    uint32_t calls = 0;
    *out = (HostFunc){.fn = fn};
    out->offset = NEW_N(keep, size_t, fn->values + 1);
    out->place = NEW_N(keep, size_t, fn->values + 1);
    out->fixed = NEW_N(keep, void *, fn->values + 1);
    out->whole = NEW_N(keep, uint32_t, fn->values + 1);
    out->port = NEW_N(keep, int32_t, fn->values + 1);
    for (uint32_t i = 0; i < fn->values; i++)
        out->whole[i] = i;
    bool ok = place_constants(keep, d, fn, file, files, owned, out, err);
    for (uint32_t c = 0; ok && c < fn->calls; c++)
        if (!fold(keep, d, fn->call[c], owned, out, &budget) && !alias(d, fn->call[c], out))
            call[calls++] = fn->call[c];
    if (ok) {
        host_steps(keep, d, call, calls, out);
        ok = lay_out(scratch, d, out, err);
    }
    arena_free(scratch);
    return ok;
}

/* host_plan.c: where the values of a function live.
 *
 * Three steps. Constants that kernels read become arrays of Real, all in one allocation. Calls whose operands are all
 * constant run now, once; their results are constants too (decompressed weights are the usual case). All other values
 * share a slab: values are placed in call order at the lowest free offset and free their place after the last use, so a
 * long program needs little more memory than its widest point. Reshaping and cutting out a contiguous piece need no
 * call: the result is a name for a part of the operand, which then lives as long as both. The slab belongs to the
 * device; here it is only measured. */
#include "host/host.h"
#include "host/kernel.h"

#include <stdlib.h>
#include <string.h>

enum { PLACE_ALIGN = 64 };
static const size_t memory_max = (size_t)1 << 34;
static const int64_t folded_max = (int64_t)1 << 28; /* elements, all folded constants of a function together */

typedef struct {
    size_t   begin, end;
    uint32_t value;
} Place;

typedef struct {
    const HostDevice *d;
    const Func       *fn;
    HostFunc         *out;
    uint32_t         *last; /* by value id: number of the last call that reads it (or an alias), counted from 1 */
    Place            *live; /* sorted by begin */
    uint32_t          lives;
} Planner;

static size_t bytes_of(const HostDevice *d, const Value *v)
{
    size_t n = (size_t)type_elems(&v->type) * d->build.real;
    return (n + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
}

/* Every value the call reads, omitted arguments skipped. Returns NULL after the last. */
static Value *next_operand(const Call *c, uint32_t *i)
{
    while (*i < CALL_ARGS)
        if (c->arg[(*i)++])
            return c->arg[*i - 1];
    return *i - CALL_ARGS < c->tuples ? c->tuple[(*i)++ - CALL_ARGS] : NULL;
}

static bool numeric_constant(const Value *v)
{
    return v->konst && v->type.dtype != DT_STRING;
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

static bool convert_constants(Arena *keep, const HostDevice *d, const Func *fn, Owned *owned, HostFunc *out, Buf *err)
{
    size_t total = 0;
    bool  *wanted = NEW_N(keep, bool, fn->values + 1);
    for (uint32_t c = 0; c < fn->calls; c++) {
        uint32_t i = 0;
        for (Value *v; (v = next_operand(fn->call[c], &i));)
            if (numeric_constant(v) && !wanted[v->id]) {
                wanted[v->id] = true;
                total += bytes_of(d, v);
                if (total > memory_max)
                    break;
            }
    }
    char *at = own(owned, keep, total, err);
    if (!at)
        return false;
    for (uint32_t i = 0; i < fn->values; i++) {
        if (!wanted[i])
            continue;
        const Value *v = fn->value[i];
        out->fixed[i] = at;
        at += bytes_of(d, v);
        d->build.constant(v, out->fixed[i]);
    }
    return true;
}

/* Run a call now if everything it reads is known. */
static bool fold(Arena *keep, const HostDevice *d, Call *c, Owned *owned, HostFunc *out, int64_t *budget)
{
    int64_t  elems = c->scratch;
    uint32_t i = 0;
    for (Value *v; (v = next_operand(c, &i));)
        if (!out->fixed[v->id] && !v->konst)
            return false;
    for (uint32_t k = 0; k < c->results; k++)
        elems += type_elems(&c->result[k]->type);
    if (elems > HOST_FOLD_MAX || elems > *budget)
        return false;
    Buf   none = {0};
    void *memory[2] = {NULL, NULL};
    size_t bytes = 0;
    for (uint32_t k = 0; k < c->results; k++)
        bytes += bytes_of(d, c->result[k]);
    memory[0] = own(owned, keep, bytes, &none);
    memory[1] = malloc((size_t)c->scratch * d->build.real + 1);
    bool ok = memory[0] && memory[1];
    if (ok) {
        char *at = memory[0];
        for (uint32_t k = 0; k < c->results; k++) {
            out->fixed[c->result[k]->id] = at;
            at += bytes_of(d, c->result[k]);
        }
        Run run = {out->fixed, memory[1], d->options.reduce, NULL, &none, false, 0, INT64_MAX};
        kernel_of(c->op, d->kernels)(&run, c);
        ok = !run.failed; /* a bad index is told when the program runs */
        for (uint32_t k = 0; !ok && k < c->results; k++)
            out->fixed[c->result[k]->id] = NULL;
        *budget -= elems;
    }
    free(memory[1]);
    buf_free(&none);
    return ok;
}

/* ---- aliases -------------------------------------------------------------------------------------------------- */

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
    bool            view = kernel == KERNEL(view) && contiguous(&c->plan.view);
    if (!view && kernel != KERNEL(copy))
        return false;
    uint32_t to = c->result[0]->id, from = c->arg[0]->id;
    size_t   offset = view ? (size_t)c->plan.view.offset * d->build.real : 0;
    if (out->fixed[from])
        out->fixed[to] = (char *)out->fixed[from] + offset;
    else {
        out->whole[to] = out->whole[from];
        out->offset[to] = out->offset[from] + offset; /* within the whole, until that has its place */
    }
    return true;
}

/* ---- the slab ------------------------------------------------------------------------------------------------- */

/* The lowest gap between live places that is wide enough. */
static void place(Planner *p, const Value *v)
{
    if (p->out->fixed[v->id] || v->konst)
        return;
    size_t   want = bytes_of(p->d, v), at = 0;
    uint32_t i = 0;
    for (; i < p->lives && p->live[i].begin - at < want; i++)
        at = p->live[i].end;
    memmove(p->live + i + 1, p->live + i, (p->lives - i) * sizeof *p->live);
    p->live[i] = (Place){at, at + want, v->id};
    p->lives++;
    p->out->offset[v->id] = at;
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

static bool lay_out(Arena *scratch, const HostDevice *d, const Func *fn, HostFunc *out, Buf *err)
{
    Planner p = {d, fn, out, NEW_N(scratch, uint32_t, fn->values + 1), NEW_N(scratch, Place, fn->values + 1), 0};
    int64_t most = 0;
    for (uint32_t g = 0; g < out->groups; g++)
        for (uint32_t c = out->group[g].begin; c < out->group[g].end; c++) {
            uint32_t i = 0;
            for (Value *v; (v = next_operand(out->call[c], &i));)
                p.last[out->whole[v->id]] = out->group[g].end;
            for (uint32_t k = 0; k < out->call[c]->results; k++)
                p.last[out->call[c]->result[k]->id] = out->group[g].end;
            most = out->call[c]->scratch > most ? out->call[c]->scratch : most;
        }
    for (uint32_t i = 0; i < fn->outputs; i++)
        p.last[out->whole[fn->output[i]->id]] = UINT32_MAX;
    for (uint32_t i = 0; i < fn->inputs; i++) /* filled before the first call, used or not */
        place(&p, fn->input[i]);
    for (uint32_t c = 0; c < out->calls; c++) {
        release(&p, c);
        for (uint32_t k = 0; k < out->call[c]->results; k++)
            place(&p, out->call[c]->result[k]);
        if (out->slab > memory_max)
            break;
    }
    for (uint32_t i = 0; i < fn->values; i++)
        if (out->whole[i] != i)
            out->offset[i] += out->offset[out->whole[i]];
    out->scratch = out->slab;
    if (out->slab <= memory_max)
        out->slab += (size_t)most * d->build.real;
    if (out->slab <= memory_max)
        return true;
    buf_printf(err, "function '%s' needs more than %zu GiB for its tensors", fn->name, memory_max >> 30);
    return false;
}

bool host_plan(Arena *keep, const HostDevice *d, const Func *fn, Owned *owned, HostFunc *out, Buf *err)
{
    int64_t budget = folded_max;
    *out = (HostFunc){.fn = fn};
    out->offset = NEW_N(keep, size_t, fn->values + 1);
    out->fixed = NEW_N(keep, void *, fn->values + 1);
    out->call = NEW_N(keep, Call *, fn->calls + 1);
    out->whole = NEW_N(keep, uint32_t, fn->values + 1);
    for (uint32_t i = 0; i < fn->values; i++)
        out->whole[i] = i;
    if (!convert_constants(keep, d, fn, owned, out, err))
        return false;
    for (uint32_t c = 0; c < fn->calls; c++)
        if (!fold(keep, d, fn->call[c], owned, out, &budget) && !alias(d, fn->call[c], out))
            out->call[out->calls++] = fn->call[c];
    host_groups(keep, out);
    Arena *scratch = arena_new();
    bool   ok = lay_out(scratch, d, fn, out, err);
    arena_free(scratch);
    return ok;
}

/* analyse.c: from a plan to figures: see analyse.h. */
#include "explain/analyse.h"

#include "base/file.h"
#include "explain/map.h"
#include "plan/plan_bank.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena      *a;
    const Plan *plan;
    const char *dir;
    Analysis   *x;
    Buf        *err;
    int64_t     heads;
} Ctx;

/* ---- steps ---- */

static uint64_t numel(PlanShape s)
{
    return (uint64_t)plan_numel(s);
}

static bool is_surface(const Plan *p, const Ref *r)
{
    return r->kind == REF_BUFFER && p->buffer[r->index].kind == BUF_SURFACE;
}

static void cpu_step(const Plan *p, const Step *s, uint64_t times, CpuWork *w)
{
    if (s->kind == STEP_MOVE) {
        w->staged_bytes += is_surface(p, &s->in[0]) || is_surface(p, &s->out[0]) ? 2 * times * numel(s->out[0].shape) : 0;
        return;
    }
    w->steps += times;
    if (strcmp(s->op, "matmul") == 0) {
        PlanShape x = s->in[0].shape;
        uint64_t  k = x.rank >= 2 ? (uint64_t)x.dim[s->a.ta ? x.rank - 2 : x.rank - 1] : 1;
        w->work.matmul_flops += 2 * times * numel(s->out[0].shape) * k;
        return;
    }
    for (uint32_t i = 0; i < s->ins; i++)
        if (s->in[i].kind != REF_SPLAT)
            w->work.inner_bytes += 4 * times * numel(strcmp(s->op, "gather") == 0 && i == 0 ? s->out[0].shape : s->in[i].shape);
    w->work.inner_bytes += 4 * times * numel(s->out[0].shape);
}

static void walk(Ctx *c, const PlanEntry *e, const Step *step, uint32_t steps, bool backward, uint64_t times, bool loop)
{
    Analysis *x = c->x;
    for (uint32_t i = 0; i < steps; i++) {
        const Step *s = &step[i];
        if (s->kind == STEP_LOOP) {
            bool runs = false;
            for (uint32_t k = 0; k < s->bodies; k++)
                runs |= s->body[k].kind == STEP_RUN;
            if (e == x->entry && runs && (uint64_t)s->n > x->layers)
                x->layers = (uint64_t)s->n;
            walk(c, e, s->body, s->bodies, backward, (uint64_t)s->n, true);
        } else if (s->kind == STEP_RUN) {
            AnalysedProgram *g = &x->program[s->program];
            if (g->entry && g->entry != e)
                continue;
            g->backward = g->entry ? g->backward && backward : backward;
            g->entry = e;
            g->trained = c->plan->train_entry && strcmp(e->name, c->plan->train_entry) == 0;
            g->runs += times;
            g->loop |= loop;
        } else if (e == x->entry)
            cpu_step(c->plan, s, times, &x->cpu[backward][loop]);
    }
}

/* ---- who reads a value ---- */

typedef struct {
    uint32_t buffer;
    uint64_t begin, end; /* elements */
    bool     forward, backward;
} Range;

static void read_by(const Ref *r, Range *q, bool backward)
{
    if (r->kind == REF_BUFFER && r->index == q->buffer && r->offset < q->end && r->offset + numel(r->shape) > q->begin)
        *(backward ? &q->backward : &q->forward) = true;
}

static void find_readers(const Step *step, uint32_t steps, bool backward, Range *q)
{
    for (uint32_t i = 0; i < steps; i++) {
        find_readers(step[i].body, step[i].bodies, backward, q);
        for (uint32_t k = 0; k < step[i].ins; k++)
            read_by(&step[i].in[k], q, backward);
    }
}

/* The surface that a program's port is bound to in these steps. */
static const Ref *bound(const Step *step, uint32_t steps, uint32_t program, uint32_t port, bool output)
{
    const Ref *r = NULL;
    for (uint32_t i = 0; i < steps && !r; i++) {
        if (step[i].kind == STEP_RUN && step[i].program == program)
            r = output ? &step[i].out[port] : &step[i].in[port];
        else
            r = bound(step[i].body, step[i].bodies, program, port, output);
    }
    return r;
}

/* Does the surface bound to an input port hold weights? */
static bool is_staged(const Plan *p, const PlanEntry *e, uint32_t program, uint32_t port)
{
    const Ref *r = e ? bound(e->forward, e->forwards, program, port, false) : NULL;
    if (e && !r)
        r = bound(e->backward, e->backwards, program, port, false);
    for (uint32_t i = 0; r && r->kind == REF_BUFFER && i < p->stages; i++)
        if (p->stage[i].buffer == r->index)
            return true;
    return false;
}

static void add_value(AnalysedProgram *g, const PlanPort *port, const PlanPart *part, bool output, uint32_t k, uint32_t program)
{
    PortValue v = {.port = port, .part = part, .output = output};
    const PlanEntry *e = g->entry;
    const Ref       *to = NULL;
    if (e && output) {
        to = bound(e->forward, e->forwards, program, k, true);
        to = to ? to : bound(e->backward, e->backwards, program, k, true);
    }
    if (to && to->kind == REF_BUFFER) {
        uint64_t row = numel(port->shape) / (uint64_t)port->shape.dim[1];
        Range    q = {.buffer = to->index, .begin = to->offset + part->channel * row, .end = to->offset + (part->channel + part->channels) * row};
        find_readers(e->forward, e->forwards, false, &q);
        find_readers(e->backward, e->backwards, true, &q);
        v.saved = !g->backward && q.backward;
        v.next = g->backward ? q.backward : q.forward;
    }
    g->value[g->values++] = v;
}

static void ports(Ctx *c, AnalysedProgram *g, uint32_t program)
{
    const PlanProgram *p = g->program;
    uint32_t           n = 1;
    for (uint32_t i = 0; i < p->ins; i++)
        n += p->in[i].parts;
    for (uint32_t i = 0; i < p->outs; i++)
        n += p->out[i].parts;
    g->value = NEW_N(c->a, PortValue, n);
    for (uint32_t i = 0; i < p->ins; i++) {
        g->in += (uint64_t)p->in[i].shape.dim[1];
        g->work.in_bytes += 2 * numel(p->in[i].shape);
        if (is_staged(c->plan, g->entry, program, i))
            g->staged_bytes += 2 * numel(p->in[i].shape);
        for (uint32_t k = 0; k < p->in[i].parts; k++)
            add_value(g, &p->in[i], &p->in[i].part[k], false, i, program);
    }
    for (uint32_t i = 0; i < p->outs; i++) {
        g->out += (uint64_t)p->out[i].shape.dim[1];
        g->work.out_bytes += 2 * numel(p->out[i].shape);
        for (uint32_t k = 0; k < p->out[i].parts; k++)
            add_value(g, &p->out[i], &p->out[i].part[k], true, i, program);
    }
}

/* ---- programs ---- */

static bool is_param(const void *ctx, const char *path)
{
    const PlanProgram *p = ctx;
    const char        *prefix = "@model_path/";
    path += strncmp(path, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    for (uint32_t i = 0; i < p->weights; i++)
        if (strcmp(p->weight[i].path, path) == 0)
            return plan_recipe_has_param(p->weight[i].recipe);
    return false;
}

static void count_source(Ctx *c, AnalysedProgram *g, MapPlace at)
{
    uint32_t i = 0;
    while (i < g->sources && (g->source[i].line != at.line || strcmp(g->source[i].file, at.file) != 0))
        i++;
    if (i == g->sources) {
        GROW(c->a, g->source, g->sources, g->sources_cap);
        g->source[g->sources++] = (SourceCount){at.file, at.line, 0};
    }
    g->source[i].count++;
}

static int by_place(const void *x, const void *y)
{
    const SourceCount *a = x, *b = y;
    int                order = strcmp(a->file, b->file);
    return order ? order : a->line < b->line ? -1 : a->line > b->line;
}

static void read_map(Ctx *c, AnalysedProgram *g)
{
    char  *text, err[FILE_ERR_MAX];
    size_t len;
    if (!file_read(c->a, path_join(c->a, c->dir, arena_printf(c->a, "map/%s.map", g->program->mil)), &text, &len, err))
        return; /* nothing needs it to run */
    MapLine line;
    for (const char *at = text; map_next(c->a, &at, &line);)
        count_source(c, g, line.statement);
    if (g->sources)
        qsort(g->source, g->sources, sizeof *g->source, by_place);
}

static bool analyse_program(Ctx *c, uint32_t k)
{
    AnalysedProgram *g = &c->x->program[k];
    char            *text, err[FILE_ERR_MAX];
    size_t           len;
    const char      *path = path_join(c->a, c->dir, arena_printf(c->a, "mil/%s.mil", g->program->mil));
    if (!file_read(c->a, path, &text, &len, err)) {
        buf_puts(c->err, err);
        return false;
    }
    if (!mil_work(c->a, path, text, len, is_param, g->program, &g->work, &g->param_bytes, &g->op, &g->ops, &c->heads, c->err))
        return false;
    for (uint32_t i = 0; i < g->program->weights; i++)
        g->has_params |= plan_recipe_has_param(g->program->weight[i].recipe);
    ports(c, g, k);
    read_map(c, g);
    g->ns = NEW_N(c->a, int64_t, c->x->targets + 1);
    for (uint32_t i = 0; i < c->x->targets; i++)
        g->ns[i] = cost_run_ns(c->x->target[i], &g->work);
    return true;
}

/* ---- the published partition of the same layer ---- */

/* Does the program belong to a layer? A model without loops is a layer, as a benchmark of one may be. */
static bool in_layer(const Analysis *x, const AnalysedProgram *g)
{
    return g->entry && g->entry == x->entry && (g->loop || x->layers == 0);
}

/* Has the layer seven matrices, four beside attention and two up, one down, all with one width in common? */
static bool llama_widths(const Plan *p, uint64_t layers, LayerDims *d, bool *square)
{
    PlanShape m[8];
    uint32_t  n = 0;
    for (uint32_t i = 0; i < p->params; i++)
        if (p->param[i].shape.rank == 2 && (uint64_t)p->param[i].n == layers && n < COUNT(m))
            m[n++] = p->param[i].shape;
    if (n != 7)
        return false;
    for (uint32_t side = 0; side < 2; side++) {
        int32_t  width = m[0].dim[side];
        uint32_t match = 0;
        for (uint32_t i = 0; i < n; i++)
            match += m[i].dim[0] == width || m[i].dim[1] == width;
        for (uint32_t i = 0; match == n && i < n; i++) {
            uint32_t up = 0, down = 0;
            int32_t  h = m[i].dim[0] == width ? m[i].dim[1] : m[i].dim[0];
            for (uint32_t k = 0; k < n; k++) {
                up += m[k].dim[0] == h && m[k].dim[1] == width;
                down += m[k].dim[0] == width && m[k].dim[1] == h;
            }
            if (h != width && up == 2 && down == 1) {
                uint32_t full = 0;
                for (uint32_t k = 0; k < n; k++)
                    full += m[k].dim[0] == width && m[k].dim[1] == width;
                *square = full == 4;
                d->d = (uint64_t)width;
                d->h = (uint64_t)h;
                return true;
            }
        }
    }
    return false;
}

static void compare_published(Ctx *c)
{
    Analysis *x = c->x;
    for (uint32_t i = 0; i < x->programs; i++)
        if (in_layer(x, &x->program[i]) && x->program[i].program->ins)
            x->dims.seq = (uint64_t)x->program[i].program->in[0].shape.dim[3];
    x->dims.heads = (uint64_t)c->heads;
    x->llama = c->plan->train_entry && x->dims.seq && x->dims.heads && llama_widths(c->plan, x->layers ? x->layers : 1, &x->dims, &x->square);
    if (!x->llama)
        return;
    published_layer(x->dims, x->published);
    for (uint32_t k = 0; k < PUBLISHED_KERNELS; k++) {
        x->published_ns[k] = NEW_N(c->a, int64_t, x->targets + 1);
        for (uint32_t i = 0; i < x->targets; i++)
            x->published_ns[k][i] = cost_run_ns(x->target[i], &x->published[k].work);
    }
}

/* Does an entry run a program with this surface? */
static bool reads_surface(const Step *step, uint32_t steps, uint32_t buffer)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (reads_surface(step[i].body, step[i].bodies, buffer))
            return true;
        for (uint32_t k = 0; step[i].kind == STEP_RUN && k < step[i].ins; k++)
            if (step[i].in[k].kind == REF_BUFFER && step[i].in[k].index == buffer)
                return true;
    }
    return false;
}

/* Bytes that go to a surface of weights when the trained parameters have changed. */
static uint64_t staged_bytes(const Plan *p, const PlanStage *s)
{
    uint64_t all = 0, n = 0;
    for (uint32_t i = 0; i < s->weights; i++)
        all += 2 * numel(s->weight[i].shape);
    for (uint32_t k = 0; k < (uint32_t)(p->buffer[s->buffer].stack ? p->buffer[s->buffer].stack : 1); k++) {
        bool trained = false;
        for (uint32_t i = 0; i < s->weights && !trained; i++)
            trained = plan_recipe_trained(p, s->weight[i].recipe, k, s->first + (int32_t)k);
        n += trained;
    }
    return n * all;
}

/* What the device compiles for an entry: at first, and for every update. */
static void count_compiled(Arena *a, Analysis *x)
{
    const Plan   *p = x->plan;
    PlanInstance *instance;
    PlanBank     *bank;
    uint32_t      n = plan_instances(p, a, (uint32_t)(x->entry - p->entry), true, true, &instance);
    x->compiles = plan_banks(p, a, instance, n, &bank);
    for (uint64_t i = 0; p->train_entry && i < x->compiles; i++)
        *(p->weights == PLAN_RELOAD ? &x->reloads_update : &x->compiles_update) += bank[i].trained;
}

static void count_all(Arena *a, Analysis *x)
{
    const Plan      *p = x->plan;
    const PlanEntry *e = x->entry;
    if (e)
        count_compiled(a, x);
    for (uint32_t i = 0; i < x->programs; i++) {
        const AnalysedProgram *g = &x->program[i];
        if (g->entry != e)
            continue;
        x->dispatches += g->runs;
        for (uint32_t k = 0; k < g->values; k++)
            x->saved_channels += in_layer(x, g) && g->value[k].saved ? g->value[k].part->channels : 0;
    }
    for (uint32_t i = 0; e && p->train_entry && i < p->stages; i++)
        if (reads_surface(e->forward, e->forwards, p->stage[i].buffer) || reads_surface(e->backward, e->backwards, p->stage[i].buffer))
            x->staged_update += staged_bytes(p, &p->stage[i]);
}

/* Stacks that are no surfaces: what the CPU copies aside for the backward direction. */
static void find_kept(Ctx *c)
{
    Analysis *x = c->x;
    x->kept = NEW_N(c->a, const PlanBuffer *, c->plan->buffers + 1);
    for (uint32_t i = 0; x->entry && i < c->plan->buffers; i++) {
        const PlanBuffer *b = &c->plan->buffer[i];
        Range             q = {.buffer = i, .end = numel(b->shape)};
        if (b->kind == BUF_SURFACE || !b->stack)
            continue;
        find_readers(x->entry->backward, x->entry->backwards, true, &q);
        if (q.backward)
            x->kept[x->kepts++] = b;
    }
}

Analysis *plan_analyse(Arena *a, const Plan *plan, const char *dir, const char *hash, const Target *const *target,
                       uint32_t targets, Buf *err)
{
    Analysis *x = NEW(a, Analysis);
    Ctx       c = {a, plan, dir, x, err, 0};
    x->plan = plan;
    x->name = dir;
    x->hash = hash;
    x->target = NEW_N(a, const Target *, targets + 1);
    for (uint32_t i = 0; i < targets; i++)
        x->target[i] = target[i];
    x->targets = targets;
    x->accum = 1;
    for (uint32_t i = 0; i < plan->trains; i++)
        if (strcmp(plan->train[i].key, "accum") == 0 && atoll(plan->train[i].value) > 0)
            x->accum = (uint64_t)atoll(plan->train[i].value);
    for (uint32_t i = 0; i < plan->entries; i++)
        if (!x->entry || (plan->train_entry && strcmp(plan->entry[i].name, plan->train_entry) == 0))
            x->entry = &plan->entry[i];
    x->programs = plan->programs;
    x->program = NEW_N(a, AnalysedProgram, plan->programs + 1);
    for (uint32_t i = 0; i < plan->programs; i++)
        x->program[i].program = &plan->program[i];
    for (uint32_t pass = 0; pass < 2; pass++) /* the trained entry first: programs that others share are counted for it */
        for (uint32_t i = 0; i < plan->entries; i++) {
            const PlanEntry *e = &plan->entry[i];
            if ((e == x->entry) != (pass == 0))
                continue;
            walk(&c, e, e->forward, e->forwards, false, 1, false);
            walk(&c, e, e->backward, e->backwards, true, 1, false);
        }
    for (uint32_t i = 0; i < plan->programs; i++)
        if (!analyse_program(&c, i))
            return NULL;
    count_all(a, x);
    find_kept(&c);
    compare_published(&c);
    return x;
}

/* ---- sums ---- */

static Totals totals(Arena *a, const Analysis *x)
{
    return (Totals){.ns = NEW_N(a, int64_t, x->targets + 1)};
}

static void total_add(const Analysis *x, Totals *t, const Work *w, const int64_t *ns, uint64_t times)
{
    Work all = work_times(*w, (uint32_t)times);
    work_add(&t->work, &all);
    t->programs++;
    for (uint32_t i = 0; i < x->targets; i++)
        t->ns[i] += ns[i] * (int64_t)times;
}

Totals analysis_layer(Arena *a, const Analysis *x)
{
    Totals t = totals(a, x);
    for (uint32_t i = 0; i < x->programs; i++)
        if (in_layer(x, &x->program[i]))
            total_add(x, &t, &x->program[i].work, x->program[i].ns, 1);
    return t;
}

Totals analysis_microbatch(Arena *a, const Analysis *x)
{
    Totals t = totals(a, x);
    for (uint32_t i = 0; i < x->programs; i++)
        if (x->program[i].entry == x->entry)
            total_add(x, &t, &x->program[i].work, x->program[i].ns, x->program[i].runs);
    return t;
}

Totals analysis_published(Arena *a, const Analysis *x)
{
    Totals t = totals(a, x);
    for (uint32_t k = 0; x->llama && k < PUBLISHED_KERNELS; k++)
        total_add(x, &t, &x->published[k].work, x->published_ns[k], 1);
    return t;
}

/* explain_text.c: an analysis as text: what `anec explain` prints. Figures of bytes are exact, times are predictions. */
#include "explain/analyse.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    Arena          *a;
    const Analysis *x;
    Buf            *out;
    int             name; /* width of the column of names */
} Text;

/* 7079424 as 7,079,424. */
static const char *grouped(Arena *a, uint64_t n)
{
    char digits[32], text[48];
    int  len = snprintf(digits, sizeof digits, "%" PRIu64, n), k = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            text[k++] = ',';
        text[k++] = digits[i];
    }
    return arena_strndup(a, text, (size_t)k);
}

static double giga(const Work *w)
{
    return (double)(w->conv_flops + w->matmul_flops) / 1e9;
}

static uint64_t surfaces(const Work *w)
{
    return w->in_bytes + w->out_bytes;
}

static void widen(Text *t, const char *name)
{
    int n = (int)strlen(name);
    if (n > t->name)
        t->name = n;
}

/* ---- programs ---- */

static void program_head(const Text *t, const char *first)
{
    buf_printf(t->out, "  %-*s  %5s  %7s  %7s  %14s  %14s  %8s  %5s\n", t->name, first, "runs", "in", "out", "surface bytes",
               "weight bytes", "GFLOP", "ops");
}

static void program_row(const Text *t, const char *name, uint64_t runs, uint64_t in, uint64_t out, const Work *w)
{
    buf_printf(t->out, "  %-*s  %5" PRIu64 "  %7" PRIu64 "  %7" PRIu64 "  %14s  %14s  %8.3f  %5u\n", t->name, name, runs, in,
               out, grouped(t->a, surfaces(w)), grouped(t->a, w->weight_bytes), giga(w), w->ops);
}

static void program_table(const Text *t)
{
    const Analysis *x = t->x;
    for (uint32_t e = 0; e < x->plan->entries; e++) {
        const PlanEntry *entry = &x->plan->entry[e];
        bool             any = false;
        for (uint32_t i = 0; i < x->programs; i++) {
            const AnalysedProgram *g = &x->program[i];
            if (g->entry != entry)
                continue;
            if (!any) {
                buf_printf(t->out, "\nprograms of entry %s%s; channels and bytes of one evaluation\n", entry->name,
                           g->trained ? " (trained)" : "");
                program_head(t, "program");
            }
            any = true;
            program_row(t, g->program->name, g->runs, g->in, g->out, &g->work);
        }
    }
}

static void values(const Text *t, const AnalysedProgram *g, bool output, bool saved)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->values; i++) {
        const PortValue *v = &g->value[i];
        if (v->output != output || v->saved != saved)
            continue;
        const char *title = !output ? "in" : saved ? "saved" : "out";
        if (n % 6 == 0)
            buf_printf(t->out, "%s    %-10s ", n ? "\n" : "", n ? "" : title);
        buf_printf(t->out, "%s%s %" PRIu32, n % 6 ? ", " : "", v->part->name, v->part->channels);
        n++;
    }
    if (n)
        buf_putc(t->out, '\n');
}

static void one_program(const Text *t, const AnalysedProgram *g)
{
    buf_printf(t->out, "\n%s: %s, %s", g->program->name, g->backward ? "backward" : "forward",
               g->loop ? "once per layer" : "outside of loops");
    if (g->program->n > 1)
        buf_printf(t->out, ", %d instances of one text", g->program->n);
    buf_puts(t->out, "\n    operations ");
    for (uint32_t i = 0; i < g->ops; i++)
        buf_printf(t->out, "%s%s %u", i ? ", " : "", g->op[i].op, g->op[i].count);
    buf_putc(t->out, '\n');
    for (uint32_t i = 0; i < g->sources; i++) {
        bool first = i == 0 || strcmp(g->source[i].file, g->source[i - 1].file) != 0;
        if (first)
            buf_printf(t->out, "%s    %-10s %s:", i ? "\n" : "", i ? "" : "from", g->source[i].file);
        buf_printf(t->out, " %u", g->source[i].line);
        if (g->source[i].count > 1)
            buf_printf(t->out, "(%u)", g->source[i].count);
    }
    if (g->sources)
        buf_putc(t->out, '\n');
    values(t, g, false, false);
    values(t, g, true, false);
    values(t, g, true, true);
    buf_printf(t->out, "    %-10s %s bytes of parameters in %u files, %s bytes of tables\n", "weights", grouped(t->a, g->param_bytes),
               g->program->weights, grouped(t->a, g->work.weight_bytes - g->param_bytes));
    if (g->staged_bytes)
        buf_printf(t->out, "    %-10s %s bytes of the surfaces above hold weights\n", "staged",
                   grouped(t->a, g->staged_bytes));
    if (g->work.notch_bytes)
        buf_printf(t->out, "    %-10s %s bytes of weights have a size that may stream slowly\n", "notch",
                   grouped(t->a, g->work.notch_bytes));
}

/* ---- times ---- */

static void time_row(const Text *t, const char *name, const int64_t *ns, uint64_t times)
{
    buf_printf(t->out, "  %-*s", t->name, name);
    for (uint32_t i = 0; i < t->x->targets; i++)
        buf_printf(t->out, "  %8.3f", (double)(ns[i] * (int64_t)times) / 1e6);
    buf_putc(t->out, '\n');
}

static void times(const Text *t)
{
    const Analysis *x = t->x;
    Totals          layer = analysis_layer(t->a, x), all = analysis_microbatch(t->a, x), published = analysis_published(t->a, x);
    if (!x->targets || !x->programs)
        return;
    buf_puts(t->out, "\npredicted ms on each target (predictions from published figures, fitted to within 25 %; nothing was measured:\n"
                     "docs/targets.md, anec explain --fit)\n");
    buf_printf(t->out, "  %-*s", t->name, "program");
    for (uint32_t i = 0; i < x->targets; i++)
        buf_printf(t->out, "  %8s", x->target[i]->name);
    buf_putc(t->out, '\n');
    for (uint32_t i = 0; i < x->programs; i++)
        time_row(t, x->program[i].program->name, x->program[i].ns, 1);
    if (layer.programs)
        time_row(t, "a layer", layer.ns, 1);
    time_row(t, x->plan->train_entry ? "a micro-batch" : "an evaluation", all.ns, 1);
    if (x->accum > 1)
        time_row(t, "a step", all.ns, x->accum);
    for (uint32_t k = 0; x->llama && k < PUBLISHED_KERNELS; k++)
        time_row(t, x->published[k].name, x->published_ns[k], 1);
    if (x->llama) {
        time_row(t, "seed6 layer", published.ns, 1);
        time_row(t, "seed6 micro-batch", published.ns, x->layers ? x->layers : 1);
    }
}

/* ---- the CPU ---- */

static void cpu_row(const Text *t, const char *name, const CpuWork *w, const Target *target)
{
    if (!w->steps && !w->staged_bytes)
        return;
    double ms = target ? (double)(cost_cpu_ns(target, &w->work) + cost_staging_ns(target, w->staged_bytes)) / 1e6 : 0;
    buf_printf(t->out, "  %-24s  %6s  %8.3f  %14s  %14s", name, grouped(t->a, w->steps), giga(&w->work),
               grouped(t->a, w->work.inner_bytes), grouped(t->a, w->staged_bytes));
    if (target)
        buf_printf(t->out, "  %9.3f", ms);
    buf_putc(t->out, '\n');
}

static void cpu(const Text *t)
{
    static const char *const name[2][2] = {{"forward", "forward, in loops"}, {"backward", "backward, in loops"}};
    const Analysis *x = t->x;
    const Target   *target = x->targets ? x->target[0] : NULL;
    for (uint32_t i = 0; i < x->targets; i++)
        if (strcmp(x->target[i]->name, x->plan->target) == 0)
            target = x->target[i];
    buf_printf(t->out, "\nCPU work of entry %s%s\n  %-24s  %6s  %8s  %14s  %14s", x->entry->name,
               x->plan->train_entry ? ", per micro-batch" : "", "", "steps", "GFLOP", "fp32 bytes", "staged bytes");
    if (target)
        buf_printf(t->out, "  ms (%s)", target->name);
    buf_putc(t->out, '\n');
    for (uint32_t b = 0; b < 2; b++)
        for (uint32_t l = 0; l < 2; l++)
            cpu_row(t, name[b][l], &x->cpu[b][l], target);
}

/* ---- the published partition ---- */

static void compare_row(const Text *t, const char *what, uint64_t ours, uint64_t theirs)
{
    buf_printf(t->out, "  %-28s  %14s  %14s\n", what, grouped(t->a, ours), grouped(t->a, theirs));
}

static void published(const Text *t)
{
    const Analysis *x = t->x;
    if (!x->plan->train_entry || !x->dispatches)
        return;
    if (!x->llama) {
        buf_puts(t->out, "\nseed6: the published programs are for layers of llama's form; this layer has another\n");
        return;
    }
    const LayerDims *d = &x->dims;
    Totals           ours = analysis_layer(t->a, x), theirs = analysis_published(t->a, x);
    uint64_t         compiled = 0, layers = x->layers ? x->layers : 1;
    buf_printf(t->out, "\nseed6: the published programs of such a layer (maderix/ANE), width %" PRIu64 ", feed-forward %" PRIu64
                       ", %" PRIu64 " heads, %" PRIu64 " positions\n", d->d, d->h, d->heads, d->seq);
    if (!x->square)
        buf_puts(t->out, "  (they have a key and a value for every head and heads of d/heads channels; this layer has not)\n");
    program_head(t, "program");
    for (uint32_t k = 0; k < PUBLISHED_KERNELS; k++) {
        const PublishedKernel *p = &x->published[k];
        program_row(t, p->name, layers, p->in, p->out, &p->work);
        compiled += p->weights;
    }
    buf_printf(t->out, "\n  %-28s  %14s  %14s\n", "a layer, forward and backward", "this plan", "seed6");
    compare_row(t, "programs", ours.programs, PUBLISHED_KERNELS);
    compare_row(t, "surface bytes", surfaces(&ours.work), surfaces(&theirs.work));
    compare_row(t, "weight bytes", ours.work.weight_bytes, theirs.work.weight_bytes);
    buf_printf(t->out, "  %-28s  %14.3f  %14.3f\n", "GFLOP", giga(&ours.work), giga(&theirs.work));
    compare_row(t, "dispatches per micro-batch", x->dispatches, PUBLISHED_KERNELS * layers);
    compare_row(t, "compilations per update", x->compiles_update, compiled * layers);
}

static void dispatches(const Text *t)
{
    const Analysis *x = t->x;
    if (!x->plan->train_entry) {
        buf_printf(t->out, "\n%s dispatches per evaluation of %s\n", grouped(t->a, x->dispatches), x->entry->name);
        return;
    }
    buf_printf(t->out, "\n%s dispatches per micro-batch, %s per step of %" PRIu64 "; %s compilations per update, %s at the start\n",
               grouped(t->a, x->dispatches), grouped(t->a, x->dispatches * x->accum), x->accum,
               grouped(t->a, x->compiles_update), grouped(t->a, x->compiles));
    if (x->reloads_update)
        buf_printf(t->out, "%s compiled programs are given new weights per update (weights reload)\n", grouped(t->a, x->reloads_update));
    if (x->staged_update)
        buf_printf(t->out, "%s bytes of weights are staged per update (weights dynamic)\n", grouped(t->a, x->staged_update));
    if (!x->dispatches)
        return;
    buf_printf(t->out, "%s channels of a layer are saved for the backward direction", grouped(t->a, x->saved_channels));
    for (uint32_t i = 0; i < x->kepts; i++) {
        buf_printf(t->out, "%s%s ", i ? ", " : "; copied aside: ", x->kept[i]->name);
        for (uint32_t k = 0; k < x->kept[i]->shape.rank; k++)
            buf_printf(t->out, "%s%d", k ? "x" : "", x->kept[i]->shape.dim[k]);
    }
    buf_putc(t->out, '\n');
}

void explain_text(Arena *a, const Analysis *x, Buf *out)
{
    Text t = {a, x, out, 17};
    for (uint32_t i = 0; i < x->programs; i++)
        widen(&t, x->program[i].program->name);
    buf_printf(out, "model %s for target %s", x->plan->model, x->plan->target);
    if (x->layers)
        buf_printf(out, ", %" PRIu64 " layers", x->layers);
    buf_printf(out, "\nplan %s\n", x->hash);
    if (!x->entry) {
        buf_puts(out, "no entries\n");
        return;
    }
    program_table(&t);
    for (uint32_t i = 0; i < x->programs; i++)
        if (x->program[i].entry)
            one_program(&t, &x->program[i]);
    dispatches(&t);
    times(&t);
    cpu(&t);
    published(&t);
}

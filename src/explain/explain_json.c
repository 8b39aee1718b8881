/* explain_json.c: an analysis as a JSON document, for tools. Times are predictions, in nanoseconds. */
#include "explain/analyse.h"

#include "base/utf8.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *work_json(const Work *w)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "conv_flops", (json_int_t)w->conv_flops, "matmul_flops",
                     (json_int_t)w->matmul_flops, "inner_bytes", (json_int_t)w->inner_bytes, "in_bytes", (json_int_t)w->in_bytes,
                     "out_bytes", (json_int_t)w->out_bytes, "weight_bytes", (json_int_t)w->weight_bytes, "notch_bytes",
                     (json_int_t)w->notch_bytes, "operations", (int)w->ops);
}

static json_t *predicted(const Analysis *x, const int64_t *ns)
{
    json_t *o = json_object();
    for (uint32_t i = 0; i < x->targets; i++)
        json_object_set_new(o, x->target[i]->name, json_integer((json_int_t)ns[i]));
    return o;
}

static json_t *program_json(Arena *a, const Analysis *x, const AnalysedProgram *g)
{
    json_t *ops = json_object(), *values = json_array(), *sources = json_array();
    for (uint32_t i = 0; i < g->ops; i++)
        json_object_set_new(ops, g->op[i].op, json_integer(g->op[i].count));
    for (uint32_t i = 0; i < g->values; i++) {
        const PortValue *v = &g->value[i];
        json_array_append_new(values, json_pack("{s:s, s:s, s:b, s:i, s:i, s:b}", "name", utf8_clean(a, v->part->name), "port",
                                                utf8_clean(a, v->port->name), "output", v->output, "channel",
                                                (int)v->part->channel, "channels", (int)v->part->channels, "saved", v->saved));
    }
    for (uint32_t i = 0; i < g->sources; i++)
        json_array_append_new(sources, json_pack("{s:s, s:i, s:i}", "file", utf8_clean(a, g->source[i].file), "line",
                                                 (int)g->source[i].line, "statements", (int)g->source[i].count));
    return json_pack("{s:s, s:s?, s:b, s:I, s:i, s:b, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "name",
                     utf8_clean(a, g->program->name), "entry", g->entry ? utf8_clean(a, g->entry->name) : NULL, "backward",
                     g->backward, "runs", (json_int_t)g->runs, "instances", (int)g->program->n, "per_layer", g->loop, "in_channels", (json_int_t)g->in, "out_channels",
                     (json_int_t)g->out, "parameter_bytes", (json_int_t)g->param_bytes, "work", work_json(&g->work), "mil", ops,
                     "values", values, "sources", sources, "predicted_ns", predicted(x, g->ns));
}

static json_t *published_json(const Analysis *x)
{
    json_t *kernels = json_array();
    if (!x->llama) {
        json_decref(kernels);
        return json_null();
    }
    for (uint32_t k = 0; k < PUBLISHED_KERNELS; k++) {
        const PublishedKernel *p = &x->published[k];
        json_array_append_new(kernels, json_pack("{s:s, s:b, s:b, s:I, s:I, s:o, s:o}", "name", p->name, "backward", p->backward,
                                                 "weights", p->weights, "in_channels", (json_int_t)p->in, "out_channels",
                                                 (json_int_t)p->out, "work", work_json(&p->work), "predicted_ns",
                                                 predicted(x, x->published_ns[k])));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "width", (json_int_t)x->dims.d, "feed_forward", (json_int_t)x->dims.h, "heads",
                     (json_int_t)x->dims.heads, "positions", (json_int_t)x->dims.seq, "programs", kernels);
}

static json_t *totals_json(const Analysis *x, Totals t)
{
    return json_pack("{s:i, s:o, s:o}", "programs", (int)t.programs, "work", work_json(&t.work), "predicted_ns", predicted(x, t.ns));
}

void explain_json(Arena *a, const Analysis *x, Buf *out)
{
    static const char *const where[2][2] = {{"forward", "forward_loops"}, {"backward", "backward_loops"}};
    json_t *programs = json_array(), *cpu = json_object(), *targets = json_array();
    for (uint32_t i = 0; i < x->programs; i++)
        json_array_append_new(programs, program_json(a, x, &x->program[i]));
    for (uint32_t b = 0; b < 2; b++)
        for (uint32_t l = 0; l < 2; l++)
            json_object_set_new(cpu, where[b][l],
                                json_pack("{s:I, s:I, s:I, s:I}", "steps", (json_int_t)x->cpu[b][l].steps, "matmul_flops",
                                          (json_int_t)x->cpu[b][l].work.matmul_flops, "bytes",
                                          (json_int_t)x->cpu[b][l].work.inner_bytes, "staged_bytes",
                                          (json_int_t)x->cpu[b][l].staged_bytes));
    for (uint32_t i = 0; i < x->targets; i++)
        json_array_append_new(targets, json_string(x->target[i]->name));
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "model",
        utf8_clean(a, x->plan->model), "plan", x->hash, "target", utf8_clean(a, x->plan->target), "weights",
        plan_weight_mode_name[x->plan->weights], "entry", x->entry ? utf8_clean(a, x->entry->name) : NULL, "layers",
        (json_int_t)x->layers, "accum", (json_int_t)x->accum, "dispatches_per_microbatch", (json_int_t)x->dispatches,
        "compilations_per_update", (json_int_t)x->compiles_update, "reloads_per_update", (json_int_t)x->reloads_update,
        "staged_bytes_per_update", (json_int_t)x->staged_update, "compilations_at_start", (json_int_t)x->compiles, "saved_channels",
        (json_int_t)x->saved_channels, "times", "predictions fitted to published figures, nothing was measured", "targets", targets,
        "programs", programs, "cpu", cpu, "layer", totals_json(x, analysis_layer(a, x)), "microbatch",
        totals_json(x, analysis_microbatch(a, x)), "seed6", published_json(x));
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII) : NULL;
    if (!text)
        bug("the analysis is no JSON");
    buf_puts(out, text);
    buf_putc(out, '\n');
    free(text);
    json_decref(root);
}

/* report.c: what was found, for people (a table) and for bug reports (JSON). */
#include "probe/probe.h"

#include "system.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void probe_subject(const Probe *p, Buf *out)
{
    if (p->imitated) {
        buf_printf(out, "the host device imitating %s", p->imitated);
        return;
    }
    System s;
    system_describe(&s);
    buf_printf(out, "%s, ", strcmp(p->device, "ane") == 0 ? "the engine" : "the host device");
    system_print(&s, out);
}

static void head(const Probe *p, Buf *out)
{
    buf_puts(out, "probe of ");
    probe_subject(p, out);
    buf_printf(out, ", compared with target %s\n", p->base->name);
}

static const char *shown(const char *s)
{
    return *s ? s : "-";
}

static void series(Probe *p, Buf *out)
{
    const char *last = "";
    for (uint32_t i = 0; i < p->samples; i++) {
        const Sample *s = &p->sample[i];
        if (strcmp(s->series, "compile") == 0)
            continue;
        if (strcmp(s->series, last) != 0)
            buf_printf(out, "\n%s\n", last = s->series);
        buf_printf(out, "  %-44s %10.2f us", s->what, s->us);
        if (s->rate > 0)
            buf_printf(out, "  %8.3g %s", s->rate, s->unit);
        buf_putc(out, '\n');
    }
    if (p->compilations)
        buf_puts(out, "\ncompile\n");
    for (uint32_t i = 0; i < p->compilations; i++)
        buf_printf(out, "  %-44s %10.2f ms\n", values(p, "%u operations", p->compiled[i].ops), p->compiled[i].ms);
}

void report_text(Probe *p, Buf *out)
{
    const char *group = "";
    uint32_t    count[VERDICTS] = {0};
    head(p, out);
    for (uint32_t i = 0; i < p->findings; i++) {
        const Finding *f = &p->finding[i];
        if (strcmp(group, f->q->group) != 0) {
            group = f->q->group;
            buf_printf(out, "\n%-34s %-16s %-10s %-8s\n", group, "found", p->base->name, "");
        }
        buf_printf(out, "  %-32s %-16s %-10s %-8s %s\n", f->q->name, shown(f->found), shown(f->expected), verdict_name[f->verdict], f->note);
        count[f->verdict]++;
    }
    series(p, out);
    if (p->classes)
        buf_printf(out, "\nclasses and methods\n%s", p->classes);
    buf_printf(out, "\n%u questions, %u trials: %u agree with %s, %u differ, %u open\n", p->findings, p->trials, count[VERDICT_AGREES],
               p->base->name, count[VERDICT_DIFFERS], count[VERDICT_OPEN]);
}

static json_t *number_or_text(const Finding *f, const char *s)
{
    char  *end;
    double x = strtod(s, &end);
    (void)f;
    if (!*s)
        return json_null();
    return end != s && !*end ? json_real(x) : json_string(s);
}

static json_t *system_json(void)
{
    System s;
    system_describe(&s);
    return json_pack("{ss ss ss ss ss ss}", "os", s.os, "version", s.version, "build", s.build, "machine", s.machine, "model", s.model,
                     "chip", s.chip);
}

void report_json(Probe *p, Buf *out)
{
    json_t *all = json_object(), *list = json_array(), *times = json_array(), *compile = json_array();
    Buf     subject = {0};
    probe_subject(p, &subject);
    json_object_set_new(all, "format", json_string("anel probe 1"));
    json_object_set_new(all, "program", json_string("anerun " ANEL_VERSION));
    json_object_set_new(all, "subject", json_string(subject.data));
    json_object_set_new(all, "device", json_string(p->device));
    json_object_set_new(all, "imitates", p->imitated ? json_string(p->imitated) : json_null());
    if (!p->imitated)
        json_object_set_new(all, "system", system_json());
    json_object_set_new(all, "base", json_string(p->base->name));
    json_object_set_new(all, "simulated", json_boolean(p->simulated));
    json_object_set_new(all, "quick", json_boolean(p->quick));
    json_object_set_new(all, "trials", json_integer(p->trials));
    for (uint32_t i = 0; i < p->findings; i++) {
        const Finding *f = &p->finding[i];
        json_t        *j = json_pack("{ss ss ss ss* ss* so so ss ss si}", "group", f->q->group, "name", f->q->name, "question", f->q->text,
                                     "fact", f->q->fact < FACT_COUNT ? fact_info[f->q->fact].name : NULL, "op", f->op, "found",
                                     number_or_text(f, f->found), "expected", number_or_text(f, f->expected), "verdict",
                                     f->verdict == VERDICT_INFO ? "info" : verdict_name[f->verdict], "note", f->note, "trials", (int)f->trials);
        json_object_set_new(j, "source", json_string(values(p, "docs/engine.md %s", f->q->source)));
        json_array_append_new(list, j);
    }
    json_object_set_new(all, "findings", list);
    for (uint32_t i = 0; i < p->samples; i++) {
        const Sample *s = &p->sample[i];
        json_array_append_new(times, json_pack("{ss ss sf sf sI sI sI sI sI sI}", "series", s->series, "program", s->what, "us", s->us,
                                               "engine_us", s->engine_us, "conv_flops", (json_int_t)s->work.conv_flops, "matmul_flops",
                                               (json_int_t)s->work.matmul_flops, "inner_bytes", (json_int_t)s->work.inner_bytes,
                                               "surface_bytes", (json_int_t)(s->work.in_bytes + s->work.out_bytes), "weight_bytes",
                                               (json_int_t)s->work.weight_bytes, "notch_bytes", (json_int_t)s->work.notch_bytes));
    }
    json_object_set_new(all, "times", times);
    for (uint32_t i = 0; i < p->compilations; i++)
        json_array_append_new(compile, json_pack("{si sf}", "operations", (int)p->compiled[i].ops, "ms", p->compiled[i].ms));
    json_object_set_new(all, "compile", compile);
    if (p->classes)
        json_object_set_new(all, "classes", json_string(p->classes));
    char *text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    buf_puts(out, text ? text : "");
    buf_putc(out, '\n');
    free(text);
    json_decref(all);
    buf_free(&subject);
}

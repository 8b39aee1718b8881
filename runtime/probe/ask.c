/* ask.c: one trial of a template, and writing down what was found; see probe.h. */
#include "probe/probe.h"

#include "mil/mil_check.h"
#include "probe/pattern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const verdict_name[VERDICTS] = {"agrees", "differs", "open", ""};

bool probe_broken(const Probe *p)
{
    return p->err.len != 0;
}

/* ---- trials ---- */

char *values(Probe *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    return s;
}

/* Is the filled text right, whatever the device? Its constants of weight files are not read. */
static bool text_is_right(Probe *p, const Template *t, const Buf *mil)
{
    Arena   *a = arena_new();
    Sources *sources = sources_new(a);
    Diags   *ds = diags_new(a, sources, "anerun");
    MilUnit  unit;
    bool     ok = mil_read(a, ds, sources_add(sources, t->path, mil->data, mil->len), NULL, 0, MIL_UNREAD, &unit);
    if (!ok) {
        buf_printf(&p->err, "the micro-program '%s', filled, is not right:\n", t->path);
        diags_render(ds, &p->err);
    }
    arena_free(a);
    return ok;
}

static bool patterns_are_right(Probe *p, const Template *t, const Trial *x)
{
    for (uint32_t i = 0; i < x->fills; i++)
        if (pattern_find(x->fill[i].value) == PATTERN_COUNT) {
            buf_printf(&p->err, "%s: error: '%s' holds '%s', which is no pattern\n", t->path, x->fill[i].name, x->fill[i].value);
            return false;
        }
    return true;
}

Outcome ask(Probe *p, Asked what)
{
    Outcome none = {.kind = OUTCOME_BROKEN, .why = ""};
    Buf     mil = {0};
    if (probe_broken(p))
        return none;
    Trial *last = &p->last;
    *last = (Trial){.kind = what.kind, .times = what.times, .surface = what.surface, .outputs = what.outputs};
    if (what.template) {
        const Template *t = template_read(p->arena, p->dirs.dir, p->dirs.dirs, what.template, &p->err);
        if (!t || !template_fill(p->arena, t, what.values, &mil, last->fill, &last->fills, &p->err) ||
            !patterns_are_right(p, t, last) || !text_is_right(p, t, &mil)) {
            buf_free(&mil);
            return none;
        }
        last->mil = arena_strndup(p->arena, mil.data, mil.len);
        last->len = mil.len;
    }
    buf_free(&mil);
    Outcome o = trial(&p->server, p->arena, last);
    p->trials++;
    p->simulated = o.simulated;
    if (o.kind == OUTCOME_BROKEN)
        buf_printf(&p->err, "%s%s", *o.why ? o.why : "the probing process could not be used",
                   *o.why && o.why[strlen(o.why) - 1] == '\n' ? "" : "\n");
    return o;
}

double held(const Probe *p, const char *pattern, const char *name, uint32_t version, int64_t i)
{
    const char *word = pattern;
    for (uint32_t k = 0; !word && k < p->last.fills; k++)
        if (strcmp(p->last.fill[k].name, name) == 0)
            word = p->last.fill[k].value;
    return pattern_value(word ? pattern_find(word) : PATTERN_small, pattern_key(name, version), i, 0, NULL);
}

bool ask_echo(Probe *p, const char *template, const char *with, Outcome *out)
{
    *out = ask(p, (Asked){.template = template, .values = with, .outputs = true});
    if (out->kind != OUTCOME_RAN || !out->outputs)
        return false;
    for (int64_t i = 0; i < out->elements[0]; i++)
        if (out->output[0][i] != held(p, NULL, "i00_x", 1, i))
            return false;
    return true;
}

/* ---- findings ---- */

static Finding *add(Probe *p, const Question *q, const char *note)
{
    GROW(p->arena, p->finding, p->findings, p->findings_cap);
    Finding *f = &p->finding[p->findings++];
    *f = (Finding){.q = q, .found = "", .expected = "", .note = note ? note : "", .trials = p->trials - p->trials_before};
    p->trials_before = p->trials;
    if (q->fact < FACT_COUNT) {
        Buf b = {0};
        fact_print(&fact_info[q->fact], p->base, &b);
        f->expected = arena_strdup(p->arena, b.data);
        buf_free(&b);
    }
    return f;
}

void found(Probe *p, const Question *q, const char *note, const char *fmt, ...)
{
    va_list ap;
    if (probe_broken(p))
        return;
    Finding *f = add(p, q, note);
    va_start(ap, fmt);
    f->found = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    if (q->fact == FACT_COUNT) {
        f->verdict = VERDICT_INFO;
        return;
    }
    /* as profiles write it, if they can say it at all */
    Target t = *p->base;
    if (!fact_parse(&fact_info[q->fact], &t, f->found)) {
        f->note = arena_printf(p->arena, "found %s, which no profile can say%s%s", f->found, note && *note ? "; " : "",
                               note ? note : "");
        f->found = "";
        f->verdict = VERDICT_OPEN;
        return;
    }
    Buf b = {0};
    fact_print(&fact_info[q->fact], &t, &b);
    f->found = arena_strdup(p->arena, b.data);
    buf_free(&b);
    bool same = strcmp(f->found, f->expected) == 0;
    if (fact_info[q->fact].kind == KIND_real) { /* a time is never the same twice */
        double a = strtod(f->found, NULL), was = strtod(f->expected, NULL);
        same = fabs(a - was) <= 0.1 * fabs(was);
    }
    f->verdict = same ? VERDICT_AGREES : VERDICT_DIFFERS;
}

void open_question(Probe *p, const Question *q, const char *fmt, ...)
{
    va_list ap;
    if (probe_broken(p))
        return;
    va_start(ap, fmt);
    Finding *f = add(p, q, arena_vprintf(p->arena, fmt, ap));
    va_end(ap);
    f->verdict = VERDICT_OPEN;
}

void found_op(Probe *p, const Question *q, const char *op, Availability is, const char *note)
{
    if (probe_broken(p))
        return;
    Finding    *f = add(p, q, note);
    TargetOp    said = target_op(p->base, op);
    bool        runs = is == OP_YES || is == OP_QUIRK;
    f->op = op;
    f->is = is;
    f->expected = availability_name[said.is];
    if (is == OP_UNKNOWN) {
        f->verdict = VERDICT_OPEN;
        return;
    }
    /* A quirk that this program did not meet is a quirk still. */
    if (is == OP_YES && said.is == OP_QUIRK)
        f->is = OP_QUIRK;
    f->found = availability_name[f->is];
    f->verdict = said.is == f->is || (runs && said.is == OP_QUIRK) ? VERDICT_AGREES : VERDICT_DIFFERS;
}

const char *found_value(const Probe *p, uint32_t fact)
{
    for (uint32_t i = 0; i < p->findings; i++)
        if (p->finding[i].q->fact == fact && p->finding[i].verdict < VERDICT_OPEN)
            return p->finding[i].found;
    return NULL;
}

/* profile.c: a target profile of what was found.
 *
 * It is complete: it inherits from nothing, so that it means the same wherever it is read. What was decided is called
 * `shown`, by this probe; what was not keeps the value, the confidence and the evidence of the profile it was compared
 * with, and says so. */
#include "probe/probe.h"

#include <string.h>

static void undecided(Arena *a, Confidence *conf, const char **evidence, const char *by)
{
    (void)conf;
    *evidence = *evidence && **evidence ? arena_printf(a, "not decided by the probe; %s says: %s", by, *evidence)
                                        : arena_printf(a, "not decided by the probe; as %s has it", by);
}

/* Evidence is one line without control characters. */
static const char *clean(Arena *a, const char *s)
{
    char *t = arena_strndup(a, s, strcspn(s, "\n"));
    for (char *c = t; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return t;
}

void profile_write(const Probe *p, const char *name, const char *when, Buf *out)
{
    Arena *a = arena_new();
    Target t = *p->base;
    Buf    by = {0};
    bool  *op_said = NEW_N(a, bool, t.ops + 1);
    probe_subject(p, &by);
    if (when)
        buf_printf(&by, ", %s", when);
    t.name = name;
    t.op = NEW_N(a, TargetOp, t.ops + p->findings + 1);
    memcpy(t.op, p->base->op, t.ops * sizeof *t.op);
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        if (fact_info[i].kind != KIND_text)
            undecided(a, &t.evidence[i].conf, &t.evidence[i].evidence, p->base->name);
    }
    for (uint32_t i = 0; i < p->findings; i++) {
        const Finding *f = &p->finding[i];
        const char    *evidence = clean(a, arena_printf(a, "probe of %s%s%s", by.data, *f->note ? ": " : "", f->note));
        if (f->verdict >= VERDICT_OPEN)
            continue;
        if (!f->op && fact_parse(&fact_info[f->q->fact], &t, arena_strdup(a, f->found)))
            t.evidence[f->q->fact] = (Evidence){CONF_SHOWN, evidence, "probe"};
        uint32_t k = 0;
        while (f->op && k < t.ops && strcmp(t.op[k].op, f->op) != 0)
            k++;
        if (!f->op)
            continue;
        t.op[k] = (TargetOp){f->op, f->is, CONF_SHOWN, evidence};
        if (k < p->base->ops)
            op_said[k] = true;
        t.ops += k == t.ops;
    }
    for (uint32_t k = 0; k < p->base->ops; k++)
        if (!op_said[k])
            undecided(a, &t.op[k].conf, &t.op[k].evidence, p->base->name);
    t.about = clean(a, arena_printf(a, "what anerun --probe found on %s", by.data));
    if (!p->imitated)
        t.chip = clean(a, by.data);
    Buf text = {0};
    target_print(&t, &text);
    buf_printf(out, "# Made by anerun --probe. Facts that it decided are called shown, by it; all others are those of target %s.\n", p->base->name);
    buf_add(out, text.data, text.len);
    buf_free(&text);
    buf_free(&by);
    arena_free(a);
}

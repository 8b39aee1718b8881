/* host_limits.c: an engine's refusals, imitated.
 *
 * The rules of src/lint know what every engine takes; src/lint/effects.def says which violations its compiler refuses.
 * What only the reader of MIL finds (a missing argument, an extent of 0, an operation that has no kernel here) is the
 * engine's refusal where a rule says so, and a wrong text otherwise. A text is looked at once (host_text.c). */
#include "host/host_limits.h"

#include "lint/lint.h"

#include <string.h>

static bool same_place(Span a, Span b)
{
    return a.file == b.file && a.begin == b.begin && a.end == b.end;
}

/* Codes of the reader that may be an engine's affair: no such operation, an argument that is missing or no constant, a
 * type that is too large or empty, a type that cannot cross. */
static bool may_be_engine(const Diag *d)
{
    static const char *const code[] = {"M0203", "M0302", "M0304", "M0402", "M0406"};
    for (size_t i = 0; i < COUNT(code); i++)
        if (strcmp(d->code, code[i]) == 0)
            return true;
    return false;
}

/* The operation at a place is one that the profile speaks of. */
static bool known_operation(const Target *t, const MilUnit *unit, Span at)
{
    for (uint32_t f = 0; f < unit->fns; f++)
        for (uint32_t c = 0; c < unit->fn[f].calls; c++)
            if (same_place(unit->fn[f].call[c]->at, at))
                return target_op(t, unit->fn[f].call[c]->name).is != OP_UNKNOWN;
    return false;
}

static uint32_t line_of(const Diags *ds, Span at)
{
    uint32_t line, column;
    source_position(ds->sources->file[at.file - 1], at.begin, &line, &column);
    return line;
}

/* Is the reader's error `d` one of the engine's refusals among `ds`? A rank that no tensor has is told twice, for the
 * declared type and for the arguments beside it. */
static bool explained(const Target *t, const MilUnit *unit, const Diags *ds, const Diag *d)
{
    for (uint32_t i = 0; i < ds->count && strcmp(d->code, "M0407") == 0; i++)
        if (strcmp(ds->item[i]->code, "ANE037") == 0 && ds->item[i]->severity == DIAG_ERROR &&
            line_of(ds, ds->item[i]->at) == line_of(ds, d->at))
            return true;
    if (!may_be_engine(d) || (strcmp(d->code, "M0203") == 0 && !known_operation(t, unit, d->at)))
        return false;
    for (uint32_t i = 0; i < ds->count; i++)
        if (same_place(ds->item[i]->at, d->at) && violation_effect(ds->item[i]) == EFFECT_REFUSED)
            return true;
    return false;
}

/* Render the messages with one effect, as errors. */
static void tell(const Diags *ds, RuleEffect effect, Buf *err)
{
    Diags some = *ds;
    some.item = NEW_N(ds->arena, Diag *, ds->count + 1);
    some.count = some.errors = 0;
    for (uint32_t i = 0; i < ds->count; i++)
        if (violation_effect(ds->item[i]) == effect) {
            ds->item[i]->severity = DIAG_ERROR;
            some.item[some.count++] = ds->item[i];
        }
    some.errors = some.count;
    diags_render(&some, err);
}

/* Functions one of whose ports breaks ANE039. */
static bool *garbage(Arena *keep, const MilUnit *unit, const Diags *ds)
{
    bool *bad = NULL;
    for (uint32_t i = 0; i < ds->count; i++) {
        if (strcmp(ds->item[i]->code, "ANE039") != 0)
            continue;
        for (uint32_t f = 0; f < unit->fns; f++)
            for (uint32_t p = 0; p < unit->fn[f].inputs + unit->fn[f].outputs; p++) {
                const Func *fn = &unit->fn[f];
                const Value *v = p < fn->inputs ? fn->input[p] : fn->output[p - fn->inputs];
                if (!same_place(v->at, ds->item[i]->at))
                    continue;
                bad = bad ? bad : NEW_N(keep, bool, unit->fns);
                bad[f] = true;
            }
    }
    return bad;
}

Limits host_limits(Arena *keep, const Target *target, const Diags *told, uint32_t source, Buf *err)
{
    Limits l = {LIMITS_NONE, NULL};
    uint32_t refused = 0, wrong = 0;
    Diags *ds = diags_new(told->arena, told->sources, told->program);
    MilUnit unit;
    LintOptions o = {.target = target, .rounded = true};
    ds->limit = UINT32_MAX;
    lint_mil(told->arena, &o, ds, source, NULL, 0, &unit);
    for (uint32_t i = 0; i < ds->count; i++) {
        RuleEffect e = violation_effect(ds->item[i]);
        refused += e == EFFECT_REFUSED;
        wrong += e == EFFECT_TEXT;
    }
    bool ours = false;
    for (uint32_t i = 0; i < told->count && !ours; i++)
        ours = told->item[i]->severity == DIAG_ERROR && !explained(target, &unit, ds, told->item[i]);
    if (ours || (wrong && !told->errors)) {
        l.kind = LIMITS_TEXT;
        if (!told->errors)
            tell(ds, EFFECT_TEXT, err);
    } else if (refused) {
        l.kind = LIMITS_REFUSED;
        tell(ds, EFFECT_REFUSED, err);
        buf_printf(err, "the engine of target %s refuses this program, and the host device imitates it (--target none does not)\n",
                   target->name);
    } else
        l.garbage = garbage(keep, &unit, ds);
    return l;
}

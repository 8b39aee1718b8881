/* lint.c: checks a text: read it, turn what the reader found into rules where a rule says it, run the checks, sort. */
#include "lint/internal.h"

#include "mil/mil_ast.h"

#include <stdlib.h>
#include <string.h>

/* ---- telling -------------------------------------------------------------------------------------------------- */

static const char *projects_text(Arena *a, const Rule *r)
{
    return r->projects == 0 ? "" : r->projects == 1 ? ", one project" : arena_printf(a, ", %u projects", r->projects);
}

static void add_evidence(Lint *l, uint32_t rule, Diag *d)
{
    const Rule *r = &rule_info[rule];
    if (!l->told[rule])
        diag_note(d, (Span){0}, "%s (%s%s)", r->evidence, confidence_name[r->conf], projects_text(l->ds->arena, r));
    l->told[rule] = true;
    if (!d->help)
        diag_help(d, "%s", r->remedy);
}

static void tell(Lint *l, uint32_t rule, RuleLevel level, Span at, const char *fmt, va_list ap)
{
    if (l->o->level[rule])
        level = (RuleLevel)(l->o->level[rule] - 1);
    if (level == LEVEL_OFF)
        return;
    const char *text = arena_vprintf(l->ds->arena, fmt, ap);
    const char *id = rule_info[rule].id;
    add_evidence(l, rule,
                 level == LEVEL_ERROR ? diag_error(l->ds, id, at, "%s", text)
                                      : diag_warning(l->ds, id, at, "%s", text));
}

void violation(Lint *l, uint32_t rule, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(l, rule, rule_info[rule].level, at, fmt, ap);
    va_end(ap);
}

void violation_as(Lint *l, uint32_t rule, RuleLevel level, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(l, rule, level, at, fmt, ap);
    va_end(ap);
}

/* ---- what the reader found ------------------------------------------------------------------------------------ */

static bool same_place(Span a, Span b)
{
    return a.file == b.file && a.begin == b.begin && a.end == b.end;
}

/* The call whose name or argument is at `at`. */
static const Call *call_at(const Lint *l, Span at)
{
    for (uint32_t f = 0; f < l->unit.fns; f++)
        for (uint32_t c = 0; c < l->unit.fn[f].calls; c++) {
            const Call *call = l->unit.fn[f].call[c];
            if (same_place(call->at, at))
                return call;
            for (uint32_t k = 0; k < CALL_ARGS; k++)
                if (same_place(call->arg_at[k], at))
                    return call;
        }
    return NULL;
}

/* Inside of a function's list of returned names? */
static bool in_returns(const Lint *l, Span at)
{
    for (const AstFunc *f = l->unit.ast ? l->unit.ast->first : NULL; f; f = f->next)
        if (at.begin >= f->returns_at.begin && at.end <= f->returns_at.end)
            return true;
    return false;
}

static bool is_input(const Lint *l, Span at)
{
    for (const AstFunc *f = l->unit.ast ? l->unit.ast->first : NULL; f; f = f->next)
        for (const AstParam *p = f->params.first; p; p = p->next)
            if (same_place(p->type->at, at))
                return true;
    return false;
}

/* Messages about the arguments of one operation that are what a rule says: the message's code, the operation, a word of
 * the message. */
static const struct {
    const char *op, *word;
    uint32_t    rule;
} argument_rule[] = {
    {"concat", "'axis'", 1},       {"concat", "'interleave'", 1}, {"gelu", "'mode'", 10},
    {"matmul", "'transpose_", 15}, {"log", "'epsilon'", 26},      {"rsqrt", "'epsilon'", 26},
    {"inverse", "'epsilon'", 26},  {"slice_by_size", "", 34},     {"slice_by_index", "", 34},
};

static uint32_t rule_of_message(const Lint *l, const Diag *d)
{
    static const struct {
        const char *code;
        uint32_t    rule;
    } plain[] = {{"M0107", 21}, {"M0201", 22}, {"M0404", 22}, {"M0405", 22}, {"M0204", 17},
                 {"M0502", 50}, {"M0503", 8},  {"M0504", 8},  {"M0501", 8}};
    for (size_t i = 0; i < COUNT(plain); i++)
        if (strcmp(plain[i].code, d->code) == 0)
            return plain[i].rule;
    if (strcmp(d->code, "M0202") == 0 && in_returns(l, d->at))
        return 17;
    if (strcmp(d->code, "M0406") == 0 && !is_input(l, d->at))
        return 33;
    if (strcmp(d->code, "M0402") == 0)
        return strstr(d->text, "dimensions") ? 37 : strstr(d->text, "at least 1") ? 38 : 0;
    if (strcmp(d->code, "M0302") != 0 && strcmp(d->code, "M0304") != 0 && strcmp(d->code, "M0407") != 0)
        return 0;
    const Call *call = call_at(l, d->at);
    for (size_t i = 0; call && i < COUNT(argument_rule); i++)
        if (op_is(call, argument_rule[i].op) && strstr(d->text, argument_rule[i].word))
            return argument_rule[i].rule;
    return 0;
}

/* Give the reader's messages the rules they stand for. One that the user has switched off stays under its own code: a
 * text that cannot be read is wrong whatever the rules say. */
static void name_rules(Lint *l, uint32_t first)
{
    for (uint32_t i = first; i < l->ds->count; i++) {
        Diag    *d = l->ds->item[i];
        uint32_t rule = d->at.file == l->file ? rule_of_message(l, d) : 0;
        if (!rule || l->o->level[rule])
            continue;
        d->code = rule_info[rule].id;
        add_evidence(l, rule, d);
    }
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

static void lint_function(Lint *l, const AstFunc *ast, const Func *fn)
{
    l->ast = ast;
    l->fn = fn;
    l->large = 0;
    l->largest_bytes = 0;
    l->maker = NEW_N(l->a, const Call *, fn->values + 1);
    l->bound = NEW_N(l->a, double, fn->values + 1);
    for (uint32_t c = 0; c < fn->calls; c++)
        for (uint32_t r = 0; r < fn->call[c]->results; r++)
            l->maker[fn->call[c]->result[r]->id] = fn->call[c];
    lint_ports(l);
    lint_constants(l);
    for (uint32_t c = 0; c < fn->calls; c++) {
        const Call *call = fn->call[c];
        lint_call_bound(l, call);
        lint_call_op(l, call);
        lint_call_shape(l, call);
    }
    lint_working_set(l);
}

static int by_place(const void *a, const void *b)
{
    const Diag *x = *(Diag *const *)a, *y = *(Diag *const *)b;
    if (x->at.file != y->at.file)
        return x->at.file < y->at.file ? -1 : 1;
    if (x->at.begin != y->at.begin)
        return x->at.begin < y->at.begin ? -1 : 1;
    int c = strcmp(x->code, y->code);
    return c ? c : strcmp(x->text, y->text);
}

void lint_mil(Arena *a, const LintOptions *o, Diags *ds, uint32_t source, const MilFile *file, uint32_t files,
              struct MilUnit *unit)
{
    uint32_t first = ds->count;
    Lint     l = {.a = a, .o = o, .t = o->target, .ds = ds, .file = source, .source = ds->sources->file[source - 1]};
    mil_read(a, ds, source, file, files, MIL_FOREIGN | (o->all_files ? 0 : MIL_UNREAD), &l.unit);
    name_rules(&l, first);
    lint_text(&l);
    const AstFunc *f = l.unit.ast ? l.unit.ast->first : NULL;
    for (uint32_t i = 0; i < l.unit.fns; i++, f = f->next)
        lint_function(&l, f, &l.unit.fn[i]);
    if (ds->count > first)
        qsort(ds->item + first, ds->count - first, sizeof *ds->item, by_place);
    if (unit)
        *unit = l.unit;
}

/* plan.c: a whole plan: every MIL text, whether the manifest describes it, and rules about the plan as a whole. */
#include "lint/internal.h"

#include "base/file.h"
#include "mil/mil_ast.h"
#include "plan/plan_bank.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plan as a whole -------------------------------------------------------------------------------------- */

static const char *setting(const Plan *p, const char *key)
{
    for (uint32_t i = 0; i < p->trains; i++)
        if (strcmp(p->train[i].key, key) == 0)
            return p->train[i].value;
    return NULL;
}

/* What an update compiles again is what training runs: programs of other entries wait until somebody calls these. */
static void check_budget(Lint *l, const Plan *p, Span at)
{
    int64_t  loaded = 0;
    uint32_t texts = 0;
    bool    *used = xcalloc(p->programs + 1, sizeof *used);
    Arena   *a = arena_new();
    for (uint32_t i = 0; i < p->entries; i++) {
        PlanInstance *x;
        PlanBank     *bank;
        uint32_t      n = plan_instances(p, a, i, true, true, &x), fresh = 0;
        if (p->train_entry && strcmp(p->entry[i].name, p->train_entry) != 0)
            continue;
        for (uint32_t k = 0; k < n; k++) /* those of entries before are compiled already */
            if (!used[x[k].program])
                x[fresh++] = x[k];
        loaded += plan_banks(p, a, x, fresh, &bank);
        for (uint32_t k = 0; k < fresh; k++) {
            texts += !used[x[k].program];
            used[x[k].program] = true;
        }
    }
    free(used);
    arena_free(a);
    if (loaded > l->t->compile_budget)
        violation(
            l, 5, at,
            "%" PRId64
            " programs are compiled for every update of the weights (%u texts, one program a layer); target %s allows "
            "%" PRId64 " in a process, then it has to start again from a checkpoint",
            loaded, texts, l->t->name, l->t->compile_budget);
}

static void check_loss_scale(Lint *l, const Plan *p, Span at)
{
    enum { LEAST = 128, MOST = 65536 };
    const char *kind = setting(p, "loss_scale");
    const char *value = setting(p, kind && strcmp(kind, "fixed") == 0 ? "loss_scale.value" : "loss_scale.init");
    double      x = value ? strtod(value, NULL) : 4096;
    if (!p->train_entry || p->programs == 0)
        return;
    if (kind && strcmp(kind, "none") == 0)
        violation(l, 59, at, "losses are not scaled");
    else if (!(x >= LEAST && x <= MOST))
        violation(l, 59, at, "losses are scaled by %g", x);
}

void lint_manifest(const LintOptions *o, Diags *ds, const Plan *p, Span programs_at, Span train_at)
{
    Lint l = {.o = o, .t = o->target, .ds = ds};
    check_budget(&l, p, programs_at);
    check_loss_scale(&l, p, train_at);
}

/* ---- the manifest and the texts ------------------------------------------------------------------------------- */

/* The first line of the manifest that starts with `words`. */
static Span line_of(const Source *s, uint32_t file, const char *words)
{
    size_t n = strlen(words);
    for (uint32_t i = 1; i <= s->lines; i++) {
        size_t      len;
        const char *line = source_line(s, i, &len), *text = line;
        while (len && *text == ' ') {
            text++;
            len--;
        }
        if (len >= n && memcmp(text, words, n) == 0 && (len == n || text[n] == ' ' || text[n] == '.'))
            return (Span){file, (uint32_t)(text - s->text), (uint32_t)(text - s->text + (ptrdiff_t)len)};
    }
    return (Span){file, 0, 1};
}

static bool port_equal(const PlanPort *p, const Value *v)
{
    bool equal = strcmp(p->name, v->name) == 0 && p->shape.rank == v->type.rank && v->type.dtype == DT_F16;
    for (uint32_t i = 0; equal && i < v->type.rank; i++)
        equal = p->shape.dim[i] == v->type.dim[i];
    return equal;
}

static void compare_ports(Lint *l, const PlanPort *port, uint32_t ports, Value *const *v, uint32_t n, const char *kind,
                          Span fn, Span manifest)
{
    if (ports != n) {
        violation(l, 51, fn, "the manifest has %u %ss, the text %u", ports, kind, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!port_equal(&port[i], v[i])) {
            violation(l, 51, v[i]->at, "%s %u is '%s', %s; the manifest describes '%s'", kind, i, v[i]->name,
                      mil_type_text(l->ds->arena, &v[i]->type), port[i].name);
            diag_note(l->ds->item[l->ds->count - 1], manifest, "the program");
            return;
        }
}

static void check_path(Lint *l, const PlanProgram *p, const AstValue *v, const char *path)
{
    static const char root[] = "@model_path/";
    const char       *below = strncmp(path, root, sizeof root - 1) == 0 ? path + sizeof root - 1 : path;
    for (uint32_t i = 0; i < p->weights; i++)
        if (strcmp(p->weight[i].path, below) == 0)
            return;
    violation(l, 50, v->at, "program '%s' has no weight file '%s'", p->name, below);
}

static void check_paths(Lint *l, const PlanProgram *p, const AstValue *v)
{
    if (v->kind == AST_TYPED)
        check_paths(l, p, v->u.typed.value);
    if (v->kind == AST_BLOBFILE)
        for (const AstArg *g = v->u.args.first; g; g = g->next)
            if (g->value->kind == AST_TYPED && g->value->u.typed.value->kind == AST_STRING)
                check_path(l, p, g->value->u.typed.value, interned(l->unit.names, g->value->u.typed.value->u.name));
}

static void check_program(Lint *l, const PlanProgram *p, Span manifest)
{
    if (!l->unit.ast || l->unit.fns == 0)
        return;
    const Func *fn = &l->unit.fn[0];
    Span        at = l->unit.ast->first->at;
    compare_ports(l, p->in, p->ins, fn->input, fn->inputs, "input", at, manifest);
    compare_ports(l, p->out, p->outs, fn->output, fn->outputs, "output", at, manifest);
    for (const AstStmt *s = l->unit.ast->first->body.first; s; s = s->next)
        for (const AstArg *g = s->attributes.first; g; g = g->next)
            check_paths(l, p, g->value);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static MilFile *read_tables(Arena *a, const Plan *p, const char *dir, uint32_t *count)
{
    MilFile *file = NEW_N(a, MilFile, p->tables + 1);
    *count = 0;
    for (uint32_t i = 0; i < p->tables; i++) {
        char        why[FILE_ERR_MAX], *data;
        size_t      len;
        const char *name = arena_printf(a, "const/%s.blob", p->table[i].hash);
        if (file_read(a, path_join(a, dir, name), &data, &len, why)) /* the runtime tells of missing ones */
            file[(*count)++] = (MilFile){arena_printf(a, "@model_path/%s", name), data, len};
    }
    return file;
}

/* Has an earlier program the same text? */
static const PlanProgram *same_text(const Plan *p, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(p->program[k].mil, p->program[i].mil) == 0)
            return &p->program[k];
    return NULL;
}

void lint_plan(Arena *a, const LintOptions *o, Sources *sources, Diags *ds, const char *dir)
{
    Buf         err = {0};
    char        why[FILE_ERR_MAX], *text;
    size_t      len;
    Plan       *p = plan_open(a, dir, NULL, &err);
    const char *path = path_join(a, dir, "plan.anep");
    if (!p || !file_read(a, path, &text, &len, why)) {
        diag_error(ds, "E0001", (Span){0}, "%s", p ? why : err.data);
        buf_free(&err);
        return;
    }
    buf_free(&err);
    uint32_t      manifest = sources_add(sources, path, text, len), tables;
    const Source *m = sources->file[manifest - 1];
    LintOptions   own = *o;
    own.rounded = true;
    MilFile *table = read_tables(a, p, dir, &tables);
    lint_manifest(&own, ds, p, line_of(m, manifest, "program"), line_of(m, manifest, "loss_scale"));
    for (uint32_t i = 0; i < p->programs; i++) {
        const char *name = path_join(a, dir, arena_printf(a, "mil/%s.mil", p->program[i].mil));
        Span        at = line_of(m, manifest, arena_printf(a, "program %s", p->program[i].name));
        Lint        l = {.a = a, .o = &own, .t = own.target, .ds = ds};
        if (same_text(p, i)) /* read and told before */
            continue;
        if (!file_read(a, name, &text, &len, why)) {
            violation(&l, 50, at, "%s", why);
            continue;
        }
        l.file = sources_add(sources, name, text, len);
        lint_mil(a, &own, ds, l.file, table, tables, &l.unit);
        check_program(&l, &p->program[i], at);
    }
}

/* refusal_cut.c: see refusal_cut.h. Works on the syntax tree: it does not need to know what operations mean, and so takes
 * texts apart whose operations only the engine knows. */
#include "refusal_cut.h"

#include "mil/mil_ast.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t NONE = UINT32_MAX;

typedef struct { /* a name: an input of a function, or a result */
    const AstParam *param;
    const char     *name;
    uint32_t        fn, stmt; /* stmt NONE: an input */
    bool            returned;
} Def;

typedef struct {
    const AstStmt *ast;
    uint32_t       fn, step; /* step NONE: a constant */
    uint32_t       first, results; /* defs */
    uint32_t      *use, uses, uses_cap; /* defs that it reads */
    const char   **file;
    uint32_t       files, files_cap;
} Stmt;

struct Cut {
    Arena      *a;
    Interner   *names;
    const char *text;
    size_t      len;
    const AstFunc **fn;
    uint32_t    fns;
    Def        *def;
    uint32_t    defs, defs_cap;
    Stmt       *stmt;
    uint32_t    stmts, stmts_cap;
    CutStep    *step;
    uint32_t   *of_step; /* its statement */
    uint32_t    steps, steps_cap;
    uint32_t   *by_name, names_cap; /* def by StrId, of the function being read; NONE: none */
};

/* ---- reading ---- */

static void define(Cut *c, const AstParam *p, uint32_t stmt)
{
    GROW(c->a, c->def, c->defs, c->defs_cap);
    c->def[c->defs] = (Def){.param = p, .name = interned(c->names, p->name), .fn = c->fns - 1, .stmt = stmt};
    while (p->name >= c->names_cap) {
        uint32_t had = c->names_cap;
        GROW(c->a, c->by_name, c->names_cap, c->names_cap);
        for (; had < c->names_cap; had++)
            c->by_name[had] = NONE;
    }
    c->by_name[p->name] = c->defs++;
}

static uint32_t find(const Cut *c, StrId name)
{
    uint32_t def = name < c->names_cap ? c->by_name[name] : NONE;
    return def != NONE && c->def[def].fn == c->fns - 1 ? def : NONE;
}

static void read_values(Cut *c, Stmt *s, const AstValue *v);

static void read_args(Cut *c, Stmt *s, const AstArgs *args)
{
    for (const AstArg *g = args->first; g; g = g->next) {
        if (g->value)
            read_values(c, s, g->value);
    }
}

static void read_values(Cut *c, Stmt *s, const AstValue *v)
{
    uint32_t def;
    switch (v->kind) {
    case AST_NAME:
        if ((def = find(c, v->u.name)) != NONE) {
            GROW(c->a, s->use, s->uses, s->uses_cap);
            s->use[s->uses++] = def;
        }
        return;
    case AST_STRING: {
        const char *text = interned(c->names, v->u.name);
        if (strncmp(text, "@model_path/", strlen("@model_path/")) == 0) {
            GROW(c->a, s->file, s->files, s->files_cap);
            s->file[s->files++] = text;
        }
        return;
    }
    case AST_LIST:
    case AST_TUPLE:
    case AST_DICT:
        for (const AstValue *x = v->u.list.first; x; x = x->next)
            read_values(c, s, x);
        return;
    case AST_TYPED:
        read_values(c, s, v->u.typed.value);
        return;
    case AST_BLOBFILE:
        read_args(c, s, &v->u.args);
        return;
    default:
        return;
    }
}

static void add_step(Cut *c, const Source *source, uint32_t stmt)
{
    const Stmt *s = &c->stmt[stmt];
    uint32_t    cap = c->steps_cap, line, column;
    GROW(c->a, c->step, c->steps, c->steps_cap);
    if (c->steps_cap != cap) {
        uint32_t *of = NEW_N(c->a, uint32_t, c->steps_cap);
        if (c->steps)
            memcpy(of, c->of_step, c->steps * sizeof *of);
        c->of_step = of;
    }
    source_position(source, s->ast->whole.begin, &line, &column);
    c->of_step[c->steps] = stmt;
    c->step[c->steps++] = (CutStep){.function = interned(c->names, c->fn[s->fn]->name),
                                    .op = interned(c->names, s->ast->op),
                                    .result = s->results ? c->def[s->first].name : "",
                                    .at = s->ast->whole,
                                    .line = line};
}

static void read_statement(Cut *c, const Source *source, const AstStmt *ast)
{
    const char *op = interned(c->names, ast->op);
    bool        constant = strcmp(op, "const") == 0 || strncmp(op, "constexpr_", strlen("constexpr_")) == 0;
    GROW(c->a, c->stmt, c->stmts, c->stmts_cap);
    Stmt *s = &c->stmt[c->stmts];
    *s = (Stmt){.ast = ast, .fn = c->fns - 1, .step = constant ? NONE : c->steps};
    read_args(c, s, &ast->args);
    read_args(c, s, &ast->attributes);
    s->first = c->defs;
    for (const AstParam *p = ast->results.first; p; p = p->next)
        define(c, p, c->stmts);
    s->results = c->defs - s->first;
    c->stmts++;
    if (!constant)
        add_step(c, source, c->stmts - 1);
}

Cut *cut_open(Arena *a, const char *name, const char *mil, size_t len)
{
    Cut              *c = NEW(a, Cut);
    Sources          *sources = sources_new(a);
    uint32_t          file = sources_add(sources, name, mil, len);
    Diags            *ds = diags_new(a, sources, name);
    const Source     *source = source_of(sources, (Span){file, 0, 0});
    *c = (Cut){.a = a, .names = interner_new(a), .text = mil, .len = len};
    const AstProgram *p = mil_parse(a, c->names, ds, file);
    if (!p || ds->errors)
        return NULL;
    c->fn = NEW_N(a, const AstFunc *, p->functions + 1);
    for (const AstFunc *f = p->first; f; f = f->next) {
        c->fn[c->fns++] = f;
        for (const AstParam *x = f->params.first; x; x = x->next)
            define(c, x, NONE);
        for (const AstStmt *s = f->body.first; s; s = s->next)
            read_statement(c, source, s);
        for (const AstValue *v = f->returns.first; v; v = v->next) {
            uint32_t def = find(c, v->u.name);
            if (def != NONE)
                c->def[def].returned = true;
        }
    }
    return c;
}

uint32_t cut_steps(const Cut *c)
{
    return c->steps;
}

const CutStep *cut_step(const Cut *c, uint32_t step)
{
    return &c->step[step];
}

/* Values are defined before they are read, so one way back over the statements finds all. */
void cut_add(const Cut *c, uint32_t step, bool *keep)
{
    bool *need = xcalloc(c->stmts + 1u, sizeof *need);
    need[c->of_step[step]] = true;
    for (uint32_t i = c->of_step[step] + 1; i-- > 0;) {
        const Stmt *s = &c->stmt[i];
        if (!need[i])
            continue;
        if (s->step != NONE)
            keep[s->step] = true;
        for (uint32_t k = 0; k < s->uses; k++)
            if (c->def[s->use[k]].stmt != NONE)
                need[c->def[s->use[k]].stmt] = true;
    }
    free(need);
}

/* ---- writing ---- */

typedef struct {
    const Cut *c;
    CutText   *out;
    bool      *live;         /* [stmts] */
    bool      *used, *given; /* [defs]: read by something live; returned */
    uint32_t   lines;
    uint32_t   files_cap;
    Arena     *a;
} Writing;

static bool is_float(const AstType *t)
{
    return t->form == FORM_VALUE && !t->too_deep && (t->type.dtype == DT_F16 || t->type.dtype == DT_F32);
}

/* May it be an output? With a rank other than 4 after a reshape. */
static bool may_leave(const Def *d)
{
    const AstType *t = d->param->type;
    bool           ok = is_float(t) && t->type.rank > 0;
    for (uint32_t i = 0; ok && i < t->type.rank; i++)
        ok = t->type.dim[i] > 0;
    return ok && type_valid(&t->type);
}

/* What of a function is left: backwards, as a statement lives by what reads it. */
static void mark(Writing *w, uint32_t fn, const bool *keep)
{
    const Cut *c = w->c;
    for (uint32_t i = c->stmts; i-- > 0;) {
        const Stmt *s = &c->stmt[i];
        bool        live = false;
        if (s->fn != fn || (s->step != NONE && !keep[s->step]))
            continue;
        for (uint32_t k = s->first; k < s->first + s->results; k++) {
            w->given[k] = s->step != NONE && c->def[k].returned;
            live = live || w->used[k] || w->given[k];
        }
        if (s->step != NONE && !live) {
            live = s->results == 0;
            for (uint32_t k = s->first; k < s->first + s->results; k++)
                if (may_leave(&c->def[k]))
                    live = w->given[k] = true;
        }
        w->live[i] = live;
        for (uint32_t k = 0; live && k < s->uses; k++)
            w->used[s->use[k]] = true;
    }
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void put_line(Writing *w, const char *text, size_t n)
{
    buf_puts(&w->out->text, "        ");
    buf_add(&w->out->text, text, n);
    buf_putc(&w->out->text, '\n');
    for (size_t i = 0; i < n; i++)
        w->lines += text[i] == '\n';
    w->lines++;
}

/* "tensor<fp16, [1, 64, 1, 32]> x" for each input of the function, separated by commas. False: one cannot be one. */
static bool put_inputs(Writing *w, uint32_t fn)
{
    const Cut   *c = w->c;
    const char **name = NEW_N(w->a, const char *, c->defs + 1);
    uint32_t     n = 0, first = NONE;
    for (uint32_t i = 0; i < c->defs; i++) {
        const Def *d = &c->def[i];
        if (d->fn != fn)
            continue;
        if (d->stmt == NONE && first == NONE)
            first = i;
        if (!w->used[i] || (d->stmt != NONE && w->live[d->stmt]))
            continue;
        if (d->stmt != NONE && (!is_float(d->param->type) || d->param->type->type.rank != 4))
            return false;
        name[n++] = d->name;
    }
    if (!n && first != NONE)
        name[n++] = c->def[first].name;
    qsort(name, n, sizeof *name, by_name);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < c->defs; k++)
            if (c->def[k].fn == fn && c->def[k].name == name[i]) {
                Span t = c->def[k].param->type->at;
                buf_puts(&w->out->text, i ? ", " : "");
                buf_add(&w->out->text, c->text + t.begin, t.end - t.begin);
                buf_printf(&w->out->text, " %s", name[i]);
            }
    return true;
}

static bool is_taken(const Cut *c, uint32_t fn, const char *name)
{
    for (uint32_t i = 0; i < c->defs; i++)
        if (c->def[i].fn == fn && strcmp(c->def[i].name, name) == 0)
            return true;
    return false;
}

/* The name under which a value is returned: its own, or that of a reshape to [1, C, 1, S], which is written. */
static const char *put_output(Writing *w, const Def *d)
{
    const MilType *t = &d->param->type->type;
    Buf            line = {0};
    int64_t        c = 1;
    if (t->rank == 4 || d->returned)
        return d->name;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        c *= t->dim[i];
    const char *name = arena_printf(w->a, "%s_out", d->name);
    while (is_taken(w->c, d->fn, name))
        name = arena_printf(w->a, "%s_", name);
    const char *shape = arena_printf(w->a, "[1, %" PRId64 ", 1, %" PRId64 "]", c, t->dim[t->rank - 1]);
    buf_printf(&line, "tensor<%s, %s> %s = reshape(shape = tensor<int32, [4]>(%s), x = %s)[name = string(\"%s\")];",
               dtype_info[t->dtype].name, shape, name, shape, d->name, name);
    put_line(w, line.data, line.len);
    buf_free(&line);
    w->out->added++;
    return name;
}

static void name_files(Writing *w, const Stmt *s)
{
    CutText *out = w->out;
    for (uint32_t i = 0; i < s->files; i++) {
        bool known = false;
        for (uint32_t k = 0; k < out->files; k++)
            known = known || strcmp(out->file[k], s->file[i]) == 0;
        if (known)
            continue;
        GROW(w->c->a, out->file, out->files, w->files_cap);
        out->file[out->files++] = s->file[i];
    }
}

static bool put_function(Writing *w, uint32_t fn)
{
    const Cut     *c = w->c;
    CutText       *out = w->out;
    const AstFunc *f = c->fn[fn];
    const char   **name = NEW_N(w->a, const char *, c->defs + 1);
    uint32_t       n = 0;
    buf_printf(&out->text, "    func %s<%s>(", interned(c->names, f->name), interned(c->names, f->opset));
    if (!put_inputs(w, fn))
        return false;
    buf_puts(&out->text, ") {\n");
    w->lines++;
    for (uint32_t i = 0; i < c->stmts; i++) {
        const Stmt *s = &c->stmt[i];
        if (s->fn != fn || !w->live[i])
            continue;
        if (s->step != NONE) {
            out->steps++;
            out->last = s->step;
            out->line = w->lines + 1;
        }
        put_line(w, c->text + s->ast->whole.begin, s->ast->whole.end - s->ast->whole.begin);
        name_files(w, s);
    }
    for (uint32_t i = 0; i < c->defs; i++)
        if (c->def[i].fn == fn && w->given[i])
            name[n++] = put_output(w, &c->def[i]);
    qsort(name, n, sizeof *name, by_name);
    buf_puts(&out->text, "    } -> (");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&out->text, "%s%s", i ? ", " : "", name[i]);
    buf_puts(&out->text, ");\n");
    w->lines++;
    return true;
}

static bool gives(const Writing *w, uint32_t fn)
{
    for (uint32_t i = 0; i < w->c->defs; i++)
        if (w->c->def[i].fn == fn && w->given[i])
            return true;
    return false;
}

static void whole_text(const Cut *c, CutText *out)
{
    Writing w = {.c = c, .out = out};
    buf_add(&out->text, c->text, c->len);
    for (uint32_t i = 0; i < c->stmts; i++)
        name_files(&w, &c->stmt[i]);
    out->steps = c->steps;
    out->last = c->steps - 1;
    out->line = c->step[c->steps - 1].line;
}

bool cut_text(const Cut *c, const bool *keep, CutText *out)
{
    uint32_t kept = 0, functions = 0;
    Buf      text = out->text;
    buf_clear(&text);
    *out = (CutText){.text = text};
    for (uint32_t i = 0; i < c->steps; i++)
        kept += keep[i];
    if (!kept)
        return false;
    if (kept == c->steps) {
        whole_text(c, out);
        return true;
    }
    Arena  *a = arena_new();
    Writing w = {.c = c, .out = out, .a = a, .live = NEW_N(a, bool, c->stmts + 1), .used = NEW_N(a, bool, c->defs + 1),
                 .given = NEW_N(a, bool, c->defs + 1)};
    bool ok = true;
    buf_add(&out->text, c->text, c->fn[0]->whole.begin);
    while (out->text.len && strchr(" \t", out->text.data[out->text.len - 1]))
        out->text.data[--out->text.len] = 0;
    for (size_t i = 0; i < out->text.len; i++)
        w.lines += out->text.data[i] == '\n';
    for (uint32_t fn = 0; fn < c->fns && ok; fn++) {
        mark(&w, fn, keep);
        if (!gives(&w, fn))
            continue;
        functions++;
        ok = put_function(&w, fn);
    }
    buf_puts(&out->text, "}\n");
    arena_free(a);
    return ok && functions;
}

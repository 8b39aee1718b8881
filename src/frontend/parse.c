/* parse.c: from a source file to its syntax tree: scan, repair, parse; see syntax.h.
 *
 * The three steps find their mistakes in three sweeps over the file; what they said is put into the order of the text
 * at the end, so that the reader goes through the file once. */
#include "frontend/syntax.h"

#include "anel.tab.h"

void token_append(Parse *p, Token t)
{
    GROW(p->arena, p->tokens.tok, p->tokens.count, p->tokens.cap);
    p->tokens.tok[p->tokens.count++] = t;
}

void scan_file(Parse *p)
{
    uint32_t cursor = 0;
    Token    t;
    do {
        t = scan_token(p, &cursor);
        token_append(p, t);
    } while (t.kind != TOK_EOF);
}

/* Insertion sort by place: diagnostics are few, and equal places keep their order. */
static void sort_diags(Diags *ds, uint32_t first)
{
    for (uint32_t i = first; i < ds->count; i++) {
        Diag    *d = ds->item[i];
        uint32_t k = i;
        for (; k > first && ds->item[k - 1]->at.begin > d->at.begin; k--)
            ds->item[k] = ds->item[k - 1];
        ds->item[k] = d;
    }
}

/* Keep the limit's first errors in the order of the text, as if they had been found in that order. */
static void trim_diags(Diags *ds, uint32_t first, uint32_t errors_before)
{
    uint32_t limit = ds->limit ? ds->limit : DIAG_LIMIT, room = limit > errors_before ? limit - errors_before : 0;
    if (ds->count - first > room)
        ds->count = first + room;
}

enum { ERRORS_SORTED = 1000 };

static bool run(Parse *p, int start)
{
    uint32_t errors = p->ds->errors, first = p->ds->count, limit = p->ds->limit;
    p->ds->limit = errors + ERRORS_SORTED;
    token_append(p, (Token){.kind = start, .at = {p->file, 0, 0}});
    scan_file(p);
    repair_tokens(p);
    if (!p->deep) {
        bool accepted = anel_yyparse(p) == 0;
        if (!accepted && p->ds->errors == errors)
            bug("%s was rejected without a reason", p->source->name);
    }
    p->ds->limit = limit;
    sort_diags(p->ds, first);
    trim_diags(p->ds, first, errors);
    return p->ds->errors == errors;
}

static Parse parse_new(Arena *a, Interner *strings, const Sources *sources, uint32_t file, Diags *ds)
{
    const Source *source = source_of(sources, (Span){.file = file});
    return (Parse){.arena = a, .strings = strings, .sources = sources, .source = source, .file = file, .ds = ds};
}

File *parse_file(Arena *a, Interner *strings, const Sources *sources, uint32_t file, Diags *ds)
{
    Parse p = parse_new(a, strings, sources, file, ds);
    File *f = NEW(a, File);
    p.comments_end = &p.comments;
    f->file = file;
    f->ok = run(&p, TOK_START_FILE);
    f->items = p.items;
    f->comments = p.comments;
    return f;
}

Expr *parse_expr(Arena *a, Interner *strings, const Sources *sources, uint32_t file, Diags *ds)
{
    Parse p = parse_new(a, strings, sources, file, ds);
    p.comments_end = &p.comments;
    return run(&p, TOK_START_EXPR) ? p.expr : NULL;
}

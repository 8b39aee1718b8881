/* mil_join.c: see mil_join.h. The places to change are found by the reader, so that a word in a string or a name that
 * looks like one is never mistaken. */
#include "mil/mil_join.h"

#include "mil/mil_ast.h"

#include <string.h>

static const char root[] = "@model_path/";

typedef struct {
    uint32_t    at;   /* where the prefix goes: behind "@model_path/ */
    const char *path; /* what follows it */
} Cut;

struct MilPiece {
    Arena      *a;
    const char *text;
    size_t      len;
    Span        whole, name; /* of the function */
    Cut        *cut; /* in the order of the text */
    uint32_t    cuts, cap;
};

/* The string in BLOBFILE(path = string("..."), ...), or NULL. */
static const AstValue *path_of(const AstValue *blob, const Interner *names)
{
    for (const AstArg *g = blob->u.args.first; g; g = g->next)
        if (strcmp(interned(names, g->name), "path") == 0)
            return g->value->kind == AST_TYPED ? g->value->u.typed.value : g->value;
    return NULL;
}

static void find_paths(MilPiece *p, const AstArgs *args, const Interner *names)
{
    for (const AstArg *g = args->first; g; g = g->next) {
        const AstValue *v = g->value;
        while (v->kind == AST_TYPED)
            v = v->u.typed.value;
        const AstValue *path = v->kind == AST_BLOBFILE ? path_of(v, names) : NULL;
        if (!path || path->kind != AST_STRING ||
            strncmp(p->text + path->at.begin + 1, root, sizeof root - 1) != 0) /* behind the quote */
            continue;
        GROW(p->a, p->cut, p->cuts, p->cap);
        p->cut[p->cuts++] = (Cut){path->at.begin + (uint32_t)sizeof root, interned(names, path->u.name) + sizeof root - 1};
    }
}

MilPiece *mil_piece(Arena *a, const char *name, const char *text, size_t len, Buf *err)
{
    Sources    *sources = sources_new(a);
    Interner   *names = interner_new(a);
    Diags      *ds = diags_new(a, sources, name);
    AstProgram *program = mil_parse(a, names, ds, sources_add(sources, name, text, len));
    if (!program) {
        diags_render(ds, err);
        return NULL;
    }
    if (program->functions != 1) {
        buf_printf(err, "%s: error: the text has %u functions: only texts of one can be joined\n", name,
                   (unsigned)program->functions);
        return NULL;
    }
    const AstFunc *f = program->first;
    MilPiece      *p = NEW(a, MilPiece);
    *p = (MilPiece){.a = a, .text = text, .len = len, .whole = f->whole, .name = f->at};
    for (const AstStmt *s = f->body.first; s; s = s->next) { /* arguments stand before attributes */
        find_paths(p, &s->args, names);
        find_paths(p, &s->attributes, names);
    }
    return p;
}

static void copy(const MilPiece *p, uint32_t from, uint32_t to, Buf *out)
{
    buf_add(out, p->text + from, to - from);
}

void mil_join_begin(const MilPiece *first, Buf *out)
{
    copy(first, 0, first->whole.begin, out);
}

void mil_join_add(const MilPiece *p, const char *function, const char *prefix, MilShares *shares, const void *with,
                  Buf *out)
{
    if (out->len && out->data[out->len - 1] == ';') /* of the function before */
        buf_puts(out, "\n    ");
    copy(p, p->whole.begin, p->name.begin, out);
    buf_puts(out, function);
    uint32_t at = p->name.end;
    for (uint32_t i = 0; i < p->cuts; i++) {
        copy(p, at, p->cut[i].at, out);
        if (!shares(with, p->cut[i].path))
            buf_printf(out, "%s/", prefix);
        at = p->cut[i].at;
    }
    copy(p, at, p->whole.end, out);
}

void mil_join_end(const MilPiece *first, Buf *out)
{
    copy(first, first->whole.end, (uint32_t)first->len, out);
}

bool mil_take_out(const char *name, const char *text, size_t len, uint32_t function, Buf *out, Buf *err)
{
    Arena            *a = arena_new();
    Sources          *sources = sources_new(a);
    Diags            *ds = diags_new(a, sources, name);
    const AstProgram *p = mil_parse(a, interner_new(a), ds, sources_add(sources, name, text, len));
    const AstFunc    *f = p ? p->first : NULL;
    for (uint32_t i = 0; f && i < function; i++)
        f = f->next;
    if (f) {
        buf_add(out, text, p->first->whole.begin);
        buf_add(out, text + f->whole.begin, f->whole.end - f->whole.begin);
        buf_add(out, text + p->last->whole.end, len - p->last->whole.end);
    } else if (p)
        buf_printf(err, "%s: error: there is no function %u\n", name, (unsigned)function);
    else
        diags_render(ds, err);
    arena_free(a);
    return f != NULL;
}

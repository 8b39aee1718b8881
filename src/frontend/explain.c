/* explain.c: messages about a program that is being run at compile time.
 *
 * A mistake inside a library function is the user's mistake at the call: the message moves there, and the library's
 * line becomes a note. Below it stand the calls that led to the place. What one instantiation has said, the next ones
 * (another layer, another entry) do not repeat. */
#include "frontend/elab.h"

#include <string.h>

enum { MAX_CALL_NOTES = 3, MAX_SOURCE_TEXT = 64 };

bool is_library(const Elab *e, Span at)
{
    for (uint32_t i = 0; i < e->loads; i++)
        if (e->loaded[i]->file && e->loaded[i]->file->file == at.file)
            return e->loaded[i]->library;
    return false;
}

const char *source_text(Elab *e, Span at)
{
    const Source *f = source_of(e->sources, at);
    if (!f)
        return "";
    Buf b = {0};
    bool space = false;
    for (uint32_t i = at.begin; i < at.end && i < f->len; i++) {
        char c = f->text[i];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            space = b.len > 0;
            continue;
        }
        if (space)
            buf_putc(&b, ' ');
        space = false;
        if (b.len >= MAX_SOURCE_TEXT) {
            buf_puts(&b, "...");
            break;
        }
        buf_putc(&b, c);
    }
    const char *s = arena_strndup(e->a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return s;
}

const char *place_text(Elab *e, Span at)
{
    const Source *f = source_of(e->sources, at);
    uint32_t line, column;
    if (!f)
        return "";
    source_position(f, at.begin, &line, &column);
    return arena_printf(e->a, "%s:%u", f->name, line);
}

void elab_flush(Elab *e)
{
    for (uint32_t i = 0; e->pending && i < e->pendings; i++)
        diag_note(e->pending, e->pending_at[i], "%s", e->pending_text[i]);
    e->pending = NULL;
    e->pendings = 0;
}

static bool span_equal(Span a, Span b)
{
    return a.file == b.file && a.begin == b.begin && a.end == b.end;
}

/* The same code at the same place, reached through the same call: another layer or another entry, nothing new. */
static bool told_before(Elab *e, const char *code, Span at, Span shown)
{
    for (uint32_t i = 0; i < e->tolds; i++) {
        const Told *t = &e->told[i];
        if (span_equal(t->at, at) && span_equal(t->shown, shown) && strcmp(t->code, code) == 0 && at.file)
            return true;
    }
    GROW(e->a, e->told, e->tolds, e->tolds_cap);
    e->told[e->tolds++] = (Told){code, at, shown};
    return false;
}

Diag *elab_error(Elab *e, const char *code, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(e->a, fmt, ap);
    va_end(ap);
    elab_flush(e);

    /* out of the library, to the call the user wrote */
    const Frame *f = e->frame, *inside = NULL;
    Span shown = at;
    if (is_library(e, at))
        for (; f; f = f->caller)
            if (f->call_at.file && !is_library(e, f->call_at)) {
                inside = f;
                shown = f->call_at;
                f = f->caller;
                break;
            }
    if (told_before(e, code, at, shown))
        return diag_error(e->silent, code, shown, "%s", text);
    Diag *d = diag_error(e->ds, code, shown, "%s", text);
    e->pending = d;
    if (inside) {
        e->pending_at[e->pendings] = at;
        e->pending_text[e->pendings++] =
            arena_printf(e->a, "in the library function '%s', '%s'", str(e, inside->fn->name.id), source_text(e, at));
    }
    for (uint32_t n = 0; f && f->call_at.file && n < MAX_CALL_NOTES; f = f->caller) {
        if (span_equal(f->call_at, shown))
            continue;
        n++;
        e->pending_at[e->pendings] = f->call_at;
        e->pending_text[e->pendings++] = arena_printf(e->a, "in the call '%s'", source_text(e, f->call_at));
        if (e->pendings == COUNT(e->pending_at))
            break;
    }
    return d;
}

/* ---- where values come from ---- */

static bool listed(const StrId *seen, uint32_t n, StrId name)
{
    for (uint32_t i = 0; i < n; i++)
        if (seen[i] == name)
            return true;
    return false;
}

enum { MAX_NAMED = 8 };

static void collect(Elab *e, const Expr *x, StrId *seen, uint32_t *n)
{
    if (!x || *n == MAX_NAMED)
        return;
    switch (x->kind) {
    case EX_NAME:
        if (!listed(seen, *n, x->name.id))
            seen[(*n)++] = x->name.id;
        break;
    case EX_CALL:
        for (const Arg *a = x->call.args; a; a = a->next)
            collect(e, a->value, seen, n);
        break;
    case EX_UNARY:
    case EX_TRANSPOSE:
    case EX_PAREN:
        collect(e, x->un.x, seen, n);
        break;
    case EX_BINARY:
        collect(e, x->bin.x, seen, n);
        collect(e, x->bin.y, seen, n);
        break;
    case EX_INDEX:
        collect(e, x->index.x, seen, n);
        break;
    case EX_TUPLE:
    case EX_LIST:
        for (const Expr *k = x->list; k; k = k->next)
            collect(e, k, seen, n);
        break;
    case EX_IF:
        collect(e, x->cond.c, seen, n);
        collect(e, x->cond.x, seen, n);
        collect(e, x->cond.y, seen, n);
        break;
    case EX_INT:
    case EX_FLOAT:
    case EX_STRING:
    case EX_BOOL:
    case EX_TABLE:
    case EX_POISON:
        break;
    }
}

void note_names(Elab *e, Diag *d, const Expr *x, const Expr *y)
{
    StrId seen[MAX_NAMED];
    uint32_t n = 0, told = 0;
    collect(e, x, seen, &n);
    collect(e, y, seen, &n);
    Buf b = {0};
    for (uint32_t i = 0; i < n; i++) {
        const char *o = origin_text(e, seen[i]);
        if (o)
            buf_printf(&b, "%s%s = %s", told++ ? ", " : "", str(e, seen[i]), o);
    }
    if (told)
        diag_note(d, (Span){0}, "%s", b.data);
    buf_free(&b);
}

const char *kind_text(Elab *e, Value v)
{
    Buf b = {0};
    switch (v.kind) {
    case V_POISON:
        return "nothing";
    case V_TENSOR:
    case V_TABLE:
        return type_text(e->a, tensor_type(e, v));
    case V_TUPLE:
        return arena_printf(e->a, "%u values", v.seq.n);
    case V_INT:
        buf_puts(&b, "int ");
        break;
    case V_FLOAT:
        buf_puts(&b, "float ");
        break;
    case V_BOOL:
        buf_puts(&b, "bool ");
        break;
    case V_STR:
        buf_puts(&b, "str ");
        break;
    case V_LIST:
        buf_puts(&b, "list ");
        break;
    }
    static_print(e, v, &b);
    const char *s = arena_strndup(e->a, b.data, b.len);
    buf_free(&b);
    return s;
}

const char *describe(Elab *e, const Expr *x, Value v)
{
    const char *kind = kind_text(e, v);
    if (!x || x->kind != EX_NAME)
        return kind;
    const Var *var = find_var(e, x->name.id);
    if (!var) {
        const Symbol *s = find_symbol(e, x->name.id);
        if (s && s->kind == SYM_PARAM)
            return arena_printf(e->a, "%s: declared at %s as %s", kind, place_text(e, s->at),
                                source_text(e, s->item->decl.type->at));
        return kind;
    }
    if (var->type && (var->kind == VAR_ARG || var->kind == VAR_DEFAULT))
        return arena_printf(e->a, "%s: the argument %s: %s", kind, str(e, var->name), source_text(e, var->type->at));
    if (var->type && (var->kind == VAR_PARAM || var->kind == VAR_STATE))
        return arena_printf(e->a, "%s: declared at %s as %s", kind, place_text(e, var->at),
                            source_text(e, var->type->at));
    return kind;
}

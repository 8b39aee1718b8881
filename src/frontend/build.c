/* build.c: constructors of the syntax tree.
 *
 * Every expression knows the depth of its tree, and a tree deeper than EXPR_DEPTH_MAX is told once and replaced by a
 * poisoned node: whoever walks the tree later may recurse without care. */
#include "frontend/syntax.h"

static uint16_t deepest(uint16_t d, const Expr *x)
{
    return x && x->depth > d ? x->depth : d;
}

static Expr *with_depth(Parse *p, Expr *e, unsigned below)
{
    if (below >= EXPR_DEPTH_MAX) {
        if (!p->deep)
            diag_help(diag_error(p->ds, "E0116", e->at, "the expression is nested too deeply"),
                      "bind parts of it to names");
        p->deep = true;
        return expr_new(p, EX_POISON, e->at);
    }
    e->depth = (uint16_t)(below + 1);
    return e;
}

Expr *expr_new(Parse *p, ExprKind kind, Span at)
{
    Expr *e = NEW(p->arena, Expr);
    e->kind = kind;
    e->at = at;
    e->depth = 1;
    return e;
}

Expr *expr_unary(Parse *p, ExprKind kind, UnOp op, Expr *x, Span at)
{
    Expr *e = expr_new(p, kind, at);
    e->un.op = op;
    e->un.x = x;
    return with_depth(p, e, x->depth);
}

Expr *expr_binary(Parse *p, BinOp op, Expr *x, Expr *y, Span op_at, Span at)
{
    Expr *e = expr_new(p, EX_BINARY, at);
    e->bin.op = op;
    e->bin.x = x;
    e->bin.y = y;
    e->bin.op_at = op_at;
    return with_depth(p, e, deepest(x->depth, y));
}

/* Comparisons do not chain: `a < b < c` parses, is told, and means nothing. */
Expr *expr_compare(Parse *p, BinOp op, Expr *x, Expr *y, Span op_at, Span at)
{
    if (x->kind == EX_BINARY && x->bin.op >= BIN_EQ && x->bin.op <= BIN_GE) {
        const char *text = p->source->text;
        Diag       *d = diag_error(p->ds, "E0109", op_at, "comparisons do not chain");
        Span        l = x->at, m = x->bin.y->at, r = y->at;
        if (r.end - l.begin <= 60)
            diag_label(d, op_at, "write '%.*s and %.*s'", (int)(l.end - l.begin), text + l.begin,
                       (int)(r.end - m.begin), text + m.begin);
        else
            diag_label(d, op_at, "join two comparisons with 'and'");
    }
    return expr_binary(p, op, x, y, op_at, at);
}

Expr *expr_if(Parse *p, Expr *c, Expr *x, Expr *y, Span at)
{
    Expr *e = expr_new(p, EX_IF, at);
    e->cond.c = c;
    e->cond.x = x;
    e->cond.y = y;
    return with_depth(p, e, deepest(deepest(c->depth, x), y));
}

Expr *expr_list(Parse *p, ExprKind kind, Expr *first, Span at)
{
    Expr    *e = expr_new(p, kind, at);
    uint16_t d = 0;
    e->list = first;
    for (const Expr *x = first; x; x = x->next)
        d = deepest(d, x);
    return with_depth(p, e, d);
}

Expr *expr_call(Parse *p, Name fn, Arg *args, Name *label, Span at)
{
    Expr    *e = expr_new(p, EX_CALL, at);
    uint16_t d = 0;
    e->call.fn = fn;
    e->call.args = args;
    e->call.label = label;
    for (const Arg *a = args; a; a = a->next)
        d = deepest(d, a->value);
    return with_depth(p, e, d);
}

Expr *expr_index(Parse *p, Expr *x, Index *ix, Span at)
{
    Expr    *e = expr_new(p, EX_INDEX, at);
    uint16_t d = x->depth;
    e->index.x = x;
    e->index.ix = ix;
    for (const Index *i = ix; i; i = i->next)
        d = deepest(deepest(d, i->lo), i->hi);
    return with_depth(p, e, d);
}

Expr *expr_table(Parse *p, Expr *body, Binder *binders, Span at)
{
    Expr    *e = expr_new(p, EX_TABLE, at);
    uint16_t d = body->depth;
    e->table.body = body;
    e->table.binders = binders;
    for (const Binder *b = binders; b; b = b->next)
        d = deepest(d, b->extent);
    return with_depth(p, e, d);
}

Arg *arg_new(Parse *p, StrId name, Span name_at, Expr *value)
{
    Arg *a = NEW(p->arena, Arg);
    *a = (Arg){.name = name, .name_at = name_at, .value = value};
    return a;
}

Index *index_new(Parse *p, IndexKind kind, Expr *lo, Expr *hi, Span at)
{
    Index *i = NEW(p->arena, Index);
    *i = (Index){.kind = kind, .lo = lo, .hi = hi, .at = at};
    return i;
}

Stmt *stmt_new(Parse *p, StmtKind kind, Span at)
{
    Stmt *s = NEW(p->arena, Stmt);
    s->kind = kind;
    s->at = at;
    return s;
}

Item *item_new(Parse *p, ItemKind kind, Span at)
{
    Item *i = NEW(p->arena, Item);
    i->kind = kind;
    i->at = at;
    return i;
}

/* ---- what the grammar accepts out of courtesy ---- */

void habit_named(Parse *p, StrId name, Span eq, Span value)
{
    Diag *d = diag_error(p->ds, "E0103", eq, "named arguments use ':', not '='");
    int   n = (int)(value.end - value.begin);
    diag_label(d, eq, "write '%s: %.*s'", interned(p->strings, name), n > 40 ? 3 : n,
               n > 40 ? "..." : p->source->text + value.begin);
}

void habit_equal(Parse *p, Span op)
{
    diag_label(diag_error(p->ds, "E0112", op, "'==' compares; a name is bound with '='"), op, "write '='");
}

void habit_no_type(Parse *p, const char *what, Name n, Span after, const char *example)
{
    Diag *d = diag_error(p->ds, "E0111", n.at, "%s '%s' has no type", what, interned(p->strings, n.id));
    diag_label(d, span_after(after), "write '%s'", example);
}

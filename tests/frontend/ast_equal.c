/* ast_equal.c: comparison of syntax trees, node by node; see ast_equal.h. */
#include "ast_equal.h"

static bool exprs(const Expr *a, const Expr *b);
static bool stmts(const Stmt *a, const Stmt *b);

/* Compare two linked lists with `same` for one pair of elements. */
#define LISTS(same, a, b)                       \
    do {                                        \
        for (; (a) && (b); (a) = (a)->next, (b) = (b)->next) \
            if (!(same))                        \
                return false;                   \
        return !(a) && !(b);                    \
    } while (0)

static bool names(const Name *a, const Name *b)
{
    LISTS(a->id == b->id, a, b);
}

static bool expr(const Expr *a, const Expr *b);

static bool args(const Arg *a, const Arg *b)
{
    LISTS(a->name == b->name && expr(a->value, b->value), a, b);
}

static bool indexes(const Index *a, const Index *b)
{
    LISTS(a->kind == b->kind && expr(a->lo, b->lo) && expr(a->hi, b->hi), a, b);
}

static bool binders(const Binder *a, const Binder *b)
{
    LISTS(a->name == b->name && expr(a->extent, b->extent), a, b);
}

static bool expr(const Expr *a, const Expr *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind || a->depth != b->depth)
        return false;
    switch (a->kind) {
    case EX_INT:
        return a->i == b->i;
    case EX_FLOAT:
        return !(a->f < b->f) && !(a->f > b->f);
    case EX_BOOL:
        return a->b == b->b;
    case EX_STRING:
    case EX_NAME:
        return a->name.id == b->name.id;
    case EX_CALL:
        return a->call.fn.id == b->call.fn.id && args(a->call.args, b->call.args) &&
               names(a->call.label, b->call.label);
    case EX_UNARY:
    case EX_TRANSPOSE:
    case EX_PAREN:
        return a->un.op == b->un.op && expr(a->un.x, b->un.x);
    case EX_BINARY:
        return a->bin.op == b->bin.op && expr(a->bin.x, b->bin.x) && expr(a->bin.y, b->bin.y);
    case EX_INDEX:
        return expr(a->index.x, b->index.x) && indexes(a->index.ix, b->index.ix);
    case EX_TUPLE:
    case EX_LIST:
        return exprs(a->list, b->list);
    case EX_TABLE:
        return expr(a->table.body, b->table.body) && binders(a->table.binders, b->table.binders);
    case EX_IF:
        return expr(a->cond.c, b->cond.c) && expr(a->cond.x, b->cond.x) && expr(a->cond.y, b->cond.y);
    case EX_POISON:
        return true;
    }
    return false;
}

static bool exprs(const Expr *a, const Expr *b)
{
    LISTS(expr(a, b), a, b);
}

static bool dims(const Dim *a, const Dim *b)
{
    LISTS(a->run.id == b->run.id && expr(a->extent, b->extent), a, b);
}

static bool types(const TypeExpr *a, const TypeExpr *b)
{
    LISTS(a->name.id == b->name.id && a->shaped == b->shaped && dims(a->dims, b->dims) && types(a->parts, b->parts), a,
          b);
}

static bool attributes(const Attribute *a, const Attribute *b)
{
    LISTS(a->name.id == b->name.id && a->parens == b->parens && a->starts_group == b->starts_group &&
              args(a->args, b->args),
          a, b);
}

static bool generics(const Generic *a, const Generic *b)
{
    LISTS(a->name == b->name && a->run == b->run, a, b);
}

static bool params(const FnParam *a, const FnParam *b)
{
    LISTS(a->name.id == b->name.id && types(a->type, b->type) && expr(a->init, b->init), a, b);
}

static bool decls(const Decl *a, const Decl *b)
{
    return a->name.id == b->name.id && types(a->type, b->type) && expr(a->init, b->init);
}

static bool stmt(const Stmt *a, const Stmt *b)
{
    if (a->kind != b->kind || !attributes(a->attrs, b->attrs))
        return false;
    switch (a->kind) {
    case ST_PARAM:
    case ST_STATE:
    case ST_CONST:
        return decls(&a->decl, &b->decl);
    case ST_BIND:
        return a->bind.tuple == b->bind.tuple && names(a->bind.names, b->bind.names) &&
               expr(a->bind.value, b->bind.value);
    case ST_UPDATE:
        return a->update.name.id == b->update.name.id && expr(a->update.value, b->update.value);
    case ST_REPEAT:
        return names(a->repeat.path, b->repeat.path) && a->repeat.index.id == b->repeat.index.id &&
               expr(a->repeat.lo, b->repeat.lo) && expr(a->repeat.hi, b->repeat.hi) &&
               stmts(a->repeat.body, b->repeat.body);
    case ST_BLOCK:
        return stmts(a->block.body, b->block.body);
    case ST_IF:
        return expr(a->cond.c, b->cond.c) && a->cond.has_else == b->cond.has_else &&
               stmts(a->cond.then, b->cond.then) && stmts(a->cond.other, b->cond.other);
    case ST_RETURN:
        return expr(a->value, b->value);
    case ST_ASSERT:
        return expr(a->assertion.cond, b->assertion.cond) && expr(a->assertion.text, b->assertion.text);
    }
    return false;
}

static bool stmts(const Stmt *a, const Stmt *b)
{
    LISTS(stmt(a, b), a, b);
}

static bool keys(const TrainKey *a, const TrainKey *b)
{
    LISTS(a->key.id == b->key.id && expr(a->value, b->value), a, b);
}

static bool fns(const FnDef *a, const FnDef *b)
{
    return a->name.id == b->name.id && a->braces == b->braces && generics(a->generics, b->generics) &&
           params(a->params, b->params) && types(a->result, b->result) && stmts(a->body, b->body) &&
           expr(a->value, b->value);
}

static bool items(const Item *a, const Item *b);

static bool item(const Item *a, const Item *b)
{
    if (a->kind != b->kind || !attributes(a->attrs, b->attrs))
        return false;
    switch (a->kind) {
    case IT_USE:
        return a->use.path == b->use.path;
    case IT_CONFIG:
    case IT_CONST:
    case IT_PARAM:
        return decls(&a->decl, &b->decl);
    case IT_ASSERT:
        return expr(a->assertion.cond, b->assertion.cond) && expr(a->assertion.text, b->assertion.text);
    case IT_FN:
    case IT_BLOCK:
    case IT_ENTRY:
        return fns(a->fn, b->fn);
    case IT_MODEL:
        return a->model.name.id == b->model.name.id && items(a->model.members, b->model.members);
    case IT_TRAIN:
        return a->train.entry.id == b->train.entry.id && keys(a->train.keys, b->train.keys);
    }
    return false;
}

static bool items(const Item *a, const Item *b)
{
    LISTS(item(a, b), a, b);
}

bool ast_equal(const File *a, const File *b)
{
    return items(a->items, b->items);
}

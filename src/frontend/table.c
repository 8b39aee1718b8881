/* table.c: [e for i in n, t in m]: constant tables, computed in fp64.
 *
 * A mask of 1024 x 1024 has a million elements, so the element expression is first compiled into a small typed tree
 * (every name already looked up, every int-to-float step explicit) and the tree is run. Tables are kept by expression
 * and the values of the names in it: twelve layers asking for the same mask get the same one.
 *
 * An element type is real if any branch can give a float, i32 if all are ints, bool for conditions. A table of ints is
 * real where numbers are wanted and i32 where indices are. */
#include "frontend/table.h"

#include <string.h>

typedef struct {
    StrId name;
    TNode *node;
} TName;
enum { MAX_TNAMES = 64, MAX_KEYS = 32 };

typedef struct {
    Elab *e;
    TName name[MAX_TNAMES];
    uint32_t names;
    StrId used[MAX_KEYS]; /* free names, with their values: the key of the table */
    Value key[MAX_KEYS];
    uint32_t keys;
    bool open; /* too many names to be a key */
    uint32_t depth;
} Compile;

static TNode *compile(Compile *c, const Expr *x);

static TNode *tnode(Compile *c, TOp op, ValueKind kind, const Expr *x, TNode *a, TNode *b)
{
    TNode *n = NEW(c->e->a, TNode);
    n->op = op;
    n->kind = kind;
    n->x = x;
    n->a = a;
    n->b = b;
    return n;
}

static TNode *to_float(Compile *c, TNode *n)
{
    if (n->kind != V_INT)
        return n;
    if (n->op == T_CONST) {
        TNode *f = tnode(c, T_CONST, V_FLOAT, n->x, NULL, NULL);
        f->value.f = (double)n->value.i;
        return f;
    }
    return tnode(c, T_FLOAT, V_FLOAT, n->x, n, NULL);
}

static TNode *constant(Compile *c, const Expr *x, Value v)
{
    if (v.kind != V_INT && v.kind != V_FLOAT && v.kind != V_BOOL) {
        if (!is_poison(v))
            elab_error(c->e, "E0307", x->at, "an element of a table is made of numbers, and this is %s",
                       kind_text(c->e, v));
        return NULL;
    }
    TNode *n = tnode(c, T_CONST, v.kind, x, NULL, NULL);
    if (v.kind == V_INT)
        n->value.i = v.i;
    else if (v.kind == V_FLOAT)
        n->value.f = v.f;
    else
        n->value.b = v.b;
    return n;
}

static Value free_name(Compile *c, const Expr *x)
{
    Value v = eval_name(c->e, x);
    if (c->keys == MAX_KEYS) {
        c->open = true;
        return v;
    }
    c->used[c->keys] = x->name.id;
    c->key[c->keys++] = v;
    return v;
}

static TNode *compile_name(Compile *c, const Expr *x)
{
    for (uint32_t i = c->names; i-- > 0;)
        if (c->name[i].name == x->name.id)
            return c->name[i].node;
    return constant(c, x, free_name(c, x));
}

static TNode *wrong(Compile *c, const Expr *x, const char *what)
{
    elab_error(c->e, "E0307", x->at, "%s inside a table", what);
    return NULL;
}

static TNode *arith(Compile *c, TOp op, const Expr *x, TNode *a, TNode *b)
{
    if (a->kind == V_BOOL || b->kind == V_BOOL)
        return wrong(c, x, "arithmetic on truth values");
    if (a->kind != b->kind) {
        a = to_float(c, a);
        b = to_float(c, b);
    }
    return tnode(c, op, a->kind, x, a, b);
}

static TNode *compile_binary(Compile *c, const Expr *x)
{
    static const TOp ops[] = {
        [BIN_ADD] = T_ADD, [BIN_SUB] = T_SUB, [BIN_MUL] = T_MUL, [BIN_DIV] = T_DIV, [BIN_MOD] = T_MOD,
        [BIN_POW] = T_POW, [BIN_EQ] = T_EQ,   [BIN_NE] = T_NE,   [BIN_LT] = T_LT,   [BIN_GT] = T_GT,
        [BIN_LE] = T_LE,   [BIN_GE] = T_GE,   [BIN_AND] = T_AND, [BIN_OR] = T_OR,
    };
    BinOp op = x->bin.op;
    if (op == BIN_MATMUL)
        return wrong(c, x, "a matrix product");
    TNode *a = compile(c, x->bin.x), *b = compile(c, x->bin.y);
    if (!a || !b)
        return NULL;
    if (op == BIN_AND || op == BIN_OR)
        return a->kind == V_BOOL && b->kind == V_BOOL ? tnode(c, ops[op], V_BOOL, x, a, b)
                                                      : wrong(c, x, "'and' or 'or' of numbers");
    if (op == BIN_POW && b->kind == V_INT && !(b->op == T_CONST && b->value.i >= 0))
        b = to_float(c, b); /* the sign of the exponent decides the type, so only a constant one keeps ints */
    TNode *n = arith(c, ops[op], x, a, b);
    if (n && op == BIN_MOD && n->kind == V_FLOAT)
        return wrong(c, x, "'%' of floats");
    if (n && op >= BIN_EQ)
        n->kind = V_BOOL;
    return n;
}

static TNode *compile_user_call(Compile *c, const Expr *x, const Symbol *s)
{
    const FnDef *f = s->item->fn;
    TNode *arg[MAX_TNAMES];
    uint32_t n = 0, base = c->names, depth = c->depth;
    if (!f->value || f->generics || s->kind != SYM_FN)
        return wrong(c, x, "a call of a function that is not a plain expression of numbers");
    const FnParam *p = f->params;
    for (const Arg *a = x->call.args; a; a = a->next, p = p->next) {
        if (!p || (a->name && a->name != p->name.id) || n + base == MAX_TNAMES)
            return wrong(c, x, "a call whose arguments do not follow the declaration");
        if (!(arg[n] = compile(c, a->value)))
            return NULL;
        const char *type = str(c->e, p->type->name.id);
        if (strcmp(type, "float") == 0)
            arg[n] = to_float(c, arg[n]);
        if (arg[n]->kind != (strcmp(type, "float") == 0 ? V_FLOAT : strcmp(type, "int") == 0 ? V_INT : V_BOOL))
            return wrong(c, x, "a call whose arguments have other types than declared");
        n++;
    }
    if (p)
        return wrong(c, x, "a call without all its arguments");
    if (++c->depth > MAX_TNAMES) {
        elab_error(c->e, "E0308", x->at, "'%s' calls itself", str(c->e, f->name.id));
        return NULL;
    }
    /* only the callee's names: hide those in scope by looking up from a clean slate */
    TName saved[MAX_TNAMES];
    memcpy(saved, c->name, sizeof saved);
    c->names = 0;
    p = f->params;
    for (uint32_t i = 0; i < n; i++, p = p->next)
        c->name[c->names++] = (TName){p->name.id, arg[i]};
    Frame *frame = c->e->frame;
    c->e->frame = NULL;
    TNode *r = compile(c, f->value);
    c->e->frame = frame;
    memcpy(c->name, saved, sizeof saved);
    c->names = base;
    c->depth = depth;
    return r && strcmp(str(c->e, f->result->name.id), "float") == 0 ? to_float(c, r) : r;
}

static TNode *compile_call(Compile *c, const Expr *x)
{
    static const struct {
        const char *name;
        StaticFn fn;
    } fns[] = {
        {"sqrt", SF_SQRT}, {"exp", SF_EXP},   {"log", SF_LOG},         {"sin", SF_SIN},
        {"cos", SF_COS},   {"tanh", SF_TANH}, {"sigmoid", SF_SIGMOID}, {"rsqrt", SF_RSQRT},
    };
    static const struct {
        const char *name;
        TOp op;
        uint32_t args;
    } ops[] = {
        {"min", T_MIN, 2}, {"max", T_MAX, 2}, {"abs", T_ABS, 1}, {"div", T_FLOOR_DIV, 2}, {"ceil_div", T_CEIL_DIV, 2},
    };
    const char *name = str(c->e, x->call.fn.id);
    const Symbol *s = find_symbol(c->e, x->call.fn.id);
    if (s && (s->kind == SYM_FN || s->kind == SYM_BLOCK))
        return compile_user_call(c, x, s);
    uint32_t n = 0;
    TNode *arg[2] = {NULL, NULL};
    for (const Arg *a = x->call.args; a; a = a->next, n++) {
        TNode *v = compile(c, a->value);
        if (!v)
            return NULL;
        if (n < 2)
            arg[n] = v;
    }
    for (uint32_t i = 0; i < COUNT(fns); i++)
        if (strcmp(fns[i].name, name) == 0 && n == 1 && arg[0]->kind != V_BOOL) {
            TNode *t = tnode(c, T_FN, V_FLOAT, x, to_float(c, arg[0]), NULL);
            t->fn = fns[i].fn;
            return t;
        }
    for (uint32_t i = 0; i < COUNT(ops); i++)
        if (strcmp(ops[i].name, name) == 0 && n == ops[i].args) {
            if (ops[i].op == T_FLOOR_DIV || ops[i].op == T_CEIL_DIV)
                return arg[0]->kind == V_INT && arg[1]->kind == V_INT ? tnode(c, ops[i].op, V_INT, x, arg[0], arg[1])
                                                                      : wrong(c, x, "a rounded division of floats");
            return n == 2 ? arith(c, ops[i].op, x, arg[0], arg[1]) : tnode(c, ops[i].op, arg[0]->kind, x, arg[0], NULL);
        }
    if (!is_builtin(name) && !s) {
        unknown_name(c->e, x->call.fn, true);
        return NULL;
    }
    return wrong(c, x, arena_printf(c->e->a, "this call of '%s'", name));
}

static TNode *compile_if(Compile *c, const Expr *x)
{
    TNode *k = compile(c, x->cond.c), *a = compile(c, x->cond.x), *b = compile(c, x->cond.y);
    if (!k || !a || !b)
        return NULL;
    if (k->kind != V_BOOL)
        return wrong(c, x->cond.c, "a condition that is a number");
    if (a->kind != b->kind) {
        if (a->kind == V_BOOL || b->kind == V_BOOL)
            return wrong(c, x, "a choice between a number and a truth value");
        a = to_float(c, a);
        b = to_float(c, b);
    }
    TNode *n = tnode(c, T_IF, a->kind, x, a, b);
    n->c = k;
    return n;
}

/* list[i] */
static TNode *compile_index(Compile *c, const Expr *x)
{
    if (x->index.x->kind != EX_NAME || !x->index.ix || x->index.ix->next || x->index.ix->kind != IX_AT)
        return wrong(c, x, "an index that is not list[i]");
    Value v = free_name(c, x->index.x);
    TNode *i = compile(c, x->index.ix->lo);
    if (!i || is_poison(v))
        return NULL;
    if (v.kind != V_LIST || i->kind != V_INT)
        return wrong(c, x, "an index that is not list[i]");
    TNode *n = tnode(c, T_PICK, V_INT, x, i, NULL);
    n->list = v;
    for (uint32_t k = 0; k < v.seq.n; k++) {
        if (!is_static_number(v.seq.item[k]))
            return wrong(c, x, "a list of other things than numbers");
        if (v.seq.item[k].kind == V_FLOAT)
            n->kind = V_FLOAT;
    }
    return n;
}

static TNode *compile_expr(Compile *c, const Expr *x)
{
    TNode *a;
    switch (x->kind) {
    case EX_INT:
        return constant(c, x, v_int(x->i));
    case EX_FLOAT:
        return constant(c, x, v_float(x->f));
    case EX_BOOL:
        return constant(c, x, v_bool(x->b));
    case EX_NAME:
        return compile_name(c, x);
    case EX_PAREN:
        return compile(c, x->un.x);
    case EX_UNARY:
        if (!(a = compile(c, x->un.x)))
            return NULL;
        if ((x->un.op == UN_NOT) != (a->kind == V_BOOL))
            return wrong(c, x, x->un.op == UN_NOT ? "'not' of a number" : "'-' of a truth value");
        return tnode(c, x->un.op == UN_NOT ? T_NOT : T_NEG, a->kind, x, a, NULL);
    case EX_BINARY:
        return compile_binary(c, x);
    case EX_CALL:
        return compile_call(c, x);
    case EX_IF:
        return compile_if(c, x);
    case EX_INDEX:
        return compile_index(c, x);
    case EX_POISON:
        return NULL;
    case EX_STRING:
    case EX_TRANSPOSE:
    case EX_TUPLE:
    case EX_LIST:
    case EX_TABLE:
        break;
    }
    return wrong(c, x, "a value that is not a number");
}

static TNode *compile(Compile *c, const Expr *x)
{
    if (c->e->expr_depth > MAX_EXPR_DEPTH) {
        elab_error(c->e, "E0308", x->at, "expressions nested more than %d deep", MAX_EXPR_DEPTH);
        return NULL;
    }
    c->e->expr_depth++;
    TNode *n = compile_expr(c, x);
    c->e->expr_depth--;
    return n;
}

/* ---- the table ---- */

static bool fill(Elab *e, const Expr *x, const TNode *body, TableData *t)
{
    TRun r = {.bad = NULL};
    int64_t n = shape_numel(t->shape);
    t->data = NEW_N(e->a, double, (size_t)n);
    for (int64_t k = 0; k < n && !r.bad; k++) {
        Num v = table_run(&r, body);
        t->data[k] = body->kind == V_INT ? (double)v.i : body->kind == V_FLOAT ? v.f : v.b ? 1 : 0;
        if (r.bad)
            break;
        for (uint32_t i = t->shape.rank; i-- > 0;) { /* the last binder runs fastest */
            if (++r.slot[i] < t->shape.dim[i])
                break;
            r.slot[i] = 0;
        }
    }
    if (!r.bad)
        return true;
    Buf at = {0};
    uint32_t i = 0;
    for (const Binder *b = x->table.binders; b; b = b->next, i++)
        buf_printf(&at, "%s%s = %lld", i ? ", " : "", str(e, b->name), (long long)r.slot[i]);
    elab_error(e, "E0307", r.bad->x->at, "'%s' %s at %s", source_text(e, r.bad->x->at), r.why, at.data);
    buf_free(&at);
    return false;
}

static TableData *known_table(Elab *e, const Expr *x, const Compile *c, Shape s)
{
    for (uint32_t i = 0; i < e->knowns && !c->open; i++) {
        const KnownTable *k = &e->known[i];
        if (k->table != x || k->keys != c->keys || !shape_equal(k->data->shape, s))
            continue;
        bool same = true;
        for (uint32_t j = 0; j < c->keys; j++)
            same &= static_equal(k->key[j], c->key[j]);
        if (same)
            return k->data;
    }
    return NULL;
}

Value eval_table(Elab *e, const Expr *x)
{
    Compile c = {.e = e};
    Shape s = {0};
    double size = 1;
    for (const Binder *b = x->table.binders; b; b = b->next) {
        int64_t n;
        if (!want_int(e, b->extent, &n, "the extent of a table"))
            return v_poison;
        size *= (double)n;
        if (n < 1 || s.rank == MAX_BINDERS || size > MAX_TABLE) {
            Diag *d = elab_error(e, "E0307", b->extent->at, "a table of this size: %lld along '%s'", (long long)n,
                                 str(e, b->name));
            diag_help(d, "a table has at most %d axes, each of at least 1, and %lld elements", MAX_BINDERS,
                      (long long)MAX_TABLE);
            note_names(e, d, b->extent, NULL);
            return v_poison;
        }
        TNode *slot = tnode(&c, T_SLOT, V_INT, NULL, NULL, NULL);
        slot->slot = s.rank;
        c.name[c.names++] = (TName){b->name, slot};
        s.dim[s.rank++] = (int32_t)n;
    }
    TNode *body = compile(&c, x->table.body);
    if (!body)
        return v_poison;
    TableData *t = known_table(e, x, &c, s);
    if (!t) {
        body = table_once(e->a, body, s);
        t = NEW(e->a, TableData);
        t->shape = s;
        t->dtype = body->kind == V_INT ? DT_I32 : body->kind == V_BOOL ? DT_BOOL : DT_REAL;
        t->name = e->frame ? e->frame->fn->name.id : 0;
        if (!fill(e, x, body, t))
            return v_poison;
        Value *key = NEW_N(e->a, Value, c.keys);
        if (c.keys)
            memcpy(key, c.key, c.keys * sizeof *key);
        GROW(e->a, e->known, e->knowns, e->knowns_cap);
        e->known[e->knowns++] = (KnownTable){x, key, c.open ? UINT32_MAX : c.keys, t};
    }
    return (Value){.kind = V_TABLE, .table = t};
}

uint32_t table_id(Elab *e, TableData *t, DType dtype)
{
    if (!t->id[dtype])
        t->id[dtype] = module_add_table(e->m, dtype, t->shape, t->data, t->name);
    return t->id[dtype];
}

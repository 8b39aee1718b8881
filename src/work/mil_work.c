/* mil_work.c: how much work a MIL program is.
 *
 * Counted from the text alone, by its declared types: products are flops; what is no product, no view and no constant reads
 * its operands and writes its results (bytes that stay on the chip). Taking the input apart and putting the output together
 * is what the surfaces' bytes stand for, and is not counted again. Weight files are counted once each. */
#include "work/mil_work.h"

#include "mil/mil_ast.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    StrId       name;
    MilType     type;
    bool        constant, input;
    bool        yes;    /* a constant that is true */
    uint64_t    file;   /* bytes of its weight file; 0: none */
} Known;

typedef struct {
    Arena    *a;
    Interner *names;
    Known    *known;
    uint32_t  count, cap;
    uint32_t *slot; /* by name, 1 + index */
    uint32_t  slots;
    Work     *work;
    uint64_t *params;
    IsParam  *is_param;
    const void *ctx;
    int64_t  *heads;
    OpCount  *op;
    uint32_t  ops, ops_cap;
} Count;

static Known *find(Count *c, StrId name)
{
    return name < c->slots && c->slot[name] ? &c->known[c->slot[name] - 1] : NULL;
}

static Known *define(Count *c, const AstParam *p)
{
    if (p->name >= c->slots) {
        uint32_t  n = p->name * 2 + 64;
        uint32_t *slot = NEW_N(c->a, uint32_t, n);
        if (c->slots)
            memcpy(slot, c->slot, c->slots * sizeof *slot);
        c->slot = slot;
        c->slots = n;
    }
    GROW(c->a, c->known, c->count, c->cap);
    c->known[c->count] = (Known){.name = p->name, .type = p->type->type};
    c->slot[p->name] = ++c->count;
    return &c->known[c->count - 1];
}

static uint64_t elements(const MilType *t)
{
    return type_valid(t) ? (uint64_t)type_elems(t) : 0;
}

static uint64_t bytes(const MilType *t)
{
    return t->dtype < DT_COUNT ? (elements(t) * dtype_info[t->dtype].bits + 7) / 8 : 0;
}

static const AstArg *arg(const Count *c, const AstArgs *args, const char *name)
{
    for (const AstArg *x = args->first; x; x = x->next)
        if (strcmp(interned(c->names, x->name), name) == 0)
            return x;
    return NULL;
}

/* The value a named argument refers to, or NULL. */
static Known *operand(Count *c, const AstStmt *s, const char *name)
{
    const AstArg *x = arg(c, &s->args, name);
    return x && x->value->kind == AST_NAME ? find(c, x->value->u.name) : NULL;
}

static bool flag(Count *c, const AstStmt *s, const char *name)
{
    const AstArg   *x = arg(c, &s->args, name);
    const AstValue *v = x ? x->value : NULL;
    if (v && v->kind == AST_TYPED)
        v = v->u.typed.value;
    if (v && v->kind == AST_BOOL)
        return v->u.b;
    const Known *k = operand(c, s, name);
    return k && k->yes;
}

static int64_t last(const MilType *t, uint32_t from_end)
{
    return t->rank > from_end ? t->dim[t->rank - 1 - from_end] : 1;
}

/* ---- constants ---- */

static void constant(Count *c, const AstStmt *s)
{
    if (!s->results.first)
        return;
    Known          *k = define(c, s->results.first);
    const AstArg   *val = arg(c, &s->args, "val");
    const AstValue *v = val ? val->value : NULL;
    if (!v) /* the printer of the engine's own tools writes it as an attribute */
        v = (val = arg(c, &s->attributes, "val")) ? val->value : NULL;
    k->constant = true;
    if (v && v->kind == AST_TYPED)
        v = v->u.typed.value;
    k->yes = v && v->kind == AST_BOOL && v->u.b;
    if (!v || v->kind != AST_BLOBFILE)
        return;
    uint64_t        n = bytes(&k->type);
    const AstArg   *path = arg(c, &v->u.args, "path");
    const AstValue *p = path ? path->value : NULL;
    if (p && p->kind == AST_TYPED)
        p = p->u.typed.value;
    c->work->weight_bytes += n;
    k->file = n;
    if (p && p->kind == AST_STRING && c->is_param && c->is_param(c->ctx, interned(c->names, p->u.name)))
        *c->params += n;
}

/* ---- operations ---- */

/* Each distinct operand that is computed, and all results. */
static uint64_t touched(Count *c, const AstStmt *s)
{
    uint64_t sum = 0;
    StrId    seen[16];
    uint32_t n = 0;
    for (const AstArg *x = s->args.first; x; x = x->next) {
        const AstValue *v = x->value->kind == AST_TUPLE ? x->value->u.list.first : x->value;
        for (; v; v = x->value->kind == AST_TUPLE ? v->next : NULL) {
            const Known *k = v->kind == AST_NAME ? find(c, v->u.name) : NULL;
            bool         again = false;
            for (uint32_t i = 0; k && i < n; i++)
                again |= seen[i] == k->name;
            if (!k || k->constant || again)
                continue;
            if (n < COUNT(seen))
                seen[n++] = k->name;
            sum += bytes(&k->type);
        }
    }
    for (const AstParam *r = s->results.first; r; r = r->next)
        sum += bytes(&r->type->type);
    return sum;
}

static bool is_view(const char *op)
{
    static const char *const view[] = {"reshape", "expand_dims", "squeeze", "identity", "flatten2d"};
    for (size_t i = 0; i < COUNT(view); i++)
        if (strcmp(op, view[i]) == 0)
            return true;
    return strncmp(op, "constexpr_", 10) == 0;
}

/* Does the statement only take an input apart, or put an output together? */
static bool is_packing(Count *c, const AstFunc *f, const AstStmt *s, const char *op)
{
    if (strncmp(op, "slice_by_", 9) == 0 || strcmp(op, "split") == 0) {
        const Known *x = operand(c, s, "x");
        return x && x->input;
    }
    if (strcmp(op, "concat") != 0)
        return false;
    for (const AstValue *r = f->returns.first; r; r = r->next)
        if (s->results.first && r->u.name == s->results.first->name)
            return true;
    return false;
}

static void product(Count *c, const AstStmt *s, const char *op)
{
    const MilType *y = &s->results.first->type->type;
    if (strcmp(op, "matmul") == 0) {
        const Known *x = operand(c, s, "x");
        int64_t      k = x ? last(&x->type, flag(c, s, "transpose_x")) : 1;
        c->work->matmul_flops += 2 * elements(y) * (uint64_t)k;
        return;
    }
    Known *w = operand(c, s, "weight");
    if (!w || !w->type.rank || !elements(&w->type))
        return;
    uint64_t out = (uint64_t)w->type.dim[0], in = elements(&w->type) / out;
    *(w->constant ? &c->work->conv_flops : &c->work->matmul_flops) += 2 * elements(y) * in;
    if (work_notched(out, in))
        c->work->notch_bytes += w->file;
    w->file = 0; /* it streams once, however often it is used */
}

static void statement(Count *c, const AstFunc *f, const AstStmt *s)
{
    const char *op = interned(c->names, s->op);
    if (strcmp(op, "const") == 0) {
        constant(c, s);
        return;
    }
    if (s->results.first) {
        if (strcmp(op, "conv") == 0 || strcmp(op, "matmul") == 0 || strcmp(op, "linear") == 0)
            product(c, s, op);
        else if (!is_view(op) && !is_packing(c, f, s, op))
            c->work->inner_bytes += touched(c, s);
        if (strcmp(op, "softmax") == 0 && s->results.first->type->type.rank == 4 && s->results.first->type->type.dim[1] > *c->heads)
            *c->heads = s->results.first->type->type.dim[1];
    }
    uint32_t i = 0;
    while (i < c->ops && strcmp(c->op[i].op, op) != 0)
        i++;
    if (i == c->ops) {
        GROW(c->a, c->op, c->ops, c->ops_cap);
        c->op[c->ops++] = (OpCount){op, 0};
    }
    c->op[i].count++;
    c->work->ops++;
    for (const AstParam *r = s->results.first; r; r = r->next)
        define(c, r);
}

static int by_count(const void *x, const void *y)
{
    const OpCount *a = x, *b = y;
    return a->count != b->count ? (a->count < b->count ? 1 : -1) : strcmp(a->op, b->op);
}

static AstProgram *parse(Count *c, const char *name, const char *text, size_t len, Buf *err)
{
    Sources    *sources = sources_new(c->a);
    Diags      *ds = diags_new(c->a, sources, "anec");
    AstProgram *p = mil_parse(c->a, c->names = interner_new(c->a), ds, sources_add(sources, name, text, len));
    if (p && !ds->errors)
        return p;
    buf_printf(err, "%s is no MIL text (anec lint says why)", name);
    return NULL;
}

static void function(Count *c, const AstFunc *f)
{
    for (const AstParam *x = f->params.first; x; x = x->next)
        define(c, x)->input = true;
    for (const AstStmt *s = f->body.first; s; s = s->next)
        statement(c, f, s);
}

bool mil_work(Arena *a, const char *name, const char *text, size_t len, IsParam *is_param, const void *ctx, Work *work,
              uint64_t *params, OpCount **op, uint32_t *ops, int64_t *heads, Buf *err)
{
    Count       c = {.a = a, .work = work, .params = params, .is_param = is_param, .ctx = ctx, .heads = heads};
    AstProgram *p = parse(&c, name, text, len, err);
    if (!p)
        return false;
    for (const AstFunc *f = p->first; f; f = f->next)
        function(&c, f);
    if (c.ops)
        qsort(c.op, c.ops, sizeof *c.op, by_count);
    *op = c.op;
    *ops = c.ops;
    return true;
}

bool mil_function_work(Arena *a, const char *name, const char *text, size_t len, Work *work, uint32_t functions,
                       Buf *err)
{
    uint64_t    params = 0;
    int64_t     heads = 0;
    Count       c = {.a = a, .params = &params, .heads = &heads};
    AstProgram *p = parse(&c, name, text, len, err);
    uint32_t    i = 0;
    for (const AstFunc *f = p ? p->first : NULL; f && i < functions; f = f->next) {
        Work *w = c.work = &work[i++];
        *w = (Work){0};
        function(&c, f);
        for (const AstParam *x = f->params.first; x; x = x->next)
            w->in_bytes += bytes(&x->type->type);
        for (const AstValue *r = f->returns.first; r; r = r->next) {
            const Known *k = find(&c, r->u.name);
            w->out_bytes += k ? bytes(&k->type) : 0;
        }
    }
    return p != NULL;
}

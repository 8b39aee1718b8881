/* mil_check.c: names, arguments and declared types of MIL text; see mil_check.h.
 *
 * Statements are checked in order, so that a name is defined before it is used. A result always gets its *declared*
 * type, even if its statement is wrong: one mistake is told once. The op's type rule says what the type must be. */
#include "mil/mil_check.h"

#include "base/suggest.h"
#include "mil/mil_ast.h"
#include "mil/mil_const.h"
#include "mil/mil_rules.h"
#include "mil/rules.h"

#include <inttypes.h>
#include <string.h>

/* ---- names ---------------------------------------------------------------------------------------------------- */

Value *mil_value_new(Check *c, const char *name, Span at, MilType type, const Const *k)
{
    Func  *f = c->fn;
    Value *v = NEW(c->keep, Value);
    *v = (Value){.name = name, .at = at, .type = type, .id = f->values, .konst = k};
    GROW(c->keep, f->value, f->values, f->values_cap);
    return f->value[f->values++] = v;
}

static Value *lookup(const Check *c, StrId name)
{
    return name < c->by_name_cap ? c->by_name[name] : NULL;
}

/* A named value; a name taken before is reported and keeps its first meaning. */
static Value *define(Check *c, StrId name, Span at, MilType type, const Const *k)
{
    Value *v = mil_value_new(c, arena_strdup(c->keep, name_of(c, name)), at, type, k), *old = lookup(c, name);
    if (old) {
        Diag *d = diag_error(c->ds, "M0201", at, "'%s' is already defined", v->name);
        diag_note(d, old->at, "first defined");
        diag_help(d, "names are unique in a function: choose another one");
        return v;
    }
    while (name >= c->by_name_cap) {
        uint32_t cap = c->by_name_cap ? c->by_name_cap * 2 : 256;
        Value  **grown = NEW_N(c->ds->arena, Value *, cap);
        if (c->by_name_cap)
            memcpy(grown, c->by_name, c->by_name_cap * sizeof *grown);
        c->by_name = grown;
        c->by_name_cap = cap;
    }
    return c->by_name[name] = v;
}

Value *mil_use(Check *c, Span at, StrId name)
{
    Value *v = lookup(c, name);
    if (v)
        return v->poison ? NULL : v;
    Diag   *d = diag_error(c->ds, "M0202", at, "'%s' is not defined", name_of(c, name));
    Suggest s = {name_of(c, name), NULL, 0};
    for (uint32_t i = 0; i < c->fn->values; i++)
        suggest(&s, c->fn->value[i]->name);
    if (s.best)
        diag_label(d, at, "did you mean '%s'?", s.best);
    else
        diag_label(d, at, "names are defined by an earlier statement of the same function");
    return NULL;
}

/* ---- statements ----------------------------------------------------------------------------------------------- */

static bool declared_type(Check *c, const AstParam *p, MilType *out)
{
    if (type_resolve(c, p->type, out))
        return true;
    *out = (MilType){.dtype = out->dtype};
    return false;
}

static void check_attributes(Check *c, const AstStmt *s)
{
    for (const AstArg *g = s->attributes.first; g; g = g->next) {
        const char *name = name_of(c, g->name);
        if (strcmp(name, "name") != 0 && !(strcmp(name, "val") == 0 && strcmp(name_of(c, s->op), "const") == 0))
            diag_help(diag_error(c->ds, "M0305", g->at, "unknown attribute '%s'", name),
                      "statements take [name = string(\"...\")]");
        for (const AstArg *h = s->attributes.first; h != g; h = h->next)
            if (h->name == g->name)
                diag_error(c->ds, "M0303", g->at, "the attribute '%s' is given twice", name);
        MilType string = {.dtype = DT_STRING};
        if (strcmp(name, "name") == 0)
            const_eval(c, g->value, &string);
    }
}

static void check_const(Check *c, const AstStmt *s)
{
    const AstParam *r = s->results.first;
    const AstValue *value = NULL;
    MilType         t;
    bool            ok = r && declared_type(c, r, &t);
    for (const AstArg *g = s->attributes.first; g; g = g->next)
        if (strcmp(name_of(c, g->name), "val") == 0)
            value = g->value;
    for (const AstArg *g = s->args.first; g; g = g->next)
        if (strcmp(name_of(c, g->name), "val") == 0)
            value = g->value;
    if (!r || s->results.count != 1 || !value) {
        Diag *d = diag_error(c->ds, "M0302", s->op_at, "const() has one result and a value");
        diag_help(d, "write: fp16 k = const()[name = string(\"k\"), val = fp16(0x1p-8)];");
        ok = false;
    }
    const Const *k = ok ? const_eval(c, value, &t) : NULL;
    if (!r)
        return;
    define(c, r->name, r->at, ok ? t : (MilType){0}, k)->poison = !k;
}

static const OpInfo *find_op(const char *name)
{
    for (const OpInfo *op = mil_op_info; op->name; op++)
        if (op->name[0] == name[0] && strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

static const OpInfo *need_op(Check *c, const AstStmt *s)
{
    const char   *name = name_of(c, s->op);
    const OpInfo *op = find_op(name);
    if (op || (c->mode & MIL_FOREIGN))
        return op;
    Diag   *d = diag_error(c->ds, "M0203", s->op_at, "unknown operation '%s'", name);
    Suggest near = {name, NULL, 0};
    for (const OpInfo *o = mil_op_info; o->name; o++)
        suggest(&near, o->name);
    if (near.best)
        diag_label(d, s->op_at, "did you mean '%s'?", near.best);
    else
        diag_help(d, "docs/mil.md lists the operations the host device knows");
    return NULL;
}

static void compare_types(Check *c, const Call *call, const AstStmt *s)
{
    uint32_t i = 0;
    for (const AstParam *r = s->results.first; r; r = r->next, i++) {
        if (mil_type_equal(&call->type[i], &call->result[i]->type))
            continue;
        Arena *a = c->ds->arena;
        Diag *d = diag_error(c->ds, "M0405", r->type->at, "'%s' is declared %s, but '%s' gives %s", name_of(c, r->name),
                             mil_type_text(a, &call->result[i]->type), call->op->name,
                             mil_type_text(a, &call->type[i]));
        diag_label(d, r->type->at, "expected %s", mil_type_text(a, &call->type[i]));
        for (uint32_t k = 0; k < CALL_ARGS; k++)
            if (call->arg[k] && call->arg[k]->name[0] && (!call->arg[k]->konst || call->arg[k]->type.rank > 1))
                diag_note(d, call->arg[k]->at, "'%s' is %s", call->arg[k]->name, mil_type_text(a, &call->arg[k]->type));
        return;
    }
}

/* Text that coremltools writes gives `constexpr_` operations their data as attributes, like the value of const():
 * w = constexpr_affine_dequantize()[axis = int32(0), name = string("w"), quantized_data = ...]. */
static AstStmt attributes_as_arguments(Check *c, const AstStmt *s)
{
    AstStmt out = *s;
    out.args = out.attributes = (AstArgs){0};
    for (const AstArg *g = s->attributes.first; g; g = g->next) {
        AstArg *copy = NEW(c->ds->arena, AstArg);
        *copy = (AstArg){g->name, g->at, g->value, NULL};
        if (strcmp(name_of(c, g->name), "name") == 0)
            AST_APPEND(out.attributes, copy);
        else
            AST_APPEND(out.args, copy);
    }
    return out;
}

/* The names that an argument mentions must be defined, whatever the operation does with them. */
static bool uses_defined(Check *c, const AstValue *v)
{
    bool ok = true;
    if (v->kind == AST_NAME)
        return mil_use(c, v->at, v->u.name) != NULL;
    if (v->kind == AST_LIST || v->kind == AST_TUPLE)
        for (const AstValue *e = v->u.list.first; e; e = e->next)
            ok &= uses_defined(c, e);
    return ok;
}

static bool bind_foreign(Check *c, const AstStmt *s)
{
    bool ok = true;
    for (const AstArg *g = s->args.first; g; g = g->next)
        ok &= uses_defined(c, g->value);
    return ok;
}

static void check_stmt(Check *c, const AstStmt *s)
{
    AstStmt rewritten;
    if (s->args.count == 0 && strncmp(name_of(c, s->op), "constexpr_", 10) == 0) {
        rewritten = attributes_as_arguments(c, s);
        s = &rewritten;
    }
    const OpInfo *op = strcmp(name_of(c, s->op), "const") == 0 ? NULL : need_op(c, s);
    bool          foreign = !op && (c->mode & MIL_FOREIGN);
    if (!foreign || strcmp(name_of(c, s->op), "const") == 0)
        check_attributes(c, s);
    if (strcmp(name_of(c, s->op), "const") == 0) {
        check_const(c, s);
        return;
    }
    Call *call = NEW(c->keep, Call);
    call->op = op;
    call->name = arena_strdup(c->keep, name_of(c, s->op));
    call->at = s->op_at;
    bool ok = op ? bind_arguments(c, call, s) : foreign && bind_foreign(c, s);
    if (ok && op && s->results.count == 0) {
        diag_error(c->ds, "M0302", s->op_at, "'%s' needs a result: write 'type name = %s(...)'", op->name, op->name);
        ok = false;
    }
    if (ok && op && s->results.count > 1 && op->type != rule_split) {
        diag_error(c->ds, "M0302", s->op_at, "'%s' has one result, not %u", op->name, s->results.count);
        ok = false;
    }
    call->results = s->results.count;
    call->result = NEW_N(c->keep, Value *, s->results.count + 1);
    call->type = NEW_N(c->keep, MilType, s->results.count + 1);
    /* The rule sees the call before its results are defined: `x = f(x)` is an undefined name. */
    ok = ok && (foreign || op->type(c, call));
    uint32_t i = 0;
    for (const AstParam *r = s->results.first; r; r = r->next) {
        MilType t;
        bool    good = declared_type(c, r, &t);
        call->result[i] = define(c, r->name, r->at, t, NULL);
        call->result[i++]->poison = !good;
        ok &= good;
    }
    uint32_t before = c->ds->errors;
    if (ok && op)
        compare_types(c, call, s);
    call->ok = ok && c->ds->errors == before;
    GROW(c->keep, c->fn->call, c->fn->calls, c->fn->calls_cap);
    c->fn->call[c->fn->calls++] = call;
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

static bool crosses(DType t)
{
    return t == DT_F16 || t == DT_F32 || t == DT_I32 || t == DT_I8 || t == DT_U8 || t == DT_I16 || t == DT_U16 ||
           t == DT_BOOL;
}

static void check_params(Check *c, const AstFunc *f)
{
    c->fn->input = NEW_N(c->keep, Value *, f->params.count + 1);
    for (const AstParam *p = f->params.first; p; p = p->next) {
        MilType t;
        if (declared_type(c, p, &t) && !crosses(t.dtype))
            diag_error(c->ds, "M0406", p->type->at, "%s cannot be an input", dtype_info[t.dtype].name);
        c->fn->input[c->fn->inputs++] = define(c, p->name, p->at, t, NULL);
    }
}

static void check_returns(Check *c, const AstFunc *f)
{
    Func *fn = c->fn;
    fn->output = NEW_N(c->keep, Value *, f->returns.count + 1);
    if (f->returns.count == 0)
        diag_error(c->ds, "M0204", f->at, "'%s' returns nothing", fn->name);
    for (const AstValue *r = f->returns.first; r; r = r->next) {
        Value *v = mil_use(c, r->at, r->u.name);
        if (!v)
            continue;
        const char *why = v->konst ? "a constant" : NULL;
        for (uint32_t i = 0; i < fn->inputs; i++)
            why = fn->input[i] == v ? "an input" : why;
        if (why) {
            Diag *d = diag_error(c->ds, "M0204", r->at, "'%s' is %s, it cannot be returned directly", v->name, why);
            diag_help(d, "return identity(x = %s) of it", v->name);
        }
        for (uint32_t i = 0; i < fn->outputs; i++)
            if (fn->output[i] == v)
                diag_error(c->ds, "M0204", r->at, "'%s' is returned twice", v->name);
        if (!crosses(v->type.dtype))
            diag_error(c->ds, "M0406", r->at, "'%s' is %s, which cannot be an output", v->name,
                       dtype_info[v->type.dtype].name);
        fn->output[fn->outputs++] = v;
    }
}

static Func *check_function(Check *c, const AstFunc *f)
{
    Func *fn = NEW(c->keep, Func);
    fn->name = arena_strdup(c->keep, name_of(c, f->name));
    c->fn = fn;
    c->by_name = NULL;
    c->by_name_cap = 0;
    if (strcmp(name_of(c, f->opset), "ios18") != 0)
        diag_help(diag_error(c->ds, "M0107", f->opset_at, "unknown operation set '%s'", name_of(c, f->opset)),
                  "write <ios18>");
    check_params(c, f);
    for (const AstStmt *s = f->body.first; s; s = s->next)
        check_stmt(c, s);
    check_returns(c, f);
    return fn;
}

bool mil_read(Arena *keep, Diags *ds, uint32_t source, const MilFile *file, uint32_t files, unsigned mode, MilUnit *out)
{
    uint32_t    before = ds->errors;
    Interner   *names = interner_new(ds->arena);
    AstProgram *p = mil_parse(ds->arena, names, ds, source);
    *out = (MilUnit){.ast = p, .names = names};
    if (!p)
        return false;
    Check c = {.keep = keep, .ds = ds, .names = names, .file = file, .files = files, .mode = mode};
    if (p->version != 1.3)
        diag_help(diag_error(ds, "M0107", p->version_at, "unknown program version"), "write program(1.3)");
    if (p->functions > MIL_FUNCTIONS_MAX) {
        diag_error(ds, "M0106", p->first->at, "a program has at most %d functions", MIL_FUNCTIONS_MAX);
        return false;
    }
    out->fn = NEW_N(keep, Func, p->functions);
    for (const AstFunc *f = p->first; f; f = f->next) {
        for (const AstFunc *g = p->first; g != f; g = g->next)
            if (g->name == f->name)
                diag_note(diag_error(ds, "M0201", f->at, "a second function '%s'", name_of(&c, f->name)), g->at,
                          "the first is");
        out->fn[out->fns++] = *check_function(&c, f);
    }
    return ds->errors == before;
}

bool mil_check(Arena *keep, Diags *ds, uint32_t source, const MilFile *file, uint32_t files, Func **out,
               uint32_t *count)
{
    MilUnit u;
    bool    ok = mil_read(keep, ds, source, file, files, MIL_EXECUTE, &u);
    *out = u.fn;
    *count = u.fns;
    return ok;
}

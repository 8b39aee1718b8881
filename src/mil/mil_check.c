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

static const char *name_of(const Check *c, StrId id)
{
    return interned(c->names, id);
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static Value *value_new(Check *c, const char *name, Span at, MilType type, const Const *k)
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
    Value *v = value_new(c, arena_strdup(c->keep, name_of(c, name)), at, type, k), *old = lookup(c, name);
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

static Value *use(Check *c, Span at, StrId name)
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

/* ---- arguments ------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    size_t      len;
    char        kind;
    bool        optional;
} Param;

/* Read one "name:kind?" from the argument list of an op; false at its end. */
static bool next_param(const char **spec, Param *p)
{
    const char *s = *spec;
    s += *s == ' ';
    if (!*s)
        return false;
    p->name = s;
    p->len = strcspn(s, ":");
    p->kind = s[p->len + 1];
    s += p->len + 2;
    p->optional = *s == '?';
    *spec = s + p->optional;
    return true;
}

static int param_index(const OpInfo *op, const char *name, Param *out)
{
    const char *spec = op->args;
    size_t      len = strlen(name);
    for (int i = 0; next_param(&spec, out); i++)
        if (out->len == len && memcmp(out->name, name, len) == 0)
            return i;
    return -1;
}

Value *arg(const Call *call, const char *name)
{
    Param p;
    int   i = param_index(call->op, name, &p);
    if (i < 0)
        bug("%s has no argument %s", call->op->name, name);
    return call->arg[i];
}

Span arg_place(const Call *call, const char *name)
{
    Param p;
    int   i = param_index(call->op, name, &p);
    return i >= 0 && call->arg_at[i].file ? call->arg_at[i] : call->at;
}

static const char *kind_text(char kind)
{
    switch (kind) {
    case 'c':
        return "a constant tensor";
    case 'v':
        return "a list of tensors in parentheses";
    case 'i':
        return "a constant int32";
    case 'I':
        return "a constant list of int32";
    case 'b':
        return "a constant bool";
    case 'B':
        return "a constant list of bool";
    case 's':
        return "a constant string";
    case 'f':
        return "a constant fp16 or fp32 number";
    default:
        return "a tensor";
    }
}

static bool kind_accepts(char kind, const Value *v)
{
    const MilType *t = &v->type;
    if (kind != 't' && !v->konst)
        return false;
    switch (kind) {
    case 'i':
        return t->dtype == DT_I32 && t->rank == 0;
    case 'I':
        return t->dtype == DT_I32 && t->rank == 1;
    case 'b':
        return t->dtype == DT_BOOL && t->rank == 0;
    case 'B':
        return t->dtype == DT_BOOL && t->rank == 1;
    case 's':
        return t->dtype == DT_STRING;
    case 'f':
        return dtype_is_float(t->dtype) && t->rank == 0;
    default:
        return t->dtype != DT_STRING && t->dtype != DT_U64;
    }
}

/* The type a literal without a written type has as an argument of this kind; false if it needs one. */
static bool bare_type(const AstValue *v, char kind, const MilType *like, MilType *out)
{
    *out = (MilType){0};
    switch (kind) {
    case 'i':
    case 'I':
        out->dtype = DT_I32;
        break;
    case 'b':
    case 'B':
        out->dtype = DT_BOOL;
        break;
    case 's':
        out->dtype = DT_STRING;
        break;
    case 'f':
        out->dtype = like && dtype_is_float(like->dtype) ? like->dtype : DT_F16;
        break;
    default:
        if (v->kind == AST_BOOL)
            out->dtype = DT_BOOL;
        else if (like && (v->kind == AST_INT || v->kind == AST_FLOAT))
            out->dtype = like->dtype;
        else
            return false;
    }
    if (v->kind == AST_LIST && (kind == 'I' || kind == 'B') && v->u.list.count > 0) {
        out->rank = 1;
        out->dim[0] = v->u.list.count;
    }
    return true;
}

static Value *resolve(Check *c, const AstValue *v, char kind, const MilType *like)
{
    MilType t;
    if (v->kind == AST_NAME)
        return use(c, v->at, v->u.name);
    if (v->kind == AST_TYPED) {
        if (!type_resolve(c, v->u.typed.type, &t))
            return NULL;
    } else if (v->kind == AST_TUPLE || v->kind == AST_DICT || v->kind == AST_BLOBFILE ||
               !bare_type(v, kind, like, &t)) {
        Diag *d = diag_error(c->ds, "M0304", v->at, "expected %s", kind_text(kind));
        diag_help(d, "write the type in front, as in fp16(0x1p-1), or name a constant");
        return NULL;
    }
    const Const *k = const_eval(c, v, &t);
    return k ? value_new(c, "", v->at, t, k) : NULL;
}

static bool resolve_tuple(Check *c, Call *call, const AstValue *v)
{
    if (v->kind != AST_TUPLE || v->u.list.count == 0 || v->u.list.count > CALL_TUPLE_MAX) {
        diag_error(c->ds, "M0304", v->at, "expected %s, one to %d of them", kind_text('v'), CALL_TUPLE_MAX);
        return false;
    }
    call->tuple = NEW_N(c->keep, Value *, v->u.list.count);
    for (const AstValue *e = v->u.list.first; e; e = e->next) {
        Value *x = resolve(c, e, 't', NULL);
        if (!x)
            return false;
        if (!kind_accepts('t', x)) {
            diag_error(c->ds, "M0304", e->at, "expected %s, found %s", kind_text('t'),
                       mil_type_text(c->ds->arena, &x->type));
            return false;
        }
        call->tuple[call->tuples++] = x;
    }
    return true;
}

static bool unknown_argument(Check *c, const Call *call, const AstArg *g)
{
    Diag       *d = diag_error(c->ds, "M0301", g->at, "'%s' has no argument '%s'", call->op->name, name_of(c, g->name));
    Suggest     s = {name_of(c, g->name), NULL, 0};
    Buf         known = {0};
    const char *spec = call->op->args;
    for (Param p; next_param(&spec, &p);) {
        buf_printf(&known, "%s%.*s", known.len ? ", " : "", (int)p.len, p.name);
        suggest(&s, arena_strndup(c->ds->arena, p.name, p.len));
    }
    if (s.best)
        diag_label(d, g->at, "did you mean '%s'?", s.best);
    diag_help(d, "its arguments are: %s", known.data);
    buf_free(&known);
    return false;
}

static bool missing_arguments(Check *c, const Call *call)
{
    const char *spec = call->op->args;
    bool        ok = true;
    Param       p;
    for (int i = 0; next_param(&spec, &p); i++) {
        bool given = p.kind == 'v' ? call->tuples > 0 : call->arg[i] != NULL;
        if (given || p.optional)
            continue;
        Diag *d =
            diag_error(c->ds, "M0302", call->at, "'%s' needs the argument '%.*s'", call->op->name, (int)p.len, p.name);
        diag_label(d, call->at, "expected %s", kind_text(p.kind));
        ok = false;
    }
    return ok;
}

/* Two rounds: bare numbers take the element type of the first tensor argument, which may come later. */
static bool bind_arguments(Check *c, Call *call, const AstStmt *s)
{
    bool           ok = true;
    const MilType *like = NULL;
    for (int round = 0; round < 2 && ok; round++)
        for (const AstArg *g = s->args.first; g; g = g->next) {
            Param p;
            int   i = param_index(call->op, name_of(c, g->name), &p);
            bool  bare = g->value->kind == AST_INT || g->value->kind == AST_FLOAT;
            if (bare != (round == 1))
                continue;
            if (i < 0) {
                ok = unknown_argument(c, call, g);
                continue;
            }
            if (call->arg_at[i].file) {
                Diag *d = diag_error(c->ds, "M0303", g->at, "the argument '%s' is given twice", name_of(c, g->name));
                diag_note(d, call->arg_at[i], "first given");
                ok = false;
                continue;
            }
            call->arg_at[i] = g->value->at;
            if (p.kind == 'v') {
                ok &= resolve_tuple(c, call, g->value);
                continue;
            }
            Value *v = resolve(c, g->value, p.kind, like);
            if (!v) {
                ok = false;
                continue;
            }
            if (!kind_accepts(p.kind, v)) {
                Diag *d =
                    diag_error(c->ds, "M0304", g->value->at, "'%s' of '%s' is %s, expected %s", name_of(c, g->name),
                               call->op->name, mil_type_text(c->ds->arena, &v->type), kind_text(p.kind));
                if (!v->konst && p.kind != 't')
                    diag_label(d, g->value->at, "known at run time only");
                ok = false;
                continue;
            }
            if ((p.kind == 't' || p.kind == 'c') && (!like || dtype_is_float(v->type.dtype)))
                like = like && dtype_is_float(like->dtype) ? like : &v->type;
            call->arg[i] = v;
        }
    return ok && missing_arguments(c, call);
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
    if (op)
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

static void check_stmt(Check *c, const AstStmt *s)
{
    AstStmt rewritten;
    if (s->args.count == 0 && strncmp(name_of(c, s->op), "constexpr_", 10) == 0) {
        rewritten = attributes_as_arguments(c, s);
        s = &rewritten;
    }
    check_attributes(c, s);
    if (strcmp(name_of(c, s->op), "const") == 0) {
        check_const(c, s);
        return;
    }
    const OpInfo *op = need_op(c, s);
    Call         *call = NEW(c->keep, Call);
    bool          ok = op != NULL;
    call->op = op;
    call->at = s->op_at;
    ok = ok && bind_arguments(c, call, s);
    if (ok && s->results.count == 0) {
        diag_error(c->ds, "M0302", s->op_at, "'%s' needs a result: write 'type name = %s(...)'", op->name, op->name);
        ok = false;
    }
    if (ok && s->results.count > 1 && op->type != rule_split) {
        diag_error(c->ds, "M0302", s->op_at, "'%s' has one result, not %u", op->name, s->results.count);
        ok = false;
    }
    call->results = s->results.count;
    call->result = NEW_N(c->keep, Value *, s->results.count + 1);
    call->type = NEW_N(c->keep, MilType, s->results.count + 1);
    /* The rule sees the call before its results are defined: `x = f(x)` is an undefined name. */
    ok = ok && op->type(c, call);
    uint32_t i = 0;
    for (const AstParam *r = s->results.first; r; r = r->next) {
        MilType t;
        bool    good = declared_type(c, r, &t);
        call->result[i] = define(c, r->name, r->at, t, NULL);
        call->result[i++]->poison = !good;
        ok &= good;
    }
    if (ok)
        compare_types(c, call, s);
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
        Value *v = use(c, r->at, r->u.name);
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

bool mil_check(Arena *keep, Diags *ds, uint32_t source, const MilFile *file, uint32_t files, Func **out,
               uint32_t *count)
{
    Interner   *names = interner_new(ds->arena);
    AstProgram *p = mil_parse(ds->arena, names, ds, source);
    if (!p)
        return false;
    Check c = {.keep = keep, .ds = ds, .names = names, .file = file, .files = files};
    if (p->version != 1.3)
        diag_help(diag_error(ds, "M0107", p->version_at, "unknown program version"), "write program(1.3)");
    if (p->functions > MIL_FUNCTIONS_MAX) {
        diag_error(ds, "M0106", p->first->at, "a program has at most %d functions", MIL_FUNCTIONS_MAX);
        return false;
    }
    Func *list = NEW_N(keep, Func, p->functions);
    *count = 0;
    for (const AstFunc *f = p->first; f; f = f->next) {
        for (const AstFunc *g = p->first; g != f; g = g->next)
            if (g->name == f->name)
                diag_note(diag_error(ds, "M0201", f->at, "a second function '%s'", name_of(&c, f->name)), g->at,
                          "the first is");
        list[(*count)++] = *check_function(&c, f);
    }
    *out = list;
    return ds->errors == 0;
}

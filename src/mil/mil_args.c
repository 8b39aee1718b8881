/* mil_args.c: arguments of calls: bound to the parameters of the operation's row in mil_ops.def, kinds checked. */
#include "mil/mil_const.h"
#include "mil/mil_rules.h"

#include "base/suggest.h"

#include <string.h>

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
    if (kind != 't' && kind != 'c' && v->konst->unread) /* its value decides a type */
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
        return mil_use(c, v->at, v->u.name);
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
    return k ? mil_value_new(c, "", v->at, t, k) : NULL;
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
bool bind_arguments(Check *c, Call *call, const AstStmt *s)
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

/* scope.c: names.
 *
 * Files and the model share one namespace of symbols: configs, consts, functions, blocks, model-level params. Inside a
 * call a name is looked up among the variables of its frame first, the latest binding winning, then among the symbols;
 * never in the caller. Consts are evaluated when first asked for, so their order does not matter. */
#include "frontend/elab.h"

#include <string.h>

static const char *const sym_kind[] = {"config", "const", "function", "block", "param"};

Symbol *find_symbol(Elab *e, StrId name)
{
    return name < e->sym_of_cap && e->sym_of[name] ? &e->sym[e->sym_of[name] - 1] : NULL;
}

bool declare(Elab *e, SymKind kind, Name name, const Item *item, const Item *model)
{
    if (is_builtin(str(e, name.id))) {
        elab_error(e, "E0203", name.at, "'%s' is a builtin function; choose another name", str(e, name.id));
        return false;
    }
    const Symbol *old = find_symbol(e, name.id);
    if (old) {
        Diag *d = elab_error(e, "E0203", name.at, "'%s' is declared twice", str(e, name.id));
        diag_note(d, old->at, "the %s '%s' is declared", sym_kind[old->kind], str(e, name.id));
        return false;
    }
    if (name.id >= e->sym_of_cap) {
        uint32_t cap = name.id * 2 + 64;
        uint32_t *p = NEW_N(e->a, uint32_t, cap);
        if (e->sym_of_cap)
            memcpy(p, e->sym_of, e->sym_of_cap * sizeof *p);
        e->sym_of = p;
        e->sym_of_cap = cap;
    }
    GROW(e->a, e->sym, e->syms, e->syms_cap);
    e->sym[e->syms] = (Symbol){.kind = kind, .name = name.id, .item = item, .at = name.at, .model = model};
    e->sym_of[name.id] = ++e->syms;
    return true;
}

Var *find_var(Elab *e, StrId name)
{
    if (e->frame)
        for (uint32_t i = e->frame->vars; i-- > 0;)
            if (e->frame->var[i].name == name)
                return &e->frame->var[i];
    return NULL;
}

Var *new_var(Elab *e, VarKind kind, StrId name, Value v, Span at)
{
    Frame *f = e->frame;
    GROW(e->a, f->var, f->vars, f->vars_cap);
    f->var[f->vars] = (Var){.name = name, .kind = kind, .value = v, .at = at};
    return &f->var[f->vars++];
}

Var *bind_var(Elab *e, VarKind kind, StrId name, Value v, Span at)
{
    Var *old = find_var(e, name);
    if (!old)
        return new_var(e, kind, name, v, at);
    old->kind = kind;
    old->value = v;
    old->at = at;
    old->type = NULL;
    return old;
}

void unknown_name(Elab *e, Name n, bool function)
{
    Suggest s = {.word = str(e, n.id)};
    if (!function && e->frame)
        for (uint32_t i = e->frame->vars; i-- > 0;)
            suggest(&s, str(e, e->frame->var[i].name));
    for (uint32_t i = 0; i < e->syms; i++)
        if (function == (e->sym[i].kind == SYM_FN || e->sym[i].kind == SYM_BLOCK))
            suggest(&s, str(e, e->sym[i].name));
    if (function)
        suggest_builtins(&s);
    Diag *d = elab_error(e, function ? "E0205" : "E0204", n.at, "unknown %s '%s'", function ? "function" : "name",
                         str(e, n.id));
    if (s.best)
        diag_label(d, n.at, "did you mean '%s'?", s.best);
}

Value eval_name(Elab *e, const Expr *x)
{
    const Var *v = find_var(e, x->name.id);
    if (v)
        return v->value;
    Symbol *s = find_symbol(e, x->name.id);
    if (!s) {
        unknown_name(e, x->name, false);
        return v_poison;
    }
    switch (s->kind) {
    case SYM_CONFIG:
    case SYM_CONST:
        return symbol_value(e, s);
    case SYM_PARAM:
        if (!e->b) {
            elab_error(e, "E0305", x->at, "param '%s' has no value at compile time", str(e, s->name));
            return v_poison;
        }
        if (e->b->kind == BUILD_CALL) {
            elab_error(e, "E0511", x->at,
                       "a function with an adjoint may not use the param '%s': pass it as an argument",
                       str(e, s->name));
            return v_poison;
        }
        if (s->status != SYM_DONE)
            return v_poison; /* its declaration was wrong */
        return tensor(e, leaf_node(e, false, s->param, s->name));
    case SYM_FN:
    case SYM_BLOCK:
        break;
    }
    Diag *d = elab_error(e, "E0207", x->at, "'%s' is a %s, not a value", str(e, s->name), sym_kind[s->kind]);
    diag_help(d, "call it: %s(...)", str(e, s->name));
    return v_poison;
}

const char *origin_text(Elab *e, StrId name)
{
    Buf b = {0};
    const Var *v = find_var(e, name);
    const char *text;
    if (v) {
        if (v->value.kind < V_INT || v->value.kind > V_LIST || v->value.kind == V_STR)
            return NULL;
        static_print(e, v->value, &b);
        if (v->kind == VAR_GENERIC && v->from)
            buf_printf(&b, " from %s: %s (%s)", str(e, v->from), type_text(e->a, v->from_type),
                       place_text(e, v->from_at));
        else if (v->kind == VAR_ARG)
            buf_printf(&b, " from the argument at %s", place_text(e, v->at));
        else if (v->kind == VAR_DEFAULT)
            buf_printf(&b, " by default at %s", place_text(e, v->at));
        else
            buf_printf(&b, " from %s", place_text(e, v->at));
    } else {
        Symbol *s = find_symbol(e, name);
        if (!s || (s->kind != SYM_CONFIG && s->kind != SYM_CONST) || s->status != SYM_DONE || !is_static(s->value) ||
            s->value.kind == V_TABLE || s->value.kind == V_STR)
            return NULL;
        static_print(e, s->value, &b);
        buf_printf(&b, " from %s", s->origin ? s->origin : place_text(e, s->at));
    }
    text = arena_strndup(e->a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* ---- configs and -D ---- */

/* The text after '=' is a static expression; for a str it may also stand there without quotes. */
static Value override_value(Elab *e, const Override *o, ValueKind want)
{
    if (want == V_STR && o->value[0] != '"')
        return (Value){.kind = V_STR, .s = intern(e->strings, o->value)};
    const char *shown = arena_printf(e->a, "-D %s", o->name);
    uint32_t file = sources_add(e->sources, shown, o->value, strlen(o->value));
    const Expr *x = parse_expr(e->a, e->strings, e->sources, file, e->ds);
    return x ? eval(e, x) : v_poison;
}

static void unknown_config(Elab *e, const Override *o)
{
    Suggest s = {.word = o->name};
    Buf all = {0};
    for (uint32_t i = 0; i < e->syms; i++)
        if (e->sym[i].kind == SYM_CONFIG) {
            suggest(&s, str(e, e->sym[i].name));
            buf_printf(&all, "%s%s", all.len ? ", " : "", str(e, e->sym[i].name));
        }
    Diag *d = s.best ? elab_error(e, "E0302", (Span){0}, "-D %s: the model has no config '%s' (did you mean '%s'?)",
                                  o->name, o->name, s.best)
                     : elab_error(e, "E0302", (Span){0}, "-D %s: the model has no config '%s'", o->name, o->name);
    if (all.len)
        diag_note(d, (Span){0}, "configs are %s", all.data);
    else
        diag_note(d, (Span){0}, "the model has no configs");
    buf_free(&all);
}

/* The type of a config is the one declared, or that of its default; an override must have it. */
static Value config_value(Elab *e, Symbol *s)
{
    const Override *o = NULL; /* the last -D wins */
    for (uint32_t k = 0; k < e->opt->overrides; k++)
        if (strcmp(e->opt->override[k].name, str(e, s->name)) == 0)
            o = &e->opt->override[k];
    s->origin = o ? o->origin : NULL;
    const Decl *decl = &s->item->decl;
    const char *what = arena_printf(e->a, "config '%s'", str(e, s->name));
    Declared want = {0};
    Value v = eval(e, decl->init);
    if (is_poison(v))
        return v;
    if (v.kind < V_INT || v.kind > V_STR) {
        elab_error(e, "E0306", decl->init->at, "%s is %s: an int, float, bool or str is needed", what, kind_text(e, v));
        return v_poison;
    }
    want.kind = v.kind;
    if (decl->type) {
        if (!eval_type(e, decl->type, &want))
            return v_poison;
        v = convert_value(e, v, want, decl->init->at, what);
    }
    if (!o || is_poison(v))
        return v;
    Value over = override_value(e, o, want.kind);
    if (is_poison(over))
        return over;
    if (over.kind != want.kind && !(want.kind == V_FLOAT && over.kind == V_INT)) {
        static const char *const name[] = {
            [V_INT] = "an int", [V_FLOAT] = "a float", [V_BOOL] = "a bool", [V_STR] = "a str"};
        Diag *d = elab_error(e, "E0303", (Span){0}, "-D %s=%s: the config is %s, and this is %s", o->name, o->value,
                             want.kind <= V_STR ? name[want.kind] : "of another kind", kind_text(e, over));
        diag_note(d, s->at, "config '%s' is declared", str(e, s->name));
        return v_poison;
    }
    return convert_value(e, over, want, s->at, what);
}

static Value const_value(Elab *e, const Symbol *s)
{
    const Decl *decl = &s->item->decl;
    Value v = eval(e, decl->init);
    Declared want;
    if (v.kind == V_TENSOR || v.kind == V_TUPLE) {
        elab_error(e, "E0305", decl->init->at, "a const is computed at compile time, and this is %s", kind_text(e, v));
        v = v_poison;
    }
    if (decl->type && !is_poison(v)) {
        if (!eval_type(e, decl->type, &want))
            v = v_poison;
        else if (v.kind != V_TABLE || want.kind != V_TENSOR)
            v = convert_value(e, v, want, decl->init->at, arena_printf(e->a, "const '%s'", str(e, s->name)));
        else if (!shape_equal(want.type.shape, v.table->shape)) {
            elab_error(e, "E0411", decl->init->at, "const '%s' is declared %s, but the table is %s", str(e, s->name),
                       type_text(e->a, want.type), kind_text(e, v));
            v = v_poison;
        }
    }
    if (v.kind == V_TABLE && !v.table->name)
        v.table->name = s->name;
    return v;
}

/* Consts and configs are computed when first asked for, outside every call: no frame, no graph. */
Value symbol_value(Elab *e, Symbol *s)
{
    if (s->status == SYM_DONE)
        return s->value;
    if (s->status == SYM_BUSY) {
        elab_error(e, "E0206", s->at, "'%s' depends on itself", str(e, s->name));
        return v_poison;
    }
    Frame *frame = e->frame;
    Builder *b = e->b;
    e->frame = NULL;
    e->b = NULL;
    s->status = SYM_BUSY;
    s->value = s->kind == SYM_CONFIG ? config_value(e, s) : const_value(e, s);
    s->status = SYM_DONE;
    e->frame = frame;
    e->b = b;
    return s->value;
}

bool bind_configs(Elab *e)
{
    uint32_t errors = e->ds->errors;
    for (uint32_t k = 0; k < e->opt->overrides; k++) {
        const Override *o = &e->opt->override[k];
        const Symbol *s = find_symbol(e, intern(e->strings, o->name));
        if (!s || s->kind != SYM_CONFIG)
            unknown_config(e, o);
    }
    for (uint32_t i = 0; i < e->syms; i++) {
        if (e->sym[i].kind != SYM_CONFIG)
            continue;
        Value v = symbol_value(e, &e->sym[i]);
        Buf b = {0};
        static_print(e, v, &b);
        Module *m = e->m;
        GROW(e->a, m->config, m->configs, m->configs_cap);
        m->config[m->configs++] =
            (Config){e->sym[i].name, intern_n(e->strings, b.data ? b.data : "", b.len), e->sym[i].origin != NULL};
        buf_free(&b);
    }
    return e->ds->errors == errors;
}

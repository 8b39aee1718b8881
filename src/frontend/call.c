/* call.c: calls of functions and blocks: arguments, instantiation, labels.
 *
 * A call is run by inlining: its nodes go into the caller's graph. Only functions with an adjoint of their own become a
 * graph apart (adjoint.c). A label after `as` extends the path of the parameters born below. */
#include "frontend/elab.h"

#include <string.h>

/* ---- arguments ---- */

static uint32_t count_params(const FnDef *f)
{
    uint32_t n = 0;
    for (const FnParam *p = f->params; p; p = p->next)
        n++;
    return n;
}

static const char *param_name(Elab *e, const FnDef *f, uint32_t k)
{
    const FnParam *p = f->params;
    for (; k > 0; k--)
        p = p->next;
    return str(e, p->name.id);
}

static void declared_here(Elab *e, Diag *d, const FnDef *f)
{
    diag_note(d, f->at, "'%s' is declared", source_text(e, f->at));
}

/* Sort and evaluate the arguments in the caller's frame. */
static bool read_args(Elab *e, const Expr *x, const FnDef *f, ArgValue *arg)
{
    uint32_t n = count_params(f), next = 0;
    bool ok = true, misnamed = false;
    for (const Arg *a = x->call.args; a; a = a->next) {
        uint32_t k = next;
        if (a->name) {
            Suggest s = {.word = str(e, a->name)};
            k = 0;
            for (const FnParam *p = f->params; p && p->name.id != a->name; p = p->next, k++)
                suggest(&s, str(e, p->name.id));
            if (k == n) {
                Diag *d = elab_error(e, "E0401", a->name_at, "'%s' has no argument '%s'", str(e, f->name.id),
                                     str(e, a->name));
                if (s.best)
                    diag_label(d, a->name_at, "did you mean '%s'?", s.best);
                declared_here(e, d, f);
                ok = false;
                misnamed = true;
                continue;
            }
        } else if (next++ >= n) {
            Diag *d = elab_error(e, "E0401", a->value->at, "too many arguments: '%s' takes %u", str(e, f->name.id), n);
            declared_here(e, d, f);
            return false;
        }
        if (arg[k].x) {
            elab_error(e, "E0401", a->value->at, "argument '%s' of '%s' is given twice", param_name(e, f, k),
                       str(e, f->name.id));
            ok = false;
        }
        arg[k] = (ArgValue){eval(e, a->value), a->value, a->value->at};
        ok &= !is_poison(arg[k].v);
    }
    uint32_t k = 0;
    for (const FnParam *p = f->params; p; p = p->next, k++)
        if (!arg[k].x && !p->init && !misnamed) {
            Diag *d =
                elab_error(e, "E0401", x->at, "'%s' lacks its argument '%s'", str(e, f->name.id), str(e, p->name.id));
            declared_here(e, d, f);
            ok = false;
        }
    return ok;
}

/* ---- instantiation ---- */

static const char *argument_text(Elab *e, const FnDef *f, const FnParam *p)
{
    return arena_printf(e->a, "argument '%s' of '%s'", str(e, p->name.id), str(e, f->name.id));
}

/* Arguments mostly have their type; only others need their description. */
static Value convert_argument(Elab *e, const FnParam *p, const ArgValue *a, Declared want)
{
    return has_type(e, a->v, want) ? a->v : convert_value(e, a->v, want, a->at, argument_text(e, e->frame->fn, p));
}

/* A tensor parameter: element type now, shape by matching. */
static bool bind_tensor(Elab *e, const FnParam *p, ArgValue *a)
{
    const FnDef *f = e->frame->fn;
    const char *name = str(e, p->type->name.id);
    DType dtype;
    bool token;
    Declared want = {.kind = V_TENSOR};
    if (!p->type->shaped || !dtype_by_name(name, &dtype, &token)) {
        eval_type(e, p->type, &want); /* says what is wrong */
        return false;
    }
    want.type.dtype = dtype;
    if (is_static_number(a->v)) {
        if (p->type->dims) {
            Diag *d = elab_error(e, "E0402", a->at, "%s is declared %s, and this is %s", argument_text(e, f, p),
                                 source_text(e, p->type->at), kind_text(e, a->v));
            diag_help(d, "broadcast(x, [..]) makes a tensor of one number");
            return false;
        }
        a->v = convert_argument(e, p, a, want);
        return !is_poison(a->v);
    }
    if (!is_tensor(a->v)) {
        elab_error(e, "E0402", a->at, "%s is declared %s, and this is %s", argument_text(e, f, p),
                   source_text(e, p->type->at), kind_text(e, a->v));
        return false;
    }
    want.type.shape = tensor_type(e, a->v).shape;
    a->v = convert_argument(e, p, a, want); /* the element type; the shape is its own */
    return !is_poison(a->v) && bind_generics(e, p, p->type, tensor_type(e, a->v), a->at, a->x);
}

static bool is_tensor_type(const Elab *e, const TypeExpr *t)
{
    DType d;
    return t->shaped || !t->name.id || (dtype_by_name(str(e, t->name.id), &d, NULL) && d != DT_BOOL);
}

static bool bind_args(Elab *e, ArgValue *arg)
{
    const FnDef *f = e->frame->fn;
    uint32_t k = 0;
    bool ok = true;
    for (const FnParam *p = f->params; p; p = p->next, k++) {
        ArgValue *a = &arg[k];
        bool by_default = !a->x && is_poison(a->v);
        if (by_default) {
            if (!p->init)
                return false;
            *a = (ArgValue){eval(e, p->init), NULL, p->init->at};
            if (is_poison(a->v))
                return false;
        }
        if (is_tensor_type(e, p->type)) {
            if (!bind_tensor(e, p, a)) {
                ok = false;
                continue;
            }
        } else {
            Declared want;
            if (!eval_type(e, p->type, &want))
                return false;
            a->v = convert_argument(e, p, a, want);
            if (is_poison(a->v)) {
                ok = false;
                continue;
            }
        }
        Var *v = new_var(e, by_default ? VAR_DEFAULT : VAR_ARG, p->name.id, a->v, a->at);
        v->type = p->type;
    }
    if (!ok)
        return false;
    k = 0;
    for (const FnParam *p = f->params; p && ok; p = p->next, k++)
        if (is_tensor(arg[k].v) && !check_dims(e, p, p->type, tensor_type(e, arg[k].v), arg[k].at))
            ok = false;
    for (const Generic *g = f->generics; g && ok; g = g->next)
        if (!find_var(e, g->name)) {
            elab_error(e, "E0415", g->at, "no argument of '%s' fixes the dimension '%s'", str(e, f->name.id),
                       str(e, g->name));
            ok = false;
        }
    return ok;
}

static Value check_result(Elab *e, Frame *f, const TypeExpr *t, Value v)
{
    Declared want;
    if (is_poison(v))
        return v;
    if (t->name.id && !eval_type(e, t, &want))
        return v_poison;
    if (t->name.id && has_type(e, v, want))
        return v;
    const char *what = arena_printf(e->a, "the result of '%s'", str(e, f->fn->name.id));
    if (t->name.id)
        return convert_value(e, v, want, f->result_at, what);
    uint32_t n = 0;
    for (const TypeExpr *p = t->parts; p; p = p->next)
        n++;
    if (v.kind != V_TUPLE || v.seq.n != n) {
        elab_error(e, "E0414", f->result_at, "%s is declared as %u values, and this is %s", what, n, kind_text(e, v));
        return v_poison;
    }
    n = 0;
    Value y = {.kind = V_TUPLE, .seq = {NEW_N(e->a, Value, v.seq.n), v.seq.n}};
    for (const TypeExpr *p = t->parts; p; p = p->next, n++) {
        y.seq.item[n] = eval_type(e, p, &want) ? convert_value(e, v.seq.item[n], want, f->result_at, what) : v_poison;
        if (is_poison(y.seq.item[n]))
            return v_poison;
    }
    return y;
}

/* The body of the frame e->frame, whose names are bound; its result, converted to the declared type. */
Value run_function(Elab *e, Frame *f)
{
    if (f->fn->value) {
        Origin old = origin_enter(e, 0, f->fn->value, f->fn->value->at);
        uint32_t first = e->b ? e->b->g->count : 0;
        f->result = eval(e, f->fn->value);
        origin_result(e, f->result, first, f->fn->value->at);
        origin_leave(e, old);
        f->result_at = f->fn->value->at;
        f->returned = true;
    } else {
        uint32_t errors = e->ds->errors;
        run_body(e, f->fn->body);
        if (!f->returned) {
            if (e->ds->errors == errors)
                elab_error(e, "E0416", f->fn->at, "'%s' ends without 'return'", str(e, f->fn->name.id));
            return v_poison;
        }
    }
    return check_result(e, f, f->fn->result, f->result);
}

static bool too_deep(Elab *e, const FnDef *f, const Expr *x)
{
    for (const Frame *k = e->frame; k; k = k->caller)
        if (k->fn == f) {
            Diag *d = elab_error(e, "E0308", x ? x->at : f->at, "'%s' calls itself", str(e, f->name.id));
            diag_help(d, "functions are instantiated by inlining; 'repeat' repeats");
            return true;
        }
    if (!e->frame || e->frame->depth < MAX_CALL_DEPTH)
        return false;
    elab_error(e, "E0308", x ? x->at : f->at, "calls nested more than %d deep", MAX_CALL_DEPTH);
    return true;
}

Value instantiate(Elab *e, const Symbol *s, ArgValue *arg, const Expr *x)
{
    Frame *caller = e->frame;
    Frame f = {
        .caller = caller, .fn = s->item->fn, .kind = s->kind, .call = x, .depth = caller ? caller->depth + 1 : 0};
    bool share = e->share;
    if (too_deep(e, f.fn, x))
        return v_poison;
    if (x)
        f.call_at = x->at;
    f.shared = share || (caller && caller->shared);
    f.labelled = x && x->call.label;
    f.base = e->like.stmt;
    e->share = false;
    e->frame = &f;
    if (e->spares) { /* a model has thousands of calls: memory for those that are open suffices */
        f.var = e->spare[--e->spares].var;
        f.vars_cap = e->spare[e->spares].cap;
    }
    Value v = bind_args(e, arg) ? run_function(e, &f) : v_poison;
    GROW(e->a, e->spare, e->spares, e->spares_cap);
    e->spare[e->spares++] = (Vars){f.var, f.vars_cap};
    e->frame = caller;
    e->share = share;
    return v;
}

/* ---- labels ---- */

typedef struct {
    Segment *seg;
    uint32_t n, cap;
} SavedPath;

/* A shared call leaves the enclosing repeats out of its path: every iteration means the same parameters. */
static SavedPath enter_path(Elab *e, const Name *label)
{
    SavedPath old = {e->seg, e->segs, e->segs_cap};
    if (e->share) {
        e->seg = NULL;
        e->segs = e->segs_cap = 0;
        for (uint32_t i = 0; i < old.n; i++)
            if (!old.seg[i].is_index && !old.seg[i].is_repeat)
                path_push(e, old.seg[i]);
    }
    for (const Name *n = label; n; n = n->next)
        path_push(e, (Segment){.text = n->id});
    return old;
}

static void leave_path(Elab *e, SavedPath old)
{
    if (e->share) {
        e->seg = old.seg;
        e->segs_cap = old.cap;
    }
    path_set(e, old.n);
}

static Value call_function(Elab *e, const Symbol *s, const Expr *x)
{
    const FnDef *f = s->item->fn;
    uint32_t n = count_params(f), tag = e->like.tag;
    StrId scope = e->like.scope, stmt = e->like.stmt;
    ArgValue *arg = NEW_N(e->a, ArgValue, n);
    if (s->kind == SYM_FN && x->call.label) {
        Diag *d = elab_error(e, "E0501", x->call.label->at, "'%s' is a fn and creates no parameters to label",
                             str(e, f->name.id));
        diag_note(d, s->at, "'%s' is declared", str(e, f->name.id));
        return v_poison;
    }
    if (s->kind == SYM_BLOCK && (!e->frame || e->frame->kind == SYM_FN)) {
        Diag *d =
            elab_error(e, "E0501", x->at, "'%s' is a block: only blocks and entries call blocks", str(e, f->name.id));
        if (e->frame)
            diag_help(d, "declare '%s' as block", str(e, e->frame->fn->name.id));
        return v_poison;
    }
    if (!read_args(e, x, f, arg))
        return v_poison;
    const Attribute *vjp = find_attr(e, s->item->attrs, "vjp");
    if (find_attr(e, s->item->attrs, "composite")) {
        GROW(e->a, e->m->composite, e->m->composites, e->m->composites_cap);
        e->m->composite[e->m->composites] = (Composite){f->name.id};
        e->like.tag = e->m->composites++;
    }
    SavedPath path = enter_path(e, x->call.label);
    e->like.stmt = origin_of_call(e, x, s);
    bool apart = vjp && e->b && e->b->kind != BUILD_CALL;
    Value v = apart ? call_with_adjoint(e, s, vjp, arg, x) : instantiate(e, s, arg, x);
    leave_path(e, path);
    e->like.tag = tag;
    e->like.scope = scope;
    e->like.stmt = stmt;
    return v;
}

Value eval_call(Elab *e, const Expr *x)
{
    StrId name = x->call.fn.id;
    const Symbol *s = find_symbol(e, name);
    if (!s) {
        if (is_builtin(str(e, name)))
            return eval_builtin(e, x);
        unknown_name(e, x->call.fn, true);
        return v_poison;
    }
    if (s->kind != SYM_FN && s->kind != SYM_BLOCK) {
        Diag *d = elab_error(e, "E0207", x->call.fn.at, "'%s' is not a function", str(e, name));
        diag_note(d, s->at, "'%s' is declared", str(e, name));
        return v_poison;
    }
    return call_function(e, s, x);
}

/* params.c: parameters and states: paths, identity, initialisers, attributes.
 *
 * The full path is a parameter's identity across all entries: two declarations with one path mean one parameter and
 * must agree. Within an entry a path is created once, unless the call that leads there is shared. */
#include "frontend/elab.h"

#include <string.h>

/* ---- paths ---- */

void path_push(Elab *e, Segment s)
{
    StrId outer = e->segs ? e->seg[e->segs - 1].scope : 0;
    s.scope = s.is_index ? outer : stmt_join(e, outer, s.text);
    GROW(e->a, e->seg, e->segs, e->segs_cap);
    e->seg[e->segs++] = s;
    e->like.scope = s.scope;
}

void path_set(Elab *e, uint32_t n)
{
    e->segs = n;
    e->like.scope = n ? e->seg[n - 1].scope : 0;
}

/* The path of a parameter born here. */
static StrId path_of(Elab *e, StrId last, bool pattern)
{
    Buf b = {0};
    for (uint32_t i = 0; i < e->segs; i++) {
        buf_puts(&b, pattern && e->seg[i].is_region ? "{L}" : str(e, e->seg[i].text));
        buf_putc(&b, '.');
    }
    buf_puts(&b, str(e, last));
    StrId id = intern_n(e->strings, b.data, b.len);
    buf_free(&b);
    return id;
}

StrId param_path(Elab *e, StrId name)
{
    return path_of(e, name, false);
}

static uint32_t *slot_of(Elab *e, uint32_t **map, uint32_t *cap, StrId path)
{
    if (path >= *cap) {
        uint32_t n = path * 2 + 64;
        uint32_t *p = NEW_N(e->a, uint32_t, n);
        if (*cap)
            memcpy(p, *map, *cap * sizeof *p);
        *map = p;
        *cap = n;
    }
    return &(*map)[path];
}

/* ---- initialisers ---- */

static bool bad_init(Elab *e, const Expr *x)
{
    Diag *d = elab_error(e, "E0504", x->at, "'%s' is no initialiser", source_text(e, x->at));
    diag_help(d, "they are zeros(), ones(), value(x), normal(std), uniform(a, b)");
    return false;
}

static bool read_init(Elab *e, const Expr *x, Init *init)
{
    static const struct {
        const char *name;
        InitKind kind;
        uint32_t args;
    } kinds[] = {
        {"zeros", INIT_ZEROS, 0},   {"ones", INIT_ONES, 0},       {"value", INIT_VALUE, 1},
        {"normal", INIT_NORMAL, 1}, {"uniform", INIT_UNIFORM, 2},
    };
    double v[2] = {0, 0};
    uint32_t n = 0, k = 0;
    while (x->kind == EX_PAREN)
        x = x->un.x;
    if (x->kind == EX_POISON)
        return false;
    if (x->kind != EX_CALL || x->call.label)
        return bad_init(e, x);
    while (k < COUNT(kinds) && strcmp(kinds[k].name, str(e, x->call.fn.id)) != 0)
        k++;
    if (k == COUNT(kinds))
        return bad_init(e, x);
    for (const Arg *a = x->call.args; a; a = a->next, n++)
        if (n >= kinds[k].args || (a->name && kinds[k].args == 2) ||
            !want_float(e, a->value, &v[n], "what an initialiser takes")) {
            if (n >= kinds[k].args)
                elab_error(e, "E0504", x->at, "'%s' takes %u numbers", kinds[k].name, kinds[k].args);
            return false;
        }
    if (n < kinds[k].args) {
        elab_error(e, "E0504", x->at, "'%s' takes %u number%s", kinds[k].name, kinds[k].args,
                   kinds[k].args == 1 ? "" : "s");
        return false;
    }
    *init = (Init){kinds[k].kind, v[0], v[1]};
    return true;
}

/* ---- attributes ---- */

static bool import_rows(Elab *e, const Expr *x, Param *p)
{
    int64_t a, b;
    const Arg *arg = x->call.args;
    if (!arg || !arg->next || arg->next->next) {
        elab_error(e, "E0209", x->at, "rows(a, b) takes the first row and the one after the last");
        return false;
    }
    if (!want_int(e, arg->value, &a, "a row") || !want_int(e, arg->next->value, &b, "a row"))
        return false;
    if (a < 0 || b <= a || b > INT32_MAX) {
        elab_error(e, "E0209", x->at, "rows %lld to %lld", (long long)a, (long long)b);
        return false;
    }
    p->import_rows[0] = (int32_t)a;
    p->import_rows[1] = (int32_t)b;
    return true;
}

/* import("name", transpose, rows(a, b)) */
static void read_import(Elab *e, const Attribute *at, Param *p)
{
    const Arg *a = at->args;
    if (!a || a->value->kind != EX_STRING) {
        Diag *d = elab_error(e, "E0209", at->at, "'import' takes the name in the checkpoint");
        diag_help(d, "write import(\"name\"), import(\"name\", transpose) or import(\"name\", rows(a, b))");
        return;
    }
    const char *name = interpolate(e, a->value->name.id, a->value->at, str(e, p->path));
    if (!name)
        return;
    p->import = intern(e->strings, name);
    for (a = a->next; a; a = a->next) {
        const Expr *x = a->value;
        if (x->kind == EX_NAME && strcmp(str(e, x->name.id), "transpose") == 0)
            p->import_transpose = true;
        else if (x->kind == EX_CALL && strcmp(str(e, x->call.fn.id), "rows") == 0)
            import_rows(e, x, p);
        else
            elab_error(e, "E0209", x->at, "'import' knows 'transpose' and 'rows(a, b)'");
    }
}

static void read_attrs(Elab *e, const Attribute *attrs, Param *p, bool *share)
{
    static const char *const allowed[] = {"import", "nodecay", "lr", "freeze", "merge", "share", NULL};
    p->lr = 1;
    for (const Attribute *at = attrs; at; at = at->next) {
        if (is_attr(e, at, "import")) {
            read_import(e, at, p);
        } else if (is_attr(e, at, "nodecay")) {
            p->nodecay = true;
        } else if (is_attr(e, at, "freeze")) {
            p->frozen = true;
        } else if (is_attr(e, at, "merge")) {
            p->merge_at = at->at;
            if (!at->args || at->args->next || at->args->name)
                elab_error(e, "E0209", at->at, "'merge' takes what the parameter becomes, an expression of parameters");
            else
                p->merge = read_merge(e, at->args->value);
        } else if (is_attr(e, at, "share") && share) {
            *share = true;
        } else if (is_attr(e, at, "lr")) {
            if (!at->args || at->args->next)
                elab_error(e, "E0209", at->at, "'lr' takes the factor on the learning rate");
            else
                want_float(e, at->args->value, &p->lr, "the factor on the learning rate");
        } else {
            bad_attribute(e, at, allowed, "a param");
        }
    }
    p->frozen |= is_chosen_frozen(e, p->path);
    if (p->import)
        return;
    const Attribute *model = e->model ? find_attr(e, e->model->attrs, "import") : NULL;
    if (model)
        read_import(e, model, p);
}

/* ---- parameters ---- */

/* The call that made this parameter: the innermost labelled one, as the user wrote it; else the declaration. */
static Span site_of(Elab *e, Span decl)
{
    const Frame *f = e->frame;
    while (f && !f->labelled)
        f = f->caller;
    Span at = f ? f->call_at : decl;
    for (; f && is_library(e, at) && f->caller; f = f->caller)
        at = f->caller->call_at.file ? f->caller->call_at : at;
    return at;
}

static bool agrees(const Param *a, const Param *b)
{
    return type_equal(a->type, b->type) && a->init.kind == b->init.kind &&
           memcmp(&a->init.a, &b->init.a, sizeof(double)) == 0 && memcmp(&a->init.b, &b->init.b, sizeof(double)) == 0 &&
           a->nodecay == b->nodecay && a->frozen == b->frozen && memcmp(&a->lr, &b->lr, sizeof(double)) == 0 &&
           a->import == b->import && a->import_transpose == b->import_transpose &&
           a->import_rows[0] == b->import_rows[0] && a->import_rows[1] == b->import_rows[1] &&
           merge_equal(a->merge, b->merge);
}

static bool reuse_param(Elab *e, const Param *p, uint32_t i, bool shared, Span site)
{
    const Param *old = &e->m->param[i];
    ParamUse *u = &e->use[i];
    if (u->entry == e->entry && !shared) {
        Diag *d = elab_error(e, "E0502", site, "parameter path '%s' is created twice in entry '%s'", str(e, p->path),
                             str(e, e->b->g->name));
        diag_note(d, u->site, "first created");
        diag_help(d, "give this call another label, or add #[share] to tie the weights");
        return false;
    }
    if (u->entry == 0) {
        Diag *d = elab_error(e, "E0502", site, "parameter path '%s' is that of a param of the model", str(e, p->path));
        diag_note(d, old->at, "the model's param is declared");
        diag_help(d, "give this call another label");
        return false;
    }
    if (!agrees(old, p)) {
        Diag *d = type_equal(old->type, p->type)
                      ? elab_error(e, "E0503", site, "parameter '%s' is declared in two ways", str(e, p->path))
                      : elab_error(e, "E0503", site, "parameter '%s' is %s here and %s elsewhere", str(e, p->path),
                                   type_text(e->a, p->type), type_text(e->a, old->type));
        diag_note(d, u->site, "first created");
        diag_help(d, "shape, initialiser and attributes must be the same in every entry");
        return false;
    }
    u->entry = e->entry;
    u->site = site;
    return true;
}

static bool add_param(Elab *e, Param p, bool shared, Span site, uint32_t *index)
{
    uint32_t *slot = slot_of(e, &e->param_of, &e->param_of_cap, p.path);
    if (*slot) {
        *index = *slot - 1;
        return reuse_param(e, &p, *index, shared, site);
    }
    Module *m = e->m;
    GROW(e->a, m->param, m->params, m->params_cap);
    GROW(e->a, e->use, m->params, e->uses_cap);
    e->use[m->params] = (ParamUse){e->entry, site};
    m->param[m->params] = p;
    *index = m->params++;
    *slot = m->params;
    return true;
}

static bool read_decl(Elab *e, const Decl *decl, const char *what, Type *type, Init *init)
{
    Declared want;
    bool ok = eval_type(e, decl->type, &want);
    if (ok && want.kind != V_TENSOR) {
        elab_error(e, "E0415", decl->type->at, "a %s is a tensor", what);
        ok = false;
    }
    *type = want.type;
    return read_init(e, decl->init, init) && ok;
}

bool declare_model_param(Elab *e, Symbol *s)
{
    const Decl *decl = &s->item->decl;
    Param p = {.path = s->name, .at = decl->name.at};
    if (!read_decl(e, decl, "param", &p.type, &p.init))
        return false;
    if (p.type.dtype == DT_I32 || p.type.dtype == DT_BOOL) {
        elab_error(e, "E0415", decl->type->at, "parameters are real");
        return false;
    }
    read_attrs(e, s->item->attrs, &p, NULL);
    e->entry = 0;
    if (!add_param(e, p, false, p.at, &s->param))
        return false;
    s->status = SYM_DONE;
    return true;
}

static bool may_declare(Elab *e, const Stmt *s, const char *what)
{
    if (e->frame->kind == SYM_BLOCK)
        return true;
    Diag *d = elab_error(e, "E0501", s->at, "a fn is pure and has no %s", what);
    diag_help(d, "declare '%s' as block", str(e, e->frame->fn->name.id));
    new_var(e, VAR_PARAM, s->decl.name.id, v_poison, s->decl.name.at);
    return false;
}

/* The path without the repeats around, for declarations shared by all iterations. */
static uint32_t hide_repeats(Elab *e, Segment **old)
{
    uint32_t n = e->segs, k = 0;
    *old = e->seg;
    e->seg = NEW_N(e->a, Segment, n + 1);
    for (uint32_t i = 0; i < n; i++)
        if (!(*old)[i].is_index && !(*old)[i].is_repeat)
            e->seg[k++] = (*old)[i];
    e->segs = k;
    return n;
}

void run_param(Elab *e, const Stmt *s)
{
    const Decl *decl = &s->decl;
    Param p = {.at = decl->name.at};
    uint32_t index = 0, segs = e->segs;
    bool shared = e->frame->shared, here = false;
    Segment *seg = e->seg;
    if (!may_declare(e, s, "parameters"))
        return;
    bool ok = read_decl(e, decl, "param", &p.type, &p.init);
    if (ok && (p.type.dtype == DT_I32 || p.type.dtype == DT_BOOL)) {
        elab_error(e, "E0415", decl->type->at, "parameters are real");
        ok = false;
    }
    here = find_attr(e, s->attrs, "share") != NULL;
    if (here)
        hide_repeats(e, &seg);
    p.path = path_of(e, decl->name.id, false);
    read_attrs(e, s->attrs, &p, &here);
    ok = ok && add_param(e, p, shared || here, site_of(e, p.at), &index);
    Value v = ok ? tensor(e, leaf_node(e, false, index, path_of(e, decl->name.id, true))) : v_poison;
    e->seg = seg;
    e->segs = segs;
    new_var(e, VAR_PARAM, decl->name.id, v, decl->name.at)->type = decl->type;
}

/* ---- states ---- */

static bool add_state(Elab *e, State s, bool shared, uint32_t *index)
{
    uint32_t *slot = slot_of(e, &e->state_of, &e->state_of_cap, s.path);
    Module *m = e->m;
    if (*slot) {
        const State *old = &m->state[ *index = *slot - 1];
        if (live_state(e->b, *index) && !shared) {
            Diag *d = elab_error(e, "E0502", s.at, "state '%s' is created twice in entry '%s'", str(e, s.path),
                                 str(e, e->b->g->name));
            diag_help(d, "give one of the calls that lead here another label");
            return false;
        }
        if (!type_equal(old->type, s.type) || old->init.kind != s.init.kind || old->init.a < s.init.a ||
            old->init.a > s.init.a) {
            elab_error(e, "E0503", s.at, "state '%s' is %s here and %s elsewhere, or starts in another way",
                       str(e, s.path), type_text(e->a, s.type), type_text(e->a, old->type));
            return false;
        }
        return true;
    }
    GROW(e->a, m->state, m->states, m->states_cap);
    m->state[m->states] = s;
    *index = m->states++;
    *slot = m->states;
    return true;
}

void run_state(Elab *e, const Stmt *s)
{
    static const char *const none[] = {NULL};
    const Decl *decl = &s->decl;
    State st = {.at = decl->name.at, .path = path_of(e, decl->name.id, false)};
    uint32_t index = 0;
    if (!may_declare(e, s, "states"))
        return;
    for (const Attribute *at = s->attrs; at; at = at->next)
        bad_attribute(e, at, none, "a state");
    bool ok = read_decl(e, decl, "state", &st.type, &st.init);
    if (ok && (st.init.kind == INIT_NORMAL || st.init.kind == INIT_UNIFORM)) {
        elab_error(e, "E0504", decl->init->at, "a state starts with zeros(), ones() or value(x)");
        ok = false;
    }
    if (ok && e->b->kind == BUILD_REGION && e->frame->shared) {
        elab_error(e, "E0505", s->at, "a state of a shared call inside a repeat is not supported");
        ok = false;
    }
    ok = ok && add_state(e, st, e->frame->shared, &index);
    Value v = v_poison;
    if (ok) {
        LiveState *live = live_state(e->b, index);
        if (live) {
            v = live->now;
        } else {
            Builder *b = e->b;
            v = tensor(e, leaf_node(e, true, index, path_of(e, decl->name.id, true)));
            GROW(e->a, b->state, b->states, b->states_cap);
            b->state[b->states++] = (LiveState){.leaf = b->g->node[v.t.id].a.leaf.set, .now = v};
        }
    }
    Var *var = new_var(e, VAR_STATE, decl->name.id, v, decl->name.at);
    var->type = decl->type;
    var->state = index;
}

void run_update(Elab *e, const Stmt *s)
{
    Var *var = find_var(e, s->update.name.id);
    uint32_t first = e->b ? e->b->g->count : 0;
    if (!var || var->kind != VAR_STATE) {
        if (!var)
            unknown_name(e, s->update.name, false);
        else
            diag_help(elab_error(e, "E0505", s->update.name.at, "'%s' is not a state", str(e, s->update.name.id)),
                      "write '%s = ...' to bind a name", str(e, s->update.name.id));
        return;
    }
    uint32_t state = var->state;
    bool poisoned = is_poison(var->value);
    Declared want = {.kind = V_TENSOR, .type = e->m->states ? e->m->state[state].type : (Type){DT_NONE, {0}}};
    Origin old = origin_enter(e, s->update.name.id, NULL, s->at);
    Value v = eval(e, s->update.value);
    if (!poisoned)
        v = convert_value(e, v, want, s->update.value->at, arena_printf(e->a, "state '%s'", str(e, s->update.name.id)));
    if (is_tensor(v) || is_static_number(v))
        v = to_tensor(e, v, want.type.dtype, s->at);
    origin_leave(e, old);
    if (v.kind == V_TENSOR && v.t.id >= first && !e->b->g->node[v.t.id].name)
        e->b->g->node[v.t.id].name = s->update.name.id;
    var = find_var(e, s->update.name.id);
    var->value = poisoned ? v_poison : v;
    LiveState *live = poisoned ? NULL : live_state(e->b, state);
    if (live && v.kind == V_TENSOR) {
        live->now = v;
        live->updated = true;
        live->at = s->at;
    }
}

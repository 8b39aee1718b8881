/* stmt.c: statements and the attributes before them.
 *
 * `if` is static and, like a bare block, opens no scope: what the chosen branch binds stays bound. Attributes become a
 * Hint that every node made by the statement carries; inner attributes add to outer ones. */
#include "frontend/elab.h"

#include <string.h>

/* ---- attributes ---- */

bool is_attr(const Elab *e, const Attribute *at, const char *name)
{
    return strcmp(str(e, at->name.id), name) == 0;
}

const Attribute *find_attr(const Elab *e, const Attribute *list, const char *name)
{
    for (; list; list = list->next)
        if (is_attr(e, list, name))
            return list;
    return NULL;
}

/* An attribute that does not belong here; `allowed` ends with NULL. */
void bad_attribute(Elab *e, const Attribute *at, const char *const *allowed, const char *where)
{
    Suggest s = {.word = str(e, at->name.id)};
    Buf all = {0};
    for (uint32_t i = 0; allowed[i]; i++) {
        suggest(&s, allowed[i]);
        buf_printf(&all, "%s%s", i ? ", " : "", allowed[i]);
    }
    Diag *d = elab_error(e, "E0208", at->at, "attribute '%s' does not belong to %s", str(e, at->name.id), where);
    if (s.best)
        diag_label(d, at->name.at, "did you mean '%s'?", s.best);
    if (all.len)
        diag_help(d, "%s takes: %s", where, all.data);
    buf_free(&all);
}

static const Expr *only_arg(Elab *e, const Attribute *at, const char *usage)
{
    if (at->args && !at->args->next && !at->args->name)
        return at->args->value;
    Diag *d = elab_error(e, "E0209", at->at, "attribute '%s' takes one argument", str(e, at->name.id));
    diag_help(d, "write %s", usage);
    return NULL;
}

static bool is_word(const Elab *e, const Expr *x, const char *word)
{
    return x->kind == EX_NAME && strcmp(str(e, x->name.id), word) == 0;
}

static void read_hint(Elab *e, const Attribute *at, Hint *h)
{
    const Expr *x;
    h->at = at->at;
    if (is_attr(e, at, "place")) {
        if (!(x = only_arg(e, at, "place(ane) or place(cpu)")))
            return;
        if (is_word(e, x, "ane"))
            h->place = PLACE_ANE;
        else if (is_word(e, x, "cpu"))
            h->place = PLACE_CPU;
        else
            elab_error(e, "E0209", x->at, "a place is 'ane' or 'cpu'");
    } else if (is_attr(e, at, "group")) {
        if (!(x = only_arg(e, at, "group(\"name\")")))
            return;
        if (x->kind == EX_STRING)
            h->group = x->name.id;
        else
            elab_error(e, "E0209", x->at, "a group is named by a string");
    } else if (is_attr(e, at, "precision")) {
        if (!(x = only_arg(e, at, "precision(f32)")))
            return;
        if (is_word(e, x, "f32"))
            h->f32 = true;
        else
            elab_error(e, "E0209", x->at, "the only precision to ask for is f32");
    } else if (is_attr(e, at, "cut")) {
        h->cut = ++e->cuts;
    } else if (is_attr(e, at, "save")) {
        h->save = true;
    } else {
        h->recompute = true;
    }
}

/* The hint for the nodes below these attributes. save and recompute concern the statement's value alone: they come back
 * in *value. */
static uint32_t enter_hint(Elab *e, const Attribute *attrs, bool region, Hint *value)
{
    static const char *const stmt_attrs[] = {"place", "group", "precision", "save", "recompute", "share", NULL};
    static const char *const region_attrs[] = {"place", "group", "precision", "cut", "share", NULL};
    const char *const *allowed = region ? region_attrs : stmt_attrs;
    uint32_t old = e->like.hint;
    Hint h = e->m->hint[old];
    bool changed = false;
    *value = (Hint){0};
    for (const Attribute *at = attrs; at; at = at->next) {
        uint32_t k = 0;
        while (allowed[k] && !is_attr(e, at, allowed[k]))
            k++;
        if (!allowed[k]) {
            bad_attribute(e, at, allowed, region ? "a region" : "a statement");
        } else if (is_attr(e, at, "share")) {
            e->share = true;
        } else if (is_attr(e, at, "save") || is_attr(e, at, "recompute")) {
            read_hint(e, at, value);
        } else {
            read_hint(e, at, &h);
            changed = true;
        }
    }
    if (changed)
        e->like.hint = module_add_hint(e->m, h);
    return old;
}

/* ---- statements ---- */

/* The statement's variable names the node its value is, unless the node is older than the statement. */
static void name_value(Elab *e, Value v, StrId name, uint32_t first, const Hint *h)
{
    if (v.kind != V_TENSOR || v.t.home != e->b)
        return;
    Node *n = &e->b->g->node[v.t.id];
    if (!n->name && v.t.id >= first) {
        n->name = name;
        n->scope = e->like.scope;
        n->stmt = e->like.stmt;
    }
    if (h->save || h->recompute) {
        Hint k = e->m->hint[n->hint];
        k.save |= h->save;
        k.recompute |= h->recompute;
        k.at = h->at;
        n->hint = module_add_hint(e->m, k);
    }
}

/* `value`: the right side that gave several values, else NULL. */
static void bind_one(Elab *e, const Name *n, Value v, const Expr *value, uint32_t first, const Hint *h)
{
    const Var *old = find_var(e, n->id);
    if (old && old->kind == VAR_STATE) {
        Diag *d = elab_error(e, "E0505", n->at, "'%s' is a state", str(e, n->id));
        diag_help(d, "write '%s <- ...' to store a new value, or bind another name", str(e, n->id));
        return;
    }
    if (old && (old->kind == VAR_INDEX || old->kind == VAR_GENERIC || old->kind == VAR_CONST)) {
        elab_error(e, "E0306", n->at, "'%s' is %s and keeps its value", str(e, n->id),
                   old->kind == VAR_CONST   ? "a const"
                   : old->kind == VAR_INDEX ? "the index of a repeat"
                                            : "a dimension");
        return;
    }
    StrId whole = e->like.stmt;
    if (value)
        origin_enter(e, n->id, value, n->at);
    name_value(e, v, n->id, first, h);
    e->like.stmt = whole;
    bind_var(e, VAR_LOCAL, n->id, v, n->at);
}

static void run_bind(Elab *e, const Stmt *s, const Hint *h)
{
    uint32_t first = e->b ? e->b->g->count : 0, n = 0;
    Origin old = origin_enter(e, s->bind.names->id, s->bind.value, s->at);
    Value v = eval(e, s->bind.value);
    for (const Name *k = s->bind.names; k; k = k->next)
        n++;
    if (!is_poison(v) && (v.kind == V_TUPLE) != s->bind.tuple) {
        Diag *d = elab_error(e, "E0414", s->bind.value->at, "this is %s, for %u name%s", kind_text(e, v), n,
                             n == 1 ? "" : "s");
        if (v.kind == V_TUPLE)
            diag_help(d, "write '(a, b) = ...'");
        v = v_poison;
    } else if (v.kind == V_TUPLE && v.seq.n != n) {
        elab_error(e, "E0414", s->bind.value->at, "this is %u values, for %u names", v.seq.n, n);
        v = v_poison;
    }
    uint32_t i = 0;
    for (const Name *k = s->bind.names; k; k = k->next, i++)
        bind_one(e, k, v.kind == V_TUPLE ? v.seq.item[i] : v, n > 1 ? s->bind.value : NULL, first, h);
    origin_leave(e, old);
}

static void run_const(Elab *e, const Stmt *s)
{
    const Decl *decl = &s->decl;
    Value v = eval(e, decl->init);
    Declared want;
    if (v.kind == V_TENSOR || v.kind == V_TUPLE) {
        elab_error(e, "E0305", decl->init->at, "a const is computed at compile time, and this is %s", kind_text(e, v));
        v = v_poison;
    }
    if (decl->type && !is_poison(v))
        v = eval_type(e, decl->type, &want)
                ? convert_value(e, v, want, decl->init->at, arena_printf(e->a, "const '%s'", str(e, decl->name.id)))
                : v_poison;
    new_var(e, VAR_CONST, decl->name.id, v, decl->name.at);
}

static void run_return(Elab *e, const Stmt *s)
{
    Frame *f = e->frame;
    if (f->in_repeat) {
        elab_error(e, "E0416", s->at, "'return' inside a repeat");
        return;
    }
    Origin old = origin_enter(e, 0, s->value, s->at);
    uint32_t first = e->b ? e->b->g->count : 0;
    f->result = eval(e, s->value);
    origin_result(e, f->result, first, s->at);
    origin_leave(e, old);
    f->result_at = s->value->at;
    f->returned = true;
    if (s->next)
        elab_error(e, "E0416", s->next->at, "nothing after 'return' is ever reached");
}

static void run_if(Elab *e, const Stmt *s)
{
    bool c;
    if (want_bool(e, s->cond.c, &c, "the condition of 'if'"))
        run_body(e, c ? s->cond.then : s->cond.other);
}

static void run_stmt(Elab *e, const Stmt *s)
{
    Hint value;
    uint32_t old = e->like.hint;
    bool share = e->share;
    switch (s->kind) {
    case ST_PARAM:
        run_param(e, s);
        break;
    case ST_STATE:
        run_state(e, s);
        break;
    case ST_BIND:
        enter_hint(e, s->attrs, false, &value);
        run_bind(e, s, &value);
        break;
    case ST_UPDATE:
        enter_hint(e, s->attrs, false, &value);
        run_update(e, s);
        break;
    case ST_REPEAT:
        enter_hint(e, s->attrs, true, &value);
        run_repeat(e, s);
        break;
    case ST_BLOCK:
        enter_hint(e, s->attrs, true, &value);
        run_body(e, s->block.body);
        break;
    case ST_CONST:
        run_const(e, s);
        break;
    case ST_IF:
        run_if(e, s);
        break;
    case ST_RETURN:
        run_return(e, s);
        break;
    case ST_ASSERT:
        if (!check_assert(e, &s->assertion, s->at)) { /* what follows relied on it */
            e->frame->result = v_poison;
            e->frame->returned = true;
        }
        break;
    }
    e->like.hint = old;
    e->share = share;
}

void run_body(Elab *e, const Stmt *s)
{
    for (; s && !e->frame->returned; s = s->next)
        run_stmt(e, s);
}

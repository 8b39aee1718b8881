/* adapt.c: models that train a part of themselves: which parameters are trained, and what merging makes of adapters.
 *
 *   train loss { trained = "**.lora_*"; }         everything else is frozen
 *   train loss { freeze = ["embed", "**.g?"]; }   these are frozen
 *
 * A pattern is held against whole parameter paths: `*` stands for any text within one part of the path, `**` for any
 * text at all, `?` for one character that is no dot. The section is read before parameters are born, so that frozen
 * and trained ones are told apart wherever that matters (uniform iterations of a repeat, for one).
 *
 *   #[freeze, merge(weight + 2 * (b @ a))] param weight: ...
 *
 * says what becomes of `weight` when the adapters a and b are merged into it: an expression of parameters of the same
 * block, kept as a tree until every parameter is known. It computes nothing in the model. */
#include "frontend/elab.h"

#include <string.h>

/* ---- which parameters are trained ---- */

static bool matches(const char *p, const char *path)
{
    for (; *p; p++, path++) {
        if (*p == '*') {
            bool any = p[1] == '*';
            for (p += any ? 2 : 1;; path++) {
                if (matches(p, path))
                    return true;
                if (!*path || (*path == '.' && !any))
                    return false;
            }
        }
        if (*p == '?' ? !*path || *path == '.' : *p != *path)
            return false;
    }
    return !*path;
}

static void add_pattern(Elab *e, Value v, const Expr *x, bool trained)
{
    if (v.kind != V_STR) {
        if (!is_poison(v))
            elab_error(e, "E0602", x->at, "'%s' is a pattern of parameter paths or a list of some, and this is %s",
                       trained ? "trained" : "freeze", kind_text(e, v));
        return;
    }
    GROW(e->a, e->choice, e->choices, e->choices_cap);
    e->choice[e->choices++] = (TrainedChoice){str(e, v.s), trained, false, x->at};
}

bool is_trained_key(const Elab *e, StrId key)
{
    return strcmp(str(e, key), "trained") == 0 || strcmp(str(e, key), "freeze") == 0;
}

void read_trained(Elab *e)
{
    for (const Item *i = e->model->model.members; i; i = i->next)
        for (const TrainKey *k = i->kind == IT_TRAIN ? i->train.keys : NULL; k; k = k->next) {
            if (!is_trained_key(e, k->key.id))
                continue;
            bool  trained = strcmp(str(e, k->key.id), "trained") == 0;
            Value v = eval(e, k->value);
            const Expr *x = k->value->kind == EX_LIST ? k->value->list : NULL;
            if (v.kind != V_LIST)
                add_pattern(e, v, k->value, trained);
            for (uint32_t n = 0; v.kind == V_LIST && n < v.seq.n; n++, x = x ? x->next : NULL)
                add_pattern(e, v.seq.item[n], x ? x : k->value, trained);
            if (trained && v.kind == V_LIST && !v.seq.n)
                elab_error(e, "E0608", k->value->at, "an empty list: there is nothing to train");
        }
}

bool is_chosen_frozen(Elab *e, StrId path)
{
    bool frozen = false, listed = false, trained = false;
    for (uint32_t i = 0; i < e->choices; i++) {
        TrainedChoice *c = &e->choice[i];
        bool           hit = matches(c->pattern, str(e, path));
        c->used |= hit;
        listed |= c->trained;
        trained |= c->trained && hit;
        frozen |= !c->trained && hit;
    }
    return frozen || (listed && !trained);
}

void check_trained(Elab *e, Name entry)
{
    for (uint32_t i = 0; i < e->choices; i++) {
        const TrainedChoice *c = &e->choice[i];
        if (c->used)
            continue;
        Diag   *d = elab_error(e, "E0608", c->at, "no parameter's path is like '%s'", c->pattern);
        Suggest s = {.word = c->pattern};
        for (uint32_t k = 0; k < e->m->params; k++)
            suggest(&s, str(e, e->m->param[k].path));
        if (s.best)
            diag_label(d, c->at, "did you mean '%s'?", s.best);
        diag_help(d, "'*' stands for any text between two dots of a path, '**' for any text; 'anec check --dump' lists "
                     "the paths");
    }
    bool trained = e->m->params == 0;
    for (uint32_t i = 0; i < e->m->params; i++)
        trained |= !e->m->param[i].frozen;
    if (!trained && e->ds->errors == 0)
        elab_error(e, "E0608", entry.at, "every parameter is frozen: there is nothing to train");
}

/* ---- what merging makes of a parameter ---- */

static Merge *merge_new(Elab *e, MergeKind kind, Merge *x, Merge *y)
{
    Merge *m = NEW(e->a, Merge);
    *m = (Merge){.kind = kind, .x = x, .y = y};
    return m;
}

/* Does a parameter occur in it? What is no static name is the name of one. */
static bool names_param(Elab *e, const Expr *x)
{
    const Var *v;
    switch (x->kind) {
    case EX_PAREN:
    case EX_TRANSPOSE:
    case EX_UNARY: return names_param(e, x->un.x);
    case EX_BINARY: return names_param(e, x->bin.x) || names_param(e, x->bin.y);
    case EX_NAME:
        v = find_var(e, x->name.id);
        return v ? v->kind == VAR_PARAM : !find_symbol(e, x->name.id) || find_symbol(e, x->name.id)->kind == SYM_PARAM;
    default: return false;
    }
}

static Merge *bad_merge(Elab *e, const Expr *x)
{
    if (x->kind != EX_POISON)
        diag_help(elab_error(e, "E0506", x->at, "'%s' cannot be merged", source_text(e, x->at)),
                  "merge(...) takes sums of parameters of this block, their products ('@') and transposes, and products "
                  "with numbers");
    return NULL;
}

static Merge *scaled(Elab *e, const Expr *x, const Expr *factor, bool divide)
{
    double c;
    Merge *m = read_merge(e, x), *s = merge_new(e, MERGE_SCALE, m, NULL);
    if (!m || !want_float(e, factor, &c, "a factor"))
        return NULL;
    s->c = divide ? 1 / c : c;
    if (s->c - s->c == 0)
        return s;
    elab_error(e, "E0506", factor->at, "the factor is not finite");
    return NULL;
}

Merge *read_merge(Elab *e, const Expr *x)
{
    Merge *a = NULL, *b = NULL;
    bool   left, right;
    switch (x->kind) {
    case EX_PAREN: return read_merge(e, x->un.x);
    case EX_NAME:
        if (!names_param(e, x))
            return bad_merge(e, x);
        a = merge_new(e, MERGE_PARAM, NULL, NULL);
        a->path = param_path(e, x->name.id);
        a->at = x->at;
        return a;
    case EX_TRANSPOSE: return (a = read_merge(e, x->un.x)) ? merge_new(e, MERGE_TRANSPOSE, a, NULL) : NULL;
    case EX_BINARY:
        left = names_param(e, x->bin.x);
        right = names_param(e, x->bin.y);
        if (x->bin.op == BIN_MUL && left != right)
            return left ? scaled(e, x->bin.x, x->bin.y, false) : scaled(e, x->bin.y, x->bin.x, false);
        if (x->bin.op == BIN_DIV && left && !right)
            return scaled(e, x->bin.x, x->bin.y, true);
        if ((x->bin.op != BIN_ADD && x->bin.op != BIN_SUB && x->bin.op != BIN_MATMUL) || !left || !right)
            return bad_merge(e, x);
        a = read_merge(e, x->bin.x);
        b = a ? read_merge(e, x->bin.y) : NULL;
        if (b && x->bin.op == BIN_SUB) {
            b = merge_new(e, MERGE_SCALE, b, NULL);
            b->c = -1;
        }
        return b ? merge_new(e, x->bin.op == BIN_MATMUL ? MERGE_PRODUCT : MERGE_ADD, a, b) : NULL;
    default: return bad_merge(e, x);
    }
}

bool merge_equal(const Merge *a, const Merge *b)
{
    if (!a || !b)
        return a == b;
    return a->kind == b->kind && a->path == b->path && memcmp(&a->c, &b->c, sizeof a->c) == 0 &&
           merge_equal(a->x, b->x) && merge_equal(a->y, b->y);
}

/* Find the parameters by their paths and work out the shape. False after a message. */
static bool resolve(Elab *e, Merge *m, const Param *target, Shape *s)
{
    Shape x, y;
    if (m->kind == MERGE_PARAM) {
        for (m->param = 0; m->param < e->m->params && e->m->param[m->param].path != m->path;)
            m->param++;
        if (m->param == e->m->params) {
            Diag   *d = elab_error(e, "E0506", m->at, "there is no parameter '%s'", str(e, m->path));
            Suggest near = {.word = str(e, m->path)};
            for (uint32_t i = 0; i < e->m->params; i++)
                suggest(&near, str(e, e->m->param[i].path));
            if (near.best)
                diag_label(d, m->at, "did you mean that of '%s'?", near.best);
            diag_help(d, "what is merged into '%s' must be a parameter of the same block", str(e, target->path));
            return false;
        }
        *s = e->m->param[m->param].type.shape;
        e->m->param[m->param].adapter |= &e->m->param[m->param] != target;
        return true;
    }
    if (!resolve(e, m->x, target, &x) || (m->y && !resolve(e, m->y, target, &y)))
        return false;
    *s = x;
    bool fits = true;
    if (m->kind == MERGE_PRODUCT) {
        fits = x.rank == 2 && y.rank == 2 && x.dim[1] == y.dim[0];
        s->dim[1] = y.dim[1];
    } else if (m->kind == MERGE_TRANSPOSE) {
        fits = x.rank == 2;
        s->dim[0] = x.dim[1];
        s->dim[1] = x.dim[0];
    } else if (m->kind == MERGE_ADD) {
        fits = shape_equal(x, y);
    }
    if (!fits)
        elab_error(e, "E0506", target->merge_at, "the shapes of what is merged into '%s' do not fit each other",
                   str(e, target->path));
    return fits;
}

void resolve_merges(Elab *e)
{
    for (uint32_t i = 0; i < e->m->params; i++) {
        Param *p = &e->m->param[i];
        Shape  s;
        if (!p->merge || !resolve(e, p->merge, p, &s))
            continue;
        if (!shape_equal(s, p->type.shape)) {
            Type t = {p->type.dtype, s};
            elab_error(e, "E0506", p->merge_at, "'%s' is %s, and what is merged into it is %s", str(e, p->path),
                       type_text(e->a, p->type), type_text(e->a, t));
        }
    }
    for (uint32_t i = 0; i < e->m->params; i++)
        if (e->m->param[i].adapter && e->m->param[i].merge)
            elab_error(e, "E0506", e->m->param[i].merge_at, "'%s' is merged into another parameter itself",
                       str(e, e->m->param[i].path));
}

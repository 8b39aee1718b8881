/* elaborate.c: from files to a module, read aloud: load, declare, bind configs, compute consts, check asserts, create
 * the model's parameters, build the entries, read the train section, prepare the checks of adjoints. */
#include "frontend/elab.h"

#include <string.h>

/* ---- declarations ---- */

static void check_fn_attrs(Elab *e, const Item *i)
{
    static const char *const fn_attrs[] = {"composite", "vjp", NULL};
    for (const Attribute *at = i->attrs; at; at = at->next)
        if (i->kind != IT_FN || (!is_attr(e, at, "composite") && !is_attr(e, at, "vjp")))
            bad_attribute(e, at, i->kind == IT_FN ? fn_attrs : fn_attrs + 2, i->kind == IT_FN ? "a fn" : "a block");
}

/* What would otherwise be found out call by call. */
static void check_header(Elab *e, const FnDef *f)
{
    for (const Generic *g = f->generics; g; g = g->next)
        for (const Generic *k = f->generics; k != g; k = k->next)
            if (k->name == g->name)
                elab_error(e, "E0203", g->at, "dimension '%s' is declared twice", str(e, g->name));
    for (const FnParam *p = f->params; p; p = p->next) {
        for (const FnParam *k = f->params; k != p; k = k->next)
            if (k->name.id == p->name.id)
                elab_error(e, "E0203", p->name.at, "argument '%s' is declared twice", str(e, p->name.id));
        for (const Generic *g = f->generics; g; g = g->next)
            if (g->name == p->name.id)
                elab_error(e, "E0203", p->name.at, "'%s' is both a dimension and an argument", str(e, g->name));
    }
}

static void declare_items(Elab *e, const Item *list, const Item *model)
{
    for (const Item *i = list; i; i = i->next) {
        switch (i->kind) {
        case IT_CONFIG:
            declare(e, SYM_CONFIG, i->decl.name, i, model);
            break;
        case IT_CONST:
            declare(e, SYM_CONST, i->decl.name, i, model);
            break;
        case IT_PARAM:
            declare(e, SYM_PARAM, i->decl.name, i, model);
            break;
        case IT_FN:
        case IT_BLOCK:
            check_fn_attrs(e, i);
            check_header(e, i->fn);
            declare(e, i->kind == IT_FN ? SYM_FN : SYM_BLOCK, i->fn->name, i, model);
            break;
        case IT_MODEL:
            if (e->model) {
                Diag *d = elab_error(e, "E0210", i->model.name.at, "a second model, '%s'", str(e, i->model.name.id));
                diag_note(d, e->model->model.name.at, "the first is '%s',", str(e, e->model->model.name.id));
                break;
            }
            e->model = i;
            declare_items(e, i->model.members, i);
            break;
        case IT_ENTRY:
            check_header(e, i->fn);
            break;
        case IT_USE:
        case IT_ASSERT:
        case IT_TRAIN:
            break;
        }
    }
}

static void check_model_attrs(Elab *e)
{
    static const char *const allowed[] = {"import", NULL};
    for (const Attribute *at = e->model->attrs; at; at = at->next)
        if (!is_attr(e, at, "import"))
            bad_attribute(e, at, allowed, "a model");
}

static void compute_consts(Elab *e)
{
    for (uint32_t i = 0; i < e->syms; i++)
        if (e->sym[i].kind == SYM_CONST)
            symbol_value(e, &e->sym[i]);
    for (uint32_t k = 0; k < e->loads; k++)
        for (const Item *i = e->loaded[k]->file->items; i; i = i->next)
            if (i->kind == IT_ASSERT)
                check_assert(e, &i->assertion, i->at);
}

static void create_params(Elab *e)
{
    for (uint32_t i = 0; i < e->syms; i++)
        if (e->sym[i].kind == SYM_PARAM)
            declare_model_param(e, &e->sym[i]);
}

static void build_model(Elab *e)
{
    const Item *train = NULL;
    for (const Item *i = e->model->model.members; i; i = i->next) {
        if (i->kind == IT_ENTRY)
            build_entries(e, i);
        if (i->kind != IT_TRAIN)
            continue;
        if (train) {
            Diag *d = elab_error(e, "E0603", i->at, "a second train section");
            diag_note(d, train->at, "the first is");
        } else {
            train = i;
        }
    }
    if (e->m->entries == 0 && e->ds->errors == 0)
        elab_error(e, "E0210", e->model->model.name.at, "model '%s' has no entry", str(e, e->model->model.name.id));
    if (e->ds->errors == 0)
        resolve_merges(e);
    if (train && e->ds->errors == 0) {
        read_train(e, train);
        check_trained(e, train->train.entry);
    }
}

Module *frontend_compile(Arena *a, Sources *sources, const char *path, const FrontendOptions *opt, Diags *ds)
{
    Elab *e = NEW(a, Elab);
    e->a = a;
    e->strings = interner_new(a);
    e->sources = sources;
    e->ds = ds;
    e->opt = opt;
    e->silent = diags_new(a, sources, "anel");
    e->m = module_new(a, e->strings, sources);
    if (!load_program(e, path))
        return NULL;
    for (uint32_t i = 0; i < e->loads; i++)
        declare_items(e, e->loaded[i]->file->items, NULL);
    if (!e->model && ds->errors == 0)
        elab_error(e, "E0210", (Span){0}, "%s: no model in this file", path);
    elab_flush(e);
    if (ds->errors || !bind_configs(e))
        return NULL;
    e->m->name = e->model->model.name.id;
    check_model_attrs(e);
    compute_consts(e);
    if (ds->errors == 0) {
        read_trained(e);
        create_params(e);
        build_model(e);
    }
    if (ds->errors == 0)
        make_vjp_checks(e);
    elab_flush(e);
    return ds->errors ? NULL : e->m;
}

/* entry.c: entries: the functions a model offers to the outside, each a graph of its own.
 *
 * #[bucket(16, 64, 256)] asks for several instances. The first dimension in the entry's header that is no known name,
 * as in `tokens: tok[S]`, takes these values; the instances are called name@16 and so on. Values that are equal make one
 * instance, so that they may be bounded: #[bucket(16, min(64, seq))]. */
#include "frontend/elab.h"

#include <string.h>

/* The bucket's dimension: a lone name that nothing declares. */
static StrId free_dimension(Elab *e, const FnDef *f)
{
    for (const FnParam *p = f->params; p; p = p->next)
        for (const Dim *d = p->type->dims; d; d = d->next)
            if (d->extent && d->extent->kind == EX_NAME && !find_symbol(e, d->extent->name.id))
                return d->extent->name.id;
    return 0;
}

static bool add_inputs(Elab *e, const FnDef *f)
{
    bool ok = true;
    for (const FnParam *p = f->params; p; p = p->next) {
        Declared want;
        if (p->init) {
            elab_error(e, "E0417", p->init->at, "arguments of an entry have no defaults");
            ok = false;
        }
        if (!eval_type(e, p->type, &want)) {
            ok = false;
            continue;
        }
        if (want.kind != V_TENSOR || want.type.dtype == DT_BOOL) {
            elab_error(e, "E0417", p->type->at, "arguments of an entry are tensors of numbers");
            ok = false;
            continue;
        }
        Value v = tensor(e, graph_add_input(e->m, e->b->g, p->name.id, want.type, want.token, p->name.at));
        new_var(e, VAR_ARG, p->name.id, v, p->name.at)->type = p->type;
    }
    return ok;
}

static void add_results(Elab *e, const Frame *f, Value v)
{
    uint32_t n = v.kind == V_TUPLE ? v.seq.n : 1;
    for (uint32_t i = 0; i < n; i++) {
        Value r = v.kind == V_TUPLE ? v.seq.item[i] : v;
        if (!is_tensor(r)) {
            elab_error(e, "E0417", f->result_at, "an entry returns tensors, and this is %s", kind_text(e, r));
            return;
        }
        r = to_tensor(e, r, DT_REAL, f->result_at);
        graph_add_out(e->m, e->b->g, r.t.id, e->b->g->node[r.t.id].name);
    }
}

static void build_entry(Elab *e, const Item *item, StrId name, StrId bucket, int64_t size)
{
    Frame f = {.fn = item->fn, .kind = SYM_BLOCK};
    e->entry++;
    e->frame = &f;
    e->b = builder_new(e, BUILD_ENTRY, name, NULL);
    e->like = (Node){.op = OP_input};
    path_set(e, 0);
    if (bucket)
        new_var(e, VAR_CONST, bucket, v_int(size), item->at);
    if (add_inputs(e, item->fn)) {
        Value v = run_function(e, &f);
        if (!is_poison(v)) {
            add_results(e, &f, v);
            seal(e, e->b, NULL, 0);
        } else if (e->ds->errors == 0) {
            bug("entry '%s' failed without a message", str(e, name));
        }
    }
    Module *m = e->m;
    GROW(e->a, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){name, graph_register(e, e->b->g), item->fn->name.at};
    elab_flush(e);
    e->frame = NULL;
    e->b = NULL;
}

void build_entries(Elab *e, const Item *item)
{
    static const char *const allowed[] = {"bucket", NULL};
    const Attribute *bucket = NULL;
    for (const Attribute *at = item->attrs; at; at = at->next) {
        if (is_attr(e, at, "bucket"))
            bucket = at;
        else
            bad_attribute(e, at, allowed, "an entry");
    }
    const char *name = str(e, item->fn->name.id);
    if (module_entry(e->m, name)) {
        Diag *d = elab_error(e, "E0203", item->fn->name.at, "entry '%s' is declared twice", name);
        diag_note(d, module_entry(e->m, name)->at, "the first is");
        return;
    }
    if (!bucket) {
        build_entry(e, item, item->fn->name.id, 0, 0);
        return;
    }
    StrId dim = free_dimension(e, item->fn);
    if (!dim || !bucket->args) {
        Diag *d =
            elab_error(e, "E0209", bucket->at, "'bucket' takes the values of a dimension that nothing else declares");
        diag_help(d, "write #[bucket(16, 64)] before an entry with an argument such as tokens: tok[S]");
        return;
    }
    for (const Arg *a = bucket->args; a; a = a->next) {
        int64_t n;
        if (!want_int(e, a->value, &n, "a bucket"))
            continue;
        const char *full = arena_printf(e->a, "%s@%lld", name, (long long)n);
        if (!module_entry(e->m, full))
            build_entry(e, item, intern(e->strings, full), dim, n);
    }
}

/* read.c: modules from text (docs/ir.md), line by line.
 *
 * A first sweep finds the graphs' headers, so that a repeat may name a region that stands further down. Every error
 * names a place and what was expected there; reading resumes with the next line, and a module with errors is NULL. */
#include "ir/read.h"

#include <string.h>

/* First sweep: every line that starts with "graph @name". */
static void find_graphs(Reader *r)
{
    Scanner start = r->s;
    for (bool fresh = true; r->s.kind != TOK_END; scan_next(&r->s)) {
        bool header = fresh && read_if(r, "graph") && r->s.kind == TOK_GRAPH;
        StrId name;
        fresh = r->s.kind == TOK_LINE;
        if (!header)
            continue;
        if (!read_label_name(r, &name))
            continue;
        Meaning *mean = read_label(r);
        if (mean->graph_named)
            read_fail(r, "a name that no other graph has");
        else
            mean->graph_named = module_add_graph(r->m, name)->id;
    }
    r->s = start;
}

/* The number that a line of a numbered section must carry. */
static bool read_index(Reader *r, uint32_t want)
{
    int64_t i;
    return read_int(r, want, want, &i);
}

static bool read_init(Reader *r, Init *init)
{
    uint32_t k = 0;
    if (!read_must(r, "init") || !read_must(r, "="))
        return false;
    while (k < COUNT(init_word) && !read_if(r, init_word[k]))
        k++;
    if (k == COUNT(init_word))
        return read_fail(r, "zeros, ones, value, normal or uniform");
    init->kind = (InitKind)k;
    int n = init_numbers(init->kind);
    return n == 0 || (read_must(r, "(") && read_number(r, &init->a) &&
                      (n == 1 || (read_must(r, ",") && read_number(r, &init->b))) && read_must(r, ")"));
}

/* param N "path" : type init=... mark... */
static bool read_param(Reader *r)
{
    Module  *m = r->m;
    Param    x = {.lr = 1, .at = scan_span(&r->s)};
    uint32_t rows = 0;
    if (!read_index(r, m->params) || !read_string(r, &x.path) || !read_must(r, ":") || !read_type(r, &x.type) ||
        !read_init(r, &x.init))
        return false;
    x.nodecay = read_if(r, "nodecay");
    x.frozen = read_if(r, "frozen");
    if (read_if(r, "lr") && (!read_must(r, "=") || !read_number(r, &x.lr)))
        return false;
    if (read_if(r, "import") && (!read_must(r, "=") || !read_string(r, &x.import)))
        return false;
    x.import_transpose = read_if(r, "import_transpose");
    if (read_if(r, "import_rows") &&
        (!read_must(r, "=") || !read_list(r, 0, INT32_MAX, x.import_rows, &rows, 2)))
        return false;
    GROW(m->arena, m->param, m->params, m->params_cap);
    m->param[m->params++] = x;
    return true;
}

static bool read_state(Reader *r)
{
    Module *m = r->m;
    State   x = {.at = scan_span(&r->s)};
    if (!read_index(r, m->states) || !read_string(r, &x.path) || !read_must(r, ":") || !read_type(r, &x.type) ||
        !read_init(r, &x.init))
        return false;
    GROW(m->arena, m->state, m->states, m->states_cap);
    m->state[m->states++] = x;
    return true;
}

/* param_set N "pattern" = leaf... */
static bool read_leaf_set(Reader *r, LeafSet **set, uint32_t *sets, uint32_t *cap)
{
    LeafSet  x = {0};
    uint32_t leaf_cap = 0;
    if (!read_index(r, *sets) || !read_string(r, &x.pattern) || !read_must(r, "="))
        return false;
    while (r->s.kind == TOK_NUMBER) {
        GROW(r->m->arena, x.leaf, x.count, leaf_cap);
        if (!read_u32(r, &x.leaf[x.count++]))
            return false;
    }
    GROW(r->m->arena, *set, *sets, *cap);
    (*set)[(*sets)++] = x;
    return true;
}

/* table N "name" : type { numbers, over any number of lines } */
static bool read_table(Reader *r)
{
    Module  *m = r->m;
    Type     t;
    Table    x = {0};
    uint32_t count = 0, cap = 0;
    if (!read_index(r, m->tables) || (r->s.kind == TOK_STRING && !read_string(r, &x.name)) || !read_must(r, ":") ||
        !read_type(r, &t) || !read_must(r, "{"))
        return false;
    while (!scan_is(&r->s, "}")) {
        if (r->s.kind == TOK_LINE) {
            scan_next(&r->s);
            continue;
        }
        GROW(m->arena, x.data, count, cap);
        if (!read_number(r, &x.data[count++]))
            return false;
    }
    /* The product cannot overflow: it stops as soon as it passes the numbers that are there. */
    int64_t want = 1;
    for (uint32_t i = 0; i < t.shape.rank && want <= count; i++)
        want = t.shape.dim[i] < 1 ? INT64_MAX : want * t.shape.dim[i];
    if (want != count)
        return read_fail(r, arena_printf(r->a, "as many numbers as %s has (%u are here)", type_text(r->a, t), count));
    scan_next(&r->s);
    x.shape = t.shape;
    x.dtype = t.dtype;
    GROW(m->arena, m->table, m->tables, m->tables_cap);
    m->table[m->tables++] = x;
    return true;
}

static bool read_hint(Reader *r)
{
    Module *m = r->m;
    Hint    h = {.at = scan_span(&r->s)};
    if (!read_index(r, m->hints))
        return false;
    h.place = read_if(r, "ane") ? PLACE_ANE : read_if(r, "cpu") ? PLACE_CPU : PLACE_FREE;
    h.save = read_if(r, "save");
    h.recompute = read_if(r, "recompute");
    h.f32 = read_if(r, "f32");
    if (read_if(r, "group") && (!read_must(r, "=") || !read_string(r, &h.group)))
        return false;
    if (read_if(r, "cut") && (!read_must(r, "=") || !read_u32(r, &h.cut)))
        return false;
    GROW(m->arena, m->hint, m->hints, m->hints_cap);
    m->hint[m->hints++] = h;
    return true;
}

static bool read_composite(Reader *r)
{
    Module   *m = r->m;
    Composite c = {0};
    if (!read_index(r, m->composites) || !read_string(r, &c.fn))
        return false;
    GROW(m->arena, m->composite, m->composites, m->composites_cap);
    m->composite[m->composites++] = c;
    return true;
}

static bool read_config(Reader *r)
{
    Module *m = r->m;
    Config  c = {0};
    if (!read_string(r, &c.name) || !read_must(r, "=") || !read_string(r, &c.value))
        return false;
    c.overridden = read_if(r, "overridden");
    GROW(m->arena, m->config, m->configs, m->configs_cap);
    m->config[m->configs++] = c;
    return true;
}

static bool read_setting(Reader *r)
{
    Module *m = r->m;
    Setting x = {.at = scan_span(&r->s)};
    if (!read_string(r, &x.key) || !read_must(r, "=") || !read_string(r, &x.value))
        return false;
    GROW(m->arena, m->setting, m->settings, m->settings_cap);
    m->setting[m->settings++] = x;
    return true;
}

static bool read_entry(Reader *r)
{
    Module *m = r->m;
    Entry   e = {.at = scan_span(&r->s)};
    if (!read_string(r, &e.name) || !read_graph_name(r, &e.graph))
        return false;
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = e;
    return true;
}

/* check "fn" @fn "vjp" @vjp */
static bool read_check(Reader *r)
{
    Module  *m = r->m;
    VjpCheck c = {.at = scan_span(&r->s)};
    if (!read_string(r, &c.fn) || !read_graph_name(r, &c.graph) || !read_string(r, &c.vjp_fn) ||
        !read_graph_name(r, &c.vjp))
        return false;
    GROW(m->arena, m->vjp_check, m->vjp_checks, m->vjp_checks_cap);
    m->vjp_check[m->vjp_checks++] = c;
    return true;
}

/* What a line of the module's own level is, by its first word. */
static bool read_section(Reader *r)
{
    Module *m = r->m;
    if (read_if(r, "config"))
        return read_config(r);
    if (read_if(r, "setting"))
        return read_setting(r);
    if (read_if(r, "param"))
        return read_param(r);
    if (read_if(r, "state"))
        return read_state(r);
    if (read_if(r, "param_set"))
        return read_leaf_set(r, &m->param_set, &m->param_sets, &m->param_sets_cap);
    if (read_if(r, "state_set"))
        return read_leaf_set(r, &m->state_set, &m->state_sets, &m->state_sets_cap);
    if (read_if(r, "table"))
        return read_table(r);
    if (read_if(r, "hint"))
        return read_hint(r);
    if (read_if(r, "composite"))
        return read_composite(r);
    if (read_if(r, "graph"))
        return read_graph(r);
    if (read_if(r, "entry"))
        return read_entry(r);
    if (read_if(r, "train"))
        return read_string(r, &m->train_entry);
    if (read_if(r, "check"))
        return read_check(r);
    return read_fail(r, "config, setting, param, state, param_set, state_set, table, hint, composite, graph, entry, "
                        "train or check");
}

Module *module_read(Arena *a, Sources *sources, uint32_t file, Diags *ds)
{
    Reader   r = {.a = arena_new(), .ds = ds};
    uint32_t errors = ds->errors;
    r.m = module_new(a, interner_new(a), sources);
    r.labels = interner_new(r.a);
    r.s = scan_new(source_of(sources, (Span){file, 0, 0}), file);
    find_graphs(&r);
    for (bool first = true; r.s.kind != TOK_END;) {
        if (r.s.kind == TOK_LINE) {
            scan_next(&r.s);
            continue;
        }
        bool ok = first ? read_must(&r, "module") && (r.s.kind != TOK_STRING || read_string(&r, &r.m->name))
                        : read_section(&r);
        if ((!ok || !read_end_line(&r)) && !scan_is(&r.s, "graph"))
            read_skip_line(&r);
        first = false;
    }
    arena_free(r.a);
    return ds->errors == errors ? r.m : NULL;
}

/* describe.c: the parts of a plan that are not steps: parameters and states in groups, tables as blob files,
 * configuration, training settings. */
#include "backend_ane/build.h"
#include "base/f16.h"
#include "base/hash.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>

PlanShape plan_shape(Shape s)
{
    PlanShape p = {.rank = s.rank};
    memcpy(p.dim, s.dim, s.rank * sizeof *s.dim);
    return p;
}

void plan_add_file(Builder *b, const char *path, const char *data, size_t len)
{
    for (uint32_t i = 0; i < b->out->files; i++)
        if (strcmp(b->out->file[i].path, path) == 0)
            return;
    GROW(b->a, b->out->file, b->out->files, b->out->files_cap);
    b->out->file[b->out->files++] = (PlanFile){arena_strdup(b->a, path), arena_strndup(b->a, data, len), len};
}

/* ---- tables ---- */

static void put_u16(unsigned char *to, uint16_t u)
{
    to[0] = (unsigned char)u;
    to[1] = (unsigned char)(u >> 8);
}

static void put_u32(unsigned char *to, uint32_t u)
{
    put_u16(to, (uint16_t)u);
    put_u16(to + 2, (uint16_t)(u >> 16));
}

/* The elements as they lie in a blob file: little-endian. */
static size_t put_elements(unsigned char *to, PlanType type, const double *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (type == PLAN_F16)
            put_u16(to + 2 * i, f16_from_f64(f16_clamp(data[i])));
        else
            put_u32(to + 4 * i, type == PLAN_F32 ? f32_bits((float)data[i]) : (uint32_t)(int32_t)data[i]);
    return (size_t)n * (type == PLAN_F16 ? 2 : 4);
}

/* Where plan_table() remembers the answer for a table of the module, or NULL: data of others may change. */
static uint32_t *remembered(Builder *b, PlanType type, const double *data)
{
    for (uint32_t i = 1; i < b->m->tables; i++)
        if (b->m->table[i].data == data) {
            if (!b->table_of)
                b->table_of = NEW_N(b->a, uint32_t, (size_t)b->m->tables * 3);
            return &b->table_of[(size_t)i * 3 + type];
        }
    return NULL;
}

uint32_t plan_table(Builder *b, PlanType type, PlanShape shape, const double *data, const char *name)
{
    static const BlobType blob_type[] = {[PLAN_F32] = BLOB_F32, [PLAN_F16] = BLOB_F16, [PLAN_I32] = BLOB_I32};
    uint32_t *known = remembered(b, type, data);
    if (known && *known)
        return *known - 1;
    Buf            file = {0};
    int64_t        n = plan_numel(shape);
    unsigned char *payload = xmalloc((size_t)n * 4 + 1);
    size_t         len = put_elements(payload, type, data, n);
    blob_begin(&file);
    blob_add(&file, blob_type[type], payload, len);
    free(payload);
    char hash[HASH_HEX];
    hash_hex(file.data, file.len, hash);
    uint32_t k = 0; /* equal contents are one table, whatever the shape: whoever reads it says how he sees it */
    while (k < b->plan->tables && strcmp(b->plan->table[k].hash, hash) != 0)
        k++;
    if (k == b->plan->tables) {
        GROW(b->a, b->plan->table, b->plan->tables, b->tables_cap);
        b->plan->table[b->plan->tables++] = (PlanTable){arena_strdup(b->a, hash), *name ? name : "table", type, shape};
        plan_add_file(b, arena_printf(b->a, "const/%s.blob", hash), file.data, file.len);
    }
    buf_free(&file);
    if (known)
        *known = k + 1;
    return k;
}

/* ---- parameters and states ---- */

/* The index that turns `pattern` into `path`, or -1. */
static int32_t index_in(const char *pattern, const char *path)
{
    const char *hole = strstr(pattern, "{L}");
    if (!hole)
        return -1;
    size_t head = (size_t)(hole - pattern), tail = strlen(hole + 3), len = strlen(path);
    if (len <= head + tail || strncmp(path, pattern, head) != 0 || strcmp(path + len - tail, hole + 3) != 0)
        return -1;
    char       *end;
    const char *digits = path + head;
    if (*digits < '0' || *digits > '9' || (*digits == '0' && digits[1] >= '0' && digits[1] <= '9'))
        return -1;
    long v = strtol(digits, &end, 10);
    return end == path + len - tail && v <= INT32_MAX ? (int32_t)v : -1;
}

/* `name` with the number `index` (as a whole component) replaced by "{L}": the pattern of an import name. */
static const char *with_hole(Arena *a, const char *name, int32_t index)
{
    const char *digits = arena_printf(a, "%d", index);
    size_t      n = strlen(digits);
    for (const char *p = strstr(name, digits); p; p = strstr(p + 1, digits)) {
        bool starts = p == name || p[-1] < '0' || p[-1] > '9', ends = p[n] < '0' || p[n] > '9';
        if (starts && ends && (p == name || p[-1] == '.') && (p[n] == '.' || p[n] == 0))
            return arena_printf(a, "%.*s{L}%s", (int)(p - name), name, p + n);
    }
    return name;
}

/* The pattern that leaf `k` was made by, or its path; *index is its index. */
static const char *pattern_of(const Module *m, const LeafSet *set, uint32_t sets, uint32_t k, const char *path,
                              int32_t *index)
{
    *index = -1;
    for (uint32_t i = 0; i < sets; i++)
        for (uint32_t j = 0; j < set[i].count; j++)
            if (set[i].leaf[j] == k) {
                const char *p = interned(m->strings, set[i].pattern);
                *index = index_in(p, path);
                if (*index >= 0)
                    return p;
            }
    return path;
}

/* The recipe of a merge; `hole`: in terms of patterns, for parameters that differ in their index. */
static Recipe *merge_recipe(Builder *b, const Merge *x, bool hole)
{
    static const RecipeKind kind[] = {[MERGE_PARAM] = RECIPE_PARAM,
                                      [MERGE_ADD] = RECIPE_ADD,
                                      [MERGE_SCALE] = RECIPE_SCALE,
                                      [MERGE_PRODUCT] = RECIPE_PRODUCT,
                                      [MERGE_TRANSPOSE] = RECIPE_TRANSPOSE};
    const Module *m = b->m;
    Recipe       *r = x ? NEW(b->a, Recipe) : NULL;
    int32_t       index;
    if (!x)
        return NULL;
    *r = (Recipe){.kind = kind[x->kind], .c = x->c, .in = NEW_N(b->a, Recipe *, 2), .ins = !!x->x + !!x->y};
    if (x->kind == MERGE_PARAM) {
        const char *path = interned(m->strings, x->path);
        r->pattern = hole ? pattern_of(m, m->param_set, m->param_sets, x->param, path, &index) : path;
    }
    r->in[0] = merge_recipe(b, x->x, hole);
    r->in[1] = merge_recipe(b, x->y, hole);
    return r;
}

static PlanInit plan_init(Init i)
{
    static const PlanInitKind kind[] = {[INIT_ZEROS] = PINIT_ZEROS,
                                        [INIT_ONES] = PINIT_ONES,
                                        [INIT_VALUE] = PINIT_VALUE,
                                        [INIT_NORMAL] = PINIT_NORMAL,
                                        [INIT_UNIFORM] = PINIT_UNIFORM};
    return (PlanInit){kind[i.kind], i.a, i.b};
}

static bool same_init(PlanInit a, PlanInit b)
{
    return a.kind == b.kind && a.a == b.a && a.b == b.b;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_shape(PlanShape a, PlanShape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, a.rank * sizeof *a.dim) == 0;
}

static bool same_merge(const Recipe *a, const Recipe *b)
{
    return a == b || (a && b && plan_recipe_equal(a, b));
}

static bool same_param(const PlanParam *a, const PlanParam *b)
{
    return strcmp(a->pattern, b->pattern) == 0 && same_shape(a->shape, b->shape) && same_init(a->init, b->init) &&
           a->decay == b->decay && a->frozen == b->frozen && a->lr == b->lr && same_text(a->import, b->import) &&
           a->import_transpose == b->import_transpose && a->import_rows[0] == b->import_rows[0] &&
           a->import_rows[1] == b->import_rows[1] && same_merge(a->merge, b->merge) && a->adapter == b->adapter;
}

static PlanParam one_param(Builder *b, uint32_t k)
{
    const Module *m = b->m;
    const Param  *p = &m->param[k];
    int32_t       index;
    const char   *path = interned(m->strings, p->path);
    const char   *pattern = pattern_of(m, m->param_set, m->param_sets, k, path, &index);
    const char   *import = p->import ? interned(m->strings, p->import) : NULL;
    if (import && index >= 0)
        import = with_hole(b->a, import, index);
    return (PlanParam){.pattern = pattern,
                       .first = index < 0 ? 0 : index,
                       .n = 1,
                       .shape = plan_shape(p->type.shape),
                       .init = plan_init(p->init),
                       .decay = !p->nodecay,
                       .frozen = p->frozen,
                       .lr = p->lr,
                       .import = import,
                       .import_transpose = p->import_transpose,
                       .import_rows = {p->import_rows[0], p->import_rows[1]},
                       .merge = merge_recipe(b, p->merge, index >= 0),
                       .adapter = p->adapter};
}

static void describe_params(Builder *b)
{
    const Module *m = b->m;
    PlanParam    *one = NEW_N(b->a, PlanParam, m->params);
    bool         *taken = NEW_N(b->a, bool, m->params);
    for (uint32_t i = 0; i < m->params; i++)
        one[i] = one_param(b, i);
    for (uint32_t i = 0; i < m->params; i++) {
        if (taken[i])
            continue;
        PlanParam p = one[i];
        for (uint32_t j = i + 1; j < m->params; j++)
            if (!taken[j] && strstr(p.pattern, "{L}") && one[j].first == p.first + p.n && same_param(&p, &one[j])) {
                taken[j] = true;
                p.n++;
            }
        if (p.n == 1) { /* a single one goes by its path */
            p.pattern = interned(m->strings, m->param[i].path);
            p.import = m->param[i].import ? interned(m->strings, m->param[i].import) : NULL;
            p.merge = merge_recipe(b, m->param[i].merge, false);
            p.first = 0;
        }
        GROW(b->a, b->plan->param, b->plan->params, b->params_cap);
        b->plan->param[b->plan->params++] = p;
    }
}

static void describe_states(Builder *b)
{
    const Module *m = b->m;
    bool         *taken = NEW_N(b->a, bool, m->states ? m->states : 1);
    for (uint32_t i = 0; i < m->states; i++) {
        if (taken[i])
            continue;
        const State *s = &m->state[i];
        int32_t      index, other;
        const char  *path = interned(m->strings, s->path);
        /* The CPU keeps every number in fp32; f16 is what the state may be rounded to where it lives on the engine. */
        PlanState    p = {.n = 1, .shape = plan_shape(s->type.shape), .init = plan_init(s->init),
                          .type = s->type.dtype == DT_I32 ? PLAN_I32 : PLAN_F32};
        p.pattern = pattern_of(m, m->state_set, m->state_sets, i, path, &index);
        p.first = index < 0 ? 0 : index;
        for (uint32_t j = i + 1; j < m->states && index >= 0; j++) {
            const State *t = &m->state[j];
            const char  *pattern = pattern_of(m, m->state_set, m->state_sets, j, interned(m->strings, t->path), &other);
            if (!taken[j] && strcmp(pattern, p.pattern) == 0 && other == p.first + p.n &&
                type_equal(s->type, t->type) && same_init(p.init, plan_init(t->init))) {
                taken[j] = true;
                p.n++;
            }
        }
        if (p.n == 1) {
            p.pattern = path;
            p.first = 0;
        }
        GROW(b->a, b->plan->state, b->plan->states, b->states_cap);
        b->plan->state[b->plan->states++] = p;
    }
}

void describe_leaves(Builder *b)
{
    describe_params(b);
    describe_states(b);
}

/* ---- settings and sources ---- */

const char *plan_source_name(const char *name)
{
    const char *std = NULL;
    for (const char *p = name; (p = strstr(p, "std/")); p++)
        if (p == name || p[-1] == '/')
            std = p;
    const char *slash = strrchr(name, '/');
    return std ? std : slash ? slash + 1 : name;
}

void describe_settings(Builder *b)
{
    const Module *m = b->m;
    Plan         *p = b->plan;
    p->model = interned(m->strings, m->name);
    char target[HASH_HEX];
    target_hash(m->target, target);
    p->target = m->target->name;
    p->compile_budget = m->target->compile_budget;
    p->functions = m->target->functions;
    p->bank_bytes = m->target->max_weights;
    p->dies = m->target->dies;
    p->target_hash = target_is_any(m->target) ? "" : arena_strdup(b->a, target);
    p->config = NEW_N(b->a, PlanSetting, m->configs);
    for (uint32_t i = 0; i < m->configs; i++)
        p->config[p->configs++] =
            (PlanSetting){interned(m->strings, m->config[i].name), interned(m->strings, m->config[i].value)};
    p->train_entry = m->train_entry ? interned(m->strings, m->train_entry) : NULL;
    p->train = NEW_N(b->a, PlanSetting, m->settings);
    for (uint32_t i = 0; i < m->settings; i++)
        p->train[p->trains++] =
            (PlanSetting){interned(m->strings, m->setting[i].key), interned(m->strings, m->setting[i].value)};
    Buf all = {0};
    for (uint32_t i = 0; i < m->sources->count; i++) {
        const Source *f = m->sources->file[i];
        size_t        n = strlen(f->name);
        if (n < 5 || strcmp(f->name + n - 5, ".anel") != 0)
            continue; /* command-line overrides are registered as sources too; the configuration has them */
        const char *name = plan_source_name(f->name);
        plan_add_file(b, arena_printf(b->a, "src/%s", name), f->text, f->len);
        buf_printf(&all, "%s %zu\n", name, f->len);
        buf_add(&all, f->text, f->len);
    }
    char hash[HASH_HEX];
    hash_hex(all.data ? all.data : "", all.len, hash);
    buf_free(&all);
    p->sources_hash = arena_strdup(b->a, hash);
}

/* plan_parse.c: the text of a manifest back into a Plan.
 *
 * Recursive descent over lines, one function per section; what a section refers to must stand before it, as it does in
 * everything plan_print() writes. A typing mistake should cost its author one reading of the message, so unknown words
 * are errors with a suggestion. Only a manifest of a later minor version may have keys we do not know; they are
 * skipped.
 *
 * This file checks the form. Whether the plan makes sense is the business of plan_resolve(), which runs at the end. */
#include "base/suggest.h"
#include "plan/plan_parse.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20 };

/* ---- lines and keys ---- */

bool parse_unknown(Parser *ps, const char *where, const char *const *known)
{
    const char *at = ps->t.at, *word = NULL;
    if (ps->newer && text_skip_line(&ps->t))
        return true;
    if (!text_value(&ps->t, &word)) {
        ps->t.at = at;
        return text_expected(&ps->t, "a key");
    }
    Suggest s = {.word = word};
    for (; *known; known++)
        suggest(&s, *known);
    if (s.best)
        return text_fail(&ps->t, "unknown key '%.60s' in %s; did you mean '%s'?", word, where, s.best);
    return text_fail(&ps->t, "unknown key '%.60s' in %s", word, where);
}

bool parse_block_line(Parser *ps, uint32_t open, bool *done)
{
    if (!text_line(&ps->t))
        return text_fail(&ps->t, "the block opened on line %" PRIu32 " is never closed; the file may be cut short",
                         open);
    *done = text_take(&ps->t, "}");
    return !*done || text_end(&ps->t);
}

bool parse_once(Parser *ps, uint32_t *seen, uint32_t bit, const char *key)
{
    if (*seen & bit)
        return text_fail(&ps->t, "'%s' is given twice", key);
    *seen |= bit;
    return true;
}

static bool yes_no(Parser *ps, bool *out)
{
    *out = text_take(&ps->t, "yes");
    return *out || text_take(&ps->t, "no") || text_expected(&ps->t, "yes or no");
}

bool parse_one_of(Parser *ps, const char *const *word, uint32_t n, const char *what, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        if (text_take(&ps->t, word[i])) {
            *out = i;
            return true;
        }
    return text_expected(&ps->t, what);
}

static bool setting(Parser *ps, PlanSetting *s)
{
    return text_name(&ps->t, &s->key, NULL) && text_value(&ps->t, &s->value) && text_end(&ps->t);
}

/* ---- parameters and states ---- */

/* "layers.{0..4}.w" into "layers.{L}.w", 0, 5. */
static bool group(Parser *ps, const char **pattern, int32_t *first, int32_t *n)
{
    const char *word;
    if (!text_name(&ps->t, &word, NULL))
        return false;
    const char *open = strchr(word, '{'), *close = open ? strchr(open, '}') : NULL;
    *pattern = word;
    *first = 0;
    *n = 1;
    if (!open)
        return true;
    Buf  none = {0};
    Text in = {ps->arena, &none, "", open + 1, close ? close : open + 1, 1, false};
    bool ok = close && text_int32(&in, 0, INT32_MAX - 1, first) && text_take(&in, "..") &&
              text_int32(&in, *first, INT32_MAX - 1, n) && in.at == in.end;
    buf_free(&none);
    if (!ok)
        return text_fail(&ps->t, "a group of leaves is written with {FIRST..LAST}, as in layers.{0..4}.w");
    *n = *n - *first + 1;
    *pattern = arena_printf(ps->arena, "%.*s{L}%s", (int)(open - word), word, close + 1);
    return true;
}

static bool init(Parser *ps, PlanInit *i)
{
    static const char *const kind[] = {"zeros", "ones", "value", "normal", "uniform"};
    uint32_t                 k = 0;
    if (!parse_one_of(ps, kind, COUNT(kind), "zeros, ones, value, normal or uniform", &k))
        return false;
    i->kind = (PlanInitKind)k;
    return (k < PINIT_VALUE || text_number(&ps->t, &i->a)) && (k != PINIT_UNIFORM || text_number(&ps->t, &i->b));
}

static bool import(Parser *ps, PlanParam *p)
{
    if (!text_name(&ps->t, &p->import, NULL))
        return false;
    p->import_transpose = text_take(&ps->t, "transpose");
    return !text_take(&ps->t, "rows") || (text_int32(&ps->t, 0, INT32_MAX, &p->import_rows[0]) &&
                                          text_int32(&ps->t, 1, INT32_MAX, &p->import_rows[1]));
}

static bool param(Parser *ps)
{
    static const char *const keys[] = {"shape", "init", "decay", "frozen", "lr", "import", "merge", "adapter", NULL};
    PlanParam                p = {.lr = 1};
    uint32_t                 open = ps->t.line, seen = 0;
    bool                     ok = group(ps, &p.pattern, &p.first, &p.n) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;) {
        if (text_take(&ps->t, keys[0]))
            ok = parse_once(ps, &seen, 1, "shape") && text_shape(&ps->t, &p.shape);
        else if (text_take(&ps->t, keys[1]))
            ok = parse_once(ps, &seen, 2, "init") && init(ps, &p.init);
        else if (text_take(&ps->t, keys[2]))
            ok = parse_once(ps, &seen, 4, "decay") && yes_no(ps, &p.decay);
        else if (text_take(&ps->t, keys[3]))
            ok = parse_once(ps, &seen, 8, "frozen") && yes_no(ps, &p.frozen);
        else if (text_take(&ps->t, keys[4]))
            ok = parse_once(ps, &seen, 16, "lr") && text_number(&ps->t, &p.lr);
        else if (text_take(&ps->t, keys[5]))
            ok = parse_once(ps, &seen, 32, "import") && import(ps, &p);
        else if (text_take(&ps->t, keys[6]))
            ok = parse_once(ps, &seen, 64, "merge") && (p.merge = parse_recipe(ps, 0)) != NULL;
        else if (text_take(&ps->t, keys[7]))
            ok = parse_once(ps, &seen, 128, "adapter") && yes_no(ps, &p.adapter);
        else
            ok = parse_unknown(ps, "a parameter", keys);
        ok = ok && text_end(&ps->t);
    }
    if (ok && (seen & 3) != 3)
        return text_fail(&ps->t, "parameter '%s' has no %s", p.pattern, seen & 1 ? "init" : "shape");
    GROW(ps->arena, ps->plan->param, ps->plan->params, ps->param_cap);
    ps->plan->param[ps->plan->params++] = p;
    return ok;
}

static bool state(Parser *ps)
{
    static const char *const keys[] = {"shape", "init", NULL};
    PlanState                s = {0};
    uint32_t                 open = ps->t.line, seen = 0, type = 0;
    bool                     ok = group(ps, &s.pattern, &s.first, &s.n) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;) {
        if (text_take(&ps->t, keys[0])) {
            ok = parse_once(ps, &seen, 1, "shape") && parse_one_of(ps, plan_type_name, 3, "f32 or i32", &type) &&
                 text_shape(&ps->t, &s.shape);
            s.type = ok ? (PlanType)type : PLAN_F32;
        } else if (text_take(&ps->t, keys[1]))
            ok = parse_once(ps, &seen, 2, "init") && init(ps, &s.init);
        else
            ok = parse_unknown(ps, "a state", keys);
        ok = ok && text_end(&ps->t);
    }
    if (ok && (seen & 3) != 3)
        return text_fail(&ps->t, "state '%s' has no %s", s.pattern, seen & 1 ? "init" : "shape");
    GROW(ps->arena, ps->plan->state, ps->plan->states, ps->state_cap);
    ps->plan->state[ps->plan->states++] = s;
    return ok;
}

/* ---- tables and buffers: one line each ---- */

static bool table(Parser *ps)
{
    PlanTable t = {0};
    uint32_t  type = 0;
    if (!text_hash(&ps->t, &t.hash) || !parse_one_of(ps, plan_type_name, 3, "f32, f16 or i32", &type) ||
        !text_shape(&ps->t, &t.shape) || !text_name(&ps->t, &t.name, NULL))
        return false;
    t.type = (PlanType)type;
    GROW(ps->arena, ps->plan->table, ps->plan->tables, ps->table_cap);
    ps->plan->table[ps->plan->tables++] = t;
    return text_end(&ps->t);
}

static bool buffer(Parser *ps, PlanBufferKind kind)
{
    uint32_t   type = kind == BUF_ACCUMULATOR ? PLAN_F32 : PLAN_F16;
    PlanBuffer b = {.kind = kind};
    if (!text_name(&ps->t, &b.name, NULL) ||
        (kind == BUF_PLAIN && !parse_one_of(ps, plan_type_name, 3, "f32, f16 or i32", &type)) ||
        !text_shape(&ps->t, &b.shape) ||
        (text_take(&ps->t, "stack") && !text_int32(&ps->t, 1, INT32_MAX, &b.stack)))
        return false;
    b.type = (PlanType)type;
    if (intern(ps->buffers, b.name) != ps->plan->buffers + 1)
        return text_fail(&ps->t, "buffer '%s' has no name of its own", b.name);
    GROW(ps->arena, ps->plan->buffer, ps->plan->buffers, ps->buffer_cap);
    ps->plan->buffer[ps->plan->buffers++] = b;
    return text_end(&ps->t);
}

bool parse_find_buffer(Parser *ps, const char *name, uint32_t *out)
{
    StrId id = intern(ps->buffers, name);
    if (id == 0 || id > ps->plan->buffers) {
        Suggest s = {.word = name};
        for (uint32_t i = 0; i < ps->plan->buffers; i++)
            suggest(&s, ps->plan->buffer[i].name);
        return text_fail(&ps->t, "no buffer or surface '%.80s' before this line%s%s%s", name,
                         s.best ? "; did you mean '" : "", s.best ? s.best : "", s.best ? "'?" : "");
    }
    *out = id - 1;
    return true;
}

bool parse_find_table(Parser *ps, uint32_t *out)
{
    const Plan *p = ps->plan;
    const char *word;
    uint32_t    same = 0;
    if (!text_hash(&ps->t, &word))
        return false;
    for (uint32_t i = 0; i < p->tables; i++)
        if (strcmp(p->table[i].hash, word) == 0) {
            *out = i;
            return true;
        }
    for (uint32_t i = 0; i < p->tables; i++)
        if (strcmp(p->table[i].name, word) == 0) {
            *out = i;
            same++;
        }
    if (same == 1)
        return true;
    return text_fail(&ps->t, same ? "'%.80s' names several tables; use the hash" : "no table '%.80s' before this line",
                     word);
}

/* ---- programs ---- */

typedef struct {
    uint32_t in_cap, out_cap, weight_cap, part_cap;
    PlanPort *port; /* the one that parts belong to: the last "in" or "out" line */
} ProgramCaps;

static bool port(Parser *ps, PlanPort **list, uint32_t *count, uint32_t *cap, ProgramCaps *c)
{
    PlanPort p = {0};
    if (!text_name(&ps->t, &p.name, NULL) || !text_shape(&ps->t, &p.shape))
        return false;
    GROW(ps->arena, *list, *count, *cap);
    (*list)[*count] = p;
    c->port = &(*list)[(*count)++];
    c->part_cap = 0;
    return true;
}

static bool part(Parser *ps, ProgramCaps *c)
{
    PlanPart p = {0};
    int32_t  channel, channels;
    if (!c->port)
        return text_fail(&ps->t, "a part belongs below an 'in' or 'out' line");
    if (!text_name(&ps->t, &p.name, NULL) || !text_need(&ps->t, "channels") ||
        !text_int32(&ps->t, 0, INT32_MAX, &channel) || !text_int32(&ps->t, 1, INT32_MAX, &channels) ||
        !text_need(&ps->t, "shape") || !text_shape(&ps->t, &p.shape))
        return false;
    p.channel = (uint32_t)channel;
    p.channels = (uint32_t)channels;
    GROW(ps->arena, c->port->part, c->port->parts, c->part_cap);
    c->port->part[c->port->parts++] = p;
    return true;
}

static bool weight(Parser *ps, PlanProgram *g, ProgramCaps *c)
{
    PlanWeight w = {0};
    if (!text_name(&ps->t, &w.path, NULL) || !text_shape(&ps->t, &w.shape) || !text_need(&ps->t, "=") ||
        !(w.recipe = parse_recipe(ps, 0)))
        return false;
    GROW(ps->arena, g->weight, g->weights, c->weight_cap);
    g->weight[g->weights++] = w;
    return true;
}

static bool program(Parser *ps)
{
    static const char *const keys[] = {"mil", "instances", "in", "out", "part", "weight", NULL};
    PlanProgram              g = {.n = 1};
    ProgramCaps              c = {0};
    uint32_t                 open = ps->t.line, seen = 0;
    bool                     ok = text_name(&ps->t, &g.name, NULL) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;) {
        if (text_take(&ps->t, keys[0]))
            ok = parse_once(ps, &seen, 1, "mil") && text_name(&ps->t, &g.mil, NULL) && text_hash(&ps->t, &g.mil_hash);
        else if (text_take(&ps->t, keys[1]))
            ok = parse_once(ps, &seen, 2, "instances") && text_int32(&ps->t, 0, INT32_MAX, &g.first) &&
                 text_int32(&ps->t, 1, INT32_MAX, &g.n);
        else if (text_take(&ps->t, keys[2]))
            ok = port(ps, &g.in, &g.ins, &c.in_cap, &c);
        else if (text_take(&ps->t, keys[3]))
            ok = port(ps, &g.out, &g.outs, &c.out_cap, &c);
        else if (text_take(&ps->t, keys[4]))
            ok = part(ps, &c);
        else if (text_take(&ps->t, keys[5]))
            ok = weight(ps, &g, &c);
        else
            ok = parse_unknown(ps, "a program", keys);
        ok = ok && text_end(&ps->t);
    }
    if (!ok)
        return false;
    if (!(seen & 1))
        return text_fail(&ps->t, "program '%s' has no mil", g.name);
    if (intern(ps->programs, g.name) != ps->plan->programs + 1)
        return text_fail(&ps->t, "program '%s' has no name of its own", g.name);
    GROW(ps->arena, ps->plan->program, ps->plan->programs, ps->program_cap);
    ps->plan->program[ps->plan->programs++] = g;
    return true;
}

static bool train(Parser *ps)
{
    Plan    *p = ps->plan;
    uint32_t open = ps->t.line;
    if (p->train_entry)
        return text_fail(&ps->t, "a second 'train' section");
    bool ok = text_name(&ps->t, &p->train_entry, NULL) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;) {
        GROW(ps->arena, p->train, p->trains, ps->train_cap);
        ok = setting(ps, &p->train[p->trains++]);
    }
    return ok;
}

/* ---- the whole ---- */

/* "anep 1.0": the first line. */
static bool version(Parser *ps)
{
    int32_t major, minor;
    if (!text_line(&ps->t) || !text_take(&ps->t, "anep"))
        return text_fail(&ps->t, "not a plan: the first line must be 'anep %d.%d'", PLAN_MAJOR, PLAN_MINOR);
    if (!text_int32(&ps->t, 0, INT32_MAX, &major) || !text_need(&ps->t, ".") ||
        !text_int32(&ps->t, 0, INT32_MAX, &minor))
        return false;
    if (major != PLAN_MAJOR)
        return text_fail(&ps->t, "plan of version %d.%d, this program reads %d.x; make the plan again", major, minor,
                         PLAN_MAJOR);
    ps->newer = minor > PLAN_MINOR;
    return text_end(&ps->t);
}

static bool section(Parser *ps, uint32_t *seen)
{
    static const char *const keys[] = {"compiler", "model", "target",  "sources", "config",  "param",
                                       "state",    "table", "program", "buffer",  "surface", "accumulator",
                                       "stage",    "entry", "train",   "weights", "compile_budget", "functions", "dies", NULL};
    Plan                    *p = ps->plan;
    const char             **text[] = {&p->compiler, &p->model, &p->target, &p->sources_hash};
    for (uint32_t i = 0; i < COUNT(text); i++)
        if (text_take(&ps->t, keys[i])) {
            if (!parse_once(ps, seen, 1u << i, keys[i]) || !text_value(&ps->t, text[i]))
                return false;
            if (text[i] == &p->target && !text_at_end(&ps->t) && !text_hash(&ps->t, &p->target_hash))
                return false;
            return text_end(&ps->t);
        }
    if (text_take(&ps->t, "weights")) {
        uint32_t mode = 0;
        bool     ok = parse_once(ps, seen, 16, "weights") &&
                      parse_one_of(ps, plan_weight_mode_name, PLAN_WEIGHT_MODES, "baked, dynamic, reload or mixed", &mode);
        p->weights = (PlanWeightMode)mode;
        return ok && text_end(&ps->t);
    }
    if (text_take(&ps->t, "compile_budget"))
        return parse_once(ps, seen, 32, "compile_budget") && text_integer(&ps->t, 0, 1000000, &p->compile_budget) &&
               text_end(&ps->t);
    if (text_take(&ps->t, "functions"))
        return parse_once(ps, seen, 64, "functions") && text_integer(&ps->t, 1, PLAN_FUNCTIONS_MAX, &p->functions) &&
               text_need(&ps->t, "bytes") && text_integer(&ps->t, 1, INT64_C(1) << 40, &p->bank_bytes) &&
               text_end(&ps->t);
    if (text_take(&ps->t, "dies"))
        return parse_once(ps, seen, 128, "dies") && text_integer(&ps->t, 1, PLAN_DIES_MAX, &p->dies) && text_end(&ps->t);
    if (text_take(&ps->t, "config")) {
        GROW(ps->arena, p->config, p->configs, ps->config_cap);
        return setting(ps, &p->config[p->configs++]);
    }
    if (text_take(&ps->t, "param"))
        return param(ps);
    if (text_take(&ps->t, "state"))
        return state(ps);
    if (text_take(&ps->t, "table"))
        return table(ps);
    if (text_take(&ps->t, "program"))
        return program(ps);
    if (text_take(&ps->t, "buffer"))
        return buffer(ps, BUF_PLAIN);
    if (text_take(&ps->t, "surface"))
        return buffer(ps, BUF_SURFACE);
    if (text_take(&ps->t, "stage"))
        return parse_stage(ps);
    if (text_take(&ps->t, "accumulator"))
        return buffer(ps, BUF_ACCUMULATOR);
    if (text_take(&ps->t, "entry"))
        return parse_entry(ps);
    if (text_take(&ps->t, "train"))
        return train(ps);
    return parse_unknown(ps, "a plan", keys);
}

Plan *plan_parse(Arena *a, const char *name, const char *text, size_t len, Buf *err)
{
    Parser ps = {.t = {a, err, name, text, text + len, 1, false}, .arena = a, .plan = NEW(a, Plan)};
    ps.buffers = interner_new(a);
    ps.programs = interner_new(a);
    ps.plan->compiler = ps.plan->model = ps.plan->target = ps.plan->target_hash = ps.plan->sources_hash = "";
    ps.plan->compile_budget = PLAN_COMPILE_BUDGET;
    ps.plan->functions = ps.plan->dies = 1;
    ps.plan->bank_bytes = PLAN_BANK_BYTES;
    if (len > MAX_TEXT) {
        text_fail(&ps.t, "over %d bytes long", MAX_TEXT);
        return NULL;
    }
    uint32_t seen = 0;
    bool     ok = version(&ps);
    while (ok && text_line(&ps.t))
        ok = section(&ps, &seen);
    if (!ok || ps.t.failed) {
        text_fail(&ps.t, "not understood"); /* every way here has said more already */
        return NULL;
    }
    Buf why = {0};
    ok = plan_resolve(ps.plan, a, &why);
    if (!ok)
        buf_printf(err, "%s: %s", name, why.data);
    buf_free(&why);
    return ok ? ps.plan : NULL;
}

/* train.c: the train section: static records, checked against plan/train.def and flattened into settings. */
#include "frontend/elab.h"

#include <string.h>

typedef struct {
    const char *name, *kind;
} KeyRow;
typedef struct {
    const char *key, *name;
} ChoiceRow;
typedef struct {
    const char *key, *choice, *name, *kind, *fallback;
} FieldRow;

static const KeyRow keys[] = {
#define KEY(name, kind, default_, help) {#name, #kind},
#include "plan/train.def"
};
static const ChoiceRow choices[] = {
#define CHOICE(key, name, help) {#key, #name},
#include "plan/train.def"
};
static const FieldRow fields[] = {
#define FIELD(key, choice, name, kind, default_, help) {#key, #choice, #name, #kind, default_},
#include "plan/train.def"
};

static void add_setting(Elab *e, const char *key, const char *field, const char *text, Span at)
{
    Module *m = e->m;
    GROW(e->a, m->setting, m->settings, m->settings_cap);
    const char *full = field ? arena_printf(e->a, "%s.%s", key, field) : key;
    m->setting[m->settings++] = (Setting){intern(e->strings, full), intern(e->strings, text), at};
}

/* A static value of the kind a row wants, as text. NULL after a message. */
static const char *value_text(Elab *e, const Expr *x, const char *kind, const char *what)
{
    Value v = eval(e, x);
    Buf b = {0};
    if (is_poison(v))
        return NULL;
    bool ok = strcmp(kind, "int") == 0     ? v.kind == V_INT
              : strcmp(kind, "float") == 0 ? is_static_number(v)
              : strcmp(kind, "bool") == 0  ? v.kind == V_BOOL
                                           : v.kind == V_STR;
    if (!ok) {
        elab_error(e, "E0602", x->at, "%s is %s %s, and this is %s", what, strchr("aeiou", kind[0]) ? "an" : "a", kind,
                   kind_text(e, v));
        return NULL;
    }
    static_print(e, strcmp(kind, "float") == 0 ? v_float(static_number(v)) : v, &b);
    const char *s = arena_strndup(e->a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return s;
}

static bool unknown_choice(Elab *e, const char *key, const Expr *x, const char *word)
{
    Suggest s = {.word = word};
    Buf all = {0};
    for (uint32_t i = 0; i < COUNT(choices); i++)
        if (strcmp(choices[i].key, key) == 0) {
            suggest(&s, choices[i].name);
            buf_printf(&all, "%s%s", all.len ? ", " : "", choices[i].name);
        }
    Diag *d = *word ? elab_error(e, "E0602", x->at, "'%s' knows no '%s'", key, word)
                    : elab_error(e, "E0602", x->at, "'%s' is one of %s", key, all.data);
    if (s.best)
        diag_label(d, x->kind == EX_CALL ? x->call.fn.at : x->at, "did you mean '%s'?", s.best);
    if (*word)
        diag_help(d, "%s is one of %s", key, all.data);
    buf_free(&all);
    return false;
}

/* Field number `n` of a choice, or the one called `name`. */
static const FieldRow *find_field(const char *key, const char *choice, const char *name, uint32_t n)
{
    for (uint32_t i = 0; i < COUNT(fields); i++) {
        const FieldRow *f = &fields[i];
        if (strcmp(f->key, key) == 0 && strcmp(f->choice, choice) == 0 &&
            (name ? strcmp(f->name, name) == 0 : n-- == 0))
            return f;
    }
    return NULL;
}

static bool unknown_field(Elab *e, const char *key, const char *choice, const Arg *a)
{
    Span at = a->name ? a->name_at : a->value->at;
    Suggest s = {.word = a->name ? str(e, a->name) : ""};
    Buf all = {0};
    for (uint32_t i = 0; i < COUNT(fields); i++)
        if (strcmp(fields[i].key, key) == 0 && strcmp(fields[i].choice, choice) == 0) {
            suggest(&s, fields[i].name);
            buf_printf(&all, "%s%s", all.len ? ", " : "", fields[i].name);
        }
    Diag *d = a->name ? elab_error(e, "E0602", at, "'%s' has no field '%s'", choice, str(e, a->name))
                      : elab_error(e, "E0602", at, "too many fields of '%s'", choice);
    if (s.best)
        diag_label(d, at, "did you mean '%s'?", s.best);
    if (all.len)
        diag_help(d, "%s takes %s", choice, all.data);
    buf_free(&all);
    return false;
}

static bool read_choice(Elab *e, const char *key, const Expr *x)
{
    const Arg *args = x->kind == EX_CALL ? x->call.args : NULL;
    const char *word = x->kind == EX_CALL && !x->call.label ? str(e, x->call.fn.id)
                       : x->kind == EX_NAME                 ? str(e, x->name.id)
                                                            : "";
    uint32_t k = 0, n = 0;
    bool ok = true;
    while (k < COUNT(choices) && (strcmp(choices[k].key, key) != 0 || strcmp(choices[k].name, word) != 0))
        k++;
    if (k == COUNT(choices))
        return unknown_choice(e, key, x, word);
    add_setting(e, key, NULL, word, x->at);
    uint32_t first = e->m->settings;
    for (const Arg *a = args; a; a = a->next) {
        const FieldRow *f = find_field(key, word, a->name ? str(e, a->name) : NULL, n++);
        if (!f) {
            ok = unknown_field(e, key, word, a);
            continue;
        }
        for (uint32_t i = first; i < e->m->settings; i++)
            if (strcmp(str(e, e->m->setting[i].key) + strlen(key) + 1, f->name) == 0) {
                elab_error(e, "E0602", a->value->at, "field '%s' is given twice", f->name);
                ok = false;
            }
        const char *text = value_text(e, a->value, f->kind, arena_printf(e->a, "field '%s'", f->name));
        if (text)
            add_setting(e, key, f->name, text, a->value->at);
        ok &= text != NULL;
    }
    for (uint32_t i = 0; i < COUNT(fields) && ok; i++) { /* what must be given */
        const FieldRow *f = &fields[i];
        bool given = strcmp(f->key, key) != 0 || strcmp(f->choice, word) != 0 || strcmp(f->fallback, "-") != 0;
        for (uint32_t j = first; j < e->m->settings && !given; j++)
            given = strcmp(str(e, e->m->setting[j].key) + strlen(key) + 1, f->name) == 0;
        if (!given) {
            elab_error(e, "E0602", x->at, "'%s' lacks its field '%s'", word, f->name);
            ok = false;
        }
    }
    return ok;
}

static bool read_key(Elab *e, const TrainKey *k)
{
    const char *name = str(e, k->key.id);
    Suggest s = {.word = name};
    for (uint32_t i = 0; i < COUNT(keys); i++) {
        suggest(&s, keys[i].name);
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (strcmp(keys[i].kind, "choice") == 0)
            return read_choice(e, name, k->value);
        const char *text = value_text(e, k->value, keys[i].kind, arena_printf(e->a, "'%s'", name));
        if (text)
            add_setting(e, name, NULL, text, k->value->at);
        return text != NULL;
    }
    Buf all = {0};
    for (uint32_t i = 0; i < COUNT(keys); i++)
        buf_printf(&all, "%s%s", i ? ", " : "", keys[i].name);
    buf_puts(&all, ", trained, freeze");
    suggest(&s, "trained");
    suggest(&s, "freeze");
    Diag *d = elab_error(e, "E0601", k->key.at, "a train section has no key '%s'", name);
    if (s.best)
        diag_label(d, k->key.at, "did you mean '%s'?", s.best);
    diag_help(d, "the keys are %s", all.data);
    buf_free(&all);
    return false;
}

bool read_train(Elab *e, const Item *item)
{
    const char *name = str(e, item->train.entry.id);
    const Entry *entry = module_entry(e->m, name);
    bool ok = true;
    if (!entry) {
        Suggest s = {.word = name};
        for (uint32_t i = 0; i < e->m->entries; i++)
            suggest(&s, str(e, e->m->entry[i].name));
        Diag *d = elab_error(e, "E0603", item->train.entry.at, "the model has no entry '%s'", name);
        if (s.best)
            diag_label(d, item->train.entry.at, "did you mean '%s'?", s.best);
        return false;
    }
    const Graph *g = e->m->graph[entry->graph];
    Type t = g->outs == 1 ? g->node[g->out[0]].type : (Type){DT_NONE, {0}};
    if (t.dtype != DT_REAL || t.shape.rank != 0) {
        Diag *d = elab_error(e, "E0603", item->train.entry.at, "entry '%s' is no loss: it must return real[]", name);
        diag_note(d, entry->at, g->outs == 1 ? "it returns %s" : "it returns several values", type_text(e->a, t));
        return false;
    }
    e->m->train_entry = item->train.entry.id;
    for (const TrainKey *k = item->train.keys; k; k = k->next) {
        bool twice = false;
        for (const TrainKey *j = item->train.keys; j != k; j = j->next)
            twice |= j->key.id == k->key.id;
        if (twice)
            elab_error(e, "E0601", k->key.at, "key '%s' is given twice", str(e, k->key.id));
        ok &= !twice && (is_trained_key(e, k->key.id) || read_key(e, k));
    }
    return ok;
}

/* settings.c: the settings of a run as a table of fields; see settings.h.
 *
 * train.def says which keys there are, of which kinds, and their defaults. The table of fields below adds what only the
 * runtime needs: where a value lives in Settings, its range, and for choices the order of the words, which is that of
 * the enum. settings_default() stops with a message if the two tables disagree. */
#include "runtime/train/settings.h"

#include "base/suggest.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { ROW_KEY, ROW_CHOICE, ROW_FIELD } RowKind;

static const struct Row {
    RowKind     row;
    const char *key, *choice, *name; /* ROW_KEY: only key; ROW_CHOICE: the choice's word too */
    const char *kind, *fallback, *help;
} def[] = {
#define KEY(name, kind, value, help)                {ROW_KEY, #name, "", "", #kind, value, help},
#define CHOICE(key, name, help)                     {ROW_CHOICE, #key, #name, "", "", "", help},
#define FIELD(key, choice, name, kind, value, help) {ROW_FIELD, #key, #choice, #name, #kind, value, help},
#include "plan/train.def"
};

typedef enum { WORD, TEXT, WHOLE, REAL } Kind;

typedef struct {
    const char *key;
    Kind        kind;
    size_t      at;       /* offset in Settings */
    double      min, max; /* WHOLE, REAL: the range allowed */
    bool        open_min; /* REAL: min itself is not allowed */
    const char *word[6];  /* WORD: in the order of the enum */
} Field;

#define WORDS(k, to, ...)      {.key = k, .kind = WORD, .at = offsetof(Settings, to), .word = {__VA_ARGS__}}
#define STRING(k, to)          {.key = k, .kind = TEXT, .at = offsetof(Settings, to)}
#define COUNTS(k, to, lo, hi)  {.key = k, .kind = WHOLE, .at = offsetof(Settings, to), .min = lo, .max = hi}
#define NUMBER(k, to, lo, hi)  {.key = k, .kind = REAL, .at = offsetof(Settings, to), .min = lo, .max = hi}
#define ABOVE(k, to, lo, hi) \
    {.key = k, .kind = REAL, .at = offsetof(Settings, to), .min = lo, .max = hi, .open_min = true}
#define BIG 9007199254740992.0 /* 2^53: whole numbers above it are not exact in JSON */

static const Field field[] = {
    WORDS("data", data, "bytes", "text", "tokens_u16", "tokens_u32", "noise", "copy_task"),
    STRING("data.path", data_path),
    WORDS("data.sample", data_sample, "random", "sequential", "shuffled"),
    COUNTS("data.seed", data_seed, 0, BIG),
    NUMBER("data.holdout", data_holdout, 0, 0.99),
    STRING("tokenizer", tokenizer),
    WORDS("optimizer", optimizer, "sgd", "adam", "adamw", "lion"),
    NUMBER("optimizer.lr", lr, 0, 1e6),
    NUMBER("optimizer.beta1", beta1, 0, 0.999999),
    NUMBER("optimizer.beta2", beta2, 0, 0.99999999),
    ABOVE("optimizer.eps", eps, 0, 1),
    NUMBER("optimizer.decay", decay, 0, 1e6),
    NUMBER("optimizer.momentum", momentum, 0, 0.999999),
    WORDS("schedule", schedule, "constant", "warmup_cosine", "warmup_linear", "step", "wsd"),
    COUNTS("schedule.warmup", warmup, 0, BIG),
    COUNTS("schedule.total", total, 0, BIG),
    NUMBER("schedule.floor", floor, 0, 1),
    COUNTS("schedule.every", drop_every, 1, BIG),
    NUMBER("schedule.factor", drop_factor, 0, 1),
    NUMBER("schedule.decay", wsd_decay, 0, 1),
    WORDS("loss_scale", loss_scale, "none", "fixed", "dynamic"),
    ABOVE("loss_scale.value", scale_value, 0, 0x1p24),
    NUMBER("loss_scale.init", scale_init, 1, 0x1p24),
    COUNTS("loss_scale.growth_every", scale_growth_every, 1, BIG),
    COUNTS("steps", steps, 0, BIG),
    COUNTS("accum", accum, 1, 1e6),
    COUNTS("deterministic", deterministic, 0, 1),
    NUMBER("clip", clip, 0, FLT_MAX),
    COUNTS("seed", seed, 0, BIG),
    STRING("eval", eval),
    COUNTS("eval_every", eval_every, 0, BIG),
    COUNTS("eval_windows", eval_windows, 1, 1e9),
    COUNTS("save_every", save_every, 0, BIG),
    COUNTS("keep", keep, 0, 1e9),
    WORDS("keep_best", keep_best, "false", "true"),
};
_Static_assert(COUNT(field) <= 64, "Settings.given has a bit for every field");

/* Where there is no default because the compiler asks for a value. */
static const struct {
    const char *key, *value;
} stand_in[] = {{"data", "bytes"}, {"loss_scale.value", "1024"}, {"schedule.every", "1000"}};

uint32_t settings_count(void)
{
    return (uint32_t)COUNT(field);
}

const char *settings_key(uint32_t i)
{
    return field[i].key;
}

/* ---- the two tables together ---- */

static const Field *find(const char *key)
{
    for (size_t i = 0; i < COUNT(field); i++)
        if (strcmp(field[i].key, key) == 0)
            return &field[i];
    return NULL;
}

static const char *word_of(const Settings *s, const Field *f)
{
    uint32_t i;
    memcpy(&i, (const char *)s + f->at, sizeof i);
    return f->word[i];
}

/* "optimizer.lr" belongs to "optimizer": the row of the present choice, or NULL if that choice has no such field. Keys
 * without a dot have a row of their own. */
static const struct Row *row_of(const Settings *s, const char *key)
{
    const char *dot = strchr(key, '.');
    size_t      n = dot ? (size_t)(dot - key) : strlen(key);
    for (size_t i = 0; i < COUNT(def); i++) {
        const struct Row *r = &def[i];
        if (strlen(r->key) != n || memcmp(r->key, key, n) != 0)
            continue;
        if (!dot && r->row == ROW_KEY)
            return r;
        if (dot && r->row == ROW_FIELD && strcmp(r->name, dot + 1) == 0 &&
            strcmp(r->choice, word_of(s, find(r->key))) == 0)
            return r;
    }
    return NULL;
}

bool settings_applies(const Settings *s, uint32_t i)
{
    return row_of(s, field[i].key) != NULL;
}

/* ---- reading values ---- */

static bool parse_number(const char *text, double *out)
{
    char *end;
    if (*text == 0 || strspn(text, "0123456789+-.eE") != strlen(text)) /* no hex, inf, nan, blanks */
        return false;
    *out = strtod(text, &end);
    return *end == 0 && isfinite(*out);
}

static bool set_word(char *place, const Field *f, const char *value, Buf *err)
{
    Suggest s = {.word = value};
    for (uint32_t i = 0; i < COUNT(f->word) && f->word[i]; i++) {
        if (strcmp(value, f->word[i]) == 0) {
            memcpy(place, &i, sizeof i);
            return true;
        }
        suggest(&s, f->word[i]);
    }
    buf_printf(err, "%s: unknown word '%s'", f->key, value);
    if (s.best)
        buf_printf(err, "; did you mean '%s'?", s.best);
    else
        buf_puts(err, "; it is one of");
    for (uint32_t i = 0; !s.best && i < COUNT(f->word) && f->word[i]; i++)
        buf_printf(err, "%s%s", i ? ", " : " ", f->word[i]);
    return false;
}

static bool set_number(char *place, const Field *f, const char *value, Buf *err)
{
    double x;
    bool   whole = f->kind == WHOLE, good = parse_number(value, &x);
    if (good && whole && x != floor(x))
        good = false;
    if (good && x >= f->min && x <= f->max && !(f->open_min && x == f->min)) {
        uint64_t n = (uint64_t)x;
        memcpy(place, whole ? (const void *)&n : (const void *)&x, sizeof x);
        return true;
    }
    buf_printf(err, "%s: '%s' is not %s ", f->key, value, whole ? "a whole number" : "a number");
    if (f->max == BIG)
        buf_printf(err, "of at least %g", f->min);
    else if (f->open_min)
        buf_printf(err, "above %g, up to %g", f->min, f->max);
    else
        buf_printf(err, "from %g to %g", f->min, f->max);
    return false;
}

static bool set_value(Settings *s, Arena *a, const Field *f, const char *value, Buf *err)
{
    char *place = (char *)s + f->at;
    if (f->kind == WORD)
        return set_word(place, f, value, err);
    if (f->kind != TEXT)
        return set_number(place, f, value, err);
    const char *copy = a ? arena_strdup(a, value) : value; /* defaults are literals */
    memcpy(place, &copy, sizeof copy);
    return true;
}

/* Give every setting that nobody set the default that goes with the present choices. A field of another choice has no
 * meaning, but keeps a value that can be printed and read. */
static void fill_in(Settings *s)
{
    Buf err = {0};
    for (uint32_t i = 0; i < COUNT(field); i++) {
        const struct Row *r = row_of(s, field[i].key);
        const char       *value = r && strcmp(r->fallback, "-") != 0 ? r->fallback : NULL;
        const char       *name = strchr(field[i].key, '.');
        for (size_t k = 0; !value && k < COUNT(stand_in); k++)
            if (strcmp(stand_in[k].key, field[i].key) == 0)
                value = stand_in[k].value;
        for (size_t k = 0; !value && name && k < COUNT(def); k++)
            if (def[k].row == ROW_FIELD && strcmp(def[k].name, name + 1) == 0 &&
                strncmp(def[k].key, field[i].key, (size_t)(name - field[i].key)) == 0)
                value = def[k].fallback;
        if (!value)
            bug("train.def does not know '%s'", field[i].key);
        if (!(s->given >> i & 1) && !set_value(s, NULL, &field[i], value, &err))
            bug("train.def: %s", err.data);
    }
    buf_free(&err);
}

bool settings_set(Settings *s, Arena *a, const char *key, const char *value, Buf *err)
{
    const Field *f = find(key);
    if (f) {
        if (!set_value(s, a, f, value, err))
            return false;
        s->given |= (uint64_t)1 << (f - field);
        if (f->kind == WORD)
            fill_in(s);
        return true;
    }
    Suggest near = {.word = key};
    for (uint32_t i = 0; i < COUNT(field); i++)
        suggest(&near, field[i].key);
    buf_printf(err, "unknown setting '%s'", key);
    if (near.best)
        buf_printf(err, "; did you mean '%s'?", near.best);
    else
        buf_puts(err, "; 'anerun PLAN --help' lists them all");
    return false;
}

bool settings_insist(Settings *s, Arena *a, const char *key, const char *value, Buf *err)
{
    if (!settings_set(s, a, key, value, err))
        return false;
    s->insisted |= (uint64_t)1 << (find(key) - field);
    return true;
}

/* Every key of train.def must have a field, and the words of a choice be the same. */
static void compare_tables(void)
{
    for (size_t i = 0; i < COUNT(def); i++) {
        char         key[64];
        const Field *f;
        snprintf(key, sizeof key, "%s%s%s", def[i].key, def[i].row == ROW_FIELD ? "." : "", def[i].name);
        if (!(f = find(key)))
            bug("settings.c has no field for '%s' of train.def", key);
        bool known = def[i].row != ROW_CHOICE;
        for (size_t k = 0; !known && k < COUNT(f->word) && f->word[k]; k++)
            known = strcmp(f->word[k], def[i].choice) == 0;
        if (!known)
            bug("settings.c does not know %s=%s of train.def", key, def[i].choice);
    }
}

void settings_default(Settings *s)
{
    compare_tables();
    memset(s, 0, sizeof *s);
    fill_in(s);
    fill_in(s); /* now that the choices are those of the defaults */
}

bool settings_from_plan(Settings *s, Arena *a, const Plan *p, Buf *err)
{
    settings_default(s);
    for (uint32_t i = 0; i < p->trains; i++)
        if (!settings_set(s, a, p->train[i].key, p->train[i].value, err))
            return false;
    return true;
}

/* ---- rules between settings ---- */

static bool complain(Buf *err, const char *text)
{
    buf_puts(err, text);
    return false;
}

/* What was asked for must have an effect, and what a choice cannot do without must be there. */
static bool check_choices(const Settings *s, Buf *err)
{
    for (uint32_t i = 0; i < COUNT(field); i++) {
        const struct Row *r = row_of(s, field[i].key);
        bool              given = s->given >> i & 1;
        const char       *dot = strchr(field[i].key, '.');
        if (r && dot && !given && strcmp(r->fallback, "-") == 0) {
            buf_printf(err, "%s=%s needs a value: --set %s=...", r->key, r->choice, field[i].key);
            return false;
        }
        if (r || !(s->insisted >> i & 1))
            continue;
        buf_printf(err, "%s has no effect with ", field[i].key);
        buf_add(err, field[i].key, (size_t)(dot - field[i].key));
        for (size_t k = 0; k < COUNT(def); k++)
            if (def[k].row == ROW_FIELD && strcmp(def[k].name, dot + 1) == 0 &&
                strncmp(def[k].key, field[i].key, (size_t)(dot - field[i].key)) == 0) {
                buf_printf(err, "=%s; it belongs to %s", word_of(s, find(def[k].key)), def[k].choice);
                break;
            }
        return false;
    }
    return true;
}

bool settings_check(const Settings *s, Buf *err)
{
    bool synthetic = s->data == DATA_NOISE || s->data == DATA_COPY_TASK;
    if (!check_choices(s, err))
        return false;
    if (!synthetic && !*s->data_path) {
        buf_printf(err, "data=%s needs a file: --data FILE, or --set data.path=FILE", settings_word(s, "data"));
        return false;
    }
    if (*s->eval && synthetic)
        return complain(
            err, "an evaluation file needs training data of the same kind: set data=bytes, text, tokens_u16 or tokens_u32");
    if (*s->eval && s->data_holdout > 0)
        return complain(err,
                        "two held-out sets: an evaluation file and data.holdout; --holdout 0 trains on the whole file");
    if (s->total && s->schedule != LR_CONSTANT && s->schedule != LR_STEP && s->warmup > s->total)
        return complain(err, "schedule.warmup is longer than schedule.total");
    return true;
}

bool settings_evaluates(const Settings *s)
{
    bool synthetic = s->data == DATA_NOISE || s->data == DATA_COPY_TASK;
    return *s->eval || (synthetic ? s->eval_every > 0 : s->data_holdout > 0);
}

/* ---- writing values ---- */

void settings_value(const Settings *s, uint32_t i, Buf *out)
{
    const char *place = (const char *)s + field[i].at, *text;
    uint64_t    n;
    double      x;
    switch (field[i].kind) {
    case WORD:
        buf_puts(out, word_of(s, &field[i]));
        break;
    case TEXT:
        memcpy(&text, place, sizeof text);
        buf_puts(out, text);
        break;
    case WHOLE:
        memcpy(&n, place, sizeof n);
        buf_printf(out, "%llu", (unsigned long long)n);
        break;
    case REAL:
        memcpy(&x, place, sizeof x);
        buf_double(out, x);
        break;
    }
}

const char *settings_word(const Settings *s, const char *key)
{
    const Field *f = find(key);
    if (!f || f->kind != WORD)
        bug("no choice '%s'", key);
    return word_of(s, f);
}

static void help_line(Buf *out, const char *left, const char *help)
{
    buf_printf(out, "  %-26s %s\n", left, help);
}

void settings_help(Buf *out)
{
    char left[96];
    for (size_t i = 0; i < COUNT(def); i++) {
        const struct Row *r = &def[i];
        bool              dash = strcmp(r->fallback, "-") == 0;
        if (r->row == ROW_CHOICE)
            snprintf(left, sizeof left, "  %s", r->choice);
        else
            snprintf(left, sizeof left, "%s%s%s%s%s", r->row == ROW_FIELD ? "    " : "",
                     r->row == ROW_FIELD ? "." : r->key, r->name, dash ? "" : "=", dash ? "" : r->fallback);
        help_line(out, left, r->help);
    }
}

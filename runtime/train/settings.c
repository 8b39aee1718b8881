/* settings.c: the settings of a run as a table of fields; see settings.h.
 *
 * train.def names every key with its kind and default; the table below adds what only the runtime needs: where the value
 * lives in Settings, its range, and the words of a choice. Both are in the same order, so row i of one is row i of the
 * other; settings_default() checks that they agree. */
#include "runtime/train/settings.h"

#include "base/suggest.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { CHOICE, TEXT, COUNT_KIND, NUMBER } Kind;

static const struct {
    const char *key;
    Kind        kind;
    const char *fallback, *help;
} row[] = {
/* COUNT is also the macro for array lengths: spell the kinds through one more paste. */
#define KIND_CHOICE CHOICE
#define KIND_TEXT   TEXT
#define KIND_COUNT  COUNT_KIND
#define KIND_NUMBER NUMBER
#define KEY(k, kind, value, text) {k, KIND_##kind, value, text},
#include "plan/train.def"
};

typedef struct {
    const char *key;
    size_t      at;       /* offset in Settings */
    double      min, max; /* COUNT, NUMBER: the range allowed */
    bool        open_min; /* NUMBER: min itself is not allowed */
    const char *word[6];  /* CHOICE: in the order of the enum */
} Field;

#define WORDS(k, to, ...)      {.key = k, .at = offsetof(Settings, to), .word = {__VA_ARGS__}}
#define TEXTUAL(k, to)         {.key = k, .at = offsetof(Settings, to)}
#define RANGE(k, to, lo, hi)   {.key = k, .at = offsetof(Settings, to), .min = lo, .max = hi}
#define ABOVE(k, to, lo, hi)   {.key = k, .at = offsetof(Settings, to), .min = lo, .max = hi, .open_min = true}
#define BIG 9007199254740992.0 /* 2^53: whole numbers above it are not exact in JSON */

static const Field field[] = {
    WORDS("data", data, "bytes", "tokens_u16", "tokens_u32", "noise", "copy_task"),
    TEXTUAL("data.path", data_path),
    WORDS("data.sample", data_sample, "random", "sequential"),
    RANGE("data.seed", data_seed, 0, BIG),
    RANGE("data.holdout", data_holdout, 0, 0.99),
    WORDS("optimizer", optimizer, "sgd", "adam", "adamw", "lion"),
    RANGE("optimizer.lr", lr, 0, 1e6),
    RANGE("optimizer.beta1", beta1, 0, 0.999999),
    RANGE("optimizer.beta2", beta2, 0, 0.99999999),
    ABOVE("optimizer.eps", eps, 0, 1),
    RANGE("optimizer.decay", decay, 0, 1e6),
    RANGE("optimizer.momentum", momentum, 0, 0.999999),
    WORDS("schedule", schedule, "constant", "warmup_cosine", "warmup_linear", "step", "wsd"),
    RANGE("schedule.warmup", warmup, 0, BIG),
    RANGE("schedule.total", total, 0, BIG),
    RANGE("schedule.floor", floor, 0, 1),
    RANGE("schedule.every", drop_every, 1, BIG),
    RANGE("schedule.factor", drop_factor, 0, 1),
    RANGE("schedule.decay", wsd_decay, 0, 1),
    RANGE("clip", clip, 0, FLT_MAX),
    RANGE("accum", accum, 1, 1e6),
    WORDS("loss_scale", loss_scale, "none", "fixed", "dynamic"),
    ABOVE("loss_scale.value", scale_value, 0, 0x1p24),
    RANGE("loss_scale.init", scale_init, 1, 0x1p24),
    RANGE("loss_scale.growth_every", scale_growth_every, 1, BIG),
    RANGE("seed", seed, 0, BIG),
    RANGE("steps", steps, 0, BIG),
    TEXTUAL("eval", eval),
    RANGE("eval.every", eval_every, 0, BIG),
    RANGE("eval.windows", eval_windows, 1, 1e9),
    RANGE("save_every", save_every, 0, BIG),
    RANGE("keep", keep, 0, 1e9),
};

_Static_assert(COUNT(row) == COUNT(field), "every row of train.def needs a field");

uint32_t settings_count(void)
{
    return (uint32_t)COUNT(row);
}

const char *settings_key(uint32_t i)
{
    return field[i].key;
}

const char *settings_default_text(uint32_t i)
{
    return row[i].fallback;
}

const char *settings_help(uint32_t i)
{
    return row[i].help;
}

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

static bool set_number(char *place, const Field *f, Kind kind, const char *value, Buf *err)
{
    double x;
    bool   whole = kind == COUNT_KIND, good = parse_number(value, &x);
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

bool settings_set(Settings *s, Arena *a, const char *key, const char *value, Buf *err)
{
    Suggest near = {.word = key};
    for (uint32_t i = 0; i < COUNT(field); i++) {
        const Field *f = &field[i];
        char        *place = (char *)s + f->at;
        if (strcmp(key, f->key) != 0) {
            suggest(&near, f->key);
            continue;
        }
        if (row[i].kind == CHOICE)
            return set_word(place, f, value, err);
        if (row[i].kind != TEXT)
            return set_number(place, f, row[i].kind, value, err);
        const char *copy = arena_strdup(a, value);
        memcpy(place, &copy, sizeof copy);
        return true;
    }
    buf_printf(err, "unknown setting '%s'", key);
    if (near.best)
        buf_printf(err, "; did you mean '%s'?", near.best);
    else
        buf_puts(err, "; 'anerun --help' lists them all");
    return false;
}

bool settings_assign(Settings *s, Arena *a, const char *text, Buf *err)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text) {
        buf_printf(err, "'%s' is not of the form key=value", text);
        return false;
    }
    return settings_set(s, a, arena_strndup(a, text, (size_t)(eq - text)), eq + 1, err);
}

void settings_default(Settings *s)
{
    memset(s, 0, sizeof *s);
    Arena *a = arena_new();
    Buf    err = {0};
    for (uint32_t i = 0; i < COUNT(row); i++) {
        if (strcmp(row[i].key, field[i].key) != 0)
            bug("train.def and settings.c disagree at row %u: '%s', '%s'", (unsigned)i, row[i].key, field[i].key);
        if (row[i].kind == TEXT) { /* a literal, which needs no copy */
            memcpy((char *)s + field[i].at, &row[i].fallback, sizeof row[i].fallback);
        } else if (!settings_set(s, a, row[i].key, row[i].fallback, &err)) {
            bug("train.def: %s", err.data);
        }
    }
    buf_free(&err);
    arena_free(a);
}

bool settings_from_plan(Settings *s, Arena *a, const Plan *p, Buf *err)
{
    settings_default(s);
    for (uint32_t i = 0; i < p->trains; i++)
        if (!settings_set(s, a, p->train[i].key, p->train[i].value, err))
            return false;
    return true;
}

static bool complain(Buf *err, const char *text)
{
    buf_puts(err, text);
    return false;
}

bool settings_check(const Settings *s, Buf *err)
{
    bool synthetic = s->data == DATA_NOISE || s->data == DATA_COPY_TASK;
    if (!synthetic && !*s->data_path) {
        buf_printf(err, "data=%s needs a file: --data FILE, or --set data.path=FILE", settings_word(s, "data"));
        return false;
    }
    if (*s->eval && synthetic)
        return complain(err, "an evaluation file needs training data of the same kind: set data=bytes or data=tokens_u16");
    if (*s->eval && s->data_holdout > 0)
        return complain(err, "two held-out sets: give an evaluation file or data.holdout, not both");
    if (s->total && s->schedule != LR_CONSTANT && s->warmup > s->total)
        return complain(err, "schedule.warmup is longer than schedule.total");
    return true;
}

void settings_value(const Settings *s, uint32_t i, Buf *out)
{
    const char *place = (const char *)s + field[i].at;
    if (row[i].kind == CHOICE) {
        uint32_t word;
        memcpy(&word, place, sizeof word);
        buf_puts(out, field[i].word[word]);
    } else if (row[i].kind == TEXT) {
        const char *text;
        memcpy(&text, place, sizeof text);
        buf_puts(out, text);
    } else if (row[i].kind == COUNT_KIND) {
        uint64_t n;
        memcpy(&n, place, sizeof n);
        buf_printf(out, "%llu", (unsigned long long)n);
    } else {
        double x;
        memcpy(&x, place, sizeof x);
        buf_double(out, x);
    }
}

const char *settings_word(const Settings *s, const char *key)
{
    for (uint32_t i = 0; i < COUNT(field); i++)
        if (strcmp(field[i].key, key) == 0) {
            uint32_t word;
            memcpy(&word, (const char *)s + field[i].at, sizeof word);
            return field[i].word[word];
        }
    bug("no setting '%s'", key);
}

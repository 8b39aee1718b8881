/* refusal_search.c: see refusal_search.h. */
#include "refusal_search.h"

#include "base/hash.h"

#include <string.h>

typedef enum { TAKEN, REFUSED, UNTRIED } Answer; /* UNTRIED: no compilation was left */

typedef struct {
    char        hash[HASH_HEX];
    Answer      answer;
    const char *said; /* by the device that refused it */
} Tried;

typedef struct {
    Arena            *a;
    Device           *d;
    const Cut        *c;
    const char       *name;
    const DeviceFile *file;
    size_t            files;
    uint32_t          steps, budget, compiles;
    Tried            *tried;
    uint32_t          tries, tries_cap;
    CutText           text;
} Search;

size_t refusal_files(Arena *a, const CutText *t, const DeviceFile *file, size_t files, const DeviceFile **out)
{
    DeviceFile *named = NEW_N(a, DeviceFile, t->files + 1);
    size_t      n = 0;
    for (uint32_t i = 0; i < t->files; i++)
        for (size_t k = 0; k < files; k++)
            if (strcmp(file[k].path, t->file[i]) == 0) {
                named[n++] = file[k];
                break;
            }
    *out = named;
    return n;
}

/* A refusal counts when it is the engine's compiler that refuses. What it takes and the engine then cannot load, it took;
 * what it never saw, because as a text of its own the part is wrong, proves nothing and counts as taken. */
static Answer compile(Search *s, const char **words)
{
    const DeviceFile *file;
    size_t            files = refusal_files(s->a, &s->text, s->file, s->files, &file);
    Buf               said = {0};
    if (s->compiles >= s->budget || !device_compiles_left(s->d))
        return UNTRIED;
    s->compiles++;
    Program *p = program_compile(s->d, s->name, s->text.text.data, s->text.text.len, file, files, &said);
    Refusal  why = p ? REFUSED_NOT : device_refusal(s->d);
    program_free(p);
    *words = arena_strdup(s->a, said.data ? said.data : "");
    buf_free(&said);
    return why == REFUSED_ENGINE ? REFUSED : why == REFUSED_LIMIT ? UNTRIED : TAKEN;
}

/* The steps in keep[] as a program; one that was tried is not tried again. NULL: it could not be tried. */
static const Tried *attempt(Search *s, const bool *keep)
{
    static const Tried no_program = {.answer = TAKEN, .said = ""};
    Tried              t = {.said = ""};
    if (!cut_text(s->c, keep, &s->text))
        return &no_program;
    hash_hex(s->text.text.data, s->text.text.len, t.hash);
    for (uint32_t i = 0; i < s->tries; i++)
        if (memcmp(s->tried[i].hash, t.hash, HASH_HEX) == 0)
            return &s->tried[i];
    if ((t.answer = compile(s, &t.said)) == UNTRIED)
        return NULL;
    GROW(s->a, s->tried, s->tries, s->tries_cap);
    s->tried[s->tries] = t;
    return &s->tried[s->tries++];
}

static Answer try(Search *s, const bool *keep)
{
    const Tried *t = attempt(s, keep);
    return t ? t->answer : UNTRIED;
}

static bool *none(const Search *s)
{
    return NEW_N(s->a, bool, s->steps + 1);
}

static Answer try_prefix(Search *s, uint32_t n)
{
    bool *keep = none(s);
    for (uint32_t i = 0; i < n; i++)
        keep[i] = true;
    return try(s, keep);
}

/* The shortest refused prefix, as if refusals were monotone. */
static void bisect(Search *s, RefusalFound *f)
{
    f->prefix = s->steps;
    f->accepted = 0;
    while (f->prefix - f->accepted > 1) {
        uint32_t middle = f->accepted + (f->prefix - f->accepted) / 2;
        Answer   answer = try_prefix(s, middle);
        if (answer == UNTRIED)
            return;
        *(answer == REFUSED ? &f->prefix : &f->accepted) = middle;
    }
}

/* If keep[] is refused, it is the smallest so far. */
static bool smaller(Search *s, RefusalFound *f, const bool *keep)
{
    if (try(s, keep) != REFUSED)
        return false;
    memcpy(f->keep, keep, s->steps * sizeof *keep);
    return true;
}

/* Among the steps that the last one does not depend on: a single one, with what it depends on, may be what it takes. The
 * shortest row of them that does ends with it. */
static void drop_others(Search *s, RefusalFound *f)
{
    uint32_t  last = f->prefix - 1, n = 0, low = 0, high;
    bool     *slice = none(s), *keep = none(s);
    uint32_t *other = NEW_N(s->a, uint32_t, s->steps + 1);
    cut_add(s->c, last, slice);
    if (smaller(s, f, slice))
        return;
    for (uint32_t i = 0; i < last; i++)
        if (!slice[i])
            other[n++] = i;
    for (high = n; high - low > 1;) {
        uint32_t middle = low + (high - low) / 2;
        memcpy(keep, slice, s->steps * sizeof *keep);
        for (uint32_t i = 0; i < middle; i++)
            cut_add(s->c, other[i], keep);
        if (smaller(s, f, keep))
            high = middle;
        else
            low = middle;
    }
    if (high) {
        memcpy(keep, slice, s->steps * sizeof *keep);
        cut_add(s->c, other[high - 1], keep);
        smaller(s, f, keep);
    }
}

/* Cut off the first steps, as many as can be: what they would have made becomes inputs, where that can be. The last step
 * alone is tried first. */
static void cut_front(Search *s, RefusalFound *f)
{
    uint32_t *step = NEW_N(s->a, uint32_t, s->steps + 1), *from = NEW_N(s->a, uint32_t, s->steps + 1), n = 0, cuts = 1;
    bool     *keep = NEW_N(s->a, bool, s->steps + 1);
    for (uint32_t i = 0; i < s->steps; i++)
        if (f->keep[i])
            step[n++] = i;
    memcpy(keep, f->keep, s->steps * sizeof *keep);
    for (uint32_t i = 1; i < n; i++) { /* from[0]: nothing is cut off */
        keep[step[i - 1]] = false;
        if (cut_text(s->c, keep, &s->text))
            from[cuts++] = i;
    }
    uint32_t low = 0, high = cuts - 1;
    for (bool first = true; low < high; first = false) {
        uint32_t middle = first ? high : low + (high - low + 1) / 2;
        for (uint32_t i = 0; i < n; i++)
            keep[step[i]] = i >= from[middle];
        if (smaller(s, f, keep))
            low = middle;
        else
            high = middle - 1;
    }
}

static uint32_t count(const Search *s, const bool *keep)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->steps; i++)
        n += keep[i];
    return n;
}

static void reduce(Search *s, RefusalFound *f)
{
    for (uint32_t i = 0; i < s->steps; i++)
        f->keep[i] = i < f->prefix;
    drop_others(s, f);
    if (count(s, f->keep) > 1)
        cut_front(s, f);
}

/* Is a shorter prefix refused too? Then that is the one, and the other is kept in mind. */
static void look_below(Search *s, RefusalFound *f)
{
    uint32_t accepted = 0;
    for (uint32_t n = 1; n < f->prefix; n++) {
        Answer answer = try_prefix(s, n);
        if (answer == UNTRIED)
            return;
        if (answer == REFUSED) {
            bool    *kept = f->keep;
            uint32_t had = count(s, kept);
            f->later = f->prefix;
            f->prefix = n;
            f->accepted = accepted;
            f->sure = true;
            f->keep = none(s);
            reduce(s, f);
            if (had < count(s, f->keep))
                f->keep = kept;
            return;
        }
        accepted = n;
    }
    f->sure = true;
}

RefusalFound refusal_search(Arena *a, Device *d, const Cut *c, const char *name, const DeviceFile *file, size_t files,
                            uint32_t budget)
{
    RefusalFound f = {0};
    Search       s = {.a = a, .d = d, .c = c, .name = name, .file = file, .files = files, .steps = cut_steps(c), .budget = budget};
    f.keep = none(&s);
    f.prefix = s.steps;
    for (uint32_t i = 0; i < s.steps; i++)
        f.keep[i] = true;
    Answer whole = s.steps ? try_prefix(&s, s.steps) : UNTRIED;
    f.refused = whole != TAKEN;
    if (whole == REFUSED) {
        bisect(&s, &f);
        reduce(&s, &f);
        look_below(&s, &f);
        f.said = attempt(&s, f.keep)->said; /* it was tried */
    }
    f.compiles = s.compiles;
    buf_free(&s.text.text);
    return f;
}

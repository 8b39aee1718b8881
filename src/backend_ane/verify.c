/* verify.c: the compiler reads what it wrote: every MIL text goes through the reader and the engine's rules (src/lint).
 *
 * The back end obeys the rules by construction; this is the check that it does, and where a model leaves it no choice
 * (an axis too long for any layout) the place that says so. A violation is told where the user can do something about
 * it: at the place in the model that the statement comes from, which the program's map names. Ports and constants have
 * no line in the map; they are told at the first statement that reads them. An expression of the library is told at the
 * statement of the model that called it. One message for each rule and line of the model. */
#include "backend_ane/build.h"

#include "lint/lint.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Builder *b;
    Arena   *a; /* freed at the end */
    struct {
        const char *code;
        uint32_t    file, line;
    } *told;
    uint32_t tolds, cap;
} Verify;

/* ---- places --------------------------------------------------------------------------------------------------- */

static bool in_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The place line:column of a source file, as wide as the word there. */
static Span place(const Sources *s, const char *name, size_t len, uint32_t line, uint32_t column)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const Source *f = s->file[i];
        const char   *own = plan_source_name(f->name);
        size_t        n;
        if (strlen(own) != len || memcmp(own, name, len) != 0 || line == 0 || line > f->lines)
            continue;
        const char *text = source_line(f, line, &n);
        size_t      k = 0;
        while (k < n && column > 1) /* columns count code points */
            column -= (++k >= n || ((unsigned char)text[k] & 0xc0) != 0x80);
        size_t end = k;
        while (end < n && in_word(text[end]))
            end++;
        uint32_t begin = (uint32_t)(text - f->text) + (uint32_t)k;
        return (Span){i + 1, begin, begin + (uint32_t)(end > k ? end - k : 1)};
    }
    return (Span){0};
}

/* Where a line of MIL comes from: the expression, often the library's, and the user's statement that led to it. */
typedef struct {
    Span expression, statement;
} Origin;

/* "FILE:LINE:COLUMN" of `len` bytes. */
static Span parse_place(const Verify *v, const char *text, size_t len)
{
    const char *c = text + len;
    char       *rest;
    for (int colons = 0; c > text && colons < 2;)
        colons += *--c == ':';
    uint32_t line = (uint32_t)strtoul(c + 1, &rest, 10);
    return place(v->b->m->sources, text, (size_t)(c - text), line, (uint32_t)strtoul(rest + 1, NULL, 10));
}

/* "LINE PLACE ROLE VALUE PLACE": the expression's place and the statement's. */
static Origin mapped(const Verify *v, const char *map, uint32_t line)
{
    for (const char *p = map; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        char *rest;
        if (strtoul(p, &rest, 10) != line)
            continue;
        size_t      n = strcspn(rest + 1, " \n");
        const char *end = rest + strcspn(rest, "\n"), *last = end;
        while (last > rest && last[-1] != ' ')
            last--;
        return (Origin){parse_place(v, rest + 1, n), parse_place(v, last, (size_t)(end - last))};
    }
    return (Origin){0};
}

static bool mentions(const char *line, size_t len, const char *word, size_t n)
{
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(line + i, word, n) == 0 && (i == 0 || !in_word(line[i - 1])) &&
            (i + n == len || !in_word(line[i + n])))
            return true;
    return false;
}

/* The origin of a message about `text`: of its line, or of the first statement below that mentions what its span
 * covers. */
static Origin origin_of(const Verify *v, const Source *text, const char *map, Span at)
{
    uint32_t line, column;
    source_position(text, at.begin, &line, &column);
    Origin found = mapped(v, map, line);
    for (uint32_t i = line + 1; !found.expression.file && i <= text->lines; i++) {
        size_t      len;
        const char *s = source_line(text, i, &len);
        if (mentions(s, len, text->text + at.begin, at.end - at.begin))
            found = mapped(v, map, i);
    }
    return found;
}

/* ---- messages ------------------------------------------------------------------------------------------------- */

static bool is_new(Verify *v, const char *code, Span at)
{
    const Source *f = source_of(v->b->m->sources, at);
    uint32_t      line = 0, column;
    if (f)
        source_position(f, at.begin, &line, &column);
    for (uint32_t i = 0; i < v->tolds; i++)
        if (strcmp(v->told[i].code, code) == 0 && v->told[i].file == at.file && v->told[i].line == line)
            return false;
    GROW(v->a, v->told, v->tolds, v->cap);
    v->told[v->tolds].code = arena_strdup(v->a, code);
    v->told[v->tolds].file = at.file;
    v->told[v->tolds++].line = line;
    return true;
}

static void retell(Verify *v, const Diag *d, const Source *text, const char *map)
{
    Diags   *ds = v->b->ds;
    uint32_t line, column;
    size_t   len;
    if (!rule_find(d->code))
        bug("the compiler wrote MIL text it cannot read: %s: %s: %s", text->name, d->code, d->text);
    Origin from = origin_of(v, text, map, d->at);
    bool   library = from.statement.file && from.statement.file != from.expression.file;
    Span   at = library ? from.statement : from.expression;
    if (!is_new(v, d->code, at))
        return;
    source_position(text, d->at.begin, &line, &column);
    const char *s = source_line(text, line, &len), *code = rule_info[rule_find(d->code)].id;
    while (len && *s == ' ') {
        s++;
        len--;
    }
    enum { SHOWN = 100 };
    Diag *out =
        d->severity == DIAG_ERROR ? diag_error(ds, code, at, "%s", d->text) : diag_warning(ds, code, at, "%s", d->text);
    if (library)
        diag_note(out, from.expression, "the expression");
    diag_note(out, (Span){0}, "%s:%u: %.*s%s", text->name, line, (int)(len < SHOWN ? len : SHOWN), s,
              len > SHOWN ? " ..." : "");
    for (uint32_t i = 0; i < d->notes; i++)
        diag_note(out, (Span){0}, "%s", d->note[i].text);
    if (d->help)
        diag_help(out, "%s", d->help);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static const PlanFile *file_at(const BackendResult *r, const char *path)
{
    for (uint32_t i = 0; i < r->files; i++)
        if (strcmp(r->file[i].path, path) == 0)
            return &r->file[i];
    return NULL;
}

/* Tables are known now: their contents are checked too. */
static MilFile *tables(const Verify *v, uint32_t *count)
{
    const BackendResult *r = v->b->out;
    MilFile             *t = NEW_N(v->a, MilFile, r->files + 1);
    *count = 0;
    for (uint32_t i = 0; i < r->files; i++)
        if (strncmp(r->file[i].path, "const/", 6) == 0)
            t[(*count)++] =
                (MilFile){arena_printf(v->a, "@model_path/%s", r->file[i].path), r->file[i].data, r->file[i].len};
    return t;
}

static void verify_text(Verify *v, const LintOptions *o, const PlanFile *f, const MilFile *table, uint32_t count)
{
    enum { MANY = 1000 };
    Sources *sources = sources_new(v->a);
    Diags   *ds = diags_new(v->a, sources, NULL);
    char    *base = arena_strndup(v->a, f->path + 4, strlen(f->path) - 8); /* mil/BASE.mil */
    ds->limit = MANY;
    const PlanFile *map = file_at(v->b->out, arena_printf(v->a, "map/%s.map", base));
    uint32_t        file = sources_add(sources, f->path + 4, f->data, f->len);
    lint_mil(v->a, o, ds, file, table, count, NULL);
    for (uint32_t i = 0; i < ds->count; i++)
        retell(v, ds->item[i], sources->file[file - 1], map ? map->data : NULL);
}

static Span trained_at(const Module *m)
{
    for (uint32_t i = 0; i < m->entries; i++)
        if (m->entry[i].name == m->train_entry)
            return m->entry[i].at;
    return (Span){0};
}

bool verify_programs(Builder *b)
{
    Verify      v = {.b = b, .a = arena_new()};
    LintOptions o = {.target = b->m->target, .rounded = true};
    uint32_t    count, before = b->ds->errors;
    MilFile    *table = tables(&v, &count);
    for (uint32_t i = 0; i < b->out->files; i++)
        if (strncmp(b->out->file[i].path, "mil/", 4) == 0)
            verify_text(&v, &o, &b->out->file[i], table, count);
    lint_manifest(&o, b->ds, b->plan, trained_at(b->m), trained_at(b->m));
    arena_free(v.a);
    return b->ds->errors == before;
}

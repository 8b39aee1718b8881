/* template.c: see template.h. */
#include "probe/template.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT_MAX = 100000, TEXT_MAX = 15 << 20 };

/* ---- reading ---- */

static bool damaged(Buf *err, const Template *t, uint32_t line, const char *what, const char *word)
{
    buf_printf(err, "%s:%u: error: ", t->path, line);
    buf_printf(err, what, word);
    buf_puts(err, "; the templates come with anel: install it again, or take back the change\n");
    return false;
}

static char *word(Arena *a, const char **at)
{
    size_t n = strcspn(*at, " ");
    char  *w = arena_strndup(a, *at, n);
    *at += n + strspn(*at + n, " ");
    return w;
}

/* "width 64" or "fill NAME PATTERN". */
static bool setting(Arena *a, Template *t, uint32_t line, const char *text, Buf *err)
{
    const char *all = text, *name = word(a, &text);
    bool        fill = strcmp(name, "fill") == 0;
    if (fill)
        name = word(a, &text);
    if (!*name || (fill && !*text))
        return damaged(err, t, line, "'%s' is neither 'PLACE VALUE' nor 'fill NAME PATTERN'", all);
    Place    *to = fill ? t->fill : t->place;
    uint32_t *n = fill ? &t->fills : &t->places;
    if (*n == (fill ? TEMPLATE_FILLS : TEMPLATE_PLACES))
        return damaged(err, t, line, "no room for '%s'", name);
    for (uint32_t i = 0; i < *n; i++)
        if (strcmp(to[i].name, name) == 0)
            return damaged(err, t, line, "'%s' is said twice", name);
    to[(*n)++] = (Place){name, text};
    return true;
}

const Template *template_read(Arena *a, const char *const *dir, uint32_t dirs, const char *name, Buf *err)
{
    Template *t = NEW(a, Template);
    char     *text, why[FILE_ERR_MAX];
    size_t    len;
    t->name = name;
    t->about = "";
    for (uint32_t i = 0; i < dirs && !t->path; i++) {
        const char *path = arena_printf(a, "%s/models/probe/%s.mil", dir[i], name);
        t->path = path_exists(path) ? path : NULL;
    }
    if (!t->path) {
        buf_printf(err, "there is no micro-program 'models/probe/%s.mil' in", name);
        for (uint32_t i = 0; i < dirs; i++)
            buf_printf(err, "%s %s", i ? "," : "", dir[i]);
        buf_puts(err, "; ANEL_PATH names further directories\n");
        return NULL;
    }
    if (!file_read(a, t->path, &text, &len, why)) {
        buf_printf(err, "%s\n", why);
        return NULL;
    }
    if (memchr(text, 0, len))
        return damaged(err, t, 1, "the file holds a NUL byte%s", ""), NULL;
    const char *p = text;
    for (t->first = 1; strncmp(p, "//:", 3) == 0 || strncmp(p, "//=", 3) == 0; t->first++) {
        size_t      n = strcspn(p, "\n");
        const char *rest = p + 3;
        rest += *rest == ' ';
        char *line = arena_strndup(a, rest, n - (size_t)(rest - p));
        if (p[2] == ':')
            t->about = *t->about ? arena_printf(a, "%s %s", t->about, line) : line;
        else if (!setting(a, t, t->first, line, err))
            return NULL;
        p += n + (p[n] == '\n');
    }
    if (!*t->about)
        return damaged(err, t, 1, "it does not begin with '//: what it is there to show'%s", ""), NULL;
    t->line = p;
    return t;
}

/* ---- filling ---- */

typedef struct {
    const Template *t;
    Place           place[TEMPLATE_PLACES + 2];
    uint32_t        places;
    Buf            *out, *err;
} Filling;

static const char *value(const Filling *f, const char *name, size_t len)
{
    for (uint32_t i = f->places; i-- > 0;)
        if (strlen(f->place[i].name) == len && memcmp(f->place[i].name, name, len) == 0)
            return f->place[i].value;
    return NULL;
}

/* One line, with its end. Values may hold places themselves. */
static bool put_line(Filling *f, const char *p, size_t n, uint32_t line, int depth)
{
    for (const char *end = p + n; p < end;) {
        if (p[0] != '$' || end - p < 2 || p[1] != '{') {
            buf_putc(f->out, *p++);
            continue;
        }
        const char *close = memchr(p, '}', (size_t)(end - p));
        if (!close)
            return damaged(f->err, f->t, line, "'${' without '}'%s", "");
        const char *v = value(f, p + 2, (size_t)(close - p - 2));
        if (!v || depth == 4) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)(close - p - 2), p + 2);
            return damaged(f->err, f->t, line, "'${%s}' is no place of this template", name);
        }
        if (!put_line(f, v, strlen(v), line, depth + 1))
            return false;
        p = close + 1;
    }
    return f->out->len < TEXT_MAX || damaged(f->err, f->t, line, "the program grows beyond 15 MiB%s", "");
}

static bool starts(const char *p, const char *with)
{
    return strncmp(p, with, strlen(with)) == 0;
}

/* Lines from `p` up to the end or to //end of a repetition; `p` and `line` are left there. */
static bool put_lines(Filling *f, const char **at, uint32_t *line, bool inside)
{
    for (const char *p = *at; *p; p = *at) {
        size_t n = strcspn(p, "\n");
        n += p[n] == '\n';
        if (starts(p, "//end"))
            break;
        *at += n;
        ++*line;
        if (!starts(p, "//repeat")) {
            if (!starts(p, "//") && !put_line(f, p, n, *line - 1, 0))
                return false;
            continue;
        }
        char        name[64];
        const char *body = *at;
        uint32_t    from = *line;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p + strlen("//repeat "), "\n"), p + strlen("//repeat "));
        const char *times = value(f, name, strlen(name));
        long        count = times ? strtol(times, NULL, 10) : 0;
        if (inside || count < 1 || count > REPEAT_MAX)
            return damaged(f->err, f->t, from - 1, inside ? "a repetition in another%s" : "'%s' is no number of times",
                           inside ? "" : name);
        for (long i = 1; i <= count; i++) {
            char number[2][24];
            snprintf(number[0], sizeof number[0], "%ld", i);
            snprintf(number[1], sizeof number[1], "%ld", i - 1);
            *at = body;
            *line = from;
            f->place[f->places] = (Place){"i", number[0]};
            f->place[f->places + 1] = (Place){"before", number[1]};
            f->places += 2;
            bool ok = put_lines(f, at, line, true);
            f->places -= 2;
            if (!ok)
                return false;
        }
        if (!starts(*at, "//end"))
            return damaged(f->err, f->t, from - 1, "'//repeat' without '//end'%s", "");
        *at += strcspn(*at, "\n");
        *at += **at == '\n';
        ++*line;
    }
    return true;
}

/* Take over "name=value" lines (places) and "name:pattern" lines. */
static bool take(Arena *a, Filling *f, const char *values, Place *fill, uint32_t *fills)
{
    for (const char *p = values; p && *p;) {
        size_t      n = strcspn(p, "\n"), k = strcspn(p, "=:");
        Place       x = {arena_strndup(a, p, k), k < n ? arena_strndup(a, p + k + 1, n - k - 1) : ""};
        bool        is_fill = k < n && p[k] == ':';
        Place      *in = is_fill ? fill : f->place;
        uint32_t    count = is_fill ? *fills : f->places, i = 0;
        while (i < count && strcmp(in[i].name, x.name) != 0)
            i++;
        if (k >= n || i == count) {
            buf_printf(f->err, "%s: error: the template has no %s '%s'\n", f->t->path, is_fill ? "filling" : "place", x.name);
            return false;
        }
        in[i] = x;
        p += n + (p[n] == '\n');
    }
    return true;
}

bool template_fill(Arena *a, const Template *t, const char *values, Buf *mil, Place *fill, uint32_t *fills, Buf *err)
{
    Filling     f = {.t = t, .places = t->places, .out = mil, .err = err};
    const char *at = t->line;
    uint32_t    line = t->first;
    memcpy(f.place, t->place, t->places * sizeof *t->place);
    memcpy(fill, t->fill, t->fills * sizeof *t->fill);
    *fills = t->fills;
    if (!take(a, &f, values, fill, fills) || !put_lines(&f, &at, &line, false))
        return false;
    if (*at)
        return damaged(err, t, line, "'//end' without '//repeat'%s", "");
    for (uint32_t i = 0; i < *fills; i++) { /* names and patterns may hold places */
        Buf b = {0};
        f.out = &b;
        bool ok = put_line(&f, fill[i].value, strlen(fill[i].value), 1, 0);
        fill[i].value = arena_strdup(a, b.data ? b.data : "");
        buf_free(&b);
        if (!ok)
            return false;
    }
    return true;
}

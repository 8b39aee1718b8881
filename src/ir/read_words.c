/* read_words.c: the small parts of the text form: numbers, strings, types, lists, names; see read.h. */
#include "ir/read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool read_fail(Reader *r, const char *what)
{
    if (r->s.kind == TOK_LINE || r->s.kind == TOK_END)
        diag_error(r->ds, "E0901", scan_span(&r->s), "the line ends where %s is expected", what);
    else
        diag_error(r->ds, "E0901", scan_span(&r->s), "%s is expected, not '%.*s'", what,
                   (int)(r->s.len > 40 ? 40 : r->s.len), r->s.text);
    return false;
}

bool read_if(Reader *r, const char *text)
{
    if (!scan_is(&r->s, text))
        return false;
    scan_next(&r->s);
    return true;
}

bool read_must(Reader *r, const char *text)
{
    return read_if(r, text) || read_fail(r, arena_printf(r->a, "'%s'", text));
}

void read_skip_line(Reader *r)
{
    while (r->s.kind != TOK_LINE && r->s.kind != TOK_END)
        scan_next(&r->s);
}

bool read_end_line(Reader *r)
{
    return r->s.kind == TOK_LINE || r->s.kind == TOK_END || read_fail(r, "the end of the line");
}

bool read_number(Reader *r, double *x)
{
    bool  name = scan_is(&r->s, "inf") || scan_is(&r->s, "nan");
    char *end = NULL, *text = arena_strndup(r->a, r->s.text, name || r->s.kind == TOK_NUMBER ? r->s.len : 0);
    *x = strtod(text, &end);
    if (end == text || *end)
        return read_fail(r, "a number");
    scan_next(&r->s);
    return true;
}

bool read_int(Reader *r, int64_t lo, int64_t hi, int64_t *x)
{
    char *end = NULL, *text = arena_strndup(r->a, r->s.text, r->s.kind == TOK_NUMBER ? r->s.len : 0);
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < lo || v > hi)
        return read_fail(r, arena_printf(r->a, "an integer in %lld..%lld", (long long)lo, (long long)hi));
    scan_next(&r->s);
    *x = v;
    return true;
}

bool read_u32(Reader *r, uint32_t *x)
{
    int64_t v = 0;
    bool    ok = read_int(r, 0, UINT32_MAX, &v);
    *x = (uint32_t)v;
    return ok;
}

bool read_i32(Reader *r, int32_t *x)
{
    int64_t v = 0;
    bool    ok = read_int(r, INT32_MIN, INT32_MAX, &v);
    *x = (int32_t)v;
    return ok;
}

bool read_string(Reader *r, StrId *id)
{
    char *text = r->s.kind == TOK_STRING ? scan_unquote(r->a, r->s.text, r->s.len) : NULL;
    if (!text)
        return read_fail(r, "a string");
    *id = intern(r->m->strings, text);
    scan_next(&r->s);
    return true;
}

bool read_type(Reader *r, Type *t)
{
    *t = (Type){DT_NONE, {0}};
    uint32_t d = 0;
    while (d < DT_COUNT && !scan_is(&r->s, dtype_name[d]))
        d++;
    if (d == DT_COUNT)
        return read_fail(r, "a type");
    scan_next(&r->s);
    t->dtype = (DType)d;
    if (d == DT_NONE)
        return true;
    if (!read_must(r, "["))
        return false;
    while (!read_if(r, "]")) {
        if (t->shape.rank == MAX_RANK)
            return read_fail(r, "']'");
        if ((t->shape.rank && !read_must(r, ",")) || !read_i32(r, &t->shape.dim[t->shape.rank]))
            return false;
        t->shape.rank++;
    }
    return true;
}

bool read_list(Reader *r, int32_t lo, int32_t hi, int32_t *item, uint32_t *n, uint32_t max)
{
    if (!read_must(r, "["))
        return false;
    for (*n = 0; !read_if(r, "]"); ++*n) {
        int64_t x;
        if (*n == max)
            return read_fail(r, "']'");
        if ((*n && !read_must(r, ",")) || !read_int(r, lo, hi, &x))
            return false;
        item[*n] = (int32_t)x;
    }
    return true;
}

/* ---- labels ---- */

/* The source name in a label: %wq.2 -> "wq"; 0 for %7. Strings in labels are quoted. */
bool read_label_name(Reader *r, StrId *name)
{
    const char *s = r->s.text + 1;
    size_t      n = r->s.len - 1;
    *name = 0;
    if (*s >= '0' && *s <= '9')
        return true;
    while (n && s[n - 1] >= '0' && s[n - 1] <= '9')
        n--;
    n = n && s[n - 1] == '.' ? n - 1 : r->s.len - 1;
    if (*s != '"') {
        *name = intern_n(r->m->strings, s, n);
        return true;
    }
    char *text = scan_unquote(r->a, s, n);
    if (!text)
        return read_fail(r, "a name");
    *name = intern(r->m->strings, text);
    return true;
}

Meaning *read_label(Reader *r)
{
    StrId id = intern_n(r->labels, r->s.text, r->s.len);
    while (r->meanings <= id) {
        uint32_t n = r->meanings;
        GROW(r->a, r->meaning, n, r->meanings);
    }
    return &r->meaning[id];
}

bool read_graph_name(Reader *r, GraphId *g)
{
    *g = r->s.kind == TOK_GRAPH ? read_label(r)->graph_named : 0;
    if (!*g)
        return read_fail(r, "the name of a graph");
    scan_next(&r->s);
    return true;
}

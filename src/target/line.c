/* line.c: see line.h. */
#include "target/line.h"

#include "base/buf.h"

#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Bytes that no such file has: they would spoil what is printed of it. */
static bool clean(const Lines *l)
{
    for (uint32_t i = 0; i < l->len; i++) {
        unsigned char c = (unsigned char)l->text[i];
        if ((c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 127) {
            Diag *d = diag_error(l->ds, "E1002", (Span){l->file, i, i + 1}, "a control character (0x%02x)", c);
            diag_help(d, "this is a plain text file");
            return false;
        }
    }
    return true;
}

Lines lines_of(Arena *a, const Sources *sources, uint32_t file, Diags *ds)
{
    const Source *s = source_of(sources, (Span){file, 0, 0});
    Lines         l = {.a = a, .ds = ds, .file = file, .text = s->text, .len = (uint32_t)s->len};
    l.stop = !clean(&l);
    return l;
}

static bool bad(Lines *l, uint32_t begin, uint32_t end, const char *what, const char *help)
{
    diag_help(diag_error(l->ds, "E1002", (Span){l->file, begin, end}, "%s", what), "%s", help);
    return false;
}

/* The string literal at text[i]; *end is behind it. */
static bool string(Lines *l, uint32_t i, uint32_t stop, uint32_t *end)
{
    Buf      b = {0};
    uint32_t begin = i++;
    bool     ok = true;
    for (; ok && i < stop && l->text[i] != '"'; i++) {
        if (l->text[i] == '\\') {
            i++;
            ok = i < stop && (l->text[i] == '"' || l->text[i] == '\\');
            if (!ok)
                bad(l, i - 1, i, "only \\\" and \\\\ are escapes", "write \\\\ for a backslash");
        }
        buf_putc(&b, l->text[i]);
    }
    const char *s = arena_strndup(l->a, b.data ? b.data : "", b.len);
    buf_free(&b);
    if (!ok)
        return false;
    if (i >= stop)
        return bad(l, begin, stop, "the quotes are not closed on this line", "a text ends on the line it began on");
    l->tok[l->toks++] = (Token){s, {l->file, begin, i + 1}, true};
    *end = i + 1;
    return true;
}

/* Split the line text[begin, end). */
static bool split(Lines *l, uint32_t begin, uint32_t end)
{
    l->toks = 0;
    for (uint32_t i = begin; i < end;) {
        if (blank(l->text[i])) {
            i++;
            continue;
        }
        if (l->text[i] == '#')
            break;
        if (l->toks == MAX_TOKENS)
            return bad(l, i, end, "more than a line can hold", "a text with blanks in it is written in quotes");
        if (l->text[i] == '"') {
            if (!string(l, i, end, &i))
                return false;
            continue;
        }
        uint32_t from = i;
        while (i < end && !blank(l->text[i]) && l->text[i] != '"' && l->text[i] != '#')
            i++;
        l->tok[l->toks++] = (Token){arena_strndup(l->a, l->text + from, i - from), {l->file, from, i}, false};
    }
    if (l->toks)
        l->line = span_join(l->tok[0].at, l->tok[l->toks - 1].at);
    return true;
}

bool lines_next(Lines *l)
{
    while (!l->stop && l->next < l->len) {
        uint32_t    begin = l->next;
        const char *nl = memchr(l->text + begin, '\n', l->len - begin);
        uint32_t    end = nl ? (uint32_t)(nl - l->text) : l->len;
        l->next = end + 1;
        if (split(l, begin, end) && l->toks)
            return true;
    }
    return false;
}

/* scan.c: the tokens of the text form; see scan.h. Nothing here reads past `end`, whatever the bytes are. */
#include "ir/scan.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static const char *skip_word(const Scanner *s, const char *p)
{
    while (p < s->end && is_word(*p))
        p++;
    return p;
}

/* The byte after a string that starts at p, or NULL if the line ends first. */
static const char *skip_string(const Scanner *s, const char *p)
{
    for (p++; p < s->end && *p != '\n' && *p; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\' && p + 1 < s->end && p[1] != '\n')
            p++;
    }
    return NULL;
}

/* Name after % or @: a word or a string, then perhaps .digits. NULL if there is none. */
static const char *skip_label(const Scanner *s, const char *p)
{
    const char *start = ++p;
    p = p < s->end && *p == '"' ? skip_string(s, p) : skip_word(s, p);
    if (!p || p == start)
        return NULL;
    if (p + 1 < s->end && *p == '.' && is_digit(p[1]))
        for (p++; p < s->end && is_digit(*p); p++)
            ;
    return p;
}

static const char *skip_number(const Scanner *s, const char *p)
{
    for (p++; p < s->end; p++) {
        bool sign = (*p == '+' || *p == '-') && (p[-1] == 'e' || p[-1] == 'E');
        if (!is_word(*p) && *p != '.' && !sign)
            break;
    }
    return p;
}

void scan_next(Scanner *s)
{
    const char *p = s->at, *stop;
    while (p < s->end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    if (p < s->end && *p == ';')
        while (p < s->end && *p != '\n')
            p++;
    stop = p + 1;
    if (p == s->end) {
        s->kind = TOK_END;
        stop = p;
    } else if (*p == '\n') {
        s->kind = TOK_LINE;
    } else if (is_digit(*p) || (*p == '-' && p + 1 < s->end && (is_digit(p[1]) || p[1] == 'i'))) {
        s->kind = TOK_NUMBER;
        stop = skip_number(s, p);
    } else if (is_word(*p)) {
        s->kind = TOK_WORD;
        stop = skip_word(s, p);
    } else if (*p == '"') {
        s->kind = TOK_STRING;
        stop = skip_string(s, p);
    } else if (*p == '%' || *p == '@') {
        s->kind = *p == '%' ? TOK_VALUE : TOK_GRAPH;
        stop = skip_label(s, p);
    } else {
        s->kind = *p && strchr("=:,()[]{}", *p) ? TOK_PUNCT : TOK_BAD;
    }
    if (!stop) {
        s->kind = TOK_BAD;
        stop = p + 1;
    }
    s->text = p;
    s->len = (size_t)(stop - p);
    s->at = stop;
}

Scanner scan_new(const Source *f, uint32_t file)
{
    Scanner s = {.begin = f->text, .end = f->text + f->len, .at = f->text, .file = file};
    scan_next(&s);
    return s;
}

Span scan_span(const Scanner *s)
{
    uint32_t begin = (uint32_t)(s->text - s->begin);
    return (Span){s->file, begin, begin + (uint32_t)s->len};
}

bool scan_is(const Scanner *s, const char *text)
{
    return (s->kind == TOK_WORD || s->kind == TOK_PUNCT) && strlen(text) == s->len &&
           memcmp(s->text, text, s->len) == 0;
}

static int hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *scan_unquote(Arena *a, const char *s, size_t len)
{
    char *out = arena_alloc(a, len), *to = out;
    for (size_t i = 1; i + 1 < len; i++) {
        if (s[i] != '\\') {
            *to++ = s[i];
            continue;
        }
        char c = s[++i];
        int  high = i + 3 < len ? hex(s[i + 1]) : -1, low = i + 3 < len ? hex(s[i + 2]) : -1;
        if (c == '"' || c == '\\') {
            *to++ = c;
        } else if (c == 'x' && high >= 0 && low >= 0 && high + low > 0) { /* a NUL would cut the string short */
            *to++ = (char)(high * 16 + low);
            i += 2;
        } else {
            return NULL;
        }
    }
    *to = 0;
    return out;
}

/* plan_text.c: see plan_text.h. */
#include "plan/plan_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 4096 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '.' || c == '/' || c == '{' || c == '}';
}

bool text_fail(Text *t, const char *fmt, ...)
{
    if (t->failed)
        return false;
    t->failed = true;
    buf_printf(t->err, "%s:%" PRIu32 ": ", t->name, t->line);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(t->err, fmt, ap);
    va_end(ap);
    return false;
}

static void skip_spaces(Text *t)
{
    while (t->at < t->end && is_space(*t->at))
        t->at++;
}

char text_peek(Text *t)
{
    skip_spaces(t);
    return t->at < t->end && *t->at != '\n' && *t->at != '#' ? *t->at : 0;
}

bool text_at_end(Text *t)
{
    skip_spaces(t);
    return t->at == t->end || *t->at == '\n' || *t->at == '#';
}

/* What comes next, for messages: printable ASCII, shortened. */
static const char *found(Text *t)
{
    if (text_at_end(t))
        return "the end of the line";
    Buf b = {0};
    buf_putc(&b, '\'');
    for (const char *s = t->at; s < t->end && *s != '\n' && s < t->at + 24; s++)
        buf_putc(&b, *s >= 0x20 && *s < 0x7f ? *s : '?');
    while (is_space(b.data[b.len - 1]))
        b.data[--b.len] = 0;
    buf_putc(&b, '\'');
    const char *r = arena_strdup(t->arena, b.data);
    buf_free(&b);
    return r;
}

bool text_expected(Text *t, const char *what)
{
    return t->failed ? false : text_fail(t, "expected %s, found %s", what, found(t));
}

bool text_line(Text *t)
{
    if (t->failed)
        return false;
    while (t->at < t->end) {
        skip_spaces(t);
        if (t->at < t->end && *t->at == '#')
            while (t->at < t->end && *t->at != '\n')
                t->at++;
        if (t->at == t->end || *t->at != '\n')
            break;
        t->at++;
        t->line++;
    }
    return t->at < t->end;
}

bool text_end(Text *t)
{
    return text_at_end(t) ? !t->failed : text_expected(t, "the end of the line");
}

bool text_skip_line(Text *t)
{
    const char *s = t->at, *last = t->at;
    for (; s < t->end && *s != '\n'; s++)
        if (!is_space(*s))
            last = s;
    if (last < s && *last == '{')
        return false;
    t->at = s;
    return true;
}

bool text_take(Text *t, const char *s)
{
    size_t n = strlen(s);
    if (text_at_end(t) || (size_t)(t->end - t->at) < n || memcmp(t->at, s, n) != 0)
        return false;
    if (is_letter(*s) && t->at + n < t->end && is_word(t->at[n]))
        return false; /* only the head of a longer word */
    t->at += n;
    return true;
}

bool text_need(Text *t, const char *s)
{
    char what[40];
    if (text_take(t, s))
        return true;
    what[0] = '\'';
    what[1] = 0;
    strncat(what, s, sizeof what - 3);
    strcat(what, "'");
    return text_expected(t, what);
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string in quotes, the cursor on the first of them. */
static bool quoted_string(Text *t, const char **out)
{
    Buf  b = {0};
    bool ok = false;
    for (t->at++; t->at < t->end && *t->at != '\n'; t->at++) {
        char c = *t->at;
        if (c == '"') {
            ok = true;
            break;
        }
        if (c == 0 || b.len >= NAME_MAX_BYTES) {
            text_fail(t, "a string holds a zero byte or is over %d bytes", NAME_MAX_BYTES);
            break;
        }
        if (c == '\\') {
            char e = ++t->at < t->end ? *t->at : 0;
            int  hi = -1, lo = -1;
            if (e == 'x' && t->end - t->at > 2) {
                hi = hex_digit(t->at[1]);
                lo = hex_digit(t->at[2]);
                t->at += 2;
            }
            c = e == '"' || e == '\\' ? e : e == 'n' ? '\n' : e == 't' ? '\t' : 0;
            if (hi >= 0 && lo >= 0)
                c = (char)(hi * 16 + lo);
            if (c == 0) {
                text_fail(t, "unknown escape in a string; there are \\\" \\\\ \\n \\t \\xHH");
                break;
            }
        }
        buf_putc(&b, c);
    }
    if (ok) {
        t->at++;
        *out = arena_strndup(t->arena, b.data ? b.data : "", b.len);
    } else
        text_fail(t, "string without closing quote");
    buf_free(&b);
    return ok;
}

static bool bare(Text *t, bool digits_first, bool signs, const char **out, const char *what)
{
    char        c = text_peek(t);
    const char *s = t->at;
    if (!(is_letter(c) || (digits_first && is_word(c)) || (signs && (is_word(c) || c == '-' || c == '+'))))
        return text_expected(t, what);
    while (s < t->end && (is_word(*s) || (signs && (*s == '-' || *s == '+'))))
        s++;
    if (s - t->at > NAME_MAX_BYTES)
        return text_fail(t, "word over %d bytes", NAME_MAX_BYTES);
    *out = arena_strndup(t->arena, t->at, (size_t)(s - t->at));
    t->at = s;
    return true;
}

bool text_name(Text *t, const char **out, bool *quoted)
{
    bool q = text_peek(t) == '"';
    if (quoted)
        *quoted = q;
    if (t->failed)
        return false;
    return q ? quoted_string(t, out) : bare(t, false, false, out, "a name");
}

bool text_value(Text *t, const char **out)
{
    if (t->failed)
        return false;
    return text_peek(t) == '"' ? quoted_string(t, out) : bare(t, true, true, out, "a value");
}

bool text_hash(Text *t, const char **out)
{
    if (t->failed)
        return false;
    return text_peek(t) == '"' ? quoted_string(t, out) : bare(t, true, false, out, "a hash");
}

/* Digits, at most 18 of them, so that nothing overflows. */
static bool digits(Text *t, int64_t *out)
{
    int64_t v = 0;
    int     n = 0;
    for (; t->at < t->end && is_digit(*t->at) && n < 19; t->at++, n++)
        v = n < 18 ? v * 10 + (*t->at - '0') : INT64_MAX;
    *out = v;
    return n > 0 && n < 19;
}

bool text_integer(Text *t, int64_t low, int64_t high, int64_t *out)
{
    if (t->failed)
        return false;
    bool        minus = text_peek(t) == '-';
    const char *begin = t->at;
    t->at += minus;
    int64_t v;
    if (!digits(t, &v)) {
        t->at = begin;
        return text_expected(t, "an integer");
    }
    v = minus ? -v : v;
    if (v < low || v > high) {
        t->at = begin;
        return text_fail(t, "%s is not between %" PRId64 " and %" PRId64, found(t), low, high);
    }
    *out = v;
    return true;
}

bool text_int32(Text *t, int32_t low, int32_t high, int32_t *out)
{
    int64_t v;
    if (!text_integer(t, low, high, &v))
        return false;
    *out = (int32_t)v;
    return true;
}

bool text_at_number(Text *t)
{
    char c = text_peek(t);
    if (is_digit(c) || c == '-')
        return true;
    Text here = *t; /* a look ahead */
    return text_take(&here, "inf") || text_take(&here, "nan");
}

bool text_number(Text *t, double *out)
{
    if (t->failed)
        return false;
    char   copy[48];
    size_t n = 0;
    text_peek(t);
    const char *s = t->at;
    bool        minus = s < t->end && *s == '-';
    t->at += minus;
    if (text_take(t, "inf") || (!minus && text_take(t, "nan"))) {
        *out = *s == 'n' ? (double)NAN : minus ? (double)-INFINITY : (double)INFINITY;
        return true;
    }
    t->at = s;
    for (; s < t->end && n < sizeof copy - 1 && (is_digit(*s) || (*s && strchr("+-.eE", *s))); s++)
        copy[n++] = *s;
    copy[n] = 0;
    char  *stop = copy;
    double v = n ? strtod(copy, &stop) : 0; /* in the C locale: nothing here calls setlocale() */
    if (n == 0 || *stop || n == sizeof copy - 1)
        return text_expected(t, "a number");
    t->at = s;
    *out = v;
    return true;
}

bool text_shape(Text *t, PlanShape *out)
{
    *out = (PlanShape){0};
    if (t->failed)
        return false;
    if (text_take(t, "scalar"))
        return true;
    text_peek(t);
    do {
        int64_t v;
        if (out->rank == PLAN_MAX_RANK)
            return text_fail(t, "shape of rank over %d", PLAN_MAX_RANK);
        if (!digits(t, &v))
            return text_expected(t, "a shape like 128x256, or 'scalar'");
        if (v < 1 || v > INT32_MAX)
            return text_fail(t, "extent %" PRId64 " of a shape is not between 1 and %d", v, INT32_MAX);
        out->dim[out->rank++] = (int32_t)v;
    } while (t->at < t->end && *t->at == 'x' && t->at++);
    return true;
}

/* buf.c: growing text buffer; see buf.h. */
#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(Buf *b, size_t more)
{
    if (b->cap - b->len > more)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap - b->len <= more)
        cap *= 2;
    b->data = xrealloc(b->data, cap);
    b->cap = cap;
}

void buf_add(Buf *b, const void *bytes, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_puts(Buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_putc(Buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vprintf(Buf *b, const char *fmt, va_list ap)
{
    if (!fmt) /* tells the compiler, which cannot know under -fsanitize */
        bug("no format");
    enum { SMALL = 128 }; /* nearly all pieces are short: formatted once */
    va_list again;
    va_copy(again, ap);
    reserve(b, SMALL);
    int n = vsnprintf(b->data + b->len, SMALL + 1, fmt, again);
    va_end(again);
    if (n < 0)
        bug("bad format '%s'", fmt);
    if (n > SMALL) {
        reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    }
    b->len += (size_t)n;
}

void buf_printf(Buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_double(Buf *b, double x)
{
    char t[40];
    if (isnan(x)) {
        buf_puts(b, "nan");
        return;
    }
    if (isinf(x)) {
        buf_puts(b, x < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = 1; p <= 17; p++) { /* snprintf and strtod are used in the C locale: nothing here calls setlocale() */
        snprintf(t, sizeof t, "%.*g", p, x);
        if (strtod(t, NULL) == x)
            break;
    }
    buf_puts(b, t);
    if (!strpbrk(t, ".eE"))
        buf_puts(b, ".0");
}

void buf_clear(Buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

void buf_free(Buf *b)
{
    free(b->data);
    *b = (Buf){0};
}

void buf_trim(Buf *b)
{
    while (b->len && strchr(" \n.", b->data[b->len - 1]))
        b->data[--b->len] = 0;
}

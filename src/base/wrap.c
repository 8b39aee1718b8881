/* wrap.c: see wrap.h. Widths are bytes: help texts are ASCII. */
#include "base/wrap.h"

#include <stdbool.h>
#include <string.h>

static void pad(Buf *out, size_t line, size_t column)
{
    while (out->len - line < column)
        buf_putc(out, ' ');
}

void wrap_words(Buf *out, size_t line, size_t column, const char *text)
{
    pad(out, line, column);
    for (bool first = true; *text; first = false) {
        size_t word = strcspn(text, " ");
        if (!first && out->len - line + 1 + word > WRAP_COLUMNS) {
            buf_putc(out, '\n');
            line = out->len;
            pad(out, line, column);
        } else if (!first) {
            buf_putc(out, ' ');
        }
        buf_add(out, text, word);
        text += word;
        text += strspn(text, " ");
    }
    buf_putc(out, '\n');
}

void wrap_row(Buf *out, size_t column, const char *left, const char *help)
{
    size_t line = out->len;
    buf_puts(out, left);
    if (out->len - line >= column) {
        buf_putc(out, '\n');
        line = out->len;
    }
    wrap_words(out, line, column, help);
}

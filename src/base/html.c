/* html.c: see html.h. */
#include "base/html.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

void html_text(Buf *out, const char *s)
{
    for (size_t left = strlen(s), n; left; s += n, left -= n) {
        n = utf8_length(s, left);
        bool control = n == 0 || (unsigned char)*s < ' ' || *s == 0x7f;
        switch (*s) {
        case '&': buf_puts(out, "&amp;"); break;
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '"': buf_puts(out, "&quot;"); break;
        case '\'': buf_puts(out, "&#39;"); break;
        case '\t':
        case '\n': buf_putc(out, *s); break;
        default: buf_add(out, control ? "\xef\xbf\xbd" : s, control ? 3 : n); /* U+FFFD */
        }
        n = n ? n : 1;
    }
}

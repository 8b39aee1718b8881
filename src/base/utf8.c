/* utf8.c: see utf8.h. */
#include "base/utf8.h"

#include "base/buf.h"

#include <string.h>

size_t utf8_length(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return s[0] != 0;
    size_t   len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    uint32_t code = s[0] & (0xffu >> (len + 1));
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : len;
}

const char *utf8_clean(Arena *a, const char *s)
{
    size_t n = strlen(s), good = 0, len;
    while (good < n && (len = utf8_length(s + good, n - good)))
        good += len;
    if (good == n)
        return s;
    Buf b = {0};
    for (size_t i = 0; i < n; i += len ? len : 1) {
        len = utf8_length(s + i, n - i);
        buf_add(&b, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
    }
    s = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return s;
}

/* utf8.h: is it text? Files and plans are untrusted; what shows them to people or tools writes UTF-8 only. */
#ifndef ANEL_BASE_UTF8_H
#define ANEL_BASE_UTF8_H

#include "base/arena.h"

/* Length of the UTF-8 sequence at `s` (of `n` bytes), 0 if it is none. NUL, overlong forms and surrogates are none. */
size_t utf8_length(const char *s, size_t n);
/* `s` with U+FFFD for each byte that begins no sequence; `s` itself if there are none. */
const char *utf8_clean(Arena *a, const char *s);

#endif

/* buf.h: a growing text or byte buffer on the heap. Zero-initialise it; the bytes are always followed by a NUL. */
#ifndef ANEL_BASE_BUF_H
#define ANEL_BASE_BUF_H

#include "base/arena.h"

typedef struct {
    char  *data; /* NULL while empty */
    size_t len, cap;
} Buf;

void buf_add(Buf *b, const void *bytes, size_t n);
void buf_puts(Buf *b, const char *s);
void buf_putc(Buf *b, char c);
void buf_printf(Buf *b, const char *fmt, ...) ANEL_PRINTF(2, 3);
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
/* The shortest decimal text that strtod() reads back as exactly `x`; always with a '.' or an exponent, so that it
 * lexes as a float. Independent of the locale. Infinities and NaN print as inf, -inf, nan. */
void buf_double(Buf *b, double x);
/* Drop blanks and line ends at the end, and a full stop there: the text goes on in a sentence. */
void buf_trim(Buf *b);
void buf_clear(Buf *b); /* length 0, memory kept */
void buf_free(Buf *b);

#endif

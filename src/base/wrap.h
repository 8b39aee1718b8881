/* wrap.h: text for terminals in columns. */
#ifndef ANEL_WRAP_H
#define ANEL_WRAP_H

#include "base/buf.h"

enum { WRAP_COLUMNS = 80 }; /* of help texts, on any terminal: their lines are compared by tests and read in files */

/* The words of `text` from `column` on, wrapped before WRAP_COLUMNS, and a newline. `line` is the offset in `out` where
 * the line at hand began. Continued lines are indented to `column`; a word too long for a line has one of its own. */
void wrap_words(Buf *out, size_t line, size_t column, const char *text);

/* A row of a list of options: `left`, which may be too long for its column and then has a line of its own, and the
 * wrapped `help` from `column` on. */
void wrap_row(Buf *out, size_t column, const char *left, const char *help);

#endif

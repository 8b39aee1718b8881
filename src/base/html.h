/* html.h: text in pages and pictures (HTML, SVG) that other parts write. */
#ifndef ANEL_BASE_HTML_H
#define ANEL_BASE_HTML_H

#include "base/buf.h"

/* Append `s` as text or as the value of a quoted attribute. Bytes that are no UTF-8, and control characters other than
 * tab and newline, become U+FFFD. */
void html_text(Buf *out, const char *s);

#endif

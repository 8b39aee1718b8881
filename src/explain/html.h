/* html.h: a plan as one page that needs nothing else: the picture of each entry, tables, and every program as a picture and
 * as MIL text beside the source lines it came from. */
#ifndef ANEL_EXPLAIN_HTML_H
#define ANEL_EXPLAIN_HTML_H

#include "plan/plan.h"

/* Append the page of the plan in `dir`. `tables` is text for people (anec explain), shown as it is; NULL: left out. False
 * with a sentence in `err` when MIL text is missing or cannot be read; without maps or sources there is a page without them.
 * Scratch memory in `a`. */
bool plan_html(Arena *a, const char *dir, const Plan *plan, const char *tables, Buf *out, Buf *err);

#endif

/* explain.h: what is known about the framework's errors. */
#ifndef ANEL_ANE_EXPLAIN_H
#define ANEL_ANE_EXPLAIN_H

#include "base/buf.h"

#include <stdint.h>

typedef enum { ANE_COMPILING = 1, ANE_LOADING = 2, ANE_EVALUATING = 4, ANE_ANYTIME = 7 } AneStage;

/* Append what published projects found behind an error with this text and code, a sentence a line with the rules of
 * docs/rules.md it may have broken; nothing if nobody knows. `alive`: models of this process. */
void ane_explain(AneStage stage, const char *text, int64_t code, uint32_t alive, Buf *out);

#endif

/* scratch.h: large working memory for a moment, without asking the system each time.
 *
 * Blocks are kept when they are given back and serve the next who asks, on any thread; what is kept is bounded by what
 * was in use at the same time. They lie on huge pages where the system has them. */
#ifndef ANEL_RUNTIME_SCRATCH_H
#define ANEL_RUNTIME_SCRATCH_H

#include <stddef.h>

/* At least `bytes`, aligned to a huge page, contents undefined. Ends the process if there is no memory. */
void *scratch_take(size_t bytes);
void scratch_give(void *p); /* NULL is fine */
/* Return everything that is not in use to the system. */
void scratch_trim(void);

#endif

/* slab.h: large pieces of zeroed memory, aligned for vectors, on huge pages where the system has them: with pages of
 * 4 KiB walking over several arrays of hundreds of megabytes at once spends its time on looking up pages. */
#ifndef ANEL_RUNTIME_SLAB_H
#define ANEL_RUNTIME_SLAB_H

#include <stddef.h>

typedef struct {
    void  *data; /* NULL: no memory */
    size_t mapped;
} Slab;

/* `bytes` of zeros; pages are only backed once they are touched. Aligned to 64 bytes at least. */
Slab slab_new(size_t bytes);
void slab_free(Slab *s); /* an empty one is fine */

#endif

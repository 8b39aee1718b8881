/* slab.c: see slab.h. Small slabs come from the allocator, others from the system in whole huge pages. */
#include "slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SLAB_ALIGN = 64, HUGE_PAGE = 2 << 20 };

Slab slab_new(size_t bytes)
{
    Slab s = {0};
    if (bytes > SIZE_MAX / 2)
        return s;
    if (bytes < HUGE_PAGE) {
        size_t n = (bytes + SLAB_ALIGN) / SLAB_ALIGN * SLAB_ALIGN;
        s.data = aligned_alloc(SLAB_ALIGN, n);
        if (s.data)
            memset(s.data, 0, n);
        return s;
    }
    size_t n = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char  *p = mmap(NULL, n + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (p == MAP_FAILED)
        return s;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        (void)munmap(p, before);
    if (HUGE_PAGE - before)
        (void)munmap(p + before + n, HUGE_PAGE - before);
    s = (Slab){p + before, n};
#ifdef MADV_HUGEPAGE
    (void)madvise(s.data, n, MADV_HUGEPAGE); /* advice: small pages cost time, not correctness */
#endif
    return s;
}

void slab_free(Slab *s)
{
    if (s->mapped)
        (void)munmap(s->data, s->mapped);
    else
        free(s->data);
    *s = (Slab){0};
}

/* scratch.c: see scratch.h. A list of blocks under one lock; threads are few and blocks fewer. */
#include "scratch.h"

#include "base/arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 2 << 20 };

typedef struct Block {
    struct Block *next;
    char *memory;
    size_t bytes;
    int used;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;

static void allocate(Block *b, size_t bytes)
{
    size_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    free(b->memory);
    b->memory = aligned_alloc(PAGE, rounded);
    if (!b->memory)
        b->memory = xmalloc(rounded); /* ends the process with a message */
#ifdef MADV_HUGEPAGE
    (void)madvise(b->memory, rounded, MADV_HUGEPAGE); /* advice: small pages cost time, not correctness */
#endif
    b->bytes = rounded;
}

/* The smallest free block that is large enough; else the largest free one, made larger. */
void *scratch_take(size_t bytes)
{
    Block *best = NULL;
    pthread_mutex_lock(&lock);
    for (Block *b = blocks; b; b = b->next) {
        if (b->used)
            continue;
        bool fits = b->bytes >= bytes, had = best && best->bytes >= bytes;
        if (!best || (fits && !had) || (fits == had && (fits ? b->bytes < best->bytes : b->bytes > best->bytes)))
            best = b;
    }
    if (!best) {
        best = xcalloc(1, sizeof *best);
        best->next = blocks;
        blocks = best;
    }
    if (best->bytes < bytes)
        allocate(best, bytes);
    best->used = 1;
    pthread_mutex_unlock(&lock);
    return best->memory;
}

void scratch_give(void *p)
{
    pthread_mutex_lock(&lock);
    for (Block *b = blocks; p && b; b = b->next)
        if (b->memory == p)
            b->used = 0;
    pthread_mutex_unlock(&lock);
}

void scratch_trim(void)
{
    pthread_mutex_lock(&lock);
    for (Block **at = &blocks; *at;) {
        Block *b = *at;
        if (b->used) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        free(b->memory);
        free(b);
    }
    pthread_mutex_unlock(&lock);
}

/* arena.c: chunked bump allocation. Chunks double in size up to 1 MiB; a larger request gets a chunk of its own. */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 1 << 14, LAST_CHUNK = 1 << 20, ALIGN = 16 };

typedef struct Chunk {
    struct Chunk *next;
    size_t        used, cap;
} Chunk;

struct Arena {
    Chunk *chunk;
    size_t next_cap;
};

static ANEL_NORETURN void out_of_memory(size_t size)
{
    fprintf(stderr, "anel: out of memory (%zu bytes wanted)\n", size);
    exit(1);
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory(n * size);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        out_of_memory(size);
    return q;
}

/* Bytes from the start of a chunk to its first payload byte. */
static size_t head(void)
{
    return (sizeof(Chunk) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static void add_chunk(Arena *a, size_t want)
{
    size_t cap = a->next_cap;
    if (cap < want)
        cap = want;
    else if (a->next_cap < LAST_CHUNK)
        a->next_cap *= 2;
    Chunk *c = xmalloc(head() + cap);
    c->next = a->chunk;
    c->used = 0;
    c->cap = cap;
    a->chunk = c;
}

Arena *arena_new(void)
{
    Arena *a = xcalloc(1, sizeof *a);
    a->next_cap = FIRST_CHUNK;
    return a;
}

void arena_reset(Arena *a)
{
    while (a->chunk && a->chunk->next) {
        Chunk *c = a->chunk;
        a->chunk = c->next;
        free(c);
    }
    if (a->chunk)
        a->chunk->used = 0;
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    while (a->chunk) {
        Chunk *c = a->chunk;
        a->chunk = c->next;
        free(c);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t size)
{
    if (size > SIZE_MAX - ALIGN - sizeof(Chunk) * 2)
        out_of_memory(size);
    size_t want = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!a->chunk || a->chunk->cap - a->chunk->used < want)
        add_chunk(a, want);
    void *p = (char *)a->chunk + head() + a->chunk->used;
    a->chunk->used += want;
    memset(p, 0, want);
    return p;
}

void *arena_array(Arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        out_of_memory(SIZE_MAX);
    return arena_alloc(a, n * size);
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    if (n)
        memcpy(p, s, n);
    return p;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap)
{
    if (!fmt) /* tells the compiler, which cannot know under -fsanitize */
        bug("no format");
    if (!fmt) /* gcc with sanitizers wants to see that it is not */
        bug("no format");
    char    small[256]; /* nearly all texts are short: formatted once */
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, again);
    va_end(again);
    if (n < 0)
        bug("bad format '%s'", fmt);
    if ((size_t)n < sizeof small)
        return arena_strndup(a, small, (size_t)n);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void *arena_grow(Arena *a, void *ptr, size_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return ptr;
    uint32_t want = *cap ? *cap * 2 : 8;
    if (want <= *cap || n >= want)
        bug("array too long (%zu elements)", n);
    void *p = arena_array(a, want, size);
    if (*cap)
        memcpy(p, ptr, *cap * size);
    *cap = want;
    return p;
}

void bug_at(const char *file, int line, const char *fmt, ...)
{
    const char *base = strrchr(file, '/');
    fprintf(stderr, "anel: internal error at %s:%d: ", base ? base + 1 : file, line);
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("\nThis is a bug in anel; please report it with the input that shows it.\n", stderr);
    abort();
}

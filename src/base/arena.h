/* arena.h: memory named by lifetime.
 *
 * An Arena hands out zeroed memory that lives until arena_reset() or arena_free(). Functions that allocate take the
 * arena as their first parameter, so that a call shows how long its result lives. Out of memory ends the process with a
 * message: no function here returns NULL. */
#ifndef ANEL_BASE_ARENA_H
#define ANEL_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ANEL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ANEL_NORETURN __attribute__((noreturn))
#else
#define ANEL_PRINTF(f, a)
#define ANEL_NORETURN
#endif

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef struct Arena Arena;

Arena *arena_new(void);
void   arena_reset(Arena *a); /* forget everything, keep one chunk for reuse */
void   arena_free(Arena *a);  /* NULL is fine */

/* Zeroed memory, 16-byte aligned. */
void *arena_alloc(Arena *a, size_t size);
/* `n` zeroed elements of `size` bytes; the product is checked for overflow. */
void *arena_array(Arena *a, size_t n, size_t size);

#define NEW(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define NEW_N(a, T, n) ((T *)arena_array((a), (n), sizeof(T)))

char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_strdup(Arena *a, const char *s);
char *arena_printf(Arena *a, const char *fmt, ...) ANEL_PRINTF(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);

/* Make room for element `n` of a growable array living in an arena: `ptr` moves, the old block is left behind.
 *     GROW(arena, g->node, g->count, g->cap);   g->node[g->count++] = ...; */
void *arena_grow(Arena *a, void *ptr, size_t n, uint32_t *cap, size_t size);
#define GROW(a, ptr, n, cap) ((ptr) = arena_grow((a), (ptr), (n), &(cap), sizeof *(ptr)))

/* An internal error: print file, line and message to standard error and abort. For our mistakes, never the user's. */
void bug_at(const char *file, int line, const char *fmt, ...) ANEL_NORETURN ANEL_PRINTF(3, 4);
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* malloc family that ends the process with a message when memory runs out; for objects with their own life. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);

#endif

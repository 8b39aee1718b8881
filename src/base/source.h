/* source.h: source files and places in them.
 *
 * Tokens and nodes keep byte ranges (Span); line and column are worked out from a line table when a message is printed.
 * Columns are counted in code points. */
#ifndef ANEL_BASE_SOURCE_H
#define ANEL_BASE_SOURCE_H

#include "base/arena.h"

typedef struct {
    uint32_t file;       /* index into Sources + 1; 0 = no place */
    uint32_t begin, end; /* byte range */
} Span;

typedef struct {
    const char *name; /* as the user wrote it */
    const char *text; /* NUL-terminated, `len` bytes before the NUL */
    size_t      len;
    uint32_t   *line; /* byte offset of each line's first byte */
    uint32_t    lines;
} Source;

typedef struct {
    Arena   *arena;
    Source **file;
    uint32_t count, cap;
} Sources;

Sources *sources_new(Arena *a);
/* Register text that is already in memory (copied into the arena); returns the file number for spans (from 1). */
uint32_t      sources_add(Sources *s, const char *name, const char *text, size_t len);
const Source *source_of(const Sources *s, Span at); /* NULL for the empty span */
/* Line and column of a byte offset, both from 1; the column counts code points. */
void source_position(const Source *f, uint32_t offset, uint32_t *line, uint32_t *column);
/* Text of a line (from 1) without its newline. */
const char *source_line(const Source *f, uint32_t line, size_t *len);

static inline Span span_join(Span a, Span b)
{
    return a.file ? (Span){a.file, a.begin, b.end > a.end ? b.end : a.end} : b;
}

#endif

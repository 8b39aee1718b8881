/* source.c: registered source files and their line tables; see source.h. */
#include "base/source.h"

#include <string.h>

Sources *sources_new(Arena *a)
{
    Sources *s = NEW(a, Sources);
    s->arena = a;
    return s;
}

uint32_t sources_add(Sources *s, const char *name, const char *text, size_t len)
{
    Source *f = NEW(s->arena, Source);
    f->name = arena_strdup(s->arena, name);
    f->text = arena_strndup(s->arena, text, len);
    f->len = len;
    uint32_t cap = 0;
    GROW(s->arena, f->line, f->lines, cap);
    f->line[f->lines++] = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n') {
            GROW(s->arena, f->line, f->lines, cap);
            f->line[f->lines++] = (uint32_t)(i + 1);
        }
    GROW(s->arena, s->file, s->count, s->cap);
    s->file[s->count++] = f;
    return s->count;
}

const Source *source_of(const Sources *s, Span at)
{
    if (at.file == 0)
        return NULL;
    if (at.file > s->count)
        bug("file %u of %u", at.file, s->count);
    return s->file[at.file - 1];
}

void source_position(const Source *f, uint32_t offset, uint32_t *line, uint32_t *column)
{
    if (offset > f->len)
        offset = (uint32_t)f->len;
    uint32_t lo = 0, hi = f->lines;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->line[mid] <= offset)
            lo = mid;
        else
            hi = mid;
    }
    uint32_t col = 1;
    for (uint32_t i = f->line[lo]; i < offset; i++)
        col += ((unsigned char)f->text[i] & 0xc0u) != 0x80u;
    *line = lo + 1;
    *column = col;
}

const char *source_line(const Source *f, uint32_t line, size_t *len)
{
    if (line == 0 || line > f->lines) {
        *len = 0;
        return "";
    }
    uint32_t begin = f->line[line - 1];
    size_t   end = line < f->lines ? f->line[line] - 1u : f->len;
    if (end > begin && f->text[end - 1] == '\r')
        end--;
    *len = end - begin;
    return f->text + begin;
}

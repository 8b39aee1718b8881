/* map.c: see map.h. Names of files may contain spaces: the direction in the middle of a line tells its two places apart. */
#include "explain/map.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Digits s[0, n) as a number from 1; 0: they are not. */
static uint32_t number(const char *s, size_t n)
{
    uint32_t x = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || x > (INT_MAX - 9) / 10)
            return 0;
        x = 10 * x + (uint32_t)(s[i] - '0');
    }
    return x;
}

/* FILE:LINE:COLUMN. */
static MapPlace place(Arena *a, const char *s, size_t n)
{
    size_t column = n, line;
    while (column > 0 && s[column - 1] != ':')
        column--;
    line = column ? column - 1 : 0;
    while (line > 0 && s[line - 1] != ':')
        line--;
    uint32_t at = line > 1 ? number(s + line, column - 1 - line) : 0;
    return at ? (MapPlace){arena_strndup(a, s, line - 1), at} : (MapPlace){0};
}

/* Where " fwd " or " bwd " begins in s[0, n), or n. */
static size_t direction(const char *s, size_t n)
{
    for (size_t i = 0; i + 5 <= n; i++)
        if (memcmp(s + i, " fwd ", 5) == 0 || memcmp(s + i, " bwd ", 5) == 0)
            return i;
    return n;
}

static bool read_line(Arena *a, const char *s, size_t n, MapLine *out)
{
    size_t word = 0;
    while (word < n && s[word] != ' ')
        word++;
    *out = (MapLine){.line = number(s, word)};
    if (!out->line || word == n)
        return false;
    s += word + 1;
    n -= word + 1;
    size_t middle = direction(s, n);
    out->expression = place(a, s, middle);
    if (middle < n) {
        size_t end = middle + 5; /* of the operation */
        while (end < n && s[end] != ' ')
            end++;
        out->backward = s[middle + 1] == 'b';
        out->statement = end < n ? place(a, s + end + 1, n - end - 1) : (MapPlace){0};
    }
    if (!out->statement.file)
        out->statement = out->expression;
    if (!out->expression.file)
        out->expression = out->statement;
    return out->statement.file != NULL;
}

bool map_next(Arena *a, const char **text, MapLine *out)
{
    while (**text) {
        const char *s = *text;
        size_t      n = strcspn(s, "\n");
        *text = s + n + (s[n] == '\n');
        if (read_line(a, s, n, out))
            return true;
    }
    return false;
}

bool map_same_place(MapPlace x, MapPlace y)
{
    return x.line == y.line && (x.file == y.file || (x.file && y.file && strcmp(x.file, y.file) == 0));
}

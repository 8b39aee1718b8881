/* suggest.c: spelling suggestions; see suggest.h. */
#include "base/suggest.h"

#include <string.h>

enum { MAX_WORD = 63 }; /* the language's longest identifier */

size_t edit_distance(const char *a, const char *b, size_t limit)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX_WORD || m > MAX_WORD || (n > m ? n - m : m - n) > limit)
        return limit + 1;
    size_t row[3][MAX_WORD + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];
        cur[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = prev[j - 1] + (a[i - 1] != b[j - 1]);
            if (prev[j] + 1 < d)
                d = prev[j] + 1;
            if (cur[j - 1] + 1 < d)
                d = cur[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && prev2[j - 2] + 1 < d)
                d = prev2[j - 2] + 1;
            cur[j] = d;
        }
    }
    size_t d = row[n % 3][m];
    return d > limit ? limit + 1 : d;
}

void suggest(Suggest *s, const char *candidate)
{
    size_t limit = strlen(s->word) / 3;
    if (limit == 0)
        limit = 1;
    size_t d = edit_distance(s->word, candidate, limit);
    if (d <= limit && strcmp(s->word, candidate) != 0 && (!s->best || d < s->best_distance)) {
        s->best = candidate;
        s->best_distance = d;
    }
}

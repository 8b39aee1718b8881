/* suggest.h: "did you mean". */
#ifndef ANEL_BASE_SUGGEST_H
#define ANEL_BASE_SUGGEST_H

#include <stddef.h>

/* Edit distance with transpositions (optimal string alignment), at most `limit` + 1. */
size_t edit_distance(const char *a, const char *b, size_t limit);

/* The name closest to `word` if it is near enough to be a likely misspelling (a third of the word's length, at least
 * one edit), else NULL. Ties go to the earlier name. Feed candidates one by one:
 *     Suggest s = {word};  for (...) suggest(&s, name);  if (s.best) ... */
typedef struct {
    const char *word;
    const char *best;
    size_t      best_distance;
} Suggest;
void suggest(Suggest *s, const char *candidate);

#endif

/* switches.c: the words of ANEL_FAKE. */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

/* The text behind `word`, at ',' , '=' or the end; NULL if it is not there. */
static const char *find(const char *word)
{
    const char *all = getenv("ANEL_FAKE");
    size_t      n = strlen(word);
    for (const char *p = all; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '=' || p[n] == 0))
            return p + n;
    return NULL;
}

bool fake_has(const char *word)
{
    return find(word) != NULL;
}

int64_t fake_number(const char *word, int64_t otherwise)
{
    const char *p = find(word);
    return p && *p == '=' ? strtoll(p + 1, NULL, 10) : otherwise;
}

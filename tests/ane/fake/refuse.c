/* refuse.c: texts that the engine's compiler does not take, by words in ANEL_FAKE:
 *
 *   refuse-op=NAME     those with an operation of this name
 *   refuse-pair=A+B    those with an operation A and an operation B
 *   refuse-not=NAME    of those that refuse-op refuses, the ones with this operation are taken all the same: refusals that
 *                      are not monotone */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

/* The value of a word, `n` bytes; NULL if it is not there. */
static const char *value_of(const char *word, size_t *n)
{
    const char *at = getenv("ANEL_FAKE");
    size_t      len = strlen(word);
    for (; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, word, len) == 0 && at[len] == '=') {
            *n = strcspn(at + len + 1, ",");
            return at + len + 1;
        }
    return NULL;
}

/* Does " NAME(" stand in the text? */
static bool has(const char *text, size_t len, const char *name, size_t n)
{
    for (size_t i = 1; i + n < len; i++)
        if (text[i - 1] == ' ' && text[i + n] == '(' && strncmp(text + i, name, n) == 0)
            return true;
    return false;
}

bool fake_refuses(const char *text, size_t len)
{
    size_t      n, half;
    const char *word;
    bool        no = (word = value_of("refuse-op", &n)) && has(text, len, word, n);
    if ((word = value_of("refuse-not", &n)))
        no = no && !has(text, len, word, n);
    if ((word = value_of("refuse-pair", &n)) && (half = strcspn(word, "+")) < n)
        no = no || (has(text, len, word, half) && has(text, len, word + half + 1, n - half - 1));
    return no;
}

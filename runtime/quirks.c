/* quirks.c: see quirks.h. */
#include "quirks.h"

#include <string.h>

const QuirkInfo quirk_info[QUIRK_COUNT] = {
#define QUIRK(name, word, implied, help) {word, help},
#include "quirks.def"
};

uint32_t quirk_find(const char *word, size_t len)
{
    for (uint32_t i = 0; i < QUIRK_COUNT; i++)
        if (strlen(quirk_info[i].word) == len && memcmp(quirk_info[i].word, word, len) == 0)
            return UINT32_C(1) << i;
    return 0;
}

uint32_t quirks_of(const Target *t)
{
    uint32_t q = 0;
#define QUIRK(name, word, implied, help) q |= (implied) ? QUIRK_##name : 0;
#include "quirks.def"
    return q;
}

/* explain.c: see explain.h. The numbers and words are those of published reports (docs/engine.md E434). */
#include "ane/explain.h"

#include "base/arena.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { ANY = INT32_MIN, MANY = 90 }; /* tables of 100 to 128 programs were met (docs/engine.md E301) */

typedef struct {
    unsigned    stages;
    int64_t     code;
    const char *words, *sentence, *rules;
} Known;

static const Known known[] = {
#define ERROR(stages, code, words, sentence, rules) {stages, code, words, sentence, rules},
#include "ane/explain.def"
};

/* Is it there, in any case of letters? A number has to end where it ends: 0x2 is not in 0x20004. */
static bool has(const char *text, const char *words)
{
    size_t n = strlen(words);
    bool   number = strncmp(words, "0x", 2) == 0;
    for (; *text; text++)
        if (strncasecmp(text, words, n) == 0 && !(number && isxdigit((unsigned char)text[n])))
            return true;
    return n == 0;
}

void ane_explain(AneStage stage, const char *text, int64_t code, uint32_t alive, Buf *out)
{
    for (size_t i = 0; i < COUNT(known); i++)
        if ((known[i].stages & stage) && (known[i].code == ANY || known[i].code == code) &&
            has(text ? text : "", known[i].words))
            buf_printf(out, "  reported for this: %s (%s in docs/rules.md)\n", known[i].sentence, known[i].rules);
    if ((stage & (ANE_COMPILING | ANE_LOADING)) && alive >= MANY)
        buf_printf(out,
                   "  this process holds %u models: systems were seen to take no more than 100 to 128 (docs/engine.md E301, "
                   "E605; ANE005 in docs/rules.md)\n",
                   (unsigned)alive);
}

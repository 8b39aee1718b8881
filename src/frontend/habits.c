/* habits.c: words of other languages that begin a statement there, and what to write here. repair.c asks for them where
 * two words stand in a row at the start of a statement, which is never right. */
#include "frontend/syntax.h"

#include "anel.tab.h"

#include <string.h>

static const Habit habits[] = {
    {"let", 0, "names are bound without 'let'", "x = ..."},
    {"var", 0, "names are bound without 'var'", "x = ..."},
    {"val", 0, "names are bound without 'val'", "x = ..."},
    {"auto", 0, "names are bound without 'auto'", "x = ..."},
    {"pub", 0, "everything is public", ""},
    {"export", 0, "everything is public", ""},
    {"def", TOK_FN, "functions are declared with 'fn'", "fn"},
    {"func", TOK_FN, "functions are declared with 'fn'", "fn"},
    {"function", TOK_FN, "functions are declared with 'fn'", "fn"},
    {"layer", TOK_BLOCK, "functions with parameters are declared with 'block'", "block"},
    {"module", TOK_BLOCK, "functions with parameters are declared with 'block'", "block"},
    {"class", TOK_MODEL, "models are declared with 'model'", "model"},
    {"struct", TOK_MODEL, "models are declared with 'model'", "model"},
    {"import", TOK_USE, "files are included with 'use'", "use"},
    {"include", TOK_USE, "files are included with 'use'", "use"},
    {"weight", TOK_PARAM, "parameters are declared with 'param'", "param"},
    {"parameter", TOK_PARAM, "parameters are declared with 'param'", "param"},
    {"loop", TOK_REPEAT, "repetition is written 'repeat'", "repeat"},
};

const Habit *habit_of(const char *word)
{
    for (size_t k = 0; k < COUNT(habits); k++)
        if (strcmp(habits[k].word, word) == 0)
            return &habits[k];
    return NULL;
}

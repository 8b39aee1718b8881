/* refusal_cut.h: parts of a MIL program as programs of their own.
 *
 * A program is a list of steps: its statements but for constants, function after function, in the order of the text. Any
 * set of them can be written as a program: constants follow the steps that read them; values that only left-out steps
 * would have read are returned, in alphabetical order (ANE003); values that left-out steps would have made are inputs.
 * Statements are copied as they stand, so that every line of a part can be found in the whole. */
#ifndef ANEL_RUNTIME_REFUSAL_CUT_H
#define ANEL_RUNTIME_REFUSAL_CUT_H

#include "base/buf.h"
#include "base/source.h"

#include <stdbool.h>

typedef struct Cut Cut;

typedef struct {
    const char *function, *op, *result; /* "main", "softmax", "p"; "" for a statement without results */
    Span        at;                     /* from the type of its first result to its semicolon */
    uint32_t    line;                   /* of the text, from 1 */
} CutStep;

typedef struct {
    Buf          text; /* buf_free() it */
    const char **file; /* weight files that the part names, each once, in the order of the text */
    uint32_t     files;
    uint32_t     steps, last; /* how many are in it, and which is the last of them */
    uint32_t     line;        /* of that one in the part's text */
    uint32_t     added;       /* outputs that a reshape was added for: other ranks than 4 are no ports */
} CutText;

/* Take a text apart. Everything lives in `a`, `mil` must outlive it. NULL for what is no MIL text. */
Cut *cut_open(Arena *a, const char *name, const char *mil, size_t len);

uint32_t       cut_steps(const Cut *c);
const CutStep *cut_step(const Cut *c, uint32_t step);

/* Add to keep[steps] what `step` needs, itself included. */
void cut_add(const Cut *c, uint32_t step, bool *keep);

/* The steps for which keep[] is set as a program in `out`, which is emptied first; with all of them the text itself.
 * False if there is none: nothing is left that could be returned, or something would have to be an input that no port can
 * be (bool, integers, other ranks than 4). */
bool cut_text(const Cut *c, const bool *keep, CutText *out);

#endif

/* line.h: the text form that profiles and published figures share (private to src/target): a line is a few words and
 * strings in quotes; '#' begins a comment; lines without words do not count. */
#ifndef ANEL_TARGET_LINE_H
#define ANEL_TARGET_LINE_H

#include "base/diag.h"

enum { MAX_TOKENS = 8 };

typedef struct {
    const char *text; /* of a string: without quotes and escapes */
    Span        at;
    bool        string;
} Token;

typedef struct {
    Arena      *a;
    Diags      *ds;
    uint32_t    file;
    const char *text;
    uint32_t    len, next;
    bool        stop; /* a control character: the rest is not read */
    Token       tok[MAX_TOKENS];
    uint32_t    toks; /* at least 1 */
    Span        line; /* of all of them */
} Lines;

Lines lines_of(Arena *a, const Sources *sources, uint32_t file, Diags *ds);
/* Go to the next line that holds something. Lines that cannot be split are told and skipped. False at the end. */
bool  lines_next(Lines *l);

#endif

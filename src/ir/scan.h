/* scan.h: the tokens of the text form (private to src/ir).
 *
 * A scanner stands at one token; scan_next() moves on. Ends of lines are tokens, because a value ends with its line and
 * recovery resumes at the next one; comments run from ';' to the end of the line. Anything that is no token is one of
 * kind TOK_BAD, which no rule accepts. */
#ifndef ANEL_IR_SCAN_H
#define ANEL_IR_SCAN_H

#include "base/diag.h"

typedef enum {
    TOK_END, TOK_LINE, TOK_WORD, TOK_NUMBER, TOK_STRING,
    TOK_VALUE, /* %name */
    TOK_GRAPH, /* @name */
    TOK_PUNCT, /* one of = : , ( ) [ ] { } */
    TOK_BAD
} Tok;

typedef struct {
    const char *begin, *end, *at; /* at: first byte after the token */
    uint32_t    file;
    Tok         kind;
    const char *text; /* of the token */
    size_t      len;
} Scanner;

Scanner scan_new(const Source *f, uint32_t file); /* stands at the first token */
void    scan_next(Scanner *s);
Span    scan_span(const Scanner *s);
bool    scan_is(const Scanner *s, const char *text); /* word or punctuation? */

/* Text of the string literal at `s` of `len` bytes with its quotes, or NULL if an escape is wrong. */
char *scan_unquote(Arena *a, const char *s, size_t len);

#endif

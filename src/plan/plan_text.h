/* plan_text.h: a cursor over the lines and words of a manifest.
 *
 * Reading is by demand: the parser asks for the word, number or shape that must come next, and what comes next depends
 * on where it is, so there are no tokens. All functions are safe on any bytes. The first failure is kept as a message
 * ("plan.anep:12: ..."); afterwards everything fails. */
#ifndef ANEL_PLAN_PLAN_TEXT_H
#define ANEL_PLAN_PLAN_TEXT_H

#include "plan/plan.h"

typedef struct {
    Arena      *arena; /* of the strings read */
    Buf        *err;
    const char *name; /* of the file */
    const char *at, *end;
    uint32_t    line;
    bool        failed;
} Text;

/* Record a message for the current line; always false. */
bool text_fail(Text *t, const char *fmt, ...) ANEL_PRINTF(2, 3);
/* The same, for something that was to come here: appends what was found instead. */
bool text_expected(Text *t, const char *what);

/* Go to the next line that has anything on it. False at the end of the text. */
bool text_line(Text *t);
/* Nothing but a comment may follow on this line. */
bool text_end(Text *t);
bool text_at_end(Text *t);
/* Give up the rest of the line. False, and nothing done, if it opens a block. */
bool text_skip_line(Text *t);

/* The character that comes next, or 0 at the end of the line. */
char text_peek(Text *t);
/* Consume `s` if it comes next; a word only as a whole. */
bool text_take(Text *t, const char *s);
/* The same, but it must come. */
bool text_need(Text *t, const char *s);

/* A name: a bare word or a quoted string. `quoted` (may be NULL) tells which. */
bool text_name(Text *t, const char **out, bool *quoted);
/* A value: a bare word in which digits, - and + are letters too, or a quoted string. */
bool text_value(Text *t, const char **out);
/* The hash of a file: a word that may start with a digit. */
bool text_hash(Text *t, const char **out);
bool text_integer(Text *t, int64_t low, int64_t high, int64_t *out);
bool text_int32(Text *t, int32_t low, int32_t high, int32_t *out);
bool text_number(Text *t, double *out);
bool text_at_number(Text *t); /* a digit, a minus sign, inf or nan comes next */
bool text_shape(Text *t, PlanShape *out);

#endif

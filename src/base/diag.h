/* diag.h: messages to the user, as values.
 *
 * A diagnostic has a severity, a code, a place, one sentence, labels (text beside a caret), notes and at most one help
 * line. They are collected in order and rendered at the end; tests read the values, people the rendering:
 *
 *     layer.anel:2:25: error[E0103]: named arguments use ':', not '='
 *       2 |   return softmax(x, axis=0);
 *         |                         ^ write 'axis: 0'
 *       note: ...
 *       help: ...
 */
#ifndef ANEL_BASE_DIAG_H
#define ANEL_BASE_DIAG_H

#include "base/buf.h"
#include "base/source.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } Severity;

typedef struct {
    Span        at;   /* file 0: no place */
    const char *text; /* may be "" for a bare caret */
} DiagLabel;

typedef struct Diag {
    Severity    severity;
    const char *code; /* "E0405" */
    Span        at;
    const char *text;
    DiagLabel  *label; /* carets with text; a diagnostic without labels gets a bare caret at `at` */
    uint32_t    labels, labels_cap;
    DiagLabel  *note; /* at.file 0: no place named */
    uint32_t    notes, notes_cap;
    const char *help;
    struct Diags *owner;
} Diag;

typedef struct Diags {
    Arena         *arena;
    const Sources *sources;
    const char    *program; /* prefix of diagnostics without a place, e.g. "anec" */
    Diag         **item;
    uint32_t       count, cap;
    uint32_t       errors;
    uint32_t       limit; /* errors kept; later ones are counted only. 0 = 20 */
} Diags;

enum { DIAG_LIMIT = 20 };

Diags *diags_new(Arena *a, const Sources *sources, const char *program);

/* Record a message. The Diag returned may be extended with the functions below; it is never NULL. */
Diag *diag_error(Diags *ds, const char *code, Span at, const char *fmt, ...) ANEL_PRINTF(4, 5);
Diag *diag_warning(Diags *ds, const char *code, Span at, const char *fmt, ...) ANEL_PRINTF(4, 5);
void  diag_label(Diag *d, Span at, const char *fmt, ...) ANEL_PRINTF(3, 4);
void  diag_note(Diag *d, Span at, const char *fmt, ...) ANEL_PRINTF(3, 4);
void  diag_help(Diag *d, const char *fmt, ...) ANEL_PRINTF(2, 3);

/* Text for people, as in the head of this file. */
void diags_render(const Diags *ds, Buf *out);
/* The same as JSON: an array of records {severity, code, file, line, column, end_line, end_column, message,
 * labels: [{line, column, ..., text}], notes: [...], help}. */
void diags_render_json(const Diags *ds, Buf *out);

#endif

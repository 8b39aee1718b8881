/* read.h: what the parts of the reader share (private to src/ir).
 *
 * Functions that read something return false after a diagnostic; then the rest of the line is skipped. */
#ifndef ANEL_IR_READ_H
#define ANEL_IR_READ_H

#include "ir/scan.h"
#include "ir/text.h"
#include "ir/words.h"

/* What a label stands for; `graph` says in which graph `v` is a value. */
typedef struct {
    GraphId graph_named; /* of @label */
    GraphId graph;       /* of %label */
    ValueId v;
} Meaning;

typedef struct {
    Scanner   s;
    Module   *m;
    Arena    *a;
    Diags    *ds;
    Interner *labels; /* text of %x and @x -> a small number, the index of: */
    Meaning  *meaning;
    uint32_t  meanings;
} Reader;

/* Report that `what` was expected at the current token; always false. */
bool read_fail(Reader *r, const char *what);
/* The word or punctuation mark, if it is next. */
bool read_if(Reader *r, const char *text);
bool read_must(Reader *r, const char *text);
void read_skip_line(Reader *r);
bool read_end_line(Reader *r); /* stays at the end */

bool read_number(Reader *r, double *x);
bool read_int(Reader *r, int64_t lo, int64_t hi, int64_t *x);
bool read_u32(Reader *r, uint32_t *x);
bool read_i32(Reader *r, int32_t *x);
bool read_string(Reader *r, StrId *id);
bool read_type(Reader *r, Type *t);
bool read_list(Reader *r, int32_t lo, int32_t hi, int32_t *item, uint32_t *n, uint32_t max); /* at most `max` */

/* The source name in the label at hand: %wq.2 -> "wq"; 0 for %7. */
bool     read_label_name(Reader *r, StrId *name);
Meaning *read_label(Reader *r);                 /* of the label at hand; moves when other labels come */
bool     read_graph_name(Reader *r, GraphId *g); /* a graph that exists */

/* A graph from its label to the closing brace. */
bool read_graph(Reader *r);

#endif

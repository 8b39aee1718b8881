/* lock.h: plan.lock, the text that pins a partition.
 *
 *     anel-lock 1
 *     # graph         direction  program  value
 *     loss/layers     fwd        1        layers.attention.q
 *
 * One line for each atom (atoms.h): the graph (the entry's name, then the repeat's), the direction, the number of the
 * program within them, and the path of the value in the source. There are no line numbers in it, so edits elsewhere
 * leave it good, and a line whose value is gone pins nothing. */
#ifndef ANEL_BACKEND_ANE_LOCK_H
#define ANEL_BACKEND_ANE_LOCK_H

#include "base/diag.h"
#include "base/source.h"

#include <stdbool.h>

typedef struct {
    const char *graph, *value;
    bool        backward;
    uint32_t    program; /* from 1 */
    Span        at;
} LockLine;

typedef struct Lock {
    Span      at; /* the file */
    LockLine *line;
    uint32_t  lines, cap;
    bool     *used; /* [lines] applies to an atom of the model; set by partition_module() */
} Lock;

/* Read a lock (untrusted). `text` is registered with `sources` under `name`. NULL after diagnostics (E0806). */
Lock *lock_parse(Arena *a, Sources *sources, const char *name, const char *text, size_t len, Diags *ds);

/* The program that line `graph`, direction, `value` names, 0 if none; marks the line as used. */
uint32_t lock_find(const Lock *l, const char *graph, bool backward, const char *value);

void lock_head(Buf *out);
void lock_print(Buf *out, const char *graph, bool backward, uint32_t program, const char *value);

#endif

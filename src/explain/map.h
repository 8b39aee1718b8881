/* map.h: reading map/NAME.map of a plan: which line of a MIL text comes from which place of the model (docs/plan.md, *Names*).
 *
 * Maps are for people and nothing needs them to run, so a line of another form is passed over, never an error. */
#ifndef ANEL_EXPLAIN_MAP_H
#define ANEL_EXPLAIN_MAP_H

#include "base/arena.h"

#include <stdbool.h>

/* A line of a source below src/; `file` is NULL where nothing is known. */
typedef struct {
    const char *file;
    uint32_t    line;
} MapPlace;

typedef struct {
    uint32_t line;       /* of the MIL text, from 1 */
    MapPlace expression; /* what the line computes: often in the library */
    MapPlace statement;  /* of the model's own file, that led there; if only one of the two is known, both are that one */
    bool     backward;
} MapLine;

/* The next readable line at *text, which moves behind it; false at the end. File names live in `a`. */
bool map_next(Arena *a, const char **text, MapLine *out);

bool map_same_place(MapPlace x, MapPlace y);

#endif

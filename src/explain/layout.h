/* layout.h: where the boxes of a picture go: a layered drawing of a directed acyclic graph.
 *
 * The usual four steps (Sugiyama and others, 1981): layers by longest path, invisible boxes where an edge passes a layer,
 * few crossings by putting every box near the middle of its neighbours, places within the layers by the same means. All in
 * integers: the picture of a plan is the same on every machine. */
#ifndef ANEL_EXPLAIN_LAYOUT_H
#define ANEL_EXPLAIN_LAYOUT_H

#include "base/arena.h"

#include <stdbool.h>

typedef struct {
    int32_t  width, height;
    int32_t  x, y;  /* result: upper left corner */
    uint32_t layer; /* result */
} Box;

typedef struct {
    uint32_t from, to; /* boxes; from < to: they come in an order in which everything follows what it reads */
    int32_t *x, *y;    /* result: the corners of its line, from the lower edge of `from` to the upper edge of `to` */
    uint32_t points;
} Edge;

/* Fill the results of boxes and edges; *width and *height become the size of the picture. Memory in `a`. */
void layout(Arena *a, Box *box, uint32_t boxes, Edge *edge, uint32_t edges, int32_t *width, int32_t *height);

#endif

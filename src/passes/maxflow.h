/* maxflow.h: maximum flow and minimum cut in a directed graph with integer capacities.
 *
 *     MaxFlow *f = maxflow_new(arena, nodes);
 *     maxflow_edge(f, u, v, capacity);  ...
 *     int64_t cost = maxflow_run(f, s, t);
 *     if (maxflow_on_source_side(f, u)) ... */
#ifndef ANEL_PASSES_MAXFLOW_H
#define ANEL_PASSES_MAXFLOW_H

#include "base/arena.h"

#include <stdbool.h>

typedef struct MaxFlow MaxFlow;

/* More than any sum of finite capacities may reach; sums of a few of them still fit. */
#define MAXFLOW_INFINITE ((int64_t)1 << 56)

MaxFlow *maxflow_new(Arena *a, uint32_t nodes);
void     maxflow_edge(MaxFlow *f, uint32_t from, uint32_t to, int64_t capacity);
/* Value of the minimum cut between s and t; once per object. */
int64_t maxflow_run(MaxFlow *f, uint32_t s, uint32_t t);
/* After maxflow_run: of all minimum cuts the one with the fewest nodes on the source's side. */
bool maxflow_on_source_side(const MaxFlow *f, uint32_t node);

#endif

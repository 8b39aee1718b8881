/* maxflow.c: Dinic's algorithm: breadth-first levels, then blocking flows along them. Edges are stored in pairs, edge
 * e's reverse is e ^ 1. Graphs have some hundred nodes, and the order of edges fixes the result. See maxflow.h. */
#include "passes/maxflow.h"

typedef struct {
    uint32_t to, next; /* next edge of the same node, 0 = last */
    int64_t  room;
} Edge;

struct MaxFlow {
    Arena    *arena;
    Edge     *edge; /* from 2 on, so that 0 ends lists and pairs are even, odd */
    uint32_t  edges, cap, nodes;
    uint32_t *first, *at, *level, *queue; /* level 0: not reached */
};

MaxFlow *maxflow_new(Arena *a, uint32_t nodes)
{
    MaxFlow *f = NEW(a, MaxFlow);
    f->arena = a;
    f->nodes = nodes;
    f->first = NEW_N(a, uint32_t, nodes);
    f->at = NEW_N(a, uint32_t, nodes);
    f->level = NEW_N(a, uint32_t, nodes);
    f->queue = NEW_N(a, uint32_t, nodes);
    for (int i = 0; i < 2; i++) {
        GROW(a, f->edge, f->edges, f->cap);
        f->edges++;
    }
    return f;
}

static void half_edge(MaxFlow *f, uint32_t from, uint32_t to, int64_t room)
{
    GROW(f->arena, f->edge, f->edges, f->cap);
    f->edge[f->edges] = (Edge){to, f->first[from], room};
    f->first[from] = f->edges++;
}

void maxflow_edge(MaxFlow *f, uint32_t from, uint32_t to, int64_t capacity)
{
    half_edge(f, from, to, capacity);
    half_edge(f, to, from, 0);
}

static bool levels(MaxFlow *f, uint32_t s, uint32_t t)
{
    for (uint32_t i = 0; i < f->nodes; i++) {
        f->level[i] = 0;
        f->at[i] = f->first[i];
    }
    uint32_t head = 0, tail = 0;
    f->level[s] = 1;
    f->queue[tail++] = s;
    while (head < tail) {
        uint32_t u = f->queue[head++];
        for (uint32_t e = f->first[u]; e; e = f->edge[e].next)
            if (f->edge[e].room > 0 && !f->level[f->edge[e].to]) {
                f->level[f->edge[e].to] = f->level[u] + 1;
                f->queue[tail++] = f->edge[e].to;
            }
    }
    return f->level[t] != 0;
}

/* Send up to `limit` from u to t along growing levels. */
static int64_t push(MaxFlow *f, uint32_t u, uint32_t t, int64_t limit)
{
    if (u == t)
        return limit;
    int64_t sent = 0;
    for (; f->at[u]; f->at[u] = f->edge[f->at[u]].next) {
        Edge *e = &f->edge[f->at[u]];
        if (e->room <= 0 || f->level[e->to] != f->level[u] + 1)
            continue;
        int64_t got = push(f, e->to, t, e->room < limit - sent ? e->room : limit - sent);
        e->room -= got;
        f->edge[f->at[u] ^ 1].room += got;
        sent += got;
        if (sent == limit)
            break; /* the edge may have room left: stay on it */
    }
    return sent;
}

int64_t maxflow_run(MaxFlow *f, uint32_t s, uint32_t t)
{
    int64_t flow = 0;
    while (levels(f, s, t))
        flow += push(f, s, t, INT64_MAX / 4);
    return flow;
}

bool maxflow_on_source_side(const MaxFlow *f, uint32_t node)
{
    return f->level[node] != 0; /* of the last, unsuccessful search */
}

/* test_layout.c: drawings: nothing overlaps, edges lead downwards from box to box, the same graph gives the same picture. */
#include "base/rng.h"
#include "explain/layout.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { BOXES = 40 };

typedef struct {
    Box      box[BOXES];
    Edge     edge[4 * BOXES];
    uint32_t edges;
    int32_t  width, height;
} Drawn;

static Drawn random_drawing(Arena *a, uint64_t seed)
{
    Drawn    d = {.edges = 0};
    uint64_t at = 0;
    for (uint32_t i = 0; i < BOXES; i++) {
        d.box[i] = (Box){.width = 20 + (int32_t)(rng_uniform(seed, at) * 120), .height = 20 + (int32_t)(rng_uniform(seed, at + 1) * 20)};
        at += 2;
        uint32_t edges = i > 0 ? 1 + (uint32_t)(rng_uniform(seed, at++) * 3) : 0;
        for (uint32_t k = 0; k < edges; k++)
            d.edge[d.edges++] = (Edge){.from = (uint32_t)(rng_uniform(seed, at++) * i), .to = i};
    }
    layout(a, d.box, BOXES, d.edge, d.edges, &d.width, &d.height);
    return d;
}

static bool overlap(const Box *p, const Box *q)
{
    return p->x < q->x + q->width && q->x < p->x + p->width && p->y < q->y + q->height && q->y < p->y + p->height;
}

Test(layout, boxes_keep_apart_and_edges_lead_down)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        Arena *a = arena_new();
        Drawn  d = random_drawing(a, seed);
        for (uint32_t i = 0; i < BOXES; i++) {
            const Box *b = &d.box[i];
            cr_expect(b->x >= 0 && b->y >= 0 && b->x + b->width <= d.width && b->y + b->height <= d.height);
            for (uint32_t k = i + 1; k < BOXES; k++)
                cr_expect(!overlap(b, &d.box[k]), "seed %d: boxes %u and %u overlap", (int)seed, i, k);
        }
        for (uint32_t i = 0; i < d.edges; i++) {
            const Edge *e = &d.edge[i];
            const Box  *from = &d.box[e->from], *to = &d.box[e->to];
            cr_assert(e->points >= 2);
            cr_expect(e->x[0] == from->x + from->width / 2 && e->y[0] == from->y + from->height);
            cr_expect(e->x[e->points - 1] == to->x + to->width / 2 && e->y[e->points - 1] == to->y);
            for (uint32_t k = 1; k < e->points; k++)
                cr_expect(e->y[k] > e->y[k - 1]);
        }
        arena_free(a);
    }
}

Test(layout, is_deterministic)
{
    Arena *a = arena_new();
    Drawn  x = random_drawing(a, 7), y = random_drawing(a, 7);
    for (uint32_t i = 0; i < BOXES; i++)
        cr_expect(x.box[i].x == y.box[i].x && x.box[i].y == y.box[i].y && x.box[i].layer == y.box[i].layer);
    arena_free(a);
}

/* Two chains side by side, given crosswise: the drawing untangles them. */
Test(layout, avoids_a_crossing)
{
    Arena   *a = arena_new();
    Box      box[6];
    Edge     edge[] = {{.from = 0, .to = 3}, {.from = 1, .to = 2}, {.from = 2, .to = 4}, {.from = 3, .to = 5}};
    int32_t  width, height;
    for (uint32_t i = 0; i < 6; i++)
        box[i] = (Box){.width = 30, .height = 10};
    layout(a, box, 6, edge, 4, &width, &height);
    cr_expect((box[0].x < box[1].x) == (box[3].x < box[2].x));
    cr_expect((box[3].x < box[2].x) == (box[5].x < box[4].x));
    arena_free(a);
}

Test(layout, of_nothing_is_nothing)
{
    Arena  *a = arena_new();
    int32_t width = 1, height = 1;
    layout(a, NULL, 0, NULL, 0, &width, &height);
    cr_expect(width == 0 && height == 0);
    arena_free(a);
}

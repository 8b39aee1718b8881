/* layout.c: see layout.h. */
#include "explain/layout.h"

#include <stdlib.h>
#include <string.h>

enum { GAP_X = 18, GAP_Y = 34, DUMMY_WIDTH = 4, SWEEPS = 12, FINE = 1024 };

/* A box or a place where an edge passes a layer. */
typedef struct {
    uint32_t layer, place; /* place within the layer */
    int32_t  width, x;
    uint32_t *up, *down;   /* neighbours in the layers above and below */
    uint32_t ups, downs, ups_cap, downs_cap;
    int64_t  wish;         /* sort key: place of the neighbours' middle, times FINE */
} Spot;

typedef struct {
    Arena    *a;
    Spot     *spot;
    uint32_t  spots, cap;
    uint32_t **layer; /* spots of each layer, in order */
    uint32_t *in_layer;
    uint32_t  layers;
} Drawing;

static uint32_t add_spot(Drawing *d, uint32_t layer, int32_t width)
{
    GROW(d->a, d->spot, d->spots, d->cap);
    d->spot[d->spots] = (Spot){.layer = layer, .width = width};
    return d->spots++;
}

static void tie(Drawing *d, uint32_t upper, uint32_t lower)
{
    Spot *u = &d->spot[upper], *l = &d->spot[lower];
    GROW(d->a, u->down, u->downs, u->downs_cap);
    u->down[u->downs++] = lower;
    GROW(d->a, l->up, l->ups, l->ups_cap);
    l->up[l->ups++] = upper;
}

static void find_layers(Box *box, uint32_t boxes, const Edge *edge, uint32_t edges)
{
    for (uint32_t i = 0; i < boxes; i++)
        box[i].layer = 0;
    for (uint32_t v = 0; v < boxes; v++) /* edges lead upwards in number, so one walk settles all */
        for (uint32_t i = 0; i < edges; i++)
            if (edge[i].to == v && box[edge[i].from].layer + 1 > box[v].layer)
                box[v].layer = box[edge[i].from].layer + 1;
}

/* Where a spot's neighbours on one side are, on average; where it is, if it has none. */
static void set_wish(Drawing *d, uint32_t v, bool above)
{
    Spot    *s = &d->spot[v];
    uint32_t n = above ? s->ups : s->downs, *list = above ? s->up : s->down;
    int64_t  sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += d->spot[list[i]].place;
    s->wish = n ? sum * FINE / n : (int64_t)s->place * FINE;
}

static void sort_layer(Drawing *d, uint32_t l)
{
    uint32_t *row = d->layer[l], n = d->in_layer[l];
    for (uint32_t i = 1; i < n; i++) { /* stable, and layers are short */
        uint32_t v = row[i], k = i;
        for (; k > 0 && d->spot[row[k - 1]].wish > d->spot[v].wish; k--)
            row[k] = row[k - 1];
        row[k] = v;
    }
    for (uint32_t i = 0; i < n; i++)
        d->spot[row[i]].place = i;
}

static void order(Drawing *d)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        bool down = sweep % 2 == 0;
        for (uint32_t k = 0; k < d->layers; k++) {
            uint32_t l = down ? k : d->layers - 1 - k;
            for (uint32_t i = 0; i < d->in_layer[l]; i++)
                set_wish(d, d->layer[l][i], down);
            sort_layer(d, l);
        }
    }
}

/* Middle of a spot's neighbours on both sides, or its own. */
static int32_t wanted_x(const Drawing *d, const Spot *s)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < s->ups; i++)
        sum += d->spot[s->up[i]].x + d->spot[s->up[i]].width / 2;
    for (uint32_t i = 0; i < s->downs; i++)
        sum += d->spot[s->down[i]].x + d->spot[s->down[i]].width / 2;
    uint32_t n = s->ups + s->downs;
    return n ? (int32_t)(sum / n) - s->width / 2 : s->x;
}

/* Shift the spots of a layer towards where they want to be: the mean of the leftmost and the rightmost arrangement that
 * keeps order and gaps. */
static void settle(Drawing *d, uint32_t l, int32_t *left, int32_t *right)
{
    uint32_t *row = d->layer[l], n = d->in_layer[l];
    for (uint32_t i = 0; i < n; i++) {
        const Spot *s = &d->spot[row[i]];
        int32_t     x = wanted_x(d, s);
        if (i > 0 && x < left[i - 1] + d->spot[row[i - 1]].width + GAP_X)
            x = left[i - 1] + d->spot[row[i - 1]].width + GAP_X;
        left[i] = x;
    }
    for (uint32_t i = n; i-- > 0;) {
        const Spot *s = &d->spot[row[i]];
        int32_t     x = wanted_x(d, s);
        if (i + 1 < n && x + s->width + GAP_X > right[i + 1])
            x = right[i + 1] - GAP_X - s->width;
        right[i] = x;
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t x = (left[i] + right[i]) / 2;
        if (i > 0) {
            const Spot *p = &d->spot[row[i - 1]];
            if (x < p->x + p->width + GAP_X)
                x = p->x + p->width + GAP_X;
        }
        d->spot[row[i]].x = x;
    }
}

static void place(Drawing *d)
{
    int32_t *left = NEW_N(d->a, int32_t, d->spots + 1u), *right = NEW_N(d->a, int32_t, d->spots + 1u);
    for (uint32_t l = 0; l < d->layers; l++)
        for (uint32_t i = 0, x = 0; i < d->in_layer[l]; i++) {
            Spot *s = &d->spot[d->layer[l][i]];
            s->x = (int32_t)x;
            x += (uint32_t)s->width + GAP_X;
        }
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (uint32_t k = 0; k < d->layers; k++)
            settle(d, sweep % 2 == 0 ? k : d->layers - 1 - k, left, right);
    int32_t least = INT32_MAX;
    for (uint32_t i = 0; i < d->spots; i++)
        least = d->spot[i].x < least ? d->spot[i].x : least;
    for (uint32_t i = 0; i < d->spots; i++)
        d->spot[i].x -= least;
}

void layout(Arena *a, Box *box, uint32_t boxes, Edge *edge, uint32_t edges, int32_t *width, int32_t *height)
{
    Drawing d = {.a = a};
    *width = *height = 0;
    find_layers(box, boxes, edge, edges);
    for (uint32_t i = 0; i < boxes; i++) {
        add_spot(&d, box[i].layer, box[i].width);
        d.layers = box[i].layer + 1 > d.layers ? box[i].layer + 1 : d.layers;
    }
    uint32_t **path = NEW_N(a, uint32_t *, edges + 1u); /* the spots of each edge, both ends included */
    for (uint32_t i = 0; i < edges; i++) {
        uint32_t from = box[edge[i].from].layer, to = box[edge[i].to].layer;
        edge[i].points = to - from + 1;
        path[i] = NEW_N(a, uint32_t, edge[i].points);
        path[i][0] = edge[i].from;
        for (uint32_t l = from + 1; l <= to; l++) {
            path[i][l - from] = l < to ? add_spot(&d, l, DUMMY_WIDTH) : edge[i].to;
            tie(&d, path[i][l - from - 1], path[i][l - from]);
        }
    }
    d.layer = NEW_N(a, uint32_t *, d.layers + 1u);
    d.in_layer = NEW_N(a, uint32_t, d.layers + 1u);
    int32_t *top = NEW_N(a, int32_t, d.layers + 1u), *tall = NEW_N(a, int32_t, d.layers + 1u);
    for (uint32_t i = 0; i < d.spots; i++)
        d.in_layer[d.spot[i].layer]++;
    for (uint32_t l = 0; l < d.layers; l++) {
        d.layer[l] = NEW_N(a, uint32_t, d.in_layer[l] + 1u);
        d.in_layer[l] = 0;
    }
    for (uint32_t i = 0; i < d.spots; i++) {
        Spot *s = &d.spot[i];
        s->place = d.in_layer[s->layer];
        d.layer[s->layer][d.in_layer[s->layer]++] = i;
    }
    order(&d);
    place(&d);
    for (uint32_t i = 0; i < boxes; i++)
        tall[box[i].layer] = box[i].height > tall[box[i].layer] ? box[i].height : tall[box[i].layer];
    for (uint32_t l = 0; l < d.layers; l++)
        top[l + 1] = top[l] + tall[l] + GAP_Y;
    for (uint32_t i = 0; i < boxes; i++) {
        box[i].x = d.spot[i].x;
        box[i].y = top[box[i].layer];
    }
    for (uint32_t i = 0; i < d.spots; i++)
        *width = d.spot[i].x + d.spot[i].width > *width ? d.spot[i].x + d.spot[i].width : *width;
    *height = d.layers ? top[d.layers] - GAP_Y : 0;
    for (uint32_t i = 0; i < edges; i++) {
        Edge *e = &edge[i];
        e->x = NEW_N(a, int32_t, e->points);
        e->y = NEW_N(a, int32_t, e->points);
        for (uint32_t k = 0; k < e->points; k++) {
            const Spot *s = &d.spot[path[i][k]];
            e->x[k] = s->x + s->width / 2;
            e->y[k] = top[s->layer] + (k == 0 ? box[e->from].height : k + 1 == e->points ? 0 : tall[s->layer] / 2);
        }
    }
}

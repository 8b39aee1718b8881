/* weights.c: see weights.h.
 *
 * Parameters that any program reads together are one unit, so that forward and backward programs of a layer find the
 * same surface bound to both, in one copy: a product with the transpose is a flag of matmul. A surface has one width,
 * and values of a port lie on the channel axis: slices of channels are exact everywhere, slices inside of rows are not.
 * So the fewest widths win: a matrix that only matrix products read may lie transposed, and the width that most
 * matrices of the unit can take is chosen first (of a llama layer of dimension 768 all seven have one of 768). Vectors
 * lie in rows of whatever width there is. */
#include "backend_ane/weights.h"

#include "backend_ane/emit.h"
#include "backend_ane/lower.h"

#include <string.h>

/* ---- finding ---- */

bool is_weight_leaf(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    return n->op == OP_param || (n->op != OP_broadcast && is_made_weight(g, v));
}

bool weight_is_staged(const Builder *b, const Graph *g, ValueId leaf)
{
    return b->weights && (!b->weights->mixed || is_trained_expr(b->m, g, leaf));
}

void weights_visit(Builder *b, const Graph *g, const Partition *part, uint32_t number, WeightVisit *visit, void *with)
{
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (part->program[v] != number)
            continue;
        for (uint32_t k = 0; k < n->in_count; k++) {
            ValueId u = node_arg(g, v, k);
            bool    view = false;
            if (!is_constant(g, u))
                continue;
            for (; g->node[u].in_count && !is_weight_leaf(g, u); u = node_arg(g, u, 0))
                view = true;
            bool matrix = n->op == OP_matmul && n->type.shape.rank == 2 && !view;
            if (is_weight_leaf(g, u))
                visit(b, g, u, matrix, with);
        }
    }
}

static const char *pattern_of(const Builder *b, const Graph *g, ValueId leaf)
{
    const Node *n = &g->node[first_param(g, leaf)];
    return interned(b->m->strings, b->m->param_set[n->a.leaf.set].pattern);
}

static Weight *find(const Builder *b, const Recipe *recipe, int32_t first, int32_t n)
{
    bool indexed = plan_recipe_varies(recipe);
    for (uint32_t i = 0; i < b->weights->weights; i++) {
        Weight *w = &b->weights->weight[i];
        if (plan_recipe_equal(w->recipe, recipe) && (!indexed || (w->first == first && w->n == n)))
            return w;
    }
    return NULL;
}

const Weight *weight_of(Builder *b, const Graph *g, ValueId leaf, int32_t first, int32_t n)
{
    const Weight *w = find(b, recipe_of(b, g, leaf), first, n);
    if (!w)
        bug("a weight of '%s' has no place", pattern_of(b, g, leaf));
    return w;
}

typedef struct {
    int32_t  first, n;
    uint32_t unit; /* of the program; 0: no parameter yet */
} Visit;

static void unite(Weights *all, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < all->weights; i++)
        if (all->weight[i].unit == from)
            all->weight[i].unit = to;
}

static void note(Builder *b, const Graph *g, ValueId leaf, bool matrix, void *with)
{
    Visit      *x = with;
    Weights    *all = b->weights;
    Recipe     *recipe = recipe_of(b, g, leaf);
    bool        indexed = plan_recipe_varies(recipe);
    Weight     *w = find(b, recipe, x->first, x->n);
    const Node *n = &g->node[leaf];
    if (!weight_is_staged(b, g, leaf))
        return;
    if (!w) {
        GROW(b->a, all->weight, all->weights, all->weights_cap);
        w = &all->weight[all->weights++];
        *w = (Weight){.recipe = recipe, .pattern = pattern_of(b, g, leaf), .shape = n->type.shape, .at = n->at,
                      .first = indexed ? x->first : 0, .n = indexed ? x->n : 0, .matrix = n->type.shape.rank == 2,
                      .unit = all->weights};
    }
    w->matrix = w->matrix && matrix;
    if (!x->unit)
        x->unit = w->unit;
    else if (x->unit != w->unit) { /* the earlier one names both */
        uint32_t low = w->unit < x->unit ? w->unit : x->unit, high = w->unit < x->unit ? x->unit : w->unit;
        unite(all, high, low);
        x->unit = low;
    }
}

static void scan(Builder *b, const Graph *g, int32_t first, int32_t n)
{
    const Partition *part = &b->parts.of[g->id];
    for (uint32_t p = 1; p <= part->programs; p++)
        weights_visit(b, g, part, p, note, &(Visit){first, n, 0});
    for (ValueId v = 1; v < g->count; v++) {
        const Node *r = &g->node[v];
        if (r->op == OP_repeat)
            scan(b, b->m->graph[r->a.repeat.graph], r->a.repeat.first, r->a.repeat.n);
    }
}

/* ---- placing ---- */

static int32_t round_up(int64_t n, int32_t multiple)
{
    return (int32_t)((n + multiple - 1) / multiple * multiple);
}

static bool same_home(const Weight *w, const Weight *u)
{
    return w->unit == u->unit && w->first == u->first && w->n == u->n;
}

static bool is_home(const WeightSurface *s, const Weight *w)
{
    return s->unit == w->unit && s->first == w->first && s->n == w->n;
}

static void put(Builder *b, Weight *w, int32_t width, int32_t rows, int32_t columns, bool transposed)
{
    Weights      *all = b->weights;
    const Target *t = b->m->target;
    uint32_t      i = 0;
    int32_t       reserved = w->matrix ? round_up(rows, (int32_t)t->matmul_k_multiple) : rows;
    reserved = reserved > t->max_channels || rows > t->max_axis ? rows : reserved;
    for (; i < all->surfaces; i++) {
        const WeightSurface *s = &all->surface[i];
        if (is_home(s, w) && s->width == width && reserved <= t->max_channels - s->used)
            break;
    }
    if (i == all->surfaces) {
        GROW(b->a, all->surface, all->surfaces, all->surfaces_cap);
        all->surface[all->surfaces++] =
            (WeightSurface){.width = width, .stacked = w->n > 0, .unit = w->unit, .first = w->first, .n = w->n};
    }
    w->placed = true;
    w->surface = i;
    w->channel = all->surface[i].used;
    w->rows = rows;
    w->columns = columns;
    w->transposed = transposed;
    w->reserved = reserved;
    all->surface[i].used += reserved;
}

/* Can `w` lie in whole rows of `width`, as it is or (if nobody minds) transposed? */
static bool takes(const Builder *b, const Weight *w, int32_t width, bool transposed)
{
    const Target *t = b->m->target;
    return w->shape.rank == 2 && (!transposed || w->matrix) && w->shape.dim[!transposed] == width &&
           width % t->io_width_multiple == 0 && width <= t->max_axis && w->shape.dim[transposed] <= t->max_channels;
}

/* How many matrices of w's home could share the width, and how many of them as they are. */
static uint32_t takers(const Builder *b, const Weight *w, int32_t width, uint32_t *natural)
{
    uint32_t n = 0;
    *natural = 0;
    for (uint32_t i = 0; i < b->weights->weights; i++) {
        const Weight *u = &b->weights->weight[i];
        if (u->placed || !same_home(u, w))
            continue;
        *natural += takes(b, u, width, false);
        n += takes(b, u, width, false) || takes(b, u, width, true);
    }
    return n;
}

/* The width that most can share; of those that products may contract; where most lie as they are; the least. */
static int32_t best_width(const Builder *b, const Weight *home)
{
    int64_t best = 0;
    int32_t width = 0;
    for (uint32_t i = 0; i < b->weights->weights; i++) {
        const Weight *w = &b->weights->weight[i];
        for (int turned = 0; turned < 2 && !w->placed && same_home(w, home); turned++) {
            int32_t  c = w->shape.dim[!turned];
            uint32_t natural, n = takes(b, w, c, turned) ? takers(b, w, c, &natural) : 0;
            int64_t  good = n ? 2 * (int64_t)n + (c % b->m->target->matmul_k_multiple == 0) : 0;
            good = good << 32 | (n ? natural : 0);
            if (good > best || (n && good == best && c < width)) {
                best = good;
                width = c;
            }
        }
    }
    return width;
}

static void place_matrices(Builder *b, const Weight *home)
{
    for (int32_t width; (width = best_width(b, home)) != 0;)
        for (uint32_t i = 0; i < b->weights->weights; i++) {
            Weight *w = &b->weights->weight[i];
            if (w->placed || !same_home(w, home))
                continue;
            if (takes(b, w, width, false))
                put(b, w, width, w->shape.dim[0], w->shape.dim[1], false);
            else if (takes(b, w, width, true))
                put(b, w, width, w->shape.dim[1], w->shape.dim[0], true);
        }
}

/* The width of a surface of w's home in which rows of `columns` fit and, with `whole`, `columns` fill whole rows: the
 * widest of the latter, the narrowest of the former. 0: none. */
static int32_t existing_width(const Builder *b, const Weight *w, int64_t columns, bool whole)
{
    int32_t width = 0;
    for (uint32_t i = 0; i < b->weights->surfaces; i++) {
        const WeightSurface *s = &b->weights->surface[i];
        if (!is_home(s, w) || (whole ? columns % s->width != 0 : columns > s->width))
            continue;
        if (width == 0 || (whole ? s->width > width : s->width < width))
            width = s->width;
    }
    return width;
}

/* Vectors, and what has no axis of a legal width: whole rows where that comes out even, else padded rows of the last
 * axis. */
static bool place_odd(Builder *b, Weight *w)
{
    const Target *t = b->m->target;
    int64_t       n = shape_numel(w->shape), columns = n;
    int32_t       width = w->shape.rank == 2 && w->matrix ? 0 : existing_width(b, w, n, true);
    for (uint32_t k = 0; k < w->shape.rank; k++) /* the last axis that has an extent, or all of it */
        if (w->shape.dim[k] > 1)
            columns = w->shape.dim[k];
    if (width)
        columns = width;
    else if (!(width = existing_width(b, w, columns, false)))
        width = round_up(columns, (int32_t)t->io_width_multiple);
    if (width > t->max_axis || n / columns > t->max_channels) {
        Diag *d = diag_error(b->ds, "E0802", w->at,
                             "parameter '%s' fits into no surface: %lld rows of %lld; the engine allows %lld of %lld",
                             w->pattern, (long long)(n / columns), (long long)columns, (long long)t->max_channels,
                             (long long)t->max_axis);
        diag_help(d, "use --weights baked, or keep what reads it on the CPU with #[place(cpu)]");
        return false;
    }
    put(b, w, width, (int32_t)(n / columns), (int32_t)columns, false);
    return true;
}

/* ---- the plan ---- */

static Recipe *staged_recipe(Builder *b, const Weight *w)
{
    if (!w->transposed)
        return w->recipe;
    Recipe *t = NEW(b->a, Recipe);
    *t = (Recipe){.kind = RECIPE_TRANSPOSE, .in = NEW_N(b->a, Recipe *, 1), .ins = 1};
    t->in[0] = w->recipe;
    return t;
}

/* "layers" for what lies in layers.{L}, "weights" for what lies nowhere. */
static const char *surface_name(const Builder *b, const WeightSurface *s, const Weight *w)
{
    const char *hole = s->stacked ? strstr(w->pattern, ".{L}") : NULL;
    if (!hole)
        return arena_printf(b->a, "weights_w%d", s->width);
    return arena_printf(b->a, "%.*s_w%d", (int)(hole - w->pattern), w->pattern, s->width);
}

static void describe(Builder *b, uint32_t index)
{
    WeightSurface *s = &b->weights->surface[index];
    const Target  *t = b->m->target;
    PlanStage      stage = {.first = s->first, .weight = NEW_N(b->a, PlanStaged, b->weights->weights)};
    s->channels = round_up(s->used, (int32_t)t->io_channel_multiple);
    s->channels = s->channels < t->io_min_channels ? (int32_t)t->io_min_channels : s->channels;
    for (uint32_t i = 0; i < b->weights->weights; i++) {
        const Weight *w = &b->weights->weight[i];
        if (w->surface != index)
            continue;
        if (!stage.weights)
            s->buffer = stage.buffer = add_buffer(b, surface_name(b, s, w), BUF_SURFACE, PLAN_F16,
                                                  (PlanShape){4, {1, s->channels, 1, s->width}}, s->n);
        stage.weight[stage.weights++] =
            (PlanStaged){(uint32_t)w->channel, {2, {w->rows, w->columns}}, staged_recipe(b, w)};
    }
    for (uint32_t i = 1; i < stage.weights; i++) /* matrices of a width were placed before vectors: order by channel */
        for (uint32_t k = i; k && stage.weight[k - 1].channel > stage.weight[k].channel; k--) {
            PlanStaged x = stage.weight[k];
            stage.weight[k] = stage.weight[k - 1];
            stage.weight[k - 1] = x;
        }
    GROW(b->a, b->plan->stage, b->plan->stages, b->stages_cap);
    b->plan->stage[b->plan->stages++] = stage;
}

bool weights_place(Builder *b, bool mixed)
{
    Weights *all = b->weights = NEW(b->a, Weights);
    all->mixed = mixed;
    bool     ok = true;
    for (uint32_t i = 0; i < b->m->entries; i++)
        scan(b, b->m->graph[b->m->entry[i].graph], 0, 0);
    for (uint32_t i = 0; i < all->weights; i++)
        place_matrices(b, &all->weight[i]);
    for (uint32_t i = 0; i < all->weights; i++)
        if (!all->weight[i].placed)
            ok &= place_odd(b, &all->weight[i]);
    for (uint32_t i = 0; ok && i < all->surfaces; i++)
        describe(b, i);
    return ok;
}

/* ---- one program ---- */

typedef struct {
    int32_t first, n;
    bool   *used;
} Used;

static void mark(Builder *b, const Graph *g, ValueId leaf, bool matrix, void *with)
{
    Used *x = with;
    (void)matrix;
    if (weight_is_staged(b, g, leaf))
        x->used[weight_of(b, g, leaf, x->first, x->n)->surface] = true;
}

void weights_used(Builder *b, const Graph *g, const Partition *part, uint32_t number, int32_t first, int32_t n,
                  bool *used)
{
    weights_visit(b, g, part, number, mark, &(Used){first, n, used});
}

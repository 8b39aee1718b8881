/* recipe_parts.c: see recipe_parts.h.
 *
 * A recipe is walked from its result to its leaves. On the way every axis of the value at hand is a list of factors
 * (extents with strides in the result); reordering axes reorders lists, reshaping deals the same factors out to other
 * axes, joining adds offsets. At a leaf the factors get their strides there, and a part is complete. */
#include "recipe_parts.h"

#include <string.h>

enum { AXES = PLAN_MAX_RANK, ROW = 4096, BLOCK = 384, TURN = 32, PARTS = 16 };

typedef struct {
    size_t dim, to;
} Factor;
typedef struct {
    Factor   factor[PART_FACTORS];
    uint32_t n;
} Axis;
typedef struct {
    Axis     axis[AXES];
    uint32_t rank;
} Box;
typedef struct {
    RecipePart part[PARTS];
    uint32_t   n;
} Parts;

static bool push(Axis *a, size_t dim, size_t to)
{
    if (dim == 1)
        return true;
    if (a->n == PART_FACTORS)
        return false;
    a->factor[a->n++] = (Factor){dim, to};
    return true;
}

/* Deal a list of factors, outermost first, out to the axes of `shape`. */
static bool deal(const Axis *list, PlanShape shape, Box *out)
{
    Axis     rest = *list;
    uint32_t at = 0;
    *out = (Box){.rank = shape.rank};
    for (uint32_t x = 0; x < shape.rank; x++)
        for (size_t want = (size_t)shape.dim[x]; want > 1;) {
            if (at == rest.n)
                return false;
            Factor *f = &rest.factor[at];
            if (want % f->dim == 0) {
                if (!push(&out->axis[x], f->dim, f->to))
                    return false;
                want /= f->dim;
                at++;
            } else if (f->dim % want == 0) {
                size_t inner = f->dim / want;
                if (!push(&out->axis[x], want, f->to * inner))
                    return false;
                f->dim = inner;
                want = 1;
            } else
                return false;
        }
    return at == rest.n;
}

static bool reshape(const Box *b, PlanShape shape, Box *out)
{
    Axis list = {0};
    for (uint32_t x = 0; x < b->rank; x++)
        for (uint32_t i = 0; i < b->axis[x].n; i++)
            if (!push(&list, b->axis[x].factor[i].dim, b->axis[x].factor[i].to))
                return false;
    return deal(&list, shape, out);
}

/* A vector that is a leaf or a contiguous piece of one. */
static bool vector(const Recipe *r, PartScale *s)
{
    for (; r->kind == RECIPE_SHAPE || r->kind == RECIPE_SLICE; r = r->in[0])
        if (r->kind == RECIPE_SLICE) {
            size_t step = 1, at = 0;
            bool   whole = true; /* axes further in are taken as they are */
            for (uint32_t x = r->in[0]->shape.rank; x-- > 0; step *= (size_t)r->in[0]->shape.dim[x]) {
                if (!whole && r->shape.dim[x] != 1)
                    return false;
                at += (size_t)r->begin[x] * step;
                whole = whole && r->shape.dim[x] == r->in[0]->shape.dim[x];
            }
            s->offset += at;
        }
    s->leaf = r;
    return r->kind == RECIPE_PARAM || r->kind == RECIPE_TABLE;
}

/* Outer factors that follow each other on both sides are one. Sorted by where they write. */
static void finish(RecipePart *p, PartFactor *f, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && f[j].to > f[j - 1].to; j--) {
            PartFactor t = f[j];
            f[j] = f[j - 1];
            f[j - 1] = t;
        }
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        PartFactor *l = m ? &f[m - 1] : NULL;
        bool        mixed = l && l->axis != f[i].axis && p->scales; /* a scale could not tell where it is */
        if (l && !mixed && l->from == f[i].from * f[i].dim && l->to == f[i].to * f[i].dim) {
            l->dim *= f[i].dim;
            l->from = f[i].from;
            l->to = f[i].to;
            l->step = f[i].step;
        } else
            f[m++] = f[i];
    }
    uint32_t along = m, across = m;
    for (uint32_t i = 0; i < m; i++) {
        along = f[i].from == 1 ? i : along;
        across = f[i].to == 1 ? i : across;
    }
    p->along = p->across = (PartFactor){1, 1, 1, 0, 0};
    if (along == m)
        along = across; /* no runs on the side that is read: runs of one */
    if (along < m)
        p->along = f[along];
    if (across < m)
        p->across = f[across];
    p->turned = across < m && across != along;
    if (along < m && p->along.from != 1) { /* strided on the side that is read */
        p->turned = true;
        p->across = p->along;
        p->along = (PartFactor){1, 1, 1, 0, 0};
    }
    size_t combinations = 1;
    for (uint32_t i = 0; i < m; i++)
        if (i != along && i != across) {
            p->factor[p->outer++] = f[i];
            combinations *= f[i].dim;
        }
    size_t unit = p->turned ? BLOCK : ROW;
    p->per_row = (uint32_t)((p->along.dim + unit - 1) / unit);
    p->items = (uint32_t)(combinations * p->per_row);
    p->size = (p->along.dim < unit ? p->along.dim : unit) * (p->turned ? p->across.dim : 1);
}

static bool leaf(const Box *b, const Recipe *r, const RecipePart *so_far, Parts *out)
{
    if (out->n == PARTS || (so_far->scales && r->shape.rank != 2))
        return false;
    RecipePart *p = &out->part[out->n++];
    PartFactor  f[PART_FACTORS];
    uint32_t    n = 0;
    size_t      stride = 1;
    *p = *so_far;
    p->leaf = r;
    for (uint32_t x = r->shape.rank; x-- > 0;) {
        size_t step = 1;
        for (uint32_t i = b->axis[x].n; i-- > 0;) {
            const Factor *g = &b->axis[x].factor[i];
            if (n == PART_FACTORS)
                return false;
            f[n++] = (PartFactor){g->dim, stride * step, g->to, x == r->shape.rank - 1, step};
            step *= g->dim;
        }
        stride *= (size_t)r->shape.dim[x];
    }
    finish(p, f, n);
    return true;
}

static bool walk(const Box *b, const Recipe *r, RecipePart *p, Parts *out)
{
    Box       next = {.rank = r->ins ? r->in[0]->shape.rank : 0};
    PartScale s = {.axis = -1, .c = r->c};
    switch (r->kind) {
    case RECIPE_PARAM:
    case RECIPE_TABLE: return leaf(b, r, p, out);
    case RECIPE_SHAPE: return reshape(b, r->in[0]->shape, &next) && walk(&next, r->in[0], p, out);
    case RECIPE_TRANSPOSE:
        next.axis[0] = b->axis[1];
        next.axis[1] = b->axis[0];
        return walk(&next, r->in[0], p, out);
    case RECIPE_PERMUTE:
        for (uint32_t k = 0; k < r->rank; k++)
            next.axis[r->perm[k]] = b->axis[k];
        return walk(&next, r->in[0], p, out);
    case RECIPE_CONCAT: {
        const Axis *a = &b->axis[r->axis];
        size_t      from = p->to;
        if (a->n != 1)
            return false;
        for (uint32_t i = 0; i < r->ins; i++) {
            next = *b;
            next.axis[r->axis] = (Axis){0};
            RecipePart one = *p;
            one.to = from;
            if (!push(&next.axis[r->axis], (size_t)r->in[i]->shape.dim[r->axis], a->factor[0].to) ||
                !walk(&next, r->in[i], &one, out))
                return false;
            from += (size_t)r->in[i]->shape.dim[r->axis] * a->factor[0].to;
        }
        return true;
    }
    case RECIPE_COLSCALE:
    case RECIPE_ROWSCALE:
        s.axis = r->kind == RECIPE_COLSCALE;
        if (r->in[0]->kind != RECIPE_PARAM && r->in[0]->kind != RECIPE_TABLE && r->in[0]->kind != RECIPE_COLSCALE &&
            r->in[0]->kind != RECIPE_ROWSCALE && r->in[0]->kind != RECIPE_SCALE)
            return false; /* rows and columns of something that is no leaf */
        if (!vector(r->in[1], &s))
            return false;
        break;
    case RECIPE_SCALE: break;
    default: return false;
    }
    if (p->scales == PART_SCALES)
        return false;
    memmove(p->scale + 1, p->scale, p->scales * sizeof *p->scale); /* the innermost comes first */
    p->scale[0] = s;
    p->scales++;
    return walk(b, r->in[0], p, out);
}

const RecipePart *recipe_parts(Arena *a, const Recipe *r, size_t columns, size_t stride, uint32_t *count)
{
    Parts      parts = {.n = 0};
    Box        b;
    Axis       list = {0};
    RecipePart first = {0};
    size_t     n = (size_t)plan_numel(r->shape);
    *count = 0;
    if (columns == stride) {
        if (!push(&list, n, 1))
            return NULL;
    } else if (!push(&list, n / columns, stride) || !push(&list, columns, 1))
        return NULL;
    if (!deal(&list, r->shape, &b) || !walk(&b, r, &first, &parts))
        return NULL;
    RecipePart *p = NEW_N(a, RecipePart, parts.n + 1u);
    memcpy(p, parts.part, parts.n * sizeof *p);
    *count = parts.n;
    return p;
}

/* ---- running ---- */

typedef struct {
    const float *x;
    const float *vector[PART_SCALES];
} Base;

/* `n` numbers of the leaf from element `at` on, whose first has indices row and column, scaled, to fp16. */
static void run_of(const RecipePart *p, const Base *b, size_t at, const size_t *index, int axis, size_t n, uint16_t *y,
                   ConvertCount *count)
{
    float        product[ROW];
    const float *x = b->x + at;
    if (p->scales == 1 && p->scale[0].axis >= 0) { /* nearly always */
        const float *g = b->vector[0] + index[p->scale[0].axis];
        convert_scaled(x, p->scale[0].axis == axis ? g : NULL, *g, y, n, count);
        return;
    }
    for (uint32_t i = 0; i < p->scales; i++) {
        const PartScale *s = &p->scale[i];
        if (s->axis < 0)
            for (size_t j = 0; j < n; j++)
                product[j] = (float)((double)x[j] * s->c);
        else if (s->axis == axis)
            convert_scale(x, b->vector[i] + index[s->axis], product, n);
        else
            convert_scale_one(x, b->vector[i][index[s->axis]], product, n);
        x = product;
    }
    convert(x, STORE_F32, y, STORE_F16, n, count);
}

static void turned(const RecipePart *p, const Base *b, size_t at, size_t to, const size_t *index, size_t first,
                   size_t n, uint16_t *y, ConvertCount *count)
{
    uint16_t tile[TURN][BLOCK];
    for (size_t t0 = 0; t0 < p->across.dim; t0 += TURN) {
        size_t rows = p->across.dim - t0 < TURN ? p->across.dim - t0 : TURN;
        for (size_t t = 0; t < rows; t++) {
            size_t now[2] = {index[0], index[1]};
            now[p->across.axis] += (t0 + t) * p->across.step;
            now[p->along.axis] += first * p->along.step;
            size_t from = at + (t0 + t) * p->across.from + first;
            for (size_t f = 0; t0 + TURN + t < p->across.dim && f < n; f += 16) /* the row that comes here next */
                __builtin_prefetch(b->x + from + TURN * p->across.from + f, 0, 2);
            run_of(p, b, from, now, p->along.axis, n, tile[t], count);
        }
        uint16_t *result = y + to + first * p->along.to + t0;
        if (!convert_turn_away(tile[0], BLOCK, result, p->along.to, rows, n))
            convert_turn(tile[0], BLOCK, result, p->along.to, rows, n);
    }
}

void recipe_part_run(const RecipePart *p, RecipeLeaf *get, const void *with, uint32_t k, uint32_t item, uint16_t *y,
                     ConvertCount *count)
{
    Base     b = {.x = get(with, p->leaf, k)};
    size_t   index[2] = {0, 0}, at = p->from, to = p->to, unit = p->turned ? BLOCK : ROW;
    uint32_t which = item / p->per_row;
    size_t   first = item % p->per_row * unit, n = p->along.dim - first < unit ? p->along.dim - first : unit;
    for (uint32_t i = 0; i < p->scales; i++)
        if (p->scale[i].axis >= 0)
            b.vector[i] = get(with, p->scale[i].leaf, k) + p->scale[i].offset;
    for (uint32_t i = p->outer; i-- > 0;) {
        const PartFactor *f = &p->factor[i];
        size_t            j = which % f->dim;
        which /= (uint32_t)f->dim;
        at += j * f->from;
        to += j * f->to;
        index[f->axis] += j * f->step;
    }
    if (p->turned) {
        turned(p, &b, at, to, index, first, n, y, count);
        return;
    }
    index[p->along.axis] += first * p->along.step;
    uint16_t half[ROW];
    run_of(p, &b, at + first, index, p->along.axis, n, half, count);
    convert_away(half, y + to + first, n);
}

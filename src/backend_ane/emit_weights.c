/* emit_weights.c: parameters that are inputs: cut out of their surface where an operation first reads them.
 *
 * A weight is a slice of channels of its port (and of the beginning of rows that are padded), then a view: its elements
 * lie in row-major order, so that [C] becomes [1, C, 1, 1] and a matrix [1, 1, O, I] by a reshape. Matrix products read
 * either orientation through their flags; only what is wanted elementwise and lies transposed costs a transpose. A
 * matrix with more rows than an axis may have, a classifier's, is multiplied piece by piece. */
#include "backend_ane/emit.h"
#include "backend_ane/weights.h"

#include <string.h>

static const Weight *weight_at(const Emit *e, ValueId leaf)
{
    return weight_of(e->b, e->g, leaf, e->first, e->n);
}

bool emit_is_weight(const Emit *e, ValueId v, int32_t *rows, int32_t *columns, bool *transposed)
{
    if (!is_weight_leaf(e->g, v) || !weight_is_staged(e->b, e->g, v))
        return false;
    const Weight *w = weight_at(e, v);
    *rows = w->rows;
    *columns = w->columns;
    *transposed = w->transposed;
    return true;
}

int32_t emit_weight_spare(const Emit *e, ValueId leaf)
{
    const Weight *w = weight_at(e, leaf);
    return w->reserved - w->rows;
}

static const char *known(const Emit *e, const Weight *w, bool turned, int32_t begin, MilShape shape)
{
    for (uint32_t i = 0; i < e->views; i++) {
        const WeightView *x = &e->view[i];
        if (x->weight == w && x->turned == turned && x->begin == begin && mil_shape_equal(x->shape, shape))
            return x->name;
    }
    return NULL;
}

static const char *statement(Emit *e, const Weight *w, bool turned, int32_t begin, MilShape shape, const char *op,
                             const MilArg *arg, uint32_t args)
{
    const char *suffix = strcmp(op, "slice_by_size") == 0 ? "_rows" : ""; /* as they lie; without: as they are read */
    const char *name = mil_name(e->t, arena_printf(e->b->a, "%s_%s%s", turned ? "wt" : "w",
                                                   emit_pattern_name(e->b->a, w->pattern), suffix));
    mil_statement(e->t, "fp16", shape, name, op, arg, args);
    GROW(e->b->a, e->view, e->views, e->views_cap);
    e->view[e->views++] = (WeightView){w, turned, begin, shape, name};
    return name;
}

/* Rows begin .. begin + count - 1 as they lie in the port: [1, count, 1, columns]. */
static const char *rows_of(Emit *e, const Weight *w, int32_t begin, int32_t count)
{
    const WeightSurface *s = &e->b->weights->surface[w->surface];
    MilShape             shape = {4, {1, count, 1, w->columns}};
    const char          *port = e->weight_port[w->surface], *name = known(e, w, false, begin, shape);
    if (name || (count == s->channels && w->columns == s->width))
        return name ? name : port;
    /* Where it lies is a constant of its own, so that a parameter more moves others without changing their
     * statements. */
    int32_t     from[4] = {0, w->channel + begin, 0, 0};
    const char *base = arena_printf(e->b->a, "at_w_%s", emit_pattern_name(e->b->a, w->pattern));
    const char *at = mil_ints_named(e->t, begin ? arena_printf(e->b->a, "%s_%d", base, begin) : base, from, 4);
    MilArg      a[] = {{"x", port}, {"begin", at}, {"size", mil_ints(e->t, shape.dim, 4)}};
    return statement(e, w, false, begin, shape, "slice_by_size", a, COUNT(a));
}

static const char *viewed(Emit *e, const Weight *w, bool turned, int32_t begin, const char *x, MilShape have,
                          MilShape want)
{
    const char *name = mil_shape_equal(have, want) ? x : known(e, w, turned, begin, want);
    if (name)
        return name;
    MilArg a[] = {{"x", x}, {"shape", mil_ints(e->t, want.dim, want.rank)}};
    return statement(e, w, turned, begin, want, "reshape", a, COUNT(a));
}

const char *emit_weight_rows(Emit *e, ValueId leaf, int32_t begin, int32_t count)
{
    const Weight *w = weight_at(e, leaf);
    int32_t       n = count ? count : w->rows;
    MilShape      have = {4, {1, n, 1, w->columns}}, want = {4, {1, 1, n, w->columns}};
    const char   *name = known(e, w, false, begin, want);
    return name ? name : viewed(e, w, false, begin, rows_of(e, w, begin, n), have, want);
}

const char *emit_weight(Emit *e, ValueId leaf, MilShape shape, bool transposed)
{
    static const int32_t perm[4] = {0, 3, 2, 1};
    const Weight        *w = weight_at(e, leaf);
    bool                 turned = transposed != w->transposed;
    MilShape             have = {4, {1, w->rows, 1, w->columns}};
    const char          *name = known(e, w, turned, 0, shape);
    if (name)
        return name;
    name = rows_of(e, w, 0, w->rows);
    if (turned) {
        Shape s = w->shape; /* a matrix, though maybe one that lies in rows of another length */
        if (!w->transposed) {
            MilShape m = {4, {1, s.dim[0], 1, s.dim[1]}};
            name = viewed(e, w, false, 0, name, have, m);
            have = m;
        }
        MilShape t = {4, {1, have.dim[3], 1, have.dim[1]}};
        const char *was = known(e, w, true, 0, t);
        MilArg      a[] = {{"x", name}, {"perm", mil_ints(e->t, perm, 4)}};
        name = was ? was : statement(e, w, true, 0, t, "transpose", a, COUNT(a));
        have = t;
    }
    return viewed(e, w, turned, 0, name, have, shape);
}

/* Pieces of the result are joined, those of a contraction added up. */
const char *emit_weight_product(Emit *e, ValueId v, ValueId leaf, bool turned, const char *x, MilShape shape)
{
    const Weight *w = weight_at(e, leaf);
    int32_t       cap = (int32_t)e->b->m->target->max_axis, pieces = (w->rows + cap - 1) / cap, width = shape.dim[3];
    int32_t       most = ((w->rows + pieces - 1) / pieces + 15) / 16 * 16;
    const char   *sum = NULL;
    Buf           list = {0};
    for (int32_t begin = 0; begin < w->rows; begin += most) {
        int32_t  count = w->rows - begin < most ? w->rows - begin : most, from[4] = {0, begin, 0, 0};
        MilShape in = {4, {1, turned ? count : w->columns, 1, width}}, in_m = {4, {1, 1, in.dim[1], width}};
        MilShape out_m = {4, {1, 1, turned ? w->columns : count, width}}, out = {4, {1, out_m.dim[2], 1, width}};
        const char *y = x;
        if (turned) {
            MilArg a[] = {{"x", y}, {"begin", mil_ints(e->t, from, 4)}, {"size", mil_ints(e->t, in.dim, 4)}};
            y = emit_op(e, v, "_x", in, "slice_by_size", a, COUNT(a));
        }
        MilArg m[] = {{"x", emit_weight_rows(e, leaf, begin, count)}, {"y", emit_reshape(e, v, "_b", y, in_m)},
                      {"transpose_x", mil_bool(e->t, turned)}, {"transpose_y", mil_bool(e->t, false)}};
        y = emit_op(e, v, "_m", out_m, "matmul", m, COUNT(m));
        if (!turned)
            buf_printf(&list, "%s%s", list.len ? ", " : "(", emit_reshape(e, v, "_part", y, out));
        else
            sum = sum ? emit_op(e, v, "_sum", out_m, "add", (MilArg[]){{"x", sum}, {"y", y}}, 2) : y;
    }
    buf_putc(&list, ')');
    MilArg a[] = {{"axis", mil_int(e->t, 1)}, {"interleave", mil_bool(e->t, false)}, {"values", list.data}};
    const char *r = turned ? emit_reshape(e, v, "", sum, shape) : emit_op(e, v, "", shape, "concat", a, COUNT(a));
    buf_free(&list);
    return r;
}

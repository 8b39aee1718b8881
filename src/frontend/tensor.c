/* tensor.c: operators on tensors: broadcasting, matrix products, transposes, indexing.
 *
 * Graph operations want equal shapes, so every broadcast of the language is made explicit here. Shapes align from the
 * right and extents must be equal or 1; but a vector never meets a matrix silently: with channels first, NumPy's rule
 * would align a gain with positions and be wrong without a word whenever both extents happen to be equal. */
#include "frontend/elab.h"

#include <string.h>

static bool is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

Value cast_to(Elab *e, Value v, DType dtype, Span at)
{
    if (is_poison(v))
        return v;
    ValueId x = use_value(e, v);
    if (e->b->g->node[x].type.dtype == dtype)
        return tensor(e, x);
    return tensor(e, g_cast(e->m, e->b->g, like_at(e, at), x, dtype));
}

/* ---- broadcasting ---- */

/* "add \2 to \1" with the operands in place. */
static const char *phrase(Elab *e, const char *verb, const char *a, const char *b)
{
    Buf buf = {0};
    for (; *verb; verb++)
        if (*verb == '\1' || *verb == '\2')
            buf_puts(&buf, *verb == '\1' ? a : b);
        else
            buf_putc(&buf, *verb);
    const char *s = arena_strndup(e->a, buf.data, buf.len);
    buf_free(&buf);
    return s;
}

Value broadcast_value(Elab *e, Value v, Shape s, Span at)
{
    ValueId x = use_value(e, v);
    Shape from = e->b->g->node[x].type.shape;
    if (shape_equal(from, s))
        return tensor(e, x);
    if (from.rank < s.rank) { /* new leading axes */
        Shape wide = {.rank = s.rank};
        uint32_t add = s.rank - from.rank;
        for (uint32_t i = 0; i < s.rank; i++)
            wide.dim[i] = i < add ? 1 : from.dim[i - add];
        x = g_reshape(e->m, e->b->g, like_at(e, at), x, wide);
        from = wide;
    }
    if (!shape_equal(from, s))
        x = g_broadcast(e->m, e->b->g, like_at(e, at), x, s);
    return tensor(e, x);
}

/* A number, everywhere. */
Value splat_like(Elab *e, Value v, Type t, Span at)
{
    return tensor(e, g_splat(e->m, e->b->g, like_at(e, at), static_number(v), t));
}

static Diag *rank_one(Elab *e, const Expr *x, const Expr *xe, Value a, const Expr *ye, Value b, const char *verb)
{
    bool a_is_vector = tensor_type(e, a).shape.rank == 1;
    const Expr *v = a_is_vector ? xe : ye;
    Type other = tensor_type(e, a_is_vector ? b : a);
    Diag *d = elab_error(e, "E0405", x->at, "cannot %s: a vector needs an explicit axis",
                         phrase(e, verb, kind_text(e, a), kind_text(e, b)));
    diag_label(d, xe->at, "%s", "");
    diag_label(d, ye->at, "%s", "");
    const char *text = source_text(e, v->at);
    if (v->kind != EX_NAME && v->kind != EX_PAREN && v->kind != EX_CALL)
        text = arena_printf(e->a, "(%s)", text);
    int32_t n = tensor_type(e, a_is_vector ? a : b).shape.dim[0];
    bool rows = other.shape.dim[other.shape.rank - 2] == n, columns = other.shape.dim[other.shape.rank - 1] == n;
    diag_help(d, "'%s[:, _]' gives one value per channel, '%s[_, :]' one per position%s", text, text,
              rows == columns ? ""
              : rows          ? "; its extent fits the channels"
                              : "; its extent fits the positions");
    return d;
}

/* The common shape of two tensors, or false after a message. */
bool broadcast_shapes(Elab *e, const Expr *x, const Expr *xe, Value a, const Expr *ye, Value b, Shape *out,
                      const char *verb)
{
    Shape sa = tensor_type(e, a).shape, sb = tensor_type(e, b).shape;
    if ((sa.rank == 1 && sb.rank >= 2) || (sb.rank == 1 && sa.rank >= 2)) {
        rank_one(e, x, xe, a, ye, b, verb);
        return false;
    }
    Shape s = {.rank = sa.rank > sb.rank ? sa.rank : sb.rank};
    for (uint32_t i = 1; i <= s.rank; i++) {
        int32_t da = i <= sa.rank ? sa.dim[sa.rank - i] : 1, db = i <= sb.rank ? sb.dim[sb.rank - i] : 1;
        if (da != db && da != 1 && db != 1) {
            Diag *d = elab_error(e, "E0404", x->at, "cannot %s: axis -%u has %d and %d elements",
                                 phrase(e, verb, kind_text(e, a), kind_text(e, b)), i, da, db);
            diag_label(d, xe->at, "%s", describe(e, xe, a));
            diag_label(d, ye->at, "%s", describe(e, ye, b));
            return false;
        }
        s.dim[s.rank - i] = da > db ? da : db;
    }
    *out = s;
    return true;
}

/* One element type for two tensors: real beside f16 or f32 is real. */
static bool common_dtype(Elab *e, const Expr *x, Value *a, Value *b)
{
    DType da = tensor_type(e, *a).dtype, db = tensor_type(e, *b).dtype;
    if (da == db)
        return true;
    if (a->kind == V_TABLE && a->table->dtype == DT_I32 && db == DT_I32)
        return true; /* a table of ints beside i32 */
    if (b->kind == V_TABLE && b->table->dtype == DT_I32 && da == DT_I32)
        return true;
    if (is_real(da) && is_real(db) && (da == DT_REAL || db == DT_REAL)) {
        *a = da == DT_REAL ? *a : cast_to(e, *a, DT_REAL, x->at);
        *b = db == DT_REAL ? *b : cast_to(e, *b, DT_REAL, x->at);
        return true;
    }
    Diag *d = elab_error(e, "E0408", x->at, "%s and %s are not mixed without a conversion", kind_text(e, *a),
                         kind_text(e, *b));
    if (is_real(da) != is_real(db) && da != DT_BOOL && db != DT_BOOL)
        diag_help(d, "real(x) converts ints");
    else if (da == DT_BOOL || db == DT_BOOL)
        diag_help(d, "select(c, 1.0, 0.0) makes numbers of truth values");
    else
        diag_help(d, "f16(x), f32(x) and real(x) convert");
    return false;
}

/* A number meeting a tensor takes its type and shape. */
static bool splat_beside(Elab *e, const Expr *x, Value *number, Value other, Span at)
{
    Type t = tensor_type(e, other);
    if (!is_static_number(*number)) {
        elab_error(e, "E0306", x->at, "%s does not work on a tensor", kind_text(e, *number));
        return false;
    }
    if (t.dtype == DT_BOOL || (t.dtype == DT_I32 && number->kind != V_INT)) {
        Diag *d = elab_error(e, "E0408", x->at, "%s beside %s", kind_text(e, *number), kind_text(e, other));
        if (t.dtype == DT_I32)
            diag_help(d, "real(x) converts ints");
        return false;
    }
    *number = splat_like(e, *number, t, at);
    return true;
}

Value elementwise(Elab *e, const Expr *x, Op op, CmpKind k, const Expr *xe, Value a, const Expr *ye, Value b,
                  const char *verb)
{
    if (is_poison(a) || is_poison(b) || !room(e, x->at))
        return v_poison;
    if (is_tensor(a) && is_tensor(b)) {
        Shape s;
        if (!common_dtype(e, x, &a, &b) || !broadcast_shapes(e, x, xe, a, ye, b, &s, verb))
            return v_poison;
        DType ints = tensor_type(e, a).dtype == DT_I32 || tensor_type(e, b).dtype == DT_I32 ? DT_I32 : DT_REAL;
        a = broadcast_value(e, to_tensor(e, a, ints, x->at), s, x->at);
        b = broadcast_value(e, to_tensor(e, b, ints, x->at), s, x->at);
    } else if (is_tensor(a)) {
        a = to_tensor(e, a, DT_REAL, x->at);
        if (!splat_beside(e, x, &b, a, ye->at))
            return v_poison;
    } else {
        b = to_tensor(e, b, DT_REAL, x->at);
        if (!splat_beside(e, x, &a, b, xe->at))
            return v_poison;
    }
    DType d = tensor_type(e, a).dtype;
    if (d == DT_BOOL) {
        elab_error(e, "E0408", x->at, "truth values are only for select()");
        return v_poison;
    }
    if (d == DT_I32 && op == OP_div) {
        Diag *diag = elab_error(e, "E0408", x->at, "i32 tensors are not divided");
        diag_help(diag, "real(x) converts ints");
        return v_poison;
    }
    ValueId va = use_value(e, a), vb = use_value(e, b);
    return tensor(e, op == OP_cmp ? g_cmp(e->m, e->b->g, like_at(e, x->at), k, va, vb)
                                  : g_binary(e->m, e->b->g, like_at(e, x->at), op, va, vb));
}

Value tensor_negate(Elab *e, Value v, Span at)
{
    if (!room(e, at))
        return v_poison;
    Value x = to_tensor(e, v, DT_REAL, at);
    Type t = tensor_type(e, x);
    if (t.dtype == DT_BOOL) {
        elab_error(e, "E0408", at, "a truth value has no sign");
        return v_poison;
    }
    if (t.dtype == DT_I32) {
        ValueId zero = use_value(e, splat_like(e, v_int(0), t, at));
        return tensor(e, g_binary(e->m, e->b->g, like_at(e, at), OP_sub, zero, use_value(e, x)));
    }
    return tensor(e, g_unary(e->m, e->b->g, like_at(e, at), OP_neg, use_value(e, x)));
}

/* ---- x @ y ---- */

static bool product_shape(Type a, Type b, Type *out)
{
    uint32_t k = a.shape.rank;
    if (k < 2 || b.shape.rank != k || a.shape.dim[k - 1] != b.shape.dim[k - 2])
        return false;
    for (uint32_t i = 0; i + 2 < k; i++)
        if (a.shape.dim[i] != b.shape.dim[i])
            return false;
    *out = a;
    out->shape.dim[k - 1] = b.shape.dim[k - 1];
    return true;
}

static Value product_error(Elab *e, const Expr *x, Value a, Value b)
{
    const Expr *xe = x->bin.x, *ye = x->bin.y;
    Type ta = tensor_type(e, a), tb = tensor_type(e, b), swapped;
    uint32_t ka = ta.shape.rank, kb = tb.shape.rank;
    Diag *d;
    if (ka < 2 || kb < 2 || ka != kb) {
        d = elab_error(e, "E0407", x->at, "'@' needs two operands of the same rank, at least 2");
        diag_label(d, xe->at, "%s", describe(e, xe, a));
        diag_label(d, ye->at, "%s", describe(e, ye, b));
        const Expr *low = ka < kb ? xe : ye;
        const char *text = source_text(e, low->at);
        if (ka == 1 || kb == 1)
            diag_help(d, "'%s[:, _]' is a column, '%s[_, :]' a row", text, text);
        else if (ka > 1 && kb > 1)
            diag_help(d, "repeat the smaller one along the leading axis: broadcast(%s[_, :, :], [..])", text);
        return v_poison;
    }
    for (uint32_t i = 0; i + 2 < ka; i++)
        if (ta.shape.dim[i] != tb.shape.dim[i]) {
            d = elab_error(e, "E0404", x->at, "'@' needs equal leading axes, and axis %u has %d and %d elements", i,
                           ta.shape.dim[i], tb.shape.dim[i]);
            diag_label(d, xe->at, "%s", describe(e, xe, a));
            diag_label(d, ye->at, "%s", describe(e, ye, b));
            return v_poison;
        }
    d = elab_error(e, "E0406", x->at, "'@' contracts %d with %d", ta.shape.dim[ka - 1], tb.shape.dim[kb - 2]);
    diag_label(d, xe->at, "%s", describe(e, xe, a));
    diag_label(d, ye->at, "%s", describe(e, ye, b));
    if (product_shape(tb, ta, &swapped)) {
        Declared want;
        const char *fits = "";
        uint32_t errors = e->ds->errors;
        const FnDef *fn = e->frame ? e->frame->fn : NULL;
        if (fn && fn->result->name.id && errors && eval_type(e, fn->result, &want) && want.kind == V_TENSOR &&
            shape_equal(want.type.shape, swapped.shape))
            fits = ", which is the declared result";
        diag_help(d, "'%s @ %s' has type %s%s", source_text(e, ye->at), source_text(e, xe->at),
                  type_text(e->a, swapped), fits);
    } else {
        note_names(e, d, NULL, NULL);
    }
    return v_poison;
}

static Value matmul(Elab *e, const Expr *x, Value a, Value b)
{
    if (!is_tensor(a) || !is_tensor(b)) {
        Diag *d = elab_error(e, "E0407", x->at, "'@' is the product of matrices, and here are %s and %s",
                             kind_text(e, a), kind_text(e, b));
        diag_help(d, "'*' multiplies by a number");
        return v_poison;
    }
    Type t;
    if (!common_dtype(e, x, &a, &b))
        return v_poison;
    if (!product_shape(tensor_type(e, a), tensor_type(e, b), &t))
        return product_error(e, x, a, b);
    if (!is_real(t.dtype)) {
        elab_error(e, "E0408", x->at, "'@' needs real operands, and here are %s and %s", kind_text(e, a),
                   kind_text(e, b));
        return v_poison;
    }
    ValueId va = use_value(e, to_tensor(e, a, DT_REAL, x->bin.x->at));
    ValueId vb = use_value(e, to_tensor(e, b, DT_REAL, x->bin.y->at));
    return tensor(e, g_matmul(e->m, e->b->g, like_at(e, x->at), va, vb, false, false));
}

Value tensor_binary(Elab *e, const Expr *x, Value a, Value b)
{
    static const struct {
        Op op;
        CmpKind cmp;
        const char *verb;
    } how[] = {
        [BIN_ADD] = {OP_add, CMP_EQ, "add \2 to \1"},      [BIN_SUB] = {OP_sub, CMP_EQ, "subtract \2 from \1"},
        [BIN_MUL] = {OP_mul, CMP_EQ, "multiply \1 by \2"}, [BIN_DIV] = {OP_div, CMP_EQ, "divide \1 by \2"},
        [BIN_EQ] = {OP_cmp, CMP_EQ, "compare \1 with \2"}, [BIN_NE] = {OP_cmp, CMP_NE, "compare \1 with \2"},
        [BIN_LT] = {OP_cmp, CMP_LT, "compare \1 with \2"}, [BIN_GT] = {OP_cmp, CMP_GT, "compare \1 with \2"},
        [BIN_LE] = {OP_cmp, CMP_LE, "compare \1 with \2"}, [BIN_GE] = {OP_cmp, CMP_GE, "compare \1 with \2"},
    };
    BinOp op = x->bin.op;
    switch (op) {
    case BIN_MATMUL:
        return matmul(e, x, a, b);
    case BIN_POW:
        if (is_tensor(a) && is_static_number(b)) {
            Value v = to_tensor(e, a, DT_REAL, x->at);
            if (is_real(tensor_type(e, v).dtype))
                return tensor(e, g_powc(e->m, e->b->g, like_at(e, x->at), use_value(e, v), static_number(b)));
        }
        elab_error(e, "E0305", x->at, "'**' takes a real tensor and a static exponent, and here are %s and %s",
                   kind_text(e, a), kind_text(e, b));
        return v_poison;
    case BIN_MOD:
    case BIN_AND:
    case BIN_OR: {
        Diag *d = elab_error(e, "E0306", x->at, "'%s' is for static values, and here are %s and %s",
                             op == BIN_MOD   ? "%"
                             : op == BIN_AND ? "and"
                                             : "or",
                             kind_text(e, a), kind_text(e, b));
        if (op != BIN_MOD)
            diag_help(d, "nest select(c, x, y) to combine conditions on tensors");
        return v_poison;
    }
    default:
        return elementwise(e, x, how[op].op, how[op].cmp, x->bin.x, a, x->bin.y, b, how[op].verb);
    }
}

Value transpose_last(Elab *e, const Expr *x, Value v)
{
    if (is_poison(v) || !room(e, x->at))
        return v_poison;
    Type t = tensor_type(e, v);
    if (!is_tensor(v) || t.shape.rank < 2) {
        elab_error(e, "E0409", x->at, "' swaps the last two axes, and this is %s", kind_text(e, v));
        return v_poison;
    }
    uint8_t perm[MAX_RANK];
    for (uint32_t i = 0; i < t.shape.rank; i++)
        perm[i] = (uint8_t)i;
    perm[t.shape.rank - 1] = (uint8_t)(t.shape.rank - 2);
    perm[t.shape.rank - 2] = (uint8_t)(t.shape.rank - 1);
    v = to_tensor(e, v, DT_REAL, x->at);
    return tensor(e, g_transpose(e->m, e->b->g, like_at(e, x->at), use_value(e, v), perm));
}

/* ---- x[...] ---- */

bool eval_axis(Elab *e, const Expr *x, uint32_t rank, int32_t *axis)
{
    int64_t k;
    if (!want_int(e, x, &k, "an axis"))
        return false;
    if (k < -(int64_t)rank || k >= (int64_t)rank) {
        elab_error(e, "E0409", x->at, "axis %lld of a value with %u ax%s", (long long)k, rank, rank == 1 ? "is" : "es");
        return false;
    }
    *axis = (int32_t)(k < 0 ? k + rank : k);
    return true;
}

static bool bound(Elab *e, const Expr *x, int64_t extent, int64_t *out)
{
    if (!want_int(e, x, out, "a bound"))
        return false;
    if (*out >= 0)
        return true;
    Diag *d = elab_error(e, "E0409", x->at, "bounds count from the start, and this is %lld", (long long)*out);
    diag_help(d, "the last element of this axis is %lld", (long long)extent - 1);
    return false;
}

/* One index along an axis of `extent` elements: elements [*b, *c). */
static bool index_range(Elab *e, const Index *ix, int64_t extent, uint32_t axis, int64_t *b, int64_t *c)
{
    *b = 0;
    *c = extent;
    if (ix->kind == IX_ALL)
        return true;
    if (ix->lo && !bound(e, ix->lo, extent, b))
        return false;
    if (ix->kind == IX_AT)
        *c = *b < extent ? *b + 1 : extent;
    else if (ix->hi && !bound(e, ix->hi, extent, c))
        return false;
    if (*b < *c && *c <= extent)
        return true;
    Diag *d = ix->kind == IX_AT
                  ? elab_error(e, "E0409", ix->at, "element %lld of axis %u, which has %lld", (long long)*b, axis,
                               (long long)extent)
                  : elab_error(e, "E0409", ix->at, "range %lld .. %lld of axis %u, which has %lld elements",
                               (long long)*b, (long long)*c, axis, (long long)extent);
    note_names(e, d, ix->lo, ix->hi);
    return false;
}

static Value index_list(Elab *e, const Expr *x, Value v)
{
    const Index *ix = x->index.ix;
    int64_t b, c;
    if (ix->next || ix->kind == IX_NEW) {
        elab_error(e, "E0409", x->at, "a list has one axis");
        return v_poison;
    }
    if (!index_range(e, ix, v.seq.n, 0, &b, &c))
        return v_poison;
    if (ix->kind == IX_AT)
        return v.seq.item[b];
    return (Value){.kind = V_LIST, .seq = {v.seq.item + b, (uint32_t)(c - b)}};
}

Value eval_index(Elab *e, const Expr *x)
{
    Value v = eval(e, x->index.x);
    if (is_poison(v))
        return v;
    if (v.kind == V_LIST)
        return index_list(e, x, v);
    if (!is_tensor(v) || !room(e, x->at)) {
        if (!is_tensor(v))
            elab_error(e, "E0409", x->at, "%s has no axes to index", kind_text(e, v));
        return v_poison;
    }
    Type t = tensor_type(e, v);
    uint32_t count = 0, k = 0;
    for (const Index *ix = x->index.ix; ix; ix = ix->next)
        count += ix->kind != IX_NEW;
    if (count != t.shape.rank) {
        Diag *d = elab_error(e, "E0409", x->at, "%u ind%s for %u ax%s", count, count == 1 ? "ex" : "ices", t.shape.rank,
                             t.shape.rank == 1 ? "is" : "es");
        diag_label(d, x->index.x->at, "%s", describe(e, x->index.x, v));
        diag_help(d, "':' stands for a whole axis");
        return v_poison;
    }
    int32_t begin[MAX_RANK] = {0}, end[MAX_RANK] = {0};
    Shape shape = {0};
    bool cut = false;
    for (const Index *ix = x->index.ix; ix; ix = ix->next) {
        int64_t b = 0, c = 1;
        if (ix->kind != IX_NEW) {
            if (!index_range(e, ix, t.shape.dim[k], k, &b, &c))
                return v_poison;
            begin[k] = (int32_t)b;
            end[k] = (int32_t)c;
            cut |= b != 0 || c != t.shape.dim[k];
            k++;
        }
        if (ix->kind == IX_AT)
            continue; /* selected: the axis is gone */
        if (shape.rank == MAX_VALUE_RANK) {
            elab_error(e, "E0409", x->at, "the result has more than %d axes", MAX_VALUE_RANK);
            return v_poison;
        }
        shape.dim[shape.rank++] = (int32_t)(c - b);
    }
    ValueId y = use_value(e, to_tensor(e, v, DT_REAL, x->at));
    if (cut)
        y = g_slice(e->m, e->b->g, like_at(e, x->at), y, begin, end);
    if (!shape_equal(e->b->g->node[y].type.shape, shape))
        y = g_reshape(e->m, e->b->g, like_at(e, x->at), y, shape);
    return tensor(e, y);
}

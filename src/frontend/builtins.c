/* builtins.c: calls of the functions in builtins.def.
 *
 * Arguments are sorted into slots by the row's signature, positional ones first, and handed to the row's function as
 * values beside their expressions. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

enum { MAX_SLOTS = 4, MAX_PARTS = 64 };

typedef struct Row Row;
typedef struct {
    Elab       *e;
    const Expr *x;
    const Row  *row;
    const Expr *arg[MAX_SLOTS];   /* NULL: left out */
    Value       value[MAX_SLOTS]; /* axes and shapes are not evaluated here */
    const Expr *part[MAX_PARTS];  /* what `*` took */
    uint32_t    parts;
} Call;

typedef Value BuiltinFn(Call *c);
struct Row {
    const char *name, *args;
    BuiltinFn  *run;
};

static ValueId emit1(Call *c, Op op, Value v)
{
    return g_unary(c->e->m, c->e->b->g, like_at(c->e, c->x->at), op, use_value(c->e, v));
}

static bool is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

static Value needs(Call *c, uint32_t slot, const char *what)
{
    elab_error(c->e, "E0402", c->arg[slot]->at, "'%s' needs %s, and this is %s", c->row->name, what,
               kind_text(c->e, c->value[slot]));
    return v_poison;
}

/* Argument `slot` as a tensor of reals of this graph. */
static bool real_tensor(Call *c, uint32_t slot, Value *out)
{
    Value v = c->value[slot];
    if (!is_tensor(v) || !is_real(tensor_type(c->e, v).dtype)) {
        needs(c, slot, "a real tensor");
        return false;
    }
    *out = to_tensor(c->e, v, DT_REAL, c->arg[slot]->at);
    return true;
}

static bool index_tensor(Call *c, uint32_t slot, Value *out)
{
    Value v = c->value[slot];
    if (v.kind == V_INT || is_tensor(v)) {
        *out = to_tensor(c->e, v, DT_I32, c->arg[slot]->at);
        if (tensor_type(c->e, *out).dtype == DT_I32)
            return true;
    }
    needs(c, slot, "i32 or tok values");
    return false;
}

/* ---- elementwise ---- */

static Value builtin_unary(Call *c)
{
    static const struct { const char *name; StaticFn fn; Op op; } fns[] = {
        {"exp", SF_EXP, OP_exp}, {"log", SF_LOG, OP_log}, {"sqrt", SF_SQRT, OP_sqrt}, {"rsqrt", SF_RSQRT, OP_rsqrt},
        {"tanh", SF_TANH, OP_tanh}, {"sigmoid", SF_SIGMOID, OP_sigmoid}, {"sin", SF_SIN, OP_COUNT}, {"cos", SF_COS, OP_COUNT},
    };
    uint32_t k = 0;
    while (k + 1 < COUNT(fns) && strcmp(fns[k].name, c->row->name) != 0)
        k++;
    Value v = c->value[0];
    if (is_static_number(v)) {
        double      y;
        const char *why;
        if (static_apply(fns[k].fn, static_number(v), &y, &why))
            return v_float(y);
        Diag *d = elab_error(c->e, "E0304", c->x->at, "%s", why);
        note_names(c->e, d, c->arg[0], NULL);
        return v_poison;
    }
    if (fns[k].op == OP_COUNT) {
        needs(c, 0, "a static number");
        return v_poison;
    }
    return real_tensor(c, 0, &v) ? tensor(c->e, emit1(c, fns[k].op, v)) : v_poison;
}

static Value builtin_minmax(Call *c)
{
    bool  max = strcmp(c->row->name, "max") == 0;
    Value a = c->value[0], b = c->value[1];
    if (is_static_number(a) && is_static_number(b)) {
        bool first = max ? static_number(a) >= static_number(b) : static_number(a) <= static_number(b);
        if (a.kind != b.kind)
            return v_float(static_number(first ? a : b));
        return first ? a : b;
    }
    if (!is_tensor(a) && !is_tensor(b)) {
        elab_error(c->e, "E0402", c->x->at, "'%s' needs numbers, and here are %s and %s", c->row->name, kind_text(c->e, a),
                   kind_text(c->e, b));
        return v_poison;
    }
    return elementwise(c->e, c->x, max ? OP_max : OP_min, CMP_EQ, c->arg[0], a, c->arg[1], b,
                       max ? "take the larger of \1 and \2" : "take the smaller of \1 and \2");
}

static Value builtin_abs(Call *c)
{
    Value v = c->value[0];
    if (v.kind == V_INT && v.i != INT64_MIN)
        return v_int(v.i < 0 ? -v.i : v.i);
    if (v.kind == V_FLOAT)
        return v_float(fabs(v.f));
    if (!real_tensor(c, 0, &v))
        return v_poison;
    ValueId x = use_value(c->e, v), y = emit1(c, OP_neg, v);
    return tensor(c->e, g_binary(c->e->m, c->e->b->g, like_at(c->e, c->x->at), OP_max, x, y));
}

/* ---- static ---- */

static Value builtin_intdiv(Call *c)
{
    Value a = c->value[0], b = c->value[1];
    if (a.kind != V_INT || b.kind != V_INT)
        return needs(c, a.kind != V_INT ? 0 : 1, "ints");
    if (b.i == 0 || (a.i == INT64_MIN && b.i == -1)) {
        Diag *d = elab_error(c->e, "E0304", c->x->at, "division by zero");
        note_names(c->e, d, c->arg[1], NULL);
        return v_poison;
    }
    int64_t q = int_floor_div(a.i, b.i);
    return v_int(strcmp(c->row->name, "div") == 0 || a.i % b.i == 0 ? q : q + 1);
}

static Value builtin_len(Call *c)
{
    Value v = c->value[0];
    return v.kind == V_LIST ? v_int(v.seq.n) : needs(c, 0, "a list");
}

static Value builtin_numel(Call *c)
{
    Value v = c->value[0];
    return is_tensor(v) ? v_int(shape_numel(tensor_type(c->e, v).shape)) : needs(c, 0, "a tensor");
}

/* ---- reductions ---- */

/* An axis or a list of axes as a bit set. */
static bool axes_of(Call *c, const Expr *x, uint32_t rank, uint32_t *axes)
{
    if (x->kind != EX_LIST) {
        int32_t k;
        if (!eval_axis(c->e, x, rank, &k))
            return false;
        *axes = 1u << k;
        return true;
    }
    *axes = 0;
    for (const Expr *i = x->list; i; i = i->next) {
        int32_t k;
        if (!eval_axis(c->e, i, rank, &k))
            return false;
        *axes |= 1u << k;
    }
    return true;
}

static Value builtin_reduce(Call *c)
{
    Elab *e = c->e;
    Value v;
    if (!real_tensor(c, 0, &v))
        return v_poison;
    if (c->arg[1] && c->arg[2]) {
        elab_error(e, "E0401", c->x->at, "'axis' and 'except' exclude each other");
        return v_poison;
    }
    Shape    s = tensor_type(e, v).shape;
    uint32_t all = (1u << s.rank) - 1, axes = all;
    if (c->arg[1] && !axes_of(c, c->arg[1], s.rank, &axes))
        return v_poison;
    if (c->arg[2]) {
        if (!axes_of(c, c->arg[2], s.rank, &axes))
            return v_poison;
        axes = all & ~axes;
    }
    bool    max = strcmp(c->row->name, "amax") == 0;
    ValueId x = use_value(e, v);
    Node   *like = like_at(e, c->x->at);
    if (axes)
        x = max ? g_amax(e->m, e->b->g, like, x, axes) : g_sum(e->m, e->b->g, like, x, axes);
    if (!c->arg[1] && axes) { /* sum(x) and sum(x, except: k) drop what they have summed */
        Shape kept = {0};
        for (uint32_t i = 0; i < s.rank; i++)
            if (!(axes >> i & 1))
                kept.dim[kept.rank++] = s.dim[i];
        x = g_reshape(e->m, e->b->g, like, x, kept);
    }
    return tensor(e, x);
}

static Value builtin_softmax(Call *c)
{
    Value   v;
    int32_t axis;
    if (!real_tensor(c, 0, &v) || !eval_axis(c->e, c->arg[1], tensor_type(c->e, v).shape.rank, &axis))
        return v_poison;
    return tensor(c->e, g_softmax(c->e->m, c->e->b->g, like_at(c->e, c->x->at), use_value(c->e, v), axis));
}

/* ---- movement ---- */

static Value builtin_reshape(Call *c)
{
    Elab *e = c->e;
    Shape s;
    Value v = c->value[0];
    if (!is_tensor(v))
        return needs(c, 0, "a tensor");
    if (!list_shape(e, c->arg[1], &s))
        return v_poison;
    Type t = tensor_type(e, v);
    if (shape_numel(s) != shape_numel(t.shape)) {
        Type to = {t.dtype, s};
        Diag *d = elab_error(e, "E0413", c->x->at, "%s has %lld elements, %s would have %lld", type_text(e->a, t),
                             (long long)shape_numel(t.shape), type_text(e->a, to), (long long)shape_numel(s));
        note_names(e, d, c->arg[1], NULL);
        return v_poison;
    }
    v = to_tensor(e, v, DT_REAL, c->x->at);
    if (shape_equal(s, t.shape))
        return v;
    return tensor(e, g_reshape(e->m, e->b->g, like_at(e, c->x->at), use_value(e, v), s));
}

static Value builtin_broadcast(Call *c)
{
    Elab *e = c->e;
    Shape s;
    Value v = c->value[0];
    if (!is_tensor(v) && !is_static_number(v))
        return needs(c, 0, "a tensor or a number");
    if (!list_shape(e, c->arg[1], &s))
        return v_poison;
    if (!is_tensor(v))
        return splat_like(e, v, (Type){DT_REAL, s}, c->x->at);
    Type t = tensor_type(e, v);
    bool fits = t.shape.rank == 0 || t.shape.rank == s.rank;
    for (uint32_t i = 0; i < t.shape.rank && fits; i++)
        fits = t.shape.dim[i] == s.dim[i] || t.shape.dim[i] == 1;
    if (!fits) {
        Type to = {t.dtype, s};
        Diag *d = elab_error(e, "E0413", c->x->at, "cannot broadcast %s to %s", type_text(e->a, t), type_text(e->a, to));
        diag_help(d, t.shape.rank == s.rank ? "only axes of extent 1 grow" : "give it all its axes first, with '_' for new ones");
        return v_poison;
    }
    return broadcast_value(e, to_tensor(e, v, DT_REAL, c->x->at), s, c->x->at);
}

/* A list of ints, one per axis. */
static bool per_axis(Call *c, uint32_t slot, uint32_t rank, int64_t lo, int64_t hi, int32_t *out)
{
    Value v = c->value[slot];
    if (v.kind == V_LIST && v.seq.n == rank) {
        bool ok = true;
        for (uint32_t i = 0; i < rank; i++) {
            ok &= v.seq.item[i].kind == V_INT && v.seq.item[i].i >= lo && v.seq.item[i].i < hi;
            out[i] = ok ? (int32_t)v.seq.item[i].i : 0;
        }
        if (ok)
            return true;
    }
    needs(c, slot, arena_printf(c->e->a, "a list of %u ints from %lld to %lld", rank, (long long)lo, (long long)hi - 1));
    return false;
}

static Value builtin_transpose(Call *c)
{
    Elab   *e = c->e;
    int32_t p[MAX_RANK];
    uint8_t perm[MAX_RANK];
    Value   v = c->value[0];
    if (!is_tensor(v))
        return needs(c, 0, "a tensor");
    uint32_t rank = tensor_type(e, v).shape.rank, seen = 0;
    if (!per_axis(c, 1, rank, 0, rank, p))
        return v_poison;
    for (uint32_t i = 0; i < rank; i++) {
        seen |= 1u << p[i];
        perm[i] = (uint8_t)p[i];
    }
    if (seen != (1u << rank) - 1)
        return needs(c, 1, "every axis once");
    v = to_tensor(e, v, DT_REAL, c->x->at);
    return tensor(e, g_transpose(e->m, e->b->g, like_at(e, c->x->at), use_value(e, v), perm));
}

static Value builtin_pad(Call *c)
{
    Elab    *e = c->e;
    int32_t  lo[MAX_RANK], hi[MAX_RANK];
    Value    v;
    if (!real_tensor(c, 0, &v))
        return v_poison;
    uint32_t rank = tensor_type(e, v).shape.rank;
    if (!per_axis(c, 1, rank, 0, 1 << 24, lo) || !per_axis(c, 2, rank, 0, 1 << 24, hi))
        return v_poison;
    return tensor(e, g_pad(e->m, e->b->g, like_at(e, c->x->at), use_value(e, v), lo, hi));
}

static Value builtin_concat(Call *c)
{
    Elab   *e = c->e;
    ValueId in[MAX_PARTS];
    Type    t = {DT_NONE, {0}};
    int32_t axis = 0;
    DType   want = DT_REAL;
    Value   part[MAX_PARTS];
    for (uint32_t i = 0; i < c->parts; i++) {
        part[i] = eval(e, c->part[i]);
        if (is_poison(part[i]))
            return v_poison;
        if (!is_tensor(part[i])) {
            elab_error(e, "E0402", c->part[i]->at, "'concat' needs tensors, and this is %s", kind_text(e, part[i]));
            return v_poison;
        }
        DType d = tensor_type(e, part[i]).dtype;
        want = i == 0 || d == DT_REAL ? d : want;
    }
    for (uint32_t i = 0; i < c->parts; i++) {
        Value v = to_tensor(e, part[i], DT_REAL, c->part[i]->at);
        Type  p = tensor_type(e, v);
        if (is_real(p.dtype) && is_real(want) && p.dtype != want && want == DT_REAL) {
            v = cast_to(e, v, want, c->part[i]->at);
            p.dtype = want;
        }
        if (i == 0) {
            t = p;
            if (!eval_axis(e, c->arg[1], t.shape.rank, &axis))
                return v_poison;
        }
        bool fits = p.dtype == t.dtype && p.shape.rank == t.shape.rank;
        for (uint32_t k = 0; k < p.shape.rank && fits; k++)
            fits = (int32_t)k == axis || p.shape.dim[k] == t.shape.dim[k];
        if (!fits) {
            Diag *d = elab_error(e, "E0413", c->x->at, "cannot concatenate %s and %s along axis %d", type_text(e->a, t),
                                 type_text(e->a, p), axis);
            diag_label(d, c->part[0]->at, "%s", describe(e, c->part[0], part[0]));
            diag_label(d, c->part[i]->at, "%s", describe(e, c->part[i], part[i]));
            return v_poison;
        }
        in[i] = use_value(e, v);
    }
    return tensor(e, g_concat(e->m, e->b->g, like_at(e, c->x->at), in, c->parts, axis));
}

/* ---- choice ---- */

/* The condition, the choices and the result have one shape; two numbers take the condition's. */
static Value builtin_select(Call *c)
{
    Elab *e = c->e;
    Value k = c->value[0], x = c->value[1], y = c->value[2];
    if (k.kind == V_BOOL) {
        Diag *d = elab_error(e, "E0402", c->arg[0]->at, "the condition of 'select' is known at compile time");
        diag_help(d, "write 'if c then x else y'");
        return v_poison;
    }
    if (!is_tensor(k) || tensor_type(e, k).dtype != DT_BOOL)
        return needs(c, 0, "a comparison of tensors");
    Shape s = tensor_type(e, k).shape, t;
    DType dtype = DT_REAL;
    for (uint32_t i = 1; i <= 2; i++) {
        if (!is_tensor(c->value[i])) {
            if (!is_static_number(c->value[i]))
                return needs(c, i, "a tensor or a number");
            continue;
        }
        dtype = tensor_type(e, c->value[i]).dtype;
        if (dtype == DT_BOOL)
            return needs(c, i, "numbers");
        if (!broadcast_shapes(e, c->x, c->arg[0], k, c->arg[i], c->value[i], &t, "choose between \1 and \2"))
            return v_poison;
        k = broadcast_value(e, to_tensor(e, k, DT_BOOL, c->x->at), t, c->x->at);
        s = t;
    }
    if (is_tensor(x) && is_tensor(y)) {
        DType a = tensor_type(e, x).dtype, b = tensor_type(e, y).dtype;
        if (a != b && (!is_real(a) || !is_real(b) || (a != DT_REAL && b != DT_REAL))) {
            elab_error(e, "E0408", c->x->at, "the choices are %s and %s", kind_text(e, x), kind_text(e, y));
            return v_poison;
        }
        dtype = a == b ? a : DT_REAL;
    }
    Value v[2] = {x, y};
    for (uint32_t i = 0; i < 2; i++) {
        if (is_tensor(v[i])) {
            v[i] = to_tensor(e, v[i], dtype, c->arg[i + 1]->at);
            v[i] = broadcast_value(e, cast_to(e, v[i], dtype, c->x->at), s, c->x->at);
        } else if (dtype == DT_I32 && v[i].kind != V_INT) {
            return needs(c, i + 1, "an int beside i32");
        } else {
            v[i] = splat_like(e, v[i], (Type){dtype, s}, c->arg[i + 1]->at);
        }
    }
    k = broadcast_value(e, to_tensor(e, k, DT_BOOL, c->x->at), s, c->x->at);
    return tensor(e, g_select(e->m, e->b->g, like_at(e, c->x->at), use_value(e, k), use_value(e, v[0]), use_value(e, v[1])));
}

/* ---- addressed by data ---- */

static Value emit(Call *c, Node n, const ValueId *in, uint32_t n_in)
{
    Elab *e = c->e;
    Node  like = *like_at(e, c->x->at);
    n.scope = like.scope;
    n.tag = like.tag;
    n.hint = like.hint;
    n.at = like.at;
    Type  types[4];
    Node  probe = n;
    Buf   err = {0};
    for (uint32_t i = 0; i < n_in; i++)
        types[i] = e->b->g->node[in[i]].type;
    if (!op_infer(e->m, &probe, types, n_in, NULL, &err)) { /* the shapes are the user's: say what the rule says */
        elab_error(e, "E0413", c->x->at, "%s: %s", c->row->name, err.data);
        buf_free(&err);
        return v_poison;
    }
    buf_free(&err);
    if (probe.type.shape.rank > MAX_VALUE_RANK) {
        elab_error(e, "E0413", c->x->at, "the result has more than %d axes", MAX_VALUE_RANK);
        return v_poison;
    }
    return tensor(e, graph_add(e->m, e->b->g, &n, in, n_in));
}

static Value builtin_gather(Call *c)
{
    Value i;
    if (!is_tensor(c->value[0]))
        return needs(c, 0, "a tensor");
    if (!index_tensor(c, 1, &i))
        return v_poison;
    ValueId in[2] = {use_value(c->e, to_tensor(c->e, c->value[0], DT_REAL, c->arg[0]->at)), use_value(c->e, i)};
    return emit(c, (Node){.op = OP_gather}, in, 2);
}

static Value builtin_scatter(Call *c)
{
    Value    i, rows;
    Elab    *e = c->e;
    int64_t  n = c->value[2].kind == V_INT ? c->value[2].i : 0;
    if (n < 1 || n > INT32_MAX)
        return needs(c, 2, "a positive int");
    if (!index_tensor(c, 0, &i) || !real_tensor(c, 1, &rows))
        return v_poison;
    Type     ti = tensor_type(e, i), tr = tensor_type(e, rows);
    Node     node = {.op = OP_scatter_add, .type = {tr.dtype, {.rank = 1, .dim = {(int32_t)n}}}};
    if (tr.shape.rank < ti.shape.rank)
        return needs(c, 1, "one row per index");
    for (uint32_t k = ti.shape.rank; k < tr.shape.rank; k++)
        node.type.shape.dim[node.type.shape.rank++] = tr.shape.dim[k];
    return emit(c, node, (ValueId[]){use_value(e, i), use_value(e, rows)}, 2);
}

static Value builtin_splice(Call *c)
{
    Value   s, x, p;
    Elab   *e = c->e;
    Node    n = {.op = OP_splice};
    if (!real_tensor(c, 0, &s) || !real_tensor(c, 1, &x) || !index_tensor(c, 2, &p))
        return v_poison;
    Type t = tensor_type(e, s);
    if (!eval_axis(e, c->arg[3], t.shape.rank, &n.a.axis.axis))
        return v_poison;
    x = cast_to(e, x, t.dtype, c->arg[1]->at); /* the buffer's element type wins */
    return emit(c, n, (ValueId[]){use_value(e, s), use_value(e, x), use_value(e, p)}, 3);
}

static Value builtin_xent(Call *c)
{
    Value z, t;
    Node  n = {.op = OP_xent};
    if (!real_tensor(c, 0, &z) || !index_tensor(c, 1, &t) ||
        !eval_axis(c->e, c->arg[2], tensor_type(c->e, z).shape.rank, &n.a.axis.axis))
        return v_poison;
    return emit(c, n, (ValueId[]){use_value(c->e, z), use_value(c->e, t)}, 2);
}

static Value builtin_iota(Call *c)
{
    int64_t n = c->value[0].kind == V_INT ? c->value[0].i : 0;
    if (n < 1 || n > INT32_MAX)
        return needs(c, 0, "a positive int");
    return emit(c, (Node){.op = OP_iota, .type = {DT_I32, {.rank = 1, .dim = {(int32_t)n}}}}, NULL, 0);
}

/* ---- conversion ---- */

static Value builtin_convert(Call *c)
{
    DType to = DT_REAL;
    Value v = c->value[0];
    dtype_by_name(c->row->name, &to, NULL);
    if (is_static_number(v) && (to != DT_I32 || v.kind == V_INT))
        return to_tensor(c->e, v, to, c->x->at);
    if (!is_tensor(v) || tensor_type(c->e, v).dtype == DT_BOOL)
        return needs(c, 0, "a tensor of numbers");
    return cast_to(c->e, to_tensor(c->e, v, to, c->x->at), to, c->x->at);
}

static Value builtin_stop_grad(Call *c)
{
    Value v;
    return real_tensor(c, 0, &v) ? tensor(c->e, emit1(c, OP_stop_grad, v)) : v_poison;
}

/* ---- the table, and sorting arguments into slots ---- */

static const Row rows[] = {
#define BUILTIN(name, run, args, help) {#name, args, builtin_##run},
#include "frontend/builtins.def"
};

static const Row *find_row(const char *name)
{
    for (uint32_t i = 0; i < COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

bool is_builtin(const char *name)
{
    return find_row(name) != NULL;
}

void suggest_builtins(Suggest *s)
{
    for (uint32_t i = 0; i < COUNT(rows); i++)
        suggest(s, rows[i].name);
}

typedef struct { char name[24]; bool optional, rest; } Slot;

static uint32_t slots_of(const Row *r, Slot *s)
{
    uint32_t n = 0;
    for (const char *p = r->args; *p; n++) {
        size_t len = strcspn(p, ",");
        s[n] = (Slot){.rest = p[0] == '*', .optional = p[len - 1] == '?'};
        memcpy(s[n].name, p, len - s[n].optional);
        p += len;
        while (*p == ',' || *p == ' ')
            p++;
    }
    return n;
}

static bool bad_args(Call *c, Span at, const char *what)
{
    Diag *d = elab_error(c->e, "E0401", at, "%s", what);
    diag_help(d, "it is %s(%s)", c->row->name, c->row->args);
    return false;
}

static bool sort_args(Call *c, const Slot *slot, uint32_t n)
{
    Elab    *e = c->e;
    uint32_t next = 0;
    for (const Arg *a = c->x->call.args; a; a = a->next) {
        uint32_t k = next;
        if (a->name) {
            for (k = 0; k < n && strcmp(slot[k].name, str(e, a->name)) != 0; k++)
                continue;
            if (k == n)
                return bad_args(c, a->name_at, arena_printf(e->a, "'%s' has no argument '%s'", c->row->name, str(e, a->name)));
        } else if (next < n && slot[next].rest) {
            if (c->parts == MAX_PARTS)
                return bad_args(c, a->value->at, "too many arguments");
            c->part[c->parts++] = a->value;
            continue;
        } else {
            next++;
        }
        if (k >= n)
            return bad_args(c, a->value->at, arena_printf(e->a, "too many arguments of '%s'", c->row->name));
        if (c->arg[k])
            return bad_args(c, a->value->at, arena_printf(e->a, "argument '%s' is given twice", slot[k].name));
        c->arg[k] = a->value;
    }
    for (uint32_t k = 0; k < n; k++)
        if (slot[k].rest ? c->parts == 0 : !c->arg[k] && !slot[k].optional)
            return bad_args(c, c->x->at, slot[k].rest ? arena_printf(e->a, "'%s' of nothing", c->row->name)
                                                      : arena_printf(e->a, "'%s' lacks its argument '%s'", c->row->name,
                                                                     slot[k].name));
    return true;
}

Value eval_builtin(Elab *e, const Expr *x)
{
    Call     c = {.e = e, .x = x, .row = find_row(str(e, x->call.fn.id))};
    Slot     slot[MAX_SLOTS] = {{.rest = false}};
    uint32_t n = slots_of(c.row, slot);
    bool     ok = true, tensors = false;
    if (x->call.label) {
        elab_error(e, "E0501", x->call.label->at, "'as' names the parameters of a block, and '%s' is a builtin", c.row->name);
        return v_poison;
    }
    if (!sort_args(&c, slot, n))
        return v_poison;
    for (uint32_t k = 0; k < n; k++) {
        if (!c.arg[k] || slot[k].rest || strcmp(slot[k].name, "axis") == 0 || strcmp(slot[k].name, "except") == 0 ||
            strcmp(slot[k].name, "shape") == 0)
            continue;
        c.value[k] = eval(e, c.arg[k]);
        ok &= !is_poison(c.value[k]);
        tensors |= is_tensor(c.value[k]);
    }
    if (!ok)
        return v_poison;
    if (!e->b && (tensors || c.parts || strcmp(c.row->name, "iota") == 0 || strcmp(c.row->name, "broadcast") == 0 ||
                  c.row->run == builtin_convert)) {
        elab_error(e, "E0305", x->at, "'%s' of tensors has no value at compile time", c.row->name);
        return v_poison;
    }
    if (e->b && !room(e, x->at))
        return v_poison;
    return c.row->run(&c);
}

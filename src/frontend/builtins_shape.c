/* builtins_shape.c: builtins that move elements: shapes, choices, gathers and the like. */
#include "frontend/builtins.h"

/* ---- movement ---- */

Value builtin_reshape(Call *c)
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

Value builtin_broadcast(Call *c)
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
        Diag *d =
            elab_error(e, "E0413", c->x->at, "cannot broadcast %s to %s", type_text(e->a, t), type_text(e->a, to));
        diag_help(d, t.shape.rank == s.rank ? "only axes of extent 1 grow"
                                            : "give it all its axes first, with '_' for new ones");
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
    needs(c, slot,
          arena_printf(c->e->a, "a list of %u ints from %lld to %lld", rank, (long long)lo, (long long)hi - 1));
    return false;
}

Value builtin_transpose(Call *c)
{
    Elab *e = c->e;
    int32_t p[MAX_RANK];
    uint8_t perm[MAX_RANK];
    Value v = c->value[0];
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

Value builtin_pad(Call *c)
{
    Elab *e = c->e;
    int32_t lo[MAX_RANK], hi[MAX_RANK];
    Value v;
    if (!real_tensor(c, 0, &v))
        return v_poison;
    uint32_t rank = tensor_type(e, v).shape.rank;
    if (!per_axis(c, 1, rank, 0, 1 << 24, lo) || !per_axis(c, 2, rank, 0, 1 << 24, hi))
        return v_poison;
    return tensor(e, g_pad(e->m, e->b->g, like_at(e, c->x->at), use_value(e, v), lo, hi));
}

Value builtin_concat(Call *c)
{
    Elab *e = c->e;
    ValueId in[MAX_PARTS];
    Type t = {DT_NONE, {0}};
    int32_t axis = 0;
    DType want = DT_REAL;
    Value part[MAX_PARTS];
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
        Type p = tensor_type(e, v);
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
Value builtin_select(Call *c)
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
    /* one after the other: C evaluates arguments in any order, and use_value() may create nodes */
    ValueId chosen = use_value(e, k), yes = use_value(e, v[0]), no = use_value(e, v[1]);
    return tensor(e, g_select(e->m, e->b->g, like_at(e, c->x->at), chosen, yes, no));
}

/* ---- addressed by data ---- */

static Value emit(Call *c, Node n, const ValueId *in, uint32_t n_in)
{
    Elab *e = c->e;
    Node like = *like_at(e, c->x->at);
    n.scope = like.scope;
    n.stmt = like.stmt;
    n.from = like.from;
    n.tag = like.tag;
    n.hint = like.hint;
    n.at = like.at;
    Type types[4];
    Node probe = n;
    Buf err = {0};
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

Value builtin_gather(Call *c)
{
    Value i;
    if (!is_tensor(c->value[0]))
        return needs(c, 0, "a tensor");
    if (!index_tensor(c, 1, &i))
        return v_poison;
    ValueId table = use_value(c->e, to_tensor(c->e, c->value[0], DT_REAL, c->arg[0]->at)), index = use_value(c->e, i);
    return emit(c, (Node){.op = OP_gather}, (ValueId[]){table, index}, 2);
}

Value builtin_scatter(Call *c)
{
    Value i, rows;
    Elab *e = c->e;
    int64_t n = c->value[2].kind == V_INT ? c->value[2].i : 0;
    if (n < 1 || n > INT32_MAX)
        return needs(c, 2, "a positive int");
    if (!index_tensor(c, 0, &i) || !real_tensor(c, 1, &rows))
        return v_poison;
    Type ti = tensor_type(e, i), tr = tensor_type(e, rows);
    Node node = {.op = OP_scatter_add, .type = {tr.dtype, {.rank = 1, .dim = {(int32_t)n}}}};
    if (tr.shape.rank < ti.shape.rank)
        return needs(c, 1, "one row per index");
    for (uint32_t k = ti.shape.rank; k < tr.shape.rank; k++)
        node.type.shape.dim[node.type.shape.rank++] = tr.shape.dim[k];
    ValueId index = use_value(e, i), from = use_value(e, rows);
    return emit(c, node, (ValueId[]){index, from}, 2);
}

Value builtin_splice(Call *c)
{
    Value s, x, p;
    Elab *e = c->e;
    Node n = {.op = OP_splice};
    if (!real_tensor(c, 0, &s) || !real_tensor(c, 1, &x) || !index_tensor(c, 2, &p))
        return v_poison;
    Type t = tensor_type(e, s);
    if (!eval_axis(e, c->arg[3], t.shape.rank, &n.a.axis.axis))
        return v_poison;
    x = cast_to(e, x, t.dtype, c->arg[1]->at); /* the buffer's element type wins */
    ValueId into = use_value(e, s), update = use_value(e, x), position = use_value(e, p);
    return emit(c, n, (ValueId[]){into, update, position}, 3);
}

Value builtin_xent(Call *c)
{
    Value z, t;
    Node n = {.op = OP_xent};
    if (!real_tensor(c, 0, &z) || !index_tensor(c, 1, &t) ||
        !eval_axis(c->e, c->arg[2], tensor_type(c->e, z).shape.rank, &n.a.axis.axis))
        return v_poison;
    ValueId logits = use_value(c->e, z), classes = use_value(c->e, t);
    return emit(c, n, (ValueId[]){logits, classes}, 2);
}

Value builtin_iota(Call *c)
{
    int64_t n = c->value[0].kind == V_INT ? c->value[0].i : 0;
    if (n < 1 || n > INT32_MAX)
        return needs(c, 0, "a positive int");
    return emit(c, (Node){.op = OP_iota, .type = {DT_I32, {.rank = 1, .dim = {(int32_t)n}}}}, NULL, 0);
}

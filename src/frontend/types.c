/* types.c: declared types against actual ones.
 *
 * A header's generics are bound by matching the shapes of the arguments, left to right: a dimension that is just the
 * name of a generic binds it the first time and is compared afterwards; every other dimension is an expression,
 * computed and compared once all arguments are known. `..B` takes whatever run of axes the others leave over. */
#include "frontend/elab.h"

#include <string.h>

bool dtype_by_name(const char *name, DType *out, bool *token)
{
    static const struct {
        const char *name;
        DType dtype;
    } known[] = {
        {"real", DT_REAL}, {"f32", DT_F32}, {"f16", DT_F16}, {"i32", DT_I32}, {"tok", DT_I32}, {"bool", DT_BOOL},
    };
    for (uint32_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].dtype;
            if (token)
                *token = strcmp(name, "tok") == 0;
            return true;
        }
    return false;
}

static ValueKind static_kind(const char *name)
{
    return strcmp(name, "int") == 0     ? V_INT
           : strcmp(name, "float") == 0 ? V_FLOAT
           : strcmp(name, "bool") == 0  ? V_BOOL
           : strcmp(name, "str") == 0   ? V_STR
           : strcmp(name, "list") == 0  ? V_LIST
                                        : V_POISON;
}

static bool unknown_type(Elab *e, const TypeExpr *t)
{
    static const char *const all[] = {"real", "f32", "f16", "i32", "tok", "bool", "int", "float", "str", "list"};
    Suggest s = {.word = str(e, t->name.id)};
    for (uint32_t i = 0; i < COUNT(all); i++)
        suggest(&s, all[i]);
    Diag *d = elab_error(e, "E0415", t->name.at, "unknown type '%s'", str(e, t->name.id));
    if (s.best)
        diag_label(d, t->name.at, "did you mean '%s'?", s.best);
    diag_help(
        d, "tensors are real[..], f32[..], f16[..], i32[..], tok[..], bool[..]; static values int, float, bool, str, "
           "list");
    return false;
}

static bool add_extent(Elab *e, Shape *s, int64_t n, Span at, const Expr *x)
{
    if (n < 1 || n > INT32_MAX) {
        Diag *d = elab_error(e, "E0415", at, "an extent of %lld: axes have %s", (long long)n,
                             n < 1 ? "at least one element" : "at most 2147483647 elements");
        note_names(e, d, x, NULL);
        return false;
    }
    if (s->rank == MAX_VALUE_RANK) {
        elab_error(e, "E0415", at, "more than %d axes", MAX_VALUE_RANK);
        return false;
    }
    s->dim[s->rank++] = (int32_t)n;
    return true;
}

static bool size_ok(Elab *e, Shape s, Span at)
{
    double n = 1;
    for (uint32_t i = 0; i < s.rank; i++)
        n *= s.dim[i];
    if (n <= INT32_MAX)
        return true;
    elab_error(e, "E0415", at, "%.0f elements are more than 2^31", n);
    return false;
}

/* Expand a run `..B`; the generic holds a list of extents. */
static bool add_run(Elab *e, Shape *s, const Dim *d)
{
    const Var *v = find_var(e, d->run.id);
    if (!v) {
        unknown_name(e, d->run, false);
        return false;
    }
    if (v->value.kind != V_LIST) {
        if (!is_poison(v->value))
            elab_error(e, "E0415", d->at, "'%s' is not a run of dimensions", str(e, d->run.id));
        return false;
    }
    for (uint32_t i = 0; i < v->value.seq.n; i++)
        if (!add_extent(e, s, v->value.seq.item[i].i, d->at, NULL))
            return false;
    return true;
}

bool eval_type(Elab *e, const TypeExpr *t, Declared *out)
{
    *out = (Declared){.kind = V_TENSOR, .at = t->at};
    if (!t->name.id) {
        elab_error(e, "E0415", t->at, "several types stand only as the result of a function");
        return false;
    }
    const char *name = str(e, t->name.id);
    if (!t->shaped && static_kind(name) != V_POISON) {
        out->kind = static_kind(name);
        return true;
    }
    if (!dtype_by_name(name, &out->type.dtype, &out->token)) {
        if (static_kind(name) == V_POISON)
            return unknown_type(e, t);
        elab_error(e, "E0415", t->at, "'%s' is the type of static values and has no dimensions", name);
        return false;
    }
    if (!t->shaped) {
        Diag *d = elab_error(e, "E0415", t->at, "a tensor type needs its dimensions");
        diag_help(d, "write '%s[]' for a single number", name);
        return false;
    }
    for (const Dim *d = t->dims; d; d = d->next) {
        int64_t n;
        if (!d->extent) {
            if (!add_run(e, &out->type.shape, d))
                return false;
        } else if (!want_int(e, d->extent, &n, "a dimension") ||
                   !add_extent(e, &out->type.shape, n, d->at, d->extent)) {
            return false;
        }
    }
    return size_ok(e, out->type.shape, t->at);
}

bool list_shape(Elab *e, const Expr *x, Shape *s)
{
    Value v = eval(e, x);
    *s = (Shape){0};
    if (v.kind != V_LIST) {
        if (!is_poison(v))
            elab_error(e, "E0413", x->at, "a shape is a list such as [2, 3], and this is %s", kind_text(e, v));
        return false;
    }
    for (uint32_t i = 0; i < v.seq.n; i++) {
        if (v.seq.item[i].kind != V_INT) {
            elab_error(e, "E0413", x->at, "the extents of a shape are ints, and this is %s",
                       kind_text(e, v.seq.item[i]));
            return false;
        }
        if (!add_extent(e, s, v.seq.item[i].i, x->at, x))
            return false;
    }
    return size_ok(e, *s, x->at);
}

/* ---- matching ---- */

static const Generic *generic_of(const Frame *f, StrId name, bool run)
{
    for (const Generic *g = f->fn->generics; g; g = g->next)
        if (g->name == name && g->run == run)
            return g;
    return NULL;
}

/* Which actual axes belong to `..B`: `*first`, `*count`. False if the rank cannot fit. */
static bool layout(const TypeExpr *t, uint32_t rank, uint32_t *first, uint32_t *count)
{
    uint32_t fixed = 0, runs = 0;
    for (const Dim *d = t->dims; d; d = d->next) {
        if (!d->extent) {
            *first = fixed;
            runs++;
        } else {
            fixed++;
        }
    }
    *count = 0;
    if (runs > 1 || fixed > rank || (runs == 0 && fixed != rank))
        return false;
    *count = runs ? rank - fixed : 0;
    if (!runs)
        *first = 0;
    return true;
}

static Diag *wrong_shape(Elab *e, const FnParam *p, const TypeExpr *t, Type actual, Span at)
{
    Diag *d = elab_error(e, "E0403", at, "'%s' of '%s' is declared %s, and the argument is %s", str(e, p->name.id),
                         str(e, e->frame->fn->name.id), source_text(e, t->at), type_text(e->a, actual));
    return d;
}

/* "S is 256 by 'x' (real[768, 256])", for a generic that an earlier argument has fixed. */
static void note_generic(Elab *e, Diag *d, const Var *v)
{
    Buf b = {0};
    static_print(e, v->value, &b);
    if (v->from)
        diag_note(d, v->from_at, "%s is %s, by '%s': %s, bound", str(e, v->name), b.data, str(e, v->from),
                  type_text(e->a, v->from_type));
    else
        diag_note(d, v->at, "%s is %s", str(e, v->name), b.data);
    buf_free(&b);
}

static void bind_generic(Elab *e, const FnParam *p, StrId name, Value v, Type actual, Span at)
{
    Var *var = new_var(e, VAR_GENERIC, name, v, at);
    var->from = p->name.id;
    var->from_type = actual;
    var->from_at = at;
}

static bool bind_run(Elab *e, const FnParam *p, const TypeExpr *t, const Dim *d, Type actual, uint32_t first,
                     uint32_t count, Span at, Span from)
{
    Value v = {.kind = V_LIST, .seq = {NEW_N(e->a, Value, count), count}};
    for (uint32_t i = 0; i < count; i++)
        v.seq.item[i] = v_int(actual.shape.dim[first + i]);
    if (!generic_of(e->frame, d->run.id, true)) {
        elab_error(e, "E0415", d->at, "'..%s' is not among the generics of '%s'", str(e, d->run.id),
                   str(e, e->frame->fn->name.id));
        return false;
    }
    const Var *old = find_var(e, d->run.id);
    if (!old) {
        bind_generic(e, p, d->run.id, v, actual, from);
        return true;
    }
    if (static_equal(old->value, v))
        return true;
    note_generic(e, wrong_shape(e, p, t, actual, at), old);
    return false;
}

/* Where the argument got its value: the binding of the variable if it is one. */
static Span bound_at(Elab *e, const Expr *arg, Span at)
{
    Frame *callee = e->frame;
    e->frame = callee->caller;
    const Var *v = arg && arg->kind == EX_NAME ? find_var(e, arg->name.id) : NULL;
    e->frame = callee;
    return v && v->at.file ? v->at : at;
}

bool bind_generics(Elab *e, const FnParam *p, const TypeExpr *t, Type actual, Span at, const Expr *arg)
{
    uint32_t first, count, k = 0;
    Span from = bound_at(e, arg, at);
    if (!layout(t, actual.shape.rank, &first, &count)) {
        Diag *d = wrong_shape(e, p, t, actual, at);
        uint32_t want = 0;
        for (const Dim *x = t->dims; x; x = x->next)
            want += x->extent != NULL;
        diag_label(d, at, "%u ax%s, not %u", actual.shape.rank, actual.shape.rank == 1 ? "is" : "es", want);
        return false;
    }
    for (const Dim *d = t->dims; d; d = d->next) {
        if (!d->extent) {
            if (!bind_run(e, p, t, d, actual, first, count, at, from))
                return false;
            k += count;
            continue;
        }
        const Expr *x = d->extent;
        int64_t n = actual.shape.dim[k++];
        if (x->kind != EX_NAME || !generic_of(e->frame, x->name.id, false))
            continue;
        const Var *old = find_var(e, x->name.id);
        if (!old) {
            bind_generic(e, p, x->name.id, v_int(n), actual, from);
        } else if (old->value.kind == V_INT && old->value.i != n) {
            note_generic(e, wrong_shape(e, p, t, actual, at), old);
            return false;
        }
    }
    return true;
}

bool check_dims(Elab *e, const FnParam *p, const TypeExpr *t, Type actual, Span at)
{
    uint32_t first, count, k = 0;
    layout(t, actual.shape.rank, &first, &count);
    for (const Dim *d = t->dims; d; d = d->next) {
        if (!d->extent) {
            k += count;
            continue;
        }
        int64_t want, n = actual.shape.dim[k++];
        if (d->extent->kind == EX_NAME && generic_of(e->frame, d->extent->name.id, false))
            continue; /* bound or compared already */
        if (!want_int(e, d->extent, &want, "a dimension"))
            return false;
        if (want != n) {
            Diag *diag = wrong_shape(e, p, t, actual, at);
            diag_label(diag, at, "axis %u is %lld; '%s' is %lld", k - 1, (long long)n, source_text(e, d->at),
                       (long long)want);
            note_names(e, diag, d->extent, NULL);
            return false;
        }
    }
    return true;
}

/* ---- conversion to a declared type ---- */

static const char *declared_text(Elab *e, Declared d)
{
    static const char *const name[] = {
        [V_INT] = "int", [V_FLOAT] = "float", [V_BOOL] = "bool", [V_STR] = "str", [V_LIST] = "list"};
    return d.kind == V_TENSOR ? type_text(e->a, d.type) : name[d.kind];
}

static void declared_at(Diag *d, Declared want, Span at)
{
    if (want.at.file && (want.at.file != at.file || want.at.begin != at.begin))
        diag_note(d, want.at, "that is declared");
}

bool has_type(const Elab *e, Value v, Declared want)
{
    if (want.kind != V_TENSOR)
        return v.kind == want.kind;
    return v.kind == V_TENSOR && e->b && type_equal(tensor_type(e, v), want.type);
}

Value convert_value(Elab *e, Value v, Declared want, Span at, const char *what)
{
    if (is_poison(v) || has_type(e, v, want))
        return v;
    if (want.kind != V_TENSOR) {
        if (want.kind == V_FLOAT && v.kind == V_INT)
            return v_float((double)v.i);
        Diag *d = elab_error(e, "E0402", at, "%s is declared %s, and this is %s", what, declared_text(e, want),
                             kind_text(e, v));
        declared_at(d, want, at);
        if (v.kind == V_TENSOR)
            diag_help(d, "static values are known at compile time; tensors are not");
        return v_poison;
    }
    if (v.kind == V_TABLE && shape_equal(v.table->shape, want.type.shape)) {
        if (v.table->dtype == want.type.dtype)
            return v;
        if (want.type.dtype == DT_REAL && v.table->dtype == DT_I32) { /* from here on these are numbers, not indices */
            TableData *t = NEW(e->a, TableData);
            *t = *v.table;
            t->dtype = DT_REAL;
            return (Value){.kind = V_TABLE, .table = t};
        }
    }
    if (!e->b) {
        elab_error(e, "E0305", at, "%s is declared %s: tensors have no value at compile time", what,
                   declared_text(e, want));
        return v_poison;
    }
    if (is_static_number(v) && want.type.shape.rank == 0 && want.type.dtype != DT_BOOL) {
        if (want.type.dtype != DT_I32 || v.kind == V_INT)
            return to_tensor(e, v, want.type.dtype, at);
    } else if (v.kind == V_TABLE || v.kind == V_TENSOR) {
        Type t = tensor_type(e, v);
        if (shape_equal(t.shape, want.type.shape)) {
            if (v.kind == V_TABLE)
                v = to_tensor(e, v, want.type.dtype, at);
            t = tensor_type(e, v);
            if (t.dtype == want.type.dtype)
                return v;
            bool from = t.dtype == DT_REAL || t.dtype == DT_F16 || t.dtype == DT_F32;
            bool to = want.type.dtype == DT_REAL || want.type.dtype == DT_F16 || want.type.dtype == DT_F32;
            if (from && to && (t.dtype == DT_REAL || want.type.dtype == DT_REAL))
                return cast_to(e, v, want.type.dtype, at);
        }
    }
    Diag *d =
        elab_error(e, "E0411", at, "%s is declared %s, and this is %s", what, declared_text(e, want), kind_text(e, v));
    declared_at(d, want, at);
    if (is_static_number(v) && want.type.shape.rank > 0)
        diag_help(d, "broadcast(x, [..]) makes a tensor of one number");
    else if (is_tensor(v) && tensor_type(e, v).dtype == DT_I32 && want.type.dtype == DT_REAL)
        diag_help(d, "real(x) converts ints");
    return v_poison;
}

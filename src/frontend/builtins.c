/* builtins.c: calls of the functions in builtins.def.
 *
 * Arguments are sorted into slots by the row's signature, positional ones first, and handed to the row's function as
 * values beside their expressions. */
#include "frontend/builtins.h"

#include <math.h>
#include <string.h>

static ValueId emit1(Call *c, Op op, Value v)
{
    return g_unary(c->e->m, c->e->b->g, like_at(c->e, c->x->at), op, use_value(c->e, v));
}

Value needs(Call *c, uint32_t slot, const char *what)
{
    elab_error(c->e, "E0402", c->arg[slot]->at, "'%s' needs %s, and this is %s", c->row->name, what,
               kind_text(c->e, c->value[slot]));
    return v_poison;
}

/* Argument `slot` as a tensor of reals of this graph. */
bool real_tensor(Call *c, uint32_t slot, Value *out)
{
    Value v = c->value[slot];
    if (!is_tensor(v) || !is_real(tensor_type(c->e, v).dtype)) {
        needs(c, slot, "a real tensor");
        return false;
    }
    *out = to_tensor(c->e, v, DT_REAL, c->arg[slot]->at);
    return true;
}

bool index_tensor(Call *c, uint32_t slot, Value *out)
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

Value builtin_unary(Call *c)
{
    static const struct {
        const char *name;
        StaticFn fn;
        Op op;
    } fns[] = {
        {"exp", SF_EXP, OP_exp},       {"log", SF_LOG, OP_log},    {"sqrt", SF_SQRT, OP_sqrt},
        {"rsqrt", SF_RSQRT, OP_rsqrt}, {"tanh", SF_TANH, OP_tanh}, {"sigmoid", SF_SIGMOID, OP_sigmoid},
        {"sin", SF_SIN, OP_COUNT},     {"cos", SF_COS, OP_COUNT},
    };
    uint32_t k = 0;
    while (k + 1 < COUNT(fns) && strcmp(fns[k].name, c->row->name) != 0)
        k++;
    Value v = c->value[0];
    if (is_static_number(v)) {
        double y;
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

Value builtin_minmax(Call *c)
{
    bool max = strcmp(c->row->name, "max") == 0;
    Value a = c->value[0], b = c->value[1];
    if (is_static_number(a) && is_static_number(b)) {
        bool first = max ? static_number(a) >= static_number(b) : static_number(a) <= static_number(b);
        if (a.kind != b.kind)
            return v_float(static_number(first ? a : b));
        return first ? a : b;
    }
    if (!is_tensor(a) && !is_tensor(b)) {
        elab_error(c->e, "E0402", c->x->at, "'%s' needs numbers, and here are %s and %s", c->row->name,
                   kind_text(c->e, a), kind_text(c->e, b));
        return v_poison;
    }
    return elementwise(c->e, c->x, max ? OP_max : OP_min, CMP_EQ, c->arg[0], a, c->arg[1], b,
                       max ? "take the larger of \1 and \2" : "take the smaller of \1 and \2");
}

Value builtin_abs(Call *c)
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

Value builtin_intdiv(Call *c)
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

Value builtin_len(Call *c)
{
    Value v = c->value[0];
    return v.kind == V_LIST ? v_int(v.seq.n) : needs(c, 0, "a list");
}

Value builtin_numel(Call *c)
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

Value builtin_reduce(Call *c)
{
    Elab *e = c->e;
    Value v;
    if (!real_tensor(c, 0, &v))
        return v_poison;
    if (c->arg[1] && c->arg[2]) {
        elab_error(e, "E0401", c->x->at, "'axis' and 'except' exclude each other");
        return v_poison;
    }
    Shape s = tensor_type(e, v).shape;
    uint32_t all = (1u << s.rank) - 1, axes = all;
    if (c->arg[1] && !axes_of(c, c->arg[1], s.rank, &axes))
        return v_poison;
    if (c->arg[2]) {
        if (!axes_of(c, c->arg[2], s.rank, &axes))
            return v_poison;
        axes = all & ~axes;
    }
    bool max = strcmp(c->row->name, "amax") == 0;
    ValueId x = use_value(e, v);
    Node *like = like_at(e, c->x->at);
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

Value builtin_softmax(Call *c)
{
    Value v;
    int32_t axis;
    if (!real_tensor(c, 0, &v) || !eval_axis(c->e, c->arg[1], tensor_type(c->e, v).shape.rank, &axis))
        return v_poison;
    return tensor(c->e, g_softmax(c->e->m, c->e->b->g, like_at(c->e, c->x->at), use_value(c->e, v), axis));
}

/* ---- conversion ---- */

Value builtin_convert(Call *c)
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

Value builtin_stop_grad(Call *c)
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

typedef struct {
    char name[24];
    bool optional, rest;
} Slot;

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
    Elab *e = c->e;
    uint32_t next = 0;
    for (const Arg *a = c->x->call.args; a; a = a->next) {
        uint32_t k = next;
        if (a->name) {
            for (k = 0; k < n && strcmp(slot[k].name, str(e, a->name)) != 0; k++)
                continue;
            if (k == n)
                return bad_args(c, a->name_at,
                                arena_printf(e->a, "'%s' has no argument '%s'", c->row->name, str(e, a->name)));
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
            return bad_args(c, c->x->at,
                            slot[k].rest
                                ? arena_printf(e->a, "'%s' of nothing", c->row->name)
                                : arena_printf(e->a, "'%s' lacks its argument '%s'", c->row->name, slot[k].name));
    return true;
}

Value eval_builtin(Elab *e, const Expr *x)
{
    Call c = {.e = e, .x = x, .row = find_row(str(e, x->call.fn.id))};
    Slot slot[MAX_SLOTS] = {{.rest = false}};
    uint32_t n = slots_of(c.row, slot);
    bool ok = true, tensors = false;
    if (x->call.label) {
        elab_error(e, "E0501", x->call.label->at, "'as' names the parameters of a block, and '%s' is a builtin",
                   c.row->name);
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

/* emit.c: values, constants and single statements of a program; see emit.h. */
#include "backend_ane/emit.h"
#include "backend_ane/weights.h"

#include "base/f16.h"

#include <string.h>

MilShape emit_shape(Shape s)
{
    const int32_t *d = s.dim;
    switch (s.rank) {
    case 0:
        return (MilShape){4, {1, 1, 1, 1}};
    case 1:
        return (MilShape){4, {1, d[0], 1, 1}};
    case 2:
        return (MilShape){4, {1, d[0], 1, d[1]}};
    case 3:
        return (MilShape){4, {1, d[0], d[1], d[2]}};
    case 4:
        return (MilShape){4, {1, d[0] * d[1], d[2], d[3]}};
    default:
        bug("a value of rank %u on the engine: placement keeps these on the CPU", s.rank);
    }
}

uint32_t emit_axis(uint32_t rank, uint32_t k)
{
    static const uint8_t axis[5][4] = {{0}, {1}, {1, 3}, {1, 2, 3}, {1, 1, 2, 3}};
    return axis[rank][k];
}

void emit_error(Emit *e, ValueId v, const char *fmt, ...)
{
    const Node *n = &e->g->node[v];
    va_list     ap;
    va_start(ap, fmt);
    const char *why = arena_vprintf(e->b->a, fmt, ap);
    va_end(ap);
    Diag *d = diag_error(e->b->ds, "E0801", n->at, "this cannot run on the ANE: %s", why);
    diag_help(d, "keep it on the CPU with #[place(cpu)], or write it with matrix products over two axes");
    e->failed = true;
    e->val[v] = (Val){.name = "none", .shape = emit_shape(n->type.shape)};
}

const char *emit_pattern_name(Arena *a, const char *pattern)
{
    const char *cut = strstr(pattern, "{L}.");
    char       *name = arena_strdup(a, cut ? cut + 4 : pattern);
    for (char *c = name; *c; c++)
        if (*c == '.')
            *c = '_';
    return name;
}

static const char *leaf_name(Emit *e, const Node *n)
{
    return emit_pattern_name(e->b->a, interned(e->b->m->strings, e->b->m->param_set[n->a.leaf.set].pattern));
}

static PlanShape plan_shape_of(MilShape s)
{
    PlanShape p = {.rank = s.rank};
    memcpy(p.dim, s.dim, s.rank * sizeof *s.dim);
    return p;
}

/* A weight file of the program, unless it has one of that path already. */
static void add_weight(Emit *e, const char *path, MilShape shape, Recipe *recipe)
{
    for (uint32_t i = 0; i < e->weights; i++)
        if (strcmp(e->weight[i].path, path) == 0)
            return;
    GROW(e->b->a, e->weight, e->weights, e->weights_cap);
    e->weight[e->weights++] = (PlanWeight){path, plan_shape_of(shape), recipe};
}

static const char *shape_suffix(Arena *a, MilShape s)
{
    return arena_printf(a, "_%dx%dx%d", s.dim[1], s.dim[2], s.dim[3]);
}

static const PlanWeight *weight_at(const Emit *e, const char *path)
{
    for (uint32_t i = 0; i < e->weights; i++)
        if (strcmp(e->weight[i].path, path) == 0)
            return &e->weight[i];
    return NULL;
}

static bool has_layout(const PlanWeight *w, MilShape shape)
{
    return memcmp(w->shape.dim, shape.dim, shape.rank * sizeof *shape.dim) == 0;
}

/* A constant tensor that the MIL text calls `as`; NULL: by its contents. */
static const char *table_constant(Emit *e, MilShape shape, const double *data, const char *name, const char *as)
{
    Builder *b = e->b;
    uint32_t k = plan_table(b, PLAN_F16, plan_shape_of(shape), data, name);
    Recipe  *r = NEW(b->a, Recipe);
    *r = (Recipe){.kind = RECIPE_TABLE, .table = k};
    const char *hash = b->plan->table[k].hash, *path = arena_printf(b->a, "const/%s.blob", hash);
    const PlanWeight *w = weight_at(e, path); /* in another layout: one file, two constants */
    const char       *suffix = w && !has_layout(w, shape) ? shape_suffix(b->a, shape) : "";
    add_weight(e, path, shape, r);
    return mil_file(e->t, as ? as : arena_printf(b->a, "t_%s_%.8s%s", name, hash, suffix), path, shape);
}

const char *emit_table(Emit *e, MilShape shape, const double *data, const char *name)
{
    return table_constant(e, shape, data, name, NULL);
}

/* A table of the model: named by where it comes from and its layout, so that other contents are another constant of the
 * same name. */
static const char *model_table(Emit *e, MilShape shape, const double *data, const char *name, const char *suffix)
{
    Builder *b = e->b;
    return table_constant(e, shape, data, *name ? name : "table",
                          arena_printf(b->a, "t_%s%s%s", *name ? name : "table", suffix, shape_suffix(b->a, shape)));
}

const char *emit_filled_as(Emit *e, MilShape shape, double c, const char *as)
{
    size_t  n = (size_t)mil_numel(shape);
    double *v = NEW_N(e->b->a, double, n);
    for (size_t i = 0; i < n; i++)
        v[i] = c;
    return table_constant(e, shape, v, c == 0 ? "zeros" : c == 1 ? "ones" : "fill", as);
}

const char *emit_filled(Emit *e, MilShape shape, double c)
{
    return emit_filled_as(e, shape, c, NULL);
}

/* data [r, c] -> [c, r] */
static const double *transposed_data(Arena *a, const double *x, int32_t r, int32_t c)
{
    double *y = NEW_N(a, double, (size_t)r * (size_t)c);
    for (int32_t i = 0; i < r; i++)
        for (int32_t j = 0; j < c; j++)
            y[(size_t)j * (size_t)r + (size_t)i] = x[(size_t)i * (size_t)c + (size_t)j];
    return y;
}

static const char *weight_path(Arena *a, const char *name)
{
    return arena_printf(a, "weights/%s.bin", name);
}

/* `base`, unless that is the name of the same parameter in another layout, or of another one: the names of `a.b` and
 * `a_b`, or of `g` and `layers.{L}.g`, are alike. */
static const char *weight_name(const Emit *e, const char *base, MilShape shape, const Recipe *r)
{
    Arena      *a = e->b->a;
    const char *name = base;
    for (uint32_t k = 1;; k++) {
        const PlanWeight *w = weight_at(e, weight_path(a, name));
        if (!w || (plan_recipe_equal(w->recipe, r) && has_layout(w, shape)))
            return name;
        name = k == 1 && plan_recipe_equal(w->recipe, r) ? arena_printf(a, "%s%s", base, shape_suffix(a, shape))
                                                    : arena_printf(a, "%s_%u", base, k + 1);
    }
}

const char *emit_leaf(Emit *e, ValueId leaf, MilShape shape, bool transposed)
{
    Arena      *a = e->b->a;
    const Node *n = &e->g->node[leaf];
    if (n->op == OP_const) {
        const Table  *t = &e->b->m->table[n->a.constant.table];
        const double *data = transposed ? transposed_data(a, t->data, t->shape.dim[0], t->shape.dim[1]) : t->data;
        const char   *name = interned(e->b->m->strings, t->name);
        return model_table(e, shape, data, name, transposed ? "_t" : "");
    }
    if (weight_is_staged(e->b, e->g, leaf))
        return emit_weight(e, leaf, shape, transposed);
    Recipe *r = recipe_of(e->b, e->g, leaf);
    if (transposed) {
        Recipe *t = NEW(a, Recipe);
        *t = (Recipe){.kind = RECIPE_TRANSPOSE, .in = NEW_N(a, Recipe *, 1), .ins = 1};
        t->in[0] = r;
        r = t;
    }
    while (r->kind == RECIPE_SHAPE) /* the file's shape is declared in the text; the elements are the same */
        r = r->in[0];
    n = &e->g->node[first_param(e->g, leaf)];
    const char *name = weight_name(e, arena_printf(a, "%s_%s", transposed ? "wt" : "w", leaf_name(e, n)), shape, r);
    const char *path = weight_path(a, name);
    add_weight(e, path, shape, r);
    return mil_file(e->t, name, path, shape);
}

/* A constant below fp16's least subnormal is zero on the engine: an eps that guards nothing. */
static void warn_of_underflow(Emit *e, const Node *n)
{
    double c = n->a.constant.splat;
    if (c == 0 || f16_round_f64(c) != 0)
        return;
    for (uint32_t i = 0; i < e->b->ds->count; i++) /* both directions, and every entry, have their own copies */
        if (e->b->ds->item[i]->at.file == n->at.file && e->b->ds->item[i]->at.begin == n->at.begin)
            return;
    Diag *d = diag_warning(e->b->ds, "W0801", n->at, "the constant %g is zero in fp16", c);
    diag_help(d, "fp16's least positive number is 5.96e-8; keep this on the CPU with #[place(cpu)] or rescale it");
}

void emit_origin(Emit *e, ValueId v, const char *what)
{
    const Node *n = &e->g->node[v];
    e->at = v;
    e->what = what;
    mil_origin(e->t, n->at, n->from, n->role == ROLE_BWD, what);
}

Val emit_use(Emit *e, ValueId v)
{
    const Node *n = &e->g->node[v];
    Val        *x = &e->val[v];
    if (x->name)
        return *x;
    if (n->op == OP_const && n->a.constant.table == 0) {
        warn_of_underflow(e, n);
        *x = (Val){.name = mil_half(e->t, n->a.constant.splat), .shape = emit_shape((Shape){0}), .scalar = true};
    } else if (x->leaf)
        x->name = emit_leaf(e, x->leaf, x->shape, false);
    else if (n->op == OP_param || n->op == OP_const || (n->op != OP_broadcast && is_made_weight(e->g, v)))
        *x = (Val){.name = emit_leaf(e, v, emit_shape(n->type.shape), false), .shape = emit_shape(n->type.shape)};
    else if (is_constant(e->g, v)) { /* a view of a constant is made where it is read */
        emit_node(e, v);
        if (!x->name)
            return emit_use(e, v);
    } else
        bug("value %u is used before it is computed", v);
    return *x;
}

/* `x` of shape `in` repeated to shape `out`: the same rank, extents of 1 grow. */
static const double *grown(Arena *a, const double *x, Shape in, Shape out)
{
    int64_t n = shape_numel(out);
    double *y = NEW_N(a, double, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0, rest = i, stride = 1;
        for (uint32_t k = out.rank; k-- > 0; rest /= out.dim[k]) {
            from += in.dim[k] == 1 ? 0 : rest % out.dim[k] * stride;
            stride *= in.dim[k];
        }
        y[i] = x[from];
    }
    return y;
}

/* The numbers of `v` where it is a view or broadcast of a table; *table is that table. NULL for other values. */
static const double *view_of_table(const Emit *e, ValueId v, const Table **table)
{
    const Node *n = &e->g->node[v];
    if (n->op == OP_const && n->a.constant.table) {
        *table = &e->b->m->table[n->a.constant.table];
        return (*table)->data;
    }
    if (n->op != OP_reshape && n->op != OP_broadcast)
        return NULL;
    ValueId       u = node_arg(e->g, v, 0);
    const double *x = view_of_table(e, u, table);
    return x && n->op == OP_broadcast ? grown(e->b->a, x, e->g->node[u].type.shape, n->type.shape) : x;
}

bool emit_table_view(Emit *e, ValueId v)
{
    const Table  *t;
    const double *data = view_of_table(e, v, &t);
    if (data) {
        MilShape s = emit_shape(e->g->node[v].type.shape);
        e->val[v] = (Val){.name = model_table(e, s, data, interned(e->b->m->strings, t->name), ""), .shape = s};
    }
    return data != NULL;
}

Val emit_full(Emit *e, ValueId v)
{
    MilShape   want = emit_shape(e->g->node[v].type.shape);
    const Val *has = &e->val[v];
    if (!(has->name && mil_shape_equal(has->shape, want)) && !has->leaf && e->g->node[v].op != OP_const &&
        emit_table_view(e, v))
        return e->val[v];
    Val x = emit_use(e, v);
    if (!x.scalar && mil_shape_equal(x.shape, want))
        return x;
    if (x.scalar) {
        ValueId u = v;
        while (e->g->node[u].op != OP_const)
            u = node_arg(e->g, u, 0);
        x = (Val){.name = emit_filled(e, want, e->g->node[u].a.constant.splat), .shape = want};
    } else { /* grow by a product with ones */
        MilShape ones = {4, {1, 1, 1, 1}};
        for (uint32_t i = 1; i < 4; i++)
            if (x.shape.dim[i] != want.dim[i])
                ones.dim[i] = want.dim[i];
        const char *w = emit_filled(e, ones, 1);
        x = (Val){.name = emit_op(e, v, "_full", want, "mul", (MilArg[]){{"x", x.name}, {"y", w}}, 2), .shape = want};
    }
    e->val[v] = x;
    return x;
}

/* Words of MIL, and beginnings of the names of ports and constants: no names for values. */
static bool is_taken(const char *name)
{
    static const char *const word[] = {"program", "func",     "main",  "const", "tensor", "state",  "dict",   "list",
                                       "tuple",   "BLOBFILE", "true",  "false", "bool",   "string", "fp16",   "fp32",
                                       "fp64",    "bf16",     "int4",  "int8",  "int16",  "int32",  "int64",  "uint1",
                                       "uint2",   "uint3",    "uint4", "uint6", "uint8",  "uint16", "uint32", "uint64"};
    static const char *const prefix[] = {"c_", "t_", "w_", "wt_", "at_", "pad_"};
    for (size_t i = 0; i < COUNT(word); i++)
        if (strcmp(name, word[i]) == 0)
            return true;
    for (size_t i = 0; i < COUNT(prefix); i++)
        if (strncmp(name, prefix[i], strlen(prefix[i])) == 0)
            return true;
    return (*name == 'i' || *name == 'o') && name[1] >= '0' && name[1] <= '9';
}

/* For the cost of the program: views are free, mil_ops.c counts what products do, everything else reads and writes
 * memory. */
static void count_work(Emit *e, const char *op, MilShape shape)
{
    bool product = strcmp(op, "conv") == 0 || strcmp(op, "matmul") == 0;
    if (strcmp(op, "reshape") == 0 || strcmp(op, "slice_by_size") == 0)
        return;
    e->cost.work.ops++;
    if (product)
        return;
    e->cost.work.inner_bytes += 2 * 2 * (uint64_t)mil_numel(shape);
}

const char *emit_op(Emit *e, ValueId v, const char *suffix, MilShape shape, const char *op, const MilArg *arg,
                    uint32_t args)
{
    const Target *t = e->b->m->target;
    for (uint32_t i = 1; i < shape.rank; i++) {
        int64_t limit = i == 1 ? t->max_channels : t->max_axis;
        if (shape.dim[i] > limit) {
            emit_error(e, v, "an axis of %d elements; target %s allows %d", shape.dim[i], t->name, (int)limit);
            break;
        }
    }
    count_work(e, op, shape);
    const char *label = arena_printf(e->b->a, "%s%s", e->label[v], suffix);
    const char *name = mil_name(e->t, is_taken(label) ? arena_printf(e->b->a, "v_%s", label) : label);
    mil_statement(e->t, e->val[v].is_bool ? "bool" : "fp16", shape, name, op, arg, args);
    return name;
}

const char *emit_conv(Emit *e, ValueId v, const char *suffix, MilShape shape, const char *x, const char *weight)
{
    static const int32_t one[2] = {1, 1}, zero[4] = {0};
    MilArg a[] = {{"x", x},
                  {"weight", weight},
                  {"strides", mil_ints(e->t, one, 2)},
                  {"pad", mil_ints(e->t, zero, 4)},
                  {"pad_type", mil_string(e->t, "valid")},
                  {"dilations", mil_ints(e->t, one, 2)},
                  {"groups", mil_int(e->t, 1)}};
    return emit_op(e, v, suffix, shape, "conv", a, COUNT(a));
}

const char *emit_reshape(Emit *e, ValueId v, const char *suffix, const char *x, MilShape shape)
{
    MilArg a[] = {{"x", x}, {"shape", mil_ints(e->t, shape.dim, shape.rank)}};
    return emit_op(e, v, suffix, shape, "reshape", a, COUNT(a));
}

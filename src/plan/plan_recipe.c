/* plan_recipe.c: recipes: what a weight file holds, as an expression over parameters and tables: text, checks, walks.
 *
 *     colscale(layers.{L}.wq.weight, layers.{L}.g1)
 *
 * A recipe is total: plan_resolve() works out the shape of every part once, and then evaluating it cannot fail. The
 * compiler's parameter expressions (ir/param_expr.c) have a recipe each. */
#include "plan/plan_parse.h"
#include "plan/plan_resolve.h"

#include <inttypes.h>
#include <string.h>

#define MANY UINT32_MAX
enum { MAX_DEPTH = 32 };

static const struct {
    const char *name;
    uint32_t    operands;
} function[RECIPE_COUNT] = {
    [RECIPE_TRANSPOSE] = {"T", 1},       [RECIPE_SHAPE] = {"shape", 1},       [RECIPE_PERMUTE] = {"permute", 1},
    [RECIPE_SLICE] = {"slice", 1},       [RECIPE_CONCAT] = {"concat", MANY},  [RECIPE_COLSCALE] = {"colscale", 2},
    [RECIPE_ROWSCALE] = {"rowscale", 2}, [RECIPE_MUL] = {"mul", 2},           [RECIPE_ADD] = {"add", 2},
    [RECIPE_SCALE] = {"scale", 1},       [RECIPE_APPLY] = {"apply", 2},
    [RECIPE_PRODUCT] = {"product", 2},
};

bool plan_recipe_visit(const Recipe *r, PlanRecipeVisit *visit, void *with)
{
    if (!visit(r, with))
        return false;
    for (uint32_t i = 0; i < r->ins; i++)
        if (!plan_recipe_visit(r->in[i], visit, with))
            return false;
    return true;
}

static bool is_fixed(const Recipe *r, void *with)
{
    (void)with;
    return r->kind != RECIPE_PARAM || !strstr(r->pattern, "{L}");
}

bool plan_recipe_varies(const Recipe *r)
{
    return !plan_recipe_visit(r, is_fixed, NULL);
}

static bool is_no_param(const Recipe *r, void *with)
{
    (void)with;
    return r->kind != RECIPE_PARAM;
}

bool plan_recipe_has_param(const Recipe *r)
{
    return !plan_recipe_visit(r, is_no_param, NULL);
}

bool plan_recipe_equal(const Recipe *x, const Recipe *y)
{
    if (x->kind != y->kind || x->ins != y->ins)
        return false;
    for (uint32_t i = 0; i < x->ins; i++)
        if (!plan_recipe_equal(x->in[i], y->in[i]))
            return false;
    switch (x->kind) {
    case RECIPE_PARAM: return strcmp(x->pattern, y->pattern) == 0;
    case RECIPE_TABLE: return x->table == y->table;
    case RECIPE_SHAPE: return plan_shape_equal(x->shape, y->shape);
    case RECIPE_PERMUTE: return memcmp(x->perm, y->perm, sizeof x->perm) == 0;
    case RECIPE_SLICE:
        return memcmp(x->begin, y->begin, sizeof x->begin) == 0 && memcmp(x->end, y->end, sizeof x->end) == 0;
    case RECIPE_CONCAT: return x->axis == y->axis;
    case RECIPE_SCALE: return memcmp(&x->c, &y->c, sizeof x->c) == 0;
    default: return true;
    }
}

/* ---- text ---- */

static void ints_print(const int32_t *v, uint32_t n, Buf *out)
{
    for (uint32_t i = 0; i < n && i < PLAN_MAX_RANK; i++)
        buf_printf(out, " %" PRId32, v[i]);
}

void plan_recipe_print(const Plan *p, const Recipe *r, Buf *out)
{
    if (r->kind == RECIPE_PARAM) {
        plan_name_print(r->pattern, out);
        return;
    }
    if (r->kind == RECIPE_TABLE) {
        plan_table_ref_print(p, r->table, out);
        return;
    }
    buf_printf(out, "%s(", function[r->kind].name);
    if (r->kind == RECIPE_CONCAT)
        buf_printf(out, "%" PRId32 ", ", r->axis);
    for (uint32_t i = 0; i < r->ins; i++) {
        buf_puts(out, i ? ", " : "");
        plan_recipe_print(p, r->in[i], out);
    }
    switch (r->kind) {
    case RECIPE_SHAPE:
        buf_puts(out, ", ");
        plan_shape_print(r->shape, out);
        break;
    case RECIPE_PERMUTE:
        buf_puts(out, ",");
        ints_print(r->perm, r->rank, out);
        break;
    case RECIPE_SLICE:
        buf_puts(out, ", from");
        ints_print(r->begin, r->rank, out);
        buf_puts(out, " to");
        ints_print(r->end, r->rank, out);
        break;
    case RECIPE_SCALE:
        buf_puts(out, ", ");
        buf_double(out, r->c);
        break;
    default: break;
    }
    buf_putc(out, ')');
}

/* Integers up to the next word or bracket; how many there are goes to *n. */
static bool ints_parse(Parser *ps, int32_t *v, uint32_t *n)
{
    for (*n = 0; text_at_number(&ps->t);) {
        if (*n == PLAN_MAX_RANK)
            return text_fail(&ps->t, "more than %d axes", PLAN_MAX_RANK);
        if (!text_int32(&ps->t, 0, INT32_MAX, &v[(*n)++]))
            return false;
    }
    return true;
}

static bool attributes(Parser *ps, Recipe *r)
{
    Text    *t = &ps->t;
    uint32_t n = 0;
    switch (r->kind) {
    case RECIPE_SHAPE: return text_need(t, ",") && text_shape(t, &r->shape);
    case RECIPE_PERMUTE: return text_need(t, ",") && ints_parse(ps, r->perm, &r->rank);
    case RECIPE_SLICE:
        if (!text_need(t, ",") || !text_need(t, "from") || !ints_parse(ps, r->begin, &r->rank) || !text_need(t, "to") ||
            !ints_parse(ps, r->end, &n))
            return false;
        return n == r->rank || text_fail(t, "a slice from %" PRIu32 " places to %" PRIu32, r->rank, n);
    case RECIPE_SCALE: return text_need(t, ",") && text_number(t, &r->c);
    default: return true;
    }
}

static RecipeKind kind_by_name(const char *word)
{
    RecipeKind k = 0;
    while (k < RECIPE_COUNT && (!function[k].name || strcmp(function[k].name, word) != 0))
        k++;
    return k;
}

Recipe *parse_recipe(Parser *ps, int depth)
{
    Recipe     *r = NEW(ps->arena, Recipe);
    Text       *t = &ps->t;
    const char *word;
    bool        quoted = false;
    uint32_t    cap = 0;
    if (depth == MAX_DEPTH) {
        text_fail(t, "recipe nested over %d deep", MAX_DEPTH);
        return NULL;
    }
    if (text_take(t, "table")) {
        r->kind = RECIPE_TABLE;
        return parse_find_table(ps, &r->table) ? r : NULL;
    }
    if (!text_name(t, &word, &quoted))
        return NULL;
    if (text_peek(t) != '(' || quoted) {
        r->kind = RECIPE_PARAM;
        r->pattern = word;
        return r;
    }
    r->kind = kind_by_name(word);
    if (r->kind == RECIPE_COUNT) {
        text_fail(
            t,
            "unknown recipe function '%.60s'; there are T, shape, permute, slice, concat, colscale, rowscale, mul, "
            "add, scale, apply and product",
            word);
        return NULL;
    }
    bool ok = text_take(t, "(");
    if (r->kind == RECIPE_CONCAT)
        ok = text_int32(t, 0, PLAN_MAX_RANK - 1, &r->axis) && text_need(t, ",");
    do {
        Recipe *x = ok ? parse_recipe(ps, depth + 1) : NULL;
        if (!x)
            return NULL;
        GROW(ps->arena, r->in, r->ins, cap);
        r->in[r->ins++] = x;
    } while (r->ins < function[r->kind].operands &&
             (function[r->kind].operands == MANY ? text_take(t, ",") : (ok = text_need(t, ","))));
    return ok && attributes(ps, r) && text_need(t, ")") ? r : NULL;
}

/* ---- checks ---- */

static bool leaf_ok(Check *c, const char *where, int32_t first, int32_t n, Recipe *r)
{
    if (r->kind == RECIPE_TABLE) {
        if (r->table >= c->p->tables)
            return check_fail(c, "%s: there is no table number %" PRIu32, where, r->table);
        r->shape = c->p->table[r->table].shape;
        if (c->p->table[r->table].type == PLAN_I32)
            return check_fail(c, "%s: table '%s' holds integers, weights are fp16", where, c->p->table[r->table].name);
        return true;
    }
    if (r->pattern && strstr(r->pattern, "{L}") == NULL && n > 1) { /* the same parameter in every instance */
        uint32_t *one = check_leaf_ids(c, where, true, r->pattern, 0, 1, &r->shape);
        r->param = NEW_N(c->arena, uint32_t, (size_t)n);
        for (int32_t i = 0; one && i < n; i++)
            r->param[i] = one[0];
        return one != NULL;
    }
    r->param = check_leaf_ids(c, where, true, r->pattern, first, n, &r->shape);
    return r->param != NULL;
}

static bool concat_ok(Check *c, const char *where, Recipe *r)
{
    PlanShape s = r->in[0]->shape;
    if (r->axis < 0 || (uint32_t)r->axis >= s.rank)
        return check_fail(c, "%s: concat() along axis %" PRId32 " of %s", where, r->axis, check_shape_text(c, s));
    for (uint32_t k = 1; k < r->ins; k++) {
        PlanShape x = r->in[k]->shape, want = s;
        if (x.rank == s.rank)
            want.dim[r->axis] = x.dim[r->axis];
        if (!plan_shape_equal(x, want))
            return check_fail(c, "%s: concat() of %s and %s", where, check_shape_text(c, r->in[0]->shape),
                              check_shape_text(c, x));
        if (x.dim[r->axis] > INT32_MAX - s.dim[r->axis])
            return check_fail(c, "%s: concat() is too large", where);
        s.dim[r->axis] += x.dim[r->axis];
    }
    r->shape = s;
    return true;
}

static bool permute_ok(Check *c, const char *where, Recipe *r, PlanShape s)
{
    uint32_t seen = 0;
    r->shape = s;
    bool ok = r->rank == s.rank;
    for (uint32_t i = 0; ok && i < s.rank; i++) {
        ok = r->perm[i] >= 0 && r->perm[i] < (int32_t)s.rank && !(seen >> r->perm[i] & 1);
        seen |= ok ? 1u << r->perm[i] : 0;
        r->shape.dim[i] = ok ? s.dim[r->perm[i]] : 0;
    }
    return ok ? true : check_fail(c, "%s: permute() does not name each axis of %s once", where, check_shape_text(c, s));
}

static bool slice_ok(Check *c, const char *where, Recipe *r, PlanShape s)
{
    r->shape = s;
    bool ok = r->rank == s.rank;
    for (uint32_t i = 0; ok && i < s.rank; i++) {
        ok = r->begin[i] >= 0 && r->begin[i] < r->end[i] && r->end[i] <= s.dim[i];
        r->shape.dim[i] = r->end[i] - (ok ? r->begin[i] : 0);
    }
    return ok ? true : check_fail(c, "%s: slice() is not within %s", where, check_shape_text(c, s));
}

static bool pair_ok(Check *c, const char *where, Recipe *r, PlanShape x, PlanShape y)
{
    int64_t n = plan_numel(y);
    r->shape = x;
    switch (r->kind) {
    case RECIPE_COLSCALE:
        if (x.rank == 2 && n == x.dim[1])
            return true;
        break;
    case RECIPE_ROWSCALE:
        if (x.rank == 2 && n == x.dim[0])
            return true;
        break;
    case RECIPE_APPLY:
        if (x.rank == 2 && n == x.dim[1]) {
            r->shape.dim[1] = 1;
            return true;
        }
        break;
    case RECIPE_PRODUCT:
        if (x.rank == 2 && y.rank == 2 && x.dim[1] == y.dim[0]) {
            r->shape.dim[1] = y.dim[1];
            return plan_numel(r->shape) > 0 ? true : check_fail(c, "%s: product() is too large", where);
        }
        break;
    default:
        if (plan_shape_equal(x, y))
            return true;
    }
    return check_fail(c, "%s: %s() of %s and %s", where, function[r->kind].name, check_shape_text(c, x),
                      check_shape_text(c, y));
}

bool check_recipe(Check *c, const char *where, int32_t first, int32_t n, Recipe *r, int depth)
{
    if (!r || depth >= MAX_DEPTH || (unsigned)r->kind >= RECIPE_COUNT)
        return check_fail(c, "%s: not a recipe, or nested too deep", where);
    if (r->kind == RECIPE_PARAM || r->kind == RECIPE_TABLE)
        return leaf_ok(c, where, first, n, r);
    if (r->ins == 0 || (function[r->kind].operands != MANY && r->ins != function[r->kind].operands))
        return check_fail(c, "%s: %s() of %" PRIu32 " operands", where, function[r->kind].name, r->ins);
    for (uint32_t i = 0; i < r->ins; i++)
        if (!check_recipe(c, where, first, n, r->in[i], depth + 1))
            return false;
    PlanShape x = r->in[0]->shape;
    switch (r->kind) {
    case RECIPE_TRANSPOSE:
        if (x.rank != 2)
            return check_fail(c, "%s: T() of the shape %s, rank 2 is needed", where, check_shape_text(c, x));
        r->shape = (PlanShape){2, {x.dim[1], x.dim[0]}};
        return true;
    case RECIPE_SHAPE:
        return plan_numel(r->shape) == plan_numel(x)
                   ? true
                   : check_fail(c, "%s: shape() of %s is not %s", where, check_shape_text(c, x),
                                check_shape_text(c, r->shape));
    case RECIPE_PERMUTE: return permute_ok(c, where, r, x);
    case RECIPE_SLICE: return slice_ok(c, where, r, x);
    case RECIPE_CONCAT:
        return concat_ok(c, where, r) &&
               (plan_numel(r->shape) > 0 ? true : check_fail(c, "%s: concat() is too large", where));
    case RECIPE_SCALE:
        r->shape = x;
        return r->c - r->c == 0 ? true : check_fail(c, "%s: scale() by a number that is not finite", where);
    default: return pair_ok(c, where, r, x, r->in[1]->shape);
    }
}

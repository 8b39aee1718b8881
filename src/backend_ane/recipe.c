/* recipe.c: the recipe of a parameter expression (ir/param_expr.c): the same operations, spread vectors as scaled
 * columns or rows. What is_param_expr() accepts has a recipe. */
#include "backend_ane/emit.h"

#include <string.h>

static Recipe *make(Builder *b, RecipeKind kind, Recipe *x, Recipe *y)
{
    Recipe *r = NEW(b->a, Recipe);
    r->kind = kind;
    r->ins = x ? y ? 2 : 1 : 0;
    r->in = NEW_N(b->a, Recipe *, 2);
    r->in[0] = x;
    r->in[1] = y;
    return r;
}

static Recipe *table_of(Builder *b, const Node *n)
{
    const Table *t = &b->m->table[n->a.constant.table];
    Recipe      *r = make(b, RECIPE_TABLE, NULL, NULL);
    r->table = plan_table(b, PLAN_F32, plan_shape(t->shape), t->data, interned(b->m->strings, t->name));
    return r;
}

/* The recipe of a row or column, of which only the elements count. */
static Recipe *vector_of(Builder *b, const Graph *g, ValueId v)
{
    Recipe *r = recipe_of(b, g, v);
    while (r->kind == RECIPE_SHAPE)
        r = r->in[0];
    return r;
}

/* x * y in either order, where y may be a number or a vector spread over x. */
static Recipe *product(Builder *b, const Graph *g, ValueId x, ValueId y)
{
    ValueId     source;
    uint32_t    axis;
    const Node *n = &g->node[y];
    if (n->op == OP_const && n->a.constant.table == 0) {
        Recipe *r = make(b, RECIPE_SCALE, recipe_of(b, g, x), NULL);
        r->c = n->a.constant.splat;
        return r;
    }
    if (!spread_of(g, y, &source, &axis))
        return NULL;
    Recipe *matrix = recipe_of(b, g, x), *vector = vector_of(b, g, source);
    return make(b, axis == 0 ? RECIPE_COLSCALE : RECIPE_ROWSCALE, matrix, vector);
}

/* One after the other: recipes add tables to the plan, and C does not say in which order arguments are evaluated. */
static Recipe *both(Builder *b, RecipeKind kind, const Graph *g, const ValueId *in)
{
    Recipe *x = recipe_of(b, g, in[0]), *y = recipe_of(b, g, in[1]);
    return make(b, kind, x, y);
}

Recipe *recipe_of(Builder *b, const Graph *g, ValueId v)
{
    const Node    *n = &g->node[v];
    const ValueId *in = node_in(g, n);
    uint32_t       rank = n->type.shape.rank;
    Recipe        *r;
    switch (n->op) {
    case OP_param:
        r = make(b, RECIPE_PARAM, NULL, NULL);
        r->pattern = interned(b->m->strings, b->m->param_set[n->a.leaf.set].pattern);
        return r;
    case OP_const: return table_of(b, n);
    case OP_reshape:
        r = make(b, RECIPE_SHAPE, recipe_of(b, g, in[0]), NULL);
        r->shape = plan_shape(n->type.shape);
        return r;
    case OP_transpose:
        r = make(b, rank == 2 ? RECIPE_TRANSPOSE : RECIPE_PERMUTE, recipe_of(b, g, in[0]), NULL);
        r->rank = rank == 2 ? 0 : rank;
        for (uint32_t i = 0; i < r->rank; i++)
            r->perm[i] = n->a.transpose.perm[i];
        return r;
    case OP_slice:
        r = make(b, RECIPE_SLICE, recipe_of(b, g, in[0]), NULL);
        r->rank = rank;
        memcpy(r->begin, n->a.slice.begin, rank * sizeof *r->begin);
        memcpy(r->end, n->a.slice.end, rank * sizeof *r->end);
        return r;
    case OP_concat:
        r = make(b, RECIPE_CONCAT, NULL, NULL);
        r->axis = n->a.axis.axis;
        r->ins = n->in_count;
        r->in = NEW_N(b->a, Recipe *, n->in_count);
        for (uint32_t i = 0; i < n->in_count; i++)
            r->in[i] = recipe_of(b, g, in[i]);
        return r;
    case OP_mul:
        r = product(b, g, in[0], in[1]);
        r = r ? r : product(b, g, in[1], in[0]);
        return r ? r : both(b, RECIPE_MUL, g, in);
    case OP_add: return both(b, RECIPE_ADD, g, in);
    case OP_matmul:
        r = recipe_of(b, g, in[0]);
        return make(b, RECIPE_APPLY, n->a.matmul.ta ? make(b, RECIPE_TRANSPOSE, r, NULL) : r, vector_of(b, g, in[1]));
    default: bug("'%s' in a parameter expression", op_info[n->op].name);
    }
}

bool is_made_weight(const Graph *g, ValueId v)
{
    return is_param_expr(g, v) && g->node[constant_behind(g, v)].op != OP_param;
}

ValueId first_param(const Graph *g, ValueId v)
{
    while (g->node[v].op != OP_param) { /* constants stand right of what they are combined with, or have no parameter */
        ValueId x = node_arg(g, v, 0);
        v = is_param_expr(g, x) ? x : node_arg(g, v, 1);
    }
    return v;
}

/* graph.c: building graphs: modules, interned tables and leaf sets, nodes; see graph.h. */
#include "ir/graph.h"

#include <string.h>

/* 1 if the table's column says "none": sizeof "none" is 5, and no other word of the column is as short as none but not
 * equal to it by its first letter. */
#define IS_NONE(x) (sizeof #x == 5 && #x[0] == 'n' && #x[1] == 'o')

const OpInfo op_info[OP_COUNT] = {
#define OP(nm, ar, type, eval, vjp, mil) [OP_##nm] = {#nm, ar, !IS_NONE(mil), !IS_NONE(vjp)},
#include "ir/ops.def"
};

Op op_by_name(const char *name)
{
    for (uint32_t i = 0; i < OP_COUNT; i++)
        if (strcmp(op_info[i].name, name) == 0)
            return (Op)i;
    return OP_COUNT;
}

Module *module_new(Arena *a, Interner *strings, Sources *sources)
{
    Module *m = NEW(a, Module);
    m->arena = a;
    m->strings = strings;
    m->sources = sources;
    m->target = target_any();
    /* Index 0 means "none" in these. */
    GROW(a, m->graph, m->graphs, m->graphs_cap);
    m->graphs++;
    GROW(a, m->table, m->tables, m->tables_cap);
    m->tables++;
    GROW(a, m->hint, m->hints, m->hints_cap);
    m->hints++;
    GROW(a, m->composite, m->composites, m->composites_cap);
    m->composites++;
    return m;
}

Graph *module_add_graph(Module *m, StrId name)
{
    Graph *g = NEW(m->arena, Graph);
    GROW(m->arena, m->graph, m->graphs, m->graphs_cap);
    g->id = m->graphs;
    g->name = name;
    m->graph[m->graphs++] = g;
    GROW(m->arena, g->node, g->count, g->cap);
    g->count++;
    return g;
}

uint32_t module_add_table(Module *m, DType dtype, Shape shape, const double *data, StrId name)
{
    size_t n = (size_t)shape_numel(shape);
    for (uint32_t i = 1; i < m->tables; i++) {
        const Table *t = &m->table[i];
        if (t->dtype == dtype && shape_equal(t->shape, shape) && memcmp(t->data, data, n * sizeof *data) == 0)
            return i;
    }
    double *copy = NEW_N(m->arena, double, n);
    memcpy(copy, data, n * sizeof *data);
    GROW(m->arena, m->table, m->tables, m->tables_cap);
    m->table[m->tables] = (Table){shape, dtype, copy, name};
    return m->tables++;
}

uint32_t module_add_hint(Module *m, Hint h)
{
    for (uint32_t i = 1; i < m->hints; i++) {
        const Hint *k = &m->hint[i];
        if (k->place == h.place && k->save == h.save && k->recompute == h.recompute && k->f32 == h.f32 &&
            k->group == h.group && k->cut == h.cut && k->at.file == h.at.file && k->at.begin == h.at.begin)
            return i;
    }
    GROW(m->arena, m->hint, m->hints, m->hints_cap);
    m->hint[m->hints] = h;
    return m->hints++;
}

static bool same_set(const LeafSet *s, StrId pattern, const uint32_t *leaf, uint32_t count)
{
    return s->pattern == pattern && s->count == count && memcmp(s->leaf, leaf, count * sizeof *leaf) == 0;
}

static LeafSet new_set(Module *m, StrId pattern, const uint32_t *leaf, uint32_t count)
{
    uint32_t *copy = NEW_N(m->arena, uint32_t, count);
    memcpy(copy, leaf, count * sizeof *leaf);
    return (LeafSet){pattern, count, copy};
}

uint32_t module_add_param_set(Module *m, StrId pattern, const uint32_t *leaf, uint32_t count)
{
    for (uint32_t i = 0; i < m->param_sets; i++)
        if (same_set(&m->param_set[i], pattern, leaf, count))
            return i;
    GROW(m->arena, m->param_set, m->param_sets, m->param_sets_cap);
    m->param_set[m->param_sets] = new_set(m, pattern, leaf, count);
    return m->param_sets++;
}

uint32_t module_add_state_set(Module *m, StrId pattern, const uint32_t *leaf, uint32_t count)
{
    for (uint32_t i = 0; i < m->state_sets; i++)
        if (same_set(&m->state_set[i], pattern, leaf, count))
            return i;
    GROW(m->arena, m->state_set, m->state_sets, m->state_sets_cap);
    m->state_set[m->state_sets] = new_set(m, pattern, leaf, count);
    return m->state_sets++;
}

const Entry *module_entry(const Module *m, const char *name)
{
    for (uint32_t i = 0; i < m->entries; i++)
        if (strcmp(interned(m->strings, m->entry[i].name), name) == 0)
            return &m->entry[i];
    return NULL;
}

enum { SMALL_ARITY = 16 };

ValueId graph_add(Module *m, Graph *g, const Node *proto, const ValueId *in, uint32_t n_in)
{
    Type  small[SMALL_ARITY] = {{DT_NONE, {0}}}, *types = n_in <= SMALL_ARITY ? small : NEW_N(m->arena, Type, n_in);
    Node  n = *proto;
    for (uint32_t i = 0; i < n_in; i++) {
        if (in[i] == 0 || in[i] >= g->count)
            bug("%s: operand %u is value %u of %u", op_info[n.op].name, i, in[i], g->count);
        types[i] = g->node[in[i]].type;
    }
    Buf err = {0};
    if (!op_infer(m, &n, types, n_in, n_in ? &g->node[in[0]] : NULL, &err))
        bug("%s in graph '%s': %s", op_info[n.op].name, interned(m->strings, g->name), err.data);
    buf_free(&err);
    n.in_first = g->operands;
    n.in_count = n_in;
    for (uint32_t i = 0; i < n_in; i++) {
        GROW(m->arena, g->operand, g->operands, g->operands_cap);
        g->operand[g->operands++] = in[i];
    }
    GROW(m->arena, g->node, g->count, g->cap);
    g->node[g->count] = n;
    return g->count++;
}

ValueId graph_add_input(Module *m, Graph *g, StrId name, Type type, bool is_token, Span at)
{
    Node n = {.op = OP_input, .type = type, .name = name, .at = at, .a.input.index = g->inputs};
    GROW(m->arena, g->input, g->inputs, g->inputs_cap);
    g->input[g->inputs++] = (GraphInput){name, type, is_token};
    return graph_add(m, g, &n, NULL, 0);
}

void graph_add_out(Module *m, Graph *g, ValueId v, StrId name)
{
    GROW(m->arena, g->out, g->outs, g->outs_cap);
    GROW(m->arena, g->out_name, g->outs, g->out_names_cap);
    g->out[g->outs] = v;
    g->out_name[g->outs++] = name;
}

/* A node that inherits everything descriptive from `like`. */
static Node start(const Node *like, Op op)
{
    Node n = {.op = op};
    if (like) {
        n.role = like->role;
        n.name = like->name;
        n.scope = like->scope;
        n.stmt = like->stmt;
        n.again = like->again;
        n.from = like->from;
        n.tag = like->tag;
        n.hint = like->hint;
        n.at = like->at;
    }
    return n;
}

ValueId g_unary(Module *m, Graph *g, const Node *like, Op op, ValueId x)
{
    Node n = start(like, op);
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_binary(Module *m, Graph *g, const Node *like, Op op, ValueId x, ValueId y)
{
    Node n = start(like, op);
    return graph_add(m, g, &n, (ValueId[]){x, y}, 2);
}

ValueId g_splat(Module *m, Graph *g, const Node *like, double c, Type type)
{
    Node n = start(like, OP_const);
    n.a.constant.splat = c;
    n.type = type;
    return graph_add(m, g, &n, NULL, 0);
}

ValueId g_table(Module *m, Graph *g, const Node *like, uint32_t table)
{
    Node n = start(like, OP_const);
    n.a.constant.table = table;
    n.type = (Type){m->table[table].dtype, m->table[table].shape};
    return graph_add(m, g, &n, NULL, 0);
}

ValueId g_powc(Module *m, Graph *g, const Node *like, ValueId x, double c)
{
    Node n = start(like, OP_powc);
    n.a.powc.c = c;
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_cmp(Module *m, Graph *g, const Node *like, CmpKind k, ValueId x, ValueId y)
{
    Node n = start(like, OP_cmp);
    n.a.cmp.kind = k;
    return graph_add(m, g, &n, (ValueId[]){x, y}, 2);
}

ValueId g_select(Module *m, Graph *g, const Node *like, ValueId c, ValueId x, ValueId y)
{
    Node n = start(like, OP_select);
    return graph_add(m, g, &n, (ValueId[]){c, x, y}, 3);
}

static ValueId reduce(Module *m, Graph *g, const Node *like, Op op, ValueId x, uint32_t axes)
{
    Node n = start(like, op);
    n.a.reduce.axes = axes;
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_sum(Module *m, Graph *g, const Node *like, ValueId x, uint32_t axes)
{
    return reduce(m, g, like, OP_sum, x, axes);
}

ValueId g_amax(Module *m, Graph *g, const Node *like, ValueId x, uint32_t axes)
{
    return reduce(m, g, like, OP_amax, x, axes);
}

ValueId g_softmax(Module *m, Graph *g, const Node *like, ValueId x, int32_t axis)
{
    Node n = start(like, OP_softmax);
    n.a.axis.axis = axis;
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_matmul(Module *m, Graph *g, const Node *like, ValueId x, ValueId y, bool ta, bool tb)
{
    Node n = start(like, OP_matmul);
    n.a.matmul.ta = ta;
    n.a.matmul.tb = tb;
    return graph_add(m, g, &n, (ValueId[]){x, y}, 2);
}

/* An operation whose result type is its operand's dtype with a given shape. */
static ValueId shaped(Module *m, Graph *g, const Node *like, Op op, ValueId x, Shape s)
{
    Node n = start(like, op);
    n.type = (Type){g->node[x].type.dtype, s};
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_reshape(Module *m, Graph *g, const Node *like, ValueId x, Shape s)
{
    return shaped(m, g, like, OP_reshape, x, s);
}

ValueId g_broadcast(Module *m, Graph *g, const Node *like, ValueId x, Shape s)
{
    return shaped(m, g, like, OP_broadcast, x, s);
}

ValueId g_transpose(Module *m, Graph *g, const Node *like, ValueId x, const uint8_t *perm)
{
    Node n = start(like, OP_transpose);
    memcpy(n.a.transpose.perm, perm, g->node[x].type.shape.rank);
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_slice(Module *m, Graph *g, const Node *like, ValueId x, const int32_t *begin, const int32_t *end)
{
    Node   n = start(like, OP_slice);
    size_t bytes = g->node[x].type.shape.rank * sizeof *begin;
    memcpy(n.a.slice.begin, begin, bytes);
    memcpy(n.a.slice.end, end, bytes);
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_pad(Module *m, Graph *g, const Node *like, ValueId x, const int32_t *lo, const int32_t *hi)
{
    Node   n = start(like, OP_pad);
    size_t bytes = g->node[x].type.shape.rank * sizeof *lo;
    memcpy(n.a.pad.lo, lo, bytes);
    memcpy(n.a.pad.hi, hi, bytes);
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_concat(Module *m, Graph *g, const Node *like, const ValueId *x, uint32_t count, int32_t axis)
{
    Node n = start(like, OP_concat);
    n.a.axis.axis = axis;
    return graph_add(m, g, &n, x, count);
}

ValueId g_cast(Module *m, Graph *g, const Node *like, ValueId x, DType dtype)
{
    Node n = start(like, OP_cast);
    n.type = (Type){dtype, g->node[x].type.shape};
    return graph_add(m, g, &n, &x, 1);
}

ValueId g_proj(Module *m, Graph *g, const Node *like, ValueId x, uint32_t index)
{
    Node n = start(like, OP_proj);
    n.a.proj.index = index;
    return graph_add(m, g, &n, &x, 1);
}

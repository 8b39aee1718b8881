/* builder.c: graphs under construction.
 *
 * Values remember the builder they belong to. Used inside the region of a repeat, a value of the surrounding graph
 * becomes an input of the region (an invariant), except that parameters and constants are simply made again inside:
 * they cost nothing and stay visible as what they are. Param and state nodes carry an index into Builder.leaf until the
 * graph is sealed, because which parameters a node of a region stands for is known only when all iterations are done.
 */
#include "frontend/elab.h"

#include <string.h>

/* A graph that is not in the module yet: a region equal to the previous iteration's is dropped without a trace. */
static Graph *graph_detached(Elab *e, StrId name)
{
    Graph *g = NEW(e->a, Graph);
    g->name = name;
    GROW(e->a, g->node, g->count, g->cap);
    g->count++; /* value 0 is "none" */
    return g;
}

GraphId graph_register(Elab *e, Graph *g)
{
    Module *m = e->m;
    GROW(e->a, m->graph, m->graphs, m->graphs_cap);
    g->id = m->graphs;
    m->graph[m->graphs++] = g;
    return g->id;
}

Builder *builder_new(Elab *e, BuildKind kind, StrId name, Builder *outer)
{
    Builder *b = NEW(e->a, Builder);
    b->kind = kind;
    b->g = graph_detached(e, name);
    b->outer = outer;
    return b;
}

Node *like_at(Elab *e, Span at)
{
    e->like.at = at;
    return &e->like;
}

Value tensor(Elab *e, ValueId id)
{
    return (Value){.kind = V_TENSOR, .t = {e->b, id}};
}

Type tensor_type(const Elab *e, Value v)
{
    (void)e;
    if (v.kind == V_TENSOR)
        return v.t.home->g->node[v.t.id].type;
    if (v.kind == V_TABLE)
        return (Type){v.table->dtype == DT_BOOL ? DT_BOOL : DT_REAL, v.table->shape};
    return (Type){DT_NONE, {0}};
}

/* True while the graph may grow; told once. */
bool room(Elab *e, Span at)
{
    if (e->b->g->count < MAX_NODES)
        return true;
    if (!e->b->full)
        elab_error(e, "E0308", at, "the graph has more than %d operations", MAX_NODES);
    e->b->full = true;
    return false;
}

ValueId leaf_node(Elab *e, bool is_state, uint32_t index, StrId pattern)
{
    Builder *b = e->b;
    for (uint32_t i = 0; i < b->leafs; i++)
        if (b->leaf[i].is_state == is_state && b->leaf[i].index == index)
            return b->leaf[i].node;
    Node n = {.op = is_state ? OP_state : OP_param, .scope = e->like.scope};
    n.type = is_state ? e->m->state[index].type : e->m->param[index].type;
    n.at = is_state ? e->m->state[index].at : e->m->param[index].at;
    const char *path = str(e, pattern), *dot = strrchr(path, '.');
    n.name = intern(e->strings, dot ? dot + 1 : path);
    n.a.leaf.set = b->leafs;
    GROW(e->a, b->leaf, b->leafs, b->leafs_cap);
    b->leaf[b->leafs++] = (Leaf){is_state, index, pattern, graph_add(e->m, b->g, &n, NULL, 0)};
    return b->leaf[b->leafs - 1].node;
}

LiveState *live_state(Builder *b, uint32_t state)
{
    for (uint32_t i = 0; i < b->states; i++) {
        const Leaf *l = &b->leaf[b->state[i].leaf];
        if (l->index == state)
            return &b->state[i];
    }
    return NULL;
}

static ValueId table_node(Elab *e, TableData *t, DType dtype, Span at)
{
    Builder *b = e->b;
    uint32_t id = table_id(e, t, dtype);
    for (uint32_t i = 0; i < b->tables; i++)
        if (b->table[i].table == id)
            return b->table[i].node;
    Node like = {.scope = e->like.scope, .name = t->name, .at = at};
    GROW(e->a, b->table, b->tables, b->tables_cap);
    b->table[b->tables++] = (TableNode){id, g_table(e->m, b->g, &like, id)};
    return b->table[b->tables - 1].node;
}

Value to_tensor(Elab *e, Value v, DType dtype, Span at)
{
    switch (v.kind) {
    case V_TENSOR:
        return tensor(e, use_value(e, v));
    case V_TABLE:
        if (v.table->dtype == DT_BOOL)
            dtype = DT_BOOL;
        else if (dtype != DT_I32 || v.table->dtype != DT_I32)
            dtype = DT_REAL;
        return tensor(e, table_node(e, v.table, dtype, at));
    case V_INT:
    case V_FLOAT:
        return tensor(e, g_splat(e->m, e->b->g, like_at(e, at), static_number(v), (Type){dtype, {0}}));
    case V_POISON:
    case V_BOOL:
    case V_STR:
    case V_LIST:
    case V_TUPLE:
        break;
    }
    return v_poison;
}

/* A value of the graph around this region, made available inside. */
static ValueId import_value(Elab *e, Builder *b, ValueId outer)
{
    for (uint32_t i = 0; i < b->imports; i++)
        if (b->import[i].outer == outer)
            return b->import[i].inner;
    const Node *n = &b->outer->g->node[outer];
    ValueId inner;
    bool is_input = false;
    if (n->op == OP_param) {
        const Leaf *l = &b->outer->leaf[n->a.leaf.set];
        inner = leaf_node(e, false, l->index, l->pattern);
    } else if (n->op == OP_const || n->op == OP_iota) {
        Node copy = *n;
        inner = graph_add(e->m, b->g, &copy, NULL, 0);
    } else {
        is_input = true;
        inner = graph_add_input(e->m, b->g, n->name, n->type, false, n->at);
    }
    GROW(e->a, b->import, b->imports, b->imports_cap);
    b->import[b->imports++] = (Import){outer, inner, is_input};
    return inner;
}

ValueId use_value(Elab *e, Value v)
{
    if (v.kind != V_TENSOR)
        bug("a %d is no tensor", (int)v.kind);
    if (v.t.home == e->b)
        return v.t.id;
    if (e->b->kind != BUILD_REGION || e->b->outer != v.t.home)
        bug("a value of another graph");
    return import_value(e, e->b, v.t.id);
}

/* Give a finished graph its leaf sets, and the sinks that store its states. `run` are the builders of the iterations of
 * a uniform run, the first of them `b`; n is 0 for graphs outside repeats. */
void seal(Elab *e, Builder *b, Builder *const *run, uint32_t n)
{
    uint32_t *set = NEW_N(e->a, uint32_t, b->leafs + 1), *ids = NEW_N(e->a, uint32_t, n + 1);
    for (uint32_t k = 0; k < b->leafs; k++) {
        const Leaf *l = &b->leaf[k];
        uint32_t count = n ? n : 1; /* a parameter from outside, or a shared one, stands there n times */
        ids[0] = l->index;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = run[i]->leaf[k].index;
        set[k] = l->is_state ? module_add_state_set(e->m, l->pattern, ids, count)
                             : module_add_param_set(e->m, l->pattern, ids, count);
        b->g->node[l->node].a.leaf.set = set[k];
    }
    for (uint32_t i = 0; i < b->states; i++) {
        const LiveState *s = &b->state[i];
        if (!s->updated)
            continue;
        Node sink = {.op = OP_state_set, .at = s->at, .scope = b->g->node[b->leaf[s->leaf].node].scope};
        sink.a.leaf.set = set[s->leaf];
        ValueId v = s->now.t.id;
        graph_add(e->m, b->g, &sink, &v, 1);
    }
}

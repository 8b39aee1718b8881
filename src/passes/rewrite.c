/* rewrite.c: building graphs from graphs: copies, liveness, use counts, value keys; see pass.h. */
#include "passes/pass.h"

#include <string.h>

Graph *graph_successor(Module *m, const Graph *g)
{
    Graph *s = NEW(m->arena, Graph);
    s->id = g->id;
    s->name = g->name;
    s->input = NEW_N(m->arena, GraphInput, g->inputs + 1u);
    s->inputs = g->inputs;
    s->inputs_cap = g->inputs + 1u;
    if (g->inputs)
        memcpy(s->input, g->input, g->inputs * sizeof *g->input);
    GROW(m->arena, s->node, s->count, s->cap);
    s->count++;
    return s;
}

void graph_replace(Module *m, const Graph *g)
{
    *m->graph[g->id] = *g;
}

ValueId graph_copy_node(Module *m, Graph *to, const Graph *from, ValueId v, const ValueId *map)
{
    const Node *n = &from->node[v];
    ValueId     small[8], *in = n->in_count <= COUNT(small) ? small : NEW_N(m->arena, ValueId, n->in_count);
    for (uint32_t i = 0; i < n->in_count; i++)
        in[i] = map[node_arg(from, v, i)];
    return graph_add(m, to, n, in, n->in_count);
}

Graph *graph_clone(Module *m, const Graph *g)
{
    Graph *c = module_add_graph(m, g->name);
    for (uint32_t i = 0; i < g->inputs; i++) {
        GROW(m->arena, c->input, c->inputs, c->inputs_cap);
        c->input[c->inputs++] = g->input[i];
    }
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        graph_add(m, c, n, node_in(g, n), n->in_count);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, c, g->out[i], g->out_name[i]);
    return c;
}

void graph_move_inputs(Module *m, Graph *g, const uint32_t *place, uint32_t count)
{
    GraphInput *to = NEW_N(m->arena, GraphInput, count + 1u);
    for (uint32_t i = 0; i < g->inputs; i++)
        if (place[i] != NO_INPUT)
            to[place[i]] = g->input[i];
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_input && g->node[v].a.input.index != NO_INPUT)
            g->node[v].a.input.index = place[g->node[v].a.input.index];
    g->input = to;
    g->inputs = count;
    g->inputs_cap = count + 1u;
}

ValueId *graph_input_nodes(Arena *a, const Graph *g)
{
    ValueId *of = NEW_N(a, ValueId, g->inputs + 1u);
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_input && g->node[v].a.input.index != NO_INPUT)
            of[g->node[v].a.input.index] = v;
    return of;
}

void graph_split_roles(Module *m, Graph *g, Arena *scratch)
{
    Graph   *to = graph_successor(m, g);
    ValueId *map = NEW_N(scratch, ValueId, g->count);
    for (int role = ROLE_FWD; role <= ROLE_UPD; role++)
        for (ValueId v = 1; v < g->count; v++)
            if ((int)g->node[v].role == role)
                map[v] = graph_copy_node(m, to, g, v, map);
    for (uint32_t i = 0; i < g->outs; i++)
        graph_add_out(m, to, map[g->out[i]], g->out_name[i]);
    *g = *to;
}

uint32_t *graph_uses(Arena *a, const Graph *g)
{
    uint32_t *uses = NEW_N(a, uint32_t, g->count);
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count; i++)
            uses[node_arg(g, v, i)]++;
    for (uint32_t i = 0; i < g->outs; i++)
        uses[g->out[i]]++;
    return uses;
}

bool graph_has_sink(const Module *m, const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++) {
        GraphId r = node_region(&g->node[v]);
        if (op_is_sink(g->node[v].op) || (r && graph_has_sink(m, m->graph[r])))
            return true;
    }
    return false;
}

bool *graph_live(const Module *m, Arena *a, const Graph *g)
{
    bool *live = NEW_N(a, bool, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        live[g->out[i]] = true;
    for (ValueId v = g->count - 1; v > 0; v--) {
        const Node *n = &g->node[v];
        if (n->op == OP_input && n->a.input.index != NO_INPUT)
            live[v] = true;
        if (op_is_sink(n->op) || (!live[v] && node_region(n) && graph_has_sink(m, m->graph[node_region(n)])))
            live[v] = true;
        for (uint32_t i = 0; live[v] && i < n->in_count; i++)
            live[node_arg(g, v, i)] = true;
    }
    return live;
}

/* Mark `id` and the regions below it. */
static void mark(const Module *m, GraphId id, bool *seen)
{
    if (id == 0 || seen[id])
        return;
    seen[id] = true;
    const Graph *g = m->graph[id];
    for (ValueId v = 1; v < g->count; v++) {
        mark(m, node_region(&g->node[v]), seen);
        if (g->node[v].op == OP_call)
            mark(m, g->node[v].a.call.vjp, seen);
    }
}

bool module_collect(Module *m, Arena *scratch)
{
    bool    *seen = NEW_N(scratch, bool, m->graphs);
    GraphId *to = NEW_N(scratch, GraphId, m->graphs), count = 1;
    for (uint32_t i = 0; i < m->entries; i++)
        mark(m, m->entry[i].graph, seen);
    for (uint32_t i = 0; i < m->vjp_checks; i++) {
        mark(m, m->vjp_check[i].graph, seen);
        mark(m, m->vjp_check[i].vjp, seen);
    }
    for (GraphId i = 1; i < m->graphs; i++)
        if (seen[i])
            to[i] = count++;
    if (count == m->graphs)
        return false;
    for (GraphId i = 1; i < m->graphs; i++) {
        if (!seen[i])
            continue;
        Graph *g = m->graph[i];
        for (ValueId v = 1; v < g->count; v++) {
            Node *n = &g->node[v];
            if (n->op == OP_repeat)
                n->a.repeat.graph = to[n->a.repeat.graph];
            if (n->op == OP_call) {
                n->a.call.graph = to[n->a.call.graph];
                n->a.call.vjp = to[n->a.call.vjp];
            }
        }
        g->id = to[i];
        m->graph[to[i]] = g;
    }
    for (uint32_t i = 0; i < m->entries; i++)
        m->entry[i].graph = to[m->entry[i].graph];
    for (uint32_t i = 0; i < m->vjp_checks; i++) {
        m->vjp_check[i].graph = to[m->vjp_check[i].graph];
        m->vjp_check[i].vjp = to[m->vjp_check[i].vjp];
    }
    m->graphs = count;
    return true;
}

void module_unshare_regions(Module *m, Arena *scratch)
{
    uint32_t before = m->graphs;
    bool    *taken = NEW_N(scratch, bool, before);
    for (GraphId i = 1; i < before; i++) {
        Graph *g = m->graph[i];
        for (ValueId v = 1; v < g->count; v++) {
            if (g->node[v].op != OP_repeat)
                continue;
            GraphId r = g->node[v].a.repeat.graph;
            if (taken[r])
                g->node[v].a.repeat.graph = graph_clone(m, m->graph[r])->id;
            taken[r] = true;
        }
    }
}

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint64_t two(int32_t hi, int32_t lo)
{
    return (uint64_t)(uint32_t)hi << 32 | (uint32_t)lo;
}

void node_key(const Node *n, uint64_t key[KEY_WORDS])
{
    memset(key, 0, KEY_WORDS * sizeof *key);
    uint32_t rank = n->type.shape.rank;
    key[0] = (uint64_t)n->op << 48 | (uint64_t)n->type.dtype << 40 | (uint64_t)rank << 32;
    switch (n->op) {
    case OP_const:
        key[1] = n->a.constant.table;
        key[2] = n->a.constant.table ? 0 : bits_of(n->a.constant.splat);
        break;
    case OP_param:
    case OP_state:
        key[1] = n->a.leaf.set;
        break;
    case OP_input:
        key[1] = n->a.input.index;
        break;
    case OP_proj:
        key[1] = n->a.proj.index;
        break;
    case OP_powc:
        key[1] = bits_of(n->a.powc.c);
        break;
    case OP_cmp:
        key[1] = n->a.cmp.kind;
        break;
    case OP_sum:
    case OP_amax:
        key[1] = n->a.reduce.axes;
        break;
    case OP_softmax:
    case OP_concat:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
        key[1] = (uint64_t)n->a.axis.axis;
        break;
    case OP_matmul:
        key[1] = (uint64_t)(n->a.matmul.ta ? 1 : 0) | (n->a.matmul.tb ? 2 : 0);
        break;
    case OP_transpose:
        for (uint32_t i = 0; i < rank; i++)
            key[1] = key[1] << 8 | n->a.transpose.perm[i];
        break;
    case OP_slice: /* the extents are in the type */
        for (uint32_t i = 0; i < rank; i++)
            key[1 + i / 2] ^= i % 2 ? (uint32_t)n->a.slice.begin[i] : (uint64_t)n->a.slice.begin[i] << 32;
        break;
    case OP_pad:
        for (uint32_t i = 0; i < rank; i++)
            key[1 + i / 2] ^= i % 2 ? (uint32_t)n->a.pad.lo[i] : (uint64_t)n->a.pad.lo[i] << 32;
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < rank; i += 2)
        key[4 + i / 2] = two(n->type.shape.dim[i], i + 1 < rank ? n->type.shape.dim[i + 1] : 0);
}

bool node_is_pure(const Node *n)
{
    return !op_is_sink(n->op) && n->op != OP_repeat && n->op != OP_call;
}

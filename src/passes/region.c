/* region.c: the interface between a graph and the regions of its repeats, made as small as it can be.
 *
 *   T1  a stacked result that nobody reads is dropped; two that are the same value become one
 *   T2  a carried value that reaches neither a result that is read nor a sink is dropped
 *   T3  a carried value that every iteration passes on unchanged becomes an invariant
 *   T4  an invariant that is a constant or a parameter is made inside
 *   T5  an operand that the region does not read is dropped; two that are the same value become one
 *
 * Graph, node and region are edited in place; what dies is left to the next rebuild. */
#include "passes/simplify.h"

#include <string.h>

typedef enum { KEEP_CARRY, KEEP_XS, KEEP_INVARIANT, KEEP_KINDS, DROP = KEEP_KINDS } Keep;

typedef struct {
    Module  *m;
    Arena   *scratch;
    Graph   *g, *region;
    ValueId  v;        /* the repeat, in g */
    bool    *read;     /* of each result: is it read? */
    ValueId *input;    /* nodes of the region's inputs */
    bool     changed;
} Trim;

static void replace_all(Graph *g, ValueId from, ValueId to)
{
    for (uint32_t i = 0; i < g->operands; i++)
        if (g->operand[i] == from)
            g->operand[i] = to;
    for (uint32_t i = 0; i < g->outs; i++)
        if (g->out[i] == from)
            g->out[i] = to;
}

static uint32_t carries_of(const Trim *t)
{
    return t->g->node[t->v].a.repeat.n_carry;
}

static ValueId operand(const Trim *t, uint32_t i)
{
    return node_arg(t->g, t->v, i);
}

/* The set of one parameter outside, as a set with that leaf in every iteration. */
static uint32_t set_inside(const Trim *t, uint32_t set)
{
    uint32_t  n = (uint32_t)t->g->node[t->v].a.repeat.n, *leaf = NEW_N(t->scratch, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        leaf[i] = t->m->param_set[set].leaf[0];
    return module_add_param_set(t->m, t->m->param_set[set].pattern, leaf, n);
}

/* T4 */
static void sink_constants(Trim *t)
{
    for (uint32_t i = carries_of(t); i < t->region->inputs; i++) {
        const Node *x = &t->g->node[operand(t, i)];
        bool        xs = i < carries_of(t) + t->g->node[t->v].a.repeat.n_xs;
        bool        splat = x->op == OP_const && x->a.constant.table == 0;
        if (!t->input[i] || !(splat || (!xs && (x->op == OP_const || x->op == OP_param))))
            continue;
        Node *in = &t->region->node[t->input[i]];
        in->op = x->op;
        in->a = x->a;
        if (x->op == OP_param)
            in->a.leaf.set = set_inside(t, x->a.leaf.set);
        t->input[i] = 0;
        t->changed = true;
    }
}

/* T5, second half */
static void merge_operands(Trim *t)
{
    uint32_t xs_end = carries_of(t) + t->g->node[t->v].a.repeat.n_xs;
    for (uint32_t i = carries_of(t); i < t->region->inputs; i++)
        for (uint32_t j = carries_of(t); j < i && t->input[i]; j++)
            if (t->input[j] && operand(t, i) == operand(t, j) && (i < xs_end) == (j < xs_end)) {
                /* Both orders occur among the nodes; the earlier one must win. */
                ValueId a = t->input[i], b = t->input[j];
                replace_all(t->region, a > b ? a : b, a > b ? b : a);
                t->region->node[a > b ? a : b].a.input.index = NO_INPUT;
                t->region->node[a > b ? b : a].a.input.index = j;
                t->input[j] = a > b ? b : a;
                t->input[i] = 0;
                t->changed = true;
            }
}

/* T1, second half: each result's first twin. */
static uint32_t *merge_results(Trim *t)
{
    uint32_t *twin = NEW_N(t->scratch, uint32_t, t->region->outs + 1u);
    for (uint32_t i = 0; i < t->region->outs; i++) {
        twin[i] = i;
        for (uint32_t j = carries_of(t); j < i && i >= carries_of(t); j++)
            if (t->region->out[j] == t->region->out[i]) {
                twin[i] = j;
                t->read[j] = t->read[j] || t->read[i];
                t->read[i] = false;
                break;
            }
    }
    return twin;
}

/* T2: what is live in the region; needed[i] of the carried values grows with it. */
static bool *region_live(Trim *t, bool *needed)
{
    const Graph *r = t->region;
    for (uint32_t i = 0; i < carries_of(t); i++)
        needed[i] = t->read[i];
    for (;;) {
        bool *live = NEW_N(t->scratch, bool, r->count), changed = false;
        for (uint32_t i = 0; i < r->outs; i++)
            if (i < carries_of(t) ? needed[i] : t->read[i])
                live[r->out[i]] = true;
        for (ValueId v = r->count - 1; v > 0; v--) {
            const Node *n = &r->node[v];
            if (op_is_sink(n->op) || (n->op == OP_call && graph_has_sink(t->m, t->m->graph[n->a.call.graph])))
                live[v] = true;
            for (uint32_t i = 0; live[v] && i < n->in_count; i++)
                live[node_arg(r, v, i)] = true;
        }
        for (uint32_t i = 0; i < carries_of(t); i++)
            if (t->input[i] && live[t->input[i]] && !needed[i])
                needed[i] = changed = true;
        if (!changed)
            return live;
    }
}

static void trim(Trim *t)
{
    Graph    *g = t->g, *r = t->region;
    Node     *n = &g->node[t->v];
    uint32_t  carries = carries_of(t), xs_end = carries + n->a.repeat.n_xs;
    sink_constants(t);
    merge_operands(t);
    uint32_t *twin = merge_results(t);
    bool     *needed = NEW_N(t->scratch, bool, carries + 1u), *live = region_live(t, needed);

    Keep *keep = NEW_N(t->scratch, Keep, r->inputs + 1u);
    for (uint32_t i = 0; i < r->inputs; i++) {
        bool used = t->input[i] && live[t->input[i]];
        if (i < carries)
            keep[i] = !needed[i] ? DROP : r->out[i] != t->input[i] ? KEEP_CARRY : used ? KEEP_INVARIANT : DROP; /* T3 */
        else
            keep[i] = !used ? DROP : i < xs_end ? KEEP_XS : KEEP_INVARIANT;
    }

    /* Results: new numbers for the projections; those of T3 are the operand itself. */
    uint32_t *result = NEW_N(t->scratch, uint32_t, r->outs + 1u), outs = 0;
    for (uint32_t i = 0; i < r->outs; i++) {
        bool stays = i < carries ? keep[i] == KEEP_CARRY : t->read[i];
        t->changed = t->changed || !stays;
        result[i] = outs;
        if (stays) {
            r->out[outs] = r->out[i];
            r->out_name[outs++] = r->out_name[i];
        }
    }
    for (ValueId v = t->v + 1; v < g->count; v++) {
        Node *p = &g->node[v];
        if (p->op != OP_proj || node_arg(g, v, 0) != t->v)
            continue;
        uint32_t k = twin[p->a.proj.index];
        if (k < carries && needed[k] && keep[k] != KEEP_CARRY)
            replace_all(g, v, operand(t, k));
        p->a.proj.index = result[k];
    }
    r->outs = outs;

    uint32_t  count = 0, of_kind[KEEP_KINDS] = {0}, *place = NEW_N(t->scratch, uint32_t, r->inputs + 1u);
    ValueId  *in = NEW_N(t->scratch, ValueId, r->inputs + 1u);
    for (Keep k = KEEP_CARRY; k < KEEP_KINDS; k++)
        for (uint32_t i = 0; i < r->inputs; i++)
            if (keep[i] == k) {
                in[count] = operand(t, i);
                place[i] = count++;
                of_kind[k]++;
            }
    for (uint32_t i = 0; i < r->inputs; i++)
        if (keep[i] == DROP) {
            place[i] = NO_INPUT;
            t->changed = true;
        }
    t->changed = t->changed || of_kind[KEEP_CARRY] != carries;
    graph_move_inputs(t->m, r, place, count);
    memcpy(g->operand + n->in_first, in, count * sizeof *in);
    n->in_count = count;
    n->a.repeat.n_carry = of_kind[KEEP_CARRY];
    n->a.repeat.n_xs = of_kind[KEEP_XS];
}

bool regions_trim(Module *m, Graph *g, Arena *scratch)
{
    bool        changed = false;
    const bool *live = NULL;
    for (ValueId v = 1; v < g->count; v++) {
        if (g->node[v].op != OP_repeat)
            continue;
        live = graph_live(m, scratch, g);
        if (!live[v])
            continue;
        Trim t = {.m = m, .scratch = scratch, .g = g, .region = m->graph[g->node[v].a.repeat.graph], .v = v};
        t.read = NEW_N(scratch, bool, t.region->outs + 1u);
        for (ValueId p = v + 1; p < g->count; p++)
            if (g->node[p].op == OP_proj && node_arg(g, p, 0) == v && live[p])
                t.read[g->node[p].a.proj.index] = true;
        t.input = graph_input_nodes(scratch, t.region);
        trim(&t);
        changed = changed || t.changed;
    }
    return changed;
}

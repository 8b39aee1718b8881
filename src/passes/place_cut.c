/* place_cut.c: divide the values that have a choice between the CPU and the engine.
 *
 * A minimum cut: a value costs what its device takes for it, and once more for each direction in which it crosses. A
 * graph's inputs are on the CPU; those of regions, and results, are wherever it suits.
 *
 * The cut does not see dispatches. So what it proposes is weighed with them: a program ends where the CPU must have a
 * say. Where the CPU works between two programs of the same direction, a second cut charges a dispatch for every way
 * back to the engine, and the cheaper division stays. At last each connected part of the engine's work goes back to the
 * CPU if the dispatch it would take costs more than it saves. */
#include "passes/maxflow.h"
#include "passes/place.h"

enum { UNEVEN = 16 };
#define IMPOSSIBLE (MAXFLOW_INFINITE >> 16) /* per crossing that cannot be, where several are added up: 1 s */

/* From v's device to the other one, `to`. A broadcast is made there. */
static int64_t crossing_price(const Placing *p, ValueId v, Place to)
{
    Type    t = crossing_form(p->g, v);
    int64_t made = p->g->node[v].op != OP_broadcast ? 0 : to == DEV_CPU ? p->cpu[v] : p->ane[v];
    int32_t row = t.shape.rank ? t.shape.dim[t.shape.rank - 1] : 1;
    if (row < ROW_MIN || t.dtype == DT_BOOL)
        return MAXFLOW_INFINITE; /* narrow values cannot enter or leave a program, nor can truth values: ports are fp16 */
    /* Nor can uneven ones. Dear rather than impossible: the CPU takes over a transpose, but not the whole model, whose
     * author should hear of a sequence length that keeps it from the engine. */
    return (row % ROW_MULTIPLE ? UNEVEN : 1) * price_crossing(p->prices.target, shape_numel(t.shape)) + made;
}

static int64_t dispatch_price(const Placing *p)
{
    return price_bytes(p->prices.target->dispatch * 1e3, 1); /* us, as ns at a byte each */
}

/* `back`: values that cost a dispatch on their way from the CPU to the engine; may be NULL. */
static void cut(const Placing *p, const bool *back, Place *at)
{
    enum { ANE, CPU, FIRST };
    const Graph *g = p->g;
    MaxFlow     *f = maxflow_new(p->cx->scratch, FIRST + 3 * g->count);
    for (ValueId v = 1; v < g->count; v++) {
        uint32_t me = FIRST + 3 * v;
        if (is_entry_input(p, v))
            maxflow_edge(f, me, CPU, MAXFLOW_INFINITE);
        if (p->made_anywhere[v])
            continue;
        if (p->fixed[v] == DEV_ANE) {
            maxflow_edge(f, ANE, me, MAXFLOW_INFINITE);
        } else if (p->fixed[v] == DEV_CPU) {
            maxflow_edge(f, me, CPU, MAXFLOW_INFINITE);
        } else {
            maxflow_edge(f, me, CPU, p->ane[v]); /* cut, so paid, if v is on the engine's side */
            maxflow_edge(f, ANE, me, p->cpu[v]);
        }
        for (uint32_t i = 0; i < g->node[v].in_count; i++) {
            ValueId u = node_arg(g, v, i);
            if (p->made_anywhere[u] && !is_entry_input(p, u))
                continue;
            maxflow_edge(f, FIRST + 3 * u + 1, me, MAXFLOW_INFINITE); /* u's copy for the CPU */
            maxflow_edge(f, me, FIRST + 3 * u + 2, MAXFLOW_INFINITE); /* u's copy for the engine */
        }
    }
    for (ValueId v = 1; v < g->count; v++) {
        uint32_t me = FIRST + 3 * v;
        if (g->node[v].type.dtype == DT_NONE)
            continue;
        maxflow_edge(f, me, me + 1, crossing_price(p, v, DEV_CPU));
        maxflow_edge(f, me + 2, me, crossing_price(p, v, DEV_ANE) + (back && back[v] ? dispatch_price(p) : 0));
    }
    maxflow_run(f, ANE, CPU);
    for (ValueId v = 1; v < g->count; v++)
        at[v] = p->made_anywhere[v] ? DEV_ANY : maxflow_on_source_side(f, FIRST + 3 * v) ? DEV_ANE : DEV_CPU;
}

/* ---- what a division costs ---- */

/* Programs that the engine's nodes form: by levels, as partition.c numbers them. */
static int64_t programs(const Placing *p, const Place *at)
{
    const Graph *g = p->g;
    const Hint  *hint = p->cx->m->hint;
    uint32_t    *level = NEW_N(p->cx->scratch, uint32_t, g->count), top = 0;
    for (ValueId v = 1; v < g->count; v++) {
        for (uint32_t i = 0; i < g->node[v].in_count; i++) {
            ValueId     u = node_arg(g, v, i);
            const Node *s = &g->node[u], *n = &g->node[v];
            bool ends =
                at[u] == DEV_ANE && (at[v] != DEV_ANE || s->role != n->role || hint[s->hint].cut != hint[n->hint].cut);
            if (level[u] + ends > level[v])
                level[v] = level[u] + ends;
        }
        top = level[v] > top ? level[v] : top;
    }
    bool   *seen = NEW_N(p->cx->scratch, bool, 2 * (top + 1u));
    int64_t count = 0;
    for (ValueId v = 1; v < g->count; v++)
        if (at[v] == DEV_ANE && !seen[2 * level[v] + g->node[v].role]) {
            seen[2 * level[v] + g->node[v].role] = true;
            count++;
        }
    return count;
}

/* Both devices' work, crossings, dispatches. */
static int64_t total(const Placing *p, const Place *at)
{
    const Graph *g = p->g;
    bool        *by_cpu = NEW_N(p->cx->scratch, bool, g->count), *by_ane = NEW_N(p->cx->scratch, bool, g->count);
    int64_t      sum = dispatch_price(p) * programs(p, at);
    for (ValueId v = 1; v < g->count; v++) {
        if (p->made_anywhere[v])
            continue;
        sum += at[v] == DEV_ANE ? p->ane[v] : p->cpu[v];
        for (uint32_t i = 0; i < g->node[v].in_count; i++)
            (at[v] == DEV_ANE ? by_ane : by_cpu)[node_arg(g, v, i)] = true;
    }
    for (ValueId v = 1; v < g->count; v++) {
        bool from_cpu = is_entry_input(p, v) || at[v] == DEV_CPU;
        if ((p->made_anywhere[v] && !is_entry_input(p, v)) || !(from_cpu ? by_ane[v] : by_cpu[v]))
            continue;
        int64_t price = crossing_price(p, v, from_cpu ? DEV_ANE : DEV_CPU);
        sum += price < IMPOSSIBLE ? price : IMPOSSIBLE;
    }
    return sum;
}

/* ---- returns to the engine ---- */

/* What comes after work of the engine in the same direction. True if the CPU hands some of it back. */
static bool find_returns(const Placing *p, const Place *at, bool *after)
{
    const Graph *g = p->g;
    bool         any = false;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count && !p->made_anywhere[v]; i++) {
            ValueId u = node_arg(g, v, i);
            bool    same = g->node[u].role == g->node[v].role;
            after[v] |= same && (after[u] || at[u] == DEV_ANE);
            any |= same && after[u] && at[u] == DEV_CPU && at[v] == DEV_ANE;
        }
    return any;
}

/* ---- idle parts ---- */

static ValueId root(ValueId *parent, ValueId v)
{
    while (parent[v] != v)
        v = parent[v] = parent[parent[v]];
    return v;
}

static void drop_idle_parts(const Placing *p, Place *at)
{
    const Graph *g = p->g;
    ValueId     *parent = NEW_N(p->cx->scratch, ValueId, g->count);
    bool        *pinned = NEW_N(p->cx->scratch, bool, g->count);
    Place       *without = NEW_N(p->cx->scratch, Place, g->count);
    for (ValueId v = 1; v < g->count; v++)
        parent[v] = v;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count && at[v] == DEV_ANE; i++) {
            ValueId u = node_arg(g, v, i);
            if (at[u] == DEV_ANE && g->node[u].role == g->node[v].role)
                parent[root(parent, v)] = root(parent, u);
        }
    for (ValueId v = 1; v < g->count; v++)
        if (p->fixed[v] == DEV_ANE)
            pinned[root(parent, v)] = true;
    int64_t best = total(p, at);
    for (ValueId part = 1; part < g->count; part++) {
        if (at[part] != DEV_ANE || root(parent, part) != part || pinned[part])
            continue;
        for (ValueId v = 1; v < g->count; v++)
            without[v] = at[v] == DEV_ANE && root(parent, v) == part ? DEV_CPU : at[v];
        int64_t cost = total(p, without);
        if (cost < best) {
            best = cost;
            for (ValueId v = 1; v < g->count; v++)
                at[v] = without[v];
        }
    }
}

void place_cut(const Placing *p, Place *at)
{
    const Graph *g = p->g;
    bool        *after = NEW_N(p->cx->scratch, bool, g->count);
    cut(p, NULL, at);
    if (find_returns(p, at, after)) {
        Place *other = NEW_N(p->cx->scratch, Place, g->count);
        cut(p, after, other);
        if (total(p, other) < total(p, at))
            for (ValueId v = 1; v < g->count; v++)
                at[v] = other[v];
    }
    drop_idle_parts(p, at);
}

/* range.c: walking a module's graphs in the order of execution to find the ranges of all values; see range.h.
 *
 * A repeat is walked twice over: first until the intervals of its carried values stand still (an interval that still
 * grows after a few rounds is given up: the whole line), then once per iteration with the estimates of that iteration.
 * Stacks keep the facts of every iteration, so that the backward loop sees the estimates of the layer it belongs to. */
#include "passes/range_internal.h"
#include "passes/pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ITERATIONS = 512,
    ROUNDS = 3
}; /* iterations walked for estimates; rounds until a growing interval is given up */

/* ---- leaves ---- */

static RangeFact anything(void)
{
    return (RangeFact){.known = true, .lo = -HUGE_VAL, .hi = HUGE_VAL, .var = 1};
}

/* What an initialiser draws; nothing is certain about a parameter, for training moves it. */
static RangeFact initial(const Init *init)
{
    RangeFact x = anything();
    x.var = 0;
    switch (init->kind) {
    case INIT_ZEROS: break;
    case INIT_ONES: x.mean = 1; break;
    case INIT_VALUE: x.mean = init->a; break;
    case INIT_NORMAL: x.var = range_square(init->a); break;
    case INIT_UNIFORM:
        x.mean = (init->a + init->b) / 2;
        x.var = range_square(init->b - init->a) / 12;
        break;
    }
    return x;
}

static RangeFact of_param(const RangeWalk *w, const Node *n, uint32_t iteration)
{
    const LeafSet *s = &w->r->m->param_set[n->a.leaf.set];
    return initial(&w->r->m->param[s->leaf[s->count == 1 ? 0 : iteration]].init);
}

static RangeFact of_entry_input(const RangeWalk *w, const Graph *g, uint32_t i)
{
    RangeFact x = anything();
    if (strcmp(interned(w->r->m->strings, g->input[i].name), "loss_scale") == 0 && g->input[i].type.dtype == DT_F32) {
        x.lo = 0;
        x.mean = w->r->loss_scale;
        x.var = 0;
        x.scaled = true;
    } else if (g->input[i].type.dtype == DT_I32) {
        x.lo = 0; /* token ids and positions; nothing below depends on how large they are */
    }
    return x;
}

/* ---- graphs ---- */

static void hull(RangeFact *x, const RangeFact *y)
{
    x->lo = fmin(x->lo, y->lo);
    x->hi = fmax(x->hi, y->hi);
}

static void record(RangeRow *row, const RangeFact *x)
{
    double rms = sqrt(range_power(x));
    if (!row->known)
        *row = (RangeRow){.lo = x->lo, .hi = x->hi, .rms_min = rms, .rms_max = rms, .known = true};
    row->lo = fmin(row->lo, x->lo);
    row->hi = fmax(row->hi, x->hi);
    row->rms_min = fmin(row->rms_min, rms);
    row->rms_max = fmax(row->rms_max, rms);
    row->scaled |= x->scaled;
    row->dead_row |= x->dead_row;
    row->mask = fmin(row->mask, x->mask);
}

static RangeFact *walk(RangeWalk *w, const Graph *g, const RangeFact *in, uint32_t iteration, bool keep);

/* The mean over iterations; the facts of each stay reachable. */
static RangeFact stacked(const RangeFact *each, uint32_t n)
{
    RangeFact y = each[0];
    double    power = 0;
    y.mean = 0;
    for (uint32_t i = 0; i < n; i++) {
        hull(&y, &each[i]);
        y.mean += each[i].mean / n;
        power += range_power(&each[i]) / n;
    }
    y.var = fmax(power - range_square(y.mean), 0);
    y.each = each;
    y.eachs = n;
    return y;
}

static void elements(const Node *n, const RangeFact *in, uint32_t i, RangeFact *arg)
{
    for (uint32_t k = n->a.repeat.n_carry; k < n->in_count; k++) {
        arg[k] = in[k];
        arg[k].each = NULL;
        if (k >= n->a.repeat.n_carry + n->a.repeat.n_xs || !in[k].each)
            continue;
        double lo = in[k].lo, hi = in[k].hi;
        arg[k] = in[k].each[i < in[k].eachs ? i : in[k].eachs - 1];
        arg[k].lo = lo;
        arg[k].hi = hi;
    }
}

/* Intervals of the carried values that hold before every iteration. */
static void settle(RangeWalk *w, const Node *n, const Graph *g, RangeFact *arg)
{
    uint32_t carries = n->a.repeat.n_carry;
    for (uint32_t round = 0, moved = 1; moved; round++) {
        const RangeFact *fact = walk(w, g, arg, 0, false);
        moved = 0;
        for (uint32_t k = 0; k < carries; k++) {
            const RangeFact *out = &fact[g->out[k]];
            moved += out->lo < arg[k].lo || out->hi > arg[k].hi;
            if (out->lo < arg[k].lo)
                arg[k].lo = round >= ROUNDS ? -HUGE_VAL : out->lo;
            if (out->hi > arg[k].hi)
                arg[k].hi = round >= ROUNDS ? HUGE_VAL : out->hi;
        }
    }
}

/* Results of a repeat: [outs of its region]. */
static RangeFact *of_repeat(RangeWalk *w, const Graph *outer, const Node *n, const RangeFact *fact, bool keep)
{
    const Graph *g = w->r->m->graph[n->a.repeat.graph];
    uint32_t count = (uint32_t)n->a.repeat.n, carries = n->a.repeat.n_carry,
             walked = count < ITERATIONS ? count : ITERATIONS;
    RangeFact   *in = NEW_N(w->a, RangeFact, n->in_count + 1u), *arg = NEW_N(w->a, RangeFact, n->in_count + 1u);
    RangeFact   *out = NEW_N(w->a, RangeFact, g->outs + 1u), **each = NEW_N(w->a, RangeFact *, g->outs + 1u);
    for (uint32_t k = 0; k < n->in_count; k++)
        arg[k] = in[k] = fact[node_in(outer, n)[k]];
    for (uint32_t k = carries; k < g->outs; k++)
        each[k] = NEW_N(w->a, RangeFact, walked);
    for (uint32_t k = 0; k < carries; k++)
        out[k] = arg[k];
    elements(n, in, 0, arg);
    settle(w, n, g, arg);
    for (uint32_t step = 0; step < walked; step++) {
        uint32_t         i = n->a.repeat.reverse ? walked - 1 - step : step;
        const RangeFact *now;
        elements(n, in, i, arg);
        now = walk(w, g, arg, i, keep);
        for (uint32_t k = 0; k < g->outs; k++) {
            out[k] = now[g->out[k]];
            if (k < carries) {
                out[k].lo = arg[k].lo;
                out[k].hi = arg[k].hi;
                arg[k] = out[k];
            } else {
                each[k][i] = out[k];
            }
        }
    }
    for (uint32_t k = carries; k < g->outs && walked; k++)
        out[k] = stacked(each[k], walked);
    return out;
}

static RangeFact of_structure(RangeWalk *w, const Graph *g, ValueId v, const RangeFact *in, const RangeFact *fact,
                              RangeFact **result, uint32_t iteration, bool keep)
{
    const Node *n = &g->node[v];
    switch (n->op) {
    case OP_input: return in[n->a.input.index];
    case OP_param: return of_param(w, n, iteration);
    case OP_state: return anything();
    case OP_proj: {
        RangeFact *of = result ? result[node_arg(g, v, 0)] : NULL;
        return of ? of[n->a.proj.index] : anything();
    }
    case OP_repeat:
        result[v] = of_repeat(w, g, n, fact, keep);
        break;
    default: break; /* sinks have no value; calls have been inlined, and what is left of them may be anything */
    }
    return (RangeFact){0};
}

static bool is_structure(Op op)
{
    return op == OP_input || op == OP_param || op == OP_state || op == OP_proj || op == OP_repeat || op == OP_call ||
           op_is_sink(op);
}

/* Facts of all values of `g`, given its inputs', good until it is walked again. `keep`: into the rows as well. */
static RangeFact *walk(RangeWalk *w, const Graph *g, const RangeFact *in, uint32_t iteration, bool keep)
{
    RangeFact  *fact = w->fact[g->id] ? w->fact[g->id] : NEW_N(w->a, RangeFact, g->count);
    RangeFact **result = NULL; /* of repeats, which regions have none of */
    w->fact[g->id] = fact;
    for (ValueId v = 1; v < g->count && !result; v++)
        if (g->node[v].op == OP_repeat)
            result = NEW_N(w->a, RangeFact *, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (is_structure(n->op)) {
            fact[v] = of_structure(w, g, v, in, fact, result, iteration, keep);
        } else {
            fact[v] = range_of_node(w, g, v, fact);
            for (uint32_t k = 0; k < n->in_count; k++)
                fact[v].scaled |= fact[node_in(g, n)[k]].scaled;
        }
        if (!(fact[v].lo >= -HUGE_VAL)) /* NaN: infinities met */
            fact[v].lo = -HUGE_VAL;
        if (!(fact[v].hi <= HUGE_VAL))
            fact[v].hi = HUGE_VAL;
        if (keep && fact[v].known)
            record(&w->r->row[g->id][v], &fact[v]);
    }
    return fact;
}

/* ---- the module ---- */

static const char *setting(const Module *m, const char *key)
{
    for (uint32_t i = 0; i < m->settings; i++)
        if (strcmp(interned(m->strings, m->setting[i].key), key) == 0)
            return interned(m->strings, m->setting[i].value);
    return NULL;
}

/* The first loss scale, as the runtime takes it from the settings (train.def). */
static void read_loss_scale(Ranges *r)
{
    const char *kind = setting(r->m, "loss_scale"), *init = setting(r->m, "loss_scale.init");
    const char *value = setting(r->m, "loss_scale.value");
    r->adapts = !kind || strcmp(kind, "dynamic") == 0;
    if (r->adapts)
        r->loss_scale = init ? strtod(init, NULL) : 4096;
    else
        r->loss_scale = strcmp(kind, "fixed") == 0 && value ? strtod(value, NULL) : 1;
}

/* Who reads each value. */
static void find_readers(Ranges *r, Arena *scratch, const Graph *g)
{
    uint32_t *uses = NEW_N(scratch, uint32_t, g->count);
    RangeRow *row = r->row[g->id];
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            uses[u] += row[u].reader != v; /* a square reads its operand twice */
            row[u].reader = v;
            row[u].feeds_engine |= g->node[v].device == DEV_ANE;
        }
    for (uint32_t i = 0; i < g->outs; i++)
        uses[g->out[i]] += 2;
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[row[v].reader];
        if (uses[v] != 1 || n->device != DEV_ANE || n->role != g->node[v].role)
            row[v].reader = 0;
    }
}

Ranges *ranges_of(Arena *a, const Module *m)
{
    Ranges   *r = NEW(a, Ranges);
    RangeWalk w = {.r = r, .a = arena_new()};
    *r = (Ranges){.m = m, .row = NEW_N(a, RangeRow *, m->graphs)};
    for (GraphId id = 1; id < m->graphs; id++)
        r->row[id] = NEW_N(a, RangeRow, m->graph[id]->count);
    w.table = NEW_N(w.a, RangeFact *, m->tables);
    read_loss_scale(r);
    w.fact = NEW_N(w.a, RangeFact *, m->graphs);
    w.same = range_numbers(w.a, m);
    for (uint32_t e = 0; e < m->entries; e++) {
        const Graph *g = m->graph[m->entry[e].graph];
        RangeFact   *in = NEW_N(w.a, RangeFact, g->inputs + 1u);
        for (uint32_t i = 0; i < g->inputs; i++)
            in[i] = of_entry_input(&w, g, i);
        walk(&w, g, in, 0, true);
    }
    for (GraphId id = 1; id < m->graphs; id++)
        find_readers(r, w.a, m->graph[id]);
    range_find_scales(r);
    arena_free(w.a);
    return r;
}

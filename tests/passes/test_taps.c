/* test_taps.c: the cut against brute force, the choices on a real layer, hints. */
#include "rig.h"

#include "base/rng.h"
#include "passes/maxflow.h"
#include "passes/taps.h"

#include <criterion/criterion.h>
#include <string.h>

Test(maxflow, small_network)
{
    Arena   *a = arena_new();
    MaxFlow *f = maxflow_new(a, 6);
    maxflow_edge(f, 0, 1, 16);
    maxflow_edge(f, 0, 2, 13);
    maxflow_edge(f, 1, 2, 10);
    maxflow_edge(f, 2, 1, 4);
    maxflow_edge(f, 1, 3, 12);
    maxflow_edge(f, 3, 2, 9);
    maxflow_edge(f, 2, 4, 14);
    maxflow_edge(f, 4, 3, 7);
    maxflow_edge(f, 3, 5, 20);
    maxflow_edge(f, 4, 5, 4);
    cr_expect(maxflow_run(f, 0, 5) == 23);
    cr_expect(maxflow_on_source_side(f, 2));
    cr_expect(!maxflow_on_source_side(f, 3));
    arena_free(a);
}

enum { NODES = 11 };

static int64_t total(const Graph *g, const TapCost *cost, const bool *required, uint32_t again)
{
    int64_t sum = 0;
    bool    have[NODES + 1] = {false};
    for (ValueId v = 1; v < g->count; v++) {
        have[v] = have[v] || required[v] || (again >> v & 1);
        for (uint32_t i = 0; (again >> v & 1) && i < g->node[v].in_count; i++)
            have[node_arg(g, v, i)] = true;
    }
    for (ValueId v = 1; v < g->count; v++)
        if (again >> v & 1)
            sum += cost[v].recompute;
        else if (have[v])
            sum += cost[v].save;
    return sum;
}

Test(taps, agrees_with_brute_force)
{
    Rig r = rig_new();
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t key = rng_key(seed, "taps"), at = 0;
        Graph   *g = new_graph(&r, "f");
        TapCost  cost[NODES + 1];
        bool     required[NODES + 1] = {false};
        for (ValueId v = 1; v <= NODES; v++) {
            ValueId x = v > 1 ? 1 + (ValueId)(rng_uniform(key, at++) * (v - 1)) : 0;
            ValueId y = v > 1 ? 1 + (ValueId)(rng_uniform(key, at++) * (v - 1)) : 0;
            if (v < 3)
                input(&r, g, "x", REAL(2));
            else if (rng_uniform(key, at++) < 0.5)
                g_unary(r.m, g, NULL, OP_neg, x);
            else
                g_binary(r.m, g, NULL, OP_add, x, y);
            cost[v].save = (int64_t)(rng_uniform(key, at++) * 12);
            cost[v].recompute = v < 3 ? TAP_NEVER : (int64_t)(rng_uniform(key, at++) * 8);
            required[v] = rng_uniform(key, at++) < 0.3;
        }
        const Tap *tap = taps_cut(r.a, g, cost, required);
        uint32_t   again = 0;
        for (ValueId v = 1; v <= NODES; v++) {
            cr_expect(!required[v] || tap[v] != TAP_UNUSED);
            again |= tap[v] == TAP_RECOMPUTE ? 1u << v : 0;
            for (uint32_t i = 0; tap[v] == TAP_RECOMPUTE && i < g->node[v].in_count; i++)
                cr_expect(tap[node_arg(g, v, i)] != TAP_UNUSED);
        }
        int64_t best = total(g, cost, required, 0);
        for (uint32_t mask = 0; mask < 1u << NODES; mask++) {
            int64_t t = total(g, cost, required, mask << 1);
            best = t < best ? t : best;
        }
        cr_expect(total(g, cost, required, again) == best, "seed %d", (int)seed);
    }
    rig_free(&r);
}

/* Is there a value of that name and role in the graph? */
static bool has(Rig *r, const Graph *g, const char *name, Op op, Role role)
{
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].name == str(r, name) && g->node[v].op == op && g->node[v].role == role)
            return true;
    return false;
}

static const LlamaShape stories = {.dim = 768, .hidden = 2048, .heads = 12, .seq = 256, .vocab = 32000, .layers = 12};

Test(taps, saves_what_people_save)
{
    for (int calls = 0; calls < 2; calls++)
        for (int32_t seq = 256; seq <= 2048; seq *= 8) {
            Rig        r = rig_new();
            LlamaShape s = stories;
            s.calls = calls;
            s.seq = seq;
            llama(&r, s);
            PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
            cr_assert(passes_run(r.m, &opt));
            const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
            const Graph *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
            cr_expect(has(&r, b, "q", OP_input, ROLE_BWD) && has(&r, b, "k", OP_input, ROLE_BWD) &&
                      has(&r, b, "v", OP_input, ROLE_BWD));
            cr_expect(has(&r, b, "h1", OP_input, ROLE_BWD) && has(&r, b, "h3", OP_input, ROLE_BWD));
            cr_expect(has(&r, b, "p", OP_softmax, ROLE_BWD) && has(&r, b, "scores", OP_add, ROLE_BWD));
            cr_expect(has(&r, b, "sigmoid", OP_sigmoid, ROLE_BWD));
            cr_expect(!has(&r, b, "p", OP_input, ROLE_BWD) && !has(&r, b, "sigmoid", OP_input, ROLE_BWD));
            rig_free(&r);
        }
}

Test(taps, within_one_graph_too)
{
    Rig r = rig_new();
    llama_layer(&r, stories);
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
    cr_expect(has(&r, g, "p", OP_softmax, ROLE_BWD) && has(&r, g, "sigmoid", OP_sigmoid, ROLE_BWD));
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_softmax || n->op == OP_sigmoid)
            cr_expect(n->again == (n->role == ROLE_BWD), "what is computed again says so");
    }
    uint32_t products = 0;
    for (ValueId v = 1; v < g->count; v++)
        products += g->node[v].op == OP_matmul && g->node[v].role == ROLE_BWD;
    cr_expect(products == 7 + 4 + 4 + 1, "of the products only the scores are computed again, and x needs no cotangent: %u", products);
    rig_free(&r);
}

static void hint(Rig *r, const char *name, Hint h)
{
    uint32_t k = module_add_hint(r->m, h);
    for (GraphId i = 1; i < r->m->graphs; i++)
        for (ValueId v = 1; v < r->m->graph[i]->count; v++)
            if (r->m->graph[i]->node[v].name == str(r, name))
                r->m->graph[i]->node[v].hint = k;
}

Test(taps, hints_decide)
{
    Rig r = rig_new();
    llama(&r, stories);
    hint(&r, "p", (Hint){.save = true});
    hint(&r, "h3", (Hint){.recompute = true});
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
    const Graph *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
    cr_expect(has(&r, b, "p", OP_input, ROLE_BWD) && !has(&r, b, "p", OP_softmax, ROLE_BWD));
    cr_expect(has(&r, b, "h3", OP_matmul, ROLE_BWD) && !has(&r, b, "h3", OP_input, ROLE_BWD));
    rig_free(&r);
}

Test(taps, a_hand_written_adjoint_reads_what_is_saved)
{
    /* rmsnorm_bwd starts from x and computes 1/rms anew; the forward direction has it already. */
    Rig        r = rig_new();
    LlamaShape s = stories;
    s.calls = true;
    llama(&r, s);
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
    const Graph *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
    cr_expect(count_op(b, OP_rsqrt) == 0);
    rig_free(&r);
}

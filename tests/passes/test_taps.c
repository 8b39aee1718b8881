/* test_taps.c: the cut against brute force, the choices on a real layer, hints. */
#include "passes/switches.h"
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

enum { NODES = 12 };

/* What a choice costs: the values of `again` are computed again, the others saved where they are read. */
static int64_t total(const Graph *g, const TapCost *cost, const TapRead *read, uint32_t again, int64_t memory,
                     int64_t *bytes)
{
    int64_t sum = 0;
    bool    have[NODES + 1] = {false};
    *bytes = 0;
    for (ValueId v = 1; v < g->count; v++) {
        have[v] = have[v] || read[v].engine;
        for (uint32_t i = 0; (again >> v & 1) && i < g->node[v].in_count; i++)
            have[node_arg(g, v, i)] = true;
    }
    for (ValueId v = 1; v < g->count; v++) {
        bool saved = !(again >> v & 1) && (have[v] || cost[v].kept);
        sum += again >> v & 1 ? cost[v].recompute : have[v] ? cost[v].save : 0;
        *bytes += saved ? cost[v].bytes : 0;
    }
    return sum + memory * *bytes;
}

static Graph *random_graph(Rig *r, uint64_t key, uint64_t *at, TapCost *cost, TapRead *read)
{
    Graph *g = new_graph(r, "f");
    for (ValueId v = 1; v <= NODES; v++) {
        ValueId x = v > 1 ? 1 + (ValueId)(rng_uniform(key, (*at)++) * (v - 1)) : 0;
        ValueId y = v > 1 ? 1 + (ValueId)(rng_uniform(key, (*at)++) * (v - 1)) : 0;
        if (v < 3)
            input(r, g, "x", REAL(2));
        else if (rng_uniform(key, (*at)++) < 0.5)
            g_unary(r->m, g, NULL, OP_neg, x);
        else
            g_binary(r->m, g, NULL, OP_add, x, y);
        cost[v].save = (int64_t)(rng_uniform(key, (*at)++) * 12);
        cost[v].recompute = v < 3 ? TAP_NEVER : (int64_t)(rng_uniform(key, (*at)++) * 8);
        cost[v].bytes = (int64_t)(rng_uniform(key, (*at)++) * 5);
        read[v].engine = rng_uniform(key, (*at)++) < 0.3;
        cost[v].kept = read[v].cpu = rng_uniform(key, (*at)++) < 0.2;
    }
    return g;
}

/* The cut is the best of all choices, at any price of memory; and no choice that saves as little is cheaper without
 * it. */
Test(taps, agrees_with_brute_force)
{
    Rig r = rig_new();
    for (uint64_t seed = 0; seed < 500; seed++) {
        uint64_t key = rng_key(seed, "taps"), at = 0;
        TapCost  cost[NODES + 1];
        TapRead  read[NODES + 1] = {{0}};
        Graph   *g = random_graph(&r, key, &at, cost, read);
        int64_t  last = INT64_MAX;
        for (int64_t memory = 0; memory < 8; memory = memory ? memory * 7 : 1) {
            const Tap *tap = taps_cut(r.a, g, cost, read, (double)memory);
            uint32_t   again = 0;
            for (ValueId v = 1; v <= NODES; v++) {
                cr_expect((!read[v].engine && !read[v].cpu) || tap[v] != TAP_UNUSED);
                again |= tap[v] == TAP_RECOMPUTE ? 1u << v : 0;
                for (uint32_t i = 0; tap[v] == TAP_RECOMPUTE && i < g->node[v].in_count; i++)
                    cr_expect(tap[node_arg(g, v, i)] != TAP_UNUSED);
            }
            int64_t bytes, other, mine = total(g, cost, read, again, memory, &bytes);
            for (uint32_t mask = 0; mask < 1u << NODES; mask++) {
                int64_t t = total(g, cost, read, mask << 1, memory, &other);
                cr_assert(mine <= t, "seed %d, price %d", (int)seed, (int)memory);
                cr_assert(other > bytes || mine - memory * bytes <= t - memory * other);
            }
            cr_expect(bytes <= last, "a higher price saves no more");
            last = bytes;
        }
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
        for (int32_t seq = 256; seq <= 512; seq *= 2) { /* far beyond, products are cheaper than what they save */
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
    r.m->off = UINT64_C(1) << SWITCH_softmax_delta; /* reads attention's output, which may be computed again */
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
    cr_expect(products == 7 + 4 + 4 + 1,
              "of the products only the scores are computed again, and x needs no cotangent: %u", products);
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

/* Bytes saved and flops recomputed by the model under a limit; false if the limit is too low. */
static bool limited(int64_t limit, int64_t *bytes, double *flops, const char **text)
{
    Rig r = rig_new();
    llama(&r, stories);
    r.m->memory = limit;
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    bool        ok = passes_run(r.m, &opt);
    *bytes = r.m->saved_bytes;
    *flops = r.m->recomputed_flops;
    static char first[300];
    snprintf(first, sizeof first, "%s: %s", r.ds->count ? r.ds->item[0]->code : "",
             r.ds->count ? r.ds->item[0]->text : "");
    *text = first;
    rig_free(&r);
    return ok;
}

Test(taps, keeps_to_a_limit_on_memory)
{
    const char *text;
    int64_t     all, bytes, last;
    double      flops, more;
    cr_assert(limited(0, &all, &flops, &text));
    cr_assert(limited(all, &bytes, &more, &text));
    cr_expect(bytes == all && more == flops, "a limit that holds anyway changes nothing");
    last = all;
    for (int64_t limit = all - 1; limit > 8 << 20; limit = limit / 4 * 3) {
        double before = flops;
        cr_assert(limited(limit, &bytes, &flops, &text), "%s", text);
        cr_expect(bytes <= limit && bytes <= last, "%lld bytes saved under a limit of %lld", (long long)bytes,
                  (long long)limit);
        cr_expect(flops >= before);
        last = bytes;
    }
    /* At the end only the input of every layer, and the embedding's sum with what the layers added, [768, 256] each. */
    int64_t least = (stories.layers + 1) * 2 * 768 * 256;
    cr_assert(limited(least, &bytes, &flops, &text), "%s", text);
    cr_expect(bytes == least);
    cr_expect(!limited(least - 1, &bytes, &flops, &text));
    cr_expect_str_eq(text,
                     "E0704: a training step must save 5111808 bytes for the backward direction; the limit is 5111807");
}

Test(taps, saves_what_norms_make_of_their_input)
{
    /* x * r and the row r, not x: the weight gradients want the one anyway, the other is a single channel. */
    Rig        r = rig_new();
    LlamaShape s = stories;
    s.calls = true;
    llama(&r, s);
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
    const Node  *back = find_repeat(g, ROLE_BWD);
    const Graph *b = r.m->graph[back->a.repeat.graph];
    const Node  *forward = find_repeat(g, ROLE_FWD);
    const Graph *f = r.m->graph[forward->a.repeat.graph];
    uint32_t     rows_saved = 0;
    for (ValueId v = 1; v < b->count; v++)
        rows_saved += b->node[v].op == OP_input && b->node[v].type.shape.rank == 2 && b->node[v].type.shape.dim[0] == 1;
    cr_expect(rows_saved == 2);
    for (uint32_t i = forward->a.repeat.n_carry; i < f->outs; i++) {
        const Node *y = &f->node[f->out[i]];
        cr_expect(y->op != OP_input, "the residual stream itself is not saved");
    }
    rig_free(&r);
}

Test(taps, what_the_cpu_hands_back_is_not_computed_again_first)
{
    /* Cross-entropy and a penalty on the same logits: computing them again, cheap as it is, would take a program of its
     * own before the CPU's work. */
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "loss");
    ValueId logits =
        g_matmul(m, g, NULL, one_param(&r, g, "w", REAL(256, 64)), input(&r, g, "x", REAL(64, 256)), false, false);
    Node    n = {.op = OP_xent};
    ValueId loss = graph_add(m, g, &n, (ValueId[]){logits, input(&r, g, "targets", INTS(256))}, 2);
    graph_add_out(m, g, g_binary(m, g, NULL, OP_add, mean(&r, g, loss), mean_of_squares(&r, g, logits)), 0);
    train_on(&r, g);
    PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
    cr_assert(passes_run(m, &opt));
    const Graph *done = m->graph[module_entry(m, "loss")->graph];
    uint32_t     products = 0;
    for (ValueId v = 1; v < done->count; v++)
        products += done->node[v].op == OP_matmul && done->node[v].role == ROLE_BWD;
    cr_expect(products == 1, "the gradient of w alone");
    rig_free(&r);
}

Test(taps, targets_decide)
{
    /* With memory that is free to reach, a softmax is read again; where bytes are dear, the gate's products are
     * computed again. */
    static const struct {
        double      bandwidth, cpu_bandwidth, peak, staging;
        const char *name;
        Op          op;
    } cases[] = {
        {6000, 6000, 10, 20, "p", OP_input},
        {60, 60, 10, 20, "p", OP_softmax},
        {60, 60, 10, 20, "h1", OP_input},
        {10, 60, 40, 2000, "h1", OP_matmul},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig        r = rig_new();
        LlamaShape s = stories;
        s.seq = 1024;
        llama(&r, s);
        Target t = *target_any();
        t.bandwidth = cases[i].bandwidth;
        t.cpu_bandwidth = cases[i].cpu_bandwidth;
        t.peak = cases[i].peak;
        t.staging = cases[i].staging;
        r.m->target = &t;
        PassOptions opt = {.diags = r.ds, .stop_after = "taps"};
        cr_assert(passes_run(r.m, &opt));
        const Graph *g = r.m->graph[module_entry(r.m, "loss")->graph];
        const Graph *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
        cr_expect(has(&r, b, cases[i].name, cases[i].op, ROLE_BWD), "case %zu", i);
        rig_free(&r);
    }
}

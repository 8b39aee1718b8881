/* test_place.c: who computes what. */
#include "passes/switches.h"
#include "rig.h"

#include <criterion/criterion.h>

static const LlamaShape stories = {.dim = 768, .hidden = 2048, .heads = 12, .seq = 256, .vocab = 32000, .layers = 12};

/* Products with a parameter that is [rows, columns], in the graph itself: how many run on `device`? */
static uint32_t products_with(const Graph *g, int32_t rows, int32_t columns, Place device)
{
    uint32_t n = 0;
    for (ValueId v = 1; v < g->count; v++) {
        if (g->node[v].op != OP_matmul || g->node[v].device != device)
            continue;
        const Node *w = &g->node[node_arg(g, v, 0)];
        n += w->op == OP_param && w->type.shape.dim[0] == rows && w->type.shape.dim[1] == columns;
    }
    return n;
}

static const Graph *placed(Rig *r)
{
    PassOptions opt = {.diags = r->ds};
    bool        ok = passes_run(r->m, &opt);
    print_diags(r);
    cr_assert(ok);
    return r->m->graph[module_entry(r->m, "loss")->graph];
}

Test(place, layers_run_on_the_engine_the_rest_does_not)
{
    Rig r = rig_new();
    r.m->off = UINT64_C(1) << SWITCH_softmax_delta; /* reads attention's output, which may be computed again */
    llama(&r, stories);
    const Graph *g = placed(&r);
    for (ValueId v = 1; v < g->count; v++)
        cr_expect(g->node[v].device != DEV_ANE || g->node[v].role == ROLE_FWD,
                  "a product that contracts 32000 keeps the backward direction of the head on the CPU");
    const Graph *f = r.m->graph[find_repeat(g, ROLE_FWD)->a.repeat.graph];
    const Graph *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
    for (ValueId v = 1; v < f->count; v++)
        cr_expect(f->node[v].device != DEV_CPU);
    uint32_t products = 0, weight_gradients = 0;
    for (ValueId v = 1; v < b->count; v++) {
        const Node *n = &b->node[v];
        products += n->op == OP_matmul && n->device == DEV_ANE;
        weight_gradients += n->op == OP_matmul && n->device == DEV_CPU;
        if (n->op == OP_grad)
            cr_expect(n->device == DEV_CPU && b->node[node_in(b, n)[0]].device == DEV_CPU);
    }
    cr_expect(weight_gradients == 7);
    cr_expect(products == 7 + 5, "seven input cotangents, scores again, and the four of attention: %u", products);
    rig_free(&r);
}

Test(place, everything_is_the_cpus_where_the_engine_is_switched_off)
{
    Rig r = rig_new();
    r.m->off = UINT64_C(1) << SWITCH_engine;
    llama(&r, stories);
    placed(&r);
    for (uint32_t i = 0; i < r.m->graphs; i++)
        for (ValueId v = 1; r.m->graph[i] && v < r.m->graph[i]->count; v++)
            cr_expect(r.m->graph[i]->node[v].device != DEV_ANE);
    rig_free(&r);
}

Test(place, without_repeats_too)
{
    /* The whole backward direction leads to gradients only; that does not make it the CPU's. */
    Rig r = rig_new();
    r.m->off = UINT64_C(1) << SWITCH_softmax_delta; /* reads attention's output, which may be computed again */
    llama_layer(&r, stories);
    const Graph *g = placed(&r);
    uint32_t     engine = 0, cpu = 0;
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_matmul && g->node[v].role == ROLE_BWD) {
            engine += g->node[v].device == DEV_ANE;
            cpu += g->node[v].device == DEV_CPU;
        }
    cr_expect(cpu == 7);
    cr_expect(engine == 4 + 4 + 1, "without the cotangent of the first norm's result, which only its gain would need");
    rig_free(&r);
}

Test(place, the_cotangent_of_a_parameter_like_an_activation_is_no_weight_gradient)
{
    /* Learned positions: W (x + e). The gradient of W accumulates on the CPU, that of e is the engine's W^T g. */
    Rig     r = rig_new();
    Graph  *g = new_graph(&r, "loss");
    ValueId w = one_param(&r, g, "w", REAL(64, 64)), e = one_param(&r, g, "e", REAL(64, 32));
    ValueId x = g_binary(r.m, g, NULL, OP_add, input(&r, g, "x", REAL(64, 32)), e);
    graph_add_out(r.m, g, mean_of_squares(&r, g, g_matmul(r.m, g, NULL, w, x, false, false)), 0);
    train_on(&r, g);
    const Graph *done = placed(&r);
    for (ValueId v = 1; v < done->count; v++)
        if (done->node[v].op == OP_grad) {
            const Node *d = &done->node[node_arg(done, v, 0)];
            cr_expect(d->op == OP_matmul && d->device == (d->type.shape.dim[1] == 64 ? DEV_CPU : DEV_ANE));
        }
    rig_free(&r);
}

Test(place, a_small_head_may_run_on_the_engine)
{
    Rig        r = rig_new();
    LlamaShape s = stories;
    s.vocab = 256;
    llama(&r, s);
    const Graph *g = placed(&r);
    uint32_t     products = 0;
    for (ValueId v = 1; v < g->count; v++)
        products += g->node[v].op == OP_matmul && g->node[v].device == DEV_ANE;
    cr_expect(products == 2);
    rig_free(&r);
}

Test(place, the_head_goes_where_it_costs_less)
{
    static const struct {
        double   cpu_flops, peak, peak_matmul;
        int64_t  max_axis, max_channels;
        uint32_t on_engine; /* of the logits and the cotangent of what they came from */
    } cases[] = {
        {1, 10, 4, 16384, 65536, 1},    /* any: the backward product contracts 32000, too many for conv and matmul */
        {1, 10, 4, 65536, 65536, 2},    /* from M4 on a matmul may */
        {1, 10, 4, 65536, 31999, 0},    /* the logits are too many channels */
        {30, 10, 4, 65536, 65536, 0},   /* a CPU for which it is nothing */
        {4.5, 40, 1, 65536, 65536, 1}, /* good at convolutions, bad at products */
        {1, 1, 1, 65536, 65536, 0},     /* an engine no faster than the CPU: surfaces cost too */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig r = rig_new();
        llama(&r, stories);
        Target t = *target_any();
        t.cpu_flops = cases[i].cpu_flops;
        t.peak = cases[i].peak;
        t.peak_matmul = cases[i].peak_matmul;
        t.max_axis = cases[i].max_axis;
        t.max_channels = cases[i].max_channels;
        r.m->target = &t;
        const Graph *g = placed(&r);
        uint32_t     engine = products_with(g, 32000, 768, DEV_ANE), cpu = products_with(g, 32000, 768, DEV_CPU);
        cr_expect(engine == cases[i].on_engine && engine + cpu == 2, "case %zu: %u on the engine, %u on the CPU", i,
                  engine, cpu);
        rig_free(&r);
    }
}

Test(place, weight_gradients_may_move)
{
    for (int any = 0; any < 2; any++) {
        Rig r = rig_new();
        llama(&r, stories);
        Target t = *target_any();
        t.weight_gradients = any ? WHERE_ANY : WHERE_CPU;
        r.m->target = &t;
        const Graph *g = placed(&r), *b = r.m->graph[find_repeat(g, ROLE_BWD)->a.repeat.graph];
        uint32_t     cpu = 0, sinks = 0;
        for (ValueId v = 1; v < b->count; v++) {
            cpu += b->node[v].op == OP_matmul && b->node[v].device == DEV_CPU;
            sinks += b->node[v].op == OP_grad;
            cr_expect(b->node[v].op != OP_grad || b->node[v].device == DEV_CPU, "sums over sequences are the CPU's");
        }
        cr_expect(cpu == (any ? 0 : 7) && sinks == 9, "%u products on the CPU", cpu);
        rig_free(&r);
    }
}

/* mean((W x - t)^2) on [64, 512]: what crosses between the directions and into the program. */
Test(place, the_tail_of_a_loss_is_the_cpus)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "loss");
    ValueId y =
        g_matmul(m, g, NULL, one_param(&r, g, "w1", REAL(768, 768)), input(&r, g, "x", REAL(768, 512)), false, false);
    y = g_matmul(m, g, NULL, one_param(&r, g, "w2", REAL(768, 768)), y, false, false);
    ValueId e = g_binary(m, g, NULL, OP_sub, y, input(&r, g, "target", REAL(768, 512)));
    graph_add_out(m, g, mean_of_squares(&r, g, e), 0);
    train_on(&r, g);
    const Graph *done = placed(&r);
    for (ValueId v = 1; v < done->count; v++) {
        const Node *n = &done->node[v];
        cr_expect(n->device != DEV_ANE || n->op == OP_matmul, "%s on the engine", op_info[n->op].name);
    }
    cr_expect(products_with(done, 768, 768, DEV_ANE) == 3, "two forward, one backward");
    rig_free(&r);
}

Test(place, a_number_enters_a_program_as_a_row)
{
    /* The scale of the loss meets the engine's work at once where the CPU is slow: as [1, S], grown to [C, S]
     * inside. */
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "loss");
    ValueId y =
        g_matmul(m, g, NULL, one_param(&r, g, "w", REAL(768, 768)), input(&r, g, "x", REAL(768, 512)), false, false);
    y = g_unary(m, g, NULL, OP_tanh, y);
    graph_add_out(m, g, mean_of_squares(&r, g, g_unary(m, g, NULL, OP_tanh, y)), 0);
    train_on(&r, g);
    Target t = *target_any();
    t.cpu_bandwidth = 1;
    m->target = &t;
    const Graph *done = placed(&r);
    bool         entered = false;
    for (ValueId v = 1; v < done->count; v++)
        for (uint32_t i = 0; i < done->node[v].in_count; i++) {
            const Node *u = &done->node[node_arg(done, v, i)];
            if (u->device != DEV_CPU || done->node[v].device != DEV_ANE)
                continue;
            cr_expect(u->type.shape.dim[0] == 1 && u->type.shape.dim[1] == 512);
            entered = true;
        }
    cr_expect(entered);
    rig_free(&r);
}

Test(place, a_detour_over_the_cpu_costs_a_dispatch)
{
    /* W2 f(W1 x) with an f that the CPU computes faster, crossings included, but not by a dispatch. */
    for (int dear = 0; dear < 2; dear++) {
        Rig     r = rig_new();
        Module *m = r.m;
        Graph  *g = new_graph(&r, "main");
        ValueId x = input(&r, g, "x", REAL(64, 512));
        x = g_matmul(m, g, NULL, one_param(&r, g, "w1", REAL(64, 64)), x, false, false);
        for (int i = 0; i < 5; i++)
            x = g_binary(m, g, NULL, OP_add, x, g_binary(m, g, NULL, OP_mul, x, x));
        x = g_matmul(m, g, NULL, one_param(&r, g, "w2", REAL(64, 64)), x, false, false);
        graph_add_out(m, g, x, 0);
        GROW(m->arena, m->entry, m->entries, m->entries_cap);
        m->entry[m->entries++] = (Entry){str(&r, "main"), g->id, {0}};
        Target t = *target_any();
        t.elementwise = 10;
        t.dispatch = dear ? 200 : 20;
        m->target = &t;
        PassOptions opt = {.diags = r.ds};
        cr_assert(passes_run(m, &opt));
        g = m->graph[m->entry[0].graph];
        for (ValueId v = 1; v < g->count; v++)
            if (g->node[v].op == OP_mul || g->node[v].op == OP_add)
                cr_expect(g->node[v].device == (dear ? DEV_ANE : DEV_CPU));
        rig_free(&r);
    }
}

Test(place, short_rows_stay_on_the_cpu)
{
    Rig        r = rig_new();
    LlamaShape s = stories;
    s.seq = 8;
    llama(&r, s);
    placed(&r);
    for (GraphId i = 1; i < r.m->graphs; i++)
        for (ValueId v = 1; v < r.m->graph[i]->count; v++)
            cr_expect(r.m->graph[i]->node[v].device != DEV_ANE);
    rig_free(&r);
}

Test(place, a_small_softmax_is_not_worth_a_dispatch)
{
    for (int32_t rows = 12; rows <= 12 * 512; rows *= 512) {
        Rig    r = rig_new();
        Graph *g = new_graph(&r, "main");
        graph_add_out(r.m, g, g_softmax(r.m, g, NULL, input(&r, g, "x", REAL(rows, 256)), 1), 0);
        GROW(r.m->arena, r.m->entry, r.m->entries, r.m->entries_cap);
        r.m->entry[r.m->entries++] = (Entry){str(&r, "main"), g->id, {0}};
        PassOptions opt = {.diags = r.ds};
        cr_assert(passes_run(r.m, &opt));
        g = r.m->graph[r.m->entry[0].graph];
        cr_expect(g->node[g->out[0]].device == (rows == 12 ? DEV_CPU : DEV_ANE));
        rig_free(&r);
    }
}

/* y = tanh(W x) on [64, 32], with `hint` on both, as a graph without training. */
static const Graph *two_nodes(Rig *r, Hint h, Type x_type, bool with_product)
{
    Module *m = r->m;
    Graph  *g = new_graph(r, "main");
    ValueId x = input(r, g, "x", x_type);
    if (with_product)
        x = g_matmul(m, g, NULL, one_param(r, g, "w", REAL(64, 64)), x, false, false);
    Node n = {.op = OP_tanh};
    n.hint = module_add_hint(m, h);
    graph_add_out(m, g, graph_add(m, g, &n, &x, 1), 0);
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){str(r, "main"), g->id, {0}};
    PassOptions opt = {.diags = r->ds};
    return passes_run(m, &opt) ? m->graph[m->entry[0].graph] : NULL;
}

static Place of_tanh(const Graph *g)
{
    cr_assert(g != NULL);
    return g->node[g->out[0]].device;
}

Test(place, pins_and_limits)
{
    static const struct {
        Hint  hint;
        Type  type;
        bool  product;
        Place want;
    } cases[] = {
        {{.place = PLACE_FREE}, {DT_REAL, {2, {64, 32}}}, true, DEV_ANE},
        {{.place = PLACE_FREE}, {DT_REAL, {2, {64, 32}}}, false, DEV_CPU}, /* not worth a dispatch */
        {{.place = PLACE_ANE}, {DT_REAL, {2, {64, 32}}}, false, DEV_ANE},
        {{.place = PLACE_CPU}, {DT_REAL, {2, {64, 32}}}, true, DEV_CPU},
        {{.f32 = true}, {DT_REAL, {2, {64, 32}}}, true, DEV_CPU},
        {{.place = PLACE_FREE}, {DT_REAL, {2, {64, 8}}}, true, DEV_CPU},
        {{.place = PLACE_FREE}, {DT_REAL, {2, {64, 16385}}}, true, DEV_CPU},
        {{.place = PLACE_ANE}, {DT_REAL, {4, {1, 2, 3, 32}}}, false, DEV_ANE},
        {{.place = PLACE_ANE}, {DT_REAL, {4, {2, 2, 3, 32}}}, false, DEV_ANE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig   r = rig_new();
        Place got = of_tanh(two_nodes(&r, cases[i].hint, cases[i].type, cases[i].product));
        cr_expect(got == cases[i].want, "case %zu: %d", i, (int)got);
        rig_free(&r);
    }
}

Test(place, impossible_pins_say_why)
{
    static const struct {
        Type        type;
        const char *text;
    } cases[] = {
        {{DT_REAL, {1, {64}}}, "'tanh' cannot run on the ANE (fewer than two axes, or a single element)"},
        {{DT_REAL, {5, {2, 2, 2, 3, 32}}}, "'tanh' cannot run on the ANE (more than four axes)"},
        {{DT_REAL, {4, {300, 300, 3, 32}}}, "'tanh' cannot run on the ANE (more than 65536 channels)"},
        {{DT_REAL, {2, {65537, 32}}}, "'tanh' cannot run on the ANE (more than 65536 channels)"},
        {{DT_REAL, {2, {64, 16400}}}, "'tanh' cannot run on the ANE (an axis is longer than 16384)"},
        {{DT_REAL, {3, {2, 16400, 32}}}, "'tanh' cannot run on the ANE (an axis is longer than 16384)"},
        {{DT_F32, {2, {64, 32}}}, "'tanh' cannot run on the ANE (no 32-bit arithmetic)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Rig r = rig_new();
        cr_expect(two_nodes(&r, (Hint){.place = PLACE_ANE}, cases[i].type, false) == NULL);
        cr_assert(r.ds->errors == 1);
        cr_expect_str_eq(r.ds->item[0]->code, "E0703");
        cr_expect_str_eq(r.ds->item[0]->text, cases[i].text);
        rig_free(&r);
    }
}

Test(place, gather_is_the_cpus)
{
    Rig     r = rig_new();
    Module *m = r.m;
    Graph  *g = new_graph(&r, "main");
    Node    n = {.op = OP_gather};
    n.hint = module_add_hint(m, (Hint){.place = PLACE_ANE});
    ValueId e = one_param(&r, g, "embed", REAL(100, 64)), t = input(&r, g, "tokens", INTS(32));
    graph_add_out(m, g, graph_add(m, g, &n, (ValueId[]){e, t}, 2), 0);
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){str(&r, "main"), g->id, {0}};
    PassOptions opt = {.diags = r.ds};
    cr_expect(!passes_run(m, &opt));
    cr_expect_str_eq(r.ds->item[0]->text, "'gather' cannot run on the ANE (no data-dependent indexing)");
    cr_expect_str_eq(r.ds->item[0]->help, "drop the pin, or multiply by a one-hot table if the vocabulary is tiny");
    rig_free(&r);
}

/* test_place.c: who computes what. */
#include "rig.h"

#include <criterion/criterion.h>

static const LlamaShape stories = {.dim = 768, .hidden = 2048, .heads = 12, .seq = 256, .vocab = 32000, .layers = 12};

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
    llama(&r, stories);
    const Graph *g = placed(&r);
    for (ValueId v = 1; v < g->count; v++)
        cr_expect(g->node[v].device != DEV_ANE, "a head of 32000 rows keeps everything around it on the CPU");
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

Test(place, without_repeats_too)
{
    /* The whole backward direction leads to gradients only; that does not make it the CPU's. */
    Rig r = rig_new();
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
        {{DT_REAL, {4, {200, 200, 3, 32}}},
         "'tanh' cannot run on the ANE (two leading axes are longer than 16384 together)"},
        {{DT_REAL, {2, {20000, 32}}}, "'tanh' cannot run on the ANE (an axis is longer than 16384)"},
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

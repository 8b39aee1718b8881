/* test_pipeline.c: whole models through the pipeline: the graph stays well-formed and computes the same loss and the
 * same gradients after every pass. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const LlamaShape small[] = {
    {.dim = 8, .hidden = 12, .heads = 2, .seq = 16, .vocab = 11, .layers = 3, .calls = true},
    {.dim = 8, .hidden = 12, .heads = 2, .seq = 5, .vocab = 7, .layers = 1},
    {.dim = 4, .hidden = 4, .heads = 1, .seq = 17, .vocab = 5, .layers = 2, .calls = true, .residual_values = true},
    {.dim = 4, .hidden = 6, .heads = 2, .seq = 6, .vocab = 5, .layers = 3, .residual_values = true},
};

static const Graph *loss_graph(const Rig *r)
{
    return r->m->graph[module_entry(r->m, "loss")->graph];
}

static void same_after(LlamaShape s, const char *pass)
{
    size_t n, k;
    Rig    reference = rig_new(), r = rig_new();
    Graph *joint = autodiff(reference.m, llama(&reference, s), reference.ds);
    cr_assert(joint != NULL);
    const double *want = loss_and_gradients(&reference, joint, 1, s.vocab, 2.0, &n);
    llama(&r, s);
    PassOptions opt = {.diags = r.ds, .stop_after = pass};
    bool        ok = passes_run(r.m, &opt);
    print_diags(&r);
    cr_assert(ok);
    const double *got = loss_and_gradients(&r, loss_graph(&r), 1, s.vocab, 2.0, &k);
    cr_assert(n == k);
    cr_expect(distance(want, got, n) < 1e-12, "after %s: %g", pass, distance(want, got, n));
    rig_free(&r);
    rig_free(&reference);
}

Test(pipeline, keeps_loss_and_gradients)
{
    static const char *const pass[] = {"autodiff", "inline", "algebra", "taps", "place"};
    for (size_t i = 0; i < COUNT(small); i++)
        for (size_t k = 0; k < COUNT(pass); k++)
            same_after(small[i], pass[k]);
}

Test(pipeline, first_clean_up_keeps_the_loss)
{
    for (size_t i = 0; i < COUNT(small); i++) {
        Rig    r = rig_new();
        size_t n, k;
        Graph *g = llama(&r, small[i]);
        const double *want = results_of(&r, g, 5, small[i].vocab, &n);
        PassOptions   opt = {.diags = r.ds, .stop_after = "simplify"};
        cr_assert(passes_run(r.m, &opt));
        const double *got = results_of(&r, loss_graph(&r), 5, small[i].vocab, &k);
        cr_expect(n == k && distance(want, got, n) < 1e-12);
        rig_free(&r);
    }
}

Test(pipeline, every_node_has_its_role_and_device)
{
    Rig r = rig_new();
    llama(&r, small[0]);
    PassOptions opt = {.diags = r.ds};
    cr_assert(passes_run(r.m, &opt));
    for (GraphId i = 1; i < r.m->graphs; i++) {
        const Graph *g = r.m->graph[i];
        bool         backward = false;
        for (ValueId v = 1; v < g->count; v++) {
            const Node *n = &g->node[v];
            backward = backward || n->role == ROLE_BWD;
            cr_expect(!(backward && n->role == ROLE_FWD), "forward nodes come first");
            cr_expect(n->op != OP_call && n->op != OP_stop_grad);
            if (op_is_sink(n->op))
                cr_expect(n->device == DEV_CPU);
        }
    }
    rig_free(&r);
}

Test(pipeline, stops_and_dumps_where_it_is_told)
{
    Rig   r = rig_new();
    char *text = NULL;
    size_t len = 0;
    llama(&r, small[1]);
    FILE *f = open_memstream(&text, &len);
    PassOptions opt = {.diags = r.ds, .dump = DUMP_AFTER, .dump_pass = "algebra", .dump_to = f, .stop_after = "taps"};
    cr_assert(passes_run(r.m, &opt));
    fclose(f);
    Buf b = {0};
    buf_puts(&b, text ? text : "");
    cr_expect(len > 100 && b.data[0] == '#');
    cr_expect(pass_exists("taps"));
    cr_expect(!pass_exists("tap"));
    buf_free(&b);
    free(text);
    rig_free(&r);
}

Test(pipeline, is_deterministic)
{
    Buf text[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        Rig r = rig_new();
        llama(&r, small[2]);
        PassOptions opt = {.diags = r.ds};
        cr_assert(passes_run(r.m, &opt));
        module_print(r.m, &text[i]);
        rig_free(&r);
    }
    cr_expect(text[0].len == text[1].len);
    cr_expect_str_eq(text[0].data, text[1].data);
    buf_free(&text[0]);
    buf_free(&text[1]);
}

Test(pipeline, depth_costs_nothing)
{
    Rig        r = rig_new();
    LlamaShape s = {.dim = 768, .hidden = 2048, .heads = 12, .seq = 256, .vocab = 32000, .layers = 28, .calls = false};
    llama(&r, s);
    PassOptions opt = {.diags = r.ds};
    cr_assert(passes_run(r.m, &opt));
    const Graph *g = loss_graph(&r);
    const Node  *back = find_repeat(g, ROLE_BWD);
    cr_assert(back != NULL);
    cr_expect(r.m->graph[back->a.repeat.graph]->count < 200);
    rig_free(&r);
}

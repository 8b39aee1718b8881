/* test_decoding.c: reading tokens one by one, or in pieces, gives what reading the whole sequence gives.
 *
 * The logits of every position, through the plan's `decode` entries and their states, are compared with those that the
 * training entry's graph has there in fp64. */
#include "cases.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Logits [vocab, S] of the loss entry: what its cross-entropy reads. */
static const double *teacher(Rig *r, const Graph **loss, Tensor **in, int32_t vocab)
{
    Graph  *g = r->m->graph[module_entry(r->m, "loss")->graph];
    ValueId x = 0;
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].op == OP_xent)
            x = v;
    cr_assert_neq(x, 0);
    graph_add_out(r->m, g, node_arg(g, x, 0), 0);
    *loss = g;
    *in = rig_inputs(r, g, vocab);
    Tensor *out = NEW_N(r->a, Tensor, g->outs);
    EvalEnv env = {.m = r->m, .arena = r->a, .param = r->param};
    Buf     err = {0};
    cr_assert(graph_eval(&env, g, *in, out, &err), "%s", err.data);
    return out[g->outs - 1].v;
}

/* The model's entry that decodes n tokens at a time, or NULL. */
static const Entry *decoder(const Rig *r, int32_t n)
{
    const Entry *e = module_entry(r->m, arena_printf(r->a, "decode@%d", (int)n));
    return e || n > 1 ? e : module_entry(r->m, "decode");
}

/* Positions at .. at + n - 1 through decode@n: how far the logits are from those of the last of them. */
static double decode_piece(Rig *r, const Case *c, Run *run, const double *want, const double *tokens, int32_t seq,
                           int32_t at, int32_t n)
{
    const Entry *e = decoder(r, n);
    const Graph *g = r->m->graph[e->graph];
    double      *column = NEW_N(r->a, double, (size_t)c->vocab), position = at;
    Tensor       in[2];
    Buf          err = {0};
    cr_assert_eq(g->inputs, 2);
    for (uint32_t k = 0; k < 2; k++)
        in[k] = (Tensor){g->input[k].type, NULL, NULL};
    for (uint32_t k = 0; k < 2; k++)
        in[k].v = g->input[k].is_token ? (double *)(uintptr_t)&tokens[at] : &position;
    run->entry = exec_entry(run->exec, interned(r->m->strings, e->name));
    run_feed(r, run, g, in, 0);
    cr_assert(exec_forward(run->exec, run->entry, &err), "%s", err.data);
    for (int32_t v = 0; v < c->vocab; v++)
        column[v] = want[v * seq + at + n - 1];
    return distance(exec_result(run->exec, run->entry, 0), column, (size_t)c->vocab, 1).peak;
}

static void decode_case(Rig *r, const Case *c, const double *want, const double *tokens, int32_t seq, size_t mode,
                        double bound)
{
    Run    run = run_open(r, interned(r->m->strings, decoder(r, 1)->name), modes[mode].numerics, modes[mode].reduce);
    Buf    err = {0};
    double worst = 0, off;
    for (int32_t t = 0; t < seq; t++) {
        off = decode_piece(r, c, &run, want, tokens, seq, t, 1);
        cr_expect_leq(off, bound, "%s, %s, position %d: off by %.2e", c->model, modes[mode].name, t, off);
        worst = fmax(worst, off);
    }
    /* A prompt in pieces, the first one not at 0, and tokens after them. Pieces run in programs, where constants (1/48,
     * eps) are fp16 whatever the numerics. */
    bound = fmax(bound, 5e-4);
    for (int32_t n = 16; n <= 64; n *= 4) {
        if (n + 2 > seq || !decoder(r, n))
            continue;
        exec_reset_states(run.exec, 0);
        decode_piece(r, c, &run, want, tokens, seq, 0, 1);
        cr_assert(exec_bake(run.exec, exec_entry(run.exec, interned(r->m->strings, decoder(r, n)->name)), EXEC_FORWARD,
                            &err), "%s", err.data);
        for (int32_t t = 1; t < seq; t += t + n <= seq ? n : 1) {
            off = decode_piece(r, c, &run, want, tokens, seq, t, t + n <= seq ? n : 1);
            cr_expect_leq(off, bound, "%s, %s, %d at position %d: off by %.2e", c->model, modes[mode].name, n, t, off);
            worst = fmax(worst, off);
        }
    }
    fprintf(stderr, "%-12s %-8s decode: logits off by %.1e\n", c->model, modes[mode].name, worst);
    run_close(&run);
}

static void decode_model(const Case *c)
{
    if (!c->decodes)
        return;
    Rig           r = rig_open(c->model, c->defines);
    const Graph  *g;
    Tensor       *in;
    const double *want = teacher(&r, &g, &in, c->vocab);
    uint32_t      tokens = 0;
    while (strcmp(interned(r.m->strings, g->input[tokens].name), "tokens") != 0)
        tokens++;
    int32_t seq = g->input[tokens].type.shape.dim[0];
    decode_case(&r, c, want, in[tokens].v, seq, 0, fmax(1e-5, c->constants));
    decode_case(&r, c, want, in[tokens].v, seq, 1, 2e-2);
    rig_close(&r);
}

Test(decoding, gives_the_logits_of_the_whole_sequence)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        decode_model(&cases[i]);
    for (size_t i = 0; i < COUNT(shapes); i++)
        decode_model(&shapes[i]);
}

/* test_elab_models.c: the models: exact parameter counts, small instances run, decoding agrees with the full pass. */
#include "elab_rig.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define MODEL(name) ANEL_ROOT "/models/" name ".anel"

static void count(const char *path, int64_t want)
{
    Elabed t = elab_file(path, NULL);
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    cr_assert_eq(elab_elements(&t), want, "%s has %lld", path, (long long)elab_elements(&t));
    elab_free(&t);
}

Test(elab_models, have_exactly_their_parameters)
{
    count(MODEL("layer768"), 7079424);
    count(MODEL("tiny"), 1037696);
    count(MODEL("stories110m"), 109529856);
    count(MODEL("gpt2"), 124439808);
    count(MODEL("qwen3_0_6b"), 596049920);
    /* embedding, last norm, then layers of 4 d^2 (attention), 8 d^2 (feed-forward) and their gains; d = 128 */
    enum { D = 128, EMBED = 256 * D + D, LAYER = 12 * D * D };
    count(MODEL("parallel"), EMBED + 4 * (LAYER + D));
    count(MODEL("partial_rope"), EMBED + 4 * (LAYER + 2 * D + D / 4 + 4));
    count(MODEL("value_residual"), EMBED + 4 * (LAYER + 2 * D) + 3 * D);
    count(MODEL("looped"), EMBED + LAYER + 2 * D + 4 * D); /* one set of weights, four signals */
    count(MODEL("unet"), EMBED + 4 * (LAYER + 2 * D) + 2 * D);
}

Test(elab_models, uniform_layers_become_one_region)
{
    Elabed t = elab_file(MODEL("qwen3_0_6b"), NULL);
    const Graph *g = elab_graph(&t, "loss");
    cr_assert_eq(elab_count(g, OP_repeat), 1);
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_repeat) {
            cr_assert_eq(g->node[i].a.repeat.n, 28);
            cr_assert_eq(g->node[i].a.repeat.n_carry, 1);
            cr_assert_eq(g->node[i].in_count, 1); /* tables and masks are made again inside */
        }
    /* one adjoint for the model's norm, one for the norms of queries and keys (equal shapes but for the heads) */
    cr_assert_eq(t.m->vjp_checks, 3);
    elab_free(&t);
}

Test(elab_models, names_in_checkpoints)
{
    Elabed t = elab_file(MODEL("qwen3_0_6b"), "layers=2 dim=32 hidden=48 heads=4 kv_heads=2 hd=8 vocab=64 seq=8");
    const Param *p = elab_param(&t, "layers.1.self_attn.q_proj.weight");
    cr_assert_str_eq(interned(t.m->strings, p->import), "model.layers.1.self_attn.q_proj.weight");
    p = elab_param(&t, "layers.1.self_attn.q_norm");
    cr_assert_str_eq(interned(t.m->strings, p->import), "model.layers.1.self_attn.q_norm.weight");
    cr_assert(p->nodecay);
    elab_free(&t);
    t = elab_file(MODEL("gpt2"), "layers=1 dim=12 heads=2 vocab=16 ctx=8 seq=8");
    p = elab_param(&t, "h.0.attn.c_attn.weight");
    cr_assert_str_eq(interned(t.m->strings, p->import), "h.0.attn.c_attn.weight");
    cr_assert(p->import_transpose);
    elab_free(&t);
}

enum { SEQ = 24, VOCAB = 24 };

/* The model with one more entry, which returns the logits of all positions. */
static Elabed with_logits(const char *path, const char *entry, const char *defines)
{
    char err[FILE_ERR_MAX], *text;
    size_t len;
    Arena *a = arena_new();
    cr_assert(file_read(a, path, &text, &len, err), "%s", err);
    char *train = strstr(text, "  train loss");
    Elabed t = elab_text(arena_printf(a, "%.*s%s%s", (int)(train - text), text, entry, train), defines);
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    arena_free(a);
    return t;
}

/* Run decode@n on positions at .. at + n - 1; how far its logits are from those of the last of them in `all`. */
static double piece(Elabed *t, const double *tokens, const double *all, int at, int n)
{
    char   entry[16];
    double pos = at, worst = 0, largest = 0;
    snprintf(entry, sizeof entry, "decode@%d", n);
    const double *one = elab_run(t, entry, (const double *const[]){&tokens[at], &pos}, 2);
    for (int v = 0; v < VOCAB; v++) {
        worst = fmax(worst, fabs(one[v] - all[v * SEQ + at + n - 1]));
        largest = fmax(largest, fabs(one[v]));
    }
    cr_assert(largest > 1e-3);
    return worst;
}

static void decoding_agrees(Elabed t)
{
    double tokens[SEQ];
    for (int i = 0; i < SEQ; i++)
        tokens[i] = (7 * i + 3) % VOCAB;
    const double *all = elab_run(&t, "logits", (const double *const[]){tokens}, 1);
    double worst = 0;
    for (int i = 0; i < SEQ; i++)
        worst = fmax(worst, piece(&t, tokens, all, i, 1));
    for (int i = 0; i < 16; i++) /* other keys and values into the states: a piece must read none but its own */
        piece(&t, tokens + SEQ - 16, all, i, 1);
    worst = fmax(worst, piece(&t, tokens, all, 0, 16));
    for (int i = 16; i < SEQ; i++)
        worst = fmax(worst, piece(&t, tokens, all, i, 1));
    worst = fmax(worst, piece(&t, tokens, all, 5, 16));
    worst = fmax(worst, piece(&t, tokens, all, 0, SEQ));
    cr_assert(worst < 1e-12, "worst difference %g", worst);
    elab_free(&t);
}

Test(elab_models, decoding_stories_agrees_with_the_full_pass)
{
    decoding_agrees(with_logits(
        MODEL("stories110m"),
        "entry logits(tokens: tok[seq]) -> real[vocab, seq] = embed @ trunk(tokens, rope_cos(hd, seq, 10000.0), "
        "rope_sin(hd, seq, 10000.0), causal_mask(seq), pos: 0, cached: false);\n",
        "dim=24 hidden=32 layers=3 heads=4 kv_heads=2 vocab=24 seq=24"));
}

Test(elab_models, decoding_tiny_agrees_with_the_full_pass)
{
    decoding_agrees(with_logits(
        MODEL("tiny"),
        "entry logits(tokens: tok[seq]) -> real[vocab, seq] = embed @ trunk(tokens, rope_cos(hd, seq, 10000.0), "
        "rope_sin(hd, seq, 10000.0), causal_mask(seq), pos: 0, cached: false);\n",
        "dim=24 hidden=32 layers=3 heads=4 kv_heads=4 vocab=24 seq=24"));
}

Test(elab_models, decoding_gpt2_agrees_with_the_full_pass)
{
    decoding_agrees(with_logits(
        MODEL("gpt2"),
        "entry logits(tokens: tok[seq]) -> real[vocab, seq] = wte @ trunk(gather(wte, tokens)' + wpe[0..seq, :]', "
        "causal_mask(seq), pos: 0, cached: false);\n",
        "dim=24 layers=3 heads=4 vocab=24 ctx=32 seq=24"));
}

Test(elab_models, decoding_qwen3_agrees_with_the_full_pass)
{
    decoding_agrees(with_logits(
        MODEL("qwen3_0_6b"),
        "entry logits(tokens: tok[seq]) -> real[vocab, seq] = embed @ trunk(tokens, rope_cos(hd, seq, theta), "
        "rope_sin(hd, seq, theta), causal_mask(seq), pos: 0, cached: false);\n",
        "dim=24 hidden=32 layers=3 heads=4 kv_heads=2 hd=8 vocab=24 seq=24"));
}

static void loss_is_plausible(const char *path, const char *defines, double lo, double hi)
{
    Elabed t = elab_file(path, defines);
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    double in[2][SEQ];
    for (int i = 0; i < SEQ; i++) {
        in[0][i] = (5 * i + 1) % VOCAB;
        in[1][i] = (5 * i + 6) % VOCAB;
    }
    double loss = *elab_run(&t, "loss", (const double *const[]){in[0], in[1]}, 2);
    cr_assert(loss > lo && loss < hi, "%s: loss %g", path, loss);
    elab_free(&t);
}

Test(elab_models, start_near_the_loss_of_guessing)
{
    double guess = log(VOCAB);
    loss_is_plausible(MODEL("gpt2"), "dim=24 layers=2 heads=4 vocab=24 ctx=32 seq=24", guess - 1, guess + 1);
    loss_is_plausible(MODEL("qwen3_0_6b"), "dim=24 hidden=32 layers=2 heads=4 kv_heads=2 hd=8 vocab=24 seq=24",
                      guess - 1, guess + 1);
    loss_is_plausible(MODEL("tiny"), "dim=24 hidden=32 layers=2 heads=4 kv_heads=2 vocab=24 seq=24", guess - 1,
                      guess + 1);
}

/* test_plan_numerics.c: what a plan computes is what the model says.
 *
 * Every model, shrunk, goes through the whole compiler and is run by the executor on the host device. Loss and
 * gradients of all parameters are compared with fp64 evaluation of the differentiated graph as it was before any pass:
 * in exact numerics, where only the CPU's fp32 steps round, and in the engine's, with both widths of sums. */
#include "rig.h"

#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *model, *defines;
    int32_t     vocab;
    bool        decodes;
    double      constants; /* error of those that are rounded after folding (1/48, GELU's), not before as the reference's */
} Case;

static const Case cases[] = {
    {"tiny", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"layer768", "dim=64 hidden=96 heads=4 seq=32", 0, false, 0},
    {"stories110m", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"gpt2", "dim=64 layers=2 heads=4 vocab=80 ctx=48 seq=32", 80, true, 1e-4},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 hd=32 vocab=80 seq=32", 80, true, 0},
    {"tinyllama_1_1b", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"parallel", "dim=64 layers=2 seq=32", 80, false, 1e-4},
    {"partial_rope", "dim=64 layers=2 rotary=8 seq=32", 80, false, 1e-4},
    {"value_residual", "dim=64 layers=3 seq=32", 80, false, 0},
    {"looped", "dim=64 loops=3 seq=32", 80, false, 1e-4},
    {"unet", "dim=64 seq=32", 80, false, 1e-4},
    {"weave", "", 80, false, 0},
    {"rows", "", 80, false, 0},
    {"ops", "", 0, false, 0},
    {"names", "", 0, false, 0},
    {"hints", "", 0, false, 0},
    {"uneven", "", 80, false, 0},
    {"exprs", "", 0, false, 0},
    {"grouped", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"weights", "", 80, false, 0},
    {"tiny_lora", "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32", 80, true, 0},
    {"stories110m_lora", "dim=64 hidden=96 layers=2 heads=4 kv_heads=2 vocab=80 seq=32 lora_rank=4", 80, true, 0},
    {"frozen", "", 80, false, 0},
};

/* The same models in other shapes: one layer, one key head, odd head counts and vocabularies, nothing for the
 * engine. */
static const Case shapes[] = {
    {"tiny", "dim=64 hidden=96 layers=1 heads=2 kv_heads=1 vocab=80 seq=32", 80, true, 0},
    {"tiny", "dim=48 hidden=40 layers=2 heads=3 kv_heads=3 vocab=11 seq=48", 11, true, 2e-3},
    {"tiny", "dim=24 hidden=24 layers=2 heads=2 kv_heads=1 vocab=11 seq=7", 11, true, 0},
    {"stories110m", "dim=64 hidden=160 layers=5 heads=8 kv_heads=2 vocab=200 seq=16", 200, true,
     5e-4}, /* 1/sqrt(8) on the CPU */
    {"gpt2", "dim=96 layers=1 heads=3 vocab=33 ctx=96 seq=80", 33, true, 2e-3},
    {"qwen3_0_6b", "dim=64 hidden=96 layers=1 heads=4 kv_heads=4 hd=64 vocab=80 seq=16", 80, false, 0},
    {"layer768", "dim=256 hidden=352 heads=4 seq=128", 0, false, 0},
};

static const struct {
    const char *name;
    Numerics    numerics;
    ReduceMode  reduce;
    /* Exact: CPU steps round to fp32 (6e-8) and add up to 2560 numbers. Engine: weights, activations and cotangents
     * round to fp16 (5e-4 each) at some dozens of places on the way, mostly independently. */
    double      loss, peak, norm, cosine;
} modes[] = {
    {"exact", NUMERICS_EXACT, REDUCE_STRICT, 1e-6, 2e-6, 2e-6, 1 - 1e-9},
    {"strict", NUMERICS_ANE, REDUCE_STRICT, 1e-3, HUGE_VAL, 1e-2, 0.9999},
    {"lenient", NUMERICS_ANE, REDUCE_LENIENT, 1e-3, HUGE_VAL, 1e-2, 0.9999},
};

enum { LOSS_SCALE = 1024 }; /* a power of two: costs no precision, keeps fp16 cotangents normal */

/* The truth: loss and, per parameter of the module, its gradient. */
static double reference(Rig *r, const Graph **loss, Tensor **in, int32_t vocab, double **grad)
{
    Diags *ds = diags_new(r->a, r->m->sources, "test");
    *loss = r->m->graph[module_entry(r->m, interned(r->m->strings, r->m->train_entry))->graph];
    Graph *joint = autodiff(r->m, *loss, ds);
    cr_assert(joint != NULL);
    *in = rig_inputs(r, joint, vocab); /* the last one is loss_scale */
    (*in)[joint->inputs - 1].v[0] = 1;
    for (uint32_t i = 0; i < r->m->params; i++)
        grad[i] = NEW_N(r->a, double, (size_t)shape_numel(r->m->param[i].type.shape));
    EvalEnv env = {.m = r->m, .arena = r->a, .param = r->param, .grad = grad};
    Tensor  out;
    Buf     err = {0};
    cr_assert(graph_eval(&env, joint, *in, &out, &err), "%s", err.data);
    return out.v[0];
}

static Distance worst_of(Distance a, Distance b)
{
    return (Distance){fmax(a.peak, b.peak), fmax(a.norm, b.norm), fmin(a.cosine, b.cosine)};
}

static void train_case(Rig *r, const Case *c)
{
    const Graph *g;
    Tensor      *in;
    double     **want = NEW_N(r->a, double *, r->m->params + 1u);
    if (r->plan->programs)
        rig_round_constants(r);
    double loss = reference(r, &g, &in, c->vocab, want);
    for (size_t k = 0; k < COUNT(modes); k++) {
        Run run = run_open(r, interned(r->m->strings, r->m->train_entry), modes[k].numerics, modes[k].reduce);
        Buf err = {0};
        exec_zero_grads(run.exec);
        run_feed(r, &run, g, in, LOSS_SCALE);
        cr_assert(exec_forward(run.exec, run.entry, &err), "%s", err.data);
        double got = *(const float *)exec_result(run.exec, run.entry, 0);
        cr_assert(exec_backward(run.exec, run.entry, &err), "%s", err.data);
        cr_assert(exec_update(run.exec, run.entry, &err), "%s", err.data);
        cr_assert_not(exec_overflowed(run.exec));
        Distance worst = {0, 0, 1};
        double   peak = modes[k].peak + c->constants, norm = modes[k].norm + c->constants;
        double   cosine = modes[k].cosine - c->constants * c->constants;
        for (uint32_t id = 0; id < exec_params(run.exec); id++) {
            const ExecParam *p = exec_param(run.exec, id);
            if (p->group->frozen)
                continue;
            Distance d = distance(p->grad, want[rig_param(r, p->path)], p->numel, LOSS_SCALE);
            cr_expect(d.peak <= peak && d.norm <= norm && d.cosine >= cosine,
                      "%s, %s: gradient of %s: off by %.2e of the maximum, %.2e of the norm, cosine %.6f", c->model,
                      modes[k].name, p->path, d.peak, d.norm, d.cosine);
            worst = worst_of(worst, d);
        }
        cr_expect(fabs(got - loss) <= (modes[k].loss + c->constants) * fabs(loss), "%s, %s: loss %.9g instead of %.9g",
                  c->model, modes[k].name, got, loss);
        fprintf(stderr, "%-14s %-8s loss %.1e  gradients: maximum %.1e, norm %.1e, 1 - cosine %.1e\n", c->model,
                modes[k].name, fabs(got / loss - 1), worst.peak, worst.norm, 1 - worst.cosine);
        run_close(&run);
    }
}

static void train_model(const char *model)
{
    const Case *c = cases;
    while (strcmp(c->model, model) != 0)
        c++;
    Rig      r = rig_open(model, c->defines);
    uint32_t forward = 0, backward = 0;
    for (uint32_t k = 0; k < r.plan->programs; k++) { /* otherwise nothing is tested */
        forward += strstr(r.plan->program[k].name, "_fwd") != NULL;
        backward += strstr(r.plan->program[k].name, "_bwd") != NULL;
    }
    cr_assert(forward > 0 && backward > 0, "%u forward, %u backward programs", forward, backward);
    train_case(&r, c);
    rig_close(&r);
}

Test(plan_numerics, gradients_of_tiny)
{
    train_model("tiny");
}

Test(plan_numerics, gradients_of_layer768)
{
    train_model("layer768");
}

Test(plan_numerics, gradients_of_stories110m)
{
    train_model("stories110m");
}

Test(plan_numerics, gradients_of_gpt2)
{
    train_model("gpt2");
}

Test(plan_numerics, gradients_of_qwen3)
{
    train_model("qwen3_0_6b");
}

Test(plan_numerics, gradients_of_parallel_residuals)
{
    train_model("parallel");
}

Test(plan_numerics, gradients_of_partial_rope)
{
    train_model("partial_rope");
}

Test(plan_numerics, gradients_of_value_residuals)
{
    train_model("value_residual");
}

Test(plan_numerics, gradients_of_looped_layers)
{
    train_model("looped");
}

Test(plan_numerics, gradients_of_a_unet)
{
    train_model("unet");
}

Test(plan_numerics, gradients_of_unusual_attention)
{
    train_model("weave");
}

Test(plan_numerics, gradients_of_activations_as_rows)
{
    train_model("rows");
}

Test(plan_numerics, gradients_of_layers_in_one_program)
{
    train_model("grouped");
}

Test(plan_numerics, gradients_with_wishes)
{
    train_model("hints");
}

Test(plan_numerics, gradients_of_uneven_widths)
{
    train_model("uneven");
}

Test(plan_numerics, gradients_of_parameters_of_every_shape)
{
    train_model("weights");
}

Test(plan_numerics, gradients_of_weights_made_of_parameters)
{
    train_model("exprs");
}

Test(plan_numerics, gradients_with_hostile_names)
{
    train_model("names");
}

Test(plan_numerics, gradients_of_rare_operations)
{
    train_model("ops");
}

/* Programs whose weights are inputs are compiled once, whatever the depth, and hold no parameters. */
static void check_dynamic(const Rig *r)
{
    for (uint32_t k = 0; k < r->plan->programs; k++) {
        cr_expect_eq(r->plan->program[k].n, 1, "%s: %d instances", r->plan->program[k].name, r->plan->program[k].n);
        for (uint32_t i = 0; i < r->plan->program[k].weights; i++)
            cr_expect_eq(r->plan->program[k].weight[i].recipe->kind, RECIPE_TABLE, "%s",
                         r->plan->program[k].weight[i].path);
    }
}

static void train_dynamic(const Case *c, const Target *target)
{
    Rig r = rig_open_weights(c->model, c->defines, target, WEIGHTS_DYNAMIC);
    check_dynamic(&r);
    train_case(&r, c);
    rig_close(&r);
}

Test(plan_numerics, gradients_with_weights_as_inputs)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        train_dynamic(&cases[i], target_any());
}

Test(plan_numerics, gradients_with_weights_as_inputs_in_other_shapes)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        train_dynamic(&shapes[i], target_any());
}

/* Matrices with more rows than an axis may have are multiplied piece by piece, in both directions. */
Test(plan_numerics, gradients_with_weights_longer_than_an_axis)
{
    static const Case wide[] = {
        {"tiny", "dim=64 hidden=160 layers=2 heads=4 vocab=80 seq=32", 80, true, 0},
        {"gpt2", "dim=64 layers=2 heads=4 vocab=80 ctx=48 seq=32", 80, false, 1e-4},
    };
    Target narrow = *target_any();
    narrow.max_axis = 64;
    for (size_t i = 0; i < COUNT(wide); i++) {
        Rig      r = rig_open_weights(wide[i].model, wide[i].defines, &narrow, WEIGHTS_DYNAMIC);
        uint32_t pieces = 0;
        for (uint32_t k = 0; k < r.plan->stages; k++)
            for (uint32_t j = 0; j < r.plan->stage[k].weights; j++)
                pieces += r.plan->stage[k].weight[j].shape.dim[0] > 64;
        cr_expect_geq(pieces, 2);
        train_case(&r, &wide[i]);
        rig_close(&r);
    }
}

/* Visitor: goes on until a parameter is trained. */
static bool is_frozen(const Recipe *r, void *with)
{
    const Plan *p = with;
    uint32_t    g = 0;
    while (r->kind == RECIPE_PARAM && r->param[0] - p->param[g].id >= (uint32_t)p->param[g].n)
        g++;
    return r->kind != RECIPE_PARAM || p->param[g].frozen;
}

/* Constants of programs are frozen, inputs made of something that is trained. */
static void check_mixed(const Rig *r)
{
    Plan    *p = (Plan *)r->plan;
    uint32_t made = 0;
    cr_assert_eq(p->weights, PLAN_MIXED);
    cr_expect_gt(p->stages, 0);
    for (uint32_t k = 0; k < p->programs; k++)
        for (uint32_t j = 0; j < p->program[k].weights; j++) {
            const PlanWeight *w = &p->program[k].weight[j];
            made += plan_recipe_has_param(w->recipe);
            cr_expect(plan_recipe_visit(w->recipe, is_frozen, p), "%s: %s is a constant and trained",
                      p->program[k].name, w->path);
        }
    cr_expect_gt(made, 0);
    for (uint32_t k = 0; k < p->stages; k++)
        for (uint32_t j = 0; j < p->stage[k].weights; j++)
            cr_expect_not(plan_recipe_visit(p->stage[k].weight[j].recipe, is_frozen, p), "a frozen weight is staged");
}

Test(plan_numerics, gradients_with_frozen_weights_as_constants)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (!strstr(cases[i].model, "lora") && strcmp(cases[i].model, "frozen") != 0)
            continue;
        Rig r = rig_open_weights(cases[i].model, cases[i].defines, target_any(), WEIGHTS_MIXED);
        check_mixed(&r);
        train_case(&r, &cases[i]);
        rig_close(&r);
    }
}

Test(plan_numerics, gradients_in_other_shapes)
{
    for (size_t i = 0; i < COUNT(shapes); i++) {
        Rig r = rig_open(shapes[i].model, shapes[i].defines);
        train_case(&r, &shapes[i]);
        rig_close(&r);
    }
}

/* ---- other choices of the compiler, same meaning ---- */

/* Has a program an output part of this shape? */
static bool puts_out(const Plan *p, int32_t rows, int32_t columns)
{
    for (uint32_t i = 0; i < p->programs; i++)
        for (uint32_t k = 0; k < p->program[i].outs; k++)
            for (uint32_t j = 0; j < p->program[i].out[k].parts; j++) {
                PlanShape s = p->program[i].out[k].part[j].shape;
                if (s.rank == 2 && s.dim[0] == rows && s.dim[1] == columns)
                    return true;
            }
    return false;
}

Test(plan_numerics, weight_gradients_of_the_engine)
{
    /* A slow CPU, so that even small products are worth moving. */
    Target t = *target_any();
    t.weight_gradients = WHERE_ANY;
    t.cpu_flops = 1e-4;
    t.cpu_bandwidth = 0.1;
    for (size_t i = 0; i < 5; i++) {
        Rig r = rig_open_for(cases[i].model, cases[i].defines, &t, 0);
        /* the gradient of a tall weight, [hidden, dim] of a layer, or of two that are stacked */
        if (i < 3)
            cr_assert(puts_out(r.plan, 96, 64) || puts_out(r.plan, 2 * 96, 64),
                      "%s: weight gradients are still the CPU's", cases[i].model);
        train_case(&r, &cases[i]);
        rig_close(&r);
    }
}

Test(plan_numerics, vocabulary_too_large_for_a_convolution)
{
    /* 80 rows contract as a product where a convolution may have 72 inputs. */
    Target t = *target_any();
    t.max_conv_in = 72;
    t.cpu_flops = 1e-4;
    Rig  r = rig_open_for("tiny", "dim=64 hidden=64 layers=2 heads=4 kv_heads=2 vocab=80 seq=32", &t, 0);
    bool backward = false;
    for (uint32_t k = 0; k < r.plan->programs; k++)
        backward |= strcmp(r.plan->program[k].name, "loss_bwd") == 0;
    cr_assert(backward, "the cotangent of the last hidden state is a program's");
    train_case(&r, &cases[0]);
    rig_close(&r);
}

Test(plan_numerics, whole_layers_computed_again)
{
    /* Just above what each model must save: the inputs of its layers. */
    static const int64_t limit[] = {16384, 1, 12288, 12288, 12288};
    for (size_t i = 0; i < COUNT(limit); i++) {
        Rig r = rig_open_for(cases[i].model, cases[i].defines, target_any(), limit[i]);
        train_case(&r, &cases[i]);
        rig_close(&r);
    }
}

/* ---- decoding ---- */

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

Test(plan_numerics, decoding_gives_the_logits_of_the_whole_sequence)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        decode_model(&cases[i]);
    for (size_t i = 0; i < COUNT(shapes); i++)
        decode_model(&shapes[i]);
}

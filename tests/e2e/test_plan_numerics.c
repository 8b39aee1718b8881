/* test_plan_numerics.c: what a plan computes is what the model says.
 *
 * Every model, shrunk, goes through the whole compiler and is run by the executor on the host device. Loss and
 * gradients of all parameters are compared with fp64 evaluation of the differentiated graph as it was before any pass:
 * in exact numerics, where only the CPU's fp32 steps round, and in the engine's, with both widths of sums. */
#include "cases.h"
#include "rig.h"

#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

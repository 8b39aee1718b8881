/* test_weights.c: weights as inputs: where they lie, who reads them, and which way of handling them is cheapest. */
#include "rig.h"

#include "backend_ane/modes.h"
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <string.h>

static BackendResult build(Arena *a, Module *m)
{
    Diags        *ds = diags_new(a, m->sources, "test");
    BackendResult r;
    Buf           b = {0};
    bool          ok = passes_run(m, &(PassOptions){.diags = ds}) && backend_ane(a, m, &r, ds);
    diags_render(ds, &b);
    cr_assert(ok, "%s", b.data ? b.data : "");
    cr_assert(plan_resolve(r.plan, a, &b), "%s", b.data);
    buf_free(&b);
    return r;
}

static BackendResult compile(Arena *a, int32_t layers, WeightMode weights, const Target *target)
{
    Module *m = rig_transformer(a, layers);
    m->weights = weights;
    m->target = target;
    return build(a, m);
}

static const Step *run_of(const Plan *p, const Step *s, uint32_t n, const char *program)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_RUN && strcmp(p->program[s[i].program].name, program) == 0)
            return &s[i];
        const Step *inner = s[i].kind == STEP_LOOP ? run_of(p, s[i].body, s[i].bodies, program) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}

static const PlanStage *stage_of(const Plan *p, const char *surface)
{
    for (uint32_t i = 0; i < p->stages; i++)
        if (strcmp(p->buffer[p->stage[i].buffer].name, surface) == 0)
            return &p->stage[i];
    cr_assert_fail("'%s' is not staged", surface);
    return NULL;
}

Test(weights, a_layer_has_one_surface_that_both_directions_read)
{
    Arena           *a = arena_new();
    BackendResult    r = compile(a, 3, WEIGHTS_DYNAMIC, target_any());
    const Plan      *p = r.plan;
    const PlanEntry *e = &p->entry[0];
    const PlanStage *s = stage_of(p, "layers_w64");
    const Step *fwd = run_of(p, e->forward, e->forwards, "layers_fwd"),
               *bwd = run_of(p, e->backward, e->backwards, "layers_bwd");
    cr_assert(fwd && bwd);
    cr_assert(fwd->ins == 2 && bwd->ins == 2);
    cr_expect(fwd->in[1].index == s->buffer && fwd->in[1].stacked);
    cr_expect(bwd->in[1].index == s->buffer && bwd->in[1].stacked);
    cr_expect_str_eq(p->program[fwd->program].in[1].name, "i01_w");
    cr_expect_eq(p->buffer[s->buffer].stack, 3);
    cr_expect_eq(s->weights, 4);
    uint32_t channel = 0, turned = 0;
    for (uint32_t i = 0; i < s->weights;
         i++) { /* 3 x [64, 64] and 2 x [96, 64] stacked, [64, 64], [64, 96] transposed; gains are in them */
        cr_expect_eq(s->weight[i].channel, channel);
        cr_expect_eq(s->weight[i].shape.dim[1], 64);
        channel += (uint32_t)s->weight[i].shape.dim[0];
        turned += s->weight[i].recipe->kind == RECIPE_TRANSPOSE;
    }
    cr_expect_eq(channel, 4 * 64 + 3 * 96);
    cr_expect_eq(turned, 1);
    cr_expect_eq(p->buffer[s->buffer].shape.dim[1], 544);
    arena_free(a);
}

Test(weights, programs_do_not_depend_on_the_depth)
{
    Arena        *a = arena_new();
    BackendResult x = compile(a, 2, WEIGHTS_DYNAMIC, target_any()), y = compile(a, 7, WEIGHTS_DYNAMIC, target_any());
    cr_assert_eq(x.plan->programs, y.plan->programs);
    for (uint32_t i = 0; i < x.plan->programs; i++) {
        cr_expect_eq(y.plan->program[i].n, 1);
        cr_expect_str_eq(x.plan->program[i].mil_hash, y.plan->program[i].mil_hash);
        for (uint32_t k = 0; k < y.plan->program[i].weights; k++)
            cr_expect_eq(y.plan->program[i].weight[k].recipe->kind, RECIPE_TABLE);
    }
    arena_free(a);
}

Test(weights, reload_and_baked_are_the_same_text)
{
    Arena        *a = arena_new();
    BackendResult x = compile(a, 2, WEIGHTS_BAKED, target_any()), y = compile(a, 2, WEIGHTS_RELOAD, target_any());
    cr_assert_eq(x.files, y.files);
    for (uint32_t i = 0; i < x.files; i++)
        cr_expect(x.file[i].len == y.file[i].len && memcmp(x.file[i].data, y.file[i].data, x.file[i].len) == 0);
    cr_expect_eq(x.plan->weights, PLAN_BAKED);
    cr_expect_eq(y.plan->weights, PLAN_RELOAD);
    cr_expect(x.plan->stages == 0 && y.plan->stages == 0);
    arena_free(a);
}

/* [DIM, SEQ] in, one operation for each way of reading a parameter. */
Test(weights, every_shape_finds_a_place_that_its_readers_can_use)
{
    Arena        *a = arena_new();
    Module       *m = rig_parameters(a);
    m->weights = WEIGHTS_DYNAMIC;
    BackendResult r = build(a, m);
    static const struct {
        const char *pattern;
        int32_t     rows, columns;
        bool        turned;
    } want[] = {
        {"square", 64, 64, false},
        {"tall", 96, 64, false},
        {"wide", 96, 64, true},    /* [64, 96]: only products read it */
        {"odd", 24, 40, false},    /* [24, 40]: no axis is a multiple of 16, rows are padded to 64 */
        {"added", 64, 32, false},  /* [64, 32]: read elementwise, so it stays as it is */
        {"long", 2, 64, false},    /* [128] */
        {"short", 1, 24, false},   /* [24] */
    };
    for (size_t i = 0; i < COUNT(want); i++) {
        bool found = false;
        for (uint32_t k = 0; k < r.plan->stages; k++)
            for (uint32_t j = 0; j < r.plan->stage[k].weights; j++) {
                const PlanStaged *w = &r.plan->stage[k].weight[j];
                bool              turned = w->recipe->kind == RECIPE_TRANSPOSE;
                if (strcmp((turned ? w->recipe->in[0] : w->recipe)->pattern, want[i].pattern) != 0)
                    continue;
                found = true;
                cr_expect(
                    w->shape.dim[0] == want[i].rows && w->shape.dim[1] == want[i].columns && turned == want[i].turned,
                    "%s: %dx%d%s", want[i].pattern, w->shape.dim[0], w->shape.dim[1], turned ? " transposed" : "");
            }
        cr_expect(found, "%s", want[i].pattern);
    }
    cr_expect_eq(r.plan->stages, 2); /* widths 64 and 32 */
    arena_free(a);
}

Test(weights, a_parameter_that_fits_into_no_surface_is_told)
{
    Arena        *a = arena_new();
    Module       *m = rig_parameters(a);
    Diags        *ds = diags_new(a, m->sources, "test");
    Target        small = *target_any();
    BackendResult r;
    m->weights = WEIGHTS_DYNAMIC;
    small.max_channels = 80; /* tall: [96, 64], too many rows as it is, too long ones transposed */
    small.max_axis = 64;
    cr_assert(passes_run(m, &(PassOptions){.diags = ds}));
    m->target = &small; /* from here on: placement would keep such products on the CPU */
    cr_assert_not(backend_ane(a, m, &r, ds));
    cr_assert_str_eq(ds->item[0]->code, "E0802");
    cr_expect(strstr(ds->item[0]->text, "parameter 'tall' fits into no surface") != NULL, "%s", ds->item[0]->text);
    arena_free(a);
}

/* ---- choosing ---- */

static PlanWeightMode chosen(const Target *t, const char *accum)
{
    Arena  *a = arena_new();
    Module *m = rig_transformer(a, 4);
    m->weights = WEIGHTS_AUTO;
    m->target = t;
    GROW(a, m->setting, m->settings, m->settings_cap);
    m->setting[m->settings++] = (Setting){intern(m->strings, "accum"), intern(m->strings, accum), {0}};
    BackendResult  r = build(a, m);
    PlanWeightMode mode = r.plan->weights;
    cr_expect_eq(r.plan->stages > 0, mode == PLAN_DYNAMIC);
    arena_free(a);
    return mode;
}

Test(weights, auto_takes_what_the_length_of_an_update_favours)
{
    Target t = *target_any();
    cr_expect_eq(chosen(&t, "1"), PLAN_DYNAMIC);
    cr_expect_eq(chosen(&t, "100000000"), PLAN_BAKED); /* compiling is forgotten, convolutions are faster */
    t.peak_matmul = t.peak;
    t.compile_fixed = t.compile_op = t.load = 0;
    t.staging = 1e9; /* nothing costs anything any more: a tie */
    cr_expect_eq(chosen(&t, "1"), PLAN_BAKED);
}

Test(weights, auto_reloads_only_where_that_is_known_to_work)
{
    Target t = *target_any();
    t.peak_matmul = 0.01; /* products of two activations are slow, and compiling is hopeless */
    t.reload_time = 0.001;
    t.compile_fixed = 1e5;
    t.reload = TRI_UNKNOWN;
    cr_expect_neq(chosen(&t, "10"), PLAN_RELOAD);
    t.reload = TRI_NO;
    cr_expect_neq(chosen(&t, "10"), PLAN_RELOAD);
    t.reload = TRI_YES;
    cr_expect_eq(chosen(&t, "10"), PLAN_RELOAD);
}

Test(weights, predictions_do_not_depend_on_the_way_that_was_taken)
{
    Arena        *a = arena_new();
    BackendResult x = compile(a, 4, WEIGHTS_BAKED, target_any()), y = compile(a, 4, WEIGHTS_DYNAMIC, target_any());
    for (int k = 0; k <= WEIGHTS_RELOAD; k++) {
        cr_expect_gt(x.mode[k].run_ns, 0);
        cr_expect(x.mode[k].run_ns <= y.mode[k].run_ns * 1.02 && y.mode[k].run_ns <= x.mode[k].run_ns * 1.02,
                  "%d: %lld, %lld", k, (long long)x.mode[k].run_ns, (long long)y.mode[k].run_ns);
        cr_expect_eq(x.mode[k].programs, y.mode[k].programs);
    }
    cr_expect_eq(x.mode[WEIGHTS_BAKED].programs, 2 * 4 + 2); /* both directions of the layers, and of the final norm */
    cr_expect_eq(x.mode[WEIGHTS_DYNAMIC].update_ns, y.mode[WEIGHTS_DYNAMIC].update_ns);
    cr_expect_gt(x.mode[WEIGHTS_DYNAMIC].run_ns, x.mode[WEIGHTS_BAKED].run_ns);
    cr_expect_gt(x.mode[WEIGHTS_BAKED].update_ns, x.mode[WEIGHTS_DYNAMIC].update_ns);
    arena_free(a);
}

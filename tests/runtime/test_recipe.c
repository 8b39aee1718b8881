/* test_recipe.c: the value of every kind of recipe against plain loops, and the window of accumulators. */
#include "exec_internal.h"

#include "base/rng.h"
#include "device.h"
#include "plan/plan_ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char head[] = "anep 1.0\n"
                           "param w {\n  shape 6x4\n  init normal 1.0\n}\n"
                           "param u {\n  shape 6x4\n  init normal 1.0\n}\n"
                           "param g {\n  shape 4\n  init normal 1.0\n}\n"
                           "param r {\n  shape 6\n  init normal 1.0\n}\n";

enum { ROWS = 6, COLUMNS = 4 };

typedef struct {
    Arena *a;
    Plan  *plan;
    Exec   e;
} Bake;

/* A plan with one weight of that recipe, and parameters with values. */
static Bake open_recipe(const char *recipe, int elements)
{
    Bake b = {.a = arena_new()};
    Buf  text = {0}, err = {0};
    buf_printf(&text,
               "%sprogram p {\n  mil p 3123456789abcdef0123456789abcdef\n  in i00 1x64x1x16\n  out o00 1x64x1x16\n"
               "  weight w.bin %dx1x1x1 = %s\n}\n",
               head, elements, recipe);
    b.plan = plan_parse(b.a, "case", text.data, text.len, &err);
    cr_assert(b.plan != NULL, "%s: %s", recipe, err.data);
    b.e = (Exec){.plan = b.plan, .param = NEW_N(b.a, ExecParam, b.plan->param_count)};
    for (uint32_t i = 0; i < b.plan->param_count; i++) {
        size_t n = (size_t)plan_numel(b.plan->param[i].shape);
        float *x = NEW_N(b.a, float, n);
        for (size_t k = 0; k < n; k++)
            x[k] = (float)rng_normal(i + 1, k);
        b.e.param[i] = (ExecParam){.group = &b.plan->param[i], .numel = n, .value = x};
    }
    buf_free(&text);
    return b;
}

static double w(const Bake *b, int i, int j)
{
    return (double)b->e.param[0].value[i * COLUMNS + j];
}

static double u(const Bake *b, int i, int j)
{
    return (double)b->e.param[1].value[i * COLUMNS + j];
}

static double g(const Bake *b, int j)
{
    return (double)b->e.param[2].value[j];
}

static double r(const Bake *b, int i)
{
    return (double)b->e.param[3].value[i];
}

static double parameter(const Bake *b, int k) { return w(b, k / 4, k % 4); }
static double turned(const Bake *b, int k) { return w(b, k % 6, k / 6); }
static double columns(const Bake *b, int k) { return w(b, k / 4, k % 4) * g(b, k % 4); }
static double rows(const Bake *b, int k) { return w(b, k / 4, k % 4) * r(b, k / 4); }
static double turned_columns(const Bake *b, int k) { return w(b, k % 6, k / 6) * g(b, k / 6); }
static double product(const Bake *b, int k) { return w(b, k / 4, k % 4) * u(b, k / 4, k % 4); }
static double sum(const Bake *b, int k) { return w(b, k / 4, k % 4) - 0.5 * u(b, k / 4, k % 4); }
static double below(const Bake *b, int k) { return k < 24 ? w(b, k / 4, k % 4) : u(b, (k - 24) / 4, k % 4); }
static double beside(const Bake *b, int k) { return k % 8 < 4 ? w(b, k / 8, k % 4) : u(b, k / 8, k % 4); }
static double part(const Bake *b, int k) { return w(b, 1 + k / 2, 2 + k % 2); }
static double even_first(const Bake *b, int k)
{
    static const int from[ROWS] = {0, 2, 4, 1, 3, 5};
    return w(b, from[k / 4], k % 4);
}
static double applied(const Bake *b, int k)
{
    double s = 0;
    for (int j = 0; j < COLUMNS; j++)
        s += w(b, k, j) * g(b, j);
    return s;
}

static const struct {
    const char *recipe;
    int         elements;
    double (*want)(const Bake *, int);
} cases[] = {
    {"w", 24, parameter},
    {"shape(w, 24)", 24, parameter},
    {"T(w)", 24, turned},
    {"T(T(w))", 24, parameter},
    {"permute(w, 1 0)", 24, turned},
    {"colscale(w, g)", 24, columns},
    {"rowscale(w, r)", 24, rows},
    {"T(colscale(w, g))", 24, turned_columns},
    {"rowscale(T(w), g)", 24, turned_columns},
    {"mul(w, u)", 24, product},
    {"add(w, scale(u, -0.5))", 24, sum},
    {"concat(0, w, u)", 48, below},
    {"concat(1, w, u)", 48, beside},
    {"concat(1, scale(w, 1.0), add(u, scale(w, 0.0)))", 48, beside},
    {"slice(w, from 1 2 to 4 4)", 6, part},
    {"shape(permute(shape(w, 3x2x4), 1 0 2), 6x4)", 24, even_first},
    {"apply(w, g)", 6, applied},
};

Test(recipe, values_are_those_of_plain_loops)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        Bake       b = open_recipe(cases[i].recipe, cases[i].elements);
        RecipePool pool = {0};
        for (int again = 0; again < 2; again++) { /* the pool's memory holds an older value */
            const float *x = recipe_value(&b.e, &pool, b.plan->program[0].weight[0].recipe, 0);
            for (int k = 0; k < cases[i].elements; k++)
                cr_expect(fabs((double)x[k] - cases[i].want(&b, k)) < 2e-6, "%s [%d]", cases[i].recipe, k);
            recipe_give_back(&pool, x);
        }
        recipe_pool_free(&pool);
        arena_free(b.a);
    }
}

Test(recipe, buffers_are_used_again)
{
    Bake       b = open_recipe("add(add(mul(w, u), mul(w, w)), add(mul(u, u), colscale(w, g)))", 24);
    RecipePool pool = {0};
    for (int again = 0; again < 5; again++)
        recipe_give_back(&pool, recipe_value(&b.e, &pool, b.plan->program[0].weight[0].recipe, 0));
    cr_expect(pool.slots <= 4, "two sums of two products: %u", pool.slots);
    for (uint32_t i = 0; i < pool.slots; i++)
        cr_expect_not(pool.slot[i].busy);
    recipe_pool_free(&pool);
    arena_free(b.a);
}

/* ---- the window ---- */

static const char windows[] = "anep 1.0\n"
                              "param w {\n  shape 2x2\n  init ones\n}\n"
                              "param v {\n  shape 2x2\n  init ones\n}\n"
                              "buffer x f32 2x2\n"
                              "accumulator sum 2x2\n"
                              "entry main {\n  input x real x\n  result \"\" x\n  forward {\n  }\n"
                              "  backward {\n    mul sum:2x2 <- x:2x2, 2.0:2x2\n    reshape grad v:2x2 <- x:2x2\n  }\n"
                              "  update {\n    mul grad w:2x2 <- sum:2x2, param w:2x2\n  }\n}\n";

static void micro_batch(Exec *e, float x, Buf *err)
{
    for (int i = 0; i < 4; i++)
        ((float *)exec_input(e, 0, 0))[i] = x;
    cr_assert(exec_forward(e, 0, err) && exec_backward(e, 0, err), "%s", err->data);
}

Test(window, accumulators_last_from_one_update_to_the_next)
{
    Arena  *a = arena_new();
    Buf     err = {0};
    Plan   *plan = plan_parse(a, "case", windows, strlen(windows), &err);
    cr_assert(plan != NULL, "%s", err.data);
    Device *d = device_open("host", &(DeviceOptions){0}, &err);
    Exec   *e = exec_open(plan, "", d, NULL, &err);
    cr_assert(e != NULL, "%s", err.data);
    const ExecParam *pw = exec_param(e, 0), *pv = exec_param(e, 1);
    pw->value[0] = 5;

    exec_zero_grads(e);
    micro_batch(e, 1, &err);
    micro_batch(e, 3, &err);
    cr_expect(pw->grad[0] == 0 && pv->grad[0] == 4, "only direct gradients are there before the update");
    cr_assert(exec_update(e, 0, &err));
    cr_expect(pw->grad[0] == 40 && pw->grad[3] == 0, "(1 + 3) * 2 * 5 and nothing where w is 0");
    cr_assert(exec_update(e, 0, &err));
    cr_expect(pw->grad[0] == 40, "a second update has nothing to add");
    micro_batch(e, 1, &err);
    cr_assert(exec_update(e, 0, &err));
    cr_expect(pw->grad[0] == 50, "a new window, on top of gradients that nobody cleared");

    micro_batch(e, 7, &err); /* given up */
    exec_zero_grads(e);
    micro_batch(e, 1, &err);
    cr_assert(exec_update(e, 0, &err));
    cr_expect(pw->grad[0] == 10 && pv->grad[0] == 1, "clearing gradients clears accumulators");
    exec_close(e);
    device_close(d);
    arena_free(a);
}

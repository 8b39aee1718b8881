/* test_parts.c: recipes done in one pass give the bits of computing them step by step in fp32 and rounding once. Sizes
 * leave rests in every tile. */
#include "exec_internal.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

static const char head[] = "anep 1.0\n"
                           "param w {\n  shape 130x1300\n  init normal 1.0\n}\n"
                           "param u {\n  shape 70x1300\n  init normal 1.0\n}\n"
                           "param g {\n  shape 1300\n  init normal 1.0\n}\n"
                           "param two {\n  shape 2x1300\n  init normal 1.0\n}\n"
                           "param r {\n  shape 130\n  init normal 1.0\n}\n";

static const float *leaf(const void *with, const Recipe *l, uint32_t k)
{
    const Exec *e = with;
    return e->param[l->param[k]].value;
}

/* `width` elements from one row of `columns` to the next; 0: contiguous. */
static void check(const char *recipe, int elements, size_t columns, size_t width, bool has_parts)
{
    Arena *a = arena_new();
    Buf    text = {0}, err = {0};
    buf_printf(&text,
               "%sprogram p {\n  mil p 3123456789abcdef0123456789abcdef\n  in i00 1x64x1x16\n  out o00 1x64x1x16\n"
               "  weight w.bin %dx1x1x1 = %s\n}\n",
               head, elements, recipe);
    Plan *plan = plan_parse(a, "case", text.data, text.len, &err);
    cr_assert(plan != NULL, "%s: %s", recipe, err.data);
    Exec e = {.plan = plan, .arena = a, .param = NEW_N(a, ExecParam, plan->param_count)};
    for (uint32_t i = 0; i < plan->param_count; i++) {
        size_t n = (size_t)plan_numel(plan->param[i].shape);
        float *x = NEW_N(a, float, n);
        for (size_t k = 0; k < n; k++)
            x[k] = k % 1000 == 17 ? 7e4f : (float)rng_normal(i + 1, k) * (k % 7 ? 1 : 1e-5f);
        e.param[i] = (ExecParam){.group = &plan->param[i], .numel = n, .value = x};
    }
    const Recipe     *r = plan->program[0].weight[0].recipe;
    size_t            n = (size_t)elements, row = columns ? columns : n, stride = width ? width : row;
    uint32_t          parts;
    const RecipePart *p = recipe_parts(a, r, row, stride, &parts);
    cr_assert((p != NULL) == has_parts, "%s", recipe);
    uint16_t    *got = NEW_N(a, uint16_t, n / row * stride + 32);
    got += (64 - (uintptr_t)got % 64) % 64 / sizeof *got; /* as weights are: whole cache lines of them go past the caches */
    ConvertCount ours = {0}, theirs = {0};
    memset(got, 0xee, n / row * stride * sizeof *got);
    for (uint32_t i = 0; p && i < parts; i++)
        for (uint32_t k = p[i].items; k-- > 0;) /* in any order */
            recipe_part_run(&p[i], leaf, &e, 0, k, got, &ours);
    Workspace       space = {0};
    const uint16_t *want = exec_recipe_value(&e, &space, r, 0, &theirs);
    for (size_t i = 0; p && i < n / row * stride; i++) {
        uint16_t expected = i % stride < row ? want[i / stride * row + i % stride] : 0xeeee;
        cr_assert_eq(got[i], expected, "%s [%zu]: %04x, not %04x", recipe, i, got[i], expected);
    }
    cr_assert(!p || (ours.clamped == theirs.clamped && ours.clamped > 0), "%s: counts what is clamped", recipe);
    exec_workspace_free(&space);
    buf_free(&text);
    arena_free(a);
}

Test(parts, give_the_bits_of_single_steps)
{
    enum { N = 130 * 1300, U = 70 * 1300 };
    check("w", N, 0, 0, true);
    check("T(w)", N, 0, 0, true);
    check("T(T(w))", N, 0, 0, true);
    check("colscale(w, g)", N, 0, 0, true);
    check("rowscale(w, r)", N, 0, 0, true);
    check("T(colscale(w, g))", N, 0, 0, true);
    check("T(rowscale(w, r))", N, 0, 0, true);
    check("rowscale(colscale(w, g), r)", N, 0, 0, true);
    check("scale(colscale(w, g), 0.3)", N, 0, 0, true);
    check("colscale(w, slice(two, from 1 0 to 2 1300))", N, 0, 0, true);
    check("T(concat(0, colscale(w, g), u))", N + U, 0, 0, true);
    check("concat(0, w, colscale(u, g))", N + U, 0, 0, true);
    check("concat(1, w, w)", 2 * N, 0, 0, true);
    check("permute(shape(colscale(w, g), 13x5x2x1300), 0 2 1 3)", N, 0, 0, true);
    check("T(shape(permute(shape(colscale(w, g), 13x5x2x1300), 0 2 1 3), 130x1300))", N, 0, 0, true);
    check("permute(shape(w, 130x13x100), 2 0 1)", N, 0, 0, true);
    check("shape(g, 1300x1)", 1300, 0, 0, true);
}

Test(parts, may_leave_room_between_rows)
{
    check("T(colscale(w, g))", 130 * 1300, 130, 256, true);
    check("w", 130 * 1300, 1300, 1400, true);
    check("concat(0, w, u)", 200 * 1300, 1300, 1408, true);
}

Test(parts, arithmetic_with_two_parameters_has_none)
{
    check("mul(w, w)", 130 * 1300, 0, 0, false);
    check("add(w, w)", 130 * 1300, 0, 0, false);
    check("colscale(T(w), r)", 130 * 1300, 0, 0, false);
}

/* test_backend.c: plans of a small transformer: their shape, their determinism, and that the host device takes the
 * MIL. */
#include "rig.h"

#include "backend_ane/backend.h"
#include "passes/passes.h"
#include "passes/switches.h"

#include <criterion/criterion.h>
#include <string.h>

static BackendResult compile_without(Arena *a, int32_t layers, uint64_t off)
{
    Module       *m = rig_transformer(a, layers);
    m->off = off;
    Diags        *ds = diags_new(a, m->sources, "test");
    PassOptions   opt = {.diags = ds};
    BackendResult r;
    bool          ok = passes_run(m, &opt) && backend_ane(a, m, &r, ds);
    Buf           b = {0};
    diags_render(ds, &b);
    cr_assert(ok, "%s", b.data ? b.data : "");
    buf_free(&b);
    return r;
}

static BackendResult compile(Arena *a, int32_t layers)
{
    return compile_without(a, layers, 0);
}

static const PlanFile *file_of(const BackendResult *r, const char *path)
{
    for (uint32_t i = 0; i < r->files; i++)
        if (strcmp(r->file[i].path, path) == 0)
            return &r->file[i];
    return NULL;
}

Test(backend, a_layer_becomes_one_forward_and_one_backward_program)
{
    Arena        *a = arena_new();
    BackendResult r = compile(a, 3);
    Buf           err = {0};
    cr_assert(plan_resolve(r.plan, a, &err), "%s", err.data);
    uint32_t layer = 0;
    for (uint32_t i = 0; i < r.plan->programs; i++)
        layer += strncmp(r.plan->program[i].name, "layers_", 7) == 0;
    cr_assert_eq(layer, 2);
    cr_assert_not_null(file_of(&r, "mil/layers_fwd.mil"));
    cr_assert_not_null(file_of(&r, "mil/layers_bwd.mil"));
    arena_free(a);
}

/* R6: 1/C of a mean is in the constant that sums; switched off, it is a product of its own. */
Test(backend, means_are_sums_with_another_constant)
{
    Arena        *a = arena_new();
    BackendResult on = compile(a, 2), off = compile_without(a, 2, UINT64_C(1) << SWITCH_mean_sums);
    const char   *path = "mil/layers_fwd.mil";
    uint32_t      products[2] = {0, 0};
    for (const char *p = file_of(&on, path)->data; (p = strstr(p, "= mul(")); p++)
        products[0]++;
    for (const char *p = file_of(&off, path)->data; (p = strstr(p, "= mul(")); p++)
        products[1]++;
    cr_expect_eq(products[1], products[0] + 2, "%u and %u products", products[0], products[1]); /* two norms */
    arena_free(a);
}

Test(backend, equal_modules_give_equal_plans)
{
    Arena        *a = arena_new();
    BackendResult x = compile(a, 2), y = compile(a, 2);
    Buf           p = {0}, q = {0};
    cr_assert(plan_resolve(x.plan, a, &p) && plan_resolve(y.plan, a, &q));
    plan_print(x.plan, &p);
    plan_print(y.plan, &q);
    cr_expect(p.len == q.len && memcmp(p.data, q.data, p.len) == 0);
    cr_assert_eq(x.files, y.files);
    for (uint32_t i = 0; i < x.files; i++) {
        cr_expect_str_eq(x.file[i].path, y.file[i].path);
        cr_expect(x.file[i].len == y.file[i].len && memcmp(x.file[i].data, y.file[i].data, x.file[i].len) == 0);
    }
    buf_free(&p);
    buf_free(&q);
    arena_free(a);
}

Test(backend, depth_changes_counts_and_nothing_else)
{
    Arena        *a = arena_new();
    BackendResult x = compile(a, 2), y = compile(a, 7);
    const char   *path[] = {"mil/layers_fwd.mil", "mil/layers_bwd.mil", "mil/loss_fwd.mil", "mil/loss_bwd.mil"};
    for (size_t i = 0; i < COUNT(path); i++) {
        const PlanFile *f = file_of(&x, path[i]), *g = file_of(&y, path[i]);
        cr_assert(f && g, "%s", path[i]);
        cr_expect(f->len == g->len && memcmp(f->data, g->data, f->len) == 0, "%s differs", path[i]);
    }
    cr_expect_eq(x.plan->params, y.plan->params); /* groups, not parameters */
    arena_free(a);
}

Test(backend, ports_have_sixteens_of_channels_and_at_least_sixty_four)
{
    Arena        *a = arena_new();
    BackendResult r = compile(a, 2);
    for (uint32_t i = 0; i < r.plan->programs; i++) {
        const PlanProgram *p = &r.plan->program[i];
        cr_expect(p->ins == 1 && p->outs == 1, "%s", p->name);
        const PlanPort *port[] = {&p->in[0], &p->out[0]};
        for (int k = 0; k < 2; k++) {
            uint32_t used = 0;
            for (uint32_t j = 0; j < port[k]->parts; j++) {
                cr_expect_eq(port[k]->part[j].channel, used);
                used += port[k]->part[j].channels;
            }
            int32_t c = port[k]->shape.dim[1];
            cr_expect(c >= 64 && c % 16 == 0 && (uint32_t)c >= used && (c < 64 + 16 || (uint32_t)c < used + 16),
                      "%s: %d for %u", p->name, c, used);
        }
    }
    arena_free(a);
}

/* test_backend.c: plans of a small transformer: their shape, their determinism, and that the host device takes the MIL. */
#include "rig.h"

#include "backend_ane/backend.h"
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <string.h>

static BackendResult compile(Arena *a, int32_t layers)
{
    Module       *m = rig_transformer(a, layers);
    Diags        *ds = diags_new(a, m->sources, "test");
    PassOptions   opt = {.diags = ds};
    BackendResult r;
    bool          ok = passes_run(m, &opt) && backend_ane(a, m, &r, ds);
    Buf           b = {0};
    diags_render(ds, &b);
    cr_assert(ok, "%s", b.data ? b.data : "");
    return r;
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

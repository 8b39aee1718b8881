/* backend.c: see backend.h. The order of the calls is the order of a manifest. */
#include "backend_ane/backend.h"

#include "backend_ane/modes.h"
#include "backend_ane/weights.h"
#include "passes/switches.h"

#include <string.h>

static const PlanWeightMode plan_mode[] = {
    [WEIGHTS_BAKED] = PLAN_BAKED, [WEIGHTS_DYNAMIC] = PLAN_DYNAMIC, [WEIGHTS_RELOAD] = PLAN_RELOAD,
    [WEIGHTS_MIXED] = PLAN_MIXED};

static bool build(Arena *a, const Module *m, const struct Lock *lock, WeightMode weights, BackendResult *out, Diags *ds)
{
    Builder b = {.a = a, .m = m, .out = out, .ds = ds};
    *out = (BackendResult){0};
    out->plan = b.plan = NEW(a, Plan);
    b.plan->compiler = "anec " ANEL_VERSION;
    describe_settings(&b);
    describe_leaves(&b);
    if (!partition_module(a, m, lock, &b.parts, ds))
        return false;
    uint32_t errors = ds->errors;
    for (uint32_t i = 1; i < m->graphs; i++)
        if (b.parts.of[i].program)
            check_groups(&b, m->graph[i], &b.parts.of[i]);
    if (ds->errors > errors)
        return false;
    out->note = b.parts.note;
    out->notes = b.parts.notes;
    plan_add_file(&b, "plan.lock", b.parts.lock, strlen(b.parts.lock));
    b.plan->weights = plan_mode[weights];
    if ((weights == WEIGHTS_DYNAMIC || weights == WEIGHTS_MIXED) && !weights_place(&b, weights == WEIGHTS_MIXED))
        return false;
    bool ok = true;
    for (uint32_t i = 0; i < m->entries; i++) {
        uint32_t before = b.plan->programs;
        ok &= lower_entry(&b, &m->entry[i]);
        if (ok && m->entry[i].name == m->train_entry && b.plan->programs == before &&
            switched_on(m->off, SWITCH_engine)) {
            Diag *d = diag_warning(ds, "W0802", m->entry[i].at,
                                   "nothing of '%s' runs on the ANE: all of it is the CPU's work",
                                   interned(m->strings, m->entry[i].name));
            diag_help(
                d,
                "rows (the last axis) of products shorter than 16 stay on the CPU, and so does what is pinned there");
        }
    }
    modes_predict(m, out);
    return ok && verify_programs(&b);
}

bool backend_ane(Arena *a, const Module *m, BackendResult *out, Diags *ds)
{
    return backend_ane_locked(a, m, NULL, out, ds);
}

bool backend_ane_locked(Arena *a, const Module *m, const struct Lock *lock, BackendResult *out, Diags *ds)
{
    WeightMode first = m->weights == WEIGHTS_AUTO ? WEIGHTS_BAKED : m->weights, best;
    if (!build(a, m, lock, first, out, ds))
        return false;
    if (m->weights != WEIGHTS_AUTO || (best = modes_choose(m, out)) == first)
        return true;
    if (best == WEIGHTS_RELOAD) { /* the same programs */
        out->plan->weights = PLAN_RELOAD;
        return true;
    }
    BackendResult other; /* warnings were told; what cannot be built that way stays as it is */
    if (build(a, m, lock, best, &other, diags_new(a, m->sources, ds->program)))
        *out = other;
    return true;
}

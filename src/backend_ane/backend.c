/* backend.c: see backend.h. The order of the calls is the order of a manifest. */
#include "backend_ane/backend.h"

#include "backend_ane/build.h"

#include <string.h>

bool backend_ane(Arena *a, const Module *m, BackendResult *out, Diags *ds)
{
    return backend_ane_locked(a, m, NULL, out, ds);
}

bool backend_ane_locked(Arena *a, const Module *m, const struct Lock *lock, BackendResult *out, Diags *ds)
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
    bool ok = true;
    for (uint32_t i = 0; i < m->entries; i++) {
        uint32_t before = b.plan->programs;
        ok &= lower_entry(&b, &m->entry[i]);
        if (ok && m->entry[i].name == m->train_entry && b.plan->programs == before) {
            Diag *d = diag_warning(ds, "W0802", m->entry[i].at, "nothing of '%s' runs on the ANE: all of it is the CPU's work",
                                   interned(m->strings, m->entry[i].name));
            diag_help(d, "rows (the last axis) of products shorter than 16 stay on the CPU, and so does what is pinned there");
        }
    }
    return ok && verify_programs(&b);
}

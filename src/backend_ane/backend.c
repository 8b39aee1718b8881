/* backend.c: see backend.h. The order of the calls is the order of a manifest. */
#include "backend_ane/backend.h"

#include "backend_ane/build.h"

bool backend_ane(Arena *a, const Module *m, BackendResult *out, Diags *ds)
{
    Builder b = {.a = a, .m = m, .out = out, .ds = ds};
    *out = (BackendResult){0};
    out->plan = b.plan = NEW(a, Plan);
    b.plan->compiler = "anec " ANEL_VERSION;
    describe_settings(&b);
    describe_leaves(&b);
    bool ok = true;
    for (uint32_t i = 0; i < m->entries; i++)
        ok &= lower_entry(&b, &m->entry[i]);
    return ok;
}

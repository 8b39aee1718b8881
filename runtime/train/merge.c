/* merge.c: see merge.h. What is merged with what stands in the plan; nothing here knows the names of adapters. */
#include "runtime/train/merge.h"

#include "runtime/train/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static StTensor tensor_of(const ExecParam *p, const float *data)
{
    PlanShape s = p->group->shape;
    StTensor  t = {
         .name = p->path, .dtype = "F32", .rank = s.rank, .data = data, .bytes = (uint64_t)p->numel * sizeof *data};
    for (uint32_t i = 0; i < s.rank; i++)
        t.dim[i] = s.dim[i];
    return t;
}

bool merge_write(Session *s, const char *path, uint32_t *tensors, uint32_t *merged, Buf *err)
{
    Arena    *a = arena_new();
    uint32_t  params = exec_params(s->exec);
    StTensor *t = NEW_N(a, StTensor, params + 1);
    float   **made = NEW_N(a, float *, params + 1);
    bool      ok = false;
    *tensors = *merged = 0;
    for (uint32_t i = 0; i < params; i++) {
        const ExecParam *p = exec_param(s->exec, i);
        if (p->group->adapter)
            continue;
        if (p->group->merge) {
            made[*merged] = xmalloc(p->numel * sizeof **made + 1);
            exec_merged(s->exec, i, made[*merged]);
            t[*tensors] = tensor_of(p, made[(*merged)++]);
        } else {
            t[*tensors] = tensor_of(p, p->value);
        }
        ++*tensors;
    }
    if (!*merged) {
        buf_printf(err, "plan '%s' has nothing to merge: no parameter of its model says #[merge(...)]", s->plan_dir);
    } else {
        const char *temporary = arena_printf(a, "%s.part", path);
        const StMeta meta[] = {{"model", s->plan->model}, {"merged", "adapters"}};
        ok = safetensors_write(temporary, t, *tensors, meta, COUNT(meta), NULL, err);
        if (ok && rename(temporary, path) != 0) {
            buf_printf(err, "'%s': %s", path, strerror(errno));
            ok = false;
        }
        if (!ok)
            unlink(temporary);
    }
    for (uint32_t i = 0; i < *merged; i++)
        free(made[i]);
    arena_free(a);
    return ok;
}

/* exec_merge.c: what a parameter becomes when adapters are merged into it: the value of a recipe, in fp32. */
#include "exec_internal.h"

#include <string.h>

void exec_merged(Exec *e, uint32_t id, float *out)
{
    const ExecParam *p = &e->param[id];
    RecipePool       pool = {0};
    const float     *x = p->value;
    if (p->group->merge)
        x = recipe_value(e, &pool, p->group->merge, (uint32_t)(p->index - p->group->first));
    memcpy(out, x, p->numel * sizeof *out);
    recipe_pool_free(&pool);
}

/* diff_times.c: see plan_diff.h. Times are compared as they are printed: what rounds to the same is no difference. */
#include "explain/plan_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Buf          *out;
    const Target *target;
    bool          any_time, any_count; /* their headings are printed */
} Times;

static void heading(Times *t)
{
    if (!t->any_time)
        buf_printf(t->out, "predicted ms on the engine (target %s; nothing was measured: docs/targets.md)\n", t->target->name);
    t->any_time = true;
}

static void changed(Times *t, const char *what, int64_t was, int64_t is)
{
    char old[32], new[32];
    snprintf(old, sizeof old, "%.3f", (double)was / 1e6);
    snprintf(new, sizeof new, "%.3f", (double)is / 1e6);
    if (strcmp(old, new) == 0)
        return;
    heading(t);
    buf_printf(t->out, "  ~ %s: %s -> %s (%+.3f)\n", what, old, new, strtod(new, NULL) - strtod(old, NULL));
}

static void counted(Times *t, const char *what, uint64_t was, uint64_t is)
{
    if (was == is)
        return;
    if (!t->any_count)
        buf_puts(t->out, "counts\n");
    t->any_count = true;
    buf_printf(t->out, "  ~ %s: %" PRIu64 " -> %" PRIu64 "\n", what, was, is);
}

static const AnalysedProgram *find_program(const Analysis *x, const char *name)
{
    for (uint32_t i = 0; i < x->programs; i++)
        if (strcmp(x->program[i].program->name, name) == 0)
            return &x->program[i];
    return NULL;
}

/* Programs of `x` that `y` has not. */
static void only_in(Times *t, const Analysis *x, const Analysis *y, char sign)
{
    for (uint32_t i = 0; i < x->programs; i++) {
        const char *name = x->program[i].program->name;
        if (find_program(y, name))
            continue;
        heading(t);
        buf_printf(t->out, "  %c %s: %.3f\n", sign, name, (double)x->program[i].ns[0] / 1e6);
    }
}

bool plan_diff_times(Arena *a, const Analysis *old, const Analysis *new, Buf *out)
{
    Times   t = {.out = out, .target = new->target[0]};
    int64_t was = analysis_microbatch(a, old).ns[0], is = analysis_microbatch(a, new).ns[0];
    only_in(&t, old, new, '-');
    only_in(&t, new, old, '+');
    for (uint32_t i = 0; i < old->programs; i++) {
        const AnalysedProgram *x = &old->program[i], *y = find_program(new, x->program->name);
        if (y)
            changed(&t, x->program->name, x->ns[0], y->ns[0]);
    }
    changed(&t, new->plan->train_entry ? "a micro-batch" : "an evaluation", was, is);
    if (old->accum > 1 || new->accum > 1)
        changed(&t, "a step", was * (int64_t)old->accum, is * (int64_t)new->accum);
    counted(&t, new->plan->train_entry ? "dispatches per micro-batch" : "dispatches per evaluation", old->dispatches, new->dispatches);
    counted(&t, "compilations per update", old->compiles_update, new->compiles_update);
    counted(&t, "programs given new weights per update", old->reloads_update, new->reloads_update);
    counted(&t, "bytes of weights staged per update", old->staged_update, new->staged_update);
    return t.any_time || t.any_count;
}

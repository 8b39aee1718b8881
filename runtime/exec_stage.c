/* exec_stage.c: parameters into surfaces of weights.
 *
 * Programs whose weights are inputs are compiled once; when parameters change, the surfaces that hold them are filled
 * anew: the values of recipes, rounded to fp16 exactly as for a weight file, row by row. As with programs, hashes of
 * the parameters decide what has to be done. */
#include "exec_internal.h"

#include "base/hash.h"

/* ---- which surfaces ---- */

static void want(Exec *e, ExecStep *s, void *with)
{
    bool *buffer = with;
    (void)e;
    for (uint32_t i = 0; i < s->step->ins; i++)
        buffer[s->step->in[i].index] = true;
}

static uint64_t element_hash(Exec *e, const PlanStage *s, uint32_t k)
{
    uint64_t h = 0x57a9e5;
    for (uint32_t i = 0; i < s->weights; i++)
        h = exec_recipe_hash(e, h, s->weight[i].recipe, k);
    return h;
}

/* ---- filling ---- */

static void fill(Exec *e, Workspace *w, const PlanStage *s, uint32_t k)
{
    const ExecBuffer *b = &e->buffer[s->buffer];
    size_t            width = (size_t)e->plan->buffer[s->buffer].shape.dim[3], element = store_bytes[b->store];
    char             *to = surface_lock(b->surface[k], true);
    for (uint32_t i = 0; i < s->weights; i++) {
        const PlanStaged *x = &s->weight[i];
        size_t            n, columns = (size_t)x->shape.dim[1], rows = (size_t)x->shape.dim[0];
        const uint16_t   *half = exec_recipe_value(e, w, x->recipe, k, &n);
        char             *at = to + x->channel * width * element;
        if (columns == width) { /* all at once */
            columns *= rows;
            rows = 1;
        }
        for (size_t r = 0; r < rows; r++)
            convert(half + r * columns, STORE_F16, at + r * width * element, b->store, columns, &(ConvertCount){0});
        e->counters.staged += n * sizeof *half;
    }
    surface_unlock(b->surface[k], true);
}

void exec_stage(Exec *e, Workspace *w, uint32_t entry, unsigned parts)
{
    const Plan *p = e->plan;
    if (!p->stages)
        return;
    Arena *a = arena_new();
    bool  *buffer = NEW_N(a, bool, p->buffers + 1u);
    double t0 = exec_now();
    exec_visit_runs(e, entry, parts, want, buffer);
    for (uint32_t i = 0; i < p->stages; i++) {
        const PlanStage *s = &p->stage[i];
        uint32_t         n = (uint32_t)(p->buffer[s->buffer].stack ? p->buffer[s->buffer].stack : 1);
        for (uint32_t k = 0; buffer[s->buffer] && k < n; k++) {
            uint64_t h = element_hash(e, s, k);
            if (e->stage[i].full[k] && e->stage[i].filled[k] == h)
                continue;
            fill(e, w, s, k);
            e->stage[i].filled[k] = h;
            e->stage[i].full[k] = true;
        }
    }
    e->counters.seconds[EXEC_BAKE] += exec_now() - t0;
    arena_free(a);
}

/* plan_stage.c: weights in surfaces: their text, and what must hold of them.
 *
 * A `stage` block says what a surface holds before any step runs: rows of numbers that recipes make of parameters, each
 * row at the beginning of a channel. Rows come in order of channels and do not overlap. */
#include "plan/plan_parse.h"
#include "plan/plan_resolve.h"

#include <inttypes.h>
#include <string.h>

void plan_stage_print(const Plan *p, const PlanStage *s, Buf *out)
{
    buf_puts(out, "\nstage ");
    plan_name_print(s->buffer < p->buffers ? p->buffer[s->buffer].name : "?", out);
    buf_printf(out, " %" PRId32 " {\n", s->first);
    for (uint32_t i = 0; i < s->weights; i++) {
        buf_printf(out, "  weight %" PRIu32 " ", s->weight[i].channel);
        plan_shape_print(s->weight[i].shape, out);
        buf_puts(out, " = ");
        plan_recipe_print(p, s->weight[i].recipe, out);
        buf_putc(out, '\n');
    }
    buf_puts(out, "}\n");
}

/* ---- reading ---- */

static bool weight(Parser *ps, PlanStage *s, uint32_t *cap)
{
    PlanStaged w = {0};
    int32_t    channel;
    if (!text_int32(&ps->t, 0, INT32_MAX, &channel) || !text_shape(&ps->t, &w.shape) || !text_need(&ps->t, "=") ||
        !(w.recipe = parse_recipe(ps, 0)))
        return false;
    w.channel = (uint32_t)channel;
    GROW(ps->arena, s->weight, s->weights, *cap);
    s->weight[s->weights++] = w;
    return true;
}

bool parse_stage(Parser *ps)
{
    static const char *const keys[] = {"weight", NULL};
    PlanStage                s = {0};
    const char              *name;
    uint32_t                 open = ps->t.line, cap = 0;
    bool ok = text_name(&ps->t, &name, NULL) && parse_find_buffer(ps, name, &s.buffer) &&
              text_int32(&ps->t, 0, INT32_MAX, &s.first) && text_need(&ps->t, "{") && text_end(&ps->t);
    for (bool done = false; ok && (ok = parse_block_line(ps, open, &done)) && !done;)
        ok = (text_take(&ps->t, keys[0]) ? weight(ps, &s, &cap) : parse_unknown(ps, "a stage", keys)) &&
             text_end(&ps->t);
    if (!ok)
        return false;
    GROW(ps->arena, ps->plan->stage, ps->plan->stages, ps->stage_cap);
    ps->plan->stage[ps->plan->stages++] = s;
    return true;
}

/* ---- checking ---- */

static bool check_staged(Check *c, const PlanStage *s, const PlanBuffer *b, PlanStaged *w, uint32_t free)
{
    const char *where = arena_printf(c->arena, "stage '%s', weight at channel %" PRIu32, b->name, w->channel);
    int32_t     channels = b->shape.dim[1], width = b->shape.dim[3];
    if (w->shape.rank != 2 || plan_numel(w->shape) < 0)
        return check_fail(c, "%s: the shape is %s, it must be rows x columns", where, check_shape_text(c, w->shape));
    if (w->channel < free)
        return check_fail(c, "%s: the weights before it reach to channel %" PRIu32, where, free);
    if (w->channel > (uint32_t)channels || (uint32_t)w->shape.dim[0] > (uint32_t)channels - w->channel ||
        w->shape.dim[1] > width)
        return check_fail(c, "%s: %s does not fit into %" PRId32 " channels of %" PRId32, where,
                          check_shape_text(c, w->shape), channels, width);
    if (!w->recipe || !check_recipe(c, where, s->first, b->stack ? b->stack : 1, w->recipe, 0))
        return w->recipe ? false : check_fail(c, "%s has no recipe", where);
    if (plan_numel(w->recipe->shape) != plan_numel(w->shape))
        return check_fail(c, "%s: the shape is %s, its recipe makes %s", where, check_shape_text(c, w->shape),
                          check_shape_text(c, w->recipe->shape));
    return true;
}

bool check_stages(Check *c)
{
    c->stage = NEW_N(c->arena, const PlanStage *, c->p->buffers + 1u);
    if (c->p->stages && c->p->weights != PLAN_DYNAMIC && c->p->weights != PLAN_MIXED)
        return check_fail(c, "surfaces are staged with weights, but the plan says 'weights %s'",
                          plan_weight_mode_name[c->p->weights]);
    for (uint32_t i = 0; i < c->p->stages; i++) {
        const PlanStage *s = &c->p->stage[i];
        uint32_t         free = 0;
        if (s->buffer >= c->p->buffers)
            return check_fail(c, "stage %" PRIu32 ": there is no buffer number %" PRIu32, i, s->buffer);
        const PlanBuffer *b = &c->p->buffer[s->buffer];
        if (b->kind != BUF_SURFACE)
            return check_fail(c, "stage '%s': only surfaces are staged", b->name);
        if (c->stage[s->buffer])
            return check_fail(c, "'%s' is staged twice", b->name);
        if (s->first < 0 || s->first > INT32_MAX - (b->stack ? b->stack : 1) || (!b->stack && s->first != 0))
            return check_fail(c, "stage '%s': a surface that is no stack belongs to index 0", b->name);
        c->stage[s->buffer] = s;
        for (uint32_t k = 0; k < s->weights; k++) {
            PlanStaged *w = &s->weight[k];
            if (!check_staged(c, s, b, w, free))
                return false;
            free = w->channel + (uint32_t)w->shape.dim[0];
        }
    }
    return true;
}

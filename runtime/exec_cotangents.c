/* exec_cotangents.c: which values come from the backward direction of programs.
 *
 * A step overflows if such a value is not finite; and also if it is exactly +-65504, because hardware may clamp to the
 * largest finite number where IEEE 754 says infinity. That must be seen where a value is read back: a sum over
 * micro-batches hides it. Forward values may be 65504 without any fault of the loss scale, which could not help them
 * either: neither what forward programs give counts, nor what a backward program has computed again (`re_...`, see
 * "Names" in docs/plan.md). */
#include "exec_internal.h"

#include <string.h>

static void mark_port(Exec *e, const PlanPort *port, uint32_t buffer)
{
    ExecBuffer *b = &e->buffer[buffer];
    uint32_t    channels = (uint32_t)e->plan->buffer[buffer].shape.dim[1];
    if (!b->cotangent)
        b->cotangent = NEW_N(e->arena, bool, channels);
    memset(b->cotangent, true, (size_t)port->shape.dim[1]);
    for (uint32_t i = 0; i < port->parts; i++)
        if (strncmp(port->part[i].name, "re_", 3) == 0)
            memset(b->cotangent + port->part[i].channel, false, port->part[i].channels);
}

static void mark_steps(Exec *e, const Step *step, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i];
        for (uint32_t k = 0; s->kind == STEP_RUN && k < s->outs; k++)
            mark_port(e, &e->plan->program[s->program].out[k], s->out[k].index);
        if (s->kind == STEP_LOOP)
            mark_steps(e, s->body, s->bodies);
    }
}

void exec_mark_cotangents(Exec *e)
{
    for (uint32_t i = 0; i < e->plan->entries; i++)
        mark_steps(e, e->plan->entry[i].backward, e->plan->entry[i].backwards);
}

bool exec_reads_cotangent(const Exec *e, const Ref *r)
{
    if (r->kind != REF_BUFFER || !e->buffer[r->index].cotangent)
        return false;
    const PlanShape *shape = &e->plan->buffer[r->index].shape;
    return e->buffer[r->index].cotangent[r->offset % e->buffer[r->index].numel / (uint32_t)shape->dim[3]];
}

/* host_step.c: what runs in which order.
 *
 * A call runs when the text says so, or earlier: element-wise calls with equally many results are drawn forward into
 * the chain (host_fuse.c) of the first of them whenever all they read is there, which saves their trips through memory.
 * A value is read from a chain only element by element; whoever reads it otherwise (a broadcast of a row of it, a part)
 * waits for the end of the chain. */
#include "host/host.h"
#include "host/host_quirks.h"
#include "mil/rules.h"

typedef struct {
    const HostDevice *d;
    HostFunc *f;
    Call *const *call;
    uint32_t calls;
    bool *done; /* by call */
    bool *made; /* by value id, of wholes: the value is there */
    bool *here; /* by value id, of wholes: made by the chain at hand */
} Order;

static uint32_t whole_of(const Order *o, const Value *v)
{
    return o->f->whole[v->id];
}

static bool is_there(const Order *o, const Value *v)
{
    return v->konst || o->f->fixed[v->id] || o->made[whole_of(o, v)];
}

/* Everything `c` reads is there, or is a whole value of the chain at hand with `n` elements, read in order. */
static bool can_join(const Order *o, const Call *c, int64_t n)
{
    uint32_t i = 0;
    for (Value *v; (v = next_operand(c, &i));)
        if (!is_there(o, v) && !(o->here[whole_of(o, v)] && o->f->offset[v->id] == 0 && type_elems(&v->type) == n))
            return false;
    return true;
}

/* Somebody outside of the chain reads the value, or it is an output. */
static bool is_read(const Order *o, const Value *v, const bool *member)
{
    for (uint32_t i = 0; i < o->f->fn->outputs; i++)
        if (whole_of(o, o->f->fn->output[i]) == v->id)
            return true;
    for (uint32_t c = 0; c < o->calls; c++) {
        uint32_t i = 0;
        for (Value *x; !member[c] && (x = next_operand(o->call[c], &i));)
            if (!x->konst && whole_of(o, x) == v->id)
                return true;
    }
    return false;
}

/* The chain that begins with call `first`. */
static Fused *chain(Arena *keep, Arena *scratch, Order *o, uint32_t first, int64_t unit)
{
    int64_t n = type_elems(&o->call[first]->result[0]->type), row;
    Call **member = NEW_N(scratch, Call *, o->calls);
    bool *is_member = NEW_N(scratch, bool, o->calls), *stored = NEW_N(scratch, bool, o->calls);
    uint32_t members = 0;
    for (uint32_t c = first; c < o->calls; c++) {
        Call *x = o->call[c];
        if (o->done[c] || !host_fusible(o->d, x, &row) || type_elems(&x->result[0]->type) != n ||
            !(row == unit || row == 1 || unit == 1) || !can_join(o, x, n))
            continue;
        unit = row > unit ? row : unit;
        member[members++] = x;
        is_member[c] = o->done[c] = true;
        o->here[x->result[0]->id] = true;
    }
    for (uint32_t m = 0; m < members; m++) {
        uint32_t id = member[m]->result[0]->id;
        stored[m] = is_read(o, member[m]->result[0], is_member);
        o->here[id] = false;
        o->made[id] = stored[m];
    }
    return host_fuse(keep, o->d, o->f, member, members, stored);
}

/* Matrices of a batch follow each other in this operand, or it is the same one for all. */
static bool regular(const MatmulPlan *p, const int64_t *stride)
{
    int64_t n = 1, step = -1;
    for (uint32_t d = p->batch_rank; d-- > 0; n *= p->batch[d]) {
        if (p->batch[d] == 1)
            continue;
        int64_t unit = stride[d] == 0 ? 0 : stride[d] == n ? 1 : -1;
        if (unit < 0 || (step >= 0 && unit != step))
            return false;
        step = unit;
    }
    return true;
}

enum { FEW_ROWS = 4 };

static StepKind kind_of(const HostDevice *d, const Call *c)
{
    if (!host_half(d, c->result[0]))
        return STEP_CALL;
    if (c->op->type == rule_conv && c->plan.window.plain && c->plan.window.groups == 1 && !c->arg[2])
        return c->plan.window.out_ch <= FEW_ROWS ? STEP_ROWS : STEP_CONV;
    if (c->op->type == rule_matmul && regular(&c->plan.matmul, c->plan.matmul.x_stride) &&
        regular(&c->plan.matmul, c->plan.matmul.y_stride))
        return c->plan.matmul.m <= FEW_ROWS && !c->plan.matmul.ty ? STEP_ROWS : STEP_MATMUL;
    KernelFn *plain = kernel_of(c->op, KERNELS_PLAIN);
    if (plain == kernel_view_ane)
        return STEP_VIEW;
    if (plain == kernel_concat_ane && !c->plan.join.interleave)
        return STEP_CONCAT;
    return STEP_CALL;
}

void host_steps(Arena *keep, const HostDevice *d, Call *const *call, uint32_t calls, HostFunc *f)
{
    Arena *scratch = arena_new();
    Order o = {d,
               f,
               call,
               calls,
               NEW_N(scratch, bool, calls + 1),
               NEW_N(scratch, bool, f->fn->values + 1),
               NEW_N(scratch, bool, f->fn->values + 1)};
    f->step = NEW_N(keep, HostStep, calls + 1);
    for (uint32_t i = 0; i < f->fn->inputs; i++)
        o.made[f->fn->input[i]->id] = true;
    for (uint32_t c = 0; c < calls; c++) {
        int64_t row;
        if (o.done[c])
            continue;
        HostStep *s = &f->step[f->steps++];
        if (host_fusible(d, call[c], &row)) {
            *s = (HostStep){.kind = STEP_FUSED, .fused = chain(keep, scratch, &o, c, row)};
            continue;
        }
        o.done[c] = true;
        for (uint32_t k = 0; k < call[c]->results; k++)
            o.made[call[c]->result[k]->id] = true;
        *s = (HostStep){.kind = kind_of(d, call[c]), .call = host_understood(keep, d, call[c])};
        s->over = host_result_limit(d, call[c], &s->over_from);
        s->quirk = s->kind == STEP_CALL && host_half(d, call[c]->result[0]) && call[c]->op->type == rule_softmax
                       ? host_row_quirk(keep, d, call[c])
                       : NULL;
    }
    arena_free(scratch);
    host_heads(keep, f);
}

void host_step_visit(const HostStep *s, StepVisit *reads, StepVisit *writes, void *with)
{
    for (uint32_t i = 0; i < s->parts; i++)
        host_step_visit(&s->part[i], reads, writes, with);
    if (s->fused)
        host_fused_visit(s->fused, reads, writes, with);
    if (!s->call)
        return;
    uint32_t i = 0;
    for (Value *v; (v = next_operand(s->call, &i));)
        reads(with, v);
    for (uint32_t k = 0; k < s->call->results; k++)
        writes(with, s->call->result[k]);
}

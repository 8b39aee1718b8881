/* plan_flow.c: the order of steps makes sense: nothing is read that was never written (staged weights always are), and
 * no operation reads memory it is overwriting.
 *
 * For every buffer we keep the ranges written so far, as a sorted list of disjoint intervals of elements (of the whole
 * stack). A loop's body is looked at once: its first iteration has the least written, so what is fine there is fine in
 * all; a write to the current element of a stack counts for every element, because a loop covers all of them. The
 * update of an entry runs at another time and finds nothing written but accumulators. */
#include "plan/plan_resolve.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    uint64_t begin, end;
} Range;

typedef struct { /* sorted, disjoint, not touching */
    Range   *range;
    uint32_t count, cap;
} Written;

typedef struct {
    const Plan      *p;
    Arena           *arena;
    Buf             *err;
    Written         *written; /* [Plan.buffers] */
    const PlanEntry *entry;
    EntryPart        part;
} Flow;

/* First range that ends at or after `at`. */
static uint32_t find(const Written *w, uint64_t at)
{
    uint32_t lo = 0, hi = w->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (w->range[mid].end < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void add(Arena *a, Written *w, Range r)
{
    uint32_t i = find(w, r.begin), j = i;
    for (; j < w->count && w->range[j].begin <= r.end; j++) { /* swallow what touches */
        if (w->range[j].begin < r.begin)
            r.begin = w->range[j].begin;
        if (w->range[j].end > r.end)
            r.end = w->range[j].end;
    }
    if (i == j) {
        GROW(a, w->range, w->count, w->cap);
        memmove(w->range + i + 1, w->range + i, (w->count - i) * sizeof *w->range);
        w->count++;
    } else {
        memmove(w->range + i + 1, w->range + j, (w->count - j) * sizeof *w->range);
        w->count -= j - i - 1;
    }
    w->range[i] = r;
}

static bool covers(const Written *w, Range r)
{
    uint32_t i = find(w, r.begin);
    while (i < w->count && w->range[i].end == r.begin && r.end > r.begin)
        i++;
    return i < w->count && w->range[i].begin <= r.begin && w->range[i].end >= r.end;
}

/* Elements `skip` .. `skip + n` of a reference, in the element of iteration `k`. */
static Range range_of(const Flow *f, const Ref *r, int32_t k, uint64_t skip, uint64_t n)
{
    uint64_t at = r->offset + skip;
    if (r->stacked)
        at += (uint64_t)k * (uint64_t)plan_numel(f->p->buffer[r->index].shape);
    return (Range){at, at + n};
}

static int32_t copies(const Flow *f, const Ref *r)
{
    return r->stacked ? f->p->buffer[r->index].stack : 1;
}

static void write_part(Flow *f, const Ref *r, uint64_t skip, uint64_t n)
{
    for (int32_t k = 0; r->kind == REF_BUFFER && k < copies(f, r); k++)
        add(f->arena, &f->written[r->index], range_of(f, r, k, skip, n));
}

static Range whole(const Flow *f, uint32_t buffer)
{
    return (Range){0, (uint64_t)plan_numel(f->p->buffer[buffer].shape)};
}

static void write_all(Flow *f, uint32_t buffer)
{
    add(f->arena, &f->written[buffer], whole(f, buffer));
}

static void write_stack(Flow *f, uint32_t buffer)
{
    const PlanBuffer *b = &f->p->buffer[buffer];
    add(f->arena, &f->written[buffer],
        (Range){0, (uint64_t)plan_numel(b->shape) * (b->stack ? (uint64_t)b->stack : 1)});
}

static bool step_fail(Flow *f, const Step *s, const char *fmt, ...) ANEL_PRINTF(3, 4);
static bool step_fail(Flow *f, const Step *s, const char *fmt, ...)
{
    buf_printf(f->err, "entry '%s', %s: `", f->entry->name, entry_part_name[f->part]);
    plan_step_print(f->p, s, f->err);
    buf_puts(f->err, "`: ");
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(f->err, fmt, ap);
    va_end(ap);
    return false;
}

static bool read_part(Flow *f, const Step *s, const Ref *r, uint64_t skip, uint64_t n)
{
    for (int32_t k = 0; r->kind == REF_BUFFER && k < copies(f, r); k++)
        if (!covers(&f->written[r->index], range_of(f, r, k, skip, n)))
            return step_fail(f, s, "reads '%s', parts of which no step before has written",
                             f->p->buffer[r->index].name);
    return true;
}

/* A port is its parts; a port without parts is all of it. Channels between parts are padding, which nobody writes. */
static bool run_port(Flow *f, const Step *s, const Ref *r, const PlanPort *t, bool reads)
{
    uint64_t width = (uint64_t)t->shape.dim[3];
    for (uint32_t i = 0; reads && i < t->parts; i++)
        if (!read_part(f, s, r, t->part[i].channel * width, t->part[i].channels * width))
            return false;
    if (reads)
        return t->parts ? true : read_part(f, s, r, 0, (uint64_t)plan_numel(t->shape));
    write_part(f, r, 0, (uint64_t)plan_numel(t->shape));
    return true;
}

/* Two references can mean the same memory. Within one step both mean the same iteration. */
static bool overlap(const Ref *x, const Ref *y, bool *same)
{
    uint64_t nx = (uint64_t)plan_numel(x->shape), ny = (uint64_t)plan_numel(y->shape);
    *same = false;
    if (x->kind != y->kind)
        return false;
    if (x->kind == REF_STATE) { /* always whole; other patterns may meet in some iteration */
        *same = strcmp(x->pattern, y->pattern) == 0;
        return *same || x->leaf[0] == y->leaf[0];
    }
    if (x->kind != REF_BUFFER || x->index != y->index)
        return false;
    *same = x->stacked == y->stacked && x->offset == y->offset && nx == ny;
    if (x->stacked == y->stacked)
        return x->offset < y->offset + ny && y->offset < x->offset + nx;
    return true; /* the whole stack and an element of it */
}

static bool check_overlap(Flow *f, const Step *s)
{
    const PlanOp *op = s->kind == STEP_OP ? plan_op(s->op) : NULL;
    for (uint32_t i = 0; i < s->outs; i++) {
        bool same;
        for (uint32_t k = 0; k < s->ins; k++) {
            bool in_place = op && (op->in_place == PLAN_IN_PLACE_ALL || (k < 31 && op->in_place >> k & 1));
            if (overlap(&s->out[i], &s->in[k], &same) && !(same && in_place))
                return step_fail(f, s, "%s", same ? "cannot work in place" : "result and operand overlap");
        }
        for (uint32_t k = 0; k < i; k++)
            if (overlap(&s->out[i], &s->out[k], &same))
                return step_fail(f, s, "two results overlap");
    }
    return true;
}

static bool flow_steps(Flow *f, const Step *step, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        const Step *s = &step[k];
        if (s->kind == STEP_LOOP) {
            if (!flow_steps(f, s->body, s->bodies))
                return false;
            continue;
        }
        if (!check_overlap(f, s))
            return false;
        const PlanProgram *g = s->kind == STEP_RUN ? &f->p->program[s->program] : NULL;
        for (uint32_t i = 0; i < s->ins; i++)
            if (g ? !run_port(f, s, &s->in[i], &g->in[i], true)
                  : !read_part(f, s, &s->in[i], 0, (uint64_t)plan_numel(s->in[i].shape)))
                return false;
        for (uint32_t i = 0; i < s->outs; i++)
            write_part(f, &s->out[i], 0, (uint64_t)plan_numel(s->out[i].shape));
    }
    return true;
}

bool plan_check_flow(const Plan *p, Arena *a, Buf *err)
{
    for (uint32_t i = 0; i < p->entries; i++) {
        const PlanEntry *e = &p->entry[i];
        Flow             f = {p, a, err, NEW_N(a, Written, p->buffers + 1u), e, PART_FORWARD};
        for (uint32_t k = 0; k < e->inputs; k++)
            write_all(&f, e->input[k].buffer);
        for (uint32_t k = 0; k < p->stages; k++)
            write_stack(&f, p->stage[k].buffer);
        if (!flow_steps(&f, e->forward, e->forwards))
            return false;
        for (uint32_t k = 0; k < e->results; k++) {
            uint32_t b = e->result[k].buffer;
            if (!covers(&f.written[b], whole(&f, b))) {
                buf_printf(err, "entry '%s': no forward step writes all of the result '%s' ('%s')", e->name,
                           e->result[k].name, p->buffer[b].name);
                return false;
            }
        }
        f.part = PART_BACKWARD;
        if (!flow_steps(&f, e->backward, e->backwards))
            return false;
        /* What a micro-batch has left in buffers says nothing of the window: the update starts from accumulators. */
        f.part = PART_UPDATE;
        f.written = NEW_N(a, Written, p->buffers + 1u);
        for (uint32_t k = 0; k < p->buffers; k++)
            if (p->buffer[k].kind == BUF_ACCUMULATOR)
                add(a, &f.written[k], (Range){0, (uint64_t)plan_numel(p->buffer[k].shape) *
                                                     (uint64_t)(p->buffer[k].stack ? p->buffer[k].stack : 1)});
        if (!flow_steps(&f, e->update, e->updates))
            return false;
    }
    return true;
}

/* host_fuse.c: chains of element-wise calls, run piece by piece.
 *
 * A tensor is larger than the caches; a tile of it goes through all calls of a chain before the next one does. Within a
 * tile values are floats in registers of memory ("slots"), each rounded to fp16 by the call that makes it, so that the
 * bits are those of one call after the other; only what somebody else reads is stored. Operands are widened into slots
 * when they are first read: in order, repeated by rows (a broadcast), or one number. Softmax along the last axis
 * belongs to chains too, with tiles of whole rows. Tiles and the parts that threads take depend on shapes alone. */
#include "host/host.h"
#include "host/host_quirks.h"

#include "mil/rules.h"
#include "scratch.h"

enum { TILE = 1024, PART = 1 << 15 /* elements a thread takes */, ROW_MAX = 1 << 14 };

typedef enum { OP_LOAD, OP_ROWS, OP_NUMBER, OP_ONE, OP_TWO, OP_SOFTMAX, OP_STORE } OpKind;

/* One instruction on slots. */
typedef struct {
    OpKind kind;
    uint32_t to, x, y; /* slots */
    uint32_t value;    /* id of what is loaded or stored */
    bool x_number, y_number;
    const Call *call;
    const HalfRow *row;
    const RowQuirk *quirk; /* NULL: none */
    const BroadcastPlan *plan; /* of a load by rows: operand `which` */
    int which;
    int64_t n; /* of a row of softmax */
} Op;

struct Fused {
    Op *op;
    uint32_t ops, slots;
    int64_t n, tile, part, row;
    const Call **call;
    uint32_t calls;
    const bool *stored;
};

bool host_fusible(const HostDevice *d, const Call *c, int64_t *row)
{
    *row = 1;
    if (!d->build.half || c->results != 1 || c->result[0]->type.dtype != DT_F16)
        return false;
    if (c->op->type == rule_softmax) {
        *row = c->plan.axis.n;
        return c->plan.axis.inner == 1 && c->plan.axis.n <= ROW_MAX && c->arg[0]->type.dtype == DT_F16;
    }
    const HalfRow *r = d->build.half->row_of(kernel_of(c->op, KERNELS_PLAIN));
    return r && c->arg[0]->type.dtype == DT_F16 && (r->one || c->arg[1]->type.dtype == DT_F16);
}

/* ---- building ------------------------------------------------------------------------------------------------- */

typedef struct {
    Arena *keep;
    const HostFunc *f;
    Fused *u;
    uint32_t cap;
    uint32_t slots;
} Builder;

static uint32_t emit(Builder *b, Op op)
{
    GROW(b->keep, b->u->op, b->u->ops, b->cap);
    op.to = op.kind == OP_STORE ? op.x : b->slots++;
    b->u->op[b->u->ops++] = op;
    return op.to;
}

/* The slot that holds operand `i` of `c`. */
static uint32_t operand_slot(Builder *b, const Call *c, int i, uint32_t before, const uint32_t *made)
{
    const Value *v = c->arg[i];
    int64_t n = type_elems(&v->type);
    const BroadcastPlan *plan = &c->plan.broadcast;
    for (uint32_t m = 0; m < before; m++)
        if (b->u->call[m]->result[0]->id == b->f->whole[v->id] && !v->konst)
            return made[m];
    OpKind kind = n == b->u->n ? OP_LOAD : n == 1 ? OP_NUMBER : OP_ROWS;
    for (uint32_t k = 0; k < b->u->ops; k++) { /* loaded before */
        const Op *o = &b->u->op[k];
        if (o->value != v->id || o->kind != kind)
            continue;
        bool same = kind != OP_ROWS || o->plan->rank == plan->rank;
        for (uint32_t d = 0; same && kind == OP_ROWS && d < plan->rank; d++)
            same = o->plan->dim[d] == plan->dim[d] && o->plan->stride[o->which][d] == plan->stride[i][d];
        if (same)
            return o->to;
    }
    return emit(b, (Op){.kind = kind, .value = v->id, .plan = plan, .which = i});
}

/* Slots that are no longer read serve again. */
static void assign(Arena *scratch, Fused *u, uint32_t virtual)
{
    uint32_t *last = NEW_N(scratch, uint32_t, virtual + 1), *place = NEW_N(scratch, uint32_t, virtual + 1);
    uint32_t *free_slot = NEW_N(scratch, uint32_t, virtual + 1), frees = 0;
    for (uint32_t k = 0; k < u->ops; k++) {
        const Op *o = &u->op[k];
        last[o->to] = k;
        if (o->kind >= OP_ONE)
            last[o->x] = k;
        if (o->kind == OP_TWO)
            last[o->y] = k;
    }
    for (uint32_t k = 0; k < u->ops; k++) {
        Op *o = &u->op[k];
        uint32_t to = o->to, x = o->x, y = o->y;
        bool reads_x = o->kind >= OP_ONE, reads_y = o->kind == OP_TWO;
        if (o->kind != OP_STORE)
            place[to] = frees ? free_slot[--frees] : u->slots++;
        o->to = place[to];
        o->x = reads_x ? place[x] : 0;
        o->y = reads_y ? place[y] : 0;
        if (reads_x && last[x] == k)
            free_slot[frees++] = place[x];
        if (reads_y && y != x && last[y] == k)
            free_slot[frees++] = place[y];
        if (o->kind != OP_STORE && last[to] == k) /* nobody reads it */
            free_slot[frees++] = place[to];
    }
}

Fused *host_fuse(Arena *keep, const HostDevice *d, const HostFunc *f, Call *const *call, uint32_t calls,
                 const bool *stored)
{
    Fused *u = NEW(keep, Fused);
    Builder b = {keep, f, u, 0, 0};
    Arena *scratch = arena_new();
    uint32_t *made = NEW_N(scratch, uint32_t, calls + 1);
    int64_t unit = 1;
    bool *kept = NEW_N(keep, bool, calls + 1);
    u->call = NEW_N(keep, const Call *, calls + 1);
    u->calls = calls;
    u->n = type_elems(&call[0]->result[0]->type);
    u->stored = kept;
    for (uint32_t c = 0; c < calls; c++) {
        const Call *x = u->call[c] = call[c];
        Op op = {.call = x, .quirk = host_row_quirk(keep, d, x)};
        kept[c] = stored[c];
        op.x = operand_slot(&b, x, 0, c, made);
        op.x_number = type_elems(&x->arg[0]->type) == 1 && u->n > 1;
        if (x->op->type == rule_softmax) {
            op.kind = OP_SOFTMAX;
            op.n = unit = x->plan.axis.n;
        } else {
            op.row = d->build.half->row_of(kernel_of(x->op, KERNELS_PLAIN));
            op.kind = op.row->one ? OP_ONE : OP_TWO;
        }
        if (op.kind == OP_TWO) {
            op.y = operand_slot(&b, x, 1, c, made);
            op.y_number = type_elems(&x->arg[1]->type) == 1 && u->n > 1;
        }
        made[c] = emit(&b, op);
        if (stored[c])
            emit(&b, (Op){.kind = OP_STORE, .x = made[c], .value = x->result[0]->id});
    }
    assign(scratch, u, b.slots);
    u->row = unit;
    u->tile = (TILE + unit - 1) / unit * unit;
    u->part = (PART + u->tile - 1) / u->tile * u->tile;
    arena_free(scratch);
    return u;
}

void host_fused_visit(const Fused *u, StepVisit *reads, StepVisit *writes, void *with)
{
    for (uint32_t c = 0; c < u->calls; c++) {
        uint32_t i = 0;
        for (Value *v; (v = next_operand(u->call[c], &i));)
            reads(with, v); /* what is not stored has no place, whoever reads it */
        if (u->stored[c])
            writes(with, u->call[c]->result[0]);
    }
}

/* ---- running -------------------------------------------------------------------------------------------------- */

/* Elements from .. from + n of an operand that a broadcast repeats. */
static void load_rows(const HalfKernels *h, const BroadcastPlan *p, int which, const uint16_t *in, int64_t from,
                      int64_t n, float *out)
{
    uint32_t last = p->rank - 1;
    int64_t width = p->dim[last], at[MIL_RANK_MAX], offset = 0, row = from / width, col = from % width;
    for (uint32_t d = last; d-- > 0; row /= p->dim[d]) {
        at[d] = row % p->dim[d];
        offset += at[d] * p->stride[which][d];
    }
    while (n > 0) {
        int64_t m = width - col < n ? width - col : n;
        if (p->stride[which][last] == 0) {
            float x;
            h->widen(in + offset, &x, 1);
            for (int64_t i = 0; i < m; i++)
                out[i] = x;
        } else
            h->widen(in + offset + col, out, (size_t)m);
        out += m;
        n -= m;
        col = 0;
        for (uint32_t d = last; d-- > 0;) {
            offset += p->stride[which][d];
            if (++at[d] < p->dim[d])
                break;
            offset -= p->stride[which][d] * p->dim[d];
            at[d] = 0;
        }
    }
}

typedef struct {
    const HostRun *r;
    const Fused *u;
} Running;

static void run_tile(const Running *g, int64_t from, int64_t n, float *slots)
{
    const HalfKernels *h = g->r->device->build.half;
    int64_t tile = g->u->tile;
    for (const Op *o = g->u->op, *end = o + g->u->ops; o < end; o++) {
        float *to = slots + o->to * tile;
        const float *x = slots + o->x * tile, *y = slots + o->y * tile;
        uint16_t *data = g->r->data[o->value];
        switch (o->kind) {
        case OP_LOAD:
            h->widen(data + from, to, (size_t)n);
            break;
        case OP_ROWS:
            load_rows(h, o->plan, o->which, data, from, n, to);
            break;
        case OP_NUMBER:
            h->widen(data, to, 1);
            break;
        case OP_ONE:
            o->row->one(o->call, x, to, n);
            if (o->quirk)
                host_row_quirk_run(o->quirk, x, 1, NULL, 0, to, n);
            h->round(to, (size_t)n);
            break;
        case OP_TWO:
            o->row->two(to, x, !o->x_number, y, !o->y_number, n);
            if (o->quirk)
                host_row_quirk_run(o->quirk, x, !o->x_number, y, !o->y_number, to, n);
            h->round(to, (size_t)n);
            break;
        case OP_SOFTMAX:
            for (int64_t i = 0; i < n; i += o->n)
                h->softmax(x + i, o->n, to + i);
            if (o->quirk)
                host_row_quirk_run(o->quirk, x, 1, NULL, 0, to, n);
            h->round(to, (size_t)n);
            break;
        case OP_STORE:
            h->narrow(x, data + from, (size_t)n);
            break;
        }
    }
}

void host_fused_range(const HostRun *r, const Fused *u, int64_t from, int64_t end)
{
    Running g = {r, u};
    float *slots = scratch_take((size_t)u->slots * (size_t)u->tile * sizeof *slots);
    for (int64_t at = from; at < end; at += u->tile)
        run_tile(&g, at, end - at < u->tile ? end - at : u->tile, slots);
    scratch_give(slots);
}

static void run_part(void *with, uint32_t i)
{
    const Running *g = with;
    int64_t from = (int64_t)i * g->u->part, end = from + g->u->part;
    host_fused_range(g->r, g->u, from, end < g->u->n ? end : g->u->n);
}

void host_fused_run(const HostRun *r, const Fused *u)
{
    Running g = {r, u};
    pool_for(r->device->options.pool, (uint32_t)((u->n + u->part - 1) / u->part), run_part, &g);
}

int64_t host_fused_elems(const Fused *u)
{
    return u->n;
}

int64_t host_fused_row(const Fused *u)
{
    return u->row;
}

/* exec_run.c: runs a step; exec_steps.c has made it ready, exec_tasks.c says when. */
#include "cpu.h"
#include "exec_internal.h"

static void add_scratch(const Exec *e, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += e->scratch[i];
}

bool exec_uses_scratch(const ExecStep *x)
{
    return x->add && (x->step->kind == STEP_MOVE || (x->step->kind == STEP_OP && !(x->kernel->flags & KERNEL_ADDS)));
}

static bool run_op(const Exec *e, const ExecStep *x, uint32_t it, bool add, Buf *why)
{
    KernelArgs k = x->args;
    bool       aside = add && !(x->kernel->flags & KERNEL_ADDS);
    k.in = x->in + (size_t)it * k.ins;
    k.out = aside ? (void *)e->scratch : x->out[it];
    k.add = add;
    k.err = why;
    if (!(cpu_avx2() ? x->kernel->wide : x->kernel->run)(&k))
        return false;
    if (aside)
        add_scratch(e, x->out[it], k.numel);
    return true;
}

static char *open_place(const ExecPlace *p, bool write)
{
    return p->data ? p->data : (char *)surface_lock(p->surface, write) + p->offset;
}

static void close_place(const ExecPlace *p, bool write)
{
    if (!p->data)
        surface_unlock(p->surface, write);
}

/* Large moves are shared: pieces that depend on the size alone. */
enum { MOVE_PIECE = 1 << 16 };
typedef struct {
    const char  *x;
    char        *y;
    Store        from, to;
    bool         cotangent;
    size_t       n;
    atomic_ullong clamped, nonfinite, edge;
} Moving;

static void move_piece(void *with, uint32_t i)
{
    Moving      *m = with;
    size_t       at = (size_t)i * MOVE_PIECE, n = m->n - at < MOVE_PIECE ? m->n - at : MOVE_PIECE;
    ConvertCount count = {0};
    convert(m->x + at * store_bytes[m->from], m->from, m->y + at * store_bytes[m->to], m->to, n, &count);
    if (m->cotangent && m->from == STORE_F16 && m->to == STORE_F16)
        convert_examine((const uint16_t *)(const void *)m->y + at, n, &count);
    if (m->cotangent && count.edge)
        atomic_fetch_add(&m->edge, count.edge);
    if (count.clamped)
        atomic_fetch_add(&m->clamped, count.clamped);
    if (count.nonfinite)
        atomic_fetch_add(&m->nonfinite, count.nonfinite);
}

static void run_move(const Exec *e, const ExecStep *x, uint32_t it, bool add, ConvertCount *count)
{
    const ExecPlace *from = &x->from[it], *to = &x->to[it];
    char            *y = add ? (char *)e->scratch : open_place(to, true);
    Store            store = add ? STORE_F32 : x->to_store;
    if (x->splat)
        convert_fill(x->value, y, store, x->numel, count);
    else {
        Moving m = {.x = open_place(from, false), .y = y, .from = x->from_store, .to = store, .n = x->numel,
                    .cotangent = x->cotangent};
        pool_for(e->pool, (uint32_t)((m.n + MOVE_PIECE - 1) / MOVE_PIECE), move_piece, &m);
        count->clamped += atomic_load(&m.clamped);
        count->nonfinite += atomic_load(&m.nonfinite);
        count->edge += atomic_load(&m.edge);
        close_place(from, false);
    }
    if (add)
        add_scratch(e, (float *)(void *)to->data, x->numel);
    else
        close_place(to, true);
}

static bool run_program(Exec *e, const ExecStep *x, uint32_t it, Buf *why)
{
    if (!x->request[it]) {
        buf_puts(why, "the program was not compiled; exec_bake() comes first");
        return false;
    }
    e->counters.evals++;
    bool ok = request_eval(x->request[it], why);
    e->counters.engine_ns += request_time(x->request[it]).engine_ns;
    if (!ok)
        e->trouble = EXEC_EVAL;
    return ok;
}

bool exec_run_step(Exec *e, const ExecStep *x, uint32_t it, bool fresh, ConvertCount *count, Buf *why)
{
    bool add = x->add && !fresh;
    switch (x->step->kind) {
    case STEP_OP: return run_op(e, x, it, add, why);
    case STEP_MOVE: run_move(e, x, it, add, count); return true;
    case STEP_RUN: return run_program(e, x, it, why);
    case STEP_LOOP: break; /* its body is run */
    }
    return true;
}

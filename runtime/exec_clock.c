/* exec_clock.c: where time goes.
 *
 * The caller's thread is always in exactly one class of time, so the classes add up to the time it spent in the
 * executor whatever runs beside it. What other threads do is counted apart, as busy time. */
#include "exec_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const exec_class_name[EXEC_CLASSES] = {"device",  "cpu ops",   "moves",  "bake",
                                                   "compile", "optimizer", "waiting"};

double exec_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ExecClass switch_at(Exec *e, ExecClass class, double now)
{
    ExecClass before = e->class;
    if (before < EXEC_CLASSES)
        e->counters.seconds[before] += now - e->class_since;
    e->class = class;
    e->class_since = now;
    return before;
}

ExecClass exec_switch(Exec *e, ExecClass class)
{
    return pool_thread() == 0 ? switch_at(e, class, exec_now()) : class;
}

ExecSpan exec_span(Exec *e, ExecClass class)
{
    ExecSpan s = {.start = exec_now(), .class = class};
    if (pool_thread() == 0)
        s.before = switch_at(e, class, s.start);
    return s;
}

double exec_span_end(Exec *e, const ExecSpan *s, const char *name, int32_t index)
{
    double now = exec_now();
    if (pool_thread() == 0)
        switch_at(e, s->before, now);
    else
        atomic_fetch_add(&e->busy_ns, (uint64_t)((now - s->start) * 1e9));
    trace_add(e->options.trace, exec_class_name[s->class], name, index,
              s->class == EXEC_DEVICE || s->class == EXEC_COMPILE, s->start, now);
    return now - s->start;
}

const ExecCounters *exec_counters(const Exec *e)
{
    Exec *own = (Exec *)e;
    own->counters.worker_seconds = 1e-9 * (double)atomic_load(&own->busy_ns);
    return &e->counters;
}

/* ---- profile ---- */

ExecRow *exec_row(Exec *e, const char *name, ExecClass class)
{
    for (uint32_t i = 0; i < e->rows; i++)
        if (e->row[i].class == class && strcmp(e->row[i].name, name) == 0)
            return &e->row[i];
    GROW(e->arena, e->row, e->rows, e->rows_cap);
    e->row[e->rows] = (ExecRow){name, class, 0, 0};
    return &e->row[e->rows++];
}

static int by_time(const void *a, const void *b)
{
    const ExecRow *x = a, *y = b;
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    return strcmp(x->name, y->name);
}

void exec_profile(const Exec *e, Buf *out)
{
    ExecRow            *sorted = xcalloc(e->rows + 1u, sizeof *sorted);
    const ExecCounters *n = exec_counters(e);
    double              total = 0, busy = n->worker_seconds;
    for (int c = 0; c < EXEC_CLASSES; c++)
        total += n->seconds[c];
    if (e->rows)
        memcpy(sorted, e->row, e->rows * sizeof *sorted);
    qsort(sorted, e->rows, sizeof *sorted, by_time);
    buf_printf(out, "%-32s %-9s %10s %10s %6s\n", "step", "where", "calls", "seconds", "share");
    for (uint32_t i = 0; i < e->rows; i++)
        if (sorted[i].calls)
            buf_printf(out, "%-32s %-9s %10llu %10.4f %5.1f%%\n", sorted[i].name, exec_class_name[sorted[i].class],
                       (unsigned long long)sorted[i].calls, sorted[i].seconds,
                       total > 0 ? 100 * sorted[i].seconds / total : 0);
    for (int c = 0; c < EXEC_CLASSES; c++)
        buf_printf(out, "%-32s %-9s %10s %10.4f %5.1f%%\n", "total", exec_class_name[c], "", n->seconds[c],
                   total > 0 ? 100 * n->seconds[c] / total : 0);
    if (n->engine_ns)
        buf_printf(out, "%-32s %-9s %10s %10.4f %5.1f%%\n", "of it on the engine", "device", "", 1e-9 * (double)n->engine_ns,
                   total > 0 ? 1e-7 * (double)n->engine_ns / total : 0);
    buf_printf(out, "%-32s %-9s %10s %10.4f %5.1f%%\n", "beside it", "workers", "", busy,
               total > 0 ? 100 * busy / total : 0);
    buf_printf(out, "%llu programs run, %llu compiled, %llu given new weights; %.1f MB of weights staged\n",
               (unsigned long long)n->evals, (unsigned long long)n->compiles, (unsigned long long)n->reloads,
               (double)n->staged * 1e-6);
    free(sorted);
}

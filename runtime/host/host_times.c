/* host_times.c: the times of the engine that is imitated, from the cost model of its target (target/cost.h): predictions
 * from published figures, in whole nanoseconds, the same on every machine. What the host device itself takes shows
 * nowhere in them. */
#include "host/host.h"
#include "work/mil_work.h"

#include <math.h>
#include <time.h>

Work *host_work(Arena *keep, const char *name, const char *mil, size_t len, uint32_t functions, Buf *err)
{
    Arena *a = arena_new();
    Work *w = NEW_N(keep, Work, functions + 1);
    bool ok = mil_function_work(a, name, mil, len, w, functions, err);
    arena_free(a);
    return ok ? w : NULL;
}

static uint64_t ns_of_ms(double ms)
{
    return (uint64_t)llround(ms * 1e6);
}

ProgramTime host_program_time(const HostDevice *d, const HostText *t, bool reloaded)
{
    const Target *target = d->options.target;
    Work all = {0};
    if (!t->work)
        return (ProgramTime){0};
    if (reloaded)
        return (ProgramTime){.load_ns = ns_of_ms(target->reload_time)};
    for (uint32_t i = 0; i < t->count; i++)
        work_add(&all, &t->work[i]);
    return (ProgramTime){(uint64_t)cost_compile_ns(target, &all), ns_of_ms(target->load)};
}

EvalTime host_eval_time(const HostDevice *d, const Work *w)
{
    uint64_t wall = (uint64_t)cost_run_ns(d->options.target, w);
    uint64_t dispatch = (uint64_t)llround(d->options.target->dispatch * 1e3);
    return (EvalTime){wall, wall > dispatch ? wall - dispatch : 0};
}

uint64_t host_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void host_wait(uint64_t ns)
{
    for (uint64_t now = host_now(); now < ns; now = host_now()) {
        struct timespec t = {(time_t)((ns - now) / 1000000000), (long)((ns - now) % 1000000000)};
        nanosleep(&t, NULL); /* woken early: the loop goes on */
    }
}

/* pool.h: threads that share work.
 *
 * Two kinds of work. pool_for() is a loop whose iterations may run anywhere, in any order: what somebody waits for. A
 * PoolTask runs some time later on one thread: what nobody waits for yet. Threads prefer the former. Whoever waits
 * works. Nothing here decides a result: what an iteration or task computes must depend on its index alone, never on the
 * number of threads or on timing; then the same holds for everything made of them.
 *
 * Idle threads spin for some microseconds, then sleep: a step of training is full of short waits, and a machine that
 * has other things to do gets its processors back. */
#ifndef ANEL_RUNTIME_POOL_H
#define ANEL_RUNTIME_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Pool Pool;

/* `threads` counts the caller: 1 starts none. Fewer are started where the system has no more. */
Pool    *pool_new(uint32_t threads);
void     pool_free(Pool *p); /* NULL is fine; no work may be left */
uint32_t pool_threads(const Pool *p); /* 1 for NULL */
/* The number of the calling thread: 1 .. threads - 1 for those that a pool has started, 0 for all others. */
uint32_t pool_thread(void);
/* Processors this process may use. */
uint32_t pool_processors(void);

/* Call fn(with, i) for every i below n and return when all have. From any thread, also from inside of work. With a
 * NULL pool the calls happen here, in order. */
typedef void PoolFn(void *with, uint32_t i);
void pool_for(Pool *p, uint32_t n, PoolFn *fn, void *with);

/* Owned by the caller, who keeps it until pool_wait() has returned. `rank`: the smallest runs first; equal ones in the
 * order they were submitted. */
typedef struct PoolTask {
    PoolFn  *fn;
    void    *with;
    uint32_t index; /* passed to fn */
    uint32_t rank;
    /* the pool's */
    struct PoolTask *next;
    int              state;
} PoolTask;
/* With one thread it runs in pool_wait(). */
void pool_submit(Pool *p, PoolTask *t);
bool pool_done(Pool *p, PoolTask *t);
/* Return when `t` has run. Runs it, or others meanwhile. A task that is yet to be submitted, by one that runs, has
 * state 0. */
void pool_wait(Pool *p, PoolTask *t);

#endif

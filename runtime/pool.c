/* pool.c: see pool.h. One lock guards both lists; pieces of work are tens of microseconds at least, so it is hardly ever
 * contended. */
#include "pool.h"

#include "base/arena.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINS = 4000 }; /* looks at the lists before sleeping: some tens of microseconds */
enum { TASK_WAITING = 1, TASK_RUNNING, TASK_DONE };

/* A loop; lives on the stack of whoever waits for it. */
typedef struct Loop {
    PoolFn      *fn;
    void        *with;
    uint32_t     n, next; /* next: first iteration nobody has taken */
    atomic_uint  done;
    struct Loop *link;
} Loop;

struct Pool {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    pthread_t      *thread;
    uint32_t        threads, sleeping;
    Loop           *loop; /* with iterations left; the newest first, because others may wait for it */
    PoolTask       *task; /* waiting, by rank */
    bool            end;
    atomic_uint     started; /* threads that have begun */
    atomic_uint     event; /* counts whatever a waiting thread may wait for */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Something happened that a waiting thread may look at; the lock is held. */
static void announce(Pool *p)
{
    atomic_fetch_add(&p->event, 1);
    if (p->sleeping)
        pthread_cond_broadcast(&p->wake);
}

/* Wait until `event` is no longer `seen`. The lock is held, and given up meanwhile. */
static void await(Pool *p, unsigned seen)
{
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < SPINS && atomic_load(&p->event) == seen; i++)
        if (i % 64 == 63)
            sched_yield(); /* another process may want this processor */
        else
            relax();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->event) == seen) {
        p->sleeping++;
        pthread_cond_wait(&p->wake, &p->lock);
        p->sleeping--;
    }
}

/* One iteration of `l`, which has some left. The lock is held, and given up meanwhile. */
static void iterate(Pool *p, Loop *l)
{
    uint32_t i = l->next++;
    if (l->next == l->n)
        for (Loop **at = &p->loop; *at; at = &(*at)->link)
            if (*at == l) {
                *at = l->link;
                break;
            }
    pthread_mutex_unlock(&p->lock);
    l->fn(l->with, i);
    pthread_mutex_lock(&p->lock);
    if (atomic_fetch_add(&l->done, 1) + 1 == l->n)
        announce(p); /* from here on `l` may be gone */
}

static void run_task(Pool *p, PoolTask *t)
{
    for (PoolTask **at = &p->task; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    t->state = TASK_RUNNING;
    pthread_mutex_unlock(&p->lock);
    t->fn(t->with, t->index);
    pthread_mutex_lock(&p->lock);
    t->state = TASK_DONE;
    announce(p);
}

static _Thread_local uint32_t thread_number;

uint32_t pool_thread(void)
{
    return thread_number;
}

static void *work(void *with)
{
    Pool *p = with;
    thread_number = atomic_fetch_add(&p->started, 1) + 1;
    pthread_mutex_lock(&p->lock);
    while (!p->end) {
        unsigned seen = atomic_load(&p->event);
        if (p->loop)
            iterate(p, p->loop);
        else if (p->task)
            run_task(p, p->task);
        else
            await(p, seen);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

Pool *pool_new(uint32_t threads)
{
    Pool *p = xcalloc(1, sizeof *p);
    p->threads = threads ? threads : 1;
    p->thread = xcalloc(p->threads, sizeof *p->thread);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (uint32_t i = 1; i < threads; i++)
        if (pthread_create(&p->thread[i], NULL, work, p) != 0) {
            p->threads = i; /* a system at its limit: the same results, later; nobody reads it before this returns */
            break;
        }
    return p;
}

void pool_free(Pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->end = true;
    announce(p);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 1; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}

uint32_t pool_threads(const Pool *p)
{
    return p ? p->threads : 1;
}

uint32_t pool_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

void pool_for(Pool *p, uint32_t n, PoolFn *fn, void *with)
{
    if (!p || p->threads == 1 || n < 2) {
        for (uint32_t i = 0; i < n; i++)
            fn(with, i);
        return;
    }
    Loop l = {.fn = fn, .with = with, .n = n};
    pthread_mutex_lock(&p->lock);
    l.link = p->loop;
    p->loop = &l;
    announce(p);
    while (l.next < n)
        iterate(p, &l);
    for (;;) {
        unsigned seen = atomic_load(&p->event);
        if (atomic_load(&l.done) == n)
            break;
        await(p, seen);
    }
    pthread_mutex_unlock(&p->lock);
}

void pool_submit(Pool *p, PoolTask *t)
{
    pthread_mutex_lock(&p->lock);
    PoolTask **at = &p->task;
    while (*at && (*at)->rank <= t->rank)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    t->state = TASK_WAITING;
    announce(p);
    pthread_mutex_unlock(&p->lock);
}

bool pool_done(Pool *p, PoolTask *t)
{
    pthread_mutex_lock(&p->lock);
    bool done = t->state == TASK_DONE;
    pthread_mutex_unlock(&p->lock);
    return done;
}

void pool_wait(Pool *p, PoolTask *t)
{
    pthread_mutex_lock(&p->lock);
    while (t->state != TASK_DONE) {
        unsigned seen = atomic_load(&p->event);
        if (t->state == TASK_WAITING)
            run_task(p, t);
        else if (p->loop)
            iterate(p, p->loop);
        else if (p->task)
            run_task(p, p->task);
        else
            await(p, seen);
    }
    pthread_mutex_unlock(&p->lock);
}

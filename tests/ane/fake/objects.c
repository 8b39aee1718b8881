/* objects.c: reference counts, pools and messages. */
#include "fake.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Object         *living, *dead; /* dead: kept, so that using one is noticed */
static Finalizer      *finalizer[KINDS];
atomic_bool            fake_hung;

void misuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("fake framework: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void *object_new(Kind kind, size_t size)
{
    Object *o = calloc(1, size);
    if (!o)
        misuse("out of memory");
    o->isa = &class_of_kind[kind];
    o->kind = kind;
    o->refs = 1;
    pthread_mutex_lock(&lock);
    o->next = living;
    if (living)
        living->prev = o;
    living = o;
    pthread_mutex_unlock(&lock);
    return o;
}

void *object_check(const void *p, Kind kind, const char *what)
{
    const Object *o = p;
    if (!o)
        misuse("%s: NULL where a %s is wanted", what, class_of_kind[kind].name);
    if (o->isa < class_of_kind || o->isa >= class_of_kind + KINDS)
        misuse("%s: %p is no object", what, p);
    if (o->refs <= 0)
        misuse("%s: a %s is used after it was freed", what, o->isa->name);
    if (o->kind != kind)
        misuse("%s: a %s where a %s is wanted", what, o->isa->name, class_of_kind[kind].name);
    return (void *)(uintptr_t)o;
}

void object_finalizer(Kind kind, Finalizer *f)
{
    finalizer[kind] = f;
}

void object_retain(void *p)
{
    Object *o = p;
    pthread_mutex_lock(&lock);
    if (o->refs <= 0)
        misuse("a freed %s is retained", o->isa->name);
    o->refs++;
    pthread_mutex_unlock(&lock);
}

void object_release(void *p)
{
    Object *o = p;
    pthread_mutex_lock(&lock);
    if (o->refs <= 0)
        misuse("a %s is released once too often", o->isa->name);
    bool last = o->refs == 1;
    if (!last)
        o->refs--;
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    if (finalizer[o->kind])
        finalizer[o->kind](o);
    pthread_mutex_lock(&lock);
    o->refs = 0; /* the memory stays: a later use is recognised */
    if (o->prev)
        o->prev->next = o->next;
    else
        living = o->next;
    if (o->next)
        o->next->prev = o->prev;
    o->prev = NULL;
    o->next = dead;
    dead = o;
    pthread_mutex_unlock(&lock);
}

/* ---- autorelease pools: one stack per thread ---- */

enum { POOL_MAX = 4096, POOLS_MAX = 64 };
static _Thread_local struct {
    void    *object[POOL_MAX];
    unsigned count, begin[POOLS_MAX], pools;
} pool;

static unsigned pools_open(void)
{
    return pool.pools;
}

/* A thread that ends has popped what it pushed. */
static pthread_key_t  end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

static void thread_ends(void *unused)
{
    (void)unused;
    if (pools_open())
        misuse("a thread ends with an autorelease pool that is never popped");
}

static void make_end_key(void)
{
    pthread_key_create(&end_key, thread_ends);
}

EXPORT void *objc_autoreleasePoolPush(void);
EXPORT void  objc_autoreleasePoolPop(void *token);
EXPORT void *objc_retain(void *o);
EXPORT void  objc_release(void *o);

void *objc_autoreleasePoolPush(void)
{
    pthread_once(&end_once, make_end_key);
    pthread_setspecific(end_key, &pool);
    if (pool.pools == POOLS_MAX)
        misuse("%d nested autorelease pools: one is never popped", POOLS_MAX);
    pool.begin[pool.pools++] = pool.count;
    return (void *)(uintptr_t)pool.pools;
}

void objc_autoreleasePoolPop(void *token)
{
    if ((uintptr_t)token != pool.pools)
        misuse("autorelease pools are popped out of order");
    unsigned from = pool.begin[--pool.pools];
    while (pool.count > from)
        object_release(pool.object[--pool.count]);
}

void *object_autorelease(void *o)
{
    if (!pool.pools)
        misuse("a %s is autoreleased without a pool: it leaks", ((Object *)o)->isa->name);
    if (pool.count == POOL_MAX)
        misuse("an autorelease pool grows without end");
    pool.object[pool.count++] = o;
    return o;
}

void *objc_retain(void *o)
{
    if (o)
        object_retain(o);
    return o;
}

void objc_release(void *o)
{
    if (o)
        object_release(o);
}

/* ---- at the end ---- */

void object_report_leaks(void)
{
    unsigned count[KINDS] = {0}, all = 0;
    if (fake_hung) /* what an evaluation that never returns has in its hands cannot be released */
        return;
    if (pools_open())
        misuse("an autorelease pool is never popped");
    for (const Object *o = living; o; o = o->next, all++)
        count[o->kind]++;
    if (!all)
        return;
    fprintf(stderr, "fake framework: %u objects are left at the end:", all);
    for (int k = 0; k < KINDS; k++)
        if (count[k])
            fprintf(stderr, " %u x %s", count[k], class_of_kind[k].name);
    fputc('\n', stderr);
    _Exit(97);
}

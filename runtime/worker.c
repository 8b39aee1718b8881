/* worker.c: see worker.h. */
#include "worker.h"

#include "base/arena.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct Worker {
    pthread_mutex_t lock;
    pthread_cond_t  wake, done;
    pthread_t       thread;
    void (*fn)(void *with); /* NULL: nothing to do */
    void *with;
    bool  end, wedged;
};

static void *work(void *with)
{
    Worker *w = with;
    pthread_mutex_lock(&w->lock);
    while (!w->end) {
        if (!w->fn) {
            pthread_cond_wait(&w->wake, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        w->fn(w->with);
        pthread_mutex_lock(&w->lock);
        w->fn = NULL;
        pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

Worker *worker_new(void)
{
    Worker *w = xcalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    pthread_cond_init(&w->done, NULL);
    if (pthread_create(&w->thread, NULL, work, w) == 0)
        return w;
    free(w);
    return NULL;
}

bool worker_call(Worker *w, void (*fn)(void *with), void *with, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* what condition variables count by on every system */
    double whole = floor(seconds);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((seconds - whole) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&w->lock);
    w->with = with;
    w->fn = fn;
    pthread_cond_signal(&w->wake);
    int rc = 0;
    while (w->fn && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&w->done, &w->lock, &until);
    w->wedged = w->fn != NULL;
    bool ok = !w->wedged;
    pthread_mutex_unlock(&w->lock);
    return ok;
}

void worker_free(Worker *w)
{
    if (!w || w->wedged)
        return;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

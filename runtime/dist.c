/* dist.c: jobs of one rank, and the requests that larger ones make of the thread that owns MPI; see dist.h. */
#include "dist_driver.h"

#include "base/hash.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- what launchers leave in the environment ---- */

/* Open MPI; MPICH, Intel MPI and others with Hydra; what speaks PMIx (there the size is only known to Slurm). */
static const char *const rank_name[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
static const char *const size_name[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};

static const char *first_of(const char *const *name, size_t n)
{
    const char *value = NULL;
    for (size_t i = 0; i < n && !value; i++)
        value = getenv(name[i]);
    return value;
}

/* Processes the launcher started; 0: there was none. */
static unsigned long launched(void)
{
    const char *size = first_of(size_name, COUNT(size_name));
    if (!size && getenv("PMIX_RANK"))
        size = getenv("SLURM_NTASKS");
    return size ? strtoul(size, NULL, 10) : 0;
}

bool dist_spokesman(void)
{
    const char *rank = first_of(rank_name, COUNT(rank_name));
    return !launched() || !rank || strtoul(rank, NULL, 10) == 0;
}

/* ---- life ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Dist *dist_new(void)
{
    Dist *d = xcalloc(1, sizeof *d);
    d->size = d->local = 1;
    d->alone = true;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    pthread_cond_init(&d->answer, NULL);
    return d;
}

static void dist_free(Dist *d)
{
    pthread_cond_destroy(&d->answer);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    buf_free(&d->why);
    free(d);
}

Dist *dist_open(bool insist, Buf *err)
{
    unsigned long size = launched();
    if ((size > 1 || insist) && !dist_driver_built()) {
        if (size > 1)
            buf_printf(err, "one of %lu processes of a job, but anerun was built without MPI: each would train alone. ", size);
        else
            buf_puts(err, "--mpi: anerun was built without MPI. ");
        buf_puts(err, "Install MPI (Debian: libopenmpi-dev, Homebrew: open-mpi), then 'meson setup --reconfigure "
                      "-Dmpi=enabled' and build");
        return NULL;
    }
    Dist *d = dist_new();
    if (size < 2 && !insist)
        return d;
    d->alone = false;
    if (pthread_create(&d->thread, NULL, dist_driver_run, d) != 0) {
        buf_puts(err, "no thread for MPI: the system is at its limit");
        dist_free(d);
        return NULL;
    }
    pthread_mutex_lock(&d->lock);
    while (!d->started && !d->failed_to_start)
        pthread_cond_wait(&d->answer, &d->lock);
    pthread_mutex_unlock(&d->lock);
    if (!d->failed_to_start)
        return d;
    pthread_join(d->thread, NULL);
    buf_puts(err, d->why.data);
    dist_free(d);
    return NULL;
}

/* Have the thread do it, and wait. */
static void ask(Dist *d, DistOp *op)
{
    pthread_mutex_lock(&d->lock);
    d->op = op;
    pthread_cond_signal(&d->wake);
    while (d->op)
        pthread_cond_wait(&d->answer, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

void dist_close(Dist *d)
{
    if (!d)
        return;
    if (!d->alone) {
        ask(d, &(DistOp){.kind = DIST_LEAVE});
        pthread_join(d->thread, NULL);
    }
    dist_free(d);
}

uint32_t dist_rank(const Dist *d)
{
    return d ? d->rank : 0;
}

uint32_t dist_size(const Dist *d)
{
    return d ? d->size : 1;
}

uint32_t dist_local_rank(const Dist *d)
{
    return d ? d->local_rank : 0;
}

uint32_t dist_local(const Dist *d)
{
    return d ? d->local : 1;
}

void dist_fail(Dist *d, const char *message)
{
    const char *none = NULL;
    char       *copy = xmalloc(strlen(message) + 1);
    strcpy(copy, message);
    atomic_compare_exchange_strong(&d->message, &none, copy);
    pthread_mutex_lock(&d->lock);
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    for (;;) /* the thread ends the process */
        pause();
}

/* ---- small things ---- */

void dist_sum(Dist *d, double *x, size_t n)
{
    if (dist_size(d) > 1 && n)
        ask(d, &(DistOp){.kind = DIST_SUM, .x = x, .n = n});
}

void dist_max(Dist *d, double *x, size_t n)
{
    if (dist_size(d) > 1 && n)
        ask(d, &(DistOp){.kind = DIST_MAX, .x = x, .n = n});
}

bool dist_same(Dist *d, const void *bytes, size_t n)
{
    uint32_t size = dist_size(d), odd = 0;
    uint64_t h = hash_u64(bytes, n);
    double  *all = xcalloc((size_t)size * 2, sizeof *all); /* halves of a hash are exact */
    all[2 * dist_rank(d)] = (double)(h >> 32);
    all[2 * dist_rank(d) + 1] = (double)(h & 0xffffffffu);
    dist_sum(d, all, (size_t)size * 2);
    for (uint32_t i = size; i-- > 1;)
        if (all[2 * i] != all[0] || all[2 * i + 1] != all[1])
            odd = i;
    if (odd && odd != dist_rank(d))
        dist_sum(d, all, 1); /* never completes: the odd one does not come */
    free(all);
    return !odd;
}

/* ---- sums of large memory ---- */

/* Cut spans into pieces and put pieces into messages. Called twice: to count, and to fill in. */
static void cut(DistReduce *r, const DistSpan *span, uint32_t spans, size_t most, bool fill)
{
    uint32_t    pieces = 0, messages = 0;
    DistMessage now_open = {0};
    for (uint32_t i = 0; i < spans; i++)
        for (size_t at = 0; at < span[i].n;) {
            size_t n = span[i].n - at < most ? span[i].n - at : most;
            if (now_open.n && now_open.n + n > most) {
                if (fill)
                    r->message[messages] = now_open;
                messages++;
                now_open = (DistMessage){.first = pieces};
            }
            if (fill)
                r->piece[pieces] = (DistPiece){span[i].at + at, n, i};
            pieces++;
            now_open.pieces++;
            now_open.n += n;
            at += n;
        }
    if (now_open.n) {
        if (fill)
            r->message[messages] = now_open;
        messages++;
    }
    r->pieces = pieces;
    r->messages = messages;
}

DistReduce *dist_reduce_new(Dist *d, const DistSpan *span, uint32_t spans, size_t bytes)
{
    DistReduce *r = xcalloc(1, sizeof *r);
    size_t      most = bytes / sizeof(float);
    most = most < 1 ? 1 : most > INT_MAX ? INT_MAX : most; /* MPI counts in int */
    r->dist = d;
    r->spans = spans;
    r->ready = xcalloc(spans + 1u, sizeof *r->ready);
    cut(r, span, spans, most, false);
    r->piece = xcalloc(r->pieces + 1u, sizeof *r->piece);
    r->message = xcalloc(r->messages + 1u, sizeof *r->message);
    cut(r, span, spans, most, true);
    for (uint32_t i = 0; i < r->messages; i++)
        if (r->message[i].pieces > 1 && r->message[i].n > r->longest)
            r->longest = r->message[i].n;
    return r;
}

void dist_reduce_free(DistReduce *r)
{
    if (!r)
        return;
    dist_driver_release(r);
    free(r->ready);
    free(r->piece);
    free(r->message);
    free(r);
}

void dist_reduce_start(DistReduce *r)
{
    Dist *d = r->dist;
    if (d->alone)
        return;
    pthread_mutex_lock(&d->lock);
    memset(r->ready, 0, r->spans * sizeof *r->ready);
    r->started = r->done = 0;
    r->active = r->messages > 0;
    r->began = 0;
    d->reduce = r->active ? r : NULL;
    pthread_mutex_unlock(&d->lock);
}

void dist_reduce_ready(DistReduce *r, uint32_t i)
{
    Dist *d = r->dist;
    if (d->alone)
        return;
    pthread_mutex_lock(&d->lock);
    r->ready[i] = true;
    if (r->began == 0)
        r->began = now();
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
}

void dist_reduce_wait(DistReduce *r)
{
    Dist  *d = r->dist;
    double before = now();
    if (d->alone)
        return;
    pthread_mutex_lock(&d->lock);
    r->waiting = true;
    while (r->active)
        pthread_cond_wait(&d->answer, &d->lock);
    r->waiting = false;
    double after = now();
    if (r->began > 0)
        r->stats.seconds += after - r->began;
    r->stats.waited += after - before;
    pthread_mutex_unlock(&d->lock);
}

DistReduceStats dist_reduce_stats(const DistReduce *r)
{
    return r->stats;
}

/* ---- sums in an order of the caller's ---- */

void dist_fold(Dist *d, float **part, const uint32_t *parts, size_t n, float *out, DistFold *fold, void *with)
{
    if (!n)
        return;
    if (dist_size(d) > 1) {
        ask(d, &(DistOp){.kind = DIST_FOLD, .part = part, .parts = parts, .n = n, .out = out, .fold = fold, .with = with});
        return;
    }
    const float *sum = fold(with, part, n);
    if (sum != out)
        memcpy(out, sum, n * sizeof *out);
}

/* ranks.c: what dist.h promises, checked by all ranks of a job: mpirun -np N ranks. Prints "ranks: fine" once.
 *
 * Numbers are small integers, so that sums are exact in any order. `ranks fail R` lets rank R fail while the others wait
 * for its gradients. */
#include "base/arena.h"
#include "runtime/dist.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Dist *job;

static void require(bool ok, const char *what)
{
    if (!ok)
        dist_fail(job, what);
}

static float value(uint32_t rank, uint32_t round, uint32_t span, size_t i)
{
    return (float)((rank + 1) * (i % 11 + 1) + round + span % 7);
}

/* ---- sums of spans ---- */

enum { SPANS = 23, ROUNDS = 12, THREADS = 3 };

typedef struct {
    DistReduce *reduce;
    DistSpan    span[SPANS];
    uint32_t    round, thread;
} Work;

/* Each thread fills every third span, the last ones first, at its own pace. */
static void *fill(void *with)
{
    const Work *w = with;
    uint32_t    rank = dist_rank(job);
    for (uint32_t k = SPANS; k-- > 0;) {
        if (k % THREADS != w->thread)
            continue;
        for (size_t i = 0; i < w->span[k].n; i++)
            w->span[k].at[i] = value(rank, w->round, k, i);
        if ((k + w->round + rank) % 5 == 0)
            usleep(300 * (rank + 1));
        dist_reduce_ready(w->reduce, k);
    }
    return NULL;
}

static void sums_of_spans(size_t message_bytes)
{
    Work   w = {0};
    size_t numbers = 0;
    for (uint32_t k = 0; k < SPANS; k++) {
        w.span[k].n = k % 6 == 5 ? 5000 + k : k * k % 37; /* some empty, some larger than a message */
        w.span[k].at = xcalloc(w.span[k].n + 1, sizeof(float));
        numbers += w.span[k].n;
    }
    w.reduce = dist_reduce_new(job, w.span, SPANS, message_bytes);
    for (w.round = 0; w.round < ROUNDS; w.round++) {
        pthread_t thread[THREADS];
        Work      own[THREADS];
        dist_reduce_start(w.reduce);
        for (uint32_t t = 0; t < THREADS; t++) {
            own[t] = w;
            own[t].thread = t;
            require(pthread_create(&thread[t], NULL, fill, &own[t]) == 0, "no thread");
        }
        if (w.round % 2) /* waiting begins before or after everything is ready */
            dist_reduce_wait(w.reduce);
        for (uint32_t t = 0; t < THREADS; t++)
            pthread_join(thread[t], NULL);
        if (w.round % 2 == 0)
            dist_reduce_wait(w.reduce);
        for (uint32_t k = 0; k < SPANS; k++)
            for (size_t i = 0; i < w.span[k].n; i++) {
                float sum = 0;
                for (uint32_t r = 0; r < dist_size(job); r++)
                    sum += value(r, w.round, k, i);
                require(w.span[k].at[i] == sum, "a sum of spans is wrong");
            }
    }
    DistReduceStats stats = dist_reduce_stats(w.reduce);
    require(stats.bytes == numbers * sizeof(float) * ROUNDS, "other bytes were sent than there are");
    require(stats.messages >= stats.bytes / message_bytes, "messages are larger than asked for");
    dist_reduce_free(w.reduce);
    for (uint32_t k = 0; k < SPANS; k++)
        free(w.span[k].at);
}

/* ---- folds ---- */

/* In an order that matters: ((in0 * 2 + in1) * 2 + in2) ... */
static float *horner(void *with, float **in, size_t n)
{
    uint32_t parts = *(const uint32_t *)with;
    for (uint32_t k = 1; k < parts; k++)
        for (size_t i = 0; i < n; i++)
            in[k][i] += 2 * in[k - 1][i];
    return in[parts - 1];
}

/* Rank r has r % 3 + 1 vectors. */
static void folds(size_t n)
{
    uint32_t ranks = dist_size(job), me = dist_rank(job), all = 0, first = 0, *parts = xcalloc(ranks, sizeof *parts);
    float   *part[3];
    for (uint32_t r = 0; r < ranks; r++) {
        first = r == me ? all : first;
        all += parts[r] = r % 3 + 1;
    }
    for (uint32_t k = 0; k < parts[me]; k++) {
        part[k] = xcalloc(n, sizeof **part);
        for (size_t i = 0; i < n; i++)
            part[k][i] = (float)((first + k) * 3 + i % 7);
    }
    dist_fold(job, part, parts, n, part[0], horner, &all);
    for (size_t i = 0; i < n; i++) {
        float expected = 0;
        for (uint32_t k = 0; k < all; k++)
            expected = 2 * expected + (float)(k * 3 + i % 7);
        require(part[0][i] == expected, "a fold is wrong");
    }
    for (uint32_t k = 0; k < parts[me]; k++)
        free(part[k]);
    free(parts);
}

static void small_things(void)
{
    uint32_t ranks = dist_size(job), me = dist_rank(job);
    double   x[3] = {me + 1.0, -(double)me, 0.5}, y[2] = {(double)me, -(double)me};
    dist_sum(job, x, 3);
    require(x[0] == ranks * (ranks + 1) / 2.0 && x[1] == -(ranks * (ranks - 1.0)) / 2 && x[2] == 0.5 * ranks, "dist_sum");
    dist_max(job, y, 2);
    require(y[0] == ranks - 1 && y[1] == 0, "dist_max");
    require(dist_same(job, "the same", 8), "dist_same");
    require(dist_local(job) == ranks, "ranks of one machine");
}

int main(int argc, char **argv)
{
    Buf err = {0};
    if (!(job = dist_open(true, &err))) {
        fprintf(stderr, "%s\n", err.data);
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "fail") == 0) {
        float       number = 1;
        DistReduce *r = dist_reduce_new(job, &(DistSpan){&number, 1}, 1, 4);
        dist_reduce_start(r);
        if (dist_rank(job) == strtoul(argv[2], NULL, 10))
            dist_fail(job, "this rank fails");
        dist_reduce_ready(r, 0);
        dist_reduce_wait(r); /* for ever */
        return 0;
    }
    small_things();
    sums_of_spans(4096);
    sums_of_spans(1 << 24);
    folds(1);
    folds(1000);
    folds((1 << 20) + 12345); /* more than travels at a time */
    if (dist_rank(job) == 0)
        puts("ranks: fine");
    dist_close(job);
    return 0;
}

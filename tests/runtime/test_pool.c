/* Threads that share work: everything is done once, whoever does it, and products have the same bits for any number. */
#include "gemm.h"
#include "pool.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1000 };

typedef struct {
    Pool      *pool;
    atomic_int count[N];
    atomic_int inner;
} Work;

static void once(void *with, uint32_t i)
{
    atomic_fetch_add(&((Work *)with)->count[i], 1);
}

static void inner(void *with, uint32_t i)
{
    (void)i;
    atomic_fetch_add(&((Work *)with)->inner, 1);
}

static void nested(void *with, uint32_t i)
{
    once(with, i);
    pool_for(((Work *)with)->pool, 5, inner, with);
}

Test(pool, every_iteration_runs_once)
{
    for (uint32_t threads = 1; threads <= 4; threads++) {
        Work  w = {.pool = pool_new(threads)};
        Pool *p = w.pool;
        cr_assert_eq(pool_threads(p), threads);
        for (int round = 1; round <= 20; round++) {
            pool_for(p, N, once, &w);
            for (int i = 0; i < N; i++)
                cr_assert_eq(atomic_load(&w.count[i]), round);
        }
        pool_free(p);
    }
}

Test(pool, loops_nest)
{
    Work w = {.pool = pool_new(3)};
    pool_for(w.pool, 100, nested, &w);
    cr_assert_eq(atomic_load(&w.inner), 500);
    pool_free(w.pool);
}

Test(pool, no_pool_is_the_caller_alone)
{
    static Work w;
    pool_for(NULL, N, once, &w);
    for (int i = 0; i < N; i++)
        cr_assert_eq(atomic_load(&w.count[i]), 1);
    cr_assert_eq(pool_threads(NULL), 1u);
}

static void wait_for_first(void *with, uint32_t i)
{
    Work *w = with;
    nested(w, i);
}

Test(pool, tasks_run_once_and_can_be_waited_for)
{
    for (uint32_t threads = 1; threads <= 4; threads++) {
        Work     w = {.pool = pool_new(threads)};
        PoolTask task[50];
        for (uint32_t i = 0; i < 50; i++) {
            task[i] = (PoolTask){.fn = wait_for_first, .with = &w, .index = i, .rank = i % 7};
            pool_submit(w.pool, &task[i]);
        }
        pool_for(w.pool, N - 50, inner, &w);
        for (uint32_t i = 50; i-- > 0;) {
            pool_wait(w.pool, &task[i]);
            cr_assert(pool_done(w.pool, &task[i]) == true);
        }
        for (int i = 0; i < 50; i++)
            cr_assert_eq(atomic_load(&w.count[i]), 1);
        cr_assert_eq(atomic_load(&w.inner), N - 50 + 250);
        pool_free(w.pool);
    }
}

static uint32_t order[8], ordered;

static void note(void *with, uint32_t i)
{
    (void)with;
    order[ordered++] = i;
}

Test(pool, tasks_of_one_thread_run_by_rank)
{
    Pool    *p = pool_new(1);
    PoolTask task[4];
    uint32_t rank[4] = {3, 1, 2, 1};
    for (uint32_t i = 0; i < 4; i++) {
        task[i] = (PoolTask){.fn = note, .index = i, .rank = rank[i]};
        pool_submit(p, &task[i]);
    }
    for (uint32_t i = 4; i-- > 0;)
        pool_wait(p, &task[i]);
    cr_assert_eq(ordered, 4u);
    cr_assert_eq(order[0], 3u); /* the one that is waited for comes first */
    pool_free(p);
}

/* ---- products ---- */

static float *numbers(size_t n, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(seed, i);
    return x;
}

Test(gemm, agrees_with_the_definition_and_between_thread_counts)
{
    static const int shape[][3] = {{1, 1, 1}, {3, 5, 7}, {64, 512, 33}, {300, 65, 129}, {700, 40, 900}, {40, 700, 900}};
    gemm_init();
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int flags = 0; flags < 8; flags++) {
            bool   ta = flags & 1, tb = flags & 2, add = flags & 4;
            int    m = shape[s][0], n = shape[s][1], k = shape[s][2];
            size_t count = 2, sa = (size_t)m * (size_t)k, sb = (size_t)k * (size_t)n, sc = (size_t)m * (size_t)n;
            float *a = numbers(count * sa, 1), *b = numbers(count * sb, 2), *start = numbers(count * sc, 3), *c[4];
            for (uint32_t t = 0; t < 4; t++) {
                Pool *p = t ? pool_new(t) : NULL;
                c[t] = malloc(count * sc * sizeof(float));
                memcpy(c[t], start, count * sc * sizeof(float));
                gemm_f32_batch(p, (uint32_t)count, ta, tb, m, n, k, a, ta ? m : k, sa, b, tb ? k : n, sb, c[t], n, sc,
                               add);
                pool_free(p);
                cr_assert(memcmp(c[t], c[0], count * sc * sizeof(float)) == 0);
            }
            for (size_t q = 0; q < count; q++)
                for (size_t i = 0; i < (size_t)m; i++)
                    for (size_t j = 0; j < (size_t)n; j++) {
                        size_t at = q * sc + i * (size_t)n + j;
                        double sum = add ? (double)start[at] : 0, size = sum < 0 ? -sum : sum;
                        for (size_t l = 0; l < (size_t)k; l++) {
                            double x = (double)a[q * sa + (ta ? l * (size_t)m + i : i * (size_t)k + l)] *
                                       (double)b[q * sb + (tb ? j * (size_t)k + l : l * (size_t)n + j)];
                            sum += x;
                            size += x < 0 ? -x : x;
                        }
                        /* each of k additions and products rounds by at most 2^-24 of the partial sum */
                        cr_assert_float_eq((double)c[0][at], sum, (k + 1) * 0x1p-24 * size);
                    }
            free(a), free(b), free(start);
            for (int t = 0; t < 4; t++)
                free(c[t]);
        }
}

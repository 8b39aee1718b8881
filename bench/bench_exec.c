/* bench_exec.c: where the time of a training step goes, for any plan: bake, forward, backward, by operation.
 *
 *     bench_exec PLAN [ROUNDS [THREADS]]
 *
 * Parameters are random, tokens too; the optimizer changes nothing. Weights are made anew in every round, and the rate at
 * which this happens is compared with that of a plain copy of large memory by the same threads, measured in between. */
#include "base/rng.h"
#include "exec.h"
#include "gemm.h"
#include "slab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COPY = 256 << 20, PIECE = 1 << 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const Buf *err)
{
    fprintf(stderr, "bench_exec: %s\n", err->data);
    return 1;
}

static void copy_piece(void *with, uint32_t i)
{
    char *const *memory = with;
    memcpy(memory[1] + (size_t)i * PIECE, memory[0] + (size_t)i * PIECE, PIECE);
}

/* Bytes read and written per second. */
static double copy_rate(Pool *pool, char *const *memory)
{
    double t0 = now();
    pool_for(pool, COPY / PIECE, copy_piece, (void *)memory);
    return 2.0 * COPY / (now() - t0);
}

static bool always(void *with, bool overflowed)
{
    (void)with, (void)overflowed;
    return true;
}

static void nothing(void *with, uint32_t param, size_t from, size_t n)
{
    (void)with, (void)param, (void)from, (void)n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n ? x[n / 2] : 0;
}

int main(int argc, char **argv)
{
    Buf         err = {0}, out = {0};
    Arena      *a = arena_new();
    const char *dir = argc > 1 ? argv[1] : "plan";
    int         rounds = argc > 2 ? atoi(argv[2]) : 5;
    uint32_t    threads = argc > 3 ? (uint32_t)atoi(argv[3]) : pool_processors();
    double      t0 = now(), copied[64], baked[64];
    gemm_init();
    Pool   *pool = pool_new(threads);
    Plan   *p = plan_open(a, dir, NULL, &err);
    Device *d = p ? device_open("host", &(DeviceOptions){.pool = pool}, &err) : NULL;
    Exec   *e = d ? exec_open(p, dir, d, &(ExecOptions){.pool = pool}, &err) : NULL;
    if (!e)
        return fail(&err);
    rounds = rounds < 1 ? 1 : rounds > 64 ? 64 : rounds;
    printf("open        %8.3f s   %.1f MiB   %u threads   products by %s\n", now() - t0, (double)exec_bytes(e) / 1048576,
           pool_threads(pool), gemm_library());
    t0 = now();
    exec_init_params(e, 1);
    printf("init        %8.3f s   %zu floats\n", now() - t0, exec_floats(p));
    Slab     from = slab_new(COPY), to = slab_new(COPY);
    char    *memory[2] = {from.data, to.data};
    uint32_t entry = p->train_entry ? exec_entry(e, p->train_entry) : 0;
    for (uint32_t k = 0; k < p->entry[entry].inputs; k++) {
        const PlanInput *in = &p->entry[entry].input[k];
        int64_t          n = plan_numel(p->buffer[in->buffer].shape);
        for (int64_t i = 0; i < n; i++)
            if (in->kind == IN_TOKENS)
                ((int32_t *)exec_input(e, entry, k))[i] = (int32_t)(rng_uniform(k, (uint64_t)i) * in->vocab);
            else if (in->kind != IN_INT)
                ((float *)exec_input(e, entry, k))[i] = 1;
    }
    if (!exec_bake(e, entry, EXEC_FORWARD | EXEC_BACKWARD, &err))
        return fail(&err);
    const ExecTrainer trainer = {.decide = always, .update = nothing};
    bool              updated;
    for (int r = 0; r < rounds; r++) {
        copied[r] = copy_rate(pool, memory);
        double t2 = now();
        exec_begin_window(e, 1, &trainer);
        if (!exec_forward(e, entry, &err))
            return fail(&err);
        double t4 = now();
        if (p->entry[entry].backwards && (!exec_backward(e, entry, &err) || !exec_update(e, entry, &err)))
            return fail(&err);
        double       t5 = now();
        ExecCounters before = *exec_counters(e);
        if (!exec_end_window(e, entry, &updated, &err))
            return fail(&err);
        const ExecCounters *after = exec_counters(e);
        double              bake = after->seconds[EXEC_BAKE] - before.seconds[EXEC_BAKE];
        baked[r] = (double)(after->baked - before.baked) / bake;
        printf("round %d     bake %.3f s   compile %.3f s   forward %.3f s   backward %.3f s   result %g%s\n", r, bake,
               after->seconds[EXEC_COMPILE] - before.seconds[EXEC_COMPILE], t4 - t2, t5 - t4,
               *(const float *)exec_result(e, entry, 0), exec_overflowed(e) ? "   overflow" : "");
    }
    exec_profile(e, &out);
    fputs(out.data, stdout);
    double copy = median(copied, rounds), bake = median(baked, rounds);
    printf("copy of memory %.1f GB/s, making weights %.1f GB/s (read and written): ratio %.2f\n", copy * 1e-9, bake * 1e-9,
           bake / copy);
    slab_free(&from);
    slab_free(&to);
    exec_close(e);
    device_close(d);
    pool_free(pool);
    buf_free(&err);
    buf_free(&out);
    arena_free(a);
    return 0;
}

/* bench_exec.c: where the time of a training step goes, for any plan: bake, forward, backward, by operation.
 *
 *     bench_exec PLAN [ROUNDS]
 *
 * Parameters are random, tokens too; there is no optimizer. */
#include "base/rng.h"
#include "exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

int main(int argc, char **argv)
{
    Buf         err = {0}, out = {0};
    Arena      *a = arena_new();
    const char *dir = argc > 1 ? argv[1] : "plan";
    int         rounds = argc > 2 ? atoi(argv[2]) : 2;
    double      t0 = now();
    Plan       *p = plan_open(a, dir, NULL, &err);
    Device     *d = p ? device_open("host", &(DeviceOptions){0}, &err) : NULL;
    Exec       *e = d ? exec_open(p, dir, d, NULL, &err) : NULL;
    if (!e)
        return fail(&err);
    printf("open        %8.3f s   %.1f MiB\n", now() - t0, (double)exec_bytes(e) / 1048576);
    t0 = now();
    exec_init_params(e, 1);
    printf("init        %8.3f s   %zu floats\n", now() - t0, exec_floats(p));
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
    for (int r = 0; r < rounds; r++) {
        for (uint32_t id = 0; r && id < exec_params(e); id++) /* as if an optimizer had run */
            exec_param(e, id)->value[0] += 1e-3f;
        double t1 = now();
        if (!exec_bake(e, entry, EXEC_FORWARD | EXEC_BACKWARD, &err))
            return fail(&err);
        double t2 = now();
        exec_zero_grads(e);
        double t3 = now();
        if (!exec_forward(e, entry, &err))
            return fail(&err);
        double t4 = now();
        if (p->entry[entry].backwards && (!exec_backward(e, entry, &err) || !exec_update(e, entry, &err)))
            return fail(&err);
        double t5 = now();
        printf("round %d     bake %.3f s   zero %.3f s   forward %.3f s   backward %.3f s   result %g%s\n", r, t2 - t1,
               t3 - t2, t4 - t3, t5 - t4, *(const float *)exec_result(e, entry, 0),
               exec_overflowed(e) ? "   overflow" : "");
    }
    exec_profile(e, &out);
    fputs(out.data, stdout);
    const ExecCounters *c = exec_counters(e);
    printf("%llu evals, %llu compiles, %llu clamped, %llu not finite\n", (unsigned long long)c->evals,
           (unsigned long long)c->compiles, (unsigned long long)c->clamped, (unsigned long long)c->nonfinite);
    exec_close(e);
    device_close(d);
    buf_free(&err);
    buf_free(&out);
    arena_free(a);
    return 0;
}

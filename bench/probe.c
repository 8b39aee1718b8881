/* probe.c: do two threads get two processors' worth of arithmetic? Prints the rate of two threads over that of one.
 *
 * Virtual processors may be two threads of one core, for seconds at a time: then arithmetic by two threads is no faster
 * than by one, and whatever was measured meanwhile is worth nothing. A value near 2 is good, near 1 is that state. */
#include "pool.h"

#include <stdio.h>
#include <time.h>

enum { LANES = 64, ROUNDS = 3000000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float sink;

static void work(void *with, uint32_t index)
{
    float x[LANES];
    (void)with;
    for (int i = 0; i < LANES; i++)
        x[i] = (float)(i + (int)index);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < LANES; i++)
            x[i] = x[i] * 0.999f + 0.5f;
    for (int i = 1; i < LANES; i++)
        x[0] += x[i];
    sink = x[0];
}

int main(void)
{
    Pool *two = pool_new(2);
    double best[2] = {1e9, 1e9};
    for (int r = 0; r < 4; r++)
        for (int t = 0; t < 2; t++) {
            double t0 = now();
            pool_for(two, (uint32_t)t + 1, work, NULL);
            double s = now() - t0;
            best[t] = s < best[t] ? s : best[t];
        }
    printf("%.2f\n", 2 * best[0] / best[1]);
    pool_free(two);
    return 0;
}

/* products.c: how long the matrix products of a training step take alone, with everything that can multiply here.
 *
 *     products DIM HIDDEN HEADS SEQ LAYERS VOCAB [THREADS]
 *
 * Of llama-style layers, with LAYERS = 1 and VOCAB = 0 of one whose input needs no gradient. Forward, backward and
 * weight gradients, fp32 in and out, weights different for each layer. One line per way: its name and milliseconds, the
 * median of five turns. */
#include "gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TURNS = 5 };

typedef struct {
    uint32_t count;
    int64_t m, n, k;
    bool ta, tb;
} Shape;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int64_t v[6] = {0};
    if (argc < 7) {
        fprintf(stderr, "usage: products DIM HIDDEN HEADS SEQ LAYERS VOCAB [THREADS]\n");
        return 2;
    }
    for (int i = 0; i < 6; i++)
        v[i] = strtoll(argv[i + 1], NULL, 10);
    int64_t d = v[0], h = v[1], s = v[3], layers = v[4], vocab = v[5], hd = d / v[2];
    uint32_t heads = (uint32_t)v[2];
    bool whole = vocab > 0;
    Shape layer[] = {{1, 3 * d, s, d, false, false},  {1, d, s, d, false, false},
                     {1, 2 * h, s, d, false, false},  {1, d, s, h, false, false},
                     {heads, s, s, hd, true, false},  {heads, hd, s, s, false, true},
                     {1, h, s, d, true, false},       {1, d, s, 2 * h, true, false},
                     {1, d, s, d, true, false},       {1, whole ? d : 0, s, 3 * d, true, false},
                     {heads, hd, s, s, false, false}, {heads, s, s, hd, true, false},
                     {heads, hd, s, s, false, true},  {heads, hd, s, s, false, false},
                     {1, 3 * d, d, s, false, true},   {1, d, d, s, false, true},
                     {1, 2 * h, d, s, false, true},   {1, d, h, s, false, true}};
    Shape head[] = {{1, vocab, s, d, false, false}, {1, d, s, vocab, true, false}, {1, vocab, d, s, false, true}};
    size_t weights = (size_t)(layers * (4 * d * d + 3 * d * h) + vocab * d),
           acts = (size_t)((h * 2 + d) * s + heads * s * s + vocab * s);
    size_t total = weights * 2 + acts * 3;
    float *memory = malloc(total * sizeof *memory);
    if (!memory)
        return 1;
    for (size_t i = 0; i < total; i++)
        memory[i] = (float)(i * 2654435761u % 1024) / 512 - 1;
    Pool *pool = pool_new(argc > 7 ? (uint32_t)atoi(argv[7]) : 2);
    gemm_init();
    static const char *const way[] = {"amx", "onednn", "blas"};
    for (int w = 0; w < 3; w++) {
        double time[TURNS];
        if (!gemm_select(way[w]))
            continue;
        for (int t = 0; t < TURNS; t++) {
            double t0 = now();
            size_t at = 0;
            for (int64_t l = 0; l <= layers; l++) {
                const Shape *list = l < layers ? layer : head;
                size_t n = l < layers ? sizeof layer / sizeof *layer : whole ? sizeof head / sizeof *head : 0;
                for (size_t i = 0; i < n; i++) {
                    const Shape *x = &list[i];
                    size_t sa = (size_t)(x->m * x->k), sb = (size_t)(x->k * x->n), sc = (size_t)(x->m * x->n);
                    size_t need = x->count * (sa + sb + sc);
                    if (x->m == 0)
                        continue;
                    at = at + need > total ? 0 : at; /* on through memory, as weights and gradients lie */
                    float *a = memory + at, *b = a + x->count * sa, *c = b + x->count * sb;
                    gemm_f32_batch(pool, x->count, x->ta, x->tb, x->m, x->n, x->k, a, x->ta ? x->m : x->k, sa, b,
                                   x->tb ? x->k : x->n, sb, c, x->n, sc, false);
                    at += x->count * sa;
                }
            }
            time[t] = 1e3 * (now() - t0);
        }
        qsort(time, TURNS, sizeof *time, by_size);
        printf("%s %.2f %s\n", way[w], time[TURNS / 2], gemm_library());
    }
    pool_free(pool);
    free(memory);
    return 0;
}

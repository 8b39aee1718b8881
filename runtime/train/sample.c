/* sample.c: temperature, top-k and top-p sampling; see sample.h.
 *
 * p(i) is proportional to exp(logit(i) / temperature). top_k keeps the k largest; top_p (Holtzman et al. 2020) then
 * keeps the shortest prefix of what remains, most likely first, whose share reaches p: the token that crosses the line
 * stays in, so there is always one. The two thresholds need an order; without them one pass is enough. */
#include "runtime/train/sample.h"

#include <math.h>
#include <stdlib.h>

void sampler_init(Sampler *s, Arena *a, SampleOptions options, uint32_t vocab)
{
    *s = (Sampler){options, vocab, NEW_N(a, double, vocab), NEW_N(a, uint32_t, vocab)};
}

static uint32_t largest(const float *logits, uint32_t n)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY && (best == UINT32_MAX || logits[i] > logits[best]))
            best = i;
    return best;
}

static bool heavier(const Sampler *s, uint32_t a, uint32_t b)
{
    return s->weight[a] != s->weight[b] ? s->weight[a] > s->weight[b] : a < b;
}

static void sift(Sampler *s, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heavier(s, s->order[child + 1], s->order[child]))
            child++;
        if (!heavier(s, s->order[child], s->order[at]))
            return;
        uint32_t t = s->order[at];
        s->order[at] = s->order[child];
        s->order[child] = t;
    }
}

/* A heap, because for a small k or p sorting a large vocabulary is wasted. It lives at the front of `order`; each token
 * taken off it goes to the place it gives up at its end, so position n - 1 - r holds rank r. */
static uint32_t take(Sampler *s, uint32_t rank)
{
    uint32_t last = s->vocab - 1 - rank, top = s->order[0];
    s->order[0] = s->order[last];
    s->order[last] = top;
    sift(s, 0, last);
    return top;
}

uint32_t sampler_pick(Sampler *s, const float *logits, double u)
{
    uint32_t n = s->vocab, best = largest(logits, n);
    if (best == UINT32_MAX || s->options.temperature <= 0)
        return best;
    double top = (double)logits[best], sum = 0;
    if (isinf(top))
        return best;
    for (uint32_t i = 0; i < n; i++) {
        double w = exp(((double)logits[i] - top) / s->options.temperature);
        s->weight[i] = w > 0 ? w : 0; /* NaN too */
        s->order[i] = i;
        sum += s->weight[i];
    }
    uint32_t kept = s->options.top_k && s->options.top_k < n ? s->options.top_k : n;
    if (kept == n && s->options.top_p >= 1) {
        double at = u * sum;
        for (uint32_t i = 0; i < n; i++)
            if ((at -= s->weight[i]) < 0)
                return i;
        return best; /* rounding */
    }
    for (uint32_t i = n / 2; i-- > 0;)
        sift(s, i, n);
    /* Ranks taken off the heap so far: all k of them if top_k is set, for top_p counts within the k; else as needed. */
    uint32_t ranks = 0, r = 0;
    double   share = 0, total = sum;
    if (kept < n)
        for (total = 0; ranks < kept; ranks++)
            total += s->weight[take(s, ranks)];
    do {
        if (r == ranks)
            take(s, ranks++);
        share += s->weight[s->order[n - 1 - r++]];
    } while (r < kept && share < s->options.top_p * total);
    double at = u * share;
    for (uint32_t i = 0; i < r; i++)
        if ((at -= s->weight[s->order[n - 1 - i]]) < 0)
            return s->order[n - 1 - i];
    return best;
}

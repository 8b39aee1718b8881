/* search.c: finding a limit with few trials; see probe.h. Every trial costs a compilation. */
#include "probe/probe.h"

int64_t search_largest(Probe *p, Works *works, const void *with, int64_t low, int64_t high, int64_t hint)
{
    int64_t good = low - 1, bad = high + 1;
    /* what a profile says is right more often than not */
    if (hint >= low && hint <= high) {
        *(works(p, with, hint) ? &good : &bad) = hint;
        if (good == hint && hint < high)
            *(works(p, with, hint + 1) ? &good : &bad) = hint + 1;
    }
    /* powers of two from the last good one, then between two of them */
    for (int64_t n = good < low ? low : good * 2; n < bad && bad > high && !probe_broken(p); n *= 2) {
        if (!works(p, with, n))
            bad = n;
        else
            good = n;
    }
    if (bad > high && good < high && works(p, with, high))
        good = high;
    else if (bad > high && good < high)
        bad = high;
    while (bad - good > 1 && !probe_broken(p)) {
        int64_t middle = good + (bad - good) / 2;
        *(works(p, with, middle) ? &good : &bad) = middle;
    }
    return good;
}

typedef struct {
    Works      *works;
    const void *with;
} Other;

static bool fails(Probe *p, const void *with, int64_t n)
{
    const Other *o = with;
    return !o->works(p, o->with, n);
}

int64_t search_smallest(Probe *p, Works *works, const void *with, int64_t low, int64_t high, int64_t hint)
{
    Other o = {works, with};
    return search_largest(p, fails, &o, low, high, hint - 1) + 1;
}

int64_t search_multiple(Probe *p, Works *works, const void *with, int64_t high, int64_t hint)
{
    enum { PRIME = 67 }; /* shares no factor with what is asked about: n * 67 is a multiple of m only if n is */
    /* the hint is right if it works and none of its largest proper divisors does */
    bool right = hint >= 1 && hint <= high && works(p, with, hint * PRIME);
    for (int64_t n = hint, d = 2; right && n > 1; d++) {
        if (n % d != 0)
            continue;
        while (n % d == 0)
            n /= d;
        right = !works(p, with, hint / d * PRIME);
    }
    if (right)
        return hint;
    for (int64_t m = 1; m <= high && !probe_broken(p); m++)
        if (works(p, with, m * PRIME))
            return m;
    return 0;
}

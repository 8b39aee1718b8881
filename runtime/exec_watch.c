/* exec_watch.c: see exec_watch.h. */
#include "exec_watch.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

bool watch_add(Watch *w, uint64_t ns)
{
    w->ns[w->n++] = ns;
    if (w->n < WATCH_WINDOW)
        return w->slow >= WATCH_SLOW;
    qsort(w->ns, WATCH_WINDOW, sizeof *w->ns, by_size);
    w->last = w->ns[WATCH_WINDOW / 2];
    w->n = 0;
    if (w->windows < WATCH_FIRST) {
        w->least = w->windows++ && w->least < w->last ? w->least : w->last;
        return false;
    }
    w->slow = w->last > 2 * w->least && w->last > w->least + 100000 ? w->slow + 1 : 0;
    return w->slow >= WATCH_SLOW;
}

void watch_reset(Watch *w)
{
    w->n = w->slow = 0;
}

/* exec_watch.h: have evaluations become slower?
 *
 * On one part direct evaluations were reported to take longer and longer after some 100,000 of them in a process (rustane,
 * docs/engine.md E333); programs that are compiled anew, or a new process, are as fast as before. A single slow evaluation says
 * nothing, and neither does a busy machine: so of every WATCH_WINDOW evaluations of a program the median is taken. The least
 * of the first WATCH_FIRST medians is what the program takes; WATCH_SLOW medians in a row above twice that, and 0.1 ms more
 * than it, are slow. Only asked of devices that are known for it (device_decays()). */
#ifndef ANEL_RUNTIME_EXEC_WATCH_H
#define ANEL_RUNTIME_EXEC_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum { WATCH_WINDOW = 128, WATCH_FIRST = 4, WATCH_SLOW = 4 };

/* Of one program; zero to begin with. */
typedef struct {
    uint64_t ns[WATCH_WINDOW];
    uint32_t n, windows, slow;
    uint64_t least, last; /* medians: the program's own time; of the last window */
} Watch;

/* An evaluation took `ns`. True if the last WATCH_SLOW windows were slow. */
bool watch_add(Watch *w, uint64_t ns);
/* Something was done about it: windows begin anew, and are compared with the same time. */
void watch_reset(Watch *w);

#endif

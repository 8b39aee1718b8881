/* worker.h: a thread that calls what may never return.
 *
 * A wedged driver never returns from an evaluation (oMLX saw it and waits 30 s), and nothing can be done from inside the
 * call. So the call is made on a thread of its own, and whoever waits gives up after a while. From then on the worker is
 * wedged: the thread and everything it was given stay where they are for the rest of the process. */
#ifndef ANEL_RUNTIME_WORKER_H
#define ANEL_RUNTIME_WORKER_H

#include <stdbool.h>

typedef struct Worker Worker;

Worker *worker_new(void); /* NULL if no thread could be started */
/* Call fn(with) on the worker's thread and wait at most `seconds`. False if it has not returned by then; the worker
 * must not be used again. */
bool worker_call(Worker *w, void (*fn)(void *with), void *with, double seconds);
void worker_free(Worker *w); /* NULL is fine; a wedged worker is left alone */

#endif

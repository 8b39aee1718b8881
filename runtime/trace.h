/* trace.h: what ran when, on which thread, as a file for chrome://tracing, Perfetto and others.
 *
 * Events are kept in memory that is taken once, and written at the end: recording costs tens of nanoseconds and never
 * waits. When the memory is full recording stops, which the file says, and trace_full(). */
#ifndef ANEL_RUNTIME_TRACE_H
#define ANEL_RUNTIME_TRACE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Trace Trace;

/* Room for `events` of them, 40 bytes each. Time 0 is now. */
Trace *trace_new(uint32_t events);
void   trace_free(Trace *t); /* NULL is fine */

/* Something that took from `start` to `end`, seconds of CLOCK_MONOTONIC, from any thread. `kind` and `name` are text that
 * outlives the trace; `index` is an iteration of a loop, or -1. Threads are told apart by pool_thread(); what ran on the
 * device has a track of its own. A NULL trace records nothing. */
void trace_add(Trace *t, const char *kind, const char *name, int32_t index, bool device, double start, double end);
bool trace_full(const Trace *t);

/* The trace as JSON. */
void trace_print(const Trace *t, Buf *out);
/* The same to a file. False with a sentence in `err`. */
bool trace_write(const Trace *t, const char *path, Buf *err);

#endif

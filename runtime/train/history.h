/* history.h: what happened in a run, in bounded memory: the figures of its steps, thinned out as they get many, and
 * everything else that stands in the log. It is made of log objects (report.h), so what a report shows is what the log
 * says, whether the objects come from the run itself, from the log of the part before a restart, or from an earlier
 * report (history_json()). */
#ifndef ANEL_TRAIN_HISTORY_H
#define ANEL_TRAIN_HISTORY_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

enum { HISTORY_POINTS = 2000, HISTORY_EVENTS = 2000 };

/* The figures of a point of the curves, in the order of history_figure[]. */
typedef enum { FIGURE_LOSS, FIGURE_LR, FIGURE_NORM, FIGURE_SCALE, FIGURE_RATE, FIGURE_MS, FIGURES } Figure;
extern const char *const history_figure[FIGURES]; /* their names in the log: "loss", ..., "ms" */

/* `n` steps that end with `step`: means of the finite values; NaN if there is none. */
typedef struct {
    uint64_t step, n, skipped;
    double   value[FIGURES];
} HistoryPoint;

typedef struct {
    HistoryPoint point[HISTORY_POINTS];
    uint32_t     points;
    uint64_t     stride;       /* steps of a full point; 0: 1 */
    uint64_t     steps, skips; /* recorded */
    double       tokens, ms;   /* of all steps */
    json_t      *classes;      /* object: milliseconds of all steps by class of time */
    json_t      *events;       /* array: the log's objects but steps, oldest first; runs of skipped steps as "skip" */
    uint64_t     thinned;      /* events dropped because there were too many */
} History;

History *history_new(void);
void     history_free(History *h); /* NULL is fine */
/* Take in an object of the log; it is copied. A "start" at a step below what is recorded discards what was beyond it:
 * the run went back to a checkpoint. */
void history_add(History *h, const json_t *object);
/* Take in the lines of a log. False with a sentence if it cannot be read; a missing file is an empty log. `unread` gets
 * the number of lines that are no objects (a process that was killed may leave half a line). */
bool history_read_log(History *h, const char *path, uint64_t *unread, Buf *err);

/* Everything as a JSON object (a new reference), and back. False if it is not one that history_json() made. */
json_t *history_json(const History *h);
bool    history_restore(History *h, const json_t *state);

#endif

/* run_page.h: the report of a run (--report FILE), a page that is kept up to date while the run goes on. */
#ifndef ANEL_TRAIN_RUN_PAGE_H
#define ANEL_TRAIN_RUN_PAGE_H

#include "runtime/train/report.h"
#include "runtime/train/session.h"

#include <jansson.h>

typedef struct RunPage RunPage;

typedef struct {
    const char *path;
    const char *log;     /* of the same run, whose earlier part is read when it is resumed; NULL: none */
    const char *machine; /* "host, ane numerics, 2 threads"; may be NULL */
    const char *prompt;  /* of sample texts; NULL: a newline, or token 0 */
    uint64_t    step, steps; /* where this process begins; of how many */
    bool        resumed;
} RunPageOptions;

/* Begin the page of a run and write it once, so that a place that cannot be written is told before the first step. A
 * resumed run goes on with what its log says, or else with the history in the page that is there. NULL with a sentence in
 * `err`; a file that is no report is not overwritten. `s` and the strings of `o` outlive the page. */
RunPage *run_page_open(const Session *s, const RunPageOptions *o, Report *r, Buf *err);
void     run_page_close(RunPage *p); /* NULL is fine; does not write */

/* Take in an object of the log; the page is written after evaluations, checkpoints and the end, and every 20 seconds,
 * under a temporary name that is renamed. A failure is a warning, once. */
void run_page_add(RunPage *p, const json_t *object);

/* A text of the model as it is now: an event "sample" of the log, too. Between steps only; nothing happens without a page
 * or a 'decode' entry. While training goes on (`last` false) only where no program has to be compiled for it. */
void run_page_sample(RunPage *p, Session *s, uint64_t step, bool last);

#endif

/* report.h: what a run tells while it goes on: a progress line for people and one JSON object per line for programs.
 *
 * On a terminal progress is two lines that are written over (progress.h), at most ten times a second; elsewhere (a file, a
 * pipe, a terminal of TERM=dumb) it is a plain line every few seconds, and always one for the first and the last step. The log has every step:
 *     {"event": "start", "model": "tiny", "step": 0, "steps": 1000, "parameters": 123456, ...}
 *     {"event": "step", "step": 1, "loss": 5.54, "lr": 3e-6, "grad_norm": 1.2, "loss_scale": 4096.0, "skipped": false,
 *      "skips": 0, "tokens": 8192, "tokens_per_s": 51234.5, "ms": {"total": 12.3, "device": 8.1, ...}}
 *     {"event": "eval", "step": 100, "loss": 2.5, "perplexity": 12.2, "bits_per_byte": 1.1, "tokens": 16384,
 *      "ms": {"total": 80.1}}
 *     {"event": "save", "step": 100, "path": "tiny.plan.run/ckpt-100", "ms": {"total": 5.2}}
 *     {"event": "restart", "step": 8, "restarts": 1, "ms": {"total": 21.5, "close": 2.1, ..., "programs": 80.0}}
 *     {"event": "sample", "step": 1000, "prompt": "\n", "text": "..."}   with --report only
 *     {"event": "end", "step": 1000, "reason": "done", "compiles": 4, "reloads": 0, "staged_bytes": 2097152}
 * Numbers that JSON cannot write (NaN, infinities) are null. */
#ifndef ANEL_TRAIN_REPORT_H
#define ANEL_TRAIN_REPORT_H

#include "runtime/exec.h"

#include <stdbool.h>
#include <stdio.h>

enum { REPORT_CLASSES = 12 };

typedef struct {
    uint64_t    step, steps; /* steps done, this one included; of how many */
    double      loss, lr, grad_norm, loss_scale;
    bool        skipped; /* this step */
    uint64_t    skips;   /* all of them */
    uint64_t    tokens;  /* predicted in this step; 0: the data have none */
    double      seconds; /* this step, wall clock */
    const char *class_name[REPORT_CLASSES];
    double      class_seconds[REPORT_CLASSES];
    uint32_t    classes;
    double      engine_seconds; /* of the device's, on the engine itself; 0: nobody knows */
} StepReport;

struct Progress;

typedef struct Report {
    FILE    *out; /* NULL: silent */
    bool     terminal;
    uint32_t lines; /* of progress that the cursor stands behind */
    struct Progress *progress; /* on a terminal */
    double   started, last;   /* seconds of clock_seconds(): first step, last line */
    uint64_t first;           /* step the run began at */
    uint64_t tokens;          /* since then */
    FILE    *log;             /* NULL: none */
    const char *log_path;
    bool     log_failed;
    void (*on_step)(void *with, const StepReport *s); /* may be NULL */
    void       *on_step_with;
    struct RunPage *page; /* NULL: none; run_page.h. The report closes it */
} Report;

double clock_seconds(void); /* monotonic */

/* `log_path` NULL: no log. `append` continues an existing log. False with a sentence in `err`. */
bool report_open(Report *r, FILE *out, const char *log_path, bool append, uint64_t first_step, Buf *err);
void report_close(Report *r);

void report_step(Report *r, const StepReport *s);
/* A line for people that does not disturb the progress line; a newline is added. */
void report_note(Report *r, const char *fmt, ...) ANEL_PRINTF(2, 3);
/* The same on standard error, even when progress is silent. */
void report_warning(Report *r, const char *fmt, ...) ANEL_PRINTF(2, 3);

void report_log_start(Report *r, const char *model, uint64_t step, uint64_t steps, uint64_t parameters, uint64_t seed);
/* `bits_per_byte` 0: unknown, and `tokens` 0: no tokens, no perplexity; then they are left out. */
void report_log_eval(Report *r, uint64_t step, double loss, uint64_t tokens, double bits_per_byte, double seconds);
void report_log_save(Report *r, uint64_t step, const char *path, double seconds);
/* A text that the model wrote, UTF-8. */
void report_log_sample(Report *r, uint64_t step, const char *prompt, const char *text);
/* `c`: what the executor has counted since it was opened. */
/* `time`: clock_seconds() by StateTime (state_file.h). */
void report_log_restart(Report *r, uint64_t step, uint32_t restarts, const double *time);
void report_log_end(Report *r, uint64_t step, const char *reason, const ExecCounters *c);

/* "1:02:03" into `out` (at least 24 bytes). */
void format_duration(char *out, double seconds);
/* "12.3k tokens/s". */
void format_rate(char *out, size_t size, double rate, const char *unit);

#endif

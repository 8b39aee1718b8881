/* train.h: the training loop. */
#ifndef ANEL_TRAIN_TRAIN_H
#define ANEL_TRAIN_TRAIN_H

#include "runtime/train/report.h"
#include "runtime/train/session.h"
#include "runtime/train/state_file.h"

typedef struct {
    const char *run;     /* directory for checkpoints; NULL: save nothing */
    const char *resume;  /* checkpoint directory to continue from; NULL: initial values */
    const char *weights; /* file of initial weights (weights.h); NULL: the model's own initial values */
    uint64_t    stop_at; /* end after this step although the settings say more; 0: no */
    const char *log;     /* file; NULL: none */
    const char *report;  /* file of the page (run_page.h); NULL: none */
    const char *machine, *prompt; /* for that page */
    FILE       *out;     /* progress; NULL: silent */
    /* Parameters are in it (state_params()), moments will be. When it `continues`, so does the run: `resume` and `weights`
     * are not looked at. NULL: a run that has used up its compile budget cannot go on. */
    StateFile  *state;
    /* Called once it is known whether giving programs new weights works (EXEC_RELOAD_WORKS or _STALE); may be NULL. What
     * cannot be remembered is a sentence in `note`. */
    void (*learned)(void *with, ExecReload reload, Buf *note);
    void       *learned_with;
    void (*on_step)(void *with, const StepReport *s); /* called after every step; may be NULL */
    void       *on_step_with;
} TrainOptions;

/* Train as s->settings say, from initial parameters or a checkpoint, until the steps are done, SIGINT or SIGTERM
 * arrives (then the step is finished and saved), or something fails. After the first signal a second one kills as
 * usual.
 *
 * True also when the compile budget (ExecOptions, DeviceOptions) is used up: then the state `continues`, and the caller
 * closes everything, keeps the lock and the state, and calls restart_exec(). SIGINT and SIGTERM are blocked. */
bool train_run(Session *s, const TrainOptions *o, Buf *err);

#endif

/* run_result.h: how a training run ended, for who asked for it (Session.result). */
#ifndef ANEL_TRAIN_RUN_RESULT_H
#define ANEL_TRAIN_RUN_RESULT_H

#include "runtime/train/checkpoint.h"

typedef struct RunResult {
    bool        known; /* the following was filled in */
    RunState    state;
    uint64_t    first; /* step that the run, with all its images, began behind */
    const char *why;   /* "done", "stopped", "interrupted", "terminated"; NULL: it failed, or goes on in another image */
} RunResult;

#endif

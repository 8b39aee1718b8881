/* trial.h: one micro-program compiled and evaluated by another process.
 *
 * On a real engine a compilation may end the process (exceptions of the framework cannot be caught in C; ANEForge saw the
 * compiler crash), never return, or use up what a process may compile. None of this may end the probe: whatever happens
 * to the other process is the outcome of a trial. A process serves many trials; after a crash, a trial that does not
 * return, or when it has compiled its share, the next trial gets a new one.
 *
 * A request and its answer are one line of JSON each (child.c); outputs are in hexadecimal. */
#ifndef ANEL_PROBE_TRIAL_H
#define ANEL_PROBE_TRIAL_H

#include "probe/template.h"

#include <stdio.h>
#include <sys/types.h>

typedef enum {
    OUTCOME_RAN,
    OUTCOME_REFUSED, /* not compiled, not loaded, or no surface or request could be made */
    OUTCOME_FAILED,  /* compiled, but not evaluated */
    OUTCOME_CRASHED,
    OUTCOME_HUNG,
    OUTCOME_BROKEN /* no device, or a template that is damaged: nothing about the engine */
} OutcomeKind;
extern const char *const outcome_name[OUTCOME_BROKEN + 1];

typedef enum {
    TRIAL_RUN,      /* compile, evaluate */
    TRIAL_RELOAD,   /* the same, then give it the weights of version 2 and evaluate again */
    TRIAL_COUNT,    /* compile and keep, up to `times` programs that differ in the number at "@@@@@" in the text */
    TRIAL_RELEASE,  /* the same, each freed before the next */
    TRIAL_SURFACES, /* make `times` surfaces of `surface` bytes; lock and unlock one */
    TRIAL_CLASSES   /* which classes and methods the framework has */
} TrialKind;

typedef struct {
    TrialKind   kind;
    const char *mil;
    size_t      len;
    Place       fill[TEMPLATE_FILLS];
    uint32_t    fills;
    uint32_t    times;   /* evaluations after the first; programs; surfaces */
    size_t      surface; /* bytes of every surface, exactly; 0: as large as its port */
    bool        outputs; /* wanted */
} Trial;

enum { TRIAL_OUTPUTS = 4, TRIAL_ELEMENTS = 16384 }; /* what comes back: so many outputs, so much of the beginning of each */

typedef struct {
    OutcomeKind kind;
    const char *why; /* one line; "" where it ran */
    bool        limit; /* refused because the process has compiled its share */
    double      compile_ms, load_ms, reload_ms; /* 0: not told */
    double      wall_us, engine_us;             /* medians */
    double      make_us, lock_us;               /* surfaces */
    uint32_t    count;                          /* programs compiled */
    bool        simulated;
    double     *output[TRIAL_OUTPUTS]; /* after a reload: those of the second evaluation follow */
    int64_t     elements[TRIAL_OUTPUTS];
    uint32_t    outputs;
    const char *text; /* TRIAL_CLASSES */
} Outcome;

/* The other process. */
typedef struct {
    char  **argv;   /* of it, NULL-terminated */
    double  patience; /* seconds for one trial */
    uint32_t share;   /* programs that one process compiles */
    pid_t   pid;      /* 0: none */
    int     to, from;
    FILE   *said; /* its standard error */
    uint32_t compiled, started;
    Buf     line;
} Server;

/* Lives in `a`. */
Outcome trial(Server *s, Arena *a, const Trial *t);
/* End the process in order. False with a message if it did not end well: the driver left something behind. */
bool    server_end(Server *s, Arena *a, Buf *err);

/* `anerun --probe-child --device NAME [...]`: the other side. */
int trial_serve(int argc, char **argv);

#endif

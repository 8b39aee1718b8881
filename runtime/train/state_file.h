/* state_file.h: a run's state in memory that outlives a process image.
 *
 * An engine compiles a limited number of programs per process. When the next update would pass the limit, a run replaces
 * its process image by a fresh one (exec(), same process) and goes on. What has to survive lies in one memory-mapped
 * object that has a descriptor and no name: parameters, moments, and a page of everything else that a run knows. The new
 * image maps it again; nothing is copied, written or read.
 *
 * An object without a name needs no rules for what is found later: nobody else can open it, and it is gone when the
 * process ends, however it ends. A run that was killed therefore continues from its last checkpoint, never from half an
 * update. Gradients are not in it: restarts happen between updates, where none are alive.
 *
 * Where the system has such objects in memory (memfd_create, shm_open) no byte goes to a disk; otherwise a file without a
 * name is made in a directory, with all of its blocks reserved, so that a full disk is an error now and no signal
 * later. */
#ifndef ANEL_TRAIN_STATE_FILE_H
#define ANEL_TRAIN_STATE_FILE_H

#include "runtime/exec.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/health.h"
#include "runtime/train/progress.h"
#include "runtime/train/scaler.h"

#include <signal.h>

enum { STATE_TEXT = 32768, STATE_PATH = 4096 };

/* Moments of a restart, by clock_seconds(), which does not stop for exec(). */
typedef enum { AT_DECISION, AT_EXEC, AT_MAIN, AT_OPEN, AT_READY, AT_BAKED, STATE_TIMES } StateTime;

/* Everything but parameters and moments. Plain data: the image that reads it is the same program. */
typedef struct {
    char     magic[16];
    uint64_t head; /* sizeof(StateHead) */
    uint64_t bytes, floats; /* of the object; of the parameters (moments: twice as many at most) */
    int64_t  process;
    char     plan_hash[HASH_HEX];
    bool     continues; /* written by an image that ended for another to go on */
    bool     rescue;    /* there is no other image: save and end */
    uint32_t restarts;
    volatile sig_atomic_t signal; /* that asked the run to stop; 0: none */

    RunState     r;
    Scaler       scaler;
    Health       health;               /* without its parameters: of them a bit each */
    uint8_t      had_gradient[8192];
    uint64_t     data_stamp, eval_stamp; /* of data that were checked */
    uint64_t     saved;                   /* step of the last checkpoint */
    uint64_t     proven, sound;           /* Run */
    double       started, last;           /* Report: first step, last line */
    uint64_t     first, tokens;           /* Report */
    uint32_t     lines;                   /* Report: of progress that the cursor stands behind */
    Progress     progress;
    bool         warned;                  /* the warning of large weights was given */
    ExecCounters counters;                /* of all images before */
    double       time[STATE_TIMES], spent; /* spent: in restarts so far, without programs */
    char         run[STATE_PATH];         /* directory of the run; "": nothing is saved */
    char         settings[STATE_TEXT];    /* "key\0value\0" ..., ended by an empty key */
} StateHead;

typedef struct StateFile StateFile;

typedef enum { STATE_ANYWHERE, STATE_IN_MEMORY, STATE_ON_DISK } StatePlace;

/* A new object for a plan's parameters and up to two moments each, zeroed. `dir`: where a file is made if it comes to
 * that (NULL: the system's directory for temporary files). NULL with a sentence in `err`. */
StateFile *state_new(size_t floats, const char *dir, StatePlace place, Buf *err);
/* The object that an earlier image of this process left under the descriptor `fd`. NULL with a sentence in `err` if
 * there is none, or it is not of this process. */
StateFile *state_open(int fd, Buf *err);
void       state_close(StateFile *s); /* NULL is fine */

StateHead *state_head(StateFile *s);
float     *state_params(StateFile *s);  /* for ExecOptions.param */
float     *state_moments(StateFile *s); /* twice as many */
int        state_fd(const StateFile *s);

/* Settings as text and back, over what `to` holds. False if they have no room. */
bool state_put_settings(StateFile *s, const Settings *from);
bool state_get_settings(const StateFile *s, Arena *a, Settings *to, Buf *err);

#endif

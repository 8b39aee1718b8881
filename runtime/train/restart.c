/* restart.c: see restart.h. */
#include "runtime/train/restart.h"

#include "runtime/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE "ANERUN_RESTART"

bool restart_take(StateFile **state, int *lock, Buf *err)
{
    const char *text = getenv(VARIABLE);
    int         fd = -1, held = -1;
    *state = NULL;
    *lock = -1;
    if (!text)
        return true;
    bool ok = sscanf(text, "state=%d lock=%d", &fd, &held) == 2;
    unsetenv(VARIABLE);
    if (!ok) {
        buf_puts(err, "the environment variable " VARIABLE " is for restarts of anerun: unset it");
        return false;
    }
    if (!(*state = state_open(fd, err))) {
        buf_puts(err, "; the environment variable " VARIABLE " is for restarts of anerun: unset it");
        return false;
    }
    if (held >= 0)
        fcntl(held, F_SETFD, FD_CLOEXEC);
    *lock = held;
    return true;
}

static bool keep_open(int fd)
{
    return fd < 0 || fcntl(fd, F_SETFD, 0) == 0;
}

void restart_exec(char *const *argv, const StateFile *state, int lock, Buf *err)
{
    char path[STATE_PATH], value[64];
    if (!self_path(path, sizeof path, err))
        return;
    snprintf(value, sizeof value, "state=%d lock=%d", state_fd(state), lock);
    fflush(NULL);
    if (setenv(VARIABLE, value, 1) == 0 && keep_open(state_fd(state)) && keep_open(lock))
        execv(path, argv);
    buf_printf(err, "cannot start '%s' again: %s", path, strerror(errno));
    unsetenv(VARIABLE);
    fcntl(state_fd(state), F_SETFD, FD_CLOEXEC);
    if (lock >= 0)
        fcntl(lock, F_SETFD, FD_CLOEXEC);
}

void restart_block_signals(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

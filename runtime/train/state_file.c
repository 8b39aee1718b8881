/* state_file.c: see state_file.h. */
#ifdef __linux__
#define _GNU_SOURCE /* memfd_create */
#endif
#include "runtime/train/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 65536 }; /* a multiple of every page size */
#define MAGIC "anel-state-1"

struct StateFile {
    int        fd;
    void      *map;
    size_t     bytes;
    StateHead *head;
};

static size_t up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t params_at(void)
{
    return up(sizeof(StateHead));
}

static size_t moments_at(size_t floats)
{
    return params_at() + up(floats * sizeof(float));
}

static size_t whole(size_t floats)
{
    return moments_at(floats) + up(2 * floats * sizeof(float));
}

/* ---- objects without a name ---- */

static int in_memory(void)
{
#if defined(__linux__) && defined(MFD_CLOEXEC)
    return memfd_create("anel-state", MFD_CLOEXEC);
#else
    char name[32]; /* macOS allows 31 characters */
    snprintf(name, sizeof name, "/anel-%ld", (long)getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) {
        shm_unlink(name);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
#endif
}

static int on_disk(const char *dir)
{
    Buf path = {0};
    if (!dir && (!(dir = getenv("TMPDIR")) || !*dir))
        dir = "/tmp";
    buf_printf(&path, "%s/.state-XXXXXX", dir);
    int fd = mkstemp(path.data);
    if (fd >= 0) {
        unlink(path.data);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    buf_free(&path);
    return fd;
}

/* Give a file its size and its blocks. 0, or the system's reason. */
static int reserve(int fd, size_t bytes)
{
#ifdef __APPLE__
    fstore_t all = {.fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE, .fst_length = (off_t)bytes};
    if (fcntl(fd, F_PREALLOCATE, &all) != 0 && errno != ENOTSUP)
        return errno;
    return ftruncate(fd, (off_t)bytes) == 0 ? 0 : errno;
#else
    return posix_fallocate(fd, 0, (off_t)bytes);
#endif
}

static bool map(StateFile *s, size_t bytes)
{
    s->map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return false;
    }
    s->bytes = bytes;
    s->head = s->map;
    return true;
}

/* ---- life ---- */

StateFile *state_new(size_t floats, const char *dir, StatePlace place, Buf *err)
{
    StateFile *s = xcalloc(1, sizeof *s);
    size_t     bytes = whole(floats);
    int        why = 0;
    s->fd = place == STATE_ON_DISK ? -1 : in_memory();
    if (s->fd >= 0) {
        if (ftruncate(s->fd, (off_t)bytes) != 0)
            why = errno;
    } else if (place != STATE_IN_MEMORY && (s->fd = on_disk(dir)) >= 0) {
        why = reserve(s->fd, bytes);
    } else {
        why = errno;
    }
    if (why == 0 && !map(s, bytes))
        why = errno;
    if (why != 0) {
        buf_printf(err, "no room for the state of a run (%.1f MB in memory%s): %s; --compile-budget 0 needs none",
                   (double)bytes * 1e-6, place == STATE_ON_DISK ? " or on disk" : "", strerror(why));
        state_close(s);
        return NULL;
    }
    *s->head = (StateHead){.head = sizeof(StateHead), .bytes = bytes, .floats = floats, .process = (int64_t)getpid()};
    memcpy(s->head->magic, MAGIC, sizeof MAGIC);
    return s;
}

StateFile *state_open(int fd, Buf *err)
{
    StateFile  *s = xcalloc(1, sizeof *s);
    struct stat st;
    s->fd = fd;
    bool ok = fd > STDERR_FILENO && fstat(fd, &st) == 0 && st.st_size >= (off_t)params_at() &&
              map(s, (size_t)st.st_size) && memcmp(s->head->magic, MAGIC, sizeof MAGIC) == 0 &&
              s->head->head == sizeof(StateHead) &&
              s->head->process == (int64_t)getpid() && s->head->continues && s->head->bytes <= s->bytes &&
              s->head->floats < s->bytes && s->head->bytes == whole((size_t)s->head->floats);
    if (!ok) {
        buf_printf(err, "descriptor %d is not the state of a run of this process", fd);
        if (s->map)
            munmap(s->map, s->bytes);
        free(s); /* the descriptor is not ours, then */
        return NULL;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return s;
}

void state_close(StateFile *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->bytes);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

StateHead *state_head(StateFile *s)
{
    return s->head;
}

float *state_params(StateFile *s)
{
    return (float *)(void *)((char *)s->map + params_at());
}

float *state_moments(StateFile *s)
{
    return (float *)(void *)((char *)s->map + moments_at((size_t)s->head->floats));
}

int state_fd(const StateFile *s)
{
    return s->fd;
}

/* ---- settings ---- */

bool state_put_settings(StateFile *s, const Settings *from)
{
    Buf text = {0};
    for (uint32_t i = 0; i < settings_count(); i++) {
        Buf value = {0};
        if (!settings_applies(from, i))
            continue;
        settings_value(from, i, &value);
        buf_add(&text, settings_key(i), strlen(settings_key(i)) + 1);
        buf_puts(&text, value.data ? value.data : "");
        buf_putc(&text, 0);
        buf_free(&value);
    }
    buf_putc(&text, 0);
    bool ok = text.len <= sizeof s->head->settings;
    if (ok)
        memcpy(s->head->settings, text.data, text.len);
    buf_free(&text);
    return ok;
}

bool state_get_settings(const StateFile *s, Arena *a, Settings *to, Buf *err)
{
    const char *p = s->head->settings;
    while (*p) {
        const char *key = p, *value = p + strlen(p) + 1;
        if (!settings_set(to, a, key, arena_strdup(a, value), err))
            return false;
        p = value + strlen(value) + 1;
    }
    return true;
}

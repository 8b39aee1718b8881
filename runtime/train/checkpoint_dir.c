/* checkpoint_dir.c: the directory of a run.
 *
 * A checkpoint is renamed into place when all of its bytes are on the disk; LATEST, a one-line text file, follows. A
 * process killed in between leaves a complete checkpoint that LATEST does not name yet, or a hidden directory that the
 * next save removes. Only names of the exact form "ckpt-<number>" count. */
#include "runtime/train/checkpoint_dir.h"

#include "base/file.h"
#include "runtime/train/best.h"
#include "runtime/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX    "ckpt-"
#define TEMPORARY ".ckpt-tmp-"
#define LATEST    "LATEST"
#define LATEST_TMP LATEST ".tmp-" /* what file_write_atomic() leaves when it is killed */
#define LOCK      ".lock"

static bool parse_name(const char *name, uint64_t *step)
{
    size_t n = strlen(PREFIX);
    if (strncmp(name, PREFIX, n) != 0 || strspn(name + n, "0123456789") != strlen(name + n) || !name[n])
        return false;
    if ((name[n] == '0' && name[n + 1]) || strlen(name + n) > 18) /* one spelling per number, and no overflow */
        return false;
    *step = strtoull(name + n, NULL, 10);
    return true;
}

typedef struct {
    uint64_t *step;
    uint32_t  count, cap;
} Steps;

static int by_step(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Steps of all checkpoints in a directory, ascending; none if it cannot be read. */
static Steps list_steps(Arena *a, const char *run)
{
    Steps s = {0};
    DIR  *d = opendir(run);
    if (!d)
        return s;
    for (struct dirent *e; (e = readdir(d));) {
        uint64_t step;
        if (!parse_name(e->d_name, &step))
            continue;
        GROW(a, s.step, s.count, s.cap);
        s.step[s.count++] = step;
    }
    closedir(d);
    if (s.count)
        qsort(s.step, s.count, sizeof *s.step, by_step);
    return s;
}

static const char *step_dir(Arena *a, const char *run, uint64_t step)
{
    return path_join(a, run, arena_printf(a, PREFIX "%" PRIu64, step));
}

const char *run_dir_temporary(Arena *a, const char *run, uint64_t step)
{
    return path_join(a, run, arena_printf(a, TEMPORARY "%" PRIu64 "-%ld", step, (long)getpid()));
}

bool run_dir_sweep(const char *run, char *why)
{
    Arena *a = arena_new();
    DIR   *d = opendir(run);
    bool   ok = true;
    for (struct dirent *e; ok && d && (e = readdir(d));)
        if (strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
            ok = dir_remove(path_join(a, run, e->d_name), why);
        else if (strncmp(e->d_name, LATEST_TMP, strlen(LATEST_TMP)) == 0)
            unlink(path_join(a, run, e->d_name));
    if (d)
        closedir(d);
    arena_free(a);
    return ok;
}

static bool rename_dir(const char *from, const char *to, Buf *err)
{
    if (rename(from, to) == 0)
        return true;
    buf_printf(err, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
    return false;
}

bool run_dir_publish(const char *run, const char *temporary, uint64_t step, Buf *err)
{
    Arena      *a = arena_new();
    char        why[FILE_ERR_MAX] = "";
    const char *name = step_dir(a, run, step), *old = arena_printf(a, "%s-old", temporary);
    const char *line = arena_printf(a, PREFIX "%" PRIu64 "\n", step);
    bool        replaced = path_exists(name);
    bool        ok = dir_sync(temporary, why);
    if (!ok)
        buf_puts(err, why);
    ok = ok && (!replaced || rename_dir(name, old, err));
    if (ok && !rename_dir(temporary, name, err)) {
        ok = false;
        if (replaced)
            rename_dir(old, name, err);
    }
    if (ok && !(dir_sync(run, why) && file_write_atomic(path_join(a, run, LATEST), line, strlen(line), why) &&
                (!replaced || dir_remove(old, why)))) {
        buf_puts(err, why);
        ok = false;
    }
    arena_free(a);
    return ok;
}

bool run_dir_prune(const char *run, uint64_t step, uint64_t keep, Buf *err)
{
    Arena *a = arena_new();
    Steps  s = list_steps(a, run);
    char   why[FILE_ERR_MAX];
    bool   ok = true;
    double   loss;
    uint64_t best;
    uint32_t upto = 0; /* checkpoints up to and including `step` */
    while (upto < s.count && s.step[upto] <= step)
        upto++;
    bool     marked = best_read(run, &best, &loss);
    for (uint32_t i = 0; ok && keep && i + keep < upto; i++)
        ok = (marked && s.step[i] == best) || dir_remove(step_dir(a, run, s.step[i]), why);
    if (!ok)
        buf_printf(err, "old checkpoint: %s", why);
    arena_free(a);
    return ok;
}

/* "run/ckpt-7" -> "run", "ckpt-7"; trailing slashes are ignored. */
static const char *split(Arena *a, const char *path, const char **run)
{
    char  *p = arena_strdup(a, path);
    size_t n = strlen(p);
    while (n > 1 && p[n - 1] == '/')
        p[--n] = 0;
    char *slash = strrchr(p, '/');
    *run = slash == p ? "/" : slash ? p : ".";
    if (!slash)
        return p;
    *slash = 0;
    return slash + 1;
}

const char *run_dir_older(Arena *a, const char *dir)
{
    const char *run, *name = split(a, dir, &run);
    uint64_t    step;
    if (!parse_name(name, &step))
        return NULL;
    Steps s = list_steps(a, run);
    while (s.count && s.step[s.count - 1] >= step)
        s.count--;
    return s.count ? step_dir(a, run, s.step[s.count - 1]) : NULL;
}

/* ---- for everybody (checkpoint.h) ---- */

bool checkpoint_any(const char *run)
{
    Arena *a = arena_new();
    bool   any = list_steps(a, run).count > 0;
    arena_free(a);
    return any;
}

bool checkpoint_clear(const char *run, Buf *err)
{
    Arena *a = arena_new();
    Steps  s = list_steps(a, run);
    char   why[FILE_ERR_MAX];
    bool   ok = dir_remove(path_join(a, run, LATEST), why) && best_clear(run, why);
    for (uint32_t i = 0; ok && i < s.count; i++)
        ok = dir_remove(step_dir(a, run, s.step[i]), why);
    if (!ok)
        buf_puts(err, why);
    arena_free(a);
    return ok;
}

const char *checkpoint_find(Arena *a, const char *path, Buf *err)
{
    char       *text, why[FILE_ERR_MAX];
    size_t      len;
    uint64_t    step;
    const char *latest = path_join(a, path, LATEST);
    if (!path_is_dir(path)) {
        buf_printf(err, path_exists(path) ? "'%s' is not a directory" : "there is no checkpoint at '%s'", path);
        return NULL;
    }
    if (path_exists(path_join(a, path, CHECKPOINT_MODEL)) || path_exists(path_join(a, path, CHECKPOINT_OPTIMIZER)))
        return arena_strdup(a, path);
    if (!path_exists(latest)) { /* killed between the first checkpoint's rename and LATEST */
        Steps s = list_steps(a, path);
        if (s.count)
            return step_dir(a, path, s.step[s.count - 1]);
        buf_printf(err, "'%s' holds no checkpoint", path);
        return NULL;
    }
    if (!file_read(a, latest, &text, &len, why)) {
        buf_puts(err, why);
        return NULL;
    }
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = 0;
    if (strlen(text) != len || !parse_name(text, &step)) {
        buf_printf(err,
                   "'%s' is damaged: it should name a checkpoint, like ckpt-100; pick one with --resume %s/ckpt-...",
                   latest, path);
        return NULL;
    }
    return path_join(a, path, text);
}

int checkpoint_lock(const char *run, Buf *err)
{
    Arena        *a = arena_new();
    char          why[FILE_ERR_MAX];
    const char   *path = path_join(a, run, LOCK);
    struct flock  whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int           fd = -1;
    if (!dir_make(run, why)) {
        buf_puts(err, why);
    } else if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0) {
        buf_printf(err, "cannot write checkpoints into '%s': %s", run, strerror(errno));
    } else if (fcntl(fd, F_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN)) {
        buf_printf(err, "another process is training into '%s'", run); /* file systems without locks do without */
        close(fd);
        fd = -1;
    }
    arena_free(a);
    return fd;
}

void checkpoint_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

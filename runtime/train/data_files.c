/* data_files.c: finding, mapping and checking files of tokens; see data_files.h.
 *
 * A file is mapped, not read: the system caches it and a corpus may be larger than memory. Tokens are read byte by byte,
 * which is right on every machine and no slower than the memory it waits for. All sizes are 64 bits wide. */
#include "runtime/train/data_files.h"

#include "base/file.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which files ---- */

typedef struct {
    Arena       *a;
    const char **path;
    uint32_t     count, cap;
} Paths;

static void add_path(Paths *p, const char *path)
{
    GROW(p->a, p->path, p->count, p->cap);
    p->path[p->count++] = path;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_from(Paths *p, uint32_t first)
{
    if (p->count > first)
        qsort(p->path + first, p->count - first, sizeof *p->path, by_bytes);
}

static bool is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool add_folder(Paths *p, const char *spec, Buf *err)
{
    DIR     *d = opendir(spec);
    uint32_t first = p->count;
    if (!d) {
        buf_printf(err, "cannot read data folder '%s': %s", spec, strerror(errno));
        return false;
    }
    for (struct dirent *e; (e = readdir(d));) {
        const char *path = path_join(p->a, spec, e->d_name);
        if (e->d_name[0] != '.' && is_regular(path))
            add_path(p, path);
    }
    closedir(d);
    sort_from(p, first);
    if (p->count == first)
        buf_printf(err, "data folder '%s' holds no files", spec);
    return p->count > first;
}

static bool add_pattern(Paths *p, const char *spec, Buf *err)
{
    glob_t   found;
    uint32_t first = p->count;
    int      status = glob(spec, GLOB_NOSORT, NULL, &found);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; i++)
        if (is_regular(found.gl_pathv[i]))
            add_path(p, arena_strdup(p->a, found.gl_pathv[i]));
    if (status == 0)
        globfree(&found);
    sort_from(p, first);
    if (p->count == first)
        buf_printf(err, "no data file matches '%s'", spec);
    return p->count > first;
}

static bool add_spec(Paths *p, const char *spec, Buf *err)
{
    if (path_exists(spec) && !path_is_dir(spec)) {
        add_path(p, spec);
        return true;
    }
    if (path_is_dir(spec))
        return add_folder(p, spec, err);
    const char *comma = strchr(spec, ',');
    if (!comma && strpbrk(spec, "*?["))
        return add_pattern(p, spec, err);
    if (!comma) { /* whoever opens it says what is wrong with it */
        add_path(p, spec);
        return true;
    }
    if (comma == spec || !comma[1]) {
        buf_printf(err, "an empty name in the list of data files: '%s'", spec);
        return false;
    }
    return add_spec(p, arena_strndup(p->a, spec, (size_t)(comma - spec)), err) && add_spec(p, comma + 1, err);
}

bool data_paths(Arena *a, const char *spec, const char *const **path, uint32_t *count, Buf *err)
{
    Paths p = {.a = a};
    bool  ok = add_spec(&p, arena_strdup(a, spec), err);
    *path = p.path;
    *count = p.count;
    return ok;
}

/* ---- their content ---- */

uint64_t shard_identity(const struct stat *st)
{
#ifdef __APPLE__
    struct timespec changed = st->st_mtimespec;
#else
    struct timespec changed = st->st_mtim;
#endif
    uint64_t of[] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size, (uint64_t)changed.tv_sec,
                     (uint64_t)changed.tv_nsec};
    return hash_u64(of, sizeof of);
}

bool shard_map(Shard *s, const char *path, uint32_t width, Buf *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (fd < 0) {
        buf_printf(err, "cannot open data file '%s': %s; --data FILE names another", path, strerror(errno));
        return false;
    }
    struct stat st;
    bool        ok = false;
    *s = (Shard){.path = path, .width = width};
    if (fstat(fd, &st) != 0) {
        buf_printf(err, "cannot read data file '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        buf_printf(err, "data file '%s' is a pipe or device; a regular file is needed", path);
    } else if (st.st_size == 0) {
        buf_printf(err, "data file '%s' is empty", path);
    } else if ((uint64_t)st.st_size > SIZE_MAX) {
        buf_printf(err, "data file '%s' does not fit the address space", path);
    } else if (st.st_size % width) {
        buf_printf(err, "data file '%s' has %lld bytes, which is no multiple of %u: it does not hold uint%u tokens",
                   path, (long long)st.st_size, width, 8 * width);
    } else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            buf_printf(err, "cannot map data file '%s': %s", path, strerror(errno));
        } else {
            s->map = p;
            s->bytes = (size_t)st.st_size;
            s->tokens = s->bytes / width;
            s->identity = shard_identity(&st);
            ok = true;
        }
    }
    close(fd);
    return ok;
}

void shard_close(Shard *s)
{
    if (s->owned)
        free((void *)(uintptr_t)s->map);
    else if (s->map)
        munmap((void *)(uintptr_t)s->map, s->bytes);
    *s = (Shard){0};
}

/* The largest id of a block, in a loop that vectorises: a corpus is read at the speed of memory. */
static uint32_t largest(const Shard *s, uint64_t from, uint64_t to)
{
    uint32_t top = 0;
    if (s->width == 2)
        for (uint64_t i = from; i < to; i++) {
            uint32_t id = (uint32_t)(s->map[2 * i] | s->map[2 * i + 1] << 8);
            top = id > top ? id : top;
        }
    else
        for (uint64_t i = from; i < to; i++) {
            uint32_t id = shard_token(s, i);
            top = id > top ? id : top;
        }
    return top;
}

bool shard_check(const Shard *s, uint32_t vocab, Buf *err)
{
    enum { BLOCK = 4096 };
    if (s->width < 4 && vocab >> (8 * s->width)) /* no id can be too large */
        return true;
    for (uint64_t from = 0, to; from < s->tokens; from = to) {
        to = s->tokens - from < BLOCK ? s->tokens : from + BLOCK;
        if (largest(s, from, to) < vocab)
            continue;
        while (shard_token(s, from) < vocab)
            from++;
        buf_printf(err, "data file '%s': token id %u at byte offset %llu; the model's vocabulary has %u ids", s->path,
                   (unsigned)shard_token(s, from), (unsigned long long)(from * s->width), (unsigned)vocab);
        return false;
    }
    return true;
}

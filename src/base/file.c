/* file.c: POSIX file helpers; see file.h. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(char *err, const char *what, const char *path, const char *why)
{
    snprintf(err, FILE_ERR_MAX, "cannot %s '%s': %s", what, path, why);
    return false;
}

bool file_read(Arena *a, const char *path, char **data, size_t *len, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) || st.st_size > INT32_MAX) {
        fail(err, "read", path, S_ISDIR(st.st_mode) ? "it is a directory" : "it is too large");
        close(fd);
        return false;
    }
    size_t cap = (size_t)st.st_size + 1, n = 0;
    char  *p = arena_alloc(a, cap + 1);
    for (;;) { /* pipes report size 0: grow until the end */
        if (n == cap) {
            char *q = arena_alloc(a, cap * 2 + 1);
            memcpy(q, p, n);
            p = q;
            cap *= 2;
        }
        ssize_t got = read(fd, p + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fail(err, "read", path, strerror(errno));
            close(fd);
            return false;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    p[n] = 0;
    *data = p;
    *len = n;
    return true;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n > (1u << 30) ? 1u << 30 : n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static bool write_file(const char *path, const void *data, size_t len, bool flush, char *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail(err, "create", path, strerror(errno));
    bool ok = write_all(fd, data, len) && (!flush || fsync(fd) == 0);
    int  why = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        why = errno;
    }
    return ok ? true : fail(err, "write", path, strerror(why));
}

bool file_write(const char *path, const void *data, size_t len, char *err)
{
    return write_file(path, data, len, false, err);
}

bool dir_sync(const char *path, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", path, strerror(errno));
    bool ok = fsync(fd) == 0;
    int  why = errno;
    close(fd);
    return ok ? true : fail(err, "flush", path, strerror(why));
}

bool file_write_atomic(const char *path, const void *data, size_t len, char *err)
{
    Arena *a = arena_new();
    char  *tmp = arena_printf(a, "%s.tmp-%ld", path, (long)getpid());
    char  *dir = arena_strdup(a, path), *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    bool ok = write_file(tmp, data, len, true, err);
    if (ok && rename(tmp, path) != 0)
        ok = fail(err, "rename onto", path, strerror(errno));
    if (!ok)
        unlink(tmp);
    else
        ok = dir_sync(slash ? dir : ".", err);
    arena_free(a);
    return ok;
}

bool dir_make(const char *path, char *err)
{
    Arena *a = arena_new();
    char  *p = arena_strdup(a, path);
    bool   ok = true;
    for (char *s = p + (*p == '/'); ok; s++) {
        if (*s != '/' && *s != 0)
            continue;
        char c = *s;
        *s = 0;
        if (*p && mkdir(p, 0755) != 0 && (errno != EEXIST || !path_is_dir(p)))
            ok = fail(err, "create directory", p, strerror(errno));
        *s = c;
        if (c == 0)
            break;
    }
    arena_free(a);
    return ok;
}

bool dir_remove(const char *path, char *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? true : fail(err, "remove", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return unlink(path) == 0 ? true : fail(err, "remove", path, strerror(errno));
    DIR *d = opendir(path);
    if (!d)
        return fail(err, "open", path, strerror(errno));
    Arena *a = arena_new();
    bool   ok = true;
    for (struct dirent *e; ok && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = dir_remove(path_join(a, path, e->d_name), err);
    closedir(d);
    arena_free(a);
    if (ok && rmdir(path) != 0)
        ok = fail(err, "remove", path, strerror(errno));
    return ok;
}

bool path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_tame(const char *path)
{
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

char *path_join(Arena *a, const char *dir, const char *name)
{
    if (!dir || !*dir)
        return arena_strdup(a, name);
    return arena_printf(a, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
}

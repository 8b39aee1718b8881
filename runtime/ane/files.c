/* files.c: see files.h. */
#include "ane/files.h"

#include "base/arena.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *ane_file_relative(const char *path, Buf *err)
{
    static const char root[] = "@model_path/";
    const char       *rest = path + sizeof root - 1;
    if (strncmp(path, root, sizeof root - 1) != 0 || !path_is_tame(rest)) {
        buf_printf(err, "the weight file '%s' is not below @model_path\n", path);
        return NULL;
    }
    return rest;
}

/* ---- the directory ---- */

static bool cannot(const char *what, const char *path, int why, Buf *err)
{
    buf_printf(err, "cannot %s '%s': %s", what, path, strerror(why));
    if (why == ENOSPC || why == EDQUOT)
        buf_puts(err, ": models need room for their weights there while they are loaded");
    else if (why == EACCES || why == EPERM || why == EROFS || why == ENOENT)
        buf_puts(err, ": models are made in the temporary directory of the user, which has to exist and be writable");
    buf_putc(err, '\n');
    return false;
}

static void clear(const char *path)
{
    Arena *a = arena_new();
    DIR   *d = opendir(path);
    char   why[FILE_ERR_MAX];
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            const char *inner = path_join(a, path, e->d_name);
            if (unlink(inner) != 0)
                (void)dir_remove(inner, why);
        }
    if (d)
        closedir(d);
    arena_free(a);
}

static bool only_ours(int fd, const char *path, Buf *err)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
        return true;
    buf_printf(err, "'%s' is there already and is not this user's alone: nothing is written into it; remove it\n", path);
    return false;
}

/* Is the opened directory still the one of that name? Another process may have removed it before it was locked. */
static bool still(int fd, const char *path)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

bool ane_directory_open(AneDirectory *d, const char *path, Buf *err)
{
    for (;;) {
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return cannot("create", path, errno, err);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue; /* removed by its last user a moment ago */
        if (fd < 0)
            return cannot("use", path, errno, err);
        if (!only_ours(fd, path, err)) {
            close(fd);
            return false;
        }
        /* Alone, whatever is in it was left behind. A file system without locks is taken as it is. */
        bool alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (alone && still(fd, path))
            clear(path);
        while (flock(fd, LOCK_SH) != 0 && errno == EINTR)
            continue;
        if (still(fd, path)) {
            *d = (AneDirectory){strcpy(xmalloc(strlen(path) + 1), path), fd};
            return true;
        }
        close(fd);
    }
}

void ane_directory_close(AneDirectory *d)
{
    if (!d->path)
        return;
    if (flock(d->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
        clear(d->path);
        (void)rmdir(d->path);
    }
    close(d->lock);
    free(d->path);
    *d = (AneDirectory){0};
}

/* ---- files ---- */

bool ane_file_write(const AneDirectory *d, const char *name, const void *data, size_t len, Buf *err)
{
    Arena *a = arena_new();
    char  *path = arena_printf(a, "%s/%s", d->path, name);
    char  *fresh = arena_printf(a, "%s.%" PRIdMAX ".new", path, (intmax_t)getpid());
    bool   ok = true;
    for (char *slash = path + strlen(d->path) + 1; ok && (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        ok = mkdir(path, 0700) == 0 || errno == EEXIST || cannot("create", path, errno, err);
        *slash = '/';
    }
    int fd = ok ? open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
    if (ok && fd < 0)
        ok = cannot("create", fresh, errno, err);
    for (const char *at = data; ok && len;) {
        ssize_t put = write(fd, at, len > (1u << 30) ? 1u << 30 : len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            ok = cannot("write", path, errno, err);
        else {
            at += put;
            len -= (size_t)put;
        }
    }
    if (fd >= 0 && close(fd) != 0 && ok)
        ok = cannot("write", path, errno, err);
    if (ok && rename(fresh, path) != 0)
        ok = cannot("write", path, errno, err);
    if (fd >= 0 && !ok)
        (void)unlink(fresh);
    arena_free(a);
    return ok;
}

bool ane_files_write(const AneDirectory *d, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err)
{
    bool ok = ane_file_write(d, "model.mil", mil, len, err);
    for (size_t i = 0; ok && i < files; i++) {
        const char *relative = ane_file_relative(file[i].path, err);
        ok = relative && ane_file_write(d, relative, file[i].data, file[i].len, err);
    }
    return ok;
}

bool ane_file_read(Arena *a, const AneDirectory *d, const char *name, char **data, size_t *len, Buf *err)
{
    char why[FILE_ERR_MAX];
    if (file_read(a, path_join(a, d->path, name), data, len, why))
        return true;
    buf_printf(err, "%s\n", why);
    return false;
}

bool ane_file_exists(const AneDirectory *d, const char *name)
{
    Arena *a = arena_new();
    bool   yes = path_exists(path_join(a, d->path, name));
    arena_free(a);
    return yes;
}

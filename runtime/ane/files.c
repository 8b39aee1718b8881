/* files.c: see files.h. */
#include "ane/files.h"

#include "base/arena.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *ane_file_relative(const char *path, Buf *err)
{
    static const char root[] = "@model_path/";
    const char       *rest = path + sizeof root - 1;
    if (strncmp(path, root, sizeof root - 1) != 0 || !*rest || *rest == '/' || strstr(rest, "..")) {
        buf_printf(err, "the weight file '%s' is not below @model_path\n", path);
        return NULL;
    }
    return rest;
}

static bool make_directory(const char *dir, Buf *err)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return true;
    buf_printf(err, "cannot create '%s': %s\n", dir, strerror(errno));
    return false;
}

static bool write_file(const char *path, const void *data, size_t len, Buf *err)
{
    char why[FILE_ERR_MAX];
    if (file_write(path, data, len, why))
        return true;
    buf_printf(err, "%s\n", why);
    return false;
}

bool ane_files_write(const char *dir, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err)
{
    Arena *a = arena_new();
    bool   ok = make_directory(dir, err) && write_file(path_join(a, dir, "model.mil"), mil, len, err);
    for (size_t i = 0; ok && i < files; i++) {
        const char *relative = ane_file_relative(file[i].path, err);
        if (!relative) {
            ok = false;
            break;
        }
        char *full = arena_printf(a, "%s/%s", dir, relative);
        for (char *slash = full + strlen(dir) + 1; ok && (slash = strchr(slash, '/')); slash++) {
            *slash = 0;
            ok = make_directory(full, err);
            *slash = '/';
        }
        ok = ok && write_file(full, file[i].data, file[i].len, err);
    }
    arena_free(a);
    return ok;
}

bool ane_files_copy_compiled(const char *from, const char *to, Buf *err)
{
    static const char *const part[] = {"net.plist", "data"};
    Arena *a = arena_new();
    bool   ok = true;
    for (size_t i = 0; ok && i < COUNT(part); i++) {
        char  *data, why[FILE_ERR_MAX];
        size_t len;
        ok = file_read(a, path_join(a, from, part[i]), &data, &len, why);
        if (!ok)
            buf_printf(err, "compiling left no '%s' to take over: %s\n", part[i], why);
        ok = ok && write_file(path_join(a, to, part[i]), data, len, err);
    }
    arena_free(a);
    return ok;
}

void ane_files_remove(const char *dir)
{
    Arena *a = arena_new();
    DIR   *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        const char *path = path_join(a, dir, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            ane_files_remove(path);
        else
            (void)unlink(path);
    }
    if (d)
        closedir(d);
    (void)rmdir(dir);
    arena_free(a);
}

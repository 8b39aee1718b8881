/* plan_dir.c: plan directories: reading one, and writing one so that it is complete or not there.
 *
 * A plan is written into a directory of its own beside the place it will have, flushed to the disk, and put in place by
 * renaming. A plan that was there before is moved aside first and removed last, so a crash can leave the new plan, the
 * old one, or (between two renames) both beside each other, never a mixture. What is there and is no plan stays: a
 * mistyped -o must not cost anybody their data. */
#include "base/file.h"
#include "base/hash.h"
#include "plan/plan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char manifest_name[] = "plan.anep";

static bool fail(Buf *err, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool fail(Buf *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(err, fmt, ap);
    va_end(ap);
    return false;
}

Plan *plan_open(Arena *a, const char *dir, char *hash, Buf *err)
{
    char        why[FILE_ERR_MAX], *text;
    size_t      len;
    const char *path = path_join(a, dir, manifest_name);
    if (path_exists(dir) && !path_exists(path)) {
        fail(err, "'%s' is not a plan: it %s; 'anec MODEL -o DIR' makes plans", dir,
             path_is_dir(dir) ? "holds no plan.anep" : "is a file, plans are directories");
        return NULL;
    }
    if (!path_exists(dir)) {
        fail(err, "there is no plan '%s'; 'anec MODEL -o %s' makes one", dir, dir);
        return NULL;
    }
    if (!file_read(a, path, &text, &len, why)) {
        fail(err, "%s", why);
        return NULL;
    }
    Plan *p = plan_parse(a, path, text, len, err);
    if (p && hash) { /* of the canonical text: comments and spacing do not count */
        Buf canonical = {0};
        plan_print(p, &canonical);
        hash_hex(canonical.data, canonical.len, hash);
        buf_free(&canonical);
    }
    return p;
}

/* ---- writing ---- */

/* First component of a relative path, and nothing in it that climbs. */
static bool safe_path(const char *path)
{
    for (const char *s = path; *s; s += strcspn(s, "/"), s += *s == '/') {
        size_t n = strcspn(s, "/");
        if (n == 0 || (s[0] == '.' && (n == 1 || (s[1] == '.' && n == 2))) || (s[n] == '/' && !s[n + 1]))
            return false;
    }
    return *path && *path != '/' && strcmp(path, manifest_name) != 0;
}

/* Whether `name` at the top of a plan directory belongs to a plan. */
static bool is_ours(const char *name, const PlanFile *file, uint32_t files)
{
    static const char *const known[] = {"plan.anep", "plan.lock", "mil", "map", "const", "ir", "src"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    for (uint32_t i = 0; i < files; i++) {
        size_t n = strcspn(file[i].path, "/");
        if (strlen(name) == n && memcmp(name, file[i].path, n) == 0)
            return true;
    }
    return false;
}

/* The directory may be replaced: missing, empty, or a plan and nothing else. */
static bool may_replace(const char *dir, const PlanFile *file, uint32_t files, Buf *err)
{
    struct stat st;
    if (lstat(dir, &st) != 0)
        return errno == ENOENT ? true : fail(err, "cannot look at '%s': %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fail(err, "'%s' is not a directory; it is left alone, choose another place for the plan", dir);
    DIR *d = opendir(dir);
    if (!d)
        return fail(err, "cannot open '%s': %s", dir, strerror(errno));
    bool manifest = false, empty = true, ok = true;
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        empty = false;
        manifest = manifest || strcmp(e->d_name, manifest_name) == 0;
        if (!is_ours(e->d_name, file, files))
            ok = fail(err, "'%s' holds '%s', which is no part of a plan; move it away or choose another place", dir,
                      e->d_name);
    }
    closedir(d);
    if (ok && !manifest && !empty)
        return fail(err, "'%s' is not empty and not a plan; it is left alone, choose another place", dir);
    return ok;
}

static bool write_file(Arena *a, const char *dir, const char *path, const void *data, size_t len, Buf *err)
{
    char  why[FILE_ERR_MAX];
    char *full = path_join(a, dir, path), *slash = strrchr(full, '/');
    *slash = 0;
    bool ok = dir_make(full, why);
    *slash = '/';
    ok = ok && file_write_atomic(full, data, len, why); /* flushes the file and its directory */
    return ok ? true : fail(err, "%s", why);
}

static bool write_all(Arena *a, const Plan *p, const char *dir, const PlanFile *file, uint32_t files, Buf *err)
{
    char why[FILE_ERR_MAX];
    Buf  text = {0};
    plan_print(p, &text);
    /* A manifest that its reader refuses is a fault of the compiler; better found here than in the hands of a user. */
    bool ok = plan_parse(a, manifest_name, text.data, text.len, err) != NULL;
    for (uint32_t i = 0; ok && i < files; i++)
        ok = safe_path(file[i].path) ? write_file(a, dir, file[i].path, file[i].data, file[i].len, err)
                                     : fail(err, "'%s' is no path below a plan", file[i].path);
    ok = ok && write_file(a, dir, manifest_name, text.data, text.len, err);
    if (ok && !dir_sync(dir, why))
        ok = fail(err, "%s", why);
    buf_free(&text);
    return ok;
}

static bool put_in_place(Arena *a, const char *tmp, const char *dir, Buf *err)
{
    char        why[FILE_ERR_MAX];
    const char *old = arena_printf(a, "%s.old-%ld", dir, (long)getpid());
    bool        had = path_exists(dir);
    if (had && rename(dir, old) != 0)
        return fail(err, "cannot move '%s' aside: %s", dir, strerror(errno));
    if (rename(tmp, dir) != 0) {
        int code = errno;
        if (had && rename(old, dir) != 0)
            return fail(err, "cannot rename '%s' to '%s': %s; the old plan is in '%s'", tmp, dir, strerror(code), old);
        return fail(err, "cannot rename '%s' to '%s': %s", tmp, dir, strerror(code));
    }
    char *parent = arena_strdup(a, dir), *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = 0;
    if (!dir_sync(slash ? parent : ".", why) || (had && !dir_remove(old, why)))
        return fail(err, "%s", why);
    return true;
}

bool plan_write(const Plan *p, const char *dir, const PlanFile *file, uint32_t files, Buf *err)
{
    Arena *a = arena_new();
    char   why[FILE_ERR_MAX], *place = arena_strdup(a, dir), *real = realpath(dir, NULL);
    if (real) /* through symbolic links */
        place = arena_strdup(a, real);
    free(real);
    for (size_t n = strlen(place); n > 1 && place[n - 1] == '/'; n--)
        place[n - 1] = 0;
    const char *tmp = arena_printf(a, "%s.tmp-%ld", place, (long)getpid());
    bool        ok = *place ? may_replace(place, file, files, err) : fail(err, "the plan needs a directory name");
    if (ok) {
        ok = dir_remove(tmp, why) && dir_make(tmp, why);
        if (!ok)
            fail(err, "%s", why);
        ok = ok && write_all(a, p, tmp, file, files, err) && put_in_place(a, tmp, place, err);
        if (!ok)
            dir_remove(tmp, why);
    }
    arena_free(a);
    return ok;
}

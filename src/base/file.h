/* file.h: whole files, and writing them so that a crash leaves the old or the new one, never half.
 *
 * Functions that can fail return false and put one sentence, naming the file and the system's reason, into `err`
 * (FILE_ERR_MAX bytes). */
#ifndef ANEL_BASE_FILE_H
#define ANEL_BASE_FILE_H

#include "base/arena.h"

#include <stdbool.h>

enum { FILE_ERR_MAX = 512 };

/* Read a file into `a`, followed by a NUL that is not counted. Directories and files over 2 GiB are refused. */
bool file_read(Arena *a, const char *path, char **data, size_t *len, char *err);
/* Write (create or truncate), without any guarantee against a crash. */
bool file_write(const char *path, const void *data, size_t len, char *err);
/* Write to a temporary name in the same directory, flush to the disk, rename over `path`, flush the directory. */
bool file_write_atomic(const char *path, const void *data, size_t len, char *err);
/* Flush a directory's entries to the disk. */
bool dir_sync(const char *path, char *err);
/* Create a directory and its parents; an existing one is fine. */
bool dir_make(const char *path, char *err);
/* Remove a directory with everything in it; a missing one is fine. Symbolic links are removed, not followed. */
bool dir_remove(const char *path, char *err);
bool path_exists(const char *path);
bool path_is_dir(const char *path);
/* Has it no empty, "." or ".." component? Then, joined to a directory, it stays below it. */
bool path_is_tame(const char *path);
/* "dir/name"; `name` alone when dir is NULL or empty. */
char *path_join(Arena *a, const char *dir, const char *name);

#endif

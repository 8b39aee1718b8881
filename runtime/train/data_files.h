/* data_files.h: the files behind a data set: which they are, and their tokens in memory. For data.c. */
#ifndef ANEL_TRAIN_DATA_FILES_H
#define ANEL_TRAIN_DATA_FILES_H

#include "runtime/train/tokenizer.h"

#include "base/arena.h"

/* One file's tokens, `width` bytes each, little endian: mapped, or memory of its own. */
typedef struct {
    const char          *path; /* of the file the user named */
    const unsigned char *map;
    size_t               bytes;
    bool                 owned; /* from malloc, not mapped */
    uint32_t             width; /* 1, 2 or 4 */
    uint64_t             tokens;
    uint64_t             identity; /* hash of the file's device, number, size and time of change */
} Shard;

static inline uint32_t shard_token(const Shard *s, uint64_t i)
{
    const unsigned char *p = s->map + i * s->width;
    uint32_t             id = p[0];
    if (s->width > 1)
        id |= (uint32_t)p[1] << 8;
    if (s->width > 2)
        id |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return id;
}

/* The files that `spec` means: a file; else, if it is a folder, the regular files in it; else, with one of * ? [ in it, the
 * files of this pattern; else, with commas, what each part means. Folders and patterns give files in the order of
 * their names' bytes, without those that begin with a dot. The list lives in `a`. False with a sentence. */
bool data_paths(Arena *a, const char *spec, const char *const **path, uint32_t *count, Buf *err);

/* Map a file of tokens of `width` bytes. False with a sentence: it cannot be read, is empty, or has an odd size. */
bool shard_map(Shard *s, const char *path, uint32_t width, Buf *err);
/* The ids of a text file: BOS, if the tokenizer has one, and its text's. A long text is encoded once: the ids are kept in a
 * hidden file beside it, or if that folder is not writable, in a nameless temporary one. */
bool shard_text(Shard *s, const char *path, const Tokenizer *t, Buf *err);
struct stat;
uint64_t shard_identity(const struct stat *st);
/* Every id is below `vocab`; if not, a sentence that names the id and its byte offset. */
bool shard_check(const Shard *s, uint32_t vocab, Buf *err);
void shard_close(Shard *s); /* a zeroed one is fine */

#endif

/* data_text.c: text files as files of token ids; see shard_text() in data_files.h.
 *
 * A short text is encoded whenever it is opened. Ids of a long one are kept: beside TEXT in .TEXT.KEY.u16 (or .u32 for
 * vocabularies beyond 65536), where the key stands for which file the text is, its size and time of change, and the tokenizer's content;
 * the file is a plain list of ids that data=tokens_u16 can read as well. It grows under another name, held by a
 * lock, and is renamed when it is complete: several processes that start on one text encode it once, and a killed one
 * leaves nothing that is mistaken for complete. */
#include "runtime/train/data_files.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SHORT_TEXT = 16 << 20, SNIFFED = 1 << 16, VERSION = 1 /* of the encoding; part of the key */ };

/* ---- short texts: ids in memory ---- */

static bool encode_short(Shard *s, const Shard *text, const Tokenizer *t, Buf *err)
{
    Tokens k = {0};
    if (tokenizer_bos(t) != TOKENIZER_NONE) {
        k = (Tokens){xmalloc(64 * sizeof *k.id), 1, 64};
        k.id[0] = tokenizer_bos(t);
    }
    if (!tokenizer_encode(t, (const char *)text->map, text->bytes, &k, err)) {
        tokens_free(&k);
        return false;
    }
    unsigned char *to = xmalloc(k.count ? 4 * k.count : 1);
    for (size_t i = 0; i < k.count; i++)
        for (int byte = 0; byte < 4; byte++)
            to[4 * i + (size_t)byte] = (unsigned char)((uint32_t)k.id[i] >> 8 * byte);
    *s = (Shard){.path = text->path, .map = to, .bytes = 4 * k.count, .owned = true, .width = 4, .tokens = k.count,
                 .identity = text->identity};
    tokens_free(&k);
    return true;
}

/* ---- long ones: a file ---- */

typedef struct {
    FILE       *file;
    const char *name;
    uint32_t    width;
} Writer;

static bool write_ids(void *to, const Tokens *k, Buf *err)
{
    Writer *w = to;
    for (size_t i = 0; i < k->count; i++)
        for (uint32_t byte = 0; byte < w->width; byte++)
            putc((int)((uint32_t)k->id[i] >> 8 * byte & 0xff), w->file);
    if (!ferror(w->file))
        return true;
    buf_printf(err, "cannot write token ids into %s: %s; make room, or encode the text beforehand (data=tokens_u16)",
               w->name, strerror(errno));
    return false;
}

static bool write_all(Writer *w, const Shard *text, const Tokenizer *t, Buf *err)
{
    int32_t bos = tokenizer_bos(t);
    Tokens  first = {&bos, 1, 1};
    if ((bos != TOKENIZER_NONE && !write_ids(w, &first, err)) ||
        !tokenizer_stream(t, (const char *)text->map, text->bytes, write_ids, w, err))
        return false;
    if (fflush(w->file) == 0 && fsync(fileno(w->file)) == 0)
        return true;
    buf_printf(err, "cannot write token ids into %s: %s; make room, or encode the text beforehand (data=tokens_u16)",
               w->name, strerror(errno));
    return false;
}

/* Where the text's folder cannot be written to: a file that has no name and goes with the process. */
static bool encode_nameless(Shard *s, const Shard *text, const Tokenizer *t, uint32_t width, Buf *err)
{
    Writer w = {tmpfile(), "a temporary file", width};
    if (!w.file) {
        buf_printf(err, "cannot create a temporary file for the token ids of '%s': %s", text->path, strerror(errno));
        return false;
    }
    bool  ok = write_all(&w, text, t, err);
    off_t size = ok ? ftello(w.file) : 0;
    if (ok && size > 0) {
        void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fileno(w.file), 0);
        ok = p != MAP_FAILED;
        if (ok)
            *s = (Shard){.path = text->path, .map = p, .bytes = (size_t)size, .width = width,
                         .tokens = (uint64_t)size / width, .identity = text->identity};
        else
            buf_printf(err, "cannot map the token ids of '%s': %s", text->path, strerror(errno));
    }
    fclose(w.file);
    return ok;
}

/* Has `path` been completed, by an earlier run or while this one waited? */
static bool take(Shard *s, const char *path, const char *text, uint32_t width)
{
    Buf  unread = {0};
    bool ok = path_exists(path) && shard_map(s, path, width, &unread);
    if (ok)
        s->path = text;
    buf_free(&unread);
    return ok;
}

static bool encode_beside(Shard *s, const Shard *text, const Tokenizer *t, uint32_t width, const char *path, Buf *err)
{
    Arena       *a = arena_new();
    const char  *growing = arena_printf(a, "%s.part", path);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int          fd = open(growing, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool         ok;
    if (fd < 0) {
        arena_free(a);
        return encode_nameless(s, text, t, width, err);
    }
    while (fcntl(fd, F_SETLKW, &whole) != 0 && errno == EINTR) /* file systems without locks do without */
        ;
    Writer w = {NULL, arena_printf(a, "'%s'", growing), width};
    if (take(s, path, text->path, width)) {
        unlink(growing);
        close(fd);
        ok = true;
    } else if (ftruncate(fd, 0) != 0 || !(w.file = fdopen(fd, "wb"))) {
        buf_printf(err, "cannot write '%s': %s", growing, strerror(errno));
        close(fd);
        ok = false;
    } else {
        ok = write_all(&w, text, t, err);
        if (ok && rename(growing, path) != 0) {
            buf_printf(err, "cannot rename '%s': %s", growing, strerror(errno));
            ok = false;
        }
        if (!ok)
            unlink(growing);
        fclose(w.file);
        ok = ok && shard_map(s, path, width, err);
        s->path = text->path;
    }
    arena_free(a);
    return ok;
}

/* "folder/.text.txt.KEY.u16" */
static const char *cache_path(Arena *a, const Shard *text, const Tokenizer *t, uint32_t width)
{
    const char *slash = strrchr(text->path, '/'), *name = slash ? slash + 1 : text->path;
    uint64_t    of[] = {text->identity, tokenizer_hash(t), VERSION};
    const char *folder = slash ? arena_strndup(a, text->path, (size_t)(slash - text->path + 1)) : "";
    return arena_printf(a, "%s.%s.%016" PRIx64 ".u%u", folder, name, hash_u64(of, sizeof of), 8 * width);
}

/* ---- both ---- */

static bool looks_like_text(const Shard *text, Buf *err)
{
    size_t n = text->bytes < SNIFFED ? text->bytes : SNIFFED;
    if (!memchr(text->map, 0, n))
        return true;
    buf_printf(err,
               "data file '%s' has zero bytes in it and is no text; token ids are read with --set data=tokens_u16 or "
               "tokens_u32",
               text->path);
    return false;
}

bool shard_text(Shard *s, const char *path, const Tokenizer *t, Buf *err)
{
    Shard    text = {0};
    uint32_t width = tokenizer_vocab(t) <= 65536 ? 2 : 4;
    bool     ok = shard_map(&text, path, 1, err) && looks_like_text(&text, err);
    if (ok && text.bytes <= SHORT_TEXT) {
        ok = encode_short(s, &text, t, err);
    } else if (ok) {
        Arena      *a = arena_new();
        const char *cache = cache_path(a, &text, t, width);
        ok = take(s, cache, path, width) || encode_beside(s, &text, t, width, cache, err);
        arena_free(a);
    }
    shard_close(&text);
    return ok;
}

/* reload.c: see reload.h. */
#include "ane/reload.h"

#include "base/hash.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX

/* A blob of a weight file. */
typedef struct {
    size_t   file, at, bytes;
    uint64_t hash;
    size_t   place; /* in `data`; NOWHERE: not looked for yet */
} Entry;

struct AneWeights {
    Entry *entry;
    size_t entries, files;
    bool   opaque; /* `data` does not show the weights */
};

static void add(AneWeights *w, const DeviceFile *f, size_t file, size_t at, size_t bytes)
{
    w->entry = xrealloc(w->entry, (w->entries + 1) * sizeof *w->entry);
    w->entry[w->entries++] = (Entry){file, at, bytes, hash_u64((const char *)f->data + at, bytes), NOWHERE};
}

AneWeights *ane_weights_new(const DeviceFile *file, size_t files)
{
    AneWeights *w = xcalloc(1, sizeof *w);
    w->files = files;
    for (size_t i = 0; i < files; i++) {
        const char *data = file[i].data;
        size_t      at = BLOB_FIRST, before = w->entries;
        BlobView    blob;
        Buf         why = {0};
        while (blob_find(data, file[i].len, at, &blob, &why) && blob.bytes) {
            size_t from = (size_t)((const char *)blob.data - data);
            add(w, &file[i], i, from, (size_t)blob.bytes);
            at = (from + (size_t)blob.bytes + BLOB_ALIGN - 1) / BLOB_ALIGN * BLOB_ALIGN;
        }
        buf_free(&why);
        if (w->entries == before && file[i].len) /* no blobs: as a whole */
            add(w, &file[i], i, 0, file[i].len);
    }
    return w;
}

AneWeights *ane_weights_read(const AneDirectory *d, const DeviceFile *file, size_t files, Buf *err)
{
    Arena      *a = arena_new();
    DeviceFile *there = NEW_N(a, DeviceFile, files + 1);
    bool        ok = true;
    for (size_t i = 0; ok && i < files; i++) {
        char       *data = NULL;
        const char *name = ane_file_relative(file[i].path, err);
        ok = name && ane_file_read(a, d, name, &data, &there[i].len, err);
        there[i].path = file[i].path;
        there[i].data = data;
    }
    AneWeights *w = ok ? ane_weights_new(there, files) : NULL;
    arena_free(a);
    return w;
}

void ane_weights_free(AneWeights *w)
{
    if (w)
        free(w->entry);
    free(w);
}

bool ane_reload_can(const AneDirectory *donor)
{
    return ane_file_exists(donor, "net.plist") && ane_file_exists(donor, "data");
}

static const char *find(const char *in, const char *end, const char *what, size_t n)
{
    for (; (size_t)(end - in) >= n; in++) {
        in = memchr(in, what[0], (size_t)(end - in) - n + 1);
        if (!in)
            return NULL;
        if (memcmp(in, what, n) == 0)
            return in;
    }
    return NULL;
}

/* Where `data` has these bytes for the blob number `rank` of `same` that have them; all get the same new bytes, so their
 * order does not matter. A compiler that keeps one copy for all has it once. */
static size_t place_of(const char *data, size_t len, const char *what, size_t n, size_t same, size_t rank)
{
    const char *end = data + len, *at = find(data, end, what, n);
    size_t      place = NOWHERE, first = at ? (size_t)(at - data) : NOWHERE, count = 0;
    for (; at && count <= same; at = find(at + 1, end, what, n))
        if (count++ == rank)
            place = (size_t)(at - data);
    return count == same ? place : count == 1 ? first : NOWHERE;
}

/* How many blobs had the same bytes as blob i, and how many of them come before it. False if they differ now: nobody
 * could tell which is which. */
static bool twins(const AneWeights *old, const AneWeights *fresh, size_t i, size_t *same, size_t *rank)
{
    *same = *rank = 0;
    for (size_t k = 0; k < old->entries; k++) {
        if (old->entry[k].hash != old->entry[i].hash || old->entry[k].bytes != old->entry[i].bytes)
            continue;
        if (fresh->entry[k].hash != fresh->entry[i].hash)
            return false;
        ++*same;
        *rank += k < i;
    }
    return true;
}

/* Is there a place that two blobs share which differ now? */
static bool torn(const AneWeights *fresh)
{
    for (size_t i = 0; i < fresh->entries; i++)
        for (size_t k = 0; k < i && fresh->entry[i].place != NOWHERE; k++)
            if (fresh->entry[k].place == fresh->entry[i].place && fresh->entry[k].hash != fresh->entry[i].hash)
                return true;
    return false;
}

/* Do both sets of files have the same blobs? */
static bool alike(const AneWeights *a, const AneWeights *b)
{
    bool same = a->entries == b->entries && a->files == b->files;
    for (size_t i = 0; same && i < a->entries; i++)
        same = a->entry[i].file == b->entry[i].file && a->entry[i].at == b->entry[i].at &&
               a->entry[i].bytes == b->entry[i].bytes;
    return same;
}

/* Find the blobs that change and have not been found before. The donor's weights are in its directory. */
static bool locate(Arena *a, const AneDirectory *donor, const AneWeights *old, AneWeights *fresh, const DeviceFile *file,
                   const char *data, size_t len)
{
    Buf    why = {0};
    char  *text = NULL;
    size_t bytes = 0, read = NOWHERE;
    bool   ok = true;
    for (size_t i = 0; ok && i < fresh->entries; i++) {
        Entry *e = &fresh->entry[i];
        e->place = old->entry[i].place;
        if (e->hash == old->entry[i].hash || e->place != NOWHERE)
            continue;
        if (e->file != read) {
            const char *name = ane_file_relative(file[e->file].path, &why);
            ok = name && ane_file_read(a, donor, name, &text, &bytes, &why);
            read = e->file;
        }
        size_t same, rank;
        ok = ok && bytes >= e->at + e->bytes && twins(old, fresh, i, &same, &rank);
        e->place = ok ? place_of(data, len, text + e->at, e->bytes, same, rank) : NOWHERE;
        ok = e->place != NOWHERE;
    }
    buf_free(&why);
    return ok && !torn(fresh);
}

bool ane_reload(const AneDirectory *donor, const AneWeights *old, const AneDirectory *to, AneWeights *fresh,
                const DeviceFile *file, size_t files, Buf *err)
{
    Arena *a = arena_new();
    char  *plist, *data;
    size_t plist_len, len;
    bool   ok = ane_file_read(a, donor, "net.plist", &plist, &plist_len, err) &&
              ane_file_read(a, donor, "data", &data, &len, err);
    if (ok) {
        fresh->opaque = old->opaque || fresh->files != files || !alike(old, fresh) ||
                        !locate(a, donor, old, fresh, file, data, len);
        for (size_t i = 0; !fresh->opaque && i < fresh->entries; i++) {
            const Entry *e = &fresh->entry[i];
            if (e->hash != old->entry[i].hash)
                memcpy(data + e->place, (const char *)file[e->file].data + e->at, e->bytes);
        }
    }
    ok = ok && ane_file_write(to, "net.plist", plist, plist_len, err) && ane_file_write(to, "data", data, len, err);
    arena_free(a);
    return ok;
}

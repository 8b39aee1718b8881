/* host_text.c: checked texts, kept by the device.
 *
 * Training compiles the same few texts again and again, with other weights. Parsing and checking them costs more than
 * everything else a compilation does here, and gives the same every time except for what constants of weight files
 * point to. So texts are found by their bytes, and constants are pointed at the new files: that is also what reloading
 * does. A file that does not fit sends the text through the checker, whose messages are better. */
#include "host/host.h"

#include "base/hash.h"
#include "host/host_limits.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>

/* Where a constant's blob is in the new files; NULL and a sentence if it is not there or another one. */
static const unsigned char *find(const Value *v, const DeviceFile *file, size_t files, Buf *err)
{
    const Const *k = v->konst;
    BlobView blob;
    size_t i = 0;
    while (i < files && strcmp(file[i].path, k->path) != 0)
        i++;
    if (i == files) {
        buf_printf(err, "there is no weight file '%s'", k->path);
        return NULL;
    }
    if (!blob_find(file[i].data, file[i].len, k->offset, &blob, err))
        return NULL;
    const DTypeInfo *info = &dtype_info[v->type.dtype];
    if (blob.type != info->blob || blob.bytes != ((uint64_t)k->count * info->bits + 7) / 8) {
        buf_printf(err, "'%s' holds another type or number of elements than before", k->path);
        return NULL;
    }
    Const fresh = {.count = k->count, .raw = blob.data};
    const double old = k->num ? k->num[0] : 0; /* one number: a kernel may have it as a parameter */
    if (k->num && const_number(&(Value){.type = v->type, .konst = &fresh}, 0) != old) {
        buf_printf(err, "'%s' is a single number, which is part of the compiled program", k->path);
        return NULL;
    }
    return blob.data;
}

/* Point the constants of weight files at their blobs in these. */
static bool replace(HostText *t, const DeviceFile *file, size_t files, Buf *err)
{
    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t v = 0; v < t->fn[i].values; v++) {
            const Value *value = t->fn[i].value[v];
            Const *k = (Const *)value->konst; /* the text is ours; nothing reads `raw` after planning */
            if (!k || !k->path)
                continue;
            const unsigned char *raw = find(value, file, files, err);
            if (!raw)
                return false;
            if (!k->num)
                k->raw = raw;
        }
    return true;
}

static HostText *text_new(HostDevice *d)
{
    HostText *t = xcalloc(1, sizeof *t);
    t->arena = arena_new();
    t->next = d->text;
    d->text = t;
    return t;
}

static void text_free(HostDevice *d, HostText *t)
{
    for (HostText **at = &d->text; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    arena_free(t->arena);
    free(t->mil);
    free(t);
}

/* The text made of these bytes, if its constants are all in these files. */
static HostText *known(HostDevice *d, const char *mil, size_t len, uint64_t hash, const DeviceFile *file, size_t files)
{
    Buf why = {0};
    HostText *t = d->text;
    while (t && !(t->mil && t->hash == hash && t->len == len && memcmp(t->mil, mil, len) == 0))
        t = t->next;
    if (t && !replace(t, file, files, &why))
        t = NULL;
    buf_free(&why);
    return t;
}

/* Hold a text that was checked against the engine that is imitated, if one is. */
static bool within_limits(HostDevice *d, HostText *t, const Diags *told, uint32_t source, Buf *err)
{
    if (!d->options.target)
        return true;
    Limits l = host_limits(t->arena, d->options.target, told, source, err);
    t->garbage = l.garbage;
    d->base.refusal = l.kind == LIMITS_REFUSED ? REFUSED_ENGINE : REFUSED_TEXT;
    return l.kind == LIMITS_NONE;
}

static HostText *check(HostDevice *d, const char *name, const char *mil, size_t len, const DeviceFile *file,
                       size_t files, Buf *err)
{
    HostText *t = text_new(d);
    Arena *scratch = arena_new();
    Sources *sources = sources_new(scratch);
    uint32_t source = sources_add(sources, name, mil, len);
    MilFile *view = NEW_N(scratch, MilFile, files + 1);
    Diags *ds = diags_new(scratch, sources, name);
    for (size_t i = 0; i < files; i++)
        view[i] = (MilFile){file[i].path, file[i].data, file[i].len};
    bool ok = mil_check(t->arena, ds, source, view, (uint32_t)files, &t->fn, &t->count);
    size_t said = err->len;
    ok &= within_limits(d, t, ds, source, err);
    if (ok && d->options.target && (d->options.simulate || d->options.latency))
        ok = (t->work = host_work(t->arena, name, mil, len, t->count, err)) != NULL;
    if (!ok && err->len == said)
        diags_render(ds, err);
    arena_free(scratch);
    if (ok)
        return t;
    text_free(d, t);
    return NULL;
}

HostText *host_text_get(HostDevice *d, const char *name, const char *mil, size_t len, const DeviceFile *file,
                        size_t files, Buf *err)
{
    uint64_t hash = hash_u64(mil, len);
    pthread_mutex_lock(&d->lock);
    HostText *t = known(d, mil, len, hash, file, files);
    if (!t) {
        t = check(d, name, mil, len, file, files, err);
        if (!t) {
            pthread_mutex_unlock(&d->lock);
            return NULL;
        }
        t->mil = xmalloc(len + 1);
        memcpy(t->mil, mil, len);
        t->len = len;
        t->hash = hash;
    }
    t->users++;
    return t;
}

HostText *host_text_again(HostDevice *d, HostText *t, const char *name, const DeviceFile *file, size_t files, Buf *err)
{
    Buf why = {0};
    pthread_mutex_lock(&d->lock);
    bool ok = replace(t, file, files, &why);
    if (ok)
        t->users++;
    else {
        buf_printf(err, "%s: error: %s\n", name, why.data);
        pthread_mutex_unlock(&d->lock);
    }
    buf_free(&why);
    return ok ? t : NULL;
}

void host_text_planned(HostDevice *d)
{
    pthread_mutex_unlock(&d->lock);
}

/* Texts stay for the next program of theirs; only so many of those that nobody uses. */
void host_text_release(HostDevice *d, HostText *t)
{
    enum { IDLE_MAX = 64 };
    uint32_t idle = 0;
    pthread_mutex_lock(&d->lock);
    t->users--;
    for (HostText *x = d->text, *next; x; x = next) {
        next = x->next;
        if (x->users == 0 && ++idle > IDLE_MAX)
            text_free(d, x);
    }
    pthread_mutex_unlock(&d->lock);
}

void host_text_forget(HostDevice *d)
{
    for (HostText *x = d->text, *next; x; x = next) {
        next = x->next;
        if (x->users == 0)
            text_free(d, x);
    }
}

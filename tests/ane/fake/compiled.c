/* compiled.c: what compiling leaves behind: net.plist and data in the model's directory, an entry of the system's cache
 * (ANEL_FAKE_CACHE), and in memory what faults of stale weights need.
 *
 * net.plist names the model that was compiled; data has its weights, file after file, each with its length in front.
 * Loading takes the weights from data, whoever wrote it: that is the reading of the reports under which a copied data
 * keeps the old weights. */
#include "framework.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE = 16384 };

/* The first compiled weights of a text, and the weights of a compiled model: for stale-compile and stale-reload. */
typedef struct Kept {
    char         key[HASH_HEX * 2];
    char        *data;
    size_t       len;
    struct Kept *next;
} Kept;
static Kept *kept;

static Kept *find_kept(const char *key)
{
    for (Kept *k = kept; k; k = k->next)
        if (strcmp(k->key, key) == 0)
            return k;
    return NULL;
}

static void keep(const char *key, const char *data, size_t len)
{
    if (find_kept(key))
        return;
    Kept *k = calloc(1, sizeof *k);
    snprintf(k->key, sizeof k->key, "%s", key);
    k->data = malloc(len + 1);
    memcpy(k->data, data, len);
    k->len = len;
    k->next = kept;
    kept = k;
}

__attribute__((destructor)) static void forget(void)
{
    while (kept) {
        Kept *k = kept;
        kept = k->next;
        free(k->data);
        free(k);
    }
}

char *in_directory(Arena *a, const ModelObject *m, const char *name)
{
    const char *tmp = getenv("TMPDIR");
    return arena_printf(a, "%s/%s/%s", tmp && *tmp ? tmp : "/tmp", m->hex, name);
}

char *read_whole(Arena *a, const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *data = arena_alloc(a, *len + 1);
    bool  ok = fread(data, 1, *len, f) == *len;
    fclose(f);
    return ok ? data : NULL;
}

static void write_whole(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        misuse("cannot write '%s'", path);
}

void check_directory(const ModelObject *m)
{
    Arena *a = arena_new();
    size_t len = 0;
    char  *text = read_whole(a, in_directory(a, m, "model.mil"), &len);
    if (!text || len != m->descriptor->text->len || memcmp(text, m->descriptor->text->bytes, len) != 0)
        misuse("model.mil is not in the model's directory, or holds another text");
    const ContainerObject *w = m->descriptor->weights;
    for (size_t i = 0; i < w->count; i++) {
        const char       *key = (const char *)((const DataObject *)w->key[i])->bytes;
        const DataObject *data = dictionary_get(w->value[i], "data");
        if (strncmp(key, "@model_path/", 12) != 0)
            misuse("the weight file '%s' is not below @model_path", key);
        char *file = read_whole(a, in_directory(a, m, key + 12), &len);
        if (!file || len != data->len || memcmp(file, data->bytes, len) != 0)
            misuse("'%s' is not in the model's directory, or holds other bytes", key);
    }
    arena_free(a);
}

static bool hidden(void)
{
    return fake_has("data-opaque") || fake_has("data-unused");
}

/* Bytes nobody recognises; twice gives them back. */
static void scramble(char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(data[i] ^ (int)(0x5a + i % 7));
}

static Buf pack(const ModelObject *m)
{
    Buf                    data = {0};
    const ContainerObject *w = m->descriptor->weights;
    for (size_t i = 0; i < w->count; i++) {
        const DataObject *d = dictionary_get(w->value[i], "data");
        uint64_t          len = d->len;
        buf_add(&data, &len, sizeof len);
        buf_add(&data, d->bytes, d->len);
    }
    buf_add(&data, "end", 3);
    return data;
}

static void text_key(const ModelObject *m, char key[HASH_HEX])
{
    hash_hex(m->descriptor->text->bytes, m->descriptor->text->len, key);
}

void leave_compiled(const ModelObject *m)
{
    Arena *a = arena_new();
    Buf    data = pack(m);
    char   text[HASH_HEX], *path = getenv("ANEL_FAKE_CACHE");
    text_key(m, text);
    keep(m->hex, data.data, data.len);
    keep(text, data.data, data.len);
    if (hidden())
        scramble(data.data, data.len);
    write_whole(in_directory(a, m, "net.plist"), m->hex, strlen(m->hex));
    write_whole(in_directory(a, m, "data"), data.data, data.len);
    if (path && *path)
        write_whole(arena_printf(a, "%s/%s", path, m->hex), m->hex, strlen(m->hex));
    buf_free(&data);
    arena_free(a);
}

bool is_cached(const ModelObject *m)
{
    Arena      *a = arena_new();
    const char *dir = getenv("ANEL_FAKE_CACHE");
    bool        yes = dir && *dir && access(arena_printf(a, "%s/%s", dir, m->hex), R_OK) == 0;
    arena_free(a);
    return yes;
}

void drop_cached(const ModelObject *m)
{
    Arena      *a = arena_new();
    const char *dir = getenv("ANEL_FAKE_CACHE");
    if (dir && *dir)
        (void)unlink(arena_printf(a, "%s/%s", dir, m->hex));
    arena_free(a);
}

bool has_parts(const ModelObject *m)
{
    Arena *a = arena_new();
    size_t len;
    bool   yes = read_whole(a, in_directory(a, m, "net.plist"), &len) && read_whole(a, in_directory(a, m, "data"), &len);
    arena_free(a);
    return yes;
}

/* Packed weights to load with; NULL: the descriptor's. */
static char *packed(Arena *a, const ModelObject *m, bool loading, size_t *len)
{
    char  text[HASH_HEX], *data = NULL;
    Kept *k = NULL;
    text_key(m, text);
    if (fake_has("stale-compile") && (k = find_kept(text))) {
        *len = k->len;
        return arena_strndup(a, k->data, k->len);
    }
    if (!loading || m->compiled)
        return NULL;
    char *plist = read_whole(a, in_directory(a, m, "net.plist"), len);
    data = plist ? read_whole(a, in_directory(a, m, "data"), len) : NULL;
    if (!data || fake_has("data-unused"))
        return NULL;
    if ((fake_has("stale-reload") || fake_has("stale-large")) && (k = find_kept(plist)) &&
        (fake_has("stale-reload") || k->len > LARGE)) {
        *len = k->len;
        return arena_strndup(a, k->data, k->len);
    }
    if (hidden())
        scramble(data, *len);
    return data;
}

Program *build(const ModelObject *m, bool loading, Buf *err)
{
    Arena                 *a = arena_new();
    const ContainerObject *w = m->descriptor->weights;
    DeviceFile            *file = NEW_N(a, DeviceFile, w->count + 1);
    size_t                 len = 0, at = 0;
    char                  *data = packed(a, m, loading, &len);
    for (size_t i = 0; i < w->count; i++) {
        const DataObject *d = dictionary_get(w->value[i], "data");
        uint64_t          n = d->len;
        if (data && (at + sizeof n > len || (memcpy(&n, data + at, sizeof n), n != d->len) || at + sizeof n + n > len))
            misuse("the packed weights are not those of a model of this text");
        /* views of blobs want the alignment of a file */
        void *copy = arena_alloc(a, d->len + 1);
        memcpy(copy, data ? (const void *)(data + at + sizeof n) : d->bytes, d->len);
        file[i] = (DeviceFile){.path = (const char *)((const DataObject *)w->key[i])->bytes, .data = copy, .len = d->len};
        at += sizeof n + n;
    }
    Program *p = program_compile(host, "model.mil", (const char *)m->descriptor->text->bytes, m->descriptor->text->len,
                                 file, w->count, err);
    arena_free(a);
    return p;
}

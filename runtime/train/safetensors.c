/* safetensors.c: reading and writing safetensors files; see safetensors.h.
 *
 * The header is built and parsed with jansson. The checksum of a header is that of its canonical text (keys sorted, no
 * blanks) without the checksum itself, so it covers names, shapes, offsets and all other metadata but not the padding.
 * */
#include "runtime/train/safetensors.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data are little endian: tensors need their bytes swapped on this machine"
#endif

enum { ALIGN = 64, HEADER_MAX = 100000000 }; /* the limit of the reference implementation */

static const struct {
    const char *name;
    uint32_t    bytes;
} dtype[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I32", 4},  {"I64", 8},     {"I16", 2},     {"I8", 1},
    {"U8", 1},  {"U16", 2}, {"U32", 4},  {"U64", 8}, {"BOOL", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1},
};

static void canonical_hash(json_t *root, char out[HASH_HEX])
{
    json_t *meta = json_object_get(root, "__metadata__"), *own = json_incref(json_object_get(meta, "hash"));
    json_object_del(meta, "hash");
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        bug("cannot print a header");
    hash_hex(text, strlen(text), out);
    free(text);
    if (own)
        json_object_set_new(meta, "hash", own);
}

/* ---- writing ---- */

static json_t *build_header(const StTensor *tensor, uint32_t tensors, const StMeta *meta, uint32_t metas)
{
    json_t  *root = json_object(), *texts = json_object();
    uint64_t at = 0;
    Buf      key = {0};
    json_object_set_new(root, "__metadata__", texts);
    for (uint32_t i = 0; i < metas; i++)
        json_object_set_new(texts, meta[i].key, json_string(meta[i].value));
    for (uint32_t i = 0; i < tensors; i++) {
        const StTensor *t = &tensor[i];
        json_t         *shape = json_array();
        for (uint32_t k = 0; k < t->rank; k++)
            json_array_append_new(shape, json_integer(t->dim[k]));
        json_object_set_new(root, t->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->dtype, "shape", shape, "data_offsets",
                                      (json_int_t)at, (json_int_t)(at + t->bytes)));
        at += t->bytes;
        char hash[HASH_HEX];
        hash_hex(t->data, (size_t)t->bytes, hash);
        buf_clear(&key);
        buf_printf(&key, "hash:%s", t->name);
        json_object_set_new(texts, key.data, json_string(hash));
    }
    buf_free(&key);
    return root;
}

static bool put(int fd, const void *data, uint64_t n)
{
    const char *p = data;
    while (n) {
        ssize_t done = write(fd, p, n > 1u << 30 ? 1u << 30 : (size_t)n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (uint64_t)done;
    }
    return true;
}

static bool write_failed(const char *path, Buf *err)
{
    buf_printf(err, "cannot write '%s': %s", path, strerror(errno));
    return false;
}

bool safetensors_write(const char *path, const StTensor *tensor, uint32_t tensors, const StMeta *meta, uint32_t metas,
                       char *hash, Buf *err)
{
    char    own[HASH_HEX];
    json_t *root = build_header(tensor, tensors, meta, metas);
    canonical_hash(root, own);
    json_object_set_new(json_object_get(root, "__metadata__"), "hash", json_string(own));
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!text)
        bug("cannot print the header of '%s'", path); /* a name that is not UTF-8: the compiler lets none through */
    if (hash)
        memcpy(hash, own, HASH_HEX);
    Buf head = {0};
    buf_add(&head, (char[8]){0}, 8);
    buf_puts(&head, text);
    free(text);
    while (head.len % ALIGN)
        buf_putc(&head, ' ');
    for (int i = 0; i < 8; i++)
        head.data[i] = (char)((uint64_t)(head.len - 8) >> 8 * i & 0xff);

    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        buf_free(&head);
        return write_failed(path, err);
    }
    bool ok = put(fd, head.data, head.len);
    for (uint32_t i = 0; ok && i < tensors; i++)
        ok = put(fd, tensor[i].data, tensor[i].bytes);
    ok = ok && fsync(fd) == 0;
    ok = ok || write_failed(path, err);
    if (close(fd) != 0 && ok) /* some file systems report a full disk only here */
        ok = write_failed(path, err);
    buf_free(&head);
    return ok;
}

/* ---- reading ---- */

struct Safetensors {
    char     *path;
    void     *map;
    size_t    bytes;
    json_t   *root;
    StTensor *tensor; /* by start of data */
    uint32_t  tensors;
};

static bool broken(const Safetensors *s, Buf *err, const char *fmt, ...) ANEL_PRINTF(3, 4);
static bool broken(const Safetensors *s, Buf *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_printf(err, "'%s' is damaged or no safetensors file: ", s->path);
    buf_vprintf(err, fmt, ap);
    va_end(ap);
    return false;
}

static bool map_file(Safetensors *s, Buf *err)
{
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        buf_printf(err, "cannot open '%s': %s", s->path, strerror(errno));
        return false;
    }
    struct stat st;
    bool        ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!ok) {
        buf_printf(err, "cannot read '%s': it is not a regular file", s->path);
    } else if (st.st_size < 8 || (uint64_t)st.st_size > SIZE_MAX) {
        ok = broken(s, err, "it has %lld bytes", (long long)st.st_size);
    } else {
        s->bytes = (size_t)st.st_size;
        s->map = mmap(NULL, s->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (s->map == MAP_FAILED) {
            buf_printf(err, "cannot map '%s': %s", s->path, strerror(errno));
            s->map = NULL;
            ok = false;
        }
    }
    close(fd);
    return ok;
}

static bool read_entry(const Safetensors *s, const char *name, json_t *e, StTensor *t, uint64_t room, Buf *err)
{
    json_t *type = json_object_get(e, "dtype"), *shape = json_object_get(e, "shape");
    json_t *range = json_object_get(e, "data_offsets");
    if (json_object_size(e) != 3 || !json_is_string(type) || !json_is_array(shape) || !json_is_array(range) ||
        json_array_size(range) != 2 || !json_is_integer(json_array_get(range, 0)) ||
        !json_is_integer(json_array_get(range, 1)))
        return broken(s, err, "tensor '%s' lacks dtype, shape or data_offsets", name);
    uint64_t n = 0;
    t->name = name;
    for (size_t i = 0; i < COUNT(dtype); i++)
        if (strcmp(json_string_value(type), dtype[i].name) == 0) {
            t->dtype = dtype[i].name;
            n = dtype[i].bytes;
        }
    if (!t->dtype)
        return broken(s, err, "tensor '%s' has the unknown type '%s'", name, json_string_value(type));
    t->rank = (uint32_t)json_array_size(shape);
    if (json_array_size(shape) > ST_MAX_RANK)
        return broken(s, err, "tensor '%s' has more than %d axes", name, ST_MAX_RANK);
    for (uint32_t i = 0; i < t->rank; i++) {
        json_t *d = json_array_get(shape, i);
        t->dim[i] = json_integer_value(d);
        if (!json_is_integer(d) || t->dim[i] < 0 || (t->dim[i] && n > (uint64_t)INT64_MAX / (uint64_t)t->dim[i]))
            return broken(s, err, "tensor '%s' has an impossible shape", name);
        n *= (uint64_t)t->dim[i];
    }
    int64_t from = json_integer_value(json_array_get(range, 0)), to = json_integer_value(json_array_get(range, 1));
    if (from < 0 || to < from || (uint64_t)to > room)
        return broken(s, err, "tensor '%s' lies outside of the file", name);
    t->bytes = (uint64_t)(to - from);
    if (t->bytes != n)
        return broken(s, err, "tensor '%s' has %llu bytes, its shape needs %llu", name, (unsigned long long)t->bytes,
                      (unsigned long long)n);
    t->data = (const char *)s->map + (s->bytes - room) + from;
    return true;
}

static int by_data(const void *a, const void *b)
{
    const StTensor *x = a, *y = b;
    uintptr_t       p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    if (x->bytes != y->bytes) /* an empty tensor before the one that starts at the same place */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool read_header(Safetensors *s, Buf *err)
{
    const unsigned char *head = s->map;
    uint64_t             n = 0;
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)head[i] << 8 * i;
    if (n > HEADER_MAX || n > s->bytes - 8)
        return broken(s, err, "a header of %llu bytes does not fit", (unsigned long long)n);
    uint64_t     room = s->bytes - 8 - n;
    json_error_t why;
    s->root = json_loadb((const char *)head + 8, (size_t)n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(s->root))
        return broken(s, err, "its header is not a JSON object%s%s", s->root ? "" : ": ", s->root ? "" : why.text);

    const char *name;
    json_t     *e;
    s->tensor = xcalloc(json_object_size(s->root) + 1, sizeof *s->tensor);
    json_object_foreach (s->root, name, e) {
        if (strcmp(name, "__metadata__") == 0) {
            const char *key;
            json_t     *text;
            if (!json_is_object(e))
                return broken(s, err, "its metadata are not an object");
            json_object_foreach (e, key, text)
                if (!json_is_string(text))
                    return broken(s, err, "metadata '%s' are not text", key);
        } else if (!read_entry(s, name, e, &s->tensor[s->tensors++], room, err)) {
            return false;
        }
    }
    qsort(s->tensor, s->tensors, sizeof *s->tensor, by_data);
    const char *at = (const char *)s->map + 8 + n;
    for (uint32_t i = 0; i < s->tensors; i++) {
        if ((const char *)s->tensor[i].data != at)
            return broken(s, err, "tensor '%s' overlaps another or leaves a gap", s->tensor[i].name);
        at += s->tensor[i].bytes;
    }
    if (at != (const char *)s->map + s->bytes)
        return broken(s, err, "%zu bytes follow the last tensor", (size_t)((const char *)s->map + s->bytes - at));
    return true;
}

Safetensors *safetensors_open(const char *path, Buf *err)
{
    Safetensors *s = xcalloc(1, sizeof *s);
    s->path = xmalloc(strlen(path) + 1);
    strcpy(s->path, path);
    if (!map_file(s, err) || !read_header(s, err)) {
        safetensors_close(s);
        return NULL;
    }
    return s;
}

void safetensors_close(Safetensors *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->bytes);
    json_decref(s->root);
    free(s->tensor);
    free(s->path);
    free(s);
}

const char *safetensors_path(const Safetensors *s)
{
    return s->path;
}

uint32_t safetensors_count(const Safetensors *s)
{
    return s->tensors;
}

const StTensor *safetensors_tensor(const Safetensors *s, uint32_t i)
{
    return &s->tensor[i];
}

const StTensor *safetensors_find(const Safetensors *s, const char *name)
{
    for (uint32_t i = 0; i < s->tensors; i++)
        if (strcmp(s->tensor[i].name, name) == 0)
            return &s->tensor[i];
    return NULL;
}

const char *safetensors_meta(const Safetensors *s, const char *key)
{
    return json_string_value(json_object_get(json_object_get(s->root, "__metadata__"), key));
}

bool safetensors_verify(const Safetensors *s, Buf *err)
{
    char        hash[HASH_HEX];
    const char *want = safetensors_meta(s, "hash");
    if (!want) {
        buf_printf(err, "'%s' has no checksums", s->path);
        return false;
    }
    json_t *copy = json_deep_copy(s->root);
    canonical_hash(copy, hash);
    json_decref(copy);
    if (strcmp(hash, want) != 0) {
        buf_printf(err, "'%s' is damaged: the header does not match its checksum", s->path);
        return false;
    }
    Buf  key = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < s->tensors; i++) {
        const StTensor *t = &s->tensor[i];
        buf_clear(&key);
        buf_printf(&key, "hash:%s", t->name);
        want = safetensors_meta(s, key.data);
        hash_hex(t->data, (size_t)t->bytes, hash);
        ok = want && strcmp(hash, want) == 0;
        if (!ok)
            buf_printf(err, "'%s' is damaged: tensor '%s' does not match its checksum", s->path, t->name);
    }
    buf_free(&key);
    return ok;
}

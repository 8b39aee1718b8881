/* test_safetensors.c: round trips, hostile headers, and every way a bit can be wrong. */
#include "runtime/train/safetensors.h"

#include "base/file.h"
#include "base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void name_it(void)
{
    snprintf(path, sizeof path, "/tmp/anel-st-%ld", (long)getpid());
}

static void drop_it(void)
{
    unlink(path);
}

TestSuite(safetensors, .init = name_it, .fini = drop_it);

static const float w[6] = {1, -2, 3.5f, 0, 1e-30f, 7};

static void write_sample(void)
{
    const StTensor t[] = {{.name = "a.weight", .dtype = "F32", .rank = 2, .dim = {2, 3}, .data = w, .bytes = sizeof w},
                          {.name = "empty", .dtype = "F32", .rank = 1, .dim = {0}, .data = w, .bytes = 0},
                          {.name = "b", .dtype = "F32", .rank = 0, .data = w + 2, .bytes = 4}};
    const StMeta   m[] = {{"step", "12"}, {"note", "\xc3\xa4 \"quoted\""}};
    Buf            err = {0};
    cr_assert(safetensors_write(path, t, 3, m, 2, NULL, &err), "%s", err.data);
}

Test(safetensors, what_is_written_is_read)
{
    Buf err = {0};
    write_sample();
    Safetensors *s = safetensors_open(path, &err);
    cr_assert(s != NULL, "%s", err.data);
    cr_assert(safetensors_verify(s, &err));
    cr_assert_eq(safetensors_count(s), 3);
    const StTensor *a = safetensors_find(s, "a.weight"), *b = safetensors_find(s, "b");
    cr_assert(a && a->rank == 2 && a->dim[1] == 3 && memcmp(a->data, w, sizeof w) == 0);
    cr_assert(b && b->rank == 0 && memcmp(b->data, w + 2, 4) == 0);
    cr_assert_str_eq(safetensors_meta(s, "step"), "12");
    cr_assert_str_eq(safetensors_meta(s, "note"), "\xc3\xa4 \"quoted\"");
    cr_assert_null(safetensors_meta(s, "nothing"));
    cr_assert_null(safetensors_find(s, "nothing"));
    safetensors_close(s);
    buf_free(&err);
}

/* True if bytes are taken for a whole file. */
static bool accepted(const void *data, size_t n)
{
    char why[FILE_ERR_MAX];
    Buf  err = {0};
    cr_assert(file_write(path, data, n, why), "%s", why);
    Safetensors *s = safetensors_open(path, &err);
    bool         ok = s && safetensors_verify(s, &err);
    cr_assert(ok == (err.len == 0));
    safetensors_close(s);
    buf_free(&err);
    return ok;
}

Test(safetensors, no_single_bit_can_change_unnoticed)
{
    Arena *a = arena_new();
    char  *data, why[FILE_ERR_MAX];
    size_t n;
    write_sample();
    cr_assert(file_read(a, path, &data, &n, why));
    cr_assert(accepted(data, n));
    for (size_t i = 0; i < 8 * n; i++) {
        data[i / 8] = (char)(data[i / 8] ^ (1 << i % 8));
        cr_assert(!accepted(data, n), "bit %zu of byte %zu", i % 8, i / 8);
        data[i / 8] = (char)(data[i / 8] ^ (1 << i % 8));
    }
    for (size_t i = 0; i < n; i++)
        cr_assert(!accepted(data, i), "truncated to %zu bytes", i);
    data[n] = 0;
    cr_assert(!accepted(data, n + 1));
    arena_free(a);
}

static bool opens(const char *header, size_t data_bytes, const char *complaint)
{
    char    why[FILE_ERR_MAX];
    Buf     b = {0}, err = {0};
    uint64_t n = strlen(header);
    buf_add(&b, &n, 8);
    buf_puts(&b, header);
    for (size_t i = 0; i < data_bytes; i++)
        buf_putc(&b, 'x');
    cr_assert(file_write(path, b.data, b.len, why));
    Safetensors *s = safetensors_open(path, &err);
    if (complaint)
        cr_assert(!s && strstr(err.data, complaint) != NULL, "%s\nsaid: %s", header, err.len ? err.data : "nothing");
    bool ok = s != NULL;
    safetensors_close(s);
    buf_free(&b);
    buf_free(&err);
    return ok;
}

Test(safetensors, headers_are_not_trusted)
{
    cr_assert(opens("{}", 0, NULL));
    cr_assert(opens("{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}   ", 4, NULL));
    cr_assert(opens("{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]},"
                    "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 4, NULL));
    opens("", 0, "header");
    opens("[]", 0, "not a JSON object");
    opens("{\"a\":1}", 0, "lacks dtype");
    opens("{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "unknown type 'F33'");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "has 4 bytes, its shape needs 8");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "lies outside");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "lies outside");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "lies outside");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "impossible shape");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "impossible shape");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}", 4,
          "impossible shape");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8 axes");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4, "lacks dtype");
    opens("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]}}", 4, "JSON");
    opens("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "overlaps");
    opens("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}", 4, "leaves a gap");
    opens("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 4, "3 bytes follow");
    opens("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "JSON");
    opens("{\"__metadata__\":{\"a\":1}}", 0, "metadata 'a' are not text");
    opens("{\"__metadata__\":[]}", 0, "metadata are not an object");
}

Test(safetensors, foreign_files_open_but_do_not_verify)
{
    Buf err = {0};
    cr_assert(opens("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, NULL));
    Safetensors *s = safetensors_open(path, &err);
    cr_assert(!safetensors_verify(s, &err));
    cr_assert(strstr(err.data, "has no checksums") != NULL);
    safetensors_close(s);
    buf_free(&err);
}

Test(safetensors, a_full_disk_is_an_error)
{
    const StTensor t = {.name = "a", .dtype = "F32", .rank = 1, .dim = {6}, .data = w, .bytes = sizeof w};
    Buf            err = {0};
    if (access("/dev/full", W_OK) != 0)
        cr_skip_test("no /dev/full here");
    cr_assert(!safetensors_write("/dev/full", &t, 1, NULL, 0, NULL, &err));
    cr_assert_str_eq(err.data, "cannot write '/dev/full': No space left on device");
    buf_free(&err);
}

/* test_files.c: blob and .npy files: exact bytes, and damage. */
#include "mil_test.h"
#include "npy.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- blob files ----------------------------------------------------------------------------------------------- */

Test(blob, has_the_bytes_of_the_format)
{
    Buf      f = {0};
    uint16_t one = 0x3c00;
    int8_t   bytes[65] = {1, 2, 3};
    blob_begin(&f);
    cr_assert_eq(blob_add(&f, BLOB_F16, &one, 2), 64);
    cr_assert_eq(blob_add(&f, BLOB_I8, bytes, 65), 192);
    cr_assert_eq(blob_add(&f, BLOB_F32, bytes, 4), 192 + 64 + 128);
    cr_assert_eq(f.len, 192 + 64 + 128 + 64 + 4);
    unsigned char want[256] = {3, 0, 0, 0, 2};
    memcpy(want + 64, (unsigned char[]){0xef, 0xbe, 0xad, 0xde, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 128}, 17);
    memcpy(want + 128, (unsigned char[]){0, 0x3c}, 2);
    memcpy(want + 192, (unsigned char[]){0xef, 0xbe, 0xad, 0xde, 4, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 18);
    cr_assert(memcmp(f.data, want, 256) == 0);
    BlobView v;
    cr_assert(blob_find(f.data, f.len, 192, &v, NULL) && v.type == BLOB_I8 && v.bytes == 65 &&
              ((const int8_t *)v.data)[2] == 3);
    buf_free(&f);
}

static void expect_blob(const Buf *f, size_t len, uint64_t offset, const char *words)
{
    Buf      err = {0};
    BlobView v;
    cr_expect_not(blob_find(f->data, len, offset, &v, &err));
    cr_expect(strstr(err.data, words) != NULL, "\"%s\" is not in: %s", words, err.data);
    buf_free(&err);
}

Test(blob, tells_what_is_damaged)
{
    Buf f = {0};
    blob_begin(&f);
    blob_add(&f, BLOB_F16, "0123456789", 10);
    expect_blob(&f, 63, 64, "header");
    expect_blob(&f, f.len, 63, "multiple of 64");
    expect_blob(&f, f.len, 0, "multiple of 64");
    expect_blob(&f, f.len, 128, "outside the blob file");
    expect_blob(&f, f.len, UINT64_MAX - 63, "outside the blob file");
    expect_blob(&f, f.len - 1, 64, "needs 10 bytes, the file has 9");
    f.data[68] = 99;
    expect_blob(&f, f.len, 64, "unknown type code 99");
    f.data[68] = 1;
    f.data[80] = 64;
    expect_blob(&f, f.len, 64, "places its payload at 64, expected 128");
    f.data[64] = 0;
    expect_blob(&f, f.len, 64, "expected 0xDEADBEEF");
    f.data[4] = 1;
    expect_blob(&f, f.len, 64, "version 1, expected 2");
    buf_free(&f);
}

#define WEIGHTED(type)                                                                                                 \
    PROGRAM("fp16 x",                                                                                                  \
            "tensor<" type ", [5]> w = const()[name = \"w\", val = tensor<" type                                       \
            ", [5]>(BLOBFILE(path = string(\"@model_path/w\"), offset = uint64(64)))];\n"                              \
            "tensor<fp16, [5]> y = add(x = x, y = w);",                                                                \
            "y")

Test(blob, a_program_is_told_about_the_wrong_data)
{
    Buf f = {0};
    blob_begin(&f);
    blob_add(&f, BLOB_F32, "01234567890123456789", 20);
    DeviceFile file = {"@model_path/w", f.data, f.len, false};
    char      *errors = mil_compile_errors(WEIGHTED("fp16"), strlen(WEIGHTED("fp16")), &file, 1);
    cr_assert(errors && strstr(errors, "the blob holds fp32 data, the constant is fp16") != NULL, "%s", errors);
    free(errors);
    buf_clear(&f);
    blob_begin(&f);
    blob_add(&f, BLOB_F16, "01234567", 8);
    file.data = f.data, file.len = f.len;
    errors = mil_compile_errors(WEIGHTED("fp16"), strlen(WEIGHTED("fp16")), &file, 1);
    cr_assert(errors && strstr(errors, "the blob has 8 bytes, tensor<fp16, [5]> needs 10") != NULL, "%s", errors);
    free(errors);
    buf_free(&f);
}

/* What program `p` makes of five zeros: w itself. */
static bool gives(Device *d, Program *p, const Buf *file)
{
    Buf       err = {0};
    Surface  *x = surface_new(d, 10, &err), *y = surface_new(d, 10, &err);
    Request  *r = request_new(p, 0, &x, &y, &err);
    BlobView  v;
    cr_assert(r && request_eval(r, &err), "%s", err.data);
    cr_assert(blob_find(file->data, file->len, 64, &v, NULL));
    bool same = memcmp(surface_lock(y, false), v.data, 10) == 0;
    surface_unlock(y, false);
    request_free(r);
    surface_free(x);
    surface_free(y);
    return same;
}

static void refuses(const Program *donor, const DeviceFile *file, size_t files, const char *words)
{
    Buf err = {0};
    cr_expect(program_reload(donor, "test.mil", file, files, &err) == NULL);
    cr_expect(err.data && strstr(err.data, words) != NULL, "\"%s\" is not in: %s", words, err.data);
    buf_free(&err);
}

Test(blob, a_program_takes_other_weights_without_compiling)
{
    const uint16_t one[5] = {0x3c00, 0, 0, 0, 0x4000}, two[5] = {0xbc00, 1, 2, 3, 4};
    Buf            f = {0}, g = {0}, wrong = {0}, err = {0};
    blob_begin(&f);
    blob_add(&f, BLOB_F16, one, 10);
    blob_begin(&g);
    blob_add(&g, BLOB_F16, two, 10);
    blob_begin(&wrong);
    blob_add(&wrong, BLOB_F16, two, 8);
    Device *d = device_open("host", &(DeviceOptions){0}, &err);
    cr_assert(device_reloads(d));
    Program *p = program_compile(d, "test.mil", WEIGHTED("fp16"), strlen(WEIGHTED("fp16")),
                                 &(DeviceFile){"@model_path/w", f.data, f.len, false}, 1, &err);
    cr_assert(p != NULL, "%s", err.data);
    Program *q = program_reload(p, "test.mil", &(DeviceFile){"@model_path/w", g.data, g.len, false}, 1, &err);
    cr_assert(q != NULL, "%s", err.data);
    cr_expect(gives(d, p, &f) && gives(d, q, &g)); /* the donor keeps its own */
    refuses(p, NULL, 0, "there is no weight file '@model_path/w'");
    refuses(p, &(DeviceFile){"@model_path/v", g.data, g.len, false}, 1, "there is no weight file '@model_path/w'");
    refuses(p, &(DeviceFile){"@model_path/w", wrong.data, wrong.len, false}, 1, "another type or number of elements");
    refuses(p, &(DeviceFile){"@model_path/w", g.data, 100, false}, 1, "test.mil: error: ");
    program_free(p);
    Program *r = program_reload(q, "test.mil", &(DeviceFile){"@model_path/w", f.data, f.len, false}, 1, &err);
    cr_assert(r != NULL, "%s", err.data); /* of a donor that was reloaded itself, whose donor is gone */
    program_free(q);
    cr_expect(gives(d, r, &f));
    program_free(r);
    device_close(d);
    buf_free(&f);
    buf_free(&g);
    buf_free(&wrong);
    buf_free(&err);
}

Test(blob, flipped_bits_and_cut_files_never_crash)
{
    Buf f = {0};
    blob_begin(&f);
    blob_add(&f, BLOB_F16, "0123456789", 10);
    for (size_t bit = 0; bit < f.len * 8; bit++) {
        unsigned char *copy = xmalloc(f.len); /* of the exact size: the sanitizer sees every byte beyond */
        memcpy(copy, f.data, f.len);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        free(mil_compile_errors(WEIGHTED("fp16"), strlen(WEIGHTED("fp16")), &(DeviceFile){"@model_path/w", copy, f.len, false},
                                1));
        free(copy);
    }
    for (size_t n = 0; n < f.len; n++) {
        unsigned char *copy = xmalloc(n);
        memcpy(copy, f.data, n);
        char *errors =
            mil_compile_errors(WEIGHTED("fp16"), strlen(WEIGHTED("fp16")), &(DeviceFile){"@model_path/w", copy, n, false}, 1);
        cr_assert(errors != NULL);
        free(errors);
        free(copy);
    }
    buf_free(&f);
}

/* ---- .npy files ----------------------------------------------------------------------------------------------- */

Test(npy, what_is_written_is_read)
{
    const int64_t dim[3] = {2, 1, 3};
    const float   data[6] = {1, -2, 3.5f, 0, 1e-9f, 65504};
    for (uint32_t rank = 0; rank <= 3; rank++) {
        Buf f = {0}, err = {0};
        Npy a;
        npy_write(&f, NPY_F32, rank, dim, data);
        cr_assert_eq((f.len - 4 * (rank == 3 ? 6 : rank == 0 ? 1 : 2)) % 64, 0);
        cr_assert(npy_parse(f.data, f.len, &a, &err), "%s", err.data);
        cr_assert(a.type == NPY_F32 && a.rank == rank && memcmp(a.dim, dim, rank * sizeof *dim) == 0);
        for (int64_t i = 0; i < a.count; i++)
            cr_assert_eq(npy_number(&a, i), (double)data[i]);
        buf_free(&f);
    }
}

static void npy_case(const char *header, int version, size_t data, const char *words)
{
    Buf    f = {0}, err = {0};
    Npy    a;
    size_t n = strlen(header);
    buf_puts(&f, "\x93NUMPY");
    buf_putc(&f, (char)version);
    buf_putc(&f, 0);
    buf_putc(&f, (char)n);
    for (int i = version == 1 ? 1 : 3; i > 0; i--)
        buf_putc(&f, 0);
    buf_puts(&f, header);
    for (size_t i = 0; i < data; i++)
        buf_putc(&f, (char)i);
    bool ok = npy_parse(f.data, f.len, &a, &err);
    cr_expect(words ? !ok && strstr(err.data, words) != NULL : ok, "%s: %s", header, err.data ? err.data : "accepted");
    buf_free(&f);
    buf_free(&err);
}

Test(npy, headers_in_all_versions_and_their_mistakes)
{
    npy_case("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }", 1, 12, NULL);
    npy_case("{'shape': (2,), \"descr\": \"|i1\", 'fortran_order': True}", 2, 2, NULL);
    npy_case("{'descr': '<i8', 'fortran_order': False, 'shape': (), }  \n", 3, 8, NULL);
    npy_case("{'descr': '<f2', 'fortran_order': True, 'shape': (2, 3), }", 1, 12, "Fortran order");
    npy_case("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 1, 4, "unsupported element type");
    npy_case("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }", 1, 11,
             "11 bytes of data, its shape needs 12");
    npy_case("{'descr': '<f2', 'fortran_order': False, 'shape': (999999999, 999999999, 999999999), }", 1, 0, "damaged");
    npy_case("{'descr': '<f2', 'fortran_order': False}", 1, 0, "lacks");
    npy_case("{'descr': '<f2', 'descr': '<f2', 'shape': ()}", 1, 0, "repeated");
    npy_case("[1, 2]", 1, 0, "no dictionary");
    npy_case("", 4, 0, "version 4");
}

Test(npy, damage_never_crashes)
{
    Buf           f = {0};
    const int64_t dim[2] = {3, 2};
    npy_write(&f, NPY_F16, 2, dim, "0123456789ab");
    for (uint64_t i = 0; i < 20000; i++) {
        size_t         n = rng_u64(1, i) % 3 ? f.len : rng_u64(2, i) % f.len;
        unsigned char *copy = xmalloc(n);
        Buf            err = {0};
        Npy            a;
        memcpy(copy, f.data, n);
        for (uint64_t k = 0; k < 3 && n; k++)
            copy[rng_u64(3, 4 * i + k) % (n < 80 ? n : 80)] = (unsigned char)rng_u64(4, 4 * i + k);
        if (npy_parse(copy, n, &a, &err))
            for (int64_t k = 0; k < a.count; k++)
                (void)npy_number(&a, k);
        buf_free(&err);
        free(copy);
    }
    buf_free(&f);
}

/* The device keeps checked texts: what it kept must not show, neither in weights nor in messages. */
Test(blob, a_text_compiled_again_takes_its_own_weights)
{
    const uint16_t one[5] = {0x3c00, 0, 0, 0, 0x4000}, two[5] = {0xbc00, 1, 2, 3, 4};
    Buf            f = {0}, g = {0}, err = {0};
    blob_begin(&f);
    blob_add(&f, BLOB_F16, one, 10);
    blob_begin(&g);
    blob_add(&g, BLOB_F16, two, 10);
    Device    *d = device_open("host", &(DeviceOptions){0}, &err);
    DeviceFile a = {"@model_path/w", f.data, f.len, true}, b = {"@model_path/w", g.data, g.len, false};
    DeviceFile c = {"@model_path/w", g.data, 100, false};
    size_t     len = strlen(WEIGHTED("fp16"));
    Program   *p = program_compile(d, "first.mil", WEIGHTED("fp16"), len, &a, 1, &err);
    Program   *q = program_compile(d, "second.mil", WEIGHTED("fp16"), len, &b, 1, &err);
    cr_assert(p && q, "%s", err.data);
    cr_expect(gives(d, p, &f) && gives(d, q, &g));
    cr_expect(program_compile(d, "third.mil", WEIGHTED("fp16"), len, &c, 1, &err) == NULL);
    cr_expect(err.data && strstr(err.data, "third.mil:") != NULL, "%s", err.data);
    cr_expect(gives(d, p, &f) && gives(d, q, &g));
    program_free(p);
    program_free(q);
    device_close(d);
    buf_free(&f);
    buf_free(&g);
    buf_free(&err);
}

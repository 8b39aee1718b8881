/* test_base.c: arena, buffer, interner, suggestions, random numbers, files, UTF-8. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "base/utf8.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(arena, memory_is_zeroed_after_a_reset_too)
{
    Arena *a = arena_new();
    for (int round = 0; round < 3; round++) {
        for (size_t n = 1; n < 300000; n = n * 3 + 1) {
            unsigned char *p = arena_alloc(a, n);
            cr_assert_eq((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++)
                cr_assert_eq(p[i], 0);
            memset(p, 0xff, n);
        }
        arena_reset(a);
    }
    arena_free(a);
}

Test(arena, grow_keeps_the_elements)
{
    Arena   *a = arena_new();
    int     *v = NULL;
    uint32_t n = 0, cap = 0;
    for (int i = 0; i < 1000; i++) {
        GROW(a, v, n, cap);
        v[n++] = i;
    }
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(v[i], i);
    arena_free(a);
}

Test(buf, doubles_print_shortest_and_read_back)
{
    static const double x[] = {0.1, 1, -3, 1e-5, 1.0 / 3, 5e-324, 1.7976931348623157e308, 0.02, 1e22, 123456789};
    Buf                 b = {0};
    for (size_t i = 0; i < COUNT(x); i++) {
        buf_clear(&b);
        buf_double(&b, x[i]);
        cr_assert_eq(strtod(b.data, NULL), x[i]);
        cr_assert(strpbrk(b.data, ".e") != NULL);
    }
    buf_clear(&b);
    buf_double(&b, 0.1);
    cr_assert_str_eq(b.data, "0.1");
    buf_free(&b);
}

Test(intern, equal_strings_have_equal_ids_in_order_of_first_use)
{
    Arena    *a = arena_new();
    Interner *in = interner_new(a);
    cr_assert_eq(intern(in, ""), 0);
    cr_assert_eq(intern(in, "a"), 1);
    for (int i = 0; i < 5000; i++)
        cr_assert_eq(intern(in, arena_printf(a, "s%d", i)), (StrId)(2 + i));
    for (int i = 0; i < 5000; i++)
        cr_assert_eq(intern(in, arena_printf(a, "s%d", i)), (StrId)(2 + i));
    cr_assert_str_eq(interned(in, 1), "a");
    arena_free(a);
}

Test(suggest, near_words_only)
{
    Suggest s = {.word = "sofmax"};
    suggest(&s, "sum");
    suggest(&s, "softmax");
    suggest(&s, "sigmoid");
    cr_assert_str_eq(s.best, "softmax");
    Suggest t = {.word = "xyz"};
    suggest(&t, "softmax");
    cr_assert_null(t.best);
    cr_assert_eq(edit_distance("ab", "ba", 3), 1);
}

Test(rng, uniform_and_normal_have_their_moments)
{
    double   sum = 0, sq = 0, n1 = 0, n2 = 0;
    int      n = 200000;
    uint64_t k = rng_key(42, "layers.0.wq.weight");
    for (int i = 0; i < n; i++) {
        double u = rng_uniform(k, (uint64_t)i), z = rng_normal(k, (uint64_t)i);
        cr_assert(u >= 0 && u < 1);
        sum += u, sq += u * u, n1 += z, n2 += z * z;
    }
    cr_assert(fabs(sum / n - 0.5) < 0.005 && fabs(sq / n - 1.0 / 3) < 0.005);
    cr_assert(fabs(n1 / n) < 0.01 && fabs(n2 / n - 1) < 0.02);
    cr_assert_neq(rng_key(42, "a"), rng_key(43, "a"));
}

Test(file, atomic_write_replaces_and_errors_name_the_file)
{
    Arena *a = arena_new();
    char   dir[] = "/tmp/anel-test-XXXXXX", err[FILE_ERR_MAX];
    cr_assert(mkdtemp(dir) != NULL);
    char *p = path_join(a, dir, "sub/x/f.txt"), *data;
    size_t len;
    cr_assert(dir_make(path_join(a, dir, "sub/x"), err), "%s", err);
    cr_assert(file_write_atomic(p, "one", 3, err), "%s", err);
    cr_assert(file_write_atomic(p, "second", 6, err), "%s", err);
    cr_assert(file_read(a, p, &data, &len, err), "%s", err);
    cr_assert_eq(len, 6);
    cr_assert_str_eq(data, "second");
    cr_assert_not(file_read(a, dir, &data, &len, err));
    cr_assert(strstr(err, dir) != NULL);
    cr_assert_not(file_read(a, path_join(a, dir, "none"), &data, &len, err));
    cr_assert(strstr(err, "none") != NULL);
    cr_assert(dir_remove(dir, err), "%s", err);
    cr_assert_not(path_exists(dir));
    arena_free(a);
}

Test(hash, known_value)
{
    char h[HASH_HEX];
    hash_hex("", 0, h);
    cr_assert_str_eq(h, "99aa06d3014798d86001c324468d497f"); /* XXH3-128 of nothing, seed 0 (the library's own test) */
}

Test(utf8, what_is_no_sequence_is_replaced_byte_by_byte)
{
    static const struct {
        const char *text;
        size_t      length; /* of the first sequence */
        const char *clean;
    } cases[] = {
        {"a", 1, "a"},
        {"\xc3\xa9t", 2, "\xc3\xa9t"},
        {"\xe2\x82\xac", 3, "\xe2\x82\xac"},
        {"\xf0\x9f\x98\x80!", 4, "\xf0\x9f\x98\x80!"},
        {"\xff" "a", 0, "\xef\xbf\xbd" "a"},
        {"\xc3", 0, "\xef\xbf\xbd"},                                             /* cut off */
        {"\xc0\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd"},                             /* overlong */
        {"\xe0\x80\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},             /* overlong */
        {"\xed\xa0\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},             /* a surrogate */
        {"\xf4\x90\x80\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* beyond U+10FFFF */
        {"", 0, ""},
    };
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(utf8_length(cases[i].text, strlen(cases[i].text)), cases[i].length, "case %zu", i);
        cr_expect_str_eq(utf8_clean(a, cases[i].text), cases[i].clean, "case %zu", i);
    }
    arena_free(a);
}

/* test_shards.c: data sets of several files, every window once per epoch, and text through a tokenizer. */
#include "runtime/train/data.h"

#include "base/file.h"
#include "runtime/train/data_files.h"
#include "runtime/train/data_shuffle.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 2, COLS = 5 };

static char     folder[64], path[400], said[600];
static Arena   *arena;
static Settings s;
static int32_t  x[ROWS * COLS], y[ROWS * COLS];
static Feed     feed[2];

static void setup(void)
{
    char why[FILE_ERR_MAX];
    arena = arena_new();
    snprintf(folder, sizeof folder, "/tmp/anel-shards-%ld", (long)getpid());
    cr_assert(dir_make(folder, why), "%s", why);
    settings_default(&s);
    s.data_path = folder;
    feed[0] = (Feed){"x", IN_TOKENS, ROWS, COLS, 256, x};
    feed[1] = (Feed){"y", IN_TOKENS, ROWS, COLS, 256, y};
}

static void teardown(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(folder, why);
    arena_free(arena);
}

TestSuite(shards, .init = setup, .fini = teardown);

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* `n` bytes that count up from `first`. */
static void put(const char *name, int first, size_t n)
{
    unsigned char byte[256];
    char          why[FILE_ERR_MAX];
    for (size_t i = 0; i < n; i++)
        byte[i] = (unsigned char)(first + (int)i);
    cr_assert(file_write(in_folder(name), byte, n, why), "%s", why);
}

static Data *open_with(const Tokenizer *t)
{
    Buf   err = {0};
    Data *d = data_open(&s, NULL, t, feed, 2, &err);
    cr_assert((d != NULL) == (err.len == 0));
    snprintf(said, sizeof said, "%s", err.len ? err.data : "");
    buf_free(&err);
    return d;
}

static void rejects(const char *text)
{
    cr_assert_null(open_with(NULL));
    cr_assert(strstr(said, text) != NULL, "said: %s", said);
}

/* ---- which files ---- */

static void expect_paths(const char *spec, const char *names)
{
    const char *const *found;
    uint32_t           n;
    Buf                err = {0}, got = {0};
    cr_assert(data_paths(arena, spec, &found, &n, &err), "%s", err.data);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&got, "%s%s", i ? " " : "", strrchr(found[i], '/') + 1);
    cr_assert_str_eq(got.data, names);
    buf_free(&got);
}

Test(shards, a_file_a_folder_a_pattern_or_a_list)
{
    char why[FILE_ERR_MAX], spec[300];
    put("b.bin", 0, 9);
    put("a.bin", 0, 9);
    put("B.bin", 0, 9);
    put("c.txt", 0, 9);
    put("d,e*.bin", 0, 9);
    put(".hidden.bin", 0, 9);
    cr_assert(dir_make(in_folder("more.bin"), why));
    expect_paths(folder, "B.bin a.bin b.bin c.txt d,e*.bin");
    expect_paths(in_folder("*.bin"), "B.bin a.bin b.bin d,e*.bin");
    expect_paths(in_folder("[a-c].*"), "a.bin b.bin c.txt");
    expect_paths(in_folder("d,e*.bin"), "d,e*.bin"); /* there is a file of that very name */
    snprintf(spec, sizeof spec, "%s/c.txt,%s/?.bin,%s/b.bin", folder, folder, folder);
    expect_paths(spec, "c.txt B.bin a.bin b.bin b.bin");
}

Test(shards, says_which_files_are_missing)
{
    char why[FILE_ERR_MAX], empty[128];
    put("a.bin", 0, 9);
    s.data_path = in_folder("*.txt");
    rejects("no data file matches '");
    snprintf(empty, sizeof empty, "%s/empty", folder);
    cr_assert(dir_make(empty, why));
    s.data_path = empty;
    rejects("holds no files");
    s.data_path = in_folder("a.bin,");
    rejects("an empty name in the list of data files");
    s.data_path = in_folder("a.bin,b.bin");
    rejects("cannot open data file 'b.bin': No such file or directory; --data FILE names another");
}

/* ---- windows ---- */

Test(shards, no_window_reaches_from_one_file_into_the_next)
{
    put("a", 0, 20); /* windows of 6 tokens, one every 5: 3, at 0, 5, 10 */
    put("b", 40, 5); /* too short */
    put("c", 60, 6); /* 1, at 60 */
    put("d", 80, 11); /* 2, at 80, 85 */
    static const int first[] = {0, 5, 10, 60, 80, 85};
    Buf              text = {0};
    s.data_sample = SAMPLE_SEQUENTIAL;
    Data *d = open_with(NULL);
    cr_assert(d != NULL, "%s", said);
    for (uint64_t i = 0; i < 24; i++) {
        data_fill(d, i / 2);
        const int32_t *row = x + i % 2 * COLS;
        cr_assert_eq(row[0], first[i % 6], "window %d begins with %d", (int)i, (int)row[0]);
        for (int k = 0; k < COLS; k++)
            cr_assert(row[k] == row[0] + k && y[i % 2 * COLS + (uint64_t)k] == row[k] + 1);
    }
    cr_assert(data_size(d) == 37 && data_batches(d) == 3);
    data_describe(d, &text);
    cr_assert(strstr(text.data, "37 tokens in 4 files (1 shorter than a window is left out)") != NULL, "%s", text.data);
    data_close(d);

    int seen[256] = {0};
    s.data_sample = SAMPLE_RANDOM;
    d = open_with(NULL);
    for (uint64_t c = 0; c < 2200; c++) {
        data_fill(d, c);
        for (int r = 0; r < ROWS; r++) {
            seen[x[r * COLS]]++;
            for (int k = 0; k < COLS; k++)
                cr_assert_eq(y[r * COLS + k], x[r * COLS] + k + 1);
        }
    }
    for (int i = 0; i < 256; i++) { /* 15 + 1 + 6 places, 200 draws each */
        bool place = i < 15 || i == 60 || (i >= 80 && i < 86);
        cr_assert(place ? seen[i] > 140 && seen[i] < 260 : seen[i] == 0, "start %d: %d", i, seen[i]);
    }
    data_close(d);
    s.data_path = in_folder("b,x");
    put("x", 0, 3);
    snprintf(path, sizeof path, "%s/b,%s/x", folder, folder);
    rejects("it has 8 tokens in 2 files, none of which has the 6 that a window needs");
    buf_free(&text);
}

Test(shards, the_last_part_of_all_files_together_is_held_out)
{
    put("a", 0, 50);
    put("b", 50, 30);
    put("c", 80, 20);
    s.data_holdout = 0.35; /* 35 of 100 tokens: 15 of b, all of c */
    Data *d = open_with(NULL);
    cr_assert(d != NULL, "%s", said);
    for (uint64_t c = 0; c < 500; c++) {
        data_fill(d, c);
        for (int i = 0; i < ROWS * COLS; i++)
            cr_assert_lt(y[i], 65);
    }
    static const int first[] = {65, 70, 80, 85, 90}; /* (15 - 6) / 5 + 1 = 2 windows, (20 - 6) / 5 + 1 = 3 */
    cr_assert_eq(data_batches(d), 2);
    for (uint64_t b = 0; b < 2; b++) {
        data_fill_held_out(d, b);
        cr_assert(x[0] == first[2 * b] && x[COLS] == first[2 * b + 1]);
    }
    data_close(d);
}

Test(shards, an_id_beyond_the_vocabulary_is_found_in_any_file)
{
    put("a", 0, 200);
    s.data = DATA_TOKENS_U16;
    feed[0].vocab = feed[1].vocab = 60000;
    uint16_t ids[9000] = {0};
    char     why[FILE_ERR_MAX];
    ids[8777] = 60000;
    put("a", 0, 100);
    cr_assert(file_write(in_folder("b"), ids, sizeof ids, why));
    rejects("/b': token id 60000 at byte offset 17554; the model's vocabulary has 60000 ids");
}

Test(shards, what_another_process_has_checked_is_not_read_again)
{
    struct stat st;
    put("a", 0, 100);
    s.data = DATA_TOKENS_U16;
    feed[0].vocab = feed[1].vocab = 60000;
    Data *d = open_with(NULL);
    cr_assert(d != NULL, "%s", said);
    uint64_t stamp = data_stamp(d);
    cr_assert_neq(stamp, 0);
    data_close(d);
    cr_assert(stat(in_folder("a"), &st) == 0);
    put("a", 200, 100); /* ids beyond the vocabulary, behind the back of the file's time */
#ifdef __APPLE__
    cr_assert(utimensat(AT_FDCWD, in_folder("a"), (struct timespec[]){st.st_atimespec, st.st_mtimespec}, 0) == 0);
#else
    cr_assert(utimensat(AT_FDCWD, in_folder("a"), (struct timespec[]){st.st_atim, st.st_mtim}, 0) == 0);
#endif
    rejects("token id");
    s.data_verified = stamp;
    d = open_with(NULL);
    cr_assert(d != NULL, "%s", said);
    cr_assert_eq(data_stamp(d), stamp);
    data_close(d);
    feed[0].vocab = 59999; /* of another vocabulary, or another file, the stamp says nothing */
    rejects("token id");
    feed[0].vocab = 60000;
    put("a", 200, 102);
    rejects("token id");
}

/* ---- epochs ---- */

Test(shards, shuffling_is_a_permutation_for_every_size)
{
    static const uint64_t size[] = {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097};
    bool                  seen[4097];
    for (size_t k = 0; k < COUNT(size); k++)
        for (uint64_t key = 0; key < 5; key++) {
            memset(seen, 0, sizeof seen);
            for (uint64_t i = 0; i < size[k]; i++) {
                uint64_t at = shuffled(key, i, size[k]);
                cr_assert(at < size[k] && !seen[at]);
                seen[at] = true;
            }
        }
    uint64_t huge = UINT64_MAX - 5, a = shuffled(1, 0, huge), b = shuffled(1, 1, huge);
    cr_assert(a < huge && b < huge && a != b);
}

/* Positions of neighbours: in a random order the mean distance of two windows is a third of their number. */
Test(shards, shuffled_neighbours_are_far_apart)
{
    const uint64_t n = 10000;
    double         sum = 0;
    uint64_t       fixed = 0;
    for (uint64_t i = 0; i + 1 < n; i++) {
        double a = (double)shuffled(9, i, n), b = (double)shuffled(9, i + 1, n);
        sum += a > b ? a - b : b - a;
        fixed += (uint64_t)a == i;
    }
    cr_assert(sum / (double)n > 0.32 * (double)n && sum / (double)n < 0.347 * (double)n, "%g", sum / (double)n);
    cr_assert_lt(fixed, 10);
}

Test(shards, every_window_comes_once_per_epoch_in_an_order_of_its_own)
{
    put("a", 0, 41);  /* 8 windows */
    put("b", 60, 26); /* 5 */
    s.data_sample = SAMPLE_SHUFFLED;
    Data    *d = open_with(NULL), *again = open_with(NULL);
    int32_t  order[4 * 13];
    int      same = 0;
    for (uint64_t i = 0; i < 4 * 13; i++) { /* two rows per batch: epochs end within one */
        data_fill(i % 3 ? d : again, i / 2);
        order[i] = x[i % 2 * COLS];
    }
    for (int epoch = 0; epoch < 4; epoch++) {
        int seen[256] = {0};
        for (int i = 0; i < 13; i++) {
            seen[order[13 * epoch + i]]++;
            same += epoch && order[13 * epoch + i] == order[i];
        }
        for (int i = 0; i < 13; i++)
            cr_assert_eq(seen[i < 8 ? 5 * i : 60 + 5 * (i - 8)], 1, "epoch %d, window %d", epoch, i);
    }
    cr_assert_lt(same, 15); /* of 39: three by chance */
    data_close(d);
    data_close(again);
}

/* ---- text ---- */

static void put_u32(Buf *b, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        buf_putc(b, (char)(unsigned char)(n >> 8 * i));
}

/* Bytes, and words that may follow a space: " a" is 259, " bc" 260 (by way of "bc", 261), "a" .. "c" 262 .. 264. */
static Tokenizer *tokenizer(void)
{
    static const char *const word[] = {" a", " bc", "bc", "a", "b", "c", " "};
    char                     spelt[16], why[FILE_ERR_MAX];
    Buf                      b = {0}, err = {0};
    put_u32(&b, 8);
    for (uint32_t i = 0; i < 259 + COUNT(word); i++) {
        snprintf(spelt, sizeof spelt, "<0x%02X>", i < 3 ? 0 : (i - 3) & 0xffu);
        const char *text = i < 3 ? "<s>" : i < 259 ? spelt : word[i - 259];
        put_u32(&b, 0);
        put_u32(&b, (uint32_t)strlen(text));
        buf_puts(&b, text);
    }
    cr_assert(file_write(in_folder(".tok.bin"), b.data, b.len, why));
    Tokenizer *t = tokenizer_open(path, &err);
    cr_assert(t != NULL, "%s", err.data);
    buf_free(&b);
    return t;
}

static void put_text(const char *name, const char *text, size_t times)
{
    Buf  b = {0};
    char why[FILE_ERR_MAX];
    while (times--)
        buf_puts(&b, text);
    cr_assert(file_write(in_folder(name), b.data, b.len, why), "%s", why);
    buf_free(&b);
}

Test(shards, text_is_read_through_the_tokenizer)
{
    Tokenizer *t = tokenizer();
    s.data = DATA_TEXT;
    s.data_sample = SAMPLE_SEQUENTIAL;
    feed[0].vocab = feed[1].vocab = 300;
    put_text("one", "a bc!a bc!", 1); /* BOS " a" " bc" ! a " bc" ! */
    put_text("two", "bc bc a a a", 1);
    rejects("data=text needs a tokenizer: --tokenizer FILE");
    Data *d = open_with(t);
    cr_assert(d != NULL, "%s", said);
    data_fill(d, 0);
    static const int32_t want[] = {1, 259, 260, 3 + '!', 262, 1, 260, 260, 259, 259};
    static const int32_t next[] = {259, 260, 3 + '!', 262, 260, 260, 260, 259, 259, 259};
    cr_assert(memcmp(x, want, sizeof want) == 0 && memcmp(y, next, sizeof next) == 0);
    /* "a bc!a bc", without the space that encoding adds; "bc bc a a a" the same */
    cr_assert_eq(data_bytes(d), 9 + 11);
    data_close(d);
    feed[0].vocab = 265;
    cr_assert_null(open_with(t));
    cr_assert(strstr(said, "has 266 ids, the model's vocabulary only 265") != NULL, "%s", said);
    feed[0].vocab = 300;
    s.data = DATA_BYTES;
    cr_assert_null(open_with(t));
    cr_assert(strstr(said, "text is read through it with --set data=text") != NULL, "%s", said);
    s.data = DATA_TEXT;
    put("binary", 0, 200);
    cr_assert_null(open_with(t));
    cr_assert(strstr(said, "has zero bytes in it and is no text") != NULL, "%s", said);
    tokenizer_close(t);
}

static uint32_t kept_files(void)
{
    DIR     *d = opendir(folder);
    uint32_t n = 0;
    cr_assert(d != NULL);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, ".long", 5) == 0;
    closedir(d);
    return n;
}

/* What the first windows hold, whichever way the ids come. */
static void expect_long(const Tokenizer *t)
{
    Data *d = open_with(t);
    cr_assert(d != NULL, "%s", said);
    cr_assert_eq(data_size(d), 1 + 3 * (5u << 20));
    data_fill(d, 0);
    cr_assert(x[0] == 1 && x[1] == 259 && x[2] == 260 && x[3] == 3 + '!' && x[4] == 262 && y[4] == 260);
    data_fill(d, (3u << 20) / 2 - 1); /* the last but one */
    cr_assert(x[0] == x[3] && x[1] == x[4] && x[0] != x[1]);
    data_close(d);
}

Test(shards, ids_of_a_long_text_are_kept_and_found_again)
{
    Tokenizer *t = tokenizer();
    s.data = DATA_TEXT;
    s.data_sample = SAMPLE_SEQUENTIAL;
    feed[0].vocab = feed[1].vocab = 300;
    put_text("long", "a bc!", 5 << 20);
    expect_long(t);
    cr_assert_eq(kept_files(), 1); /* complete, and nothing half done */
    expect_long(t);
    cr_assert_eq(kept_files(), 1);
    put_text("long", "bc a!", 5 << 20); /* another text, the same size: not mistaken for the first */
    Data *d = open_with(t);
    data_fill(d, 0);
    cr_assert(x[0] == 1 && x[1] == 260 && x[2] == 259);
    data_close(d);
    cr_assert_eq(kept_files(), 2);
    tokenizer_close(t);
}

Test(shards, a_folder_that_cannot_be_written_keeps_nothing)
{
    Tokenizer *t = tokenizer();
    char       why[FILE_ERR_MAX];
    s.data = DATA_TEXT;
    s.data_sample = SAMPLE_SEQUENTIAL;
    feed[0].vocab = feed[1].vocab = 300;
    put_text("long", "a bc!", 5 << 20);
    /* Root writes everywhere; a folder of the name that is to be written stops anyone. */
    Data *d = open_with(t);
    cr_assert(d != NULL, "%s", said);
    data_close(d);
    DIR *all = opendir(folder);
    cr_assert(all != NULL);
    for (struct dirent *e; (e = readdir(all));)
        if (strncmp(e->d_name, ".long", 5) == 0) {
            char half[500];
            snprintf(half, sizeof half, "%s.part", in_folder(e->d_name));
            cr_assert(unlink(path) == 0 && dir_make(half, why));
        }
    closedir(all);
    expect_long(t);
    cr_assert_eq(kept_files(), 1); /* only that folder */
    tokenizer_close(t);
}

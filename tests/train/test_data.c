/* test_data.c: data sets: what they reject, what they draw. */
#include "runtime/train/data.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 2, COLS = 5 };

typedef struct {
    Settings s;
    int32_t  x[ROWS * COLS], y[ROWS * COLS];
    float    r[64];
    Feed     feed[3];
    char     path[64];
    char     err[600];
} Fixture;

static void setup(Fixture *f, DataKind kind, int32_t vocab, const void *bytes, size_t n)
{
    char why[FILE_ERR_MAX];
    memset(f, 0, sizeof *f);
    settings_default(&f->s);
    f->s.data = kind;
    f->feed[0] = (Feed){"x", IN_TOKENS, ROWS, COLS, vocab, f->x};
    f->feed[1] = (Feed){"y", IN_TOKENS, ROWS, COLS, vocab, f->y};
    snprintf(f->path, sizeof f->path, "/tmp/anel-data-%ld", (long)getpid());
    cr_assert(file_write(f->path, bytes, n, why), "%s", why);
    f->s.data_path = f->path;
}

static Data *open_it(Fixture *f)
{
    Buf   err = {0};
    Data *d = data_open(&f->s, NULL, NULL, f->feed, 2, &err);
    cr_assert((d != NULL) == (err.len == 0));
    snprintf(f->err, sizeof f->err, "%s", err.len ? err.data : "");
    buf_free(&err);
    return d;
}

#define REJECTS(f, text) \
    do { \
        cr_assert_null(open_it(f)); \
        cr_assert(strstr((f)->err, text) != NULL, "said: %s", (f)->err); \
        unlink((f)->path); \
    } while (0)

static unsigned char bytes256[256];

static void count_up(void)
{
    for (int i = 0; i < 256; i++)
        bytes256[i] = (unsigned char)i;
}

Test(data, says_why_a_file_will_not_do, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, "", 0);
    REJECTS(&f, "is empty");
    setup(&f, DATA_BYTES, 256, "abcde", 5);
    REJECTS(&f, "it has 5 tokens, a window needs 6");
    setup(&f, DATA_BYTES, 255, bytes256, 256);
    REJECTS(&f, "data=bytes needs a vocabulary of at least 256 ids, input 'x' has 255");
    setup(&f, DATA_TOKENS_U16, 60000, bytes256, 255);
    REJECTS(&f, "has 255 bytes, which is no multiple of 2: it does not hold uint16 tokens");
    setup(&f, DATA_TOKENS_U32, 60000, bytes256, 254);
    REJECTS(&f, "uint32");
}

Test(data, names_the_first_id_beyond_the_vocabulary)
{
    Fixture        f;
    const uint16_t ids[] = {1, 2, 3, 4, 5, 6, 7, 512, 9, 600, 11, 12};
    setup(&f, DATA_TOKENS_U16, 512, ids, sizeof ids);
    REJECTS(&f, "token id 512 at byte offset 14; the model's vocabulary has 512 ids");
    setup(&f, DATA_TOKENS_U16, 601, ids, sizeof ids);
    Data *d = open_it(&f);
    cr_assert(d != NULL, "%s", f.err);
    data_close(d);
    const uint32_t wide[] = {1, 2, 3, 4, 5, 0x80000001u, 7};
    setup(&f, DATA_TOKENS_U32, 512, wide, sizeof wide);
    REJECTS(&f, "token id 2147483649 at byte offset 20");
}

Test(data, says_why_a_path_or_an_input_will_not_do, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, bytes256, 256);
    f.s.data_path = "/nowhere/x.txt";
    cr_assert_null(open_it(&f));
    cr_assert_str_eq(f.err,
                     "cannot open data file '/nowhere/x.txt': No such file or directory; --data FILE names another");
    f.s.data_path = "/dev/null";
    cr_assert_null(open_it(&f));
    cr_assert(strstr(f.err, "is a pipe or device") != NULL, "%s", f.err);
    f.s.data_path = f.path;
    f.feed[1].cols = 4;
    cr_assert_null(open_it(&f));
    cr_assert(strstr(f.err, "'x' and 'y' have different shapes") != NULL);
    f.feed[1] = (Feed){"r", IN_REAL, 8, 8, 0, f.r};
    cr_assert_null(open_it(&f));
    cr_assert(strstr(f.err, "input 'r' holds real numbers, which data=bytes cannot give") != NULL);
    f.feed[1].kind = IN_INT;
    cr_assert_null(open_it(&f));
    cr_assert(strstr(f.err, "input 'r' is a number, not data") != NULL);
    f.feed[0] = f.feed[1] = (Feed){"r", IN_LOSS_SCALE, 1, 1, 0, f.r};
    cr_assert_null(open_it(&f));
    cr_assert(strstr(f.err, "the entry has no token input") != NULL);
    unlink(f.path);
}

Test(data, targets_follow_tokens_by_one_position, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, bytes256, 256);
    Data *d = open_it(&f);
    cr_assert(d != NULL);
    for (uint64_t c = 0; c < 200; c++) {
        data_fill(d, c);
        for (int i = 0; i < ROWS * COLS; i++) {
            cr_assert_eq(f.y[i], f.x[i] + 1);
            if (i % COLS)
                cr_assert_eq(f.x[i], f.x[i - 1] + 1);
        }
    }
    cr_assert_eq(data_tokens(d), ROWS * COLS);
    cr_assert_eq(data_size(d), 256);
    data_close(d);
    unlink(f.path);
}

Test(data, random_sampling_is_a_pure_function_and_reaches_every_window, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, bytes256, 16);
    Data *d = open_it(&f), *again = open_it(&f);
    int   seen[16] = {0};
    for (uint64_t c = 0; c < 400; c++) {
        int32_t first[ROWS * COLS];
        data_fill(d, c);
        memcpy(first, f.x, sizeof first);
        data_fill(again, 400 - c); /* other draws in between, another order */
        data_fill(again, c);
        cr_assert(memcmp(first, f.x, sizeof first) == 0);
        for (int r = 0; r < ROWS; r++)
            seen[f.x[r * COLS]]++;
    }
    for (int i = 0; i < 16; i++) /* 11 places to start, about 73 draws each */
        cr_assert(i < 11 ? seen[i] > 30 && seen[i] < 130 : seen[i] == 0, "start %d: %d", i, seen[i]);
    int32_t one[ROWS * COLS];
    data_fill(d, 7);
    memcpy(one, f.x, sizeof one);
    data_close(d);
    f.s.seed = 1;
    d = open_it(&f);
    int differ = 0;
    for (uint64_t c = 7; c < 12; c++) {
        data_fill(d, c);
        differ += memcmp(one, f.x, sizeof one) != 0;
    }
    cr_assert_geq(differ, 4);
    data_close(d);
    data_close(again);
    unlink(f.path);
}

Test(data, sequential_sampling_walks_the_file_and_starts_over, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, bytes256, 18); /* windows of 6 at 0, 5, 10 */
    f.s.data_sample = SAMPLE_SEQUENTIAL;
    Data *d = open_it(&f);
    static const int start[] = {0, 5, 10, 0, 5, 10};
    for (uint64_t c = 0; c < 3; c++) {
        data_fill(d, c);
        cr_assert_eq(f.x[0], start[2 * c]);
        cr_assert_eq(f.x[COLS], start[2 * c + 1]);
    }
    data_close(d);
    unlink(f.path);
}

Test(data, the_held_out_part_is_never_drawn, .init = count_up)
{
    Fixture f;
    setup(&f, DATA_BYTES, 256, bytes256, 256);
    f.s.data_holdout = 0.25;
    Data *d = open_it(&f);
    for (uint64_t c = 0; c < 500; c++) {
        data_fill(d, c);
        for (int i = 0; i < ROWS * COLS; i++)
            cr_assert_lt(f.y[i], 192);
    }
    cr_assert_eq(data_batches(d), 6); /* (64 - 6) / 5 + 1 = 12 windows, two per batch */
    for (uint64_t b = 0; b < 6; b++) {
        data_fill_held_out(d, b);
        cr_assert_eq(f.x[0], 192 + 10 * (int)b);
        cr_assert_eq(f.x[COLS], 197 + 10 * (int)b);
    }
    data_close(d);
    f.s.data_holdout = 0.01;
    REJECTS(&f, "the held-out part has 2 tokens");
}

/* Three pieces and a rest; a batch anywhere in the run. */
Test(data, noise_does_not_depend_on_threads)
{
    enum { N = 3 * 8192 + 5 };
    static float x[2][N];
    for (uint32_t with = 0; with < 2; with++) {
        Fixture f;
        setup(&f, DATA_NOISE, 10, "", 0);
        f.feed[1] = (Feed){"r", IN_REAL, 1, N, 0, x[with]};
        Data *d = open_it(&f);
        Pool *pool = with ? pool_new(3) : NULL;
        data_share(d, pool);
        data_fill(d, 77);
        data_close(d);
        pool_free(pool);
        unlink(f.path);
    }
    cr_assert(memcmp(x[0], x[1], sizeof x[0]) == 0);
    cr_assert(x[0][N - 1] != 0 && x[0][8192] != x[0][0]);
}

Test(data, noise_is_normal_and_copies_repeat)
{
    Fixture f;
    setup(&f, DATA_NOISE, 10, "", 0);
    f.feed[1] = (Feed){"r", IN_REAL, 8, 8, 0, f.r};
    Data  *d = open_it(&f);
    double sum = 0, squares = 0;
    for (uint64_t c = 0; c < 400; c++) {
        data_fill(d, c);
        for (int i = 0; i < 64; i++) {
            sum += (double)f.r[i];
            squares += (double)f.r[i] * (double)f.r[i];
        }
        for (int i = 0; i < ROWS * COLS; i++)
            cr_assert(f.x[i] >= 0 && f.x[i] < 10);
    }
    cr_assert(fabs(sum / 25600) < 0.03 && fabs(squares / 25600 - 1) < 0.05);
    cr_assert_eq(data_batches(d), UINT64_MAX);
    data_close(d);

    setup(&f, DATA_COPY_TASK, 7, "", 0);
    d = open_it(&f);
    for (uint64_t c = 0; c < 50; c++) {
        data_fill(d, c);
        for (int r = 0; r < ROWS; r++) {
            const int32_t *x = f.x + r * COLS, *y = f.y + r * COLS; /* a window of 6: three tokens, and again */
            cr_assert(memcmp(x + 1, y, (COLS - 1) * sizeof *x) == 0);
            cr_assert(x[3] == x[0] && x[4] == x[1] && y[4] == x[2] && x[0] < 7);
        }
    }
    data_close(d);
    unlink(f.path);
}

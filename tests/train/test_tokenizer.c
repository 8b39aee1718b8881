/* test_tokenizer.c: tokenizers of llama2.c: ids as by the format's own words, text back, and files that are damaged. */
#include "runtime/train/tokenizer.h"

#include "base/file.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/anel-tokenizer-%ld", (long)getpid());
}

static void teardown(void)
{
    unlink(path);
}

TestSuite(tokenizer, .init = setup, .fini = teardown);

/* ---- a tokenizer file, made here ---- */

static void put_u32(Buf *b, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        buf_putc(b, (char)(unsigned char)(x >> 8 * i));
}

static void put_token(Buf *b, float score, const char *bytes, size_t len)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    put_u32(b, bits);
    put_u32(b, (uint32_t)len);
    buf_add(b, bytes, len);
}

/* Characters and what merging makes of them; scores tie on purpose, and one token is there twice. */
static const char *const word[] = {"a",   "b",    "c",   "h",  "e",   "l",   "o",    " ",     "\n",  "\xc3\xa9", "\xe2\x82\xac", "he",
                                   "ll",  "lo",   " h",  "el", "llo", "hel", "hello", " hello", "aa", "aaaa",     "ab",           "ba",
                                   "abc", "  ",   "    ", "ea", "he",  "o\n", "\xc3\xa9l", "e\xc3\xa9"};
static const float       score[] = {-30, -31, -32, -33, -34, -35, -36, -37, -38, -39, -40, -1,  -2,  -2, -3, -3,
                                    -4,  -5,  -6,  -7,  -8,  -9,  -8,  -8,  -10, -11, -12, -13, -14, -15, -1, -1};
_Static_assert(COUNT(word) == COUNT(score), "a score for every word");
enum { FIRST = 259, TOKENS = FIRST + (int)COUNT(word) };

static void token_file(Buf *b)
{
    char spelt[16];
    buf_clear(b);
    put_u32(b, 16);
    put_token(b, 0, "<unk>", 5);
    put_token(b, 0, "\n<s>\n", 5);
    put_token(b, 0, "\n</s>\n", 6);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(spelt, sizeof spelt, "<0x%02X>", i);
        put_token(b, 0, spelt, 6);
    }
    for (size_t i = 0; i < COUNT(word); i++)
        put_token(b, score[i], word[i], strlen(word[i]));
}

static Tokenizer *open_bytes(const char *data, size_t len, Buf *err)
{
    char why[FILE_ERR_MAX];
    cr_assert(file_write(path, data, len, why), "%s", why);
    buf_clear(err);
    return tokenizer_open(path, err);
}

static Tokenizer *open_small(void)
{
    Buf b = {0}, err = {0};
    token_file(&b);
    Tokenizer *t = open_bytes(b.data, b.len, &err);
    cr_assert(t != NULL, "%s", err.data);
    buf_free(&b);
    buf_free(&err);
    return t;
}

/* ---- the algorithm as the format describes it, quadratic and with strings ---- */

typedef struct {
    const char *text;
    size_t      len;
    int         id;
} Part;

static int find(const char *text, size_t len)
{
    for (size_t i = 0; i < COUNT(word); i++)
        if (strlen(word[i]) == len && memcmp(word[i], text, len) == 0)
            return FIRST + (int)i;
    return -1;
}

static size_t reference(const char *given, size_t len, int *id)
{
    char  *text = malloc(len + 1);
    Part  *part = malloc((len + 1) * sizeof *part);
    size_t n = 0;
    cr_assert(text != NULL && part != NULL);
    text[0] = ' ';
    memcpy(text + 1, given, len++);
    for (size_t at = 0; at < len;) {
        size_t more = 1;
        while (more < 4 && at + more < len && ((unsigned char)text[at + more] & 0xc0) == 0x80)
            more++;
        int whole = find(text + at, more);
        if (whole >= 0)
            part[n++] = (Part){text + at, more, whole};
        for (size_t i = 0; whole < 0 && i < more; i++)
            part[n++] = (Part){text + at + i, 1, 3 + (unsigned char)text[at + i]};
        at += more;
    }
    for (;;) {
        size_t best = n;
        int    joint = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            if (part[i].id < FIRST || part[i + 1].id < FIRST)
                continue;
            int id2 = find(part[i].text, part[i].len + part[i + 1].len);
            if (id2 >= 0 && (joint < 0 || score[id2 - FIRST] > score[joint - FIRST])) {
                best = i;
                joint = id2;
            }
        }
        if (joint < 0)
            break;
        part[best] = (Part){part[best].text, part[best].len + part[best + 1].len, joint};
        memmove(part + best + 1, part + best + 2, (n - best - 2) * sizeof *part);
        n--;
    }
    for (size_t i = 0; i < n; i++)
        id[i] = part[i].id;
    free(part);
    free(text);
    return n;
}

static void decode_all(const Tokenizer *t, const Tokens *k, Buf *out)
{
    int32_t previous = tokenizer_bos(t);
    size_t  bytes = 0;
    buf_clear(out);
    for (size_t i = 0; i < k->count; i++) {
        bytes += tokenizer_bytes(t, previous, k->id[i]);
        tokenizer_decode(t, previous, k->id[i], out);
        cr_assert_eq(out->len, bytes);
        previous = k->id[i];
    }
}

static void compare(const Tokenizer *t, const char *text, size_t len)
{
    Tokens k = {0};
    Buf    back = {0}, err = {0};
    int   *id = malloc((len + 1) * sizeof *id);
    cr_assert(id != NULL);
    size_t n = len ? reference(text, len, id) : 0;
    cr_assert(tokenizer_encode(t, text, len, &k, &err));
    cr_assert_eq(k.count, n, "'%.*s': %zu tokens, %zu expected", (int)len, text, k.count, n);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(k.id[i], id[i], "'%.*s', token %zu: %d, %d expected", (int)len, text, i, (int)k.id[i], id[i]);
    decode_all(t, &k, &back);
    cr_assert(back.len == len && memcmp(back.data ? back.data : "", text, len) == 0, "'%.*s' does not come back",
              (int)len, text);
    tokens_free(&k);
    buf_free(&back);
    free(id);
}

/* Of these pieces texts are made at random: tokens, half tokens, characters without one, bytes that are no UTF-8. */
static const char *const scrap[] = {"hello", "hell", "a", "aa", "ab", "c", " ", "  ", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xe2\x82",
                                    "\x80\x80\x80\x80\x80", "\xff", "z", "\xf0\x9f\x98\x80", "he", "l", "lo", "abc", "<0x0A>", "<s>"};

Test(tokenizer, ids_are_those_of_the_quadratic_algorithm)
{
    Tokenizer *t = open_small();
    Buf        text = {0};
    cr_assert(tokenizer_vocab(t) == TOKENS && tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2);
    static const char *const plain[] = {"", "hello", " hello", "hello hello", "aaaaaaa", "abababc", "ea\xc3\xa9l",
                                        "\n<s>\n", "    hello\n", "lllllo", "x"};
    for (size_t i = 0; i < COUNT(plain); i++)
        compare(t, plain[i], strlen(plain[i]));
    for (uint64_t round = 0; round < 400; round++) {
        buf_clear(&text);
        for (uint64_t i = rng_u64(5, round) % 60; i; i--) {
            const char *s = scrap[rng_u64(round, i) % COUNT(scrap)];
            buf_puts(&text, s);
        }
        if (round % 7 == 0)
            buf_putc(&text, 0);
        compare(t, text.data ? text.data : "", text.len);
    }
    buf_free(&text);
    tokenizer_close(t);
}

/* A long text without a place to cut, in time that is not quadratic. */
Test(tokenizer, a_long_run_is_one_segment)
{
    Tokenizer *t = open_small();
    Tokens     k = {0};
    Buf        err = {0};
    size_t     n = 1 << 20;
    char      *text = malloc(n);
    cr_assert(text != NULL);
    memset(text, 'a', n);
    cr_assert(tokenizer_encode(t, text, n, &k, &err));
    cr_assert_eq(k.count, n / 4 + 1); /* the space, and aaaa throughout */
    cr_assert_eq(k.id[7], FIRST + 21);
    tokens_free(&k);
    free(text);
    tokenizer_close(t);
}

/* Of a long text the ids are those of its parts, wherever nothing can be joined between them. */
Test(tokenizer, a_long_text_is_the_sum_of_its_words)
{
    Tokenizer *t = open_small();
    Tokens     k = {0}, word_ids = {0};
    Buf        text = {0}, err = {0};
    size_t     at = 0;
    for (uint64_t i = 0; text.len < 200000; i++) {
        buf_putc(&text, 'x'); /* a character without a token: nothing is joined to it */
        buf_puts(&text, scrap[rng_u64(3, i) % 12]);
        buf_puts(&text, scrap[rng_u64(4, i) % 12]);
    }
    cr_assert(tokenizer_encode(t, text.data, text.len, &k, &err));
    for (size_t from = 0, n; from < text.len; from += n) {
        const char *next = memchr(text.data + from + 1, 'x', text.len - from - 1);
        n = next ? (size_t)(next - text.data) - from : text.len - from;
        word_ids.count = 0;
        cr_assert(tokenizer_encode(t, text.data + from, n, &word_ids, &err));
        size_t skip = from ? 1 : 0; /* the space before it */
        cr_assert_leq(at + word_ids.count - skip, k.count);
        cr_assert(memcmp(k.id + at, word_ids.id + skip, (word_ids.count - skip) * sizeof *k.id) == 0, "at byte %zu", from);
        at += word_ids.count - skip;
    }
    cr_assert_eq(at, k.count);
    tokens_free(&k);
    tokens_free(&word_ids);
    buf_free(&text);
    tokenizer_close(t);
}

Test(tokenizer, the_first_space_comes_off_and_control_tokens_are_silent)
{
    Tokenizer *t = open_small();
    Buf        out = {0};
    int32_t    hello = FIRST + 19; /* " hello" */
    tokenizer_decode(t, TOKENIZER_NONE, 1, &out);
    tokenizer_decode(t, 1, hello, &out);
    tokenizer_decode(t, hello, hello, &out);
    tokenizer_decode(t, hello, 2, &out);
    tokenizer_decode(t, hello, TOKENS, &out); /* a padded vocabulary */
    tokenizer_decode(t, hello, -5, &out);
    tokenizer_decode(t, hello, 3 + 0xe2, &out);
    cr_assert_str_eq(out.data, "hello hello\xe2");
    cr_assert(tokenizer_bytes(t, 1, hello) == 5 && tokenizer_bytes(t, 2, hello) == 6);
    buf_free(&out);
    tokenizer_close(t);
}

Test(tokenizer, a_model_may_have_more_ids_but_not_fewer)
{
    Tokenizer *t = open_small();
    Buf        err = {0};
    cr_assert(tokenizer_fits(t, TOKENS, &err) && tokenizer_fits(t, TOKENS + 30, &err) && err.len == 0);
    cr_assert(!tokenizer_fits(t, TOKENS - 1, &err));
    cr_assert(strstr(err.data, "has 291 ids, the model's vocabulary only 290") != NULL, "%s", err.data);
    buf_free(&err);
    tokenizer_close(t);
}

/* ---- damaged files ---- */

static void rejects(const char *data, size_t len, const char *text)
{
    Buf        err = {0};
    Tokenizer *t = open_bytes(data, len, &err);
    cr_assert(t == NULL, "accepted; expected: %s", text);
    cr_assert(strstr(err.data, text) != NULL, "said: %s", err.data);
    buf_free(&err);
}

Test(tokenizer, says_what_is_wrong_with_a_file)
{
    Buf b = {0}, err = {0};
    token_file(&b);
    rejects(b.data, 0, "it has only 0 bytes");
    rejects("\0\0\0\0", 4, "its longest token is said to have 0 bytes");
    rejects(b.data, 4, "it has 0 tokens and needs 259 at least");
    rejects(b.data, 4 + 13, "it has 1 tokens and needs 259 at least");
    rejects(b.data, 4 + 13 + 9, "it ends inside token 1, at byte offset 17");
    rejects(b.data, b.len - 1, "it ends inside token 290");
    b.data[4 + 13 + 13 + 14 + 8 + 4] = 'F'; /* <0x00>: id 3 */
    rejects(b.data, b.len, "token 3 at byte offset 44 should be the byte <0x00>");
    token_file(&b);
    memset(b.data + b.len - 8 - strlen(word[COUNT(word) - 1]), 0xff, 4);
    rejects(b.data, b.len, "token 290 at byte offset");
    rejects(b.data, b.len, "has a score that is not a number");
    token_file(&b);
    b.data[0] = 3;
    rejects(b.data, b.len, "is said to have 5 bytes, the longest 3");
    cr_assert_null(tokenizer_open("/nowhere/t.bin", &err));
    cr_assert(strstr(err.data, "/nowhere/t.bin") != NULL && strstr(err.data, "--tokenizer FILE") != NULL, "%s", err.data);
    buf_free(&err);
    buf_free(&b);
}

/* What opens must encode and decode without harm; what does not must say something. */
static void try_damaged(const char *data, size_t len)
{
    static const char text[] = "hello hello\n \xe2\x82\xac aaaa abc \xff";
    Buf               err = {0}, out = {0};
    Tokens            k = {0};
    Tokenizer        *t = open_bytes(data, len, &err);
    cr_assert((t == NULL) == (err.len > 0));
    if (t && tokenizer_encode(t, text, sizeof text - 1, &k, &err)) {
        for (size_t i = 0; i < k.count; i++)
            cr_assert(k.id[i] >= 0 && (uint32_t)k.id[i] < tokenizer_vocab(t));
        decode_all(t, &k, &out);
        cr_assert(out.len == sizeof text - 1 && memcmp(out.data, text, out.len) == 0);
    }
    tokens_free(&k);
    buf_free(&err);
    buf_free(&out);
    tokenizer_close(t);
}

Test(tokenizer, no_damage_does_harm)
{
    Buf b = {0};
    token_file(&b);
    for (size_t len = 0; len < b.len; len += 1 + len % 11)
        try_damaged(b.data, len);
    for (uint64_t i = 0; i < 1500; i++) {
        size_t at = rng_u64(11, i) % b.len;
        if (i % 2)
            at = b.len - 1 - at % 600; /* where the words are */
        char old = b.data[at];
        b.data[at] = (char)(unsigned char)((unsigned char)old ^ (1u << (rng_u64(12, i) % 8)));
        try_damaged(b.data, b.len);
        b.data[at] = old;
    }
    buf_free(&b);
}

/* ---- a tokenizer of other people, if it is there ---- */

static const char *test_data(const char *name, char *to, size_t cap)
{
    const char *folder = getenv("ANEL_TEST_DATA");
    snprintf(to, cap, "%s/%s", folder ? folder : ANEL_ROOT "/../shared/data", name);
    return path_exists(to) ? to : NULL;
}

Test(tokenizer, stories_are_encoded_as_their_authors_do)
{
    char file[512];
    Buf  err = {0};
    if (!test_data("tok512.bin", file, sizeof file))
        cr_skip_test("no tok512.bin");
    Tokenizer *t = tokenizer_open(file, &err);
    cr_assert(t != NULL, "%s", err.data);
    static const struct {
        const char *text;
        int         ids, id[15];
    } known[] = {
        {"Once upon a time", 4, {403, 407, 261, 378}},
        {"The dog", 3, {291, 400, 428}},
        {"First Citizen:\nBefore we", 15, {410, 453, 315, 356, 410, 457, 275, 417, 451, 302, 467, 13, 445, 411, 431}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        Tokens k = {0};
        cr_assert(tokenizer_encode(t, known[i].text, strlen(known[i].text), &k, &err));
        cr_assert_geq(k.count, (size_t)known[i].ids);
        for (int j = 0; j < known[i].ids; j++)
            cr_assert_eq(k.id[j], known[i].id[j], "'%s', token %d: %d", known[i].text, j, (int)k.id[j]);
        tokens_free(&k);
    }
    tokenizer_close(t);
}

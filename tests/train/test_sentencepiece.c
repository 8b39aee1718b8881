/* test_sentencepiece.c: SentencePiece models as tokenizers, on models trained here. */
#include "runtime/train/tokenizer.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool train_model(const char *text, const char *flags, void (*put)(void *to, const void *bytes, size_t n), void *to);

static char path[64];
static Buf  model, err;

static void put(void *to, const void *bytes, size_t n)
{
    buf_add(to, bytes, n);
}

/* Sentences from a few words; enough for the trainer to find pieces in. */
static void corpus(Buf *b, uint64_t lines)
{
    static const char *const word[] = {"the", "ship", "sails", "over", "a", "wide", "sea", "tall", "masts", "and", "sailors", "sing"};
    for (uint64_t i = 0; i < lines; i++) {
        for (uint64_t k = 0; k < 9; k++)
            buf_printf(b, "%s%s", k ? " " : "", word[rng_u64(i, k) % COUNT(word)]);
        buf_puts(b, i % 5 ? ".\n" : "!\n");
    }
}

#define LIKE_LLAMA \
    "--model_type=bpe --byte_fallback=true --normalization_rule_name=identity --remove_extra_whitespaces=false " \
    "--vocab_size=340 --hard_vocab_limit=false --num_threads=1"

static Tokenizer *trained(const char *flags)
{
    Buf  text = {0};
    char why[FILE_ERR_MAX];
    snprintf(path, sizeof path, "/tmp/anel-sentencepiece-%ld", (long)getpid());
    corpus(&text, 300);
    buf_clear(&model);
    cr_assert(train_model(text.data, flags, put, &model));
    cr_assert(file_write(path, model.data, model.len, why), "%s", why);
    Tokenizer *t = tokenizer_open(path, &err);
    cr_assert(t != NULL, "%s", err.data);
    buf_free(&text);
    return t;
}

static void teardown(void)
{
    unlink(path);
    buf_free(&model);
    buf_free(&err);
}

TestSuite(sentencepiece, .fini = teardown);

static void round_trip(const Tokenizer *t, const char *text, size_t len)
{
    Tokens  k = {0};
    Buf     back = {0};
    int32_t previous = TOKENIZER_NONE;
    size_t  bytes = 0;
    cr_assert(tokenizer_encode(t, text, len, &k, &err), "%s", err.data);
    for (size_t i = 0; i < k.count; i++) {
        cr_assert(k.id[i] >= 0 && (uint32_t)k.id[i] < tokenizer_vocab(t));
        bytes += tokenizer_bytes(t, previous, k.id[i]);
        tokenizer_decode(t, previous, k.id[i], &back);
        previous = k.id[i];
    }
    cr_assert(back.len == len && bytes == len && memcmp(back.data ? back.data : "", text, len) == 0,
              "%zu bytes come back as %zu", len, back.len);
    tokens_free(&k);
    buf_free(&back);
}

Test(sentencepiece, text_comes_back_byte_for_byte)
{
    Tokenizer *t = trained(LIKE_LLAMA);
    cr_assert(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_vocab(t) > 270);
    static const char *const text[] = {"", "the ship", " the ship", "tall  masts\n\nsing", "Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
                                       "a\tb\n", "<s>", "0x0A <0x0A>"};
    for (size_t i = 0; i < COUNT(text); i++)
        round_trip(t, text[i], strlen(text[i]));
    Tokens k = {0};
    cr_assert(tokenizer_encode(t, "the ship sails", 14, &k, &err));
    cr_assert_lt(k.count, 8); /* pieces, not letters */
    tokens_free(&k);
    tokenizer_close(t);
}

/* Every line but the first gives the same ids, also where the library is handed the next part of the text: no space is
 * added between parts, nothing is lost. */
Test(sentencepiece, a_long_text_is_encoded_in_parts)
{
    static const char line[] = "the ship sails over a wide sea.\n";
    Tokenizer        *t = trained(LIKE_LLAMA);
    Buf               text = {0};
    Tokens            two = {0}, three = {0}, all = {0};
    while (text.len <= (size_t)1 << 21) /* several parts */
        buf_puts(&text, line);
    cr_assert(tokenizer_encode(t, text.data, 2 * strlen(line), &two, &err));
    cr_assert(tokenizer_encode(t, text.data, 3 * strlen(line), &three, &err));
    cr_assert(tokenizer_encode(t, text.data, text.len, &all, &err));
    size_t per_line = three.count - two.count, first = two.count - per_line;
    cr_assert_eq(all.count, first + (text.len / strlen(line) - 1) * per_line);
    for (size_t i = first; i + per_line < all.count; i++)
        cr_assert_eq(all.id[i], all.id[i + per_line], "token %zu", i);
    round_trip(t, text.data, text.len);
    tokens_free(&two);
    tokens_free(&three);
    tokens_free(&all);
    buf_free(&text);
    tokenizer_close(t);
}

/* A model of another make: no byte pieces, no space in front, unknown characters. */
Test(sentencepiece, unknown_characters_and_no_leading_space)
{
    Tokenizer *t = trained("--model_type=unigram --add_dummy_prefix=false --vocab_size=40 --hard_vocab_limit=false "
                           "--num_threads=1 --bos_id=-1");
    Tokens     k = {0};
    Buf        back = {0};
    cr_assert_eq(tokenizer_bos(t), TOKENIZER_NONE);
    round_trip(t, "the ship sails", 14);
    cr_assert(tokenizer_encode(t, "the \xf0\x9f\x98\x80", 8, &k, &err));
    for (size_t i = 0; i < k.count; i++)
        tokenizer_decode(t, i ? k.id[i - 1] : TOKENIZER_NONE, k.id[i], &back);
    cr_assert_str_eq(back.data, "the  \xe2\x81\x87 "); /* as the library shows what it does not know */
    tokens_free(&k);
    buf_free(&back);
    tokenizer_close(t);
}

Test(sentencepiece, damaged_models_are_told_and_do_no_harm)
{
    char why[FILE_ERR_MAX];
    tokenizer_close(trained(LIKE_LLAMA));
    for (size_t len = 3; len < model.len; len += 1 + len / 7) {
        buf_clear(&err);
        cr_assert(file_write(path, model.data, len, why));
        Tokenizer *t = tokenizer_open(path, &err);
        cr_assert((t == NULL) == (err.len > 0));
        tokenizer_close(t);
    }
    for (uint64_t i = 0; i < 300; i++) {
        size_t at = rng_u64(21, i) % model.len;
        char   old = model.data[at];
        model.data[at] = (char)(unsigned char)((unsigned char)old ^ (1u << (rng_u64(22, i) % 8)));
        buf_clear(&err);
        cr_assert(file_write(path, model.data, model.len, why));
        Tokenizer *t = tokenizer_open(path, &err);
        cr_assert((t == NULL) == (err.len > 0));
        tokenizer_close(t);
        model.data[at] = old;
    }
    buf_clear(&err);
    cr_assert(file_write(path, model.data, model.len - 1, why));
    cr_assert_null(tokenizer_open(path, &err));
    cr_assert(strstr(err.data, "is no SentencePiece model") != NULL, "%s", err.data);
}

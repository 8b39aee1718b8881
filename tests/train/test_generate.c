/* test_generate.c: sampling, and generation on a small model. */
#include "runtime/train/generate.h"

#include "base/rng.h"
#include "fake_exec.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { V = 6 };
static const float logits[V] = {0.5f, 2, -1, 2.5f, 1, -30};

/* How often each token comes in many draws, against the probabilities computed directly. */
static void compare(SampleOptions o, const bool *allowed)
{
    enum { DRAWS = 200000 };
    Arena  *a = arena_new();
    Sampler s;
    double  want[V], sum = 0;
    int     seen[V] = {0};
    sampler_init(&s, a, o, V);
    for (int i = 0; i < V; i++)
        sum += want[i] = allowed[i] ? exp((double)logits[i] / o.temperature) : 0;
    for (uint64_t i = 0; i < DRAWS; i++)
        seen[sampler_pick(&s, logits, rng_uniform(7, i))]++;
    for (int i = 0; i < V; i++) {
        double p = want[i] / sum, got = (double)seen[i] / DRAWS;
        cr_assert(fabs(got - p) <= 5 * sqrt(p * (1 - p) / DRAWS) + 1e-9, "token %d: %g, expected %g", i, got, p);
    }
    arena_free(a);
}

Test(sample, draws_follow_the_softmax)
{
    compare((SampleOptions){1, 0, 1}, (bool[V]){1, 1, 1, 1, 1, 1});
    compare((SampleOptions){0.5, 0, 1}, (bool[V]){1, 1, 1, 1, 1, 1});
    compare((SampleOptions){2, V, 1}, (bool[V]){1, 1, 1, 1, 1, 1});
    compare((SampleOptions){2, 100, 1}, (bool[V]){1, 1, 1, 1, 1, 1});
}

Test(sample, top_k_keeps_the_k_likeliest)
{
    compare((SampleOptions){1, 1, 1}, (bool[V]){0, 0, 0, 1, 0, 0});
    compare((SampleOptions){1, 3, 1}, (bool[V]){0, 1, 0, 1, 1, 0});
    compare((SampleOptions){1, 5, 1}, (bool[V]){1, 1, 1, 1, 1, 0});
}

Test(sample, top_p_keeps_the_shortest_prefix_that_reaches_p)
{
    /* shares at temperature 1: 0.480, 0.291, 0.107, 0.065, 0.0145 and next to nothing, for tokens 3, 1, 4, 0, 2, 5 */
    compare((SampleOptions){1, 0, 0}, (bool[V]){0, 0, 0, 1, 0, 0});
    compare((SampleOptions){1, 0, 0.45}, (bool[V]){0, 0, 0, 1, 0, 0});
    compare((SampleOptions){1, 0, 0.55}, (bool[V]){0, 1, 0, 1, 0, 0});
    compare((SampleOptions){1, 0, 0.87}, (bool[V]){0, 1, 0, 1, 1, 0});
}

Test(sample, top_p_counts_within_top_k)
{
    compare((SampleOptions){1, 2, 0.6}, (bool[V]){0, 0, 0, 1, 0, 0}); /* 0.62 of the two */
    compare((SampleOptions){1, 2, 0.7}, (bool[V]){0, 1, 0, 1, 0, 0});
}

Test(sample, temperature_zero_takes_the_first_of_the_largest)
{
    static const float tie[4] = {1, 3, 3, NAN};
    Arena  *a = arena_new();
    Sampler s;
    sampler_init(&s, a, (SampleOptions){0, 0, 1}, 4);
    for (uint64_t i = 0; i < 10; i++)
        cr_assert_eq(sampler_pick(&s, tie, rng_uniform(1, i)), 1);
    arena_free(a);
}

Test(sample, numbers_that_are_none_never_win)
{
    static const float some[4] = {NAN, 1, -INFINITY, NAN}, none[4] = {NAN, NAN, -INFINITY, NAN},
                       over[4] = {1, INFINITY, 2, 3};
    static const SampleOptions o[] = {{0, 0, 1}, {1, 0, 1}, {1, 2, 0.9}};
    for (size_t k = 0; k < COUNT(o); k++) {
        Arena  *a = arena_new();
        Sampler s;
        sampler_init(&s, a, o[k], 4);
        for (uint64_t i = 0; i < 100; i++) {
            cr_assert_eq(sampler_pick(&s, some, rng_uniform(1, i)), 1);
            cr_assert_eq(sampler_pick(&s, none, rng_uniform(1, i)), UINT32_MAX);
            cr_assert_eq(sampler_pick(&s, over, rng_uniform(1, i)), 1);
        }
        arena_free(a);
    }
}

/* ---- generation ---- */

typedef struct {
    Arena  *arena;
    Exec   *exec;
    Session s;
    Buf     err;
    char    text[256], note[256];
    size_t  len;
    GenerateStats stats;
} Fixture;

/* A model that follows each letter by the next one. */
static void setup(Fixture *f)
{
    static const char *const settings[] = {"data", "bytes", NULL};
    memset(f, 0, sizeof *f);
    f->arena = arena_new();
    const Plan *p = fake_plan(f->arena, settings);
    f->exec = fake_open(p);
    session_init(&f->s, f->arena, p, "bigram.plan", "00000000000000000000000000000000", f->exec);
    cr_assert(settings_from_plan(&f->s.settings, f->arena, p, &f->err));
    for (int i = 0; i < FAKE_VOCAB; i++)
        exec_param(f->exec, 0)->value[i * FAKE_VOCAB + (i + 1) % FAKE_VOCAB] = 20;
}

static bool run_until(Fixture *f, const char *prompt, const char *stop, uint64_t tokens, SampleOptions sampling)
{
    FILE *out = tmpfile(), *note = tmpfile();
    buf_clear(&f->err);
    memset(&f->stats, 0, sizeof f->stats);
    GenerateOptions o = {.prompt = prompt, .stop = stop, .tokens = tokens, .sampling = sampling, .seed = 3, .out = out,
                         .note = note, .stats = &f->stats};
    bool            ok = generate(&f->s, &o, &f->err);
    rewind(out);
    rewind(note);
    f->len = fread(f->text, 1, sizeof f->text - 1, out);
    f->text[f->len] = 0;
    f->note[fread(f->note, 1, sizeof f->note - 1, note)] = 0;
    fclose(out);
    fclose(note);
    return ok;
}

static bool run(Fixture *f, const char *prompt, uint64_t tokens, SampleOptions sampling)
{
    return run_until(f, prompt, NULL, tokens, sampling);
}

static void finish(Fixture *f)
{
    exec_close(f->exec);
    buf_free(&f->err);
    arena_free(f->arena);
}

Test(generate, the_prompt_is_continued)
{
    Fixture f;
    setup(&f);
    cr_assert(run(&f, "xa", 4, (SampleOptions){0, 0, 1}), "%s", f.err.data);
    cr_assert_str_eq(f.text, "xabcde");
    cr_assert_str_eq(f.note, "");
    cr_assert(run(&f, "xa", 0, (SampleOptions){0, 0, 1}));
    cr_assert_str_eq(f.text, "xa");
    cr_assert(run(&f, "\xff", 2, (SampleOptions){0, 0, 1}));
    cr_assert(f.len == 3 && memcmp(f.text, "\xff\0\1", 3) == 0);
    finish(&f);
}

Test(generate, the_same_seed_gives_the_same_text)
{
    Fixture f;
    char    first[256];
    setup(&f);
    cr_assert(run(&f, "a", 10, (SampleOptions){8, 0, 1}));
    memcpy(first, f.text, sizeof first);
    cr_assert(run(&f, "a", 10, (SampleOptions){8, 0, 1}));
    cr_assert(memcmp(first, f.text, f.len) == 0 && f.len == 11);
    finish(&f);
}

Test(generate, a_full_context_ends_it_with_a_note)
{
    Fixture f;
    setup(&f);
    cr_assert(run(&f, "a", 100, (SampleOptions){0, 0, 1}));
    cr_assert_str_eq(f.text, "abcdefghijklm"); /* 12 positions are read, so 13 letters are known */
    cr_assert(strstr(f.note, "context of 12 tokens is full") != NULL);
    finish(&f);
}

Test(generate, what_cannot_be_done_says_why)
{
    Fixture f;
    setup(&f);
    cr_assert(!run(&f, "", 5, (SampleOptions){0, 0, 1}));
    cr_assert(strstr(f.err.data, "the prompt is empty") != NULL);
    cr_assert(!run(&f, "0123456789abc", 5, (SampleOptions){0, 0, 1}));
    cr_assert_str_eq(f.err.data, "the prompt has 13 tokens, the model's context only 12");
    exec_param(f.exec, 0)->value['a' * FAKE_VOCAB] = NAN;
    cr_assert(!run(&f, "a", 5, (SampleOptions){0, 0, 1}));
    cr_assert(strstr(f.err.data, "logits are not numbers") != NULL);
    Plan *p = (Plan *)(uintptr_t)f.s.plan;
    p->entry[1].name = "other";
    cr_assert(!run(&f, "a", 5, (SampleOptions){0, 0, 1}));
    cr_assert(strstr(f.err.data, "takes no fewer than 4 tokens at a time; add 1 to its buckets") != NULL);
    p->entries = 1;
    cr_assert(!run(&f, "a", 5, (SampleOptions){0, 0, 1}));
    cr_assert(strstr(f.err.data, "has no entry 'decode'") != NULL);
    finish(&f);
}

/* Ten letters are read as 4 + 4 + 1 + 1; each call finds the position where the one before ended. */
Test(generate, a_prompt_is_read_in_pieces)
{
    static const struct {
        const char *prompt;
        int         pieces;
    } cases[] = {{"a", 0}, {"xya", 0}, {"wxya", 1}, {"vwxya", 1}, {"qwertyua", 2}, {"zzqwertyua", 2}};
    Fixture f;
    Buf     said = {0};
    setup(&f);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char want[32];
        snprintf(want, sizeof want, "%sbc", cases[i].prompt);
        cr_assert(run(&f, cases[i].prompt, 2, (SampleOptions){0, 0, 1}), "%s", f.err.data);
        cr_assert_str_eq(f.text, want);
        cr_assert_eq(fake_knobs(f.exec)->pieces, cases[i].pieces);
        cr_assert(f.stats.read == strlen(cases[i].prompt) && f.stats.written == 2);
        cr_assert_eq(fake_knobs(f.exec)->read, (int32_t)f.stats.read + 1);
    }
    generate_stats_text(&f.stats, &said);
    cr_assert(strstr(said.data, "prompt: 10 tokens") == said.data && strstr(said.data, "; written: 2 tokens"));
    buf_free(&said);
    finish(&f);
}

Test(generate, it_ends_before_the_text_to_stop_at)
{
    SampleOptions greedy = {0, 0, 1};
    Fixture       f;
    setup(&f);
    cr_assert(run_until(&f, "a", "e", 10, greedy));
    cr_assert_str_eq(f.text, "abcd");
    cr_assert_eq(f.stats.written, 4);
    cr_assert(run_until(&f, "a", "ef", 10, greedy));
    cr_assert_str_eq(f.text, "abcd");
    cr_assert(run_until(&f, "a", "eg", 8, greedy)); /* what looked like the end is not lost */
    cr_assert_str_eq(f.text, "abcdefghi");
    cr_assert(run_until(&f, "a", "ij", 8, greedy)); /* nor at the very end */
    cr_assert_str_eq(f.text, "abcdefghi");
    cr_assert(run_until(&f, "ab", "b", 2, greedy)); /* the prompt may hold it */
    cr_assert_str_eq(f.text, "abcd");
    cr_assert(run_until(&f, "\xfe", "\x01\x02", 8, greedy)); /* behind a zero byte */
    cr_assert(f.len == 3 && memcmp(f.text, "\xfe\xff\0", 3) == 0);
    cr_assert(!run_until(&f, "a", "", 8, greedy));
    cr_assert(strstr(f.err.data, "--stop needs a text") != NULL);
    finish(&f);
}

Test(generate, ids_are_read_written_and_stopped_at)
{
    SampleOptions greedy = {0, 0, 1};
    Fixture       f;
    setup(&f);
    Plan *p = (Plan *)(uintptr_t)f.s.plan; /* a vocabulary that is no alphabet of bytes */
    f.s.settings.data = DATA_NOISE;
    p->entry[1].input[0].vocab = p->entry[2].input[0].vocab = FAKE_VOCAB - 1;
    p->buffer[5].shape.dim[0] = FAKE_VOCAB - 1;
    cr_assert(run(&f, " 7, 8", 3, greedy), "%s", f.err.data);
    cr_assert_str_eq(f.text, "7 8 9 10 11\n");
    cr_assert(run_until(&f, "7", "10", 5, greedy));
    cr_assert_str_eq(f.text, "7 8 9\n");
    cr_assert(!run_until(&f, "7", "10 11", 5, greedy));
    cr_assert_str_eq(f.err.data, "--stop '10 11' is not a token id from 0 to 254 (this model's tokens are not bytes)");
    cr_assert(!run(&f, "7 255", 3, greedy));
    cr_assert(strstr(f.err.data, "is not a list of token ids from 0 to 254") != NULL);
    finish(&f);
}

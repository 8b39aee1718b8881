/* test_plan_text.c: manifests as text: round trips, messages of the parser, and a parser that survives any bytes. */
#include "base/hash.h"
#include "base/rng.h"
#include "plan/plan.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static Plan *parse(Arena *a, const char *text, Buf *err)
{
    return plan_parse(a, "plan.anep", text, strlen(text), err);
}

Test(plan_text, the_sample_prints_as_it_was_read)
{
    Arena *a = arena_new();
    Buf    err = {0}, out = {0};
    Plan  *p = parse(a, sample_plan, &err);
    cr_assert(p != NULL, "%s", err.data);
    plan_print(p, &out);
    cr_assert_str_eq(out.data, sample_plan);
    buf_free(&out);
    buf_free(&err);
    arena_free(a);
}

/* The target of the defaults is a name; others have the hash of what their profile says. */
Test(plan_text, a_target_has_a_name_and_maybe_a_hash)
{
    static const char line[] = "target m4";
    Arena *a = arena_new();
    Buf    err = {0}, out = {0};
    const char *at = strstr(sample_plan, line);
    cr_assert(at != NULL);
    const char *text = arena_printf(a, "%.*s%s 00112233445566778899aabbccddeeff%s", (int)(at - sample_plan),
                                    sample_plan, line, at + strlen(line));
    Plan *p = parse(a, text, &err);
    cr_assert(p != NULL, "%s", err.data);
    cr_expect_str_eq(p->target, "m4");
    cr_expect_str_eq(p->target_hash, "00112233445566778899aabbccddeeff");
    plan_print(p, &out);
    cr_expect_str_eq(out.data, text);
    cr_expect_str_eq(parse(a, sample_plan, &err)->target_hash, "");
    text = arena_printf(a, "%.*s%s 00112233445566778899aabbccddeeff more%s", (int)(at - sample_plan), sample_plan, line,
                        at + strlen(line));
    cr_expect(parse(a, text, &err) == NULL);
    buf_free(&out);
    buf_free(&err);
    arena_free(a);
}

Test(plan_text, fields_arrive_where_they_belong)
{
    Arena *a = arena_new();
    Buf    err = {0};
    Plan  *p = parse(a, sample_plan, &err);
    cr_assert(p != NULL);
    cr_assert_eq(p->params, 4);
    cr_assert_eq(p->param_count, 10);
    cr_assert_str_eq(p->param[1].pattern, "layers.{L}.w");
    cr_assert_eq(p->param[1].first, 2);
    cr_assert_eq(p->param[1].n, 3);
    cr_assert_eq(p->param[1].id, 1);
    cr_assert_eq(p->param[1].import_transpose, true);
    cr_assert_eq(p->param[1].import_rows[1], 8);
    cr_assert_eq(p->param[2].init.a, 1e-5);
    cr_assert_eq(p->param[2].frozen, true);
    cr_assert_str_eq(p->config[1].value, "a \"b\" \\ \n\x01 c");
    cr_assert_eq(p->state_count, 4);
    cr_assert_eq(p->state[1].type, PLAN_I32);
    cr_assert_eq(p->program[0].out[0].part[1].channel, 9);
    cr_assert_eq(p->program[0].weight[1].recipe->kind, RECIPE_TRANSPOSE);
    cr_assert_eq(p->program[0].weight[1].recipe->in[0]->param[2], 3);
    cr_assert_eq(p->program[0].weight[2].recipe->table, 0);
    cr_assert_eq(p->weights, PLAN_DYNAMIC);
    cr_assert_eq(p->stages, 2);
    cr_assert_eq(p->stage[0].first, 2);
    cr_assert_eq(p->stage[0].weight[1].channel, 10);
    cr_assert_eq(p->stage[0].weight[1].recipe->in[0]->param[2], 3);
    const PlanEntry *e = &p->entry[0];
    cr_assert_eq(e->input[0].vocab, 50);
    cr_assert_eq(e->forward[2].kind, STEP_LOOP);
    cr_assert_eq(e->forward[2].body[5].in[1].leaf[2], 3);
    cr_assert_eq(e->forward[8].a.lo[1], 2);
    cr_assert_eq(e->backward[1].reverse, true);
    cr_assert_eq(e->backward[1].body[2].in[0].offset, 96);
    cr_assert_str_eq(p->train_entry, "loss");
    buf_free(&err);
    arena_free(a);
}

Test(plan_text, comments_spaces_and_later_keys_change_nothing)
{
    static const char text[] = "# made by hand\n\r\n  anep 1.7 # newer\nmodel   Tiny\r\nweather sunny\n"
                               "param w {\n  shape 2x3 # rows, columns\n  init ones\n  colour red\n}\n";
    Arena *a = arena_new();
    Buf    err = {0}, out = {0};
    Plan  *p = parse(a, text, &err);
    cr_assert(p != NULL, "%s", err.data);
    plan_print(p, &out);
    cr_assert_str_eq(out.data, "anep 1.0\ncompiler \"\"\nmodel Tiny\ntarget \"\"\nsources \"\"\nweights baked\n"
                               "\nparam w {\n  shape 2x3\n  init ones\n  decay no\n}\n");
    buf_free(&out);
    buf_free(&err);
    arena_free(a);
}

Test(plan_text, a_compile_budget_is_written_where_it_is_not_the_usual_one)
{
    static const struct {
        const char *line;
        int64_t     budget;
        const char *printed;
    } given[] = {{"", PLAN_COMPILE_BUDGET, ""}, {"compile_budget 100\n", 100, ""},
                 {"compile_budget 80\n", 80, "\ncompile_budget 80\n"}, {"compile_budget 0\n", 0, "\ncompile_budget 0\n"}};
    for (size_t i = 0; i < COUNT(given); i++) {
        Arena *a = arena_new();
        Buf    err = {0}, out = {0};
        Plan  *p = parse(a, arena_printf(a, "anep 1.0\n%sparam w {\n  shape 2x3\n  init ones\n}\n", given[i].line), &err);
        cr_assert(p && p->compile_budget == given[i].budget, "%s", err.data);
        plan_print(p, &out);
        if (*given[i].printed)
            cr_assert(strstr(out.data, given[i].printed) != NULL, "%s", out.data);
        else
            cr_assert(strstr(out.data, "compile_budget") == NULL, "%s", out.data);
        buf_free(&out);
        buf_free(&err);
        arena_free(a);
    }
}

Test(plan_text, functions_and_engines_are_written_where_there_are_several)
{
    static const struct {
        const char *lines, *printed;
        int64_t     functions, bytes, dies;
    } given[] = {{"", "", 1, PLAN_BANK_BYTES, 1},
                 {"functions 1 bytes 9\ndies 1\n", "", 1, 9, 1},
                 {"dies 2\n", "\ndies 2\n", 1, PLAN_BANK_BYTES, 2},
                 {"functions 256 bytes 1000\ndies 4\n", "\nfunctions 256 bytes 1000\ndies 4\n", 256, 1000, 4}};
    for (size_t i = 0; i < COUNT(given); i++) {
        Arena *a = arena_new();
        Buf    err = {0}, out = {0};
        Plan  *p = parse(a, arena_printf(a, "anep 1.0\n%sparam w {\n  shape 2x3\n  init ones\n}\n", given[i].lines), &err);
        cr_assert(p != NULL, "%s", err.data);
        cr_assert(p->functions == given[i].functions && p->bank_bytes == given[i].bytes && p->dies == given[i].dies);
        plan_print(p, &out);
        cr_assert(strstr(out.data, given[i].printed) != NULL, "%s", out.data);
        if (!*given[i].printed)
            cr_assert(strstr(out.data, "functions") == NULL && strstr(out.data, "dies") == NULL, "%s", out.data);
        buf_free(&out);
        buf_free(&err);
        arena_free(a);
    }
}

/* A line of the sample is replaced; the message must hold `message` and the line's number. */
static const struct {
    const char *old, *new, *message;
} wrong[] = {
    {"anep 1.0", "anep 2.0", "plan.anep:1: plan of version 2.0, this program reads 1.x"},
    {"anep 1.0", "anex", "plan.anep:1: not a plan: the first line must be 'anep 1.0'"},
    {"model Tiny", "modle Tiny", "plan.anep:3: unknown key 'modle' in a plan; did you mean 'model'?"},
    {"target m4", "model Tiny", "plan.anep:4: 'model' is given twice"},
    {"  decay yes", "  decay maybe", "plan.anep:14: expected yes or no, found 'maybe'"},
    {"  decay yes", "  deccay yes", "plan.anep:14: unknown key 'deccay' in a parameter; did you mean 'decay'?"},
    {"  shape 50x8", "  shape 50x0", "plan.anep:12: extent 0 of a shape is not between 1 and"},
    {"  shape 50x8", "  shape 1x1x1x1x1x1x1", "plan.anep:12: shape of rank over 6"},
    {"  shape 50x8", "  init ones", "plan.anep:13: 'init' is given twice"},
    {"  init normal 0.02", "  init normal", "expected a number, found the end of the line"},
    {"  init normal 0.02", "  init gaussian", "expected zeros, ones, value, normal or uniform, found 'gaussian'"},
    {"param layers.{2..4}.w {", "param layers.{2-4}.w {", "a group of leaves is written with {FIRST..LAST}"},
    {"param layers.{2..4}.w {", "param \"layers.{2-4}.w\" {", "a group of leaves is written with {FIRST..LAST}"},
    {"param layers.{2..4}.w {", "param layers.{4..2}.w {", "a group of leaves is written with {FIRST..LAST}"},
    {"table 1123456789abcdef0123456789abcdef f32 8x6 mask", "table 11 f64 8x6 mask", "expected f32, f16 or i32, found"},
    {"weights dynamic", "weights dynamical", "expected baked, dynamic, reload or mixed, found 'dynamical'"},
    {"weights dynamic", "compile_budget many", "expected an integer, found 'many'"},
    {"weights dynamic", "compile_budget 1000001", "1000001"},
    {"weights dynamic", "functions 257 bytes 9", "is not between 1 and 256"},
    {"weights dynamic", "functions 2", "expected 'bytes'"},
    {"weights dynamic", "functions 2 bytes 0", "is not between 1 and"},
    {"weights dynamic", "dies 5", "'5' is not between 1 and 4"},
    {"stage held 2 {", "stage hold 2 {", "no buffer or surface 'hold' before this line; did you mean 'held'?"},
    {"stage held 2 {", "stage held {", "expected an integer, found '{'"},
    {"  weight 10 3x16", "  wieght 10 3x16", "unknown key 'wieght' in a stage; did you mean 'weight'?"},
    {"buffer xt f32 6x8", "buffer x f32 6x8", "buffer 'x' has no name of its own"},
    {"    part r channels 9 1 shape 1x6", "    part r channel 9 1 shape 1x6",
     "expected 'channels', found 'channel 9 1"},
    {"  weight weights/wt.bin 6x8x1x1 = T(layers.{L}.w)", "  weight weights/wt.bin 6x8x1x1 = U(layers.{L}.w)",
     "unknown recipe function 'U'; there are T, shape, permute"},
    {"  weight weights/wt.bin 6x8x1x1 = T(layers.{L}.w)", "  weight weights/wt.bin 6x8x1x1 = T(layers.{L}.w",
     "expected ')', found the end of the line"},
    {"  weight weights/mask.bin 1x1x8x6 = table 0123456789abcdef0123456789abcdef",
     "  weight weights/mask.bin 1x1x8x6 = table mask", "'mask' names several tables; use the hash"},
    {"    gather xt:6x8 <- param embed:50x8, tokens:6", "    gater xt:6x8 <- param embed:50x8, tokens:6",
     "unknown operation 'gater'; did you mean 'gather'?"},
    {"    gather xt:6x8 <- param embed:50x8, tokens:6", "    gather xt:6x8 <- param embed:50x8, token:6",
     "no buffer or surface 'token' before this line; did you mean 'tokens'?"},
    {"    gather xt:6x8 <- param embed:50x8, tokens:6", "    gather xt <- param embed:50x8, tokens:6",
     "expected ':', found '<- param embed:50x8, tok"},
    {"      run layer_fwd fwd_out[L]:1x10x1x6 <- fwd_in:1x8x1x6", "      run layer_bwd x:8x6 <- x:8x6",
     "no program 'layer_bwd' before this line"},
    {"      move fwd_in:8x6 <- x:8x6", "      loop L 0 3 {", "loops do not nest"},
    {"    cmp bits:8x6 <- x:8x6, 0.0:8x6 lt", "    cmp bits:8x6 <- x:8x6, 0.0:8x6 less",
     "expected eq, ne, lt, gt, le or ge"},
    {"    transpose x:8x6 <- xt:6x8 perm 1 0", "    transpose x:8x6 <- xt:6x8 perm 1",
     "expected an integer, found the end"},
    {"  backward {", "  backwards {", "unknown key 'backwards' in an entry; did you mean 'backward'?"},
    {"  optimizer adamw", "  optimizer adamw 3", "expected the end of the line, found '3'"},
    {"<- fwd_out@16:8x6", "<- keep@16:8x6", "'keep' is no surface of shape 1xCx1xS and has no channels"},
    {"config dim 8", "config dim \"8", "string without closing quote"},
    {"config dim 8", "config dim \"\\q\"", "unknown escape in a string"},
};

Test(plan_text, mistakes_are_told_with_line_and_remedy)
{
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Arena      *a = arena_new();
        Buf         err = {0}, text = {0}, line = {0};
        const char *at = strstr(sample_plan, wrong[i].old);
        cr_assert(at != NULL, "%s", wrong[i].old);
        buf_add(&text, sample_plan, (size_t)(at - sample_plan));
        buf_puts(&text, wrong[i].new);
        buf_puts(&text, at + strlen(wrong[i].old));
        cr_expect(parse(a, text.data, &err) == NULL, "%s", wrong[i].new);
        cr_expect(err.data && strstr(err.data, wrong[i].message) != NULL, "%s: %s", wrong[i].new, err.data);
        buf_free(&line);
        buf_free(&text);
        buf_free(&err);
        arena_free(a);
    }
}

Test(plan_text, a_file_cut_short_is_refused)
{
    Arena *a = arena_new();
    size_t len = strlen(sample_plan);
    for (size_t n = 0; n < len; n++) {
        Buf   err = {0};
        char *copy = malloc(n + 1); /* exact size: reading past the end shows under ASan */
        memcpy(copy, sample_plan, n);
        Plan *p = plan_parse(a, "plan.anep", copy, n, &err);
        cr_assert(p != NULL || (err.len > 0 && err.data[err.len - 1] != '\n'));
        free(copy);
        buf_free(&err);
        if (n % 64 == 0)
            arena_reset(a);
    }
    arena_free(a);
}

/* Random damage: bytes changed, removed, repeated, lines swapped. What still parses prints and parses again. */
Test(plan_text, any_bytes_are_survived)
{
    static const char alphabet[] = "{}[]():<-\"\\#+.x0123456789abLT \n\t\r";
    uint64_t          key = rng_key(1, "plan"), at = 0;
    size_t            len = strlen(sample_plan);
    Arena            *a = arena_new();
    int               survivors = 0;
    for (int round = 0; round < 20000; round++) {
        char  *text = malloc(2 * len + 1);
        size_t n = len;
        memcpy(text, sample_plan, len);
        int edits = 1 + (int)(rng_u64(key, at++) % 3);
        for (int e = 0; e < edits; e++) {
            size_t i = rng_u64(key, at++) % n, j = rng_u64(key, at++) % n, m = 1 + rng_u64(key, at++) % 12;
            m = m < n - i ? m : n - i;
            m = m < n - j ? m : n - j;
            switch (rng_u64(key, at++) % 5) {
            case 0: text[i] = alphabet[rng_u64(key, at++) % (sizeof alphabet - 1)]; break;
            case 1: text[i] = (char)rng_u64(key, at++); break;
            case 2: memmove(text + i, text + i + m, n - i - m), n -= m; break;
            case 3: memmove(text + i, text + j, m); break;
            default:
                if (n + m < 2 * len) {
                    memmove(text + i + m, text + i, n - i);
                    n += m;
                }
            }
        }
        char *exact = malloc(n);
        memcpy(exact, text, n);
        Buf   err = {0}, once = {0}, twice = {0};
        Plan *p = plan_parse(a, "plan.anep", exact, n, &err);
        cr_assert((p != NULL) == (err.len == 0));
        if (p) {
            survivors++;
            plan_print(p, &once);
            p = plan_parse(a, "plan.anep", once.data, once.len, &err);
            cr_assert(p != NULL, "%s\n%s", err.data, once.data);
            plan_print(p, &twice);
            cr_assert_str_eq(once.data, twice.data);
        }
        buf_free(&err);
        buf_free(&once);
        buf_free(&twice);
        free(text);
        free(exact);
        arena_reset(a);
    }
    cr_assert_gt(survivors, 100);
    arena_free(a);
}

/* test_refusal.c: the smallest refused part of a program is found, whatever it is that is refused, with few compilations,
 * and every part that is tried is a program. */
#include "refuser.h"
#include "plan/blob.h"
#include "refusal_search.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
#define MAIN "    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x, tensor<fp16, [1, 64, 1, 32]> i01_y) {\n"
#define T    "tensor<fp16, [1, 64, 1, 32]> "
#define STEP(name, op, args) "        " T name " = " op "(" args ")[name = string(\"" name "\")];\n"

typedef struct {
    Arena        *a;
    Cut          *cut;
    RefusalFound  found;
    RefuserCounts counts;
    CutText       smallest, prefix;
} Case;

static void part(const Case *c, uint32_t steps, CutText *out)
{
    bool *keep = NEW_N(c->a, bool, cut_steps(c->cut) + 1);
    for (uint32_t i = 0; i < steps; i++)
        keep[i] = true;
    cr_assert(cut_text(c->cut, keep, out));
}

/* What is found has to be what was refused, in few compilations, all of them of right programs. */
static Case search_with(const char *mil, Refuses *refuses, const DeviceFile *file, size_t files, uint64_t limit)
{
    Case    c = {.a = arena_new()};
    Device *d = refuser_new(refuses, &c.counts, limit);
    c.cut = cut_open(c.a, "p.mil", mil, strlen(mil));
    cr_assert(c.cut != NULL);
    c.found = refusal_search(c.a, d, c.cut, "p.mil", file, files, REFUSAL_COMPILES);
    cr_expect_eq(c.counts.invalid, 0u, "a part is no program: %s", c.counts.why.data ? c.counts.why.data : "");
    cr_expect_leq(c.counts.compiles, (uint32_t)REFUSAL_COMPILES);
    cr_expect_eq(c.counts.compiles, c.found.compiles);
    if (c.found.refused && c.found.said) {
        cr_assert(cut_text(c.cut, c.found.keep, &c.smallest));
        cr_expect(refuses(c.smallest.text.data), "the smallest is not refused:\n%s", c.smallest.text.data);
        part(&c, c.found.prefix, &c.prefix);
        cr_expect(refuses(c.prefix.text.data));
        if (c.found.accepted) {
            CutText below = {0};
            part(&c, c.found.accepted, &below);
            cr_expect_not(refuses(below.text.data));
            buf_free(&below.text);
        }
    }
    device_close(d);
    return c;
}

static Case search(const char *mil, Refuses *refuses)
{
    return search_with(mil, refuses, NULL, 0, 0);
}

static void finish(Case *c)
{
    buf_free(&c->smallest.text);
    buf_free(&c->prefix.text);
    buf_free(&c->counts.why);
    arena_free(c->a);
}

/* A chain of `n` steps: relu, but for the operations given at some places. */
static char *chain(Arena *a, int n, int at, const char *op, int other, const char *other_op)
{
    Buf b = {0};
    buf_puts(&b, HEAD MAIN);
    for (int i = 0; i < n; i++) {
        const char *name = i == at ? op : i == other ? other_op : "relu";
        const char *from = i ? arena_printf(a, "v%02d", i - 1) : "i00_x";
        buf_printf(&b, "        " T "v%02d = %s(x = %s)[name = string(\"v%02d\")];\n", i, name, from, i);
    }
    buf_printf(&b, "    } -> (v%02d);\n}\n", n - 1);
    char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

static bool refuse_tanh(const char *text)
{
    return times(text, "= tanh(") > 0;
}

Test(refusal, finds_the_statement_wherever_it_is)
{
    Arena *a = arena_new();
    for (int n = 1; n <= 40; n += n < 8 ? 1 : 8)
        for (int at = 0; at < n; at += n < 8 ? 1 : n - 1 < 12 ? n - 1 : 12) {
            char *mil = chain(a, n, at, "tanh", -1, NULL);
            Case  c = search(mil, refuse_tanh);
            cr_assert(c.found.refused);
            cr_expect_eq(c.found.prefix, (uint32_t)at + 1);
            cr_expect_eq(c.found.accepted, (uint32_t)at);
            cr_expect_eq(c.smallest.steps, 1u, "of %d, at %d:\n%s", n, at, c.smallest.text.data);
            cr_expect_eq(c.smallest.last, (uint32_t)at);
            cr_expect_str_eq(cut_step(c.cut, c.smallest.last)->op, "tanh");
            cr_expect_eq(cut_step(c.cut, c.smallest.last)->line, (uint32_t)at + 5);
            finish(&c);
        }
    arena_free(a);
}

Test(refusal, large_programs_take_few_compilations)
{
    Arena *a = arena_new();
    char  *mil = chain(a, 900, 613, "tanh", -1, NULL);
    Case   c = search(mil, refuse_tanh);
    cr_expect_eq(c.found.prefix, 614u);
    cr_expect_eq(c.smallest.steps, 1u);
    cr_expect_not(c.found.sure, "there was no budget to try 600 more");
    finish(&c);
    arena_free(a);
}

Test(refusal, a_text_that_is_taken_the_second_time_was_refused_in_passing)
{
    Arena *a = arena_new();
    Case   c = search(chain(a, 5, -1, NULL, -1, NULL), refuse_tanh);
    cr_expect_not(c.found.refused);
    cr_expect_eq(c.found.compiles, 1u);
    finish(&c);
    arena_free(a);
}

/* ---- two statements together ---- */

static bool refuse_both(const char *text)
{
    return times(text, "= tanh(") && times(text, "= sigmoid(");
}

Test(refusal, two_statements_in_a_chain)
{
    Arena *a = arena_new();
    Case   c = search(chain(a, 30, 11, "sigmoid", 19, "tanh"), refuse_both);
    cr_expect_eq(c.found.prefix, 20u);
    cr_expect_eq(c.smallest.steps, 9u, "from the one to the other:\n%s", c.smallest.text.data);
    cr_expect_eq(c.smallest.last, 19u);
    cr_expect(strstr(c.smallest.text.data, "fp16, [1, 64, 1, 32]> v10") != NULL, "what came before is an input");
    finish(&c);
    arena_free(a);
}

static const char branches[] = HEAD MAIN
    STEP("a", "relu", "x = i00_x") STEP("b", "relu", "x = i01_y") STEP("c", "sigmoid", "x = a") STEP("d", "relu", "x = b")
    STEP("e", "relu", "x = c") STEP("f", "tanh", "x = d") STEP("g", "add", "x = e, y = f") STEP("h", "relu", "x = g")
    "    } -> (h);\n}\n";

Test(refusal, two_statements_of_which_neither_needs_the_other)
{
    Case c = search(branches, refuse_both);
    cr_expect_eq(c.found.prefix, 6u);
    cr_expect_leq(c.smallest.steps, 4u, "%s", c.smallest.text.data); /* c, d, f: what lies between goes with them */
    cr_expect_eq(times(c.smallest.text.data, "= sigmoid("), 1u);
    cr_expect_eq(times(c.smallest.text.data, "= relu(x = i00_x)"), 0u);
    cr_expect(strstr(c.smallest.text.data, "} -> (") != NULL);
    finish(&c);
}

static bool refuse_three_relus(const char *text)
{
    return times(text, "= relu(") >= 3;
}

Test(refusal, too_many_of_something)
{
    Case c = search(branches, refuse_three_relus);
    cr_expect_eq(c.found.prefix, 4u);
    cr_expect_eq(c.found.accepted, 3u);
    finish(&c);
}

/* ---- refusals that are not monotone ---- */

/* One or two tanh are refused, three are taken; a sigmoid is refused. */
static bool refuse_not_monotone(const char *text)
{
    uint32_t n = times(text, "= tanh(");
    return n == 1 || n == 2 || times(text, "= sigmoid(");
}

Test(refusal, a_shorter_refused_beginning_is_found_although_longer_ones_are_taken)
{
    static const char mil[] = HEAD MAIN
        STEP("a", "relu", "x = i00_x") STEP("b", "tanh", "x = a") STEP("c", "tanh", "x = b") STEP("d", "tanh", "x = c")
        STEP("e", "relu", "x = d") STEP("f", "relu", "x = e") STEP("g", "relu", "x = f") STEP("h", "sigmoid", "x = g")
        STEP("i", "relu", "x = h") STEP("j", "relu", "x = i") "    } -> (j);\n}\n";
    Case c = search(mil, refuse_not_monotone);
    cr_expect_eq(c.found.prefix, 2u);
    cr_expect_eq(c.found.accepted, 1u);
    cr_expect_eq(c.found.later, 8u);
    cr_expect(c.found.sure);
    cr_expect_eq(c.smallest.steps, 1u);
    finish(&c);
}

/* ---- texts ---- */

static bool refuse_anything(const char *text)
{
    return *text != 0;
}

Test(refusal, several_outputs_and_kinds_of_values)
{
    /* bool and int32 values cannot be returned, rank 3 is after a reshape, a split has two results */
    static const char mil[] = HEAD MAIN
        "        fp16 half = const()[name = string(\"half\"), val = fp16(0x1p-1)];\n"
        "        int32 axis = const()[name = string(\"axis\"), val = int32(1)];\n"
        STEP("a", "mul", "x = i00_x, y = half")
        "        tensor<bool, [1, 64, 1, 32]> big = greater(x = a, y = half)[name = string(\"big\")];\n"
        STEP("b", "select", "a = a, b = i01_y, cond = big")
        "        tensor<fp16, [1, 32, 1, 32]> s0, tensor<fp16, [1, 32, 1, 32]> s1 = split(axis = axis, num_splits = int32(2), x = b)[name = string(\"s\")];\n"
        "        tensor<fp16, [64, 32]> r = reshape(shape = tensor<int32, [2]>([64, 32]), x = b)[name = string(\"r\")];\n"
        "        tensor<fp16, [64, 32]> t = tanh(x = r)[name = string(\"t\")];\n"
        "        tensor<fp16, [1, 64, 1, 32]> o01_u = reshape(shape = tensor<int32, [4]>([1, 64, 1, 32]), x = t)[name = string(\"o01_u\")];\n"
        "        tensor<fp16, [1, 32, 1, 32]> o00_v = add(x = s0, y = s1)[name = string(\"o00_v\")];\n"
        "    } -> (o00_v, o01_u);\n}\n";
    for (uint32_t n = 1; n <= 8; n++) { /* every prefix is a program */
        Arena  *a = arena_new();
        Case    c = {.a = a, .cut = cut_open(a, "p.mil", mil, sizeof mil - 1)};
        Device *d = refuser_new(refuse_tanh, &c.counts, 0);
        Buf     err = {0};
        cr_assert_eq(cut_steps(c.cut), 8u);
        part(&c, n, &c.prefix);
        Program *p = program_compile(d, "p.mil", c.prefix.text.data, c.prefix.text.len, NULL, 0, &err);
        cr_expect_eq(c.counts.invalid, 0u, "%s", err.data);
        cr_expect_eq(c.prefix.added, n == 5 || n == 6 ? 1u : 0u, "%s", c.prefix.text.data);
        if (n == 2)
            cr_expect_eq(c.prefix.steps, 1u, "a comparison without a reader is dropped:\n%s", c.prefix.text.data);
        program_free(p);
        device_close(d);
        buf_free(&err);
        finish(&c);
    }
    Case c = search(mil, refuse_tanh);
    cr_expect_eq(c.found.prefix, 6u);
    cr_expect_eq(c.smallest.steps, 2u, "rank 2 cannot be an input:\n%s", c.smallest.text.data);
    finish(&c);
    c = search(mil, refuse_anything);
    cr_expect_eq(c.found.prefix, 1u);
    cr_expect_eq(c.found.accepted, 0u);
    finish(&c);
}

Test(refusal, only_the_weight_files_that_are_named_go_along)
{
#define WEIGHT(name) "        tensor<fp16, [64, 64, 1, 1]> " name " = const()[name = string(\"" name "\"), val = tensor<fp16, [64, 64, 1, 1]>(" \
    "BLOBFILE(path = string(\"@model_path/weights/" name ".bin\"), offset = uint64(64)))];\n"
#define CONV(to, from, weight) STEP(to, "conv", "x = " from ", weight = " weight ", strides = tensor<int32, [2]>([1, 1]), " \
    "pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1)")
    static const char mil[] = HEAD MAIN WEIGHT("w1") WEIGHT("w2")
        CONV("a", "i00_x", "w1") STEP("b", "relu", "x = a") CONV("c", "b", "w2") STEP("o00_d", "tanh", "x = c")
        "    } -> (o00_d);\n}\n";
    Buf   blob = {0};
    char *zeros = calloc(64 * 64, 2);
    blob_begin(&blob);
    blob_add(&blob, BLOB_F16, zeros, 64 * 64 * 2);
    free(zeros);
    const DeviceFile file[] = {{"@model_path/weights/w1.bin", blob.data, blob.len, false},
                               {"@model_path/weights/w2.bin", blob.data, blob.len, false}};
    Case c = search_with(mil, refuse_both, file, 2, 0);
    cr_expect_not(c.found.refused);
    finish(&c);
    c = search_with(mil, refuse_tanh, file, 2, 0);
    cr_expect_eq(c.smallest.files, 0u);
    cr_expect_eq(c.prefix.files, 2u);
    finish(&c);
    c = search_with(mil, refuse_anything, file, 2, 0);
    cr_expect_eq(c.smallest.files, 1u);
    cr_expect_str_eq(c.smallest.file[0], "@model_path/weights/w1.bin");
    finish(&c);
    buf_free(&blob);
}

Test(refusal, functions_are_cut_like_statements)
{
    static const char mil[] = HEAD
        "    func f0<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n" STEP("a", "relu", "x = x") STEP("b", "relu", "x = a") "    } -> (b);\n"
        "    func f1<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n" STEP("a", "relu", "x = x") STEP("b", "tanh", "x = a") STEP("c", "relu", "x = b") "    } -> (c);\n"
        "    func f2<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n" STEP("a", "relu", "x = x") "    } -> (a);\n}\n";
    Case c = search(mil, refuse_tanh);
    cr_expect_eq(c.found.prefix, 4u);
    cr_expect_eq(c.smallest.steps, 1u);
    cr_expect_str_eq(cut_step(c.cut, c.smallest.last)->function, "f1");
    cr_expect_eq(times(c.smallest.text.data, "func "), 1u, "%s", c.smallest.text.data);
    finish(&c);
}

/* ---- budgets ---- */

Test(refusal, the_device_s_budget_is_kept)
{
    Arena *a = arena_new();
    for (uint64_t limit = 1; limit < 12; limit++) {
        Case c = search_with(chain(a, 64, 40, "tanh", -1, NULL), refuse_tanh, NULL, 0, limit);
        cr_expect_leq(c.counts.compiles, limit);
        cr_expect(c.found.refused);
        cr_expect_geq(c.found.prefix, 41u);
        finish(&c);
    }
    arena_free(a);
}

Test(refusal, what_is_no_mil_is_not_taken_apart)
{
    Arena *a = arena_new();
    cr_expect(cut_open(a, "p.mil", "func main", 9) == NULL);
    cr_expect(cut_open(a, "p.mil", "", 0) == NULL);
    arena_free(a);
}

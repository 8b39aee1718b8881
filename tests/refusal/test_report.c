/* test_report.c: what is saved and said about a refused program: complete, anonymous, never over an earlier report. */
#include "base/file.h"
#include "plan/blob.h"
#include "refusal.h"
#include "refuser.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char mil[] = "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
    "    func main<ios18>(tensor<fp16, [1, 64, 1, 512]> i00_x) {\n"
    "        tensor<fp16, [1, 64, 1, 512]> a = square(x = i00_x)[name = string(\"a\")];\n"
    "        tensor<fp16, [1, 64, 1, 512]> b = relu(x = a)[name = string(\"b\")];\n"
    "        tensor<fp16, [1, 64, 1, 512]> o00_c = tanh(x = b)[name = string(\"o00_c\")];\n"
    "    } -> (o00_c);\n}\n";

/* A pair that a rule warns of (ANE027), and operations that none does. */
static bool refuses(const char *text)
{
    return (times(text, "= square(") && times(text, "= relu(")) || times(text, "= conv(");
}

static Arena *a;
static char  *place;

static void setup(void)
{
    char template[] = "/tmp/anel-refusal-XXXXXX";
    a = arena_new();
    place = arena_strdup(a, mkdtemp(template));
}

static void teardown(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(place, why);
    arena_free(a);
}

TestSuite(refusal_report, .init = setup, .fini = teardown);

/* The message of a refused compilation. */
static char *refused(const char *name, const char *text, const char *plan_dir, RefuserCounts *counts)
{
    const RefusalOptions o = {.place = place, .device = "ane", .version = "anel 9", .plan_dir = plan_dir, .plan_hash = plan_dir ? "abc" : NULL};
    Buf     err = {0};
    Device *d = refuser_new(refuses, counts, 0);
    refusal_watch(d, &o);
    cr_assert(program_compile(d, name, text, strlen(text), NULL, 0, &err) == NULL);
    cr_assert_eq(device_refusal(d), REFUSED_ENGINE);
    device_close(d);
    char *said = arena_strdup(a, err.data);
    buf_free(&err);
    return said;
}

static char *saved(const char *dir, const char *name)
{
    char   why[FILE_ERR_MAX] = "", *text = NULL;
    size_t len;
    cr_assert(file_read(a, path_join(a, path_join(a, place, dir), name), &text, &len, why), "%s", why);
    return text;
}

Test(refusal_report, names_the_statement_the_rule_and_the_directory)
{
    RefuserCounts counts = {0};
    char         *said = refused("runs/act_fwd.mil (L = 3)", mil, NULL, &counts);
    cr_expect(strstr(said, "act_fwd.mil:6: the engine refuses this statement: b = relu(x = a)\n") != NULL, "%s", said);
    cr_expect(strstr(said, "ANE027") != NULL, "%s", said);
    cr_expect(strstr(said, "it is refused together with 1 of the other 2 statements") != NULL, "%s", said);
    cr_expect(strstr(said, arena_printf(a, "'%s/refused-act_fwd'", place)) != NULL, "%s", said);
    cr_expect_str_eq(saved("refused-act_fwd", "program.mil"), mil);
    cr_expect_eq(times(saved("refused-act_fwd", "smallest.mil"), "= relu("), 1u);
    cr_expect_eq(times(saved("refused-act_fwd", "prefix.mil"), "= tanh("), 0u);
    cr_expect_eq(times(saved("refused-act_fwd", "accepted.mil"), "= relu("), 0u);
    char *text = saved("refused-act_fwd", "report.txt");
    cr_expect(strstr(text, "ANE027") && strstr(text, "code 7") && strstr(text, "anel 9"), "%s", text);
    cr_expect(!strstr(text, "ann") && !strstr(text, place), "somebody's name is in the report: %s", text);
    cr_expect(strstr(text, "FAILED in ~/x") != NULL, "%s", text);
}

Test(refusal_report, is_json_too)
{
    RefuserCounts counts = {0};
    refused("act_fwd.mil", mil, NULL, &counts);
    json_error_t e;
    const char  *domain, *op, *rule, *version;
    int          code, line, steps, compiles, small;
    char        *text = saved("refused-act_fwd", "report.json");
    json_t      *j = json_loads(text, 0, &e);
    cr_assert(j != NULL, "%s\n%s", e.text, text);
    cr_assert_eq(json_unpack_ex(j, &e, 0, "{s:{s:s, s:i}, s:{s:s, s:i}, s:[{s:s}], s:s, s:{s:i, s:i, s:i}}", "engine", "domain", &domain,
                                "code", &code, "statement", "op", &op, "line", &line, "rules", "rule", &rule, "anel", &version,
                                "search", "steps", &steps, "smallest", &small, "compilations", &compiles), 0, "%s\n%s", e.text, text);
    cr_expect_str_eq(domain, "com.apple.appleneuralengine.compiler");
    cr_expect_eq(code, 7);
    cr_expect_str_eq(op, "relu");
    cr_expect_eq(line, 6);
    cr_expect_str_eq(rule, "ANE027");
    cr_expect_str_eq(version, "anel 9");
    cr_expect_eq(steps, 3);
    cr_expect_eq(small, 2);
    cr_expect_eq((uint32_t)compiles + 1, counts.compiles);
    json_decref(j);
}

Test(refusal_report, earlier_reports_stay)
{
    RefuserCounts counts = {0};
    refused("act_fwd.mil", mil, NULL, &counts);
    char  why[FILE_ERR_MAX];
    cr_assert(file_write(path_join(a, place, "refused-act_fwd/report.txt"), "mine", 4, why));
    char *said = refused("act_fwd.mil", mil, NULL, &counts);
    cr_expect(strstr(said, "refused-act_fwd-2'") != NULL, "%s", said);
    cr_expect_str_eq(saved("refused-act_fwd", "report.txt"), "mine");
    cr_expect(strstr(saved("refused-act_fwd-2", "report.txt"), "anel refusal report") != NULL);
}

Test(refusal_report, tells_the_place_in_the_model)
{
    static const char map[] = "5 m.anel:3:5 fwd relu m.anel:3:5\n6 std/nn.anel:50:7 fwd relu m.anel:4:9\n7 - - - -\n";
    char              why[FILE_ERR_MAX];
    RefuserCounts     counts = {0};
    const char       *plan = path_join(a, place, "x.plan");
    cr_assert(dir_make(path_join(a, plan, "map"), why));
    cr_assert(file_write(path_join(a, plan, "map/act_fwd.map"), map, sizeof map - 1, why));
    char *said = refused("act_fwd.mil (L = 0)", mil, plan, &counts);
    cr_expect(strstr(said, "it stems from m.anel:4:9 (std/nn.anel:50:7)") != NULL, "%s", said);
    cr_expect(strstr(saved("refused-act_fwd", "report.txt"), "m.anel:4:9") != NULL);
    cr_expect(strstr(saved("refused-act_fwd", "report.json"), "\"plan\": \"abc\"") != NULL);
}

Test(refusal_report, a_place_that_cannot_be_written_is_told)
{
    RefuserCounts counts = {0};
    char          why[FILE_ERR_MAX];
    const char   *file = path_join(a, place, "file");
    cr_assert(file_write(file, "", 0, why));
    place = path_join(a, file, "below");
    char *said = refused("act_fwd.mil", mil, NULL, &counts);
    cr_expect(strstr(said, "the engine refuses this statement: b = relu") != NULL, "%s", said);
    cr_expect(strstr(said, "no report could be saved: ") != NULL, "%s", said);
}

Test(refusal_report, large_weights_are_saved_when_asked_for)
{
    enum { N = 1024 };
    static const char wide[] = "program(1.3)\n[buildInfo = dict<string, string>({{\"a\", \"b\"}})]\n{\n"
        "    func main<ios18>(tensor<fp16, [1, 1024, 1, 32]> i00_x) {\n"
        "        tensor<fp16, [1024, 1024, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [1024, 1024, 1, 1]>("
        "BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
        "        tensor<fp16, [1, 1024, 1, 32]> b = conv(x = i00_x, weight = w, strides = tensor<int32, [2]>([1, 1]), pad_type = string(\"valid\"), "
        "pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1))[name = string(\"b\")];\n"
        "        tensor<fp16, [1, 1024, 1, 32]> o00_c = relu(x = b)[name = string(\"o00_c\")];\n"
        "    } -> (o00_c);\n}\n";
    Buf   blob = {0};
    void *zeros = calloc(N * N, 2);
    blob_begin(&blob);
    blob_add(&blob, BLOB_F16, zeros, N * N * 2);
    free(zeros);
    const DeviceFile file = {"@model_path/weights/w.bin", blob.data, blob.len, false};
    for (int weights = 0; weights < 2; weights++) {
        RefuserCounts  counts = {0};
        Buf            err = {0};
        RefusalOptions o = {.place = place, .device = "ane", .version = "9", .weights = weights, .compiles = 4};
        Device        *d = refuser_new(refuses, &counts, 0);
        refusal_watch(d, &o);
        cr_assert(program_compile(d, "w.mil", wide, sizeof wide - 1, &file, 1, &err) == NULL);
        device_close(d);
        cr_expect(strstr(err.data, "no rule of docs/rules.md forbids it") != NULL, "%s", err.data);
        buf_free(&err);
        const char *dir = weights ? "refused-w-2" : "refused-w", *text = saved(dir, "report.txt");
        cr_expect(strstr(text, weights ? "(saved beside this file)" : "--refused-weights saves them") != NULL, "%s", text);
        cr_expect_eq(path_exists(path_join(a, path_join(a, place, dir), "weights/w.bin")), weights != 0);
    }
    buf_free(&blob);
}

Test(refusal_report, names_and_temporary_directories_are_taken_out)
{
    setenv("HOME", "/srv/people/ann/", 1);
    setenv("TMPDIR", "/srv/tmp", 1);
    static const char *const text[][2] = {
        {"in '/srv/people/ann/x.mil'", "in '~/x.mil'"},
        {"/srv/people/anna/x", "/srv/people/anna/x"},
        {"at /Users/bob/Library/x and /home/bob", "at ~/Library/x and ~"},
        {"/private/var/folders/ab/cdef/T/model", "TMPDIR/model"},
        {"/var/folders/ab/cdef/T", "TMPDIR"},
        {"/srv/tmp/a_b/model.mil", "TMPDIR/a_b/model.mil"},
        {"plain / text", "plain / text"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT(text); i++)
        cr_expect_str_eq(refusal_scrub(a, text[i][0]), text[i][1]);
}

/* refusals.c FAKE: what the engine's driver makes of everything that fails: what it says, as what it counts, and that
 * nothing is left behind. At the end every node of what a model tells of itself is damaged in every way: the driver has
 * to refuse, or to give the right numbers all the same. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiling ---- */

static void refused_by_the_engine(void)
{
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    rig_refuses(d, weighted_mil, REFUSED_ENGINE, "_ANECompiler : ANECCompile() FAILED (com.apple.appleneuralengine, code 1)");
    rig_refuses(d, weighted_mil, REFUSED_ENGINE, "under it: the compiler's own reason (com.apple.appleneuralengine, code 17)");
    rig_refuses(d, weighted_mil, REFUSED_ENGINE, "ANE038 in docs/rules.md");
    rig_once(d, two_mil);
    device_close(d);
}

/* Not even the smallest program is compiled: the text is not to blame, and neither is a table without entries. */
static void compiler_is_out(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_ENGINE, "the system's compiler does not work");
    device_close(d);
}

static void table_is_full(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil);
    rig_refuses(d, weighted_mil, REFUSED_LIMIT, "not even a program of one operation is compiled now");
    rig_refuses(d, weighted_mil, REFUSED_LIMIT, "no more programs");
    program_free(p);
    rig_once(d, weighted_mil);
    device_close(d);
}

static void same_text_again(void)
{
    Device    *d = rig_open(NULL);
    Program   *p = rig_compile(d, weighted_mil);
    Buf        err = {0};
    DeviceFile file = rig_weights(2);
    CHECK(!program_compile(d, "test.mil", weighted_mil, strlen(weighted_mil), &file, 1, &err), "");
    CHECK(strstr(err.data, "the same text was compiled before") && device_refusal(d) == REFUSED_LIMIT, err.data);
    buf_free(&err);
    program_free(p);
    device_close(d);
}

static void used_up(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil), *q = rig_compile(d, bank_mil);
    program_free(p);
    rig_refuses(d, weighted_mil, REFUSED_LIMIT, "--compile-budget");
    program_free(q);
    device_close(d);
}

static void no_descriptor(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_ENGINE, "the framework made no descriptor of the text");
    device_close(d);
}

static void no_model(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_ENGINE, "the framework made no model of the text");
    device_close(d);
}

static void bad_name(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_LOAD, "no usable name");
    device_close(d);
}

static void bad_path(void)
{
    Device    *d = rig_open(NULL);
    Buf        err = {0};
    DeviceFile file = rig_weights(1);
    file.path = "@model_path/\xff.bin";
    CHECK(!program_compile(d, "test.mil", two_mil, strlen(two_mil), &file, 1, &err), "");
    CHECK(strstr(err.data, "no UTF-8"), err.data);
    buf_free(&err);
    device_close(d);
}

/* ---- loading ---- */

static void load_once_more(void)
{
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    device_close(d);
    CHECK(rig_recorded("load refused") == 1 && rig_recorded("load ok") == 1, rig_record());
}

static void load_fails(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_LOAD, "Program load failure (0x20004)");
    rig_refuses(d, two_mil, REFUSED_LOAD, "ANE044, ANE056 in docs/rules.md");
    device_close(d);
}

static void unload_fails(void)
{
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    rig_refuses(d, weighted_mil, REFUSED_ENGINE,
                "before that: unloading a model failed: the engine does not let go (com.apple.appleneuralengine, code 9)");
    device_close(d);
}

/* ---- what models tell of themselves ---- */

static void not_dense(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_LOAD, "'i00_a': the compiled layout is not dense");
    device_close(d);
}

static void no_procedures(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_LOAD, "cannot be bound safely");
    device_close(d);
}

static void names_disagree(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, bank_mil, REFUSED_LOAD, "gives function 'first' another number than 0");
    device_close(d);
}

static void sets_disagree(void)
{
    Device *d = rig_open(NULL);
    rig_refuses(d, bank_mil, REFUSED_LOAD, "contradicts itself about the inputs of procedure 0");
    device_close(d);
}

/* ---- surfaces, requests, evaluation ---- */

static void surface_fails(const char *words)
{
    Device *d = rig_open(NULL);
    Buf     err = {0};
    CHECK(!surface_new(d, 100000, &err) && strstr(err.data, words), err.data);
    buf_clear(&err);
    Surface *s = surface_new(d, 100000, &err);
    CHECK(s != NULL, err.data);
    surface_free(s);
    buf_free(&err);
    device_close(d);
}

static void no_surface(void)
{
    surface_fails("makes no surface of 131072 bytes");
}

static void short_surface(void)
{
    surface_fails("a surface of 65536 bytes where 131072 were asked for");
}

static void no_request(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil);
    Bound    b;
    CHECK(!rig_bind(&b, d, p, 0) && strstr(b.err.data, "made no request"), b.err.data);
    rig_unbind(&b);
    program_free(p);
    device_close(d);
}

/* Evaluation 1 fails with the words; *b stays. */
static Device *evaluation_fails(Bound *b, const char *words, const char *rule)
{
    Device *d = rig_open(NULL);
    CHECK(rig_bind(b, d, rig_compile(d, two_mil), 0), b->err.data);
    CHECK(!rig_eval(b, 1), "it worked");
    CHECK(strstr(b->err.data, words) && strstr(b->err.data, rule) && strstr(b->err.data, "test.mil"), b->err.data);
    return d;
}

static void end(Device *d, Bound *b)
{
    Program *p = b->program;
    rig_unbind(b);
    program_free(p);
    device_close(d);
}

static void too_small(void)
{
    Bound   b;
    Device *d = evaluation_fails(&b, "status=0x1d", "ANE004, ANE014, ANE051");
    CHECK(!strstr(b.err.data, "ANE052"), b.err.data); /* which is what 0x2 means */
    end(d, &b);
}

static void other_procedure(void)
{
    Bound   b;
    Device *d = evaluation_fails(&b, "status=0x2", "ANE051, ANE052");
    end(d, &b);
}

/* One failure: garbage in the outputs; the next evaluation is right again. */
static void once(void)
{
    Bound   b;
    Device *d = evaluation_fails(&b, "status=0x1d", "docs/rules.md");
    CHECK(!rig_right(&b, two_mil, 1, 0), "a failed evaluation left the right numbers: the substitute is too kind");
    CHECK(rig_eval(&b, 2) && rig_right(&b, two_mil, 2, 0), b.err.data);
    end(d, &b);
}

/* ---- every node damaged ---- */

static const char *damaged_mil;
enum { REFUSED_STATUS = 10, RIGHT_STATUS, NO_NODE_STATUS }; /* how a case of these ends */

static void damaged(void)
{
    Device  *d = rig_open(NULL);
    Buf      err = {0};
    Program *p = program_compile(d, "test.mil", damaged_mil, strlen(damaged_mil), NULL, 0, &err);
    Bound    b;
    int      result = REFUSED_STATUS;
    if (p) {
        for (uint32_t f = 0; f < program_functions(p); f++) {
            CHECK(rig_bind(&b, d, p, f), b.err.data);
            CHECK(rig_eval(&b, 1) && rig_right(&b, damaged_mil, 1, 0), b.err.data);
            rig_unbind(&b);
        }
        result = rig_recorded("no such node") ? NO_NODE_STATUS : RIGHT_STATUS;
        program_free(p);
    } else
        CHECK(err.len && device_refusal(d) == REFUSED_LOAD, "refused without a reason");
    buf_free(&err);
    device_close(d);
    exit(result);
}

/* Ways of damage are 0 to 5 (mutate-how); `ways` of them for each node, others for the next one. */
static int damage_everything(const char *name, const char *mil, int ways)
{
    int count[] = {0, 0, 0}, wrong = 0;
    damaged_mil = mil;
    for (int node = 1; !count[2] && wrong < 20; node++)
        for (int i = 0; i < ways && !count[2]; i++) {
            char       words[64];
            const Case c = {"damage", words, damaged, 0};
            snprintf(words, sizeof words, "mutate=%d,mutate-how=%d", node, (node * ways + i) % 6);
            int result = rig_run_one(&c);
            if (result >= REFUSED_STATUS && result <= NO_NODE_STATUS)
                count[result - REFUSED_STATUS]++;
            else {
                wrong++;
                printf("FAIL %s with %s: neither refused nor right\n", name, words);
            }
        }
    printf("%s, damaged: %d times refused, %d times right, %d times neither\n", name, count[0], count[1], wrong);
    return wrong > 0 || count[0] < count[1];
}

static const Case cases[] = {
    {"a program the engine refuses", "compile-refuses=5", refused_by_the_engine, 0},
    {"a compiler that refuses everything", "compile-fails=999", compiler_is_out, 0},
    {"a table of programs that is full", "compile-limit=1", table_is_full, 0},
    {"the same text once more", "compile-limit=1", same_text_again, 0},
    {"compilations used up", "compile-total=2", used_up, 0},
    {"no descriptor", "nil-descriptor", no_descriptor, 0},
    {"no model", "nil-model", no_model, 0},
    {"a name that leads out of the directory", "bad-name", bad_name, 0},
    {"a path that is no text", NULL, bad_path, 0},
    {"a load that fails once", "load-fails=1", load_once_more, 0},
    {"a load that fails", "load-fails=99", load_fails, 0},
    {"an unload that fails", "unload-fails,compile-refuses=5", unload_fails, 0},
    {"padded rows", "padded-rows", not_dense, 0},
    {"no procedures", "no-procedures", no_procedures, 0},
    {"other numbers by name", "names-disagree", names_disagree, 0},
    {"other numbers in index sets", "sets-disagree", sets_disagree, 0},
    {"no surface", "nil-surface=1", no_surface, 0},
    {"a short surface", "short-surface=1", short_surface, 0},
    {"no request", "nil-request=1", no_request, 0},
    {"a surface that is too small", "small-surface=70000", too_small, 0},
    {"another procedure", "wrong-procedure", other_procedure, 0},
    {"an evaluation that fails once", "no-direct,eval-glitch=1", once, 0},
};

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int failed = rig_run(argv[1], cases, COUNT(cases));
    failed += damage_everything("a program of one function", two_mil, 6);
    failed += damage_everything("a program of three functions", bank_mil, 2);
    printf("%d failed\n", failed);
    return failed != 0;
}

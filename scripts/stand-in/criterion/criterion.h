/* criterion.h: stands in for Criterion where the real one cannot run, so that the same test suites can.
 *
 * Criterion starts its own executable once for each test, which fails where programs of another processor run in an
 * emulator that the system does not know of; and it is not at hand for every target. This header does what the suites of
 * anel use of it: each test runs in a process that is forked off, and the last line is counted by scripts/count-tests.py.
 * Assertions take real booleans, and numbers or pointers that == compares. */
#ifndef ANEL_STAND_IN_CRITERION_H
#define ANEL_STAND_IN_CRITERION_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STAND_IN_FAILED = 1, STAND_IN_SKIPPED = 77 };

typedef struct StandInTest {
    const char         *suite, *name;
    void              (*run)(void);
    void              (*init)(void);
    void              (*fini)(void);
    const char         *description;
    struct StandInTest *next;
} StandInTest;

/* One list for all files of a program. */
__attribute__((weak)) StandInTest *stand_in_tests, *stand_in_suites;
__attribute__((weak)) bool         stand_in_failed;

#define STAND_IN_REGISTER(list, tag, suite_name, test_name, function, ...)                                             \
    static StandInTest tag = {.suite = suite_name, .name = test_name, .run = function, __VA_ARGS__};                   \
    __attribute__((constructor)) static void tag##_register(void)                                                      \
    {                                                                                                                  \
        tag.next = list;                                                                                               \
        list = &tag;                                                                                                   \
    }

#define Test(...) STAND_IN_TEST(__VA_ARGS__, .next = NULL)
#define STAND_IN_TEST(s, n, ...)                                                                                       \
    static void s##_##n##_body(void);                                                                                  \
    STAND_IN_REGISTER(stand_in_tests, s##_##n##_test, #s, #n, s##_##n##_body, __VA_ARGS__)                             \
    static void s##_##n##_body(void)
#define TestSuite(...) STAND_IN_SUITE(__VA_ARGS__, .next = NULL)
#define STAND_IN_SUITE(s, ...)                                                                                         \
    STAND_IN_REGISTER(stand_in_suites, s##_suite, #s, NULL, NULL, __VA_ARGS__)                                         \
    extern StandInTest *stand_in_tests /* takes the semicolon after TestSuite() */

static inline void stand_in_check(const char *file, int line, const char *text, bool fatal, bool ok, const char *format,
                                  ...)
{
    if (ok)
        return;
    va_list args;
    va_start(args, format);
    printf("%s:%d: %s: ", file, line, text);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    stand_in_failed = true;
    if (fatal) {
        fflush(NULL);
        _exit(STAND_IN_FAILED);
    }
}

/* The last argument is one too many for the format, or the format itself. */
#define STAND_IN(fatal, text, ...) stand_in_check(__FILE__, __LINE__, text, fatal, __VA_ARGS__)
#define STAND_IN_IS(fatal, text, x, ...) STAND_IN(fatal, text, (x), __VA_ARGS__)
#define STAND_IN_NOT(fatal, text, x, ...) STAND_IN(fatal, text, !(x), __VA_ARGS__)
#define STAND_IN_OP(fatal, op, text, a, b, ...) STAND_IN(fatal, text, (a)op(b), __VA_ARGS__)
#define STAND_IN_STR(fatal, text, a, b, ...) STAND_IN(fatal, text, strcmp(a, b) == 0, __VA_ARGS__)
#define STAND_IN_DIFFER(fatal, text, a, b, ...) STAND_IN(fatal, text, strcmp(a, b) != 0, __VA_ARGS__)
#define STAND_IN_BYTES(fatal, text, a, b, bytes, ...) STAND_IN(fatal, text, memcmp(a, b, bytes) == 0, __VA_ARGS__)
#define STAND_IN_NEAR(fatal, text, a, b, e, ...) STAND_IN(fatal, text, fabs((double)(a) - (double)(b)) <= (double)(e), __VA_ARGS__)

#define cr_assert(...) STAND_IN_IS(true, #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect(...) STAND_IN_IS(false, #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_not(...) STAND_IN_NOT(true, "not " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_not(...) STAND_IN_NOT(false, "not " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_null(...) STAND_IN_NOT(true, "no " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_not_null(...) STAND_IN_IS(true, #__VA_ARGS__, NULL != __VA_ARGS__, "")
#define cr_assert_eq(...) STAND_IN_OP(true, ==, "== " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_eq(...) STAND_IN_OP(false, ==, "== " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_neq(...) STAND_IN_OP(true, !=, "!= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_neq(...) STAND_IN_OP(false, !=, "!= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_lt(...) STAND_IN_OP(true, <, "< " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_lt(...) STAND_IN_OP(false, <, "< " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_leq(...) STAND_IN_OP(true, <=, "<= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_leq(...) STAND_IN_OP(false, <=, "<= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_gt(...) STAND_IN_OP(true, >, "> " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_gt(...) STAND_IN_OP(false, >, "> " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_geq(...) STAND_IN_OP(true, >=, ">= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_geq(...) STAND_IN_OP(false, >=, ">= " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_str_eq(...) STAND_IN_STR(true, "same text: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_str_eq(...) STAND_IN_STR(false, "same text: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_str_neq(...) STAND_IN_DIFFER(true, "other text: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_str_neq(...) STAND_IN_DIFFER(false, "other text: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_arr_eq(...) STAND_IN_BYTES(true, "same bytes: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_arr_eq(...) STAND_IN_BYTES(false, "same bytes: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_null(...) STAND_IN_NOT(false, "no " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_assert_float_eq(...) STAND_IN_NEAR(true, "near: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_expect_float_eq(...) STAND_IN_NEAR(false, "near: " #__VA_ARGS__, __VA_ARGS__, "")
#define cr_skip_test(...) (fflush(NULL), _exit(STAND_IN_SKIPPED))
#define cr_fail(...) STAND_IN_IS(true, "failed", false, __VA_ARGS__, "")
#define cr_assert_fail(...) cr_fail(__VA_ARGS__)

/* Status of a test's process. */
static inline int stand_in_run(const StandInTest *t)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        const StandInTest *s = stand_in_suites;
        while (s && strcmp(s->suite, t->suite) != 0)
            s = s->next;
        if (s && s->init)
            s->init();
        if (t->init)
            t->init();
        t->run();
        if (t->fini)
            t->fini();
        if (s && s->fini)
            s->fini();
        fflush(NULL);
        _exit(stand_in_failed ? STAND_IN_FAILED : 0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* PROGRAM [SUITE...]: all tests, or those of some suites. */
__attribute__((weak)) int main(int argc, char **argv)
{
    int tested = 0, passing = 0, failing = 0, crashing = 0;
    for (const StandInTest *t = stand_in_tests; t; t = t->next) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strcmp(argv[i], t->suite) == 0;
        if (!wanted)
            continue;
        int  status = stand_in_run(t);
        bool ended = status >= 0 && WIFEXITED(status), skipped = ended && WEXITSTATUS(status) == STAND_IN_SKIPPED;
        tested += !skipped;
        passing += ended && WEXITSTATUS(status) == 0;
        failing += ended && !skipped && WEXITSTATUS(status) != 0;
        crashing += !ended;
        if (status != 0)
            printf("[%s] %s::%s\n", skipped ? "SKIP" : ended ? "FAIL" : "CRASH", t->suite, t->name);
    }
    printf("[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d\n", tested, passing, failing, crashing);
    return tested > 0 && failing + crashing == 0 ? 0 : 1;
}

#endif

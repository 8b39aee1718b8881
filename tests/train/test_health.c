/* test_health.c: steps that are sick without a NaN in sight. */
#include "runtime/train/health.h"

#include "base/file.h"
#include "base/rng.h"
#include "fake_exec.h"
#include "runtime/train/train.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Arena *arena;
static Health h;
static Report report;
static char  *text;
static size_t length;
static char   data_path[64];

static void setup(void)
{
    char why[FILE_ERR_MAX], bytes[1024];
    arena = arena_new();
    report.out = open_memstream(&text, &length);
    cr_assert(report.out != NULL);
    health_init(&h, arena, 3);
    health_add(&h, "big", 1000);
    health_add(&h, "gain", 1000);
    health_add(&h, "one", 1);
    snprintf(data_path, sizeof data_path, "/tmp/anel-health-%ld", (long)getpid());
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = "abcdefgh"[(i + rng_u64(1, i) % 8 / 7) % 8];
    cr_assert(file_write(data_path, bytes, sizeof bytes, why));
}

static void teardown(void)
{
    fclose(report.out);
    free(text);
    unlink(data_path);
    arena_free(arena);
}

TestSuite(health, .init = setup, .fini = teardown);

static const char *told(void)
{
    fflush(report.out);
    return text;
}

/* How often a word was told. */
static int times(const char *word)
{
    int n = 0;
    for (const char *at = told(); (at = strstr(at, word)); at++)
        n++;
    return n;
}

static bool step(double loss, float big, float gain, float one)
{
    health_gradient(&h, 0, (GradStats){1, big});
    health_gradient(&h, 1, (GradStats){1, gain});
    health_gradient(&h, 2, (GradStats){1, one});
    bool bad = health_bad(&h, loss);
    health_tell(&h, &report, h.steps, loss, !bad);
    return bad;
}

Test(health, ordinary_steps_are_told_nothing_of)
{
    for (uint64_t i = 0; i < 300; i++)
        cr_assert(!step(5 + 2 * exp(-(double)i / 50) + 0.1 * rng_normal(1, i), 1, 2, 3));
    cr_assert_str_eq(told(), "");
}

Test(health, no_gradient_at_all_is_bad_unless_the_loss_is_zero)
{
    cr_assert(step(2, 0, 0, 0) && health_reason(&h) != NULL);
    cr_assert(!step(2, 0, 0, 1e-30f) && health_reason(&h) == NULL);
    cr_assert(!step(0, 0, 0, 0)); /* learnt */
    cr_assert(step(NAN, 0, 0, 0));
    cr_assert(!step(2, NAN, 0, 0)); /* an overflow, which the scaler sees */
}

Test(health, a_gradient_that_disappears_is_told_once)
{
    for (int i = 0; i < 10; i++)
        cr_assert(!step(2, 1, 1, 1));
    cr_assert(!step(2, 1, 1, 0)); /* a single number may well be */
    cr_assert_str_eq(told(), "");
    cr_assert(!step(2, 1, 0, 1));
    cr_assert(!step(2, 1, 0, 1));
    cr_assert(strstr(told(), "warning: step 12: the gradient of 'gain' is exactly 0 and was not before (1 of 3 parameters)") != NULL,
              "%s", told());
    cr_assert_eq(times("warning"), 1);
}

Test(health, a_parameter_that_never_had_a_gradient_is_told_once)
{
    for (int i = 0; i < 120; i++)
        cr_assert(!step(2, 1, 0, 1));
    cr_assert(strstr(told(), "the gradient of 'gain' was exactly 0 in all of 50 steps (1 of 3 parameters)") != NULL, "%s", told());
    cr_assert_eq(times("warning"), 1);
}

Test(health, a_loss_of_zero_with_a_gradient_is_told)
{
    step(0, 1, 1, 1);
    step(0, 1, 1, 1);
    cr_assert(strstr(told(), "step 1: the loss is exactly 0 but its gradient is not") != NULL);
    cr_assert_eq(times("warning"), 1);
}

Test(health, a_jump_of_the_loss_is_told_until_it_comes_down)
{
    for (uint64_t i = 0; i < 200; i++)
        step(3 + 0.1 * rng_normal(2, i) + (i >= 100 && i < 104 ? 4 : 0) + (i == 180 ? 5 : 0), 1, 1, 1);
    cr_assert(strstr(told(), "step 101: the loss jumped from about 3.0") != NULL, "%s", told());
    cr_assert(strstr(told(), "step 181: the loss jumped") != NULL, "%s", told());
    cr_assert_eq(times("warning"), 2);
}

/* ---- in a run ---- */

static bool train(uint32_t lost, uint64_t after, Buf *err, float *first)
{
    static const char *const settings[] = {"steps", "90", "optimizer.lr", "0.01", "eval_windows", "4", NULL};
    Session                  s;
    const Plan              *plan = fake_plan(arena, settings);
    Exec                    *exec = fake_open(plan);
    session_init(&s, arena, plan, "bigram.plan", "00000000000000000000000000000000", exec);
    cr_assert(settings_from_plan(&s.settings, arena, plan, err));
    s.settings.data_path = data_path;
    fake_knobs(exec)->lost = lost;
    fake_knobs(exec)->lost_after = after;
    bool ok = train_run(&s, &(TrainOptions){.out = report.out}, err);
    *first = s.tensor[0].value[0];
    session_finish(&s);
    exec_close(exec);
    return ok;
}

Test(health, a_device_that_gives_nothing_back_ends_the_run_and_changes_nothing)
{
    Buf   err = {0};
    float with, without;
    cr_assert(!train(3, 0, &err, &with));
    cr_assert(strstr(err.data, "64 steps in a row changed nothing: every gradient was exactly 0 although the loss was not") != NULL,
              "%s", err.data);
    without = 0.02f * (float)rng_normal(rng_key(0, "table"), 0);
    cr_assert(with == without); /* no decay, no moment */
    buf_free(&err);
}

Test(health, a_run_goes_on_with_a_note_when_one_gradient_is_lost)
{
    Buf   err = {0};
    float first;
    cr_assert(train(2, 20, &err, &first), "%s", err.data);
    cr_assert(strstr(told(), "warning: step 21: the gradient of 'bias' is exactly 0 and was not before (1 of 2 parameters)") != NULL,
              "%s", told());
    cr_assert(strstr(told(), "0 skipped") != NULL);
    buf_free(&err);
}

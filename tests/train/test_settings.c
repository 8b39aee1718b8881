/* test_settings.c: the table of settings, and the schedules they describe. */
#include "runtime/train/schedule.h"
#include "runtime/train/settings.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *said(Settings *s, const char *key, const char *value)
{
    static char text[512]; /* tests run in their own processes */
    Arena      *a = arena_new();
    Buf         err = {0};
    bool        ok = settings_set(s, a, key, value, &err);
    cr_assert(ok == (err.len == 0));
    snprintf(text, sizeof text, "%s", err.len ? err.data : "");
    buf_free(&err);
    arena_free(a);
    return text;
}

Test(settings, defaults_are_those_of_the_table_and_pass_the_check_once_there_is_data)
{
    Settings s;
    Buf      err = {0};
    settings_default(&s);
    cr_assert(s.optimizer == OPTIM_ADAMW && s.accum == 1 && s.keep == 2);
    cr_assert(s.lr == 0.001);
    cr_assert(!settings_check(&s, &err));
    cr_assert(strstr(err.data, "--data FILE") != NULL);
    s.data_path = "x";
    cr_assert(settings_check(&s, &err));
    buf_free(&err);
}

Test(settings, every_value_prints_as_text_that_reads_back)
{
    Settings s, t;
    Arena   *a = arena_new();
    Buf      err = {0}, text = {0};
    settings_default(&s);
    cr_assert(settings_set(&s, a, "optimizer.lr", "1.1e-5", &err));
    cr_assert(settings_set(&s, a, "data.path", "a b=c", &err));
    settings_default(&t);
    for (uint32_t i = 0; i < settings_count(); i++) {
        buf_clear(&text);
        settings_value(&s, i, &text);
        cr_assert(settings_set(&t, a, settings_key(i), text.data ? text.data : "", &err), "%s", settings_key(i));
    }
    cr_assert_str_eq(t.data_path, "a b=c");
    t.data_path = s.data_path;
    t.eval = s.eval;
    t.tokenizer = s.tokenizer;
    t.given = s.given;
    cr_assert(memcmp(&s, &t, sizeof s) == 0);
    buf_free(&text);
    buf_free(&err);
    arena_free(a);
}

Test(settings, mistakes_are_named)
{
    Settings s;
    settings_default(&s);
    cr_assert_str_eq(said(&s, "optimiser.lr", "1"), "unknown setting 'optimiser.lr'; did you mean 'optimizer.lr'?");
    cr_assert_str_eq(said(&s, "optimizer", "adamv"), "optimizer: unknown word 'adamv'; did you mean 'adam'?");
    cr_assert_str_eq(said(&s, "schedule", "x"),
                     "schedule: unknown word 'x'; it is one of constant, warmup_cosine, warmup_linear, step, wsd");
    cr_assert_str_eq(said(&s, "accum", "0"), "accum: '0' is not a whole number from 1 to 1e+06");
    cr_assert_str_eq(said(&s, "accum", "1.5"), "accum: '1.5' is not a whole number from 1 to 1e+06");
    cr_assert_str_eq(said(&s, "steps", "-1"), "steps: '-1' is not a whole number of at least 0");
    cr_assert_str_eq(said(&s, "optimizer.eps", "0"), "optimizer.eps: '0' is not a number above 0, up to 1");
    cr_assert_str_eq(said(&s, "optimizer.beta1", "1"), "optimizer.beta1: '1' is not a number from 0 to 0.999999");
    static const char *const bad[] = {"nan", "inf", "0x10", "", " 1", "1 ", "1e999", "1,5", "--1", "e"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert(*said(&s, "clip", bad[i]) != 0, "%s", bad[i]);
    }
    cr_assert(s.clip == 0 && s.accum == 1);
}

Test(settings, defaults_go_with_the_choice_and_given_values_stay)
{
    Settings s;
    settings_default(&s);
    cr_assert_str_eq(said(&s, "optimizer.beta1", "0.5"), "");
    cr_assert_str_eq(said(&s, "optimizer", "lion"), "");
    cr_assert(s.beta2 == 0.99 && s.lr == 1e-4 && s.beta1 == 0.5);
    cr_assert_str_eq(said(&s, "optimizer", "adam"), "");
    cr_assert(s.beta2 == 0.999 && s.lr == 1e-3 && s.beta1 == 0.5);
}

Test(settings, a_choice_gets_what_it_needs_and_nothing_of_others)
{
    Settings s;
    Arena   *a = arena_new();
    Buf      err = {0};
    settings_default(&s);
    cr_assert(settings_set(&s, a, "data.path", "x", &err) && settings_set(&s, a, "loss_scale", "fixed", &err));
    cr_assert(!settings_check(&s, &err));
    cr_assert_str_eq(err.data, "loss_scale=fixed needs a value: --set loss_scale.value=...");
    buf_clear(&err);
    cr_assert(settings_set(&s, a, "loss_scale.value", "2", &err) && settings_check(&s, &err));
    cr_assert(settings_set(&s, a, "optimizer.momentum", "0.9", &err) &&
              settings_check(&s, &err)); /* of the plan: unused */
    cr_assert(settings_insist(&s, a, "optimizer.momentum", "0.9", &err));
    cr_assert(!settings_check(&s, &err));
    cr_assert_str_eq(err.data, "optimizer.momentum has no effect with optimizer=adamw; it belongs to sgd");
    buf_free(&err);
    arena_free(a);
}

Test(settings, whole_numbers_may_be_written_with_an_exponent)
{
    Settings s;
    settings_default(&s);
    cr_assert_str_eq(said(&s, "steps", "1e6"), "");
    cr_assert(s.steps == 1000000);
}

/* ---- schedules, against the formulas written out again ---- */

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b)) + 1e-18;
}

Test(schedule, warm_up_reaches_the_peak_at_its_last_step)
{
    Settings s;
    settings_default(&s);
    s.lr = 0.5;
    s.warmup = 4;
    for (uint32_t kind = LR_CONSTANT; kind <= LR_WSD; kind++) {
        s.schedule = kind;
        for (uint64_t i = 0; i < 4; i++)
            cr_assert(near(schedule_lr(&s, i), 0.5 * (double)(i + 1) / 4));
    }
}

Test(schedule, cosine_linear_and_wsd_end_at_the_floor)
{
    Settings s;
    settings_default(&s);
    s.lr = 1e-3;
    s.warmup = 10;
    s.total = 110;
    s.floor = 0.1;
    s.schedule = LR_WARMUP_COSINE;
    cr_assert(near(schedule_lr(&s, 10), 1e-3));
    cr_assert(near(schedule_lr(&s, 60), 1e-3 * 0.55));
    cr_assert(near(schedule_lr(&s, 35), 1e-3 * (0.1 + 0.45 * (1 + sqrt(0.5)))));
    cr_assert(near(schedule_lr(&s, 110), 1e-4) && near(schedule_lr(&s, 100000), 1e-4));
    s.schedule = LR_WARMUP_LINEAR;
    cr_assert(near(schedule_lr(&s, 35), 1e-3 * (1 - 0.9 * 0.25)));
    cr_assert(near(schedule_lr(&s, 110), 1e-4));
    s.schedule = LR_WSD; /* the last fifth: steps 88 to 110 */
    cr_assert(near(schedule_lr(&s, 87), 1e-3));
    cr_assert(near(schedule_lr(&s, 99), 1e-3 * 0.55));
    cr_assert(near(schedule_lr(&s, 110), 1e-4));
}

Test(schedule, step_drops_by_its_factor_and_stops_at_the_floor)
{
    Settings s;
    settings_default(&s);
    s.lr = 1;
    s.schedule = LR_STEP;
    s.drop_every = 5;
    s.drop_factor = 0.5;
    s.floor = 0.2;
    static const double want[] = {1, 0.5, 0.25, 0.2, 0.2};
    for (uint64_t i = 0; i < 25; i++)
        cr_assert(near(schedule_lr(&s, i), want[i / 5]));
}

Test(schedule, the_total_is_the_number_of_steps_unless_given)
{
    Settings s;
    settings_default(&s);
    s.schedule = LR_WARMUP_LINEAR;
    s.lr = 1;
    s.steps = 10;
    cr_assert(near(schedule_lr(&s, 5), 0.5) && near(schedule_lr(&s, 10), 0));
}

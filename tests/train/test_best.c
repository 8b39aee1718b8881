/* test_best.c: the checkpoint with the lowest held-out loss is marked, kept, and found. */
#include "runtime/train/best.h"

#include "base/file.h"
#include "base/rng.h"
#include "fake_exec.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/train.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char   run[64], data_path[80], log_path[80];
static Arena *arena;
static Buf    said;

static void setup(void)
{
    char why[FILE_ERR_MAX], text[2048];
    arena = arena_new();
    snprintf(run, sizeof run, "/tmp/anel-best-%ld", (long)getpid());
    snprintf(data_path, sizeof data_path, "%s.data", run);
    snprintf(log_path, sizeof log_path, "%s.log", run);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abcdefgh"[(i + rng_u64(1, i) % 8 / 5) % 8];
    cr_assert(file_write(data_path, text, sizeof text, why));
}

static void teardown(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(run, why);
    unlink(data_path);
    unlink(log_path);
    arena_free(arena);
    buf_free(&said);
}

TestSuite(best, .init = setup, .fini = teardown);

static void make_checkpoint(uint64_t step)
{
    char        why[FILE_ERR_MAX];
    const char *dir = arena_printf(arena, "%s/ckpt-%llu", run, (unsigned long long)step);
    cr_assert(dir_make(dir, why) && file_write(path_join(arena, dir, CHECKPOINT_MODEL), "x", 1, why), "%s", why);
}

static void mark_text(const char *text)
{
    char why[FILE_ERR_MAX];
    cr_assert(file_write(path_join(arena, run, "BEST"), text, strlen(text), why), "%s", why);
}

Test(best, the_lowest_loss_so_far_is_the_mark)
{
    uint64_t step = 0;
    double   loss = 0;
    char     why[FILE_ERR_MAX];
    make_checkpoint(5);
    make_checkpoint(20);
    cr_assert(!best_read(run, &step, &loss) && best_is(run, 5, 1e9));
    cr_assert(!best_is(run, 5, NAN) && !best_is(run, 5, INFINITY));
    cr_assert_null(best_find(arena, run, &said));
    cr_assert(strstr(said.data, "has no best checkpoint") != NULL && strstr(said.data, "keep_best=true") != NULL);
    double third = 1.0 / 3;
    cr_assert(best_mark(run, 5, third, &said));
    cr_assert(best_read(run, &step, &loss) && step == 5 && loss == third);
    cr_assert(!best_is(run, 10, third) && !best_is(run, 10, 0.4) && best_is(run, 10, 0.33));
    cr_assert_str_eq(best_find(arena, run, &said), arena_printf(arena, "%s/ckpt-5", run));
    cr_assert(best_mark(run, 20, 0.1, &said) && best_read(run, &step, &loss) && step == 20);
    cr_assert(best_is(run, 10, 5)); /* resumed at a step before it: another continuation */
    cr_assert(best_clear(run, why) && best_clear(run, why) && !best_read(run, &step, &loss));
}

Test(best, a_damaged_mark_is_none)
{
    static const char *const bad[] = {"", "ckpt-5", "ckpt-5 \n", "ckpt-5 x\n", "ckpt- 1\n", "5 1\n", "ckpt-5 1\nx", "ckpt-5 nan\n",
                                      "ckpt-5 1", "ckpt-99999999999999999999 1\n", "ckpt-6 1\n"};
    uint64_t step;
    double   loss;
    make_checkpoint(5);
    for (size_t i = 0; i < COUNT(bad); i++) {
        mark_text(bad[i]);
        cr_assert(!best_read(run, &step, &loss), "'%s'", bad[i]);
    }
    mark_text("ckpt-5 1.5\n");
    cr_assert(best_read(run, &step, &loss));
}

/* A process of its own, as far as the library can tell. */
static void train(const char *const *settings, uint64_t stop_at, const char *resume)
{
    Session     s;
    const Plan *plan = fake_plan(arena, settings);
    Exec       *exec = fake_open(plan);
    session_init(&s, arena, plan, "bigram.plan", "00000000000000000000000000000000", exec);
    buf_clear(&said);
    cr_assert(settings_from_plan(&s.settings, arena, plan, &said), "%s", said.data);
    s.settings.data_path = data_path;
    cr_assert(train_run(&s, &(TrainOptions){.run = run, .log = log_path, .stop_at = stop_at, .resume = resume}, &said),
              "%s", said.data);
    session_finish(&s);
    exec_close(exec);
}

enum { STEPS = 24 };

/* The held-out losses of a log by step; NaN where there is none. */
static void read_log(double *loss)
{
    FILE *f = fopen(log_path, "r");
    char  line[4096];
    cr_assert(f != NULL);
    for (int i = 0; i <= STEPS; i++)
        loss[i] = NAN;
    while (fgets(line, sizeof line, f)) {
        json_t *o = json_loads(line, 0, NULL);
        cr_assert(o != NULL);
        if (strcmp(json_string_value(json_object_get(o, "event")), "eval") == 0) {
            double x = json_number_value(json_object_get(o, "loss"));
            loss[json_integer_value(json_object_get(o, "step"))] = x;
            cr_assert(fabs(json_number_value(json_object_get(o, "bits_per_byte")) - x / log(2)) < 1e-12);
            cr_assert(fabs(json_number_value(json_object_get(o, "perplexity")) - exp(x)) < 1e-9 * exp(x));
        }
        json_decref(o);
    }
    fclose(f);
}

static void expect_kept(void)
{
    double   loss[STEPS + 1], low;
    uint64_t best = 0, step;
    read_log(loss);
    for (uint64_t i = 1; i <= STEPS; i++)
        if (!isnan(loss[i]) && (best == 0 || loss[i] < loss[best]))
            best = i;
    cr_assert(best > 0 && best < STEPS - 3, "the lowest loss is at step %d: this shows nothing", (int)best);
    cr_assert(best_read(run, &step, &low) && step == best && low == loss[best], "%d, not %d", (int)step, (int)best);
    for (uint64_t i = 1; i <= STEPS; i++) {
        const char *dir = arena_printf(arena, "%s/ckpt-%llu", run, (unsigned long long)i);
        cr_assert_eq(path_exists(dir), i == best || i == STEPS, "%s", dir);
    }
}

/* A learning rate that is too large, and grows: the loss falls, then rises. */
#define COMMON                                                                                                     \
    "steps", "24", "optimizer", "sgd", "optimizer.lr", "400", "schedule", "constant", "schedule.warmup", "24", "data.holdout", \
        "0.2", "eval_every", "2", "keep", "1", "loss_scale", "none"

Test(best, training_keeps_it_beside_the_newest)
{
    static const char *const keep[] = {COMMON, "keep_best", "true", NULL};
    train(keep, 0, NULL);
    expect_kept();
}

Test(best, a_run_that_was_stopped_remembers_it)
{
    static const char *const keep[] = {COMMON, "keep_best", "true", NULL};
    for (uint64_t stop = 3; stop <= STEPS; stop += 7)
        train(keep, stop, stop == 3 ? NULL : checkpoint_find(arena, run, &said));
    expect_kept();
}

Test(best, without_the_setting_nothing_is_marked)
{
    static const char *const plain[] = {COMMON, NULL};
    uint64_t step;
    double   loss;
    train(plain, 0, NULL);
    cr_assert(!best_read(run, &step, &loss));
    cr_assert(!path_exists(path_join(arena, run, "BEST")));
    train((const char *const[]){COMMON, "keep_best", "true", NULL}, 0, NULL);
    cr_assert(best_read(run, &step, &loss));
    cr_assert(checkpoint_clear(run, &said));
    cr_assert(!path_exists(path_join(arena, run, "BEST")) && !checkpoint_any(run));
}

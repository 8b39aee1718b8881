/* test_train.c: the training loop on a small model: learning, resuming, skipping, stopping, reporting. */
#include "runtime/train/train.h"

#include "base/file.h"
#include "base/rng.h"
#include "fake_exec.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char   dir[64], data_path[80], run[80], log_path[80];
static Arena *arena;
static Buf    said;

/* 4 KiB of a text with structure: a bigram model gets well below 8 bits per byte. */
static void setup(void)
{
    char why[FILE_ERR_MAX], text[4096];
    arena = arena_new();
    snprintf(dir, sizeof dir, "/tmp/anel-train-%ld", (long)getpid());
    snprintf(data_path, sizeof data_path, "%s/data", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abcdefgh"[(i + rng_u64(1, i) % 8 / 7) % 8];
    cr_assert(dir_make(dir, why));
    cr_assert(file_write(data_path, text, sizeof text, why));
}

static void teardown(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(dir, why);
    arena_free(arena);
    buf_free(&said);
}

TestSuite(train, .init = setup, .fini = teardown);

/* A process of its own, as far as the library can tell: plan, executor and session from nothing. */
typedef struct {
    Exec   *exec;
    Session s;
} Process;

static void begin(Process *p, const char *const *settings)
{
    const Plan *plan = fake_plan(arena, settings);
    p->exec = fake_open(plan);
    session_init(&p->s, arena, plan, "bigram.plan", "00000000000000000000000000000000", p->exec);
    buf_clear(&said);
    cr_assert(settings_from_plan(&p->s.settings, arena, plan, &said), "%s", said.data);
    if (!*p->s.settings.data_path)
        p->s.settings.data_path = data_path;
}

static void end(Process *p)
{
    session_finish(&p->s);
    exec_close(p->exec);
}

static const char *const adamw[] = {"optimizer.lr",
                                    "0.05",
                                    "optimizer.decay",
                                    "0.01",
                                    "accum",
                                    "2",
                                    "steps",
                                    "60",
                                    "clip",
                                    "1",
                                    "schedule",
                                    "warmup_cosine",
                                    "schedule.warmup",
                                    "5",
                                    "loss_scale",
                                    "dynamic",
                                    "loss_scale.growth_every",
                                    "10",
                                    "data.holdout",
                                    "0.1",
                                    NULL};

/* All steps' losses of a log, in order. */
static uint32_t read_losses(double *loss, uint32_t cap)
{
    FILE    *f = fopen(log_path, "r");
    char     line[4096];
    uint32_t n = 0;
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f)) {
        json_error_t why;
        json_t      *o = json_loads(line, 0, &why);
        cr_assert(o != NULL, "%s: %s", why.text, line);
        if (strcmp(json_string_value(json_object_get(o, "event")), "step") == 0) {
            cr_assert(n < cap);
            loss[n++] = json_number_value(json_object_get(o, "loss"));
        }
        json_decref(o);
    }
    fclose(f);
    return n;
}

Test(train, the_loss_falls_to_what_a_bigram_can_know)
{
    Process p;
    double  loss[60];
    begin(&p, adamw);
    cr_assert(train_run(&p.s, &(TrainOptions){.run = run, .log = log_path}, &said), "%s", said.data);
    cr_assert_eq(read_losses(loss, 60), 60);
    cr_assert(fabs(loss[0] - log(256)) < 0.05, "%g", loss[0]);
    cr_assert(loss[59] < 2.2, "%g", loss[59]);
    cr_assert(p.s.tensor[2].value[0] == 7 && p.s.tensor[2].m == NULL); /* frozen */
    cr_assert(path_exists(path_join(arena, run, "ckpt-60")));
    end(&p);
}

static void compare_resumed(const char *const *settings)
{
    Process     whole, part;
    double      loss[60], again[60];
    const char *from = NULL;
    begin(&whole, settings);
    fake_knobs(whole.exec)->overflow_above = 5000;
    cr_assert(train_run(&whole.s, &(TrainOptions){.log = log_path}, &said), "%s", said.data);
    cr_assert_eq(read_losses(loss, 60), 60);

    static const uint64_t stop[] = {7, 31, 60};
    for (size_t i = 0; i < COUNT(stop); i++) {
        begin(&part, settings);
        fake_knobs(part.exec)->overflow_above = 5000;
        TrainOptions o = {.run = run, .log = log_path, .stop_at = stop[i], .resume = from};
        cr_assert(train_run(&part.s, &o, &said), "%s", said.data);
        from = checkpoint_find(arena, run, &said);
        if (i + 1 < COUNT(stop))
            end(&part);
    }
    cr_assert_eq(read_losses(again, 60), 60);
    cr_assert(memcmp(loss, again, sizeof loss) == 0);
    for (uint32_t i = 0; i < whole.s.layout.tensors; i++) {
        const CheckpointTensor *a = &whole.s.tensor[i], *b = &part.s.tensor[i];
        cr_assert(memcmp(a->value, b->value, a->numel * sizeof *a->value) == 0, "%s", a->path);
        cr_assert(!a->m || memcmp(a->m, b->m, a->numel * sizeof *a->m) == 0);
        cr_assert(!a->v || memcmp(a->v, b->v, a->numel * sizeof *a->v) == 0);
    }
    end(&whole);
    end(&part);
}

Test(train, stopping_and_resuming_changes_no_bit)
{
    compare_resumed(adamw);
}

Test(train, resuming_is_exact_for_the_other_rules_and_sequential_data)
{
    char why[FILE_ERR_MAX];
    static const char *const lion[] = {"optimizer", "lion",  "optimizer.lr", "0.01",        "optimizer.beta2",
                                       "0.99",      "steps", "60",           "data.sample", "sequential",
                                       "schedule",  "wsd",   "accum",        "3",           NULL};
    static const char *const sgd[] = {"optimizer", "sgd", "optimizer.lr", "0.5",   "optimizer.momentum", "0.9",
                                      "steps",     "60",  "loss_scale",   "fixed", "loss_scale.value",   "128",
                                      NULL};
    static const char *const copy[] = {"data", "copy_task", "optimizer", "sgd", "steps", "60", NULL};
    compare_resumed(lion);
    dir_remove(run, why);
    compare_resumed(sgd);
    dir_remove(run, why);
    compare_resumed(copy);
}

Test(train, gradients_do_not_depend_on_the_loss_scale)
{
    Process p, q;
    static const char *const plain[] = {"steps", "5", "loss_scale", "none", NULL};
    static const char *const scaled[] = {"steps", "5", "loss_scale", "fixed", "loss_scale.value", "1024", NULL};
    begin(&p, plain);
    cr_assert(train_run(&p.s, &(TrainOptions){0}, &said));
    begin(&q, scaled);
    cr_assert(train_run(&q.s, &(TrainOptions){0}, &said));
    cr_assert(memcmp(p.s.tensor[0].value, q.s.tensor[0].value, p.s.tensor[0].numel * sizeof(float)) == 0);
    end(&p);
    end(&q);
}

Test(train, overflowing_steps_are_skipped_and_the_scale_settles)
{
    Process p;
    static const char *const dynamic[] = {"steps", "12", "loss_scale", "dynamic", "loss_scale.init", "65536",
                                          "loss_scale.growth_every", "1000", NULL};
    begin(&p, dynamic);
    fake_knobs(p.exec)->overflow_above = 5000; /* 65536, 32768, 16384, 8192 do, 4096 does not */
    cr_assert(train_run(&p.s, &(TrainOptions){.run = run, .log = log_path}, &said), "%s", said.data);
    RunState r;
    cr_assert(checkpoint_load(checkpoint_find(arena, run, &said), &p.s.layout, &r, NULL, &said), "%s", said.data);
    cr_assert(r.step == 12 && r.updates == 8 && r.skipped == 4 && r.loss_scale == 4096, "%g", r.loss_scale);
    cr_assert_eq(fake_knobs(p.exec)->bakes, 9); /* one at the start, one per update */
    end(&p);
}

/* Stopped among steps that overflow: the same checkpoint as of a run that was not stopped, counters included. */
Test(train, a_run_stopped_among_skipped_steps_continues_with_the_same_counts)
{
    Process p;
    static const char *const dynamic[] = {"steps", "4", "loss_scale", "dynamic", "loss_scale.init", "16777216", NULL};
    RunState r;
    const char *from = NULL;
    for (uint64_t stop = 2; stop <= 4; stop += 2) {
        begin(&p, dynamic);
        fake_knobs(p.exec)->overflow_above = 5000;
        cr_assert(train_run(&p.s, &(TrainOptions){.run = run, .stop_at = stop, .resume = from}, &said), "%s", said.data);
        from = checkpoint_find(arena, run, &said);
        cr_assert(checkpoint_load(from, &p.s.layout, &r, NULL, &said), "%s", said.data);
        cr_assert(r.step == stop && r.skipped == stop && r.skipped_in_a_row == stop, "%d", (int)r.skipped_in_a_row);
        end(&p);
    }
}

/* A checkpoint from a streak of skipped steps leaves whoever continues it all the patience there is. */
Test(train, resuming_gives_a_run_that_overflows_another_try)
{
    Scaler s = {.kind = SCALE_NONE, .scale = 1, .in_a_row = 60, .forgiven = 60};
    for (int i = 0; i < SCALER_PATIENCE; i++) {
        cr_assert(!scaler_gives_up(&s));
        scaler_step(&s, true);
    }
    cr_assert(scaler_gives_up(&s) && s.in_a_row == 124);
    scaler_step(&s, false);
    cr_assert(s.in_a_row == 0 && s.forgiven == 0 && !scaler_gives_up(&s));
}

Test(train, a_run_that_only_overflows_gives_up_with_advice)
{
    Process p;
    static const char *const fixed[] = {"loss_scale", "fixed", "loss_scale.value", "8192", NULL};
    begin(&p, fixed);
    fake_knobs(p.exec)->overflow_above = 5000;
    cr_assert(!train_run(&p.s, &(TrainOptions){0}, &said));
    cr_assert(strstr(said.data, "64 steps in a row overflowed") && strstr(said.data, "lower loss_scale.value"), "%s",
              said.data);
    end(&p);
    static const char *const none[] = {"loss_scale", "none", NULL};
    begin(&p, none);
    fake_knobs(p.exec)->nan_loss = true;
    cr_assert(!train_run(&p.s, &(TrainOptions){.log = log_path}, &said));
    cr_assert(strstr(said.data, "loss_scale=dynamic") != NULL, "%s", said.data);
    double loss[64];
    cr_assert_eq(read_losses(loss, 64), 64); /* null in JSON */
    end(&p);
}

Test(train, clipping_limits_the_norm)
{
    Process p;
    static const char *const clipped[] = {"steps", "1", "optimizer", "sgd", "optimizer.lr", "1", "clip", "0.01", NULL};
    begin(&p, clipped);
    exec_init_params(p.exec, 0);
    float  *w0 = NEW_N(arena, float, p.s.tensor[0].numel);
    double  sum = 0;
    memcpy(w0, p.s.tensor[0].value, p.s.tensor[0].numel * sizeof *w0);
    cr_assert(train_run(&p.s, &(TrainOptions){0}, &said), "%s", said.data);
    for (size_t i = 0; i < p.s.tensor[0].numel; i++)
        sum += pow((double)p.s.tensor[0].value[i] - (double)w0[i], 2);
    for (size_t i = 0; i < p.s.tensor[1].numel; i++)
        sum += pow((double)p.s.tensor[1].value[i] * 2, 2); /* its lr factor is 1/2 */
    cr_assert(fabs(sqrt(sum) - 0.01) < 1e-6, "%g", sqrt(sum));
    end(&p);
}

Test(train, a_signal_finishes_the_step_and_saves)
{
    Process p;
    begin(&p, adamw);
    fake_knobs(p.exec)->raise_at = 9; /* in the first half of step 5: no evaluation came before */
    cr_assert(train_run(&p.s, &(TrainOptions){.run = run, .log = log_path}, &said), "%s", said.data);
    double loss[60];
    cr_assert_eq(read_losses(loss, 60), 5);
    cr_assert_str_eq(checkpoint_find(arena, run, &said), path_join(arena, run, "ckpt-5"));
    end(&p);
}

Test(train, evaluations_and_checkpoints_come_when_asked)
{
    Process p;
    char   *text, why[FILE_ERR_MAX];
    size_t  n, count[2] = {0, 0};
    static const char *const often[] = {"steps",      "10", "data.holdout", "0.2", "eval_every", "4",
                                        "save_every", "3",  "keep",         "0",   NULL};
    begin(&p, often);
    cr_assert(train_run(&p.s, &(TrainOptions){.run = run, .log = log_path}, &said), "%s", said.data);
    cr_assert(file_read(arena, log_path, &text, &n, why));
    for (const char *at = text; (at = strstr(at, "\"eval\"")); at++)
        count[0]++;
    for (const char *at = text; (at = strstr(at, "\"save\"")); at++)
        count[1]++;
    cr_assert(count[0] == 3 && count[1] == 4, "%zu %zu", count[0], count[1]); /* 4, 8, 10; 3, 6, 9, 10 */
    cr_assert(path_exists(path_join(arena, run, "ckpt-3")));
    end(&p);
}

Test(train, the_held_out_loss_is_the_mean_over_windows)
{
    Process    p;
    Evaluation e;
    uint32_t   entry, feeds;
    static const char *const holdout[] = {"data.holdout", "0.25", NULL};
    begin(&p, holdout);
    cr_assert(session_train_entry(&p.s, &entry, &said));
    memset(p.s.tensor[0].value, 0, p.s.tensor[0].numel * sizeof(float)); /* uniform: log(256) exactly */
    cr_assert(exec_bake(p.exec, entry, EXEC_FORWARD, &said));
    Feed *feed = session_feeds(&p.s, arena, entry, &feeds);
    cr_assert_eq(feeds, 2);
    Data *d = data_open(&p.s.settings, NULL, NULL, feed, feeds, &said);
    cr_assert(session_evaluate(&p.s, entry, d, 10, &e, &said), "%s", said.data);
    cr_assert(e.batches == 10 && e.tokens == 160 && fabs(e.loss - log(256)) < 1e-6);
    cr_assert(session_evaluate(&p.s, entry, d, 1000, &e, &said));
    cr_assert_eq(e.batches, (1024 - 17) / 16 + 1);
    Buf text = {0};
    evaluation_text(&e, &text);
    cr_assert_str_eq(text.data, "loss 5.5452 nats/token, 8.0000 bits/byte, perplexity 256 (1008 tokens)");
    buf_free(&text);
    data_close(d);
    end(&p);
}

Test(train, what_cannot_be_trained_says_why)
{
    Process p;
    static const char *const none[] = {NULL};
    begin(&p, none);
    ((Plan *)(uintptr_t)p.s.plan)->train_entry = NULL;
    cr_assert(!train_run(&p.s, &(TrainOptions){0}, &said));
    cr_assert_str_eq(said.data, "plan 'bigram.plan' has nothing to train: its model has no 'train' section");
    end(&p);
    begin(&p, none);
    p.s.plan->entry[0].backwards = 0;
    cr_assert(!train_run(&p.s, &(TrainOptions){0}, &said));
    cr_assert(strstr(said.data, "has no backward steps") != NULL);
    end(&p);
    begin(&p, none);
    p.s.settings.eval = "/nowhere/held-out";
    cr_assert(!train_run(&p.s, &(TrainOptions){0}, &said));
    cr_assert(strstr(said.data, "cannot open data file '/nowhere/held-out'") != NULL);
    end(&p);
    begin(&p, none);
    cr_assert(!train_run(&p.s, &(TrainOptions){.log = "/nowhere/log"}, &said));
    cr_assert(strstr(said.data, "cannot write the log '/nowhere/log'") != NULL);
    end(&p);
}

Test(train, log_lines_carry_what_the_step_did)
{
    Process p;
    char    line[4096];
    static const char *const few[] = {"steps", "3", NULL};
    begin(&p, few);
    cr_assert(train_run(&p.s, &(TrainOptions){.log = log_path}, &said), "%s", said.data);
    FILE *f = fopen(log_path, "r");
    cr_assert(f && fgets(line, sizeof line, f) && strstr(line, "\"start\"") && fgets(line, sizeof line, f));
    json_t *o = json_loads(line, 0, NULL), *ms = json_object_get(o, "ms");
    static const char *const key[] = {"step",       "loss",  "lr",     "grad_norm",
                                      "loss_scale", "skips", "tokens", "tokens_per_s"};
    for (size_t i = 0; i < COUNT(key); i++)
        cr_assert(json_is_number(json_object_get(o, key[i])), "%s", key[i]);
    cr_assert(json_is_false(json_object_get(o, "skipped")));
    cr_assert(json_is_number(json_object_get(ms, "total")) && json_is_number(json_object_get(ms, "optimizer")) &&
              json_is_number(json_object_get(ms, "device")));
    json_decref(o);
    fclose(f);
    end(&p);
}

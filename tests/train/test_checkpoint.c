/* test_checkpoint.c: saving, finding and loading checkpoints, and what survives being killed. */
#include "runtime/train/checkpoint.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 6 };

typedef struct {
    float            w[N], g[3], m[N], v[N];
    CheckpointTensor tensor[2];
    CheckpointLayout l;
    RunState         r;
    Settings         s;
} Model;

static char   run[64];
static Arena *arena;
static Buf    said; /* errors and notes of the test at hand */

static void make_run(void)
{
    snprintf(run, sizeof run, "/tmp/anel-run-%ld", (long)getpid());
    arena = arena_new();
}

static void drop_run(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(run, why);
    arena_free(arena);
    buf_free(&said);
}

TestSuite(checkpoint, .init = make_run, .fini = drop_run);

static void model_init(Model *x, float base)
{
    memset(x, 0, sizeof *x);
    settings_default(&x->s);
    for (int i = 0; i < N; i++) {
        x->w[i] = base + (float)i / 3;
        x->m[i] = base * 2 - (float)i;
        x->v[i] = base * base + (float)i;
    }
    x->g[0] = base;
    x->tensor[0] = (CheckpointTensor){"layer.weight", {2, {2, 3}}, N, x->w, x->m, x->v};
    x->tensor[1] = (CheckpointTensor){"frozen", {1, {3}}, 3, x->g, NULL, NULL};
    x->l = (CheckpointLayout){x->tensor, 2, "tiny", "0123456789abcdef0123456789abcdef"};
    x->r = (RunState){.step = (uint64_t)base, .updates = 3, .cursor = 12, .tokens = 1ull << 40, .loss_scale = 0.1,
                      .scale_clean = 2, .skipped = 1, .skipped_in_a_row = 1, .loss = 1.0 / 3};
}

static void save(uint64_t step, uint64_t keep)
{
    Model x;
    model_init(&x, (float)step);
    cr_assert(checkpoint_save(run, &x.l, &x.r, &x.s, keep, &said), "%s", said.data);
}

static const char *at(uint64_t step, const char *file)
{
    return arena_printf(arena, "%s/ckpt-%llu%s%s", run, (unsigned long long)step, *file ? "/" : "", file);
}

static const char *load_error(const char *dir, Model *x)
{
    buf_clear(&said);
    return checkpoint_load(dir, &x->l, &x->r, NULL, &said) ? "" : arena_strdup(arena, said.data);
}

Test(checkpoint, everything_comes_back)
{
    Model x, y;
    model_init(&x, 5);
    x.s.lr = 0.123;
    x.s.data_path = "corpus with = and \"quotes\".txt";
    cr_assert(checkpoint_save(run, &x.l, &x.r, &x.s, 2, &said), "%s", said.data);
    model_init(&y, 0);
    const char *dir = checkpoint_find(arena, run, &said);
    cr_assert_str_eq(dir, at(5, ""));
    cr_assert_str_eq(checkpoint_find(arena, dir, &said), dir);
    cr_assert(checkpoint_load(dir, &y.l, &y.r, &said, &said), "%s", said.data);
    cr_assert(memcmp(x.w, y.w, sizeof x.w) == 0 && memcmp(x.m, y.m, sizeof x.m) == 0);
    cr_assert(memcmp(x.v, y.v, sizeof x.v) == 0 && memcmp(x.g, y.g, sizeof x.g) == 0);
    cr_assert(memcmp(&x.r, &y.r, sizeof x.r) == 0);
    cr_assert(said.len == 0);
    cr_assert(checkpoint_settings(arena, dir, &y.s, &said), "%s", said.data);
    cr_assert_str_eq(y.s.data_path, x.s.data_path);
    cr_assert(y.s.lr == 0.123);
}

Test(checkpoint, the_last_n_are_kept_and_later_branches_left_alone)
{
    save(90, 2);
    for (uint64_t i = 1; i <= 5; i++)
        save(i * 10, 2);
    for (uint64_t i = 1; i <= 9; i++)
        cr_assert(path_exists(at(i * 10, "")) == (i == 4 || i == 5 || i == 9), "%d", (int)i);
    cr_assert_str_eq(checkpoint_find(arena, run, &said), at(50, ""));
    save(50, 2); /* a step may be saved again */
    cr_assert(path_exists(at(40, "")) && path_exists(at(50, CHECKPOINT_MODEL)));
    save(60, 0);
    cr_assert(path_exists(at(40, "")));
}

static void damage(const char *path, bool truncate_it)
{
    char  *data, why[FILE_ERR_MAX];
    size_t n;
    cr_assert(file_read(arena, path, &data, &n, why), "%s", why);
    data[n - 3] = (char)(data[n - 3] ^ 4);
    cr_assert(file_write(path, data, truncate_it ? n - 9 : n, why));
}

Test(checkpoint, a_damaged_one_names_itself_and_the_last_good_one)
{
    Model x;
    save(10, 0);
    save(20, 0);
    save(30, 0);
    save(40, 0);
    model_init(&x, 0);
    damage(at(40, CHECKPOINT_MODEL), false);
    damage(at(30, CHECKPOINT_OPTIMIZER), true);
    cr_assert_str_eq(load_error(at(40, ""), &x),
                     arena_printf(arena, "'%s' is damaged: tensor 'frozen' does not match its checksum; the last good "
                                         "checkpoint is '%s': --resume %s",
                                  at(40, CHECKPOINT_MODEL), at(20, ""), at(20, "")));
    const char *text = load_error(at(30, ""), &x);
    cr_assert(strstr(text, at(30, CHECKPOINT_OPTIMIZER)) != NULL && strstr(text, at(20, "")) != NULL, "%s", text);
    cr_assert_str_eq(load_error(at(20, ""), &x), "");
    damage(at(10, CHECKPOINT_MODEL), true);
    text = load_error(at(10, ""), &x);
    cr_assert(strstr(text, "no older checkpoint") != NULL, "%s", text);
}

Test(checkpoint, files_of_different_checkpoints_do_not_mix)
{
    Model x;
    save(10, 0);
    save(20, 0);
    model_init(&x, 0);
    cr_assert(rename(at(10, CHECKPOINT_OPTIMIZER), at(20, CHECKPOINT_OPTIMIZER)) == 0);
    cr_assert(strstr(load_error(at(20, ""), &x), "different checkpoints") != NULL);
}

Test(checkpoint, another_model_is_refused_by_its_first_difference)
{
    Model x;
    save(10, 0);
    model_init(&x, 0);
    x.tensor[0].shape.dim[1] = 4;
    cr_assert_str_eq(load_error(at(10, ""), &x),
                     arena_printf(arena, "checkpoint '%s' belongs to another model: parameter 'layer.weight' is [2, 3] "
                                         "there and [2, 4] in the plan; go on with the plan it was made with",
                                  at(10, "")));
    model_init(&x, 0);
    x.tensor[1].path = "thawed";
    cr_assert(strstr(load_error(at(10, ""), &x), "parameter 'thawed' is missing there") != NULL);
    model_init(&x, 0);
    x.l.tensors = 1;
    cr_assert(strstr(load_error(at(10, ""), &x), "the plan has no parameter 'frozen'") != NULL);
    model_init(&x, 0);
    x.tensor[1].m = x.g;
    cr_assert(strstr(load_error(at(10, ""), &x), "made with another optimizer (adamw)") != NULL);
}

Test(checkpoint, another_plan_with_the_same_parameters_is_noted)
{
    Model x;
    save(10, 0);
    model_init(&x, 0);
    x.l.plan_hash = "ffffffffffffffffffffffffffffffff";
    cr_assert(checkpoint_load(at(10, ""), &x.l, &x.r, &said, &said), "%s", said.data);
    cr_assert(strstr(said.data, "another version of this plan") != NULL);
}

Test(checkpoint, weights_alone_need_no_optimizer_file)
{
    Model x;
    save(10, 0);
    unlink(at(10, CHECKPOINT_OPTIMIZER));
    model_init(&x, 0);
    cr_assert(checkpoint_load(at(10, ""), &x.l, NULL, NULL, &said), "%s", said.data);
    cr_assert(x.w[0] == 10);
}

Test(checkpoint, leftovers_of_a_killed_save_are_ignored_then_removed)
{
    char why[FILE_ERR_MAX];
    save(10, 2);
    const char *left = arena_printf(arena, "%s/.ckpt-tmp-20-1", run);
    cr_assert(dir_make(left, why));
    cr_assert(file_write(path_join(arena, left, CHECKPOINT_MODEL), "half", 4, why));
    const char *name = path_join(arena, run, "LATEST.tmp-1");
    cr_assert(file_write(name, "ckpt-", 5, why));
    cr_assert_str_eq(checkpoint_find(arena, run, &said), at(10, ""));
    save(30, 2);
    cr_assert(!path_exists(left) && !path_exists(name));
    /* killed between the rename and LATEST of the very first save */
    unlink(path_join(arena, run, "LATEST"));
    cr_assert_str_eq(checkpoint_find(arena, run, &said), at(30, ""));
}

/* Kill a process that saves in a loop, at many moments: what LATEST names always loads. */
Test(checkpoint, being_killed_at_any_moment_leaves_a_good_one)
{
    Model x;
    save(1, 2);
    for (unsigned i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (uint64_t step = 2;; step++)
                save(step % 5 + 2, 2);
        }
        usleep(500 + i * 700);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        const char *dir = checkpoint_find(arena, run, &said);
        cr_assert(dir != NULL, "%s", said.data);
        model_init(&x, 0);
        /* Replacing a checkpoint of the same step has one instant without it; then the message names another one. */
        const char *text = load_error(dir, &x);
        cr_assert(*text == 0 || strstr(text, "the last good checkpoint is") || strstr(text, "no older") , "%s", text);
    }
    save(50, 2);
    model_init(&x, 0);
    cr_assert_str_eq(load_error(at(50, ""), &x), "");
}

Test(checkpoint, a_latest_file_cannot_lead_elsewhere)
{
    char              why[FILE_ERR_MAX];
    static const char *const bad[] = {"../x\n", "", "ckpt-\n", "ckpt-1/..\n", "ckpt-01\n", "/etc\n"};
    save(10, 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
            buf_clear(&said);
        cr_assert(file_write(path_join(arena, run, "LATEST"), bad[i], strlen(bad[i]), why));
        cr_assert_null(checkpoint_find(arena, run, &said));
        cr_assert(strstr(said.data, "LATEST' is damaged") != NULL);
    }
}

Test(checkpoint, a_directory_that_cannot_be_written_leaves_the_old_one)
{
    Model x;
    save(10, 2);
    if (geteuid() == 0) { /* root writes anywhere: put a file where the directory should go */
        char why[FILE_ERR_MAX];
        const char *file = path_join(arena, run, "file");
        cr_assert(file_write(file, "x", 1, why));
        model_init(&x, 20);
        cr_assert(!checkpoint_save(file, &x.l, &x.r, &x.s, 2, &said));
        cr_assert(strstr(said.data, file) != NULL);
    } else {
        chmod(run, 0555);
        model_init(&x, 20);
        cr_assert(!checkpoint_save(run, &x.l, &x.r, &x.s, 2, &said));
        cr_assert(strstr(said.data, "Permission denied") != NULL);
        chmod(run, 0755);
    }
    model_init(&x, 0);
    cr_assert_str_eq(load_error(at(10, ""), &x), "");
}

Test(checkpoint, one_process_at_a_time)
{
    int lock = checkpoint_lock(run, &said);
    cr_assert(lock >= 0, "%s", said.data);
    pid_t child = fork();
    if (child == 0)
        _exit(checkpoint_lock(run, &said) < 0 && strstr(said.data, "another process is training into") ? 7 : 0);
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    checkpoint_unlock(lock);
    cr_assert(checkpoint_lock(run, &said) >= 0);
}

Test(checkpoint, clearing_removes_them_all)
{
    save(10, 0);
    save(20, 0);
    cr_assert(checkpoint_any(run));
    cr_assert(checkpoint_clear(run, &said));
    cr_assert(!checkpoint_any(run));
    cr_assert_null(checkpoint_find(arena, run, &said));
    cr_assert(strstr(said.data, "holds no checkpoint") != NULL);
}

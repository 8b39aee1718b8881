/* test_state.c: the state that outlives a process image, and runs that use up their compile budget. */
#include "runtime/train/restart.h"
#include "runtime/train/train.h"

#include "base/file.h"
#include "fake_exec.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char   dir[64];
static Arena *arena;
static Buf    said;

static void setup(void)
{
    char why[FILE_ERR_MAX];
    arena = arena_new();
    snprintf(dir, sizeof dir, "/tmp/anel-state-%ld", (long)getpid());
    cr_assert(dir_make(dir, why), "%s", why);
}

static void teardown(void)
{
    char why[FILE_ERR_MAX];
    dir_remove(dir, why);
    arena_free(arena);
    buf_free(&said);
}

TestSuite(state, .init = setup, .fini = teardown);

/* What one image wrote is what the next one maps, wherever the object lies; and it has no name. */
static void comes_back(StatePlace place)
{
    enum { N = 70001 };
    StateFile *s = state_new(N, dir, place, &said);
    Settings   set, again;
    cr_assert(s != NULL, "%s", said.data);
    for (int i = 0; i < N; i++)
        cr_assert(state_params(s)[i] == 0 && state_moments(s)[2 * i + 1] == 0);
    for (int i = 0; i < N; i++) {
        state_params(s)[i] = (float)i;
        state_moments(s)[i] = (float)-i;
        state_moments(s)[N + i] = (float)i * 0.5f;
    }
    settings_default(&set);
    cr_assert(settings_set(&set, arena, "optimizer", "lion", &said) && settings_set(&set, arena, "optimizer.lr", "0.125", &said));
    cr_assert(settings_set(&set, arena, "data.path", "a \"b\" = c\n.txt", &said) && settings_set(&set, arena, "steps", "77", &said));
    cr_assert(state_put_settings(s, &set));
    state_head(s)->r.step = 9;
    state_head(s)->continues = true;
    cr_assert(rmdir(dir) == 0, "a file has a name"); /* only an empty directory can go */
    int fd = dup(state_fd(s));
    state_close(s);

    s = state_open(fd, &said);
    cr_assert(s != NULL, "%s", said.data);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(state_head(s)->r.step, 9);
    for (int i = 0; i < N; i++)
        cr_assert(state_params(s)[i] == (float)i && state_moments(s)[i] == (float)-i &&
                  state_moments(s)[N + i] == (float)i * 0.5f);
    settings_default(&again);
    cr_assert(state_get_settings(s, arena, &again, &said), "%s", said.data);
    cr_assert(again.optimizer == set.optimizer && again.lr == 0.125 && again.steps == 77);
    cr_assert_str_eq(again.data_path, set.data_path);
    state_close(s);
}

Test(state, comes_back_from_memory)
{
    comes_back(STATE_IN_MEMORY);
}

Test(state, comes_back_from_a_file)
{
    comes_back(STATE_ON_DISK);
}

static void refused(int fd)
{
    buf_clear(&said);
    cr_assert(state_open(fd, &said) == NULL);
    cr_assert(strstr(said.data, "is not the state of a run of this process") != NULL, "%s", said.data);
}

Test(state, of_something_else_is_refused)
{
    refused(-1);
    refused(1);
    refused(777);
    const char *path = path_join(arena, dir, "file");
    char        why[FILE_ERR_MAX];
    cr_assert(file_write(path, arena_alloc(arena, 300000), 300000, why), "%s", why);
    int fd = open(path, O_RDWR);
    refused(fd);
    close(fd);
    StateFile *s = state_new(10, NULL, STATE_ANYWHERE, &said);
    refused(state_fd(s)); /* nobody has handed it over */
    state_head(s)->continues = true;
    state_head(s)->process++;
    refused(state_fd(s));
    state_head(s)->process--;
    state_head(s)->floats = 1000000;
    refused(state_fd(s));
    state_close(s);
}

Test(state, a_place_that_is_none)
{
    cr_assert(state_new(10, "/nowhere/at/all", STATE_ON_DISK, &said) == NULL);
    cr_assert(strstr(said.data, "no room for the state of a run") && strstr(said.data, "--compile-budget 0"), "%s",
              said.data);
}

Test(state, an_environment_that_makes_no_sense)
{
    StateFile *s;
    int        lock;
    cr_assert(restart_take(&s, &lock, &said) && s == NULL && lock == -1);
    static const char *const wrong[] = {"", "yes", "state=x lock=1", "state=1 lock=-1", "state=99 lock=98"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        buf_clear(&said);
        setenv("ANERUN_RESTART", wrong[i], 1);
        cr_assert(!restart_take(&s, &lock, &said) && s == NULL, "%s", wrong[i]);
        cr_assert(strstr(said.data, "unset it") != NULL, "%s", said.data);
        cr_assert(getenv("ANERUN_RESTART") == NULL);
    }
}

/* ---- budgets ---- */

static const char *const settings[] = {"steps", "9", "data", "copy_task", NULL};

static Exec *limited(Session *s, uint64_t budget)
{
    const Plan *plan = fake_plan(arena, settings);
    Exec       *e = fake_open(plan);
    fake_knobs(e)->compiles = 10;
    fake_knobs(e)->budget = budget;
    session_init(s, arena, plan, "bigram.plan", "00000000000000000000000000000000", e);
    cr_assert(settings_from_plan(&s->settings, arena, plan, &said), "%s", said.data);
    return e;
}

Test(state, a_run_that_cannot_restart_saves_and_says_so)
{
    Session s;
    Exec   *e = limited(&s, 45); /* 4 bakes: the first, and after 3 updates */
    cr_assert(!train_run(&s, &(TrainOptions){.run = dir}, &said));
    cr_assert(strstr(said.data, "after step 4 the compile budget of a process is used up") != NULL, "%s", said.data);
    cr_assert(strstr(said.data, "ckpt-4' was saved: --resume continues") != NULL, "%s", said.data);
    cr_assert(path_exists(path_join(arena, dir, "ckpt-4")));
    session_finish(&s);
    exec_close(e);
}

Test(state, the_last_update_needs_no_budget)
{
    Session s;
    Exec   *e = limited(&s, 90); /* the programs of the ninth update would be the tenth bake; nobody runs them */
    cr_assert(train_run(&s, &(TrainOptions){.run = dir}, &said), "%s", said.data);
    cr_assert(path_exists(path_join(arena, dir, "ckpt-9")));
    session_finish(&s);
    exec_close(e);
}

Test(state, a_budget_below_one_update)
{
    Session s;
    Exec   *e = limited(&s, 9);
    cr_assert(!train_run(&s, &(TrainOptions){.run = dir}, &said));
    cr_assert(strstr(said.data, "allows 9 programs in a process, and one update of this plan needs 10") != NULL, "%s",
              said.data);
    session_finish(&s);
    exec_close(e);
}

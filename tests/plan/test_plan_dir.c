/* test_plan_dir.c: writing and opening plan directories. */
#include "base/file.h"
#include "base/hash.h"
#include "plan/plan.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const PlanFile files[] = {{"mil/layer_fwd.mil", "program\n", 8},
                                 {"src/tiny.anel", "model", 5},
                                 {"map/a.map", "", 0}};

typedef struct {
    Arena *a;
    Buf    err;
    char   base[64];
    char  *dir;
    Plan  *p;
} Place;

static Place place(void)
{
    Place pl = {.a = arena_new()};
    strcpy(pl.base, "/tmp/anel-plan-XXXXXX");
    cr_assert(mkdtemp(pl.base) != NULL);
    pl.dir = path_join(pl.a, pl.base, "plan");
    pl.p = plan_parse(pl.a, "sample", sample_plan, strlen(sample_plan), &pl.err);
    cr_assert(pl.p != NULL);
    return pl;
}

static void done(Place *pl)
{
    char why[FILE_ERR_MAX];
    dir_remove(pl->base, why);
    buf_free(&pl->err);
    arena_free(pl->a);
}

Test(plan_dir, what_is_written_opens_again_with_the_same_hash)
{
    Place pl = place();
    char  one[HASH_HEX], two[HASH_HEX], *text, why[FILE_ERR_MAX];
    size_t len;
    cr_assert(plan_write(pl.p, pl.dir, files, COUNT(files), &pl.err), "%s", pl.err.data);
    cr_assert(plan_open(pl.a, pl.dir, one, &pl.err) != NULL, "%s", pl.err.data);
    cr_assert(file_read(pl.a, path_join(pl.a, pl.dir, "mil/layer_fwd.mil"), &text, &len, why));
    cr_assert_str_eq(text, "program\n");
    /* again, in place, and with a comment in the manifest: the hash stays */
    cr_assert(plan_write(pl.p, pl.dir, files, COUNT(files), &pl.err), "%s", pl.err.data);
    char *path = path_join(pl.a, pl.dir, "plan.anep"), *commented = arena_printf(pl.a, "# hello\n%s", sample_plan);
    cr_assert(file_write(path, commented, strlen(commented), why));
    cr_assert(plan_open(pl.a, pl.dir, two, &pl.err) != NULL, "%s", pl.err.data);
    cr_assert_str_eq(one, two);
    done(&pl);
}

Test(plan_dir, nothing_is_left_beside)
{
    Place pl = place();
    cr_assert(plan_write(pl.p, pl.dir, files, COUNT(files), &pl.err));
    cr_assert(plan_write(pl.p, arena_printf(pl.a, "%s/", pl.dir), files, 1, &pl.err), "%s", pl.err.data);
    cr_assert(!path_exists(path_join(pl.a, pl.dir, "src"))); /* of the first plan */
    cr_assert(!path_exists(arena_printf(pl.a, "%s.tmp-%ld", pl.dir, (long)getpid())));
    cr_assert(!path_exists(arena_printf(pl.a, "%s.old-%ld", pl.dir, (long)getpid())));
    done(&pl);
}

Test(plan_dir, what_is_no_plan_is_not_replaced)
{
    Place pl = place();
    char  why[FILE_ERR_MAX];
    cr_assert(dir_make(pl.dir, why) && file_write(path_join(pl.a, pl.dir, "thesis.txt"), "x", 1, why));
    cr_assert(!plan_write(pl.p, pl.dir, files, COUNT(files), &pl.err));
    cr_assert(strstr(pl.err.data, "holds 'thesis.txt', which is no part of a plan") != NULL, "%s", pl.err.data);
    buf_clear(&pl.err);
    cr_assert(!plan_write(pl.p, path_join(pl.a, pl.dir, "thesis.txt"), files, COUNT(files), &pl.err));
    cr_assert(strstr(pl.err.data, "is not a directory") != NULL, "%s", pl.err.data);
    cr_assert(path_exists(path_join(pl.a, pl.dir, "thesis.txt")));
    buf_clear(&pl.err);
    char *sub = path_join(pl.a, pl.base, "sub");
    cr_assert(dir_make(path_join(pl.a, sub, "mil"), why));
    cr_assert(!plan_write(pl.p, sub, files, COUNT(files), &pl.err));
    cr_assert(strstr(pl.err.data, "is not empty and not a plan") != NULL, "%s", pl.err.data);
    done(&pl);
}

Test(plan_dir, an_empty_directory_and_a_link_to_a_plan_are_fine)
{
    Place pl = place();
    char  why[FILE_ERR_MAX], *link = path_join(pl.a, pl.base, "link");
    cr_assert(dir_make(pl.dir, why));
    cr_assert(plan_write(pl.p, pl.dir, files, COUNT(files), &pl.err), "%s", pl.err.data);
    cr_assert_eq(symlink(pl.dir, link), 0);
    cr_assert(plan_write(pl.p, link, files, COUNT(files), &pl.err), "%s", pl.err.data);
    cr_assert(plan_open(pl.a, link, NULL, &pl.err) != NULL);
    char target[64];
    cr_assert_gt(readlink(link, target, sizeof target), 0);
    done(&pl);
}

Test(plan_dir, paths_cannot_leave_the_plan)
{
    static const char *const bad[] = {"../x", "/x", "a/../../x", "", ".", "a//b", "a/", "plan.anep"};
    Place                    pl = place();
    for (size_t i = 0; i < COUNT(bad); i++) {
        PlanFile f = {bad[i], "x", 1};
        buf_clear(&pl.err);
        cr_assert(!plan_write(pl.p, pl.dir, &f, 1, &pl.err), "%s", bad[i]);
        cr_assert(strstr(pl.err.data, "is no path below a plan") != NULL, "%s", pl.err.data);
        cr_assert(!path_exists(pl.dir));
    }
    done(&pl);
}

Test(plan_dir, opening_says_what_is_missing)
{
    Place pl = place();
    cr_assert(plan_open(pl.a, pl.base, NULL, &pl.err) == NULL);
    cr_assert(strstr(pl.err.data, "is not a plan: it holds no plan.anep") != NULL, "%s", pl.err.data);
    buf_clear(&pl.err);
    cr_assert(plan_open(pl.a, pl.dir, NULL, &pl.err) == NULL);
    cr_assert(strstr(pl.err.data, "there is no plan") != NULL, "%s", pl.err.data);
    done(&pl);
}

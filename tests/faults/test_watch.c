/* test_watch.c: slow evaluations are told from a noisy machine. */
#include "exec_watch.h"

#include <criterion/criterion.h>

/* `windows` windows of which every evaluation takes `ns`, but `odd` of them a hundred times as long. */
static bool windows(Watch *w, int windows, uint64_t ns, int odd)
{
    bool slow = false;
    for (int i = 0; i < windows; i++)
        for (int k = 0; k < WATCH_WINDOW; k++)
            slow = watch_add(w, k < odd ? 100 * ns : ns);
    return slow;
}

Test(watch, what_stays_slow_is_slow)
{
    Watch w = {0};
    cr_assert_not(windows(&w, 1, 900000, 0)); /* the first evaluations are slower */
    cr_assert_not(windows(&w, WATCH_FIRST, 300000, 0));
    cr_assert_not(windows(&w, WATCH_SLOW - 1, 700000, 0));
    cr_assert(windows(&w, 1, 700000, 0));
    cr_assert(w.least == 300000 && w.last == 700000);
    watch_reset(&w);
    cr_assert_not(windows(&w, 10, 300000, 0));
    cr_assert(windows(&w, WATCH_SLOW, 700000, 0), "and once more, by the same measure");
}

Test(watch, noise_is_not)
{
    Watch w = {0};
    cr_assert_not(windows(&w, 50, 300000, WATCH_WINDOW / 2 - 1)); /* almost every other evaluation is disturbed */
    for (int i = 0; i < 50; i++) /* a busy machine for a while, again and again */
        cr_assert(!windows(&w, WATCH_SLOW - 1, 900000, 0) && !windows(&w, 1, 300000, 0));
    cr_assert_not(windows(&w, 50, 550000, 0)); /* slower, but not by a factor that a restart would be worth */
    Watch fast = {0};
    cr_assert(!windows(&fast, 5, 10000, 0) && !windows(&fast, 50, 90000, 0)); /* of microseconds there is no measure */
}

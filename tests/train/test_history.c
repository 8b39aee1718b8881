/* test_history.c: what the report of a run remembers. */
#include "runtime/train/history.h"

#include <criterion/criterion.h>
#include <math.h>

static void step(History *h, uint64_t i, double loss, bool skipped)
{
    json_t *o = json_pack("{s:s, s:I, s:o, s:f, s:b, s:I, s:{s:f, s:f}}", "event", "step", "step", (json_int_t)i, "loss",
                          isfinite(loss) ? json_real(loss) : json_null(), "lr", 0.5, "skipped", skipped, "tokens", (json_int_t)4,
                          "ms", "total", 2.0, "device", 1.5);
    history_add(h, o);
    json_decref(o);
}

static void event(History *h, const char *kind, uint64_t i)
{
    json_t *o = json_pack("{s:s, s:I}", "event", kind, "step", (json_int_t)i);
    history_add(h, o);
    json_decref(o);
}

static uint64_t number_at(const json_t *events, size_t i, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json_array_get(events, i), key));
}

Test(history, many_steps_become_means)
{
    History *h = history_new();
    for (uint64_t i = 1; i <= 5000; i++)
        step(h, i, (double)i, i % 10 == 0);
    cr_assert(h->stride == 4 && h->points == 1250, "%u points of %u steps", (unsigned)h->points, (unsigned)h->stride);
    for (uint32_t k = 0; k < h->points; k++) {
        cr_assert(h->point[k].step == 4 * (uint64_t)(k + 1) && h->point[k].n == 4);
        cr_assert(fabs(h->point[k].value[FIGURE_LOSS] - (4.0 * k + 2.5)) < 1e-9, "%g", h->point[k].value[FIGURE_LOSS]);
    }
    cr_assert(h->steps == 5000 && h->skips == 500 && h->tokens == 20000 && fabs(h->ms - 10000) < 1e-6);
    cr_assert(fabs(json_number_value(json_object_get(h->classes, "device")) - 7500) < 1e-6);
    history_free(h);
}

Test(history, values_that_are_not_finite_do_not_count)
{
    History *h = history_new();
    for (uint64_t i = 1; i <= HISTORY_POINTS + 1u; i++)
        step(h, i, i % 2 ? 3 : NAN, false);
    cr_assert(h->point[0].n == 2 && h->point[0].value[FIGURE_LOSS] == 3);
    history_free(h);
}

Test(history, a_start_goes_back)
{
    History *h = history_new();
    event(h, "start", 0);
    for (uint64_t i = 1; i <= 10; i++)
        step(h, i, (double)i, i == 8);
    event(h, "save", 10);
    event(h, "start", 6);
    cr_assert(h->points == 6 && h->steps == 6 && h->skips == 0 && json_array_size(h->events) == 2);
    step(h, 7, 70, false);
    cr_assert(h->points == 7 && h->point[6].value[FIGURE_LOSS] == 70);
    history_free(h);
}

Test(history, skipped_steps_in_a_row_are_one_event)
{
    History *h = history_new();
    for (uint64_t i = 1; i <= 9; i++)
        step(h, i, 1, (i >= 3 && i <= 5) || i == 8);
    cr_assert(json_array_size(h->events) == 2);
    cr_assert(number_at(h->events, 0, "step") == 3 && number_at(h->events, 0, "to") == 5);
    cr_assert(number_at(h->events, 1, "step") == 8 && number_at(h->events, 1, "to") == 8);
    history_free(h);
}

Test(history, too_many_events_lose_checkpoints_first)
{
    History *h = history_new();
    for (uint64_t i = 1; i <= 3000; i++)
        event(h, i % 2 ? "save" : "eval", i);
    size_t n = json_array_size(h->events), evals = 0;
    for (size_t i = 0; i < n; i++)
        evals += number_at(h->events, i, "step") % 2 == 0;
    cr_assert(n <= HISTORY_EVENTS && n + h->thinned == 3000);
    cr_assert(evals == 1500, "%zu evaluations are left", evals);
    history_free(h);
}

Test(history, json_gives_everything_back)
{
    History *h = history_new(), *back = history_new();
    event(h, "start", 0);
    for (uint64_t i = 1; i <= 5; i++)
        step(h, i, i == 2 ? NAN : 1.0 / 3, i == 2);
    json_t *state = history_json(h);
    cr_assert(history_restore(back, state));
    json_t *again = history_json(back);
    cr_assert(json_equal(state, again));
    cr_assert(!history_restore(back, json_object_get(state, "points")));
    json_decref(state);
    json_decref(again);
    history_free(h);
    history_free(back);
    history_free(NULL);
}

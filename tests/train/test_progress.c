/* test_progress.c: the text of the progress display; the bytes on a terminal are tests/people/terminal.py's. */
#include "runtime/train/progress.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static StepReport report = {.steps = 1000, .lr = 3e-4, .grad_norm = 1.25, .tokens = 512, .seconds = 0.25,
                            .class_name = {"device", "cpu ops", "data"}, .class_seconds = {0.2, 0.04, 0.0001}, .classes = 3};

static Progress run(uint64_t steps, double (*loss)(uint64_t step))
{
    Progress p = {.style = {.utf8 = false}};
    for (report.step = 1; report.step <= steps; report.step++) {
        report.loss = loss(report.step);
        progress_add(&p, &report);
    }
    report.step = steps;
    return p;
}

static double falling(uint64_t step)
{
    return 10 - 0.005 * (double)step;
}

static double broken(uint64_t step)
{
    return step % 3 ? 2 : NAN;
}

static Buf text(const Progress *p, size_t width)
{
    Buf b = {0};
    progress_text(p, &report, 75, width, &b);
    return b;
}

Test(progress, says_all_of_it)
{
    Progress p = run(500, falling);
    Buf      b = text(&p, 120);
    cr_assert(strncmp(b.data, "step 500/1000  loss 7.5000 #", 28) == 0, "%s", b.data);
    cr_assert(strstr(b.data, "_  1:15 left  2048 tokens/s\nlr 0.0003  norm 1.25  device 80%  cpu ops 16%") != NULL, "%s", b.data);
    cr_assert(strstr(b.data, "data") == NULL, "shares below 0.5 %% are left out");
    buf_free(&b);
}

Test(progress, leaves_out_what_does_not_fit)
{
    Progress p = run(500, falling);
    for (size_t width = 1; width < 130; width++) {
        Buf         b = text(&p, width);
        const char *second = strchr(b.data, '\n');
        size_t      first = second ? (size_t)(second - b.data) : b.len;
        cr_assert(first < width || width == 1, "%zu columns: %s", width, b.data);
        cr_assert((second != NULL) == (width >= 40));
        cr_assert(!second || strlen(second + 1) < width, "%zu columns: %s", width, b.data);
        if (width > 46)
            cr_assert(strstr(b.data, "left") != NULL && strstr(b.data, "loss 7.5") != NULL, "%zu columns: %s", width, b.data);
        buf_free(&b);
    }
}

Test(progress, nan_leaves_the_curve_alone)
{
    Progress p = run(5, broken);
    cr_assert(p.points == 4);
    report.grad_norm = -NAN;
    Buf b = text(&p, 100);
    cr_assert(strstr(b.data, "loss 2.0000 ____  ") != NULL && strstr(b.data, "norm nan") != NULL, "%s", b.data);
    buf_free(&b);
}

Test(progress, curve_stays_small)
{
    Progress p = run(100000, falling);
    cr_assert(p.points <= PROGRESS_POINTS && p.stride == 2048);
    cr_assert(fabs(p.point[0] - (10 - 0.005 * 1024.5)) < 1e-6, "%g", p.point[0]);
}

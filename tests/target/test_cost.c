/* test_cost.c: the cost of a program: what the formula says by hand, and whether it reproduces what is published. */
#include "base/file.h"
#include "target/points.h"
#include "target/published.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const dirs[] = {SOURCE_DIR};

/* ---- published figures ---- */

/* Every published time of the engine is predicted within a quarter; points that are left out say why, and are few. */
Test(cost, published_times_are_predicted_within_a_quarter)
{
    Arena   *a = arena_new();
    Sources *sources = sources_new(a);
    Diags   *ds = diags_new(a, sources, "test");
    Points   all = {0};
    uint32_t used = 0, left_out = 0;
    cr_assert(points_read(a, sources, SOURCE_DIR "/targets/published.points", ds, &all));
    for (uint32_t i = 0; i < all.points; i++) {
        const Point  *p = &all.point[i];
        const Target *t = target_load(a, sources, p->target, (TargetPath){dirs, 1}, ds);
        cr_assert(t != NULL, "%s", p->target);
        double ms = point_predicted(p, t), error = point_error(p, ms);
        if (!p->left_out)
            cr_expect(fabs(error) <= 0.25, "%s: published %g to %g ms, predicted %.4g (%+.0f %%)", p->name, p->low,
                      p->high, ms, 100 * error);
        else /* a point that would fit is not left out */
            cr_expect(fabs(error) > 0.25 && strlen(p->left_out) > 10, "%s", p->name);
        used += !p->left_out;
        left_out += p->left_out != NULL;
    }
    cr_expect_eq(used, 33, "%u", used);
    cr_expect_eq(left_out, 2, "%u", left_out);
    arena_free(a);
}

/* ---- the formula ---- */

static Target simple(void)
{
    Target t = *target_any();
    t.dispatch = 100;                         /* us */
    t.peak = 10, t.peak_matmul = 5;           /* Tflop/s: 10 and 5 flops a ps */
    t.weight_bandwidth = 50, t.notch_bandwidth = 10; /* GB/s */
    t.bandwidth = 20, t.elementwise = 200;
    return t;
}

Test(cost, terms_add_up_and_weights_stream_beside_convolutions)
{
    Target t = simple();
    Work   none = {0};
    cr_expect_eq(cost_run_ns(&t, &none), 100000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.conv_flops = 1000000000}), 200000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.weight_bytes = 1000000}), 120000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.conv_flops = 1000000000, .weight_bytes = 1000000}), 200000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.conv_flops = 1000000000, .weight_bytes = 10000000}), 300000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.matmul_flops = 1000000000, .inner_bytes = 2000000}), 310000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.in_bytes = 200000, .out_bytes = 100000, .spill_bytes = 100000}), 120000);
    cr_expect_eq(cost_run_ns(&t, &(Work){.weight_bytes = 1000000, .notch_bytes = 500000}), 160000);
    t.weight_notch = false;
    cr_expect_eq(cost_run_ns(&t, &(Work){.weight_bytes = 1000000, .notch_bytes = 500000}), 120000);
}

Test(cost, more_work_never_costs_less)
{
    static const char *const name[] = {"any", "m1", "m2", "m3", "m4", "m4-max", "m5"};
    Arena                   *a = arena_new();
    Sources                 *sources = sources_new(a);
    for (size_t i = 0; i < COUNT(name); i++) {
        const Target *t = target_load(a, sources, name[i], (TargetPath){dirs, 1}, diags_new(a, sources, "test"));
        cr_assert(t != NULL);
        for (uint32_t k = 0; k < 9; k++) {
            Work w = {1u << 30, 1u << 28, 1u << 22, 1u << 20, 1u << 20, 1u << 23, 0, 0, 20}, more = w;
            uint64_t *const field[] = {&more.conv_flops, &more.matmul_flops, &more.inner_bytes, &more.in_bytes,
                                       &more.out_bytes,  &more.weight_bytes, &more.notch_bytes, &more.spill_bytes};
            if (k < 8)
                *field[k] += 1 << 23;
            else
                more.ops += 10;
            cr_expect_geq(cost_run_ns(t, &more), cost_run_ns(t, &w), "%s, term %u", name[i], k);
            cr_expect_geq(cost_compile_ns(t, &more), cost_compile_ns(t, &w));
        }
    }
    arena_free(a);
}

Test(cost, the_notch_is_where_it_was_seen)
{
    static const uint32_t on[][2] = {{1024, 8192}, {2048, 4096}, {4096, 4096}, {2048, 8192}, {8192, 2048}};
    static const uint32_t off[][2] = {{768, 768},   {2048, 768}, {768, 2048}, {3072, 3072},
                                      {2048, 2048}, {1, 1},      {32000, 768}};
    for (size_t i = 0; i < COUNT(on); i++)
        cr_expect(work_notched(on[i][0], on[i][1]), "%u x %u", on[i][0], on[i][1]);
    for (size_t i = 0; i < COUNT(off); i++)
        cr_expect_not(work_notched(off[i][0], off[i][1]), "%u x %u", off[i][0], off[i][1]);
    cr_expect(work_notched(16, 524288 - 8192)); /* 16 KiB below 1 MiB */
    cr_expect_not(work_notched(16, 524288 - 8193));
    cr_expect_not(work_notched(16, 8192)); /* near zero is not near a multiple */
}

Test(cost, a_large_program_takes_minutes_to_compile)
{
    const Target *t = target_any();
    cr_expect_leq(cost_compile_ns(t, &(Work){.ops = 20}), 100000000);
    /* eight layers, forward and backward, in one program: 162 s */
    double s = (double)cost_compile_ns(t, &(Work){.ops = 1000}) / 1e9;
    cr_expect(s > 162 * 0.75 && s < 162 * 1.25, "%g", s);
}

/* ---- the published programs ---- */

/* Channels as published, and the bytes that follow from them: 23,461,888 per layer at 256 positions and 59,506,688 at
 * 512. */
Test(published, channels_and_bytes_are_the_published_ones)
{
    static const struct {
        uint64_t seq, bytes;
    } c[] = {{256, 23461888}, {512, 59506688}};
    for (size_t i = 0; i < COUNT(c); i++) {
        const uint64_t  d = 768, h = 2048, hs = 12 * c[i].seq;
        const uint64_t  in[] = {d, d, d + 2 * h, 4 * d, 2 * hs + 2 * d, 3 * d};
        const uint64_t  out[] = {6 * d, 2 * d + 3 * h, d + 2 * h, d + 2 * hs, 2 * d, d};
        PublishedKernel k[PUBLISHED_KERNELS];
        uint64_t        bytes = 0, flops = 0, weights = 0;
        published_layer((LayerDims){d, h, 12, c[i].seq}, k);
        for (uint32_t j = 0; j < PUBLISHED_KERNELS; j++) {
            cr_expect_eq(k[j].in, in[j], "%s", k[j].name);
            cr_expect_eq(k[j].out, out[j], "%s", k[j].name);
            cr_expect_eq(k[j].work.in_bytes, 2 * in[j] * c[i].seq);
            bytes += k[j].work.in_bytes + k[j].work.out_bytes;
            flops += k[j].work.conv_flops;
            weights += k[j].weights;
        }
        cr_expect_eq(bytes, c[i].bytes);
        cr_expect_eq(weights, 5);
        /* forward and activation gradients: each weight twice, each twice per position */
        cr_expect_eq(flops, 4 * c[i].seq * (4 * d * d + 3 * d * h));
    }
}

/* ---- the file of points ---- */

Test(points, mistakes_are_told)
{
    static const struct {
        const char *text, *says;
    } c[] = {
        {"ms 3\n", "before the first point"},
        {"point\n", "needs a name"},
        {"point \"a\"\nms 0\n", "positive number"},
        {"point \"a\"\nms 3 2\n", "smaller end"},
        {"point \"a\"\nms 1 2 3\n", "two ends"},
        {"point \"a\"\ntarget m4\nms 1\nsource \"x\"\n", "not complete"},
        {"point \"a\"\npoint \"b\"\n", "not complete"},
        {"point \"a\"\nconv 1 1 1\n", "without a program"},
        {"point \"a\"\nprograms 0\n", "whole number"},
        {"point \"a\"\nprograms 1\nconv 1 1\n", "wrong number of figures"},
        {"point \"a\"\nprograms 1\nconv 1 1 1 1 1 shared\n", "wrong number of figures"},
        {"point \"a\"\nprograms 1\nkernel\n", "which kernel"},
        {"point \"a\"\nprograms 1\nkernel none 1 1 1 1\n", "no such kernel"},
        {"point \"a\"\nprogram 1\n", "programs"},
        {"point \"a\"\ntarget m4\ntarget m4\n", "once"},
        {"point \"a\n", "not closed"},
    };
    for (size_t i = 0; i < COUNT(c); i++) {
        Arena   *a = arena_new();
        Sources *sources = sources_new(a);
        Diags   *ds = diags_new(a, sources, "test");
        Points   all = {0};
        char     path[] = "/tmp/anel-points-XXXXXX", err[FILE_ERR_MAX];
        close(mkstemp(path));
        cr_assert(file_write(path, c[i].text, strlen(c[i].text), err));
        cr_expect_not(points_read(a, sources, path, ds, &all), "%s", c[i].text);
        Buf b = {0};
        diags_render(ds, &b);
        cr_expect(b.data && strstr(b.data, c[i].says) != NULL, "%s: %s", c[i].text, b.data);
        buf_free(&b);
        unlink(path);
        arena_free(a);
    }
}

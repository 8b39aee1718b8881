/* ask_times.c: the series of published benchmarks: what is timed, and in which sizes. Rates come from all of it together
 * (fit.c); the figures here are what one program alone shows. */
#include "probe/probe.h"

#include "probe/work.h"

#include <inttypes.h>
#include <string.h>

bool sample(Probe *p, const char *series, const char *what, const char *template, const char *with, Sample *out)
{
    Outcome o = ask(p, (Asked){.template = template, .values = with, .times = p->simulated ? 1 : p->repeats});
    if (o.kind != OUTCOME_RAN || o.wall_us <= 0)
        return false;
    *out = (Sample){.series = series, .what = what, .work = work_of(p), .us = o.wall_us, .engine_us = o.engine_us};
    if (p->compilations < COUNT(p->compiled) && strcmp(series, "compile") == 0) {
        p->compiled[p->compilations].ops = out->work.ops;
        p->compiled[p->compilations++].ms = o.compile_ms;
    }
    GROW(p->arena, p->sample, p->samples, p->samples_cap);
    p->sample[p->samples++] = *out;
    return true;
}

/* The rate of the sample just taken, `amount` per microsecond times `unit_scale`. */
static double rate(Probe *p, const Sample *s, double amount, double scale, const char *unit)
{
    Sample *kept = &p->sample[p->samples - 1];
    kept->rate = s->us > 0 ? amount / s->us * scale : 0;
    kept->unit = unit;
    return kept->rate;
}

static void series_end(Probe *p, const Question *q, uint32_t ran, uint32_t all, double best, const char *unit)
{
    if (!ran)
        open_question(p, q, "none of %u programs ran, or the device tells no times", all);
    else
        found(p, q, values(p, "%u programs", ran), "%.3g %s", best, unit);
}

void ask_dispatch(Probe *p, const Question *q)
{
    Sample s;
    if (sample(p, "dispatch", "64 channels, 64 positions", "port", "channels=64\nwidth=64", &s))
        found(p, q, s.engine_us > 0 ? values(p, "%.4g us of it on the engine", s.engine_us) : "for one small addition", "%.4g us", s.us);
    else
        open_question(p, q, "the program does not run, or the device tells no times");
}

/* Convolutions: Tflop/s of one program, dispatch included. */
static void convolutions(Probe *p, const Question *q, const char *series, const uint32_t (*size)[3], uint32_t n)
{
    double   best = 0;
    uint32_t ran = 0;
    for (uint32_t i = 0; i < n; i++) {
        Sample s;
        if (!sample(p, series, values(p, "%u channels, %u positions, depth %u", size[i][0], size[i][1], size[i][2]), "chain",
                    values(p, "channels=%u\nwidth=%u\ndepth=%u", size[i][0], size[i][1], size[i][2]), &s))
            continue;
        double tf = rate(p, &s, (double)s.work.conv_flops, 1e-6, "Tflop/s");
        best = tf > best ? tf : best;
        ran++;
    }
    series_end(p, q, ran, n, best, "Tflop/s");
}

void ask_chain(Probe *p, const Question *q)
{
    /* those of maderix/ANE (docs/engine.md E364) */
    static const uint32_t whole[][3] = {{512, 64, 32}, {512, 64, 48}, {512, 64, 64}, {512, 64, 96}, {512, 64, 128}, {256, 64, 64}, {256, 64, 256}};
    static const uint32_t quick[][3] = {{128, 64, 16}, {128, 64, 32}, {128, 64, 64}};
    convolutions(p, q, "chain", p->quick ? quick : whole, p->quick ? COUNT(quick) : COUNT(whole));
}

void ask_spatial(Probe *p, const Question *q)
{
    static const uint32_t whole[][3] = {{512, 64, 16}, {512, 256, 16}, {512, 1024, 16}, {512, 2048, 16}};
    static const uint32_t quick[][3] = {{128, 128, 16}, {128, 256, 16}};
    convolutions(p, q, "spatial", p->quick ? quick : whole, p->quick ? COUNT(quick) : COUNT(whole));
}

void ask_products(Probe *p, const Question *q)
{
    static const uint32_t whole[][2] = {{256, 4}, {512, 2}, {512, 8}, {1024, 4}}, quick[][2] = {{64, 4}, {128, 2}, {128, 8}};
    const uint32_t(*size)[2] = p->quick ? quick : whole;
    uint32_t n = p->quick ? COUNT(quick) : COUNT(whole), ran = 0;
    double   best = 0;
    for (uint32_t i = 0; i < n; i++) {
        Sample s;
        if (!sample(p, "products", values(p, "%u x %u, depth %u", size[i][0], size[i][0], size[i][1]), "products",
                    values(p, "size=%u\ndepth=%u", size[i][0], size[i][1]), &s))
            continue;
        double tf = rate(p, &s, (double)s.work.matmul_flops, 1e-6, "Tflop/s");
        best = tf > best ? tf : best;
        ran++;
    }
    series_end(p, q, ran, n, best, "Tflop/s");
}

static void streams(Probe *p, const Question *q, const char *series, const uint32_t (*size)[2], uint32_t n)
{
    double   best = 0;
    uint32_t ran = 0;
    for (uint32_t i = 0; i < n; i++) {
        Sample s;
        if (!sample(p, series, values(p, "[%u, %u] at 64 positions", size[i][1], size[i][0]), "stream",
                    values(p, "in=%u\nout=%u\nw_0:ones", size[i][0], size[i][1]), &s))
            continue;
        double gb = rate(p, &s, (double)s.work.weight_bytes, 1e-3, "GB/s");
        best = gb > best ? gb : best;
        ran++;
    }
    series_end(p, q, ran, n, best, "GB/s");
}

void ask_stream(Probe *p, const Question *q)
{
    static const uint32_t whole[][2] = {{512, 512}, {1024, 1024}, {1536, 1536}, {2048, 2048}, {3072, 3072}};
    static const uint32_t quick[][2] = {{256, 256}, {512, 512}, {768, 768}};
    streams(p, q, "stream", p->quick ? quick : whole, p->quick ? COUNT(quick) : COUNT(whole));
}

void ask_notch(Probe *p, const Question *q)
{
    /* 8,388,608 elements: 1 MiB for each of 16 parts */
    static const uint32_t whole[][2] = {{2048, 4096}, {4096, 2048}, {4096, 4096}}, quick[][2] = {{2048, 4096}};
    streams(p, q, "notch", p->quick ? quick : whole, p->quick ? COUNT(quick) : COUNT(whole));
}

void ask_surfaces(Probe *p, const Question *q)
{
    static const uint32_t whole[][2] = {{64, 256}, {256, 256}, {1024, 256}, {1024, 1024}, {1024, 4096}};
    static const uint32_t quick[][2] = {{64, 256}, {128, 512}, {256, 1024}};
    const uint32_t(*size)[2] = p->quick ? quick : whole;
    uint32_t n = p->quick ? COUNT(quick) : COUNT(whole), ran = 0;
    double   best = 0;
    for (uint32_t i = 0; i < n; i++) {
        Sample s;
        if (!sample(p, "surfaces", values(p, "[%u, %u] in and out", size[i][0], size[i][1]), "port",
                    values(p, "channels=%u\nwidth=%u", size[i][0], size[i][1]), &s))
            continue;
        double gb = rate(p, &s, (double)(s.work.in_bytes + s.work.out_bytes), 1e-3, "GB/s");
        best = gb > best ? gb : best;
        ran++;
    }
    series_end(p, q, ran, n, best, "GB/s");
}

void ask_elementwise(Probe *p, const Question *q)
{
    static const uint32_t depth[] = {4, 16, 64};
    uint32_t              size = p->quick ? 128 : 512, ran = 0;
    double                best = 0;
    for (uint32_t i = 0; i < COUNT(depth); i++) {
        Sample s;
        if (!sample(p, "elementwise", values(p, "[%u, %u], depth %u", size, size, depth[i]), "elementwise",
                    values(p, "channels=%u\nwidth=%u\ndepth=%u", size, size, depth[i]), &s))
            continue;
        double gb = rate(p, &s, (double)s.work.inner_bytes, 1e-3, "GB/s");
        best = gb > best ? gb : best;
        ran++;
    }
    series_end(p, q, ran, COUNT(depth), best, "GB/s");
}

/* The rate between two depths is that of the operations alone. From where it falls, values have left the chip. */
void ask_working_set(Probe *p, const Question *q)
{
    uint32_t most = p->quick ? 512 : 8192, samples = p->samples, tried = 0;
    double   best = 0;
    int64_t  good = 0, bad = 0;
    for (uint32_t width = 128; width <= most && !bad; width *= 2) {
        Sample s[2];
        bool   ran = true;
        for (int d = 0; d < 2 && ran; d++)
            ran = sample(p, "working-set", values(p, "[1024, %u], depth %d", width, d ? 24 : 8), "elementwise",
                         values(p, "channels=1024\nwidth=%u\ndepth=%d", width, d ? 24 : 8), &s[d]);
        if (!ran || s[1].us <= s[0].us)
            break;
        double gb = (double)(s[1].work.inner_bytes - s[0].work.inner_bytes) / (s[1].us - s[0].us) * 1e-3;
        tried++;
        p->sample[p->samples - 1].rate = gb;
        p->sample[p->samples - 1].unit = "GB/s on chip";
        *(best > 0 && gb < 0.7 * best ? &bad : &good) = 3 * 1024 * 2 * (int64_t)width; /* two operands and a result */
        best = gb > best ? gb : best;
    }
    (void)samples;
    if (bad)
        found(p, q, values(p, "%.3g GB/s up to there, a third less with twice as much", best), "%" PRId64, good);
    else if (tried)
        open_question(p, q, "no slower up to a working set of %" PRId64 " bytes: %.3g GB/s", good, best);
    else
        open_question(p, q, "the programs do not run, or the device tells no times");
}

void ask_compile(Probe *p, const Question *q)
{
    static const uint32_t ops[] = {8, 32, 64, 128, 256, 384, 512};
    uint32_t              ran = 0;
    for (uint32_t i = 0; i < COUNT(ops); i++) {
        Sample s; /* two operations more than the depth */
        ran += sample(p, "compile", values(p, "%u operations", ops[i]), "elementwise", values(p, "depth=%u", ops[i] - 2), &s);
    }
    if (ran < 3 || p->compiled[0].ms <= 0)
        open_question(p, q, "the programs do not compile, or the device tells no times");
    else
        found(p, q, values(p, "%.4g ms for %u operations", p->compiled[p->compilations - 1].ms, p->compiled[p->compilations - 1].ops),
              "%.4g ms for %u operations", p->compiled[0].ms, p->compiled[0].ops);
}

void ask_load(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "conv"});
    if (o.kind == OUTCOME_RAN && o.load_ms > 0)
        found(p, q, "", "%.3g", o.load_ms);
    else
        open_question(p, q, o.kind == OUTCOME_RAN ? "the device tells no time" : "the program %s: %s", outcome_name[o.kind], o.why);
}

void ask_reload_time(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "conv", .kind = TRIAL_RELOAD});
    if (o.kind == OUTCOME_RAN && o.reload_ms > 0)
        found(p, q, "", "%.3g", o.reload_ms);
    else if (o.kind == OUTCOME_RAN)
        open_question(p, q, "the device tells no time");
    else
        open_question(p, q, "%s: %s", outcome_name[o.kind], o.why);
}

void ask_surface_cost(Probe *p, const Question *q)
{
    Outcome o = {.why = ""};
    if (p->simulated) {
        open_question(p, q, "the times of this device are simulated, and no surface is a program");
        return;
    }
    o = ask(p, (Asked){.kind = TRIAL_SURFACES, .times = 64, .surface = 1 << 20});
    if (o.kind == OUTCOME_RAN)
        found(p, q, values(p, "locking and unlocking takes %.3g us", o.lock_us), "%.3g us for 1 MiB", o.make_us);
    else
        open_question(p, q, "%s: %s", outcome_name[o.kind], o.why);
}

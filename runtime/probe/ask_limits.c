/* ask_limits.c: how many, how long, how small: questions whose answer is a number found by trying numbers, and those about
 * programs as a whole. What is compiled passes its input through, so that a program that runs and gives something else
 * counts as one that does not work: engines were seen to do that (docs/engine.md E222). */
#include "probe/probe.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- programs in a process ---- */

void ask_compile_limit(Probe *p, const Question *q)
{
    const uint32_t most = p->quick ? 160 : 256;
    Outcome keep = ask(p, (Asked){.template = "number", .kind = TRIAL_COUNT, .times = most});
    Outcome free = ask(p, (Asked){.template = "number", .kind = TRIAL_RELEASE, .times = most});
    if (keep.kind != OUTCOME_RAN || free.kind != OUTCOME_RAN) {
        const Outcome *bad = keep.kind != OUTCOME_RAN ? &keep : &free;
        open_question(p, q, "compiling many programs %s: %s", outcome_name[bad->kind], bad->why);
        return;
    }
    uint32_t least = keep.count < free.count ? keep.count : free.count;
    if (least < most) {
        /* every other trial stays below it */
        p->server.share = least < 2 ? 1 : least - 1 < p->server.share ? least - 1 : p->server.share;
        found(p, q, values(p, "%s%u kept alive, %s%u when each is freed before the next", keep.count < most ? "" : "more than ",
                           keep.count, free.count < most ? "" : "more than ", free.count), "%u", least);
    } else
        open_question(p, q, "more than %u, kept alive or freed", most);
}

/* ---- inputs and outputs ---- */

static bool shape_works(Probe *p, int64_t channels, int64_t width)
{
    Outcome o = ask(p, (Asked){.template = "port", .values = values(p, "channels=%" PRId64 "\nwidth=%" PRId64, channels, width),
                               .outputs = true});
    bool ok = o.kind == OUTCOME_RAN && o.outputs == 1;
    for (int64_t i = 0; ok && i < o.elements[0]; i++)
        ok = o.output[0][i] == 2 * held(p, NULL, "i00_x", 1, i);
    return ok;
}

static bool width_works(Probe *p, const void *with, int64_t n)
{
    return shape_works(p, *(const int64_t *)with, n);
}

static bool channels_work(Probe *p, const void *with, int64_t n)
{
    return shape_works(p, n, *(const int64_t *)with);
}

enum { SAFE_CHANNELS = 960, SAFE_WIDTH = 960 }; /* multiples of everything small */

void ask_io_width(Probe *p, const Question *q)
{
    int64_t channels = SAFE_CHANNELS, m = search_multiple(p, width_works, &channels, 64, p->base->io_width_multiple);
    if (m)
        found(p, q, values(p, "multiples of it come out right, with %d channels", SAFE_CHANNELS), "%" PRId64, m);
    else
        open_question(p, q, "no multiple of a number up to 64 works");
}

void ask_io_channels(Probe *p, const Question *q)
{
    int64_t width = SAFE_WIDTH, m = search_multiple(p, channels_work, &width, 64, p->base->io_channel_multiple);
    if (m)
        found(p, q, values(p, "multiples of it come out right, %d wide", SAFE_WIDTH), "%" PRId64, m);
    else
        open_question(p, q, "no multiple of a number up to 64 works");
}

typedef struct {
    int64_t width, step;
} Steps;

static bool steps_work(Probe *p, const void *with, int64_t n)
{
    const Steps *s = with;
    return shape_works(p, n * s->step, s->width);
}

void ask_io_min_channels(Probe *p, const Question *q)
{
    const char *multiple = found_value(p, FACT_io_channel_multiple);
    Steps       s = {SAFE_WIDTH, p->base->io_channel_multiple};
    if (multiple)
        s.step = strtoll(multiple, NULL, 10);
    int64_t most = 1024 / s.step + 1, n = search_smallest(p, steps_work, &s, 1, most, p->base->io_min_channels / s.step);
    if (n <= most)
        found(p, q, values(p, "in steps of %" PRId64, s.step), "%" PRId64, n * s.step);
    else
        open_question(p, q, "not with %" PRId64 " either", most * s.step);
}

void ask_io(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "several", .outputs = true});
    if (o.kind != OUTCOME_RAN) {
        found(p, q, values(p, "three inputs and outputs of different sizes: %s: %s", outcome_name[o.kind], o.why), "single");
        return;
    }
    bool ok = o.outputs == 3;
    for (int64_t i = 0; ok && i < o.elements[0]; i++)
        ok = o.output[0][i] == 2 * held(p, NULL, "i01_w", 1, i);
    for (int64_t i = 0; ok && i < o.elements[1]; i++)
        ok = o.output[1][i] == held(p, NULL, "i00_x", 1, i) * held(p, NULL, "i00_x", 1, i);
    for (int64_t i = 0; ok && i < o.elements[2]; i++) {
        double x = held(p, NULL, "i02_v", 1, i);
        ok = o.output[2][i] == (x > 0 ? x : 0);
    }
    found(p, q, ok ? "three inputs and outputs of different sizes come out right" : "three inputs and outputs run, and come out wrong",
          "%s", ok ? "multi" : "single");
}

void ask_io_order(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "order", .outputs = true});
    if (o.kind != OUTCOME_RAN) {
        found(p, q, o.why, "%s", outcome_name[o.kind]);
        return;
    }
    /* declared o01_z = x - w, o00_y = x + x */
    bool right = o.outputs == 2, swapped = o.outputs == 2;
    for (int64_t i = 0; right + swapped && i < o.elements[0]; i++) {
        double x = held(p, NULL, "i00_x", 1, i), w = held(p, NULL, "i01_w", 1, i);
        right = right && o.output[0][i] == x - w && o.output[1][i] == x + x;
        swapped = swapped && !(o.output[0][i] == x - w && o.output[1][i] == x + x && x + x != x - w);
    }
    found(p, q, "bound by name, declared in the reverse of alphabetical order", right ? "yes" : swapped ? "no: swapped" : "no: wrong numbers");
}

static bool surface_works(Probe *p, const void *with, int64_t n)
{
    Outcome o = ask(p, (Asked){.template = "port", .values = values(p, "channels=64\nwidth=%" PRId64, *(const int64_t *)with),
                               .surface = (size_t)n, .outputs = true});
    bool    ok = o.kind == OUTCOME_RAN && o.outputs == 1;
    for (int64_t i = 0; ok && i < o.elements[0]; i++)
        ok = o.output[0][i] == 2 * held(p, NULL, "i00_x", 1, i);
    return ok;
}

void ask_surface_min(Probe *p, const Question *q)
{
    const char   *multiple = found_value(p, FACT_io_width_multiple);
    int64_t       step = multiple ? strtoll(multiple, NULL, 10) : p->base->io_width_multiple;
    const int64_t width = (16 + step - 1) / step * step, port = 64 * width * 2, most = 1 << 20;
    int64_t       n = search_smallest(p, surface_works, &width, port, most, p->base->surface_min);
    if (n > most)
        open_question(p, q, "a port of %" PRId64 " bytes is not evaluated with surfaces of %" PRId64 " bytes either", port, most);
    else
        found(p, q, n == port ? "as small as its port" : values(p, "for a port of %" PRId64 " bytes", port), "%" PRId64, n);
}

/* ---- weights ---- */

static bool weights_work(Probe *p, const void *with, int64_t n)
{
    (void)with;
    return ask(p, (Asked){.template = "weights", .values = values(p, "count=%" PRId64, n)}).kind == OUTCOME_RAN;
}

void ask_weights(Probe *p, const Question *q)
{
    const int64_t one = 512 * 512 * 2, most = p->quick ? 4 : 64;
    int64_t       n = search_largest(p, weights_work, NULL, 1, most, -1);
    if (n == most)
        open_question(p, q, "more than %" PRId64 " bytes; not tried further", n * one);
    else if (n)
        found(p, q, "in steps of half a MiB", "%" PRId64, n * one);
    else
        open_question(p, q, "a convolution of 512 channels does not run");
}

void ask_conv_bias(Probe *p, const Question *q)
{
    Outcome file = ask(p, (Asked){.template = "conv_bias", .outputs = true});
    bool    ok = file.kind == OUTCOME_RAN && file.outputs == 1;
    for (int64_t c = 0; ok && c < 64; c++)
        for (int64_t t = 0; ok && t < 64; t++) {
            double sum = held(p, NULL, "b_0", 1, c);
            for (int64_t i = 0; i < 64; i++)
                sum += held(p, NULL, "w_0", 1, c * 64 + i) * held(p, NULL, "i00_x", 1, i * 64 + t);
            ok = file.output[0][c * 64 + t] == sum;
        }
    Outcome text = ask(p, (Asked){.template = "conv_bias_inline"});
    found(p, q, values(p, "from a weight file: %s%s; written in the text: %s", outcome_name[file.kind],
                       file.kind == OUTCOME_RAN && !ok ? ", with wrong numbers" : "", outcome_name[text.kind]),
          "%s", ok ? "yes" : "no");
}

/* After a reload, are the results those of weights of this version? */
static bool are_of(const Probe *p, const Outcome *o, uint32_t output, uint32_t version)
{
    for (int64_t c = 0; c < 64; c++)
        for (int64_t t = 0; t < 64; t++) {
            double sum = 0;
            for (int64_t i = 0; i < 64; i++)
                sum += held(p, NULL, "w_0", version, c * 64 + i) * held(p, NULL, "i00_x", 1, i * 64 + t);
            if (o->output[output][c * 64 + t] != sum)
                return false;
        }
    return true;
}

void ask_reload(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "conv", .kind = TRIAL_RELOAD, .outputs = true});
    if (o.kind != OUTCOME_RAN && o.outputs == 0)
        open_question(p, q, "a convolution %s: %s", outcome_name[o.kind], o.why);
    else if (o.kind != OUTCOME_RAN)
        found(p, q, o.why, "no");
    else if (are_of(p, &o, 1, 2))
        found(p, q, "a reloaded program computes with its new weights", "yes");
    else
        found(p, q, are_of(p, &o, 1, 1) ? "a reloaded program computes with its old weights" : "a reloaded program computes nonsense", "no");
}

/* ---- shapes ---- */

void ask_rank(Probe *p, const Question *q)
{
    Outcome o;
    bool    five = ask_echo(p, "rank", NULL, &o);
    found(p, q, values(p, "five axes: %s%s%s; six cannot be written here", o.kind == OUTCOME_RAN && !five ? "wrong numbers" : outcome_name[o.kind],
                       *o.why ? ": " : "", o.why), "%d", five ? 5 : 4);
}

typedef struct {
    const char *template, *place;
} Extent;

static bool extent_works(Probe *p, const void *with, int64_t n)
{
    const Extent *e = with;
    Outcome       o;
    return ask_echo(p, e->template, values(p, "%s=%" PRId64, e->place, n), &o);
}

void ask_axis(Probe *p, const Question *q)
{
    const int64_t       low = 64, high = p->quick ? 32768 : 131072;
    static const Extent width = {"axis_width", "width"}, height = {"axis_height", "height"}, terms = {"axis_terms", "terms"};
    int64_t n = search_largest(p, extent_works, &width, low, high, p->base->max_axis), w = n, h, k;
    if (n < low) {
        open_question(p, q, "a value %" PRId64 " wide does not run", low);
        return;
    }
    /* the others are nearly always the same: they are searched where they are not */
    h = extent_works(p, &height, n) ? n : search_largest(p, extent_works, &height, low, n - 1, -1);
    n = h < n ? h : n;
    int64_t even = n / 64 * 64; /* of terms only multiples of something may be right: another question */
    k = extent_works(p, &terms, even) ? n : search_largest(p, extent_works, &terms, low, even - 1, -1);
    n = k < n ? k : n;
    const char *note = w == h && h == k ? "width, height and contracted axis alike"
                                        : values(p, "width %" PRId64 ", height %" PRId64 ", contracted axis %" PRId64, w, h, k);
    if (n == high)
        open_question(p, q, "more than %" PRId64 "; not tried further", high - 1);
    else
        found(p, q, note, "%" PRId64, n);
}

static void extent(Probe *p, const Question *q, const Extent *e, int64_t high, int64_t hint)
{
    int64_t n = search_largest(p, extent_works, e, 64, high, hint);
    if (n == high)
        open_question(p, q, "more than %" PRId64 "; not tried further", high - 1);
    else if (n < 64)
        open_question(p, q, "64 channels do not run");
    else
        found(p, q, "", "%" PRId64, n);
}

void ask_channels(Probe *p, const Question *q)
{
    static const Extent e = {"channels", "channels"};
    extent(p, q, &e, p->quick ? 32768 : 131072, p->base->max_channels);
}

void ask_conv_in(Probe *p, const Question *q)
{
    static const Extent e = {"conv_in", "channels"};
    extent(p, q, &e, p->quick ? 32768 : 131072, p->base->max_conv_in);
}

static bool terms_work(Probe *p, const void *with, int64_t n)
{
    int64_t width = (n + 959) / 960 * 960;
    (void)with;
    Outcome o = ask(p, (Asked){.template = "matmul_k", .values = values(p, "terms=%" PRId64 "\nwidth=%" PRId64, n, width), .outputs = true});
    bool    ok = o.kind == OUTCOME_RAN && o.outputs == 1;
    for (int64_t i = 0; ok && i < 64; i += 3)
        for (int64_t k = 0; ok && k < 64; k += 21) { /* some of each row */
            double sum = 0;
            for (int64_t t = 0; t < n; t++)
                sum += held(p, "sign", "i00_x", 1, i * width + t) * held(p, "sign", "i00_x", 1, k * width + t);
            double got = o.output[0][i * 64 + k], off = got - sum;
            ok = off <= n * 1e-3 && off >= -n * 1e-3;
        }
    return ok;
}

void ask_matmul_k(Probe *p, const Question *q)
{
    int64_t m = search_multiple(p, terms_work, NULL, 64, p->base->matmul_k_multiple);
    if (m)
        found(p, q, "products over multiples of it come out right", "%" PRId64, m);
    else
        open_question(p, q, "no multiple of a number up to 64 works");
}

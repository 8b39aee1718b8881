/* fit.c: rates from times, by least squares.
 *
 * The cost model (target/cost.h) is linear in one over its rates, but for convolutions, where arithmetic or weights count,
 * whichever takes longer. So: assume for each sample which of the two it is, solve, look which it is with these rates, and
 * solve again until nothing changes. Each sample counts by its relative error. A rate that the samples do not determine
 * stays open. */
#include "probe/probe.h"

#include <math.h>
#include <string.h>

enum { ONCE, CONV, WEIGHTS, NOTCH, MATMUL, INNER, SURFACES, UNKNOWNS };

static const Question rate_question[UNKNOWNS] = {
    [ONCE] = {"rates", "overhead", FACT_dispatch, NULL, "overhead of one evaluation", "E331"},
    [CONV] = {"rates", "peak", FACT_peak, NULL, "1x1 convolutions inside one program", "E361"},
    [WEIGHTS] = {"rates", "weight-bandwidth", FACT_weight_bandwidth, NULL, "constant weights", "E366"},
    [NOTCH] = {"rates", "notch-bandwidth", FACT_notch_bandwidth, NULL, "constant weights of certain sizes", "E367"},
    [MATMUL] = {"rates", "peak-matmul", FACT_peak_matmul, NULL, "products of two activations", "E362"},
    [INNER] = {"rates", "elementwise-rate", FACT_elementwise, NULL, "elementwise work on the chip", "E371"},
    [SURFACES] = {"rates", "bandwidth", FACT_bandwidth, NULL, "inputs and outputs", "E371"},
};
static const Question notch_question = {"rates", "weight-notch", FACT_weight_notch, NULL, "do weights of certain sizes stream slowly?", "E367"};
static const Question compile_question[] = {
    {"rates", "compile-fixed", FACT_compile_fixed, NULL, "compiling a program: fixed part", "E306"},
    {"rates", "compile-op", FACT_compile_op, NULL, "and per operation", "E306"},
    {"rates", "compile-knee", FACT_compile_knee, NULL, "operations up to which compile time is linear", "E307"},
};

/* Solve for x the least squares of a x = b, `rows` by `n`, by elimination of the normal equations of scaled columns.
 * known[i]: the rows determine x[i]; others are 0. */
static void solve(double (*a)[UNKNOWNS], const double *b, uint32_t rows, double *x, bool *known)
{
    double m[UNKNOWNS][UNKNOWNS + 1] = {{0}}, scale[UNKNOWNS] = {0};
    for (uint32_t r = 0; r < rows; r++)
        for (int i = 0; i < UNKNOWNS; i++)
            scale[i] += a[r][i] * a[r][i];
    for (int i = 0; i < UNKNOWNS; i++)
        scale[i] = scale[i] > 0 ? 1 / sqrt(scale[i]) : 0;
    for (uint32_t r = 0; r < rows; r++)
        for (int i = 0; i < UNKNOWNS; i++) {
            for (int k = 0; k < UNKNOWNS; k++)
                m[i][k] += a[r][i] * scale[i] * a[r][k] * scale[k];
            m[i][UNKNOWNS] += a[r][i] * scale[i] * b[r];
        }
    bool used[UNKNOWNS] = {false};
    for (int step = 0; step < UNKNOWNS; step++) { /* symmetric pivots: what is left of a unit diagonal */
        int best = -1;
        for (int i = 0; i < UNKNOWNS; i++)
            if (!used[i] && m[i][i] > 1e-7 && (best < 0 || m[i][i] > m[best][best]))
                best = i;
        if (best < 0)
            break;
        used[best] = true;
        for (int i = 0; i < UNKNOWNS; i++) {
            if (i == best)
                continue;
            double f = m[i][best] / m[best][best];
            for (int k = 0; k <= UNKNOWNS; k++)
                m[i][k] -= f * m[best][k];
        }
    }
    for (int i = 0; i < UNKNOWNS; i++) {
        /* an unknown that could trade against an unused one is not determined */
        known[i] = used[i];
        for (int k = 0; k < UNKNOWNS && known[i]; k++)
            known[i] = used[k] || scale[k] == 0 || fabs(m[i][k]) < 1e-3;
        x[i] = used[i] ? m[i][UNKNOWNS] / m[i][i] * scale[i] : 0;
    }
}

static void row_of(const Sample *s, bool weights, double *row)
{
    const Work *w = &s->work;
    row[ONCE] = 1;
    row[CONV] = weights ? 0 : (double)w->conv_flops;
    row[WEIGHTS] = weights ? (double)(w->weight_bytes - w->notch_bytes) : 0;
    row[NOTCH] = weights ? (double)w->notch_bytes : 0;
    row[MATMUL] = (double)w->matmul_flops;
    row[INNER] = (double)w->inner_bytes;
    row[SURFACES] = (double)(w->in_bytes + w->out_bytes + w->spill_bytes);
}

/* Times of compiling series and of large working sets are about something else. */
static bool fits_in(const Sample *s)
{
    return strcmp(s->series, "working-set") != 0 && strcmp(s->series, "compile") != 0;
}

void fit_rates(Probe *p)
{
    double  (*a)[UNKNOWNS] = arena_array(p->arena, p->samples + 1, sizeof *a), *b = NEW_N(p->arena, double, p->samples + 1);
    bool    *weights = NEW_N(p->arena, bool, p->samples + 1);
    double   x[UNKNOWNS] = {0}, worst = 0;
    bool     known[UNKNOWNS] = {false}, changed = true;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < p->samples; i++)
        weights[i] = strcmp(p->sample[i].series, "stream") == 0 || strcmp(p->sample[i].series, "notch") == 0;
    for (int round = 0; round < 10 && changed; round++) {
        rows = 0;
        for (uint32_t i = 0; i < p->samples; i++) {
            if (!fits_in(&p->sample[i]))
                continue;
            row_of(&p->sample[i], weights[i], a[rows]);
            for (int k = 0; k < UNKNOWNS; k++)
                a[rows][k] /= p->sample[i].us;
            b[rows++] = 1;
        }
        solve(a, b, rows, x, known);
        changed = false;
        for (uint32_t i = 0; i < p->samples; i++) {
            const Work *w = &p->sample[i].work;
            double      stream = (double)(w->weight_bytes - w->notch_bytes) * x[WEIGHTS] + (double)w->notch_bytes * x[NOTCH];
            double      compute = (double)w->conv_flops * x[CONV];
            bool        now = stream > compute;
            if (w->conv_flops && known[CONV] && (known[WEIGHTS] || known[NOTCH]) && now != weights[i]) {
                weights[i] = now;
                changed = true;
            }
        }
    }
    if (!rows)
        return;
    for (uint32_t i = 0; i < p->samples; i++) {
        double row[UNKNOWNS], t = 0;
        if (!fits_in(&p->sample[i]))
            continue;
        row_of(&p->sample[i], weights[i], row);
        for (int k = 0; k < UNKNOWNS; k++)
            t += row[k] * x[k];
        worst = fmax(worst, fabs(t - p->sample[i].us) / p->sample[i].us);
    }
    const char *note = values(p, "least squares of %u times, each met within %.2g %%", rows, worst < 5e-4 ? 0.1 : worst * 100);
    for (int k = 0; k < UNKNOWNS; k++) {
        double v = k == ONCE ? x[k] : k == CONV || k == MATMUL ? 1e-6 / x[k] : 1e-3 / x[k];
        if (k == NOTCH && known[NOTCH] && known[WEIGHTS] && x[NOTCH] > 0) {
            double part = x[WEIGHTS] / x[NOTCH];
            found(p, &notch_question, values(p, "they stream at %.0f %% of the rate of others", part * 100), part < 0.85 ? "yes" : "no");
            if (part >= 0.85) {
                open_question(p, &rate_question[k], "such weights stream like others");
                continue;
            }
        }
        if (known[k] && x[k] > 0 && isfinite(v))
            found(p, &rate_question[k], note, "%.3g", v);
        else
            open_question(p, &rate_question[k], "the programs that ran do not determine it");
    }
}

void fit_compile(Probe *p)
{
    double   n = 0, s = 0, t = 0, ss = 0, st = 0, knee = 0, worst = 0;
    uint32_t bent = 0;
    if (p->compilations < 4 || p->compiled[0].ms <= 0)
        return;
    for (uint32_t i = 0; i < 3; i++) { /* a line through the small ones */
        n += 1;
        s += p->compiled[i].ops;
        t += p->compiled[i].ms;
        ss += (double)p->compiled[i].ops * p->compiled[i].ops;
        st += p->compiled[i].ops * p->compiled[i].ms;
    }
    double slope = (n * st - s * t) / (n * ss - s * s), fixed = (t - slope * s) / n;
    for (uint32_t i = 3; i < p->compilations; i++) {
        double ops = p->compiled[i].ops, more = p->compiled[i].ms - fixed - slope * ops;
        worst = fmax(worst, more / p->compiled[i].ms);
        bool bends = slope > 0 && more > 0.05 * p->compiled[i].ms;
        knee += bends ? ops - sqrt(6 * more / slope) : 0;
        bent += bends;
    }
    if (slope <= 0 || fixed < 0) {
        open_question(p, &compile_question[0], "times of compiling do not grow with the program");
        return;
    }
    found(p, &compile_question[0], "a line through three programs of up to 64 operations", "%.3g", fixed);
    found(p, &compile_question[1], "", "%.3g", slope);
    if (bent && knee / bent >= 1)
        found(p, &compile_question[2], "from the longest programs", "%.0f", knee / bent);
    else
        open_question(p, &compile_question[2], "as a line up to %u operations, within %.2g %%", p->compiled[p->compilations - 1].ops, fabs(worst) * 100);
}

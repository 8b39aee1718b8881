/* progress.c: see progress.h. */
#include "runtime/train/progress.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

enum { CURVE_COLUMNS = 24, LEVELS = 8, NARROW = 40 };
static const double fading = 0.95; /* weight of the steps before, per step: about the last 20 count */
static const double least_share = 0.005;

/* ---- what happened so far ---- */

/* Halve the curve when it is full: it then has room for as many steps again. */
static void halve(Progress *p)
{
    for (uint32_t i = 0; i < PROGRESS_POINTS / 2; i++)
        p->point[i] = (p->point[2 * i] + p->point[2 * i + 1]) / 2;
    p->points = PROGRESS_POINTS / 2;
    p->stride *= 2;
}

static void add_point(Progress *p, double loss)
{
    if (p->stride == 0)
        p->stride = 1;
    if (p->points && p->in_last < p->stride) { /* running mean of the last point */
        p->in_last++;
        p->point[p->points - 1] += (loss - p->point[p->points - 1]) / (double)p->in_last;
        return;
    }
    if (p->points == PROGRESS_POINTS)
        halve(p);
    p->point[p->points++] = loss;
    p->in_last = 1;
}

void progress_add(Progress *p, const StepReport *s)
{
    if (isfinite(s->loss))
        add_point(p, s->loss);
    p->seconds = fading * p->seconds + s->seconds;
    p->tokens = fading * p->tokens + (double)s->tokens;
    p->steps = fading * p->steps + 1;
    for (uint32_t i = 0; i < s->classes; i++)
        p->class_seconds[i] = fading * p->class_seconds[i] + s->class_seconds[i];
}

/* ---- as text ---- */

/* A line under construction. `columns` counts what is seen: escape sequences take none, a block character one. */
typedef struct {
    Buf   *out;
    size_t columns, width;
    bool   empty;
} Line;

static bool fits(const Line *l, size_t columns)
{
    return l->columns + (l->empty ? 0 : 2) + columns <= l->width;
}

/* A field, two blanks after the one before, if there is room. The first field of a line is cut rather than left out. */
static bool put_field(Line *l, const char *text)
{
    size_t n = strlen(text);
    if (!fits(l, n) && !l->empty)
        return false;
    if (n > l->width)
        n = l->width;
    buf_puts(l->out, l->empty ? "" : "  ");
    buf_add(l->out, text, n);
    l->columns += n + (l->empty ? 0 : 2);
    l->empty = false;
    return true;
}

/* The curve resampled to `columns`: each column the mean of the points it covers. */
static double column_mean(const Progress *p, uint32_t columns, uint32_t column)
{
    uint32_t from = column * p->points / columns, to = (column + 1) * p->points / columns;
    double   sum = 0;
    for (uint32_t i = from; i < to; i++)
        sum += p->point[i];
    return sum / (to - from);
}

static void put_curve(Line *l, const Progress *p, bool utf8)
{
    static const char *const block[LEVELS] = {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char        ascii[LEVELS + 1] = "_.,-=+*#";
    uint32_t columns = p->points < CURVE_COLUMNS ? p->points : CURVE_COLUMNS;
    double   low = INFINITY, high = -INFINITY;
    if (p->points < 2)
        return;
    for (uint32_t i = 0; i < columns; i++) {
        low = fmin(low, column_mean(p, columns, i));
        high = fmax(high, column_mean(p, columns, i));
    }
    buf_putc(l->out, ' ');
    for (uint32_t i = 0; i < columns; i++) {
        double   x = high > low ? (column_mean(p, columns, i) - low) / (high - low) : 0;
        uint32_t level = (uint32_t)fmin(x * LEVELS, LEVELS - 1);
        if (utf8)
            buf_puts(l->out, block[level]);
        else
            buf_putc(l->out, ascii[level]);
    }
    l->columns += columns + 1;
}

/* Room that the curve will take behind the loss; no field that is more important may need it. */
static size_t curve_columns(const Progress *p)
{
    return p->points < 2 ? 0 : (p->points < CURVE_COLUMNS ? p->points : CURVE_COLUMNS) + 1;
}

static void put_rate(char *out, size_t size, const Progress *p)
{
    bool   tokens = p->tokens > 0;
    double rate = (tokens ? p->tokens : p->steps) / p->seconds;
    format_rate(out, size, rate, tokens ? "tokens" : "steps");
}

static void first_line(Line *l, const Progress *p, const StepReport *s, double left)
{
    char   step[64], loss[40], rate[40], eta[40], time[24];
    size_t rest;
    snprintf(step, sizeof step, "step %llu/%llu", (unsigned long long)s->step, (unsigned long long)s->steps);
    snprintf(loss, sizeof loss, "loss %.4f", s->loss);
    put_rate(rate, sizeof rate, p);
    format_duration(time, left);
    snprintf(eta, sizeof eta, "%s left", time);
    put_field(l, step);
    rest = strlen(rate) + strlen(eta) + 4;
    if (p->style.colour && fits(l, strlen(loss))) {
        buf_puts(l->out, "  \033[1m");
        l->empty = true; /* the blanks are written */
        l->columns += 2;
        put_field(l, loss);
        buf_puts(l->out, "\033[0m");
    } else {
        put_field(l, loss);
    }
    if (l->columns + curve_columns(p) + rest <= l->width)
        put_curve(l, p, p->style.utf8);
    put_field(l, eta);
    put_field(l, rate);
}

static void second_line(Line *l, const Progress *p, const StepReport *s)
{
    char field[64];
    if (p->style.colour)
        buf_puts(l->out, "\033[2m");
    snprintf(field, sizeof field, "lr %.3g", s->lr);
    put_field(l, field);
    snprintf(field, sizeof field, "norm %.3g", fabs(s->grad_norm)); /* fabs: a NaN without its sign */
    put_field(l, field);
    if (s->skips) {
        snprintf(field, sizeof field, "skipped %llu", (unsigned long long)s->skips);
        put_field(l, field);
    }
    for (uint32_t i = 0; i < s->classes; i++) {
        double share = p->seconds > 0 ? p->class_seconds[i] / p->seconds : 0;
        if (share < least_share)
            continue;
        snprintf(field, sizeof field, "%s %.0f%%", s->class_name[i], 100 * share);
        put_field(l, field);
    }
    if (p->style.colour)
        buf_puts(l->out, "\033[0m");
}

void progress_text(const Progress *p, const StepReport *s, double left, size_t width, Buf *out)
{
    Line line = {out, 0, width > 1 ? width - 1 : 1, true};
    first_line(&line, p, s, left);
    if (width < NARROW)
        return;
    buf_putc(out, '\n');
    line.columns = 0;
    line.empty = true;
    second_line(&line, p, s);
}

ProgressStyle progress_style(void)
{
    const char   *no_colour = getenv("NO_COLOR");
    ProgressStyle style = {.colour = !no_colour || !*no_colour};
    /* A locale of our own: the process stays in "C", where numbers are written with points. */
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale) {
        style.utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
        freelocale(locale);
    }
    return style;
}

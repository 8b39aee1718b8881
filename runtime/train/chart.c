/* chart.c: see chart.h. Colours and line widths are the page's style sheet's. */
#include "runtime/train/chart.h"

#include "base/html.h"

#include <math.h>

enum { WIDTH = 760, HEIGHT = 240, LEFT = 64, RIGHT = 12, TOP = 12, BOTTOM = 36, X_TICKS = 8, Y_TICKS = 5 };

typedef struct {
    double from, to;
    bool   log;
} Axis;

static double at(const Axis *a, double v)
{
    return a->log ? (log10(v) - log10(a->from)) / (log10(a->to) - log10(a->from)) : (v - a->from) / (a->to - a->from);
}

static double x_of(const Axis *a, double v)
{
    return LEFT + at(a, v) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const Axis *a, double v)
{
    return HEIGHT - BOTTOM - at(a, v) * (HEIGHT - TOP - BOTTOM);
}

static bool shown(const Axis *y, double v)
{
    return isfinite(v) && (!y->log || v > 0);
}

/* Distance of at most `ticks` ticks over a range: 1, 2 or 5 times a power of ten. */
static double tick_distance(double range, int ticks)
{
    double raw = range / ticks, power = pow(10, floor(log10(raw))), x = raw / power;
    return power * (x <= 1 ? 1 : x <= 2 ? 2 : x <= 5 ? 5 : 10);
}

static bool y_axis(const Chart *c, Axis *a)
{
    double low = INFINITY, high = -INFINITY, least = INFINITY; /* least: above 0 */
    for (uint32_t k = 0; k < c->count; k++)
        for (uint32_t i = 0; i < c->series[k].n; i++) {
            double v = c->series[k].y[i];
            if (!isfinite(v))
                continue;
            low = fmin(low, v);
            high = fmax(high, v);
            least = v > 0 ? fmin(least, v) : least;
        }
    if (low > high)
        return false;
    a->log = c->may_log && low >= 0 && high > 100 * least;
    if (a->log) {
        *a = (Axis){pow(10, floor(log10(least))), pow(10, ceil(log10(high))), true};
        return true;
    }
    if (c->from_zero)
        low = fmin(low, 0);
    if (!(high > low)) { /* all values are one */
        double room = low != 0 ? fabs(low) * 0.5 : 1;
        high = low + room;
        low = c->from_zero && low >= 0 ? 0 : low - room;
    }
    double tick = tick_distance(high - low, Y_TICKS);
    *a = (Axis){tick * floor(low / tick), tick * ceil(high / tick), false};
    return true;
}

static void y_ticks(Buf *out, const Axis *a)
{
    double tick = a->log ? 1 : tick_distance(a->to - a->from, Y_TICKS);
    double from = a->log ? round(log10(a->from)) : a->from, to = a->log ? round(log10(a->to)) : a->to;
    int    n = (int)lround((to - from) / tick), each = a->log && n > 6 ? (n + 5) / 6 : 1;
    for (int i = 0; i <= n; i += each) {
        double v = a->log ? pow(10, from + i) : from + i * tick;
        if (fabs(v) < 1e-9 * fabs(a->to - a->from))
            v = 0;
        double y = y_of(a, v);
        buf_printf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"y\" x=\"%d\" y=\"%.1f\">%.6g</text>\n", LEFT, y,
                   WIDTH - RIGHT, LEFT - 6, y + 4, v);
    }
}

static void x_ticks(Buf *out, const Axis *a)
{
    double tick = fmax(1, tick_distance(a->to - a->from, X_TICKS));
    for (double v = tick * ceil(a->from / tick); v <= a->to; v += tick) {
        double x = x_of(a, v);
        buf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\">%.9g</text>\n", x, TOP, HEIGHT - BOTTOM,
                   x, HEIGHT - BOTTOM + 16, v);
    }
}

static void x_label(Buf *out)
{
    buf_printf(out, "<text x=\"%d\" y=\"%d\">step</text>\n", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4);
}

static void curve(Buf *out, const Axis *x, const Axis *y, const ChartSeries *s)
{
    bool pen = false;
    if (s->n > 1) {
        buf_printf(out, "<path class=\"curve %s\" d=\"", s->style);
        for (uint32_t i = 0; i < s->n; i++) {
            if (!shown(y, s->y[i])) {
                pen = false;
                continue;
            }
            buf_printf(out, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(x, s->x[i]), y_of(y, s->y[i]));
            pen = true;
        }
        buf_puts(out, "\"/>\n");
    }
    for (uint32_t i = 0; i < s->n && (s->dots || s->n == 1); i++)
        if (shown(y, s->y[i]))
            buf_printf(out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>step %.0f: %.6g</title></circle>\n",
                       s->style, x_of(x, s->x[i]), y_of(y, s->y[i]), s->x[i], s->y[i]);
}

static void legend(Buf *out, const Chart *c)
{
    if (c->count < 2)
        return;
    buf_puts(out, "<p class=\"legend\">");
    for (uint32_t k = 0; k < c->count; k++) {
        buf_printf(out, "<span class=\"key %s\"></span>", c->series[k].style);
        html_text(out, c->series[k].name);
        buf_puts(out, k + 1 < c->count ? " " : "");
    }
    buf_puts(out, "</p>\n");
}

void chart_svg(Buf *out, const Chart *c)
{
    Axis x = {c->x_from, c->x_to > c->x_from ? c->x_to : c->x_from + 1, false}, y;
    buf_printf(out, "<h2 id=\"%s\">", c->id);
    html_text(out, c->title);
    buf_puts(out, "</h2>\n");
    if (!y_axis(c, &y)) {
        buf_puts(out, "<p>No value is finite.</p>\n");
        return;
    }
    legend(out, c);
    buf_printf(out, "<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s %s-about\">\n<desc id=\"%s-about\">", WIDTH, HEIGHT,
               c->id, c->id, c->id);
    html_text(out, c->about);
    buf_puts(out, "</desc>\n");
    y_ticks(out, &y);
    x_ticks(out, &x);
    x_label(out);
    for (uint32_t k = 0; k < c->count; k++)
        curve(out, &x, &y, &c->series[k]);
    buf_puts(out, "</svg></div>\n");
}

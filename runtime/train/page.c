/* page.c: see page.h. */
#include "runtime/train/page.h"

#include "base/file.h"
#include "base/html.h"
#include "runtime/train/chart.h"
#include "runtime/train/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GENERATOR "<meta name=\"generator\" content=\"anerun report\">"
#define HISTORY   "<script type=\"application/json\" id=\"history\">"

/* Hues that differ in lightness too, for eyes that see fewer. */
static const char style[] =
    ":root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--soft:#5a646e;--line:#d5dae0;--a:#0b62b8;--b:#c2410c;--c:#15803d}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e8ec;--bg:#14181c;--soft:#9aa5b0;--line:#343c45;--a:#6cb2f7;--b:#fb9a5b;"
    "--c:#5fd38a}}"
    "body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:0}"
    "main{max-width:860px;margin:auto;padding:1em 1.2em 3em}h1{font-size:24px;margin:.6em 0 0}h2{font-size:17px;margin:1.8em 0 .3em}"
    "p{margin:.3em 0}.soft,.legend,caption,nav{color:var(--soft)}nav a,a{color:var(--a)}"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.4em 1.2em;margin:1em 0}"
    "dl div{border-left:3px solid var(--line);padding-left:.7em}dt{color:var(--soft);font-size:13px}"
    "dd{margin:0;font-size:19px;font-variant-numeric:tabular-nums}"
    "svg{width:100%;height:auto;display:block}svg text{font-size:11px;fill:var(--soft);text-anchor:middle}svg text.y{text-anchor:end}"
    ".grid{stroke:var(--line);fill:none;stroke-width:1}.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    ".a{stroke:var(--a)}.b{stroke:var(--b)}.faint{stroke:var(--a);opacity:.45;stroke-width:1}"
    ".dot{stroke-width:1.2;fill:var(--bg)}.key{display:inline-block;width:1.6em;height:0;border-top:3px solid;vertical-align:middle;"
    "margin:0 .4em 0 .8em}.key.a,.key.faint{border-color:var(--a)}.key.b{border-color:var(--b)}"
    "table{border-collapse:collapse;width:100%;font-size:13.5px;margin:.3em 0 1.2em}caption{text-align:left;padding:.2em 0}"
    "th,td{padding:2px 8px 2px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:anywhere}"
    "th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.bar{width:34%;vertical-align:middle}"
    "td.bar span{display:block;height:.75em;background:var(--a);min-width:1px}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:4px;padding:.6em .8em;margin:.4em 0;"
    "font:13px/1.4 ui-monospace,monospace}summary{cursor:pointer;color:var(--a)}div.wide{overflow-x:auto}div.wide svg{min-width:560px}"
    "@media(max-width:600px){td.bar,tr :nth-child(6):empty{display:none}th,td{overflow-wrap:normal}}";

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool is(const json_t *event, const char *kind)
{
    return strcmp(text_of(event, "event"), kind) == 0;
}

static double number_of(const json_t *o, const char *key)
{
    const json_t *x = json_object_get(o, key);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

static void put_number(Buf *out, double x)
{
    if (isfinite(x))
        buf_printf(out, "%.6g", x);
    else
        buf_puts(out, "\u2013");
}

static void put_count(Buf *out, double n)
{
    char digits[40];
    int  len = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < len; i++) {
        buf_putc(out, digits[i]);
        if (i + 1 < len && (len - i - 1) % 3 == 0)
            buf_putc(out, ',');
    }
}

/* ---- at a glance ---- */

static void open_tile(Buf *out, const char *name)
{
    buf_printf(out, "<div><dt>%s</dt><dd>", name);
}

static void tile(Buf *out, const char *name, double x)
{
    open_tile(out, name);
    put_number(out, x);
    buf_puts(out, "</dd></div>\n");
}

/* The last and the best of the evaluations; NaN without any. */
static void evaluations(const History *h, double *last, double *best)
{
    size_t  i;
    json_t *e;
    *last = *best = NAN;
    json_array_foreach(h->events, i, e)
        if (is(e, "eval")) {
            *last = number_of(e, "loss");
            *best = fmin(*best, *last);
        }
}

static void glance(const Page *p, Buf *out)
{
    const History *h = p->history;
    const HistoryPoint *end = h->points ? &h->point[h->points - 1] : NULL;
    const json_t  *last_event = json_array_get(h->events, json_array_size(h->events) - 1);
    char           time[24];
    double         held_out, best;
    evaluations(h, &held_out, &best);
    buf_puts(out, "<p>");
    if (last_event && is(last_event, "end"))
        html_text(out, text_of(last_event, "reason"));
    else
        buf_puts(out, "running");
    buf_printf(out, ", step %llu of %llu; plan <code>%.16s</code></p>\n<dl>\n", (unsigned long long)(end ? end->step : p->since),
               (unsigned long long)p->steps, p->plan_hash);
    tile(out, h->stride > 1 ? "loss, mean of the last steps" : "loss", end ? end->value[FIGURE_LOSS] : NAN);
    if (isfinite(held_out)) {
        tile(out, "held-out loss", held_out);
        tile(out, "best held-out loss", best);
    }
    if (h->tokens > 0) {
        open_tile(out, "tokens");
        put_count(out, h->tokens);
        buf_puts(out, "</dd></div>\n");
        tile(out, "tokens per second", h->ms > 0 ? h->tokens / (1e-3 * h->ms) : NAN);
    }
    format_duration(time, 1e-3 * h->ms);
    open_tile(out, "time in steps");
    buf_printf(out, "%s</dd></div>\n", time);
    open_tile(out, "parameters");
    put_count(out, (double)p->parameters);
    buf_puts(out, "</dd></div>\n");
    open_tile(out, "skipped steps");
    put_count(out, (double)h->skips);
    buf_puts(out, "</dd></div>\n</dl>\n");
}

/* ---- curves ---- */

typedef struct {
    double  *step, *value[FIGURES], *smooth; /* [points] */
    double  *eval_step, *eval_loss;
    uint32_t points, evals;
} Curves;

/* A mean that forgets: about the last twentieth of the curve, 5 points at least. */
static void smooth(Curves *c)
{
    double keep = 1 - 1 / fmax(5, c->points / 20.0), mean = NAN;
    for (uint32_t i = 0; i < c->points; i++) {
        double x = c->value[FIGURE_LOSS][i];
        if (isfinite(x))
            mean = isfinite(mean) ? keep * mean + (1 - keep) * x : x;
        c->smooth[i] = mean;
    }
}

static Curves curves_of(Arena *a, const History *h)
{
    size_t  n = json_array_size(h->events), i;
    json_t *e;
    Curves  c = {.step = NEW_N(a, double, h->points + 1u), .smooth = NEW_N(a, double, h->points + 1u), .points = h->points,
                 .eval_step = NEW_N(a, double, n + 1), .eval_loss = NEW_N(a, double, n + 1)};
    for (int f = 0; f < FIGURES; f++)
        c.value[f] = NEW_N(a, double, h->points + 1u);
    for (uint32_t k = 0; k < h->points; k++) {
        c.step[k] = (double)h->point[k].step;
        for (int f = 0; f < FIGURES; f++)
            c.value[f][k] = h->point[k].value[f];
    }
    json_array_foreach(h->events, i, e)
        if (is(e, "eval")) {
            c.eval_step[c.evals] = number_of(e, "step");
            c.eval_loss[c.evals++] = number_of(e, "loss");
        }
    smooth(&c);
    return c;
}

static void draw(Buf *out, const Curves *c, Chart chart, const ChartSeries *series, uint32_t count)
{
    Buf about = {0};
    buf_printf(&about, "%s over %u points from step %.0f to step %.0f; the same numbers stand in the table below.", chart.title,
               (unsigned)c->points, c->points ? c->step[0] : 0, c->points ? c->step[c->points - 1] : 0);
    chart.about = about.data;
    chart.series = series;
    chart.count = count;
    chart.x_from = c->points ? c->step[0] : 0;
    chart.x_to = c->points ? c->step[c->points - 1] : 1;
    chart_svg(out, &chart);
    buf_free(&about);
}

static void draw_figure(Buf *out, const Curves *c, Figure f, Chart chart)
{
    draw(out, c, chart, &(ChartSeries){chart.title, "a", c->step, c->value[f], c->points, false}, 1);
}

static void charts(const Page *p, Arena *a, Buf *out)
{
    Curves            c = curves_of(a, p->history);
    const ChartSeries loss[] = {{"each point", "faint", c.step, c.value[FIGURE_LOSS], c.points, false},
                                {"smoothed", "a", c.step, c.smooth, c.points, false},
                                {"held-out", "b", c.eval_step, c.eval_loss, c.evals, true}};
    draw(out, &c, (Chart){.id = "loss", .title = "Loss", .may_log = false}, loss, c.evals ? 3 : 2);
    draw_figure(out, &c, FIGURE_LR, (Chart){.id = "rate", .title = "Learning rate", .from_zero = true});
    draw_figure(out, &c, FIGURE_NORM, (Chart){.id = "norm", .title = "Gradient norm", .from_zero = true, .may_log = true});
    draw_figure(out, &c, FIGURE_SCALE, (Chart){.id = "scale", .title = "Loss scale", .from_zero = true, .may_log = true});
    if (p->history->tokens > 0)
        draw_figure(out, &c, FIGURE_RATE, (Chart){.id = "speed", .title = "Tokens per second", .from_zero = true});
    else
        draw_figure(out, &c, FIGURE_MS, (Chart){.id = "speed", .title = "Milliseconds per step", .from_zero = true});
}

/* ---- time ---- */

static void bar(Buf *out, double share)
{
    buf_printf(out, "<td class=\"n\">%.1f %%</td><td class=\"bar\"><span style=\"width:%.1f%%\"></span></td></tr>\n", 100 * share,
               fmin(100, 100 * share));
}

static void time_tables(const Page *p, Buf *out)
{
    enum { MOST = 40 };
    const History *h = p->history;
    const char    *name;
    json_t        *x;
    double         total = 0, rest = h->ms;
    buf_puts(out, "<h2 id=\"time\">Where the time went</h2>\n<table><caption>By class, all steps</caption>\n"
                  "<tr><th scope=\"col\">class</th><th scope=\"col\" class=\"n\">seconds</th><th scope=\"col\" class=\"n\">share</th>"
                  "<td></td></tr>\n");
    json_object_foreach(h->classes, name, x) {
        double ms = json_number_value(x);
        rest -= ms;
        buf_puts(out, "<tr><th scope=\"row\">");
        html_text(out, name);
        buf_printf(out, "</th><td class=\"n\">%.3f</td>", 1e-3 * ms);
        bar(out, h->ms > 0 ? ms / h->ms : 0);
    }
    buf_printf(out, "<tr><th scope=\"row\">other</th><td class=\"n\">%.3f</td>", 1e-3 * fmax(0, rest));
    bar(out, h->ms > 0 ? fmax(0, rest) / h->ms : 0);
    buf_puts(out, "</table>\n");
    for (uint32_t i = 0; i < p->times; i++)
        total += p->time[i].seconds;
    buf_printf(out, "<table><caption>By program and CPU operation, since step %llu</caption>\n"
                    "<tr><th scope=\"col\">program or operation</th><th scope=\"col\">where</th><th scope=\"col\" class=\"n\">calls</th>"
                    "<th scope=\"col\" class=\"n\">seconds</th><th scope=\"col\" class=\"n\">share</th><td></td></tr>\n",
               (unsigned long long)p->since);
    for (uint32_t i = 0; i < p->times && i < MOST; i++) {
        buf_puts(out, "<tr><th scope=\"row\">");
        html_text(out, p->time[i].name);
        buf_puts(out, "</th><td>");
        html_text(out, p->time[i].where);
        buf_printf(out, "</td><td class=\"n\">%llu</td><td class=\"n\">%.3f</td>", (unsigned long long)p->time[i].calls,
                   p->time[i].seconds);
        bar(out, total > 0 ? p->time[i].seconds / total : 0);
    }
    buf_puts(out, "</table>\n");
    if (p->times > MOST)
        buf_printf(out, "<p class=\"soft\">%u more took less.</p>\n", (unsigned)(p->times - MOST));
}

/* ---- texts and tables ---- */

static void samples(const Page *p, Buf *out)
{
    size_t  i;
    json_t *e;
    bool    any = false;
    json_array_foreach(p->history->events, i, e) {
        if (!is(e, "sample"))
            continue;
        buf_printf(out, "%s<p>Step %.0f</p>\n<pre>", any ? "" : "<h2 id=\"samples\">Samples</h2>\n", number_of(e, "step"));
        html_text(out, text_of(e, "text"));
        buf_puts(out, "</pre>\n");
        any = true;
    }
    if (!any)
        buf_puts(out, "<h2 id=\"samples\">Samples</h2>\n<p>None: they need a plan with a 'decode' entry and a run that ends by "
                      "itself.</p>\n");
}

/* What an event says beside its kind and step, as "key value, key value". */
static void put_details(Buf *out, const json_t *event)
{
    const char *key, *sep = "";
    json_t     *x;
    json_object_foreach((json_t *)event, key, x) {
        if (strcmp(key, "event") == 0 || strcmp(key, "step") == 0 || strcmp(key, "text") == 0)
            continue;
        buf_puts(out, sep);
        html_text(out, key);
        buf_puts(out, " ");
        if (json_is_string(x))
            html_text(out, json_string_value(x));
        else if (json_is_number(x))
            put_number(out, json_number_value(x));
        else if (json_is_object(x)) /* {"total": ms} */
            put_number(out, number_of(x, "total"));
        else
            buf_puts(out, json_is_true(x) ? "yes" : json_is_false(x) ? "no" : "\u2013");
        sep = ", ";
    }
}

static void events(const Page *p, Buf *out)
{
    size_t  i;
    json_t *e;
    buf_puts(out, "<h2 id=\"events\">Events</h2>\n<table><caption>Starts, evaluations, checkpoints, skipped steps, ends</caption>\n"
                  "<tr><th scope=\"col\" class=\"n\">step</th><th scope=\"col\">event</th><th scope=\"col\">details</th></tr>\n");
    json_array_foreach(p->history->events, i, e) {
        buf_printf(out, "<tr><td class=\"n\">%.0f</td><td>", number_of(e, "step"));
        html_text(out, text_of(e, "event"));
        buf_puts(out, "</td><td>");
        put_details(out, e);
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</table>\n");
    if (p->history->thinned)
        buf_printf(out, "<p class=\"soft\">%llu earlier events are left out.</p>\n", (unsigned long long)p->history->thinned);
}

static void pairs(Buf *out, const char *caption, const PagePair *pair, uint32_t n)
{
    buf_printf(out, "<table><caption>%s</caption>\n", caption);
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(out, "<tr><th scope=\"row\">");
        html_text(out, pair[i].key);
        buf_puts(out, "</th><td>");
        html_text(out, pair[i].value);
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</table>\n");
}

static void numbers(const Page *p, Buf *out)
{
    static const char *const head[] = {"loss", "learning rate", "gradient norm", "loss scale", "tokens/s", "ms"};
    const History *h = p->history;
    buf_puts(out, "<h2 id=\"numbers\">Numbers</h2>\n<details><summary>The figures of the curves</summary>\n<div class=\"wide\"><table>"
                  "<caption>");
    if (h->stride > 1)
        buf_printf(out, "Means of %llu steps each", (unsigned long long)h->stride);
    else
        buf_puts(out, "Every step");
    buf_puts(out, "</caption>\n<tr><th scope=\"col\" class=\"n\">step</th>");
    for (size_t i = 0; i < COUNT(head); i++)
        buf_printf(out, "<th scope=\"col\" class=\"n\">%s</th>", head[i]);
    buf_puts(out, "<th scope=\"col\" class=\"n\">skipped</th></tr>\n");
    for (uint32_t i = 0; i < h->points; i++) {
        buf_printf(out, "<tr><th scope=\"row\" class=\"n\">%llu</th>", (unsigned long long)h->point[i].step);
        for (int f = 0; f < FIGURES; f++) {
            buf_puts(out, "<td class=\"n\">");
            put_number(out, h->point[i].value[f]);
            buf_puts(out, "</td>");
        }
        buf_printf(out, "<td class=\"n\">%llu</td></tr>\n", (unsigned long long)h->point[i].skipped);
    }
    buf_puts(out, "</table></div></details>\n");
}

/* JSON inside an element: no "</script" and no "<!--" can occur in it when every < is written as JSON's \u003c. */
static void put_history(Buf *out, const History *h)
{
    json_t *state = history_json(h);
    char   *text = json_dumps(state, JSON_COMPACT);
    buf_puts(out, HISTORY);
    for (const char *s = text ? text : "{}"; *s; s++) {
        if (*s == '<')
            buf_puts(out, "\\u003c");
        else
            buf_putc(out, *s);
    }
    buf_puts(out, "</script>\n");
    free(text);
    json_decref(state);
}

void page_html(const Page *p, Buf *out)
{
    Arena *a = arena_new();
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n" GENERATOR
                  "\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Training ");
    html_text(out, p->model);
    buf_printf(out, "</title>\n<style>%s</style></head>\n<body><main>\n<h1>", style);
    html_text(out, p->model);
    buf_puts(out, "</h1>\n");
    glance(p, out);
    buf_puts(out, "<nav aria-label=\"Parts of the page\"><a href=\"#loss\">loss</a> \u00b7 <a href=\"#time\">time</a> \u00b7 "
                  "<a href=\"#samples\">samples</a> \u00b7 <a href=\"#events\">events</a> \u00b7 "
                  "<a href=\"#configuration\">configuration</a> \u00b7 <a href=\"#numbers\">numbers</a></nav>\n");
    charts(p, a, out);
    time_tables(p, out);
    samples(p, out);
    events(p, out);
    buf_puts(out, "<h2 id=\"configuration\">Configuration</h2>\n");
    pairs(out, "Plan and machine", p->fact, p->facts);
    pairs(out, "Settings of the run", p->setting, p->settings);
    numbers(p, out);
    put_history(out, p->history);
    buf_puts(out, "</main></body></html>\n");
    arena_free(a);
}

json_t *page_history(const char *path, Buf *err)
{
    Arena  *a = arena_new();
    char   *text, why[FILE_ERR_MAX];
    size_t  len;
    json_t *state = NULL;
    if (path_exists(path)) {
        const char *from = NULL, *end = NULL;
        if (!file_read(a, path, &text, &len, why))
            buf_puts(err, why);
        else if (!strstr(text, GENERATOR) || !(from = strstr(text, HISTORY)) || !(end = strstr(from, "</script>")))
            buf_printf(err, "'%s' exists and is no report of anerun: it is not overwritten", path);
        if (end) {
            from += strlen(HISTORY);
            state = json_loadb(from, (size_t)(end - from), 0, NULL);
            if (!state)
                buf_printf(err, "the report '%s' is damaged: delete it, or name another file", path);
        }
    }
    arena_free(a);
    return state;
}

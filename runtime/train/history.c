/* history.c: see history.h. */
#include "runtime/train/history.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };
const char *const history_figure[FIGURES] = {"loss", "lr", "grad_norm", "loss_scale", "tokens_per_s", "ms"};

History *history_new(void)
{
    History *h = calloc(1, sizeof *h);
    if (!h)
        bug("out of memory");
    h->classes = json_object();
    h->events = json_array();
    return h;
}

void history_free(History *h)
{
    if (!h)
        return;
    json_decref(h->classes);
    json_decref(h->events);
    free(h);
}

static double number(const json_t *x)
{
    return json_is_number(x) ? json_number_value(x) : NAN;
}

static uint64_t whole(const json_t *x)
{
    return json_is_integer(x) && json_integer_value(x) > 0 ? (uint64_t)json_integer_value(x) : 0;
}

static const char *kind_of(const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    return kind ? kind : "";
}

/* ---- steps ---- */

/* Mean of values that stand for n and m steps; what is not finite does not count. */
static double mean(double x, uint64_t n, double y, uint64_t m)
{
    if (!isfinite(x) || !isfinite(y))
        return isfinite(x) ? x : y;
    return x + (y - x) * (double)m / (double)(n + m);
}

static void join(HistoryPoint *to, const HistoryPoint *p)
{
    for (int f = 0; f < FIGURES; f++)
        to->value[f] = mean(to->value[f], to->n, p->value[f], p->n);
    to->step = p->step;
    to->n += p->n;
    to->skipped += p->skipped;
}

static void add_point(History *h, const HistoryPoint *p)
{
    if (h->stride == 0)
        h->stride = 1;
    if (h->points && h->point[h->points - 1].n < h->stride) {
        join(&h->point[h->points - 1], p);
        return;
    }
    if (h->points == HISTORY_POINTS) {
        for (uint32_t i = 0; i < HISTORY_POINTS / 2; i++) {
            h->point[i] = h->point[2 * i];
            join(&h->point[i], &h->point[2 * i + 1]);
        }
        h->points = HISTORY_POINTS / 2;
        h->stride *= 2;
    }
    h->point[h->points++] = *p;
}

static void add_times(History *h, const json_t *ms)
{
    const char *name;
    json_t     *x;
    json_object_foreach((json_t *)ms, name, x)
        if (strcmp(name, "total") != 0 && isfinite(number(x)))
            json_object_set_new(h->classes, name, json_real(number(x) + json_real_value(json_object_get(h->classes, name))));
}

static void push(History *h, json_t *event);

/* One event for steps in a row that were skipped. */
static void add_skip(History *h, uint64_t step)
{
    json_t *last = json_array_get(h->events, json_array_size(h->events) - 1);
    if (last && strcmp(kind_of(last), "skip") == 0 && whole(json_object_get(last, "to")) + 1 == step)
        json_object_set_new(last, "to", json_integer((json_int_t)step));
    else
        push(h, json_pack("{s:s, s:I, s:I}", "event", "skip", "step", (json_int_t)step, "to", (json_int_t)step));
}

static void add_step(History *h, const json_t *o)
{
    const json_t *ms = json_object_get(o, "ms");
    HistoryPoint  p = {.step = whole(json_object_get(o, "step")), .n = 1};
    for (int f = 0; f < FIGURES; f++)
        p.value[f] = number(f == FIGURE_MS ? json_object_get(ms, "total") : json_object_get(o, history_figure[f]));
    p.skipped = json_is_true(json_object_get(o, "skipped"));
    add_point(h, &p);
    h->steps++;
    h->skips += p.skipped;
    h->tokens += (double)whole(json_object_get(o, "tokens"));
    if (isfinite(p.value[FIGURE_MS]))
        h->ms += p.value[FIGURE_MS];
    add_times(h, ms);
    if (p.skipped)
        add_skip(h, p.step);
}

/* ---- other events ---- */

/* Too many: checkpoints and skipped steps of the older half go, or else every second event. */
static void thin(History *h)
{
    size_t  n = json_array_size(h->events);
    json_t *kept = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t     *e = json_array_get(h->events, i);
        const char *kind = kind_of(e);
        if (i >= n / 2 || (strcmp(kind, "save") != 0 && strcmp(kind, "skip") != 0))
            json_array_append(kept, e);
    }
    if (json_array_size(kept) == n)
        for (size_t i = n / 2; i-- > 0;)
            json_array_remove(kept, 2 * i + 1);
    h->thinned += n - json_array_size(kept);
    json_decref(h->events);
    h->events = kept;
}

static void push(History *h, json_t *event)
{
    if (json_array_size(h->events) >= HISTORY_EVENTS)
        thin(h);
    json_array_append_new(h->events, event);
}

/* Steps beyond `step` never happened. Their share of the sums stays: that time was spent. A point of several steps goes
 * if any of them does. */
static void go_back(History *h, uint64_t step)
{
    while (h->points && h->point[h->points - 1].step > step) {
        h->steps -= h->point[h->points - 1].n;
        h->skips -= h->point[h->points - 1].skipped;
        h->points--;
    }
    for (size_t i = json_array_size(h->events); i-- > 0;)
        if (whole(json_object_get(json_array_get(h->events, i), "step")) > step)
            json_array_remove(h->events, i);
}

void history_add(History *h, const json_t *object)
{
    const char *kind = kind_of(object);
    if (strcmp(kind, "step") == 0) {
        add_step(h, object);
    } else if (*kind) {
        if (strcmp(kind, "start") == 0)
            go_back(h, whole(json_object_get(object, "step")));
        push(h, json_deep_copy(object));
    }
}

bool history_read_log(History *h, const char *path, uint64_t *unread, Buf *err)
{
    FILE   *f = fopen(path, "r");
    char   *line = NULL;
    size_t  room = 0;
    ssize_t n;
    *unread = 0;
    if (!f && errno == ENOENT)
        return true;
    if (!f) {
        buf_printf(err, "cannot read the log '%s': %s", path, strerror(errno));
        return false;
    }
    while ((n = getline(&line, &room, f)) > 0) {
        json_t *o = json_loadb(line, (size_t)n, 0, NULL);
        if (json_is_object(o))
            history_add(h, o);
        else
            *unread += strspn(line, " \t\r\n") < (size_t)n;
        json_decref(o);
    }
    bool ok = !ferror(f);
    if (!ok)
        buf_printf(err, "cannot read the log '%s': %s", path, strerror(errno));
    free(line);
    fclose(f);
    return ok;
}

/* ---- as JSON ---- */

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *history_json(const History *h)
{
    json_t *points = json_array();
    for (uint32_t i = 0; i < h->points; i++) {
        const HistoryPoint *p = &h->point[i];
        json_t *row = json_pack("[I, I, I]", (json_int_t)p->step, (json_int_t)p->n, (json_int_t)p->skipped);
        for (int f = 0; f < FIGURES; f++)
            json_array_append_new(row, real(p->value[f]));
        json_array_append_new(points, row);
    }
    return json_pack("{s:i, s:o, s:I, s:I, s:I, s:o, s:o, s:O, s:O, s:I}", "version", VERSION, "points", points, "stride",
                     (json_int_t)h->stride, "steps", (json_int_t)h->steps, "skips", (json_int_t)h->skips, "tokens",
                     real(h->tokens), "ms", real(h->ms), "classes", h->classes, "events", h->events, "thinned",
                     (json_int_t)h->thinned);
}

bool history_restore(History *h, const json_t *state)
{
    json_t *points = json_object_get(state, "points"), *classes = json_object_get(state, "classes");
    json_t *events = json_object_get(state, "events");
    if (json_integer_value(json_object_get(state, "version")) != VERSION || !json_is_array(points) ||
        json_array_size(points) > HISTORY_POINTS || !json_is_object(classes) || !json_is_array(events) ||
        json_array_size(events) > HISTORY_EVENTS)
        return false;
    h->points = 0;
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *row = json_array_get(points, i);
        HistoryPoint *p = &h->point[h->points++];
        *p = (HistoryPoint){.step = whole(json_array_get(row, 0)), .n = whole(json_array_get(row, 1)),
                            .skipped = whole(json_array_get(row, 2))};
        for (int f = 0; f < FIGURES; f++)
            p->value[f] = number(json_array_get(row, 3 + (size_t)f));
    }
    h->stride = whole(json_object_get(state, "stride"));
    h->steps = whole(json_object_get(state, "steps"));
    h->skips = whole(json_object_get(state, "skips"));
    h->thinned = whole(json_object_get(state, "thinned"));
    h->tokens = json_number_value(json_object_get(state, "tokens"));
    h->ms = json_number_value(json_object_get(state, "ms"));
    json_decref(h->classes);
    json_decref(h->events);
    h->classes = json_deep_copy(classes);
    h->events = json_deep_copy(events);
    return true;
}

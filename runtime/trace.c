/* trace.c: see trace.h. The format is that of the Chrome trace viewer: an object with an array of complete events
 * ("X"), times in microseconds, and names of threads as metadata ("M"). */
#include "trace.h"

#include "base/arena.h"
#include "base/file.h"
#include "pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEVICE_TRACK = 1000 };

typedef struct {
    const char *kind, *name;
    double      start, end;
    int32_t     index;
    uint32_t    track;
} Event;

struct Trace {
    double      zero;
    uint32_t    room;
    atomic_uint used; /* may pass `room` */
    Event      *event;
};

Trace *trace_new(uint32_t events)
{
    Trace          *t = xcalloc(1, sizeof *t);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    t->zero = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    t->room = events;
    t->event = xcalloc(events + 1u, sizeof *t->event);
    return t;
}

void trace_free(Trace *t)
{
    if (!t)
        return;
    free(t->event);
    free(t);
}

void trace_add(Trace *t, const char *kind, const char *name, int32_t index, bool device, double start, double end)
{
    if (!t || atomic_load(&t->used) >= t->room)
        return;
    uint32_t at = atomic_fetch_add(&t->used, 1);
    if (at < t->room)
        t->event[at] = (Event){kind, name, start, end, index, device ? DEVICE_TRACK : pool_thread()};
}

static uint32_t count(const Trace *t)
{
    uint32_t n = atomic_load(&((Trace *)t)->used);
    return n < t->room ? n : t->room;
}

bool trace_full(const Trace *t)
{
    return t && count(t) == t->room;
}

static void quoted(Buf *out, const char *s)
{
    buf_putc(out, '"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            buf_printf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            buf_printf(out, "\\u%04x", (unsigned)*s);
        else
            buf_putc(out, *s);
    buf_putc(out, '"');
}

static void name_track(Buf *out, uint32_t track)
{
    buf_printf(out, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":%u,\"args\":{\"name\":\"", (unsigned)track);
    if (track == DEVICE_TRACK)
        buf_puts(out, "device queue");
    else if (track == 0)
        buf_puts(out, "controller");
    else
        buf_printf(out, "worker %u", (unsigned)track);
    buf_puts(out, "\"}}");
}

void trace_print(const Trace *t, Buf *out)
{
    uint32_t n = count(t), tracks = 0;
    buf_puts(out, "{\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"complete\":");
    buf_puts(out, trace_full(t) ? "\"no: recording stopped when its memory was full\"" : "\"yes\"");
    buf_puts(out, "},\n\"traceEvents\":[\n");
    name_track(out, DEVICE_TRACK);
    for (uint32_t i = 0; i < n; i++)
        if (t->event[i].track != DEVICE_TRACK && t->event[i].track >= tracks)
            tracks = t->event[i].track + 1;
    for (uint32_t i = 0; i < tracks; i++) {
        buf_puts(out, ",\n");
        name_track(out, i);
    }
    for (uint32_t i = 0; i < n; i++) {
        const Event *e = &t->event[i];
        buf_puts(out, ",\n{\"ph\":\"X\",\"name\":");
        quoted(out, e->name);
        buf_puts(out, ",\"cat\":");
        quoted(out, e->kind);
        buf_printf(out, ",\"pid\":1,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f", (unsigned)e->track, (e->start - t->zero) * 1e6,
                   (e->end - e->start) * 1e6);
        if (e->index >= 0)
            buf_printf(out, ",\"args\":{\"L\":%d}", (int)e->index);
        buf_putc(out, '}');
    }
    buf_puts(out, "\n]}\n");
}

bool trace_write(const Trace *t, const char *path, Buf *err)
{
    Buf  text = {0};
    char why[FILE_ERR_MAX];
    trace_print(t, &text);
    bool ok = file_write(path, text.data, text.len, why);
    if (!ok)
        buf_printf(err, "the trace was not written: %s", why);
    buf_free(&text);
    return ok;
}

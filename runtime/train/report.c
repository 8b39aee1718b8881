/* report.c: progress and log of a run; see report.h. */
#include "runtime/train/report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256 };
static const double terminal_interval = 0.1, plain_interval = 5; /* seconds between progress lines */

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool report_open(Report *r, FILE *out, const char *log_path, bool append, uint64_t first_step, Buf *err)
{
    *r = (Report){.out = out, .log_path = log_path, .first = first_step, .started = clock_seconds(), .last = -1};
    r->terminal = out && isatty(fileno(out));
    if (!log_path)
        return true;
    r->log = fopen(log_path, append ? "a" : "w");
    if (!r->log)
        buf_printf(err, "cannot write the log '%s': %s", log_path, strerror(errno));
    return r->log != NULL;
}

void report_close(Report *r)
{
    if (r->out && r->dirty)
        fputc('\n', r->out);
    r->dirty = false;
    if (r->out)
        fflush(r->out);
    if (r->log)
        fclose(r->log);
    r->log = NULL;
}

/* ---- for people ---- */

void format_duration(char *out, double seconds)
{
    if (!(seconds >= 0 && seconds < 3.6e9)) {
        strcpy(out, "?");
        return;
    }
    unsigned long s = (unsigned long)(seconds + 0.5);
    if (s < 3600)
        snprintf(out, 24, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(out, 24, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

static size_t terminal_width(FILE *f)
{
    struct winsize w;
    return ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* A line over the last one. One column stays free: many terminals wrap when the last one is filled. */
static void overwrite(Report *r, const char *line)
{
    size_t width = terminal_width(r->out), n = strlen(line);
    fprintf(r->out, "\r%.*s\033[K", (int)(n < width ? n : width - 1), line);
    fflush(r->out);
    r->dirty = true;
}

static void put_rate(char *out, size_t size, double rate, const char *unit)
{
    if (rate >= 1e6)
        snprintf(out, size, "%.2fM %s/s", rate / 1e6, unit);
    else if (rate >= 1e4)
        snprintf(out, size, "%.1fk %s/s", rate / 1e3, unit);
    else
        snprintf(out, size, "%.4g %s/s", rate, unit);
}

static void progress(Report *r, const StepReport *s, double now)
{
    char     line[LINE_MAX_BYTES], left[24], rate[40], skips[48] = "";
    uint64_t done = s->step - r->first;
    double   elapsed = now - r->started;
    format_duration(left, done ? elapsed / (double)done * (double)(s->steps - s->step) : NAN);
    if (s->tokens)
        put_rate(rate, sizeof rate, (double)r->tokens / elapsed, "tokens");
    else
        put_rate(rate, sizeof rate, (double)done / elapsed, "steps");
    if (s->skips)
        snprintf(skips, sizeof skips, "  skipped %llu", (unsigned long long)s->skips);
    snprintf(line, sizeof line, "step %llu/%llu  loss %.4f  %s  %s left  lr %.3g  norm %.3g%s",
             (unsigned long long)s->step, (unsigned long long)s->steps, s->loss, rate, left, s->lr,
             fabs(s->grad_norm), skips); /* fabs: a NaN without its sign */
    if (r->terminal)
        overwrite(r, line);
    else
        fprintf(r->out, "%s\n", line);
    if (!r->terminal)
        fflush(r->out);
    r->last = now;
}

static void wipe(Report *r)
{
    if (r->out && r->dirty)
        fputs("\r\033[K", r->out);
    if (r->out)
        fflush(r->out);
    r->dirty = false;
}

void report_note(Report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    wipe(r);
    if (r->out) {
        vfprintf(r->out, fmt, ap);
        fputc('\n', r->out);
        fflush(r->out);
    }
    va_end(ap);
}

void report_warning(Report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    wipe(r);
    fputs("anerun: warning: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- for programs ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* Print the object on a line of its own and drop it. A log that cannot be written is reported once; training goes on.
 * */
static void log_line(Report *r, json_t *o)
{
    if (r->log && !r->log_failed) {
        bool ok = json_dumpf(o, r->log, JSON_COMPACT) == 0 && fputc('\n', r->log) != EOF && fflush(r->log) == 0;
        if (!ok) {
            r->log_failed = true;
            report_warning(r, "cannot write the log '%s': %s; it ends here", r->log_path, strerror(errno));
        }
    }
    json_decref(o);
}

static json_t *event(const char *name, uint64_t step)
{
    return json_pack("{s:s, s:I}", "event", name, "step", (json_int_t)step);
}

static json_t *milliseconds(double seconds)
{
    return json_pack("{s:o}", "total", number(seconds * 1e3));
}

static void log_step(Report *r, const StepReport *s)
{
    json_t *o = event("step", s->step), *ms = milliseconds(s->seconds);
    json_object_set_new(o, "loss", number(s->loss));
    json_object_set_new(o, "lr", number(s->lr));
    json_object_set_new(o, "grad_norm", number(s->grad_norm));
    json_object_set_new(o, "loss_scale", number(s->loss_scale));
    json_object_set_new(o, "skipped", json_boolean(s->skipped));
    json_object_set_new(o, "skips", json_integer((json_int_t)s->skips));
    json_object_set_new(o, "tokens", json_integer((json_int_t)s->tokens));
    json_object_set_new(o, "tokens_per_s", number((double)s->tokens / s->seconds));
    for (uint32_t i = 0; i < s->classes; i++)
        json_object_set_new(ms, s->class_name[i], number(s->class_seconds[i] * 1e3));
    json_object_set_new(o, "ms", ms);
    log_line(r, o);
}

void report_step(Report *r, const StepReport *s)
{
    double now = clock_seconds();
    bool   edge = s->step == r->first + 1 || s->step == s->steps;
    r->tokens += s->tokens;
    if (r->log)
        log_step(r, s);
    if (r->out && (edge || now - r->last >= (r->terminal ? terminal_interval : plain_interval)))
        progress(r, s, now);
}

void report_log_start(Report *r, const char *model, uint64_t step, uint64_t steps, uint64_t parameters, uint64_t seed)
{
    json_t *o = event("start", step);
    json_object_set_new(o, "model", json_string(model));
    json_object_set_new(o, "steps", json_integer((json_int_t)steps));
    json_object_set_new(o, "parameters", json_integer((json_int_t)parameters));
    json_object_set_new(o, "seed", json_integer((json_int_t)seed));
    log_line(r, o);
}

void report_log_eval(Report *r, uint64_t step, double loss, uint64_t tokens, double bits_per_byte, double seconds)
{
    json_t *o = event("eval", step);
    json_object_set_new(o, "loss", number(loss));
    if (tokens)
        json_object_set_new(o, "perplexity", number(exp(loss)));
    if (bits_per_byte > 0)
        json_object_set_new(o, "bits_per_byte", number(bits_per_byte));
    json_object_set_new(o, "tokens", json_integer((json_int_t)tokens));
    json_object_set_new(o, "ms", milliseconds(seconds));
    log_line(r, o);
}

void report_log_save(Report *r, uint64_t step, const char *path, double seconds)
{
    json_t *o = event("save", step);
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "ms", milliseconds(seconds));
    log_line(r, o);
}

void report_log_end(Report *r, uint64_t step, const char *reason, const ExecCounters *c)
{
    json_t *o = event("end", step);
    json_object_set_new(o, "reason", json_string(reason));
    json_object_set_new(o, "compiles", json_integer((json_int_t)c->compiles));
    json_object_set_new(o, "reloads", json_integer((json_int_t)c->reloads));
    json_object_set_new(o, "staged_bytes", json_integer((json_int_t)c->staged));
    log_line(r, o);
}

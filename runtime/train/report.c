/* report.c: progress and log of a run; see report.h. */
#include "runtime/train/progress.h"
#include "runtime/train/run_page.h"

#include "runtime/train/state_file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
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

/* Was the writer of a file killed in the middle of a line? */
static bool ends_within_a_line(const char *path)
{
    FILE *f = fopen(path, "r");
    bool  within = f && fseek(f, -1, SEEK_END) == 0 && fgetc(f) != '\n';
    if (f)
        fclose(f);
    return within;
}

bool report_open(Report *r, FILE *out, const char *log_path, bool append, uint64_t first_step, Buf *err)
{
    *r = (Report){.out = out, .log_path = log_path, .first = first_step, .started = clock_seconds(), .last = -1};
    const char *kind = getenv("TERM");
    r->terminal = out && isatty(fileno(out)) && kind && strcmp(kind, "dumb") != 0;
    if (r->terminal) {
        r->progress = calloc(1, sizeof *r->progress);
        r->terminal = r->progress != NULL;
    }
    if (r->terminal)
        r->progress->style = progress_style();
    if (!log_path)
        return true;
    bool torn = append && ends_within_a_line(log_path);
    r->log = fopen(log_path, append ? "a" : "w");
    if (r->log && torn)
        fputc('\n', r->log);
    if (!r->log)
        buf_printf(err, "cannot write the log '%s': %s", log_path, strerror(errno));
    return r->log != NULL;
}

void report_close(Report *r)
{
    if (r->out && r->lines)
        fputc('\n', r->out);
    r->lines = 0;
    if (r->out)
        fflush(r->out);
    run_page_close(r->page);
    r->page = NULL;
    free(r->progress);
    r->progress = NULL;
    r->terminal = false;
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

/* To the start of the display, as ECMA-48 has it: carriage return, up, erase to the end of the screen. */
static void wipe(Report *r)
{
    if (r->out && r->lines)
        fputs("\r", r->out);
    for (uint32_t i = 1; r->out && i < r->lines; i++)
        fputs("\033[A", r->out);
    if (r->out && r->lines)
        fputs("\033[J", r->out);
    if (r->out)
        fflush(r->out);
    r->lines = 0;
}

static double seconds_left(const Report *r, const StepReport *s, double now)
{
    uint64_t done = s->step - r->first;
    return done ? (now - r->started) / (double)done * (double)(s->steps - s->step) : NAN;
}

/* The display over the last one, in one write, so that nothing is seen half erased. */
static void display(Report *r, const StepReport *s, double now)
{
    Buf text = {0}, all = {0};
    progress_text(r->progress, s, seconds_left(r, s, now), terminal_width(r->out), &text);
    if (r->lines)
        buf_putc(&all, '\r');
    for (uint32_t i = 1; i < r->lines; i++)
        buf_puts(&all, "\033[A");
    r->lines = 1;
    for (const char *p = text.data; *p; p++) {
        if (*p == '\n')
            buf_puts(&all, "\033[K");
        r->lines += *p == '\n';
        buf_putc(&all, *p);
    }
    buf_puts(&all, "\033[K\033[J");
    fwrite(all.data, 1, all.len, r->out);
    fflush(r->out);
    r->last = now;
    buf_free(&text);
    buf_free(&all);
}

void format_rate(char *out, size_t size, double rate, const char *unit)
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
    format_duration(left, seconds_left(r, s, now));
    if (s->tokens)
        format_rate(rate, sizeof rate, (double)r->tokens / elapsed, "tokens");
    else
        format_rate(rate, sizeof rate, (double)done / elapsed, "steps");
    if (s->skips)
        snprintf(skips, sizeof skips, "  skipped %llu", (unsigned long long)s->skips);
    snprintf(line, sizeof line, "step %llu/%llu  loss %.4f  %s  %s left  lr %.3g  norm %.3g%s",
             (unsigned long long)s->step, (unsigned long long)s->steps, s->loss, rate, left, s->lr,
             fabs(s->grad_norm), skips); /* fabs: a NaN without its sign */
    fprintf(r->out, "%s\n", line);
    fflush(r->out);
    r->last = now;
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
    if (r->page)
        run_page_add(r->page, o);
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
    if (s->engine_seconds > 0)
        json_object_set_new(o, "engine_ms", number(s->engine_seconds * 1e3));
    log_line(r, o);
}

void report_step(Report *r, const StepReport *s)
{
    double now = clock_seconds();
    bool   edge = s->step == r->first + 1 || s->step == s->steps;
    r->tokens += s->tokens;
    if (r->on_step)
        r->on_step(r->on_step_with, s);
    if (r->log || r->page)
        log_step(r, s);
    if (r->terminal)
        progress_add(r->progress, s);
    if (r->terminal && (edge || now - r->last >= terminal_interval))
        display(r, s, now);
    else if (r->out && !r->terminal && (edge || now - r->last >= plain_interval))
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

void report_log_restart(Report *r, uint64_t step, uint32_t restarts, const double *time)
{
    static const char *const phase[] = {[AT_EXEC] = "close", [AT_MAIN] = "exec", [AT_OPEN] = "open",
                                        [AT_READY] = "data", [AT_BAKED] = "programs"};
    json_t *o = event("restart", step), *ms = milliseconds(time[AT_READY] - time[AT_DECISION]);
    json_object_set_new(o, "restarts", json_integer(restarts));
    for (int i = AT_EXEC; i < STATE_TIMES; i++)
        json_object_set_new(ms, phase[i], number((time[i] - time[i - 1]) * 1e3));
    json_object_set_new(o, "ms", ms);
    log_line(r, o);
}

void report_log_sample(Report *r, uint64_t step, const char *prompt, const char *text)
{
    json_t *o = event("sample", step);
    json_object_set_new(o, "prompt", json_string(prompt));
    json_object_set_new(o, "text", json_string(text));
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

/* trial.c: the side of a trial that asks; see trial.h. */
#include "probe/trial.h"

#include "base/f16.h"
#include "self.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const char *const outcome_name[OUTCOME_BROKEN + 1] = {"ran", "refused", "failed", "crashed", "hung", "broken"};

/* ---- the process ---- */

static void close_all(Server *s)
{
    if (s->to > 0)
        close(s->to);
    if (s->from > 0)
        close(s->from);
    if (s->said)
        fclose(s->said);
    s->to = s->from = 0;
    s->said = NULL;
    s->pid = 0;
    buf_clear(&s->line);
}

static bool start(Server *s, Buf *why)
{
    char path[4096];
    int  ask[2] = {-1, -1}, answer[2] = {-1, -1};
    if (!self_path(path, sizeof path, why))
        return false;
    signal(SIGPIPE, SIG_IGN); /* a process that is gone is an answer, not an end */
    s->said = tmpfile();
    if (!s->said || pipe(ask) != 0 || pipe(answer) != 0) {
        buf_printf(why, "no pipes for another process: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(ask[i], F_SETFD, FD_CLOEXEC);
        fcntl(answer[i], F_SETFD, FD_CLOEXEC);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ask[0], 0);
    posix_spawn_file_actions_adddup2(&actions, answer[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(s->said), 2);
    int failed = posix_spawn(&s->pid, path, &actions, NULL, s->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ask[0]);
    close(answer[1]);
    s->to = ask[1];
    s->from = answer[0];
    s->compiled = 0;
    s->started++;
    if (failed) {
        s->pid = 0;
        close_all(s);
        buf_printf(why, "'%s' cannot be started: %s", path, strerror(failed));
    }
    return !failed;
}

/* The last line that it wrote to standard error. */
static const char *last_words(Server *s, Arena *a)
{
    char   tail[2048];
    if (!s->said || fseek(s->said, 0, SEEK_END) != 0)
        return "";
    long n = ftell(s->said), from = n > (long)sizeof tail ? n - (long)sizeof tail : 0;
    if (n <= 0 || fseek(s->said, from, SEEK_SET) != 0)
        return "";
    size_t got = fread(tail, 1, sizeof tail, s->said);
    while (got && (tail[got - 1] == '\n' || tail[got - 1] == 0))
        got--;
    size_t at = got;
    while (at && tail[at - 1] != '\n')
        at--;
    return arena_strndup(a, tail + at, got - at);
}

static Outcome stop(Server *s, Arena *a, OutcomeKind kind, const char *why)
{
    Outcome o = {.kind = kind, .why = why};
    int     status = 0;
    if (kind == OUTCOME_HUNG)
        kill(s->pid, SIGKILL);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (kind == OUTCOME_CRASHED) {
        const char *words = last_words(s, a);
        const char *how = WIFSIGNALED(status) ? arena_printf(a, "the process ended with signal %d", WTERMSIG(status))
                                              : arena_printf(a, "the process ended with status %d", WEXITSTATUS(status));
        o.why = *words ? arena_printf(a, "%s: %s", how, words) : how;
    }
    close_all(s);
    return o;
}

bool server_end(Server *s, Arena *a, Buf *err)
{
    int  status = 0;
    bool ok = true;
    if (s->pid) {
        close(s->to);
        s->to = 0;
        while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
            ;
        ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!ok)
            buf_printf(err, "a process of the probe ended with %s %d after it had answered everything: %s\n",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), last_words(s, a));
        close_all(s);
    }
    buf_free(&s->line);
    return ok;
}

/* ---- a line there, a line back ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool send_line(Server *s, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(s->to, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* 1: a line is in s->line; 0: the process is gone; -1: time is up. */
static int receive_line(Server *s)
{
    double until = now() + s->patience;
    buf_clear(&s->line);
    for (;;) {
        char          part[65536];
        double        left = until - now();
        struct pollfd p = {s->from, POLLIN, 0};
        if (left <= 0)
            return -1;
        int ready = poll(&p, 1, left > 1000 ? 1000000 : (int)(left * 1000) + 1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            continue;
        ssize_t n = read(s->from, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        buf_add(&s->line, part, (size_t)n);
        if (part[n - 1] == '\n')
            return 1;
    }
}

static char *request(const Trial *t)
{
    json_t *fill = json_object(), *all;
    for (uint32_t i = 0; i < t->fills; i++)
        json_object_set_new(fill, t->fill[i].name, json_string(t->fill[i].value));
    all = json_pack("{si ss% so si sI sb}", "kind", (int)t->kind, "mil", t->mil ? t->mil : "", t->len, "fill", fill, "times",
                    (int)t->times, "surface", (json_int_t)t->surface, "outputs", (int)t->outputs);
    char *line = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return line;
}

static int hex(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* fp16 numbers in hexadecimal, four digits each. */
static void output(Outcome *o, Arena *a, const char *text)
{
    size_t  n = strlen(text) / 4;
    double *x = NEW_N(a, double, n + 1);
    for (size_t i = 0; i < n; i++, text += 4)
        x[i] = f16_to_f32((uint16_t)(hex(text[0]) << 12 | hex(text[1]) << 8 | hex(text[2]) << 4 | hex(text[3])));
    o->elements[o->outputs] = (int64_t)n;
    o->output[o->outputs++] = x;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(Arena *a, const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return arena_strdup(a, s ? s : "");
}

static Outcome answer(Server *s, Arena *a)
{
    json_t *j = json_loadb(s->line.data, s->line.len, 0, NULL), *x;
    size_t  i;
    Outcome o = {.kind = OUTCOME_BROKEN, .why = "the process answered something that is no answer"};
    if (!j)
        return o;
    int kind = (int)json_integer_value(json_object_get(j, "outcome"));
    o = (Outcome){.kind = kind >= 0 && kind <= OUTCOME_BROKEN ? (OutcomeKind)kind : OUTCOME_BROKEN,
                  .why = text(a, j, "why"),
                  .limit = json_is_true(json_object_get(j, "limit")),
                  .simulated = json_is_true(json_object_get(j, "simulated")),
                  .compile_ms = number(j, "compile_ms"),
                  .load_ms = number(j, "load_ms"),
                  .reload_ms = number(j, "reload_ms"),
                  .wall_us = number(j, "wall_us"),
                  .engine_us = number(j, "engine_us"),
                  .make_us = number(j, "make_us"),
                  .lock_us = number(j, "lock_us"),
                  .count = (uint32_t)json_integer_value(json_object_get(j, "count")),
                  .text = text(a, j, "text")};
    json_array_foreach (json_object_get(j, "output"), i, x)
        if (o.outputs < TRIAL_OUTPUTS && json_is_string(x))
            output(&o, a, json_string_value(x));
    s->compiled += (uint32_t)json_integer_value(json_object_get(j, "compiled"));
    json_decref(j);
    return o;
}

static Outcome once(Server *s, Arena *a, const Trial *t)
{
    Buf why = {0};
    if (!s->pid && !start(s, &why)) {
        Outcome o = {.kind = OUTCOME_BROKEN, .why = arena_strdup(a, why.data)};
        buf_free(&why);
        return o;
    }
    char *line = request(t);
    bool  sent = send_line(s, line, strlen(line)) && send_line(s, "\n", 1);
    free(line);
    int got = sent ? receive_line(s) : 0;
    if (got < 0)
        return stop(s, a, OUTCOME_HUNG, arena_printf(a, "no answer within %g s", s->patience));
    return got ? answer(s, a) : stop(s, a, OUTCOME_CRASHED, "");
}

Outcome trial(Server *s, Arena *a, const Trial *t)
{
    Buf  left = {0};
    bool counting = t->kind == TRIAL_COUNT || t->kind == TRIAL_RELEASE;
    bool fresh = counting || s->compiled >= s->share;
    bool ended = !s->pid || !fresh || server_end(s, a, &left);
    Outcome o;
    if (!ended) {
        o = (Outcome){.kind = OUTCOME_BROKEN, .why = arena_strndup(a, left.data, left.len - 1)};
        buf_free(&left);
        return o;
    }
    buf_free(&left);
    o = once(s, a, t);
    /* A refusal by a process that has compiled others may be about their number; a crash may be theirs as well. */
    bool again = (o.kind == OUTCOME_REFUSED && o.limit) || (o.kind == OUTCOME_CRASHED && s->pid == 0);
    if (again && !counting) {
        if (s->pid && !server_end(s, a, &left)) {
            o = (Outcome){.kind = OUTCOME_BROKEN, .why = arena_strndup(a, left.data, left.len - 1)};
            buf_free(&left);
            return o;
        }
        buf_free(&left);
        o = once(s, a, t);
    }
    if (counting) {
        s->compiled = s->share; /* the next trial gets a process of its own */
    }
    return o;
}

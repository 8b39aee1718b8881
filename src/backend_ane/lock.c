/* lock.c: see lock.h. */
#include "backend_ane/lock.h"

#include <string.h>

enum { MAX_LINES = 100000, MAX_PROGRAM = 9999 };

static const char head[] = "anel-lock 1";

typedef struct {
    const char *at, *end;
} Text;

/* The next word of the line, or an empty one. */
static Text word(Text *line)
{
    while (line->at < line->end && (*line->at == ' ' || *line->at == '\t' || *line->at == '\r'))
        line->at++;
    Text w = {line->at, line->at};
    while (line->at < line->end && *line->at != ' ' && *line->at != '\t' && *line->at != '\r')
        line->at++;
    w.end = line->at;
    return w;
}

static bool is(Text w, const char *s)
{
    size_t n = (size_t)(w.end - w.at);
    return n == strlen(s) && memcmp(w.at, s, n) == 0;
}

/* A number from 1 to MAX_PROGRAM, or 0. */
static uint32_t number_of(Text w)
{
    uint32_t n = 0;
    for (const char *s = w.at; s < w.end; s++) {
        if (*s < '0' || *s > '9' || (n = n * 10 + (uint32_t)(*s - '0')) > MAX_PROGRAM)
            return 0;
    }
    return n;
}

/* Names are printable and take one word. */
static bool is_clean(Text w)
{
    for (const char *s = w.at; s < w.end; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s == 0x7f)
            return false;
    return w.end > w.at;
}

static bool add_line(Arena *a, Lock *l, Text line, Span at, Diags *ds)
{
    Text graph = word(&line), way = word(&line), number = word(&line), value = word(&line), more = word(&line);
    bool ok = is_clean(graph) && (is(way, "fwd") || is(way, "bwd")) && number_of(number) && is_clean(value) &&
              more.at == more.end;
    if (!ok) {
        Diag *d = diag_error(ds, "E0806", at, "a line of a lock is 'graph direction program value'");
        diag_help(d, "as in 'loss/layers fwd 1 layers.attention.q'; 'anec MODEL -o PLAN' writes PLAN/plan.lock");
        return false;
    }
    LockLine x = {.graph = arena_strndup(a, graph.at, (size_t)(graph.end - graph.at)),
                  .value = arena_strndup(a, value.at, (size_t)(value.end - value.at)),
                  .backward = is(way, "bwd"), .program = number_of(number), .at = at};
    GROW(a, l->line, l->lines, l->cap);
    l->line[l->lines++] = x;
    return true;
}

Lock *lock_parse(Arena *a, Sources *sources, const char *name, const char *text, size_t len, Diags *ds)
{
    Lock    *l = NEW(a, Lock);
    uint32_t file = sources_add(sources, name, text, len);
    bool     opened = false;
    l->at = (Span){file, 0, 0};
    for (size_t begin = 0; begin < len;) {
        const char *nl = memchr(text + begin, '\n', len - begin);
        size_t      end = nl ? (size_t)(nl - text) : len;
        Text        line = {text + begin, text + end};
        Span        at = {file, (uint32_t)begin, (uint32_t)end};
        begin = end + 1;
        Text rest = line, first = word(&rest);
        if (first.at == first.end || *first.at == '#')
            continue;
        if (!opened) {
            Text second = word(&rest);
            opened = is(first, "anel-lock") && is(second, "1");
            if (!opened) {
                Diag *d = diag_error(ds, "E0806", at, "not a lock: it begins with '%s'", head);
                diag_help(d, "'anec MODEL -o PLAN' writes PLAN/plan.lock");
                return NULL;
            }
        } else if (l->lines == MAX_LINES) {
            diag_error(ds, "E0806", at, "a lock has at most %d lines", MAX_LINES);
            return NULL;
        } else if (!add_line(a, l, line, at, ds)) {
            return NULL;
        }
    }
    if (!opened) {
        diag_error(ds, "E0806", l->at, "'%s' is empty; a lock begins with '%s'", name, head);
        return NULL;
    }
    l->used = NEW_N(a, bool, l->lines + 1u);
    return l;
}

uint32_t lock_find(const Lock *l, const char *graph, bool backward, const char *value)
{
    for (uint32_t i = 0; l && i < l->lines; i++) {
        const LockLine *x = &l->line[i];
        if (x->backward == backward && strcmp(x->value, value) == 0 && strcmp(x->graph, graph) == 0) {
            l->used[i] = true;
            return x->program;
        }
    }
    return 0;
}

void lock_head(Buf *out)
{
    buf_printf(out, "%s\n# graph direction program value\n", head);
}

void lock_print(Buf *out, const char *graph, bool backward, uint32_t program, const char *value)
{
    buf_printf(out, "%s %s %u %s\n", graph, backward ? "bwd" : "fwd", program, value);
}

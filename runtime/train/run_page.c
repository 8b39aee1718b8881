/* run_page.c: see run_page.h. */
#include "runtime/train/run_page.h"

#include "base/file.h"
#include "base/utf8.h"
#include "runtime/train/decoder.h"
#include "runtime/train/generate.h"
#include "runtime/train/history.h"
#include "runtime/train/page.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS_BETWEEN = 64, TOKENS_AT_THE_END = 256 };
static const double interval = 20; /* seconds between two writes */

struct RunPage {
    const Session *s;
    RunPageOptions o;
    Report        *report;
    Arena         *arena; /* until the end */
    History       *history;
    PagePair      *fact, *setting;
    uint32_t       facts, settings;
    double         written; /* clock_seconds() */
    bool           failed;
};

/* ---- what does not change ---- */

static void put_fact(RunPage *p, const char *key, const char *value)
{
    p->fact[p->facts++] = (PagePair){key, value};
}

static void collect(RunPage *p)
{
    const Plan *plan = p->s->plan;
    Buf         value = {0};
    p->fact = NEW_N(p->arena, PagePair, plan->configs + 8u);
    put_fact(p, "plan", p->s->plan_hash);
    put_fact(p, "compiler", plan->compiler);
    put_fact(p, "target", plan->target);
    put_fact(p, "weights", plan_weight_mode_name[plan->weights]);
    if (p->o.machine)
        put_fact(p, "device", p->o.machine);
    for (uint32_t i = 0; i < plan->configs; i++)
        put_fact(p, arena_printf(p->arena, "config %s", plan->config[i].key), plan->config[i].value);
    p->setting = NEW_N(p->arena, PagePair, settings_count());
    for (uint32_t i = 0; i < settings_count(); i++) {
        if (!settings_applies(&p->s->settings, i))
            continue;
        buf_clear(&value);
        settings_value(&p->s->settings, i, &value);
        p->setting[p->settings++] = (PagePair){settings_key(i), arena_strdup(p->arena, value.data ? value.data : "")};
    }
    buf_free(&value);
}

/* ---- what was before ---- */

static bool recall(RunPage *p, Buf *err)
{
    uint64_t unread = 0;
    Buf      why = {0};
    json_t  *state = page_history(p->o.path, &why);
    bool     ok = state || !why.len;
    if (!ok)
        buf_puts(err, why.data);
    buf_free(&why);
    if (ok && p->o.resumed && p->o.log)
        ok = history_read_log(p->history, p->o.log, &unread, err);
    if (unread && p->o.log)
        report_warning(p->report, "%llu lines of the log '%s' cannot be read and are left out of the report",
                       (unsigned long long)unread, p->o.log);
    if (ok && p->o.resumed && state && !p->history->steps && !history_restore(p->history, state))
        report_warning(p->report, "the report '%s' was made by another version: its earlier part is left out", p->o.path);
    json_decref(state);
    return ok;
}

/* ---- writing ---- */

static int by_time(const void *a, const void *b)
{
    const PageTime *x = a, *y = b;
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->where, y->where);
}

static PageTime *times_of(const Exec *e, Arena *a, uint32_t *n)
{
    ExecTime t;
    uint32_t rows = 0;
    *n = 0;
    while (exec_time(e, rows, &t))
        rows++;
    PageTime *time = NEW_N(a, PageTime, rows + 1u);
    for (uint32_t i = 0; i < rows; i++)
        if (exec_time(e, i, &t) && t.calls)
            time[(*n)++] = (PageTime){t.name, exec_class_name[t.class], t.calls, t.seconds};
    qsort(time, *n, sizeof *time, by_time);
    return time;
}

static bool write_page(RunPage *p, Buf *err)
{
    Arena   *a = arena_new();
    Buf      html = {0};
    char     why[FILE_ERR_MAX];
    uint32_t times;
    PageTime *time = times_of(p->s->exec, a, &times);
    page_html(&(Page){.model = p->s->plan->model, .plan_hash = p->s->plan_hash, .parameters = p->s->parameters,
                      .steps = p->o.steps, .fact = p->fact, .facts = p->facts, .setting = p->setting,
                      .settings = p->settings, .time = time, .times = times, .since = p->o.step, .history = p->history},
              &html);
    bool ok = file_write_atomic(p->o.path, html.data, html.len, why);
    if (!ok)
        buf_printf(err, "the report was not written: %s", why);
    p->written = clock_seconds();
    buf_free(&html);
    arena_free(a);
    return ok;
}

RunPage *run_page_open(const Session *s, const RunPageOptions *o, Report *r, Buf *err)
{
    RunPage *p = calloc(1, sizeof *p);
    if (!p)
        bug("out of memory");
    *p = (RunPage){.s = s, .o = *o, .report = r, .arena = arena_new(), .history = history_new()};
    collect(p);
    if (recall(p, err) && write_page(p, err))
        return p;
    run_page_close(p);
    return NULL;
}

void run_page_close(RunPage *p)
{
    if (!p)
        return;
    history_free(p->history);
    arena_free(p->arena);
    free(p);
}

void run_page_add(RunPage *p, const json_t *object)
{
    const char *event = json_string_value(json_object_get(object, "event"));
    bool        step = event && strcmp(event, "step") == 0;
    Buf         err = {0};
    history_add(p->history, object);
    if (step ? clock_seconds() - p->written < interval : event && strcmp(event, "start") == 0)
        return;
    if (!write_page(p, &err) && !p->failed) {
        p->failed = true;
        report_warning(p->report, "%s", err.data);
    }
    buf_free(&err);
}

/* ---- samples ---- */

/* What generate() wrote, as text that JSON and HTML can hold: a model's bytes may be anything. */
static const char *printable(Arena *a, char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] == 0)
            bytes[i] = '\x01'; /* shown as U+FFFD, like all control characters */
    return utf8_clean(a, bytes);
}

/* Can the plan write, now? Between steps only if no program has to be compiled for it; at the end if the process may still
 * compile so many. */
static bool can_write(Session *s, bool last)
{
    Arena   *a = arena_new();
    Buf      why = {0};
    Decoder  d;
    uint64_t now = 0, again = 0;
    bool     ok = decoder_open(&d, a, s, &why);
    for (uint32_t i = 0; ok && i < d.pieces; i++) {
        now += exec_bake_cost(s->exec, d.piece[i].entry, EXEC_FORWARD);
        again += exec_rebake_cost(s->exec, d.piece[i].entry, EXEC_FORWARD);
    }
    ok = ok && (last ? now <= exec_compiles_left(s->exec) : now + again == 0);
    buf_free(&why);
    arena_free(a);
    return ok;
}

void run_page_sample(RunPage *p, Session *s, uint64_t step, bool last)
{
    if (!p || !can_write(s, last))
        return;
    char       *text = NULL;
    size_t      n = 0;
    Buf         err = {0};
    FILE       *out = open_memstream(&text, &n);
    const char *prompt = p->o.prompt ? p->o.prompt : s->tokenizer ? "" : s->settings.data == DATA_BYTES ? "\n" : "0";
    GenerateOptions g = {.prompt = prompt,
                         .tokens = last ? TOKENS_AT_THE_END : TOKENS_BETWEEN,
                         .sampling = {.temperature = 0.8, .top_p = 1},
                         .seed = s->settings.seed,
                         .out = out,
                         .note = out};
    if (out) {
        bool   ok = generate(s, &g, &err);
        Arena *a = arena_new();
        fclose(out);
        if (ok)
            report_log_sample(p->report, step, prompt, printable(a, text, n));
        else
            report_note(p->report, "no sample text for the report: %s", err.data);
        arena_free(a);
    }
    free(text);
    buf_free(&err);
}

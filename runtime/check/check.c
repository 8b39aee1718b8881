/* check.c: see check.h. What is compared, and why the bounds are what they are: docs/check.md. */
#include "check/check.h"

#include "base/file.h"
#include "check/check_device.h"
#include "runtime/train/scaler.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_VERSION = 1 };

/* ---- making programs run ---- */

static void set_loss_scale(Session *s, uint32_t entry)
{
    const PlanEntry *p = &s->plan->entry[entry];
    Scaler           scaler;
    scaler_init(&scaler, &s->settings);
    for (uint32_t k = 0; k < p->inputs; k++)
        if (p->input[k].kind == IN_LOSS_SCALE)
            *(float *)exec_input(s->exec, entry, k) = (float)scaler.scale;
}

static bool fill_from_data(Session *s, Arena *a, uint32_t entry, Buf *err)
{
    uint32_t feeds;
    Feed    *feed = session_feeds(s, a, entry, &feeds);
    Data    *d = data_open(&s->settings, NULL, s->tokenizer, feed, feeds, err);
    if (d)
        data_fill(d, 0);
    data_close(d);
    return d != NULL;
}

static bool run_entry(Session *s, Arena *a, uint32_t entry, bool trained, Buf *err)
{
    const PlanEntry *p = &s->plan->entry[entry];
    unsigned         parts = EXEC_FORWARD | (p->backwards ? EXEC_BACKWARD : 0);
    if (!exec_bake(s->exec, entry, parts, err) || (trained && !fill_from_data(s, a, entry, err)))
        return false;
    set_loss_scale(s, entry);
    exec_reset_states(s->exec, s->settings.seed);
    exec_zero_grads(s->exec);
    return exec_forward(s->exec, entry, err) && (!p->backwards || exec_backward(s->exec, entry, err));
}

/* ---- what came of it ---- */

static const char *const verdict_word[] = {"ok", "coarse", "BEYOND"};

typedef struct {
    uint32_t programs, outputs, coarse, beyond;
    double   worst; /* of what is not beyond */
    uint64_t unbounded;
    bool     second;
} Summary;

/* Rows of a program stand together for each kind of input only. */
static bool first_of_program(const CheckRows *rows, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (strcmp(rows->row[i].program, rows->row[at].program) == 0)
            return false;
    return true;
}

static Summary summarise(const CheckRows *rows)
{
    Summary s = {.outputs = rows->rows};
    for (uint32_t i = 0; i < rows->rows; i++) {
        const CheckRow *r = &rows->row[i];
        CheckVerdict    v = check_verdict(r);
        s.programs += first_of_program(rows, i);
        s.coarse += v == CHECK_COARSE;
        s.beyond += v == CHECK_BEYOND;
        s.worst = v == CHECK_WITHIN ? fmax(s.worst, r->worst) : s.worst;
        s.unbounded += r->unbounded;
        s.second = s.second || r->second;
    }
    return s;
}

/* "layers_fwd (L = 0), loss_fwd (L = 0)": what has rows beyond their bounds; how many programs that are. */
static uint32_t name_beyond(const CheckRows *rows, Buf *out)
{
    uint32_t programs = 0;
    for (uint32_t i = 0; i < rows->rows; i++) {
        const CheckRow *r = &rows->row[i];
        bool            told = check_verdict(r) != CHECK_BEYOND, counted = told;
        for (uint32_t k = 0; k < i && !told; k++) {
            bool same = strcmp(rows->row[k].program, r->program) == 0 && check_verdict(&rows->row[k]) == CHECK_BEYOND;
            counted = counted || same;
            told = same && rows->row[k].instance == r->instance;
        }
        programs += !counted;
        if (!told)
            buf_printf(out, "%s%s (L = %d)", out->len ? ", " : "", r->program, (int)r->instance);
    }
    return programs;
}

/* ---- as a table ---- */

static void print_row(FILE *out, const CheckRow *r)
{
    char name[96];
    snprintf(name, sizeof name, "%s (L = %d)", r->program, (int)r->instance);
    fprintf(out, "%-22s %-6s %-24s %9.3g %9.2e ", name, r->inputs, r->output, r->largest, r->max_error);
    if (r->second)
        fprintf(out, "%6.2f %6.2f %9.2e %9.7f %9.3g  %s\n", r->worst, r->host_worst, r->host_distance, r->host_cosine,
                r->host_ulps, verdict_word[check_verdict(r)]);
    else
        fprintf(out, "%9.2e %9.2e %9.2e %6.2f%s\n", r->largest > 0 ? r->max_error / r->largest : 0, r->rms_error, r->rms_bound,
                r->worst, check_passed(r) ? "" : "  BEYOND");
}

static void print_table(FILE *out, const CheckRows *rows, bool second, bool quiet)
{
    bool head = false;
    for (uint32_t i = 0; i < rows->rows; i++) {
        if (quiet && check_verdict(&rows->row[i]) != CHECK_BEYOND)
            continue;
        if (!head && second)
            fprintf(out, "%-22s %-6s %-24s %9s %9s %6s %6s %9s %9s %9s  %s\n", "program", "inputs", "output", "largest", "max error",
                    "worst", "host", "distance", "cosine", "ulps", "verdict");
        else if (!head)
            fprintf(out, "%-22s %-6s %-24s %9s %9s %9s %9s %9s %6s\n", "program", "inputs", "output", "largest", "max error",
                    "relative", "RMS", "RMS bound", "worst");
        head = true;
        print_row(out, &rows->row[i]);
    }
}

static void print_end(FILE *out, const CheckRows *rows, const Summary *s)
{
    if (s->unbounded)
        fprintf(out, "%llu elements, which the reference puts outside of fp16, were not compared\n", (unsigned long long)s->unbounded);
    if (rows->alone)
        fprintf(out, "%u programs have no second opinion: the host device would not compile them\n", (unsigned)rows->alone);
    if (!rows->rows)
        fprintf(out, "the plan has no programs: nothing to check\n");
    else if (!s->beyond)
        fprintf(out, "%u outputs are within their bounds; the worst takes %.0f %% of its own\n", (unsigned)(s->outputs - s->coarse),
                100 * s->worst);
    if (s->coarse)
        fprintf(out, "%u outputs are coarser than rounding explains, and as close as an engine with tables for functions is\n",
                (unsigned)s->coarse);
    if (rows->rows && s->second && !s->beyond)
        fprintf(out, "all %u programs agree\n", (unsigned)s->programs);
}

/* ---- as JSON ---- */

/* Six digits, as in the table; what is not finite is a text. */
static json_t *number(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", x);
    return isfinite(x) ? json_real(strtod(text, NULL)) : json_string(isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static json_t *row_json(const CheckRow *r)
{
    json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:I, s:o, s:s}", "program", r->program, "instance", (int)r->instance, "inputs",
                          r->inputs, "output", r->output, "elements", (json_int_t)r->n, "largest", number(r->largest), "verdict",
                          verdict_word[check_verdict(r)]);
    json_t *reference = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "max_error", number(r->max_error), "rms_error",
                                  number(r->rms_error), "rms_bound", number(r->rms_bound), "worst", number(r->worst), "beyond",
                                  (json_int_t)r->beyond, "not_compared", (json_int_t)r->unbounded, "distance", number(r->distance),
                                  "cosine", number(r->cosine));
    json_t *host = r->second ? json_pack("{s:o, s:I, s:o, s:o, s:o}", "worst", number(r->host_worst), "beyond",
                                         (json_int_t)r->host_beyond, "distance", number(r->host_distance), "cosine",
                                         number(r->host_cosine), "ulps", number(r->host_ulps))
                             : json_null();
    json_object_set_new(j, "reference", reference);
    json_object_set_new(j, "host", host);
    return j;
}

static void print_json(FILE *out, const Session *s, const CheckOptions *o, const CheckRows *rows, const Summary *sum)
{
    json_t *all = json_array();
    Buf     names = {0};
    name_beyond(rows, &names);
    for (uint32_t i = 0; i < rows->rows; i++)
        json_array_append_new(all, row_json(&rows->row[i]));
    json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:s, s:o}", "anel_check", CHECK_VERSION, "device",
                          o->device, "plan", s->plan_hash, "target", s->plan->target, "agree", (int)(sum->beyond == 0), "programs",
                          (int)sum->programs, "outputs", (int)sum->outputs, "coarse", (int)sum->coarse, "beyond", (int)sum->beyond,
                          "without_second_opinion", (int)rows->alone, "programs_beyond", names.data ? names.data : "", "rows", all);
    if (!j)
        bug("a report is not JSON");
    json_dumpf(j, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    fputc('\n', out);
    json_decref(j);
    buf_free(&names);
}

static bool conclude(const Session *session, const CheckRows *rows, const CheckOptions *o, FILE *out, Buf *err)
{
    Summary s = summarise(rows);
    if (o->json)
        print_json(out, session, o, rows, &s);
    else
        print_table(out, rows, s.second, o->quiet);
    if (!o->json)
        print_end(out, rows, &s);
    if (!s.beyond)
        return true;
    Buf      names = {0};
    uint32_t programs = name_beyond(rows, &names);
    buf_printf(err, "%u of %u outputs are beyond their bounds: %u of %u programs do not agree%s: %s", (unsigned)s.beyond,
               (unsigned)s.outputs, (unsigned)programs, (unsigned)s.programs,
               s.second ? "" : " with the reference", names.data);
    buf_free(&names);
    return false;
}

bool check_run(Session *s, Device *checking, const CheckOptions *o, FILE *out, Buf *err)
{
    Arena   *a = arena_new();
    Settings had = s->settings;
    bool     synthetic = s->settings.data == DATA_NOISE || s->settings.data == DATA_COPY_TASK;
    bool     ok = true;
    if (!synthetic && !path_exists(s->settings.data_path))
        ok = settings_set(&s->settings, a, "data", "noise", err);
    for (uint32_t i = 0; i < s->plan->entries && ok; i++) {
        bool trained = s->plan->train_entry && strcmp(s->plan->entry[i].name, s->plan->train_entry) == 0;
        ok = run_entry(s, a, i, trained, err);
    }
    ok = ok && check_device_random(checking, s->settings.seed, err) && conclude(s, check_device_rows(checking), o, out, err);
    s->settings = had;
    arena_free(a);
    return ok;
}

/* receipt_file.c: see receipt_file.h. The JSON is described in docs/receipt.md; "times" is the only member whose values
 * differ between two runs of the same thing on the same system. */
#include "receipt_file.h"

#include "base/file.h"
#include "runtime/train/run_result.h"
#include "system.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { RECEIPT_VERSION = 1 };

/* ---- counting ---- */

static void add_device(DeviceCounts *to, const DeviceCounts *x)
{
    to->programs += x->programs;
    to->surfaces += x->surfaces;
    to->requests += x->requests;
    to->evals += x->evals;
    to->compiles += x->compiles;
    to->reloads += x->reloads;
    to->detours += x->detours;
    to->wall_ns += x->wall_ns;
    to->engine_ns += x->engine_ns;
}

/* The first program of the plan called so; programs of entries may share names. */
static uint32_t find_program(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->programs; i++)
        if (strcmp(p->program[i].name, name) == 0)
            return i;
    return p->programs;
}

/* Of this image and, with restarts, of those before. */
static void count(const Job *j, ReceiptTotals *t)
{
    DeviceCounts now = device_counts(j->device);
    ExecTime     x;
    *t = (ReceiptTotals){0};
    if (j->state)
        *t = state_head(j->state)->receipt;
    add_device(&t->device, &now);
    for (uint32_t i = 0; exec_time(j->exec, i, &x); i++) {
        if (x.class != EXEC_DEVICE)
            continue;
        uint32_t program = find_program(j->plan, x.name);
        *(program < j->plan->programs && program < RECEIPT_PROGRAMS ? &t->program[program] : &t->canaries) += x.calls;
    }
}

void receipt_carry(Job *j)
{
    ReceiptTotals *t = xcalloc(1, sizeof *t);
    count(j, t);
    if (t->started == 0)
        t->started = j->started;
    state_head(j->state)->receipt = *t;
    free(t);
}

/* ---- JSON ---- */

static json_t *clean(const Job *j, const char *text)
{
    return text && *text ? json_string(refusal_scrub(j->arena, text)) : json_null();
}

static json_t *hex(uint64_t x)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, x);
    return json_string(text);
}

static json_t *system_json(void)
{
    System s;
    system_describe(&s);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "os", s.os, "version", s.version, "build", s.build, "machine", s.machine, "model",
                     s.model, "chip", s.chip);
}

static json_t *plan_json(const Job *j)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "hash", j->plan_hash, "model", j->plan->model, "compiler", j->plan->compiler,
                     "target", j->plan->target, "weights", plan_weight_mode_name[j->plan->weights]);
}

static json_t *options_json(const Job *j)
{
    json_t         *all = json_object();
    const Settings *s = &j->session.settings;
    Buf             value = {0};
    for (uint32_t i = 0; i < settings_count(); i++) {
        if (!settings_applies(s, i))
            continue;
        buf_clear(&value);
        settings_value(s, i, &value);
        json_object_set_new(all, settings_key(i), json_string(refusal_scrub(j->arena, value.data ? value.data : "")));
    }
    buf_free(&value);
    return all;
}

static json_t *programs_json(const Job *j, const ReceiptTotals *t)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < j->plan->programs; i++) {
        const PlanProgram *p = &j->plan->program[i];
        bool               counted = i < RECEIPT_PROGRAMS && find_program(j->plan, p->name) == i;
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:i, s:i, s:o}", "name", p->name, "mil", p->mil, "mil_hash", p->mil_hash,
                                             "instances", (int)p->n, "weight_files", (int)p->weights, "evaluations",
                                             counted ? json_integer((json_int_t)t->program[i]) : json_null()));
    }
    return all;
}

static json_t *counts_json(const Job *j, const ReceiptTotals *t)
{
    const DeviceCounts *d = &t->device;
    uint64_t            restarts = j->state ? state_head(j->state)->restarts : 0;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "evaluations", (json_int_t)d->evals, "compilations",
                     (json_int_t)d->compiles, "reloads", (json_int_t)d->reloads, "loads", (json_int_t)d->programs, "requests",
                     (json_int_t)d->requests, "surfaces", (json_int_t)d->surfaces, "restarts", (json_int_t)restarts);
}

/* The bits of all parameters, in the plan's order. */
static void hash_parameters(const Job *j, char out[HASH_HEX])
{
    Buf all = {0};
    for (uint32_t i = 0; i < exec_params(j->exec); i++) {
        const ExecParam *p = exec_param(j->exec, i);
        char             one[HASH_HEX];
        hash_hex(p->value, p->numel * sizeof *p->value, one);
        buf_printf(&all, "%s=%s;", p->path, one);
    }
    hash_hex(all.data ? all.data : "", all.len, out);
    buf_free(&all);
}

static json_t *results_json(const Job *j)
{
    const RunResult *r = &j->result;
    char             hash[HASH_HEX];
    hash_parameters(j, hash);
    if (!r->known)
        return json_pack("{s:s}", "parameters_hash", hash);
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:s}", "from_step", (json_int_t)r->first, "step", (json_int_t)r->state.step, "skipped",
                     (json_int_t)r->state.skipped, "losses", (json_int_t)r->state.losses, "losses_hash", hex(r->state.losses_hash),
                     "parameters_hash", hash);
}

static const char *action_name(const Options *o)
{
    return o->train ? "train" : o->eval ? "eval" : o->check ? "check" : "bench";
}

bool receipt_write(const Job *j, const char *status, const char *error, Buf *err)
{
    const Options *o = &j->o;
    if (!o->receipt || !j->exec)
        return true;
    ReceiptTotals *t = xcalloc(1, sizeof *t);
    count(j, t);
    if (!status)
        status = j->result.known && j->result.why ? j->result.why : "done";
    json_t *times = json_pack("{s:f, s:f, s:f}", "seconds",
                              clock_seconds() - (t->started > 0 ? t->started : j->started), "evaluations_seconds",
                              1e-9 * (double)t->device.wall_ns, "engine_seconds", 1e-9 * (double)t->device.engine_ns);
    json_t *fallbacks = json_pack("{s:i, s:I}", "programs", 0, "direct_evaluation", (json_int_t)t->device.detours);
    json_t *device = json_pack("{s:s, s:s, s:s, s:i}", "name", o->device, "numerics", o->numerics ? o->numerics : "ane", "reduce",
                               o->reduce ? o->reduce : "strict", "ranks", (int)dist_size(j->dist));
    json_t *all = json_pack("{s:i, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "anel_receipt", RECEIPT_VERSION,
                            "status", status, "action", action_name(o), "error", clean(j, error), "anel", ANEL_VERSION, "system",
                            system_json(), "device", device, "plan", plan_json(j), "programs", programs_json(j, t), "counts",
                            counts_json(j, t), "fallbacks", fallbacks, "results", results_json(j), "settings", options_json(j), "times",
                            times);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    char  why[FILE_ERR_MAX];
    Buf   file = {0};
    if (!text)
        bug("a receipt is not JSON");
    buf_printf(&file, "%s\n", text);
    bool ok = file_write_atomic(o->receipt, file.data, file.len, why);
    if (!ok)
        buf_puts(err, why);
    buf_free(&file);
    free(text);
    json_decref(all);
    free(t);
    return ok;
}

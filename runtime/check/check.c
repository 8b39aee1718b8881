/* check.c: see check.h. What is compared, and why the bounds are what they are: docs/check.md. */
#include "check/check.h"

#include "base/file.h"
#include "check/check_device.h"
#include "runtime/train/scaler.h"

#include <math.h>
#include <string.h>

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

/* ---- the table ---- */

static void print_row(FILE *out, const CheckRow *r)
{
    char name[96];
    snprintf(name, sizeof name, "%s (L = %d)", r->program, (int)r->instance);
    fprintf(out, "%-22s %-6s %-24s %9.3g %9.2e %9.2e %9.2e %9.2e %6.2f%s\n", name, r->inputs, r->output, r->largest, r->max_error,
            r->largest > 0 ? r->max_error / r->largest : 0, r->rms_error, r->rms_bound, r->worst,
            check_passed(r) ? "" : "  BEYOND");
}

static void print_table(FILE *out, const CheckRows *rows, bool quiet)
{
    bool head = false;
    for (uint32_t i = 0; i < rows->rows; i++) {
        if (quiet && check_passed(&rows->row[i]))
            continue;
        if (!head)
            fprintf(out, "%-22s %-6s %-24s %9s %9s %9s %9s %9s %6s\n", "program", "inputs", "output", "largest", "max error",
                    "relative", "RMS", "RMS bound", "worst");
        head = true;
        print_row(out, &rows->row[i]);
    }
}

static bool conclude(const CheckRows *rows, FILE *out, bool quiet, Buf *err)
{
    uint32_t beyond = 0;
    double   worst = 0;
    uint64_t unbounded = 0;
    for (uint32_t i = 0; i < rows->rows; i++) {
        beyond += !check_passed(&rows->row[i]);
        worst = fmax(worst, rows->row[i].worst);
        unbounded += rows->row[i].unbounded;
    }
    print_table(out, rows, quiet);
    if (unbounded)
        fprintf(out, "%llu elements, which the reference puts outside of fp16, were not compared\n", (unsigned long long)unbounded);
    if (beyond) {
        buf_printf(err, "%u of %u outputs are beyond their bounds", (unsigned)beyond, (unsigned)rows->rows);
        return false;
    }
    if (!rows->rows)
        fprintf(out, "the plan has no programs: nothing to check\n");
    else
        fprintf(out, "%u outputs are within their bounds; the worst takes %.0f %% of its own\n", (unsigned)rows->rows, 100 * worst);
    return true;
}

bool check_run(Session *s, Device *checking, FILE *out, bool quiet, Buf *err)
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
    ok = ok && check_device_random(checking, s->settings.seed, err) && conclude(check_device_rows(checking), out, quiet, err);
    s->settings = had;
    arena_free(a);
    return ok;
}

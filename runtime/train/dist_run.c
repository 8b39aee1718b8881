/* dist_run.c: see dist_run.h. */
#include "runtime/train/dist_run.h"

#include <string.h>

uint64_t run_shared_accum(uint64_t whole, const Dist *d)
{
    return whole % dist_size(d) ? 0 : whole / dist_size(d);
}

Settings run_whole_settings(const Session *s)
{
    Settings whole = s->settings;
    whole.accum *= dist_size(s->dist);
    return whole;
}

/* All but names of files, which may lie elsewhere on every machine. */
static void settings_text(const Settings *s, Buf *out)
{
    for (uint32_t i = 0; i < settings_count(); i++) {
        const char *key = settings_key(i);
        if (strcmp(key, "data.path") == 0 || strcmp(key, "eval") == 0 || strcmp(key, "tokenizer") == 0)
            continue;
        buf_printf(out, "%s=", key);
        settings_value(s, i, out);
        buf_putc(out, '\n');
    }
}

static void add_hash(Buf *out, const void *data, size_t bytes)
{
    char hash[HASH_HEX];
    hash_hex(data, bytes, hash);
    buf_puts(out, hash);
}

static void state_text(const Session *s, Buf *out)
{
    for (uint32_t i = 0; i < s->layout.tensors; i++) {
        const CheckpointTensor *t = &s->tensor[i];
        add_hash(out, t->value, t->numel * sizeof(float));
        if (t->m)
            add_hash(out, t->m, t->numel * sizeof(float));
        if (t->v)
            add_hash(out, t->v, t->numel * sizeof(float));
    }
}

static bool same(const Run *t, Buf *text, const char *complaint, Buf *err)
{
    bool ok = dist_same(t->s->dist, text->data, text->len);
    if (!ok)
        buf_printf(err, "%s", complaint);
    buf_clear(text);
    return ok;
}

bool run_ranks_agree(Run *t, Buf *err)
{
    Session *s = t->s;
    Buf      text = {0};
    if (dist_size(s->dist) == 1)
        return true;
    buf_puts(&text, s->plan_hash);
    bool ok = same(t, &text, "its plan is not the one of rank 0: give all ranks the same plan", err);
    if (ok) {
        settings_text(&s->settings, &text);
        buf_printf(&text, "end=%llu\n", (unsigned long long)t->end);
        ok = same(t, &text, "its settings are not those of rank 0: give all ranks the same options", err);
    }
    if (ok) {
        buf_printf(&text, "%llu %llu", (unsigned long long)data_size(t->data),
                   (unsigned long long)(t->eval ? data_batches(t->eval) : 0));
        ok = same(t, &text, "its data have another length than those of rank 0", err);
    }
    if (ok) {
        buf_printf(&text, "%llu %llu %llu %a", (unsigned long long)t->r.step, (unsigned long long)t->r.updates,
                   (unsigned long long)t->r.cursor, t->scaler.scale);
        state_text(s, &text);
        ok = same(t, &text,
                  "it starts with other parameters than rank 0: all ranks need the same checkpoint or weights", err);
    }
    buf_free(&text);
    return ok;
}

bool run_ranks_same(Run *t, Buf *err)
{
    Buf  text = {0};
    bool ok = true;
    if (dist_size(t->s->dist) > 1) {
        state_text(t->s, &text);
        ok = same(t, &text,
                  "its parameters are no longer those of rank 0, although both took the same steps: the machines do not "
                  "compute alike (another processor, mathematical or MPI library?), or one has a fault",
                  err);
    }
    buf_free(&text);
    return ok;
}

int run_agreed_signal(const Run *t, int signal)
{
    double x = signal;
    dist_max(t->s->dist, &x, 1);
    return (int)x;
}

void run_note_traffic(Run *t)
{
    DistReduceStats x = window_stats(t->window);
    double          steps = (double)(t->r.step - t->report.first);
    if (x.bytes == 0 || steps < 1)
        return;
    report_note(&t->report, "sums over %u ranks: %.3g MB a step in %.3g message%s, %.3g ms, of which %.3g ms were waited for",
                dist_size(t->s->dist), (double)x.bytes * 1e-6 / steps, (double)x.messages / steps,
                (double)x.messages > steps ? "s" : "", x.seconds * 1e3 / steps, x.waited * 1e3 / steps);
}

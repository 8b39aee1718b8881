/* device_fault.c: see device_fault.h; what each word does, and who saw it, stands in faults.def.
 *
 * Weight files are copied and kept for as long as the device is open, so that an old version can take the place of the
 * one that was given. */
#include "device_fault.h"

#include "base/hash.h"
#include "base/suggest.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GARBAGE = 0x5a, DECAY_MS = 1000 };

/* ---- words ---- */

typedef struct {
    const char *word, *value;
    size_t      at;
} Word;

static const Word known[] = {
#define FAULT(field, name, argument, effect, seen) {name, argument, offsetof(Faults, field)},
#include "faults.def"
};

static bool unknown(Arena *a, const char *text, size_t len, Buf *err)
{
    const char *word = arena_strndup(a, text, len);
    Suggest     near = {.word = word};
    for (size_t i = 0; i < COUNT(known); i++)
        suggest(&near, known[i].word);
    buf_printf(err, "there is no fault '%s'", word);
    if (near.best)
        buf_printf(err, "; did you mean '%s'?", near.best);
    buf_puts(err, " Known are");
    for (size_t i = 0; i < COUNT(known); i++)
        buf_printf(err, "%s %s%s%s", i ? "," : "", known[i].word, known[i].value ? "=" : "",
                   known[i].value ? known[i].value : "");
    return false;
}

static bool parse_word(Faults *f, const char *text, Buf *err)
{
    const char *eq = strchr(text, '=');
    size_t      len = eq ? (size_t)(eq - text) : strlen(text);
    for (size_t i = 0; i < COUNT(known); i++) {
        const Word *w = &known[i];
        uint64_t   *to = (uint64_t *)(void *)((char *)f + w->at);
        char       *end;
        if (strlen(w->word) != len || strncmp(w->word, text, len) != 0)
            continue;
        *to = w->value && eq ? strtoull(eq + 1, &end, 10) : 1;
        if (w->value ? eq && eq[1] >= '1' && eq[1] <= '9' && *end == 0 : !eq)
            return true;
        buf_printf(err, w->value ? "the fault '%s' takes a number from 1 on: %s=%s" : "the fault '%s' takes no value",
                   w->word, w->word, w->value);
        return false;
    }
    return unknown(f->arena, text, len, err);
}

bool faults_parse(const char *text, Faults **out, Buf *err)
{
    bool ok = true;
    *out = NULL;
    if (!text || !*text)
        return true;
    Faults *f = xcalloc(1, sizeof *f);
    f->arena = arena_new();
    for (const char *end; ok; text = end + 1) {
        end = text + strcspn(text, ",");
        ok = parse_word(f, arena_strndup(f->arena, text, (size_t)(end - text)), err);
        if (!*end)
            break;
    }
    if (ok)
        *out = f;
    else
        faults_free(f);
    return ok;
}

void faults_free(Faults *f)
{
    if (!f)
        return;
    arena_free(f->arena);
    free(f);
}

/* ---- weights ---- */

static FaultFiles *keep(Faults *f, uint64_t text, const DeviceFile *file, size_t files)
{
    FaultFiles *k = NEW(f->arena, FaultFiles);
    *k = (FaultFiles){.next = f->kept, .text = text, .file = NEW_N(f->arena, DeviceFile, files + 1), .files = files};
    for (size_t i = 0; i < files; i++) {
        char *copy = arena_alloc(f->arena, file[i].len + 1);
        memcpy(copy, file[i].data, file[i].len);
        k->file[i] = (DeviceFile){.path = arena_strdup(f->arena, file[i].path), .data = copy, .len = file[i].len};
        k->bytes += file[i].len;
    }
    f->kept = k;
    return k;
}

const FaultFiles *fault_files(Faults *f, const char *mil, size_t len, const DeviceFile *file, size_t files)
{
    uint64_t          text = hash_u64(mil, len);
    const FaultFiles *old = f->kept;
    while (old && old->text != text)
        old = old->next;
    f->broken = f->cache_broken && !old; /* the first compilation of a text finds a copy */
    if (old && f->stale_compile)
        return old;
    return f->stale_reload || f->stale_compile || f->stale_large || f->broken ? keep(f, text, file, files) : NULL;
}

const FaultFiles *fault_reload(const Faults *f, const Program *donor)
{
    if (donor->kept && (f->stale_reload || (f->stale_large && donor->kept->bytes > FAULT_LARGE)))
        return donor->kept;
    return NULL;
}

/* ---- compiling and loading ---- */

bool fault_compile(Device *d, const char *name, Buf *err)
{
    Faults *f = d->faults;
    f->compiled++;
    if (f->compiled <= f->compile_fails) {
        buf_printf(err, "%s: error: compiling was refused: _ANECompiler : ANECCompile() FAILED\n", name);
        d->refusal = REFUSED_ENGINE;
        return false;
    }
    if ((f->compile_limit && d->programs >= f->compile_limit) || (f->compile_total && f->compiled > f->compile_total)) {
        buf_printf(err, "%s: error: compiling was refused: Program compile failure: no more programs\n", name);
        d->refusal = REFUSED_LIMIT;
        return false;
    }
    if (f->broken) {
        buf_printf(err, "%s: error: loading failed: Program load failure (0x20004)\n", name);
        d->refusal = REFUSED_LOAD;
    }
    return !f->broken;
}

static void enlarge(Port *p, uint32_t n, uint64_t bytes)
{
    for (uint32_t i = 0; i < n; i++)
        if (p[i].alloc < bytes)
            p[i].alloc = (size_t)bytes;
}

bool fault_load(Device *d, Program *p, const char *name, Buf *err)
{
    Faults *f = d->faults;
    for (uint32_t i = 0; i < p->functions; i++) {
        enlarge(p->function[i].input, p->function[i].inputs, f->large_ports);
        enlarge(p->function[i].output, p->function[i].outputs, f->large_ports);
    }
    if (++f->loaded > f->load_fails)
        return true;
    buf_printf(err, "%s: error: loading failed: Program load failure (0x20004)\n", name);
    d->refusal = REFUSED_LOAD;
    return false;
}

bool fault_stale(Device *d)
{
    bool broken = d->faults->broken;
    d->faults->broken = false;
    return broken;
}

/* ---- surfaces and evaluations ---- */

static void fill_nan(Surface *s, size_t from)
{
    uint16_t *x = s->driver->surface_lock(s, true);
    for (size_t i = (from + 1) / 2; i < s->bytes / 2; i++)
        x[i] = 0x7e00;
    s->driver->surface_unlock(s, true);
}

void fault_surface(const Faults *f, Surface *s)
{
    if (f->nan_surfaces)
        fill_nan(s, 0);
}

static void exchange(const Port *p, uint32_t n, Surface **s)
{
    if (n < 2 || s[0]->bytes < port_surface_bytes(&p[1]) || s[1]->bytes < port_surface_bytes(&p[0]))
        return;
    Surface *first = s[0];
    s[0] = s[1];
    s[1] = first;
}

void fault_bind(const Faults *f, const ProgramFunction *p, Surface **surface)
{
    if (!f->swap_symbols)
        return;
    exchange(p->input, p->inputs, surface);
    exchange(p->output, p->outputs, surface + p->inputs);
}

static bool refuse(const char *status, Buf *err)
{
    buf_printf(err, "the engine refused to evaluate: ANEProgramProcessRequestDirect() Failed with status=%s\n", status);
    return false;
}

bool fault_eval(Faults *f, Request *r, Buf *err)
{
    f->evals++;
    if (f->evals == f->hang)
        for (;;)
            sleep(1000);
    if (f->wrong_procedure)
        return refuse("0x2", err);
    for (uint32_t i = 0; i < r->surfaces; i++)
        if (r->surface[i]->bytes < f->small_surface)
            return refuse("0x1d : statusType=0x9: Program Inference error", err);
    if (!f->eval_fails || f->evals < f->eval_fails)
        return true;
    for (uint32_t i = r->function->inputs; i < r->surfaces; i++) {
        Surface *s = r->surface[i];
        memset(s->driver->surface_lock(s, true), GARBAGE, s->bytes);
        s->driver->surface_unlock(s, true);
    }
    return refuse("0x1d : statusType=0x9: Program Inference error", err);
}

void fault_evaluated(const Faults *f, Request *r)
{
    const ProgramFunction *p = r->function;
    for (uint32_t i = 0; f->dirty_padding && i < r->surfaces; i++)
        fill_nan(r->surface[i], i < p->inputs ? p->input[i].bytes : p->output[i - p->inputs].bytes);
    if ((f->decay && f->evals > f->decay) || (f->decay_program && r->program->evals > f->decay_program))
        r->time.wall_ns += (uint64_t)DECAY_MS * 1000000;
}

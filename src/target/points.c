/* points.c: see points.h. */
#include "target/points.h"

#include "base/file.h"
#include "base/suggest.h"
#include "target/line.h"
#include "target/published.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FIGURE = 1 << 24 };

typedef struct {
    Arena   *a;
    Diags   *ds;
    Lines    in;
    Points  *out;
    Point   *p;   /* the current one, or NULL */
    Work    *w;   /* of the current program, or NULL */
} Reader;

static bool bad(Reader *r, const char *what, const char *help)
{
    diag_help(diag_error(r->ds, "E1002", r->in.line, "%s", what), "%s", help);
    return false;
}

/* Words from..toks as whole numbers; all must be there except for the last `optional`. */
static bool numbers(Reader *r, uint64_t *out, uint32_t n, uint32_t optional)
{
    uint32_t have = r->in.toks - 1;
    if (have > n || have + optional < n)
        return bad(r, "the wrong number of figures", "src/target/points.h describes each line");
    for (uint32_t i = 0; i < have; i++) {
        char         *end;
        const char   *s = r->in.tok[i + 1].text;
        unsigned long x = *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0;
        if (x == 0 || *end || x > MAX_FIGURE)
            return bad(r, "a figure here is a whole number from 1 to 16777216", "check this line");
        out[i] = x;
    }
    return true;
}

static bool milliseconds(Reader *r)
{
    double ms[2];
    if (r->in.toks != 2 && r->in.toks != 3)
        return bad(r, "a time is one figure, or the two ends of a range", "write 'ms 0.16' or 'ms 8.9 10.2'");
    for (uint32_t i = 1; i < r->in.toks; i++) {
        char *end;
        ms[i - 1] = strtod(r->in.tok[i].text, &end);
        if (*end || !(ms[i - 1] > 0 && ms[i - 1] < 1e9))
            return bad(r, "a time is a positive number of milliseconds", "write 'ms 0.16' or 'ms 8.9 10.2'");
    }
    r->p->low = ms[0];
    r->p->high = r->in.toks == 3 ? ms[1] : ms[0];
    return r->p->high >= r->p->low || bad(r, "a range begins with its smaller end", "swap the two figures");
}

static bool text(Reader *r, const char **out)
{
    if (r->in.toks != 2 || *out)
        return bad(r, "one text, once", "write the text in quotes after the first word");
    *out = r->in.tok[1].text;
    return true;
}

/* ---- lines of a program ---- */

static bool conv_line(Reader *r)
{
    uint64_t f[4] = {0, 0, 0, 1};
    bool     shared = strcmp(r->in.tok[r->in.toks - 1].text, "shared") == 0;
    r->in.toks -= shared;
    if (!numbers(r, f, 4, 1))
        return false;
    Work one = {0}, weightless = {0};
    work_conv(&one, f[0], f[1], f[2], true);
    work_conv(&weightless, f[0], f[1], f[2], false);
    Work rest = work_times(shared ? weightless : one, (uint32_t)f[3] - 1);
    work_add(r->w, &one);
    work_add(r->w, &rest);
    return true;
}

static bool matmul_line(Reader *r)
{
    uint64_t f[4] = {0, 0, 0, 1};
    if (!numbers(r, f, 4, 1))
        return false;
    r->w->matmul_flops += 2 * f[0] * f[1] * f[2] * f[3];
    r->w->ops += (uint32_t)f[3];
    return true;
}

static bool touch_line(Reader *r)
{
    uint64_t f[3] = {0, 0, 1};
    if (!numbers(r, f, 3, 1))
        return false;
    r->w->inner_bytes += 2 * f[0] * f[1] * f[2];
    r->w->ops += (uint32_t)f[2];
    return true;
}

static bool surface_line(Reader *r, uint64_t *bytes)
{
    uint64_t f[2];
    if (!numbers(r, f, 2, 0))
        return false;
    *bytes += 2 * f[0] * f[1];
    return true;
}

static bool kernel_line(Reader *r)
{
    PublishedKernel k[PUBLISHED_KERNELS];
    uint64_t        f[4];
    if (r->in.toks < 2)
        return bad(r, "which kernel?", "write 'kernel NAME D H HEADS SEQ'");
    const char *name = r->in.tok[1].text;
    memmove(r->in.tok + 1, r->in.tok + 2, (r->in.toks - 2) * sizeof *r->in.tok);
    r->in.toks--;
    if (!numbers(r, f, 4, 0))
        return false;
    published_layer((LayerDims){f[0], f[1], f[2], f[3]}, k);
    for (uint32_t i = 0; i < PUBLISHED_KERNELS; i++)
        if (strcmp(k[i].name, name) == 0) {
            work_add(r->w, &k[i].work);
            return true;
        }
    return bad(r, "there is no such kernel", "fwdAttn, fwdFFN, ffnBwd, sdpaBwd1, sdpaBwd2, qkvBwd");
}

static bool inside_line(Reader *r)
{
    PublishedKernel k[PUBLISHED_KERNELS];
    uint64_t        f[5];
    if (!numbers(r, f, 5, 0))
        return false;
    published_layer((LayerDims){f[0], f[1], f[2], f[3]}, k);
    for (uint32_t i = 0; i < PUBLISHED_KERNELS; i++)
        if (!k[i].backward) {
            Work all = work_times(k[i].work, (uint32_t)f[4]);
            all.in_bytes = all.out_bytes = 0;
            work_add(r->w, &all);
        }
    return true;
}

static bool program_line(Reader *r, const char *key)
{
    if (!r->w)
        return bad(r, "work without a program", "write 'programs 1' first");
    if (strcmp(key, "conv") == 0)
        return conv_line(r);
    if (strcmp(key, "matmul") == 0)
        return matmul_line(r);
    if (strcmp(key, "touch") == 0)
        return touch_line(r);
    if (strcmp(key, "kernel") == 0)
        return kernel_line(r);
    if (strcmp(key, "inside") == 0)
        return inside_line(r);
    return surface_line(r, strcmp(key, "in") == 0 ? &r->w->in_bytes : &r->w->out_bytes);
}

/* ---- lines of a point ---- */

static bool programs_line(Reader *r)
{
    uint64_t n;
    if (!numbers(r, &n, 1, 0))
        return false;
    GROW(r->a, r->p->program, r->p->programs, r->p->cap);
    r->p->program[r->p->programs] = (PointProgram){.times = (uint32_t)n};
    r->w = &r->p->program[r->p->programs++].work;
    return true;
}

/* Is the point before the next one, or before the end, complete? */
static bool complete(Reader *r)
{
    const Point *p = r->p;
    if (!p || (p->target && p->source && p->low > 0 && p->programs))
        return true;
    diag_help(diag_error(r->ds, "E1002", r->in.line, "the point \"%s\" is not complete", p->name),
              "it needs a target, a time, a source and work");
    return false;
}

static bool line(Reader *r)
{
    static const char *const keys[] = {"target", "ms",  "source", "note",   "left_out", "compile", "programs",
                                       "in",     "out", "conv",   "matmul", "touch",    "kernel",  "inside"};
    const char *key = r->in.tok[0].text;
    if (strcmp(key, "point") == 0) {
        if (!complete(r) || r->in.toks != 2)
            return r->in.toks == 2 ? false : bad(r, "a point needs a name", "write: point \"what was measured\"");
        GROW(r->a, r->out->point, r->out->points, r->out->cap);
        r->p = &r->out->point[r->out->points++];
        *r->p = (Point){.name = r->in.tok[1].text};
        r->w = NULL;
        return true;
    }
    uint32_t k = 0;
    while (k < COUNT(keys) && strcmp(key, keys[k]) != 0)
        k++;
    if (k == COUNT(keys)) {
        Suggest s = {.word = key};
        for (uint32_t i = 0; i < COUNT(keys); i++)
            suggest(&s, keys[i]);
        return bad(r, "a line that is none", s.best ? s.best : "src/target/points.h describes each line");
    }
    if (!r->p)
        return bad(r, "nothing comes before the first point", "write: point \"what was measured\"");
    switch (k) {
    case 0: return text(r, &r->p->target);
    case 1: return milliseconds(r);
    case 2: return text(r, &r->p->source);
    case 3: return text(r, &r->p->note);
    case 4: return text(r, &r->p->left_out);
    case 5: r->p->compile = true; return true;
    case 6: return programs_line(r);
    default: return program_line(r, key);
    }
}

bool points_read(Arena *a, Sources *sources, const char *path, Diags *ds, Points *out)
{
    char  *data, err[FILE_ERR_MAX];
    size_t len;
    if (!file_read(a, path, &data, &len, err)) {
        diag_error(ds, "E0001", (Span){0}, "%s", err);
        return false;
    }
    if (len > 1 << 20) {
        diag_error(ds, "E1002", (Span){0}, "'%s' is too long", path);
        return false;
    }
    Reader r = {.a = a, .ds = ds, .out = out};
    r.in = lines_of(a, sources, sources_add(sources, path, data, len), ds);
    bool ok = true;
    while (ok && lines_next(&r.in))
        ok = line(&r);
    return ok && complete(&r) && !r.in.stop && ds->errors == 0;
}

double point_predicted(const Point *p, const Target *t)
{
    int64_t ns = 0;
    for (uint32_t i = 0; i < p->programs; i++)
        ns += p->program[i].times *
              (p->compile ? cost_compile_ns(t, &p->program[i].work) : cost_run_ns(t, &p->program[i].work));
    return (double)ns / 1e6;
}

double point_error(const Point *p, double predicted)
{
    return predicted > p->high ? predicted / p->high - 1 : predicted < p->low ? predicted / p->low - 1 : 0;
}

/* bench_plan.c: see bench_plan.h. */
#include "bench_plan.h"

#include "base/file.h"
#include "mil/mil_check.h"
#include "runtime/train/train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct {
    double   ms[BENCH_STEPS], device, engine, bake, compile, tokens; /* sums over the steps */
    uint32_t steps, seen;
} Times;

static double class_ms(const StepReport *s, const char *name)
{
    for (uint32_t i = 0; i < s->classes; i++)
        if (strcmp(s->class_name[i], name) == 0)
            return 1e3 * s->class_seconds[i];
    return 0;
}

static void on_step(void *with, const StepReport *s)
{
    Times *t = with;
    if (t->seen++ < BENCH_WARM_UP || t->steps == BENCH_STEPS)
        return;
    t->ms[t->steps++] = 1e3 * s->seconds;
    t->device += class_ms(s, "device");
    t->engine += 1e3 * s->engine_seconds;
    t->bake += class_ms(s, "bake");
    t->compile += class_ms(s, "compile");
    t->tokens += (double)s->tokens;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Operations of the products of a program: two for each multiplication of a convolution or matrix product. */
static double flops_of(const char *plan_dir, const PlanProgram *g)
{
    Arena   *a = arena_new();
    Sources *sources = sources_new(a);
    Diags   *ds = diags_new(a, sources, g->mil);
    char    *text, why[FILE_ERR_MAX];
    size_t   len;
    MilUnit  unit = {0};
    double   flops = 0;
    bool     ok = file_read(a, path_join(a, plan_dir, arena_printf(a, "mil/%s.mil", g->mil)), &text, &len, why) &&
              mil_read(a, ds, sources_add(sources, g->mil, text, len), NULL, 0, MIL_UNREAD, &unit);
    for (uint32_t i = 0; ok && i < unit.fn->calls; i++) {
        const Call *c = unit.fn->call[i];
        double      n = (double)type_elems(&c->result[0]->type);
        if (strcmp(c->name, "conv") == 0)
            flops += 2 * n * (double)(c->plan.window.in_ch * c->plan.window.k[0] * c->plan.window.k[1] * c->plan.window.k[2]);
        else if (strcmp(c->name, "matmul") == 0)
            flops += 2 * n * (double)c->plan.matmul.k;
    }
    arena_free(a);
    return flops;
}

/* Of all evaluations so far, in GFLOP per second of the device's time. */
static double device_gflops(const Session *s)
{
    double   flops = 0, seconds = 0;
    ExecTime t;
    for (uint32_t i = 0; exec_time(s->exec, i, &t); i++) {
        if (t.class != EXEC_DEVICE)
            continue;
        seconds += t.seconds;
        for (uint32_t k = 0; k < s->plan->programs; k++)
            if (strcmp(s->plan->program[k].name, t.name) == 0)
                flops += (double)t.calls * flops_of(s->plan_dir, &s->plan->program[k]);
    }
    return seconds > 0 ? 1e-9 * flops / seconds : 0;
}

/* The most memory the process has had, in MB. */
static double peak_megabytes(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
#ifdef __APPLE__
    return (double)u.ru_maxrss / 1e6; /* bytes */
#else
    return (double)u.ru_maxrss * 1024 / 1e6;
#endif
}

static double rounded(double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.4g", x);
    return strtod(text, NULL);
}

static void print(const Session *s, const BenchOptions *o, Times *t, FILE *out)
{
    double total = 0, n = t->steps;
    for (uint32_t i = 0; i < t->steps; i++)
        total += t->ms[i];
    qsort(t->ms, t->steps, sizeof *t->ms, by_size);
    uint32_t half = t->steps / 2;
    double   median = t->steps % 2 ? t->ms[half] : (t->ms[half - 1] + t->ms[half]) / 2;
    double   cpu = total - t->device - t->bake - t->compile;
    const struct {
        const char *name;
        double      value;
    } figure[] = {
        {"ms_per_step", median},           {"ms_per_step_min", t->ms[0]},    {"tokens_per_s", t->tokens / n / (1e-3 * median)},
        {"device_ms", t->device / n},      {"cpu_ms", cpu > 0 ? cpu / n : 0}, {"bake_ms", t->bake / n},
        {"compile_ms", t->compile / n},    {"peak_mb", peak_megabytes()},    {"device_gflops", device_gflops(s)},
    };
    char hash[17];
    snprintf(hash, sizeof hash, "%.16s", s->plan_hash);
    if (o->json) {
        json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:i}", "anel_bench", BENCH_VERSION, "anerun", o->version,
                              "device", o->device, "numerics", o->numerics, "model", s->plan->model, "plan", hash, "threads",
                              (json_int_t)o->threads, "warm_up", (int)BENCH_WARM_UP, "steps", (int)t->steps);
        for (size_t i = 0; i < COUNT(figure); i++)
            json_object_set_new(j, figure[i].name, json_real(rounded(figure[i].value)));
        if (t->engine > 0)
            json_object_set_new(j, "engine_ms", json_real(rounded(t->engine / n)));
        json_dumpf(j, out, JSON_COMPACT | JSON_REAL_PRECISION(6));
        fputc('\n', out);
        json_decref(j);
        return;
    }
    fprintf(out, "anel-bench %d | anerun %s | %s | %s | %s %s | %u threads", BENCH_VERSION, o->version, o->device, o->numerics,
            s->plan->model, hash, (unsigned)o->threads);
    fprintf(out, " | %.4g ms/step (min %.4g, n %u) | %.4g tokens/s | device %.4g ms | cpu %.4g ms | bake %.4g ms | compile %.4g ms"
                 " | %.4g MB | %.4g GFLOP/s",
            median, t->ms[0], (unsigned)t->steps, figure[2].value, figure[3].value, figure[4].value, figure[5].value,
            figure[6].value, figure[7].value, figure[8].value);
    if (t->engine > 0)
        fprintf(out, " | engine %.4g ms", t->engine / n);
    fputc('\n', out);
}

/* Settings that change the amount of work stay the plan's: the optimizer, accumulation, clipping. */
static bool prepare(Settings *s, Arena *a, Buf *err)
{
    char steps[24];
    snprintf(steps, sizeof steps, "%d", BENCH_WARM_UP + BENCH_STEPS);
    const char *const pair[][2] = {{"data", "noise"}, {"eval", ""}, {"eval_every", "0"}, {"save_every", "0"}, {"steps", steps}};
    for (size_t i = 0; i < COUNT(pair); i++)
        if (!settings_set(s, a, pair[i][0], pair[i][1], err))
            return false;
    s->data_holdout = 0;
    return true;
}

bool bench_run(Session *s, const BenchOptions *o, FILE *out, Buf *err)
{
    Arena             *a = arena_new();
    Times              t = {0};
    const TrainOptions train = {.on_step = on_step, .on_step_with = &t};
    bool               ok = prepare(&s->settings, a, err) && train_run(s, &train, err);
    if (ok && t.steps == BENCH_STEPS) {
        print(s, o, &t, out);
    } else if (ok) {
        buf_printf(err, "the measurement was interrupted after %u of %d steps", (unsigned)t.steps, BENCH_STEPS);
        ok = false;
    }
    arena_free(a);
    return ok;
}

/* cmd_compile.c: `anec MODEL -o PLAN`: the whole compiler, in the order it runs. */
#include "backend_ane/backend.h"
#include "backend_ane/dot.h"
#include "backend_ane/lock.h"
#include "backend_ane/modes.h"
#include "base/file.h"
#include "cmd.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "passes/range.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_DUMP = 256, OPT_STOP, OPT_PASSES, OPT_EMIT, OPT_MEMORY, OPT_LOCK, OPT_WEIGHTS };

static const Option options[] = {
    {'o', "output", "DIR", "the plan to write"},
    {OPT_EMIT, "emit", "dot",
     "write, instead of a plan, a picture for Graphviz: the programs; with --stop-after the graph"},
    {OPT_MEMORY, "memory", "BYTES", "what training on a sequence may save for the backward direction: 500000, 64M, 2G"},
    {OPT_WEIGHTS, "weights", "MODE",
     "parameters are constants of programs (baked, the default), inputs (dynamic), constants that "
     "can be replaced (reload), inputs if trained and constants if frozen (mixed); auto: by cost"},
    {OPT_DUMP, "dump", "WHEN",
     "print the graphs: after:PASS, all (after every pass), changed (after those that change them)"},
    {OPT_STOP, "stop-after", "PASS", "run no further, write no plan"},
    {OPT_LOCK, "lock", "FILE", "keep the partition of this plan.lock while it is legal"},
    {OPT_PASSES, "passes", NULL, "list the passes"},
    {'v', "verbose", NULL, "say what was written"},
    MODEL_OPTIONS,
};
const CommandOptions cmd_compile_options = {options, COUNT(options)};

static bool set_dump(PassOptions *p, const char *value)
{
    p->dump_to = stdout;
    if (strcmp(value, "all") == 0)
        p->dump = DUMP_ALL;
    else if (strcmp(value, "changed") == 0)
        p->dump = DUMP_CHANGED;
    else if (strncmp(value, "after:", 6) == 0 && pass_exists(value + 6)) {
        p->dump = DUMP_AFTER;
        p->dump_pass = value + 6;
    } else {
        usage_error("anec", NULL, NULL, "--dump takes all, changed or after:PASS (see --passes), not '%s'", value);
        return false;
    }
    return true;
}

/* "500000", "64M": K, M and G are powers of 1024. */
static bool set_memory(int64_t *memory, const char *value)
{
    static const char unit[] = "KMG";
    char             *end;
    errno = 0;
    long long   n = isdigit((unsigned char)*value) ? strtoll(value, &end, 10) : 0;
    const char *u = n > 0 && *end ? strchr(unit, *end) : NULL;
    int         shift = u ? 10 * (int)(u - unit + 1) : 0;
    if (n <= 0 || errno || (*end && !u) || (u && end[1]) || n > INT64_MAX >> shift) {
        usage_error("anec", NULL, NULL, "--memory takes a number of bytes above 0 (K, M, G: powers of 1024), not '%s'",
                    value);
        return false;
    }
    *memory = (int64_t)n << shift;
    return true;
}

static bool write_plan(Arena *a, const BackendResult *r, const char *dir)
{
    Buf  err = {0};
    bool ok = plan_resolve(r->plan, a, &err);
    if (!ok) /* the compiler's own output must pass its own checks */
        bug("the plan is not well-formed: %s", err.data);
    ok = plan_write(r->plan, dir, r->file, r->files, &err);
    if (!ok)
        fprintf(stderr, "anec: %s\n", err.data);
    buf_free(&err);
    return ok;
}

static const char *const weight_modes[] = {[WEIGHTS_BAKED] = "baked",
                                           [WEIGHTS_DYNAMIC] = "dynamic",
                                           [WEIGHTS_RELOAD] = "reload",
                                           [WEIGHTS_MIXED] = "mixed",
                                           [WEIGHTS_AUTO] = "auto",
                                           NULL};

/* The number of a mode; that of the end of the list if there is none of that name. */
static WeightMode weight_mode(const char *name)
{
    uint32_t i = 0;
    while (weight_modes[i] && strcmp(weight_modes[i], name) != 0)
        i++;
    return (WeightMode)i;
}

static bool set_weights(const char **weights, const char *value)
{
    *weights = value;
    if (weight_modes[weight_mode(value)])
        return true;
    usage_error("anec", weight_modes, value, "--weights takes baked, dynamic, reload, mixed or auto, not '%s'", value);
    return false;
}

/* --emit=dot: to the file `output`, or to standard output. */
static int write_dot(Arena *a, const Module *m, const Partition *of, const char *output)
{
    Buf  text = {0};
    char err[FILE_ERR_MAX];
    bool ok = true;
    module_dot(a, m, of, &text);
    if (!output)
        ok = fwrite(text.data, 1, text.len, stdout) == text.len;
    else if (!file_write_atomic(output, text.data, text.len, err)) {
        fprintf(stderr, "anec: %s\n", err);
        ok = false;
    }
    buf_free(&text);
    return ok ? EXIT_OK : EXIT_INPUT;
}

static const Lock *read_lock(ModelInput *in, const char *path)
{
    char  *text, why[FILE_ERR_MAX];
    size_t len;
    if (!file_read(in->arena, path, &text, &len, why)) {
        diag_error(in->diags, "E0806", (Span){0}, "%s", why);
        return NULL;
    }
    return lock_parse(in->arena, in->sources, path, text, len, in->diags);
}

/* What the command line asks for. */
typedef struct {
    ModelInput  in;
    PassOptions pass;
    const char *model, *output, *lock, *weights; /* lock, weights: NULL if not given */
    int64_t     memory;
    bool        json, verbose, dot;
} Compile;

/* What was written, and what it will cost; whoever asked for a way of handling weights sees the figures of each of
 * them. */
static void tell(const Compile *c, const Module *m, const BackendResult *r)
{
    Buf b = {0};
    fprintf(stderr, "anec: %s: %u programs, %u files\n", c->output, r->plan->programs, r->files + 1);
    if (m->train_entry)
        fprintf(stderr,
                "anec: a sequence saves %lld bytes for the backward direction, which computes %.3g Gflop again\n",
                (long long)m->saved_bytes, m->recomputed_flops / 1e9);
    modes_print(m, r, &b);
    if (c->weights)
        fprintf(stderr, "anec: %s", b.data);
    buf_free(&b);
}

static int compile(Compile *c)
{
    BackendResult r = {0};
    Partitions    parts = {0};
    PassOptions  *pass = &c->pass;
    Module       *m = model_compile(&c->in, c->model);
    if (m)
        m->memory = c->memory;
    if (m && c->weights)
        m->weights = weight_mode(c->weights);
    bool ok = m && module_verify(m, "elaborate", c->in.diags) && passes_run(m, pass);
    if (!pass->stop_after && ok) {
        ranges_warn(ranges_of(c->in.arena, m), c->in.diags);
        const Lock *l = c->lock ? read_lock(&c->in, c->lock) : NULL;
        ok = (l || !c->lock) && (c->dot ? partition_module(c->in.arena, m, l, &parts, c->in.diags)
                                        : backend_ane_locked(c->in.arena, m, l, &r, c->in.diags));
    }
    int status = finish(c->in.diags, c->json);
    if (!ok || status != EXIT_OK)
        return EXIT_INPUT;
    if (c->dot)
        return write_dot(c->in.arena, m, parts.of, c->output);
    if (pass->stop_after)
        return EXIT_OK;
    if (!write_plan(c->in.arena, &r, c->output))
        return EXIT_INPUT;
    for (uint32_t i = 0; c->verbose && i < r.notes; i++)
        fprintf(stderr, "anec: %s\n", r.note[i]);
    if (c->verbose)
        tell(c, m, &r);
    return EXIT_OK;
}

/* One option or operand. False: it ends here, with *status. */
static bool take_option(Compile *c, int o, const OptionReader *r, int *status)
{
    *status = EXIT_USAGE;
    switch (o) {
    case 'o': c->output = r->value; return true;
    MODEL_CASES:
        if (model_option(&c->in, o, r->value))
            return true;
        *status = c->in.status;
        return false;
    case OPT_MEMORY: return set_memory(&c->memory, r->value);
    case OPT_LOCK: c->lock = r->value; return true;
    case OPT_WEIGHTS: return set_weights(&c->weights, r->value);
    case OPT_DUMP: return set_dump(&c->pass, r->value);
    case OPT_STOP:
        c->pass.stop_after = r->value;
        if (!pass_exists(r->value))
            usage_error("anec", NULL, NULL, "no pass is called '%s' (see --passes)", r->value);
        return pass_exists(r->value);
    case OPT_EMIT:
        c->dot = strcmp(r->value, "dot") == 0;
        if (!c->dot)
            usage_error("anec", (const char *const[]){"dot", NULL}, r->value, "--emit takes dot, not '%s'", r->value);
        return c->dot;
    case OPT_PASSES:
        passes_list(stdout);
        *status = EXIT_OK;
        return false;
    case 'j': return c->json = true;
    case 'v': return c->verbose = true;
    case 'h':
        printf("anec [options] MODEL -o PLAN: compile a model\n\n");
        options_help(stdout, options, COUNT(options));
        *status = EXIT_OK;
        return false;
    case OPTION_OPERAND:
        if (c->model)
            usage_error("anec", NULL, NULL, "one model at a time: '%s' and '%s'", c->model, r->value);
        else
            c->model = r->value;
        return c->model == r->value;
    default: return false;
    }
}

int cmd_compile(int argc, char **argv)
{
    OptionReader r = {.program = "anec", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    Compile      c = {.model = NULL};
    int          status = EXIT_OK;
    bool         go_on = true;
    model_input_init(&c.in, "anec");
    c.pass.diags = c.in.diags;
    for (int o; go_on && (o = option_next(&r)) != OPTION_END;)
        go_on = take_option(&c, o, &r, &status);
    if (go_on && (!c.model || (!c.output && !c.pass.stop_after && !c.dot)))
        status = usage_error("anec", NULL, NULL,
                             c.model ? "where to? give the plan's directory with -o" : "which model? see anec --help");
    else if (go_on)
        status = compile(&c);
    arena_free(c.in.arena);
    return status;
}

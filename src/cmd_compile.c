/* cmd_compile.c: `anec MODEL -o PLAN`: the whole compiler, in the order it runs. */
#include "backend_ane/backend.h"
#include "backend_ane/dot.h"
#include "base/file.h"
#include "cmd.h"
#include "ir/text.h"
#include "passes/passes.h"

#include <string.h>

enum { OPT_DUMP = 256, OPT_STOP, OPT_PASSES, OPT_EMIT };

static const Option options[] = {
    {'o', "output", "DIR", "the plan to write"},
    {OPT_EMIT, "emit", "dot", "write, instead of a plan, a picture for Graphviz: the programs; with --stop-after the graph"},
    {OPT_DUMP, "dump", "WHEN", "print the graphs: after:PASS, all (after every pass), changed (after those that change them)"},
    {OPT_STOP, "stop-after", "PASS", "run no further, write no plan"},
    {OPT_PASSES, "passes", NULL, "list the passes"},
    {'v', "verbose", NULL, "say what was written"},
    MODEL_OPTIONS,
};

void compile_help(FILE *to)
{
    options_help(to, options, COUNT(options));
}

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

/* --emit=dot: to the file `output`, or to standard output. */
static int write_dot(Arena *a, const Module *m, bool programs, const char *output)
{
    Buf  text = {0};
    char err[FILE_ERR_MAX];
    bool ok = true;
    module_dot(a, m, programs, &text);
    if (!output)
        ok = fwrite(text.data, 1, text.len, stdout) == text.len;
    else if (!file_write_atomic(output, text.data, text.len, err)) {
        fprintf(stderr, "anec: %s\n", err);
        ok = false;
    }
    buf_free(&text);
    return ok ? EXIT_OK : EXIT_INPUT;
}

static int compile(ModelInput *in, const char *model, const char *output, PassOptions *pass, bool json, bool verbose, bool dot)
{
    BackendResult r = {0};
    Module       *m = model_compile(in, model);
    bool          ok = m && module_verify(m, "elaborate", in->diags) && passes_run(m, pass);
    if (!pass->stop_after && ok && !dot)
        ok = backend_ane(in->arena, m, &r, in->diags);
    int status = finish(in->diags, json);
    if (!ok || status != EXIT_OK)
        return EXIT_INPUT;
    if (dot)
        return write_dot(in->arena, m, !pass->stop_after || strcmp(pass->stop_after, "place") == 0, output);
    if (pass->stop_after)
        return EXIT_OK;
    if (!write_plan(in->arena, &r, output))
        return EXIT_INPUT;
    if (verbose)
        fprintf(stderr, "anec: %s: %u programs, %u files\n", output, r.plan->programs, r.files + 1);
    return EXIT_OK;
}

int cmd_compile(int argc, char **argv)
{
    OptionReader r = {.program = "anec", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    ModelInput   in;
    const char  *model = NULL, *output = NULL;
    bool         json = false, verbose = false, dot = false;
    int          status = EXIT_USAGE;
    model_input_init(&in, "anec");
    PassOptions pass = {.diags = in.diags};
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case 'o': output = r.value; break;
        MODEL_CASES:
            if (!model_option(&in, o, r.value)) {
                status = in.status;
                goto done;
            }
            break;
        case OPT_DUMP:
            if (!set_dump(&pass, r.value))
                goto done;
            break;
        case OPT_STOP:
            if (!pass_exists(r.value)) {
                usage_error("anec", NULL, NULL, "no pass is called '%s' (see --passes)", r.value);
                goto done;
            }
            pass.stop_after = r.value;
            break;
        case OPT_EMIT:
            dot = strcmp(r.value, "dot") == 0;
            if (!dot) {
                usage_error("anec", (const char *const[]){"dot", NULL}, r.value, "--emit takes dot, not '%s'", r.value);
                goto done;
            }
            break;
        case OPT_PASSES:
            passes_list(stdout);
            status = EXIT_OK;
            goto done;
        case 'j': json = true; break;
        case 'v': verbose = true; break;
        case 'h':
            printf("anec [options] MODEL -o PLAN: compile a model\n\n");
            compile_help(stdout);
            status = EXIT_OK;
            goto done;
        case OPTION_OPERAND:
            if (model) {
                usage_error("anec", NULL, NULL, "one model at a time: '%s' and '%s'", model, r.value);
                goto done;
            }
            model = r.value;
            break;
        default: goto done;
        }
    if (!model || (!output && !pass.stop_after && !dot)) {
        usage_error("anec", NULL, NULL, model ? "where to? give the plan's directory with -o" : "which model? see anec --help");
        goto done;
    }
    status = compile(&in, model, output, &pass, json, verbose, dot);
done:
    arena_free(in.arena);
    return status;
}

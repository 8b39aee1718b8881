/* cmd_diff.c: `anec diff OLD NEW`: what a change of a model or of the compiler means for its plan.
 *
 * A side is a plan directory or a manifest alone. As git's external diff program (seven operands: path, old file, hash,
 * mode, new file, hash, mode) it compares two versions of a manifest; see docs/plan.md for the line in git's configuration. */
#include "base/file.h"
#include "cmd.h"
#include "explain/plan_diff.h"

#include <string.h>

enum { OPT_EXIT_CODE = 256, GIT_OPERANDS = 7 };

static const Option options[] = {
    {'t', "target", "NAME|FILE", "predict times for this target (default: that of NEW)"},
    {'I', "include", "DIR", "look for target profiles here, before the standard places"},
    {OPT_EXIT_CODE, "exit-code", NULL, "exit with 3 if the plans differ"},
    {'h', "help", NULL, "this text"},
};
const CommandOptions cmd_diff_options = {options, COUNT(options)};

enum { EXIT_DIFFERENT = 3 };

static bool open_side(Arena *a, const char *path, DiffSide *side)
{
    Buf   err = {0};
    char  why[FILE_ERR_MAX], *text;
    size_t len;
    *side = (DiffSide){.name = path};
    if (path_is_dir(path)) {
        side->dir = path;
        side->plan = plan_open(a, path, NULL, &err);
    } else if (!file_read(a, path, &text, &len, why))
        buf_puts(&err, why);
    else
        side->plan = plan_parse(a, path, text, len, &err);
    if (!side->plan)
        fprintf(stderr, "anec diff: %s\n", err.data);
    buf_free(&err);
    return side->plan != NULL;
}

/* A version that does not exist: git says /dev/null. */
static bool is_nothing(const char *path)
{
    return strcmp(path, "/dev/null") == 0 || strcmp(path, "nul") == 0;
}

/* The profile to predict with: that of the options or of the new plan; NULL after diagnostics. A plan for a profile of the
 * user's own does not say where that is: then the default, with a note. */
static const Target *predicted_target(ModelInput *in, const Plan *plan, Buf *out)
{
    if (in->target)
        return target_load(in->arena, in->sources, in->target, model_targets(in), in->diags);
    for (const char **name = targets_find(in->arena, model_targets(in)); *name; name++)
        if (strcmp(*name, plan->target) == 0)
            return target_load(in->arena, in->sources, *name, model_targets(in), in->diags);
    if (strcmp(plan->target, target_any()->name) != 0)
        buf_printf(out, "no profile of target %s is known: times are those of %s; --target chooses\n", plan->target, target_any()->name);
    return target_any();
}

/* Two plans in full: times as well. What cannot be analysed has been told by the comparison of operations. False after
 * diagnostics. */
static bool compare_times(ModelInput *in, const DiffSide *old, const DiffSide *new, Buf *text)
{
    Buf           note = {0}, times = {0}, err = {0};
    Arena        *a = in->arena;
    const Target *t = predicted_target(in, new->plan, &note);
    Analysis     *x = t ? plan_analyse(a, old->plan, old->dir, "", &t, 1, &err) : NULL;
    Analysis     *y = x ? plan_analyse(a, new->plan, new->dir, "", &t, 1, &err) : NULL;
    if (y && plan_diff_times(a, x, y, &times)) {
        buf_add(text, note.len ? note.data : "", note.len);
        buf_add(text, times.data, times.len);
    }
    buf_free(&note);
    buf_free(&times);
    buf_free(&err);
    return t != NULL;
}

static int compare(ModelInput *in, const char *old_path, const char *new_path, bool exit_code)
{
    DiffSide old, new;
    Buf      text = {0};
    int      status = EXIT_INPUT;
    if (open_side(in->arena, old_path, &old) && open_side(in->arena, new_path, &new)) {
        bool differ = plan_diff(in->arena, &old, &new, &text);
        bool ok = !differ || !old.dir || !new.dir || compare_times(in, &old, &new, &text);
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        status = !ok ? finish(in->diags, false) : differ && exit_code ? EXIT_DIFFERENT : EXIT_OK;
    }
    buf_free(&text);
    return status;
}

int cmd_diff(int argc, char **argv)
{
    OptionReader r = {.program = "anec diff", .option = options, .options = COUNT(options), .argc = argc, .argv = argv, .next = 1};
    const char  *path[GIT_OPERANDS + 1];
    uint32_t     paths = 0;
    bool         exit_code = false;
    ModelInput   in;
    int          status = EXIT_USAGE;
    model_input_init(&in, "anec");
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case 't':
        case 'I':
            if (!model_option(&in, o, r.value)) {
                status = in.status;
                goto done;
            }
            break;
        case OPT_EXIT_CODE: exit_code = true; break;
        case 'h':
            printf("anec diff [options] OLD NEW: compare two plans (directories, or manifests alone)\n\n");
            options_help(stdout, options, COUNT(options));
            status = EXIT_OK;
            goto done;
        case OPTION_OPERAND:
            if (paths < COUNT(path))
                path[paths++] = r.value;
            break;
        default: goto done;
        }
    if (paths != 2 && paths != GIT_OPERANDS) {
        usage_error("anec diff", NULL, NULL, "two plans are compared, not %u (see anec diff --help)", paths);
        goto done;
    }
    const char *old_path = paths == 2 ? path[0] : path[1], *new_path = paths == 2 ? path[1] : path[4];
    status = EXIT_OK;
    if (paths == GIT_OPERANDS)
        printf("plan %s\n", path[0]);
    if (paths == GIT_OPERANDS && (is_nothing(old_path) || is_nothing(new_path)))
        printf("  %s\n", is_nothing(old_path) ? "new" : "deleted");
    else
        status = compare(&in, old_path, new_path, exit_code);
done:
    arena_free(in.arena);
    return status;
}

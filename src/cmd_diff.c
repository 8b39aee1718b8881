/* cmd_diff.c: `anec diff OLD NEW`: what a change of a model or of the compiler means for its plan.
 *
 * A side is a plan directory or a manifest alone. As git's external diff program (seven operands: path, old file, hash,
 * mode, new file, hash, mode) it compares two versions of a manifest; see docs/plan.md for the line in git's configuration. */
#include "base/file.h"
#include "cmd.h"
#include "explain/plan_diff.h"
#include "plan/plan.h"

#include <string.h>

enum { OPT_EXIT_CODE = 256, GIT_OPERANDS = 7 };

static const Option options[] = {
    {OPT_EXIT_CODE, "exit-code", NULL, "exit with 3 if the plans differ"},
    {'h', "help", NULL, "this text"},
};

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

int cmd_diff(int argc, char **argv)
{
    OptionReader r = {.program = "anec diff", .option = options, .options = COUNT(options), .argc = argc, .argv = argv, .next = 1};
    const char  *path[GIT_OPERANDS + 1];
    uint32_t     paths = 0;
    bool         exit_code = false;
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case OPT_EXIT_CODE: exit_code = true; break;
        case 'h':
            printf("anec diff [options] OLD NEW: compare two plans (directories, or manifests alone)\n\n");
            options_help(stdout, options, COUNT(options));
            return EXIT_OK;
        case OPTION_OPERAND:
            if (paths < COUNT(path))
                path[paths++] = r.value;
            break;
        default: return EXIT_USAGE;
        }
    if (paths != 2 && paths != GIT_OPERANDS)
        return usage_error("anec diff", NULL, NULL, "two plans are compared, not %u (see anec diff --help)", paths);
    const char *old_path = paths == 2 ? path[0] : path[1], *new_path = paths == 2 ? path[1] : path[4];
    if (paths == GIT_OPERANDS) {
        printf("plan %s\n", path[0]);
        if (is_nothing(old_path) || is_nothing(new_path)) {
            printf("  %s\n", is_nothing(old_path) ? "new" : "deleted");
            return EXIT_OK;
        }
    }
    Arena   *a = arena_new();
    DiffSide old, new;
    int      status = EXIT_INPUT;
    if (open_side(a, old_path, &old) && open_side(a, new_path, &new)) {
        Buf  text = {0};
        bool differ = plan_diff(a, &old, &new, &text);
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        buf_free(&text);
        status = differ && exit_code ? EXIT_DIFFERENT : EXIT_OK;
    }
    arena_free(a);
    return status;
}

/* anec.c: the compiler's driver: a table of sub-commands. Each has a file cmd_<name>.c with its options. A first word
 * that is no command but looks like a file or an option means the main job: `anec MODEL -o PLAN`. */
#include "cmd.h"

#include "base/file.h"

#include <string.h>

static const Command commands[] = {
    {NULL, "FILE -o PLAN", "compile a model to a plan", cmd_compile, &cmd_compile_options},
    {"check", "FILE", "check a model and say what it is", cmd_check, &cmd_check_options},
    {"diff", "OLD NEW", "compare two plans by what they mean", cmd_diff, &cmd_diff_options},
    {"explain", "PLAN", "what a plan does, what it is predicted to cost", cmd_explain, &cmd_explain_options},
    {"gradcheck", "FILE", "compare its gradients with independent ones", cmd_gradcheck, &cmd_gradcheck_options},
    {"lint", "FILE.mil|PLAN...", "check MIL text against the engine's rules", cmd_lint, &cmd_lint_options},
    {"target", "[NAME|FILE]", "print a target profile, or list those known", cmd_target, &cmd_target_options},
    {"fmt", "FILE...", "print model files in their one spelling", cmd_fmt, &cmd_fmt_options},
    {"completion", "bash|zsh|fish", "print a script for a shell", cmd_completion, &cmd_completion_options},
    {"man", "", "print the manual page", cmd_man, &cmd_man_options},
};

const Command *anec_commands(uint32_t *count)
{
    *count = COUNT(commands);
    return commands;
}

/* Options of compiling that are shown with the commands, so that the whole fits a screen of 24 lines. */
static bool often_used(const Option *o)
{
    return strchr("oDth", o->id < 127 ? o->id : 'x') != NULL;
}

static int usage(FILE *to, bool all)
{
    fprintf(to, "anec: the compiler of anel models\n\nUsage:\n");
    for (size_t i = 0; i < COUNT(commands); i++) {
        char left[64];
        snprintf(left, sizeof left, "anec %s%s%s", commands[i].name ? commands[i].name : "",
                 commands[i].name ? " " : "", commands[i].args);
        fprintf(to, "  %-30s %s\n", left, commands[i].help);
    }
    fprintf(to, "  %-30s %s\n  %-30s %s\n", "anec COMMAND --help", "the options of a command, which follow its name", "anec --version",
            "print the version");
    if (to != stdout)
        return EXIT_USAGE;
    fprintf(to, all ? "\nOptions of compiling:\n" : "\nOptions of compiling, the most used (--help=all lists all):\n");
    const CommandOptions *o = &cmd_compile_options;
    for (uint32_t i = 0; i < o->options; i++)
        if (all || often_used(&o->option[i]))
            options_help(to, &o->option[i], 1);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *names[COUNT(commands) + 1] = {NULL};
    uint32_t    n = 0;
    if (argc < 2)
        return usage(stderr, false);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout, false);
    if (strcmp(argv[1], "--help=all") == 0)
        return usage(stdout, true);
    if (strcmp(argv[1], "--version") == 0) {
        printf("anec %s\n", ANEL_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (!commands[i].name)
            continue;
        names[n++] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (strpbrk(argv[1], "-./"))
        return cmd_compile(argc, argv);
    if (path_exists(argv[1])) /* a model without a dot in its name */
        return cmd_compile(argc, argv);
    return usage_error("anec", names, argv[1], "there is no command and no file '%s'", argv[1]);
}

/* anec.c: the compiler's driver: a table of sub-commands. Each has a file cmd_<name>.c with its options. A first word
 * that is no command but looks like a file or an option means the main job: `anec MODEL -o PLAN`. */
#include "cmd.h"

#include "base/file.h"

#include <string.h>

static const Command commands[] = {
    {"check", "FILE", "check a model and say what it is", cmd_check},
    {"diff", "OLD NEW", "compare two plans by what they mean", cmd_diff},
    {"explain", "PLAN", "what a plan does and what it is predicted to cost", cmd_explain},
    {"gradcheck", "FILE", "compare its gradients with independent ones", cmd_gradcheck},
    {"lint", "FILE.mil|PLAN...", "check MIL text against the engine's rules", cmd_lint},
    {"target", "[NAME|FILE]", "print a target profile, or list those known", cmd_target},
    {"fmt", "FILE...", "print model files in their one spelling", cmd_fmt},
};

static int usage(FILE *to)
{
    fprintf(to, "anec: the compiler of anel models\n\nUsage:\n");
    fprintf(to, "  %-36s %s\n", "anec [options] FILE -o PLAN", "compile a model to a plan");
    for (size_t i = 0; i < COUNT(commands); i++) {
        char left[64];
        snprintf(left, sizeof left, "anec %s [options] %s", commands[i].name, commands[i].args);
        fprintf(to, "  %-36s %s\n", left, commands[i].help);
    }
    fprintf(to, "  %-36s %s\n  %-36s %s\n", "anec COMMAND --help", "the options of a command", "anec --version",
            "print the version");
    if (to == stdout) {
        fprintf(to, "\nOptions of compiling:\n");
        compile_help(to);
    }
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *names[COUNT(commands) + 1] = {NULL};
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("anec %s\n", ANEL_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (strpbrk(argv[1], "-./"))
        return cmd_compile(argc, argv);
    if (path_exists(argv[1])) /* a model without a dot in its name */
        return cmd_compile(argc, argv);
    return usage_error("anec", names, argv[1], "there is no command and no file '%s'", argv[1]);
}

/* anerun.c: the command line of the runtime: a table of sub-commands, and plans, which need none. */
#include "anerun.h"
#include "base/file.h"
#include "base/suggest.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    Command    *run;
    const char *help;
} commands[] = {
    {"mil", cmd_mil, "run a MIL program on NumPy files"},
    {"completion", cmd_completion, "print a completion script for bash, zsh or fish"},
    {"man", cmd_man, "print the manual page"},
};

static void usage(FILE *f)
{
    fputs("usage: anerun PLAN --train | --eval PATH | --generate PROMPT [options]\n"
          "       anerun --probe [options]\n"
          "       anerun COMMAND [arguments]\n\n"
          "  PLAN        a directory made by anec: train its model, measure it, ...\n"
          "  --probe     find out what an engine does: a report, a target profile\n", f);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(f, "  %-11s %s\n", commands[i].name, commands[i].help);
    fputs("\n'anerun PLAN --help' and 'anerun COMMAND --help' tell more.\n", f);
}

static int unknown(const char *word)
{
    Suggest s = {.word = word};
    for (size_t i = 0; i < COUNT(commands); i++)
        suggest(&s, commands[i].name);
    fprintf(stderr, "anerun: '%s' is neither a plan nor a command", word);
    fprintf(stderr, s.best ? "; did you mean '%s'?\n" : "\n", s.best);
    usage(stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("anerun " ANEL_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--probe") == 0)
        return cmd_probe(argc, argv);
    if (strcmp(argv[1], "--probe-child") == 0)
        return cmd_probe_child(argc, argv);
    /* `anerun nothing.plan --train`: the plan may be missing, the intention is clear */
    if (path_is_dir(argv[1]) || argv[1][0] == '-' || (argc > 2 && argv[2][0] == '-'))
        return cmd_plan(argc, argv);
    return unknown(argv[1]);
}

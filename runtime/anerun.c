/* anerun.c: the command line of the runtime: a table of sub-commands. A first word that is none of them is a plan: the main
 * job, `anerun PLAN --train`. */
#include "anerun.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    Command    *run;
    const char *help;
} commands[] = {
    {"mil", cmd_mil, "run a MIL program on NumPy files"},
};

static void usage(FILE *f)
{
    fputs("usage: anerun PLAN --train|--eval FILE|--generate PROMPT [OPTIONS]\n"
          "       anerun COMMAND [ARGUMENTS]\n\n", f);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].help);
    fputs("\n'anerun PLAN --help' and 'anerun COMMAND --help' tell more.\n", f);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return cmd_plan(argc, argv);
}

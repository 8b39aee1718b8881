/* cmd_cli.c: `anec completion SHELL` and `anec man`: what is made of the tables of options; see base/cli.h. */
#include "cmd.h"

#include "base/cli.h"

const CommandOptions cmd_completion_options = {NULL, 0}, cmd_man_options = {NULL, 0};

static const CliSection sections[] = {
    {"DESCRIPTION",
     "anec compiles models of transformers, written in a small language, to plans: directories of text files with programs for "
     "Apple's Neural Engine and the steps between them. anerun(1) trains them.\n"
     "Without a command, FILE is compiled; the plan is written where -o says."},
    {"EXIT STATUS", "0 if all is well, 1 if the input is wrong (messages say where and why), 2 if the command line is wrong. "
                    "anec diff --exit-code: 3 if the plans differ."},
    {"EXAMPLES", " anec tiny.anel -o tiny.plan\n anec -D dim=64 -D layers=2 tiny.anel -o small.plan\n anec check --ranges tiny.anel\n"
                 " anec explain tiny.plan"},
    {"SEE ALSO", "anerun(1). The language, plans and diagnostics are described in the project's documentation."},
};

static Cli describe(Arena *a)
{
    uint32_t       n;
    const Command *from = anec_commands(&n);
    CliCommand    *to = NEW_N(a, CliCommand, n);
    for (uint32_t i = 0; i < n; i++) {
        const CommandOptions *o = from[i].options;
        CliOption            *option = NEW_N(a, CliOption, o->options + 1u);
        for (uint32_t k = 0; k < o->options; k++) {
            int id = o->option[k].id;
            option[k] = (CliOption){o->option[k].name, id > ' ' && id < 127 ? (char)id : 0, o->option[k].value, o->option[k].help};
        }
        to[i] = (CliCommand){from[i].name, from[i].args, from[i].help, option, o->options};
    }
    return (Cli){.program = "anec", .version = ANEL_VERSION, .date = "2026-11-23", .summary = "compile anel models for Apple's Neural Engine",
                 .command = to, .commands = n, .section = sections, .sections = COUNT(sections)};
}

int cmd_completion(int argc, char **argv)
{
    Arena *a = arena_new();
    Cli    c = describe(a);
    int    status = cli_cmd_completion(&c, argc, argv);
    arena_free(a);
    return status;
}

int cmd_man(int argc, char **argv)
{
    Arena *a = arena_new();
    Cli    c = describe(a);
    int    status = cli_cmd_man(&c, argc, argv);
    arena_free(a);
    return status;
}

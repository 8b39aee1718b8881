/* cmd_cli.c: `anerun completion SHELL` and `anerun man`: what is made of the table of options; see base/cli.h. */
#include "anerun.h"
#include "base/cli.h"
#include "runtime/train/options_table.h"
#include "runtime/train/settings.h"

#include <string.h>

static const CliSection fixed[] = {
    {"DESCRIPTION",
     "anerun runs plans, which anec(1) makes of models: it trains them, measures the loss, continues texts, checks a device and "
     "measures its speed. PLAN is a directory; options may stand before and behind it. They are written --steps 5 or "
     "--steps=5."},
    {"EXIT STATUS", "0 if all is well, an interrupted run that was saved included; 1 if something failed; 2 if the command line is "
                    "wrong."},
    {"ENVIRONMENT", "NO_COLOR: if it is set to something, progress is shown without bold and faint letters. TERM=dumb: progress as "
                    "plain lines. The locale decides whether the curve of the loss is drawn with block characters."},
    {"SIGNALS", "SIGINT and SIGTERM end a training run after the step at hand, which is saved; a second one kills at once."},
    {"EXAMPLES", " anerun gpt.plan --train --data shakespeare.txt --steps 500 --holdout 0.1\n"
                 " anerun gpt.plan --train --resume --steps 1000 --report run.html\n"
                 " anerun gpt.plan --generate 'First Citizen:' --tokens 200\n anerun gpt.plan --check"},
    {"SEE ALSO", "anec(1). Training, checkpoints and data are described in the project's documentation."},
};

/* The settings as paragraphs of their own, one a line of the help. */
static const char *settings_text(Arena *a)
{
    Buf all = {0};
    settings_help(&all);
    for (size_t n = all.len; n && all.data[n - 1] == '\n';)
        all.data[--n] = 0;
    const char *text = arena_printf(a, "Changed with --set KEY=VALUE; the key of an indented field is that of the setting, then its own: "
                                       "optimizer.lr.\n%s", all.data);
    buf_free(&all);
    return text;
}

static Cli describe(Arena *a)
{
    size_t        rows;
    const Option *from = options_table(&rows);
    CliOption    *option = NEW_N(a, CliOption, rows);
    for (size_t i = 0; i < rows; i++)
        option[i] = (CliOption){from[i].name ? from[i].name + 2 : NULL, from[i].kind == HELP ? 'h' : 0, from[i].value, from[i].help};
    CliCommand *command = NEW_N(a, CliCommand, 5);
    command[0] = (CliCommand){NULL, "PLAN", "run a plan", option, (uint32_t)rows};
    command[1] = (CliCommand){"mil", "FILE.mil ...", "run a MIL program on NumPy files; anerun mil --help tells how", NULL, 0};
    command[2] = (CliCommand){"completion", "bash|zsh|fish", "print a script that completes command lines", NULL, 0};
    command[3] = (CliCommand){"man", "", "print this manual page", NULL, 0};
    command[4] = cmd_probe_cli;
    CliSection *section = NEW_N(a, CliSection, COUNT(fixed) + 1);
    memcpy(section, fixed, sizeof fixed);
    section[COUNT(fixed)] = section[1]; /* the settings stand behind the options */
    section[1] = (CliSection){"SETTINGS", settings_text(a)};
    CliSection status = section[COUNT(fixed)];
    memmove(section + 3, section + 2, (COUNT(fixed) - 2) * sizeof *section);
    section[2] = status;
    const char **set = NEW_N(a, const char *, settings_count() + 1u);
    for (uint32_t i = 0; i < settings_count(); i++)
        set[i] = settings_key(i);
    return (Cli){.program = "anerun", .version = ANEL_VERSION, .date = "2026-11-23", .summary = "train, measure and run plans of anel models",
                 .command = command, .commands = 5, .section = section, .sections = COUNT(fixed) + 1, .set = set};
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

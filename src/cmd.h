/* cmd.h: what the sub-commands of a driver share: the table of commands, reading options, ending with a status.
 *
 * Exit status: 0 done, 1 the input is wrong (diagnostics say why), 2 the command line is wrong. */
#ifndef ANEL_CMD_H
#define ANEL_CMD_H

#include "base/diag.h"
#include "frontend/elaborate.h"
#include "target/target.h"

enum { EXIT_OK = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 };

typedef struct {
    int         id;    /* of your enum; a printable character is also its short form */
    const char *name;  /* long form without dashes */
    const char *value; /* name of its value in the help, NULL: a flag. FILE, DIR and a|b also tell shells what to offer */
    const char *help;
} Option;

typedef struct {
    const Option *option;
    uint32_t      options;
} CommandOptions;

/* argv[0] is the command's name. */
typedef int CommandFn(int argc, char **argv);
typedef struct {
    const char           *name, *args, *help; /* name NULL: what anec does without a command; args: "FILE..." */
    CommandFn            *run;
    const CommandOptions *options;
} Command;

CommandFn cmd_check, cmd_compile, cmd_completion, cmd_diff, cmd_explain, cmd_fmt, cmd_gradcheck, cmd_lint, cmd_man, cmd_target;
extern const CommandOptions cmd_check_options, cmd_compile_options, cmd_diff_options, cmd_explain_options, cmd_fmt_options,
    cmd_gradcheck_options, cmd_lint_options, cmd_target_options, cmd_completion_options, cmd_man_options;

/* All commands, the one without a name first. */
const Command *anec_commands(uint32_t *count);

enum { OPTION_END = -1, OPTION_BAD = -2, OPTION_OPERAND = -3 };

/* One pass over a command line. `--name=v`, `--name v`, `-n v`, `-nv`, `-ab`, `--` and a lone `-` work as usual. */
typedef struct {
    const char   *program; /* prefix of messages: "anec fmt" */
    const Option *option;
    uint32_t      options;
    int           argc;
    char        **argv;
    int           next;   /* start at 1 */
    const char   *letter; /* rest of a cluster -abc */
    const char   *value;  /* of the option or operand just read */
    bool          operands_only;
} OptionReader;

/* The id of the next option with `value` set, OPTION_OPERAND, OPTION_END; OPTION_BAD after a message. */
int option_next(OptionReader *r);
/* "  -o, --output DIR   help" for every option, wrapped. */
void options_help(FILE *to, const Option *option, uint32_t options);
/* A message about the command line, with the closest of `names` (NULL-terminated, may be NULL) suggested.
 * EXIT_USAGE. */
int usage_error(const char *program, const char *const *names, const char *word, const char *fmt, ...)
    ANEL_PRINTF(4, 5);

/* ---- reading a model ---- */

/* Options of every command that reads a model; model_option() handles those of MODEL_CASES. */
#define MODEL_OPTIONS                                                                                       \
    {'D', "define", "NAME=VALUE", "give a config another value; @FILE reads several"},                      \
    {'I', "include", "DIR", "look for used files here, before the standard places"},                        \
    {'t', "target", "NAME|FILE", "the engine it is for (default any); help lists those known"},             \
    {'O', "rewrite", "[no-]NAME", "switch a rewrite off or on; help lists them"},                           \
    {'j', "json", NULL, "messages as JSON on standard output"},                                             \
    {'h', "help", NULL, "this text"}
#define MODEL_CASES                                                                                         \
    case 'D':                                                                                               \
    case 'I':                                                                                               \
    case 't':                                                                                               \
    case 'O'

typedef struct {
    Arena       *arena; /* everything below; free it last */
    Sources     *sources;
    Diags       *diags;
    Override    *override;
    uint32_t     overrides, overrides_cap;
    const char **search;
    uint32_t     searches, searches_cap;
    bool         env_searched; /* the standard places are in `search` */
    const char  *target;       /* name or file; NULL: any */
    uint64_t     off;          /* rewrites */
    int          status;       /* to exit with, when model_option() said false */
} ModelInput;

void model_input_init(ModelInput *in, const char *program);
/* An option of MODEL_CASES. False after a message, or after the list that `help` asks for: exit with in->status. */
bool model_option(ModelInput *in, int option, const char *value);
/* The front end on `path`, for the target and with the rewrites of the options. NULL after diagnostics, which finish()
 * prints. */
Module *model_compile(ModelInput *in, const char *path);
/* Where target profiles are, and the profile of the options. NULL after diagnostics. */
TargetPath    model_targets(ModelInput *in);
const Target *model_target(ModelInput *in);

/* Print what was collected: text to standard error, or with `json` an array to standard output. EXIT_OK or
 * EXIT_INPUT. */
int finish(const Diags *ds, bool json);

#endif

/* cli.h: what a program's command line consists of, and what is made of that: its man page and the completion scripts of
 * shells. The rows come from the tables that parse options, so none of these can say anything else than the program
 * does. */
#ifndef ANEL_BASE_CLI_H
#define ANEL_BASE_CLI_H

#include "base/buf.h"

#include <stdbool.h>

/* An option, or, with neither name nor letter, the heading of those that follow. */
typedef struct {
    const char *name;  /* long form without dashes */
    char        letter; /* short form; 0: none */
    const char *value; /* NULL: none. FILE and DIR stand for paths, "a|b" for words; in brackets: may be left out */
    const char *help;
} CliOption;

typedef struct {
    const char      *name; /* NULL: what the program does without a command */
    const char      *args, *help;
    const CliOption *option;
    uint32_t         options;
} CliCommand;

typedef struct {
    const char *heading, *text; /* a paragraph a line; indented lines are shown as they stand */
} CliSection;

typedef struct {
    const char       *program, *version, *date, *summary; /* date: of the version, 2026-11-23 */
    const CliCommand *command; /* the one without a name first */
    uint32_t          commands;
    const CliSection *section; /* of the man page, behind the options */
    uint32_t          sections;
    const char *const *set; /* NULL-terminated names for an option `set` that takes NAME=VALUE; NULL: none */
} Cli;

/* A page of section 1 for man(1), in the man macros. */
void cli_man(const Cli *c, Buf *out);
/* A script for "bash", "zsh" or "fish". False with a sentence in `err` for another shell. */
bool cli_completion(const Cli *c, const char *shell, Buf *out, Buf *err);
extern const char *const cli_shells[]; /* those it knows; NULL ends the list */

/* The commands that print these: `completion SHELL` and `man`. argv[0] is the command. The exit status: 0, or 2 with a
 * message on stderr if the command line is wrong. */
int cli_cmd_completion(const Cli *c, int argc, char **argv);
int cli_cmd_man(const Cli *c, int argc, char **argv);

#endif

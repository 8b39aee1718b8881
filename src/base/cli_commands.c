/* cli_commands.c: the commands `completion SHELL` and `man`, which every program has; see cli.h. */
#include "base/cli.h"
#include "base/suggest.h"

#include <stdio.h>
#include <string.h>

enum { OK = 0, USAGE = 2 };

static bool wants_help(int argc, char **argv)
{
    return argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

/* Print one of them: the message, with what was likely meant. */
static int finish(const Cli *c, const char *command, const char *word, Buf *out, Buf *err)
{
    int status = err->len ? USAGE : OK;
    if (err->len) {
        Suggest s = {.word = word};
        for (const char *const *shell = cli_shells; word && *shell; shell++)
            suggest(&s, *shell);
        fprintf(stderr, "%s %s: %s", c->program, command, err->data);
        if (s.best)
            fprintf(stderr, " (did you mean '%s'?)", s.best);
        fputs("\n", stderr);
    } else {
        fputs(out->data, stdout);
    }
    buf_free(out);
    buf_free(err);
    return status;
}

int cli_cmd_completion(const Cli *c, int argc, char **argv)
{
    Buf out = {0}, err = {0};
    if (wants_help(argc, argv))
        buf_printf(&out,
                   "usage: %s completion bash|zsh|fish\n\nPrint a script that completes command lines; for bash:\n"
                   "  source <(%s completion bash)\n", c->program, c->program);
    else if (argc != 2)
        buf_puts(&err, "for which shell? bash, zsh or fish");
    else
        cli_completion(c, argv[1], &out, &err);
    return finish(c, "completion", argc == 2 ? argv[1] : NULL, &out, &err);
}

int cli_cmd_man(const Cli *c, int argc, char **argv)
{
    Buf out = {0}, err = {0};
    if (wants_help(argc, argv))
        buf_printf(&out, "usage: %s man\n\nPrint the manual page; to read it: %s man | man -l -\n", c->program,
                   c->program);
    else if (argc != 1)
        buf_printf(&err, "it takes no arguments, not '%s'", argv[1]);
    else
        cli_man(c, &out);
    return finish(c, "man", NULL, &out, &err);
}

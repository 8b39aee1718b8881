/* cli.c: see cli.h. */
#include "base/cli.h"

#include <ctype.h>
#include <string.h>

/* ---- man ---- */

/* Text for roff: backslashes, dashes that are minus signs, and no line that begins with a control character. */
static void roff(Buf *out, const char *s)
{
    for (bool start = true; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            buf_puts(out, "\\&");
        start = *s == '\n';
        if (*s == '\\')
            buf_puts(out, "\\e");
        else if (*s == '-')
            buf_puts(out, "\\-");
        else
            buf_putc(out, *s);
    }
}

/* ".SH OPTIONS" with the text quoted. */
static void macro(Buf *out, const char *name, const char *text)
{
    buf_printf(out, ".%s \"", name);
    for (; *text; text++)
        if (*text == '"')
            buf_puts(out, "\"\"");
        else
            buf_putc(out, *text);
    buf_puts(out, "\"\n");
}

/* Words in lines of at most 78 bytes, as pages are written. */
static void filled(Buf *out, const char *s)
{
    Buf all = {0};
    roff(&all, s);
    size_t line = 0;
    for (const char *word = all.data ? all.data : ""; *word;) {
        size_t n = strcspn(word, " ");
        if (line && line + 1 + n > 78) {
            buf_putc(out, '\n');
            line = 0;
        } else if (line) {
            buf_putc(out, ' ');
            line++;
        }
        if (!line && (*word == '.' || *word == '\''))
            buf_puts(out, "\\&");
        buf_add(out, word, n);
        line += n;
        word += n;
        word += strspn(word, " ");
    }
    buf_putc(out, '\n');
    buf_free(&all);
}

/* Help texts are written without a full stop and with a small letter. */
static void sentence(Buf *out, const char *s)
{
    Buf text = {0};
    buf_printf(&text, "%c%s%s", *s ? toupper((unsigned char)*s) : ' ', *s ? s + 1 : s,
               *s && strchr(".?!", s[strlen(s) - 1]) ? "" : ".");
    filled(out, text.data);
    buf_free(&text);
}

static void man_option(Buf *out, const CliOption *o)
{
    buf_puts(out, ".TP\n");
    if (o->letter)
        buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    buf_puts(out, "\\fB\\-\\-");
    roff(out, o->name);
    buf_puts(out, "\\fR");
    if (o->value) {
        buf_puts(out, strncmp(o->value, "[=", 2) == 0 ? "\\fI" : " \\fI");
        roff(out, o->value);
        buf_puts(out, "\\fR");
    }
    buf_putc(out, '\n');
    sentence(out, o->help);
}

static void man_options(Buf *out, const CliCommand *c)
{
    for (uint32_t i = 0; i < c->options; i++) {
        if (c->option[i].name)
            man_option(out, &c->option[i]);
        else
            macro(out, "SS", c->option[i].help);
    }
}

/* A line is a paragraph; lines that are indented are shown as they stand. */
static void man_paragraphs(Buf *out, const char *text)
{
    bool shown = false;
    for (const char *at = text, *end; *at; at = *end ? end + 1 : end) {
        Buf line = {0};
        end = at + strcspn(at, "\n");
        buf_add(&line, at, (size_t)(end - at));
        if (*at == ' ' && !shown)
            buf_puts(out, ".nf\n");
        else if (*at != ' ' && shown)
            buf_puts(out, ".fi\n");
        if (*at != ' ' && at != text)
            buf_puts(out, ".PP\n");
        shown = *at == ' ';
        if (shown)
            roff(out, line.data);
        else
            filled(out, line.data ? line.data : "");
        buf_puts(out, shown ? "\n" : "");
        buf_free(&line);
    }
    buf_puts(out, shown ? ".fi\n" : "");
}

void cli_man(const Cli *c, Buf *out)
{
    char upper[32];
    size_t n = 0;
    for (; c->program[n] && n + 1 < sizeof upper; n++)
        upper[n] = (char)toupper((unsigned char)c->program[n]);
    upper[n] = 0;
    buf_printf(out, ".TH %s 1 \"%s\" \"%s %s\" \"anel\"\n.SH NAME\n%s \\- ", upper, c->date, c->program, c->version, c->program);
    roff(out, c->summary);
    buf_puts(out, "\n.SH SYNOPSIS\n");
    for (uint32_t i = 0; i < c->commands; i++) {
        buf_printf(out, "%s\\fB%s\\fR ", i ? ".br\n" : "", c->program);
        if (c->command[i].name)
            buf_printf(out, "\\fB%s\\fR ", c->command[i].name);
        if (c->command[i].options)
            buf_puts(out, "[\\fIoptions\\fR] ");
        buf_puts(out, "\\fI");
        roff(out, c->command[i].args);
        buf_puts(out, "\\fR\n");
    }
    buf_puts(out, ".SH DESCRIPTION\n");
    for (uint32_t i = 0; i < c->sections; i++)
        if (strcmp(c->section[i].heading, "DESCRIPTION") == 0)
            man_paragraphs(out, c->section[i].text);
    for (uint32_t i = 0; i < c->commands; i++) {
        if (c->command[i].name) {
            Buf title = {0};
            buf_printf(&title, "%s %s", c->program, c->command[i].name);
            if (i == 1)
                buf_puts(out, ".SH COMMANDS\n");
            macro(out, "SS", title.data);
            sentence(out, c->command[i].help);
            buf_free(&title);
        } else {
            buf_puts(out, ".SH OPTIONS\n");
        }
        man_options(out, &c->command[i]);
    }
    for (uint32_t i = 0; i < c->sections; i++)
        if (strcmp(c->section[i].heading, "DESCRIPTION") != 0) {
            macro(out, "SH", c->section[i].heading);
            man_paragraphs(out, c->section[i].text);
        }
}

/* ---- shells ---- */

typedef enum { OFFER_NOTHING, OFFER_PATHS, OFFER_DIRS, OFFER_WORDS, OFFER_SET } Offer;

/* What a shell is to offer for the value of an option. */
static Offer offer_of(const CliOption *o)
{
    if (!o->value || strncmp(o->value, "[=", 2) == 0)
        return OFFER_NOTHING;
    if (strcmp(o->name, "set") == 0)
        return OFFER_SET;
    if (strstr(o->value, "FILE") || strstr(o->value, "PATH"))
        return OFFER_PATHS;
    if (strstr(o->value, "DIR"))
        return OFFER_DIRS;
    for (const char *s = o->value; *s; s++)
        if (*s != '|' && *s != '_' && !islower((unsigned char)*s) && !isdigit((unsigned char)*s))
            return OFFER_NOTHING;
    return OFFER_WORDS;
}

/* "a|b" as "a b". */
static void put_words(Buf *out, const char *value)
{
    for (; *value; value++)
        buf_putc(out, *value == '|' ? ' ' : *value);
}

/* A help text between single quotes; `special`: characters that the shell wants behind a backslash. */
static void quoted(Buf *out, const char *s, const char *special)
{
    for (; *s; s++)
        if (*s == '\'')
            buf_puts(out, "'\\''");
        else
            buf_printf(out, "%s%c", strchr(special, *s) ? "\\" : "", *s);
}

static void put_names(Buf *out, const CliCommand *c)
{
    for (uint32_t i = 0; i < c->options; i++) {
        if (c->option[i].name)
            buf_printf(out, " --%s", c->option[i].name);
        if (c->option[i].letter)
            buf_printf(out, " -%c", c->option[i].letter);
    }
}

static void put_settings(Buf *out, const Cli *c, const char *end)
{
    for (uint32_t i = 0; c->set && c->set[i]; i++)
        buf_printf(out, "%s%s%s", i ? " " : "", c->set[i], end);
}

static void bash_values(const Cli *c, const CliCommand *m, Buf *out)
{
    for (uint32_t i = 0; i < m->options; i++) {
        const CliOption *o = &m->option[i];
        Offer            offer = o->name ? offer_of(o) : OFFER_NOTHING;
        if (!o->name || !o->value || o->value[0] == '[')
            continue;
        buf_printf(out, "        %s:--%s", m->name ? m->name : "", o->name);
        if (o->letter)
            buf_printf(out, "|%s:-%c", m->name ? m->name : "", o->letter);
        buf_puts(out, ") ");
        if (offer == OFFER_PATHS)
            buf_puts(out, "COMPREPLY=($(compgen -f -- \"$cur\"))");
        else if (offer == OFFER_DIRS)
            buf_puts(out, "COMPREPLY=($(compgen -d -- \"$cur\"))");
        else if (offer == OFFER_NOTHING)
            buf_puts(out, "COMPREPLY=()");
        else {
            buf_puts(out, "COMPREPLY=($(compgen -W '");
            if (offer == OFFER_SET)
                put_settings(out, c, "=");
            else
                put_words(out, o->value);
            buf_puts(out, offer == OFFER_SET ? "' -- \"$cur\")); compopt -o nospace" : "' -- \"$cur\"))");
        }
        buf_puts(out, "; return ;;\n");
    }
}

static void bash(const Cli *c, Buf *out)
{
    buf_printf(out, "# bash completion for %s\n_%s()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=\n"
                    "    case ${COMP_WORDS[1]} in\n        ", c->program, c->program);
    for (uint32_t i = 1; i < c->commands; i++)
        buf_printf(out, "%s%s", i > 1 ? "|" : "", c->command[i].name);
    buf_puts(out, ") [ $COMP_CWORD -gt 1 ] && command=${COMP_WORDS[1]} ;;\n    esac\n    case $command:$prev in\n");
    for (uint32_t i = 0; i < c->commands; i++)
        bash_values(c, &c->command[i], out);
    buf_puts(out, "    esac\n    case $cur in\n    -*)\n        case $command in\n");
    for (uint32_t i = 0; i < c->commands; i++) {
        buf_printf(out, "        '%s') COMPREPLY=($(compgen -W '", c->command[i].name ? c->command[i].name : "");
        put_names(out, &c->command[i]);
        buf_puts(out, "' -- \"$cur\")) ;;\n");
    }
    buf_puts(out, "        esac ;;\n    *)\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                  "        [ $COMP_CWORD -eq 1 ] && COMPREPLY+=($(compgen -W '");
    for (uint32_t i = 1; i < c->commands; i++)
        buf_printf(out, "%s%s", i > 1 ? " " : "", c->command[i].name);
    buf_printf(out, "' -- \"$cur\")) ;;\n    esac\n}\ncomplete -o filenames -F _%s %s\n", c->program, c->program);
}

static void zsh_option(const Cli *c, const CliOption *o, Buf *out)
{
    Offer offer = offer_of(o);
    bool  attached = o->value && strncmp(o->value, "[=", 2) == 0;
    for (int form = 0; form < 2; form++) {
        if (form == 1 && !o->letter)
            break;
        if (form == 0)
            buf_printf(out, "            '*--%s%s[", o->name, attached ? "=-" : o->value ? "=" : "");
        else
            buf_printf(out, "            '*-%c%s[", o->letter, o->value ? "+" : "");
        quoted(out, o->help, "[]:\\");
        buf_putc(out, ']');
        if (o->value) {
            buf_puts(out, o->value[0] == '[' ? "::" : ":");
            quoted(out, o->value, "[]:\\");
            buf_putc(out, ':');
        }
        if (offer == OFFER_PATHS)
            buf_puts(out, "_files");
        else if (offer == OFFER_DIRS)
            buf_puts(out, "_files -/");
        else if (offer == OFFER_WORDS || offer == OFFER_SET) {
            buf_putc(out, '(');
            if (offer == OFFER_SET)
                put_settings(out, c, "=");
            else
                put_words(out, o->value);
            buf_putc(out, ')');
        }
        buf_puts(out, "' \\\n");
    }
}

static void zsh(const Cli *c, Buf *out)
{
    buf_printf(out, "#compdef %s\n_%s() {\n    case $words[2] in\n", c->program, c->program);
    for (uint32_t i = c->commands; i-- > 0;) {
        const CliCommand *m = &c->command[i];
        buf_printf(out, "    %s)\n        _arguments \\\n", m->name ? m->name : "*");
        for (uint32_t k = 0; k < m->options; k++)
            if (m->option[k].name)
                zsh_option(c, &m->option[k], out);
        if (m->name) {
            buf_printf(out, "            '1:command:(%s)' '*:file:_files' ;;\n", m->name);
            continue;
        }
        buf_puts(out, "            '1: :->first' '*:file:_files'\n        if [[ $state == first ]]; then\n            _files\n"
                      "            compadd --");
        for (uint32_t k = 1; k < c->commands; k++)
            buf_printf(out, " %s", c->command[k].name);
        buf_puts(out, "\n        fi ;;\n");
    }
    /* in a file of $fpath this is the function's own body */
    buf_printf(out, "    esac\n}\nif [[ $funcstack[1] == _%s ]]; then\n    _%s \"$@\"\nelse\n    compdef _%s %s\nfi\n", c->program,
               c->program, c->program, c->program);
}

static void fish(const Cli *c, Buf *out)
{
    buf_printf(out, "# fish completion for %s\n", c->program);
    Buf names = {0};
    for (uint32_t i = 1; i < c->commands; i++)
        buf_printf(&names, " %s", c->command[i].name);
    for (uint32_t i = 1; i < c->commands; i++) {
        buf_printf(out, "complete -c %s -n '__fish_use_subcommand' -a %s -d '", c->program, c->command[i].name);
        quoted(out, c->command[i].help, "");
        buf_puts(out, "'\n");
    }
    for (uint32_t i = 0; i < c->commands; i++)
        for (uint32_t k = 0; k < c->command[i].options; k++) {
            const CliOption *o = &c->command[i].option[k];
            Offer            offer = o->name ? offer_of(o) : OFFER_NOTHING;
            if (!o->name)
                continue;
            if (c->command[i].name)
                buf_printf(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -l %s", c->program, c->command[i].name, o->name);
            else
                buf_printf(out, "complete -c %s -n 'not __fish_seen_subcommand_from%s' -l %s", c->program,
                           names.data ? names.data : " ''", o->name);
            if (o->letter)
                buf_printf(out, " -s %c", o->letter);
            if (offer == OFFER_PATHS || offer == OFFER_DIRS)
                buf_puts(out, o->value[0] == '[' ? " -a '(__fish_complete_path)'" : " -rF");
            else if (offer == OFFER_NOTHING && o->value && o->value[0] != '[')
                buf_puts(out, " -x");
            else if (offer == OFFER_WORDS || offer == OFFER_SET) {
                buf_puts(out, " -x -a '");
                if (offer == OFFER_SET)
                    put_settings(out, c, "=");
                else
                    put_words(out, o->value);
                buf_puts(out, "'");
            }
            buf_puts(out, " -d '");
            quoted(out, o->help, "");
            buf_puts(out, "'\n");
        }
    buf_free(&names);
}

const char *const cli_shells[] = {"bash", "zsh", "fish", NULL};

bool cli_completion(const Cli *c, const char *shell, Buf *out, Buf *err)
{
    static void (*const write[])(const Cli *c, Buf *out) = {bash, zsh, fish};
    for (size_t i = 0; cli_shells[i]; i++)
        if (strcmp(cli_shells[i], shell) == 0) {
            write[i](c, out);
            return true;
        }
    buf_printf(err, "there is no completion for '%s', only for bash, zsh and fish", shell);
    return false;
}

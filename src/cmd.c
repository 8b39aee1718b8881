/* cmd.c: reading command lines and ending commands; see cmd.h. */
#include "cmd.h"

#include "base/suggest.h"
#include "base/wrap.h"

#include <string.h>

int usage_error(const char *program, const char *const *names, const char *word, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    Suggest s = {.word = word};
    for (; names && word && *names; names++)
        suggest(&s, *names);
    if (s.best)
        fprintf(stderr, " (did you mean '%s'?)", s.best);
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

static int unknown(const OptionReader *r, const char *name)
{
    const char *names[64];
    uint32_t    n = 0;
    for (uint32_t i = 0; i < r->options && n + 1 < COUNT(names); i++)
        names[n++] = r->option[i].name;
    names[n] = NULL;
    Suggest s = {.word = name};
    for (uint32_t i = 0; i < n; i++)
        suggest(&s, names[i]);
    if (s.best)
        usage_error(r->program, NULL, NULL, "unknown option '--%s' (did you mean '--%s'?)", name, s.best);
    else
        usage_error(r->program, NULL, NULL, "unknown option '--%s'", name);
    return OPTION_BAD;
}

static int long_option(OptionReader *r, const char *arg)
{
    const char *eq = strchr(arg, '=');
    size_t      n = eq ? (size_t)(eq - arg) : strlen(arg);
    for (uint32_t i = 0; i < r->options; i++) {
        const Option *o = &r->option[i];
        if (strlen(o->name) != n || memcmp(o->name, arg, n) != 0)
            continue;
        if (!o->value && eq) {
            usage_error(r->program, NULL, NULL, "option '--%s' takes no value", o->name);
            return OPTION_BAD;
        }
        r->value = eq ? eq + 1 : NULL;
        if (o->value && !eq) {
            if (r->next >= r->argc) {
                usage_error(r->program, NULL, NULL, "option '--%s' needs a value: %s", o->name, o->value);
                return OPTION_BAD;
            }
            r->value = r->argv[r->next++];
        }
        return o->id;
    }
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), arg);
    return unknown(r, name);
}

static int short_option(OptionReader *r)
{
    char c = *r->letter++;
    for (uint32_t i = 0; i < r->options; i++) {
        const Option *o = &r->option[i];
        if (o->id != c)
            continue;
        if (!o->value) {
            r->value = NULL;
        } else if (*r->letter) {
            r->value = r->letter;
            r->letter = NULL;
        } else if (r->next < r->argc) {
            r->value = r->argv[r->next++];
            r->letter = NULL;
        } else {
            usage_error(r->program, NULL, NULL, "option '-%c' needs a value: %s", c, o->value);
            return OPTION_BAD;
        }
        return o->id;
    }
    usage_error(r->program, NULL, NULL, "unknown option '-%c'", c);
    return OPTION_BAD;
}

int option_next(OptionReader *r)
{
    if (r->next < 1)
        r->next = 1;
    if (r->letter && *r->letter)
        return short_option(r);
    r->letter = NULL;
    if (r->next >= r->argc)
        return OPTION_END;
    char *arg = r->argv[r->next++];
    if (!r->operands_only && strcmp(arg, "--") == 0) {
        r->operands_only = true;
        return option_next(r);
    }
    if (r->operands_only || arg[0] != '-' || arg[1] == 0) {
        r->value = arg;
        return OPTION_OPERAND;
    }
    if (arg[1] == '-')
        return long_option(r, arg + 2);
    r->letter = arg + 1;
    return short_option(r);
}

void options_help(FILE *to, const Option *option, uint32_t options)
{
    enum { LEFT = 29 };
    Buf all = {0}, left = {0};
    for (uint32_t i = 0; i < options; i++) {
        left.len = 0;
        if (option[i].id > ' ' && option[i].id < 127)
            buf_printf(&left, "  -%c, ", option[i].id);
        else
            buf_puts(&left, "      ");
        buf_printf(&left, "--%s%s%s", option[i].name, option[i].value ? " " : "", option[i].value ? option[i].value : "");
        wrap_row(&all, LEFT, left.data, option[i].help);
    }
    fputs(all.data ? all.data : "", to);
    buf_free(&left);
    buf_free(&all);
}

int finish(const Diags *ds, bool json)
{
    Buf b = {0};
    if (json)
        diags_render_json(ds, &b);
    else
        diags_render(ds, &b);
    if (b.len)
        fwrite(b.data, 1, b.len, json ? stdout : stderr);
    buf_free(&b);
    return ds->errors ? EXIT_INPUT : EXIT_OK;
}

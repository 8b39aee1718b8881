/* options_help.c: the text of `anerun PLAN --help`: an overview for a screen, and the table by topics. */
#include "runtime/train/options_table.h"

#include "base/wrap.h"
#include "runtime/train/settings.h"

#include <ctype.h>
#include <string.h>

enum { LEFT = 27 }; /* the column of explanations */

/* What most people need most of the time; names are those of the table (a test holds them together), the words are
 * shorter than there: one line each. NULL: an empty line. */
static const struct {
    const char *name, *help;
} overview[] = {
    {"--train", "train the model"},
    {"--eval", "the loss on files; with --train: these are held out"},
    {"--generate", "continue PROMPT with the model's 'decode' entry"},
    {"--check", "compare every program with a reference in fp64"},
    {"--bench", "measure training steps; print one row of figures"},
    {NULL, NULL},
    {"--data", "the files to train on"},
    {"--steps", "optimizer steps, from the start of the run"},
    {"--set", "any setting, as optimizer.lr=1e-4: --help=settings"},
    {"--holdout", "keep the last part of the data as held-out set"},
    {"--resume", "continue from the latest checkpoint, or from DIR"},
    {"--out", "directory for checkpoints (default: PLAN.run)"},
    {"--weights", "start from weights of other programs"},
    {"--log", "one JSON object per line for every step"},
    {"--report", "a web page of the run, kept up to date"},
    {"--quiet", "no progress"},
    {"--threads", "threads on the CPU; results do not depend on it"},
};

static void put_row(Buf *out, const Option *p, const char *help)
{
    Buf left = {0};
    buf_printf(&left, "  %s%s%s", p->name, p->value && p->kind != HELP ? " " : "", p->value ? p->value : "");
    wrap_row(out, LEFT, left.data, help);
    buf_free(&left);
}

void option_topic(const Option *heading, char out[OPTION_TOPIC_BYTES])
{
    const char *text = heading->topic ? heading->topic : heading->help;
    size_t      end = strlen(text), from, n = 0;
    while (end && !isalnum((unsigned char)text[end - 1]))
        end--;
    for (from = end; from && isalnum((unsigned char)text[from - 1]);)
        from--;
    for (; from < end && n + 1 < OPTION_TOPIC_BYTES; from++)
        out[n++] = (char)tolower((unsigned char)text[from]);
    out[n] = 0;
}

static const Option *find(const Option *option, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (option[i].name && strcmp(option[i].name, name) == 0)
            return &option[i];
    bug("the overview of the help names '%s', which is no option", name);
}

static void list_topics(Buf *out, const Option *option, size_t count)
{
    char topic[OPTION_TOPIC_BYTES];
    for (size_t i = 0; i < count; i++)
        if (!option[i].name) {
            option_topic(&option[i], topic);
            buf_printf(out, "%s, ", topic);
        }
    buf_puts(out, "settings, all");
}

static void put_overview(Buf *out, const Option *option, size_t count)
{
    Buf topics = {0};
    buf_puts(out, "usage: anerun PLAN --train | --eval PATH | --generate PROMPT | ... [options]\n\n"
                  "Run a plan made by anec: train its model, measure it, or let it write.\n\n");
    for (size_t i = 0; i < COUNT(overview); i++) {
        if (overview[i].name)
            put_row(out, find(option, count, overview[i].name), overview[i].help);
        else
            buf_putc(out, '\n');
    }
    buf_puts(&topics, "--help=TOPIC tells more: ");
    list_topics(&topics, option, count);
    buf_putc(out, '\n');
    wrap_words(out, out->len, 0, topics.data);
    buf_free(&topics);
}

/* The table's own lines; what is too long for a screen is wrapped where the explanation began. */
static void put_settings(Buf *out)
{
    enum { SETTING_LEFT = 29 };
    Buf table = {0};
    buf_puts(out, "Settings, with their defaults, changed like --set optimizer=lion\n"
                  "--set optimizer.lr=1e-4. A plan has values for some of them, a checkpoint that\n"
                  "is resumed overrides these, and the command line both:\n");
    settings_help(&table);
    for (char *line = table.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        size_t from = out->len;
        *end = 0;
        if (end - line <= WRAP_COLUMNS) {
            buf_printf(out, "%s\n", line);
            continue;
        }
        buf_add(out, line, SETTING_LEFT);
        wrap_words(out, from, SETTING_LEFT, line + SETTING_LEFT);
    }
    buf_free(&table);
}

bool options_help(Buf *out, const char *topic, Buf *err)
{
    size_t        count;
    const Option *option = options_table(&count);
    bool          all = topic && strcmp(topic, "all") == 0, on = false, found = false;
    char          name[OPTION_TOPIC_BYTES];
    if (!topic) {
        put_overview(out, option, count);
        return true;
    }
    if (all)
        buf_puts(out, "usage: anerun PLAN --train [options]\n"
                      "       anerun PLAN --eval PATH [options]\n"
                      "       anerun PLAN --generate PROMPT [options]\n"
                      "       anerun PLAN --check | --bench [options]\n\n"
                      "Run a plan made by anec: train its model, measure it, or let it write.\n\n");
    for (size_t i = 0; i < count; i++) {
        if (option[i].name) {
            if (on)
                put_row(out, &option[i], option[i].help);
            continue;
        }
        option_topic(&option[i], name);
        on = all || strcmp(topic, name) == 0;
        if (on)
            buf_printf(out, "%s%s\n", found ? "\n" : "", option[i].help);
        found |= on;
    }
    if (all)
        buf_putc(out, '\n');
    if (all || strcmp(topic, "settings") == 0)
        put_settings(out);
    if (all)
        buf_puts(out, "\nFirst steps:\n"
                      "  anerun gpt.plan --train --data shakespeare.txt --steps 500 --holdout 0.1\n"
                      "  anerun gpt.plan --train --resume --steps 1000\n"
                      "  anerun gpt.plan --generate \"First Citizen:\" --tokens 200\n");
    if (found || strcmp(topic, "settings") == 0)
        return true;
    buf_printf(err, "there is no help on '%s'; topics are ", topic);
    list_topics(err, option, count);
    return false;
}

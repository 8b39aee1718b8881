/* options_table.h: what options.c's table consists of, for those who make something of it: the parser, the help
 * (options_help.c), man pages and shell completion. Not for others: they see struct Options. */
#ifndef ANEL_TRAIN_OPTIONS_TABLE_H
#define ANEL_TRAIN_OPTIONS_TABLE_H

#include "runtime/train/options.h"

#include <stddef.h>

/* MAYBE: its value may be left out; HELP: the same, and the value follows an equals sign only. */
typedef enum { FLAG, TEXT, WHOLE, REAL, SETTING, ASSIGN, MAYBE, HELP } OptionKind;

/* A row is an option or, with a name of NULL, the heading of the options that follow it up to the next heading. */
typedef struct {
    const char *name;
    const char *value; /* name of the argument; NULL: none. FILE, DIR and "a|b" also tell shells what to offer */
    const char *help;  /* one line without a full stop, wrapped where it is shown; the text of a heading */
    const char *topic; /* of a heading: its name in --help=TOPIC; NULL: the last word of the heading, in lower case */
    OptionKind  kind;
    size_t      at;       /* FLAG, TEXT, WHOLE, REAL: offset in Options */
    const char *key;      /* SETTING */
    double      min, max; /* WHOLE, REAL */
} Option;

#define HEADING(text)               {.help = text}
#define TOPIC(name, text)           {.topic = name, .help = text}
#define TO_FLAG(n, field, text)     {.name = n, .kind = FLAG, .at = offsetof(Options, field), .help = text}
#define TO_TEXT(n, v, field, text)  {.name = n, .value = v, .kind = TEXT, .at = offsetof(Options, field), .help = text}
#define TO_KEY(n, v, k, text)       {.name = n, .value = v, .kind = SETTING, .key = k, .help = text}
#define TO_NUMBER(n, v, k, field, lo, hi, text) \
    {.name = n, .value = v, .kind = k, .at = offsetof(Options, field), .min = lo, .max = hi, .help = text}

const Option *options_table(size_t *count);

enum { OPTION_TOPIC_BYTES = 32 };
/* The topic of a heading into `out`. */
void option_topic(const Option *heading, char out[OPTION_TOPIC_BYTES]);

#endif

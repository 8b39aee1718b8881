/* options.c: the options of `anerun PLAN` as a table, from which both parsing and --help are made.
 *
 * Many options are short names for settings (train.def): they are rows with a key, and become overrides in the order
 * given, so that of `--steps 10 --set steps=20` the last one wins. Their values are checked where settings are. */
#include "runtime/train/options_table.h"

#include "base/suggest.h"
#include "runtime/train/settings.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const Option option[] = {
    TOPIC("doing", "What to do:"),
    TO_FLAG("--train", train, "train the model"),
    TO_TEXT("--eval", "PATH", eval, "report the loss on other files; with --train: use them as the held-out set"),
    TO_TEXT("--generate", "PROMPT", generate, "continue PROMPT with the model's 'decode' entry"),
    TO_TEXT("--prompts", "FILE", prompts, "continue every line of FILE"),
    TO_TEXT("--export", "FILE", export, "write the weights for other programs: .safetensors, or .bin of llama2.c"),
    TO_TEXT("--merge", "FILE", merge, "write the weights with adapters merged into them: .safetensors"),
    TO_FLAG("--check", check, "compare every program on the device with a reference in fp64, and with the host device"),
    TO_FLAG("--bench", bench, "measure training steps; print one row of figures"),
    TO_TEXT("--print-banks", "DIR", print_banks, "write the texts that are compiled, programs put together, to DIR"),
    {.name = "--help", .value = "[=TOPIC]", .kind = HELP, .help = "the options; with a topic or 'all', everything on it"},
    HEADING("Training:"),
    TO_KEY("--data", "PATH", "data.path",
           "what to train on, of the kind the setting 'data' says: a file, a folder, a pattern, or several with commas"),
    TO_KEY("--tokenizer", "FILE", "tokenizer", "for text: a .bin of llama2.c, or a .model of SentencePiece"),
    TO_KEY("--steps", "N", "steps", "optimizer steps, counted from the start of the run"),
    TO_KEY("--seed", "N", "seed", "seed of parameters and data; with --generate: of sampling"),
    {.name = "--set", .value = "KEY=VALUE", .kind = ASSIGN, .help = "change any setting listed below; may be repeated"},
    TO_KEY("--holdout", "FRACTION", "data.holdout", "keep the last part of the data as held-out set"),
    TO_KEY("--eval-every", "N", "eval_every", "evaluate every N steps, not only at the end"),
    TO_NUMBER("--stop-at", "N", WHOLE, stop_at, 1, 9007199254740992.0, "end after step N; --resume continues"),
    TO_TEXT("--log", "FILE", log, "write one JSON object per line for every step"),
    TO_TEXT("--report", "FILE", report, "keep a web page of the run up to date: curves, times, events, a sample text"),
    TO_TEXT("--sample", "PROMPT", sample, "what sample texts of the report begin with"),
    TO_FLAG("--json", json, "with --bench and --check: the report as a JSON object"),
    TO_FLAG("--quiet", quiet, "no progress"),
    TO_FLAG("--profile", profile, "at the end, a table of where the time went"),
    TO_TEXT("--trace", "FILE", trace, "at the end, what ran when on which thread, for chrome://tracing or Perfetto"),
    TO_TEXT("--receipt", "FILE", receipt, "write what was run where and how often, with hashes of the results, as JSON"),
    HEADING("Checkpoints:"),
    TO_TEXT("--out", "DIR", out, "directory for checkpoints (default: PLAN.run)"),
    {.name = "--resume",
     .value = "[DIR]",
     .kind = MAYBE,
     .help = "continue from the latest checkpoint, or from DIR (a run or one of its ckpt-N)"},
    TO_TEXT("--ckpt", "DIR", checkpoint,
            "whose weights to use when not training: a run's, one of its ckpt-N, or best (default: the latest in --out)"),
    TO_TEXT("--weights", "FILE", weights, "start from weights of other programs: .safetensors, or .bin of llama2.c"),
    TO_TEXT("--format", "safetensors|llama2c", format, "of --export (default: by the file's suffix)"),
    TO_TEXT("--dtype", "f32|f16|bf16", dtype, "of --export to safetensors (default: f32)"),
    TO_FLAG("--untrained", untrained, "when not training: use initial weights"),
    TO_KEY("--save-every", "N", "save_every", "save every N steps, not only at the end"),
    TO_KEY("--keep", "N", "keep", "checkpoints kept, the newest; 0: all"),
    TO_FLAG("--no-save", no_save, "write no checkpoints"),
    TO_FLAG("--overwrite", overwrite, "start over in a directory that holds checkpoints: they are deleted"),
    HEADING("Generating:"),
    TO_NUMBER("--tokens", "N", WHOLE, tokens, 0, 1e9, "new tokens at most (default: 256)"),
    TO_NUMBER("--temperature", "T", REAL, temperature, 0, 1e6, "0: always the likeliest token (default: 0.8)"),
    TO_NUMBER("--top-k", "K", WHOLE, top_k, 0, 4294967295.0, "only among the K likeliest; 0: all (default)"),
    TO_NUMBER("--top-p", "P", REAL, top_p, 0, 1, "only among the likeliest that make up P; 1: all (default)"),
    TO_TEXT("--stop", "TEXT", stop, "end before this text (for models whose tokens are not bytes: this id)"),
    HEADING("The machine:"),
    TO_TEXT("--device", "NAME", device, "what executes programs: host (default), or ane, the engine"),
    TO_TEXT("--numerics", "ane|exact", numerics, "fp16 after every operation, or fp64 throughout (default: ane)"),
    TO_TEXT("--reduce", "strict|lenient", reduce, "sums in fp16 or wide, with --numerics ane (default: strict)"),
    TO_TEXT("--target", "NAME|FILE|none", target,
            "the engine whose limits and quirks the host device imitates (default: the plan's)"),
    TO_FLAG("--latency", latency, "programs take at least as long as predicted for the engine that is imitated"),
    TO_NUMBER("--threads", "N", WHOLE, threads, 1, 4096,
              "threads on the CPU (default: one per 500,000 parameters, at most all)"),
    TO_FLAG("--deterministic", deterministic, "the same bits for any number of processes (setting 'deterministic')"),
    TO_FLAG("--mpi", mpi, "start MPI, although no launcher of it shows in the environment"),
    TO_NUMBER("--compile-budget", "N", WHOLE, compile_budget, 0, 1e9,
              "programs a process compiles before it restarts; 0: any number (default: the target's)"),
    TO_NUMBER("--functions", "N", WHOLE, functions, 1, 256,
              "programs of the plan compiled as one; 1: each by itself (default: the target's)"),
    TO_NUMBER("--die", "N", WHOLE, die, 1, 4, "the engine to use on chips with several (default: shared out among processes)"),
    TO_TEXT("--reload", "try|never|remembered", reload,
            "whether to give programs new weights without compiling, in plans made for it; what this system's engine does "
            "with it is proved once and remembered (default)"),
    TO_NUMBER("--eval-timeout", "SECONDS", REAL, eval_timeout, 0, 1e6,
              "give a program up that takes longer; 0: never (default: 30 on the engine, never on the host)"),
    TO_FLAG("--refused-weights", refused_weights,
            "save the weights of a program that the engine refuses with the report about it, however large"),
};

const Option *options_table(size_t *count)
{
    *count = COUNT(option);
    return option;
}

static const Option *find(const char *name, size_t len, Buf *err)
{
    Arena        *a = arena_new();
    Suggest       near = {.word = arena_strndup(a, name, len)};
    const Option *found = NULL;
    for (size_t i = 0; i < COUNT(option) && !found; i++) {
        if (option[i].name && strcmp(option[i].name, near.word) == 0)
            found = &option[i];
        else if (option[i].name)
            suggest(&near, option[i].name);
    }
    if (!found)
        buf_printf(err, "unknown option '%s'", near.word);
    if (!found && near.best)
        buf_printf(err, "; did you mean '%s'?", near.best);
    arena_free(a);
    return found;
}

static void add_override(Options *o, Arena *a, const char *key, const char *value)
{
    GROW(a, o->override, o->overrides, o->overrides_cap);
    o->override[o->overrides++] = (Override){key, value};
}

static bool set_number(Options *o, const Option *p, const char *value, Buf *err)
{
    char  *end;
    char  *place = (char *)o + p->at;
    double x = strtod(value, &end);
    if (*value == 0 || *end || strspn(value, "0123456789+-.eE") != strlen(value) || !(x >= p->min && x <= p->max) ||
        (p->kind == WHOLE && x != floor(x))) {
        buf_printf(err, "%s: '%s' is not a %snumber from %g to %g", p->name, value, p->kind == WHOLE ? "whole " : "",
                   p->min, p->max);
        return false;
    }
    uint64_t n = (uint64_t)x;
    memcpy(place, p->kind == WHOLE ? (const void *)&n : (const void *)&x, sizeof x);
    return true;
}

static bool set_option(Options *o, Arena *a, const Option *p, const char *value, Buf *err)
{
    char *place = (char *)o + p->at;
    switch (p->kind) {
    case FLAG:
        memcpy(place, &(bool){true}, sizeof(bool));
        return true;
    case TEXT:
        memcpy(place, &value, sizeof value);
        return true;
    case WHOLE:
    case REAL:
        return set_number(o, p, value, err);
    case SETTING:
        if (strcmp(p->key, "seed") == 0)
            o->generate_seed = strtoull(value, NULL, 10);
        add_override(o, a, p->key, value);
        return true;
    case ASSIGN: {
        const char *eq = strchr(value, '=');
        if (eq && eq != value)
            add_override(o, a, arena_strndup(a, value, (size_t)(eq - value)), eq + 1);
        else
            buf_printf(err, "--set takes KEY=VALUE, found '%s'", value);
        return eq && eq != value;
    }
    case MAYBE:
        o->resume = true;
        o->resume_from = value;
        return true;
    case HELP:
        o->help = true;
        o->help_topic = value;
        return true;
    }
    return false;
}

/* A plan is asked for one thing at a time, except that training may also evaluate. */
static bool check_action(const Options *o, Buf *err)
{
    const struct {
        const char *name, *value;
        bool        given;
    } action[] = {
        {"--train", "", o->train},
        {"--eval", " FILE", o->eval != NULL},
        {"--generate", " PROMPT", o->generate != NULL},
        {"--prompts", " FILE", o->prompts != NULL},
        {"--export", " FILE", o->export != NULL},
        {"--merge", " FILE", o->merge != NULL},
        {"--check", "", o->check},
        {"--bench", "", o->bench},
        {"--print-banks", " DIR", o->print_banks != NULL},
    };
    const char *first = NULL;
    for (size_t i = 0; i < COUNT(action); i++) {
        if (!action[i].given || (i == 1 && o->train))
            continue;
        if (first) {
            buf_printf(err, "%s does not go with %s", action[i].name, first);
            return false;
        }
        first = action[i].name;
    }
    if (!first) {
        buf_puts(err, "what to do with the plan? one of");
        for (size_t i = 0; i < COUNT(action); i++)
            buf_printf(err, "%s %s%s", i ? "," : "", action[i].name, action[i].value);
    }
    return first != NULL;
}

static bool check(const Options *o, Buf *err)
{
    const char *why = NULL;
    if (!o->plan)
        why = "which plan? usage: anerun PLAN --train | --eval PATH | --generate PROMPT";
    else if ((o->format || o->dtype) && !o->export)
        why = "--format and --dtype are for --export";
    else if (o->check && o->numerics && strcmp(o->numerics, "exact") == 0)
        why = "--check compares fp16 with a reference in fp64: there is nothing to compare with --numerics exact";
    else if (o->json && !o->bench && !o->check)
        why = "--json goes with --bench and --check";
    else if (o->bench && (o->resume || o->checkpoint || o->weights || o->untrained))
        why = "--bench measures with initial weights";
    else if (o->train && o->checkpoint)
        why = "--ckpt is for --eval and --generate; training continues with --resume";
    else if (o->resume && o->overwrite)
        why = "--resume continues a run, --overwrite deletes it";
    else if (o->no_save && o->out && !o->resume && o->train)
        why = "--no-save needs no --out";
    else if (o->untrained && (o->resume || o->checkpoint || o->train || o->weights))
        why = "--untrained goes with none of --train, --resume, --ckpt, --weights";
    else if (o->receipt && !o->train && !o->eval && !o->check && !o->bench)
        why = "--receipt is for --train, --eval, --check and --bench";
    else if (o->report && !o->train)
        why = "--report is for --train";
    else if (o->sample && !o->report)
        why = "--sample goes with --report FILE";
    else if (o->weights && (o->resume || o->checkpoint))
        why = "--weights goes with neither --resume nor --ckpt: they bring their own";
    else if (o->numerics && strcmp(o->numerics, "ane") != 0 && strcmp(o->numerics, "exact") != 0)
        why = "--numerics is ane or exact";
    else if (o->reload && strcmp(o->reload, "try") != 0 && strcmp(o->reload, "never") != 0 &&
             strcmp(o->reload, "remembered") != 0)
        why = "--reload is try, never or remembered";
    else if (o->reduce && strcmp(o->reduce, "strict") != 0 && strcmp(o->reduce, "lenient") != 0)
        why = "--reduce is strict or lenient";
    if (why)
        buf_puts(err, why);
    return why == NULL && check_action(o, err);
}

/* Settings given here are tried on the defaults, so that a misspelt one is told before anything is opened. */
static bool check_overrides(const Options *o, Arena *a, Buf *err)
{
    Settings s;
    settings_default(&s);
    for (uint32_t i = 0; i < o->overrides; i++)
        if (!settings_set(&s, a, o->override[i].key, o->override[i].value, err))
            return false;
    return true;
}

bool options_parse(Options *o, Arena *a, int argc, char **argv, Buf *err)
{
    *o = (Options){.compile_budget = UINT64_MAX, .eval_timeout = -1, .device = "host", .tokens = 256, .temperature = 0.8, .top_p = 1};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (strcmp(word, "-h") == 0)
            word = "--help";
        if (word[0] != '-') {
            if (o->plan) {
                buf_printf(err, "unexpected argument '%s': the plan is '%s'", word, o->plan);
                return false;
            }
            o->plan = word;
            continue;
        }
        const char   *eq = strchr(word, '=');
        const Option *p = find(word, eq ? (size_t)(eq - word) : strlen(word), err);
        if (!p)
            return false;
        if (eq) /* --name=value */
            value = eq + 1;
        if (eq && p->kind == FLAG) {
            buf_printf(err, "%s takes no value", p->name);
            return false;
        }
        if (!eq && p->kind == MAYBE && o->plan && i + 1 < argc && argv[i + 1][0] != '-')
            value = argv[++i];
        if (!eq && p->kind != MAYBE && p->kind != HELP && p->value) {
            if (i + 1 >= argc) {
                buf_printf(err, "%s needs a value: %s %s", p->name, p->name, p->value);
                return false;
            }
            value = argv[++i];
        }
        if (!set_option(o, a, p, value, err))
            return false;
        if (o->help)
            return true;
    }
    return check(o, err) && check_overrides(o, a, err);
}

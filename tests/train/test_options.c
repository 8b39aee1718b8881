/* test_options.c: the command line of `anerun PLAN`. */
#include "runtime/train/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static Arena  *arena;
static Buf     said;
static Options o;

static void begin(void)
{
    arena = arena_new();
}

static void end(void)
{
    arena_free(arena);
    buf_free(&said);
}

TestSuite(options, .init = begin, .fini = end);

/* Parse words separated by blanks. */
static bool parse(const char *words)
{
    char *argv[32] = {arena_strdup(arena, "anerun")}, *text = arena_strdup(arena, words);
    int   argc = 1;
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    buf_clear(&said);
    return options_parse(&o, arena, argc, argv, &said);
}

static bool refuses(const char *words, const char *with)
{
    bool ok = !parse(words) && strstr(said.data, with) != NULL;
    if (!ok)
        fprintf(stderr, "%s: said '%s'\n", words, said.len ? said.data : "nothing");
    return ok;
}

Test(options, a_training_command)
{
    cr_assert(
        parse("gpt.plan --train --data a.txt --steps 5 --set optimizer=lion --set=clip=1 --seed=7 --resume --log l"));
    cr_assert(o.train && o.resume && !o.resume_from && !o.eval);
    cr_assert_str_eq(o.plan, "gpt.plan");
    cr_assert_str_eq(o.log, "l");
    cr_assert_eq(o.overrides, 5);
    cr_assert_str_eq(o.override[0].key, "data.path");
    cr_assert_str_eq(o.override[2].key, "optimizer");
    cr_assert_str_eq(o.override[3].value, "1");
    cr_assert_str_eq(o.override[4].key, "seed");
    cr_assert(parse("--train --resume gpt.plan")); /* before the plan, --resume takes no directory */
    cr_assert(o.resume && !o.resume_from);
    cr_assert(parse("gpt.plan --train --resume a/ckpt-5"));
    cr_assert_str_eq(o.resume_from, "a/ckpt-5");
    cr_assert(parse("gpt.plan --generate hello --temperature 0.5 --top-k 3 --top-p 0.9 --tokens 12 --seed 4"));
    cr_assert(o.temperature == 0.5 && o.top_k == 3 && o.top_p == 0.9 && o.tokens == 12 && o.generate_seed == 4);
}

Test(options, mistakes_are_named)
{
    cr_assert(refuses("p --trian", "unknown option '--trian'; did you mean '--train'?"));
    cr_assert(refuses("p --train --temprature=1", "did you mean '--temperature'?"));
    cr_assert(refuses("p --train --steps", "--steps needs a value: --steps N"));
    cr_assert(refuses("p --train --steps x", "steps: 'x' is not a whole number"));
    cr_assert(refuses("p --train --set lr=1", "unknown setting 'lr'"));
    cr_assert(refuses("p --train --set lr", "--set takes KEY=VALUE, found 'lr'"));
    cr_assert(refuses("p --train=1", "--train takes no value"));
    cr_assert(refuses("p --generate x --top-p 1.5", "--top-p: '1.5' is not a number from 0 to 1"));
    cr_assert(refuses("p --generate x --top-k 1.5", "--top-k: '1.5' is not a whole number"));
    cr_assert(refuses("p q --train", "unexpected argument 'q': the plan is 'p'"));
    cr_assert(refuses("p", "what to do with the plan?"));
    cr_assert(refuses("--train", "which plan?"));
    cr_assert(refuses("p --train --generate x", "--generate does not go with --train"));
    cr_assert(refuses("p --train --resume --overwrite", "--overwrite deletes"));
    cr_assert(refuses("p --train --numerics fp8", "--numerics is ane or exact"));
    cr_assert(refuses("p --train --ckpt x", "training continues with --resume"));
}

/* The text of --help as the command line asks for it; the caller frees it. */
static Buf help(const char *words)
{
    Buf out = {0}, err = {0};
    cr_assert(parse(words) && o.help, "%s", words);
    cr_assert(options_help(&out, o.help_topic, &err), "%s: %s", words, err.data);
    buf_free(&err);
    return out;
}

static size_t count_lines(char *text)
{
    size_t n = 0;
    for (char *line = strtok(text, "\n"), *end = text + strlen(text); line; line = strtok(NULL, "\n")) {
        cr_assert(strlen(line) <= 80, "%s", line);
        n++;
        for (char *p = line + strlen(line); p + 1 < end && p[1] == '\n'; p++) /* empty lines, which strtok skips */
            n++;
    }
    return n;
}

Test(options, help_fits_a_screen)
{
    Buf out = help("p --help");
    cr_assert(strstr(out.data, "--train") != NULL && strstr(out.data, "--help=TOPIC") != NULL);
    cr_assert(strstr(out.data, "doing, training, checkpoints, generating, ") != NULL);
    size_t n = count_lines(out.data);
    cr_assert(n <= 24, "%zu lines", n);
    buf_free(&out);
    out = help("-h");
    cr_assert(strstr(out.data, "--train") != NULL);
    buf_free(&out);
}

Test(options, help_all_lists_every_option_and_setting)
{
    static const char *const some[] = {"--train", "--holdout FRACTION", "--resume [DIR]", "--top-p P", "--threads N",
                                       "--help[=TOPIC]", "optimizer=adamw", "lion", ".beta2=0.99", "eval_every=0"};
    Buf out = help("p --help=all");
    for (size_t i = 0; i < COUNT(some); i++)
        cr_assert(strstr(out.data, some[i]) != NULL, "%s", some[i]);
    count_lines(out.data);
    buf_free(&out);
}

Test(options, help_on_a_topic_lists_that_topic)
{
    Buf out = help("p --help=generating"), err = {0};
    cr_assert(strstr(out.data, "--top-k") != NULL && strstr(out.data, "--holdout") == NULL);
    buf_free(&out);
    out = help("--help=settings");
    cr_assert(strstr(out.data, "lion") != NULL && strstr(out.data, "--top-k") == NULL);
    buf_free(&out);
    out = (Buf){0};
    cr_assert(parse("--help=cooking") && !options_help(&out, o.help_topic, &err));
    cr_assert(strstr(err.data, "there is no help on 'cooking'; topics are doing, training") != NULL, "%s", err.data);
    buf_free(&out);
    buf_free(&err);
}

/* cmd_target.c: `anec target`: what is known of an engine. Without a name, which profiles there are. */
#include "cmd.h"

static const Option options[] = {
    {'I', "include", "DIR", "look for targets/NAME.target here, before the standard places"},
    {'j', "json", NULL, "messages as JSON on standard output"},
    {'h', "help", NULL, "this text"},
};
const CommandOptions cmd_target_options = {options, COUNT(options)};

static int help(void)
{
    printf("anec target [options] [NAME|FILE]: print a target profile, or list those known\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

static int print(ModelInput *in, bool json)
{
    Buf           b = {0};
    const Target *t = model_target(in);
    int           status = finish(in->diags, json);
    if (t) {
        target_print(t, &b);
        fwrite(b.data, 1, b.len, stdout);
    }
    buf_free(&b);
    return status;
}

int cmd_target(int argc, char **argv)
{
    OptionReader r = {
        .program = "anec target", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    ModelInput   in;
    bool         json = false;
    int          status = EXIT_USAGE;
    model_input_init(&in, "anec");
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case 'I': model_option(&in, o, r.value); break;
        case 'j': json = true; break;
        case 'h': status = help(); goto done;
        case OPTION_OPERAND:
            if (in.target) {
                usage_error("anec target", NULL, NULL, "one profile at a time: '%s' and '%s'", in.target, r.value);
                goto done;
            }
            in.target = r.value;
            break;
        default: goto done;
        }
    if (in.target)
        status = print(&in, json);
    else {
        model_option(&in, 't', "help");
        status = EXIT_OK;
    }
done:
    arena_free(in.arena);
    return status;
}

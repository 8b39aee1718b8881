/* effect.c: what an engine does with a violation: effects.def, asked by message. */
#include "lint/lint.h"

#include <string.h>

#define ERROR LEVEL_ERROR
#define WARNING LEVEL_WARNING

static const struct {
    uint32_t    rule;
    const char *word;
    RuleLevel   from;
    RuleEffect  effect;
    const char *note;
} effects[] = {
#define EFFECT(rule, word, from, effect, note) {rule, word, from, EFFECT_##effect, note},
#include "lint/effects.def"
};

RuleEffect violation_effect(const Diag *d)
{
    uint32_t  rule = rule_find(d->code);
    RuleLevel level = d->severity == DIAG_ERROR ? LEVEL_ERROR : LEVEL_WARNING;
    if (!rule)
        return d->severity == DIAG_ERROR ? EFFECT_TEXT : EFFECT_ADVICE;
    for (size_t i = 0; i < COUNT(effects); i++)
        if (effects[i].rule == rule && strstr(d->text, effects[i].word))
            return level >= effects[i].from ? effects[i].effect : EFFECT_ADVICE;
    bug("rule %u has no row in effects.def", rule);
}

const char *rule_effect_text(Arena *a, uint32_t rule)
{
    static const char *const name[EFFECT_COUNT] = {"nothing shown", "runs slower", "gives other numbers",
                                                   "fails when it runs", "refuses it", "wrong on every device",
                                                   "the runtime's part"};
    const char *text = "";
    for (size_t i = 0; i < COUNT(effects); i++)
        if (effects[i].rule == rule)
            text = arena_printf(a, "%s%s%s%s%s%s", text, *text ? "; " : "", name[effects[i].effect],
                                *effects[i].note ? " (" : "", effects[i].note, *effects[i].note ? ")" : "");
    return text;
}

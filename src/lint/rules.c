/* rules.c: the table of rules, and printing it. */
#include "lint/lint.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define OFF LEVEL_OFF
#define WARNING LEVEL_WARNING
#define ERROR LEVEL_ERROR
#define TEXT SCOPE_TEXT
#define OP SCOPE_OP
#define SHAPE SCOPE_SHAPE
#define IO SCOPE_IO
#define CONSTANTS SCOPE_CONSTANTS
#define RUNTIME SCOPE_RUNTIME
#define DRIVER SCOPE_DRIVER
#define NUMERICS SCOPE_NUMERICS
#define MIL CHECKED_MIL
#define WEIGHTS CHECKED_WEIGHTS
#define PLAN CHECKED_PLAN
#define DEVICE CHECKED_DEVICE
#define COMPILER CHECKED_COMPILER

const Rule rule_info[RULE_LAST + 1] = {
#define RULE(number, id_, level_, scope_, checked_, conf_, projects_, title_, evidence_, where_, remedy_) \
    [number] = {id_, title_, evidence_, where_, remedy_, level_, scope_, checked_, CONF_##conf_, projects_},
#include "lint/rules.def"
};

const char *const        rule_scope_name[SCOPE_COUNT] = {"text",      "op",      "shape",  "io",
                                                         "constants", "runtime", "driver", "numerics"};
static const char *const level_name[] = {"off", "warning", "error"};

uint32_t rule_find(const char *id)
{
    const char *digits = strncmp(id, "ANE", 3) == 0 ? id + 3 : id;
    size_t      n = strspn(digits, "0123456789");
    if (n == 0 || n > 3 || digits[n])
        return 0;
    uint32_t rule = (uint32_t)atoi(digits);
    return rule <= RULE_LAST ? rule : 0;
}

const char *rule_checked_text(Arena *a, unsigned checked)
{
    static const char *const name[] = {"MIL", "weights", "plan", "device", "compiler"};
    const char              *text = "";
    for (unsigned i = 0; i < COUNT(name); i++)
        if (checked >> i & 1)
            text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", name[i]);
    return text;
}

void rules_list(Buf *out)
{
    Arena *a = arena_new();
    for (uint32_t i = RULE_FIRST; i <= RULE_LAST; i++) {
        const Rule *r = &rule_info[i];
        buf_printf(out, "%s  %-7s  %-9s  %-12s  %-8s  %s\n", r->id, level_name[r->level], rule_scope_name[r->scope],
                   rule_checked_text(a, r->checked), confidence_name[r->conf], r->title);
    }
    arena_free(a);
}

void rules_list_json(Buf *out)
{
    Arena  *a = arena_new();
    json_t *list = json_array();
    for (uint32_t i = RULE_FIRST; i <= RULE_LAST; i++) {
        const Rule *r = &rule_info[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "id", r->id,
                                              "level", level_name[r->level], "scope", rule_scope_name[r->scope],
                                              "checked", rule_checked_text(a, r->checked), "confidence",
                                              confidence_name[r->conf], "projects", (int)r->projects, "title", r->title,
                                              "evidence", r->evidence, "where", r->where, "engine", rule_effect_text(a, i),
                                              "remedy", r->remedy));
    }
    char *text = json_dumps(list, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    buf_printf(out, "%s\n", text);
    free(text);
    json_decref(list);
    arena_free(a);
}

void rule_explain(uint32_t rule, Buf *out)
{
    Arena      *a = arena_new();
    const Rule *r = &rule_info[rule];
    buf_printf(out, "%s: %s\n\n%s\n\n", r->id, r->title, r->evidence);
    buf_printf(out, "level     %s\nscope     %s\nchecked   %s: %s\n", level_name[r->level], rule_scope_name[r->scope],
               rule_checked_text(a, r->checked), r->where);
    buf_printf(out, "known     %s%s\n", confidence_name[r->conf],
               r->projects == 0   ? ""
               : r->projects == 1 ? ", one project"
                                  : arena_printf(a, ", %u projects", r->projects));
    buf_printf(out, "engine    %s\nremedy    %s\n", rule_effect_text(a, rule), r->remedy);
    arena_free(a);
}

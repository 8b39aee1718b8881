/* target.c: the conservative profile, and questions to a profile. */
#include "target/target.h"

#include <string.h>

const char *const confidence_name[CONF_COUNT] = {"assumed", "derived", "disputed", "shown", "agreed"};
const char *const availability_name[OP_YES + 1] = {"unknown", "no", "disputed", "quirk", "yes"};

static TargetOp any_op[] = {
#define OP(name, is, conf) {#name, OP_##is, CONF_##conf, "built into anec; targets/any.target has the evidence"},
#include "target/op.def"
};

static const Target any = {
    .name = "any",
#define FACT(name, kind, default_, unit, help) .name = default_,
#include "target/target.def"
    .evidence = {
#define FACT(name, kind, default_, unit, help) [FACT_##name] = {CONF_ASSUMED, "", "any"},
#include "target/target.def"
    },
    .op = any_op,
    .ops = COUNT(any_op),
};

const Target *target_any(void)
{
    return &any;
}

TargetOp target_op(const Target *t, const char *op)
{
    for (uint32_t i = 0; i < t->ops; i++)
        if (strcmp(t->op[i].op, op) == 0)
            return t->op[i];
    return (TargetOp){.op = op, .is = OP_UNKNOWN};
}

/* Facts that came later count only where a profile says something: plans of the others keep their bytes. */
static bool unsaid(const Target *t, uint32_t fact)
{
    return (fact == FACT_functions && t->functions == 1) || (fact == FACT_dies && t->dies == 1);
}

void target_hash(const Target *t, char out[HASH_HEX])
{
    Buf b = {0};
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        if (fact_info[i].kind == KIND_text || unsaid(t, i))
            continue;
        buf_printf(&b, "%s ", fact_info[i].name);
        fact_print(&fact_info[i], t, &b);
        buf_putc(&b, '\n');
    }
    for (uint32_t i = 0; i < t->ops; i++)
        buf_printf(&b, "op %s %s\n", t->op[i].op, availability_name[t->op[i].is]);
    hash_hex(b.data, b.len, out);
    buf_free(&b);
}

bool target_is_any(const Target *t)
{
    char a[HASH_HEX], b[HASH_HEX];
    if (t == &any)
        return true;
    target_hash(t, a);
    target_hash(&any, b);
    return strcmp(t->name, any.name) == 0 && strcmp(a, b) == 0;
}

/* A string literal of profiles. Control characters cannot be in it: the reader refuses them. */
static void quote(const char *s, Buf *out)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *s);
    }
    buf_putc(out, '"');
}

static void pad_to(Buf *out, size_t line, size_t column)
{
    do
        buf_putc(out, ' ');
    while (out->len - line < column);
}

static void known(Buf *out, size_t line, Confidence conf, const char *evidence)
{
    pad_to(out, line, 44);
    buf_puts(out, confidence_name[conf]);
    if (evidence && *evidence) {
        pad_to(out, line, 53);
        quote(evidence, out);
    }
}

void target_print(const Target *t, Buf *out)
{
    buf_printf(out, "target %s\n", t->name);
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        const FactInfo *f = &fact_info[i];
        const Evidence *e = &t->evidence[i];
        size_t          line = out->len;
        buf_puts(out, f->name);
        pad_to(out, line, 24);
        fact_print(f, t, out);
        known(out, line, e->conf, e->evidence);
        buf_printf(out, "  # %s%sfrom %s\n", f->unit, *f->unit ? ", " : "", e->from ? e->from : "any");
    }
    for (uint32_t i = 0; i < t->ops; i++) {
        size_t line = out->len;
        buf_printf(out, "op %s", t->op[i].op);
        pad_to(out, line, 35);
        buf_puts(out, availability_name[t->op[i].is]);
        known(out, line, t->op[i].conf, t->op[i].evidence);
        buf_putc(out, '\n');
    }
}

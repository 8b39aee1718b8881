/* token.c: the spelling of tokens: keywords, names for messages, and which of them can end an expression. */
#include "frontend/syntax.h"

#include "anel.tab.h"

#include <string.h>

static const struct {
    const char *text;
    int         kind;
} keyword[] = {
    {"use", TOK_USE},       {"config", TOK_CONFIG}, {"const", TOK_CONST}, {"fn", TOK_FN},         {"block", TOK_BLOCK},
    {"model", TOK_MODEL},   {"entry", TOK_ENTRY},   {"train", TOK_TRAIN}, {"param", TOK_PARAM},   {"state", TOK_STATE},
    {"repeat", TOK_REPEAT}, {"in", TOK_IN},         {"if", TOK_IF},       {"then", TOK_THEN},     {"else", TOK_ELSE},
    {"for", TOK_FOR},       {"as", TOK_AS},         {"return", TOK_RETURN}, {"assert", TOK_ASSERT}, {"and", TOK_AND},
    {"or", TOK_OR},         {"not", TOK_NOT},       {"true", TOK_TRUE},   {"false", TOK_FALSE},
};

int keyword_kind(const char *s, size_t n)
{
    for (size_t i = 0; i < COUNT(keyword); i++)
        if (strlen(keyword[i].text) == n && memcmp(keyword[i].text, s, n) == 0)
            return keyword[i].kind;
    return 0;
}

const char *keyword_name(uint32_t i)
{
    return i < COUNT(keyword) ? keyword[i].text : NULL;
}

bool token_is_keyword(int kind)
{
    for (size_t i = 0; i < COUNT(keyword); i++)
        if (keyword[i].kind == kind)
            return true;
    return false;
}

bool token_ends_operand(int kind)
{
    switch (kind) {
    case TOK_IDENT: case TOK_INT: case TOK_FLOAT: case TOK_STRING: case TOK_TRUE: case TOK_FALSE:
    case TOK_RPAREN: case TOK_RBRACKET: case TOK_PRIME:
        return true;
    default:
        return false;
    }
}

bool token_is_name(const Parse *p, const Token *t, const char *word)
{
    return t->kind == TOK_IDENT && strcmp(interned(p->strings, t->s), word) == 0;
}

const char *token_text(const Parse *p, const Token *t)
{
    int         n = (int)(t->at.end - t->at.begin);
    const char *s = p->source->text + t->at.begin;
    switch (t->kind) {
    case TOK_EOF:
        return p->tokens.count && p->tokens.tok[0].kind == TOK_START_EXPR ? "the end" : "end of file";
    case TOK_STRING:
        return "string";
    case TOK_INT:
    case TOK_FLOAT:
        return arena_printf(p->arena, "number %.*s", n, s);
    case TOK_IDENT:
        return arena_printf(p->arena, "name '%s'", interned(p->strings, t->s));
    default:
        return arena_printf(p->arena, "'%.*s'", n, s);
    }
}

Span span_after(Span at)
{
    return (Span){at.file, at.end, at.end};
}

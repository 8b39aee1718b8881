/* report.c: what to say about a token the parser cannot digest.
 *
 * The parser gives the token and the set of tokens it would have taken. Each rule below knows one mistake, recognises
 * it by the tokens around, and tells it in the user's terms; the rules are tried from the most to the least specific.
 * What none of them knows gets "unexpected X" with the expected set put into one or two phrases. */
#include "frontend/syntax.h"

#include "anel.tab.h"
#include "base/suggest.h"

#include <string.h>

typedef struct {
    Parse       *p;
    const Token *t, *prev; /* the offending token and the one before it */
    uint32_t     index;
    const bool  *want; /* by token kind */
} Report;

typedef bool Rule(const Report *r);

static const Token *at(const Report *r, int offset)
{
    int64_t k = (int64_t)r->index + offset;
    if (k < 0)
        k = 0;
    if (k >= r->p->tokens.count)
        k = r->p->tokens.count - 1;
    return &r->p->tokens.tok[k];
}

static bool new_line(const Report *r)
{
    const char *s = r->p->source->text;
    uint32_t    a = r->prev->at.end, b = r->t->at.begin;
    return b > a && memchr(s + a, '\n', b - a) != NULL;
}

static const char *text(const Report *r, const Token *t)
{
    return token_text(r->p, t);
}

static Diag *error(const Report *r, const char *code, Span where, const char *fmt, ...) ANEL_PRINTF(4, 5);
static Diag *error(const Report *r, const char *code, Span where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(r->p->arena, fmt, ap);
    va_end(ap);
    return diag_error(r->p->ds, code, where, "%s", s);
}

/* What the parser was in the middle of, by what it would take. */
static bool wants_item(const Report *r)
{
    return r->want[TOK_USE];
}

static bool wants_member(const Report *r)
{
    return r->want[TOK_ENTRY] && !r->want[TOK_USE] && !r->want[TOK_RETURN];
}

static bool wants_statement(const Report *r)
{
    return r->want[TOK_RETURN];
}

static bool wants_operand(const Report *r)
{
    return r->want[TOK_INT];
}

static bool wants_operator(const Report *r)
{
    return r->want[TOK_PLUS];
}

static bool wants_type(const Report *r)
{
    return r->want[TOK_IDENT] && r->want[TOK_LPAREN] && !wants_operand(r) && !wants_statement(r);
}

/* ---- the rules ---- */

static bool label_first(const Report *r)
{
    const Token *name = r->prev;
    if (r->t->kind != TOK_IN || name->kind != TOK_IDENT || at(r, -2)->kind != TOK_REPEAT)
        return false;
    const char *label = "label", *source = r->p->source->text;
    uint32_t    begin = at(r, 1)->at.begin, end = begin;
    for (int k = 1; k < 64; k++) {
        const Token *t = at(r, k);
        if (t->kind == TOK_EOF || t->kind == TOK_SEMI || t->kind == TOK_LBRACE)
            break;
        if (t->kind == TOK_AS) {
            if (at(r, k + 1)->kind == TOK_IDENT)
                label = interned(r->p->strings, at(r, k + 1)->s);
            break;
        }
        end = t->at.end;
    }
    Diag *d = error(r, "E0108", r->t->at, "'repeat' takes its label first");
    diag_label(d, name->at, "write 'repeat %s[%s in %.*s] {'", label, interned(r->p->strings, name->s),
               (int)(end - begin), source + begin);
    return true;
}

static bool belongs_elsewhere(const Report *r)
{
    const char *where = NULL;
    Token       t = *r->t;
    if (t.kind == TOK_IDENT && (at(r, 1)->kind == TOK_ASSIGN || at(r, 1)->kind == TOK_UPDATE))
        t.kind = TOK_ASSIGN; /* a binding */
    switch (t.kind) {
    case TOK_USE: case TOK_CONFIG: case TOK_MODEL:
        where = wants_member(r) || wants_statement(r) ? "at the top of the file, outside models and functions" : NULL;
        break;
    case TOK_ENTRY: case TOK_TRAIN:
        where = wants_item(r) ? "inside a model" : wants_statement(r) ? "directly inside the model" : NULL;
        break;
    case TOK_FN: case TOK_BLOCK:
        where = wants_statement(r) ? "outside function bodies" : NULL;
        break;
    case TOK_PARAM:
        where = wants_item(r) ? "inside a model or a block" : NULL;
        break;
    case TOK_ASSERT:
        where = wants_member(r) ? "at the top of the file or inside a function" : NULL;
        break;
    case TOK_STATE: case TOK_REPEAT: case TOK_RETURN: case TOK_ASSIGN: case TOK_IF:
        where = wants_item(r) || wants_member(r) ? "inside a function, block or entry" : NULL;
        break;
    default:
        break;
    }
    if (!where)
        return false;
    Diag *d;
    if (t.kind == TOK_ASSIGN)
        d = error(r, "E0115", r->t->at, "a binding belongs %s", where);
    else
        d = error(r, "E0115", r->t->at, "%s belongs %s", text(r, r->t), where);
    if (t.kind == TOK_ASSIGN && at(r, 1)->kind == TOK_ASSIGN)
        diag_help(d, "a value known at compile time can be declared here: 'const %s = ...;'",
                  interned(r->p->strings, r->t->s));
    return true;
}

static bool attribute_misplaced(const Report *r)
{
    if (r->prev->kind != TOK_RBRACKET || !r->want[TOK_ATTR])
        return false;
    Diag *d = error(r, "E0114", r->t->at, "%s takes no attributes", text(r, r->t));
    diag_help(d, "attributes stand before fn, block, model, entry, param, state, repeat, a binding or a { region }");
    return true;
}

static bool if_forms(const Report *r)
{
    int kind = r->t->kind;
    if (kind == TOK_IF && wants_operator(r) && !new_line(r)) {
        Diag *d = error(r, "E0106", r->t->at, "'if' comes before the value it chooses");
        diag_label(d, r->t->at, "write 'if c then a else b'");
        return true;
    }
    if (kind == TOK_LBRACE && r->want[TOK_THEN]) {
        Diag *d = error(r, "E0110", r->t->at, "an 'if' that gives a value has no braces");
        diag_label(d, r->t->at, "write 'if c then a else b'");
        return true;
    }
    if (kind == TOK_THEN && r->want[TOK_LBRACE]) {
        Diag *d = error(r, "E0110", r->t->at, "the body of 'if' needs braces");
        diag_label(d, r->t->at, "write '{', and '}' after the body");
        return true;
    }
    if (r->want[TOK_ELSE] && wants_operator(r) && (kind == TOK_SEMI || kind == TOK_COMMA || kind == TOK_RPAREN ||
                                                   kind == TOK_RBRACKET)) {
        Diag *d = error(r, "E0113", r->t->at, "this 'if' has no 'else': it must give a value either way");
        diag_label(d, span_after(r->prev->at), "insert 'else ...'");
        return true;
    }
    if (kind == TOK_ELSE && !r->want[TOK_ELSE] && wants_statement(r)) {
        error(r, "E0104", r->t->at, "'else' without 'if'");
        return true;
    }
    return false;
}

static bool loops(const Report *r)
{
    bool word = token_is_name(r->p, r->prev, "while") || token_is_name(r->p, r->prev, "for");
    if (!word && !(r->t->kind == TOK_FOR && wants_statement(r)))
        return false;
    const Token *t = word ? r->prev : r->t;
    Diag        *d = error(r, "E0106", t->at, "there is no '%.*s' statement", (int)(t->at.end - t->at.begin),
                           r->p->source->text + t->at.begin);
    diag_label(d, t->at, "write 'repeat layers[i in 0..n] { ... }'");
    return true;
}

static bool equals(const Report *r)
{
    if (r->t->kind != TOK_ASSIGN || !wants_operator(r) || !r->want[TOK_EQ])
        return false;
    diag_label(error(r, "E0112", r->t->at, "'=' binds a name; equality is '=='"), r->t->at, "write '=='");
    return true;
}

static bool less_minus(const Report *r)
{
    if (r->t->kind != TOK_UPDATE || !wants_operator(r))
        return false;
    diag_label(error(r, "E0121", r->t->at, "'<-' updates a state"), r->t->at, "write '< -' to compare with a negative");
    return true;
}

static bool method(const Report *r)
{
    if (r->t->kind != TOK_DOT || at(r, 1)->kind != TOK_IDENT || !wants_operator(r))
        return false;
    const char *name = interned(r->p->strings, at(r, 1)->s);
    Diag       *d = error(r, "E0106", r->t->at, "values have no members");
    if (strcmp(name, "T") == 0)
        diag_label(d, r->t->at, "write a ' after the value to transpose it");
    else if (at(r, 2)->kind == TOK_LPAREN)
        diag_label(d, r->t->at, "write '%s(x, ...)'", name);
    else
        diag_label(d, r->t->at, "use a function");
    return true;
}

static bool called_value(const Report *r)
{
    if (r->t->kind != TOK_LPAREN || !wants_operator(r) || !token_ends_operand(r->prev->kind))
        return false;
    diag_label(error(r, "E0104", r->t->at, "only a name can be called"), r->t->at, "insert an operator, or remove it");
    return true;
}

static bool missing_type(const Report *r)
{
    if (!wants_type(r))
        return false;
    Diag *d = error(r, "E0111", r->t->at, "expected a type, found %s", text(r, r->t));
    diag_label(d, r->t->at, "a type is written 'real[C, S]', 'int', ...");
    return true;
}

static bool missing_value(const Report *r)
{
    if (r->t->kind != TOK_SEMI || !r->want[TOK_ASSIGN])
        return false;
    int first = 0;
    for (int k = 0; k > -64 && first == 0; k--)
        if (at(r, k)->kind == TOK_PARAM || at(r, k)->kind == TOK_STATE)
            first = at(r, k)->kind;
    Diag *d = error(r, "E0113", r->t->at, "missing the %s", first ? "initial value" : "value");
    diag_label(d, span_after(r->prev->at), "insert '= %s'",
               first == TOK_PARAM ? "normal(0.02)"
               : first            ? "zeros()"
                                  : "...");
    return true;
}

static bool missing_arrow(const Report *r)
{
    if (!r->want[TOK_ARROW] || (r->t->kind != TOK_IDENT && r->t->kind != TOK_COLON && r->t->kind != TOK_LPAREN))
        return false;
    Diag *d = error(r, "E0111", r->t->at, "the result type comes after '->', found %s", text(r, r->t));
    if (r->t->kind == TOK_COLON)
        diag_label(d, r->t->at, "write '->'");
    else
        diag_label(d, span_after(r->prev->at), "insert '->'");
    return true;
}

static bool missing_brace(const Report *r)
{
    if (!r->want[TOK_LBRACE] || wants_statement(r) || wants_item(r) || wants_member(r))
        return false;
    Diag *d = error(r, "E0110", r->t->at, "expected '{', found %s", text(r, r->t));
    diag_label(d, span_after(r->prev->at), r->want[TOK_ASSIGN] ? "insert '= value;' or '{ ... }'" : "insert '{ ... }'");
    return true;
}

static bool reserved_name(const Report *r)
{
    int kind = r->t->kind;
    if (!token_is_keyword(kind) || !r->want[TOK_IDENT] || wants_statement(r) || wants_item(r) || wants_member(r) ||
        new_line(r) || kind == TOK_IF || kind == TOK_THEN || kind == TOK_ELSE || kind == TOK_AND || kind == TOK_OR)
        return false;
    diag_label(error(r, "E0105", r->t->at, "%s is a reserved word", text(r, r->t)), r->t->at,
               "a name is expected here");
    return true;
}

static bool underscore(const Report *r)
{
    if (r->t->kind != TOK_UNDERSCORE)
        return false;
    Diag *d = error(r, "E0105", r->t->at, "'_' is not a name");
    diag_label(d, r->t->at,
               wants_operand(r) ? "it makes a new axis inside an index, as in 'x[:, _]'" : "choose a name");
    return true;
}

static bool missing_semicolon(const Report *r)
{
    if (!r->want[TOK_SEMI] || !token_ends_operand(r->prev->kind) || !new_line(r))
        return false;
    Diag *d = error(r, "E0101", r->t->at, "missing ';' after this statement");
    diag_label(d, span_after(r->prev->at), "insert ';'");
    return true;
}

/* `retrun -x;`: one word that is nearly a keyword. */
static bool misspelled(const Report *r)
{
    int before = at(r, -2)->kind;
    if (r->prev->kind != TOK_IDENT || !(before == TOK_SEMI || before == TOK_LBRACE || before == TOK_RBRACE ||
                                        before == TOK_RBRACKET || before == TOK_START_FILE))
        return false;
    Suggest s = {.word = interned(r->p->strings, r->prev->s)};
    for (uint32_t k = 0; keyword_name(k); k++)
        suggest(&s, keyword_name(k));
    if (!s.best)
        return false;
    Diag *d = error(r, "E0107", r->prev->at, "unknown word '%s'", s.word);
    diag_label(d, r->prev->at, "did you mean '%s'?", s.best);
    return true;
}

static bool missing_operand(const Report *r)
{
    if (!wants_operand(r) || wants_operator(r))
        return false;
    const Token *prev = r->prev;
    int          kind = r->t->kind;
    Diag        *d;
    if (prev->kind == TOK_COMMA && (kind == TOK_RPAREN || kind == TOK_RBRACKET)) {
        diag_label(error(r, "E0117", prev->at, "stray ','"), prev->at, "remove it");
        return true;
    }
    d = error(r, "E0113", r->t->at, "expected an expression after %s, found %s", text(r, prev), text(r, r->t));
    if (kind == TOK_PLUS)
        diag_label(d, r->t->at, "there is no sign '+'; remove it");
    else if (kind == TOK_STAR && prev->kind == TOK_STAR)
        diag_label(d, r->t->at, "a power is written '**'");
    else if (prev->kind == TOK_RETURN)
        diag_label(d, span_after(prev->at), "a function returns a value");
    return true;
}

static bool trailing_comma(const Report *r)
{
    if (r->prev->kind != TOK_COMMA || (r->t->kind != TOK_RPAREN && r->t->kind != TOK_RBRACKET))
        return false;
    diag_label(error(r, "E0117", r->prev->at, "stray ','"), r->prev->at, "remove it");
    return true;
}

/* The expected set in a few words: "an expression", "an operator or ';'", "':' or '='". */
static const char *expected_text(const Report *r)
{
    const char *phrase[5];
    uint32_t    n = 0;
    if (wants_item(r))
        return "an item: use, config, const, fn, block or model";
    if (wants_member(r))
        return "a member: param, const, fn, block, entry or train";
    if (wants_statement(r))
        return "a statement";
    if (wants_operand(r))
        phrase[n++] = "an expression";
    else if (wants_type(r))
        phrase[n++] = "a type";
    else if (r->want[TOK_IDENT])
        phrase[n++] = "a name";
    if (wants_operator(r))
        phrase[n++] = "an operator";
    static const struct {
        int         kind;
        const char *text;
    } single[] = {{TOK_SEMI, "';'"},     {TOK_COMMA, "','"},   {TOK_RPAREN, "')'"}, {TOK_RBRACKET, "']'"},
                  {TOK_LBRACE, "'{'"},   {TOK_RBRACE, "'}'"},  {TOK_COLON, "':'"},  {TOK_ASSIGN, "'='"},
                  {TOK_ARROW, "'->'"},   {TOK_LPAREN, "'('"},  {TOK_LBRACKET, "'['"}, {TOK_IN, "'in'"},
                  {TOK_DOTDOT, "'..'"},  {TOK_THEN, "'then'"}, {TOK_ELSE, "'else'"}, {TOK_STRING, "a string"},
                  {TOK_DOT, "'.'"},      {TOK_UPDATE, "'<-'"}, {TOK_EOF, "the end"}};
    for (size_t k = 0; k < COUNT(single) && n < COUNT(phrase); k++) {
        int kind = single[k].kind;
        if (!r->want[kind] ||
            (wants_operand(r) && (kind == TOK_LPAREN || kind == TOK_LBRACKET || kind == TOK_STRING ||
                                  kind == TOK_COLON || kind == TOK_DOTDOT)) ||
            (wants_operator(r) && (kind == TOK_LBRACKET || kind == TOK_LPAREN)) ||
            (wants_type(r) && kind == TOK_LPAREN))
            continue;
        phrase[n++] = single[k].text;
    }
    const char *s = n ? phrase[0] : "something else";
    for (uint32_t k = 1; k < n; k++)
        s = arena_printf(r->p->arena, k + 1 == n ? "%s or %s" : "%s, %s", s, phrase[k]);
    return s;
}

static Rule *const rules[] = {
    label_first,     loops,        if_forms,      belongs_elsewhere, attribute_misplaced, equals,        less_minus,
    method,          called_value, misspelled,    missing_semicolon, underscore,          missing_value, trailing_comma,
    reserved_name,   missing_type, missing_arrow, missing_brace,     missing_operand,
};

void report_syntax(Parse *p, uint32_t index, const bool *expected)
{
    Report r = {p, &p->tokens.tok[index], &p->tokens.tok[index ? index - 1 : 0], index, expected};
    bool made = r.t->at.begin == r.t->at.end && r.t->kind != TOK_EOF;
    if (made || (index > 1 && r.prev->at.begin == r.prev->at.end))
        return; /* an echo of a mend that repair.c has told */
    for (size_t i = 0; i < COUNT(rules); i++)
        if (rules[i](&r))
            return;
    Span  where = r.t->kind == TOK_EOF ? span_after(r.prev->at) : r.t->at;
    Diag *d = error(&r, "E0104", where, "unexpected %s", text(&r, r.t));
    diag_label(d, where, "expected %s", expected_text(&r));
}

/* anel.re: the tokens of the language.
 *
 * The whole file is in memory and ends with a NUL that does not belong to it: a NUL at the limit is the end of input,
 * any other is a mistake. Spellings of other languages (`&&`, `:=`, `# comment`) are recognised here, told to the user
 * and turned into the token that was meant, so that the parser never stumbles over them. */
#include "frontend/syntax.h"

#include "anel.tab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static Diag *lex_error(Parse *p, const char *code, Span at, const char *fmt, ...) ANEL_PRINTF(4, 5);
static Diag *lex_error(Parse *p, const char *code, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    return p->ds ? diag_error(p->ds, code, at, "%s", text) : NULL;
}

static void say(Diag *d, Span at, const char *fmt, const char *a)
{
    if (d)
        diag_label(d, at, fmt[0] ? "write '%s'" : "%s", a);
}

static Token token(int kind, Span at)
{
    return (Token){.kind = kind, .at = at};
}

/* An operator of another language: told, then read as ours. */
static Token habit(Parse *p, Span at, int kind, const char *ours)
{
    const char *text = p->source->text + at.begin;
    Diag       *d = lex_error(p, "E0121", at, "unknown operator '%.*s'", (int)(at.end - at.begin), text);
    say(d, at, "write", ours);
    return token(kind, at);
}

static Token compound(Parse *p, Span at)
{
    const char *op = p->source->text + at.begin;
    Diag       *d = lex_error(p, "E0121", at, "unknown operator '%.2s'", op);
    say(d, at, "write", arena_printf(p->arena, "x = x %.1s ...", op));
    return token(TOK_ASSIGN, at);
}

/* The digits without their underscores. */
static char *digits_of(Parse *p, Span at)
{
    char *s = arena_strndup(p->arena, p->source->text + at.begin, at.end - at.begin), *out = s;
    for (const char *c = s; *c; c++)
        if (*c != '_')
            *out++ = *c;
    *out = 0;
    return s;
}

static Token integer(Parse *p, Span at)
{
    Token t = token(TOK_INT, at);
    char *s = digits_of(p, at);
    if (s[0] == '0' && s[1]) {
        char *tail = s;
        while (tail[0] == '0' && tail[1])
            tail++;
        say(lex_error(p, "E0125", at, "a number has no leading zeros"), at, "write", tail);
    }
    errno = 0;
    t.i = strtoll(s, NULL, 10);
    if (errno == ERANGE) {
        lex_error(p, "E0126", at, "the integer is too large: the largest is 9223372036854775807");
        t.i = 1;
    }
    return t;
}

static Token floating(Parse *p, Span at)
{
    Token t = token(TOK_FLOAT, at);
    t.f = strtod(digits_of(p, at), NULL);
    if (t.f > 1.7976931348623157e308) {
        lex_error(p, "E0126", at, "the number is too large: the largest is about 1.8e308");
        t.f = 1;
    }
    return t;
}

static Token bad_number(Parse *p, Span at)
{
    const char *s = p->source->text + at.begin;
    int         n = (int)(at.end - at.begin);
    Diag       *d = lex_error(p, "E0125", at, "malformed number '%.*s'", n, s);
    const char *base = s[0] == '0' && strchr("xXbBoO", s[1]) ? "numbers are decimal" : NULL;
    say(d, at, "", base                       ? base
                   : memchr(s, '_', (size_t)n) ? "an underscore stands between two digits, as in '32_000'"
                                               : "a number ends before a letter; a name does not begin with a digit");
    Token t = token(TOK_INT, at);
    t.i = 1;
    return t;
}

static Token bad_point(Parse *p, Span at, bool digits_before)
{
    char *s = digits_of(p, at);
    Diag *d = lex_error(p, "E0125", at, "a float has digits on both sides of its point");
    say(d, at, "write", arena_printf(p->arena, digits_before ? "%s0" : "0%s", s));
    Token t = token(TOK_FLOAT, at);
    t.f = 1;
    return t;
}

static Token name(Parse *p, Span at)
{
    const char *s = p->source->text + at.begin;
    size_t      n = at.end - at.begin;
    int         keyword = keyword_kind(s, n);
    if (keyword)
        return token(keyword, at);
    if (n > NAME_MAX_BYTES) {
        lex_error(p, "E0127", at, "the name has %zu bytes; names have at most %d", n, NAME_MAX_BYTES);
        n = NAME_MAX_BYTES;
    }
    Token t = token(TOK_IDENT, at);
    t.s = intern_n(p->strings, s, n);
    return t;
}

static void add_comment(Parse *p, Span at)
{
    Comment *c = NEW(p->arena, Comment);
    c->at = at;
    *p->comments_end = c;
    p->comments_end = &c->next;
}

/* What people paste from papers and word processors. */
static const struct {
    const char *bytes, *ours;
    int         kind;
} lookalike[] = {
    {"\xe2\x88\x92", "-", TOK_MINUS}, {"\xe2\x80\x93", "-", TOK_MINUS},  {"\xc3\x97", "*", TOK_STAR},
    {"\xc2\xb7", "*", TOK_STAR},      {"\xe2\x89\xa4", "<=", TOK_LE},    {"\xe2\x89\xa5", ">=", TOK_GE},
    {"\xe2\x89\xa0", "!=", TOK_NE},   {"\xe2\x86\x92", "->", TOK_ARROW}, {"\xe2\x86\x90", "<-", TOK_UPDATE},
    {"\xe2\x80\x99", "'", TOK_PRIME}, {"\xe2\x80\xb2", "'", TOK_PRIME},
};

static Token foreign(Parse *p, Span at)
{
    const char *s = p->source->text + at.begin;
    size_t      n = at.end - at.begin;
    for (size_t i = 0; i < COUNT(lookalike); i++)
        if (strlen(lookalike[i].bytes) == n && memcmp(lookalike[i].bytes, s, n) == 0) {
            say(lex_error(p, "E0120", at, "unknown character '%.*s'", (int)n, s), at, "write", lookalike[i].ours);
            return token(lookalike[i].kind, at);
        }
    Diag *d = lex_error(p, "E0120", at, "unknown character '%.*s'", (int)n, s);
    say(d, at, "", n > 1 ? "names are made of the letters a-z, A-Z, digits and '_'" : "it means nothing here");
    return token(TOK_ANEL_YYerror, at);
}

/*!re2c
re2c:define:YYCTYPE = "unsigned char";
re2c:define:YYCURSOR = cur;
re2c:define:YYLIMIT = lim;
re2c:define:YYMARKER = mark;
re2c:yyfill:enable = 0;
re2c:eof = 0;

digit  = [0-9];
digits = digit ("_"? digit)*;
exp    = [eE] [-+]? digits;
letter = [A-Za-z_];
word   = letter (letter | digit)*;
utf8   = [\xc2-\xdf] [\x80-\xbf] | "\xe0" [\xa0-\xbf] [\x80-\xbf] | [\xe1-\xec\xee\xef] [\x80-\xbf]{2}
       | "\xed" [\x80-\x9f] [\x80-\xbf] | "\xf0" [\x90-\xbf] [\x80-\xbf]{2} | [\xf1-\xf3] [\x80-\xbf]{3}
       | "\xf4" [\x80-\x8f] [\x80-\xbf]{2};
*/

#define HERE (Span){p->file, (uint32_t)(begin - text), (uint32_t)(cur - text)}

/* A string without its end: it ends before the line's closing punctuation, which was hardly meant to be in it. */
static const unsigned char *unclosed(Parse *p, Span at)
{
    const char *text = p->source->text;
    while (at.end > at.begin + 1 && strchr(" \t;)],", text[at.end - 1]))
        at.end--;
    say(lex_error(p, "E0122", at, "the string has no closing '\"'"), span_after(at), "", "insert '\"'");
    return (const unsigned char *)text + at.end;
}

/* The rest of a string after its opening quote: escapes resolved. */
static Token string(Parse *p, const unsigned char *text, const unsigned char *begin, const unsigned char **cursor)
{
    const unsigned char *cur = *cursor, *mark = cur, *lim = text + p->source->len, *part;
    Token                t = token(TOK_STRING, HERE);
    Buf                  b = {0};
    bool                 open = true;
    while (open) {
        part = cur;
        Span at;
        /*!re2c
        "\""            { open = false; continue; }
        "\\n"           { buf_putc(&b, '\n'); continue; }
        "\\t"           { buf_putc(&b, '\t'); continue; }
        "\\" ["\\]      { buf_putc(&b, (char)part[1]); continue; }
        "\\" (utf8 | [\x20-\x7e]) {
            at = (Span){p->file, (uint32_t)(part - text), (uint32_t)(cur - text)};
            say(lex_error(p, "E0124", at, "unknown escape '%.*s'", (int)(cur - part), (const char *)part), at, "",
                "the escapes are \\\" \\\\ \\n \\t");
            continue;
        }
        utf8 | [\x20-\x7e\t] { buf_add(&b, part, (size_t)(cur - part)); continue; }
        "\r"? "\n"      { cur = part; cur = unclosed(p, HERE); open = false; continue; }
        $               { cur = unclosed(p, HERE); open = false; continue; }
        *               {
            at = (Span){p->file, (uint32_t)(part - text), (uint32_t)(cur - text)};
            lex_error(p, "E0128", at, *part < 0x80 ? "control character 0x%02x in a string" : "byte 0x%02x is not UTF-8",
                      *part);
            continue;
        }
        */
    }
    t.at = HERE;
    t.s = intern_n(p->strings, b.data ? b.data : "", b.len);
    buf_free(&b);
    *cursor = cur;
    return t;
}

Token scan_token(Parse *p, uint32_t *cursor)
{
    const unsigned char *text = (const unsigned char *)p->source->text, *lim = text + p->source->len;
    const unsigned char *cur = text + *cursor, *mark = cur, *begin;
    Token                t;
    for (;;) {
        begin = cur;
        /*!re2c
        [ \t\r\n]+            { continue; }
        "//" [^\n]*           {
            while (cur > begin && cur[-1] == '\r')
                cur--;
            add_comment(p, HERE);
            continue;
        }
        "/" "*" ([^*] | ("*"+ [^*/]))* "*"+ "/" { add_comment(p, HERE); continue; }
        "/" "*"               {
            lex_error(p, "E0123", HERE, "the comment has no closing '*/'");
            cur = lim;
            continue;
        }
        "#" [^[\n] [^\n]*     {
            say(lex_error(p, "E0121", (Span){p->file, (uint32_t)(begin - text), (uint32_t)(begin - text) + 1},
                          "comments begin with '//'"), (Span){p->file, (uint32_t)(begin - text),
                          (uint32_t)(begin - text) + 1}, "write", "//");
            continue;
        }
        $                     { t = token(TOK_EOF, HERE); break; }

        "_"                   { t = token(TOK_UNDERSCORE, HERE); break; }
        word                  { t = name(p, HERE); break; }
        digits                { t = integer(p, HERE); break; }
        digits "." digits exp? | digits exp { t = floating(p, HERE); break; }
        digit (letter | digit)* { t = bad_number(p, HERE); break; }
        digits "." digits (letter | digit)+ { t = bad_number(p, HERE); break; }
        digits "."            {
            if (cur < lim && *cur == '.') {
                cur--;
                t = integer(p, HERE);
            } else {
                t = bad_point(p, HERE, true);
            }
            break;
        }
        "." digits exp?       { t = bad_point(p, HERE, false); break; }
        "\""                  { t = string(p, text, begin, &cur); break; }

        "+"  { t = token(TOK_PLUS, HERE); break; }
        "-"  { t = token(TOK_MINUS, HERE); break; }
        "*"  { t = token(TOK_STAR, HERE); break; }
        "/"  { t = token(TOK_SLASH, HERE); break; }
        "%"  { t = token(TOK_PERCENT, HERE); break; }
        "@"  { t = token(TOK_AT, HERE); break; }
        "**" { t = token(TOK_POWER, HERE); break; }
        "'"  { t = token(TOK_PRIME, HERE); break; }
        "==" { t = token(TOK_EQ, HERE); break; }
        "!=" { t = token(TOK_NE, HERE); break; }
        "<"  { t = token(TOK_LT, HERE); break; }
        "<=" { t = token(TOK_LE, HERE); break; }
        ">"  { t = token(TOK_GT, HERE); break; }
        ">=" { t = token(TOK_GE, HERE); break; }
        "->" { t = token(TOK_ARROW, HERE); break; }
        "<-" { t = token(TOK_UPDATE, HERE); break; }
        ".." { t = token(TOK_DOTDOT, HERE); break; }
        "#[" { t = token(TOK_ATTR, HERE); break; }
        "="  { t = token(TOK_ASSIGN, HERE); break; }
        ":"  { t = token(TOK_COLON, HERE); break; }
        ";"  { t = token(TOK_SEMI, HERE); break; }
        ","  { t = token(TOK_COMMA, HERE); break; }
        "."  { t = token(TOK_DOT, HERE); break; }
        "("  { t = token(TOK_LPAREN, HERE); break; }
        ")"  { t = token(TOK_RPAREN, HERE); break; }
        "["  { t = token(TOK_LBRACKET, HERE); break; }
        "]"  { t = token(TOK_RBRACKET, HERE); break; }
        "{"  { t = token(TOK_LBRACE, HERE); break; }
        "}"  { t = token(TOK_RBRACE, HERE); break; }

        "&&" | "&"   { t = habit(p, HERE, TOK_AND, "and"); break; }
        "||" | "|"   { t = habit(p, HERE, TOK_OR, "or"); break; }
        "!"          { t = habit(p, HERE, TOK_NOT, "not"); break; }
        "^"          { t = habit(p, HERE, TOK_POWER, "**"); break; }
        ":="         { t = habit(p, HERE, TOK_ASSIGN, "="); break; }
        "==="        { t = habit(p, HERE, TOK_EQ, "=="); break; }
        "!==" | "<>" { t = habit(p, HERE, TOK_NE, "!="); break; }
        "=>"         { t = habit(p, HERE, TOK_ARROW, "->"); break; }
        "..."        { t = habit(p, HERE, TOK_DOTDOT, ".."); break; }
        [-+*/%@] "=" { t = compound(p, HERE); break; }
        "?"          {
            say(lex_error(p, "E0121", HERE, "unknown operator '?'"), HERE, "write", "if c then a else b");
            t = token(TOK_ANEL_YYerror, HERE);
            break;
        }
        utf8 | [\x21-\x7e] { t = foreign(p, HERE); break; }
        *            {
            lex_error(p, "E0128", HERE, *begin < 0x80 ? "control character 0x%02x" : "byte 0x%02x is not UTF-8", *begin);
            continue;
        }
        */
    }
    *cursor = (uint32_t)(cur - text);
    return t;
}

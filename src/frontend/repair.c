/* repair.c: mending the token list before it is parsed.
 *
 * Some mistakes are plain from the tokens alone: two names in a row on two lines lack a ';', a `(` still open at a ';'
 * lacks its ')', `let x` is a habit from elsewhere. Each is told here, with its place and the mend, and mended: the
 * parser then sees balanced brackets and whole statements, and one mistake gives one message.
 *
 * The pass copies tokens one by one, keeping a stack of open brackets and a few words about the current statement. What
 * it cannot be sure about is left to the parser and report.c. */
#include "frontend/syntax.h"

#include "anel.tab.h"
#include "base/suggest.h"

#include <string.h>

typedef struct {
    Token    t;
    uint32_t indent; /* of the line it stands on */
    bool     model;  /* the '{' of a model */
} Open;

typedef struct {
    Parse    *p;
    TokenList in;
    uint32_t  i; /* index into `in` */
    Open      open[BRACKETS_MAX];
    uint32_t  depth, braces; /* brackets open; of them '{' */
    int32_t   balance;       /* '{' minus '}' in the whole file: > 0 when a '}' is missing */
    Token     prev;          /* last token copied */
    bool      prev_attr;     /* it closes an attribute */
    uint32_t  start;         /* index of the statement's first token in the output, attributes included */
    int       first;         /* kind of the statement's first token after the attributes; 0 at its start */
    bool      assigned, then; /* '=' / 'then' seen in the statement, outside brackets */
    uint32_t  single[8], singles; /* brace depths to be closed after one statement */
    bool      if_open;       /* an 'if' inside a value, without its 'then' so far */
    bool      value_brace;   /* inside the braces of such an 'if', which are being dropped */
    uint32_t  scanned, line_begin; /* see indent_of() */
    Token     suspect;       /* a '{' whose '}' was probably taken by an outer one */
} Repair;

static const Token *peek(const Repair *r, uint32_t n)
{
    uint32_t k = r->i + n;
    return &r->in.tok[k < r->in.count ? k : r->in.count - 1];
}

static bool new_line(const Repair *r, const Token *t)
{
    const char *s = r->p->source->text;
    return t->at.begin > r->prev.at.end && memchr(s + r->prev.at.end, '\n', t->at.begin - r->prev.at.end) != NULL;
}

/* White space at the start of the line of `at`; is it all there is before `at`? Places come in order, so the search for
 * the line's start goes on where the last one ended. */
static uint32_t indent_of(Repair *r, Span at, bool *first)
{
    const char *s = r->p->source->text;
    for (; r->scanned < at.begin; r->scanned++)
        if (s[r->scanned] == '\n')
            r->line_begin = r->scanned + 1;
    uint32_t n = r->line_begin;
    while (n < at.begin && (s[n] == ' ' || s[n] == '\t'))
        n++;
    *first = n == at.begin;
    return n - r->line_begin;
}

static int top(const Repair *r)
{
    return r->depth ? r->open[r->depth - 1].t.kind : 0;
}

static bool in_brackets(const Repair *r)
{
    return r->depth && top(r) != TOK_LBRACE;
}

/* Words that only begin a statement, a member or an item. */
static bool starts_statement(int kind)
{
    switch (kind) {
    case TOK_USE: case TOK_CONFIG: case TOK_CONST: case TOK_FN: case TOK_BLOCK: case TOK_MODEL: case TOK_ENTRY:
    case TOK_TRAIN: case TOK_PARAM: case TOK_STATE: case TOK_REPEAT: case TOK_RETURN: case TOK_ASSERT: case TOK_ATTR:
        return true;
    default:
        return false;
    }
}

static void begin_statement(Repair *r)
{
    r->start = r->p->tokens.count;
    r->first = 0;
    r->assigned = r->then = r->if_open = r->value_brace = false;
}

/* Copy one token and keep the books. */
static void put(Repair *r, Token t)
{
    Parse *p = r->p;
    bool   attr = false;
    switch (t.kind) {
    case TOK_LPAREN: case TOK_LBRACKET: case TOK_LBRACE: case TOK_ATTR:
        if (r->depth == BRACKETS_MAX) {
            if (!p->deep)
                diag_error(p->ds, "E0116", t.at, "more than %d brackets are open here", BRACKETS_MAX);
            p->deep = true;
            break;
        }
        r->open[r->depth] = (Open){.t = t, .model = t.kind == TOK_LBRACE && r->first == TOK_MODEL};
        r->open[r->depth].indent = indent_of(r, t.at, &attr);
        attr = false;
        r->depth++;
        r->braces += t.kind == TOK_LBRACE;
        break;
    case TOK_RPAREN: case TOK_RBRACKET: case TOK_RBRACE:
        attr = r->depth && top(r) == TOK_ATTR;
        if (r->depth) {
            r->braces -= top(r) == TOK_LBRACE;
            r->depth--;
        }
        break;
    default:
        break;
    }
    token_append(p, t);
    r->prev = t;
    r->prev_attr = attr;
    if (t.kind == TOK_LBRACE || t.kind == TOK_RBRACE || (t.kind == TOK_SEMI && !in_brackets(r))) {
        begin_statement(r);
        if (t.kind == TOK_LBRACE)
            return;
        while (r->singles && r->single[r->singles - 1] == r->braces) { /* the statement was a body without braces */
            r->singles--;
            if (peek(r, 1)->kind != TOK_ELSE || t.kind == TOK_SEMI)
                put(r, (Token){.kind = TOK_RBRACE, .at = span_after(t.at)});
        }
    } else if (!in_brackets(r) && !attr) {
        if (!r->first)
            r->first = t.kind;
        r->assigned |= t.kind == TOK_ASSIGN;
        r->then |= t.kind == TOK_THEN;
        r->if_open = t.kind == TOK_IF ? r->assigned || r->first == TOK_RETURN : r->if_open && t.kind != TOK_THEN;
    }
}

static Token made(const Repair *r, int kind)
{
    return (Token){.kind = kind, .at = span_after(r->prev.at)};
}

/* ---- missing things ---- */

static void missing_semicolon(Repair *r, const Token *t)
{
    Span  after = span_after(r->prev.at);
    Diag *d = diag_error(r->p->ds, "E0101", t->kind == TOK_EOF ? after : t->at, "missing ';' after this statement");
    diag_label(d, after, "insert ';'");
    put(r, made(r, TOK_SEMI));
}

static const char closer[] = ")]}";

static int close_kind(int open)
{
    return open == TOK_LPAREN ? TOK_RPAREN : open == TOK_LBRACE ? TOK_RBRACE : TOK_RBRACKET;
}

static char close_char(int open)
{
    return open == TOK_LPAREN ? closer[0] : open == TOK_LBRACE ? closer[2] : closer[1];
}

/* Close brackets down to `depth`, telling once. */
static void close_brackets(Repair *r, uint32_t depth, const Token *t)
{
    char     text[8];
    uint32_t n = 0;
    for (uint32_t k = r->depth; k > depth && n + 1 < sizeof text; k--)
        text[n++] = close_char(r->open[k - 1].t.kind);
    text[n] = 0;
    Span  after = span_after(r->prev.at);
    Span  opened = r->open[depth].t.at;
    Diag *d = diag_error(r->p->ds, "E0102", t->kind == TOK_EOF ? after : t->at, "missing '%s'", text);
    diag_label(d, opened, "opened here");
    diag_label(d, after, "insert '%s'", text);
    while (r->depth > depth)
        put(r, made(r, close_kind(top(r))));
}

/* Close braces down to `depth` before the statement that is being copied. */
static void close_braces(Repair *r, uint32_t depth, const Token *t)
{
    Parse   *p = r->p;
    uint32_t n = p->tokens.count - r->start;
    Token   *head = NEW_N(p->arena, Token, n + 1);
    memcpy(head, p->tokens.tok + r->start, n * sizeof *head);
    p->tokens.count = r->start;
    Token last = p->tokens.tok[r->start - 1];
    Span  after = span_after(last.at), opened = r->suspect.kind ? r->suspect.at : r->open[depth].t.at;
    Diag *d = diag_error(p->ds, "E0102", t->kind == TOK_EOF ? after : n ? head[0].at : t->at, "missing '}'%s%s",
                         t->kind == TOK_EOF ? "" : " before ", t->kind == TOK_EOF ? "" : token_text(p, t));
    diag_label(d, after, "insert '}'");
    diag_note(d, opened, "this '{' is not closed, opened");
    r->suspect.kind = 0;
    r->prev = last;
    while (r->depth > depth) {
        put(r, made(r, TOK_RBRACE));
        r->balance--;
    }
    for (uint32_t k = 0; k < n; k++)
        put(r, head[k]);
}

static const char *header_name(int first)
{
    return first == TOK_IF ? "if" : first == TOK_ELSE ? "else" : first == TOK_REPEAT ? "repeat" : "body";
}

/* The header of a body ended without '{'. */
static void missing_open(Repair *r, const Token *t)
{
    Span  after = span_after(r->prev.at);
    bool  statement = r->first == TOK_IF || r->first == TOK_ELSE || r->first == TOK_REPEAT;
    bool  no_body = starts_statement(t->kind) && t->kind != TOK_PARAM && t->kind != TOK_RETURN && r->balance >= 0;
    Diag *d;
    if (statement)
        d = diag_error(r->p->ds, "E0110", t->at, "the body of '%s' needs braces", header_name(r->first));
    else if (no_body)
        d = diag_error(r->p->ds, "E0110", t->at, "missing body before %s", token_text(r->p, t));
    else
        d = diag_error(r->p->ds, "E0110", t->at, "missing '{' before %s", token_text(r->p, t));
    if (r->balance < 0) { /* its '}' is there */
        r->balance++;
        diag_label(d, after, "insert '{'");
        put(r, made(r, TOK_LBRACE));
    } else if (statement) {
        diag_label(d, after, "write '%s ... { ... }'", header_name(r->first));
        if (r->singles < COUNT(r->single))
            r->single[r->singles++] = r->braces + 1;
        put(r, made(r, TOK_LBRACE));
    } else {
        diag_label(d, after, no_body ? "insert '= value;' or '{ ... }'" : "insert '{'");
        put(r, made(r, TOK_LBRACE));
        if (no_body)
            put(r, made(r, TOK_RBRACE));
    }
}

/* ---- what the current token says about the tokens before it ---- */

/* `name =` or `name <-` at the start of a line: a new statement, whatever is open. */
static bool new_binding(const Repair *r, const Token *t)
{
    int next = peek(r, 1)->kind;
    return t->kind == TOK_IDENT && (next == TOK_ASSIGN || next == TOK_UPDATE) && new_line(r, t) &&
           token_ends_operand(r->prev.kind);
}

static void before_statement_end(Repair *r, const Token *t)
{
    bool hard = t->kind == TOK_SEMI || t->kind == TOK_LBRACE || t->kind == TOK_RBRACE || t->kind == TOK_EOF;
    bool branch = t->kind == TOK_IF && token_ends_operand(r->prev.kind) && new_line(r, t);
    if (!in_brackets(r) || !(hard || branch || new_binding(r, t) || (starts_statement(t->kind) && new_line(r, t))))
        return;
    uint32_t depth = r->depth;
    while (depth && r->open[depth - 1].t.kind != TOK_LBRACE)
        depth--;
    bool attr = r->open[depth].t.kind == TOK_ATTR, header = r->first == TOK_FN || r->first == TOK_BLOCK ||
                                                            r->first == TOK_ENTRY || r->first == TOK_IF ||
                                                            r->first == TOK_REPEAT;
    close_brackets(r, depth, t);
    if (!hard && !attr && !header)
        put(r, made(r, TOK_SEMI));
}

static void before_statement(Repair *r, const Token *t)
{
    if (in_brackets(r) || r->prev_attr)
        return;
    bool header = (r->first == TOK_FN || r->first == TOK_BLOCK || r->first == TOK_ENTRY) && !r->assigned;
    header |= r->first == TOK_MODEL || r->first == TOK_TRAIN;
    bool begins = t->kind == TOK_IDENT || t->kind == TOK_IF || starts_statement(t->kind);
    if (r->first == TOK_ELSE && begins && t->kind != TOK_IF && r->prev.kind == TOK_ELSE) {
        missing_open(r, t);
        return;
    }
    if (!token_ends_operand(r->prev.kind) || r->first == TOK_SEMI)
        return;
    if (((r->first == TOK_IF && !r->then) || r->first == TOK_REPEAT) && begins && r->prev.kind != TOK_REPEAT) {
        int next = peek(r, 1)->kind;
        if (t->kind != TOK_IDENT || next == TOK_ASSIGN || next == TOK_UPDATE || new_line(r, t) ||
            r->prev.kind == TOK_RPAREN || (r->first == TOK_REPEAT && r->prev.kind == TOK_RBRACKET))
            missing_open(r, t);
    } else if (header && begins && new_line(r, t) && r->p->tokens.count - r->start > 1) {
        missing_open(r, t);
    } else if (!header && r->first && (t->kind == TOK_RBRACE || t->kind == TOK_EOF ||
                                       (begins && new_line(r, t)) ||
                                       (starts_statement(t->kind) && t->kind != TOK_ATTR && r->assigned))) {
        if (r->first != TOK_IF && r->first != TOK_REPEAT)
            missing_semicolon(r, t);
    }
}

/* Items and members inside a body: a '}' is missing if the file lacks one. */
static void before_item(Repair *r, const Token *t)
{
    if (r->balance <= 0 || r->first || in_brackets(r))
        return;
    bool     in_model = r->depth && r->open[0].model;
    uint32_t want;
    switch (t->kind) {
    case TOK_USE: case TOK_CONFIG: case TOK_MODEL:
        want = 0;
        break;
    case TOK_ENTRY: case TOK_TRAIN:
        want = 1;
        break;
    case TOK_FN: case TOK_BLOCK:
        want = in_model ? 1 : 0;
        break;
    default:
        return;
    }
    if (r->depth > want)
        close_braces(r, want, t);
}

/* A closing bracket: false when it is to be dropped. */
static bool closing(Repair *r, Token *t)
{
    bool     first;
    uint32_t indent = indent_of(r, t->at, &first);
    if (t->kind == TOK_RBRACE) {
        if (r->depth && r->open[r->depth - 1].t.kind == TOK_LBRACE) {
            if (first && indent < r->open[r->depth - 1].indent && !r->suspect.kind)
                r->suspect = r->open[r->depth - 1].t;
            return true;
        }
        diag_label(diag_error(r->p->ds, "E0102", t->at, "unmatched '}'"), t->at, "nothing is open here");
        if (peek(r, 1)->kind == TOK_SEMI)
            r->i++; /* C's '};' */
        return false;
    }
    int open = t->kind == TOK_RPAREN ? TOK_LPAREN : TOK_LBRACKET;
    if (in_brackets(r) && close_kind(top(r)) == t->kind)
        return true;
    uint32_t k = r->depth;
    while (k && r->open[k - 1].t.kind != TOK_LBRACE && r->open[k - 1].t.kind != open)
        k--;
    if (k && r->open[k - 1].t.kind == open) { /* an outer bracket is closed */
        close_brackets(r, k, t);
        return true;
    }
    const char *s = r->p->source->text + t->at.begin;
    if (!in_brackets(r)) {
        diag_label(diag_error(r->p->ds, "E0102", t->at, "unmatched '%c'", *s), t->at, "nothing is open here");
        return false;
    }
    Diag *d = diag_error(r->p->ds, "E0102", t->at, "'%c' does not close '%c'", *s,
                         r->p->source->text[r->open[r->depth - 1].t.at.begin]);
    diag_label(d, r->open[r->depth - 1].t.at, "opened here");
    diag_label(d, t->at, "write '%c'", close_char(top(r)));
    t->kind = close_kind(top(r));
    return true;
}

/* ---- words ---- */

/* Two words in a row at the start of a statement: the first should be a keyword. False: drop it. */
static bool first_word(Repair *r, Token *t)
{
    const char *word = interned(r->p->strings, t->s);
    int         next = peek(r, 1)->kind;
    if (r->prev.kind == TOK_RBRACE && (strcmp(word, "elif") == 0 || strcmp(word, "elseif") == 0) &&
        next != TOK_ASSIGN) {
        diag_label(diag_error(r->p->ds, "E0106", t->at, "unknown word '%s'", word), t->at, "write 'else if'");
        put(r, (Token){.kind = TOK_ELSE, .at = t->at});
        t->kind = TOK_IF;
        return true;
    }
    Suggest s = {.word = word};
    if (next == TOK_LBRACE && r->prev.kind == TOK_RBRACE) {
        suggest(&s, "else");
    } else if (next == TOK_IDENT || next == TOK_STRING) {
        const Habit *h = habit_of(word);
        if (h && (next == TOK_IDENT || h->kind == TOK_USE)) {
            Diag *d = diag_error(r->p->ds, "E0106", t->at, "%s", h->what);
            if (h->kind)
                diag_label(d, t->at, "write '%s'", h->ours);
            else
                diag_label(d, t->at, "remove it");
            t->kind = h->kind;
            return t->kind != 0;
        }
        for (uint32_t k = 0; keyword_name(k); k++) {
            int kind = keyword_kind(keyword_name(k), strlen(keyword_name(k)));
            if (starts_statement(kind) || kind == TOK_IF)
                suggest(&s, keyword_name(k));
        }
    }
    if (s.best) {
        diag_label(diag_error(r->p->ds, "E0107", t->at, "unknown word '%s'", word), t->at, "did you mean '%s'?",
                   s.best);
        t->kind = keyword_kind(s.best, strlen(s.best));
    }
    return true;
}

/* A keyword where a name must be: read as a name. */
static void reserved(Repair *r, Token *t)
{
    int  next = peek(r, 1)->kind;
    bool declared = false;
    switch (r->prev.kind) {
    case TOK_FN: case TOK_BLOCK: case TOK_MODEL: case TOK_ENTRY: case TOK_TRAIN: case TOK_PARAM: case TOK_STATE:
    case TOK_CONFIG: case TOK_CONST: case TOK_REPEAT: case TOK_AS:
        declared = !new_line(r, t);
        break;
    default:
        break;
    }
    bool begins = !r->first || r->prev.kind == TOK_LPAREN || (r->prev.kind == TOK_COMMA && top(r) == TOK_LPAREN);
    if (!declared && !(begins && (next == TOK_ASSIGN || next == TOK_UPDATE || (next == TOK_COLON && r->first))))
        return;
    const char *s = r->p->source->text + t->at.begin;
    size_t      n = t->at.end - t->at.begin;
    diag_label(diag_error(r->p->ds, "E0105", t->at, "'%.*s' is a reserved word", (int)n, s), t->at,
               "choose another name, such as '%.*s_'", (int)n, s);
    t->kind = TOK_IDENT;
    t->s = intern_n(r->p->strings, s, n);
}

/* `x = if c { a } else { b };`: braces where 'then' and 'else' suffice. True: the token is dealt with. */
static bool braced_value(Repair *r, const Token *t)
{
    int  kind = t->kind;
    bool then = kind == TOK_LBRACE && r->if_open, other = kind == TOK_LBRACE && r->prev.kind == TOK_ELSE &&
                                                          r->first != TOK_ELSE && r->first != TOK_RBRACE &&
                                                          (r->assigned || r->first == TOK_RETURN);
    if (then) {
        Diag *d = diag_error(r->p->ds, "E0110", t->at, "an 'if' that gives a value has no braces");
        diag_label(d, t->at, "write 'if c then a else b'");
        put(r, made(r, TOK_THEN));
    }
    if (then || other) {
        r->value_brace = true;
        return true;
    }
    if (!r->value_brace || in_brackets(r) ||
        !(kind == TOK_RBRACE || (kind == TOK_SEMI && peek(r, 1)->kind == TOK_RBRACE)))
        return false;
    r->value_brace = kind == TOK_SEMI;
    return true;
}

/* ';' where no statement ends: C's habit after '}'. */
static bool stray_semicolon(Repair *r, const Token *t)
{
    if (t->kind != TOK_SEMI || r->first || r->depth != r->braces || r->prev.kind == TOK_START_FILE ||
        r->p->tokens.count != r->start || r->prev.kind == TOK_LBRACE)
        return false;
    Diag *d = diag_error(r->p->ds, "E0117", t->at, "stray ';'");
    diag_label(d, t->at, r->prev.kind == TOK_RBRACE ? "remove it: no ';' after '}'" : "remove it");
    return true;
}

void repair_tokens(Parse *p)
{
    Repair r = {.p = p, .in = p->tokens};
    for (uint32_t k = 0; k < r.in.count; k++)
        r.balance += (r.in.tok[k].kind == TOK_LBRACE) - (r.in.tok[k].kind == TOK_RBRACE);
    p->tokens = (TokenList){0};
    r.prev = r.in.tok[0];
    token_append(p, r.in.tok[0]);
    r.start = 1;
    if (r.in.tok[0].kind != TOK_START_FILE) { /* one expression: no statements to mend */
        p->tokens = r.in;
        return;
    }
    for (r.i = 1; r.i < r.in.count && !p->deep; r.i++) {
        Token t = r.in.tok[r.i];
        if (token_is_keyword(t.kind))
            reserved(&r, &t);
        if (braced_value(&r, &t))
            continue;
        before_statement_end(&r, &t);
        before_statement(&r, &t);
        if (t.kind == TOK_IDENT && !r.first && !in_brackets(&r) && !first_word(&r, &t))
            continue;
        before_item(&r, &t);
        if (stray_semicolon(&r, &t))
            continue;
        if ((t.kind == TOK_RPAREN || t.kind == TOK_RBRACKET || t.kind == TOK_RBRACE) && !closing(&r, &t))
            continue;
        if (t.kind == TOK_EOF && r.depth)
            close_braces(&r, 0, &t);
        put(&r, t);
    }
}

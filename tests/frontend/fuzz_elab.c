/* fuzz_elab.c: mutations that still parse: fuzz_elab COUNT FILE...
 *
 * Tokens of a program are replaced by others of the same kind (names by names, numbers by numbers, operators by
 * operators), moved, or lost, so that most mutants reach elaboration and are wrong in some new way there. Whatever the
 * text: elaboration ends; a rejected text has been given a reason that can be rendered; an accepted one is a module the
 * verifier accepts. The offending text is left in fuzz-elab.anel. */
#include "base/file.h"
#include "frontend/elaborate.h"
#include "ir/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { NAME, NUMBER, OPERATOR, OTHER } Kind;
typedef struct {
    const char *text;
    size_t len;
    Kind kind;
} Token;

typedef struct {
    Token *token;
    uint32_t count, cap;
} Tokens;

static const char *const extra[] = {"0",   "1", "2",   "3",   "7", "0.5", "-1",  "real", "tok",   "i32",
                                    "f16", "S", "sum", "exp", "x", "y",   "max", "len",  "numel", "true",
                                    "+",   "-", "*",   "/",   "%", "**",  "@",   "==",   "<",     "and"};

static bool is_word(const char *t, size_t n)
{
    static const char *const words[] = {"use",   "config", "const", "fn",     "block",  "model", "entry",
                                        "train", "param",  "state", "repeat", "in",     "if",    "then",
                                        "else",  "for",    "as",    "return", "assert", "not"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strlen(words[i]) == n && memcmp(words[i], t, n) == 0)
            return true;
    return false;
}

static void add(Arena *a, Tokens *ts, const char *text, size_t len, Kind kind)
{
    GROW(a, ts->token, ts->count, ts->cap);
    ts->token[ts->count++] = (Token){text, len, kind};
}

static void split(Arena *a, Tokens *ts, const char *p)
{
    while (*p) {
        size_t n = 1;
        Kind kind = OTHER;
        if (p[0] == '/' && p[1] == '/') {
            p += strcspn(p, "\n");
            continue;
        }
        if (isspace((unsigned char)*p)) {
            p++;
            continue;
        }
        if (isalpha((unsigned char)*p)) {
            while (isalnum((unsigned char)p[n]) || p[n] == '_')
                n++;
            kind = is_word(p, n) ? OTHER : NAME;
        } else if (isdigit((unsigned char)*p)) {
            while (isalnum((unsigned char)p[n]) || p[n] == '_' || (p[n] == '.' && p[n + 1] != '.') ||
                   (p[n] == '-' && p[n - 1] == 'e'))
                n++;
            kind = NUMBER;
        } else if (*p == '"') {
            n += strcspn(p + 1, "\"") + 1;
        } else if (strchr("+-*/%@<>=!", *p)) {
            static const char *const two[] = {"**", "==", "!=", "<=", ">=", "->", "<-"};
            for (size_t i = 0; i < COUNT(two); i++)
                n = strncmp(p, two[i], 2) == 0 ? 2 : n;
            kind = strncmp(p, "->", 2) == 0 || strncmp(p, "<-", 2) == 0 || (n == 1 && *p == '=') ? OTHER : OPERATOR;
        } else if (strncmp(p, "..", 2) == 0 || strncmp(p, "#[", 2) == 0) {
            n = 2;
        }
        add(a, ts, p, n, kind);
        p += n;
    }
}

static uint32_t roll(uint64_t *state, uint32_t n) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return n ? (uint32_t)((z ^ (z >> 31)) % n) : 0;
}

static Token like(const Tokens *ts, const Tokens *more, Kind kind, uint64_t *dice)
{
    for (;;) {
        const Tokens *from = roll(dice, 4) ? ts : more;
        Token t = from->token[roll(dice, from->count)];
        if (t.kind == kind)
            return t;
    }
}

static void mutate(Arena *a, const Tokens *ts, const Tokens *more, uint64_t *dice, Buf *out)
{
    Token *t = NEW_N(a, Token, ts->count);
    memcpy(t, ts->token, ts->count * sizeof *t);
    for (uint32_t k = 1 + roll(dice, 3); k > 0; k--) {
        uint32_t i = roll(dice, ts->count), j = roll(dice, ts->count);
        switch (roll(dice, 8)) {
        case 0:
            t[i].len = 0; /* lost */
            break;
        case 1: { /* two tokens of a kind change places */
            Token swap = t[i];
            if (t[i].kind == t[j].kind) {
                t[i] = t[j];
                t[j] = swap;
            }
            break;
        }
        default:
            while (t[i].kind == OTHER)
                i = (i + 1) % ts->count;
            t[i] = like(ts, more, t[i].kind, dice);
        }
    }
    for (uint32_t i = 0; i < ts->count; i++) {
        buf_add(out, t[i].text, t[i].len);
        buf_putc(out, i % 16 == 15 ? '\n' : ' ');
    }
}

/* NULL, or what went wrong. */
static const char *try(Arena *a, const char *path, bool *accepted)
{
    Sources *sources = sources_new(a);
    Diags *ds = diags_new(a, sources, "fuzz");
    FrontendOptions opt = {.searches = 0};
    Buf out = {0};
    const char *wrong = NULL;
    Module *m = frontend_compile(a, sources, path, &opt, ds);
    *accepted = m != NULL;
    if (m && ds->errors)
        wrong = "accepted with errors";
    else if (m && !module_verify(m, "elaboration", ds))
        wrong = "the verifier objects";
    diags_render(ds, &out);
    if (!m && (!ds->errors || !out.len))
        wrong = "rejected without a reason";
    if (wrong)
        fprintf(stderr, "%s\n", out.data ? out.data : "");
    diags_render_json(ds, &out);
    buf_free(&out);
    return wrong;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: fuzz_elab COUNT FILE...\n");
        return 2;
    }
    Arena *corpus = arena_new(), *work = arena_new();
    Tokens ts = {0}, more = {0};
    const char *wrong = NULL, *path = "fuzz-elab.anel";
    char *text, err[FILE_ERR_MAX];
    size_t len;
    unsigned long count = strtoul(argv[1], NULL, 10), reached = 0;
    for (int i = 2; i < argc; i++) { /* the files together are one program */
        if (!file_read(corpus, argv[i], &text, &len, err)) {
            fprintf(stderr, "%s\n", err);
            return 1;
        }
        split(corpus, &ts, text);
    }
    for (size_t i = 0; i < COUNT(extra); i++)
        split(corpus, &more, extra[i]);
    for (unsigned long n = 0; n < count && !wrong; n++) {
        uint64_t dice = n;
        Buf b = {0};
        bool accepted;
        arena_reset(work);
        mutate(work, &ts, &more, &dice, &b);
        if (!file_write(path, b.data, b.len, err))
            wrong = err;
        else
            wrong = try(work, path, &accepted);
        reached += !wrong && accepted;
        if (wrong)
            fprintf(stderr, "mutation %lu: %s\n", n, wrong);
        buf_free(&b);
    }
    printf("%lu of %lu accepted\n", reached, count);
    if (!wrong)
        remove(path);
    arena_free(work);
    arena_free(corpus);
    return wrong ? 1 : 0;
}

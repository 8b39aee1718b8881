/* fuzz_parse.c: mutations of the corpus: fuzz_parse COUNT FILE...
 *
 * Whatever the text, the parser ends, and a rejected text has been given a reason that can be rendered. What parses is
 * formatted; the result parses to the same tree and formats to itself. The mutations come from a counter, so a failure
 * is repeated by the same command; the offending text is left in fuzz-parse.anel. */
#include "ast_equal.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
    "{",        "}",       "(",       ")",       "[",     "]",    "#[",      ";",       ",",      ".",
    "..",       ":",       "=",       "==",      "<-",    "->",   "-",       "+",       "*",      "**",
    "@",        "'",       "_",       "\"",      "//",    "/*",   "*/",      "\n",      "use ",   "fn ",
    "block ",   "model ",  "if ",     "then ",   "else ", " in ", " as ",    "entry ",  "train ", "param ",
    "state ",   "repeat ", "return ", "assert ", " and ", "not ", "config ", "const ",  "x",      "real[C]",
    "1",        "0.5",     "1e999",   "08",      "&&",    "!",    "?",       "let ",    "def ",   "retrun ",
    "\xc3\xa9", "\xff",    "\\",      "#",       ":=",    "for ", "true",    "if x { ",
};

typedef struct {
    uint64_t state;
} Dice;

static uint32_t roll(Dice *d, uint32_t n) /* splitmix64 */
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return n ? (uint32_t)((z ^ (z >> 31)) % n) : 0;
}

/* Replace `cut` bytes at `at` by `n` bytes of `with`. */
static void splice(Buf *b, size_t at, size_t cut, const char *with, size_t n)
{
    Buf out = {0};
    at = at > b->len ? b->len : at;
    cut = cut > b->len - at ? b->len - at : cut;
    buf_add(&out, b->data, at);
    buf_add(&out, with, n);
    buf_add(&out, b->data + at + cut, b->len - at - cut);
    buf_free(b);
    *b = out;
}

static void mutate(Buf *b, Dice *d, const char *other, size_t other_len)
{
    for (uint32_t k = 1 + roll(d, 3); k > 0; k--) {
        size_t at = roll(d, (uint32_t)b->len + 1), n = 1 + roll(d, 12);
        char   byte = (char)roll(d, 256);
        switch (roll(d, 7)) {
        case 0:
            splice(b, at, n, "", 0);
            break;
        case 1:
            splice(b, at, 1, &byte, 1);
            break;
        case 2:
        case 3: {
            const char *w = words[roll(d, COUNT(words))];
            splice(b, at, roll(d, 3), w, strlen(w));
            break;
        }
        case 4: { /* a piece of another file */
            size_t from = roll(d, (uint32_t)other_len), len = roll(d, 80);
            splice(b, at, 0, other + from, len > other_len - from ? other_len - from : len);
            break;
        }
        case 5: { /* the same bracket many times */
            const char *w = words[roll(d, 7)];
            for (uint32_t i = roll(d, 300); i > 0; i--)
                splice(b, at, 0, w, strlen(w));
            break;
        }
        default:
            if (roll(d, 8) == 0) /* the end is missing */
                splice(b, at, b->len, "", 0);
            else /* one token lost */
                splice(b, at, 1, "", 0);
        }
    }
}

/* NULL, or what went wrong. */
static const char *try(Arena *a, const Buf *text)
{
    Sources    *sources = sources_new(a);
    Interner   *strings = interner_new(a);
    Diags      *ds = diags_new(a, sources, "fuzz");
    const char *wrong = NULL;
    Buf         out = {0}, again = {0};
    File       *f = parse_file(a, strings, sources, sources_add(sources, "fuzz.anel", text->data, text->len), ds);
    diags_render(ds, &out);
    if (!f->ok) {
        wrong = ds->errors && out.len ? NULL : "rejected without a reason";
        diags_render_json(ds, &out);
    } else if (ds->errors) {
        wrong = "accepted with errors";
    } else {
        buf_clear(&out);
        fmt_file(f, strings, sources, &out);
        File *g =
            parse_file(a, strings, sources, sources_add(sources, "fmt.anel", out.data ? out.data : "", out.len), ds);
        if (!g->ok) {
            wrong = "the formatted text does not parse";
        } else if (!ast_equal(f, g)) {
            wrong = "formatting changed the tree";
        } else {
            fmt_file(g, strings, sources, &again);
            if (again.len != out.len || (out.len && memcmp(again.data, out.data, out.len) != 0))
                wrong = "formatting twice differs";
        }
    }
    buf_free(&out);
    buf_free(&again);
    return wrong;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: fuzz_parse COUNT FILE...\n");
        return 2;
    }
    Arena       *corpus = arena_new(), *work = arena_new();
    int          files = argc - 2;
    char       **data = NEW_N(corpus, char *, (size_t)files), err[FILE_ERR_MAX];
    size_t      *len = NEW_N(corpus, size_t, (size_t)files);
    const char  *wrong = NULL;
    unsigned long count = strtoul(argv[1], NULL, 10);
    for (int i = 0; i < files; i++)
        if (!file_read(corpus, argv[i + 2], &data[i], &len[i], err)) {
            fprintf(stderr, "%s\n", err);
            return 1;
        }
    for (unsigned long n = 0; n < count && !wrong; n++) {
        Dice d = {.state = n};
        Buf  b = {0};
        int  i = (int)roll(&d, (uint32_t)files), k = (int)roll(&d, (uint32_t)files);
        buf_add(&b, data[i], len[i]);
        if (n >= (unsigned long)files)
            mutate(&b, &d, data[k], len[k]);
        arena_reset(work);
        wrong = try(work, &b);
        if (wrong) {
            fprintf(stderr, "mutation %lu of %s: %s\n", n, argv[i + 2], wrong);
            file_write("fuzz-parse.anel", b.data, b.len, err);
        }
        buf_free(&b);
    }
    arena_free(work);
    arena_free(corpus);
    return wrong ? 1 : 0;
}

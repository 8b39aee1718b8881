/* test_diag.c: the rendering of diagnostics. */
#include "base/diag.h"

#include <criterion/criterion.h>
#include <string.h>

static const char text[] = "model M {\n  y = weight @ x + bias;\n  caf\xc3\xa9 = 1;\n}\n";

static Span at(const char *word)
{
    const char *p = strstr(text, word);
    return (Span){1, (uint32_t)(p - text), (uint32_t)(p - text + (long)strlen(word))};
}

Test(diag, labels_notes_and_help_are_drawn_under_the_line)
{
    Arena   *a = arena_new();
    Sources *s = sources_new(a);
    sources_add(s, "m.anel", text, strlen(text));
    Diags *ds = diags_new(a, s, "anec");
    Diag  *d = diag_error(ds, "E0405", at("weight @ x"), "cannot add %s", "these");
    diag_label(d, at("weight @ x"), "%s", "");
    diag_label(d, at("bias"), "a vector");
    diag_help(d, "write 'bias[:, _]'");
    diag_note(d, at("model"), "in the model");
    diag_error(ds, "E0302", (Span){0}, "no place");
    diag_error(ds, "E0001", at("= 1"), "after a wide letter");
    Buf b = {0};
    diags_render(ds, &b);
    cr_assert_str_eq(b.data, "m.anel:2:7: error[E0405]: cannot add these\n"
                             "  2 |   y = weight @ x + bias;\n"
                             "    |       ^~~~~~~~~~   ^~~~ a vector\n"
                             "  help: write 'bias[:, _]'\n"
                             "  note: in the model at m.anel:1\n"
                             "anec: error[E0302]: no place\n"
                             "m.anel:3:8: error[E0001]: after a wide letter\n"
                             "  3 |   caf\xc3\xa9 = 1;\n"
                             "    |        ^~~\n");
    cr_assert_eq(ds->errors, 3);
    buf_clear(&b);
    diags_render_json(ds, &b);
    cr_assert(strstr(b.data, "\"line\": 2") && strstr(b.data, "\"code\": \"E0302\""));
    buf_free(&b);
    arena_free(a);
}

Test(diag, the_line_of_the_message_is_shown_even_without_labels)
{
    Arena   *a = arena_new();
    Sources *s = sources_new(a);
    sources_add(s, "m.anel", text, strlen(text));
    Diags *ds = diags_new(a, s, "anec");
    Span   semi = at(";");
    Diag  *d = diag_error(ds, "E0101", at("caf"), "missing ';' after this statement");
    diag_label(d, (Span){1, semi.begin, semi.begin}, "insert ';'");
    d = diag_error(ds, "E0406", at("weight @ x"), "extents differ");
    diag_label(d, at("weight"), "the left one");
    diag_label(d, at("bias"), "the right one");
    Buf b = {0};
    diags_render(ds, &b);
    cr_assert_str_eq(b.data, "m.anel:3:3: error[E0101]: missing ';' after this statement\n"
                             "  2 |   y = weight @ x + bias;\n"
                             "    |                        ^ insert ';'\n"
                             "  3 |   caf\xc3\xa9 = 1;\n"
                             "m.anel:2:7: error[E0406]: extents differ\n"
                             "  2 |   y = weight @ x + bias;\n"
                             "    |       ^~~~~~       ^~~~ the right one\n"
                             "    |       the left one\n");
    buf_free(&b);
    arena_free(a);
}

Test(diag, long_lines_are_cut_around_the_mark)
{
    Arena   *a = arena_new();
    Sources *s = sources_new(a);
    Buf      line = {0}, b = {0};
    for (int i = 0; i < 1000; i++)
        buf_printf(&line, "%09d ", i);
    sources_add(s, "m.anel", line.data, line.len);
    Diags *ds = diags_new(a, s, "anec");
    diag_label(diag_error(ds, "E0001", (Span){1, 5000, 5009}, "here"), (Span){1, 5000, 5009}, "this");
    diag_error(ds, "E0001", (Span){1, 0, 10000}, "all of it");
    diags_render(ds, &b);
    const char *dots = strstr(b.data, "  1 | ...");
    cr_assert(dots != NULL);
    const char *number = strstr(dots, "000000500"), *caret = strstr(dots, "^~~~~~~~~ this");
    cr_assert(number && caret);
    cr_assert_eq(number - dots, caret - strstr(dots, "\n") - 1);
    cr_assert_lt(b.len, 1000);
    buf_free(&b);
    buf_free(&line);
    arena_free(a);
}

Test(diag, json_survives_text_that_is_not_utf8)
{
    Arena   *a = arena_new();
    Sources *s = sources_new(a);
    sources_add(s, "m\xff.anel", text, strlen(text));
    Diags *ds = diags_new(a, s, "anec");
    diag_help(diag_error(ds, "E0001", at("y"), "bad \xfe"), "help \xfd");
    Buf b = {0};
    diags_render_json(ds, &b);
    cr_assert(strstr(b.data, "\"bad ?\"") && strstr(b.data, "\"m?.anel\""));
    buf_free(&b);
    arena_free(a);
}

Test(diag, errors_beyond_the_limit_are_counted)
{
    Arena   *a = arena_new();
    Sources *s = sources_new(a);
    Diags   *ds = diags_new(a, s, "anec");
    for (int i = 0; i < 25; i++)
        diag_error(ds, "E0001", (Span){0}, "error %d", i);
    Buf b = {0};
    diags_render(ds, &b);
    cr_assert_eq(ds->errors, 25);
    cr_assert_eq(ds->count, 20);
    cr_assert(strstr(b.data, "5 more errors") != NULL);
    buf_free(&b);
    arena_free(a);
}

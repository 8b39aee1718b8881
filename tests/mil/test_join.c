/* test_join.c: programs put together as functions of one, and taken out again. */
#include "mil/mil_join.h"

#include <criterion/criterion.h>
#include <string.h>

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"a\", \"func main<ios18>()\"}})]\n{\n    "
#define BODY                                                                                                            \
    "<ios18>(tensor<fp16, [1, 2]> main) {\n"                                                                            \
    "        tensor<fp16, [1, 2]> w = const()[name = string(\"@model_path/no.bin\"), val = tensor<fp16, [1, 2]>("       \
    "BLOBFILE(offset = uint64(64), path = string(\"%s\")))];\n"                                                         \
    "        tensor<fp16, [1, 2]> y = add(x = main, y = w)[name = string(\"main\")];\n    } -> (y);"

static bool is_const(const void *with, const char *path)
{
    cr_assert_str_eq(with, "passed on");
    return strncmp(path, "const/", 6) == 0;
}

static const char *body(Arena *a, const char *path)
{
    return arena_printf(a, BODY, path);
}

static MilPiece *piece(Arena *a, const char *path, Buf *err)
{
    const char *text = arena_printf(a, HEAD "func main%s\n}\n", body(a, path));
    return mil_piece(a, "text.mil", text, strlen(text), err);
}

Test(join, only_names_of_functions_and_paths_of_their_own_change)
{
    Arena    *a = arena_new();
    Buf       err = {0}, out = {0}, one = {0};
    MilPiece *p[] = {piece(a, "@model_path/weights/w.bin", &err), piece(a, "@model_path/const/x.blob", &err),
                     piece(a, "elsewhere/w.bin", &err)};
    cr_assert(p[0] && p[1] && p[2], "%s", err.data);
    mil_join_begin(p[0], &out);
    for (int i = 0; i < 3; i++)
        mil_join_add(p[i], arena_printf(a, "f%d", i), arena_printf(a, "p%d", i), is_const, "passed on", &out);
    mil_join_end(p[0], &out);
    const char *want = arena_printf(a, HEAD "func f0%s\n    func f1%s\n    func f2%s\n}\n", body(a, "@model_path/p0/weights/w.bin"),
                                    body(a, "@model_path/const/x.blob"), body(a, "elsewhere/w.bin"));
    cr_assert_str_eq(out.data, want);
    cr_assert(mil_take_out("text.mil", out.data, out.len, 1, &one, &err));
    cr_assert_str_eq(one.data, arena_printf(a, HEAD "func f1%s\n}\n", body(a, "@model_path/const/x.blob")));
    cr_assert(!mil_take_out("text.mil", out.data, out.len, 3, &one, &err));
    cr_assert(strstr(err.data, "text.mil: error: there is no function 3") != NULL, "%s", err.data);
    buf_clear(&err);
    cr_assert(!mil_piece(a, "text.mil", out.data, out.len, &err));
    cr_assert(strstr(err.data, "the text has 3 functions") != NULL, "%s", err.data);
    buf_clear(&err);
    cr_assert(!mil_piece(a, "text.mil", "program(1.3)", 12, &err) && strstr(err.data, "text.mil:1:13: error") != NULL, "%s", err.data);
    buf_free(&err);
    buf_free(&out);
    buf_free(&one);
    arena_free(a);
}

/* test_check.c: what the checker refuses, each with the words that must be in its message, and the shape of a
 * diagnostic. */
#include "mil_test.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define F(body) PROGRAM(H("2, 3") "x", body, "y")
#define Y H("2, 3") "y = "
#define GOOD Y "relu(x = x);"

static const struct {
    const char *text, *words[3];
} refused[] = {
    /* names */
    {F(Y "rleu(x = x);"), {"unknown operation 'rleu'", "did you mean 'relu'"}},
    {F(Y "frobnicate(x = x);"), {"unknown operation", "docs/mil.md"}},
    {F(Y "relu(x = z);"), {"'z' is not defined"}},
    {F(H("2, 3") "gain = relu(x = x);\n" Y "relu(x = gian);"), {"'gian' is not defined", "did you mean 'gain'"}},
    {F(Y "relu(x = y);"), {"'y' is not defined"}},
    {F(H("2, 3") "x = relu(x = x);\n" GOOD), {"'x' is already defined", "first defined", "unique"}},
    {F(GOOD GOOD), {"'y' is already defined"}},
    {"program(1.3){func a<ios18>(fp16 x){fp16 y = relu(x=x);}->(y); func a<ios18>(fp16 x){fp16 y = relu(x=x);}->(y);}",
     {"a second function 'a'"}},
    /* arguments */
    {F(Y "relu(x = x, alpha = fp16(1));"), {"'relu' has no argument 'alpha'", "its arguments are: x"}},
    {F(Y "softmax(x = x, axes = int32(1));"), {"no argument 'axes'", "did you mean 'axis'"}},
    {F(Y "softmax(x = x);"), {"'softmax' needs the argument 'axis'", "a constant int32"}},
    {F(Y "relu(x = x, x = x);"), {"'x' is given twice", "first given"}},
    {F(Y "softmax(x = x, axis = fp16(1));"), {"'axis' of 'softmax' is fp16", "expected a constant int32"}},
    {PROGRAM(H("2, 3") "x, int32 a", Y "softmax(x = x, axis = a);", "y"), {"run time"}},
    {F(Y "softmax(x = x, axis = int32(2));"), {"axis 2 of a tensor of rank 2"}},
    {F(Y "gelu(x = x, mode = string(\"FAST\"));"), {"\"FAST\"", "EXACT TANH_APPROXIMATION"}},
    {F(Y "relu(x = (x, x));"), {"expected a tensor"}},
    {F(Y "concat(values = x, axis = 0, interleave = false);"), {"list of tensors in parentheses"}},
    {F(Y "relu(x = x)[nmae = string(\"y\")];"), {"unknown attribute 'nmae'"}},
    {F(H("2, 3") "z, " Y "relu(x = x);"), {"has one result, not 2"}},
    {F("relu(x = x);\n" GOOD), {"'relu' needs a result"}},
    /* types */
    {F(H("3, 2") "y = relu(x = x);"),
     {"'y' is declared tensor<fp16, [3, 2]>", "gives tensor<fp16, [2, 3]>", "'x' is tensor<fp16, [2, 3]>"}},
    {F("tensor<fp32, [2, 3]> y = relu(x = x);"), {"declared tensor<fp32, [2, 3]>"}},
    {F(H("2, 1") "y = reduce_sum(x = x, axes = [1], keep_dims = false);"), {"gives tensor<fp16, [2]>"}},
    {F(Y "add(x = x, y = fp32(1.5));"), {"'y' is fp32, but 'x' is fp16"}},
    {F("tensor<fp16, [4]> k = const()[name = \"k\", val = tensor<fp16, [4]>([1, 2, 3, 4])];\n" Y "add(x = x, y = k);"),
     {"do not broadcast"}},
    {F(Y "logical_not(x = x);"), {"expected bool"}},
    {F(H("2, 2") "y = matmul(x = x, y = x, transpose_x = false, transpose_y = false);"),
     {"left has 3 columns, right has 2 rows"}},
    {F(H("7") "y = reshape(x = x, shape = [7]);"), {"6 elements"}},
    {F(H("2, 3") "y = slice_by_size(x = x, begin = [0, 1], size = [2, 3]);"), {"size 3 from 1 on an axis of extent 3"}},
    {F(H("1, 3") "a, " H("2, 3") "y = split(x = x, num_splits = 2, axis = 0);"), {"gives tensor<fp16, [1, 3]>"}},
    {F(H("2, 3") "y = concat(values = (x, a), axis = 0, interleave = false);"), {"'a' is not defined"}},
    {F(H("2, 3") "y = transpose(x = x, perm = [0, 0]);"), {"named twice"}},
    {F(H("1, 2, 3, 1, 1, 1") "y = relu(x = x);"), {"more than 5 dimensions"}},
    {F(H("2, 0") "y = relu(x = x);"), {"extents are at least 1"}},
    {F(H("99999, 99999") "y = relu(x = x);"), {"more than 1073741824 elements"}},
    {F("state<tensor<fp16, [2, 3]>> y = relu(x = x);"), {"state types are not supported"}},
    {PROGRAM("uint64 x", "uint64 y = identity(x = x);", "y"), {"uint64 cannot be an input"}},
    {F(H("2, s0") "y = relu(x = x);"), {"a tensor extent is a number", "write the extent out"}},
    /* constants */
    {F("int32 k = const()[name = \"k\", val = fp16(1)];\n" GOOD), {"the value is fp16, declared is int32"}},
    {F("int32 k = const()[name = \"k\", val = int32(1.5)];\n" GOOD), {"no int32 value", "an integer"}},
    {F("int8 k = const()[name = \"k\", val = int8(200)];\n" GOOD), {"-128 to 127"}},
    {F("fp16 k = const()[name = \"k\", val = fp16(1e6)];\n" GOOD), {"a number in its range"}},
    {F("bool k = const()[name = \"k\", val = bool(1)];\n" GOOD), {"true or false"}},
    {F("tensor<int32, [2]> k = const()[name = \"k\", val = tensor<int32, [2]>([1])];\n" GOOD),
     {"the list has 1 elements, its type wants 2"}},
    {F("tensor<int32, [2, 2]> k = const()[name = \"k\", val = tensor<int32, [2, 2]>([[1, 2], [3]])];\n" GOOD),
     {"the list has 1 elements"}},
    {F("fp16 k = const();\n" GOOD), {"const() has one result and a value"}},
    {F("tensor<fp16, [2]> k = const()[name = \"k\", val = tensor<fp16, [2]>(BLOBFILE(path = string(\"@model_path/w\"), "
       "offset = uint64(64)))];\n" GOOD),
     {"there is no weight file '@model_path/w'", "no weight files"}},
    {F("tensor<fp16, [2]> k = const()[name = \"k\", val = tensor<fp16, [2]>(BLOBFILE(path = string(\"w\"), offset = "
       "64))];\n" GOOD),
     {"expected uint64(...)"}},
    /* results */
    {PROGRAM("fp16 x", "fp16 y = relu(x = x);", "x"), {"'x' is an input", "identity(x = x)"}},
    {PROGRAM("fp16 x", "fp16 y = const()[name = \"y\", val = fp16(1)];", "y"), {"'y' is a constant"}},
    {PROGRAM("fp16 x", "fp16 y = relu(x = x);", "y, y"), {"'y' is returned twice"}},
    {PROGRAM("fp16 x", "fp16 y = relu(x = x);", "w"), {"'w' is not defined"}},
    {PROGRAM("fp16 x", "fp16 y = relu(x = x);", ""), {"returns nothing"}},
    /* syntax */
    {F("tensor<fp16 [2, 3]> y = relu(x = x);"), {"syntax error: found '['", "expected ','"}},
    {F(Y "relu(x = x)"), {"syntax error: found '}'", "expected '[' or ';'"}},
    {"program(1.3)\n{\n", {"found end of file", "expected 'func'"}},
    {"program(1.2){func main<ios18>(fp16 x){fp16 y = relu(x=x);}->(y);}", {"unknown program version", "program(1.3)"}},
    {"program(1.3){func main<ios17>(fp16 x){fp16 y = relu(x=x);}->(y);}", {"'ios17'", "<ios18>"}},
    {F(Y "relu(x = x); /* open"), {"comment is not closed"}},
    {F(Y "relu(x = \"open\n);"), {"string is not closed"}},
    {F(Y "relu(x = $x);"), {"byte 0x24"}},
    {F(Y "add(x = x, y = 99999999999999999999);"), {"does not fit 64 bits"}},
};

Test(mil_check, refuses_with_the_words_that_help)
{
    for (size_t i = 0; i < COUNT(refused); i++) {
        char *errors = mil_compile_errors(refused[i].text, strlen(refused[i].text), NULL, 0);
        cr_expect(errors != NULL, "accepted:\n%s", refused[i].text);
        for (int w = 0; errors && w < 3 && refused[i].words[w]; w++)
            cr_expect(strstr(errors, refused[i].words[w]) != NULL, "\"%s\" is not in\n%s", refused[i].words[w], errors);
        free(errors);
    }
}

Test(mil_check, diagnostics_have_a_place_a_caret_and_what_was_expected)
{
    static const char text[] = "program(1.3)\n{\n  func main<ios18>(fp16 x) {\n    fp16 y = rlu(x = x);\n    fp32 z = "
                               "relu(x = x);\n  } -> (y, z);\n}\n";
    char *errors = mil_compile_errors(text, strlen(text), NULL, 0);
    cr_assert_str_eq(errors, "test.mil:4:14: error[M0203]: unknown operation 'rlu'\n"
                             "  4 |     fp16 y = rlu(x = x);\n"
                             "    |              ^~~ did you mean 'relu'?\n"
                             "test.mil:5:5: error[M0405]: 'z' is declared fp32, but 'relu' gives fp16\n"
                             "  5 |     fp32 z = relu(x = x);\n"
                             "    |     ^~~~ expected fp16\n"
                             "  note: 'x' is fp16 at test.mil:3\n");
    free(errors);
}

static const char *const accepted[] = {
    F(GOOD),
    F("// a comment\n/* and **another* */ fp16 k = const()[val = fp16(0x3c00), name = string(\"k\")];\n" Y
      "add(y = k, x = x)[name = string(\"other\")];"),
    F("tensor<fp16,[2,3]>k=const()[name=string(\"k\"),val=tensor<fp16,[2,3]>([[0x3c00,0x1p-3,-1],[2.5,1e-3,0]])];"
      "tensor<fp16,[2,3]>y=add(x=x,y=k);"),
    F("tensor<fp16, []> k = const()[name = string(\"k\"), val = tensor<fp16, []>(1)];\n" Y "mul(x = k, y = x);"),
    F(Y "softmax(axis = -1, x = x);"),
    F("string s = const()[name = string(\"s\"), val = string(\"EXACT\")];\n" Y "gelu(mode = s, x = x);"),
};

Test(mil_check, accepts_every_way_to_write_it)
{
    for (size_t i = 0; i < COUNT(accepted); i++) {
        char *errors = mil_compile_errors(accepted[i], strlen(accepted[i]), NULL, 0);
        cr_expect(errors == NULL, "%s\n%s", errors, accepted[i]);
        free(errors);
    }
}

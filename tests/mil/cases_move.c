/* cases_move.c: operations that move, select, convert or make elements, against plain loops. */
#include "mil_test.h"

#include <math.h>

#define LOOP(i, n) for (int i = 0; i < (n); i++)
#define X(a, b, c) in[0][((a)*3 + (b)) * 4 + (c)] /* the usual input, [2, 3, 4] */
#define REF(name) static void name(double *const *in, double *const *out)
#define X234 H("2, 3, 4") "x"

REF(same) { LOOP(i, 24) out[0][i] = in[0][i]; }
REF(transpose) { LOOP(c, 4) LOOP(a, 2) LOOP(b, 3) out[0][(c * 2 + a) * 3 + b] = X(a, b, c); }
REF(transpose_big) { LOOP(a, 2) LOOP(c, 33) LOOP(b, 19) out[0][(a * 33 + c) * 19 + b] = in[0][(a * 19 + b) * 33 + c]; }
REF(slice_size) { LOOP(b, 2) LOOP(c, 3) out[0][b * 3 + c] = X(1, b + 1, c); }
REF(slice_index) { LOOP(a, 2) LOOP(c, 2) out[0][a * 2 + c] = X(a, 1, 3 - 2 * c); }
REF(slice_plain) { LOOP(b, 2) LOOP(c, 2) out[0][b * 2 + c] = X(0, b, 2 + c); }
REF(reverse) { LOOP(a, 2) LOOP(b, 3) LOOP(c, 4) out[0][(a * 3 + b) * 4 + c] = X(1 - a, b, 3 - c); }
REF(tile) { LOOP(a, 2) LOOP(b, 9) LOOP(c, 8) out[0][(a * 9 + b) * 8 + c] = X(a, b % 3, c % 4); }
REF(pad)
{
    LOOP(a, 2)
    LOOP(b, 6) LOOP(c, 5) out[0][(a * 6 + b) * 5 + c] = b >= 1 && b < 4 && c >= 1 ? X(a, b - 1, c - 1) : -1.5;
}
REF(concat)
{
    LOOP(a, 2)
    LOOP(b, 6) LOOP(c, 4) out[0][(a * 6 + b) * 4 + c] = b < 3   ? X(a, b, c)
                                                        : b < 4 ? in[1][a * 4 + c]
                                                                : in[2][(a * 2 + b - 4) * 4 + c];
}
REF(interleave) { LOOP(a, 2) LOOP(b, 6) LOOP(c, 4) out[0][(a * 6 + b) * 4 + c] = in[b % 2][(a * 3 + b / 2) * 4 + c]; }
REF(stack) { LOOP(i, 6) LOOP(k, 2) LOOP(c, 4) out[0][(i * 2 + k) * 4 + c] = in[k][i * 4 + c]; }
REF(split_even) { LOOP(p, 3) LOOP(a, 2) LOOP(c, 4) out[p][a * 4 + c] = X(a, p, c); }
REF(split_sizes)
{
    LOOP(i, 6) {
        out[0][i] = in[0][i * 4];
        LOOP(c, 3) out[1][i * 3 + c] = in[0][i * 4 + 1 + c];
    }
}
static const int picks[5] = {2, 0, 1, 2, 0};
REF(gather) { LOOP(a, 2) LOOP(i, 5) LOOP(c, 4) out[0][(a * 5 + i) * 4 + c] = X(a, picks[i], c); }
REF(gather_batch) { LOOP(a, 2) LOOP(i, 2) out[0][a * 2 + i] = in[0][a * 3 + (a == 0 ? 2 - i : 2 * i)]; }
REF(one_hot) { (void)in; LOOP(k, 3) LOOP(i, 5) out[0][k * 5 + i] = picks[i] == k ? 2 : -1; }
REF(band) { LOOP(a, 2) LOOP(b, 3) LOOP(c, 4) out[0][(a * 3 + b) * 4 + c] = b - c <= 1 && c - b <= 0 ? X(a, b, c) : 0; }
REF(filled) { LOOP(i, 24) out[0][i] = 0.75 + in[0][i]; }
REF(select) { LOOP(a, 2) LOOP(b, 3) LOOP(c, 4) out[0][(a * 3 + b) * 4 + c] = X(a, b, c) > 0 ? X(a, b, c) : in[1][c]; }
REF(not_positive) { LOOP(i, 24) out[0][i] = !(in[0][i] > 0); }
REF(cast_int) { LOOP(i, 24) out[0][i] = trunc(in[0][i]); }
REF(cast_u8) { LOOP(i, 24) out[0][i] = fmin(fmax(trunc(in[0][i]), 0), 255); }
REF(cast_wide) { LOOP(i, 24) out[0][i] = in[0][i]; }
REF(cast_bool) { LOOP(i, 24) out[0][i] = in[0][i] != 0; }
REF(quantize)
{
    static const double scale[3] = {0.5, 0.25, 2};
    LOOP(a, 2) LOOP(b, 3) LOOP(c, 4) out[0][(a * 3 + b) * 4 + c] = fmin(fmax(rint(X(a, b, c) / scale[b]) + 3, 0), 255);
}
REF(dequantize) { LOOP(i, 24) out[0][i] = 0.5 * (in[0][i] + 3); }
REF(affine)
{
    static const double q[6] = {-128, -1, 0, 1, 5, 127}, scale[2] = {0.5, 2}, zero[2] = {1, -2};
    LOOP(i, 6) out[0][i] = scale[i / 3] * (q[i] - zero[i / 3]) + in[0][i];
}
REF(blockwise)
{
    static const double q[8] = {0, 1, 2, 3, 12, 13, 14, 15}, scale[4] = {0.5, 2, 1, 0.25}, shift[4] = {1, 2, 3, 4};
    LOOP(i, 8) out[0][i] = scale[i / 4 * 2 + i % 4 / 2] * (q[i] - shift[i / 4 * 2 + i % 4 / 2]) + in[0][i];
}

static const OpCase cases[] = {
    {"identity", PROGRAM(X234, H("2, 3, 4") "y = identity(x = x);", "y"), same, -9, 9, 0, 0},
    {"reshape", PROGRAM(X234, H("4, 6") "y = reshape(x = x, shape = tensor<int32, [2]>([4, 6]));", "y"), same, -9, 9, 0,
     0},
    {"reshape", PROGRAM(X234, H("4, 1, 6") "y = reshape(x = x, shape = [4, 1, -1]);", "y"), same, -9, 9, 0, 0},
    {"expand_dims", PROGRAM(X234, H("1, 2, 3, 1, 4") "y = expand_dims(x = x, axes = [0, -2]);", "y"), same, -9, 9, 0,
     0},
    {"squeeze", PROGRAM(H("1, 24, 1") "x", H("24") "y = squeeze(x = x, axes = [0, 2]);", "y"), same, -9, 9, 0, 0},
    {"transpose", PROGRAM(X234, H("4, 2, 3") "y = transpose(x = x, perm = [2, 0, 1]);", "y"), transpose, -9, 9, 0, 0},
    {"transpose", PROGRAM(H("2, 19, 33") "x", H("2, 33, 19") "y = transpose(x = x, perm = [0, -1, 1]);", "y"),
     transpose_big, -9, 9, 0, 0},
    {"slice_by_size",
     PROGRAM(X234, H("1, 2, 3") "y = slice_by_size(x = x, begin = [1, 1, 0], size = [1, -1, 3]);", "y"), slice_size, -9,
     9, 0, 0},
    {"slice_by_index",
     PROGRAM(X234,
             H("2, 2") "y = slice_by_index(x = x, begin = [0, 1, -1], end = [0, 0, 0], stride = [1, 1, -2], begin_mask "
                       "= [true, false, false], "
                       "end_mask = tensor<bool, [3]>([true, false, false]), squeeze_mask = [false, true, false]);",
             "y"),
     slice_index, -9, 9, 0, 0},
    {"slice_by_index",
     PROGRAM(X234, H("1, 2, 2") "y = slice_by_index(x = x, begin = [0, 0, 2], end = [1, -1, 4]);", "y"), slice_plain,
     -9, 9, 0, 0},
    {"reverse", PROGRAM(X234, H("2, 3, 4") "y = reverse(x = x, axes = [0, 2]);", "y"), reverse, -9, 9, 0, 0},
    {"tile", PROGRAM(X234, H("2, 9, 8") "y = tile(x = x, reps = [1, 3, 2]);", "y"), tile, -9, 9, 0, 0},
    {"pad",
     PROGRAM(X234,
             H("2, 6, 5") "y = pad(x = x, pad = [1, 2, 1, 0], mode = string(\"constant\"), constant_val = fp16(-1.5));",
             "y"),
     pad, -9, 9, 0, 0},
    {"concat",
     PROGRAM(X234 ", " H("2, 1, 4") "x2, " H("2, 2, 4") "x3",
             H("2, 6, 4") "y = concat(values = (x, x2, x3), axis = int32(1), interleave = bool(false));", "y"),
     concat, -9, 9, 0, 0},
    {"concat",
     PROGRAM(X234 ", " H("2, 3, 4") "x2", H("2, 6, 4") "y = concat(values = (x, x2), axis = -2, interleave = true);",
             "y"),
     interleave, -9, 9, 0, 0},
    {"stack", PROGRAM(X234 ", " H("2, 3, 4") "x2", H("2, 3, 2, 4") "y = stack(values = (x, x2), axis = 2);", "y"),
     stack, -9, 9, 0, 0},
    {"split",
     PROGRAM(X234, H("2, 1, 4") "p, " H("2, 1, 4") "q, " H("2, 1, 4") "r = split(x = x, num_splits = 3, axis = 1);",
             "p, q, r"),
     split_even, -9, 9, 0, 0},
    {"split",
     PROGRAM(X234, H("2, 3, 1") "p, " H("2, 3, 3") "q = split(x = x, split_sizes = [1, 3], axis = -1);", "p, q"),
     split_sizes, -9, 9, 0, 0},
    {"gather",
     PROGRAM(X234,
             "tensor<uint16, [5]> i = const()[name = string(\"i\"), val = tensor<uint16, [5]>([2, 0, 1, 2, 0])];\n" H(
                 "2, 5, 4") "y = gather(x = x, indices = i, axis = int32(1), batch_dims = int32(0), validate_indices = "
                            "bool(false));",
             "y"),
     gather, -9, 9, 0, 0},
    {"gather",
     PROGRAM(
         H("2, 3") "x",
         "tensor<int32, [2, 2]> i = const()[name = string(\"i\"), val = tensor<int32, [2, 2]>([[2, 1], [0, -1]])];\n" H(
             "2, 2") "y = gather(x = x, indices = i, axis = 1, batch_dims = 1, validate_indices = false);",
         "y"),
     gather_batch, -9, 9, 0, 0},
    {"one_hot",
     PROGRAM(X234,
             "tensor<int32, [5]> i = const()[name = string(\"i\"), val = tensor<int32, [5]>([2, 0, 1, -1, 0])];\n" H(
                 "3, 5") "y = one_hot(indices = i, one_hot_vector_size = 3, axis = 0, on_value = fp16(2), off_value = "
                         "fp16(-1));",
             "y"),
     one_hot, -9, 9, 0, 0},
    {"band_part", PROGRAM(X234, H("2, 3, 4") "y = band_part(x = x, lower = 1, upper = 0);", "y"), band, -9, 9, 0, 0},
    {"fill",
     PROGRAM(X234, H("3, 4") "f = fill(shape = [3, 4], value = fp16(0.75));\n" H("2, 3, 4") "y = add(x = x, y = f);",
             "y"),
     filled, -9, 9, 1, 0},
    {"fill_like",
     PROGRAM(X234,
             H("2, 3, 4") "f = fill_like(ref_tensor = x, value = fp16(0.75));\n" H("2, 3, 4") "y = add(x = x, y = f);",
             "y"),
     filled, -9, 9, 1, 0},
    {"select",
     PROGRAM(
         X234 ", " H("4") "z",
         "tensor<bool, [2, 3, 4]> p = greater(x = x, y = 0.0);\n" H("2, 3, 4") "y = select(cond = p, a = x, b = z);",
         "y"),
     select, -9, 9, 0, 0},
    {"logical_not",
     PROGRAM(
         X234,
         "tensor<bool, [2, 3, 4]> p = greater(x = x, y = fp16(0));\ntensor<bool, [2, 3, 4]> y = logical_not(x = p);",
         "y"),
     not_positive, -9, 9, 0, 0},
    {"cast", PROGRAM(X234, "tensor<int32, [2, 3, 4]> y = cast(x = x, dtype = string(\"int32\"));", "y"), cast_int, -9,
     9, 0, 0},
    {"cast", PROGRAM(X234, "tensor<uint8, [2, 3, 4]> y = cast(x = x, dtype = string(\"uint8\"));", "y"), cast_u8, -400,
     400, 0, 0},
    {"cast", PROGRAM("tensor<fp32, [2, 3, 4]> x", H("2, 3, 4") "y = cast(x = x, dtype = string(\"fp16\"));", "y"),
     cast_wide, -9, 9, 0, 0},
    {"cast",
     PROGRAM("tensor<int8, [2, 3, 4]> x", "tensor<bool, [2, 3, 4]> y = cast(x = x, dtype = string(\"bool\"));", "y"),
     cast_bool, -1, 3, 0, 0},
    {"quantize",
     PROGRAM(X234,
             "tensor<uint8, [2, 3, 4]> y = quantize(input = x, scale = tensor<fp16, [3]>([0.5, 0.25, 2]), zero_point = "
             "tensor<uint8, [3]>([3, 3, 3]), axis = 1, output_dtype = \"uint8\");",
             "y"),
     quantize, -40, 40, 0, 0},
    {"dequantize",
     PROGRAM("tensor<int8, [2, 3, 4]> x",
             H("2, 3, 4") "y = dequantize(input = x, scale = fp16(0.5), zero_point = int8(-3));", "y"),
     dequantize, -100, 100, 0, 0},
    {"constexpr_affine_dequantize",
     PROGRAM(H("2, 3") "x",
             H("2, 3") "w = constexpr_affine_dequantize(quantized_data = tensor<int8, [2, 3]>([[-128, -1, 0], [1, 5, "
                       "127]]), "
                       "scale = tensor<fp16, [2]>([0.5, 2]), zero_point = tensor<int8, [2]>([1, -2]), axis = 0);\n" H(
                           "2, 3") "y = add(x = w, y = x);",
             "y"),
     affine, -9, 9, 1, 0},
    {"constexpr_affine_dequantize",
     PROGRAM(H("2, 3") "x",
             H("2, 3") "w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data = "
                       "tensor<int8, [2, 3]>([[-128, -1, 0], [1, 5, 127]]), scale = tensor<fp16, [2]>([0.5, 2]), "
                       "zero_point = tensor<int8, [2]>([1, -2])];\n" H("2, 3") "y = add(x = w, y = x);",
             "y"),
     affine, -9, 9, 1, 0},
    {"constexpr_blockwise_shift_scale",
     PROGRAM(H("2, 4") "x",
             H("2, 4") "w = constexpr_blockwise_shift_scale(data = tensor<uint4, [2, 4]>([0, 1, 2, 3, 12, 13, 14, "
                       "15]), scale = tensor<fp16, [2, 2]>([[0.5, 2], [1, 0.25]]), "
                       "offset = tensor<uint4, [2, 2]>([[1, 2], [3, 4]]));\n" H("2, 4") "y = add(x = w, y = x);",
             "y"),
     blockwise, -9, 9, 1, 0},
};
const OpCases move_cases = {cases, COUNT(cases)};

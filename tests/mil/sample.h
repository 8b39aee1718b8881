/* sample.h: a complete program (RMSNorm over channels, projection, residual, two results concatenated) with its
 * weights. */
#ifndef ANEL_TEST_MIL_SAMPLE_H
#define ANEL_TEST_MIL_SAMPLE_H

#include "device.h"

#define BUILD_INFO                                                                                              \
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", "       \
    "\"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}})]\n"

static const char sample_mil[] =
    "program(1.3)\n" BUILD_INFO "{\n"
    "    func main<ios18>(tensor<fp16, [1, 256, 1, 128]> i00_x) {\n"
    "        tensor<int32, [1]> k_ax = const()[name = string(\"k_ax\"), val = tensor<int32, [1]>([1])];\n"
    "        bool k_keep = const()[name = string(\"k_keep\"), val = bool(true)];\n"
    "        fp16 k_invd = const()[name = string(\"k_invd\"), val = fp16(0x1p-8)];\n"
    "        fp16 k_eps = const()[name = string(\"k_eps\"), val = fp16(0x1.5p-17)];\n"
    "        fp16 k_mh = const()[name = string(\"k_mh\"), val = fp16(-0x1p-1)];\n"
    "        tensor<fp16, [1, 256, 1, 1]> w_g = const()[name = string(\"w_g\"), val = tensor<fp16, [1, 256, 1, "
    "1]>(BLOBFILE(path = "
    "string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [256, 256, 1, 1]> w_p = const()[name = string(\"w_p\"), val = tensor<fp16, [256, 256, 1, "
    "1]>(BLOBFILE(path = "
    "string(\"@model_path/weights/w.bin\"), offset = uint64(640)))];\n"
    "        string k_pt = const()[name = string(\"k_pt\"), val = string(\"valid\")];\n"
    "        tensor<int32, [2]> k_st = const()[name = string(\"k_st\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        tensor<int32, [4]> k_pd = const()[name = string(\"k_pd\"), val = tensor<int32, [4]>([0, 0, 0, 0])];\n"
    "        tensor<int32, [2]> k_dl = const()[name = string(\"k_dl\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        int32 k_gr = const()[name = string(\"k_gr\"), val = int32(1)];\n"
    "        int32 k_cax = const()[name = string(\"k_cax\"), val = int32(1)];\n"
    "        bool k_il = const()[name = string(\"k_il\"), val = bool(false)];\n"
    "        tensor<fp16, [1, 256, 1, 128]> sq = mul(x = i00_x, y = i00_x)[name = string(\"sq\")];\n"
    "        tensor<fp16, [1, 1, 1, 128]> ss = reduce_sum(axes = k_ax, keep_dims = k_keep, x = sq)[name = "
    "string(\"ss\")];\n"
    "        tensor<fp16, [1, 1, 1, 128]> ms = mul(x = ss, y = k_invd)[name = string(\"ms\")];\n"
    "        tensor<fp16, [1, 1, 1, 128]> me = add(x = ms, y = k_eps)[name = string(\"me\")];\n"
    "        tensor<fp16, [1, 1, 1, 128]> rr = pow(x = me, y = k_mh)[name = string(\"rr\")];\n"
    "        tensor<fp16, [1, 256, 1, 128]> xn = mul(x = i00_x, y = rr)[name = string(\"xn\")];\n"
    "        tensor<fp16, [1, 256, 1, 128]> xg = mul(x = xn, y = w_g)[name = string(\"xg\")];\n"
    "        tensor<fp16, [1, 256, 1, 128]> p = conv(dilations = k_dl, groups = k_gr, pad = k_pd, pad_type = k_pt, "
    "strides = k_st, weight "
    "= w_p, x = xg)[name = string(\"p\")];\n"
    "        tensor<fp16, [1, 256, 1, 128]> y = add(x = i00_x, y = p)[name = string(\"y\")];\n"
    "        tensor<fp16, [1, 512, 1, 128]> o00_cat = concat(axis = k_cax, interleave = k_il, values = (y, xg))[name = "
    "string(\"o00_cat\")];\n"
    "    } -> (o00_cat);\n"
    "}\n";

/* The weight file: gain at 64, matrix at 640. */
void sample_weights(Buf *file, double *gain, double *matrix);

#endif

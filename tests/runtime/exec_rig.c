/* exec_rig.c: see exec_rig.h. */
#include "exec_rig.h"

#include "base/file.h"
#include "base/hash.h"
#include "plan/blob.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char exec_mil[] =
    "program(1.3)\n"
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", \"3505.4.1\"}, "
    "{\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}})]\n"
    "{\n"
    "    func main<ios18>(tensor<fp16, [1, 8, 1, 6]> i00_x) {\n"
    "        tensor<fp16, [8, 8, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [8, 8, 1, 1]>(BLOBFILE(path "
    "= string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [1, 8, 1, 6]> m = const()[name = string(\"m\"), val = tensor<fp16, [1, 8, 1, 6]>(BLOBFILE(path "
    "= string(\"@model_path/tables/one.bin\"), offset = uint64(64)))];\n"
    "        string pt = const()[name = string(\"pt\"), val = string(\"valid\")];\n"
    "        tensor<int32, [2]> st = const()[name = string(\"st\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        tensor<int32, [4]> pd = const()[name = string(\"pd\"), val = tensor<int32, [4]>([0, 0, 0, 0])];\n"
    "        tensor<int32, [2]> dl = const()[name = string(\"dl\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        int32 gr = const()[name = string(\"gr\"), val = int32(1)];\n"
    "        tensor<fp16, [1, 8, 1, 6]> p = conv(dilations = dl, groups = gr, pad = pd, pad_type = pt, strides = st, "
    "weight = w, x = i00_x)[name = string(\"p\")];\n"
    "        tensor<fp16, [1, 8, 1, 6]> q = mul(x = p, y = m)[name = string(\"q\")];\n"
    "        tensor<fp16, [1, 8, 1, 6]> o00_y = add(x = i00_x, y = q)[name = string(\"o00_y\")];\n"
    "    } -> (o00_y);\n"
    "}\n";

const size_t exec_mil_len = sizeof exec_mil - 1;

static const char manifest[] =
    "param embed {\n  shape 5x8\n  init uniform -1.0 1.0\n}\n"
    "param head {\n  shape 5x8\n  init uniform -1.0 1.0\n}\n"
    "param layers.{2..4}.w {\n  shape 8x8\n  init normal 0.25\n  decay yes\n}\n"
    "param base {\n  shape 8x8\n  init zeros\n  frozen yes\n}\n"
    "state seen {\n  shape i32 1\n  init value 7.0\n}\n"
    "table %s f16 1x8x1x6 one\n" /* hash */
    "program fwd {\n  mil layer %s\n  instances 2 3\n  in i00_x 1x8x1x6\n  out o00_y 1x8x1x6\n" /* hash */
    "  weight weights/w.bin 8x8x1x1 = layers.{L}.w\n  weight tables/one.bin 1x8x1x6 = table one\n}\n"
    "program bwd {\n  mil layer %s\n  instances 2 3\n  in i00_x 1x8x1x6\n  out o00_y 1x8x1x6\n"
    "  weight weights/w.bin 8x8x1x1 = T(layers.{L}.w)\n  weight tables/one.bin 1x8x1x6 = table one\n}\n"
    "program still {\n  mil layer %s\n  in i00_x 1x8x1x6\n  out o00_y 1x8x1x6\n"
    "  weight weights/w.bin 8x8x1x1 = base\n  weight tables/one.bin 1x8x1x6 = table one\n}\n"
    "buffer tokens i32 6\nbuffer targets i32 6\nbuffer scale f32 scalar\nbuffer each f32 6\nbuffer loss f32 1\n"
    "buffer rows f32 6x8\nbuffer x f32 8x6\nbuffer dy f32 8x6\nbuffer xs f32 8x6 stack 3\nbuffer z f32 5x6\n"
    "buffer dz f32 5x6\nbuffer dl f32 6\nbuffer half f16 8x6\nbuffer count i32 1\n"
    "surface in 1x8x1x6\nsurface out 1x10x1x6 stack 3\nsurface last 1x8x1x6\n"
    "entry loss {\n"
    "  input tokens token tokens vocab 5\n  input targets token targets vocab 5\n  input scale loss_scale scale\n"
    "  result loss loss\n"
    "  forward {\n"
    "    gather rows:6x8 <- param embed:5x8, tokens:6\n"
    "    transpose x:8x6 <- rows:6x8 perm 1 0\n"
    "    loop L 2 3 {\n"
    "      reshape xs[L]:8x6 <- x:8x6\n"
    "      move in:8x6 <- xs[L]:48\n"
    "      run fwd out[L]:1x8x1x6 <- in:1x8x1x6\n"
    "      move x:8x6 <- out[L]:8x6\n"
    "    }\n"
    "    move in:8x6 <- out+120:8x6\n" /* of the last layer */
    "    run still last:1x8x1x6 <- in:1x8x1x6\n"
    "    move half:8x6 <- last:8x6\n"
    "    move x:8x6 <- half:8x6\n"
    "    matmul z:5x6 <- param head:5x8, x:8x6\n"
    "    xent each:6 <- z:5x6, targets:6 axis 0\n"
    "    sum loss:1 <- each:6 axes 0\n"
    "    add state seen:1 <- state seen:1, 1:1\n"
    "  }\n"
    "  backward {\n"
    "    broadcast dl:6 <- scale:1\n"
    "    xent_grad dz:5x6 <- z:5x6, targets:6, dl:6 axis 0\n"
    "    matmul grad head:5x8 <- dz:5x6, x:8x6 tb\n"
    "    matmul dy:8x6 <- param head:5x8, dz:5x6 ta\n"
    "    loop L 2 3 reverse {\n"
    "      matmul grad layers.{L}.w:8x8 <- dy:8x6, xs[L]:8x6 tb\n"
    "      move in:8x6 <- dy:8x6\n"
    "      run bwd last:1x8x1x6 <- in:1x8x1x6\n"
    "      move dy:8x6 <- last:8x6\n"
    "    }\n"
    "    transpose rows:6x8 <- dy:8x6 perm 1 0\n"
    "    scatter_add grad embed:5x8 <- tokens:6, rows:6x8\n"
    "  }\n"
    "}\n"
    "entry count {\n"
    "  input tokens token tokens vocab 5\n  result \"\" count\n"
    "  forward {\n    reshape count:1 <- state seen:1\n  }\n"
    "}\n";

static void write_model(Model *m, const char *weights)
{
    Buf      one = {0}, text = {0};
    uint16_t ones[48];
    char     table_hash[HASH_HEX], mil_hash[HASH_HEX];
    for (int i = 0; i < 48; i++)
        ones[i] = 0x3c00;
    blob_begin(&one);
    blob_add(&one, BLOB_F16, ones, sizeof ones);
    hash_hex(one.data, one.len, table_hash);
    hash_hex(exec_mil, exec_mil_len, mil_hash);
    buf_printf(&text, "anep 1.0\nweights %s\n", weights);
    buf_printf(&text, manifest, table_hash, mil_hash, mil_hash, mil_hash);
    Plan *p = plan_parse(m->arena, "manifest", text.data, text.len, &m->err);
    cr_assert(p != NULL, "%s", m->err.data);
    PlanFile file[] = {{"mil/layer.mil", exec_mil, exec_mil_len},
                       {arena_printf(m->arena, "const/%s.blob", table_hash), one.data, one.len}};
    cr_assert(plan_write(p, m->dir, file, 2, &m->err), "%s", m->err.data);
    buf_free(&one);
    buf_free(&text);
}

Model model_with(bool exact, const char *weights)
{
    Model m = {.arena = arena_new(), .base = "/tmp/anel-exec-XXXXXX"};
    cr_assert(mkdtemp(m.base) != NULL);
    m.dir = path_join(m.arena, m.base, "plan");
    write_model(&m, weights);
    DeviceOptions o = {.numerics = exact ? NUMERICS_EXACT : NUMERICS_ANE, .wide_ports = exact};
    m.device = device_open("host", &o, &m.err);
    m.plan = plan_open(m.arena, m.dir, NULL, &m.err);
    cr_assert(m.plan != NULL, "%s", m.err.data);
    m.exec = exec_open(m.plan, m.dir, m.device, &(ExecOptions){.wide_ports = exact}, &m.err);
    cr_assert(m.exec != NULL, "%s", m.err.data);
    m.loss = exec_entry(m.exec, "loss");
    exec_init_params(m.exec, 1);
    for (uint32_t id = 0; id < exec_params(m.exec); id++) /* representable in fp16: baking rounds nothing */
        for (size_t i = 0; i < exec_param(m.exec, id)->numel; i++)
            exec_param(m.exec, id)->value[i] = roundf(exec_param(m.exec, id)->value[i] * 256) / 256;
    for (int i = 0; i < S; i++) {
        ((int32_t *)exec_input(m.exec, m.loss, 0))[i] = (i * 3 + 1) % V;
        ((int32_t *)exec_input(m.exec, m.loss, 1))[i] = (i * 2) % V;
    }
    *(float *)exec_input(m.exec, m.loss, 2) = 1;
    return m;
}

Model model(bool exact)
{
    return model_with(exact, "baked");
}

void end(Model *m)
{
    char why[FILE_ERR_MAX];
    exec_close(m->exec);
    device_close(m->device);
    dir_remove(m->base, why);
    buf_free(&m->err);
    arena_free(m->arena);
}

Truth truth(const Model *m)
{
    Truth        t = {0};
    double       x[LAYERS + 1][D][S], dy[D][S], next[D][S];
    const float *embed = exec_param(m->exec, 0)->value, *head = exec_param(m->exec, 1)->value;
    const int32_t *tok = exec_input(m->exec, m->loss, 0), *target = exec_input(m->exec, m->loss, 1);
    for (int d = 0; d < D; d++)
        for (int s = 0; s < S; s++) {
            x[0][d][s] = embed[tok[s] * D + d];
            dy[d][s] = 0;
        }
    for (int l = 0; l < LAYERS; l++)
        for (int d = 0; d < D; d++)
            for (int s = 0; s < S; s++) {
                x[l + 1][d][s] = x[l][d][s];
                for (int k = 0; k < D; k++)
                    x[l + 1][d][s] += (double)exec_param(m->exec, 2 + (uint32_t)l)->value[d * D + k] * x[l][k][s];
            }
    for (int s = 0; s < S; s++) {
        double z[V] = {0}, sum = 0;
        for (int v = 0; v < V; v++) {
            for (int d = 0; d < D; d++)
                z[v] += head[v * D + d] * x[LAYERS][d][s];
            sum += exp(z[v]);
        }
        t.loss += log(sum) - z[target[s]];
        for (int v = 0; v < V; v++)
            for (int d = 0; d < D; d++) {
                double dz = exp(z[v]) / sum - (v == target[s]);
                t.head[v * D + d] += dz * x[LAYERS][d][s];
                dy[d][s] += dz * head[v * D + d];
            }
    }
    for (int l = LAYERS - 1; l >= 0; l--) {
        const float *w = exec_param(m->exec, 2 + (uint32_t)l)->value;
        for (int d = 0; d < D; d++)
            for (int k = 0; k < D; k++)
                for (int s = 0; s < S; s++)
                    t.w[l][d * D + k] += dy[d][s] * x[l][k][s];
        for (int k = 0; k < D; k++)
            for (int s = 0; s < S; s++) {
                next[k][s] = dy[k][s];
                for (int d = 0; d < D; d++)
                    next[k][s] += w[d * D + k] * dy[d][s];
            }
        memcpy(dy, next, sizeof dy);
    }
    for (int s = 0; s < S; s++)
        for (int d = 0; d < D; d++)
            t.embed[tok[s] * D + d] += dy[d][s];
    return t;
}

double farthest(const double *want, const float *got, int n, double factor)
{
    double worst = 0, most = 0;
    for (int i = 0; i < n; i++) {
        double off = fabs(want[i] * factor - got[i]), size = fabs(want[i] * factor);
        worst = off > worst ? off : worst; /* not fmax(): gcc 12 for ARM fails with an internal error on two of them */
        most = size > most ? size : most;
    }
    return worst / most;
}

void bake(Model *m)
{
    cr_assert(exec_bake(m->exec, m->loss, EXEC_FORWARD | EXEC_BACKWARD, &m->err), "%s", m->err.data);
}

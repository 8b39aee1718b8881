/* test_exec.c: the executor on a small model made by hand: three layers x + W x on the device, forward and backward, a
 * head with cross entropy and the weight gradients on the CPU. The same model is computed here in fp64. */
#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"
#include "exec.h"
#include "plan/blob.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 8, S = 6, V = 5, LAYERS = 3, FIRST = 2 };

static const char mil[] =
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

typedef struct {
    Arena   *arena;
    Device  *device;
    Plan    *plan;
    Exec    *exec;
    uint32_t loss;
    char     base[64];
    char    *dir;
    Buf      err;
} Model;

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
    hash_hex(mil, sizeof mil - 1, mil_hash);
    buf_printf(&text, "anep 1.0\nweights %s\n", weights);
    buf_printf(&text, manifest, table_hash, mil_hash, mil_hash, mil_hash);
    Plan *p = plan_parse(m->arena, "manifest", text.data, text.len, &m->err);
    cr_assert(p != NULL, "%s", m->err.data);
    PlanFile file[] = {{"mil/layer.mil", mil, sizeof mil - 1},
                       {arena_printf(m->arena, "const/%s.blob", table_hash), one.data, one.len}};
    cr_assert(plan_write(p, m->dir, file, 2, &m->err), "%s", m->err.data);
    buf_free(&one);
    buf_free(&text);
}

static Model model_with(bool exact, const char *weights)
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

static Model model(bool exact)
{
    return model_with(exact, "baked");
}

static void end(Model *m)
{
    char why[FILE_ERR_MAX];
    exec_close(m->exec);
    device_close(m->device);
    dir_remove(m->base, why);
    buf_free(&m->err);
    arena_free(m->arena);
}

/* Loss, and gradients of embed, head and the layers' weights, in fp64. */
typedef struct {
    double loss, embed[V * D], head[V * D], w[LAYERS][D * D];
} Truth;

static Truth truth(const Model *m)
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

static double farthest(const double *want, const float *got, int n, double factor)
{
    double worst = 0, most = 0;
    for (int i = 0; i < n; i++) {
        worst = fmax(worst, fabs(want[i] * factor - got[i]));
        most = fmax(most, fabs(want[i] * factor));
    }
    return worst / most;
}

static void bake(Model *m)
{
    cr_assert(exec_bake(m->exec, m->loss, EXEC_FORWARD | EXEC_BACKWARD, &m->err), "%s", m->err.data);
}

static void check_gradients(bool exact, double tolerance)
{
    Model m = model(exact);
    Truth t = truth(&m);
    bake(&m);
    exec_zero_grads(m.exec);
    for (int round = 1; round <= 2; round++) { /* gradients add up */
        cr_assert(exec_forward(m.exec, m.loss, &m.err), "%s", m.err.data);
        float loss = *(const float *)exec_result(m.exec, m.loss, 0);
        cr_assert_lt(fabs(loss / t.loss - 1), tolerance, "%g, not %g", loss, t.loss);
        cr_assert(exec_backward(m.exec, m.loss, &m.err), "%s", m.err.data);
        cr_assert_lt(farthest(t.embed, exec_param(m.exec, 0)->grad, V * D, round), tolerance);
        cr_assert_lt(farthest(t.head, exec_param(m.exec, 1)->grad, V * D, round), tolerance);
        for (uint32_t l = 0; l < LAYERS; l++)
            cr_assert_lt(farthest(t.w[l], exec_param(m.exec, 2 + l)->grad, D * D, round), tolerance);
    }
    cr_assert(!exec_overflowed(m.exec));
    cr_assert_eq(exec_counters(m.exec)->evals, 2 * (2 * LAYERS + 1));
    end(&m);
}

Test(exec, loss_and_gradients_are_right_with_fp16_on_the_way)
{
    check_gradients(false, 4e-3);
}

Test(exec, loss_and_gradients_are_right_with_wide_ports)
{
    check_gradients(true, 2e-6);
}

Test(exec, descending_the_gradient_lowers_the_loss)
{
    Model m = model(false);
    float first = 0, loss = 0;
    for (int step = 0; step < 12; step++) {
        bake(&m);
        exec_zero_grads(m.exec);
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err), "%s", m.err.data);
        loss = *(const float *)exec_result(m.exec, m.loss, 0);
        first = step ? first : loss;
        for (uint32_t id = 0; id < exec_params(m.exec); id++)
            for (size_t i = 0; !exec_param(m.exec, id)->group->frozen && i < exec_param(m.exec, id)->numel; i++)
                exec_param(m.exec, id)->value[i] -= 0.03f * exec_param(m.exec, id)->grad[i];
    }
    cr_assert_lt(loss, 0.5f * first);
    /* each step compiles what changed: 3 forward, 3 backward; the program of the frozen parameter once */
    cr_assert_eq(exec_counters(m.exec)->compiles, 12 * 6 + 1);
    cr_assert_eq(exec_counters(m.exec)->reused, 11);
    end(&m);
}

Test(exec, baking_compiles_only_what_changed)
{
    Model m = model(false);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD), 4);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 7);
    cr_assert_eq(exec_rebake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 6);
    cr_assert(exec_bake(m.exec, m.loss, EXEC_FORWARD, &m.err));
    cr_assert_eq(exec_counters(m.exec)->compiles, 4);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
    exec_param(m.exec, 3)->value[5] += 1; /* layers.3.w */
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 2);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 9);
    exec_param(m.exec, 0)->value[0] += 1; /* in no program */
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 9);
    cr_assert_eq(exec_bake_cost(m.exec, exec_entry(m.exec, "count"), EXEC_FORWARD), 0);
    end(&m);
}

Test(exec, evaluating_makes_no_requests_and_no_surfaces)
{
    Model m = model(false);
    bake(&m);
    DeviceCounts before = device_counts(m.device);
    for (int i = 0; i < 3; i++)
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    DeviceCounts after = device_counts(m.device);
    cr_assert_gt(after.evals, before.evals);
    cr_assert(after.requests == before.requests && after.surfaces == before.surfaces && after.programs == before.programs);
    end(&m);
}

Test(exec, weights_are_replaced_without_compiling_where_the_plan_says_so)
{
    Model m = model_with(false, "reload"), other = model(false);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 7);
    cr_assert_eq(exec_rebake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    for (int i = 0; i < 2; i++) {
        exec_param(m.exec, 3)->value[5] += 1; /* layers.3.w, forward and backward */
        cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
        bake(&m);
    }
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    cr_assert_eq(exec_counters(m.exec)->reloads, 4);
    exec_param(other.exec, 3)->value[5] += 2;
    bake(&other);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_forward(other.exec, other.loss, &other.err));
    cr_assert(exec_backward(m.exec, m.loss, &m.err) && exec_backward(other.exec, other.loss, &other.err));
    cr_assert_eq(*(const float *)exec_result(m.exec, m.loss, 0), *(const float *)exec_result(other.exec, other.loss, 0));
    for (uint32_t id = 0; id < exec_params(m.exec); id++) /* to the last bit */
        cr_assert(exec_param(m.exec, id)->group->frozen ||
                  memcmp(exec_param(m.exec, id)->grad, exec_param(other.exec, id)->grad,
                         exec_param(m.exec, id)->numel * sizeof(float)) == 0);
    end(&m);
    end(&other);
}

Test(exec, weights_beyond_fp16_are_clamped_and_counted)
{
    Model m = model(false);
    exec_param(m.exec, 2)->value[0] = 1e6f;
    exec_param(m.exec, 2)->value[1] = -70000;
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->saturated_weights, 4); /* forward and backward */
    end(&m);
}

Test(exec, a_loss_scale_that_is_too_large_shows)
{
    Model m = model(false);
    bake(&m);
    exec_zero_grads(m.exec);
    *(float *)exec_input(m.exec, m.loss, 2) = 1e6f;
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    cr_assert(exec_overflowed(m.exec));
    cr_assert_gt(exec_counters(m.exec)->clamped, 0);
    exec_zero_grads(m.exec);
    cr_assert(!exec_overflowed(m.exec));
    *(float *)exec_input(m.exec, m.loss, 2) = 1024;
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    cr_assert(!exec_overflowed(m.exec));
    Truth t = truth(&m);
    cr_assert_lt(farthest(t.head, exec_param(m.exec, 1)->grad, V * D, 1024), 4e-3);
    end(&m);
}

Test(exec, states_survive_between_calls_and_entries)
{
    Model    m = model(false);
    uint32_t count = exec_entry(m.exec, "count");
    bake(&m);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_forward(m.exec, m.loss, &m.err));
    cr_assert(exec_forward(m.exec, count, &m.err));
    cr_assert_eq(*(const int32_t *)exec_result(m.exec, count, 0), 9);
    exec_reset_states(m.exec, 0);
    cr_assert_eq(*(const int32_t *)exec_state(m.exec, 0)->value, 7);
    cr_assert_str_eq(exec_state(m.exec, 0)->path, "seen");
    end(&m);
}

Test(exec, order_of_calls_is_checked)
{
    Model m = model(false);
    cr_assert(!exec_forward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss', step 'fwd', L = 2: the program was not compiled; exec_bake() comes first");
    bake(&m);
    buf_clear(&m.err);
    cr_assert(!exec_backward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss' must run forward before it runs backward");
    cr_assert(exec_forward(m.exec, m.loss, &m.err));
    cr_assert(exec_forward(m.exec, exec_entry(m.exec, "count"), &m.err)); /* may have used the same buffers */
    buf_clear(&m.err);
    cr_assert(!exec_backward(m.exec, m.loss, &m.err));
    cr_assert(!exec_backward(m.exec, exec_entry(m.exec, "count"), &m.err));
    cr_assert_eq(exec_entry(m.exec, "none"), EXEC_NO_ENTRY);
    ((int32_t *)exec_input(m.exec, m.loss, 0))[3] = 5;
    buf_clear(&m.err);
    cr_assert(!exec_forward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss', step 'gather' rows of embed, tokens: index 5 of 5 (element 3)");
    end(&m);
}

Test(exec, parameters_are_where_and_what_the_plan_says)
{
    Model  m = model(false);
    size_t floats = exec_floats(m.plan);
    float *mine = aligned_alloc(64, (2 * floats * sizeof(float) + 63) / 64 * 64);
    memset(mine, 0, 2 * floats * sizeof(float));
    Exec *e = exec_open(m.plan, m.dir, m.device, &(ExecOptions){.param = mine, .grad = mine + floats}, &m.err);
    cr_assert(e != NULL, "%s", m.err.data);
    cr_assert_eq(exec_params(e), 6);
    cr_assert_str_eq(exec_param(e, 4)->path, "layers.4.w");
    cr_assert_eq(exec_param(e, 4)->index, 4);
    cr_assert(exec_param(e, 5)->group->frozen);
    cr_assert_null(exec_param(e, 5)->grad);
    exec_init_params(e, 9);
    for (uint32_t id = 0; id < exec_params(e); id++) {
        const ExecParam *p = exec_param(e, id);
        cr_assert(p->value >= mine && p->value + p->numel <= mine + floats);
        if (!p->group->frozen)
            cr_assert_eq(p->grad - p->value, (ptrdiff_t)floats);
        cr_assert_eq((uintptr_t)p->value % 64, 0);
    }
    cr_assert_eq(exec_param(e, 2)->value[3], (float)(0.25 * rng_normal(rng_key(9, "layers.2.w"), 3)));
    exec_close(e);
    cr_assert_neq(mine[0], 0.0f); /* ours to keep */
    free(mine);
    end(&m);
}

static void expect_refused(Model *m, const char *message)
{
    buf_clear(&m->err);
    Exec *e = exec_open(m->plan, m->dir, m->device, NULL, &m->err);
    cr_assert(e == NULL);
    cr_assert(strstr(m->err.data, message) != NULL, "%s", m->err.data);
}

Test(exec, damaged_plans_are_refused)
{
    Model m = model(false);
    char  why[FILE_ERR_MAX], *data;
    size_t len;
    char *text = path_join(m.arena, m.dir, "mil/layer.mil"), *table = arena_printf(m.arena, "%s/const/%s.blob", m.dir,
                                                                                  m.plan->table[0].hash);
    cr_assert(file_read(m.arena, table, &data, &len, why));
    data[len - 1] ^= 1;
    cr_assert(file_write(table, data, len, why));
    expect_refused(&m, "(table 'one'): the file is damaged: its hash is not its name; make the plan again");
    data[len - 1] ^= 1;
    cr_assert(file_write(table, data, len, why));
    cr_assert(file_write(text, mil, sizeof mil - 2, why));
    expect_refused(&m, "was changed after the plan was made");
    cr_assert_eq(unlink(text), 0);
    expect_refused(&m, "program 'fwd': cannot open");
    end(&m);
}

Test(exec, ports_that_differ_from_the_program_are_refused)
{
    Model m = model(false);
    Exec *e = exec_open(m.plan, m.dir, m.device, NULL, &m.err);
    m.plan->program[0].in[0].name = "i00_z";
    cr_assert(!exec_bake(e, m.loss, EXEC_FORWARD, &m.err));
    cr_assert(strstr(m.err.data, "port 'i00_x' of the MIL text (fp16, 96 bytes) is 'i00_z' in the plan") != NULL, "%s",
              m.err.data);
    exec_close(e);
    end(&m);
}

Test(exec, the_profile_adds_up)
{
    Model m = model(false);
    Buf   out = {0};
    bake(&m);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    exec_profile(m.exec, &out);
    cr_assert(strstr(out.data, "fwd ") && strstr(out.data, "matmul") && strstr(out.data, "move"));
    cr_assert_gt(exec_counters(m.exec)->seconds[EXEC_DEVICE], 0.0);
    cr_assert_gt(exec_counters(m.exec)->seconds[EXEC_COMPILE], 0.0);
    cr_assert_gt(exec_bytes(m.exec), 1000);
    buf_free(&out);
    end(&m);
}

/* Two programs with y = x + w x, on the way forward 2 * 32752 = 65504, on the way back 2 * 32752 too. Hardware that clamps
 * gives the same for everything larger. */
Test(exec, cotangents_at_the_edge_of_fp16_are_an_overflow_and_forward_values_are_not)
{
    for (int backward = 0; backward < 2; backward++) {
        Model m = model(false);
        for (uint32_t id = 0; id < exec_params(m.exec); id++)
            memset(exec_param(m.exec, id)->value, 0, exec_param(m.exec, id)->numel * sizeof(float));
        for (int i = 0; i < D; i++)
            exec_param(m.exec, 2)->value[i * D + i] = 1; /* layers.2.w: twice x */
        int32_t *token = exec_input(m.exec, m.loss, 0), *target = exec_input(m.exec, m.loss, 1);
        for (int i = 0; i < S; i++) {
            token[i] = 0;
            target[i] = 1;
        }
        float *scale = exec_input(m.exec, m.loss, 2);
        *scale = 1;
        if (backward) { /* a cotangent of the logits is 1/5, or -4/5 at the target */
            *scale = 40940;
            exec_param(m.exec, 1)->value[1 * D] = -1; /* head: one channel */
        } else {
            exec_param(m.exec, 0)->value[0] = 32752;
        }
        bake(&m);
        exec_zero_grads(m.exec);
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
        cr_assert_eq(exec_counters(m.exec)->clamped + exec_counters(m.exec)->nonfinite, 0);
        cr_expect_eq(exec_overflowed(m.exec), backward == 1);
        end(&m);
    }
}

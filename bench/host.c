/* host.c: how much faster the host device's kernels for this machine are than its portable ones.
 *
 * Each program runs on two devices, one of them plain, turn by turn; the median time of each and their ratio is printed.
 * On a machine shared with others the ratio means something, the times do not. */
#include "device.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TURNS = 41, PORTS = 3 };
#define MAIN(params, body) "program(1.3)\n{\n  func main<ios18>(" params ") {\n" body "\n  } -> (y);\n}\n"
#define T(shape) "tensor<fp16, [" shape "]> "

static const struct {
    const char *name, *text;
} work[] = {
    {"identity", MAIN(T("1, 512, 1, 256") "x", T("1, 512, 1, 256") "y = identity(x = x);")},
    {"mul", MAIN(T("1, 512, 1, 256") "x, " T("1, 512, 1, 256") "z", T("1, 512, 1, 256") "y = mul(x = x, y = z);")},
    {"mul by columns", MAIN(T("1, 512, 1, 256") "x, " T("1, 1, 1, 256") "z", T("1, 512, 1, 256") "y = mul(x = x, y = z);")},
    {"sigmoid", MAIN(T("1, 512, 1, 256") "x", T("1, 512, 1, 256") "y = sigmoid(x = x);")},
    {"softmax", MAIN(T("1, 8, 256, 256") "x", T("1, 8, 256, 256") "y = softmax(x = x, axis = -1);")},
    {"strict sum", MAIN(T("1, 512, 1, 256") "x", T("1, 1, 1, 256") "y = reduce_sum(x = x, axes = [1], keep_dims = true);")},
    {"matmul", MAIN(T("1, 8, 64, 256") "x, " T("1, 8, 64, 256") "z",
                    T("1, 8, 256, 256") "y = matmul(x = x, y = z, transpose_x = true, transpose_y = false);")},
    {"swiglu", MAIN(T("1, 512, 1, 256") "x, " T("1, 512, 1, 256") "z",
                    T("1, 512, 1, 256") "a = sigmoid(x = x);\n" T("1, 512, 1, 256") "b = mul(x = x, y = a);\n"
                    T("1, 512, 1, 256") "y = mul(x = b, y = z);")},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static Request *prepare(Device *d, const char *text, Buf *err)
{
    Program *p = program_compile(d, "bench.mil", text, strlen(text), NULL, 0, err);
    if (!p)
        return NULL;
    const ProgramFunction *f = program_function(p, 0);
    Surface               *in[PORTS] = {0}, *out[PORTS] = {0};
    for (uint32_t i = 0; i < f->inputs; i++) {
        in[i] = surface_new(d, f->input[i].bytes, err);
        uint16_t *x = surface_lock(in[i], true);
        for (size_t k = 0; k < f->input[i].bytes / 2; k++)
            x[k] = (uint16_t)(0x3800 + rng_u64(i, k) % 0x800); /* 0.5 to 2 */
        surface_unlock(in[i], true);
    }
    out[0] = surface_new(d, f->output[0].bytes, err);
    return request_new(p, 0, in, out, err); /* all of it lives until the process ends */
}

int main(void)
{
    Buf     err = {0};
    Device *fast = device_open("host", &(DeviceOptions){0}, &err);
    Device *plain = device_open("host", &(DeviceOptions){.plain = true}, &err);
    printf("%-16s %10s %10s %7s\n", "program", "plain us", "fast us", "ratio");
    for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
        double   time[2][TURNS];
        Request *request[2] = {prepare(plain, work[i].text, &err), prepare(fast, work[i].text, &err)};
        for (int turn = 0; turn < 2 * TURNS; turn++) {
            double t0 = now();
            if (!request[turn % 2] || !request_eval(request[turn % 2], &err)) {
                fprintf(stderr, "%s: %s\n", work[i].name, err.data);
                return 1;
            }
            time[turn % 2][turn / 2] = 1e6 * (now() - t0);
        }
        for (int s = 0; s < 2; s++)
            qsort(time[s], TURNS, sizeof **time, by_size);
        double a = time[0][TURNS / 2], b = time[1][TURNS / 2];
        printf("%-16s %10.0f %10.0f %7.2f\n", work[i].name, a, b, a / b);
    }
    return 0;
}

/* rig.c: see rig.h. */
#include "rig.h"

#include "base/f16.h"
#include "base/file.h"
#include "plan/blob.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD                                                                                                             \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", " \
    "\"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}})]\n{\n"
#define T "tensor<fp16, [1, 64, 1, 64]> "

const char two_mil[] = HEAD "    func main<ios18>(" T "i00_a, " T "i01_b) {\n"
                            "        " T "o00_d = sub(x = i00_a, y = i01_b)[name = string(\"o00_d\")];\n"
                            "        " T "o01_m = mul(x = i00_a, y = i01_b)[name = string(\"o01_m\")];\n"
                            "    } -> (o00_d, o01_m);\n}\n";

const char weighted_mil[] = HEAD
    "    func main<ios18>(" T "i00_x) {\n"
    "        tensor<int32, [2]> one = const()[name = string(\"one\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        tensor<int32, [4]> zero = const()[name = string(\"zero\"), val = tensor<int32, [4]>([0, 0, 0, 0])];\n"
    "        int32 g = const()[name = string(\"g\"), val = int32(1)];\n"
    "        string valid = const()[name = string(\"valid\"), val = string(\"valid\")];\n"
    "        tensor<fp16, [64, 64, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [64, 64, 1, "
    "1]>(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
    "        " T "o00_y = conv(dilations = one, groups = g, pad = zero, pad_type = valid, strides = one, weight = w, x = "
    "i00_x)[name = string(\"o00_y\")];\n"
    "    } -> (o00_y);\n}\n";

const char bank_mil[] = HEAD "    func first<ios18>(" T "a00_x) {\n"
                             "        fp16 m = const()[name = string(\"m\"), val = fp16(-0x1p+0)];\n"
                             "        " T "a10_y = mul(x = a00_x, y = m)[name = string(\"a10_y\")];\n"
                             "    } -> (a10_y);\n"
                             "    func second<ios18>(" T "b00_x) {\n"
                             "        fp16 m = const()[name = string(\"m\"), val = fp16(0x1p+1)];\n"
                             "        " T "b10_y = mul(x = b00_x, y = m)[name = string(\"b10_y\")];\n"
                             "    } -> (b10_y);\n"
                             "    func third<ios18>(" T "c00_x, " T "c01_y) {\n"
                             "        " T "c10_z = add(x = c00_x, y = c01_y)[name = string(\"c10_z\")];\n"
                             "    } -> (c10_z);\n}\n";

/* ---- processes ---- */

static char  tmp[64], record[80];
static char *record_text;
static char  program_name[] = "test.mil";

static bool empty_directory(const char *path)
{
    DIR   *d = opendir(path);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n == 0;
}

static int run(const Case *c, bool quiet)
{
    char why[FILE_ERR_MAX];
    snprintf(tmp, sizeof tmp, "/tmp/anel-ane-XXXXXX");
    if (!mkdtemp(tmp))
        return -1;
    snprintf(record, sizeof record, "%s.record", tmp);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("TMPDIR", tmp, 1);
        setenv("ANEL_FAKE", c->words ? c->words : "", 1);
        setenv("ANEL_FAKE_RECORD", record, 1);
        if (quiet || c->aborts)
            (void)!freopen("/dev/null", "w", stderr);
        c->run();
        exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    int result = c->aborts && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 0
                 : !c->aborts && WIFEXITED(status)                              ? WEXITSTATUS(status)
                                                                                : -1;
    if (result && !quiet)
        printf("%s: ended with status %#x\n", c->name, (unsigned)status);
    if (!c->aborts && result >= 0 && !empty_directory(tmp)) {
        if (!quiet)
            printf("%s: something is left in the temporary directory\n", c->name);
        result = -1;
    }
    (void)unlink(record);
    (void)dir_remove(tmp, why);
    return result;
}

int rig_run_one(const Case *c)
{
    return run(c, true);
}

int rig_run(const char *fake, const Case *c, size_t n)
{
    int failed = 0;
    setenv("ANEL_ANE_LIBRARY", fake, 1);
    for (size_t i = 0; i < n; i++) {
        bool ok = run(&c[i], false) == 0;
        printf("%s %s\n", ok ? "ok" : "FAIL", c[i].name);
        failed += !ok;
    }
    return failed;
}

void rig_fail(const char *file, int line, const char *what, const char *detail)
{
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, detail ? detail : "");
    fflush(NULL);
    _Exit(1);
}

const char *rig_record(void)
{
    Arena *a = arena_new();
    char   why[FILE_ERR_MAX], none[] = "", *text = none;
    size_t len;
    (void)file_read(a, record, &text, &len, why);
    free(record_text);
    record_text = strcpy(xmalloc(strlen(text) + 1), text);
    arena_free(a);
    return record_text;
}

unsigned rig_recorded(const char *what)
{
    unsigned n = 0;
    for (const char *p = rig_record(); p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        n += strncmp(p, what, strlen(what)) == 0;
    return n;
}

const char *rig_tmp(void)
{
    return tmp;
}

/* ---- programs ---- */

Device *rig_open(const DeviceOptions *o)
{
    Buf     err = {0};
    Device *d = device_open("ane", o, &err);
    CHECK(d != NULL, err.data);
    return d;
}

static int weight(uint64_t key, size_t i)
{
    return (int)((i * 7 + key * 13 + i / 64 * (key + 3)) % 5) - 2;
}

DeviceFile rig_weights(uint64_t key)
{
    static Buf file[4];
    static int next;
    uint16_t   half[C * C];
    Buf       *f = &file[next++ % 4];
    buf_free(f);
    *f = (Buf){0};
    for (size_t i = 0; i < C * C; i++)
        half[i] = f16_from_f32((float)weight(key, i));
    blob_begin(f);
    blob_add(f, BLOB_F16, half, sizeof half);
    return (DeviceFile){.path = "@model_path/weights/w.bin", .data = f->data, .len = f->len};
}

static Program *compile(Device *d, const char *mil, Buf *err)
{
    DeviceFile file = rig_weights(1);
    return program_compile(d, program_name, mil, strlen(mil), &file, mil == weighted_mil, err);
}

Program *rig_compile(Device *d, const char *mil)
{
    Buf      err = {0};
    Program *p = compile(d, mil, &err);
    CHECK(p != NULL, err.data);
    CHECK(device_refusal(d) == REFUSED_NOT, "");
    buf_free(&err);
    return p;
}

void rig_refuses(Device *d, const char *mil, Refusal why, const char *words)
{
    Buf      err = {0};
    Program *p = compile(d, mil, &err);
    CHECK(p == NULL, "it was compiled");
    CHECK(strstr(err.data, words) != NULL, err.data);
    CHECK(strstr(err.data, program_name) != NULL, err.data);
    CHECK(device_refusal(d) == why, err.data);
    buf_free(&err);
}

bool rig_bind(Bound *b, Device *d, Program *p, uint32_t function)
{
    const ProgramFunction *f = program_function(p, function);
    *b = (Bound){.program = p, .function = function};
    for (uint32_t i = 0; i < f->inputs + f->outputs; i++) {
        const Port *port = i < f->inputs ? &f->input[i] : &f->output[i - f->inputs];
        if (!(b->surface[i] = surface_new(d, port_surface_bytes(port), &b->err)))
            return false;
    }
    b->request = request_new(p, function, b->surface, b->surface + f->inputs, &b->err);
    return b->request != NULL;
}

void rig_unbind(Bound *b)
{
    request_free(b->request);
    for (int i = 0; i < 8; i++)
        surface_free(b->surface[i]);
    buf_free(&b->err);
}

static int input(int seed, uint32_t port, size_t i)
{
    return (int)((i * 11 + (size_t)seed * 5 + port * 17 + i / 64) % 7) - 3;
}

bool rig_eval(Bound *b, int seed)
{
    const ProgramFunction *f = program_function(b->program, b->function);
    for (uint32_t k = 0; k < f->inputs; k++) {
        uint16_t *x = surface_lock(b->surface[k], true);
        for (size_t i = 0; i < N; i++)
            x[i] = f16_from_f32((float)input(seed, k, i));
        surface_unlock(b->surface[k], true);
    }
    buf_clear(&b->err);
    return request_eval(b->request, &b->err);
}

static int expected(const char *mil, uint32_t function, uint32_t output, int seed, uint64_t key, size_t i)
{
    int x = input(seed, 0, i), y = input(seed, 1, i), sum = 0;
    if (mil == two_mil)
        return output ? x * y : x - y;
    if (mil == bank_mil)
        return function == 0 ? -x : function == 1 ? 2 * x : x + y;
    for (size_t c = 0; c < C; c++)
        sum += weight(key, i / S * C + c) * input(seed, 0, c * S + i % S);
    return sum;
}

bool rig_right(const Bound *b, const char *mil, int seed, uint64_t key)
{
    const ProgramFunction *f = program_function(b->program, b->function);
    bool                   right = true;
    for (uint32_t k = 0; k < f->outputs; k++) {
        Surface        *s = b->surface[f->inputs + k];
        const uint16_t *y = surface_lock(s, false);
        for (size_t i = 0; i < N; i++)
            right = right && (int)f16_to_f32(y[i]) == expected(mil, b->function, k, seed, key, i);
        surface_unlock(s, false);
    }
    return right;
}

void rig_once(Device *d, const char *mil)
{
    Program *p = rig_compile(d, mil);
    for (uint32_t f = 0; f < program_functions(p); f++) {
        Bound b;
        CHECK(rig_bind(&b, d, p, f), b.err.data);
        for (int seed = 0; seed < 2; seed++) {
            CHECK(rig_eval(&b, seed), b.err.data);
            CHECK(rig_right(&b, mil, seed, 1), "wrong numbers");
        }
        rig_unbind(&b);
    }
    program_free(p);
}

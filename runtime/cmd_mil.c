/* cmd_mil.c: `anerun mil`: run one function of a MIL program, NumPy files in, NumPy files out.
 *
 * Everything of one run hangs on a Job, so that every way out frees the same things. Weight files are those the text
 * names in strings starting with @model_path/; they are read from below the directory given with --weights and nowhere
 * else. */
#include "anerun.h"
#include "base/f16.h"
#include "base/file.h"
#include "device.h"
#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: anerun mil PROGRAM.mil --out DIR [options]\n"
    "\n"
    "Run a function of a MIL program and write each of its outputs to DIR/NAME.npy.\n"
    "\n"
    "  --weights ROOT           the directory @model_path stands for (default: the program's)\n"
    "  --in NAME=FILE.npy       an input; give one for each input of the function\n"
    "  --out DIR                where outputs go; created if missing\n"
    "  --function NAME          default: main, or the only function there is\n"
    "  --device NAME            what executes the program (default: host)\n"
    "  --numerics ane|exact     fp16 after every operation, or fp64 throughout (default: ane)\n"
    "  --reduce strict|lenient  sums in fp16 or wide; with --numerics ane (default: strict)\n"
    "  --help                   this text\n";

typedef struct {
    const char *name; /* not terminated: `len` bytes */
    size_t      len;
    const char *path;
} Input;

typedef struct {
    Arena        *arena;
    const char   *program, *weights, *out, *function, *device;
    DeviceOptions options;
    Input        *input;
    uint32_t      inputs, inputs_cap;
    DeviceFile   *file;
    uint32_t      files, files_cap;
    Device       *dev;
    Program      *prog;
    Surface     **surface; /* inputs, then outputs */
    uint32_t      surfaces;
    Request      *request;
    Buf           err;
} Job;

static bool complain(Job *j, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool complain(Job *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_puts(&j->err, "anerun: ");
    buf_vprintf(&j->err, fmt, ap);
    buf_putc(&j->err, '\n');
    va_end(ap);
    return false;
}

/* ---- arguments ------------------------------------------------------------------------------------------------ */

static bool one_of(Job *j, const char *option, const char *value, const char *a, const char *b, bool *second)
{
    *second = strcmp(value, b) == 0;
    return *second || strcmp(value, a) == 0 || complain(j, "%s is '%s', expected %s or %s", option, value, a, b);
}

static bool add_input(Job *j, const char *text)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1])
        return complain(j, "--in takes NAME=FILE.npy, found '%s'", text);
    size_t len = (size_t)(eq - text);
    for (uint32_t i = 0; i < j->inputs; i++)
        if (j->input[i].len == len && memcmp(j->input[i].name, text, len) == 0)
            return complain(j, "--in %.*s is given twice", (int)len, text);
    GROW(j->arena, j->input, j->inputs, j->inputs_cap);
    j->input[j->inputs++] = (Input){text, len, eq + 1};
    return true;
}

static bool take_option(Job *j, const char *option, const char *value)
{
    bool second;
    if (strcmp(option, "--weights") == 0)
        j->weights = value;
    else if (strcmp(option, "--out") == 0)
        j->out = value;
    else if (strcmp(option, "--function") == 0)
        j->function = value;
    else if (strcmp(option, "--device") == 0)
        j->device = value;
    else if (strcmp(option, "--in") == 0)
        return add_input(j, value);
    else if (strcmp(option, "--numerics") == 0) {
        if (!one_of(j, option, value, "ane", "exact", &second))
            return false;
        j->options.numerics = second ? NUMERICS_EXACT : NUMERICS_ANE;
    } else {
        if (!one_of(j, option, value, "strict", "lenient", &second))
            return false;
        j->options.reduce = second ? REDUCE_LENIENT : REDUCE_STRICT;
    }
    return true;
}

static bool take_arguments(Job *j, int argc, char **argv)
{
    static const char *const known[] = {"--weights", "--out",      "--function", "--device",
                                        "--in",      "--numerics", "--reduce"};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = NULL;
        if (option[0] != '-') {
            if (j->program)
                return complain(j, "a second program '%s'", option);
            j->program = option;
            continue;
        }
        for (size_t k = 0; k < COUNT(known); k++) {
            size_t n = strlen(known[k]);
            if (strncmp(option, known[k], n) != 0 || (option[n] && option[n] != '='))
                continue;
            value = option[n] ? option + n + 1 : ++i < argc ? argv[i] : NULL;
            if (!value)
                return complain(j, "%s needs a value", known[k]);
            if (!take_option(j, known[k], value))
                return false;
            break;
        }
        if (!value)
            return complain(j, "unknown option '%s'", option);
    }
    if (!j->program)
        return complain(j, "which program? Give the name of a .mil file");
    return j->out || complain(j, "where to? Give --out DIR");
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static bool add_weights(Job *j, const char *path)
{
    const char *below = path + strlen("@model_path/");
    char        why[FILE_ERR_MAX], *data;
    size_t      len;
    for (uint32_t i = 0; i < j->files; i++)
        if (strcmp(j->file[i].path, path) == 0)
            return true;
    if (!path_is_tame(below) || strchr(below, '\\'))
        return complain(j, "the weight path '%s' leaves its directory", path);
    if (!file_read(j->arena, path_join(j->arena, j->weights, below), &data, &len, why))
        return complain(j, "%s (named in '%s'; --weights is the directory @model_path stands for)", why, j->program);
    GROW(j->arena, j->file, j->files, j->files_cap);
    j->file[j->files++] = (DeviceFile){path, data, len, false};
    return true;
}

/* Every string "@model_path/..." of the text. Comments are searched too, which may read a file too many. */
static bool find_weights(Job *j, const char *mil, size_t len)
{
    static const char start[] = "\"@model_path/";
    for (const char *p = mil; (size_t)(mil + len - p) >= sizeof start; p++) {
        if (memcmp(p, start, sizeof start - 1) != 0)
            continue;
        const char *end = memchr(p + 1, '"', (size_t)(mil + len - p - 1));
        if (!end)
            return true;
        if (!add_weights(j, arena_strndup(j->arena, p + 1, (size_t)(end - p - 1))))
            return false;
        p = end;
    }
    return true;
}

static bool compile(Job *j)
{
    char   why[FILE_ERR_MAX], *mil;
    size_t len;
    if (!j->weights) {
        char *slash, *dir = arena_strdup(j->arena, j->program);
        if ((slash = strrchr(dir, '/')))
            slash[slash == dir] = 0;
        j->weights = slash ? dir : ".";
    }
    if (!file_read(j->arena, j->program, &mil, &len, why))
        return complain(j, "%s", why);
    if (!find_weights(j, mil, len))
        return false;
    j->options.wide_ports = true;
    j->dev = device_open(j->device ? j->device : "host", &j->options, &j->err);
    if (!j->dev)
        buf_putc(&j->err, '\n');
    j->prog = j->dev ? program_compile(j->dev, j->program, mil, len, j->file, j->files, &j->err) : NULL;
    return j->prog != NULL;
}

static const ProgramFunction *choose(Job *j, uint32_t *index)
{
    const char *want = j->function ? j->function : "main";
    uint32_t    n = program_functions(j->prog);
    for (*index = 0; *index < n; ++*index)
        if (strcmp(program_function(j->prog, *index)->name, want) == 0)
            return program_function(j->prog, *index);
    if (!j->function && n == 1)
        return program_function(j->prog, *index = 0);
    complain(j, "'%s' has no function '%s'; its first is '%s'", j->program, want, program_function(j->prog, 0)->name);
    return NULL;
}

/* ---- arrays --------------------------------------------------------------------------------------------------- */

static const struct {
    NpyType npy;
    double  min, max; /* of integers; 0, 0: floats */
} port_npy[] = {
    [PORT_F16] = {NPY_F16, 0, 0},        [PORT_F32] = {NPY_F32, 0, 0},    [PORT_F64] = {NPY_F64, 0, 0},
    [PORT_I32] = {NPY_I32, -2147483648.0, 2147483647.0},                  [PORT_I8] = {NPY_I8, -128, 127},
    [PORT_U8] = {NPY_U8, 0, 255},        [PORT_I16] = {NPY_I16, -32768, 32767}, [PORT_U16] = {NPY_U16, 0, 65535},
    [PORT_BOOL] = {NPY_BOOL, 0, 1},
};

/* One element into the port's type; false if it does not fit. */
static bool put_element(PortType type, double x, void *to)
{
    double max = type == PORT_F16 ? 65504 : 3.4028234663852886e38;
    if (port_npy[type].max != 0 && (x != floor(x) || x < port_npy[type].min || x > port_npy[type].max))
        return false;
    if ((type == PORT_F16 || type == PORT_F32) && isfinite(x) && fabs(x) > max)
        return false;
    switch (type) {
    case PORT_F16:
        *(uint16_t *)to = f16_from_f64(x);
        break;
    case PORT_F32:
        *(float *)to = (float)x;
        break;
    case PORT_F64:
        *(double *)to = x;
        break;
    case PORT_I32:
        *(int32_t *)to = (int32_t)x;
        break;
    case PORT_I8:
        *(int8_t *)to = (int8_t)x;
        break;
    case PORT_U8:
    case PORT_BOOL:
        *(uint8_t *)to = (uint8_t)x;
        break;
    case PORT_I16:
        *(int16_t *)to = (int16_t)x;
        break;
    case PORT_U16:
        *(uint16_t *)to = (uint16_t)x;
        break;
    }
    return true;
}

static void shape_text(Buf *b, uint32_t rank, const int64_t *dim)
{
    buf_putc(b, '[');
    for (uint32_t i = 0; i < rank; i++)
        buf_printf(b, "%s%" PRId64, i ? ", " : "", dim[i]);
    buf_putc(b, ']');
}

static bool fill_input(Job *j, const Port *port, Surface *s)
{
    const Input *in = NULL;
    char         why[FILE_ERR_MAX], *data;
    size_t       len;
    Npy          a;
    for (uint32_t i = 0; i < j->inputs; i++)
        if (strlen(port->name) == j->input[i].len && memcmp(port->name, j->input[i].name, j->input[i].len) == 0)
            in = &j->input[i];
    if (!in)
        return complain(j, "the input '%s' is missing: give --in %s=FILE.npy", port->name, port->name);
    if (!file_read(j->arena, in->path, &data, &len, why))
        return complain(j, "%s", why);
    Buf text = {0};
    if (!npy_parse(data, len, &a, &text)) {
        complain(j, "%s: %s", in->path, text.data);
        buf_free(&text);
        return false;
    }
    if (a.rank != port->rank || memcmp(a.dim, port->dim, a.rank * sizeof *a.dim) != 0) {
        buf_printf(&text, "%s: the array has shape ", in->path);
        shape_text(&text, a.rank, a.dim);
        buf_printf(&text, ", the input '%s' is ", port->name);
        shape_text(&text, port->rank, port->dim);
        complain(j, "%s", text.data);
        buf_free(&text);
        return false;
    }
    char   *to = surface_lock(s, true);
    int64_t bad = -1;
    for (int64_t i = 0; i < a.count && bad < 0; i++)
        if (!put_element(port->type, npy_number(&a, i), to + (size_t)i * port_elem_bytes(port->type)))
            bad = i;
    surface_unlock(s, true);
    return bad < 0 || complain(j, "%s: element %" PRId64 " is %g, which does not fit the input '%s' of type %s",
                               in->path, bad, npy_number(&a, bad), port->name, port_type_name(port->type));
}

static bool write_output(Job *j, const Port *port, Surface *s)
{
    char why[FILE_ERR_MAX];
    Buf  file = {0};
    npy_write(&file, port_npy[port->type].npy, port->rank, port->dim, surface_lock(s, false));
    surface_unlock(s, false);
    bool ok = file_write(arena_printf(j->arena, "%s/%s.npy", j->out, port->name), file.data, file.len, why);
    buf_free(&file);
    return ok || complain(j, "%s", why);
}

static bool run(Job *j)
{
    uint32_t index;
    char     why[FILE_ERR_MAX];
    if (!compile(j))
        return false;
    const ProgramFunction *f = choose(j, &index);
    if (!f)
        return false;
    for (uint32_t i = 0; i < j->inputs; i++) {
        bool known = false;
        for (uint32_t k = 0; k < f->inputs; k++)
            known |= strlen(f->input[k].name) == j->input[i].len &&
                     memcmp(f->input[k].name, j->input[i].name, j->input[i].len) == 0;
        if (!known)
            return complain(j, "function '%s' has no input '%.*s'", f->name, (int)j->input[i].len, j->input[i].name);
    }
    j->surfaces = f->inputs + f->outputs;
    j->surface = NEW_N(j->arena, Surface *, j->surfaces + 1);
    for (uint32_t i = 0; i < j->surfaces; i++) {
        const Port *port = i < f->inputs ? &f->input[i] : &f->output[i - f->inputs];
        if (!(j->surface[i] = surface_new(j->dev, port_surface_bytes(port), &j->err)) ||
            (i < f->inputs && !fill_input(j, port, j->surface[i])))
            return false;
    }
    j->request = request_new(j->prog, index, j->surface, j->surface + f->inputs, &j->err);
    if (!j->request || !request_eval(j->request, &j->err))
        return false;
    if (!dir_make(j->out, why))
        return complain(j, "%s", why);
    for (uint32_t i = 0; i < f->outputs; i++)
        if (!write_output(j, &f->output[i], j->surface[f->inputs + i]))
            return false;
    return true;
}

int cmd_mil(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_OK;
        }
    Job  j = {.arena = arena_new()};
    bool usage = !take_arguments(&j, argc, argv);
    bool ok = !usage && run(&j);
    if (j.err.len)
        fputs(j.err.data, stderr);
    if (usage)
        fputs("'anerun mil --help' tells more.\n", stderr);
    request_free(j.request);
    for (uint32_t i = 0; i < j.surfaces; i++)
        surface_free(j.surface[i]);
    program_free(j.prog);
    device_close(j.dev);
    buf_free(&j.err);
    arena_free(j.arena);
    return usage ? EXIT_USAGE : ok ? EXIT_OK : EXIT_FAILED;
}

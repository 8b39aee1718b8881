/* mil_text.c: see mil_text.h. */
#include "backend_ane/mil_text.h"

#include "base/f16.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opens every program; the version numbers are parsed but not checked strictly (all projects). */
static const char mil_header[] = "program(1.3)\n"
                                 "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "
                                 "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, "
                                 "{\"coremltools-version\", \"9.0\"}})]\n";

typedef struct {
    const char *name, *text; /* the whole statement without indentation */
} Const;

typedef struct {
    const char *text;
    Span        at, from;
    bool        backward;
    const char *what;
} Line;

struct MilText {
    Arena       *a;
    Const       *constant;
    uint32_t     constants, constants_cap;
    Line        *line;
    uint32_t     lines, lines_cap;
    const char **used; /* value names taken */
    uint32_t     useds, useds_cap;
    const char **in;
    uint32_t     ins, ins_cap;
    const char **out;
    uint32_t     outs, outs_cap;
    Line         origin;
};

MilText *mil_text_new(Arena *a)
{
    MilText *t = NEW(a, MilText);
    t->a = a;
    t->origin.what = "";
    return t;
}

int64_t mil_numel(MilShape s)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

bool mil_shape_equal(MilShape a, MilShape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, a.rank * sizeof *a.dim) == 0;
}

static const char *tensor_type(Arena *a, const char *dtype, MilShape s)
{
    Buf b = {0};
    buf_printf(&b, "tensor<%s, [", dtype);
    for (uint32_t i = 0; i < s.rank; i++)
        buf_printf(&b, i ? ", %d" : "%d", s.dim[i]);
    buf_puts(&b, "]>");
    const char *r = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return r;
}

/* Add a constant unless one of that name is there: equal names mean equal contents. */
static const char *constant(MilText *t, const char *name, const char *type, const char *value)
{
    for (uint32_t i = 0; i < t->constants; i++)
        if (strcmp(t->constant[i].name, name) == 0)
            return t->constant[i].name;
    Const c = {name, arena_printf(t->a, "%s %s = const()[name = string(\"%s\"), val = %s];", type, name, name, value)};
    GROW(t->a, t->constant, t->constants, t->constants_cap);
    t->constant[t->constants++] = c;
    return name;
}

/* "_12" or "_m12" for a negative number: names have no minus sign. */
static void number_suffix(Buf *b, int32_t v)
{
    buf_printf(b, v < 0 ? "_m%lld" : "_%lld", v < 0 ? -(long long)v : (long long)v);
}

const char *mil_int(MilText *t, int32_t v)
{
    Buf b = {0};
    buf_puts(&b, "c_i");
    number_suffix(&b, v);
    const char *name = arena_strdup(t->a, b.data);
    buf_free(&b);
    return constant(t, name, "int32", arena_printf(t->a, "int32(%d)", v));
}

const char *mil_ints_named(MilText *t, const char *name, const int32_t *v, uint32_t n)
{
    Buf value = {0};
    const char *type = tensor_type(t->a, "int32", (MilShape){1, {(int32_t)n}});
    buf_printf(&value, "%s([", type);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&value, i ? ", %d" : "%d", v[i]);
    buf_puts(&value, "])");
    const char *r = constant(t, mil_name(t, name), type, value.data);
    buf_free(&value);
    return r;
}

const char *mil_ints(MilText *t, const int32_t *v, uint32_t n)
{
    Buf name = {0};
    buf_printf(&name, "c_i%u", n);
    for (uint32_t i = 0; i < n; i++)
        number_suffix(&name, v[i]);
    const char *r = NULL;
    for (uint32_t i = 0; i < t->constants && !r; i++)
        if (strcmp(t->constant[i].name, name.data) == 0)
            r = t->constant[i].name;
    if (!r)
        r = mil_ints_named(t, name.data, v, n);
    buf_free(&name);
    return r;
}

const char *mil_bool(MilText *t, bool v)
{
    return constant(t, v ? "c_true" : "c_false", "bool", v ? "bool(true)" : "bool(false)");
}

const char *mil_half(MilText *t, double v)
{
    uint16_t h = f16_from_f64(f16_clamp(v));
    return constant(t, arena_printf(t->a, "c_h_%04x", h), "fp16",
                    arena_printf(t->a, "fp16(%a)", (double)f16_to_f32(h)));
}

const char *mil_string(MilText *t, const char *v)
{
    return constant(t, arena_printf(t->a, "c_s_%s", v), "string", arena_printf(t->a, "string(\"%s\")", v));
}

const char *mil_file(MilText *t, const char *name, const char *path, MilShape shape)
{
    const char *type = tensor_type(t->a, "fp16", shape);
    const char *value =
        arena_printf(t->a, "%s(BLOBFILE(path = string(\"@model_path/%s\"), offset = uint64(64)))", type, path);
    for (uint32_t i = 0; i < t->constants; i++)
        if (strcmp(t->constant[i].name, name) == 0 && !strstr(t->constant[i].text, value)) {
            const char *file = strrchr(path, '/');
            name = arena_printf(t->a, "%s_%.8s", name, file ? file + 1 : path);
            break;
        }
    return constant(t, arena_strdup(t->a, name), type, value);
}

enum { NAME_MAX_BYTES = 60 };

const char *mil_name(MilText *t, const char *base)
{
    char   clean[NAME_MAX_BYTES + 1], hash[HASH_HEX];
    size_t n = 0, len = strlen(base);
    if (*base >= '0' && *base <= '9')
        clean[n++] = '_';
    for (const char *c = base; *c && n < NAME_MAX_BYTES; c++)
        clean[n++] = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ? *c : '_';
    clean[n] = 0;
    if (n == NAME_MAX_BYTES && len > n) {
        hash_hex(base, len, hash);
        snprintf(clean + NAME_MAX_BYTES - 7, 8, "_%.6s", hash);
    }
    const char *name = arena_strdup(t->a, clean);
    for (uint32_t k = 2, again = 1; again; k++) {
        again = 0;
        for (uint32_t i = 0; i < t->useds; i++)
            if (strcmp(t->used[i], name) == 0) {
                name = arena_printf(t->a, "%s_%u", clean, k);
                again = 1;
                break;
            }
    }
    GROW(t->a, t->used, t->useds, t->useds_cap);
    t->used[t->useds++] = name;
    return name;
}

void mil_origin(MilText *t, Span at, Span from, bool backward, const char *what)
{
    t->origin = (Line){"", at, from, backward, what};
}

static int by_arg_name(const void *a, const void *b)
{
    return strcmp(((const MilArg *)a)->name, ((const MilArg *)b)->name);
}

void mil_statement(MilText *t, const char *dtype, MilShape shape, const char *result, const char *op, const MilArg *arg,
                   uint32_t args)
{
    MilArg *sorted = NEW_N(t->a, MilArg, args);
    memcpy(sorted, arg, args * sizeof *arg);
    qsort(sorted, args, sizeof *sorted, by_arg_name);
    Buf b = {0};
    buf_printf(&b, "%s %s = %s(", tensor_type(t->a, dtype, shape), result, op);
    for (uint32_t i = 0; i < args; i++)
        buf_printf(&b, "%s%s = %s", i ? ", " : "", sorted[i].name, sorted[i].value);
    buf_printf(&b, ")[name = string(\"%s\")];", result);
    Line l = t->origin;
    l.text = arena_strndup(t->a, b.data, b.len);
    buf_free(&b);
    GROW(t->a, t->line, t->lines, t->lines_cap);
    t->line[t->lines++] = l;
}

void mil_input(MilText *t, const char *name, MilShape shape)
{
    GROW(t->a, t->in, t->ins, t->ins_cap);
    t->in[t->ins++] = arena_printf(t->a, "%s %s", tensor_type(t->a, "fp16", shape), name);
}

void mil_output(MilText *t, const char *name)
{
    GROW(t->a, t->out, t->outs, t->outs_cap);
    t->out[t->outs++] = name;
}

static int by_const_name(const void *a, const void *b)
{
    return strcmp((*(const Const *const *)a)->name, (*(const Const *const *)b)->name);
}

static const Const **sorted_constants(const MilText *t)
{
    const Const **c = NEW_N(t->a, const Const *, t->constants);
    for (uint32_t i = 0; i < t->constants; i++)
        c[i] = &t->constant[i];
    qsort(c, t->constants, sizeof *c, by_const_name);
    return c;
}

void mil_print(const MilText *t, Buf *out)
{
    buf_puts(out, mil_header);
    buf_puts(out, "{\n    func main<ios18>(");
    for (uint32_t i = 0; i < t->ins; i++)
        buf_printf(out, "%s%s", i ? ", " : "", t->in[i]);
    buf_puts(out, ") {\n");
    const Const **c = sorted_constants(t);
    for (uint32_t i = 0; i < t->constants; i++)
        buf_printf(out, "        %s\n", c[i]->text);
    for (uint32_t i = 0; i < t->lines; i++)
        buf_printf(out, "        %s\n", t->line[i].text);
    buf_puts(out, "    } -> (");
    for (uint32_t i = 0; i < t->outs; i++)
        buf_printf(out, "%s%s", i ? ", " : "", t->out[i]);
    buf_puts(out, ");\n}\n");
}

static void put_place(const Sources *sources, Span at, const char *(*name)(const char *), Buf *out)
{
    const Source *f = sources ? source_of(sources, at) : NULL;
    uint32_t      line = 0, col = 0;
    if (f)
        source_position(f, at.begin, &line, &col);
    buf_printf(out, "%s:%u:%u", f ? name(f->name) : "-", line, col);
}

void mil_print_map(const MilText *t, const Sources *sources, const char *(*name)(const char *), Buf *out)
{
    uint32_t first = 5 + t->constants; /* header 2, brace, func, constants */
    for (uint32_t i = 0; i < t->lines; i++) {
        const Line   *l = &t->line[i];
        buf_printf(out, "%u ", first + i);
        put_place(sources, l->at, name, out);
        buf_printf(out, " %s %s ", l->backward ? "bwd" : "fwd", l->what);
        put_place(sources, l->from, name, out);
        buf_putc(out, '\n');
    }
}

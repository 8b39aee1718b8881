/* fact.c: the facts of target.def as data: their names, the values they may have, reading and printing them. */
#include "target/target.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Whole numbers are from 1 to 2^40 and rates from 0.001 to a million, except for these. */
#define RANGES(X)                                                                                            \
    X(max_rank, 4, 5)                                                                                        \
    X(max_axis, 64, 1 << 24)                                                                                 \
    X(max_channels, 64, 1 << 24)                                                                             \
    X(max_conv_in, 64, 1 << 24)                                                                              \
    X(max_dim, 16, 1 << 24)                                                                                  \
    X(matmul_k_multiple, 1, 4096)                                                                            \
    X(matmul_out_max, 1, 65504)                                                                              \
    X(slice_crop_max, 0, 65504)                                                                              \
    X(io_width_multiple, 1, 4096)                                                                            \
    X(io_channel_multiple, 1, 4096)                                                                          \
    X(io_min_channels, 1, 4096)                                                                              \
    X(surface_min, 1, 1 << 30)                                                                               \
    X(surface_round, 1, 1 << 30)                                                                             \
    X(max_ops, 1, 1 << 24)                                                                                   \
    X(max_programs, 1, 1000)                                                                                 \
    X(compile_budget, 1, 100000)                                                                             \
    X(functions, 1, 256)                                                                                     \
    X(dies, 1, 4)                                                                                            \
    X(dispatch, 0, 1e6)                                                                                      \
    X(compile_fixed, 0, 1e6)                                                                                 \
    X(compile_op, 0, 1e6)                                                                                    \
    X(load, 0, 1e6)                                                                                          \
    X(reload_time, 0, 1e6)

/* A range left at 0, 0 is the kind's own: see range(). */
const FactInfo fact_info[FACT_COUNT] = {
#define FACT(name_, kind_, default_, unit_, help_)                                                                     \
    [FACT_##name_] = {                                                                                                 \
        .name = #name_, .unit = unit_, .help = help_, .kind = KIND_##kind_, .offset = offsetof(Target, name_)},
#include "target/target.def"
};

static void range(const FactInfo *f, double *min, double *max)
{
    static const struct {
        uint32_t fact;
        double   min, max;
    } own[] = {
#define ROW(name, min, max) {FACT_##name, min, max},
        RANGES(ROW)
#undef ROW
    };
    *min = f->kind == KIND_int ? 1 : 1e-3;
    *max = f->kind == KIND_int ? (double)((int64_t)1 << 40) : 1e6;
    for (size_t i = 0; i < COUNT(own); i++)
        if (&fact_info[own[i].fact] == f) {
            *min = own[i].min;
            *max = own[i].max;
        }
}

/* The words of a kind, in the order of its enum; NULL ends them. */
static const char *const *words(FactKind k)
{
    static const char *const family[] = {"unknown", "h13", "h14", "h15", "h16", "h17", NULL};
    static const char *const io[] = {"single", "multi", NULL};
    static const char *const tri[] = {"unknown", "no", "yes", NULL};
    static const char *const device[] = {"any", "cpu", NULL};
    static const char *const flag[] = {"no", "yes", NULL};
    switch (k) {
    case KIND_word_family: return family;
    case KIND_word_io: return io;
    case KIND_word_tri: return tri;
    case KIND_word_device: return device;
    case KIND_flag: return flag;
    default: return NULL;
    }
}

uint32_t fact_by_name(const char *name)
{
    uint32_t i = 0;
    while (i < FACT_COUNT && strcmp(fact_info[i].name, name) != 0)
        i++;
    return i;
}

void fact_values(const FactInfo *f, Buf *out)
{
    double min, max;
    const char *const *w = words(f->kind);
    if (w) {
        buf_puts(out, "one of ");
        for (uint32_t i = 0; w[i]; i++)
            buf_printf(out, "%s%s", i ? ", " : "", w[i]);
        return;
    }
    if (f->kind == KIND_text) {
        buf_puts(out, "a text in quotes");
        return;
    }
    range(f, &min, &max);
    buf_printf(out, "a %s from %.12g to %.12g%s%s", f->kind == KIND_int ? "whole number" : "number", min, max,
               *f->unit ? " " : "", f->unit);
}

/* Decimal digits with at most one point and an exponent; strtod() alone would take "inf" and "0x10". */
static bool number(const char *s, bool whole, double *out)
{
    for (const char *p = s; *p; p++)
        if (!isdigit((unsigned char)*p) && (whole || !strchr(".e+-", *p)))
            return false;
    if (!isdigit((unsigned char)*s) || strlen(s) > 40)
        return false;
    char *end;
    errno = 0;
    *out = strtod(s, &end);
    return *end == 0 && errno == 0;
}

bool fact_parse(const FactInfo *f, Target *t, const char *text)
{
    void              *at = (char *)t + f->offset;
    double             x = 0, min, max;
    uint32_t           k = 0;
    const char *const *w = words(f->kind);
    if (w) {
        while (w[k] && strcmp(w[k], text) != 0)
            k++;
        if (!w[k])
            return false;
    } else if (f->kind != KIND_text) {
        range(f, &min, &max);
        if (!number(text, f->kind == KIND_int, &x) || x < min || x > max)
            return false;
    }
    switch (f->kind) {
    case KIND_int: *(int64_t *)at = (int64_t)x; break;
    case KIND_real: *(double *)at = x; break;
    case KIND_flag: *(bool *)at = k == 1; break;
    case KIND_text: *(const char **)at = text; break;
    case KIND_word_family: *(Family *)at = (Family)k; break;
    case KIND_word_io: *(IoMode *)at = (IoMode)k; break;
    case KIND_word_tri: *(Tri *)at = (Tri)k; break;
    case KIND_word_device: *(Where *)at = (Where)k; break;
    }
    return true;
}

void fact_print(const FactInfo *f, const Target *t, Buf *out)
{
    const void        *at = (const char *)t + f->offset;
    const char *const *w = words(f->kind);
    switch (f->kind) {
    case KIND_int: buf_printf(out, "%" PRId64, *(const int64_t *)at); break;
    case KIND_real: buf_printf(out, "%.9g", *(const double *)at); break;
    case KIND_flag: buf_puts(out, w[*(const bool *)at]); break;
    case KIND_word_family: buf_puts(out, w[*(const Family *)at]); break;
    case KIND_word_io: buf_puts(out, w[*(const IoMode *)at]); break;
    case KIND_word_tri: buf_puts(out, w[*(const Tri *)at]); break;
    case KIND_word_device: buf_puts(out, w[*(const Where *)at]); break;
    case KIND_text:
        buf_putc(out, '"');
        for (const char *s = *(const char *const *)at; *s; s++) {
            if (*s == '"' || *s == '\\')
                buf_putc(out, '\\');
            buf_putc(out, *s);
        }
        buf_putc(out, '"');
        break;
    }
}

/* bind.c: see bind.h.
 *
 * Surfaces are bound by the numbers of symbols, and a wrong number is silence or another tensor's data (docs/engine.md
 * E232, E602). The only word on them is the dictionary that a loaded model has of itself (E451 to E453). It is read as if
 * somebody hostile had written it: nothing in it is believed that contradicts the text, another part of it, or the inner
 * model's index sets (E342). */
#include "ane/bind.h"

#include "ane/cf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Far above anything an engine takes; products of two such numbers still fit. */
static const int64_t largest = INT64_C(1) << 31;

typedef struct {
    const AneModel   *model;
    const AneLibrary *l;
    uint32_t          procedure, procedures;
    CfRef             description, status, entry; /* status: the list; entry: of ANEFModelProcedures */
    Buf              *err;
} Reading;

/* Output symbols read "name@output" (docs/engine.md E453). */
static bool symbol_is(const AneLibrary *l, CfRef symbol, const char *name)
{
    Buf  text = {0};
    bool same = false;
    if (cf_text(l, symbol, &text) && text.data) {
        char *at = strchr(text.data, '@');
        if (at)
            *at = 0;
        same = strcmp(text.data, name) == 0;
    }
    buf_free(&text);
    return same;
}

/* A number of an entry: -1 if it is missing, no whole number, negative or beyond reason. */
static int64_t number(const AneLibrary *l, CfRef entry, const char *key)
{
    int64_t n = -1;
    return cf_int(l, cf_get(l, entry, key), &n) && n >= 0 && n <= largest ? n : -1;
}

/* ---- layout ---- */

typedef struct {
    int64_t width, height, channels, depth, batches, row, plane, batch;
} Layout;

static bool read_layout(const AneLibrary *l, CfRef entry, Layout *y)
{
    *y = (Layout){number(l, entry, "Width"),    number(l, entry, "Height"),    number(l, entry, "Channels"),
                  cf_get(l, entry, "Depth") ? number(l, entry, "Depth") : 1, number(l, entry, "Batches"),
                  number(l, entry, "RowStride"), number(l, entry, "PlaneStride"), number(l, entry, "BatchStride")};
    return y->width > 0 && y->height > 0 && y->channels > 0 && y->depth > 0 && y->batches > 0 && y->row > 0 &&
           y->plane > 0 && y->batch > 0;
}

static bool multiply(int64_t *n, int64_t by)
{
    if (*n > INT64_MAX / by)
        return false;
    *n *= by;
    return true;
}

/* Is memory of this layout one run of elements in the order of the text? Strides over axes of one element do not matter. */
static bool dense(const Layout *y, const Port *p)
{
    int64_t elem = (int64_t)port_elem_bytes(p->type), all = y->width;
    int64_t last = p->rank ? p->dim[p->rank - 1] : 1;
    if (!multiply(&all, y->height) || !multiply(&all, y->channels) || !multiply(&all, y->batches) || !multiply(&all, elem))
        return false;
    bool rows = y->height * y->channels > 1 || y->batches > 1, planes = y->channels > 1 || y->batches > 1;
    return y->depth == 1 && y->width == last && (size_t)all == p->bytes && (!rows || y->row == y->width * elem) &&
           (!planes || y->plane == y->row * y->height) && (y->batches == 1 || y->batch == y->plane * y->channels);
}

/* What the CPU writes is read as one run of elements: another layout is refused. */
static bool check_layout(const AneLibrary *l, CfRef entry, const Port *p, size_t *bytes, Buf *err)
{
    Buf    type = {0};
    Layout y;
    bool   same = cf_text(l, cf_get(l, entry, "Type"), &type) && type.data &&
                strcmp(type.data, p->type == PORT_F16 ? "Float16" : p->type == PORT_F32 ? "Float32" : "") == 0;
    if (!same)
        buf_printf(err, "'%s': the compiled model has another element type than %s: '%s'\n", p->name,
                   port_type_name(p->type), type.data ? type.data : "none");
    buf_free(&type);
    if (!same)
        return false;
    if (!read_layout(l, entry, &y)) {
        buf_printf(err, "'%s': the compiled model does not tell its size\n", p->name);
        return false;
    }
    int64_t all = y.batch;
    if (!multiply(&all, y.batches) || !dense(&y, p) || (size_t)all < p->bytes) {
        buf_printf(err,
                   "'%s': the compiled layout is not dense or not the text's: width %" PRId64 ", height %" PRId64
                   ", channels %" PRId64 ", depth %" PRId64 ", batches %" PRId64 ", strides of %" PRId64 ", %" PRId64
                   " and %" PRId64 " bytes; the text says width %" PRId64 " and %zu bytes in all\n",
                   p->name, y.width, y.height, y.channels, y.depth, y.batches, y.row, y.plane, y.batch,
                   p->rank ? p->dim[p->rank - 1] : 1, p->bytes);
        return false;
    }
    *bytes = (size_t)all;
    return true;
}

/* The entries with this name in the live list `key` of one element of the status list; *n: how many. */
static CfRef live(const AneLibrary *l, CfRef status, const char *key, const char *name, size_t *n)
{
    CfRef list = cf_get(l, status, key), found = NULL;
    *n = 0;
    for (size_t i = 0; i < cf_count(l, list); i++)
        if (symbol_is(l, cf_get(l, cf_at(l, list, i), "Name"), name)) {
            found = cf_at(l, list, i);
            ++*n;
        }
    return found;
}

/* Layouts stand in the element of the status list that belongs to the procedure. */
static bool port_bytes(const Reading *r, const char *key, const Port *p, size_t *bytes)
{
    size_t n = 0;
    CfRef  entry = live(r->l, cf_at(r->l, r->status, r->procedure), key, p->name, &n);
    if (n == 1)
        return check_layout(r->l, entry, p, bytes, r->err);
    buf_printf(r->err, n ? "the compiled program describes '%s' %zu times\n"
                         : "the compiled program does not describe the layout of '%s' (%zu entries)\n",
               p->name, n);
    return false;
}

/* ---- symbols ---- */

/* The numbers that belong to the procedure, each within the symbols and each once. NULL if they are not so; the caller
 * frees them. */
static int64_t *read_indices(const Reading *r, CfRef list, size_t symbols, uint32_t ports, const char *what)
{
    size_t   n = cf_count(r->l, list);
    int64_t *index = xcalloc(ports + 1u, sizeof *index);
    bool     ok = n == ports;
    if (!ok)
        buf_printf(r->err, "the compiled program has %zu %ss, the text has %u\n", n, what, (unsigned)ports);
    for (uint32_t i = 0; ok && i < ports; i++) {
        ok = cf_int(r->l, cf_at(r->l, list, i), &index[i]) && index[i] >= 0 && (size_t)index[i] < symbols;
        if (!ok)
            buf_printf(r->err, "%s %u of the compiled program is no symbol of it\n", what, (unsigned)i);
        for (uint32_t k = 0; ok && k < i; k++)
            if (index[k] == index[i]) {
                buf_printf(r->err, "%ss %u and %u of the compiled program are one symbol\n", what, (unsigned)k, (unsigned)i);
                ok = false;
            }
    }
    if (ok)
        return index;
    free(index);
    return NULL;
}

/* The inner model's index set, where there is one, has to hold the same numbers. */
static bool sets_agree(const Reading *r, bool output, const int64_t *index, uint32_t ports, const char *what)
{
    const AneLibrary *l = r->l;
    ObjcId            inner = ane_model_inner(r->model), set = NULL;
    if (output && ANE_ANSWERS(l, inner, output_symbols))
        set = ANE_CALL(l, output_symbols)(inner, ANE_SEL(l, output_symbols), r->procedure);
    else if (!output && ANE_ANSWERS(l, inner, input_symbols))
        set = ANE_CALL(l, input_symbols)(inner, ANE_SEL(l, input_symbols), r->procedure);
    if (!set || !ANE_ANSWERS(l, set, index_count) || !ANE_ANSWERS(l, set, index_has))
        return true; /* one source is what most systems were seen with */
    bool same = ANE_CALL(l, index_count)(set, ANE_SEL(l, index_count)) == ports;
    for (uint32_t i = 0; same && i < ports; i++)
        same = ANE_CALL(l, index_has)(set, ANE_SEL(l, index_has), (uint64_t)index[i]);
    if (!same)
        buf_printf(r->err,
                   "the compiled program contradicts itself about the %ss of procedure %u: surfaces cannot be bound safely\n",
                   what, (unsigned)r->procedure);
    return same;
}

static bool bind_ports(const Reading *r, bool output, const Port *port, uint32_t ports, AneBinding *b)
{
    const AneLibrary *l = r->l;
    const char       *what = output ? "output" : "input";
    CfRef    symbols = cf_get(l, r->description, output ? "kANEFModelOutputSymbolsArrayKey" : "kANEFModelInputSymbolsArrayKey");
    CfRef    list = cf_get(l, r->entry, output ? "ANEFModelOutputSymbolIndexArray" : "ANEFModelInputSymbolIndexArray");
    int64_t *index = read_indices(r, list, cf_count(l, symbols), ports, what);
    bool     ok = index && sets_agree(r, output, index, ports, what);
    for (uint32_t i = 0; ok && i < ports; i++) {
        uint32_t found = 0;
        for (uint32_t k = 0; k < ports; k++)
            if (symbol_is(l, cf_at(l, symbols, (size_t)index[k]), port[i].name)) {
                b->index[i] = index[k];
                found++;
            }
        if (found != 1)
            buf_printf(r->err, found ? "the compiled program has %u %ss '%s'\n" : "the compiled program has %u %ss '%s': none\n",
                       (unsigned)found, what, port[i].name);
        ok = found == 1 && port_bytes(r, output ? "LiveOutputList" : "LiveInputList", &port[i], &b->bytes[i]);
    }
    free(index);
    return ok;
}

/* ---- procedures ---- */

/* Procedures are numbered as the functions of the text (docs/engine.md E114). The model's own table of names has to say
 * the same; with one function it may call it something else (E343: there the number does not matter). */
static bool names_agree(const Reading *r, const char *name)
{
    CfRef   map = cf_get(r->l, r->description, "ProcedureNameToIDMap");
    int64_t id = -1;
    if (!map)
        return true;
    if (cf_int(r->l, cf_get(r->l, map, name), &id) ? id == r->procedure
                                                   : r->procedures == 1 && !cf_get(r->l, map, name))
        return true;
    buf_printf(r->err,
               "the compiled model gives function '%s' another number than %u, its place in the text: surfaces cannot be bound "
               "safely\n",
               name, (unsigned)r->procedure);
    return false;
}

bool ane_model_bind(const AneModel *m, const AneLibrary *l, uint32_t procedure, uint32_t procedures,
                    const ProgramFunction *f, AneBinding *input, AneBinding *output, Buf *err)
{
    void   *pool = l->objc_autoreleasePoolPush();
    CfRef   all = ANE_CALL(l, attributes)(ane_model_object(m), ANE_SEL(l, attributes));
    Reading r = {m, l, procedure, procedures, cf_get(l, all, "ANEFModelDescription"), cf_get(l, all, "NetworkStatusList"),
                 NULL, err};
    CfRef    list = cf_get(l, r.description, "ANEFModelProcedures");
    uint32_t found = 0;
    for (size_t i = 0; i < cf_count(l, list); i++)
        if (number(l, cf_at(l, list, i), "ANEFModelProcedureID") == procedure) {
            r.entry = cf_at(l, list, i);
            found++;
        }
    bool ok = found == 1 && cf_count(l, list) == procedures && cf_at(l, r.status, procedure);
    if (!ok)
        buf_printf(err, "the compiled model does not describe procedure %u ('%s'): surfaces cannot be bound safely\n",
                   (unsigned)procedure, f->name);
    ok = ok && names_agree(&r, f->name) && bind_ports(&r, false, f->input, f->inputs, input) &&
         bind_ports(&r, true, f->output, f->outputs, output);
    l->objc_autoreleasePoolPop(pool);
    return ok;
}

/* refuser.c: see refuser.h. */
#include "refuser.h"

#include "driver.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Device         base;
    Device        *host;
    Refuses       *refuses;
    RefuserCounts *counts;
} Refuser;

typedef struct {
    Program  base;
    Program *inner;
} RefuserProgram;

static Program *compile(Device *base, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err)
{
    Refuser *d = (Refuser *)base;
    Buf      why = {0}, text = {0};
    buf_add(&text, mil, len);
    d->counts->compiles++;
    Program *inner = program_compile(d->host, name, mil, len, file, files, &why);
    bool     refused = inner && d->refuses(text.data);
    if (!inner) {
        d->counts->invalid++;
        buf_clear(&d->counts->why);
        buf_printf(&d->counts->why, "%s\n%s", why.data, text.data);
        buf_puts(err, why.data);
        base->refusal = REFUSED_TEXT;
    }
    buf_free(&why);
    buf_free(&text);
    if (refused) {
        buf_printf(err, "%s: error: compiling was refused: _ANECompiler : ANECCompile() FAILED in /Users/ann/x "
                        "(com.apple.appleneuralengine.compiler, code 7)\n", name);
        base->refusal = REFUSED_ENGINE;
        program_free(inner);
    }
    if (refused || !inner)
        return NULL;
    RefuserProgram *p = xcalloc(1, sizeof *p);
    *p = (RefuserProgram){.base = {.driver = base->driver, .device = base, .functions = program_functions(inner)}, .inner = inner};
    return &p->base;
}

static void drop(Program *p)
{
    program_free(((RefuserProgram *)p)->inner);
    free(p);
}

static void shut(Device *base)
{
    Refuser *d = (Refuser *)base;
    device_close(d->host);
    free(d);
}

static const Driver refuser = {.name = "refuser", .close = shut, .compile = compile, .program_free = drop};

Device *refuser_new(Refuses *refuses, RefuserCounts *counts, uint64_t max_compiles)
{
    Buf      err = {0};
    Refuser *d = xcalloc(1, sizeof *d);
    *d = (Refuser){.base = {.driver = &refuser, .max_compiles = max_compiles}, .refuses = refuses, .counts = counts};
    if (!(d->host = device_open("host", NULL, &err)))
        bug("no host device");
    return &d->base;
}

uint32_t times(const char *text, const char *part)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

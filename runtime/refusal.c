/* refusal.c: see refusal.h: from a refusal to the search and the report. */
#include "refusal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The device's own message ends with a newline; what is added to it does not, as sentences in `err` do not. */
static void tell(Buf *err, const char *fmt, ...) ANEL_PRINTF(2, 3);
static void tell(Buf *err, const char *fmt, ...)
{
    va_list ap;
    if (err->len && err->data[err->len - 1] != '\n')
        buf_putc(err, '\n');
    va_start(ap, fmt);
    buf_vprintf(err, fmt, ap);
    va_end(ap);
}

static void look_into(void *with, Device *d, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files,
                      Buf *err, size_t from)
{
    const RefusalOptions *o = with;
    Arena       *a = arena_new();
    Buf          words = {0}, why = {0};
    const char  *said = arena_strdup(a, err->data && err->len > from ? err->data + from : "");
    Refused      r = {.name = name, .mil = mil, .len = len, .file = file, .files = files, .said = said};
    RefusalFound found;
    r.cut = cut_open(a, name, mil, len);
    if (r.cut) {
        found = refusal_search(a, d, r.cut, name, file, files, o->compiles ? o->compiles : REFUSAL_COMPILES);
        r.found = &found;
    }
    if (r.cut && !found.refused) {
        tell(err, "%s: the same text was taken when it was compiled again: the refusal was a passing one, try again\n", name);
    } else {
        const char *dir = refusal_report(a, o, &r, &words, &why);
        tell(err, "%s", words.data ? words.data : "");
        if (dir)
            tell(err, "the program, its smallest refused part and a report for a bug tracker are in '%s'\n", dir);
        else
            tell(err, "no report could be saved: %s\n", why.data);
    }
    buf_free(&words);
    buf_free(&why);
    arena_free(a);
}

void refusal_watch(Device *d, const RefusalOptions *o)
{
    device_on_refusal(d, look_into, (void *)(uintptr_t)o);
}

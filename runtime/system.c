/* system.c: see system.h. macOS is asked through sysctl; other systems through uname() and the files that Linux has, which
 * elsewhere are missing: then the fields stay empty. */
#include "system.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#include <sys/types.h>
#endif

/* `n` bytes of text as a field: printable ASCII, no blanks and quotes at the ends, cut where it is too long. */
static void put_field(char out[static SYSTEM_TEXT], const char *text, size_t n)
{
    size_t k = 0;
    while (n && strchr(" \t\"'", *text))
        text++, n--;
    while (n && (strchr(" \t\r\n\"'", text[n - 1]) || !text[n - 1]))
        n--;
    for (size_t i = 0; i < n && k + 1 < SYSTEM_TEXT; i++)
        if (text[i] >= ' ' && text[i] <= '~')
            out[k++] = text[i];
    out[k] = 0;
}

bool system_field(const char *text, const char *key, char separator, char out[static SYSTEM_TEXT])
{
    size_t len = strlen(key);
    out[0] = 0;
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (strncmp(line, key, len) != 0)
            continue;
        const char *at = line + len;
        while (*at == ' ' || *at == '\t')
            at++;
        if (*at != separator)
            continue;
        put_field(out, at + 1, (size_t)(end - at - 1));
        return true;
    }
    return false;
}

#ifdef __APPLE__

static void ask(const char *name, char out[static SYSTEM_TEXT])
{
    char   text[256] = "";
    size_t len = sizeof text;
    if (sysctlbyname(name, text, &len, NULL, 0) == 0 && len <= sizeof text)
        put_field(out, text, strnlen(text, len));
}

static void ask_system(System *s)
{
    size_t len = sizeof s->memory;
    put_field(s->os, "macOS", strlen("macOS"));
    ask("kern.osproductversion", s->version);
    ask("kern.osversion", s->build);
    ask("hw.model", s->model);
    ask("machdep.cpu.brand_string", s->chip);
    if (sysctlbyname("hw.memsize", &s->memory, &len, NULL, 0) != 0)
        s->memory = 0;
}

#else

/* The beginning of a file; "" if it cannot be read. Those of /proc have no size, so they are just read. */
static void read_text(const char *path, char *out, size_t cap)
{
    FILE  *f = fopen(path, "r");
    size_t n = f ? fread(out, 1, cap - 1, f) : 0;
    if (f)
        fclose(f);
    out[n] = 0;
}

static void ask_system(System *s)
{
    char           text[16384];
    struct utsname u;
    bool           named = uname(&u) == 0;
    read_text("/etc/os-release", text, sizeof text);
    if (!system_field(text, "NAME", '=', s->os) && named)
        put_field(s->os, u.sysname, strlen(u.sysname));
    system_field(text, "VERSION_ID", '=', s->version);
    if (named)
        put_field(s->build, u.release, strlen(u.release));
    read_text("/proc/cpuinfo", text, sizeof text);
    if (!system_field(text, "model name", ':', s->chip))
        system_field(text, "Hardware", ':', s->chip);
    read_text("/sys/firmware/devicetree/base/model", text, sizeof text);
    put_field(s->model, text, strlen(text));
#ifdef _SC_PHYS_PAGES
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    s->memory = pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
#endif
}

#endif

void system_describe(System *s)
{
    struct utsname u;
    long           cores = sysconf(_SC_NPROCESSORS_ONLN);
    *s = (System){.cores = cores > 0 ? (uint32_t)cores : 0};
    if (uname(&u) == 0)
        put_field(s->machine, u.machine, strlen(u.machine));
    ask_system(s);
}

void system_print(const System *s, Buf *out)
{
    buf_puts(out, *s->os ? s->os : "unknown system");
    if (*s->version)
        buf_printf(out, " %s", s->version);
    if (*s->build)
        buf_printf(out, " (%s)", s->build);
    const char *const more[] = {s->chip, s->model, s->machine};
    for (size_t i = 0; i < COUNT(more); i++)
        if (*more[i])
            buf_printf(out, ", %s", more[i]);
}

static void put_word(Buf *out, const char *text)
{
    for (; *text; text++)
        buf_putc(out, isalnum((unsigned char)*text) || strchr(".-+", *text) ? *text : '_');
}

void system_key(const System *s, Buf *out)
{
    put_word(out, *s->os ? s->os : "unknown");
    const char *const more[] = {s->build, s->chip};
    for (size_t i = 0; i < COUNT(more); i++)
        if (*more[i]) {
            buf_putc(out, '-');
            put_word(out, more[i]);
        }
}

/* switches.c: the words of ANEL_FAKE, and the record of what was asked for. */
#include "fake.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    bool        number;
} known[] = {
#define NUMBER true
#define FLAG   false
#define SWITCH(word, number, what) {word, number},
#include "switches.def"
};

/* The text behind `word`, at ',' , '=' or the end; NULL if it is not there. */
static const char *find(const char *word)
{
    const char *all = getenv("ANEL_FAKE");
    size_t      n = strlen(word);
    for (const char *p = all; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '=' || p[n] == 0))
            return p + n;
    return NULL;
}

bool fake_has(const char *word)
{
    return find(word) != NULL;
}

int64_t fake_number(const char *word, int64_t otherwise)
{
    const char *p = find(word);
    return p && *p == '=' ? strtoll(p + 1, NULL, 10) : otherwise;
}

char *fake_foreign_words(void)
{
    const char *all = getenv("ANEL_FAKE");
    char       *rest = calloc(1, all ? strlen(all) + 1 : 1);
    for (const char *p = all; p && *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ",="), whole = strcspn(p, ",");
        bool   mine = strncmp(p, "hide-", 5) == 0;
        for (size_t i = 0; !mine && i < sizeof known / sizeof *known; i++) {
            mine = strlen(known[i].word) == n && strncmp(p, known[i].word, n) == 0;
            if (mine && known[i].number != (whole > n))
                misuse("the word '%.*s' of ANEL_FAKE %s a number", (int)n, p, known[i].number ? "needs" : "takes no");
        }
        if (!mine) {
            strcat(rest, *rest ? "," : "");
            strncat(rest, p, whole);
        }
    }
    return rest;
}

void fake_record(const char *fmt, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char            *path = getenv("ANEL_FAKE_RECORD");
    if (!path || !*path)
        return;
    pthread_mutex_lock(&lock);
    FILE   *f = fopen(path, "a");
    va_list args;
    if (!f)
        misuse("cannot write '%s'", path);
    va_start(args, fmt);
    vfprintf(f, fmt, args);
    va_end(args);
    fputc('\n', f);
    fclose(f);
    pthread_mutex_unlock(&lock);
}

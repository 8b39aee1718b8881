/* intern.c: open-addressed table of strings; see intern.h. */
#include "base/intern.h"

#include <string.h>

struct Interner {
    Arena       *arena;
    const char **text; /* [count], text[0] = "" */
    uint32_t     count, cap;
    uint32_t    *slot; /* power-of-two table of ids, 0 = free */
    uint32_t     slots;
};

static uint32_t hash_text(const char *s, size_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h;
}

Interner *interner_new(Arena *a)
{
    Interner *in = NEW(a, Interner);
    in->arena = a;
    in->slots = 256;
    in->slot = NEW_N(a, uint32_t, in->slots);
    GROW(a, in->text, in->count, in->cap);
    in->text[in->count++] = "";
    return in;
}

static void rehash(Interner *in)
{
    in->slots *= 2;
    in->slot = NEW_N(in->arena, uint32_t, in->slots);
    for (uint32_t id = 1; id < in->count; id++) {
        uint32_t i = hash_text(in->text[id], strlen(in->text[id])) & (in->slots - 1);
        while (in->slot[i])
            i = (i + 1) & (in->slots - 1);
        in->slot[i] = id;
    }
}

StrId intern_n(Interner *in, const char *s, size_t n)
{
    if (n == 0)
        return 0;
    uint32_t i = hash_text(s, n) & (in->slots - 1);
    for (; in->slot[i]; i = (i + 1) & (in->slots - 1)) {
        const char *t = in->text[in->slot[i]];
        if (strlen(t) == n && memcmp(t, s, n) == 0)
            return in->slot[i];
    }
    StrId id = in->count;
    GROW(in->arena, in->text, in->count, in->cap);
    in->text[in->count++] = arena_strndup(in->arena, s, n);
    in->slot[i] = id;
    if (in->count * 2 > in->slots)
        rehash(in);
    return id;
}

StrId intern(Interner *in, const char *s)
{
    return intern_n(in, s, strlen(s));
}

const char *interned(const Interner *in, StrId id)
{
    if (id >= in->count)
        bug("string id %u of %u", id, in->count);
    return in->text[id];
}

/* memory.c: see memory.h. */
#include "memory.h"

#include "base/file.h"
#include "system.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The directory; NULL: there is none. */
static const char *directory(Arena *a)
{
    const char *given = variable("ANEL_STATE_DIR"), *home = variable("HOME");
    if (given)
        return given;
#ifdef __APPLE__
    return home ? path_join(a, home, "Library/Application Support/anel") : NULL;
#else
    const char *state = variable("XDG_STATE_HOME");
    return state ? path_join(a, state, "anel") : home ? path_join(a, home, ".local/state/anel") : NULL;
#endif
}

/* The file; NULL: nothing is remembered of this device. */
static const char *file_of(Arena *a, const char *device)
{
    bool        real = strcmp(device, "ane") == 0 && !variable("ANEL_ANE_LIBRARY") && !variable("ANERUN_DEVICE_FAULT");
    const char *dir = real || variable("ANEL_STATE_DIR") ? directory(a) : NULL;
    return dir ? path_join(a, dir, "devices.json") : NULL;
}

/* "ane macOS-24B83-Apple_M4" */
static const char *key_of(Arena *a, const char *device)
{
    System s;
    Buf    key = {0};
    system_describe(&s);
    system_key(&s, &key);
    const char *text = arena_printf(a, "%s %s", device, key.data ? key.data : "");
    buf_free(&key);
    return text;
}

/* All that is known; an empty object if there is nothing, or nothing that can be read. */
static json_t *load(const char *file, Buf *note)
{
    json_error_t why;
    json_t      *all = path_exists(file) ? json_load_file(file, JSON_REJECT_DUPLICATES, &why) : json_object();
    if (json_is_object(all))
        return all;
    buf_printf(note, "'%s' cannot be read, and what it held is learned again", file);
    json_decref(all);
    return json_object();
}

const char *memory_get(Arena *a, const char *device, const char *what, Buf *note)
{
    const char *file = file_of(a, device), *found;
    if (!file)
        return NULL;
    json_t *all = load(file, note);
    found = json_string_value(json_object_get(json_object_get(all, key_of(a, device)), what));
    found = found ? arena_strdup(a, found) : NULL;
    json_decref(all);
    return found;
}

bool memory_put(const char *device, const char *what, const char *value, Buf *note)
{
    Arena      *a = arena_new();
    const char *file = file_of(a, device), *dir = directory(a), *key = key_of(a, device);
    char        why[FILE_ERR_MAX];
    bool        ok = true;
    if (file) {
        Buf         damaged = {0}; /* told by memory_get() */
        json_t     *all = load(file, &damaged), *one = json_object_get(all, key);
        const char *known = json_string_value(json_object_get(one, what));
        buf_free(&damaged);
        if (known && strcmp(known, value) == 0) {
            json_decref(all);
            arena_free(a);
            return true;
        }
        if (!json_is_object(one)) {
            json_object_set_new(all, key, json_object());
            one = json_object_get(all, key);
        }
        json_object_set_new(one, what, json_string(value));
        char *text = json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS);
        ok = text && dir_make(dir, why) && file_write_atomic(file, text, strlen(text), why);
        if (!ok)
            buf_printf(note, "what was learned of this system is not remembered: %s", text ? why : "it is no text");
        free(text);
        json_decref(all);
    }
    arena_free(a);
    return ok;
}

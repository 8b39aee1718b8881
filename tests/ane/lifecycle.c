/* lifecycle.c FAKE: what the engine's driver does from open to close, case by case, seen from both sides: through device.h,
 * and through what the substitute for the system wrote down. Each case names the words that the substitute is told. */
#include "rig.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the sequence ---- */

static void whole_life(void)
{
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    device_close(d);
    CHECK(strcmp(rig_record(), "compile ok die -1\nload ok die -1\nevaluate direct procedure 0\n"
                               "evaluate direct procedure 0\nunload\n") == 0,
          rig_record());
}

static void simply_works(void)
{
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    rig_once(d, weighted_mil);
    rig_once(d, bank_mil);
    device_close(d);
    CHECK(rig_recorded("compile ok") == 3 && rig_recorded("unload") == 3, rig_record());
}

static void inner_model(void)
{
    simply_works();
    CHECK(rig_recorded("evaluate inner") == 10 && rig_recorded("evaluate") == 10, rig_record());
}

static void through_model(void)
{
    simply_works();
    CHECK(rig_recorded("evaluate model") == 10 && rig_recorded("evaluate") == 10, rig_record());
}

static void connection_lost(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil);
    Bound    b;
    CHECK(rig_bind(&b, d, p, 0), b.err.data);
    for (int i = 0; i < 10; i++) {
        CHECK(rig_eval(&b, i), b.err.data);
        CHECK(rig_right(&b, two_mil, i, 0), "wrong numbers");
    }
    CHECK(rig_recorded("evaluate direct") == 2 && rig_recorded("evaluate model") == 8, rig_record());
    rig_unbind(&b);
    program_free(p);
    device_close(d);
}

static void a_die(void)
{
    Buf     err = {0};
    Device *d = rig_open(&(DeviceOptions){.die = 2});
    rig_once(d, two_mil);
    device_close(d);
    CHECK(rig_recorded("compile ok die 2") == 1 && rig_recorded("load ok die 2") == 1, rig_record());
    CHECK(!device_open("ane", &(DeviceOptions){.die = 5}, &err), "there is no engine 5");
    buf_free(&err);
}

static void functions(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, bank_mil);
    Bound    b[MOST_FUNCTIONS];
    CHECK(program_functions(p) == MOST_FUNCTIONS && strcmp(program_function(p, 2)->name, "third") == 0, "");
    for (uint32_t f = 0; f < MOST_FUNCTIONS; f++)
        CHECK(rig_bind(&b[f], d, p, f), b[f].err.data);
    for (uint32_t f = MOST_FUNCTIONS; f-- > 0;)
        CHECK(rig_eval(&b[f], (int)f) && rig_right(&b[f], bank_mil, (int)f, 0), b[f].err.data);
    for (uint32_t f = 0; f < MOST_FUNCTIONS; f++)
        rig_unbind(&b[f]);
    program_free(p);
    device_close(d);
    CHECK(strstr(rig_record(), "evaluate direct procedure 2\nevaluate direct procedure 1\nevaluate direct procedure 0\n"),
          rig_record());
}

/* ---- times ---- */

static EvalTime timed(Device *d, int evaluations)
{
    Program *p = rig_compile(d, two_mil);
    Bound    b;
    CHECK(rig_bind(&b, d, p, 0), b.err.data);
    for (int i = 0; i < evaluations; i++)
        CHECK(rig_eval(&b, i) && rig_right(&b, two_mil, i, 0), b.err.data);
    EvalTime t = request_time(b.request);
    rig_unbind(&b);
    program_free(p);
    device_close(d);
    return t;
}

static void times(void)
{
    CHECK(timed(rig_open(NULL), 1).engine_ns == 0, "nobody asked");
    CHECK(rig_recorded("evaluate direct procedure 0 stats") == 0, rig_record());
    EvalTime t = timed(rig_open(&(DeviceOptions){.engine_times = true}), 1);
    CHECK(t.engine_ns == 100000 + 4 * N * 2 / 16 && t.wall_ns > 0, "");
}

static void no_times(void)
{
    CHECK(timed(rig_open(&(DeviceOptions){.engine_times = true}), 2).engine_ns == 0, "");
    CHECK(rig_recorded("evaluate model procedure 0 stats") <= 1, rig_record());
}

static void slower_times(void)
{
    CHECK(timed(rig_open(&(DeviceOptions){.engine_times = true}), 3).engine_ns > 1000000000, "");
}

/* ---- sizes ---- */

static void larger_ports(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil);
    Surface *s[4];
    Buf      err = {0};
    CHECK(program_function(p, 0)->input[1].alloc == 100000 && program_function(p, 0)->output[0].alloc == 100000, "");
    CHECK(program_function(p, 0)->input[1].bytes == N * 2, "");
    for (int i = 0; i < 4; i++)
        CHECK((s[i] = surface_new(d, N * 2, &err)) != NULL, err.data);
    CHECK(!request_new(p, 0, s, s + 2, &err) && strstr(err.data, "100000"), err.data);
    for (int i = 0; i < 4; i++)
        surface_free(s[i]);
    buf_free(&err);
    program_free(p);
    rig_once(d, two_mil);
    device_close(d);
}

static void write_lock(void)
{
    Device  *d = rig_open(NULL);
    Program *p = rig_compile(d, two_mil);
    Bound    b;
    CHECK(rig_bind(&b, d, p, 0), b.err.data);
    surface_lock(b.surface[1], true);
    (void)request_eval(b.request, &b.err);
}

static void pointer_outlives_lock(void)
{
    Device  *d = rig_open(NULL);
    Buf      err = {0};
    Surface *s = surface_new(d, 1, &err);
    char    *x = surface_lock(s, true);
    surface_unlock(s, true);
    *x = 1;
}

/* ---- reload ---- */

/* Compile with weights 1, reload with 2, 3, 4, each made of the one before; which weights it computes with last. */
static uint64_t reloaded(Device *d)
{
    Program *p = rig_compile(d, weighted_mil);
    uint64_t key, found = 0;
    Bound    b;
    for (key = 2; key <= 4; key++) {
        Buf        err = {0};
        DeviceFile file = rig_weights(key);
        Program   *next = program_reload(p, "test.mil", &file, 1, &err);
        CHECK(next != NULL, err.data);
        CHECK(device_refusal(d) == REFUSED_NOT, "");
        buf_free(&err);
        program_free(p);
        p = next;
    }
    CHECK(rig_bind(&b, d, p, 0), b.err.data);
    CHECK(rig_eval(&b, 1), b.err.data);
    for (key = 1; key <= 4; key++)
        found = rig_right(&b, weighted_mil, 1, key) ? key : found;
    rig_unbind(&b);
    program_free(p);
    return found;
}

static void reload(void)
{
    Device *d = rig_open(NULL);
    CHECK(reloaded(d) == 4, "other weights");
    CHECK(rig_recorded("compile") == 1 && rig_recorded("load") == 4 && device_counts(d).compiles == 1, rig_record());
    device_close(d);
}

/* Nothing the driver can do; the runtime's canary notices. */
static void stale_reload(void)
{
    Device *d = rig_open(NULL);
    CHECK(reloaded(d) == 1, "other weights");
    device_close(d);
}

static void with_cache(void (*run)(void))
{
    char cache[128], why[FILE_ERR_MAX];
    snprintf(cache, sizeof cache, "%s.cache", rig_tmp());
    mkdir(cache, 0700);
    setenv("ANEL_FAKE_CACHE", cache, 1);
    run();
    (void)dir_remove(cache, why);
}

/* The second device of a process finds what the first one left, as another process would. */
static void cached_twice(void)
{
    Device *d = rig_open(NULL);
    program_free(rig_compile(d, weighted_mil));
    device_close(d);
    d = rig_open(NULL);
    rig_once(d, weighted_mil);
    device_close(d);
    CHECK(rig_recorded("compile") == 1, rig_record());
}

static void cached(void)
{
    with_cache(cached_twice);
}

static void cached_reload(void)
{
    Device *d = rig_open(NULL);
    program_free(rig_compile(d, weighted_mil));
    device_close(d);
    d = rig_open(NULL);
    CHECK(reloaded(d) == 4, "other weights");
    uint64_t compiles = device_counts(d).compiles;
    device_close(d);
    /* what came from the cache left nothing to take over, so the first reload compiles, and says so */
    bool parts = strstr(getenv("ANEL_FAKE"), "cache-parts") != NULL;
    CHECK(rig_recorded("compile") == (parts ? 1 : 2) && compiles == (parts ? 1 : 2), rig_record());
}

static void reload_of_a_copy(void)
{
    with_cache(cached_reload);
}

static void broken_copy(void)
{
    Device *d = rig_open(NULL);
    program_free(rig_compile(d, weighted_mil));
    device_close(d);
    d = rig_open(NULL);
    rig_once(d, weighted_mil);
    device_close(d);
    CHECK(rig_recorded("compile ok") == 2 && rig_recorded("purge") == 1, rig_record());
}

static void cache_broken(void)
{
    with_cache(broken_copy);
}

/* ---- directories ---- */

static void shared_directory(void)
{
    Device  *d = rig_open(NULL), *e = rig_open(NULL);
    Program *p = rig_compile(d, weighted_mil), *q = rig_compile(e, weighted_mil), *r = rig_compile(d, weighted_mil);
    program_free(p);
    program_free(r);
    device_close(d);
    program_free(q); /* the substitute looks for the directory when it unloads */
    device_close(e);
}

static void name_of_directory(char *out, size_t size)
{
    char    cache[128], why[FILE_ERR_MAX];
    Arena  *a = arena_new();
    Device *d = rig_open(NULL);
    snprintf(cache, sizeof cache, "%s.cache", rig_tmp());
    mkdir(cache, 0700);
    setenv("ANEL_FAKE_CACHE", cache, 1);
    program_free(rig_compile(d, two_mil));
    device_close(d);
    unsetenv("ANEL_FAKE_CACHE");
    FILE *f = popen(arena_printf(a, "ls '%s'", cache), "r");
    char  name[100] = "";
    CHECK(f && fscanf(f, "%99s", name) == 1, "");
    pclose(f);
    snprintf(out, size, "%s/%s", rig_tmp(), name);
    arena_free(a);
    (void)dir_remove(cache, why);
}

static void left_over(void)
{
    char path[256], file[300], why[FILE_ERR_MAX];
    name_of_directory(path, sizeof path);
    mkdir(path, 0700);
    snprintf(file, sizeof file, "%s/net.plist", path);
    CHECK(file_write(file, "junk", 4, why), why);
    snprintf(file, sizeof file, "%s/model.mil", path);
    CHECK(symlink("/dev/null", file) == 0, "");
    Device *d = rig_open(NULL);
    rig_once(d, two_mil);
    device_close(d);
}

static void somebody_elses(void)
{
    char path[256], other[300], why[FILE_ERR_MAX];
    name_of_directory(path, sizeof path);
    Device *d = rig_open(NULL);
    snprintf(other, sizeof other, "%s.other", rig_tmp());
    mkdir(other, 0700);
    CHECK(symlink(other, path) == 0, "");
    rig_refuses(d, two_mil, REFUSED_LOAD, "cannot use");
    CHECK(unlink(path) == 0 && rmdir(other) == 0, "it was written through a link");
    mkdir(path, 0700);
    CHECK(chmod(path, 0777) == 0, "");
    rig_refuses(d, two_mil, REFUSED_LOAD, "not this user's alone");
    CHECK(dir_remove(path, why), why);
    device_close(d);
}

static void no_directory(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/nowhere", rig_tmp());
    setenv("TMPDIR", path, 1);
    Device *d = rig_open(NULL);
    rig_refuses(d, two_mil, REFUSED_LOAD, "cannot create");
    device_close(d);
}

static void path_leads_out(void)
{
    Device    *d = rig_open(NULL);
    Buf        err = {0};
    DeviceFile file = rig_weights(1);
    file.path = "@model_path/weights/../../w.bin";
    CHECK(!program_compile(d, "test.mil", two_mil, strlen(two_mil), &file, 1, &err), "");
    CHECK(strstr(err.data, "not below @model_path") != NULL, err.data);
    buf_free(&err);
    device_close(d);
}

static const Case cases[] = {
    {"the sequence of a program's life", NULL, whole_life, 0},
    {"symbols in another order", "swap-symbols", simply_works, 0},
    {"direct evaluation of the inner model", "direct-inner", inner_model, 0},
    {"evaluation through the model", "no-direct", through_model, 0},
    {"no client class", "hide-_ANEClient", through_model, 0},
    {"no shared connection", "no-shared-client", simply_works, 0},
    {"no connection at all", "no-shared-client,hide-alloc", through_model, 0},
    {"a connection that is lost", "direct-lost=3", connection_lost, 0},
    {"no index sets", "hide-NSIndexSet", simply_works, 0},
    {"no inner model", "hide-model,hide-state", simply_works, 0},
    {"garbage behind ports", "dirty-padding", simply_works, 0},
    {"compilations fail by chance", "compile-fails=2", simply_works, 0},
    {"an engine of several", NULL, a_die, 0},
    {"several functions", NULL, functions, 0},
    {"several functions, other symbols", "swap-symbols", functions, 0},
    {"times on the engine", NULL, times, 0},
    {"times without the mapping of masks", "hide-driverMaskForANEFMask:", times, 0},
    {"times that systems refuse", "stats-refused", no_times, 0},
    {"times that systems do not have", "hide-hwExecutionTime", no_times, 0},
    {"evaluations that grow slower", "decay=2", slower_times, 0},
    {"ports larger than the text says", "large-ports=100000", larger_ports, 0},
    {"evaluation under a lock for writing", NULL, write_lock, 1},
    {"a pointer that outlives its lock", NULL, pointer_outlives_lock, 1},
    {"reload", NULL, reload, 0},
    {"reload, weight files loaded", "data-unused", reload, 0},
    {"reload that changes nothing", "stale-reload", stale_reload, 0},
    {"reload, weights not found", "data-opaque", stale_reload, 0},
    {"a copy of the system's", NULL, cached, 0},
    {"reload of a copy", NULL, reload_of_a_copy, 0},
    {"reload of a copy that left its parts", "cache-parts", reload_of_a_copy, 0},
    {"a copy that does not load", "cache-broken", cache_broken, 0},
    {"a directory that two devices use", NULL, shared_directory, 0},
    {"a directory that was left over", NULL, left_over, 0},
    {"a directory that is somebody else's", NULL, somebody_elses, 0},
    {"no temporary directory", NULL, no_directory, 0},
    {"a weight file outside of its directory", NULL, path_leads_out, 0},
};

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int failed = rig_run(argv[1], cases, COUNT(cases));
    printf("%d of %zu failed\n", failed, COUNT(cases));
    return failed != 0;
}

/* test_profiles.c: profiles: those that are shipped say what is known, and whatever a file holds, it is read or
 * told. */
#include "base/file.h"
#include "base/rng.h"
#include "target/target.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const shipped_dir[] = {SOURCE_DIR};
static const TargetPath  shipped = {shipped_dir, 1};

typedef struct {
    Arena   *a;
    Sources *sources;
    Diags   *ds;
    char     dir[64]; /* holds targets/ */
} Rig;

static Rig rig_new(void)
{
    Rig  r = {.a = arena_new()};
    char err[FILE_ERR_MAX];
    r.sources = sources_new(r.a);
    r.ds = diags_new(r.a, r.sources, "test");
    snprintf(r.dir, sizeof r.dir, "/tmp/anel-target-XXXXXX");
    cr_assert(mkdtemp(r.dir) != NULL);
    cr_assert(dir_make(arena_printf(r.a, "%s/targets", r.dir), err), "%s", err);
    return r;
}

static void rig_free(Rig *r)
{
    char err[FILE_ERR_MAX];
    cr_expect(dir_remove(r->dir, err), "%s", err);
    arena_free(r->a);
}

static void put(Rig *r, const char *name, const char *text, size_t len)
{
    char err[FILE_ERR_MAX];
    cr_assert(file_write(arena_printf(r->a, "%s/targets/%s.target", r->dir, name), text, len, err), "%s", err);
}

/* The profile in the rig's own directory, which comes before the shipped ones. */
static const Target *get(Rig *r, const char *name)
{
    const char **dir = NEW_N(r->a, const char *, 2);
    dir[0] = r->dir;
    dir[1] = SOURCE_DIR;
    return target_load(r->a, r->sources, name, (TargetPath){dir, 2}, r->ds);
}

static const char *rendered(Rig *r)
{
    Buf b = {0};
    diags_render(r->ds, &b);
    const char *text = arena_strndup(r->a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static const char *printed(Rig *r, const Target *t)
{
    Buf b = {0};
    target_print(t, &b);
    const char *text = arena_strndup(r->a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* ---- what is shipped ---- */

Test(profiles, the_file_any_says_what_is_built_in)
{
    Rig           r = rig_new();
    const Target *file = target_load(r.a, r.sources, "any", shipped, r.ds), *built_in = target_any();
    cr_assert(file != NULL, "%s", rendered(&r));
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        Buf x = {0}, y = {0};
        fact_print(&fact_info[i], file, &x);
        fact_print(&fact_info[i], built_in, &y);
        cr_expect_str_eq(x.data, y.data, "%s", fact_info[i].name);
        buf_free(&x);
        buf_free(&y);
    }
    cr_assert_eq(file->ops, built_in->ops);
    for (uint32_t i = 0; i < file->ops; i++) {
        cr_expect_str_eq(file->op[i].op, built_in->op[i].op);
        cr_expect_eq(file->op[i].is, built_in->op[i].is, "%s", file->op[i].op);
        cr_expect_eq(file->op[i].conf, built_in->op[i].conf, "%s", file->op[i].op);
        cr_expect(*file->op[i].evidence != 0, "%s", file->op[i].op);
    }
    cr_expect(target_is_any(file));
    cr_expect(target_is_any(built_in));
    rig_free(&r);
}

/* The file says every fact itself: nothing is left to the defaults without a word. */
Test(profiles, any_gives_every_fact_and_its_evidence)
{
    Rig    r = rig_new();
    char  *text, err[FILE_ERR_MAX];
    size_t len;
    cr_assert(file_read(r.a, SOURCE_DIR "/targets/any.target", &text, &len, err), "%s", err);
    for (uint32_t i = 0; i < FACT_COUNT; i++)
        cr_expect(strstr(text, arena_printf(r.a, "\n%s ", fact_info[i].name)) != NULL, "%s", fact_info[i].name);
    rig_free(&r);
}

Test(profiles, every_shipped_one_loads_and_prints_as_itself)
{
    Rig          r = rig_new();
    const char **name = targets_find(r.a, shipped);
    uint32_t     n = 0;
    for (; name[n]; n++) {
        const Target *t = target_load(r.a, r.sources, name[n], shipped, r.ds);
        cr_assert(t != NULL, "%s: %s", name[n], rendered(&r));
        const char *text = printed(&r, t);
        put(&r, name[n], text, strlen(text));
        const Target *again = get(&r, name[n]);
        cr_assert(again != NULL, "%s: %s", name[n], rendered(&r));
        char x[HASH_HEX], y[HASH_HEX];
        target_hash(t, x);
        target_hash(again, y);
        cr_expect_str_eq(x, y);
        for (uint32_t i = 0; i < FACT_COUNT; i++) {
            cr_expect_eq(t->evidence[i].conf, again->evidence[i].conf);
            cr_expect_str_eq(t->evidence[i].evidence, again->evidence[i].evidence);
        }
        cr_expect(strcmp(name[n], "any") == 0 || !target_is_any(t), "%s says nothing", name[n]);
    }
    static const char *const needed[] = {"any", "m1", "m2", "m3", "m4", "m4-max", "m5"};
    for (size_t i = 0; i < COUNT(needed); i++) {
        uint32_t k = 0;
        while (k < n && strcmp(name[k], needed[i]) != 0)
            k++;
        cr_expect(k < n, "%s is missing", needed[i]);
    }
    rig_free(&r);
}

Test(profiles, chips_differ_where_hardware_was_seen_to_differ)
{
    static const struct {
        const char *name;
        int64_t     max_axis, slice_crop_max;
        Family      family;
    } c[] = {{"m1", 16384, 4094, FAMILY_H13}, {"m2", 16384, 4094, FAMILY_H14}, {"m3", 16384, 4094, FAMILY_H15},
             {"m4", 65536, 0, FAMILY_H16},    {"m4-max", 65536, 0, FAMILY_H16}, {"m5", 65536, 0, FAMILY_H17}};
    Rig r = rig_new();
    for (size_t i = 0; i < COUNT(c); i++) {
        const Target *t = target_load(r.a, r.sources, c[i].name, shipped, r.ds);
        cr_assert(t != NULL);
        cr_expect_eq(t->max_axis, c[i].max_axis, "%s", c[i].name);
        cr_expect_eq(t->slice_crop_max, c[i].slice_crop_max, "%s", c[i].name);
        cr_expect_eq(t->family, c[i].family, "%s", c[i].name);
        cr_expect_eq(t->compile_budget, 100);
        cr_expect_geq(target_op(t, "conv").is, OP_QUIRK);
        cr_expect_eq(target_op(t, "topk").is, c[i].family == FAMILY_H13 ? OP_NO : OP_QUIRK, "%s", c[i].name);
        cr_expect_eq(target_op(t, "no_such_op").is, OP_UNKNOWN);
    }
    rig_free(&r);
}

/* ---- facts ---- */

Test(facts, every_default_is_a_value_of_its_fact_and_prints_as_it_reads)
{
    Rig r = rig_new();
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        const FactInfo *f = &fact_info[i];
        Target          t = *target_any();
        Buf             b = {0}, again = {0};
        if (f->kind == KIND_text)
            continue;
        fact_print(f, &t, &b);
        cr_expect(fact_parse(f, &t, b.data), "%s: %s", f->name, b.data);
        fact_print(f, &t, &again);
        cr_expect_str_eq(b.data, again.data, "%s", f->name);
        cr_expect_eq(fact_by_name(f->name), i);
        static const char *const wrong[] = {
            "", "-1", "+1", "1e99", "inf", "nan", "0x10", "maybe", "1.", "99999999999999999999", " 4", "4 "};
        for (size_t k = 0; k < COUNT(wrong); k++)
            if (!(f->kind == KIND_real && strcmp(wrong[k], "1.") == 0))
                cr_expect_not(fact_parse(f, &t, wrong[k]), "%s: '%s'", f->name, wrong[k]);
        buf_free(&b);
        buf_free(&again);
    }
    cr_expect_eq(fact_by_name("nonsense"), (uint32_t)FACT_COUNT);
    rig_free(&r);
}

Test(facts, the_hash_depends_on_every_value_and_on_no_evidence)
{
    static const char *const other[] = {"5", "1.5", "yes", "h16", "multi", "cpu", "any", "no", "2"};
    char any[HASH_HEX], hash[HASH_HEX];
    target_hash(target_any(), any);
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        Target t = *target_any();
        Buf    b = {0};
        t.evidence[i].evidence = "somebody";
        t.evidence[i].conf = CONF_AGREED;
        target_hash(&t, hash);
        cr_expect_str_eq(hash, any);
        if (fact_info[i].kind == KIND_text)
            continue;
        fact_print(&fact_info[i], &t, &b);
        size_t k = 0;
        while (k < COUNT(other) && (strcmp(other[k], b.data) == 0 || !fact_parse(&fact_info[i], &t, other[k])))
            k++;
        cr_assert(k < COUNT(other) || fact_parse(&fact_info[i], &t, "64"), "%s", fact_info[i].name);
        target_hash(&t, hash);
        cr_expect_str_neq(hash, any, "%s", fact_info[i].name);
        cr_expect_not(target_is_any(&t));
        buf_free(&b);
    }
}

/* ---- files ---- */

Test(files, a_profile_starts_from_what_it_inherits)
{
    static const char text[] =
        "# mine\ntarget mine\ninherits m4\r\n\tmax_axis 4096 shown \"a \\\"test\\\" \\\\\" # why\n"
        "op gelu no assumed\nop my.op yes derived \"x\"\ndispatch 1.5e2 assumed";
    Rig r = rig_new();
    put(&r, "mine", text, strlen(text));
    const Target *t = get(&r, "mine");
    cr_assert(t != NULL, "%s", rendered(&r));
    cr_expect_str_eq(t->name, "mine");
    cr_expect_eq(t->max_axis, 4096);
    cr_expect_eq(t->dispatch, 150);
    cr_expect_str_eq(t->evidence[FACT_max_axis].evidence, "a \"test\" \\");
    cr_expect_eq(t->evidence[FACT_max_axis].conf, CONF_SHOWN);
    cr_expect_str_eq(t->evidence[FACT_max_axis].from, "mine");
    cr_expect_str_eq(t->evidence[FACT_family].from, "m4");
    cr_expect_str_eq(t->evidence[FACT_io].from, "any");
    cr_expect_eq(t->family, FAMILY_H16);
    cr_expect_eq(target_op(t, "gelu").is, OP_NO);
    cr_expect_eq(target_op(t, "my.op").is, OP_YES);
    cr_expect_geq(target_op(t, "conv").is, OP_QUIRK);
    cr_expect_eq(target_op(target_any(), "gelu").is, OP_QUIRK); /* the base is not touched */
    rig_free(&r);
}

Test(files, without_inherits_it_starts_from_any_with_its_evidence)
{
    Rig r = rig_new();
    put(&r, "bare", "target bare\n", 12);
    const Target *t = get(&r, "bare");
    cr_assert(t != NULL, "%s", rendered(&r));
    cr_expect_eq(t->evidence[FACT_compile_budget].conf, CONF_AGREED);
    cr_expect_not(target_is_any(t)); /* it has another name */
    rig_free(&r);
}

Test(files, a_file_is_given_by_its_path_and_inherits_beside_itself)
{
    Rig r = rig_new();
    put(&r, "base", "target some_base\nmax_axis 128 assumed\n", 38);
    put(&r, "top", "target top\ninherits base.target\n", 32);
    const Target *t = target_load(r.a, r.sources, arena_printf(r.a, "%s/targets/top.target", r.dir), shipped, r.ds);
    cr_assert(t != NULL, "%s", rendered(&r));
    cr_expect_eq(t->max_axis, 128);
    rig_free(&r);
}

static const struct {
    const char *text, *code, *says;
} mistakes[] = {
    {"", "E1002", "begins with 'target NAME'"},
    {"inherits any\n", "E1002", "begins with 'target NAME'"},
    {"target bad one\n", "E1002", "begins with 'target NAME'"},
    {"target other\n", "E1002", "calls itself 'other'"},
    {"target bad\nmax_axs 16384 assumed\n", "E1003", "did you mean 'max_axis'?"},
    {"target bad\nfrobnicate 1 assumed\n", "E1003", "anec target any"},
    {"target bad\n\"max_axis\" 16384 assumed\n", "E1003", "there is no fact"},
    {"target bad\nmax_axis 16384 probable\n", "E1003", "unknown confidence 'probable'"},
    {"target bad\nmax_axis 16384 agred \"x\"\n", "E1003", "did you mean 'agreed'?"},
    {"target bad\nop conv yess assumed\n", "E1003", "did you mean 'yes'?"},
    {"target bad\nop conv\n", "E1002", "an operation needs its name"},
    {"target bad\nop \"conv\" yes assumed\n", "E1002", "an operation needs its name"},
    {"target bad\nmax_axis\n", "E1002", "a fact needs its value"},
    {"target bad\nmax_axis 16384\n", "E1002", "how well is this known?"},
    {"target bad\nmax_axis 16384 shown\n", "E1006", "nothing says by whom"},
    {"target bad\nmax_axis 16384 shown by me\n", "E1002", "one text in quotes"},
    {"target bad\nmax_axis 16384 shown \"x\" \"y\"\n", "E1002", "one text in quotes"},
    {"target bad\nmax_axis 16384 shown \"x\n", "E1002", "not closed"},
    {"target bad\nmax_axis 16384 shown \"a\\n\"\n", "E1002", "are escapes"},
    {"target bad\na b c d e f g h i\n", "E1002", "more than a line can hold"},
    {"target bad\nmax_axis 8 assumed\n", "E1004", "a whole number from 64 to 16777216"},
    {"target bad\nmax_axis 1e4 assumed\n", "E1004", "'1e4' is no value of max_axis"},
    {"target bad\nmax_axis \"64\" assumed\n", "E1004", "is no value of max_axis"},
    {"target bad\nchip M4 assumed\n", "E1004", "a text in quotes"},
    {"target bad\nio packed assumed\n", "E1004", "one of single, multi"},
    {"target bad\npeak 0 assumed\n", "E1004", "a number from 0.001 to 1000000 Tflop/s"},
    {"target bad\nio multi assumed\nio single assumed\n", "E1005", "'io' is said twice"},
    {"target bad\nop add yes assumed\nop add no assumed\n", "E1005", "'add' is said twice"},
    {"target bad\ninherits any\ninherits m4\n", "E1005", "'inherits' is said twice"},
    {"target bad\nio multi assumed\ninherits m4\n", "E1005", "comes before all facts"},
    {"target bad\ninherits\n", "E1002", "inherits needs the name"},
    {"target bad\ninherits bad\n", "E1007", "inherits from itself"},
    {"target bad\ninherits m44\n", "E1001", "did you mean 'm4'?"},
    {"target bad\ninherits ../targets/none.target\n", "E0001", "cannot open"},
    {"target bad\nmax_axis 16384 shown \"a\x01\"\n", "E1002", "control character (0x01)"},
};

Test(files, each_mistake_is_told_with_its_place_and_a_remedy)
{
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        Rig r = rig_new();
        put(&r, "bad", mistakes[i].text, strlen(mistakes[i].text));
        cr_expect(get(&r, "bad") == NULL, "%s", mistakes[i].text);
        const char *told = rendered(&r);
        cr_assert_eq(r.ds->errors, 1, "%s%s", mistakes[i].text, told);
        cr_expect_str_eq(r.ds->item[0]->code, mistakes[i].code, "%s%s", mistakes[i].text, told);
        cr_expect(strstr(told, mistakes[i].says) != NULL, "%s%s", mistakes[i].text, told);
        cr_expect(r.ds->item[0]->at.file != 0, "no place: %s%s", mistakes[i].text, told);
        rig_free(&r);
    }
}

Test(files, several_mistakes_are_told_in_one_go)
{
    static const char text[] = "target bad\nmax_axs 1 assumed\nio packed assumed\npeak 0 assumed\n";
    Rig               r = rig_new();
    put(&r, "bad", text, strlen(text));
    cr_expect(get(&r, "bad") == NULL);
    cr_expect_eq(r.ds->errors, 3);
    rig_free(&r);
}

Test(files, a_missing_profile_lists_those_there_are)
{
    Rig r = rig_new();
    cr_expect(target_load(r.a, r.sources, "m6", shipped, r.ds) == NULL);
    cr_expect_str_eq(r.ds->item[0]->code, "E1001");
    cr_expect(strstr(rendered(&r), "known profiles: any, m1, m2, m3, m4, m4-max, m5") != NULL, "%s", rendered(&r));
    cr_expect(target_load(r.a, r.sources, "../std/nn.anel", shipped, r.ds) == NULL);
    cr_expect(target_load(r.a, r.sources, "", shipped, r.ds) == NULL);
    cr_expect(target_load(r.a, r.sources, "..", (TargetPath){0}, r.ds) == NULL);
    rig_free(&r);
}

Test(files, a_list_shows_what_is_broken)
{
    Rig         r = rig_new();
    Buf         b = {0};
    const char *dir[] = {r.dir, SOURCE_DIR};
    put(&r, "m4", "target m4\nnonsense\n", strlen("target m4\nnonsense\n"));
    static const char mine[] = "target mine\nchip \"Mine\" assumed\nabout \"my own\" assumed\n";
    put(&r, "mine", mine, strlen(mine));
    targets_list(r.a, (TargetPath){dir, 2}, &b);
    cr_expect(strstr(b.data, "\nm4         has mistakes") != NULL, "%s", b.data);
    cr_expect(strstr(b.data, "\nmine       Mine                   my own\n") != NULL, "%s", b.data);
    cr_expect(strstr(b.data, "\nm5 ") != NULL);
    cr_expect(strncmp(b.data, "any ", 4) == 0);
    buf_free(&b);
    rig_free(&r);
}

Test(files, cycles_and_long_chains_end)
{
    Rig r = rig_new();
    put(&r, "a", "target a\ninherits b\n", 20);
    put(&r, "b", "target b\ninherits a\n", 20);
    cr_expect(get(&r, "a") == NULL);
    cr_expect_str_eq(r.ds->item[0]->code, "E1007");
    for (int i = 0; i < 20; i++) {
        const char *text = arena_printf(r.a, "target c%d\ninherits c%d\n", i, i + 1);
        put(&r, arena_printf(r.a, "c%d", i), text, strlen(text));
    }
    cr_expect(get(&r, "c0") == NULL);
    cr_expect(strstr(rendered(&r), "more than 8 deep") != NULL);
    rig_free(&r);
}

/* Damage shipped profiles in every way: what comes out is a profile or a message; a profile prints and reads again. */
Test(files, damaged_profiles_are_read_or_told)
{
    Rig      r = rig_new();
    uint32_t read = 0, told = 0;
    for (uint32_t round = 0; round < 400; round++) {
        static const char *const name[] = {"any", "m1", "m3", "m4"};
        uint64_t    draw = 0;
        const char *which = name[rng_u64(round, draw++) % 4];
        char       *text, err[FILE_ERR_MAX];
        size_t      len;
        cr_assert(file_read(r.a, arena_printf(r.a, SOURCE_DIR "/targets/%s.target", which), &text, &len, err));
        for (uint64_t k = rng_u64(round, draw++) % 4; k-- > 0;) {
            size_t at = rng_u64(round, draw++) % len;
            switch (rng_u64(round, draw++) % 4) {
            case 0: text[at] = (char)rng_u64(round, draw++); break;
            case 1: len = at + 1; break;
            case 2: memmove(text + at, text + at + 1, len - at - 1); break;
            default: text[at] = " \n\"\\#19"[rng_u64(round, draw++) % 7]; break;
            }
        }
        put(&r, which, text, len);
        Diags *ds = r.ds = diags_new(r.a, r.sources, "test");
        const Target *t = get(&r, which);
        cr_assert_eq(t == NULL, ds->errors > 0);
        read += t != NULL;
        told += t == NULL;
        if (!t)
            continue;
        const char *again = printed(&r, t);
        put(&r, which, again, strlen(again));
        const Target *u = get(&r, which);
        cr_assert(u != NULL, "%s", rendered(&r));
        char x[HASH_HEX], y[HASH_HEX];
        target_hash(t, x);
        target_hash(u, y);
        cr_assert_str_eq(x, y);
    }
    cr_expect(read > 20 && told > 20, "%u read, %u told", read, told);
    rig_free(&r);
}

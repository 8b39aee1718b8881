/* test_docs.c: docs/targets.md is true: its tables have every fact with its unit, meaning and default. */
#include "base/file.h"
#include "target/target.h"

#include <criterion/criterion.h>
#include <string.h>

Test(docs, every_fact_is_listed_as_it_is)
{
    Arena *a = arena_new();
    char  *page, err[FILE_ERR_MAX];
    size_t len;
    cr_assert(file_read(a, SOURCE_DIR "/docs/targets.md", &page, &len, err), "%s", err);
    for (uint32_t i = 0; i < FACT_COUNT; i++) {
        const FactInfo *f = &fact_info[i];
        Buf             value = {0};
        if (i != FACT_about)
            fact_print(f, target_any(), &value);
        const char *v = value.data ? value.data : "";
        if (f->kind == KIND_text && *v) /* without its quotes */
            v = arena_strndup(a, v + 1, strlen(v) - 2);
        const char *row = arena_printf(a, "\n| `%s` | %s | %s | %s |\n", f->name, v, f->unit, f->help);
        cr_expect(strstr(page, row) != NULL, "missing or different: %s", row);
        buf_free(&value);
    }
    for (uint32_t i = 0; i < CONF_COUNT; i++)
        cr_expect(strstr(page, arena_printf(a, "| `%s` |", confidence_name[i])) != NULL, "%s", confidence_name[i]);
    arena_free(a);
}

/* The table of rates says what the profiles say. */
Test(docs, the_rates_are_those_of_the_profiles)
{
    static const char *const name[] = {"any", "m1", "m2", "m3", "m4", "m4-max", "m5"}, *const dirs[] = {SOURCE_DIR};
    static const uint32_t fact[] = {FACT_dispatch,        FACT_peak,      FACT_peak_matmul, FACT_weight_bandwidth,
                                    FACT_notch_bandwidth, FACT_bandwidth, FACT_elementwise, FACT_compile_fixed,
                                    FACT_compile_op};
    Arena *a = arena_new();
    char  *page, err[FILE_ERR_MAX];
    size_t len;
    cr_assert(file_read(a, SOURCE_DIR "/docs/targets.md", &page, &len, err), "%s", err);
    for (size_t i = 0; i < COUNT(name); i++) {
        Sources      *sources = sources_new(a);
        const Target *t = target_load(a, sources, name[i], (TargetPath){dirs, 1}, diags_new(a, sources, "test"));
        Buf           row = {0};
        cr_assert(t != NULL);
        buf_printf(&row, "\n| %s |", name[i]);
        for (size_t k = 0; k < COUNT(fact); k++) {
            buf_putc(&row, ' ');
            fact_print(&fact_info[fact[k]], t, &row);
            buf_puts(&row, " |");
        }
        buf_putc(&row, '\n');
        cr_expect(strstr(page, row.data) != NULL, "missing or different: %s", row.data);
        buf_free(&row);
    }
    arena_free(a);
}

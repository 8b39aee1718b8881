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

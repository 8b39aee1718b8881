/* test_docs.c: docs/ir.md is true: its example is a module as the printer writes it, and its table lists every
 * operation. */
#include "rig.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <string.h>

static char *page(Rig *r)
{
    char  *text, err[FILE_ERR_MAX];
    size_t len;
    cr_assert(file_read(r->a, IR_MD, &text, &len, err), "%s", err);
    return text;
}

Test(docs, the_example_reads_verifies_and_prints)
{
    Rig   r = rig_new();
    char *text = strstr(page(&r), "```ir\n");
    cr_assert(text != NULL);
    text += strlen("```ir\n");
    char *end = strstr(text, "```\n");
    cr_assert(end != NULL);
    *end = 0;
    Module *m = rig_load(&r, text);
    buf_clear(&r.buf);
    module_print(m, &r.buf);
    cr_assert_str_eq(r.buf.data, text);
    rig_free(&r);
}

Test(docs, every_operation_is_listed)
{
    Rig   r = rig_new();
    char *table = strstr(page(&r), "## Operations");
    cr_assert(table != NULL);
    for (uint32_t op = 0; op < OP_COUNT; op++)
        cr_expect(strstr(table, arena_printf(r.a, "`%s`", op_info[op].name)) != NULL, "%s", op_info[op].name);
    rig_free(&r);
}

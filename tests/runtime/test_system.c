/* test_system.c: what is said about a system is read from its files, is fit for reports, and is there. */
#include "system.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

Test(system_facts, fields_are_read_line_by_line)
{
    static const char release[] = "PRETTY_NAME=\"Some System 12\"\nNAME=\"Some System\"\nID=x\nVERSION_ID='12'\nEMPTY=\n";
    static const char cpu[] = "processor\t: 0\nmodel\t\t: 167\nmodel name\t: A Chip (R)  \n\nmodel name\t: another\n";
    char              text[SYSTEM_TEXT];
    cr_assert(system_field(release, "NAME", '=', text));
    cr_expect_str_eq(text, "Some System"); /* not PRETTY_NAME's */
    cr_assert(system_field(release, "VERSION_ID", '=', text));
    cr_expect_str_eq(text, "12");
    cr_assert(system_field(release, "EMPTY", '=', text));
    cr_expect_str_eq(text, "");
    cr_assert(system_field(cpu, "model name", ':', text));
    cr_expect_str_eq(text, "A Chip (R)");
    cr_expect_not(system_field(cpu, "Hardware", ':', text));
    cr_expect_str_eq(text, "");
    cr_expect_not(system_field("", "NAME", '=', text));
    cr_assert(system_field("NAME=last", "NAME", '=', text)); /* no newline at the end */
    cr_expect_str_eq(text, "last");
}

Test(system_facts, fields_are_cut_and_hold_nothing_unprintable)
{
    char line[400] = "NAME=a\x01\xc3\xa9z", text[SYSTEM_TEXT];
    cr_assert(system_field(line, "NAME", '=', text));
    cr_expect_str_eq(text, "az");
    memset(line + 5, 'x', sizeof line - 6);
    cr_assert(system_field(line, "NAME", '=', text));
    cr_expect_eq(strlen(text), (size_t)SYSTEM_TEXT - 1);
}

Test(system_facts, this_system_is_described)
{
    System         s, again;
    struct utsname u;
    Buf            out = {0};
    memset(&s, 0xff, sizeof s);
    memset(&again, 0, sizeof again);
    system_describe(&s);
    system_describe(&again);
    cr_assert_eq(uname(&u), 0);
    cr_expect_str_eq(s.machine, u.machine);
    cr_expect_neq(s.os[0], 0);
    cr_expect_neq(s.build[0], 0);
    cr_expect_gt(s.cores, 0u);
    cr_expect_str_eq(s.os, again.os);
    cr_expect_str_eq(s.chip, again.chip);
    cr_expect_eq(s.memory, again.memory);
    system_print(&s, &out);
    cr_expect(strncmp(out.data, s.os, strlen(s.os)) == 0);
    cr_expect(strstr(out.data, s.build) != NULL, "%s", out.data);
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) == 0 && strlen(host) > 8)
        cr_expect(strstr(out.data, host) == NULL, "the host's name is nobody's business: %s", out.data);
    buf_free(&out);
}

Test(system_facts, texts_leave_out_what_is_unknown)
{
    System s = {.os = "macOS", .version = "15.1", .build = "24B83", .machine = "arm64", .model = "Mac16,1", .chip = "Apple M4"};
    Buf    out = {0};
    system_print(&s, &out);
    cr_expect_str_eq(out.data, "macOS 15.1 (24B83), Apple M4, Mac16,1, arm64");
    buf_clear(&out);
    system_key(&s, &out);
    cr_expect_str_eq(out.data, "macOS-24B83-Apple_M4");
    buf_clear(&out);
    system_print(&(System){0}, &out);
    cr_expect_str_eq(out.data, "unknown system");
    buf_clear(&out);
    system_key(&(System){.os = "A B/C"}, &out);
    cr_expect_str_eq(out.data, "A_B_C");
    buf_free(&out);
}

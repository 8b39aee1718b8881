/* test_trace.c: traces are bounded, say when they are not whole, and are valid JSON whatever the names. */
#include "pool.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <string.h>

Test(trace, says_what_ran_where)
{
    Trace *t = trace_new(10);
    Buf    out = {0};
    trace_add(t, "device", "fwd", 3, true, 5, 5.5);
    trace_add(t, "cpu ops", "a \"b\"\\\n", -1, false, 6, 6.25);
    trace_print(t, &out);
    cr_expect(strstr(out.data, "\"complete\":\"yes\"") != NULL);
    cr_expect(strstr(out.data, "\"name\":\"fwd\",\"cat\":\"device\",\"pid\":1,\"tid\":1000,") != NULL, "%s", out.data);
    cr_expect(strstr(out.data, "\"dur\":500000.000,\"args\":{\"L\":3}}") != NULL, "%s", out.data);
    cr_expect(strstr(out.data, "\"name\":\"a \\\"b\\\"\\\\\\u000a\"") != NULL, "%s", out.data);
    cr_expect(strstr(out.data, "\"name\":\"controller\"") && strstr(out.data, "\"name\":\"device queue\""));
    cr_expect_not(trace_full(t));
    buf_free(&out);
    trace_free(t);
}

static void add(void *with, uint32_t i)
{
    trace_add(with, "kind", "name", (int32_t)i, false, i, i + 1);
}

Test(trace, stops_when_it_is_full_and_says_so)
{
    Trace *t = trace_new(100);
    Pool  *p = pool_new(4);
    Buf    out = {0};
    pool_for(p, 1000, add, t);
    cr_expect(trace_full(t));
    trace_print(t, &out);
    cr_expect(strstr(out.data, "\"complete\":\"no: recording stopped") != NULL);
    int events = 0;
    for (const char *at = out.data; (at = strstr(at, "\"ph\":\"X\"")); at++)
        events++;
    cr_expect_eq(events, 100);
    trace_add(NULL, "kind", "name", 0, false, 0, 1); /* nobody records */
    cr_expect_not(trace_full(NULL));
    buf_free(&out);
    pool_free(p);
    trace_free(t);
}

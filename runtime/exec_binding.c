/* exec_binding.c: does the device read and write the surfaces that it was given, each in its place?
 *
 * Surfaces are bound to a compiled program by indices. Published projects that passed them in another order than the
 * compiler's computed with exchanged data wherever sizes allowed it (docs/faults.md). The engine's driver looks the indices
 * up by name; this proves it. A small program has two inputs and two outputs of one size, and every exchange shows in whole
 * numbers: the first output is the first input twice, the second the sum of both. Behind the bytes of its inputs their
 * surfaces hold NaN, which must not matter. Done once, when programs are first made, if any program of the plan has several
 * inputs or outputs; it costs one compilation and is left out where the budget has no room. */
#include "exec_internal.h"

#include <string.h>

enum { CHANNELS = 64, WIDTH = 32, NUMBERS = CHANNELS * WIDTH };

#define PORT "tensor<fp16, [1, 64, 1, 32]> "
static const char binding_mil[] =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "
    "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", "
    "\"9.0\"}})]\n{\n"
    "    func main<ios18>(" PORT "i00_first, " PORT "i01_second) {\n"
    "        " PORT "o00_twice = add(x = i00_first, y = i00_first)[name = string(\"o00_twice\")];\n"
    "        " PORT "o01_sum = add(x = i00_first, y = i01_second)[name = string(\"o01_sum\")];\n"
    "    } -> (o00_twice, o01_sum);\n"
    "}\n";

static int32_t number(uint32_t input, size_t i)
{
    return input ? (int32_t)(i % 7) + 20 : (int32_t)(i % 5) - 2;
}

static bool several_ports(const Exec *e)
{
    for (uint32_t i = 0; i < e->plan->programs; i++)
        if (e->plan->program[i].ins > 1 || e->plan->program[i].outs > 1)
            return true;
    return false;
}

static void fill(Surface *s, const Port *p, uint32_t input)
{
    uint16_t *x = surface_lock(s, true);
    for (size_t i = p->bytes / 2; i < surface_bytes(s) / 2; i++)
        x[i] = 0x7e00;
    for (size_t i = 0; i < NUMBERS; i++)
        exec_put(x, p->type, i, number(input, i));
    surface_unlock(s, true);
}

/* Numbers of output k that are as they should be. */
static uint32_t right(Surface *s, const Port *p, uint32_t k)
{
    const void *y = surface_lock(s, false);
    uint32_t    n = 0;
    for (size_t i = 0; i < NUMBERS; i++)
        n += exec_get(y, p->type, i) == number(0, i) + number(k, i);
    surface_unlock(s, false);
    return n;
}

static bool run(Exec *e, Program *p, Surface **s, Buf *err)
{
    const ProgramFunction *f = program_function(p, 0);
    for (uint32_t i = 0; i < 4; i++)
        if (!(s[i] = surface_new(e->device, port_surface_bytes(i < 2 ? &f->input[i] : &f->output[i - 2]), err)))
            return exec_not_made(e);
    for (uint32_t i = 0; i < 2; i++)
        fill(s[i], &f->input[i], i);
    Request *r = request_new(p, 0, s, s + 2, err);
    bool     ok = r && request_eval(r, err);
    request_free(r);
    if (!ok) {
        e->trouble = EXEC_EVAL;
        return false;
    }
    uint32_t twice = right(s[2], &f->output[0], 0), sum = right(s[3], &f->output[1], 1);
    if (twice == NUMBERS && sum == NUMBERS)
        return true;
    e->trouble = EXEC_BINDING;
    buf_printf(err,
               "the device exchanges inputs or outputs of programs, or does not keep to their sizes: a test program with two "
               "of each gave %u and %u of %d right numbers. Nothing computed here can be relied on; plans whose programs "
               "have one input and one output each are not affected (anec --weights baked)",
               twice, sum, NUMBERS);
    return false;
}

bool exec_binding(Exec *e, Buf *err)
{
    Surface *s[4] = {NULL};
    if (e->bound || !several_ports(e) || !device_compiles_left(e->device))
        return true;
    Program *p = program_compile(e->device, "binding.mil", binding_mil, sizeof binding_mil - 1, NULL, 0, err);
    bool     ok = p ? run(e, p, s, err) : exec_not_made(e);
    program_free(p);
    for (uint32_t i = 0; i < 4; i++)
        surface_free(s[i]);
    e->bound = ok;
    return ok;
}

/* misuse_cases.c: a careless driver. misuse.def says what has to come of each function. */
#include "misuse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void misuse_properly(void)
{
    Model m = loaded();
    Id    stats = SEND(Id, CLASS("_ANEPerformanceStats"), "statsWithHardwareExecutionNS:", (uint64_t), (0));
    SEND(void, m.model, "setPerfStatsMask:", (unsigned), (15));
    Bound b = bind_with(0, 0, stats);
    if (!evaluate(&m, &b) || SEND0(uint64_t, stats, "hwExecutionTime") == 0)
        _Exit(3);
    unbind(&b);
    unload(&m);
    finish(&m);
}

/* ---- misuse ---- */

void misuse_message_to_nil(void) { SEND0(Id, NULL, "state"); }

void misuse_unknown_method(void) { SEND0(Id, CLASS("_ANEClient"), "nonsense"); }

void misuse_text_as_string(void)
{
    push();
    descriptor(string(misuse_mil), weights_none());
}

void misuse_weights_nil(void)
{
    push();
    descriptor(data(misuse_mil), NULL);
}

void misuse_weights_as_array(void)
{
    push();
    descriptor(data(misuse_mil), array(NULL, 0));
}

void misuse_weight_without_data(void)
{
    Ref entry = dictionary((Ref[]){string("offset")}, (Ref[]){number(0)}, 1);
    push();
    descriptor(data(misuse_mil), dictionary((Ref[]){string("@model_path/w.bin")}, (Ref[]){entry}, 1));
}

void misuse_weight_at_an_offset(void)
{
    Ref entry = dictionary((Ref[]){string("offset"), string("data")}, (Ref[]){number(64), data("x")}, 2);
    push();
    descriptor(data(misuse_mil), dictionary((Ref[]){string("@model_path/w.bin")}, (Ref[]){entry}, 1));
}

void misuse_nil_in_a_container(void) { array((Ref[]){NULL}, 1); }

void misuse_no_pool(void)
{
    SEND(Id, CLASS("_ANEPerformanceStats"), "statsWithHardwareExecutionNS:", (uint64_t), (0));
}

void misuse_pools_out_of_order(void)
{
    Id outer = push();
    push();
    pop(outer);
}

void misuse_pool_left(void) { push(); }

static void *leave_a_pool(void *unused)
{
    push();
    return unused;
}

void misuse_pool_left_by_a_thread(void)
{
    pthread_t t;
    pthread_create(&t, NULL, leave_a_pool, NULL);
    pthread_join(t, NULL);
}

/* What a pool held, without a reference of one's own. */
void misuse_not_retained(void)
{
    Id pool = push();
    Id stats = SEND(Id, CLASS("_ANEPerformanceStats"), "statsWithHardwareExecutionNS:", (uint64_t), (0));
    pop(pool);
    SEND0(uint64_t, stats, "hwExecutionTime");
}

void misuse_freed_in_a_container(void)
{
    Ref n = number(1);
    drop(n);
    array((Ref[]){n}, 1);
}

void misuse_released_twice(void)
{
    Ref n = number(1);
    drop(n);
    drop(n);
}

void misuse_released_null(void) { drop(NULL); }

void misuse_leaked(void) { number(1); }

void misuse_leaked_model(void)
{
    Model m = described();
    release(m.model);
    release(m.descriptor);
    pop(m.pool);
}

void misuse_index_out_of_range(void)
{
    CALL(Ref, "CFArrayGetValueAtIndex", (Ref, long), (array(NULL, 0), 0));
}

void misuse_text_of_a_number(void) { CALL(long, "CFStringGetLength", (Ref), (number(1))); }

void misuse_no_whole_page(void) { surface_of(1000, 1, 1, 1000, 1000); }

void misuse_two_rows(void) { surface_of(PAGE / 2, 2, 1, PAGE / 2, PAGE); }

void misuse_rows_disagree(void) { surface_of(PAGE, 1, 1, PAGE / 2, PAGE); }

void misuse_elements_of_two(void) { surface_of(PAGE / 2, 1, 2, PAGE, PAGE); }

void misuse_unlock_unlocked(void) { unlock(surface(), 0); }

void misuse_unlock_the_other(void)
{
    Id s = surface();
    lock(s, 1);
    unlock(s, 0);
}

void misuse_lock_options(void) { lock(surface(), 4); }

void misuse_freed_locked(void)
{
    Id s = surface();
    lock(s, 0);
    drop(s);
}

void misuse_address_unlocked(void) { (void)address(surface()); }

void misuse_read_unlocked(void)
{
    Id                      s = surface();
    volatile unsigned char *at;
    lock(s, 1);
    at = address(s);
    unlock(s, 1);
    (void)*at;
}

void misuse_write_read_locked(void)
{
    Id s = surface();
    lock(s, 1);
    *address(s) = 1;
}

void misuse_compile_twice(void)
{
    Model m = described();
    compile(&m, 21, m.options);
    compile(&m, 21, m.options);
}

void misuse_compile_without_files(void)
{
    char  command[100];
    Model m = described();
    snprintf(command, sizeof command, "rm -r %s/*", misuse_tmp);
    if (system(command) == 0)
        compile(&m, 21, m.options);
}

void misuse_load_without_files(void)
{
    char  command[100];
    Model m = described();
    compile(&m, 21, m.options);
    snprintf(command, sizeof command, "rm -r %s/*", misuse_tmp);
    if (system(command) == 0)
        load(&m);
}

void misuse_load_uncompiled(void)
{
    Model m = described();
    load(&m);
}

void misuse_load_twice(void)
{
    Model m = loaded();
    load(&m);
}

void misuse_unload_unloaded(void)
{
    Model m = described();
    unload(&m);
}

void misuse_unload_twice(void)
{
    Model m = loaded();
    unload(&m);
    unload(&m);
}

void misuse_freed_loaded(void)
{
    Model m = loaded();
    release(m.model);
    pop(m.pool);
}

void misuse_qos(void)
{
    Model m = described();
    compile(&m, 64, m.options);
}

void misuse_options_nil(void)
{
    Model m = described();
    compile(&m, 21, NULL);
}

static Ref die(int64_t n)
{
    return dictionary((Ref[]){string("kANEFProcedureVariantHint"), string("kANEFAneInstanceHint")},
                      (Ref[]){number(1), number(n)}, 2);
}

void misuse_other_options(void)
{
    Model m = described();
    compile(&m, 21, die(1));
    load(&m);
}

void misuse_no_such_die(void)
{
    Model m = described();
    compile(&m, 21, die(5));
}

void misuse_half_of_the_options(void)
{
    Model m = described();
    compile(&m, 21, dictionary((Ref[]){string("kANEFAneInstanceHint")}, (Ref[]){number(1)}, 1));
}

void misuse_unknown_option(void)
{
    Model m = described();
    compile(&m, 21, dictionary((Ref[]){string("kANEFast")}, (Ref[]){number(1)}, 1));
}

void misuse_no_place_for_an_error(void)
{
    Model m = loaded();
    Bound b = bind_with(0, 1, NULL);
    SEND(bool, m.model, "evaluateWithQoS:options:request:error:", (unsigned, Ref, Id, Id *), (21, m.options, b.request, NULL));
}

void misuse_attributes_unloaded(void)
{
    Model m = described();
    SEND0(Ref, m.model, "modelAttributes");
}

void misuse_evaluate_unloaded(void)
{
    Model m = loaded();
    Bound b = bind_with(0, 0, NULL);
    unload(&m);
    evaluate(&m, &b);
}

void misuse_evaluate_something_else(void)
{
    Model m = loaded();
    Bound b = {.request = surface()};
    evaluate(&m, &b);
}

void misuse_evaluate_locked(void)
{
    Model m = loaded();
    Bound b = bind_with(0, 0, NULL);
    lock(b.surface[0], 0);
    evaluate(&m, &b);
}

void misuse_evaluate_read_locked_output(void)
{
    Model m = loaded();
    Bound b = bind_with(0, 0, NULL);
    lock(b.surface[1], 1);
    evaluate(&m, &b);
}

/* Another thread has the surface while an evaluation, which never ends here, has it too. */
static Model hanging;
static Bound bound;

static void *evaluate_forever(void *unused)
{
    push();
    evaluate(&hanging, &bound);
    return unused;
}

static void start_hanging(void)
{
    pthread_t t;
    hanging = loaded();
    bound = bind_with(0, 0, NULL);
    pthread_create(&t, NULL, evaluate_forever, NULL);
    for (atomic_bool *hung = variable("fake_hung"); !*hung;)
        usleep(100);
}

void misuse_write_while_evaluated(void)
{
    start_hanging();
    lock(bound.surface[0], 0);
}

void misuse_read_while_written(void)
{
    start_hanging();
    lock(bound.surface[1], 1);
}

void misuse_evaluate_twice_at_once(void)
{
    start_hanging();
    evaluate(&hanging, &bound);
}

void misuse_unload_while_evaluated(void)
{
    start_hanging();
    unload(&hanging);
}

void misuse_counts_disagree(void)
{
    push();
    request(array(NULL, 0), array((Ref[]){number(0)}, 1), array(NULL, 0), array(NULL, 0), NULL, NULL, number(0));
}

void misuse_indices_as_strings(void)
{
    push();
    request(array(NULL, 0), array((Ref[]){string("0")}, 1), array(NULL, 0), array(NULL, 0), NULL, NULL, number(0));
}

void misuse_weights_buffer(void)
{
    push();
    request(array(NULL, 0), array(NULL, 0), array(NULL, 0), array(NULL, 0), (Id)(uintptr_t)number(0), NULL, number(0));
}

void misuse_stats_of_another_class(void)
{
    push();
    request(array(NULL, 0), array(NULL, 0), array(NULL, 0), array(NULL, 0), NULL, (Id)(uintptr_t)number(0), number(0));
}

void misuse_stats_twice(void)
{
    push();
    Id stats = SEND(Id, CLASS("_ANEPerformanceStats"), "statsWithHardwareExecutionNS:", (uint64_t), (0));
    bind_with(0, 0, stats);
    bind_with(0, 0, stats);
}

void misuse_stats_mask(void)
{
    Model m = described();
    SEND(void, m.model, "setPerfStatsMask:", (unsigned), (16));
}

void misuse_other_symbols(void)
{
    Model m = loaded();
    Bound b = bind_with(7, 0, NULL);
    if (!evaluate(&m, &b))
        fputs("fake framework: refused with status 0x2\n", stderr), abort();
}

/* check_device.h: a device that computes with another one and holds what comes out against the reference.
 *
 * To everyone else it is the device within: surfaces, programs and requests are passed on. Of each program of the plan
 * the first and the last instance are checked, at their first two evaluations, with the inputs they really got;
 * check_device_random() then runs them on inputs of its own. */
#ifndef ANEL_RUNTIME_CHECK_DEVICE_H
#define ANEL_RUNTIME_CHECK_DEVICE_H

#include "check/compare.h"
#include "device.h"

/* Takes over `inner`, which is closed with it, and `host`, a host device for second opinions, or NULL. `plan` names programs and the parts of their ports and outlives the
 * device. */
Device *check_device_new(Device *inner, Device *host, const Plan *plan);

/* What function `function` of the program called `name` is: instance `instance` of program `program` of the plan. */
typedef bool CheckMember(const void *with, const char *name, uint32_t function, uint32_t *program, uint32_t *instance);
/* Programs may be several of the plan's at once: `member` says which, before any is compiled. Without it the names of programs,
 * which begin with that of a text of the plan, tell. */
void check_device_members(Device *d, CheckMember *member, const void *with);

/* Run all checked programs that are alive on random inputs: elements of what each channel of a port really got, in
 * another order and each times a number from 0.5 to 1.5; from 0.1 to 1 for programs that did not run. */
bool check_device_random(Device *d, uint64_t seed, Buf *err);

/* What was found so far; lives until the device is closed. */
const CheckRows *check_device_rows(const Device *d);

#endif

/* second.h: a program on the host device, for a second opinion on what another device makes of the same text, weights and
 * inputs. The fp64 reference says what the numbers should be; the host device says what they are with the engine's
 * roundings, and with the quirks of the target that it imitates. */
#ifndef ANEL_RUNTIME_SECOND_H
#define ANEL_RUNTIME_SECOND_H

#include "device.h"

typedef struct Second Second;

/* Compile on `host`. NULL with the reason in `err`. */
Second *second_new(Device *host, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err);
void    second_free(Second *s); /* NULL is fine */
/* Run it on numbers that its ports can hold; ports_free() the outputs. NULL with the reason in `err`. */
double **second_run(Second *s, double *const *input, Buf *err);
uint32_t second_outputs(const Second *s);

/* ---- numbers on surfaces ---- */
bool     port_known(const Port *p); /* fp16, fp32 or int32 */
uint64_t port_elements(const Port *p);
double  *port_read(const Port *p, Surface *s); /* free() it */
void     port_write(const Port *p, Surface *s, double *x); /* rounds x likewise */
double **ports_read(const Port *p, uint32_t n, Surface *const *s);
void     ports_free(double **x, uint32_t n); /* NULL is fine */
/* Surfaces for n ports; NULL with the reason in `err`. */
Surface **surfaces_new(Device *d, const Port *port, uint32_t n, Buf *err);
void      surfaces_free(Surface **s, uint32_t n); /* NULL is fine */

#endif

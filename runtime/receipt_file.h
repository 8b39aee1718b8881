/* receipt_file.h: the receipt of a job as a file. */
#ifndef ANEL_RUNTIME_RECEIPT_FILE_H
#define ANEL_RUNTIME_RECEIPT_FILE_H

#include "plan_job.h"

/* Write --receipt FILE, whole or not at all. `status`: "running", "failed", or NULL: as the run ended. `error` goes with
 * "failed". Does nothing where none was asked for. False with a sentence in `err`. */
bool receipt_write(const Job *j, const char *status, const char *error, Buf *err);

/* This image ends for another to go on: what it counted is added to the state. */
void receipt_carry(Job *j);

#endif

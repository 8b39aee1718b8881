/* anerun.h: the sub-commands of anerun. Each takes the arguments from its own name on and returns the exit status. */
#ifndef ANEL_RUNTIME_ANERUN_H
#define ANEL_RUNTIME_ANERUN_H

#include "base/cli.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef int Command(int argc, char **argv);

Command cmd_mil, cmd_completion, cmd_man;
Command cmd_probe, cmd_probe_child; /* take all arguments: the first is --probe */
extern const CliCommand cmd_probe_cli; /* its options, for the manual page and completion */
Command cmd_plan; /* takes all arguments: the first is a plan, or an option */

#endif

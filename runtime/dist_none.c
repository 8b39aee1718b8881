/* dist_none.c: stands in for dist_mpi.c where MPI was not found. Nothing here is ever reached: dist_open() asks first. */
#include "dist_driver.h"

bool dist_driver_built(void)
{
    return false;
}

void *dist_driver_run(void *dist)
{
    (void)dist;
    bug("no MPI in this build");
}

void dist_driver_release(DistReduce *r)
{
    (void)r;
}

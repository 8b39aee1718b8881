"""How tests start several processes of a job."""
import os
import shutil
import subprocess

MPIRUN = shutil.which("mpirun")


def is_open_mpi():
    said = subprocess.run([MPIRUN, "--version"], capture_output=True, check=False).stdout
    return b"Open MPI" in said or b"OpenRTE" in said


def launcher():
    """mpirun as tests need it: more ranks than processors, as root in containers, no spinning, no network."""
    if not is_open_mpi():
        return [MPIRUN]
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [MPIRUN, *root, "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--mca",
            "btl", "^tcp", "--mca", "odls_base_sigkill_timeout", "0"]

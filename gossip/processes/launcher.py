"""How a process finds out which job it belongs to, and with which MPI library."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from math import inf
from typing import TYPE_CHECKING

from gossip.errors import UsageError
from gossip.processes.communicator import Communicator

if TYPE_CHECKING:
    from mpi4py import MPI

WITH_ULFM = "OMPI_MCA_mpi_ft_enable"  # Open MPI's launcher sets it when it is told --with-ft ulfm
LAUNCHERS = (  # (number of processes, this process's number), the nearest launcher first
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_NTASKS", "SLURM_PROCID"),
)
THREAD_LEVELS = ("single", "funneled", "serialized", "multiple")  # in the order of MPI's constants


def launched_as() -> tuple[str, int, int] | None:
    """(variable, processes, this process's number) as a launcher set them; None without a launcher."""
    for size, rank in LAUNCHERS:
        if size in os.environ:
            return size, int(os.environ[size]), int(os.environ.get(rank, "0"))
    return None


def mpi_library() -> str:
    """Name and version of the MPI library, which is loaded but not initialized.

    Raises:
        ImportError, RuntimeError: if there is none.
    """
    if "mpi4py.MPI" not in sys.modules:
        import mpi4py

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = False
        atexit.register(_finalize)  # as mpi4py would later, when nothing of Python can prevent it any more
    from mpi4py import MPI

    name = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")
    return " ".join(name.replace("Version:", "").split())


def thread_level() -> str | None:
    """Who may call the MPI library; None if it is not initialized."""
    from mpi4py import MPI

    return THREAD_LEVELS[MPI.Query_thread()] if MPI.Is_initialized() else None


def _finalize() -> None:
    from mpi4py import MPI

    if MPI.Is_initialized() and not MPI.Is_finalized():
        MPI.Finalize()


def world(patience: float = inf) -> Communicator:
    """All processes that were launched together. Without a launcher no MPI library is needed, nor touched.

    Args:
        patience: Seconds after which a wait for other ranks is given up.

    Raises:
        UsageError: if the launcher started another number of processes than the MPI library knows of, in
            which case each would silently train alone.
    """
    launch = launched_as()
    if launch is None and "mpi4py.MPI" not in sys.modules:
        return Communicator()
    variable, size, _ = launch or ("", 1, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mismatch is reported below, with what to do about it
            library = mpi_library()
            from mpi4py import MPI

            foreign = variable.startswith("OMPI") and "MPICH" in library  # MPICH would abort when it is initialized
            if not foreign and not MPI.Is_initialized():
                MPI.Init_thread()
    except (ImportError, RuntimeError) as error:
        if size == 1:
            return Communicator()
        raise UsageError(
            f"{size} processes were launched ({variable}={size}) but no MPI library can be loaded "
            f"({' '.join(str(error).split())}); install one with: pip install 'gossip-mpi[mpich]'"
        ) from error
    if foreign or (launch is not None and MPI.COMM_WORLD.size != size):
        seen = "cannot be started by it" if foreign else f"sees {MPI.COMM_WORLD.size}"
        raise UsageError(
            f"the launcher started {size} processes ({variable}={size}) but the MPI library ({library}) {seen}; "
            f"use the mpirun that belongs to this library, under Slurm srun --mpi=pmi2 with MPICH, or unset {variable} "
            f"to run one process"
        )
    return over(MPI.COMM_WORLD, patience)


def over(communicator: MPI.Intracomm, patience: float = inf) -> Communicator:
    """The processes of an mpi4py communicator, which is duplicated."""
    if communicator.size == 1:
        return Communicator()
    from gossip.processes.mpi import MpiCommunicator

    return MpiCommunicator(communicator, patience=patience)


def tolerates_failures() -> bool:
    """Whether the processes of this job outlive each other: whether MPI has ULFM, and was started with it."""
    if "mpi4py.MPI" not in sys.modules:
        return False
    from mpi4py import MPI

    return "Open MPI" in MPI.Get_library_version() and os.environ.get(WITH_ULFM, "0") in ("1", "true")

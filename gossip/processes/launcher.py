"""How a process finds out which job it belongs to, and with which MPI library."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import warnings
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from gossip.processes.communicator import Communicator
from gossip.processes.environment import Launch, launched_as, launched_otherwise, start_timeout
from gossip.processes.start import StartError, limited, whoami

if TYPE_CHECKING:
    from mpi4py import MPI

WITH_ULFM = "OMPI_MCA_mpi_ft_enable"  # Open MPI's launcher sets it when it is told --with-ft ulfm
SOON = 10.0  # seconds: so many may lie between the starts of ranks with which nothing is wrong
THREAD_LEVELS = ("single", "funneled", "serialized", "multiple")  # in the order of MPI's constants


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


def world(doing: Sequence[str] = (), patience: float | None = None) -> Communicator:
    """All processes that were launched together. Without a launcher no MPI library is needed, nor touched.

    Args:
        doing: What this process is about to do with the others, who must do the same: a command and its arguments.
        patience: Seconds in which all must have found each other, after which this process ends, but not less than
            `SOON`; and after which any later wait for other ranks is given up. By default what the environment says, or
            600.

    Raises:
        UsageError: if processes were launched that MPI knows nothing of, or another number than it knows of, in which
            case each would silently train alone; or if the ranks are about to do different things.
    """
    launch = launched_as()
    _refuse_other_launchers(launch)
    if launch is None and "mpi4py.MPI" not in sys.modules:
        return Communicator()
    limit = start_timeout() if patience is None else patience
    with limited(limit if patience is None else max(patience, SOON)):
        if _initialize(launch) == 1:
            return Communicator()
    from mpi4py import MPI

    try:
        return over(MPI.COMM_WORLD, doing, limit)
    except MPI.Exception as error:
        raise StartError(f"{whoami()} has lost other ranks while the job started: {error}") from error


def over(communicator: MPI.Intracomm, doing: Sequence[str] = (), patience: float = inf) -> Communicator:
    """The processes of an mpi4py communicator, which is duplicated."""
    if communicator.size == 1:
        return Communicator()
    from gossip.processes.mpi import MpiCommunicator

    return MpiCommunicator(communicator, doing=doing, patience=patience)


def tolerates_failures() -> bool:
    """Whether the processes of this job outlive each other: whether MPI has ULFM, and was started with it."""
    if "mpi4py.MPI" not in sys.modules:
        return False
    from mpi4py import MPI

    return "Open MPI" in MPI.Get_library_version() and os.environ.get(WITH_ULFM, "0") in ("1", "true")


def _initialize(launch: Launch | None) -> int:
    """Number of processes that MPI knows of, once it is initialized; 1 where it is neither there nor needed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mismatch is reported below, with what to do about it
            library = mpi_library()
            from mpi4py import MPI

            foreign = launch is not None and launch.variable.startswith("OMPI") and "MPICH" in library  # it would abort
            if not foreign and not MPI.Is_initialized():
                _initialize_with_all_threads()
    except (ImportError, RuntimeError) as error:
        if launch is None or launch.size == 1:
            return 1
        raise StartError(
            f"{launch.size} processes were launched ({launch.said}) but {whoami()} can load no MPI library "
            f"({' '.join(str(error).split())}); install one with: {sys.executable} -m pip install 'gossip-mpi[mpich]'"
        ) from error
    seen = 1 if foreign else MPI.COMM_WORLD.size
    if launch is not None and (foreign or not launch.agrees(seen)):
        raise StartError(
            f"the launcher started {launch.size} processes ({launch.said}) but the MPI library ({library}) "
            f"{'cannot be started by it' if foreign else f'sees {seen}'}; use the mpirun that belongs to this library, "
            f"under Slurm srun --mpi=pmi2 with MPICH, or unset {launch.sign} to run one process"
        )
    return seen


def _initialize_with_all_threads() -> None:
    """As mpi4py does it, but without holding Python's global lock: other threads look at the time meanwhile."""
    from mpi4py import MPI

    provided = ctypes.c_int()
    library = ctypes.CDLL(MPI.__file__)  # and what it is linked to, the MPI library
    code = library.MPI_Init_thread(None, None, ctypes.c_int(MPI.THREAD_MULTIPLE), ctypes.byref(provided))
    if code != MPI.SUCCESS:
        raise RuntimeError(f"MPI_Init_thread fails with code {code}")
    for communicator in (MPI.COMM_WORLD, MPI.COMM_SELF):
        communicator.Set_errhandler(MPI.ERRORS_RETURN)  # which mpi4py raises


def _refuse_other_launchers(launch: Launch | None) -> None:
    """Refuse to run as one of several processes that are strangers to each other.

    Raises:
        UsageError: They are.
    """
    other, known = launched_otherwise(), launch.size if launch is not None else 1
    if "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        known = MPI.COMM_WORLD.size if MPI.Is_initialized() else known
    if other is not None and other.size != known:
        raise StartError(
            f"{other.size} processes were launched ({other.by}, {other.said}) but not by MPI, so each would train "
            f"alone: start with mpirun -n {other.size}"
        )

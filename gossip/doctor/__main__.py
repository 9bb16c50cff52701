"""The command `python -m gossip.doctor`, alone or under mpirun or srun."""

from __future__ import annotations

import math
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.console.frame import asks_for_help, exit_code, exit_code_alone
from gossip.console.parser import Parser
from gossip.errors import GossipError, UsageError
from gossip.network import Communicator

if TYPE_CHECKING:
    from gossip.doctor.findings import Finding

STATE, SUBJECT = 9, 21  # widths


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, also with warnings, or 2 for wrong usage or processes that cannot
    find each other.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `gossip.train`

    if asks_for_help(arguments):
        return exit_code_alone(lambda _: code if isinstance(code := _parse(arguments), int) else 0)

    def alone(error: GossipError) -> None:
        exit_code_alone(
            lambda _: diagnose(arguments, Communicator(), error)
        )  # which says what is wrong with the launch

    doing = ("gossip.doctor", *arguments)
    return exit_code(lambda processes: diagnose(arguments, processes), alone, doing=doing, shows=True)


def diagnose(arguments: Sequence[str], processes: Communicator, error: GossipError | None = None) -> int:
    """Parse on rank 0, look and measure on all, report on rank 0.

    Args:
        arguments: The command line without the program's name.
        processes: Those that look.
        error: Why they are not all that were launched, if so.
    """
    options = processes.from_root(lambda: _parse(arguments))
    if not isinstance(options, Namespace):
        return options
    from gossip.doctor import facts, findings, links

    known = facts.collect(processes, options.output)
    found = [*findings.start(known[0], processes.size, error), *findings.examine(known)]
    table: list[str] = []
    if processes.size > 1:
        measured = links.measure(processes, [each.host for each in known], options.seconds)
        found += links.examine(measured, any(finding.subject == "cores" and finding.fix for finding in found))
        table = links.matrix(measured)
    if processes.rank == 0:
        _say(found, table)
    processes.barrier()  # ranks that are done early would spin in MPI's own finalization
    return 0


def _say(found: Sequence[Finding], table: Iterable[str]) -> None:
    """A line for each finding, and for what to do about it where something is wrong; in one write."""
    lines = []
    for finding in found:
        lines.append(f"{'ok' if finding.fix is None else 'warning':{STATE}}{finding.subject:{SUBJECT}}{finding.text}")
        if finding.fix is not None:
            lines.append(f"{'':{STATE + SUBJECT}}fix: {finding.fix}")
    warnings = sum(finding.fix is not None for finding in found)
    lines += [*table, f"{warnings} warning{'' if warnings == 1 else 's'}"]
    print("\n".join(lines), flush=True)


def _parse(arguments: Sequence[str]) -> Namespace | int:
    """The options, or the exit code of --help."""
    parser = Parser(
        prog="python -m gossip.doctor",
        description="Look at versions, MPI, cores, GPUs, links and disk of all processes that were started together, "
        "and say what is wrong and what to do about it.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where runs are going to be kept (default: runs)",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for the links between all pairs of ranks (default: 2)"
    )
    try:
        options = parser.parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    if not 0 < options.seconds < math.inf:
        raise UsageError(f"--seconds {options.seconds} is not allowed; it must be > 0")
    return options


if __name__ == "__main__":
    sys.exit(main())

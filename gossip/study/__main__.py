"""The command `python -m gossip.study`, alone or under mpirun or srun."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.processes.communicator import Communicator
    from gossip.processes.signals import Signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 if at least one cell has come to its end, 2 for wrong usage, 3 for data that cannot be read or written, 4 if all
    cells diverged, 75 if a signal has stopped the study, which the same command goes on with, 130 if that was Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `gossip.train`
    from gossip.processes.signals import Signals

    with Signals(until_exit=True) as signals:
        from gossip.console.frame import asks_for_help, exit_code, exit_code_alone

        if asks_for_help(arguments) or list(arguments[:1]) == ["report"]:
            return exit_code_alone(lambda ranks: _alone(arguments, ranks))
        return exit_code(lambda processes: study(arguments, processes, signals), doing=("gossip.study", *arguments))


def study(arguments: Sequence[str], processes: Communicator, signals: Signals) -> int:
    """Parse on rank 0, compute on all, report on rank 0."""
    signals.listen()
    from gossip.processes.allocator import keep_freed_memory
    from gossip.processes.cores import share_cores
    from gossip.study.command import StudyOrder, parse
    from gossip.study.conduct import conclude, conduct

    order = processes.from_root(lambda: parse(arguments, processes.size))
    if isinstance(order, int):
        return order
    assert isinstance(order, StudyOrder)  # pages are made by one process
    share_cores(processes)
    keep_freed_memory()
    conduct(order, processes, signals)
    code = processes.from_root(lambda: conclude(order))
    processes.barrier()  # ranks that are done early would spin in MPI's own finalization
    return int(code)


def _alone(arguments: Sequence[str], ranks: int) -> int:
    """The help, or a page of runs that there are: nothing for which other processes are needed."""
    from gossip.processes.communicator import Communicator
    from gossip.study.command import ReportOrder, parse

    order = Communicator().from_root(lambda: parse(arguments, ranks))
    if isinstance(order, ReportOrder):
        return order.write()
    return order if isinstance(order, int) else 0


if __name__ == "__main__":
    sys.exit(main())

"""The command `python -m gossip.train`, alone or under mpirun or srun."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.execution.training import Training
    from gossip.processes.communicator import Communicator
    from gossip.processes.signals import Signals

READING = 60.0  # seconds that the options may take


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for data or output, 4 for divergence, 75
    for a run that a signal has stopped and that can go on, 130 if that was Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Before torch is imported: its threads spin between two operations, which ruins a host that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from gossip.processes.signals import Signals
    from gossip.processes.start import StartError, refuse
    from gossip.train.early import start_patience

    with Signals(until_exit=True) as signals:  # before the long imports, during which one may come
        try:
            from gossip.console.frame import asks_for_help, exit_code, exit_code_alone
        except ImportError as error:  # where ranks start with different Pythons, the others wait for this one
            refuse(StartError(f"{sys.executable} cannot run gossip ({error}): install it there, or use another Python"))
            return StartError.exit_code
        if asks_for_help(arguments):
            return exit_code_alone(lambda ranks: _help(arguments, ranks))
        return exit_code(
            lambda processes: train(arguments, processes, signals),
            doing=("gossip.train", *arguments),
            patience=start_patience(arguments),
        )


def train(arguments: Sequence[str], processes: Communicator, signals: Signals) -> int:
    """Parse on rank 0, send what was understood to all ranks, train together."""
    from gossip.processes.environment import start_timeout
    from gossip.train import early

    signals.listen()
    # Until the options say; meanwhile rank 0 alone imports what reads them.
    processes.patience = max(early.start_patience(arguments) or start_timeout(), READING)
    early.refuse_too_many(processes.size, processes.from_root(lambda: early.nodes(arguments)))
    from gossip.errors import DataError
    from gossip.execution.run import conduct
    from gossip.execution.training import Training
    from gossip.processes.allocator import keep_freed_memory
    from gossip.processes.cores import share_cores
    from gossip.records.logs import warn

    share_cores(processes)
    keep_freed_memory()
    processes.traceback = "--traceback" in arguments
    training = processes.from_root(lambda: _parse(arguments, processes.size))
    if not isinstance(training, Training):
        return training
    finished = conduct(training, processes, signals, warn=warn)
    if training.progress and processes.rank == 0:
        from gossip.console.table import print_summary

        print_summary(finished.summary, finished.directory, training.report)
    if not processes.bereaved:
        processes.barrier()  # ranks that are done early would spin in MPI's own finalization
    if finished.lost is not None:
        raise DataError(f"the run has come to its end, but {finished.lost}")
    return 0


def _help(arguments: Sequence[str], ranks: int) -> int:
    parsed = _parse(arguments, ranks)
    return parsed if isinstance(parsed, int) else 0


def _parse(arguments: Sequence[str], ranks: int) -> Training | int:
    """The training, or the exit code of --help and the like."""
    from gossip.options.command_line import parse

    try:
        return parse(arguments, ranks)
    except SystemExit as stop:
        return int(stop.code or 0)


if __name__ == "__main__":
    sys.exit(main())

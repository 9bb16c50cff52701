"""How a study is computed, from what is kept of it to its page."""

from __future__ import annotations

from collections import Counter
from functools import partial
from signal import Signals as Signal

from gossip.errors import DataError, DivergedError, GossipError, PreemptedError
from gossip.processes.communicator import Communicator
from gossip.processes.signals import Signals, exit_code_of, tell_batch_script
from gossip.records.report.words import counted
from gossip.study.cells import Run
from gossip.study.command import StudyOrder
from gossip.study.progress import Progress, cost
from gossip.study.workers import Here, Workers


def conduct(order: StudyOrder, processes: Communicator, signals: Signals) -> None:
    """Compute what is missing; collective.

    Raises:
        DataError: Nothing can be written, on every rank.
        PreemptedError: A signal came, on every rank.
    """
    store = order.part.store
    progress = Progress(processes.size) if processes.rank == 0 else None
    tried: set[str] = set()

    def following() -> list[Run]:
        """What can be computed now, the long runs first."""
        runs = sorted(order.part.needed(tried), key=cost, reverse=True)
        if progress is not None and not tried:
            progress.begin(order.part.state(), runs)
        tried.update(run.identity for run in runs)
        return runs

    with Workers(store, order.processes) if order.processes > 1 else Here(store) as workers:
        while runs := processes.from_root(following):
            mine = runs[processes.rank :: processes.size]
            processes.together(partial(_compute, mine, workers, signals, progress))
            came = next((name for name in processes.gather(signals.received) if name is not None), None)
            if came is not None:
                raise _stopped(came, order, processes, signals)


def _stopped(came: Signal, order: StudyOrder, processes: Communicator, signals: Signals) -> PreemptedError:
    """What is raised on all ranks as this signal has stopped the study; collective."""
    signals.leave(came)
    processes.from_root(lambda: tell_batch_script(came, order.whole.store.directory))
    error = PreemptedError(f"the study was stopped by {came.name}; the same command goes on with it")
    error.exit_code = exit_code_of(came)
    return error


def conclude(order: StudyOrder) -> int:
    """Report, if all of the study has been computed; the exit code."""
    from gossip.console.table import show
    from gossip.study.report import write_report
    from gossip.study.results import of_plan

    whole, directory = order.whole, order.whole.store.directory
    cells = of_plan(whole)
    ends = Counter(run.status for cell in cells for run in cell.runs)
    missing = sum(len(each.runs) or 1 for each in whole.state()) - ends.total()
    if missing:
        print(f"{counted(missing, 'run')} of other chunks are missing; the last of them makes the page", flush=True)
    else:
        found = write_report(directory.name, cells, directory, whole.study.target)
        show(found.columns())
        print(f"report: {directory / 'report.html'}", flush=True)
    print(", ".join(f"{ends[end]} {end}" for end in ("finished", "diverged", "failed") if ends[end]), flush=True)
    if ends["finished"] or missing:
        return 0
    return DivergedError.exit_code if ends["diverged"] else GossipError.exit_code


def _compute(mine: list[Run], workers: Here | Workers, signals: Signals, progress: Progress | None) -> None:
    if progress is not None:
        progress.add(mine)
    try:
        for run, outcome in workers.compute(mine, lambda: signals.received is not None):
            if progress is not None:
                progress.done(run, outcome)
    except OSError as error:
        raise DataError(f"cannot write the runs ({error.strerror}); free some space, and start again") from error

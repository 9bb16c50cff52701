"""What a terminal, or a log, shows of a study while it computes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gossip.options.command_line import NODES, STEPS
from gossip.records.progress import LINE_EVERY
from gossip.records.report.words import counted, duration
from gossip.study.cells import Outcome, Run
from gossip.study.plan import Tuned
from gossip.study.values import text_of


def cost(run: Run) -> float:
    """How long it takes, in some unit: in proportion to its nodes and its steps."""
    return float(run.options.get("nodes", NODES)) * (10.0 + float(run.options.get("steps", STEPS)))


class Progress:
    """A line every few seconds, with the time left.

    Args:
        share: How many processes compute: rank 0 sees one share of the runs.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._began = self._last = time.monotonic()
        self._spent = self._left = 0.0
        self._done = self._all = 0
        self._ends = {"diverged": 0, "failed": 0}
        self._said: set[str] = set()

    def begin(self, state: Sequence[Tuned], runs: Sequence[Run]) -> None:
        """Say what there is to do at the beginning."""
        known = counted(sum(len(each.runs) for each in state), "run")
        searched = sum(not each.runs for each in state)
        search = f"; in {searched} the best values are to be found first" if searched else ""
        print(f"{counted(len(state), 'cell')} with {known}, {len(runs)} to compute now{search}", flush=True)

    def add(self, runs: Sequence[Run]) -> None:
        """So many more runs are known to be needed."""
        self._all += len(runs)
        self._left += sum(map(cost, runs))

    def done(self, run: Run, outcome: Outcome) -> None:
        """One of them has ended."""
        self._done += 1
        self._spent += cost(run)
        self._left -= cost(run)
        if outcome.status in self._ends:
            self._ends[outcome.status] += 1
            said = f"{outcome.status}: {named(run)}: {outcome.line}"
            if said not in self._said:  # once for all seeds
                print(said, flush=True)
                self._said.add(said)
        if self._done == self._all or time.monotonic() - self._last > LINE_EVERY:
            self._last = time.monotonic()
            print(self._line(), flush=True)

    def _line(self) -> str:
        ends = "".join(f", {number} {end}" for end, number in self._ends.items() if number)
        elapsed = time.monotonic() - self._began
        left = f", about {duration(elapsed * self._left / self._spent)} left" if self._done < self._all else ""
        of = f"{self._done}/{counted(self._all, 'run')}" + (" of this rank" if self._share > 1 else "")
        return f"{of}{ends}, {duration(elapsed)}{left}"


def named(run: Run) -> str:
    """The options of a run in words."""
    return " ".join(f"{key}={text_of(value)}" for key, value in run.options.items())

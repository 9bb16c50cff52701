"""What a schedule tells of a run, by closed forms, and that it can be written down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Sample
from algorithms.program import NodeContext, NodeProgram
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.schedule import Schedule
from gossip.errors import DataError
from tests.algorithms.asynchronous.helpers import nothing
from topologies import star

K = 4


@dataclass
class Worker(NodeProgram):
    """Sends each gradient to node 0 and goes on with the model that this answers with."""

    x: Tensor

    def on_start(self, context: NodeContext) -> None:
        if context.node:
            context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        context.send(0, sample.gradient)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if context.node:
            context.ask_gradient(value)
        else:
            self.x = self.x - value
            context.send(sender, self.x)


def served(clock: SimulatedClock, seconds: float) -> Schedule:
    """A server, node 0, and K workers."""
    programs = [Worker(torch.zeros(1, 2)) for _ in range(K + 1)]
    run = EventDriver(programs, star(K + 1), nothing, clock)
    run.run(until=seconds)
    return run.schedule


def test_workers_of_one_speed_take_turns() -> None:
    schedule = served(SimulatedClock(0.5, 0.0, np.inf), seconds=10)
    gradients = schedule.nodes[schedule.kinds == 1]
    assert gradients.tolist() == [1, 2, 3, 4] * 20
    assert schedule.staleness().tolist() == [0, 1, 2, 3] + [K - 1] * (len(gradients) - K)
    assert schedule.averagings().tolist() == [0] * len(gradients)
    assert schedule.seconds == 10 and schedule.updates_per_second == K / 0.5
    assert schedule.idle_seconds().tolist() == [10, 0, 0, 0, 0]


def test_of_workers_that_differ_and_wait() -> None:
    # A message of eight bytes takes an eighth of a second to leave and to come in at once, and one more to arrive.
    schedule = served(SimulatedClock(0.25, 0.125, 64.0, slow_nodes=(1,), slowdown=10.0), seconds=2.5)
    counts = np.bincount(schedule.nodes[schedule.kinds == 1], minlength=K + 1)
    assert counts[1] == 1
    slow = schedule.staleness()[schedule.nodes[schedule.kinds == 1] == 1]
    ended = schedule.times[schedule.kinds == 1]
    assert slow.tolist() == [np.count_nonzero(ended < ended.max())] and ended.max() == 2_500_000_000
    idle = schedule.idle_seconds()
    assert idle[0] == 2.5 and idle[1] == 0.0
    assert idle[2:].tolist() == (2.5 - 0.25 * counts[2:]).tolist()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    schedule = served(SimulatedClock(0.1, 0.01, 1e4, exponential_seconds=0.1), seconds=30)
    schedule = replace(schedule, marks=np.array([7, 1000]))
    file = tmp_path / "schedule.npz"
    schedule.save(file)
    read = Schedule.load(file)
    assert read == schedule and read.marks.tolist() == [7, 1000] and read[5] == schedule[5] and len(schedule) > 1000
    assert file.stat().st_size < 10 * len(schedule)
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(DataError, match="text is no schedule of a run"):
        Schedule.load(tmp_path / "text")
    np.savez(tmp_path / "other.npz", n=np.array(3))
    with pytest.raises(DataError, match=r"other\.npz is no schedule of a run, or one of another version"):
        Schedule.load(tmp_path / "other.npz")
    with pytest.raises(DataError, match=r"cannot read the schedule .*missing"):
        Schedule.load(tmp_path / "missing")

"""Nodes in real time: what one process does is what its schedule gives again, and schedules of several are merged."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from algorithms import Minibatch, Sample
from algorithms.program import NodeContext, NodeProgram
from gossip.drivers.mail import MailDriver
from gossip.drivers.merging import merged
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import Record, Schedule
from gossip.network.mail import NoMail
from tests.algorithms.asynchronous.helpers import nothing
from tests.gossip.drivers.test_replay import METHODS, gradients, graph_of
from topologies import ring


def start(name: str) -> list[NodeProgram]:
    graph = graph_of(name)
    return METHODS[name][0].programs(graph, range(graph.n), torch.zeros(graph.n, 31, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_in_one_process_its_schedule_gives_the_same(name: str) -> None:
    (_, topology), graph = METHODS[name], graph_of(name)
    run = MailDriver(start(name), graph, gradients(topology, Minibatch(8)), NoMail(graph.n), seed=3)
    run.advance(gradients=10 * topology.n)
    schedule = run.schedule()
    assert np.count_nonzero(schedule.kinds == 1) == run.gradients == 10 * topology.n
    again = ReplayDriver(start(name), graph, gradients(topology, Minibatch(8)), schedule, seed=3)
    again.run()
    assert torch.equal(again.models(), run.models()) and not again.under_way()


def test_letters_are_handed_over_while_another_thread_computes() -> None:
    _, topology = METHODS["ad-psgd"]
    gradient, running = gradients(topology, Minibatch(8)), []

    def slow(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        running.append(threading.current_thread() is threading.main_thread())
        return gradient(nodes, x, steps)

    run = MailDriver(start("ad-psgd"), topology, slow, NoMail(topology.n), seed=3, long=0.0)
    for wanted in (30, 60):  # what is being computed at a mark is used after it
        run.advance(gradients=wanted)
        assert run.gradients == wanted
    assert running and not any(running)
    again = ReplayDriver(start("ad-psgd"), topology, gradients(topology, Minibatch(8)), run.schedule(), seed=3)
    again.run()
    assert torch.equal(again.models(), run.models())


@dataclass
class Ticking(NodeProgram):
    """Counts what happens to it, for ever."""

    x: Tensor
    ticks: int = 0
    gradients: int = 0

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)
        context.set_timer(0.01)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.gradients += 1
        context.ask_gradient(self.x)

    def on_timer(self, context: NodeContext) -> None:
        self.ticks += 1
        context.set_timer(0.01)

    @property
    def model(self) -> Tensor:
        return self.x


def test_it_ends_after_some_seconds() -> None:
    programs = [Ticking(torch.zeros(1, 1)) for _ in range(4)]
    run = MailDriver(programs, ring(4), nothing, NoMail(4))
    run.advance(seconds=0.3)
    schedule = run.schedule()
    assert 0.2 < schedule.seconds < 10 and np.all(np.diff(schedule.times) >= 0)
    assert all(0 < program.ticks <= 30 and program.gradients > 5 for program in programs)


def test_it_goes_on_from_marks_and_their_time_does_not_count() -> None:
    programs = [Ticking(torch.zeros(1, 1)) for _ in range(4)]
    run = MailDriver(programs, ring(4), nothing, NoMail(4))
    run.advance(gradients=10)
    assert run.more and run.gradients == sum(program.gradients for program in programs) == 10
    time.sleep(0.3)
    run.advance(gradients=10)
    run.advance(gradients=12)
    run.advance(seconds=run.seconds + 0.1)
    run.advance(seconds=run.seconds)
    schedule = run.schedule()
    assert schedule.marks.tolist()[1] == schedule.marks[0] and schedule.marks[-1] == len(schedule)
    assert np.cumsum(schedule.kinds == 1)[schedule.marks - 1].tolist() == [10, 10, 12, run.gradients, run.gradients]
    assert 0.1 <= run.seconds < 0.3 and max(np.diff(schedule.times)) < 0.3 * 10**9
    assert all(program.ticks > 1 for program in programs)
    again = ReplayDriver([Ticking(torch.zeros(1, 1)) for _ in range(4)], ring(4), nothing, schedule)
    for gradients_there in (10, 10, 12, run.gradients):
        again.advance()
        assert again.gradients == gradients_there and again.more
    again.advance()
    assert not again.more
    again = ReplayDriver([Ticking(torch.zeros(1, 1)) for _ in range(4)], ring(4), nothing, schedule)
    for wanted, there in ((11, 12), (13, run.gradients)):
        again.advance(gradients=wanted)
        assert again.gradients == there


def test_of_several_processes_what_comes_after_a_mark_does_so_in_the_merged_schedule() -> None:
    records = [Record(2), Record(2)]
    for record, times in zip(records, ([1, 5], [100, 103]), strict=True):
        for moment, kind in zip(times, (0, 3), strict=True):
            record.add((moment, kind, records.index(record), records.index(record), kind - 1 if kind == 0 else 0))
            record.mark()
    parts = [record.schedule() for record in records]
    schedule, _ = merged(parts, [[0, 40], [-20, 0]], {0: 0, 1: 1}, Record(2).schedule())
    assert schedule.nodes.tolist() == [0, 1, 0, 1] and schedule.marks.tolist() == [2, 4]
    assert schedule.times.tolist() == [21, 100, 100, 103]
    assert schedule.seen.tolist() == [1, 100, 5, 103]


@dataclass
class Cut:
    """A schedule of one process, cut into those of several, whose clocks are wrong."""

    parts: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of each event, in its part


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_in_a_merged_schedule_messages_arrive_after_they_were_sent(data: st.DataObject) -> None:
    n, ranks = 5, data.draw(st.integers(1, 3))
    rank_of = {node: node % ranks for node in range(n)}
    offsets = [data.draw(st.integers(0, 50)) for _ in range(ranks)]
    cut = Cut([Record(n) for _ in range(ranks)])
    under_way: deque[tuple[int, int, int]] = deque()  # (event, sender, to)

    def happen(kind: int, node: int, sender: int, cause: int) -> None:
        record = cut.parts[rank_of[node]]
        cut.numbers.append(len(record))
        record.add((len(cut.numbers), kind, node, sender, cause if cause < 0 else cut.numbers[cause]))

    for node in range(n):
        happen(0, node, node, -1)
        under_way.append((node, node, data.draw(st.integers(0, n - 1))))
    for _ in range(data.draw(st.integers(0, 15))):
        event, sender, to = under_way.popleft()
        happen(2, to, sender, event)
        under_way.append((len(cut.numbers) - 1, to, data.draw(st.integers(0, n - 1))))

    schedule, _ = merged(ended(cut.parts), [[offset] for offset in offsets], rank_of, Record(n).schedule())
    assert len(schedule) == len(cut.numbers)
    assert np.all(schedule.causes < np.arange(len(schedule))) and np.all(np.diff(schedule.times) >= 0)
    heard = np.flatnonzero(schedule.kinds == 2)
    assert schedule.nodes[schedule.causes[heard]].tolist() == schedule.senders[heard].tolist()
    for rank, part in enumerate(cut.parts):
        own = [event for event in schedule if rank_of[event.node] == rank]
        assert [(event.kind, event.node) for event in own] == [(event.kind, event.node) for event in part.schedule()]


def ended(records: list[Record]) -> list[Schedule]:
    """With a mark at the end of each."""
    for record in records:
        record.mark()
    return [record.schedule() for record in records]


def test_every_node_needs_a_program() -> None:
    with pytest.raises(ValueError, match="0 programs for 4 nodes: every node needs one"):
        MailDriver([], ring(4), nothing, NoMail(4))


def test_schedules_of_equal_clocks_are_merged_by_time() -> None:
    records = [Record(2), Record(2)]
    for moment, node in ((3, 0), (5, 1), (7, 1), (9, 0)):
        records[node].add((moment, 0 if moment < 6 else 3, node, node, -1 if moment < 6 else 0))
    schedule, _ = merged(ended(records), [[100], [100]], {0: 0, 1: 1}, Record(2).schedule())
    assert schedule.times.tolist() == [3, 5, 7, 9] and schedule.nodes.tolist() == [0, 1, 1, 0]
    assert schedule.causes.tolist() == [-1, -1, 1, 0]

"""Programs on ranks whose letters take any time: they end, nothing is lost or comes twice, and memory is bounded."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from algorithms import Minibatch, Sample
from algorithms.asynchronous import AsynchronousPushSum
from algorithms.asynchronous.push_sum import PushSumNode
from algorithms.program import NodeContext, NodeProgram
from gossip.drivers.mail import FEW, MailDriver, ranks_of
from gossip.drivers.merging import merged
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import nothing
from tests.gossip.drivers.slow_post import SlowPost
from tests.gossip.drivers.test_replay import METHODS, columns, gradients
from topologies import complete, exponential

SEEDS = st.integers(0, 2**32 - 1)
PATIENCE = st.sampled_from([1.2, 3.0, 30.0])
SETTINGS = settings(deadline=None, phases=[Phase.explicit, Phase.generate])  # other seeds are no simpler ones
RANKS = st.integers(1, 4)


def post_for(n: int, ranks: int, seed: int, patience: float) -> SlowPost:
    return SlowPost([range(rank, n, ranks) for rank in range(ranks)], random.Random(seed), patience)


def schedule_of(drivers: list[MailDriver], post: SlowPost) -> Schedule:
    parts = [driver._record.schedule() for driver in drivers]
    return merged(parts, [driver._began for driver in drivers], ranks_of(post.hosted), drivers[0]._past)[0]


@pytest.mark.parametrize("name", ["ad-psgd", "ad-psgd-all", "push-sum"])
@settings(SETTINGS, max_examples=6)
@given(seed=SEEDS, ranks=RANKS, patience=PATIENCE)
def test_it_ends_and_a_replay_has_the_models_at_each_mark(name: str, seed: int, ranks: int, patience: float) -> None:
    method, topology = METHODS[name]
    n = topology.n
    post = post_for(n, ranks, seed, patience)
    x = torch.zeros(n, 31, dtype=torch.float64)
    drivers = [
        MailDriver(
            method.programs(topology, nodes, x[list(nodes)]), topology, gradients(topology, Minibatch(4)), box, seed=3,
            steps=6, long=inf,
        )
        for nodes, box in zip(post.hosted, post.ranks, strict=True)
    ]  # fmt: skip
    models = []
    for wanted in (2 * n, None):
        post.advance(drivers, wanted)
        assert not post.under_way
        models.append([driver.models() for driver in drivers])
    schedule = schedule_of(drivers, post)
    assert np.bincount(schedule.nodes[schedule.kinds == 1]).tolist() == [6] * n
    assert {driver.gradients for driver in drivers} == {6 * n} and not any(driver.more for driver in drivers)
    for mark, found in zip(schedule.marks, models, strict=True):
        seen = schedule.clocks[:mark]
        until = Schedule(n, *(column[:mark] for column in columns(schedule)), clocks=seen)
        again = ReplayDriver(
            method.programs(topology, range(n), x), topology, gradients(topology, Minibatch(4)), until, seed=3
        )
        again.run()
        assert all(torch.equal(again.models()[rank::ranks], each) for rank, each in enumerate(found))
        assert not again.under_way()


@dataclass
class Numbering(NodeProgram):
    """Sends each neighbour numbers, from 0, and notes what it is sent."""

    sends: int
    sent: int = 0
    heard: dict[int, list[int]] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(torch.zeros(1, 1))

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        for neighbor in context.neighbors:
            context.send(neighbor, torch.full((1, 1), float(self.sent)))
        self.sent += 1
        if self.sent < self.sends:
            context.ask_gradient(torch.zeros(1, 1))

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.heard.setdefault(sender, []).append(int(value))

    def on_lost(self, neighbor: int, returned: list[tuple[Tensor, str]], context: NodeContext) -> None:
        assert neighbor not in context.neighbors
        self.lost.append(neighbor)
        self.back += [int(value) for value, _ in returned]

    @property
    def model(self) -> Tensor:
        return torch.zeros(1, 1)


@settings(SETTINGS, max_examples=15)
@given(seed=SEEDS, ranks=st.integers(2, 5), patience=PATIENCE, outstanding=st.sampled_from([0, 1 << 26]))
def test_each_letter_comes_once_and_few_are_under_way(seed: int, ranks: int, patience: float, outstanding: int) -> None:
    n = 6
    post = post_for(n, ranks, seed, patience)
    programs = [[Numbering(40) for _ in nodes] for nodes in post.hosted]
    drivers = [
        MailDriver(own, complete(n), nothing, box, outstanding=outstanding, long=inf)
        for own, box in zip(programs, post.ranks, strict=True)
    ]
    for wanted in (20, 100, None):
        post.advance(drivers, wanted)
        heard = sum(len(each) for own in programs for program in own for each in program.heard.values())
        assert heard == (n - 1) * drivers[0].gradients >= (n - 1) * (wanted or 40 * n)
    for own in programs:
        for program in own:
            assert program.heard.keys() and all(each == list(range(40)) for each in program.heard.values())
    assert outstanding or post.most <= FEW + n - 1


@settings(SETTINGS, max_examples=30)
@given(seed=SEEDS, ranks=st.integers(2, 5), patience=PATIENCE)
def test_those_who_are_left_come_to_the_end_whoever_is_lost_when(seed: int, ranks: int, patience: float) -> None:
    n = 6
    post = post_for(n, ranks, seed, patience)
    programs = [[Numbering(20) for _ in nodes] for nodes in post.hosted]
    victims = {rank: post.chance.randrange(400) for rank in range(ranks) if post.chance.random() < 0.4}

    def mortal(nodes: object, x: Tensor, steps: object) -> Sample:
        for rank in [*victims]:
            victims[rank] -= 1
            if victims[rank] < 0 and len(post.dead) < ranks - 1:
                post.dead.add(rank)
                del victims[rank]
        return Sample(x, x.new_zeros(len(x)))

    drivers = [
        MailDriver(own, complete(n), mortal, box, long=inf) for own, box in zip(programs, post.ranks, strict=True)
    ]
    for wanted in (20, 100, None):
        post.advance(drivers, wanted)
    lost = {node for rank in post.dead for node in post.hosted[rank]}
    for rank in {*range(ranks)} - post.dead:
        assert {*drivers[rank].lost} == lost
        for program in programs[rank]:
            assert {*program.lost} == lost and program.sent == 20
            for sender, numbers in program.heard.items():
                assert numbers == list(range(len(numbers) if sender in lost else 20))


@settings(SETTINGS, max_examples=20)
@given(seed=SEEDS, patience=PATIENCE)
def test_push_sum_loses_what_lost_nodes_held_and_what_was_under_way_from_them(seed: int, patience: float) -> None:
    topology = exponential(6)
    post = post_for(6, 3, seed, patience)
    x = torch.arange(6, dtype=torch.float64)[:, None]
    parts = [AsynchronousPushSum().programs(topology, nodes, x[list(nodes)]) for nodes in post.hosted]

    def mortal(nodes: object, x: Tensor, steps: object) -> Sample:
        if not post.dead and post.chance.random() < 0.05:
            post.dead.add(post.chance.randrange(3))
        return Sample(torch.zeros_like(x), x.new_zeros(len(x)))

    drivers = [
        MailDriver(own, topology, mortal, box, outstanding=0, long=inf)
        for own, box in zip(parts, post.ranks, strict=True)
    ]
    post.advance(drivers, 120)
    nodes = [each for own in parts for each in own if isinstance(each, PushSumNode)]
    there = [torch.cat([each.push_sum.numerator, each.push_sum.weight], 1) for each in nodes]
    never = [letter.row for letter in (*post.late, *post.under_way)]  # from lost nodes
    mass = torch.cat([*there, *never]).sum(0)
    assert torch.allclose(mass, torch.tensor([15.0, 6.0], dtype=torch.float64), atol=1e-11)
    assert {letter.sender for letter in (*post.late, *post.under_way)} <= {*drivers[0].lost, *drivers[1].lost}


@pytest.mark.parametrize("running_sums", [False, True])
def test_with_running_sums_lost_letters_lose_no_mass(running_sums: bool) -> None:
    topology = exponential(6)
    post = SlowPost([[0, 1], [2, 3], [4, 5]], random.Random(5), patience=2.0, losing=0.3)
    x = torch.arange(6, dtype=torch.float64)[:, None]
    method = AsynchronousPushSum(running_sums=running_sums)
    parts = [method.programs(topology, nodes, x[list(nodes)]) for nodes in post.hosted]
    boxes = zip(parts, post.ranks, strict=True)
    drivers = [MailDriver(own, topology, nothing, box, outstanding=0, long=inf) for own, box in boxes]
    post.advance(drivers, 1500)
    nodes = [each for own in parts for each in own if isinstance(each, PushSumNode)]
    there = torch.cat([torch.cat([each.push_sum.numerator, each.push_sum.weight], 1) for each in nodes]).sum(0)
    if not running_sums:
        assert there[1] < 1e-3
        return
    pending = [
        told - nodes[to].heard.get(node, 0.0) for node, each in enumerate(nodes) for to, told in each.told.items()
    ]
    total = there + torch.cat(pending).sum(0)
    assert torch.allclose(total, torch.tensor([15.0, 6.0], dtype=torch.float64), atol=1e-9)
    assert there[1] > 3.0 and max(abs(each.model.item() - 2.5) for each in nodes) < 1e-6

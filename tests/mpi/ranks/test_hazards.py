"""Ranks that are late at random, while others run ahead of them; every result against a dense computation."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, Sample, TopK
from algorithms.numerics.compiled import COMPILED, parts_of
from gossip.network import Communicator, RunNetwork, connect
from gossip.network.sums import mixing
from tests.mpi.helpers import split_into_hosts
from tests.mpi.suits import suits
from topologies import Schedule, Topology, exponential, one_peer_exponential, ring

SLOTS = 8  # stacks, at least, that a network in shared memory has room for
lateness = random.Random()


def sleep(share: float = 0.1) -> None:
    if lateness.random() < share:
        time.sleep(lateness.random() * 3e-3)


@pytest.fixture(autouse=True)
def late_readers(processes: Communicator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Come late to what others provide, when it is there: between hearing of it and reading it."""
    lateness.seed(processes.rank)
    into = mixing.Sums.into

    def late(sums: mixing.Sums, out: Tensor, sources: list[Tensor], *added: Any, **how: Any) -> None:
        if len(sources) > 1:
            sleep()
        into(sums, out, sources, *added, **how)

    monkeypatch.setattr(mixing.Sums, "into", late)


def directed(n: int) -> Topology:
    """A cycle, where who reads from a rank is not who it reads from, and some rows are read by many."""
    chords = nx.DiGraph([(0, i) for i in range(1, n)])
    return Topology(nx.compose(nx.cycle_graph(n, create_using=nx.DiGraph), chords), name="directed")


class Dense:
    """The same exchanges with all nodes in this process."""

    def __init__(self, network: RunNetwork, topology: Schedule) -> None:
        self.network = network
        self.alone = connect(topology, Communicator())
        self.alone.round = network.round
        self.mine = slice(network.nodes.start, network.nodes.stop)

    def start(self, d: int) -> tuple[Tensor, Tensor]:
        """(local rows, all rows) of some stack."""
        everyone = torch.randn(self.network.n, d, generator=torch.Generator().manual_seed(d))
        return everyone[self.mine].clone(), everyone

    def finish_step(self) -> None:
        self.network.finish_step()
        self.alone.finish_step()


def in_place(case: Dense) -> None:
    """Results are mixed again where they lie."""
    x, everyone = case.start(9)
    for _ in range(150):
        sleep()
        x, everyone = case.network.mix(x), case.alone.mix(everyone)
        assert torch.equal(x, everyone[case.mine])
        case.finish_step()


def overwriting(case: Dense) -> None:
    """What was made outside the network's memory may be changed as soon as it is sent."""
    x, everyone = case.start(8)
    for _ in range(100):
        mixed, expected = case.network.mix(x), case.alone.mix(everyone)
        x *= 1.5
        everyone = everyone * 1.5
        assert torch.equal(mixed, expected[case.mine])
        case.finish_step()


def kept_alive(case: Dense) -> None:
    """More results are kept than the network has room for, and none of them changes."""
    x, everyone = case.start(10)
    kept: deque[tuple[Tensor, Tensor]] = deque(maxlen=2 * SLOTS)
    for t in range(80):
        sleep()
        x, everyone = case.network.mix(x), case.alone.mix(everyone)
        kept.append((x, everyone[case.mine]))
        assert all(torch.equal(*pair) for pair in kept)
        if t % 30 == 29:
            kept.clear()
        case.finish_step()


def alternating_sizes(case: Dense) -> None:
    """Stacks of several sizes, precisions and kinds, some posted ahead, more than the network can hold."""
    stacks = [case.start(d) for d in (3, 5, 2000, 7, 1)] + [tuple(each.double() for each in case.start(6))]
    for t in range(30):
        ahead = [stacks[(t + i) % len(stacks)] for i in range(t % 5)]
        posted = [(case.network.post(x), everyone) for x, everyone in ahead]
        if t % 2:
            sleep()
        x, everyone = case.start(20 + t % 3)
        for _ in range(2):
            x, everyone = case.network.mix(x), case.alone.mix(everyone)
            assert torch.equal(x, everyone[case.mine])
        message = TopK(k=3).compress(x, case.network.draw("test"))
        expected = TopK(k=3).compress(everyone, case.alone.draw("test"))
        sent = case.network.post(message) if t % 3 else message
        for handle, everyone in posted:
            assert torch.equal(case.network.mix(handle), case.alone.mix(everyone)[case.mine])
        assert torch.equal(case.network.mix(sent), case.alone.mix(expected)[case.mine])
        case.finish_step()


def many_posted(case: Dense) -> None:
    """More stacks on their way at once than there are slots, and others mixed meanwhile."""
    for _ in range(5):
        stacks = [case.start(d) for d in range(100, 100 + 2 * SLOTS)]
        posted = [case.network.post(x) for x, _ in stacks]
        assert case.network.posted[0] == posted
        for d in range(3 * SLOTS):
            x, everyone = case.start(200 + d)
            assert torch.equal(case.network.mix(x), case.alone.mix(everyone)[case.mine])
        for handle, (_, everyone) in zip(posted, stacks, strict=True):
            assert torch.equal(case.network.mix(handle), case.alone.mix(everyone)[case.mine])
        assert case.network.traffic.bytes.tolist() == case.alone.traffic.bytes[case.mine].tolist()
        case.finish_step()


def averages(case: Dense) -> None:
    """Exact averages on their way, several at once and completed in another order, and others taken meanwhile."""
    for t in range(20):
        stacks = [case.start(d) for d in (3, 50_000, 7)]
        posted = [(case.network.post_mean(x), everyone) for x, everyone in stacks]
        sleep(0.5)
        x, everyone = case.start(20 + t)
        assert torch.equal(case.network.mix(x), case.alone.mix(everyone)[case.mine])
        with case.network.unrecorded():
            assert torch.equal(case.network.mean(posted[2][0]), case.alone.mean(stacks[2][1]))
        case.finish_step()
        for value, everyone in (posted[2], case.start(4), *posted[:2]):
            assert torch.equal(case.network.mean(value), case.alone.mean(everyone))
        case.finish_step()


def steps(case: Dense) -> None:
    """Steps of algorithms, which write some of their stacks where they lie, posted or not."""
    algorithms: tuple[Algorithm, ...] = (
        DecentralizedSGD(lr=0.1, order="consensus", momentum=0.9, period=2),
        DecentralizedSGD(lr=0.1, order="consensus"),
        DecentralizedSGD(lr=0.1, order="combine-then-adapt"),
        DecentralizedSGD(lr=0.1, momentum=0.5, nesterov=True, period=2),
        ChocoSGD(lr=0.1, gamma=0.2, compressor=TopK(k=5), order="overlapped"),
    )
    for algorithm in algorithms:
        if not suits(algorithm, case.network.topology):
            continue
        start, everyone = case.start(47)
        state, expected = algorithm.start(start, case.network), algorithm.start(everyone, case.alone)
        case.finish_step()
        for t in range(25):
            if t % 3:
                algorithm.post(state, case.network)
                sleep()
            algorithm.advance(state, Sample(state.x.sin(), state.x[:, 0]), case.network)
            algorithm.advance(expected, Sample(expected.x.sin(), expected.x[:, 0]), case.alone)
            assert torch.equal(state.x, expected.x[case.mine]), (algorithm, t)


TOPOLOGIES: dict[str, Callable[[int], Schedule]] = {
    "ring": ring,
    "directed": lambda ranks: directed(ranks + 1),
    "exponential": lambda ranks: exponential(2 * ranks),
    "one_peer_exponential": one_peer_exponential,
}
SCENARIOS = {
    each.__name__: each for each in (in_place, overwriting, kept_alive, alternating_sizes, many_posted, averages, steps)
}


@pytest.fixture
def compiled() -> Iterator[None]:
    """Short stacks are summed by the compiled loop, by their addresses, as if they were long."""
    with parts_of(COMPILED):
        yield


def check(processes: Communicator, transport: str, topology: str, scenario: str) -> None:
    schedule = TOPOLOGIES[topology](processes.size)
    network = connect(schedule, processes, transport=transport)  # type: ignore[arg-type]
    SCENARIOS[scenario](Dense(network, schedule))
    network.close()


def check_on_hosts(topology: str, scenario: str) -> None:
    hosts = split_into_hosts(2)
    check(hosts, "shared-memory", topology, scenario)
    hosts.close()


TRANSPORTS = pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])


@pytest.mark.ranks(2, 4)
@TRANSPORTS
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_interpreted(processes: Communicator, transport: str, topology: str, scenario: str) -> None:
    check(processes, transport, topology, scenario)


@pytest.mark.ranks(2, 4)
@TRANSPORTS
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("compiled")
def test_compiled(processes: Communicator, transport: str, topology: str, scenario: str) -> None:
    check(processes, transport, topology, scenario)


@pytest.mark.ranks(4)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("processes")
def test_interpreted_on_two_hosts(topology: str, scenario: str) -> None:
    check_on_hosts(topology, scenario)


@pytest.mark.ranks(4)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("processes", "compiled")
def test_compiled_on_two_hosts(topology: str, scenario: str) -> None:
    check_on_hosts(topology, scenario)

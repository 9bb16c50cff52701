"""Every transport against one process, bit for bit, on stacks of some size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import networkx as nx
import pytest
import torch
from torch import Tensor

from algorithms import Identity, Message, Neighborhood, TopK
from algorithms.star import from_server, to_server
from gossip.network import Communicator, RunNetwork, connect
from tests.mpi.helpers import split_into_hosts
from topologies import Schedule, Topology, exponential, one_peer_exponential, ring, star

SEGMENT = 1 << 23  # bytes beyond which rows are sent in segments, where each rank has one node
SIZES = {
    "small": ((torch.float32, 1), (torch.float32, 700), (torch.float64, 5), (torch.bfloat16, 5), (torch.bfloat16, 700)),
    "compiled": ((torch.float32, 70_000), (torch.float64, 40_000)),
    "segments": ((torch.float32, SEGMENT // 4 + 999),),
}


def directed(n: int) -> Topology:
    cycle = nx.cycle_graph(n, create_using=nx.DiGraph)
    chords = nx.gnp_random_graph(n, 0.2, seed=4, directed=True)
    return Topology(nx.compose(cycle, chords), name="directed")


TOPOLOGIES: dict[str, Callable[[int], Schedule]] = {
    each.__name__: each for each in (ring, exponential, one_peer_exponential, star, directed)
}


class Results:
    """What came out on this rank: stacks, means, and what each node heard."""

    def __init__(self, network: RunNetwork, everyone: Tensor, rounds: int) -> None:
        self.network = network
        self.stacks: list[Tensor] = []
        self.means: list[Tensor] = []
        self.heard: list[list[Neighborhood]] = []
        x = everyone[list(network.nodes)]
        for t in range(rounds):
            x = self._exchange(x, t)
            self.stacks.append(x)
            network.finish_step()
        self.everyone = network.all_rows(x)

    def _exchange(self, x: Tensor, t: int) -> Tensor:
        """All kinds of exchanges, posted and not."""
        network, d = self.network, x.shape[1]
        y = network.mix(network.post(x) if t % 2 else x)
        message = self._message(y)
        sent = y / 2 if message is None else network.post(message) if t % 3 else message
        z = network.mix(sent)

        # Several on their way at once, more than some have room for, among others that overtake them.
        posted = [network.post(each) for each in (y, z, x)]
        self.means.append(network.mean(y))
        a, b, c = network.mix(x), network.mix(posted[0]), network.mix(posted[1])
        self.stacks.append(network.mix(posted[2]))
        self.heard.append(network.neighbors(z))
        if message is not None:
            self.heard.append(network.neighbors(message))
            self.stacks.append(network.mix(Identity().compress(c, network.draw("test"))))

        # With something added, and of columns of a stack.
        handle = network.post(b)
        self.stacks += [a, b, c, network.mix(a - 1, (0.3, c)), network.mix(handle, (-2.0, a))]
        self.stacks += [network.mix(c[:, d // 3 :]), network.mix(c[:, : d // 2 + 1])]
        self.stacks += [network.mix(a.T.contiguous().T), network.mix(a.flip(1).T.contiguous().T)]
        self.means += [network.mean(a.T.contiguous().T)]
        if message is not None:
            self.stacks += [network.mix(message, (0.7, b))]
        self._exchange_with_server(x, message)
        self.means += [network.gather(x[:, :3]), network.rows(x, [network.n - 1, 0]), network.rows(x, [1])]
        if message is not None:
            self.means += [network.mean(message), network.sum(message)]
        return (y + z) / 2

    def _exchange_with_server(self, x: Tensor, message: Message | None) -> None:
        """A round up to the last node, by all but some of the others, and one down from it."""
        network, server = self.network, self.network.n - 1
        clients = [node for node in range(server) if node % 3 != 1] or [0]
        up, down = to_server(network.n, server, clients), from_server(network.n, server, clients)
        self.stacks += [network.mix(x, over=up), network.mix(x, (0.5, x), over=down)]
        self.heard.append(network.neighbors(x, over=up))
        if message is not None:
            self.stacks.append(network.mix(message, over=up))
            self.heard.append(network.neighbors(message, over=down))

    def _message(self, y: Tensor) -> Message | None:
        if y.dtype == torch.bfloat16:
            return None  # NumPy, which packs messages, does not know it
        return TopK(k=min(3, y.shape[1])).compress(y, self.network.draw("test"))

    def check(self, alone: Results) -> None:
        """Compare with those of one process."""
        mine = list(self.network.nodes)
        assert len(self.stacks) == len(alone.stacks)
        for i, (here, there) in enumerate(zip(self.stacks, alone.stacks, strict=True)):
            assert torch.equal(here, there[mine]), f"stack {i}"
        assert all(map(torch.equal, self.means, alone.means)), "means"
        assert torch.equal(self.everyone, alone.everyone), "all rows"
        for here, there in zip(self.heard, alone.heard, strict=True):
            for one, other in zip(here, [there[node] for node in mine], strict=True):
                assert one.nodes == other.nodes
                assert torch.equal(one.weights, other.weights)
                assert torch.equal(one.rows, other.rows), "neighbors"
        traffic, reference = self.network.traffic, alone.network.traffic
        assert torch.equal(traffic.bytes, reference.bytes[mine])
        assert torch.equal(traffic.messages, reference.messages[mine])
        assert self.network.round == alone.network.round


def alone(topology: str, n: int, dtype: torch.dtype, d: int, rounds: int) -> Results:
    """In one process."""
    return Results(connect(TOPOLOGIES[topology](n), Communicator()), start(n, dtype, d), rounds)


kept = cache(alone)  # for the other transports, where it is small


def start(n: int, dtype: torch.dtype, d: int) -> Tensor:
    random = torch.Generator().manual_seed(n + d)
    return torch.randn(n, d, generator=random, dtype=torch.float64).to(dtype)


TRANSPORTS = ("shared-memory", "peer-to-peer", "neighbor-collective")
HOSTED = pytest.mark.parametrize("hosted", ["blocks", "dealt"])


@pytest.fixture
def split(processes: Communicator, transport: str) -> Iterator[Communicator]:
    """All ranks, as if they ran on several hosts where the transport is "hosts of ..."."""
    share = int(transport.removeprefix("hosts of ")) if transport.startswith("hosts") else 0
    found = split_into_hosts(share) if share else processes
    yield found
    if share:
        found.close()


def compare(processes: Communicator, transport: str, topology: str, size: str, hosted: str = "blocks") -> None:
    """As many nodes as ranks, and more than twice as many."""
    ranks, large = processes.size, size == "segments"
    dealt = [range(rank, 2 * ranks + 1, ranks) for rank in reversed(range(ranks))]
    for n in (ranks,) if large else (ranks, 2 * ranks + 1) if hosted == "blocks" else (2 * ranks + 1,):
        for dtype, d in SIZES[size][list(TOPOLOGIES).index(topology) % 2 :: 2]:
            rounds = 1 if large else 3
            network = connect(
                TOPOLOGIES[topology](n),
                processes,
                transport="shared-memory" if transport.startswith("hosts") else transport,  # type: ignore[arg-type]
                hosted=dealt if hosted == "dealt" else None,
            )
            together = Results(network, start(n, dtype, d), rounds)
            together.check((kept if size == "small" else alone)(topology, n, dtype, d, rounds))
            if n == ranks:
                assert network.traffic.wire_bytes == int(network.traffic.bytes[0])
            del together
            network.close()


@pytest.mark.ranks(2, 3, 4)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@HOSTED
def test_short_rows(split: Communicator, hosted: str, transport: str, topology: str) -> None:
    compare(split, transport, topology, "small", hosted)


@pytest.mark.ranks(3, 4)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("transport", ["hosts of 2"])
@HOSTED
def test_short_rows_between_two_hosts(split: Communicator, hosted: str, transport: str, topology: str) -> None:
    compare(split, transport, topology, "small", hosted)


@pytest.mark.ranks(4)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("transport", ["hosts of 3"])
@HOSTED
def test_short_rows_between_unequal_hosts(split: Communicator, hosted: str, transport: str, topology: str) -> None:
    compare(split, transport, topology, "small", hosted)


@pytest.mark.ranks(5)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("transport", (*TRANSPORTS, "hosts of 2", "hosts of 3", "hosts of 4"))
def test_rows_for_the_compiled_loop(split: Communicator, transport: str, topology: str) -> None:
    compare(split, transport, topology, "compiled")


@pytest.mark.ranks(2)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rows_that_go_in_segments(split: Communicator, transport: str) -> None:
    compare(split, transport, "ring", "segments")

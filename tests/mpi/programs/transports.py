"""Every transport against one process, bit for bit, on stacks of some size: transports.py SIZE."""

from __future__ import annotations

import sys

import networkx as nx
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms import Identity, Message, Neighborhood, TopK
from algorithms.star import from_server, to_server
from gossip.network import Communicator, RunNetwork, connect
from gossip.network.transports.peer_to_peer.channel import SEGMENT
from gossip.processes import launcher
from gossip.processes.mpi import MpiCommunicator
from topologies import Schedule, Topology, exponential, one_peer_exponential, ring, star

SIZES = {
    "small": ((torch.float32, 1), (torch.float32, 700), (torch.float64, 5), (torch.bfloat16, 5), (torch.bfloat16, 700)),
    "compiled": ((torch.float32, 70_000), (torch.float64, 40_000)),
    "segments": ((torch.float32, SEGMENT // 4 + 999), (torch.float64, 3 * SEGMENT // 8)),
}

communicator = launcher.world()
hosts = {share: MpiCommunicator(MPI.COMM_WORLD, ranks_per_host=share) for share in range(2, communicator.size)}
TRANSPORTS: tuple[tuple[Communicator, str], ...] = (
    *((communicator, transport) for transport in ("shared-memory", "peer-to-peer", "neighbor-collective")),
    *((split, "shared-memory") for split in hosts.values()),  # as if they ran on several hosts
)


def topologies(n: int) -> tuple[Schedule, ...]:
    cycle = nx.cycle_graph(n, create_using=nx.DiGraph)
    chords = nx.gnp_random_graph(n, 0.2, seed=4, directed=True)
    directed = Topology(nx.compose(cycle, chords), name="directed")
    return ring(n), exponential(n), one_peer_exponential(n), star(n), directed


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


def main() -> None:
    size, large = sys.argv[1], sys.argv[1] == "segments"
    ranks = communicator.size
    dealt = [range(rank, 2 * ranks + 1, ranks) for rank in reversed(range(ranks))]
    for n, hosted in ((ranks, None), (2 * ranks + 1, None), *([(2 * ranks + 1, dealt)] if size == "small" else [])):
        for i, topology in enumerate(topologies(n)[:1] if large else topologies(n)):
            for dtype, d in SIZES[size][i % 2 :: 2]:
                random = torch.Generator().manual_seed(n + d)
                everyone = torch.randn(n, d, generator=random, dtype=torch.float64).to(dtype)
                rounds = 1 if large else 3
                alone = Results(connect(topology, Communicator()), everyone, rounds)
                for processes, transport in TRANSPORTS:
                    network = connect(topology, processes, transport=transport, hosted=hosted)  # type: ignore[arg-type]
                    together = Results(network, everyone, rounds)
                    try:
                        together.check(alone)
                    except AssertionError as error:
                        split = "" if processes is communicator else f", hosts {processes.hosts}"  # type: ignore
                        raise AssertionError(f"{transport}{split}, {topology.name} {n}, {d} x {dtype}") from error
                    if n == ranks:
                        assert network.traffic.wire_bytes == int(network.traffic.bytes[0]), transport
                    del together
                    network.close()
    communicator.barrier()
    if communicator.rank == 0:
        print("all the same")


with launcher.failing_together(communicator):
    main()

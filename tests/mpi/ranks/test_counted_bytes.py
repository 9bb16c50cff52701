"""What a network counts is what it hands to MPI, seen at the transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import torch

from algorithms import Identity, TopK
from algorithms.star import from_server, to_server
from gossip.network import Communicator, connect
from topologies import Schedule, erdos_renyi, exponential, one_peer_exponential, ring, star

if TYPE_CHECKING:
    from mpi4py import MPI

TRANSPORTS = ("shared-memory", "peer-to-peer", "neighbor-collective")
TOPOLOGIES: dict[str, Callable[[int], Schedule]] = {
    "ring": ring,
    "star": star,
    "exponential": exponential,
    "one_peer_exponential": one_peer_exponential,
    "erdos_renyi": lambda n: erdos_renyi(n, 0.5),
}


class Count:
    """What was sent."""

    bytes = messages = 0

    def add(self, size: int) -> None:
        self.bytes += size
        self.messages += 1


class CountingTransport:
    """An MPI communicator that adds up what is sent through it, by any call that sends."""

    def __init__(self, mpi: MPI.Intracomm, count: Count) -> None:
        self.mpi = mpi
        self.count = count
        self.persistent: dict[int, int] = {}  # the size of what a request will send

    def Isend(self, buffer: Any, *arguments: Any) -> MPI.Request:
        self.count.add(memoryview(buffer).nbytes)
        return self.mpi.Isend(buffer, *arguments)

    def Send_init(self, buffer: Any, *arguments: Any) -> MPI.Prequest:
        request = self.mpi.Send_init(buffer, *arguments)
        self.persistent[request.handle] = memoryview(buffer).nbytes
        return request

    def Recv_init(self, *arguments: Any) -> MPI.Prequest:
        request = self.mpi.Recv_init(*arguments)
        self.persistent.pop(request.handle, None)  # handles of freed requests come again
        return request

    def Startall(self, requests: Sequence[MPI.Prequest]) -> None:
        for request in requests:
            if request.handle in self.persistent:
                self.count.add(self.persistent[request.handle])
        from mpi4py import MPI

        MPI.Prequest.Startall(requests)

    def Create_dist_graph_adjacent(self, sources: Sequence[int], targets: Sequence[int]) -> CountingGraph:
        return CountingGraph(self.mpi.Create_dist_graph_adjacent(sources, targets), self.count)

    def __getattr__(self, name: str) -> Any:
        seen = name in ("Irecv", "Improbe", "Iprobe", "Ibarrier")
        assert seen, f"{name} may send bytes that this test would not see"
        return getattr(self.mpi, name)


class CountingGraph:
    """A graph of ranks, whose collectives send to all neighbours."""

    def __init__(self, graph: MPI.Distgraphcomm, count: Count) -> None:
        self.graph = graph
        self.count = count

    def Free(self) -> None:
        self.graph.Free()

    def Ineighbor_alltoall(self, *arguments: Any) -> MPI.Request:
        return self.graph.Ineighbor_alltoall(*arguments)  # the lengths of what follows, which are not counted

    def Ineighbor_alltoallv(self, sent: Any, received: Any) -> MPI.Request:
        _, sizes, *_ = sent
        assert len(sizes) == self.graph.Get_dist_neighbors_count()[1]
        for size in sizes.tolist():
            self.count.add(size)
        return self.graph.Ineighbor_alltoallv(sent, received)


class CountingMPI:
    """The module `mpi4py.MPI` of a transport whose persistent requests are counted when they start."""

    def __init__(self, transport: CountingTransport) -> None:
        self.Prequest = transport

    def __getattr__(self, name: str) -> Any:
        from mpi4py import MPI

        assert name in ("Status", "BYTE", "buffer"), f"{name} may send bytes that this test would not see"
        return getattr(MPI, name)


def exchange_all_kinds(network: Any, count: Count, long: int) -> None:
    k = len(network.nodes)
    x, wide = torch.randn(k, 17), torch.randn(k, long)
    y = torch.randn(k, 18)
    for _ in range(3):
        network.mix(x)
        network.mix(x)
        network.mix(wide)
        network.mix(TopK(k=5).compress(x, network.draw("test")))
        network.neighbors(Identity().compress(x.double(), network.draw("test")))
        posted = network.post(x), network.post(y)
        network.mean(x)
        network.mix(posted[0])
        network.mix(posted[1], (0.5, y))
        exchange_with_all_or_one(network, x)
        network.finish_step()
        with network.unrecorded():
            before = count.bytes, count.messages
            network.mean(x)
            count.bytes, count.messages = before


def exchange_with_all_or_one(network: Any, x: torch.Tensor) -> None:
    """What all hear of some, and what goes between a server and some clients."""
    message = TopK(fraction=0.3).compress(x, network.draw("test"), sent=x[:, 0] > 0)  # of several lengths
    network.gather(x[:, :2])
    network.rows(x, [network.n - 1, 1])
    network.rows(x, [2])
    network.mean(message)
    clients = range(1, network.n, 2)
    network.mix(x, over=to_server(network.n, 0, clients))
    network.mix(message, over=from_server(network.n, 0, clients))
    network.neighbors(x, over=to_server(network.n, 0, [network.n - 1]))


@pytest.mark.ranks(3, 4)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_counted_bytes_are_those_handed_to_mpi(processes: Communicator, topology: str, transport: str) -> None:
    from gossip.network.transports.peer_to_peer import channel

    nodes = {3: 8, 4: 4}[processes.size]
    network = connect(TOPOLOGIES[topology](nodes), processes, transport=transport)  # type: ignore[arg-type]
    count = Count()
    seen = CountingTransport(processes.mpi, count)  # type: ignore[attr-defined]
    with patch.object(processes, "mpi", seen), patch.object(channel, "MPI", CountingMPI(seen)):
        exchange_all_kinds(network, count, long=channel.SMALL // 4 + 1)
        traffic = network.traffic
        if transport != "shared-memory":  # which hands only the means to MPI
            assert traffic.wire_bytes == count.bytes
            assert traffic.wire_messages == count.messages
        if network.n == processes.size:
            assert traffic.bytes.tolist() == [traffic.wire_bytes]
            assert traffic.messages.tolist() == [traffic.wire_messages]
        assert network.round == 3
    network.close()

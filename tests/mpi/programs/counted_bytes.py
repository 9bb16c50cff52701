"""Compares what a network counts with what it hands to MPI, seen at the transport: counted_bytes.py NODES."""

from __future__ import annotations

import sys
from typing import Any

import torch
from mpi4py import MPI

from algorithms import Identity, TopK
from gossip import launch
from gossip.network import connect
from topologies import Schedule, erdos_renyi, exponential, one_peer_exponential, ring, star


class CountingTransport:
    """An MPI communicator that adds up what is sent through it, by any call that sends."""

    def __init__(self, mpi: MPI.Intracomm) -> None:
        self.mpi = mpi
        self.bytes = self.messages = 0

    def Isend(self, buffer: Any, *arguments: Any) -> MPI.Request:
        self.bytes += memoryview(buffer).nbytes
        self.messages += 1
        return self.mpi.Isend(buffer, *arguments)

    def __getattr__(self, name: str) -> Any:
        assert name in ("Irecv", "Improbe"), f"{name} may send bytes that this test would not see"
        return getattr(self.mpi, name)


def check(topology: Schedule, communicator: Any) -> None:
    network = connect(topology, communicator)
    transport = communicator.mpi = CountingTransport(communicator.mpi)
    x = torch.randn(len(network.nodes), 17)
    for _ in range(3):
        network.mix(x)
        network.mix(TopK(k=5).compress(x, network.draw("test")))
        network.neighbors(Identity().compress(x.double(), network.draw("test")))
        network.mean(x)
        network.finish_step()
        with network.unrecorded():
            before = transport.bytes, transport.messages
            network.mean(x)
            transport.bytes, transport.messages = before
    communicator.mpi = transport.mpi

    traffic = network.traffic
    assert traffic.wire_bytes == transport.bytes, (traffic.wire_bytes, transport.bytes)
    assert traffic.wire_messages == transport.messages
    if len(network.nodes) == 1:
        assert traffic.bytes.tolist() == [transport.bytes], (traffic.bytes, transport.bytes)
        assert traffic.messages.tolist() == [transport.messages]
    assert network.round == 3


def main() -> None:
    n = int(sys.argv[1])
    communicator = launch.world()
    for topology in (ring(n), star(n), exponential(n), one_peer_exponential(n), erdos_renyi(n, 0.5)):
        check(topology, communicator)
    if communicator.rank == 0:
        print("all counted")


main()

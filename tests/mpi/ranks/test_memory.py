"""A process connects and closes many times; what the networks held is free again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from algorithms import TopK
from gossip.network import Communicator, connect
from topologies import ring

ROW = 1 << 16  # numbers


def used() -> int:
    """Bytes of shared memory that this process maps. What the whole host uses, other programs change as well."""
    size = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, *_ = line.split()
        if "s" in permissions:
            first, last = (int(address, 16) for address in addresses.split("-"))
            size += last - first
    return size


def live(processes: Communicator, kept: list[torch.Tensor]) -> None:
    """A short life of a network, some results of which stay."""
    network = connect(ring(4), processes, transport="shared-memory")
    x = torch.full((2, ROW), 1.0)
    for _ in range(5):
        x = network.mix(network.post(x))
        network.mix(TopK(k=5).compress(x, network.draw("test")))
        network.finish_step()
    network.post(x)  # never completed
    if len(kept) < 2:
        kept.append(network.mix(3 * x))
    del x  # what is referred to when a network is closed keeps its memory
    network.close()


@pytest.mark.ranks(2)
def test_shared_memory_is_given_back(processes: Communicator) -> None:
    nobody = [torch.empty(0)] * 2
    live(processes, nobody)
    before = used()
    for _ in range(15):
        live(processes, nobody)
    growth = used() - before
    assert growth < 4 * ROW, f"{growth} bytes of shared memory are left"  # not even a row


@pytest.mark.ranks(2)
def test_a_stack_outlives_its_network(processes: Communicator) -> None:
    kept: list[torch.Tensor] = []
    for _ in range(6):
        live(processes, kept)
    for stack in kept:
        assert (stack == 3).all()
        stack += 1  # it is the caller's
    assert all((stack == 4).all() for stack in kept)

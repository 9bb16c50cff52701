"""Rank 0 comes two seconds late to a mix, a mean and a barrier; the others must not burn their cores meanwhile."""

from __future__ import annotations

import time

import torch

from algorithms import TopK
from gossip import launch
from gossip.network import connect
from topologies import complete

communicator = launch.world()
communicator.crowded = True  # type: ignore[attr-defined] # as on a host with more ranks than cores
network = connect(complete(4), communicator)
x = torch.randn(1, 10)
for wait in (
    lambda: network.mix(x),
    lambda: network.mix(TopK(k=2).compress(x, network.draw("test"))),
    lambda: network.mean(x),
    communicator.barrier,
):
    communicator.barrier()
    if communicator.rank == 0:
        time.sleep(2)
    before = time.process_time()
    wait()
    used = time.process_time() - before
    assert used < 0.5, f"waited with {used:.2f} s of CPU time"

"""Rank 0 comes late to exchanges; the others must not burn their cores meanwhile: idle_waiting.py TRANSPORT."""

from __future__ import annotations

import sys
import time

import torch

from algorithms import TopK
from gossip.network import connect
from gossip.processes import launcher
from topologies import complete

LATE = 1  # seconds

transport = sys.argv[1]
communicator = launcher.world()
communicator.crowded = True  # type: ignore[attr-defined] # as on a host with more ranks than cores
with launcher.failing_together(communicator):
    network = connect(complete(communicator.size), communicator, transport=transport)  # type: ignore[arg-type]
    x = torch.randn(1, 10)

    def posted() -> None:
        network.mix(network.post(x))

    def posted_mean() -> None:
        network.mean(network.post_mean(x))

    asleep = 0.05 if transport == "shared-memory" else 0.3  # in the kernel, or between looks that become rare
    for most, wait in (
        (asleep, lambda: network.mix(x)),
        (asleep, posted),
        (asleep, lambda: network.mix(TopK(k=2).compress(x, network.draw("test")))),
        (0.3, lambda: network.mean(x)),
        (0.3, posted_mean),
        (0.3, lambda: network.gather(x)),
        (0.3, communicator.barrier),
    ):
        wait()  # makes what it needs only once
        communicator.barrier()
        if communicator.rank == 0:
            time.sleep(LATE)
        began, before = time.perf_counter(), time.process_time()
        wait()
        used, waited = time.process_time() - before, time.perf_counter() - began
        assert communicator.rank == 0 or waited > LATE / 2, f"nothing to wait for in {waited:.2f} s"
        assert used < most, f"waited {waited:.2f} s with {used:.2f} s of CPU time"

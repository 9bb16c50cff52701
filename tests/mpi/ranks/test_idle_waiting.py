"""Rank 0 comes late to exchanges; the others must not burn their cores meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from algorithms import TopK
from gossip.network import connect
from gossip.processes.communicator import Communicator
from topologies import complete

LATE = 1  # seconds
TRANSPORTS = ("shared-memory", "peer-to-peer", "neighbor-collective")


@pytest.mark.ranks(3)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("what", ["mix", "posted mix", "message", "mean", "posted mean", "gather", "barrier"])
def test_waiting_ranks_leave_the_cores_to_others(processes: Communicator, transport: str, what: str) -> None:
    processes.crowded = True  # type: ignore[attr-defined]  # as on a host with more ranks than cores
    network = connect(complete(processes.size), processes, transport=transport)  # type: ignore[arg-type]
    x = torch.randn(1, 10)

    def posted_mix() -> None:
        network.mix(network.post(x))

    def posted_mean() -> None:
        network.mean(network.post_mean(x))

    asleep = 0.05 if transport == "shared-memory" else 0.3  # in the kernel, or between looks that become rare
    waits: dict[str, tuple[float, Callable[[], object]]] = {
        "mix": (asleep, lambda: network.mix(x)),
        "posted mix": (asleep, posted_mix),
        "message": (asleep, lambda: network.mix(TopK(k=2).compress(x, network.draw("test")))),
        "mean": (0.3, lambda: network.mean(x)),
        "posted mean": (0.3, posted_mean),
        "gather": (0.3, lambda: network.gather(x)),
        "barrier": (0.3, processes.barrier),
    }
    most, wait = waits[what]
    wait()  # makes what it needs only once
    processes.barrier()
    if processes.rank == 0:
        time.sleep(LATE)
    began, before = time.perf_counter(), time.process_time()
    wait()
    used, waited = time.process_time() - before, time.perf_counter() - began
    assert processes.rank == 0 or waited > LATE / 2, f"nothing to wait for in {waited:.2f} s"
    assert used < most, f"waited {waited:.2f} s with {used:.2f} s of CPU time"
    network.close()

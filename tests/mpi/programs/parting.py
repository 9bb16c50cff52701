"""Ranks that part ways, or only seem to: parting.py WAY"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from torch import nn

import gossip
from algorithms import DecentralizedSGD
from gossip.workloads import Averaging
from tests.mpi.own_loop import model, train
from topologies import ring

LIMIT = 2.0  # seconds

rank = int(os.environ["PMI_RANK"])  # and nothing of MPI, which a script that leaves all to gossip does not import


def made(net: nn.Module, stall_timeout: float | None = 600.0) -> gossip.Optimizer:
    return gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1), "ring", stall_timeout=stall_timeout)


def uneven() -> None:
    net = model(0)
    train(net, made(net), range(4 if rank == 0 else 5), rank)


def leaving(code: object = 3) -> None:
    net = model(0)
    optimizer = made(net)
    train(net, optimizer, range(3), rank)
    if rank == 1:
        sys.exit(code)  # type: ignore[arg-type]
    train(net, optimizer, range(3), rank)


def leaving_a_join() -> None:
    net = model(0)
    optimizer = made(net)
    with optimizer.join():
        train(net, optimizer, range(2), rank)
        if rank == 1:
            sys.exit("no more data")


def average_on_one() -> None:
    net = model(0)
    optimizer = made(net)
    train(net, optimizer, range(2), rank)
    if rank == 0:
        with optimizer.average():
            pass


def crossed() -> None:
    net = model(0)
    optimizer = made(net)
    train(net, optimizer, range(2), rank)
    if rank == 0:
        with optimizer.average():
            pass
    train(net, optimizer, range(2), rank)


def another_run() -> None:
    for _ in range(2 if rank == 1 else 1):
        gossip.run(Averaging(), ring(2), DecentralizedSGD(lr=0.1), steps=2, output=None)


def stopped() -> None:
    net = model(0)
    optimizer = made(net, LIMIT)
    for step in range(5):
        if rank == 1 and step == 2:
            os.kill(os.getpid(), signal.SIGSTOP)
        train(net, optimizer, range(step, step + 1), rank)


def late() -> None:
    """Rank 0 goes on for longer than the limit, alone, after its last step, when all others have come to their end."""
    net = model(0)
    optimizer = made(net, LIMIT)
    train(net, optimizer, range(3), rank)
    if rank == 0:
        time.sleep(2 * LIMIT)


way: Callable[[], None] = globals()[sys.argv[1]]
way()
print(f"rank {rank} done", flush=True)

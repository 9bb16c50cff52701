"""How jobs with `gossip.Optimizer` end, one way a call: optimizer.py WAY"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from mpi4py import MPI
from torch import nn

import gossip
from algorithms import DecentralizedSGD, ExactDiffusion
from tests.mpi.own_loop import model, train
from topologies import Topology, ring

rank, n = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size


def changed() -> None:
    """An in-place change while neighbours may be reading is an error on the rank that made it, and ends the job."""
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(order="consensus"), "ring")
    train(net, optimizer, range(2), rank)
    if rank == 0:
        with torch.no_grad():
            net[0].weight.clamp_(-0.01, 0.01)
    train(net, optimizer, range(2), rank)


def failing() -> None:
    """An exception on one rank ends the job."""
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), "ring")
    if rank == n - 1:
        raise KeyError("deliberate")
    train(net, optimizer, range(10**6), rank)


def exiting() -> None:
    """No close, with messages under way and one rank far ahead of the others."""
    for width in (1, 50_000):
        for transport in ("shared-memory", "peer-to-peer"):
            net = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
            algorithm = DecentralizedSGD(lr=1e-6, order="consensus")
            optimizer = gossip.Optimizer(net.parameters(), algorithm, transport=transport)  # type: ignore[arg-type]
            train(net, optimizer, range(2), rank)
            if rank == 0:
                time.sleep(0.5)
            train(net, optimizer, range(2), rank)


def wrong_name() -> None:
    gossip.Optimizer(model(0).parameters(), DecentralizedSGD(), "rung")


def wrong_number() -> None:
    gossip.Optimizer(model(0).parameters(), DecentralizedSGD(), ring(n + 1))


def wrong_kind() -> None:
    gossip.Optimizer(
        model(0).parameters(), ExactDiffusion(), Topology.from_matrix(np.roll(np.eye(n), 1, 0) / 2 + np.eye(n) / 2)
    )


def wrong_model() -> None:
    net = nn.Linear(2, 3 if rank == 0 else 4)
    gossip.Optimizer(net.parameters(), DecentralizedSGD())


def wrong_type() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2).double())
    gossip.Optimizer(net.parameters(), DecentralizedSGD())


aspect: Callable[[], None] = globals()[sys.argv[1]]
aspect()
print(f"rank {rank} done", flush=True)

"""Simulated time of all that can be sent: rows of any length, silent ones, sums, and what travels meanwhile."""

from __future__ import annotations

from functools import partial

from algorithms import (
    Bernoulli,
    ChocoSGD,
    CocodSGD,
    Contraction,
    DecentralizedSGD,
    FedAvg,
    LocalSGD,
    PushSumSGD,
    RandomK,
    RelaySGD,
    SquarmSGD,
)
from gossip import SimulatedClock
from tests.mpi.cases import NODES, Case
from topologies import one_peer_exponential, path, random_out

CLOCK = SimulatedClock(0.01, 1e-3, 1e4, exponential_seconds=0.01, slow_nodes=(2,), slowdown=1.5)
Clocked = partial(Case, clock=CLOCK)

CASES = [
    Clocked(DecentralizedSGD(lr=0.05), one_peer_exponential(NODES)),
    Clocked(DecentralizedSGD(lr=0.05, order="consensus", period=2)),
    Clocked(ChocoSGD(lr=0.05, gamma=0.3, compressor=Contraction(Bernoulli(p=0.3)), order="overlapped")),
    Clocked(SquarmSGD(lr=0.05, gamma=0.2, compressor=RandomK(k=3), threshold=20.0, period=1)),
    Clocked(PushSumSGD(lr=0.05), random_out(NODES)),
    Clocked(RelaySGD(lr=0.05), path(NODES)),
    Clocked(LocalSGD(lr=0.05, period=3)),
    Clocked(CocodSGD(lr=0.05, period=2)),
    Clocked(FedAvg(lr=0.05, local_steps=2, participation=3)),
]

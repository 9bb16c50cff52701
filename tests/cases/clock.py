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
from tests.cases import Case
from topologies import one_peer_exponential, path, random_out

CLOCK = {
    "compute_seconds": 0.01,
    "latency": 1e-3,
    "bandwidth": 1e4,
    "exponential_seconds": 0.01,
    "slow_nodes": (2,),
    "slowdown": 1.5,
}
Clocked = partial(Case, clock=CLOCK)

CASES = {
    "DecentralizedSGD": Clocked(DecentralizedSGD(lr=0.05), one_peer_exponential),
    "DecentralizedSGD-consensus": Clocked(DecentralizedSGD(lr=0.05, order="consensus", period=2)),
    "ChocoSGD-overlapped": Clocked(
        ChocoSGD(lr=0.05, gamma=0.3, compressor=Contraction(Bernoulli(p=0.3)), order="overlapped")
    ),
    "SquarmSGD": Clocked(SquarmSGD(lr=0.05, gamma=0.2, compressor=RandomK(k=3), threshold=20.0, period=1)),
    "PushSumSGD": Clocked(PushSumSGD(lr=0.05), random_out),
    "RelaySGD": Clocked(RelaySGD(lr=0.05), path),
    "LocalSGD": Clocked(LocalSGD(lr=0.05, period=3)),
    "CocodSGD": Clocked(CocodSGD(lr=0.05, period=2)),
    "FedAvg": Clocked(FedAvg(lr=0.05, local_steps=2, participation=3)),
}

"""Local update rules in decentralized SGD."""

from __future__ import annotations

from algorithms import (
    SGD,
    Adam,
    AdamW,
    Clars,
    Clipped,
    DecentralizedSGD,
    Lamb,
    Lars,
    Minibatch,
    ResidualSGD,
    TorchOptimizer,
)
from gossip.workloads import Digits
from tests.mpi.cases import NODES, Case
from topologies import one_peer_exponential, ring

DIGITS = {"workload": Digits(), "oracle": Minibatch(8), "steps": 6}

CASES = [
    Case(DecentralizedSGD(optimizer=SGD(momentum=0.9, nesterov=True, weight_decay=0.1))),
    Case(DecentralizedSGD(optimizer=Clipped(1.0, Adam()), order="combine-then-adapt")),
    Case(DecentralizedSGD(optimizer=AdamW(), period=3), one_peer_exponential(NODES)),
    Case(DecentralizedSGD(optimizer=ResidualSGD(0.3, 0.7, momentum=0.5), order="consensus")),
    Case(DecentralizedSGD(optimizer=TorchOptimizer("torch.optim.Adamax")), ring(NODES), **DIGITS),
    Case(DecentralizedSGD(optimizer=Lars(weight_decay=0.01)), ring(NODES), **DIGITS),
    Case(DecentralizedSGD(optimizer=Clars(), order="consensus"), ring(NODES), **DIGITS),
    Case(
        DecentralizedSGD(optimizer=Clars(over="samples")),
        ring(NODES),
        Minibatch(8, microbatch=2),
        Digits(),
        steps=4,
    ),
    Case(DecentralizedSGD(optimizer=Lamb()), ring(NODES), **DIGITS),
]

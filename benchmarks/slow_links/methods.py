"""What is compared on slow links, and its settings, which were fixed by `tune.py` on other seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import topologies
from algorithms import (
    Algorithm,
    ChocoSGD,
    DecentralizedSGD,
    LocalSGD,
    Minibatch,
    PerTensor,
    SignTopK,
    SquarmSGD,
    TopK,
)
from gossip.workloads import Mnist
from topologies import Schedule

NODES, BATCH, MOMENTUM = 8, 32, 0.9
TARGET, EVERY = 0.92, 5  # test accuracy of the average model, looked at every so many steps
SETTINGS = Path(__file__).with_name("settings.json")
WORKLOAD = Mnist(hidden=64)  # 50,890 parameters


@dataclass(frozen=True)
class Method:
    """An algorithm on a graph, up to what is tuned."""

    graph: str
    make: Callable[[float, float], Algorithm]
    """Of a learning rate and a consensus step size, which most have none of."""
    gammas: tuple[float, ...] = (1.0,)

    def topology(self) -> Schedule:
        """Its graph of all nodes."""
        topology: Schedule = getattr(topologies, self.graph)(NODES)
        return topology


def _local(period: int) -> Callable[[float, float], Algorithm]:
    return lambda lr, _: LocalSGD(lr=lr, momentum=MOMENTUM, period=period)


def _decentralized(lr: float, _: float) -> Algorithm:
    return DecentralizedSGD(lr=lr, momentum=MOMENTUM)


METHODS = {
    "all-reduce SGD": Method("complete", _local(1)),
    "D-SGD": Method("ring", _decentralized),
    "D-SGD, exponential": Method("exponential", _decentralized),
    "D-SGD, one-peer exponential": Method("one_peer_exponential", _decentralized),
    "local SGD, every 8 steps": Method("complete", _local(8)),
    "CHOCO-SGD, top 1 %": Method(
        "ring",
        lambda lr, gamma: ChocoSGD(lr=lr, momentum=MOMENTUM, gamma=gamma, compressor=TopK(fraction=0.01)),
        (0.05, 0.1, 0.2, 0.4),
    ),
    "SQuARM-SGD, signs of the top 10 %, every 4 steps": Method(
        "ring",
        lambda lr, gamma: SquarmSGD(
            lr=lr,
            momentum=MOMENTUM,
            gamma=gamma,
            period=4,
            threshold=10.0,
            compressor=PerTensor(SignTopK(fraction=0.1)),
        ),
        (0.1, 0.2, 0.4),
    ),
}


def settings(name: str) -> dict[str, float]:
    """Its learning rate and consensus step size."""
    kept: dict[str, dict[str, float]] = json.loads(SETTINGS.read_text(encoding="utf-8"))["methods"]
    return kept[name]


def oracle() -> Minibatch:
    """Where gradients come from."""
    return Minibatch(batch=BATCH)

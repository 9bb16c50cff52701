"""Public copies and error memories carry what their compressor remembers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import (
    Algorithm,
    Beer,
    ChocoGossip,
    ChocoSGD,
    DcdPSGD,
    DeepSqueeze,
    Induced,
    Layout,
    Lead,
    MatrixNetwork,
    PowerSGD,
    RandomK,
    Sample,
    SquarmSGD,
)
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.gamma import search
from algorithms.blocks.replica import Replica
from algorithms.randomness import Draw

LAYOUT = Layout({"first": (6, 4), "bias": (4,), "second": (4, 5)})
W = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
WARM, COLD = (PowerSGD(rank=1, warm_start=warm).for_layout(LAYOUT) for warm in (True, False))


def stack(seed: int = 0) -> Tensor:
    return torch.randn(3, LAYOUT.d, generator=torch.Generator().manual_seed(seed))


def error_left(compressor: PowerSGD, rounds: int = 30) -> float:
    """How far what is published of the same vectors again and again is from them."""
    network, x = MatrixNetwork(W), stack()
    replica = Replica.start(x, compressor)
    replica.publish(x, compressor, network)
    replica.hear(network)
    once = float((x - replica.public).norm())
    for _ in range(rounds):
        replica.public.zero_()
        replica.publish(x, compressor, network)
    assert once > 0
    return float((x - replica.public).norm()) / once


def test_a_replica_remembers_for_its_compressor() -> None:
    assert error_left(COLD) == pytest.approx(1.0)
    assert error_left(WARM) < 0.999


def test_an_error_memory_remembers_for_its_compressor() -> None:
    x = stack()
    warm, cold = (ErrorMemory.start(x, compressor) for compressor in (WARM, COLD))
    for step in range(5):
        draw = Draw(0, "compression", range(3), step)
        sent = [memory.compress(x, each, draw).dense() for memory, each in ((warm, WARM), (cold, COLD))]
        assert torch.equal(*sent) == (step == 0)
    assert warm.remembered is not None and cold.remembered is None


def test_the_search_of_gamma_leaves_memories_alone() -> None:
    network, x = MatrixNetwork(W), stack()
    memory = WARM.start_like(x)
    tried = [search(x, WARM, network), search(x, WARM, network)]
    assert tried[0] == tried[1]
    assert tried[0] != search(x, COLD, network)  # it remembers in itself, as the run does
    state = ChocoSGD(compressor=WARM).start(x, network)
    assert str(state.replicas.of_round[0].remembered) == str(memory)


@pytest.mark.parametrize(
    "algorithm",
    [
        ChocoSGD(gamma=0.3, compressor=WARM),
        ChocoSGD(gamma=0.3, compressor=WARM, order="overlapped"),
        ChocoGossip(gamma=0.3, compressor=WARM),
        SquarmSGD(gamma=0.3, period=1, compressor=WARM),
        Beer(compressor=WARM),
        DeepSqueeze(compressor=WARM),
        DcdPSGD(compressor=Induced(WARM, RandomK(k=30, unbiased=True))),
        Lead(compressor=Induced(WARM, RandomK(k=30, unbiased=True))),
    ],
    ids=str,
)
def test_every_method_makes_use_of_it(algorithm: Algorithm) -> None:
    """Without what is remembered, the same state goes on otherwise."""
    network = MatrixNetwork(W)
    state = algorithm.start(stack(), network)
    optima = stack(1)

    def go_on(steps: int) -> None:
        for _ in range(steps):
            algorithm.advance(state, Sample(0.1 * (state.x - optima), torch.zeros(3)), network)

    go_on(3)
    forgetful, other = copy.deepcopy((state, network))
    forget(forgetful)
    go_on(3)
    for _ in range(3):
        algorithm.advance(forgetful, Sample(0.1 * (forgetful.x - optima), torch.zeros(3)), other)
    assert state.x.isfinite().all()
    assert not torch.equal(state.x, forgetful.x)


def forget(block: object) -> None:
    """Set to None what compressors remember, anywhere in a state."""
    for name, value in vars(block).items():
        if name == "remembered":
            setattr(block, name, None)
        for part in value if isinstance(value, tuple) else (value,):
            if hasattr(part, "__dataclass_fields__"):
                forget(part)

"""SGD, Adam and AdamW are those of torch.optim, at every node by itself, with schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import SGD, Adam, AdamW, DecentralizedSGD, LocalOptimizer, StepDecay
from tests.algorithms.helpers import LeastSquares, fixed, least_squares, run, starts

STEPS = 100
RATE = StepDecay(lr=0.05, milestones=(40, 41, 80), factor=0.3)
N = 3


def torch_models(problem: LeastSquares, make: Callable[[Sequence[Tensor]], torch.optim.Optimizer]) -> np.ndarray:
    """(steps + 1, n, d): n runs of torch's optimizer on their own."""
    x = torch.tensor(starts(problem))
    nodes = [row.clone().requires_grad_() for row in x]
    optimizers = [make([node]) for node in nodes]
    models = [x.numpy()]
    for t in range(STEPS):
        gradients = problem.gradient(models[-1])
        for node, optimizer, gradient in zip(nodes, optimizers, gradients, strict=True):
            optimizer.param_groups[0]["lr"] = RATE(t)
            node.grad = torch.tensor(gradient)
            optimizer.step()
        models.append(np.stack([node.detach().numpy().copy() for node in nodes]))
    return np.stack(models)


PAIRS: list[tuple[LocalOptimizer, type[torch.optim.Optimizer], dict[str, Any]]] = [
    (SGD(), torch.optim.SGD, {}),
    (SGD(weight_decay=0.3), torch.optim.SGD, {"weight_decay": 0.3}),
    (SGD(momentum=0.9, weight_decay=0.1), torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (
        SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    (Adam(), torch.optim.Adam, {}),
    (
        Adam(beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.2),
        torch.optim.Adam,
        {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2},
    ),
    (AdamW(), torch.optim.AdamW, {}),
    (
        AdamW(beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.2),
        torch.optim.AdamW,
        {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2},
    ),
]


@pytest.mark.parametrize(("optimizer", "kind", "options"), PAIRS, ids=[str(pair[0]) for pair in PAIRS])
def test_like_torch(optimizer: LocalOptimizer, kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    problem = least_squares(N)
    got = run(DecentralizedSGD(lr=RATE, optimizer=optimizer), fixed(np.eye(N)), problem, starts(problem), STEPS)
    wanted = torch_models(problem, lambda parameters: kind(parameters, lr=RATE(0), **options))
    assert np.abs(got.models - wanted).max() <= 1e-12
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_adam_and_adamw_differ_by_where_the_decay_is() -> None:
    problem = least_squares(N)

    def final(optimizer: LocalOptimizer) -> np.ndarray:
        algorithm = DecentralizedSGD(lr=0.01, optimizer=optimizer)
        return run(algorithm, fixed(np.eye(N)), problem, starts(problem), 50).final

    assert np.array_equal(final(Adam(weight_decay=0)), final(AdamW(weight_decay=0)))
    assert np.abs(final(Adam(weight_decay=0.5)) - final(AdamW(weight_decay=0.5))).max() > 1e-3

"""Dual coordinate ascent: each step is the best one, the gap is that of the definition, what has no dual is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import DecentralizedSGD, Sdca
from algorithms.oracles import SdcaState
from gossip.workloads import Averaging, Dirichlet, HingeLoss, LeastSquares, LogisticRegression, SigmoidLoss

LOSSES = {
    "half square": lambda z, y: (z - y) ** 2 / 2,
    "logistic": lambda z, y: np.logaddexp(0, -y * z),
    "hinge": lambda z, y: np.maximum(0, 1 - y * z),
}


def one_node(kind: str, features: Any, targets: Any, l2: float) -> Any:
    kinds = {"half square": LeastSquares, "logistic": LogisticRegression, "hinge": HingeLoss}
    return kinds[kind](np.asarray(features, float)[None], np.asarray(targets, float)[None], l2=l2).shard(1, 0)


def at(value: float, d: int = 1) -> torch.Tensor:
    return torch.full((1, d), value, dtype=torch.float64)


@pytest.mark.parametrize("norm", [1e-6, 0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("x", [-3.0, 0.0, 0.7, 50.0])
@pytest.mark.parametrize("y", [-1.0, 1.0])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_step_is_the_best_one(kind: str, y: float, x: float, norm: float) -> None:
    """Of one example, from 0: the derivative of the loss where the model will be is minus the dual variable."""
    workload, oracle = one_node(kind, [[norm]], [y], 0.3), Sdca(steps=1)
    state = oracle.start(workload, at(0), [0], 0)
    sample = oracle.sample(state, workload, at(x), [0], 1, 0)
    a = float(state.dual[0])
    assert float(-sample.gradient) == pytest.approx(a * norm / 0.3, rel=1e-15)
    z = float(norm * (x - sample.gradient))
    if kind == "half square":
        assert a == pytest.approx(y - z, rel=1e-9, abs=1e-9 * abs(z))
    elif kind == "logistic":
        assert y * a == pytest.approx(np.exp(-np.logaddexp(0, y * z)), rel=1e-6, abs=1e-300)
    else:
        assert y * z == pytest.approx(1) or y * a == (1 if y * z < 1 else 0)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_is_the_part_of_the_gap(kind: str) -> None:
    """By the definition of the conjugate, the largest of -a z - loss(z), on a fine grid of predictions z."""
    random = np.random.default_rng(0)
    features, targets = random.standard_normal((6, 3)), np.array([1.0, -1, 1, 1, -1, 1])
    workload, oracle = one_node(kind, features, targets, 0.5), Sdca(steps=4, gamma=0.7)
    x = torch.from_numpy(random.standard_normal((1, 3)))
    state = oracle.start(workload, torch.zeros_like(x), [0], 0)
    oracle.sample(state, workload, x, [0], 1, 0)
    dual = state.dual[0].numpy().copy()
    told = float(oracle.sample(state, workload, x, [0], 2, 0).loss)
    grid, predictions = np.linspace(-40, 40, 800_001), features @ x[0].numpy()
    loss = LOSSES[kind]
    parts = [
        loss(z, y) + np.max(-a * grid - loss(grid, y)) + a * z
        for z, y, a in zip(predictions, targets, dual, strict=True)
    ]
    assert told == pytest.approx(np.mean(parts), abs=1e-6) and told > 0.1
    assert state.gradients.tolist() == [8]


def test_rows_and_kinds_of_numbers_do_not_matter() -> None:
    workload, oracle = LogisticRegression(split=Dirichlet(1.0)).shard(3, 0), Sdca(steps=20)
    x = torch.zeros(3, 31, dtype=torch.float64)
    together, alone = oracle.start(workload, x, range(3), 5), oracle.start(workload, x[:1], [1], 5)
    assert isinstance(together, SdcaState) and together.remembers
    for step in range(3):
        sample = oracle.sample(together, workload, x, range(3), step, 5)
        own = oracle.sample(alone, workload, x[1:2], [1], step, 5)
        assert torch.equal(sample.gradient[1], own.gradient[0]) and torch.equal(together.dual[1], alone.dual[0])
        x = x - sample.gradient
    single = oracle.sample(alone, workload, x[1:2].float(), [1], 3, 5)
    assert single.gradient.dtype == single.loss.dtype == torch.float32


def test_examples_of_zeros_hurt_nobody() -> None:
    for kind in LOSSES:
        workload, oracle = one_node(kind, [[0.0, 0.0], [0.0, 0.0]], [1.0, -1.0], 0.5), Sdca(steps=10)
        state = oracle.start(workload, at(0, 2), [0], 0)
        sample = oracle.sample(state, workload, at(1, 2), [0], 1, 0)
        assert not sample.gradient.any()
        closed = oracle.sample(state, workload, at(1, 2), [0], 2, 0)
        assert abs(float(closed.loss)) < 1e-15


def test_what_has_no_dual_is_refused() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    data = np.ones((2, 4, 3)), np.ones((2, 4))
    for workload in (
        SigmoidLoss(*data, l2=0.1).shard(2, 0),
        LeastSquares(*data, l1=0.1, l2=0.1),
        Averaging().shard(2, 0),
    ):
        with pytest.raises(
            ValueError, match=r"Sdca: \w+ gives no dual problem; linear models with the squared, logistic"
        ):
            Sdca().start(workload, x, range(2), 0)
    with pytest.raises(ValueError, match=r"Sdca: the dual problem of LeastSquares needs l2 > 0, and it is 0.0"):
        Sdca().start(LeastSquares(*data), x, range(2), 0)
    with pytest.raises(
        ValueError, match="DecentralizedSGD takes gradients, and Sdca gives dual updates, which are for"
    ):
        DecentralizedSGD().check_oracle(Sdca())


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("gamma", 0.0), ("gamma", 1.5), ("sigma", 0.0)])
def test_options_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Sdca: {name} = {value} is not allowed"):
        Sdca(**{name: value})  # type: ignore[arg-type]

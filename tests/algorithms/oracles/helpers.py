"""A small problem in NumPy, one component gradient at a time, and the loop that drives an oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Algorithm, ExactDiffusion, Layout, Oracle, Sample, State
from gossip.workloads.linear.model import LinearModel
from tests.algorithms.helpers import dense, network_of
from topologies import ring

Array = NDArray[Any]
SIZES = (9, 6, 11, 6, 7)
STEPS = 100


@dataclass(frozen=True)
class Problem:
    """Logistic losses, or half squares, of nodes with SIZES examples, in 4 dimensions."""

    loss: str = "logistic"
    l2: float = 0.05

    @cached_property
    def A(self) -> Array:
        random = np.random.default_rng(0)
        return random.normal(size=(sum(SIZES), 4)) * random.uniform(0.3, 2, size=(sum(SIZES), 1))

    @cached_property
    def b(self) -> Array:
        random = np.random.default_rng(1)
        return np.sign(random.normal(size=sum(SIZES))) if self.loss != "half square" else random.normal(size=sum(SIZES))

    def place(self, i: int, l: int) -> int:  # noqa: E741
        return sum(SIZES[:i]) + l

    def slope(self, i: int, l: int, x: Array) -> float:  # noqa: E741
        """The derivative of the loss by the prediction."""
        a, b = self.A[self.place(i, l)], self.b[self.place(i, l)]
        return -b / (1 + np.exp(b * (a @ x))) if self.loss == "logistic" else a @ x - b

    def component(self, i: int, l: int, x: Array) -> Array:  # noqa: E741
        """The gradient of the l-th example of node i."""
        return self.slope(i, l, x) * self.A[self.place(i, l)] + self.l2 * x

    def full(self, i: int, x: Array) -> Array:
        return np.mean([self.component(i, l, x) for l in range(SIZES[i])], axis=0)  # noqa: E741

    def constants(self, i: int) -> Array:
        """The smoothness constant of each example of node i."""
        a = self.A[self.place(i, 0) : self.place(i, 0) + SIZES[i]]
        return np.sum(a**2, axis=1) * (0.25 if self.loss == "logistic" else 1) + self.l2

    def linear(self) -> LinearModel:
        return LinearModel(self.A, self.b, SIZES, self.loss, self.l2)  # type: ignore[arg-type]

    def plain(self) -> Plain:
        return Plain(self.linear())


class Plain:
    """The same, as a workload that gives gradients and smoothness constants, and no slopes."""

    def __init__(self, model: LinearModel) -> None:
        self._model = model
        self.smoothness = model.smoothness
        self.layout: Layout = model.layout

    def examples(self, node: int) -> int:
        return self._model.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        return self._model.gradient(x, nodes, examples)


def starts(n: int = len(SIZES), d: int = 4) -> Array:
    return np.random.default_rng(3).normal(size=(n, d))


def drive(
    oracle: Oracle, workload: Any, X: Array, steps: int, lr: float | None = None, seed: int = 5
) -> tuple[list[Array], State]:
    """The iterates of gradient descent at each node by itself (`lr`), or of exact diffusion on a ring."""
    n = len(X)
    algorithm: Algorithm = ExactDiffusion(lr=0.05)
    network = network_of(ring(n)) if lr is None else None
    state = algorithm.start(torch.tensor(X), network)  # type: ignore[arg-type]
    memory = oracle.start(workload, state.x, range(n), seed)
    iterates = [state.x.numpy().copy()]
    for step in range(steps):
        sample = oracle.sample(memory, workload, state.x, range(n), step, seed)
        if lr is None:
            algorithm.step(state, sample, network)  # type: ignore[arg-type]
        else:
            state.x = state.x - lr * sample.gradient
        iterates.append(state.x.numpy().copy())
    return iterates, memory


def transcribed(estimate: Callable[[int, Array], Array], X: Array, steps: int, lr: float | None = None) -> list[Array]:
    """The same for an estimate (step, X (n, d)) -> (n, d), with full matrices."""
    n = len(X)
    W = (np.eye(n) + dense(ring(n))) / 2 if lr is None else np.eye(n)
    iterates, psi = [X], X
    for step in range(steps):
        G = estimate(step, X)
        if lr is None:
            new = X - 0.05 * G
            X, psi = W @ (new + X - psi), new
        else:
            X = X - lr * G
        iterates.append(X)
    return iterates


def assert_same(ours: Sequence[Array], theirs: Sequence[Array]) -> None:
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(np.stack(ours), np.stack(theirs), rtol=0, atol=1e-10)
